//! Lifts event stores to new schemas and new stores: exact, resumable, verified.
//!
//! A [`Registry`] holds the rules, proved to fit together: [`Upcaster`]s written in Rust, and [`Definitions`] written
//! in TOML. A [`Migration`] streams one store through them into another, exactly once; [`Registry::lift`] alone is
//! what a service needs that upcasts while it reads.
//!
//! ```
//! use std::sync::Arc;
//!
//! use eventlift::{
//!     Bytes, Event, EventId, EventReader, EventType, EventWriter, MemoryStore, Migration, MigrationOptions, Payload,
//!     Position, ReadRequest, Registry, Revision, SchemaVersion, Scope, StreamName, Timestamp, Upcaster,
//! };
//! use futures_util::TryStreamExt;
//!
//! #[derive(serde::Deserialize)]
//! struct UserCreatedV1 {
//!     first_name: String,
//!     last_name: String,
//! }
//!
//! #[derive(serde::Serialize)]
//! struct UserCreatedV2 {
//!     full_name: String,
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (old, new) = (MemoryStore::new(), MemoryStore::new());
//! # let created = Event {
//! #     id: EventId::text("cbe326da-5260-5f9d-88a8-a35a0b819073")?,
//! #     stream: StreamName::from_parts("user", "1")?,
//! #     revision: Revision(0),
//! #     position: Position::new(1),
//! #     event_type: EventType::new("UserCreated")?,
//! #     version: SchemaVersion::FIRST,
//! #     data: Payload::json(r#"{"first_name":"Ada","last_name":"Lovelace"}"#),
//! #     metadata: Payload::empty(),
//! #     recorded_at: Timestamp::now(),
//! #     attributes: Bytes::new(),
//! # };
//! # old.writer()?.append(&[created], None).await?;
//! let registry = Registry::builder()
//!     .current("UserCreated", 2)
//!     .upcaster(Upcaster::typed("UserCreated", 1, 2, "1", |old: UserCreatedV1| {
//!         Ok(UserCreatedV2 { full_name: format!("{} {}", old.first_name, old.last_name) })
//!     }))
//!     .build()?;
//!
//! // `old` and `new` are stores that hold a UserCreated 1, and nothing.
//! let (source, target) = (Arc::new(old.reader()), Box::new(new.writer()?));
//! let outcome = Migration::new(source, target, Arc::new(registry), MigrationOptions::default()).run().await?;
//! assert_eq!((outcome.counts.read, outcome.counts.lifted), (1, 1));
//!
//! let events: Vec<Vec<Event>> = new.reader().read(ReadRequest::new(Scope::All)).try_collect().await?;
//! assert_eq!(events[0][0].data, Payload::json(r#"{"full_name":"Ada Lovelace"}"#));
//! # Ok(())
//! # }
//! ```
//!
//! The other half folds events: a [`Projection`] into the rows of read models, an [`Aggregate`] into a state per stream.
//! A [`Rebuild`] builds both anew beside the live ones, in one pass over the store, and swaps them in, or brings them up
//! to date; a [`Rebuilder`] is what a service needs that loads its aggregates. Both lift events on the way. See
//! [`rebuild`](mod@rebuild).
//!
//! Stores are CloudEvents files, SQLite and PostgreSQL ([`stores`]), each behind a feature of its name; whatever passes the
//! conformance suites in [`events`] and [`projections`] works as well. A source in PostgreSQL may be written to while it
//! is migrated, and [followed](Migration::follow) afterwards.
//!
//! The crate's root has the names that most programs need. Everything is in its module: [`events`] (the vocabulary
//! and the contract of stores), [`transformers`] (rules, pure and synchronous), [`projections`] (folds, likewise, and their definition files), [`stores`],
//! [`pipeline`] (migrating, surveying, verifying), [`rebuild`](mod@rebuild) and `config` (projects).

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(any(feature = "sqlite", feature = "file"))]
pub mod checks;
#[cfg(feature = "cli")]
pub mod commands;
#[cfg(any(feature = "sqlite", feature = "file"))]
pub mod config;
pub mod cutover;
pub mod gate;
pub mod ledger;
pub mod pipeline;
pub mod rebuild;
pub mod serve;
pub mod stores;

pub use eventlift_events as events;
pub use eventlift_language::show_values;
pub use eventlift_projections as projections;
pub use eventlift_transformers as transformers;

pub use eventlift_events::{
    Bytes, Event, EventId, EventReader, EventType, EventWriter, MemoryStore, Payload, Position, ReadRequest, Revision,
    SchemaVersion, Scope, StoreError, StreamName, Timestamp,
};
pub use eventlift_projections::{
    Aggregate, Changes, ColumnType, EventView, MemoryReadModels, Projection, ReadModelStore, Row, RowKey, Side,
    Snapshot, SnapshotStore, Snapshots, Table, Understood, Value,
};
pub use eventlift_transformers::{
    Definitions, Keys, Lift, Reason, Registry, RegistryBuilder, Rule, StatefulTransformer, TransformError, Transformer,
    Upcaster,
};

#[cfg(any(feature = "sqlite", feature = "file"))]
pub use config::Project;
pub use pipeline::{Migration, MigrationOptions, PipelineError, verify};
pub use rebuild::{Feed, FoldOptions, Rebuild, RebuildError, Rebuilder, Rebuilt, Wanted};
