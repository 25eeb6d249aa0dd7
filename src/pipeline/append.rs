//! The append stage: gathers events into transactions, and finds out what happened when an append has no answer.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use eventlift_events::{Event, EventWriter, Position, Progress, StoreError, StoreErrorKind};

use super::error::PipelineError;
use super::retry::Backoff;
use super::throttle::{Size, Throttle};
use super::transform::LiftedBatch;

/// A transaction ends with the batch that brings it to this many bytes, so that memory is bounded.
pub(super) const BYTES: usize = 8 << 20;
/// How often an append is tried again after an error of the store's own that may pass.
pub(super) const RETRIES: u32 = 3;

/// Events on their way into one transaction.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) events: Vec<Event>,
    /// How many of the events `bytes` counts already.
    weighed: usize,
    bytes: usize,
    /// Events of the source that were read for this transaction, and their bytes: what becomes of them may be nothing,
    /// but it is remembered, and what is left of a batch holds all of its memory.
    read: u64,
    read_bytes: usize,
}

impl Gathered {
    /// Counts a batch that is about to be numbered.
    pub(super) fn count(&mut self, batch: &LiftedBatch) {
        self.read += batch.read;
        self.read_bytes += batch.read_bytes;
    }

    /// Whether it is time to append.
    pub(super) fn is_full(&mut self, transaction_events: NonZeroUsize, throttle: &Throttle) -> bool {
        let Size { events, bytes } = self.size();
        events >= throttle.transaction_events(transaction_events).get() as u64
            || bytes >= throttle.transaction_bytes(BYTES) as u64
    }

    /// How large the transaction is.
    pub(super) fn size(&mut self) -> Size {
        self.bytes += self.events[self.weighed..].iter().map(Event::size).sum::<usize>();
        self.weighed = self.events.len();
        let events = self.read.max(self.events.len() as u64);
        Size { events, bytes: self.bytes.max(self.read_bytes) as u64 }
    }

    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.weighed = 0;
        self.bytes = 0;
        self.read = 0;
        self.read_bytes = 0;
    }
}

/// Hears of events that are in the target: what is folded in the same pass.
#[async_trait]
pub trait Appended: Send {
    /// Takes the events that were just appended, in order; `until` is the position of the last. Every event comes
    /// once. The migration waits for it, and goes on whatever comes of it.
    async fn appended(&mut self, events: Vec<Event>, until: Position);
}

/// Appends events with their progress, exactly once. After an error, the committed checkpoint tells whether the
/// append happened all the same; if not, errors of the store's own are tried again a few times. One that can't be reached
/// has to be opened again first, which [`go_on`](super::retry::go_on) is for.
pub(super) async fn append_once(
    writer: &mut dyn EventWriter,
    events: &[Event],
    progress: &Progress,
) -> Result<(), StoreError> {
    let mut backoff = Backoff::default();
    let mut tries = 0;
    loop {
        let Err(error) = writer.append(events, Some(progress)).await else { return Ok(()) };
        if writer.checkpoint(progress.run).await.is_ok_and(|committed| committed == Some(progress.checkpoint)) {
            return Ok(());
        }
        tries += 1;
        if tries > RETRIES || !matches!(error.kind, StoreErrorKind::Backend(_)) {
            return Err(error);
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}

/// Fails where an event has attributes and the target has no place for them.
pub(super) fn refuse_attributes(keeps_attributes: bool, events: &[Event]) -> Result<(), PipelineError> {
    let lost = events.iter().find(|event| !keeps_attributes && !event.attributes.is_empty());
    lost.map_or(Ok(()), |event| {
        let attributes = String::from_utf8_lossy(&event.attributes).into_owned();
        Err(PipelineError::Attributes { id: Box::new(event.id.clone()), attributes })
    })
}
