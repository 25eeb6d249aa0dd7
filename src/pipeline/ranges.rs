//! The fast path: ranges of positions that are read, lifted and loaded at the same time, each with its own progress.
//!
//! It is open to a run whose rules are all one-to-one and without state, so that events keep their revisions and
//! positions whatever comes before them. The ranges are planned once, up to where the source had settled then, and
//! stay what they are however often the run is gone on with, and with however many workers.

use std::collections::{HashSet, VecDeque};
use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eventlift_events::{
    Checkpoint, Counts, Event, EventReader, EventWriter, LoadRange, NoteChange, Position, Progress as Committed,
    RangeWriter, ReadRequest, RunId, RunState, StoreErrorKind, StreamName,
};
use eventlift_transformers::{Registry, Shape};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::ahead::ReadAhead;
use super::append::{Gathered, RETRIES, append_once, refuse_attributes};
use super::error::{PipelineError, Refusal};
use super::landmarks::Landmarks;
use super::migration::MigrationOptions;
use super::policy::FailedEvents;
use super::progress::Progress;
use super::quarantine::{Quarantined, RangeFailures, settle};
use super::retry::Backoff;
use super::rule_counts::RuleCounts;
use super::stop::{Stop, StopHandle};
use super::throttle::Throttle;
use super::transform::{LiftedBatch, MOST_WORKERS, Origins, lift_batches};

/// About how many events a range holds.
const RANGE_EVENTS: u64 = 250_000;
/// A run has no more ranges than this.
const MOST_RANGES: usize = 256;
/// Batches of a range that are lifted at the same time: one is lifted while another waits to be appended.
const LIFTED_AT_ONCE: usize = 2;

/// Whether these rules leave every event where it was, whatever came before it.
pub fn keep_places(registry: &Registry) -> bool {
    registry.shape() == Shape::OneToOne && registry.stateful().is_empty()
}

/// What was done in all ranges of a load.
pub fn ranges_done(ranges: &[LoadRange]) -> Counts {
    sum(ranges)
}

/// The same.
pub(super) fn sum(ranges: &[LoadRange]) -> Counts {
    ranges.iter().fold(Counts::default(), |sum, range| Counts {
        read: sum.read + range.counts.read,
        lifted: sum.lifted + range.counts.lifted,
        dropped: sum.dropped + range.counts.dropped,
        split: sum.split + range.counts.split,
        written: sum.written + range.counts.written,
    })
}

/// The last event that was loaded, whatever is missing before it.
pub(super) fn last_done(ranges: &[LoadRange]) -> Option<Position> {
    ranges.iter().filter_map(|range| range.done).max()
}

/// A load in ranges.
pub(super) struct RangedLoad<'a> {
    pub(super) source: &'a Arc<dyn EventReader>,
    pub(super) registry: &'a Arc<Registry>,
    pub(super) options: &'a MigrationOptions,
    pub(super) run: RunId,
    pub(super) stop: &'a Stop,
    pub(super) throttle: &'a Throttle,
    pub(super) progress: &'a watch::Sender<Progress>,
}

/// How a load in ranges ended.
pub(super) enum Loaded {
    /// All ranges are in, if there were any; the checkpoint is that of their last event.
    All(Option<Checkpoint>),
    /// It was asked to stop before.
    Stopped(Counts),
}

