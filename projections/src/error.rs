//! What can go wrong with a fold.

use eventlift_events::{Event, EventId, EventType, Position, Revision, SchemaVersion, StreamName};
use eventlift_language::Reason;

/// A projection or aggregate could not take an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to fold event {id} ({event_type} version {version}, stream {stream}, revision {revision}) into {projection}: {reason}"
)]
pub struct FoldError {
    /// The projection's name.
    pub projection: String,
    /// The event.
    pub id: EventId,
    /// Its stream.
    pub stream: StreamName,
    /// Its revision.
    pub revision: Revision,
    /// Its position.
    pub position: Position,
    /// Its type.
    pub event_type: EventType,
    /// Its version.
    pub version: SchemaVersion,
    /// Why.
    pub reason: Reason,
}

impl FoldError {
    /// The error of a projection on an event.
    pub fn new(projection: &str, event: &Event, reason: Reason) -> Self {
        // A copy of its own: a slice would keep the whole batch's buffer.
        let event = event.detached();
        Self {
            projection: projection.to_owned(),
            id: event.id,
            stream: event.stream,
            revision: event.revision,
            position: event.position,
            event_type: event.event_type,
            version: event.version,
            reason,
        }
    }
}
