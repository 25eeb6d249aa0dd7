//! Pure folds over events: projections into read models, aggregates and their snapshots.
//!
//! A [`Projection`] says which rows of its tables an event changes and how; an [`Aggregate`] folds a stream into one
//! state, and [`Snapshots`] makes a projection of it. [`Definitions`] reads both from TOML. Nothing here does I/O.
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
mod numeric;
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
pub use memory::MemoryReadModels;
pub use numeric::{InvalidNumeric, Numeric};
pub use projection::{Change, Changes, Projection, RowChange};
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