impl RangedLoad<'_> {
    /// Loads the ranges that were planned before, or plans and loads some where source and target are made for it.
    pub(super) async fn run(
        &self,
        target: &mut dyn EventWriter,
        planned: Vec<LoadRange>,
    ) -> Result<Loaded, PipelineError> {
        let (ranges, writers) = match planned.is_empty() {
            true => self.plan(target).await?,
            false => {
                let writers = self.writers(target, &planned).await?;
                (planned, writers)
            }
        };
        if ranges.is_empty() {
            return Ok(Loaded::All(None));
        }
        let ranges = self.load(target, ranges, writers).await?;
        let counts = sum(&ranges);
        if ranges.iter().any(|range| !range.is_complete) {
            return Ok(Loaded::Stopped(counts));
        }
        let (options, run) = (self.options, self.run);
        let limits = options.quarantine;
        let settled = settle(self.source, target, self.registry, &options.scope, run, &ranges, limits).await?;
        if settled.is_some() {
            return Ok(Loaded::All(close(target, run).await?));
        }
        let checkpoint = last_done(&ranges).map(|last| Checkpoint { source: last, target: Some(last), counts });
        if let Some(checkpoint) = checkpoint {
            commit_checkpoint(target, run, checkpoint).await?;
        }
        target.plan_ranges(run, &[]).await.map_err(PipelineError::Target)?;
        Ok(Loaded::All(checkpoint))
    }

    /// The ranges of a new run, remembered by the target, and the writers for them; none where one read after the other
    /// is as fast.
    async fn plan(&self, target: &mut dyn EventWriter) -> Result<Planned, PipelineError> {
        let capabilities = target.capabilities();
        let is_open_to_ranges = keep_places(self.registry)
            && capabilities.explicit_positions
            && capabilities.transactions
            && self.source.capabilities().global_order
            && self.source.is_rereadable();
        if !is_open_to_ranges {
            return Ok(Planned::default());
        }
        let writers = target.range_writers(self.workers()).await.map_err(PipelineError::Target)?;
        if writers.is_empty() {
            return Ok(Planned::default());
        }
        let head = self.source.head().await.map_err(PipelineError::Source)?;
        let Some(head) = head.filter(|head| head.minor().is_none()) else { return Ok(Planned::default()) };
        // Positions count about as events do; where they don't, there are more ranges, or larger ones.
        let about = usize::try_from(head.major() / RANGE_EVENTS).unwrap_or(MOST_RANGES);
        let parts = about.max(2 * self.workers().get()).min(MOST_RANGES);
        let parts = NonZeroUsize::new(parts).unwrap_or(NonZeroUsize::MIN);
        let cuts = self.source.cuts(None, head, parts).await.map_err(PipelineError::Source)?;
        if cuts.is_empty() {
            return Ok(Planned::default());
        }
        let starts = std::iter::once(None).chain(cuts.iter().copied().map(Some));
        let ends = cuts.iter().copied().chain([head]);
        let ranges: Vec<LoadRange> = (0..)
            .zip(starts.zip(ends))
            .map(|(index, (after, until))| LoadRange {
                index,
                after,
                until,
                done: None,
                counts: Counts::default(),
                is_complete: false,
            })
            .collect();
        target.plan_ranges(self.run, &ranges).await.map_err(PipelineError::Target)?;
        Ok((ranges, writers))
    }

    /// The writers for what is left of ranges that were planned before.
    async fn writers(
        &self,
        target: &mut dyn EventWriter,
        ranges: &[LoadRange],
    ) -> Result<Vec<Box<dyn RangeWriter>>, PipelineError> {
        let left = ranges.iter().filter(|range| !range.is_complete).count();
        let Some(count) = NonZeroUsize::new(left.min(self.workers().get())) else { return Ok(Vec::new()) };
        let writers = target.range_writers(count).await.map_err(PipelineError::Target)?;
        if writers.is_empty() {
            let problem = format!("{} is loaded in ranges, and does not take any now", target.identity());
            return Err(Refusal::Unfit(problem).into());
        }
        Ok(writers)
    }

    fn workers(&self) -> NonZeroUsize {
        const MOST: NonZeroUsize = NonZeroUsize::new(MOST_WORKERS).unwrap(); // not zero, which the compiler checks
        self.options.workers.min(MOST)
    }

    /// Loads what is left of the ranges, several at the same time, until all are complete, one fails, or it is asked to
    /// stop. What was read by then is committed. Of several failures the first one, in the order of the events, counts;
    /// those of the events themselves before those of a store.
    async fn load(
        &self,
        target: &dyn EventWriter,
        ranges: Vec<LoadRange>,
        writers: Vec<Box<dyn RangeWriter>>,
    ) -> Result<Vec<LoadRange>, PipelineError> {
        let (halt, stop) = StopHandle::new();
        let (ask, mut asked) = mpsc::unbounded_channel();
        let left = ranges.iter().filter(|range| !range.is_complete).copied().collect();
        let opens = self.options.policies.failed_events == FailedEvents::Quarantine;
        let failures = RangeFailures::load(target, self.run, opens, self.options.quarantine)
            .await
            .map_err(PipelineError::Target)?;
        let origins = if failures.needs_sources() { Origins::WithSources } else { Origins::Implied };
        let board = Arc::new(Board {
            ranges: Mutex::new(ranges),
            left: Mutex::new(left),
            failures: Mutex::new(failures),
            progress: self.progress.clone(),
        });
        let keeps_attributes = target.capabilities().attributes;
        let mut tasks = JoinSet::new();
        for writer in writers {
            let loader = Loader {
                source: Arc::clone(self.source),
                registry: Arc::clone(self.registry),
                options: self.options.clone(),
                run: self.run,
                stop: stop.clone(),
                throttle: self.throttle.clone(),
                board: Arc::clone(&board),
                ask: ask.clone(),
                keeps_attributes,
                origins,
                landmarks: Landmarks::default(),
                writer,
            };
            tasks.spawn(loader.run());
        }

        let mut failures = Vec::new();
        let mut asked_to_stop = pin!(self.stop.clone().asked());
        let mut is_halted = false;
        loop {
            tokio::select! {
                ended = tasks.join_next() => match ended {
                    None => break,
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(failure))) => {
                        halt.stop();
                        failures.push(failure);
                    }
                    // A rule's own code panicked: that is the caller's bug, and the caller hears of it.
                    Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                },
                Some(Question { index, answer }) = asked.recv() => {
                    let ranges = target.load_ranges(self.run).await.unwrap_or_default();
                    // A loader that was dropped needs no answer.
                    let _ = answer.send(ranges.into_iter().find(|range| range.index == index));
                }
                () = &mut asked_to_stop, if !is_halted => {
                    is_halted = true;
                    halt.stop();
                }
            }
        }
        failures.sort_by_key(|Failure { index, error }| (error.is_of_store(), *index));
        match failures.into_iter().next() {
            Some(failure) => Err(failure.error),
            None => Ok(lock(&board.ranges).clone()),
        }
    }
}

