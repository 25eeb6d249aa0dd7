//! Pure folds over events: projections into read models, aggregates and their snapshots.
//!
//! A [`Projection`] says which rows of its tables an event changes and how; an [`Aggregate`] folds a stream into one
//! state, and [`Snapshots`] makes a projection of it. [`Definitions`] reads both from TOML. Nothing here does I/O.
//!
//! ```
//! use eventlift_events::{EventType, SchemaVersion};
//! use eventlift_language::Reason;
//! use eventlift_projections::{
//!     Changes, ColumnType, EventView, Projection, Row, RowKey, Table, Understood, Value,
//! };
//!
//! /// How often each page was visited.
//! struct Visits(Understood, [Table; 1]);
//!
//! impl Projection for Visits {
//!     fn name(&self) -> &str {
//!         "visits"
//!     }
//!     fn fingerprint(&self) -> &str {
//!         "1"
//!     }
//!     fn understood(&self) -> &Understood {
//!         &self.0
//!     }
//!     fn tables(&self) -> &[Table] {
//!         &self.1
//!     }
//!     fn project(&self, event: &mut EventView<'_>, changes: &mut Changes) -> Result<(), Reason> {
//!         let page: String = event.read()?;
//!         changes.change(0, RowKey::text(&page), move |_, row| {
//!             let row = row.get_or_insert_with(|| Row([Value::text(page), Value::Integer(0)].into()));
//!             if let Value::Integer(visits) = &mut row.0[1] {
//!                 *visits += 1;
//!             }
//!             Ok(())
//!         });
//!         Ok(())
//!     }
//! }
//!
//! let table = Table::read_model("visits", [("page", ColumnType::Text), ("visits", ColumnType::Integer)]);
//! let understood = Understood::default().folding(EventType::new("PageVisited")?, SchemaVersion::FIRST);
//! let visits = Visits(understood, [table]);
//! # let event = eventlift_events::Event {
//! #     id: eventlift_events::EventId::text("1")?,
//! #     stream: eventlift_events::StreamName::new("site-1")?,
//! #     revision: eventlift_events::Revision(0),
//! #     position: eventlift_events::Position::new(1),
//! #     event_type: EventType::new("PageVisited")?,
//! #     version: SchemaVersion::FIRST,
//! #     data: eventlift_events::Payload::json("\"/\""),
//! #     metadata: eventlift_events::Payload::empty(),
//! #     recorded_at: eventlift_events::Timestamp::EPOCH,
//! #     attributes: eventlift_events::Bytes::new(),
//! # };
//! // `event` is a PageVisited of the page "/".
//! let (mut changes, mut row) = (Changes::new(), None);
//! visits.project(&mut EventView::new(&event), &mut changes)?;
//! for change in changes.drain() {
//!     change.make(&event, &mut row)?;
//! }
//! assert_eq!(row, Some(Row([Value::text("/"), Value::Integer(1)].into())));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The contracts of what is written to are [`ReadModelStore`] and [`SnapshotStore`]; [`MemoryReadModels`] keeps them in
//! memory, [`conformance`] tells whether another store keeps them, and [`faults`] lets one fail on cue.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod aggregate;
pub mod conformance;
mod definitions;
mod error;
pub mod faults;
mod memory;
mod path;
mod projection;
mod rollup;
mod row;
mod store;
mod table;
mod understood;
mod value;
mod view;

pub use aggregate::{Aggregate, Snapshot, Snapshots, snapshot_row};
pub use definitions::{DefinitionErrors, Definitions};
pub use error::FoldError;
pub use eventlift_language::{InvalidNumeric, Numeric};
pub use memory::MemoryReadModels;
pub use projection::{Change, Changes, Move, Projection, RowChange, Taken};
pub use rollup::Rollup;
pub use row::{Row, RowKey};
pub use store::{
    Build, Builds, Hold, Origin, Quarantined, ReadModelStore, ReadModels, RebuildAction, RebuildOutcome, RebuildRun,
    RowUpdate, Side, SnapshotStore, Step,
};
pub use table::{Column, Index, Table, TableKind, snapshot_columns};
pub use understood::{Concern, Understood};
pub use value::{ColumnType, KeptState, Value};
pub use view::EventView;
