//! A migration: the run's record, the stages wired together, and the way it ends.

use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};

use eventlift_events::{
    Checkpoint, Counts, EventReader, EventWriter, Position, ReadRequest, RunId, RunRecord, RunState, Scope, Timestamp,
};
use eventlift_transformers::{Registry, Shape};
use futures_util::StreamExt;
use tokio::sync::watch;

use super::append::{Appended, Gathered, append_once};
use super::error::{PipelineError, Refusal};
use super::fingerprint::Fingerprint;
use super::policy::{Policies, Revisions};
use super::progress::Progress;
use super::sequence::Sequencer;
use super::stop::Stop;
use super::transform::lift_batches;

/// What decides the result of a migration beside the transformers, and how it is run.
#[derive(Clone, Debug)]
pub struct MigrationOptions {
    /// Which events.
    pub scope: Scope,
    /// What is allowed in the source.
    pub policies: Policies,
    /// Batches that are transformed at the same time, 256 at most. Never changes the result.
    pub workers: NonZeroUsize,
    /// Events a batch. Never changes the result.
    pub batch_events: NonZeroUsize,
    /// A transaction ends with the batch that brings it to this many events, read or written, or to 8 MiB of them.
    /// Never changes the result.
    pub transaction_events: NonZeroUsize,
    /// Go on although the transformers, the policies or the source are not those the run was started with.
    pub accept_changes: bool,
}

impl Default for MigrationOptions {
    fn default() -> Self {
        const BATCH: NonZeroUsize = NonZeroUsize::new(1_000).unwrap(); // not zero, which the compiler checks
        const TRANSACTION: NonZeroUsize = NonZeroUsize::new(10_000).unwrap(); // not zero, which the compiler checks
        Self {
            scope: Scope::All,
            policies: Policies::default(),
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            batch_events: BATCH,
            transaction_events: TRANSACTION,
            accept_changes: false,
        }
    }
}

/// How a migration ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The run.
    pub run: RunId,
    /// Whether everything is in and checked; false if it was asked to stop before.
    pub done: bool,
    /// Whether the run had been started before.
    pub resumed: bool,
    /// What was done, from the run's first start.
    pub counts: Counts,
    /// The last source position that is done.
    pub source: Option<Position>,
}

/// Streams a source through transformers into a target, exactly once.
///
/// The target keeps the run's record and its checkpoint, so that a run that ended anywhere goes on from there when it
/// is started again with the same source, target and transformers. A run that is done goes on with what the source
/// has got since.
pub struct Migration {
    source: Arc<dyn EventReader>,
    target: Box<dyn EventWriter>,
    registry: Arc<Registry>,
    options: MigrationOptions,
    stop: Stop,
    progress: watch::Sender<Progress>,
    /// Set once the source was seen to hold the event that the run ended at.
    found_end: OnceLock<()>,
}

/// The run to go on with.
struct Opened {
    record: RunRecord,
    checkpoint: Option<Checkpoint>,
    resumed: bool,
}

impl Migration {
    /// A migration that nothing can stop.
    pub fn new(
        source: Arc<dyn EventReader>,
        target: Box<dyn EventWriter>,
        registry: Arc<Registry>,
        options: MigrationOptions,
    ) -> Self {
        let progress = watch::Sender::new(Progress::START);
        Self { source, target, registry, options, stop: Stop::never(), progress, found_end: OnceLock::new() }
    }

    /// The same, listening to a request to stop.
    pub fn stop_on(self, stop: Stop) -> Self {
        Self { stop, ..self }
    }

    /// What the run has committed, now and from now on.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The checkpoint that the run would go on from, or none where it would start. Fails where it would be refused;
    /// changes nothing.
    pub async fn starting_point(&self) -> Result<Option<Checkpoint>, PipelineError> {
        self.open().await.map(|opened| opened.checkpoint)
    }

    /// Runs until everything is in, or until it is asked to stop.
    ///
    /// When a rule fails on an event or nothing covers it, everything before the event is committed; so is everything
    /// that was read before the source failed. After other errors the last commit stands, and the rest is done again.
    pub async fn run(self) -> Result<Outcome, PipelineError> {
        self.run_stages(None).await
    }

    /// The same, and `listener` gets every event that is appended, once it is committed.
    pub async fn run_beside(self, listener: &mut dyn Appended) -> Result<Outcome, PipelineError> {
        self.run_stages(Some(listener)).await
    }

