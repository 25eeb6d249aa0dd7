//! What folds are written to: the contracts of read models and of snapshots.
//!
//! A **build** of a projection is one generation of its tables with the checkpoint up to which events are in them. A
//! projection has at most three: the **live** one, which readers see under the tables' own names; the **shadow**, which
//! is being made beside it; and the **previous** one, kept after a swap until it is dropped.

use std::fmt;

use async_trait::async_trait;
use eventlift_events::{EventId, Position, Revision, StoreError, StoreIdentity, StreamName, Timestamp};
use serde::{Deserialize, Serialize};

use crate::aggregate::Snapshot;
use crate::row::{Row, RowKey};
use crate::table::Table;

/// What a build was made of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// The key of the identity of the store that the events were read from.
    pub source: String,
    /// Fingerprint of everything that decides the rows: the projection, and the rules that events went through.
    pub fingerprint: String,
    /// The parts the fingerprint was made of, name and fingerprint each, so that a rebuild can say what changed.
    pub parts: Vec<(String, String)>,
}

/// A build, as the store records it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Build {
    /// Its number among the builds of its projection, from 1; never given twice.
    pub generation: u64,
    /// What it was made of.
    pub origin: Origin,
    /// Its tables, as the projection declares them.
    pub tables: Vec<Table>,
    /// The last event that is in it; none where there was no event.
    pub checkpoint: Option<Position>,
    /// How many events were read for it.
    pub events: u64,
    /// Whether it is whole: every row is loaded and every index built. Live and previous builds always are.
    pub is_complete: bool,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// When events were applied to it last.
    pub updated_at: Timestamp,
}

/// The builds of a projection that there are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Builds {
    /// What readers see.
    pub live: Option<Build>,
    /// What is being made.
    pub shadow: Option<Build>,
    /// What readers saw before the last swap.
    pub previous: Option<Build>,
}

/// One of a projection's builds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// What readers see.
    Live,
    /// What is being made.
    Shadow,
    /// What readers saw before the last swap.
    Previous,
}

impl Side {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Live, Self::Shadow, Self::Previous];

    /// How ledgers and messages call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Shadow => "shadow",
            Self::Previous => "previous",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Builds {
    /// The build of a side, if there is one.
    pub fn side(&self, side: Side) -> Option<&Build> {
        match side {
            Side::Live => self.live.as_ref(),
            Side::Shadow => self.shadow.as_ref(),
            Side::Previous => self.previous.as_ref(),
        }
    }
}

/// What becomes of a row.
#[derive(Clone, PartialEq, Debug)]
pub struct RowUpdate {
    /// The place of its table among the projection's.
    pub table: usize,
    /// Its key.
    pub key: RowKey,
    /// The row as it shall be, or none to delete it.
    pub row: Option<Row>,
}

/// A step of an incremental run: rows, and the checkpoint they bring the build to.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// The checkpoint that the build must have; the step fails where it has another, and nothing happens.
    pub from: Option<Position>,
    /// The checkpoint that it gets.
    pub to: Position,
    /// How many events were read for the step.
    pub events: u64,
    /// The rows, each key at most once.
    pub rows: Vec<RowUpdate>,
    /// Events that could not be folded.
    pub quarantined: Vec<Quarantined>,
}

/// An event that a fold could not take, or that waits behind one that it could not take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quarantined {
    /// The table and key of the row that is held since then; none where the event failed before its rows were known.
    pub held: Option<(usize, RowKey)>,
    /// The event.
    pub id: EventId,
    /// Its stream.
    pub stream: StreamName,
    /// Its revision.
    pub revision: Revision,
    /// Its position.
    pub position: Position,
    /// Why.
    pub reason: String,
}

/// One run of a rebuild, as the ledger keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RebuildRun {
    /// Its number, from 1; 0 to get the next one.
    pub number: u64,
    /// Which projection.
    pub projection: String,
    /// What was done.
    pub action: RebuildAction,
    /// Why: what was typed or what had changed.
    pub reason: String,
    /// The schedule that asked for it, and the time that was due; none where a person did.
    pub schedule: Option<(String, Timestamp)>,
    /// How it went.
    pub outcome: RebuildOutcome,
    /// When it was begun.
    pub begun_at: Timestamp,
    /// When it ended, or this record was written last.
    pub updated_at: Timestamp,
    /// How many events were read.
    pub events: u64,
    /// How many rows the tables had at the end, or were changed.
    pub rows: u64,
}

impl RebuildRun {
    /// Whether it has ended for this time of this schedule, so that nothing is left to do there: done, or failed.
    pub fn answers(&self, due: &(String, Timestamp)) -> bool {
        let has_ended = matches!(self.outcome, RebuildOutcome::Done | RebuildOutcome::Failed(_));
        has_ended && self.schedule.as_ref() == Some(due)
    }
}

/// What a run does to a projection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RebuildAction {
    /// Builds it anew from the first event.
    Rebuild,
    /// Applies what came since its checkpoint to the live build.
    Update,
    /// Swaps back to the previous build.
    Undo,
    /// Drops the previous build.
    DropOld,
}

