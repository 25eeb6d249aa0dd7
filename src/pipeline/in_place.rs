//! Rewriting the events of a store where they are: for rules that leave every event in its place.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use eventlift_events::{
    Bytes, Checkpoint, CheckpointStore, Counts, Event, EventId, EventReader, EventRewriter, EventType, NoteChange,
    Position, Progress as StoreProgress, ReadRequest, Rewritten, RunDetails, RunId, RunRecord, RunState, SchemaVersion,
    Scope, StoreError, StoreErrorKind, Timestamp, Undone,
};
use eventlift_transformers::Registry;
use futures_util::StreamExt;
use tokio::sync::watch;

use super::append::{BYTES, RETRIES};
use super::error::{PipelineError, Refusal};
use super::fingerprint::Fingerprint;
use super::onto::{began_after, in_place_parts, is_in_place};
use super::policy::{Policies, Unknown};
use super::progress::Progress;
use super::quarantine::Quarantined;
use super::ranges::keep_places;
use super::retry::Backoff;
use super::session::{Session, SessionStart, applied_rules, supersede};
use super::stop::Stop;
use super::throttle::{Size, Throttle};
use super::transform::{LiftedBatch, Origins, lift_batches};

/// The book in which a run notes what became of its undo log.
const BOOK: &str = "in place";
const UNDOING: &str = "undoing";
const DROPPED: &str = "dropped up to";

/// Of events that could not be put back, this many are named.
const NAMED: usize = 100;

/// What decides what is rewritten beside the rules, and how.
#[derive(Clone, Debug)]
pub struct InPlaceOptions {
    /// What is allowed in the store.
    pub policies: Policies,
    /// Batches that are lifted at the same time, 256 at most. Never changes the result.
    pub workers: NonZeroUsize,
    /// Events a batch. Never changes the result.
    pub batch_events: NonZeroUsize,
    /// A transaction ends with the batch that brings it to this many events read, or to 8 MiB of them. Never changes the
    /// result.
    pub transaction_events: NonZeroUsize,
    /// Go on although the rules or the policies are not those the run was started with.
    pub accept_changes: bool,
}

impl Default for InPlaceOptions {
    fn default() -> Self {
        const BATCH: NonZeroUsize = NonZeroUsize::new(1_000).unwrap(); // not zero, which the compiler checks
        const TRANSACTION: NonZeroUsize = NonZeroUsize::new(10_000).unwrap(); // not zero, which the compiler checks
        Self {
            policies: Policies::default(),
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            batch_events: BATCH,
            transaction_events: TRANSACTION,
            accept_changes: false,
        }
    }
}

/// How rewriting ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InPlaceOutcome {
    /// The run.
    pub run: RunId,
    /// Whether everything that the store held was looked at; false if it was asked to stop before.
    pub done: bool,
    /// Whether the run had been started before.
    pub resumed: bool,
    /// What was done, from the run's first start: `written` counts the events that were rewritten.
    pub counts: Counts,
    /// The last position that is done.
    pub position: Option<Position>,
}

/// How taking back ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UndoOutcome {
    /// The run that was taken back.
    pub run: RunId,
    /// How many events were put back now.
    pub restored: u64,
    /// How many were left as they are, since they are not what the run made of them any more.
    pub kept: u64,
    /// The first 100 of those, the latest first: position and id.
    pub named: Vec<(Position, EventId)>,
    /// Whether all of it was taken back; false also if it was asked to stop before.
    pub done: bool,
    /// Whether there was nothing left to do.
    pub was_done: bool,
}

/// Events of one type and version that would become others.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct WouldBecome {
    /// The type that they have.
    pub event_type: EventType,
    /// The schema version that they have.
    pub version: SchemaVersion,
    /// The type that they would have.
    pub to_type: EventType,
    /// The schema version that they would have.
    pub to_version: SchemaVersion,
}

