//! The contract of a store whose events can be rewritten where they are, with a log that takes them back.

use std::num::NonZeroUsize;

use async_trait::async_trait;

use crate::checkpoint::{Progress, RunId};
use crate::error::StoreError;
use crate::event::{Event, EventId, EventType, SchemaVersion};
use crate::payload::Payload;
use crate::position::Position;
use crate::store::EventWriter;

/// An event that becomes another one in its place: type, schema version, data and metadata may differ, and nothing else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rewritten {
    /// The event as it was read.
    pub before: Event,
    /// What it is to be.
    pub after: Event,
}

/// What the undo log keeps of an event that was rewritten: everything that may have changed, as it was before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Original {
    /// Where the event is.
    pub position: Position,
    /// Its id.
    pub id: EventId,
    /// The type that it had.
    pub event_type: EventType,
    /// The schema version that it had.
    pub version: SchemaVersion,
    /// The data that it had.
    pub data: Payload,
    /// The metadata that it had.
    pub metadata: Payload,
}

/// A batch of an undo.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Undone {
    /// How many events are again what they were.
    pub restored: u64,
    /// Events that are not what the run made of them any more, or are gone: position and id, the latest first. They were
    /// left as they are, and so was the log of them.
    pub kept: Vec<(Position, EventId)>,
    /// Where to go on: with what lies before this position. None at the end of the log.
    pub next: Option<Position>,
}

impl Original {
    /// What is kept of an event.
    pub fn of(event: &Event) -> Self {
        Self {
            position: event.position,
            id: event.id.clone(),
            event_type: event.event_type.clone(),
            version: event.version,
            data: event.data.clone(),
            metadata: event.metadata.clone(),
        }
    }

    /// The event as it was, from what has become of it.
    pub fn put_back(&self, event: &Event) -> Event {
        Event {
            event_type: self.event_type.clone(),
            version: self.version,
            data: self.data.clone(),
            metadata: self.metadata.clone(),
            ..event.clone()
        }
    }
}

/// Rewrites events of a sealed store where they are, and takes that back.
///
/// What is rewritten goes into an undo log, in the transaction that rewrites it. The log is kept for each run, until it is
/// undone or dropped. Others may append at the same time, and change events; what they have changed is never overwritten.
#[async_trait]
pub trait EventRewriter: EventWriter {
    /// Fails where events can't be rewritten here, as far as that can be told before: a store that is loading, a layout
    /// or a missing right that forbids it. Changes no event.
    async fn check_rewritable(&mut self) -> Result<(), StoreError>;

    /// Rewrites events, with the progress of the run, in one transaction: all or nothing. Positions ascend, and are behind
    /// all that the run has rewritten.
    ///
    /// An event that is not what `before` says is a conflict ([`Changed`](crate::StoreErrorKind::Changed)), and nothing is
    /// kept then. When it returns `Ok`, everything is durable; after an error
    /// [`checkpoint`](crate::CheckpointStore::checkpoint) tells whether it is.
    async fn rewrite(&mut self, changes: &[Rewritten], progress: &Progress) -> Result<(), StoreError>;

    /// What a run's undo log holds behind a position, in the order of positions, at most `limit`.
    async fn originals(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: NonZeroUsize,
    ) -> Result<Vec<Original>, StoreError>;

    /// Takes back what a run has rewritten, the latest first: of the log before a position, or from its end where it is
    /// none, at most `limit` events, in one transaction. What was taken back is struck from the log. Repeatable.
    async fn undo(&mut self, run: RunId, before: Option<Position>, limit: NonZeroUsize) -> Result<Undone, StoreError>;

    /// Drops a run's undo log, so that it can't be taken back any more; yields how many events it held. Repeatable.
    async fn drop_originals(&mut self, run: RunId) -> Result<u64, StoreError>;
}
