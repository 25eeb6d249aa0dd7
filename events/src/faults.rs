//! A store that fails on cue: [`Faulty`] wraps a reader or a writer and follows a [`Script`].

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use bytestring::ByteString;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::sync::{Semaphore, watch};

use crate::checkpoint::{
    Checkpoint, LateEvents, LatePosition, LoadRange, NoteChange, PositionRange, Progress, RunId, RunRecord, StateKey,
};
use crate::error::{StoreError, StoreErrorKind};
use crate::event::Event;
use crate::position::Position;
use crate::rewriting::{EventRewriter, Original, Rewritten, Undone};
use crate::scope::Scope;
use crate::store::{
    Capabilities, Census, CheckpointStore, EventReader, EventStream, EventWriter, LeftOut, RangeWriter, ReadRequest,
    StoreIdentity,
};
use crate::stream::{Revision, StreamName};

/// A way to fail.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Fault {
    /// Answers an error and does nothing.
    Reject,
    /// Waits until the script releases it, and then does what was asked.
    Hold,
    /// Does what was asked, and answers an error all the same. A batch read so is lost.
    FailAfterSuccess,
    /// Answers that the store can't be reached, which may pass, and does nothing.
    Lose,
    /// Does what was asked, and answers that the store can't be reached.
    LoseAfterSuccess,
}

/// What can fail.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    /// [`EventWriter::append`].
    Append,
    /// [`EventWriter::seal`].
    Seal,
    /// One batch of any [`EventReader::read`], the end of the read included.
    Batch,
    /// [`CheckpointStore::checkpoint`].
    Checkpoint,
    /// [`RangeWriter::append`] of any range.
    AppendRange,
    /// [`CheckpointStore::plan_ranges`].
    PlanRanges,
    /// [`CheckpointStore::load_ranges`].
    LoadRanges,
    /// [`EventReader::cuts`].
    Cuts,
    /// [`EventWriter::withdraw`].
    Withdraw,
    /// [`EventWriter::erase`].
    Erase,
    /// [`CheckpointStore::write_notes`].
    WriteNotes,
    /// [`EventRewriter::rewrite`].
    Rewrite,
    /// [`EventRewriter::undo`].
    Undo,
    /// [`EventRewriter::drop_originals`].
    DropOriginals,
}

/// The calls of a kind of store: what a script counts, and lets fail.
pub trait Cue: Copy + Eq + Hash + Debug + Send + Sync + 'static {
    /// What is done, to follow "failed to" and to stand before the store's name.
    fn action(self) -> &'static str;
}

impl Cue for Call {
    fn action(self) -> &'static str {
        match self {
            Self::Append => "append to",
            Self::Withdraw | Self::Erase => "take events out of",
            Self::WriteNotes => "write notes in",
            Self::Rewrite => "rewrite events in",
            Self::Undo => "put events back in",
            Self::DropOriginals => "drop the undo log of",
            Self::Seal => "seal",
            Self::Batch => "read",
            Self::Checkpoint => "read the checkpoint of",
            Self::AppendRange => "load a range of",
            Self::PlanRanges => "plan a load of",
            Self::LoadRanges => "read the ranges of",
            Self::Cuts => "cut",
        }
    }
}

/// The source of every error that a script causes, in a [`StoreErrorKind::Backend`], or where the store is lost in a
/// [`StoreErrorKind::Unavailable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("call {nth} to {call:?} was told to {fault:?}")]
pub struct InjectedFault<C: Cue = Call> {
    /// What was called.
    pub call: C,
    /// Which call it was, counted from 1.
    pub nth: usize,
    /// What it was told.
    pub fault: Fault,
}

/// Which calls fail, and how; and a view of what was called. Clones share everything, and so do all stores that
/// follow the same script: calls are counted across them.
#[derive(Clone, Debug)]
pub struct Script<C: Cue = Call> {
    shared: Arc<Shared<C>>,
}

#[derive(Debug)]
struct Shared<C> {
    plan: Mutex<Plan<C>>,
    /// One permit for each release.
    gate: Semaphore,
    /// How many calls wait at the gate.
    held: watch::Sender<usize>,
}

#[derive(Debug)]
struct Plan<C> {
    faults: HashMap<(C, usize), Fault>,
    seen: HashMap<C, usize>,
}

