//! The fold as its caller sees it: takes batches, keeps the stages busy, and ends them.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use eventlift_events::{Event, EventId, Position};
use eventlift_projections::Projection;
use tokio::sync::mpsc;

use super::agreement::Agreement;
use super::aside::{Identity, Left, Problem};
use super::batch::{Checkpoint, Message, Share};
use super::failure::Failure;
use super::folded::Folded;
use super::folder::{Folder, put_aside, site};
use super::map::{Mapped, Mapping};
use super::tables::Tables;
use super::worker::{Common, Limits, Part, Worker};
use crate::rebuild::{FailurePolicy, FoldOptions, RebuildError, RebuildRefusal};

/// More threads than this never fold: each has a connection of its own.
const MOST_WORKERS: usize = 256;

/// Batches that may wait for a worker.
const WAITING: usize = 2;

/// Of the memory, the part that SQLite has for the pages of the file.
const CACHE_PART: usize = 8;

/// Of the memory, the part that knows which keys are not in the file.
const FILTER_PART: usize = 16;

/// Folds events into the rows of all tables of several projections, in one pass.
///
/// Batches are pushed in the order of the events. Dropping it gives it up: what was put aside in the folder stays, and
/// another fold with the same key goes on from there. It waits for its threads then, which stop at the next event.
pub struct Fold {
    common: Arc<Common>,
    tables: Arc<Tables>,
    workers: Vec<mpsc::Sender<Message>>,
    threads: Vec<JoinHandle<Result<Option<Part>, Failure>>>,
    /// Batches that are being mapped, in order.
    mapping: VecDeque<InFlight>,
    resumed: Option<Checkpoint>,
    end: Option<Checkpoint>,
    /// Let go of last, after the threads.
    folder: Option<Folder>,
}

struct InFlight {
    mapped: tokio::task::JoinHandle<Mapped>,
    first: u64,
    end: Checkpoint,
}

impl Fold {
    /// Goes on from what a killed fold with the same key and failure policy left in the folder of the options, with
    /// as many workers as that had, or begins anew. `key` must tell apart whatever decides the rows: the source, the
    /// rules, and the projections with their order and tables. What another key left is removed.
    ///
    /// Fails where the folder can't be used, or another fold uses it.
    pub fn begin(
        projections: Vec<Arc<dyn Projection>>,
        key: &str,
        options: &FoldOptions,
    ) -> Result<Self, RebuildError> {
        let tables = Arc::new(Tables::new(projections));
        let policy = match options.on_failure {
            FailurePolicy::Stop => "stop",
            FailurePolicy::Quarantine => "quarantine",
        };
        let key = format!("{key}, {policy}");
        let wanted = options.workers.get().min(MOST_WORKERS);
        let folder = options.folder.as_deref().map(Folder::take).transpose()?;
        let left = match &folder {
            Some(folder) => folder.resume(&key, tables.count(), cache_bytes(options.memory_bytes / wanted))?,
            None => None,
        };
        let left = left.unwrap_or_else(|| (0..wanted).map(|_| None).collect());
        let resumed = everywhere(&left);
        let share = options.memory_bytes / left.len();
        let quarantined = left.iter().flatten().map(Left::quarantined).sum::<Result<u64, _>>();
        let failed = failed_before(&left);
        let place = folder.as_ref().map_or_else(std::env::temp_dir, |folder| folder.path().to_owned());
        let common = Arc::new(Common {
            mapping: Mapping {
                tables: Arc::clone(&tables),
                done: left.iter().map(|left| left.as_ref().map(|left| left.checkpoint.position)).collect(),
                on_failure: options.on_failure,
                failed: failed.map_err(|problem| put_aside(&place, problem))?,
            },
            has_failed: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            quarantined: AtomicU64::new(quarantined.map_err(|problem| put_aside(&place, problem))?),
        });
        let mut fold = Self {
            common,
            tables,
            workers: Vec::new(),
            threads: Vec::new(),
            mapping: VecDeque::new(),
            resumed,
            end: resumed,
            folder,
        };
        let limits = Limits {
            bytes: share.saturating_sub(cache_bytes(share) + filter_bytes(share)),
            save_every: options.folder.as_ref().map(|_| options.save_every),
        };
        let workers = left.len();
        for (number, left) in left.into_iter().enumerate() {
            let identity = Identity { key: key.clone(), workers, worker: number };
            let site = site(fold.folder.as_ref(), identity, cache_bytes(share), filter_bytes(share));
            let worker = Worker::new(Arc::clone(&fold.common), site, limits, left);
            let (sender, messages) = mpsc::channel(WAITING);
            let thread = std::thread::Builder::new().name(format!("fold-{number}"));
            let thread = thread.spawn(move || worker.run(messages)).map_err(|error| put_aside(&place, error))?;
            fold.workers.push(sender);
            fold.threads.push(thread);
        }
        Ok(fold)
    }

