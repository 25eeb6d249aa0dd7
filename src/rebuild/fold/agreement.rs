//! How workers agree on events that change rows of several of them: such an event is in all its rows, or in none.
//!
//! A batch is folded as if nothing failed, and each worker says at its end whether anything of others did: nobody waits in
//! between. Only where something failed is the batch taken back and folded once more, now with a word on every such event.
//! All workers go through the events in one order, so whoever waits is waited for by nobody further on.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An event that changes several rows of a projection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Joint {
    /// The place of the event in the batch.
    pub(super) event: u32,
    pub(super) projection: u32,
    /// How many workers have rows of it that are still to be changed.
    pub(super) workers: u32,
    /// Whether it is known to fail: on a worker that has it behind it, since before a kill.
    pub(super) has_failed: bool,
}

/// What the workers say of one batch.
pub(super) struct Agreement {
    workers: u32,
    said: Mutex<Said>,
    news: Condvar,
}

#[derive(Default)]
struct Said {
    /// Of the batch as a whole.
    batch: Word,
    /// Of the joint events, by their place among those of the batch.
    events: Vec<Word>,
}

#[derive(Clone, Copy, Default)]
struct Word {
    given: u32,
    has_failed: bool,
}

/// Another worker has ended, so that what is asked will never be known.
#[derive(Debug)]
pub(super) struct Abandoned;

impl Agreement {
    pub(super) fn new(workers: usize) -> Self {
        // There are at most a few hundred.
        Self { workers: workers as u32, said: Mutex::default(), news: Condvar::new() }
    }

    /// Says whether the batch failed here, and hears whether it failed anywhere.
    pub(super) fn on_batch(&self, has_failed: bool, is_over: impl Fn() -> bool) -> Result<bool, Abandoned> {
        let mut said = self.lock();
        said.batch.give(has_failed);
        self.news.notify_all();
        self.wait(said, |said| (said.batch.given == self.workers).then_some(said.batch.has_failed), is_over)
    }

    /// The same of a joint event, which `workers` of them have rows of.
    pub(super) fn on_event(
        &self,
        place: usize,
        workers: u32,
        has_failed: bool,
        is_over: impl Fn() -> bool,
    ) -> Result<bool, Abandoned> {
        let mut said = self.lock();
        if said.events.len() <= place {
            said.events.resize(place + 1, Word::default());
        }
        said.events[place].give(has_failed);
        self.news.notify_all();
        let decided = |said: &Said| {
            let word = said.events[place];
            (word.given == workers).then_some(word.has_failed)
        };
        self.wait(said, decided, is_over)
    }

    fn wait(
        &self,
        mut said: MutexGuard<'_, Said>,
        decided: impl Fn(&Said) -> Option<bool>,
        is_over: impl Fn() -> bool,
    ) -> Result<bool, Abandoned> {
        /// Those who end do not say so here: how long it takes at most until it is noticed.
        const LOOK: Duration = Duration::from_millis(20);
        loop {
            if let Some(has_failed) = decided(&said) {
                return Ok(has_failed);
            }
            if is_over() {
                return Err(Abandoned);
            }
            said = self.news.wait_timeout(said, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Word {
    fn give(&mut self, has_failed: bool) {
        self.given += 1;
        self.has_failed |= has_failed;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn one_failure_is_everybodys() {
        let agreement = Arc::new(Agreement::new(3));
        let heard: Vec<(bool, bool)> = std::thread::scope(|scope| {
            let workers = (0..3).map(|number| {
                let agreement = Arc::clone(&agreement);
                scope.spawn(move || {
                    let batch = agreement.on_batch(number == 1, || false).unwrap();
                    let event = if number < 2 { agreement.on_event(4, 2, false, || false).unwrap() } else { false };
                    (batch, event)
                })
            });
            workers.collect::<Vec<_>>().into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        assert_eq!(heard, [(true, false); 3]);
    }

    #[test]
    fn nobody_waits_for_one_that_has_ended() {
        assert!(Agreement::new(2).on_batch(false, || true).is_err());
        assert!(Agreement::new(1).on_batch(false, || true).is_ok());
    }
}
