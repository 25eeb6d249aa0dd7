//! The vocabulary of event stores, and the contract a store keeps.
//!
//! An [`Event`] has an id, a stream and revision, a position, a type and schema version, data and metadata. A store
//! is read through [`EventReader`] and appended to through [`EventWriter`], which also remembers runs
//! ([`CheckpointStore`]). Nothing here does I/O.
//!
//! Three things come with the contract: [`MemoryStore`], the store that keeps it in memory; [`conformance`], the suite
//! that tells whether another store keeps it; and [`faults`], which makes any store fail on cue.
//!
//! ```
//! use eventlift_events::{
//!     Bytes, Event, EventId, EventReader, EventType, EventWriter, MemoryStore, Payload, Position, ReadRequest, Revision,
//!     SchemaVersion, Scope, StreamName, Timestamp,
//! };
//! use futures_util::TryStreamExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let placed = Event {
//!     id: EventId::text("cbe326da-5260-5f9d-88a8-a35a0b819073")?,
//!     stream: StreamName::from_parts("order", "1")?,
//!     revision: Revision(0),
//!     position: Position::new(1),
//!     event_type: EventType::new("OrderPlaced")?,
//!     version: SchemaVersion::FIRST,
//!     data: Payload::json(r#"{"total": 10.10}"#),
//!     metadata: Payload::empty(),
//!     recorded_at: "2024-05-01T12:00:00Z".parse::<Timestamp>()?,
//!     attributes: Bytes::new(),
//! };
//!
//! let store = MemoryStore::new();
//! let mut writer = store.writer()?;
//! writer.append(&[placed.clone()], None).await?;
//! // The load is over: from here on every append is checked at once.
//! writer.seal(true).await?;
//!
//! // A repeated append changes nothing; another event at a revision that is taken is refused.
//! writer.append(&[placed.clone()], None).await?;
//! let other = Event { id: EventId::text("another")?, ..placed.clone() };
//! assert!(writer.append(&[other], None).await.is_err());
//!
//! let orders = ReadRequest::new(Scope::Category("order".to_owned()));
//! let batches: Vec<Vec<Event>> = store.reader().read(orders).try_collect().await?;
//! assert_eq!(batches.concat(), [placed]);
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod boxed;
mod checkpoint;
pub mod conformance;
mod error;
mod event;
pub mod faults;
mod fence;
mod fitness;
mod memory;
mod payload;
mod position;
mod rewriting;
mod scope;
mod store;
mod stream;
mod timestamp;

pub use bytes::Bytes;
pub use bytestring::ByteString;

pub use checkpoint::{
    AppliedRule, Checkpoint, Counts, EventOrigin, LateEvents, LatePosition, LoadRange, NoteChange, PositionRange,
    Progress, RunDetails, RunId, RunRecord, RunSession, RunState, StateChange, StateKey, SupersededRule,
    UnknownRunState,
};
pub use error::{StoreError, StoreErrorKind};
pub use event::{Event, EventId, EventType, SchemaVersion};
pub use fence::{Fence, FenceNotice};
pub use fitness::Fitness;
pub use memory::{MemoryLimits, MemoryReader, MemoryStore, MemoryWriter};
pub use payload::{ContentType, Payload};
pub use position::{InvalidPosition, Position};
pub use rewriting::{EventRewriter, Original, Rewritten, Undone};
pub use scope::Scope;
pub use store::{
    Capabilities, Census, CheckpointStore, EventReader, EventStream, EventWriter, Guarantees, LeftOut, Needed,
    NeededPart, RangeWriter, ReadRequest, StoreIdentity, Tally,
};
pub use stream::{InvalidName, Revision, StreamName};
pub use timestamp::{InvalidTimestamp, Timestamp};
