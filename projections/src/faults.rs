//! Read models that fail on cue: [`FaultyReadModels`] wraps a store and follows a [`Script`] of [`ReadModelCall`]s.

use async_trait::async_trait;
use eventlift_events::faults::{Cue, InjectedFault, Script};
use eventlift_events::{Position, StoreError, StoreIdentity};

use crate::row::{Row, RowKey};
use crate::store::{Build, Builds, Hold, Origin, Quarantined, ReadModelStore, RebuildRun, Side, Step};
use crate::table::Table;

/// What can fail: the calls of a [`ReadModelStore`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ReadModelCall {
    /// [`ReadModelStore::hold`].
    Hold,
    /// [`ReadModelStore::is_held`].
    IsHeld,
    /// [`ReadModelStore::projections`].
    Projections,
    /// [`ReadModelStore::builds`].
    Builds,
    /// [`ReadModelStore::begin`].
    Begin,
    /// [`ReadModelStore::load`].
    Load,
    /// [`ReadModelStore::complete`].
    Complete,
    /// [`ReadModelStore::step`].
    Step,
    /// [`ReadModelStore::rows`].
    Rows,
    /// [`ReadModelStore::scan`].
    Scan,
    /// [`ReadModelStore::swap`].
    Swap,
    /// [`ReadModelStore::undo`].
    Undo,
    /// [`ReadModelStore::drop_previous`].
    DropPrevious,
    /// [`ReadModelStore::discard`].
    Discard,
    /// [`ReadModelStore::quarantined`].
    Quarantined,
    /// [`ReadModelStore::record_run`].
    RecordRun,
    /// [`ReadModelStore::runs`].
    Runs,
}

impl ReadModelCall {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Hold,
        Self::IsHeld,
        Self::Projections,
        Self::Builds,
        Self::Begin,
        Self::Load,
        Self::Complete,
        Self::Step,
        Self::Rows,
        Self::Scan,
        Self::Swap,
        Self::Undo,
        Self::DropPrevious,
        Self::Discard,
        Self::Quarantined,
        Self::RecordRun,
        Self::Runs,
    ];
}

impl Cue for ReadModelCall {
    fn action(self) -> &'static str {
        match self {
            Self::Hold => "hold a projection in",
            Self::IsHeld => "look at the holders of",
            Self::Projections => "read",
            Self::Builds => "read the builds of",
            Self::Begin => "begin a build in",
            Self::Load => "load rows into",
            Self::Complete => "complete a build in",
            Self::Step => "update",
            Self::Rows => "read rows of",
            Self::Scan => "scan",
            Self::Swap => "swap builds in",
            Self::Undo => "swap back in",
            Self::DropPrevious => "drop an old build in",
            Self::Discard => "drop a shadow build in",
            Self::Quarantined => "read the quarantine of",
            Self::RecordRun => "record a run in",
            Self::Runs => "read the runs of",
        }
    }
}

/// Read models that fail as their script says, and are the wrapped ones otherwise. A hold that was taken by a call that
/// then failed is let go.
#[derive(Clone, Debug)]
pub struct FaultyReadModels<S> {
    inner: S,
    script: Script<ReadModelCall>,
}

impl<S> FaultyReadModels<S> {
    /// Lets read models follow a script.
    pub fn new(inner: S, script: Script<ReadModelCall>) -> Self {
        Self { inner, script }
    }

    /// The read models without the script.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S: ReadModelStore> FaultyReadModels<S> {
    async fn call<T>(
        &self,
        call: ReadModelCall,
        done: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let injected = self.script.before(call, self.inner.identity()).await?;
        let answer = done.await?;
        InjectedFault::after(injected, self.inner.identity(), answer)
    }
}

#[async_trait]
impl<S: ReadModelStore> ReadModelStore for FaultyReadModels<S> {
    fn identity(&self) -> &StoreIdentity {
        self.inner.identity()
    }

    async fn hold(&self, projection: &str) -> Result<Box<dyn Hold>, StoreError> {
        self.call(ReadModelCall::Hold, self.inner.hold(projection)).await
    }

    async fn is_held(&self, projection: &str) -> Result<bool, StoreError> {
        self.call(ReadModelCall::IsHeld, self.inner.is_held(projection)).await
    }

    async fn projections(&self) -> Result<Vec<String>, StoreError> {
        self.call(ReadModelCall::Projections, self.inner.projections()).await
    }

    async fn builds(&self, projection: &str) -> Result<Builds, StoreError> {
        self.call(ReadModelCall::Builds, self.inner.builds(projection)).await
    }

    async fn begin(&self, projection: &str, origin: &Origin, tables: &[Table]) -> Result<Build, StoreError> {
        self.call(ReadModelCall::Begin, self.inner.begin(projection, origin, tables)).await
    }

    async fn load(&self, projection: &str, table: usize, rows: Vec<Row>) -> Result<(), StoreError> {
        self.call(ReadModelCall::Load, self.inner.load(projection, table, rows)).await
    }

    async fn complete(
        &self,
        projection: &str,
        checkpoint: Option<Position>,
        events: u64,
        quarantined: &[Quarantined],
    ) -> Result<(), StoreError> {
        self.call(ReadModelCall::Complete, self.inner.complete(projection, checkpoint, events, quarantined)).await
    }

    async fn step(&self, side: Side, projection: &str, step: &Step) -> Result<(), StoreError> {
        self.call(ReadModelCall::Step, self.inner.step(side, projection, step)).await
    }

    async fn rows(
        &self,
        side: Side,
        projection: &str,
        table: usize,
        keys: &[RowKey],
    ) -> Result<Vec<Option<Row>>, StoreError> {
        self.call(ReadModelCall::Rows, self.inner.rows(side, projection, table, keys)).await
    }

    async fn scan(
        &self,
        side: Side,
        projection: &str,
        table: usize,
        after: Option<&RowKey>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.call(ReadModelCall::Scan, self.inner.scan(side, projection, table, after, limit)).await
    }

    async fn swap(&self, projections: &[&str]) -> Result<(), StoreError> {
        self.call(ReadModelCall::Swap, self.inner.swap(projections)).await
    }

    async fn undo(&self, projections: &[&str]) -> Result<(), StoreError> {
        self.call(ReadModelCall::Undo, self.inner.undo(projections)).await
    }

    async fn drop_previous(&self, projection: &str) -> Result<bool, StoreError> {
        self.call(ReadModelCall::DropPrevious, self.inner.drop_previous(projection)).await
    }

    async fn discard(&self, projection: &str) -> Result<(), StoreError> {
        self.call(ReadModelCall::Discard, self.inner.discard(projection)).await
    }

    async fn quarantined(&self, side: Side, projection: &str) -> Result<Vec<Quarantined>, StoreError> {
        self.call(ReadModelCall::Quarantined, self.inner.quarantined(side, projection)).await
    }

    async fn record_run(&self, run: &RebuildRun) -> Result<u64, StoreError> {
        self.call(ReadModelCall::RecordRun, self.inner.record_run(run)).await
    }

    async fn runs(&self) -> Result<Vec<RebuildRun>, StoreError> {
        self.call(ReadModelCall::Runs, self.inner.runs()).await
    }
}