    async fn run_stages(mut self, listener: Option<&mut dyn Appended>) -> Result<Outcome, PipelineError> {
        let Opened { mut record, checkpoint, resumed } = self.open().await?;
        self.record(&mut record, RunState::Loading).await?;
        let sequencer = Sequencer::resume(Arc::clone(&self.registry), record.id, checkpoint, &*self.target).await?;
        self.report(RunState::Loading, sequencer.counts(), checkpoint.map(|c| c.source));
        let (counts, source) = self.stream(sequencer, checkpoint, listener).await?;
        let outcome = Outcome { run: record.id, done: false, resumed, counts, source };
        if self.stop.is_asked() {
            return Ok(outcome);
        }
        self.record(&mut record, RunState::Sealing).await?;
        self.report(RunState::Sealing, counts, source);
        let options = &self.options;
        let dense = options.policies.revisions == Revisions::Dense && options.scope.holds_whole_streams();
        self.target.seal(dense).await.map_err(PipelineError::Target)?;
        self.record(&mut record, RunState::Done).await?;
        self.report(RunState::Done, counts, source);
        Ok(Outcome { done: true, ..outcome })
    }

    /// Finds the run of the target, or a new one, and refuses what would mix things up.
    async fn open(&self) -> Result<Opened, PipelineError> {
        let (source, target) = (self.source.identity(), self.target.identity());
        if source.key == target.key {
            return Err(Refusal::SameStore { store: source.to_string() }.into());
        }
        self.refuse_unfit()?;
        let runs = self.target.runs().await.map_err(PipelineError::Target)?;
        let last_position = self.target.last_position().await.map_err(PipelineError::Target)?;
        let target = target.to_string();
        let options = &self.options;
        let fingerprint = Fingerprint::of(&self.registry, &options.scope, &options.policies)
            .of_stores(self.source.reading(), self.target.writing());
        let Some(record) = runs.into_iter().next_back() else {
            if !self.target.is_empty().await.map_err(PipelineError::Target)? {
                return Err(Refusal::ForeignEvents { target, run: None }.into());
            }
            let now = Timestamp::now();
            let record = RunRecord {
                id: RunId::random(),
                state: RunState::Loading,
                source: source.key.clone(),
                fingerprint: fingerprint.whole,
                parts: fingerprint.parts,
                started_at: now,
                updated_at: now,
                tool: env!("CARGO_PKG_VERSION").to_owned(),
            };
            return Ok(Opened { record, checkpoint: None, resumed: false });
        };

        let run = record.id.to_string();
        let checkpoint = self.target.checkpoint(record.id).await.map_err(PipelineError::Target)?;
        if last_position != checkpoint.and_then(|c| c.target) && self.target.capabilities().explicit_positions {
            return Err(Refusal::ForeignEvents { target, run: Some(run) }.into());
        }
        // What the checkpoint is past was chosen by the recorded scope: going on with another one would leave a hole.
        if let Some((recorded, given)) = fingerprint.scope_change(&record) {
            return Err(Refusal::OtherScope { run, recorded, given }.into());
        }
        if !options.accept_changes {
            if record.source != source.key {
                let (recorded, given) = (record.source, source.key.clone());
                return Err(Refusal::OtherSource { target, recorded, given }.into());
            }
            if let Some(changes) = fingerprint.changes_since(&record) {
                return Err(Refusal::Changed { run, changes }.into());
            }
        }
        if let Some(checkpoint) = checkpoint.filter(|_| !options.accept_changes) {
            self.find_end(&run, checkpoint.source).await?;
        }
        if checkpoint.is_some() && !fingerprint.goes_on_numbering(&record) {
            return Err(Refusal::Renumbering { target, run }.into());
        }
        let record = RunRecord {
            source: source.key.clone(),
            fingerprint: fingerprint.whole,
            parts: fingerprint.parts,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            ..record
        };
        Ok(Opened { record, checkpoint, resumed: true })
    }