    /// Removes what folds left in a folder, if it is there. Fails where a fold uses it.
    pub fn forget_left(folder: &Path) -> Result<(), RebuildError> {
        if !folder.exists() {
            return Ok(());
        }
        Folder::take(folder)?.clear().map_err(|error| put_aside(folder, error))
    }

    /// The position up to which everything is in already, from a fold that this one goes on from: the events behind it
    /// are to be pushed. None: all events are.
    pub fn resumed_at(&self) -> Option<Position> {
        self.resumed.map(|resumed| resumed.position)
    }

    /// How many events were pushed, those before [`resumed_at`](Self::resumed_at) included.
    pub fn events(&self) -> u64 {
        self.end.map_or(0, |end| end.events)
    }

    /// Folds the next batch in. `until` is the position of the last source event that it stands for, and no event's
    /// position is behind it; events that share a position are all in one batch. There may be none.
    ///
    /// Returns as soon as there is room for the batch: an error may be that of an earlier one. It is that of the
    /// earliest event that met one. After it nothing can be pushed any more. When a call is cancelled, either the batch
    /// was not taken, or the fold ends with an error.
    pub async fn push(&mut self, events: Vec<Event>, until: Position) -> Result<(), RebuildError> {
        if self.threads.is_empty() {
            return Err(RebuildRefusal::Ended.into());
        }
        while self.mapping.len() > self.workers.len() {
            self.dispatch().await?;
        }
        if self.common.has_failed.load(Ordering::Relaxed) {
            return Err(self.fail(None).await);
        }
        let first = self.events();
        let end = Checkpoint { position: until, events: first + events.len() as u64 };
        let common = Arc::clone(&self.common);
        let mapped = tokio::task::spawn_blocking(move || common.mapping.map(events, first));
        self.mapping.push_back(InFlight { mapped, first, end });
        self.end = Some(end);
        Ok(())
    }

    /// Says that everything up to a position, `events` in all where that is known, has been pushed, or changes nothing.
    /// Does nothing where a later event has been pushed.
    pub async fn pass_over(&mut self, until: Position, events: Option<u64>) -> Result<(), RebuildError> {
        if self.end.is_some_and(|end| end.position > until) {
            return Ok(());
        }
        self.push(Vec::new(), until).await?;
        let end = Checkpoint { position: until, events: events.unwrap_or_default().max(self.events()) };
        if let Some(last) = self.mapping.back_mut() {
            last.end = end;
        }
        self.end = Some(end);
        Ok(())
    }

    /// Waits until all events are folded in.
    pub async fn finish(mut self) -> Result<Folded, RebuildError> {
        let parts = self.end_with(|| Message::Finish).await?;
        let parts = parts.into_iter().flatten().collect();
        Ok(Folded::new(Arc::clone(&self.tables), parts, self.end, self.folder.take()))
    }

    /// Waits until all events are folded in, and puts everything aside, for another fold to go on from. Without a
    /// folder it is lost.
    pub async fn suspend(mut self) -> Result<(), RebuildError> {
        self.end_with(|| Message::Suspend).await.map(drop)
    }

    async fn end_with(&mut self, message: fn() -> Message) -> Result<Vec<Option<Part>>, RebuildError> {
        if self.threads.is_empty() {
            return Err(RebuildRefusal::Ended.into());
        }
        while !self.mapping.is_empty() {
            self.dispatch().await?;
        }
        for worker in &self.workers {
            // One that hears nothing any more has panicked, which is found out when it is joined.
            let _ = worker.send(message()).await;
        }
        self.join(None).await
    }