/// What rewriting would do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InPlaceLook {
    /// How many events would be looked at.
    pub read: u64,
    /// What would be rewritten, and how many events each.
    pub changes: BTreeMap<WouldBecome, u64>,
    /// Whether everything was looked at: false if it was stopped.
    pub complete: bool,
}

impl InPlaceLook {
    /// How many events would be rewritten.
    pub fn rewritten(&self) -> u64 {
        self.changes.values().sum()
    }
}

/// Rewrites the events of a store where they are.
///
/// The rules must leave every event in its place, and may change its type, schema version, data and metadata. What is
/// rewritten goes into the store's undo log. The store keeps the run's record and its checkpoint, so that a run that ended
/// anywhere goes on from there. Services may go on appending: the run ends at what the store holds then, and the next one
/// goes on behind that.
pub struct InPlace {
    pub(super) store: Arc<dyn EventReader>,
    pub(super) rewriter: Box<dyn EventRewriter>,
    pub(super) registry: Arc<Registry>,
    pub(super) options: InPlaceOptions,
    pub(super) stop: Stop,
    throttle: Throttle,
    start: SessionStart,
    progress: watch::Sender<Progress>,
}

/// The run to go on with, and where.
struct Opened {
    record: RunRecord,
    checkpoint: Option<Checkpoint>,
    resumed: bool,
}

/// What became of a run's undo log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct UndoLog {
    pub(super) is_undoing: bool,
    pub(super) dropped_up_to: Option<Position>,
}

impl UndoLog {
    pub(super) async fn of(ledger: &dyn CheckpointStore, run: RunId) -> Result<Self, PipelineError> {
        let notes = ledger.notes(run, BOOK, None, 10).await.map_err(PipelineError::Target)?;
        let value = |name: &str| notes.iter().find(|(key, _)| &**key == name).map(|(_, value)| value);
        let position = |value: &Bytes| std::str::from_utf8(value).ok()?.parse().ok();
        Ok(Self { is_undoing: value(UNDOING).is_some(), dropped_up_to: value(DROPPED).and_then(position) })
    }
}

fn note(key: &'static str, value: String) -> NoteChange {
    NoteChange { book: BOOK.into(), key: key.into(), value: Some(Bytes::from(value)) }
}

/// The last run that rewrote events of a store, whatever became of it; `ledger` is the store's own.
pub async fn last_in_place_run(ledger: &dyn CheckpointStore) -> Result<Option<RunRecord>, PipelineError> {
    let runs = ledger.runs().await.map_err(PipelineError::Target)?;
    Ok(runs.into_iter().rfind(is_in_place))
}

/// What rewriting would do, without a writer: reads and lifts everything that is still to be rewritten. `ledger` is the
/// store's own, where it has one. Fails where rewriting would, as far as events and rules decide that.
pub async fn look_in_place(
    store: Arc<dyn EventReader>,
    ledger: Option<&dyn CheckpointStore>,
    registry: Arc<Registry>,
    options: InPlaceOptions,
    stop: Stop,
    mut seen: impl FnMut(u64),
) -> Result<InPlaceLook, PipelineError> {
    refuse_rules(&registry)?;
    let plan = Plan { store: &store, registry: &registry, options: &options, by: "" };
    let after = match ledger {
        None => None,
        Some(ledger) => plan.open(ledger).await?.after(),
    };
    let request = ReadRequest::new(Scope::All).after(after).batch_events(options.batch_events);
    let workers = options.workers.get();
    let mut batches =
        lift_batches(store.read(request), registry, options.policies, Origins::WithSources, workers, stop.clone());
    let mut look = InPlaceLook::default();
    while let Some(batch) = batches.next().await {
        let gathered = Gathered::of(batch?);
        look.read += gathered.counts.read;
        for Rewritten { before, after } in gathered.changes {
            let change = WouldBecome {
                event_type: before.event_type,
                version: before.version,
                to_type: after.event_type,
                to_version: after.version,
            };
            match look.changes.get_mut(&change) {
                Some(events) => *events += 1,
                None => {
                    // A name that is a slice of its batch would keep all of it.
                    let own = |name: &EventType| name.as_str().parse().unwrap_or_else(|_| name.clone());
                    let (event_type, to_type) = (own(&change.event_type), own(&change.to_type));
                    look.changes.insert(WouldBecome { event_type, to_type, ..change }, 1);
                }
            }
        }
        if let Some(error) = gathered.failed {
            return Err(error);
        }
        seen(look.read);
    }
    look.complete = !stop.is_asked();
    Ok(look)
}

