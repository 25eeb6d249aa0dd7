//! What is handed from the map stage to the workers.

use std::sync::Arc;

use eventlift_events::{Event, Position};
use eventlift_projections::{Change, Quarantined, Taken};

use super::agreement::{Agreement, Joint};
use super::memory::Key;

/// A change of a row that waits to be made.
pub(super) struct Pending {
    /// The place of its event in the batch.
    pub(super) event: u32,
    /// Which of the changes that its projection makes for the event.
    pub(super) change_number: u32,
    pub(super) slot: usize,
    pub(super) key: Key,
    pub(super) change: Change,
    /// The key that the row gets, where it is moved.
    pub(super) moves: Option<Box<Moved>>,
}

/// Where a row goes.
pub(super) struct Moved {
    pub(super) to: Key,
    pub(super) taken: Taken,
}

/// An event that could not be folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The number of the event over all batches.
    pub(super) event: u64,
    pub(super) projection: usize,
    pub(super) quarantined: Quarantined,
}

/// How far the events are in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Checkpoint {
    /// The position of the last source event.
    pub(super) position: Position,
    /// How many events there were up to it.
    pub(super) events: u64,
}

/// A worker's part of a batch.
pub(super) struct Share {
    pub(super) events: Arc<Vec<Event>>,
    /// The number of the first event over all batches.
    pub(super) first: u64,
    /// How far the events are in when this batch is; none where an event in it stopped the fold.
    pub(super) end: Option<Checkpoint>,
    /// In the order of the events; those of one event to one row stand together.
    pub(super) changes: Vec<Pending>,
    /// Events that failed before their rows were known.
    pub(super) quarantined: Vec<Record>,
    /// Those that change several rows, in order, as far as such events may fail by themselves.
    pub(super) joints: Arc<Vec<Joint>>,
    /// Where some of these have rows of several workers.
    pub(super) agreement: Option<Arc<Agreement>>,
}

/// What a worker is told.
pub(super) enum Message {
    Batch(Share),
    /// Everything is in: hand over the rows.
    Finish,
    /// Put everything aside and end.
    Suspend,
}
