//! Waits where transactions are committed, as the controller says.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use eventlift_events::{Event, EventStream, RunId, StoreError};
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::time::Instant;

use super::controller::{Controller, Moment, Size, ThrottleState};
use super::settings::ThrottleSettings;
use crate::pipeline::control::Control;
use crate::pipeline::stop::Stop;

/// How fast a run may be. Clones are one and the same: what several loaders commit counts together.
#[derive(Clone, Debug, Default)]
pub struct Throttle(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    begun: Instant,
    /// Whoever waits for the controller; the others wait for their turn.
    turn: tokio::sync::Mutex<()>,
    controller: Mutex<Controller>,
    control: Control,
    run: OnceLock<RunId>,
}

impl Throttle {
    /// As fast as it goes.
    pub fn off() -> Self {
        Self(None)
    }

    /// What is configured, and what is wished for while it runs.
    pub fn new(settings: ThrottleSettings, control: Control) -> Self {
        let mut controller = Controller::new(settings);
        controller.wish(control.now());
        Self(Some(Arc::new(Shared {
            begun: Instant::now(),
            turn: tokio::sync::Mutex::new(()),
            controller: Mutex::new(controller),
            control,
            run: OnceLock::new(),
        })))
    }

    /// The run that it is used by, once it has begun.
    pub fn run(&self) -> Option<RunId> {
        self.0.as_ref()?.run.get().copied()
    }

    /// What holds now, and why.
    pub fn state(&self) -> ThrottleState {
        let state = |shared: &Shared| shared.controller().state(Timestamp::now());
        self.0.as_deref().map(state).unwrap_or_default()
    }

    /// Tells the answer of the configured query, or why there was none.
    pub fn answered(&self, answer: Result<f64, String>) {
        if let Some(shared) = &self.0 {
            shared.controller().answered(answer);
        }
    }

    pub(crate) fn begins(&self, run: RunId) {
        if let Some(shared) = &self.0 {
            // A run that goes on is the same one.
            let _ = shared.run.set(run);
        }
    }

    /// How many events a transaction is to hold now.
    pub(crate) fn transaction_events(&self, most: NonZeroUsize) -> NonZeroUsize {
        let limited = |shared: &Shared| shared.controller().transaction_events(Timestamp::now());
        let limit = self.0.as_deref().and_then(limited).and_then(|events| NonZeroUsize::new(as_usize(events)));
        limit.map_or(most, |limit| limit.min(most))
    }

    /// How many bytes a transaction is to hold now.
    pub(crate) fn transaction_bytes(&self, most: usize) -> usize {
        let limited = |shared: &Shared| shared.controller().transaction_bytes(Timestamp::now());
        self.0.as_deref().and_then(limited).map_or(most, |limit| as_usize(limit).min(most))
    }

    /// Waits until a transaction may be committed. A run that is asked to stop commits what it has at once.
    pub(crate) async fn admit(&self, size: Size, stop: &Stop) {
        let Some(shared) = &self.0 else { return };
        let _turn = shared.turn.lock().await;
        while !stop.is_asked() {
            let wish = shared.control.now();
            let wait = {
                let mut controller = shared.controller();
                controller.wish(wish);
                controller.ask(shared.now(), size)
            };
            let Some(wait) = wait else { return };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shared.control.differs(wish) => {}
                () = stop.clone().asked() => {}
            }
        }
    }

    /// When an append begins; see [`appended`](Self::appended).
    pub(crate) fn begin(&self) -> Option<Instant> {
        self.0.as_ref().map(|_| Instant::now())
    }

    /// Tells that an append has ended.
    pub(crate) fn appended(&self, begun: Option<Instant>, size: Size) {
        if let (Some(shared), Some(begun)) = (&self.0, begun) {
            shared.controller().appended(shared.now(), begun.elapsed(), size);
        }
    }

    /// Cuts batches so that transactions, which end with one, can be as small as they are to be.
    pub(crate) fn cut(&self, batches: EventStream) -> EventStream {
        if self.0.is_none() {
            return batches;
        }
        let throttle = self.clone();
        batches.flat_map(move |batch| stream::iter(throttle.pieces(batch))).boxed()
    }

    fn pieces(&self, batch: Result<Vec<Event>, StoreError>) -> Vec<Result<Vec<Event>, StoreError>> {
        let mut rest = match batch {
            Ok(batch) if !batch.is_empty() => batch,
            other => return vec![other],
        };
        let (most, bytes) = (self.transaction_events(NonZeroUsize::MAX).get(), self.transaction_bytes(usize::MAX));
        let mut pieces = Vec::new();
        loop {
            let mut size = 0_usize;
            let fits = |event: &&Event| {
                let is_first = size == 0;
                size = size.saturating_add(event.size());
                is_first || size <= bytes
            };
            let count = rest.iter().take(most).take_while(fits).count();
            let later = rest.split_off(count);
            pieces.push(Ok(rest));
            if later.is_empty() {
                return pieces;
            }
            rest = later;
        }
    }
}

impl Shared {
    fn now(&self) -> Moment {
        Moment { elapsed: self.begun.elapsed(), clock: Timestamp::now() }
    }

    fn controller(&self) -> MutexGuard<'_, Controller> {
        // What is in it are numbers, each sound by itself.
        self.controller.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn as_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
