//! Whether a store can hold an event, asked before anything is written to it.

use crate::checkpoint::EventOrigin;
use crate::error::StoreError;
use crate::event::Event;

/// Says of single events whether a store can hold them, without the store being opened for writing.
///
/// It knows what the store's writer knows by itself, and nothing of what the store holds: names that are too long,
/// numbers past a column's range, payloads that a column does not take. A writer refuses by the same code, so that what
/// passes here is not refused there.
pub trait Fitness: Send {
    /// Fails as an append of the event would: with [`Unsupported`](crate::StoreErrorKind::Unsupported), and the event's
    /// place. `origin` is where the event came from.
    fn check(&mut self, event: &Event, origin: Option<&EventOrigin>) -> Result<(), StoreError>;
}