    /// Hands the batch that was pushed first to the workers.
    async fn dispatch(&mut self) -> Result<(), RebuildError> {
        let Some(front) = self.mapping.front_mut() else { return Ok(()) };
        // Room first, so that a cancelled call leaves everything as it is.
        let mut room = Vec::with_capacity(self.workers.len());
        for worker in &self.workers {
            match worker.reserve().await {
                Ok(permit) => room.push(permit),
                Err(_) => break,
            }
        }
        if room.len() < self.workers.len() {
            drop(room);
            return Err(self.fail(None).await);
        }
        let mapped = match (&mut front.mapped).await {
            Ok(mapped) => mapped,
            // A projection's own code panicked: that is the caller's bug, and the caller hears of it.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let (first, end) = (front.first, front.end);
        let Mapped { events, changes, mut quarantined, joints, failure } = mapped;
        let events = Arc::new(events);
        let is_shared = joints.iter().any(|joint| joint.workers > 1 && !joint.has_failed);
        let agreement = is_shared.then(|| Arc::new(Agreement::new(self.workers.len())));
        let joints = Arc::new(joints);
        let end = failure.is_none().then_some(end);
        for (permit, changes) in room.into_iter().zip(changes) {
            let quarantined = std::mem::take(&mut quarantined);
            let (events, joints, agreement) = (Arc::clone(&events), Arc::clone(&joints), agreement.clone());
            let share = Share { events, first, end, changes, quarantined, joints, agreement };
            permit.send(Message::Batch(share));
        }
        self.mapping.pop_front();
        match failure {
            None => Ok(()),
            Some(failure) => Err(self.fail(Some(failure)).await),
        }
    }

    /// The error of the earliest event, once every worker has done what was handed to it.
    async fn fail(&mut self, failure: Option<Failure>) -> RebuildError {
        match self.join(failure).await {
            Ok(_) => RebuildRefusal::Ended.into(),
            Err(error) => error,
        }
    }

    /// Waits for the workers to end. Fails with the error of the earliest event.
    async fn join(&mut self, mut failure: Option<Failure>) -> Result<Vec<Option<Part>>, RebuildError> {
        self.workers.clear();
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(|| threads.into_iter().map(JoinHandle::join).collect::<Vec<_>>());
        let joined = joined.await.map_err(|_| RebuildRefusal::Ended)?;
        let mut parts = Vec::new();
        for ended in joined {
            match ended {
                Ok(Ok(part)) => parts.push(part),
                Ok(Err(other)) => Failure::keep_first(&mut failure, other),
                // As above: a change's own code panicked.
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        match failure {
            None => Ok(parts),
            Some(failure) => Err(failure.error),
        }
    }
}

impl Drop for Fold {
    fn drop(&mut self) {
        self.common.is_given_up.store(true, Ordering::Relaxed);
        self.workers.clear();
        for thread in self.threads.drain(..) {
            // Nobody asks any more how it ended.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Fold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Fold");
        shown.field("resumed_at", &self.resumed_at()).field("events", &self.events()).finish_non_exhaustive()
    }
}

/// The events that could not be folded into a row of some worker's, by projection.
fn failed_before(left: &[Option<Left>]) -> Result<HashSet<(usize, EventId)>, Problem> {
    let mut failed = HashSet::new();
    for left in left.iter().flatten() {
        let records = left.aside.quarantined()?.into_iter().filter(|record| record.quarantined.held.is_some());
        failed.extend(records.map(|record| (record.projection, record.quarantined.id)));
    }
    Ok(failed)
}

/// Up to where every worker is.
fn everywhere(left: &[Option<Left>]) -> Option<Checkpoint> {
    let checkpoints: Option<Vec<Checkpoint>> =
        left.iter().map(|left| left.as_ref().map(|left| left.checkpoint)).collect();
    checkpoints?.into_iter().min_by_key(|checkpoint| checkpoint.position)
}

/// What SQLite may keep in memory, of a worker's share of it.
fn cache_bytes(share: usize) -> usize {
    const LEAST: usize = 128 << 10;
    const MOST: usize = 8 << 20;
    (share / CACHE_PART).clamp(LEAST, MOST)
}

/// What a worker's filter may take of its share: the most is enough for twenty million keys.
fn filter_bytes(share: usize) -> usize {
    const MOST: usize = 16 << 20;
    (share / FILTER_PART).min(MOST)
}