/// How a run of a rebuild went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RebuildOutcome {
    /// It has not ended, or its process did before it could say so.
    Running,
    /// It is done.
    Done,
    /// It was asked to stop.
    Stopped,
    /// It failed; the text is the error.
    Failed(String),
}

/// Held by whoever builds a projection. Ends when it is dropped, and with its process.
pub trait Hold: Send + Sync + std::fmt::Debug {}

/// Keeps read models: tables that readers use while they are built again beside them.
///
/// Whatever is done here, a reader sees of every table either the live build's rows or, after a swap, the next live
/// build's; never a part of one, never none. Steps and swaps are transactions; when they return `Ok` they are durable,
/// when they return an error either all of it or nothing happened.
#[async_trait]
pub trait ReadModelStore: Send + Sync {
    /// Which store this is.
    fn identity(&self) -> &StoreIdentity;

    /// Takes a projection for its own, so that no other process builds it meanwhile. Fails with
    /// [`Locked`](eventlift_events::StoreErrorKind::Locked) where another one has it. All that changes a projection's
    /// builds is only called by the holder.
    async fn hold(&self, projection: &str) -> Result<Box<dyn Hold>, StoreError>;

    /// Whether somebody holds a projection now.
    async fn is_held(&self, projection: &str) -> Result<bool, StoreError>;

    /// The projections that it has builds of, in the order of their names.
    async fn projections(&self) -> Result<Vec<String>, StoreError>;

    /// The builds of a projection.
    async fn builds(&self, projection: &str) -> Result<Builds, StoreError>;

    /// Begins a shadow build with empty tables; one that is there is dropped first. Returns its record. Fails where
    /// one of the tables belongs to another projection, or is there and is nobody's.
    async fn begin(&self, projection: &str, origin: &Origin, tables: &[Table]) -> Result<Build, StoreError>;

    /// Adds rows to a table of the shadow build that is not complete. Over all calls they come in ascending order of
    /// their keys, each key once.
    async fn load(&self, projection: &str, table: usize, rows: Vec<Row>) -> Result<(), StoreError>;

    /// Ends the loading of the shadow build: builds its indexes and records its checkpoint and what was quarantined.
    /// Fails, and names the values, where a unique index would not be.
    async fn complete(
        &self,
        projection: &str,
        checkpoint: Option<Position>,
        events: u64,
        quarantined: &[Quarantined],
    ) -> Result<(), StoreError>;

    /// Takes a step on a complete build, in one transaction with its checkpoint.
    async fn step(&self, side: Side, projection: &str, step: &Step) -> Result<(), StoreError>;

    /// Rows of a build by their keys, in the order of the keys asked for.
    async fn rows(
        &self,
        side: Side,
        projection: &str,
        table: usize,
        keys: &[RowKey],
    ) -> Result<Vec<Option<Row>>, StoreError>;

    /// The rows of a complete build behind a key, in ascending order of their keys, at most `limit`.
    async fn scan(
        &self,
        side: Side,
        projection: &str,
        table: usize,
        after: Option<&RowKey>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;

    /// Makes the complete shadow builds of these projections the live ones, and the live ones the previous ones, all
    /// in one transaction; earlier previous ones are dropped.
    async fn swap(&self, projections: &[&str]) -> Result<(), StoreError>;

    /// Makes the previous builds of these projections the live ones, and the live ones the previous ones, all in one
    /// transaction. Fails where one of them has no previous build.
    async fn undo(&self, projections: &[&str]) -> Result<(), StoreError>;

    /// Drops the previous build of a projection. Returns whether there was one.
    async fn drop_previous(&self, projection: &str) -> Result<bool, StoreError>;

    /// Drops the shadow build of a projection, if there is one.
    async fn discard(&self, projection: &str) -> Result<(), StoreError>;

    /// What was quarantined in a build, in the order of the positions.
    async fn quarantined(&self, side: Side, projection: &str) -> Result<Vec<Quarantined>, StoreError>;

    /// Stores the record of a run in place of the one with the same number, or, where the number is 0, as a new one.
    /// Returns the number.
    async fn record_run(&self, run: &RebuildRun) -> Result<u64, StoreError>;

    /// The runs, in the order of their numbers.
    async fn runs(&self) -> Result<Vec<RebuildRun>, StoreError>;
}

/// Keeps snapshots, for services that load an aggregate and for rebuilds that make all of them anew.
#[async_trait]
pub trait SnapshotStore: Send + Sync {
    /// The snapshot of a stream's aggregate, if there is one.
    async fn snapshot(&self, aggregate: &str, stream: &StreamName) -> Result<Option<Snapshot>, StoreError>;

    /// Keeps a snapshot in place of an older one of the same stream; one of a later or the same revision and the same
    /// fingerprint stays. Fails where the aggregate has no live table of snapshots yet, or where that was made with
    /// another fingerprint than the snapshot.
    async fn save(&self, aggregate: &str, snapshot: &Snapshot) -> Result<(), StoreError>;
}

/// A store of read models that keeps snapshots as well, as one object for both.
pub trait ReadModels: ReadModelStore + SnapshotStore {}

impl<S: ReadModelStore + SnapshotStore> ReadModels for S {}