/// Fails with the first rule that may take an event from its place.
fn refuse_rules(registry: &Registry) -> Result<(), PipelineError> {
    if keep_places(registry) {
        return Ok(());
    }
    let rule = registry.first_that_moves().unwrap_or_else(|| "a rule".to_owned());
    let problem = format!(
        "{rule} may split, drop, merge or move events, or keeps state, and in place none can be added or taken away"
    );
    Err(Refusal::InPlace { problem, hint: "migrate into a new target instead, with `eventlift migrate`" }.into())
}

/// What decides which run is gone on with.
struct Plan<'a> {
    store: &'a Arc<dyn EventReader>,
    registry: &'a Registry,
    options: &'a InPlaceOptions,
    by: &'a str,
}

impl Plan<'_> {
    /// Finds the run to go on with, or a new one, and refuses what would mix things up.
    async fn open(&self, ledger: &dyn CheckpointStore) -> Result<Opened, PipelineError> {
        let fingerprint = Fingerprint::of(self.registry, &Scope::All, &self.options.policies)
            .of_stores(self.store.reading(), String::new());
        let Some(last) = last_in_place_run(ledger).await? else { return Ok(self.new_run(fingerprint, None)) };
        let checkpoint = ledger.checkpoint(last.id).await.map_err(PipelineError::Target)?;
        let log = UndoLog::of(ledger, last.id).await?;
        let changes = fingerprint.changes_since(&last);
        let run = last.id.to_string();
        if last.state == RunState::RolledBack {
            // What was dropped from its log is still rewritten.
            return Ok(self.new_run(fingerprint, log.dropped_up_to.filter(|_| changes.is_none())));
        }
        if log.is_undoing {
            let problem = format!("run {run} is being taken back");
            return Err(Refusal::InPlace { problem, hint: "end that first: `eventlift rewrite --undo --yes`" }.into());
        }
        let Some(changes) = changes.filter(|_| !self.options.accept_changes) else {
            let mut record = last;
            if fingerprint.whole != record.fingerprint {
                let after = began_after(&record);
                record.parts = fingerprint.parts;
                record.parts.extend(in_place_parts(after));
                record.fingerprint = fingerprint.whole;
            }
            record.details = self.details(record.details);
            return Ok(Opened { record, checkpoint, resumed: true });
        };
        let position = checkpoint.map(|checkpoint| checkpoint.source);
        let has_log =
            checkpoint.is_some_and(|checkpoint| checkpoint.counts.written > 0) && log.dropped_up_to != position;
        if last.state != RunState::Done || has_log {
            let problem =
                format!("what decides the result has changed since run {run} was started: {}", changes.join("; "));
            let hint = "take the change back, or take the run back with --undo; once a run is done and sure, drop its undo \
                        log with --drop-undo, and begin with other rules; to go on with these all the same, add \
                        --accept-changes";
            return Err(Refusal::InPlace { problem, hint }.into());
        }
        Ok(self.new_run(fingerprint, None))
    }

    fn new_run(&self, fingerprint: Fingerprint, after: Option<Position>) -> Opened {
        let now = Timestamp::now();
        let mut parts = fingerprint.parts;
        parts.extend(in_place_parts(after));
        let record = RunRecord {
            id: RunId::random(),
            state: RunState::Loading,
            source: self.store.identity().key.clone(),
            fingerprint: fingerprint.whole,
            parts,
            started_at: now,
            updated_at: now,
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            details: self.details(RunDetails::default()),
        };
        Opened { record, checkpoint: None, resumed: false }
    }

    fn details(&self, mut details: RunDetails) -> RunDetails {
        details.source = self.store.identity().to_string();
        details.target = details.source.clone();
        supersede(&mut details, applied_rules(self.registry), self.by, Timestamp::now());
        details
    }
}