/// Ends a load whose checkpoint is committed, and whose ranges are only to be forgotten. Where events were taken out of the
/// target again, it ends before the last one that was loaded.
pub(super) async fn close(target: &mut dyn EventWriter, run: RunId) -> Result<Option<Checkpoint>, PipelineError> {
    let mut checkpoint = target.checkpoint(run).await.map_err(PipelineError::Target)?;
    if let Some(committed) = &mut checkpoint {
        let last = target.last_position().await.map_err(PipelineError::Target)?;
        if last != committed.target {
            committed.target = last;
            commit_checkpoint(target, run, *committed).await?;
        }
    }
    target.plan_ranges(run, &[]).await.map_err(PipelineError::Target)?;
    Ok(checkpoint)
}

async fn commit_checkpoint(
    target: &mut dyn EventWriter,
    run: RunId,
    checkpoint: Checkpoint,
) -> Result<(), PipelineError> {
    let committed = Committed {
        run,
        checkpoint,
        state: Vec::new(),
        positions: Vec::new(),
        late: Vec::new(),
        notes: Vec::new(),
        origins: Vec::new(),
    };
    append_once(target, &[], &committed).await.map_err(PipelineError::Target)
}

/// Ranges, and the writers for them.
type Planned = (Vec<LoadRange>, Vec<Box<dyn RangeWriter>>);

