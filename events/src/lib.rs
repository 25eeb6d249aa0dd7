//! The vocabulary of event stores, and the contract a store keeps.
//!
//! An [`Event`] has an id, a stream and revision, a position, a type and schema version, data and metadata. A store
//! is read through [`EventReader`] and appended to through [`EventWriter`], which also remembers runs
//! ([`CheckpointStore`]). Nothing here does I/O.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod boxed;
mod checkpoint;
pub mod conformance;
mod error;
mod event;
pub mod faults;
mod memory;
mod payload;
mod position;
mod scope;
mod store;
mod stream;

pub use bytes::Bytes;
pub use bytestring::ByteString;

pub use checkpoint::{
    Checkpoint, Counts, PositionRange, Progress, RunId, RunRecord, RunState, StateChange, StateKey, UnknownRunState,
};
pub use error::{StoreError, StoreErrorKind};
pub use event::{Event, EventId, EventType, InvalidTimestamp, SchemaVersion, Timestamp};
pub use memory::{MemoryLimits, MemoryReader, MemoryStore, MemoryWriter};
pub use payload::{ContentType, Payload};
pub use position::{InvalidPosition, Position};
pub use scope::Scope;
pub use store::{
    Capabilities, Census, CheckpointStore, EventReader, EventStream, EventWriter, Guarantees, ReadRequest,
    StoreIdentity, Tally,
};
pub use stream::{InvalidName, Revision, StreamName};
