//! Verification that grows with a run: both sides are read up to a checkpoint, and later on from there, so that at a
//! cut-over only what came last is left to be read.

use std::sync::Arc;

use eventlift_events::{Checkpoint, EventReader, Position, ReadRequest, RunId, Scope};
use eventlift_transformers::Registry;
use futures_util::future::try_join;
use futures_util::stream::StreamExt;

use super::error::{PipelineError, Refusal};
use super::expected::without;
use super::migration::MigrationOptions;
use super::quarantine::Apart;
use super::sequence::Sequencer;
use super::stop::Stop;
use super::transform::lift_batches;
use super::verify::{Buckets, ByValue, VerifyProgress, comparable};
use crate::ledger::LedgerDatabase;

/// What was compared of both sides so far. Memory is bounded; what the stages remember is kept in a temporary file.
pub struct GrowingVerification {
    expected: ExpectedSide,
    found: FoundSide,
    by_value: Vec<ByValue>,
    stop: Stop,
}

struct ExpectedSide {
    source: Arc<dyn EventReader>,
    registry: Arc<Registry>,
    options: MigrationOptions,
    apart: Arc<Apart>,
    ledger: LedgerDatabase,
    sequencer: Sequencer,
    buckets: Buckets,
    read: u64,
}

struct FoundSide {
    target: Arc<dyn EventReader>,
    buckets: Buckets,
    after: Option<Position>,
    read: u64,
}

impl GrowingVerification {
    /// Nothing is compared yet. `apart`: what the target lacks by intention. Fails where the two can't be compared, as [`verify`](super::verify::verify()) does.
    pub async fn new(
        source: Arc<dyn EventReader>,
        target: Arc<dyn EventReader>,
        registry: Arc<Registry>,
        options: MigrationOptions,
        apart: Arc<Apart>,
        stop: Stop,
    ) -> Result<Self, PipelineError> {
        let (carried, by_value) = comparable(&*source, &*target)?;
        if !carried.positions {
            let problem = format!("{} keeps no positions to compare events by as they come", target.identity());
            return Err(Refusal::Unfit(problem).into());
        }
        let carried = carried.with_positions(!apart.has_moved_positions());
        let ledger = LedgerDatabase::temporary().map_err(PipelineError::Source)?;
        let sequencer = Sequencer::resume(Arc::clone(&registry), RunId::random(), None, &ledger).await?;
        let sequencer = sequencer.closing_gaps(options.closes_gaps()).holding(apart.holding());
        let expected = ExpectedSide {
            source,
            registry,
            options,
            apart,
            ledger,
            sequencer,
            buckets: Buckets::new(carried),
            read: 0,
        };
        let found = FoundSide { target, buckets: Buckets::new(carried), after: None, read: 0 };
        Ok(Self { expected, found, by_value, stop })
    }

    /// Reads both sides on, up to a checkpoint of the run.
    pub async fn advance(&mut self, until: Checkpoint) -> Result<(), PipelineError> {
        let Self { expected, found, stop, .. } = self;
        try_join(expected.advance(until.source, stop.clone()), found.advance(until.target)).await.map(|_| ())
    }

    /// The same where all windows of merges were closed at the end of the source, up to the last event of the target.
    pub async fn close_windows(&mut self, target: Option<Position>) -> Result<(), PipelineError> {
        self.expected.close_windows().await?;
        self.found.advance(target).await
    }

    /// How many events were compared.
    pub fn compared(&self) -> VerifyProgress {
        VerifyProgress { expected: self.expected.read, found: self.found.read }
    }

    /// What was compared by value, and not to the byte.
    pub fn by_value(&self) -> &[ByValue] {
        &self.by_value
    }

    /// How many buckets of streams differ; none where both sides are the same.
    pub fn differing_buckets(&self) -> usize {
        self.expected.buckets.differing(&self.found.buckets).len()
    }
}

impl ExpectedSide {
    async fn advance(&mut self, until: Position, stop: Stop) -> Result<(), PipelineError> {
        if self.sequencer.source().is_some_and(|source| source >= until) {
            return Ok(());
        }
        let request = ReadRequest::new(self.options.scope.clone())
            .after(self.sequencer.source())
            .until(Some(until))
            .batch_events(self.options.batch_events);
        let (origins, workers) = (self.sequencer.origins(), self.options.workers.get());
        let registry = Arc::clone(&self.registry);
        let batches = without(self.source.read(request), Arc::clone(&self.apart));
        let mut batches = lift_batches(batches, registry, self.options.policies, origins, workers, stop);
        while let Some(batch) = batches.next().await {
            let mut events = Vec::new();
            let failed = self.sequencer.number(batch?, &self.ledger, None, &mut events).await?;
            if let Some(progress) = self.sequencer.progress() {
                self.ledger.commit(&progress).map_err(PipelineError::Source)?;
                self.sequencer.committed(&progress);
            }
            self.read += self.buckets.add(&events);
            if let Some(error) = failed {
                return Err(error);
            }
        }
        Ok(())
    }
}

impl ExpectedSide {
    async fn close_windows(&mut self) -> Result<(), PipelineError> {
        let mut after = None;
        loop {
            let mut events = Vec::new();
            after = self.sequencer.close_windows(true, after.as_deref(), &self.ledger, &mut events).await?;
            if let Some(progress) = self.sequencer.progress() {
                self.ledger.commit(&progress).map_err(PipelineError::Source)?;
                self.sequencer.committed(&progress);
            }
            self.read += self.buckets.add(&events);
            if after.is_none() {
                return Ok(());
            }
        }
    }
}

impl FoundSide {
    async fn advance(&mut self, until: Option<Position>) -> Result<(), PipelineError> {
        if until.is_none() || self.after >= until {
            return Ok(());
        }
        let mut batches = self.target.read(ReadRequest::new(Scope::All).after(self.after).until(until));
        while let Some(batch) = batches.next().await {
            self.read += self.buckets.add(&batch.map_err(PipelineError::Target)?);
        }
        self.after = until;
        Ok(())
    }
}