impl<C: Cue> Default for Script<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Cue> Script<C> {
    /// A script without faults.
    pub fn new() -> Self {
        let plan = Mutex::new(Plan { faults: HashMap::new(), seen: HashMap::new() });
        let shared = Shared { plan, gate: Semaphore::new(0), held: watch::Sender::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// Adds a fault to the `nth` call, counted from 1 since the script was made. Calls that are past stay as they
    /// went.
    pub fn on(&self, call: C, nth: usize, fault: Fault) -> &Self {
        self.plan().faults.insert((call, nth), fault);
        self
    }

    /// Adds a fault to the next call.
    pub fn on_next(&self, call: C, fault: Fault) -> &Self {
        let mut plan = self.plan();
        let next = plan.seen.get(&call).map_or(1, |seen| seen + 1);
        plan.faults.insert((call, next), fault);
        drop(plan);
        self
    }

    /// How many such calls came, failed ones included.
    pub fn seen(&self, call: C) -> usize {
        self.plan().seen.get(&call).copied().unwrap_or(0)
    }

    /// How many faults have not happened yet.
    pub fn outstanding(&self) -> usize {
        self.plan().faults.len()
    }

    /// How many calls wait for a release now.
    pub fn held(&self) -> usize {
        *self.shared.held.borrow()
    }

    /// Waits until a call waits for a release.
    pub async fn until_held(&self) {
        let mut held = self.shared.held.subscribe();
        // It can't fail: the sender lives in `self`.
        let _ = held.wait_for(|held| *held > 0).await;
    }

    /// Lets one held call go on; the next one to be held, if none is.
    pub fn release(&self) {
        self.shared.gate.add_permits(1);
    }

    fn plan(&self) -> MutexGuard<'_, Plan<C>> {
        self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and takes its fault.
    fn enter(&self, call: C) -> Option<InjectedFault<C>> {
        let mut plan = self.plan();
        let seen = plan.seen.entry(call).or_default();
        *seen += 1;
        let nth = *seen;
        let fault = plan.faults.remove(&(call, nth))?;
        Some(InjectedFault { call, nth, fault })
    }

    async fn wait_at_the_gate(&self) {
        let waiting = Waiting::new(&self.shared.held);
        // It can't fail: the gate is never closed.
        if let Ok(permit) = self.shared.gate.acquire().await {
            permit.forget();
        }
        drop(waiting);
    }

    /// What happens before the call: a wait, or the error that replaces it. What is left is for
    /// [`after`](InjectedFault::after) the call.
    pub async fn before(&self, call: C, store: &StoreIdentity) -> Result<Option<InjectedFault<C>>, StoreError> {
        let Some(injected) = self.enter(call) else { return Ok(None) };
        match injected.fault {
            Fault::Reject | Fault::Lose => Err(injected.error(store)),
            Fault::FailAfterSuccess | Fault::LoseAfterSuccess => Ok(Some(injected)),
            Fault::Hold => {
                self.wait_at_the_gate().await;
                Ok(None)
            }
        }
    }
}

impl<C: Cue> InjectedFault<C> {
    fn error(self, store: &StoreIdentity) -> StoreError {
        let kind = match self.fault {
            Fault::Lose | Fault::LoseAfterSuccess => StoreErrorKind::Unavailable(Box::new(self)),
            Fault::Reject | Fault::Hold | Fault::FailAfterSuccess => StoreErrorKind::Backend(Box::new(self)),
        };
        StoreError::new(self.call.action(), store, kind)
    }

    /// The answer to a call that went as it should: an error if this is to fail after it.
    pub fn after<T>(injected: Option<Self>, store: &StoreIdentity, answer: T) -> Result<T, StoreError> {
        injected.map_or(Ok(answer), |injected| Err(injected.error(store)))
    }
}

/// Counts a waiting call, also when its future is dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn new(held: &'a watch::Sender<usize>) -> Self {
        held.send_modify(|held| *held += 1);
        Self(held)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|held| *held -= 1);
    }
}

/// A reader or writer that fails as its script says, and is the wrapped one otherwise.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    script: Script,
}

impl<S> Faulty<S> {
    /// Lets a store follow a script.
    pub fn new(inner: S, script: Script) -> Self {
        Self { inner, script }
    }