/// What a range failed with.
struct Failure {
    index: u32,
    error: PipelineError,
}

/// What the loaders share.
struct Board {
    /// All ranges, as they are committed.
    ranges: Mutex<Vec<LoadRange>>,
    /// Those that nobody loads yet.
    left: Mutex<VecDeque<LoadRange>>,
    /// The streams that failed in some range.
    failures: Mutex<RangeFailures>,
    progress: watch::Sender<Progress>,
}

impl Board {
    fn committed(&self, range: LoadRange) {
        let mut ranges = lock(&self.ranges);
        if let Some(known) = ranges.iter_mut().find(|known| known.index == range.index) {
            *known = range;
        }
        let streams = lock(&self.failures).streams();
        // Reported while it is locked, so that no report is older than the one before.
        self.progress.send_replace(Progress {
            state: RunState::Loading,
            counts: sum(&ranges),
            source: None,
            head: None,
            recorded_at: None,
            quarantined: Quarantined { streams, events: streams },
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in it is replaced whole, so it is sound whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks what the target has committed of a range.
struct Question {
    index: u32,
    answer: oneshot::Sender<Option<LoadRange>>,
}

/// Loads one range after the other.
struct Loader {
    source: Arc<dyn EventReader>,
    registry: Arc<Registry>,
    options: MigrationOptions,
    run: RunId,
    stop: Stop,
    throttle: Throttle,
    board: Arc<Board>,
    ask: mpsc::UnboundedSender<Question>,
    keeps_attributes: bool,
    origins: Origins,
    landmarks: Landmarks,
    writer: Box<dyn RangeWriter>,
}

/// What failed in a range: the streams of which nothing more is loaded there, and what is to be noted of them.
struct Failing {
    streams: HashSet<StreamName>,
    notes: Vec<NoteChange>,
}

impl Loader {
    async fn run(mut self) -> Result<(), Failure> {
        while !self.stop.is_asked() {
            let Some(range) = lock(&self.board.left).pop_front() else { return Ok(()) };
            let index = range.index;
            self.load(range).await.map_err(|error| Failure { index, error })?;
        }
        Ok(())
    }

    /// Loads what is left of a range. What was read before a failure or a stop is committed.
    async fn load(&mut self, mut range: LoadRange) -> Result<(), PipelineError> {
        let request = ReadRequest::new(self.options.scope.clone())
            .after(range.done.or(range.after))
            .until(Some(range.until))
            .batch_events(self.options.batch_events);
        let is_beginning = range.after.is_none() && range.done.is_none();
        let lifted = lift_batches(
            self.landmarks.of(self.throttle.cut(self.source.read(request)), is_beginning),
            Arc::clone(&self.registry),
            self.options.policies,
            self.origins,
            LIFTED_AT_ONCE,
            self.stop.clone(),
        );
        let transaction_events = self.options.transaction_events;
        let mut batches = ReadAhead::new(lifted, transaction_events);
        let mut gathered = Gathered::default();
        let mut failing = Failing { streams: lock(&self.board.failures).of_range(range.index), notes: Vec::new() };
        let mut failed = None;
        let mut took = RuleCounts::default();
        let begun = range.done.map(|done| done.to_string()).unwrap_or_default();
        let took_by = format!("range {:06} behind {begun}", range.index);
        while let Some(batch) = batches.next().await {
            failed = match batch {
                Ok(batch) => {
                    gathered.count(&batch);
                    took.add(&self.registry, &batch.took);
                    match batch.failures.is_empty() && failing.streams.is_empty() {
                        true => add(batch, &mut range, &mut gathered.events),
                        false => self.sift(batch, &mut range, &mut gathered.events, &mut failing),
                    }
                }
                Err(error) => Some(error),
            };
            if failed.is_some() {
                break;
            }
            if gathered.is_full(transaction_events, &self.throttle) {
                failing.notes.extend(took.note(&took_by));
                batches.beside(self.commit(&mut gathered, &range, &failing.notes)).await?;
                gathered.clear();
                failing.notes.clear();
                took.committed();
            }
        }
        // A read that was stopped looks like one that has ended.
        range.is_complete = failed.is_none() && !self.stop.is_asked();
        failing.notes.extend(took.note(&took_by));
        if range.is_complete || !gathered.events.is_empty() || !failing.notes.is_empty() {
            self.commit(&mut gathered, &range, &failing.notes).await?;
        }
        failed.map_or(Ok(()), Err)
    }

    /// Takes a batch's events into a transaction, apart from those that fail and those behind them in their streams.
    fn sift(
        &self,
        batch: LiftedBatch,
        range: &mut LoadRange,
        events: &mut Vec<Event>,
        failing: &mut Failing,
    ) -> Option<PipelineError> {
        let LiftedBatch { events: lifted, origins, sources, failures, failed, .. } = batch;
        let (mut lifted, mut failures) = (lifted.into_iter(), failures.into_iter().peekable());
        for (index, (origin, source)) in origins.into_iter().zip(sources).enumerate() {
            let error = failures.next_if(|(failed, _)| *failed == index).map(|(_, error)| error);
            let part = if error.is_none() { lifted.next() } else { None };
            if failing.streams.contains(&source.stream) {
                range.done = Some(origin.position);
                continue;
            }
            if let Some(error) = error {
                let mut failures = lock(&self.board.failures);
                match failures.open(range.index, &source, error) {
                    Ok(note) => failing.notes.push(note),
                    Err(error) => return Some(error),
                }
                failing.streams = failures.of_range(range.index);
            }
            range.done = Some(origin.position);
            if let Some(event) = part {
                range.counts.read += 1;
                range.counts.written += 1;
                range.counts.lifted += u64::from(origin.lifted);
                events.push(event);
            }
        }
        failed
    }

    /// Appends events with the progress of their range, exactly once.
    async fn commit(
        &mut self,
        gathered: &mut Gathered,
        range: &LoadRange,
        notes: &[NoteChange],
    ) -> Result<(), PipelineError> {
        refuse_attributes(self.keeps_attributes, &gathered.events)?;
        let notes = [notes, &self.landmarks.notes_of_range(range.index, range.done)].concat();
        let size = gathered.size();
        self.throttle.admit(size, &self.stop).await;
        let begun = self.throttle.begin();
        let mut backoff = Backoff::default();
        let mut tries = 0;
        while let Err(error) = self.writer.append(&gathered.events, self.run, range, &notes).await {
            if self.is_committed(range).await {
                break;
            }
            tries += 1;
            if tries > RETRIES || !matches!(error.kind, StoreErrorKind::Backend(_)) {
                return Err(PipelineError::Target(error));
            }
            tokio::time::sleep(backoff.wait()).await;
        }
        self.throttle.appended(begun, size);
        self.board.committed(*range);
        Ok(())
    }

    async fn is_committed(&mut self, range: &LoadRange) -> bool {
        let (answer, answered) = oneshot::channel();
        // Where nobody is left to ask, the load is over, and the next one finds out.
        let _ = self.ask.send(Question { index: range.index, answer });
        answered.await.is_ok_and(|committed| committed == Some(*range))
    }
}

/// Takes a batch's events into a transaction: one-to-one rules leave them where they are. Returns the error that the
/// event behind them met.
fn add(batch: LiftedBatch, range: &mut LoadRange, events: &mut Vec<Event>) -> Option<PipelineError> {
    if batch.read > 0 {
        range.done = Some(batch.source);
    }
    range.counts.read += batch.read;
    range.counts.written += batch.events.len() as u64;
    range.counts.lifted += batch.lifted;
    events.extend(batch.events);
    batch.failed
}