impl Opened {
    /// The position behind which it goes on.
    fn after(&self) -> Option<Position> {
        self.checkpoint.map_or_else(|| began_after(&self.record), |checkpoint| Some(checkpoint.source))
    }
}

impl InPlace {
    /// Rewriting that nothing can stop. Both must be of the same store.
    pub fn new(
        store: Arc<dyn EventReader>,
        rewriter: Box<dyn EventRewriter>,
        registry: Arc<Registry>,
        options: InPlaceOptions,
    ) -> Self {
        Self {
            store,
            rewriter,
            registry,
            options,
            stop: Stop::never(),
            throttle: Throttle::off(),
            start: SessionStart::now("rewrite"),
            progress: watch::Sender::new(Progress::START),
        }
    }

    /// The same, listening to a request to stop.
    pub fn stop_on(self, stop: Stop) -> Self {
        Self { stop, ..self }
    }

    /// The same, started by somebody: what the run's record says of this start.
    pub fn started(self, start: SessionStart) -> Self {
        Self { start, ..self }
    }

    /// The same, no faster than that.
    pub fn throttled(self, throttle: Throttle) -> Self {
        Self { throttle, ..self }
    }

    /// What the run has committed, now and from now on.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Rewrites everything that the store holds, or until it is asked to stop.
    ///
    /// When a rule fails on an event or nothing covers it, everything before the event is committed. After other errors the
    /// last commit stands, and the rest is done again.
    pub async fn run(mut self) -> Result<InPlaceOutcome, PipelineError> {
        self.refuse_unfit()?;
        refuse_rules(&self.registry)?;
        self.rewriter.check_rewritable().await.map_err(PipelineError::Target)?;
        self.refuse_uncovered().await?;
        let opened = self.plan().open(&*self.rewriter).await?;
        let Opened { mut record, checkpoint, resumed } = opened;
        let mut at = At {
            after: checkpoint.map_or_else(|| began_after(&record), |c| Some(c.source)),
            counts: Counts::default(),
        };
        at.counts = checkpoint.map(|checkpoint| checkpoint.counts).unwrap_or_default();
        let session = Session::begin(&mut record.details, &self.start, at.counts);
        self.record(&mut record, RunState::Loading).await?;
        self.report(RunState::Loading, at);
        self.throttle.begins(record.id);
        let ended = self.catch_up(record.id, &mut at).await;
        let done = ended.is_ok() && !self.stop.is_asked();
        let result = match &ended {
            Ok(()) if done => "done".to_owned(),
            Ok(()) => "stopped".to_owned(),
            Err(error) => super::session::one_line(&error.to_string()),
        };
        session.end(&mut record.details, at.counts, result);
        let recorded = self.record(&mut record, if done { RunState::Done } else { RunState::Loading }).await;
        // The error of the run is the one that counts.
        ended?;
        recorded?;
        self.report(record.state, at);
        Ok(InPlaceOutcome { run: record.id, done, resumed, counts: at.counts, position: at.after })
    }