    /// The store without the script.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

#[async_trait]
impl<S: EventReader> EventReader for Faulty<S> {
    fn identity(&self) -> &StoreIdentity {
        self.inner.identity()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let mut batches = self.inner.read(request);
        let script = self.script.clone();
        let store = self.inner.identity().clone();
        Box::pin(async_stream::stream! {
            loop {
                let injected = match script.before(Call::Batch, &store).await {
                    Ok(injected) => injected,
                    Err(error) => {
                        yield Err(error);
                        return;
                    }
                };
                let batch = batches.next().await;
                if let Some(injected) = injected {
                    yield Err(injected.error(&store));
                    return;
                }
                let Some(batch) = batch else { return };
                yield batch;
            }
        })
    }

    async fn census(&self, scope: &Scope, until: Option<Position>) -> Result<Option<Census>, StoreError> {
        self.inner.census(scope, until).await
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.inner.head().await
    }

    async fn cuts(
        &self,
        after: Option<Position>,
        until: Position,
        parts: NonZeroUsize,
    ) -> Result<Vec<Position>, StoreError> {
        let injected = self.script.before(Call::Cuts, self.inner.identity()).await?;
        let cuts = self.inner.cuts(after, until, parts).await?;
        InjectedFault::after(injected, self.inner.identity(), cuts)
    }

    fn news(&self) -> Option<BoxStream<'static, ()>> {
        self.inner.news()
    }

    fn reading(&self) -> String {
        self.inner.reading()
    }

    fn is_rereadable(&self) -> bool {
        self.inner.is_rereadable()
    }

    fn may_lose_events(&self) -> bool {
        self.inner.may_lose_events()
    }

    fn grows_at_its_end(&self) -> bool {
        self.inner.grows_at_its_end()
    }

    fn seen_through(&self) -> Option<Position> {
        self.inner.seen_through()
    }

    fn compared(&self, events: &mut [Event]) {
        self.inner.compared(events);
    }

    fn left_out(&self) -> Vec<LeftOut> {
        self.inner.left_out()
    }

    fn taken_as(&self) -> Vec<String> {
        self.inner.taken_as()
    }
}

#[async_trait]
impl<S: EventWriter> EventWriter for Faulty<S> {
    fn identity(&self) -> &StoreIdentity {
        self.inner.identity()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn writing(&self) -> String {
        self.inner.writing()
    }

    async fn append(&mut self, events: &[Event], progress: Option<&Progress>) -> Result<(), StoreError> {
        let injected = self.script.before(Call::Append, self.inner.identity()).await?;
        self.inner.append(events, progress).await?;
        InjectedFault::after(injected, self.inner.identity(), ())
    }

    async fn seal(&mut self, dense: bool) -> Result<(), StoreError> {
        let injected = self.script.before(Call::Seal, self.inner.identity()).await?;
        self.inner.seal(dense).await?;
        InjectedFault::after(injected, self.inner.identity(), ())
    }

    async fn range_writers(&mut self, count: NonZeroUsize) -> Result<Vec<Box<dyn RangeWriter>>, StoreError> {
        let store = self.inner.identity().clone();
        let writers = self.inner.range_writers(count).await?.into_iter();
        let faulty = |inner| {
            let (script, store) = (self.script.clone(), store.clone());
            Box::new(FaultyRange { inner, script, store }) as Box<dyn RangeWriter>
        };
        Ok(writers.map(faulty).collect())
    }

    async fn heads(&self, streams: &[StreamName]) -> Result<Vec<Option<Revision>>, StoreError> {
        self.inner.heads(streams).await
    }

    async fn withdraw(&mut self, from: &[(StreamName, Revision)], progress: &Progress) -> Result<(), StoreError> {
        let injected = self.script.before(Call::Withdraw, self.inner.identity()).await?;
        self.inner.withdraw(from, progress).await?;
        InjectedFault::after(injected, self.inner.identity(), ())
    }

    async fn erase(&mut self, after: Option<Position>, run: &RunRecord) -> Result<(), StoreError> {
        let injected = self.script.before(Call::Erase, self.inner.identity()).await?;
        self.inner.erase(after, run).await?;
        InjectedFault::after(injected, self.inner.identity(), ())
    }

    fn keeps_origins(&self) -> bool {
        self.inner.keeps_origins()
    }

    fn takes_earlier_positions(&self) -> bool {
        self.inner.takes_earlier_positions()
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.inner.is_empty().await
    }

    async fn last_position(&self) -> Result<Option<Position>, StoreError> {
        self.inner.last_position().await
    }
}

#[async_trait]
impl<S: EventRewriter> EventRewriter for Faulty<S> {
    async fn check_rewritable(&mut self) -> Result<(), StoreError> {
        self.inner.check_rewritable().await
    }

