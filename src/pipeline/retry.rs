//! Going on by itself: what fails because a store can't be reached now is tried again, with growing waits and a limit.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eventlift_events::{StoreError, StoreErrorKind};
use tokio::time::Instant;

use super::error::PipelineError;
use super::stop::Stop;

/// The first wait, where nothing else is said.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// How long it is tried without progress.
const GIVE_UP_AFTER: Duration = Duration::from_secs(300);

/// How often, and for how long, something is tried again that may pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// About the first wait; each later one is twice as long.
    pub first_wait: Duration,
    /// About the longest wait.
    pub longest_wait: Duration,
    /// It is given up this long after the last progress. Zero: it is never tried again.
    pub give_up_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first_wait: FIRST_WAIT, longest_wait: LONGEST_WAIT, give_up_after: GIVE_UP_AFTER }
    }
}

/// Waits that grow: each is between half and all of twice the one before, so that many who wait for one server don't
/// come at the same instant.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST_WAIT, longest: LONGEST_WAIT }
    }
}

impl Backoff {
    fn of(policy: &RetryPolicy) -> Self {
        Self { next: policy.first_wait.min(policy.longest_wait), longest: policy.longest_wait }
    }

    pub(super) fn wait(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.longest);
        // The keys of a hasher are random; what it has hashed does not matter.
        let share = RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64;
        whole.mul_f64(0.5 + share / 2.0)
    }
}

/// Errors some of which may pass a little later, once the stores are opened again.
pub trait MayPass {
    /// The store's error that it is about, if it is about one and nothing else.
    fn store_error(&self) -> Option<&StoreError>;

    /// Whether this one may pass.
    fn may_pass(&self) -> bool {
        self.store_error().is_some_and(StoreError::may_pass)
    }
}

impl MayPass for StoreError {
    fn store_error(&self) -> Option<&StoreError> {
        Some(self)
    }
}

impl MayPass for PipelineError {
    fn store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Source(error) | Self::Target(error) => Some(error),
            _ => None,
        }
    }
}

/// By which an attempt tells that it gets on. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Heartbeat {
    pulse: Arc<Mutex<Pulse>>,
}

#[derive(Debug, Default)]
struct Pulse {
    last: Option<Instant>,
    furthest: u64,
}

impl Heartbeat {
    /// The attempt has come as far as opening its stores. Before it has once, it is not tried again where nobody
    /// answers: a server that was never reached may be one that is not there.
    pub fn begun(&self) {
        self.pulse().last.get_or_insert_with(Instant::now);
    }

    /// So much is done, in events or whatever is counted. Only more than any attempt has done before is progress.
    pub fn progressed(&self, done: u64) {
        let mut pulse = self.pulse();
        if done > pulse.furthest {
            pulse.furthest = done;
            pulse.last = Some(Instant::now());
        }
    }

    /// All there was to do is done: what comes now is waiting for more.
    pub fn caught_up(&self) {
        self.pulse().last = Some(Instant::now());
    }

    /// When there was progress last; none before it has begun.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.pulse().last
    }

    fn pulse(&self) -> MutexGuard<'_, Pulse> {
        self.pulse.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was the matter, and when it is tried again.
#[derive(Clone, Copy, Debug)]
pub struct NextTry<'e, E> {
    /// What failed.
    pub error: &'e E,
    /// How long until it is tried again.
    pub wait: Duration,
    /// How often it was tried again, this time included.
    pub retries: u32,
}

/// Does something again and again while it fails with what may pass, and returns how often beside the result. Each
/// attempt has to open its stores anew and go on where the one before ended, as a [`Migration`](super::Migration) does.
///
/// The error is returned when it does not pass, when [`RetryPolicy::give_up_after`] has gone by since the first
/// failure behind the last progress, and when a stop is asked for while it waits. `say` hears of every failure before the wait.
///
/// Before any attempt has [begun](Heartbeat::begun), a store where nobody answers fails at once: a wrong name or port is
/// told at once, not after minutes. One that answers that it is just starting, or that breaks off, is waited for; so a
/// command that is started while a crashed server recovers comes through.
///
/// A store that another run holds fails at once. Only where a store was lost, and nothing has been done since, whoever
/// holds it may be the session that was lost and that the server has not missed yet: that is waited for.
pub async fn go_on<T, E: MayPass, F: Future<Output = Result<T, E>>>(
    policy: &RetryPolicy,
    stop: &Stop,
    mut attempt: impl FnMut(Heartbeat) -> F,
    mut say: impl FnMut(NextTry<'_, E>),
) -> Result<(T, u32), E> {
    let heartbeat = Heartbeat::default();
    let mut backoff = Backoff::of(policy);
    // However long it had worked without a sign before it failed.
    let mut failing_since = Instant::now();
    let (mut retries, mut seen, mut lost) = (0, None, None);
    loop {
        let error = match attempt(heartbeat.clone()).await {
            Ok(done) => return Ok((done, retries)),
            Err(error) => error,
        };
        let heard = heartbeat.last();
        let passes = error.store_error().is_some_and(|error| match &error.kind {
            StoreErrorKind::Locked(_) => lost.is_some() && lost == heard,
            // Tried again before, it is there.
            _ => error.may_pass() && (heard.is_some() || retries > 0 || !error.nobody_answered()),
        });
        if !passes || stop.is_asked() {
            return Err(error);
        }
        lost = heard;
        if seen != Some(heard) {
            backoff = Backoff::of(policy);
            seen = Some(heard);
            failing_since = Instant::now();
        }
        let left = policy.give_up_after.saturating_sub(failing_since.elapsed());
        if left.is_zero() {
            return Err(error);
        }
        let wait = backoff.wait().min(left);
        retries += 1;
        say(NextTry { error: &error, wait, retries });
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.clone().asked() => return Err(error),
        }
    }
}
