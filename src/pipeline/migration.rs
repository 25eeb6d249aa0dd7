//! A migration: the run's record, the stages wired together, and the way it ends.

use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};

use eventlift_events::{
    Checkpoint, Counts, EventReader, EventWriter, LoadRange, NoteChange, Position, ReadRequest, RunDetails, RunId,
    RunRecord, RunState, Scope, Timestamp,
};
use eventlift_transformers::{Registry, Shape};
use futures_util::StreamExt;
use tokio::sync::watch;

use super::ahead::ReadAhead;
use super::append::{Appended, Gathered, append_once, refuse_attributes};
use super::error::{PipelineError, Refusal};
use super::fingerprint::Fingerprint;
use super::landmarks::{self, Landmarks};
use super::onto::{Beginning, Onto, fills_the_store};
use super::overlooked::Overlooked;
use super::policy::{FailedEvents, Policies, Revisions};
use super::progress::Progress;
use super::quarantine::{Holding, QuarantineLimits, Quarantined, has_failures};
use super::ranges::{self, Loaded, RangedLoad};
use super::retry::MayPass;
use super::sequence::Sequencer;
use super::session::{self, Session, SessionStart, applied_rules, supersede};
use super::starting_point::StartingPoint;
use super::stop::Stop;
use super::throttle::Throttle;
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
    /// Append behind what the target holds already.
    pub onto: Option<Onto>,
    /// How much may be in quarantine before the run stops.
    pub quarantine: QuarantineLimits,
    /// Go on although the transformers, the policies or the source are not those the run was started with.
    pub accept_changes: bool,
    /// Whether windows of merges that wait for more events are closed where the source ends, too. Decides the result.
    pub close_windows: bool,
    /// Whether the target takes no gaps in revisions: then every stream is counted anew where the source may have some.
    /// Decides the result.
    pub dense_target: bool,
}

impl MigrationOptions {
    /// Whether the revisions of the source have no gaps.
    pub(super) fn is_dense(&self) -> bool {
        self.policies.revisions == Revisions::Dense && self.scope.holds_whole_streams()
    }

    /// Whether streams are counted anew, since the target takes no gaps and the source may have some.
    pub(crate) fn closes_gaps(&self) -> bool {
        self.dense_target && !self.is_dense()
    }
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
            onto: None,
            quarantine: QuarantineLimits::default(),
            accept_changes: false,
            close_windows: false,
            dense_target: false,
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
    /// What is in quarantine.
    pub quarantined: Quarantined,
}

/// Streams a source through transformers into a target, exactly once.
///
/// The target keeps the run's record and its checkpoint, so that a run that ended anywhere goes on from there when it
/// is started again with the same source, target and transformers. A run that is done goes on with what the source
/// has got since.
pub struct Migration {
    pub(super) source: Arc<dyn EventReader>,
    pub(super) target: Box<dyn EventWriter>,
    pub(super) registry: Arc<Registry>,
    options: MigrationOptions,
    pub(super) stop: Stop,
    throttle: Throttle,
    notes: Vec<NoteChange>,
    progress: watch::Sender<Progress>,
    /// The source's last position, once it is followed.
    pub(super) head: Option<Position>,
    /// When the event that was appended last was recorded.
    recorded_at: Option<Timestamp>,
    /// Whether it is only followed now: the run is done.
    pub(super) following: bool,
    /// Set once the source was seen to hold the event that the run ended at.
    found_end: OnceLock<()>,
    landmarks: Landmarks,
    start: SessionStart,
    /// The record as it was written last, and the session within it.
    recorded: Option<(RunRecord, Session)>,
    /// What fails and ends nothing, in a rehearsal.
    overlooked: Option<Overlooked>,
}