    async fn rewrite(&mut self, changes: &[Rewritten], progress: &Progress) -> Result<(), StoreError> {
        let injected = self.script.before(Call::Rewrite, self.inner.identity()).await?;
        self.inner.rewrite(changes, progress).await?;
        InjectedFault::after(injected, self.inner.identity(), ())
    }

    async fn originals(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: NonZeroUsize,
    ) -> Result<Vec<Original>, StoreError> {
        self.inner.originals(run, after, limit).await
    }

    async fn undo(&mut self, run: RunId, before: Option<Position>, limit: NonZeroUsize) -> Result<Undone, StoreError> {
        let injected = self.script.before(Call::Undo, self.inner.identity()).await?;
        let undone = self.inner.undo(run, before, limit).await?;
        InjectedFault::after(injected, self.inner.identity(), undone)
    }

    async fn drop_originals(&mut self, run: RunId) -> Result<u64, StoreError> {
        let injected = self.script.before(Call::DropOriginals, self.inner.identity()).await?;
        let dropped = self.inner.drop_originals(run).await?;
        InjectedFault::after(injected, self.inner.identity(), dropped)
    }
}

/// A range writer that fails as the script of its store says.
struct FaultyRange {
    inner: Box<dyn RangeWriter>,
    script: Script,
    store: StoreIdentity,
}

#[async_trait]
impl RangeWriter for FaultyRange {
    async fn append(
        &mut self,
        events: &[Event],
        run: RunId,
        range: &LoadRange,
        notes: &[NoteChange],
    ) -> Result<(), StoreError> {
        let injected = self.script.before(Call::AppendRange, &self.store).await?;
        self.inner.append(events, run, range, notes).await?;
        InjectedFault::after(injected, &self.store, ())
    }
}

#[async_trait]
impl<S: EventWriter> CheckpointStore for Faulty<S> {
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.inner.runs().await
    }

    async fn record_run(&mut self, run: &RunRecord) -> Result<(), StoreError> {
        self.inner.record_run(run).await
    }

    async fn checkpoint(&self, run: RunId) -> Result<Option<Checkpoint>, StoreError> {
        let injected = self.script.before(Call::Checkpoint, self.inner.identity()).await?;
        let checkpoint = self.inner.checkpoint(run).await?;
        InjectedFault::after(injected, self.inner.identity(), checkpoint)
    }

    async fn state(&self, run: RunId, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.inner.state(run, keys).await
    }

    async fn positions(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<PositionRange>, StoreError> {
        self.inner.positions(run, after, limit).await
    }

    async fn position_at(&self, run: RunId, source: Position) -> Result<Option<PositionRange>, StoreError> {
        self.inner.position_at(run, source).await
    }

    async fn late_of(&self, run: RunId, source: Position) -> Result<Vec<LatePosition>, StoreError> {
        self.inner.late_of(run, source).await
    }

    async fn late_at(&self, run: RunId, target: Position) -> Result<Option<LateEvents>, StoreError> {
        self.inner.late_at(run, target).await
    }

    async fn notes(
        &self,
        run: RunId,
        book: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>, StoreError> {
        self.inner.notes(run, book, after, limit).await
    }

    async fn write_notes(&mut self, run: RunId, changes: &[NoteChange]) -> Result<(), StoreError> {
        let injected = self.script.before(Call::WriteNotes, self.inner.identity()).await?;
        self.inner.write_notes(run, changes).await?;
        InjectedFault::after(injected, self.inner.identity(), ())
    }

    async fn load_ranges(&self, run: RunId) -> Result<Vec<LoadRange>, StoreError> {
        let injected = self.script.before(Call::LoadRanges, self.inner.identity()).await?;
        let ranges = self.inner.load_ranges(run).await?;
        InjectedFault::after(injected, self.inner.identity(), ranges)
    }

    async fn plan_ranges(&mut self, run: RunId, ranges: &[LoadRange]) -> Result<(), StoreError> {
        let injected = self.script.before(Call::PlanRanges, self.inner.identity()).await?;
        self.inner.plan_ranges(run, ranges).await?;
        InjectedFault::after(injected, self.inner.identity(), ())
    }
}