    fn plan(&self) -> Plan<'_> {
        Plan { store: &self.store, registry: &self.registry, options: &self.options, by: &self.start.by }
    }

    fn report(&self, state: RunState, at: At) {
        let quarantined = Quarantined::default();
        self.progress.send_replace(Progress {
            state,
            counts: at.counts,
            source: at.after,
            head: None,
            recorded_at: None,
            quarantined,
        });
    }

    async fn record(&mut self, record: &mut RunRecord, state: RunState) -> Result<(), PipelineError> {
        record.state = state;
        record.updated_at = Timestamp::now();
        self.rewriter.record_run(record).await.map_err(PipelineError::Target)
    }

    fn refuse_unfit(&self) -> Result<(), PipelineError> {
        let (read, written) = (self.store.identity(), self.rewriter.identity());
        if read.key != written.key {
            return Err(Refusal::Unfit(format!("{read} is read, and {written} would be rewritten")).into());
        }
        let capabilities = self.rewriter.capabilities();
        if !capabilities.global_order || !capabilities.transactions {
            let problem = format!("{written} keeps no order of all events, or no transactions");
            return Err(Refusal::Unfit(problem).into());
        }
        Ok(())
    }

    /// Fails where the store can tell that it holds events that nothing covers, under a policy that does not let them pass.
    async fn refuse_uncovered(&self) -> Result<(), PipelineError> {
        use eventlift_transformers::Uncovered;
        let Some(census) = self.store.census(&Scope::All, None).await.map_err(PipelineError::Source)? else {
            return Ok(());
        };
        let policies = self.options.policies;
        let fails = |event_type: &EventType, version: SchemaVersion| {
            let policy = match self.registry.uncovered(event_type, version) {
                None => return false,
                Some(Uncovered::UnknownType) => policies.unknown_types.0,
                Some(Uncovered::UnknownVersion { .. }) => policies.unknown_versions.0,
            };
            policy != Unknown::Pass
        };
        let uncovered: Vec<String> = census
            .iter()
            .filter(|((event_type, version), _)| fails(event_type, *version))
            .map(|((event_type, version), tally)| format!("{event_type} version {version} ({} events)", tally.events))
            .collect();
        if uncovered.is_empty() { Ok(()) } else { Err(Refusal::Uncovered { uncovered }.into()) }
    }

    /// Goes on until hardly anything was appended meanwhile, or about as much as the time before: services that write as
    /// fast as it reads must not keep it from ending. What comes later is for the next run.
    async fn catch_up(&mut self, run: RunId, at: &mut At) -> Result<(), PipelineError> {
        let mut last = u64::MAX;
        loop {
            let before = at.counts.read;
            self.pass(run, at).await?;
            let read = at.counts.read - before;
            let is_close = read < self.options.transaction_events.get() as u64 || read > last / 2;
            if self.stop.is_asked() || is_close {
                return Ok(());
            }
            last = read;
        }
    }

    /// Rewrites what the store holds behind the last commit. Everything that came before a failure is committed.
    async fn pass(&mut self, run: RunId, at: &mut At) -> Result<(), PipelineError> {
        let request = ReadRequest::new(Scope::All).after(at.after).batch_events(self.options.batch_events);
        let mut batches = lift_batches(
            self.throttle.cut(self.store.read(request)),
            Arc::clone(&self.registry),
            self.options.policies,
            Origins::WithSources,
            self.options.workers.get(),
            self.stop.clone(),
        );
        let mut gathered = Gathered::default();
        while let Some(batch) = batches.next().await {
            match batch {
                Ok(batch) => gathered.add(Gathered::of(batch)),
                Err(error) => gathered.failed = Some(error),
            }
            if gathered.failed.is_some() {
                break;
            }
            if gathered.is_full(self.options.transaction_events, &self.throttle) {
                self.commit(run, at, &mut gathered).await?;
            }
        }
        self.commit(run, at, &mut gathered).await?;
        gathered.failed.map_or(Ok(()), Err)
    }

    async fn commit(&mut self, run: RunId, at: &mut At, gathered: &mut Gathered) -> Result<(), PipelineError> {
        let Some(source) = gathered.last else { return Ok(()) };
        let counts = Counts {
            read: at.counts.read + gathered.counts.read,
            lifted: at.counts.lifted + gathered.counts.lifted,
            written: at.counts.written + gathered.counts.written,
            ..at.counts
        };
        let checkpoint = Checkpoint { source, target: Some(source), counts };
        let progress = StoreProgress {
            run,
            checkpoint,
            state: Vec::new(),
            positions: Vec::new(),
            late: Vec::new(),
            notes: Vec::new(),
            origins: Vec::new(),
        };
        let size = Size { events: gathered.counts.read, bytes: gathered.bytes as u64 };
        self.throttle.admit(size, &self.stop).await;
        let begun = self.throttle.begin();
        rewrite_once(&mut *self.rewriter, &gathered.changes, &progress).await.map_err(PipelineError::Target)?;
        self.throttle.appended(begun, size);
        *at = At { after: Some(source), counts };
        gathered.clear();
        self.report(RunState::Loading, *at);
        Ok(())
    }

    /// Puts back what the last run has rewritten, the latest first. What others have changed since is left as it is and
    /// named; the run is not taken back then, and can be asked to be again.
    pub async fn undo(mut self) -> Result<UndoOutcome, PipelineError> {
        let mut record = self.require_run().await?;
        let mut outcome =
            UndoOutcome { run: record.id, restored: 0, kept: 0, named: Vec::new(), done: true, was_done: true };
        if record.state == RunState::RolledBack {
            return Ok(outcome);
        }
        outcome.was_done = false;
        let log = UndoLog::of(&*self.rewriter, record.id).await?;
        let checkpoint = self.rewriter.checkpoint(record.id).await.map_err(PipelineError::Target)?;
        if let Some(checkpoint) = checkpoint
            && log.dropped_up_to == Some(checkpoint.source)
        {
            let problem = format!("the undo log of run {} was dropped", record.id);
            return Err(Refusal::InPlace { problem, hint: "restore a backup" }.into());
        }
        self.rewriter.check_rewritable().await.map_err(PipelineError::Target)?;
        let undoing = note(UNDOING, Timestamp::now().to_string());
        self.rewriter.write_notes(record.id, &[undoing]).await.map_err(PipelineError::Target)?;
        let mut before = None;
        loop {
            if self.stop.is_asked() {
                return Ok(UndoOutcome { done: false, ..outcome });
            }
            let undone = self.undo_batch(record.id, before).await.map_err(PipelineError::Target)?;
            outcome.restored += undone.restored;
            outcome.kept += undone.kept.len() as u64;
            outcome.named.extend(undone.kept.into_iter().take(NAMED.saturating_sub(outcome.named.len())));
            let counts = Counts { written: outcome.restored, ..Counts::default() };
            self.report(RunState::RolledBack, At { after: undone.next, counts });
            match undone.next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        if outcome.kept > 0 {
            return Ok(UndoOutcome { done: false, ..outcome });
        }
        self.record(&mut record, RunState::RolledBack).await?;
        Ok(outcome)
    }

    /// One batch, tried again after errors of the store's own: what was put back is not in the log any more.
    async fn undo_batch(&mut self, run: RunId, before: Option<Position>) -> Result<Undone, StoreError> {
        let mut backoff = Backoff::default();
        let mut tries = 0;
        loop {
            let error = match self.rewriter.undo(run, before, self.options.transaction_events).await {
                Ok(undone) => return Ok(undone),
                Err(error) => error,
            };
            tries += 1;
            if tries > RETRIES || !matches!(error.kind, StoreErrorKind::Backend(_)) {
                return Err(error);
            }
            tokio::time::sleep(backoff.wait()).await;
        }
    }

    /// Drops the undo log of the last run, which can't be taken back any more then. How many events it held.
    pub async fn drop_undo(mut self) -> Result<(RunId, u64), PipelineError> {
        let record = self.require_run().await?;
        let checkpoint = self.rewriter.checkpoint(record.id).await.map_err(PipelineError::Target)?;
        if record.state == RunState::Loading && !UndoLog::of(&*self.rewriter, record.id).await?.is_undoing {
            let problem = format!("run {} has not ended", record.id);
            return Err(Refusal::InPlace { problem, hint: "end it first: `eventlift rewrite --yes`" }.into());
        }
        // Said first: a log that is half dropped is of no use.
        if let Some(checkpoint) = checkpoint {
            let dropped = note(DROPPED, checkpoint.source.to_string());
            self.rewriter.write_notes(record.id, &[dropped]).await.map_err(PipelineError::Target)?;
        }
        let events = self.rewriter.drop_originals(record.id).await.map_err(PipelineError::Target)?;
        Ok((record.id, events))
    }

    pub(super) async fn require_run(&self) -> Result<RunRecord, PipelineError> {
        last_in_place_run(&*self.rewriter).await?.ok_or_else(|| {
            let problem = format!("no run has rewritten events of {}", self.store.identity());
            Refusal::InPlace { problem, hint: "`eventlift rewrite` shows what one would do" }.into()
        })
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
struct At {
    after: Option<Position>,
    counts: Counts,
}

/// What goes into one transaction.
#[derive(Default)]
struct Gathered {
    changes: Vec<Rewritten>,
    counts: Counts,
    bytes: usize,
    last: Option<Position>,
    /// The error of the event behind the last one.
    failed: Option<PipelineError>,
}

impl Gathered {
    /// What a batch comes to, up to the first event that fails.
    fn of(batch: LiftedBatch) -> Self {
        let mut gathered = Self::default();
        let first_failure = batch.failures.first().map_or(usize::MAX, |(place, _)| *place);
        let lifted = batch.sources.into_iter().zip(batch.events).zip(batch.origins).take(first_failure);
        for ((before, after), origin) in lifted {
            if let Err(error) = refuse_moved(&before, &after, origin.parts) {
                gathered.failed = Some(error);
                return gathered;
            }
            gathered.counts.read += 1;
            gathered.counts.lifted += u64::from(origin.lifted);
            gathered.bytes += before.size() + after.size();
            gathered.last = Some(before.position);
            if before != after {
                gathered.counts.written += 1;
                gathered.changes.push(Rewritten { before, after });
            }
        }
        gathered.failed = batch.failures.into_iter().next().map(|(_, error)| error);
        gathered
    }

    fn add(&mut self, more: Self) {
        self.changes.extend(more.changes);
        self.counts.read += more.counts.read;
        self.counts.lifted += more.counts.lifted;
        self.counts.written += more.counts.written;
        self.bytes += more.bytes;
        self.last = more.last.or(self.last);
        self.failed = more.failed;
    }

    fn is_full(&self, transaction_events: NonZeroUsize, throttle: &Throttle) -> bool {
        self.counts.read >= throttle.transaction_events(transaction_events).get() as u64
            || self.bytes >= throttle.transaction_bytes(BYTES)
    }

    fn clear(&mut self) {
        self.changes.clear();
        self.counts = Counts::default();
        self.bytes = 0;
        self.last = None;
    }
}

/// Fails where a rule has made more of an event than its content can hold.
fn refuse_moved(before: &Event, after: &Event, parts: usize) -> Result<(), PipelineError> {
    let stays = parts == 1
        && before.id == after.id
        && before.stream == after.stream
        && (before.revision, before.position) == (after.revision, after.position)
        && before.recorded_at == after.recorded_at
        && before.attributes == after.attributes;
    if stays {
        return Ok(());
    }
    let problem = format!(
        "the rules would move event {} (stream {}, revision {}, position {}), or change more of it than type, version, data \
         and metadata",
        before.id, before.stream, before.revision, before.position
    );
    Err(Refusal::InPlace { problem, hint: "migrate into a new target instead, with `eventlift migrate`" }.into())
}

/// Rewrites events with their progress, exactly once: after an error the committed checkpoint tells whether it happened
/// all the same; if not, errors of the store's own are tried again a few times.
async fn rewrite_once(
    rewriter: &mut dyn EventRewriter,
    changes: &[Rewritten],
    progress: &StoreProgress,
) -> Result<(), StoreError> {
    let mut backoff = Backoff::default();
    let mut tries = 0;
    loop {
        let Err(error) = rewriter.rewrite(changes, progress).await else { return Ok(()) };
        if rewriter.checkpoint(progress.run).await.is_ok_and(|committed| committed == Some(progress.checkpoint)) {
            return Ok(());
        }
        tries += 1;
        if tries > RETRIES || !matches!(error.kind, StoreErrorKind::Backend(_)) {
            return Err(error);
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}