/// The run to go on with.
struct Opened {
    record: RunRecord,
    checkpoint: Option<Checkpoint>,
    /// The ranges that it loads, where it was begun in ranges.
    ranges: Vec<LoadRange>,
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
        Self {
            source,
            target,
            registry,
            options,
            stop: Stop::never(),
            throttle: Throttle::off(),
            notes: Vec::new(),
            progress,
            head: None,
            recorded_at: None,
            following: false,
            found_end: OnceLock::new(),
            landmarks: Landmarks::default(),
            start: SessionStart::now("migrate"),
            recorded: None,
            overlooked: None,
        }
    }

    /// The same, listening to a request to stop.
    pub fn stop_on(self, stop: Stop) -> Self {
        Self { stop, ..self }
    }

    /// The same, started by somebody: what the run's record says of this start. Migrations with the same start are one
    /// session.
    pub fn started(self, start: SessionStart) -> Self {
        Self { start, ..self }
    }

    /// The same, as a rehearsal: it goes on behind what fails as if that were not there.
    pub(super) fn overlooking(self, overlooked: Overlooked) -> Self {
        Self { overlooked: Some(overlooked), ..self }
    }

    /// The same, no faster than that.
    pub fn throttled(self, throttle: Throttle) -> Self {
        Self { throttle, ..self }
    }

    /// The same, with notes that the run keeps from its beginning on.
    pub fn noting(self, notes: Vec<NoteChange>) -> Self {
        Self { notes, ..self }
    }

    /// Where it reads.
    pub fn source(&self) -> &Arc<dyn EventReader> {
        &self.source
    }

    /// Where it writes.
    pub fn target(&self) -> &dyn EventWriter {
        &*self.target
    }

    /// What the run has committed, now and from now on.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Where the run would begin or go on. Fails where it would be refused; changes nothing.
    pub async fn starting_point(&self) -> Result<StartingPoint, PipelineError> {
        let opened = self.open().await?;
        Ok(match opened.checkpoint {
            Some(checkpoint) => StartingPoint::Behind(checkpoint),
            None if opened.ranges.is_empty() => StartingPoint::FirstEvent,
            None => StartingPoint::InRanges { counts: ranges::sum(&opened.ranges) },
        })
    }

    /// Runs until everything is in, or until it is asked to stop.
    ///
    /// When a rule fails on an event or nothing covers it, everything before the event is committed; so is everything
    /// that was read before the source failed. After other errors the last commit stands, and the rest is done again.
    ///
    /// Where the rules are one-to-one and both stores are made for it, ranges of positions are loaded at the same time.
    /// Then events behind one that fails may be in already, and the run goes on with what is missing.
    pub async fn run(mut self) -> Result<Outcome, PipelineError> {
        let outcome = self.run_stages(None).await;
        self.end_session(outcome).await
    }

    /// The same, one event after the other, and `listener` gets every event that is appended, once it is committed. A
    /// run that was begun in ranges is refused.
    pub async fn run_beside(mut self, listener: &mut dyn Appended) -> Result<Outcome, PipelineError> {
        let outcome = self.run_stages(Some(listener)).await;
        self.end_session(outcome).await
    }

    /// Records how the session ended.
    pub(super) async fn end_session(
        &mut self,
        outcome: Result<Outcome, PipelineError>,
    ) -> Result<Outcome, PipelineError> {
        // A store that can't be reached is opened again, and the session goes on.
        if !outcome.as_ref().is_err_and(MayPass::may_pass) {
            let counts = outcome.as_ref().map_or_else(|_| self.progress.borrow().counts, |outcome| outcome.counts);
            self.record_end(counts, &session::result(&outcome)).await;
        }
        outcome
    }

    /// Records that the session has ended, if it has not been recorded before.
    pub(super) async fn record_end(&mut self, counts: Counts, result: &str) {
        let Some((mut record, session)) = self.recorded.take() else { return };
        session.end(&mut record.details, counts, session::one_line(result));
        record.updated_at = Timestamp::now();
        // Nothing is decided by it: a session whose end can't be recorded was broken off.
        let _ = self.target.record_run(&record).await;
    }

    pub(super) async fn run_stages(
        &mut self,
        mut listener: Option<&mut dyn Appended>,
    ) -> Result<Outcome, PipelineError> {
        let Opened { mut record, mut checkpoint, ranges, resumed } = self.open().await?;
        if listener.is_some() && checkpoint.is_none() && !ranges.is_empty() {
            return Err(self.out_of_order(&record, "a listener gets events in their order"));
        }
        if self.options.onto.is_some() {
            // What is there already is checked now, and what comes is checked with every append.
            self.target
                .seal(self.options.is_dense() || self.options.dense_target)
                .await
                .map_err(PipelineError::Target)?;
        }
        let counts = checkpoint.map_or_else(|| ranges::sum(&ranges), |checkpoint| checkpoint.counts);
        let session = Session::begin(&mut record.details, &self.start, counts);
        let at = checkpoint.map(|checkpoint| checkpoint.source);
        self.report(RunState::Loading, counts, at, Quarantined::default());
        // A run that was done stays so while it goes on: its target is sealed, and right up to the checkpoint.
        let was_done = record.state == RunState::Done;
        let while_going_on = |state| if was_done { RunState::Done } else { state };
        self.record(&mut record, &session, while_going_on(RunState::Loading)).await?;
        self.throttle.begins(record.id);
        if resumed && self.options.accept_changes {
            let forgotten = landmarks::forgotten(&*self.target, record.id).await.map_err(PipelineError::Target)?;
            self.target.write_notes(record.id, &forgotten).await.map_err(PipelineError::Target)?;
        }
        if !self.notes.is_empty() {
            let notes = std::mem::take(&mut self.notes);
            self.target.write_notes(record.id, &notes).await.map_err(PipelineError::Target)?;
        }
        if checkpoint.is_none() && listener.is_none() && self.options.onto.is_none() {
            self.report(RunState::Loading, ranges::sum(&ranges), None, Quarantined::default());
            checkpoint = match self.load_ranges(record.id, ranges).await? {
                Loaded::All(checkpoint) => checkpoint,
                Loaded::Stopped(counts) => {
                    let (run, quarantined) = (record.id, self.progress.borrow().quarantined);
                    return Ok(Outcome { run, done: false, resumed, counts, source: None, quarantined });
                }
            };
        } else if !ranges.is_empty() {
            // All of them are in; only that they are was still to be forgotten.
            checkpoint = ranges::close(&mut *self.target, record.id).await?;
        }
        let mut sequencer = self.sequencer(&record, checkpoint).await?;
        let quarantined = sequencer.held().quarantined();
        self.report(RunState::Loading, sequencer.counts(), sequencer.source(), quarantined);
        self.stream(&mut sequencer, &mut listener).await?;
        if !self.stop.is_asked() {
            self.close_open_windows(&mut sequencer, self.options.close_windows, &mut listener).await?;
        }
        let (counts, source, quarantined) = (sequencer.counts(), sequencer.source(), sequencer.held().quarantined());
        let outcome = Outcome { run: record.id, done: false, resumed, counts, source, quarantined };
        if self.stop.is_asked() {
            return Ok(outcome);
        }
        self.record(&mut record, &session, while_going_on(RunState::Sealing)).await?;
        self.report(RunState::Sealing, counts, source, quarantined);
        self.target.seal(self.options.is_dense() || self.options.dense_target).await.map_err(PipelineError::Target)?;
        self.record(&mut record, &session, RunState::Done).await?;
        self.report(RunState::Done, counts, source, quarantined);
        Ok(Outcome { done: true, ..outcome })
    }

    /// The sequencer that goes on behind a run's checkpoint.
    pub(super) async fn resume_sequencer(&self, run: RunId) -> Result<Sequencer, PipelineError> {
        let record = self.last_run().await?;
        let Some(record) = record.filter(|record| record.id == run) else {
            let problem = format!("{} has lost the record of run {run}", self.target.identity());
            return Err(Refusal::Unfit(problem).into());
        };
        let checkpoint = self.target.checkpoint(run).await.map_err(PipelineError::Target)?;
        self.sequencer(&record, checkpoint).await
    }

    /// What numbers events, behind a checkpoint, and holds those that fail.
    pub(super) async fn sequencer(
        &self,
        record: &RunRecord,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Sequencer, PipelineError> {
        let opens = self.options.policies.failed_events == FailedEvents::Quarantine;
        let holding = Holding::load(&*self.target, record.id, opens, self.options.quarantine).await;
        let sequencer = Sequencer::resume(Arc::clone(&self.registry), record.id, checkpoint, &*self.target).await?;
        let mut sequencer = sequencer
            .closing_gaps(self.options.closes_gaps())
            .keeping_origins(self.target.keeps_origins())
            .overlooking(self.overlooked.clone())
            .holding(holding.map_err(PipelineError::Target)?);
        if self.options.onto.is_some() {
            sequencer.go_on_behind(Beginning::of(record));
        }
        Ok(sequencer)
    }

    /// The run to go on with, if the target has one: the last one, or the one that goes this way.
    async fn last_run(&self) -> Result<Option<RunRecord>, PipelineError> {
        let runs = self.target.runs().await.map_err(PipelineError::Target)?;
        let is_ours = |run: &RunRecord| match self.options.onto {
            Some(onto) => onto.is_run(run),
            None => fills_the_store(run),
        };
        // A run that was taken back has left nothing to go on with.
        Ok(runs.into_iter().rfind(is_ours).filter(|run| run.state != RunState::RolledBack))
    }

    /// Closes the windows of all merges, also of those that wait for more, and appends what they held: once the source
    /// has ended for good, as at a cut-over. The run can't go on then. How many events were written. Can be repeated.
    pub async fn close_windows(&mut self) -> Result<u64, PipelineError> {
        let Opened { record, checkpoint, .. } = self.open().await?;
        let mut sequencer = self.sequencer(&record, checkpoint).await?;
        let before = sequencer.counts().written;
        self.close_open_windows(&mut sequencer, true, &mut None).await?;
        Ok(sequencer.counts().written - before)
    }

    pub(super) async fn close_open_windows(
        &mut self,
        sequencer: &mut Sequencer,
        all: bool,
        listener: &mut Option<&mut dyn Appended>,
    ) -> Result<(), PipelineError> {
        if !sequencer.closes_windows(all) {
            return Ok(());
        }
        let mut after = None;
        loop {
            let mut gathered = Gathered::default();
            after = sequencer.close_windows(all, after.as_deref(), &*self.target, &mut gathered.events).await?;
            self.append(sequencer, &mut gathered, listener).await?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn load_ranges(&mut self, run: RunId, planned: Vec<LoadRange>) -> Result<Loaded, PipelineError> {
        let load = RangedLoad {
            source: &self.source,
            registry: &self.registry,
            options: &self.options,
            run,
            stop: &self.stop,
            throttle: &self.throttle,
            progress: &self.progress,
        };
        load.run(&mut *self.target, planned).await
    }

    fn out_of_order(&self, record: &RunRecord, problem: &'static str) -> PipelineError {
        let (target, run) = (self.target.identity().to_string(), record.id.to_string());
        Refusal::OutOfOrder { target, run, problem }.into()
    }

    /// Finds the run of the target, or a new one, and refuses what would mix things up.
    async fn open(&self) -> Result<Opened, PipelineError> {
        let (source, target) = (self.source.identity(), self.target.identity());
        if source.key == target.key {
            return Err(Refusal::SameStore { store: source.to_string() }.into());
        }
        self.refuse_unfit()?;
        let last_position = self.target.last_position().await.map_err(PipelineError::Target)?;
        let target = target.to_string();
        let options = &self.options;
        let fingerprint = Fingerprint::of(&self.registry, &options.scope, &options.policies)
            .of_stores(self.source.reading(), self.target.writing());
        let Some(record) = self.last_run().await? else {
            let mut parts = fingerprint.parts;
            match options.onto {
                // Revisions alone say what is there already, so what a lost ledger knew is found out by appending again.
                None if !self.target.capabilities().transactions => {}
                None if self.target.is_empty().await.map_err(PipelineError::Target)? => {}
                None => return Err(Refusal::ForeignEvents { target, run: None }.into()),
                Some(onto) => parts.extend(onto.parts(Beginning::now(onto, &*self.target).await?)),
            }
            let now = Timestamp::now();
            let record = RunRecord {
                id: RunId::random(),
                state: RunState::Loading,
                source: source.key.clone(),
                fingerprint: fingerprint.whole,
                parts,
                started_at: now,
                updated_at: now,
                tool: env!("CARGO_PKG_VERSION").to_owned(),
                details: self.details(RunDetails::default(), now),
            };
            return Ok(Opened { record, checkpoint: None, ranges: Vec::new(), resumed: false });
        };

        let run = record.id.to_string();
        let checkpoint = self.target.checkpoint(record.id).await.map_err(PipelineError::Target)?;
        let ranges = self.target.load_ranges(record.id).await.map_err(PipelineError::Target)?;
        let beginning = options.onto.map(|_| Beginning::of(&record));
        let first_written = || beginning.map_or_else(|| ranges::last_done(&ranges), |beginning| beginning.target);
        let last_written = checkpoint.map_or_else(first_written, |checkpoint| checkpoint.target);
        // The last event of a range, or of all, may be in quarantine.
        let may_end_before = !ranges.is_empty()
            && last_position < last_written
            && has_failures(&*self.target, record.id).await.map_err(PipelineError::Target)?;
        if last_position != last_written && !may_end_before && self.target.capabilities().explicit_positions {
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
        let first_read = || beginning.map_or_else(|| ranges::last_done(&ranges), |beginning| beginning.source);
        let end = checkpoint.map_or_else(first_read, |checkpoint| Some(checkpoint.source));
        if let Some(end) = end.filter(|_| !options.accept_changes) {
            self.find_end(record.id, end).await?;
        }
        if checkpoint.is_none() && !ranges.is_empty() && !ranges::keep_places(&self.registry) {
            return Err(self.out_of_order(&record, "the rules have come to need one event after the other"));
        }
        if checkpoint.is_some() && !fingerprint.goes_on_numbering(&record) {
            return Err(Refusal::Renumbering { target, run }.into());
        }
        let mut parts = fingerprint.parts;
        if let Some((onto, beginning)) = options.onto.zip(beginning) {
            parts.extend(onto.parts(beginning));
        }
        let record = RunRecord {
            source: source.key.clone(),
            fingerprint: fingerprint.whole,
            parts,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            details: self.details(record.details, Timestamp::now()),
            ..record
        };
        Ok(Opened { record, checkpoint, ranges, resumed: true })
    }

    /// Refuses a source that has no event where the run ended, or others than the run remembers: it was begun anew, put back
    /// or replaced, and what is in it up to there now would pass for what is done.
    async fn find_end(&self, run: RunId, end: Position) -> Result<(), PipelineError> {
        if self.found_end.get().is_some() || !self.source.is_rereadable() || self.source.may_lose_events() {
            return Ok(());
        }
        let request = ReadRequest::new(self.options.scope.clone()).after(end.just_before()).until(Some(end));
        let batch = self.source.read(request).next().await.transpose().map_err(PipelineError::Source)?;
        if batch.and_then(|batch| batch.last().map(|event| event.position)) != Some(end) {
            let (source, run) = (self.source.identity().to_string(), run.to_string());
            return Err(Refusal::OtherContent { source_name: source, run, end }.into());
        }
        if let Some(at) = landmarks::first_unknown(&*self.source, &self.options.scope, &*self.target, run).await? {
            let (source, run) = (self.source.identity().to_string(), run.to_string());
            return Err(Refusal::OtherEvent { source_name: source, run, at }.into());
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
        if self.options.policies.failed_events == FailedEvents::Quarantine && self.registry.shape() == Shape::Moving {
            return Err(Refusal::QuarantineOfMoves.into());
        }
        Ok(())
    }

    async fn record(
        &mut self,
        record: &mut RunRecord,
        session: &Session,
        state: RunState,
    ) -> Result<(), PipelineError> {
        record.state = state;
        record.updated_at = Timestamp::now();
        session.update(&mut record.details, self.progress.borrow().counts);
        self.target.record_run(record).await.map_err(PipelineError::Target)?;
        self.recorded = Some((record.clone(), session.clone()));
        Ok(())
    }

    /// What the record says for people.
    fn details(&self, mut details: RunDetails, now: Timestamp) -> RunDetails {
        details.source = self.source.identity().to_string();
        details.target = self.target.identity().to_string();
        supersede(&mut details, applied_rules(&self.registry), &self.start.by, now);
        details
    }

    pub(super) fn report(&self, state: RunState, counts: Counts, source: Option<Position>, quarantined: Quarantined) {
        self.progress.send_replace(Progress {
            state,
            counts,
            source,
            head: self.head,
            recorded_at: self.recorded_at,
            quarantined,
        });
    }

    /// Runs the stages, from behind what the sequencer has numbered, until the source ends, the run is asked to stop, or
    /// something fails. Everything that came before is committed.
    pub(super) async fn stream(
        &mut self,
        sequencer: &mut Sequencer,
        listener: &mut Option<&mut dyn Appended>,
    ) -> Result<(), PipelineError> {
        let options = self.options.clone();
        let request =
            ReadRequest::new(options.scope.clone()).after(sequencer.source()).batch_events(options.batch_events);
        let is_beginning = sequencer.source().is_none() && sequencer.counts() == Counts::default();
        let lifted = lift_batches(
            self.landmarks.of(self.throttle.cut(self.source.read(request)), is_beginning),
            Arc::clone(&self.registry),
            options.policies,
            sequencer.origins(),
            options.workers.get(),
            self.stop.clone(),
        );
        let mut batches = ReadAhead::new(lifted, options.transaction_events);
        let mut gathered = Gathered::default();
        let mut failed = None;
        while let Some(batch) = batches.next().await {
            match batch {
                Ok(batch) => {
                    gathered.count(&batch);
                    failed = sequencer.number(batch, &*self.target, Some(&*self.target), &mut gathered.events).await?;
                }
                Err(error) => failed = Some(error),
            }
            if failed.is_some() {
                break;
            }
            if gathered.is_full(options.transaction_events, &self.throttle) {
                batches.beside(self.append(sequencer, &mut gathered, listener)).await?;
            }
        }
        self.append(sequencer, &mut gathered, listener).await?;
        failed.map_or(Ok(()), Err)
    }

    /// Appends what is gathered, if there is anything, and hands it on.
    pub(super) async fn append(
        &mut self,
        sequencer: &mut Sequencer,
        gathered: &mut Gathered,
        listener: &mut Option<&mut dyn Appended>,
    ) -> Result<(), PipelineError> {
        let committed = match sequencer.progress() {
            Some(mut progress) => {
                progress.notes.extend(self.landmarks.notes(progress.checkpoint.source));
                refuse_attributes(self.target.capabilities().attributes, &gathered.events)?;
                let size = gathered.size();
                self.throttle.admit(size, &self.stop).await;
                let begun = self.throttle.begin();
                append_once(&mut *self.target, &gathered.events, &progress).await.map_err(PipelineError::Target)?;
                self.throttle.appended(begun, size);
                sequencer.committed(&progress);
                self.recorded_at = gathered.events.last().map(|event| event.recorded_at).or(self.recorded_at);
                let Checkpoint { source, counts, .. } = progress.checkpoint;
                let state = if self.following { RunState::Done } else { RunState::Loading };
                self.report(state, counts, Some(source), sequencer.held().quarantined());
                Some(progress.checkpoint)
            }
            None => None,
        };
        hand_on(listener, committed, gathered).await;
        Ok(())
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