    /// Refuses a source that has no event where the run ended: it was begun anew or put back, and what is in it up to
    /// there now would pass for what is done.
    async fn find_end(&self, run: &str, end: Position) -> Result<(), PipelineError> {
        if self.found_end.get().is_some() || !self.source.is_rereadable() {
            return Ok(());
        }
        let request = ReadRequest::new(self.options.scope.clone()).after(end.just_before()).until(Some(end));
        let batch = self.source.read(request).next().await.transpose().map_err(PipelineError::Source)?;
        if batch.and_then(|batch| batch.last().map(|event| event.position)) != Some(end) {
            let (source, run) = (self.source.identity().to_string(), run.to_owned());
            return Err(Refusal::OtherContent { source_name: source, run, end }.into());
        }
        // Only whether it was set counts.
        let _ = self.found_end.set(());
        Ok(())
    }

    fn refuse_unfit(&self) -> Result<(), PipelineError> {
        let source = self.source.capabilities();
        if !source.global_order && self.registry.shape() == Shape::Moving {
            let problem = "rules that move events between streams need a source with one order across all streams";
            return Err(Refusal::Unfit(problem.to_owned()).into());
        }
        Ok(())
    }

    async fn record(&mut self, record: &mut RunRecord, state: RunState) -> Result<(), PipelineError> {
        record.state = state;
        record.updated_at = Timestamp::now();
        self.target.record_run(record).await.map_err(PipelineError::Target)
    }

    fn report(&self, state: RunState, counts: Counts, source: Option<Position>) {
        self.progress.send_replace(Progress { state, counts, source });
    }

    /// Runs the stages until the source ends, the run is asked to stop, or something fails. Everything that came
    /// before is committed.
    async fn stream(
        &mut self,
        mut sequencer: Sequencer,
        checkpoint: Option<Checkpoint>,
        mut listener: Option<&mut dyn Appended>,
    ) -> Result<(Counts, Option<Position>), PipelineError> {
        let options = self.options.clone();
        let request = ReadRequest::new(options.scope.clone())
            .after(checkpoint.map(|c| c.source))
            .batch_events(options.batch_events);
        let mut batches = lift_batches(
            self.source.read(request),
            Arc::clone(&self.registry),
            options.policies,
            sequencer.origins(),
            options.workers.get(),
            self.stop.clone(),
        );
        let mut gathered = Gathered::default();
        let mut failed = None;
        while let Some(batch) = batches.next().await {
            match batch {
                Ok(batch) => {
                    gathered.count(&batch);
                    failed = sequencer.number(batch, &*self.target, &mut gathered.events).await?;
                }
                Err(error) => failed = Some(error),
            }
            if failed.is_some() {
                break;
            }
            if gathered.is_full(options.transaction_events) {
                let progress = self.append(&mut sequencer, &mut gathered).await?;
                hand_on(&mut listener, progress, &mut gathered).await;
            }
        }
        let progress = self.append(&mut sequencer, &mut gathered).await?;
        hand_on(&mut listener, progress, &mut gathered).await;
        match failed {
            Some(error) => Err(error),
            None => {
                let done = self.progress.borrow();
                Ok((done.counts, done.source))
            }
        }
    }

    /// Appends what is gathered, if there is anything, and returns the checkpoint that is committed with it.
    async fn append(
        &mut self,
        sequencer: &mut Sequencer,
        gathered: &mut Gathered,
    ) -> Result<Option<Checkpoint>, PipelineError> {
        let Some(progress) = sequencer.progress() else { return Ok(None) };
        if !self.target.capabilities().attributes
            && let Some(event) = gathered.events.iter().find(|event| !event.attributes.is_empty())
        {
            let attributes = String::from_utf8_lossy(&event.attributes).into_owned();
            return Err(PipelineError::Attributes { id: Box::new(event.id.clone()), attributes });
        }
        append_once(&mut *self.target, &gathered.events, &progress).await.map_err(PipelineError::Target)?;
        sequencer.committed(&progress);
        let Checkpoint { source, counts, .. } = progress.checkpoint;
        self.report(RunState::Loading, counts, Some(source));
        Ok(Some(progress.checkpoint))
    }
}

/// Gives what was just appended to whoever listens, and makes room for more.
async fn hand_on(listener: &mut Option<&mut dyn Appended>, committed: Option<Checkpoint>, gathered: &mut Gathered) {
    if let (Some(listener), Some(until)) = (listener, committed.and_then(|checkpoint| checkpoint.target))
        && !gathered.events.is_empty()
    {
        listener.appended(std::mem::take(&mut gathered.events), until).await;
    }
    gathered.clear();
}
