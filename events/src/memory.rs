//! A store in memory: for tests, for examples, and as the reference of what the contract means.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;
use bytes::Bytes;
use bytestring::ByteString;
use futures_util::stream::BoxStream;
use tokio::sync::watch;
use uuid::Uuid;

use crate::checkpoint::{
    Checkpoint, LateEvents, LatePosition, LoadRange, NoteChange, PositionRange, Progress, RunId, RunRecord, StateKey,
};
use crate::error::{StoreError, StoreErrorKind};
use crate::event::{Event, EventId};
use crate::payload::Payload;
use crate::position::Position;
use crate::rewriting::{EventRewriter, Original, Rewritten, Undone};
use crate::scope::Scope;
use crate::store::{
    Capabilities, Census, CheckpointStore, EventReader, EventStream, EventWriter, Guarantees, RangeWriter, ReadRequest,
    StoreIdentity,
};
use crate::stream::{Revision, StreamName};
use crate::timestamp::Timestamp;

/// A store in memory. Cloning it gives another handle to the same events; the last handle, reader or writer that is
/// dropped takes them along.
///
/// It is new in the loading state. While loading it finds taken ids, revisions and positions at once, and leaves
/// gaps and the order of revisions to [`seal`](EventWriter::seal).
#[derive(Clone, Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

/// What a [`MemoryStore`] shall do in another way, to stand in for a store that does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemoryLimits {
    /// It numbers events itself, from 1, instead of keeping their positions.
    pub assigns_positions: bool,
    /// It records the moment of the append instead of keeping the events' times.
    pub assigns_time: bool,
    /// It keeps no attributes.
    pub drops_attributes: bool,
    /// The largest sum of payload bytes one append may hold.
    pub max_append_bytes: Option<u64>,
    /// It keeps JSON data, and JSON metadata, as a value only: here, without the white space.
    pub values_only: bool,
    /// It is read, and loaded, in ranges of positions at the same time.
    pub in_ranges: bool,
}

#[derive(Debug)]
struct Shared {
    identity: StoreIdentity,
    limits: MemoryLimits,
    has_writer: AtomicBool,
    /// Counts the appends, for whoever waits for news.
    appends: watch::Sender<u64>,
    content: RwLock<Content>,
}

#[derive(Debug, Default)]
struct Content {
    events: BTreeMap<Position, Event>,
    streams: HashMap<StreamName, BTreeMap<Revision, EventId>>,
    ids: HashMap<EventId, (StreamName, Revision)>,
    sealed: bool,
    /// Sealed without `dense`: revisions may have gaps from then on.
    sparse: bool,
    runs: Vec<RunRecord>,
    progress: HashMap<RunId, RunProgress>,
}

#[derive(Debug, Default)]
struct RunProgress {
    checkpoint: Option<Checkpoint>,
    state: HashMap<StateKey, Bytes>,
    positions: BTreeMap<Position, PositionRange>,
    late: BTreeSet<LatePosition>,
    ranges: Vec<LoadRange>,
    /// By book and key.
    notes: BTreeMap<(ByteString, ByteString), Bytes>,
    /// Events that were rewritten, as they were, and what was made of them.
    undo: BTreeMap<Position, Rewritten>,
}

impl RunProgress {
    fn note(&mut self, changes: &[NoteChange]) {
        for NoteChange { book, key, value } in changes {
            let place = (book.clone(), key.clone());
            match value {
                Some(value) => self.notes.insert(place, value.clone()),
                None => self.notes.remove(&place),
            };
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::with_limits(MemoryLimits::default())
    }

    /// An empty store that can do less.
    pub fn with_limits(limits: MemoryLimits) -> Self {
        let key = Uuid::new_v4().to_string();
        let identity = StoreIdentity { display: "memory".to_owned(), key };
        let shared = Shared {
            identity,
            limits,
            has_writer: AtomicBool::new(false),
            appends: watch::Sender::new(0),
            content: RwLock::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Opens it for reading, any number of times.
    pub fn reader(&self) -> MemoryReader {
        MemoryReader { shared: Arc::clone(&self.shared) }
    }

    /// Opens it for appending. Fails with [`StoreErrorKind::Locked`] while another writer lives.
    pub fn writer(&self) -> Result<MemoryWriter, StoreError> {
        if self.shared.has_writer.swap(true, Ordering::AcqRel) {
            let holder = StoreErrorKind::Locked("a writer of this process".to_owned());
            return Err(StoreError::new("open", &self.shared.identity, holder).hint("drop the other writer first"));
        }
        Ok(MemoryWriter { shared: Arc::clone(&self.shared) })
    }
}

impl Shared {
    fn content(&self) -> RwLockReadGuard<'_, Content> {
        // Content changes only in steps that can't panic, so a poisoned lock guards sound content.
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn content_mut(&self) -> RwLockWriteGuard<'_, Content> {
        self.content.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            transactions: true,
            global_order: true,
            explicit_positions: !self.limits.assigns_positions,
            sets_time: !self.limits.assigns_time,
            attributes: !self.limits.drops_attributes,
            exact_data: !self.limits.values_only,
            exact_metadata: !self.limits.values_only,
            max_append_bytes: self.limits.max_append_bytes,
            refuses_taken_ids: true,
            guarantees: Guarantees { unique_ids: true, unique_revisions: true, dense_revisions: false },
        }
    }

    /// The event as this store keeps it.
    fn kept(&self, event: &Event, content: &Content) -> Event {
        let mut event = event.clone();
        if self.limits.assigns_positions {
            event.position = Position::new(content.last_position().map_or(1, |last| last.major() + 1));
        }
        if self.limits.assigns_time {
            event.recorded_at = Timestamp::now();
        }
        if self.limits.drops_attributes {
            event.attributes = Bytes::new();
        }
        if self.limits.values_only {
            for payload in [&mut event.data, &mut event.metadata] {
                if payload.is_json() {
                    *payload = Payload::new(without_white_space(payload.bytes()), payload.content_type().clone());
                }
            }
        }
        event
    }

    /// Appends while the content is locked; all of the events or none.
    fn append(&self, content: &mut Content, events: &[Event]) -> Result<(), StoreError> {
        if let Some(too_large) = self.too_large(events) {
            let error = StoreError::new("append to", &self.identity, too_large);
            return Err(error.hint("append fewer events at a time"));
        }
        let mut added = Vec::new();
        for event in events {
            if content.holds(event) {
                continue;
            }
            let event = self.kept(event, content);
            if let Some(conflict) = content.conflict(&event) {
                added.into_iter().for_each(|position| content.remove(position));
                let place = format_args!("stream {}, revision {}", event.stream, event.revision);
                return Err(StoreError::new("append to", &self.identity, conflict).at(place));
            }
            added.push(event.position);
            content.insert(event);
        }
        Ok(())
    }

    fn too_large(&self, events: &[Event]) -> Option<StoreErrorKind> {
        let limit = self.limits.max_append_bytes?;
        let bytes: u64 = events.iter().map(|event| (event.data.len() + event.metadata.len()) as u64).sum();
        let message = || format!("the append holds {bytes} payload bytes, more than the {limit} it can take");
        (bytes > limit).then(|| StoreErrorKind::Unsupported(message()))
    }
}

impl Content {
    fn last_position(&self) -> Option<Position> {
        self.events.last_key_value().map(|(position, _)| *position)
    }

    fn holds(&self, event: &Event) -> bool {
        let at_revision = self.streams.get(&event.stream).and_then(|stream| stream.get(&event.revision));
        at_revision == Some(&event.id)
    }

    /// Why the event can't be taken, if it can't. It is not one that is held already.
    fn conflict(&self, event: &Event) -> Option<StoreErrorKind> {
        let stream = self.streams.get(&event.stream);
        let found = stream.and_then(|stream| stream.last_key_value()).map(|(revision, _)| *revision);
        let is_taken = stream.is_some_and(|stream| stream.contains_key(&event.revision));
        let next = found.map_or(Revision(0), Revision::next);
        let is_next = event.revision == next || (self.sparse && event.revision > next);
        if is_taken || (self.sealed && !is_next) {
            return Some(StoreErrorKind::RevisionConflict {
                stream: event.stream.clone(),
                revision: event.revision,
                id: event.id.clone(),
                found,
            });
        }
        if self.ids.contains_key(&event.id) {
            return Some(StoreErrorKind::DuplicateId(event.id.clone()));
        }
        let last = self.last_position()?;
        if self.events.contains_key(&event.position) {
            return Some(StoreErrorKind::PositionTaken { id: event.id.clone(), position: event.position, last });
        }
        None
    }

    fn insert(&mut self, event: Event) {
        self.ids.insert(event.id.clone(), (event.stream.clone(), event.revision));
        self.streams.entry(event.stream.clone()).or_default().insert(event.revision, event.id.clone());
        self.events.insert(event.position, event);
    }

    fn remove(&mut self, position: Position) {
        let Some(event) = self.events.remove(&position) else { return };
        self.ids.remove(&event.id);
        let Some(stream) = self.streams.get_mut(&event.stream) else { return };
        stream.remove(&event.revision);
        if stream.is_empty() {
            self.streams.remove(&event.stream);
        }
    }

    fn commit(&mut self, progress: &Progress) {
        let run = self.progress.entry(progress.run).or_default();
        run.checkpoint = Some(progress.checkpoint);
        for change in &progress.state {
            match &change.value {
                Some(value) => run.state.insert(change.key.clone(), value.clone()),
                None => run.state.remove(&change.key),
            };
        }
        run.positions.extend(progress.positions.iter().map(|range| (range.source, *range)));
        run.positions.retain(|_, range| range.source_length > 0);
        run.late.extend(&progress.late);
        run.note(&progress.notes);
    }

    fn record(&mut self, run: &RunRecord) {
        match self.runs.iter_mut().find(|recorded| recorded.id == run.id) {
            Some(recorded) => *recorded = run.clone(),
            None => self.runs.push(run.clone()),
        }
    }

    fn remove_where(&mut self, is_gone: impl Fn(&Event) -> bool) {
        let gone: Vec<Position> = self.events.values().filter(|event| is_gone(event)).map(|e| e.position).collect();
        gone.into_iter().for_each(|position| self.remove(position));
    }

    /// The first event whose revision is not behind the one before it in its stream.
    fn find_disorder(&self) -> Option<(&Event, Revision)> {
        let mut last: HashMap<&StreamName, Revision> = HashMap::new();
        self.events.values().find_map(|event| {
            let before = last.insert(&event.stream, event.revision)?;
            (before >= event.revision).then_some((event, before))
        })
    }

    /// The first stream, by name, with a missing revision: the revision, and the event behind the gap.
    fn find_gap(&self) -> Option<(&StreamName, Revision, Revision, &EventId)> {
        let gap_of = |revisions: &BTreeMap<Revision, EventId>| {
            (0..).map(Revision).zip(revisions.keys().copied()).find(|(expected, found)| expected != found)
        };
        let gaps = self.streams.iter().filter_map(|(name, revisions)| {
            let (missing, found) = gap_of(revisions)?;
            Some((name, missing, found, revisions.get(&found)?))
        });
        gaps.min_by_key(|(name, ..)| *name)
    }

    /// The next batch of a request behind `after`, and where the batch after it starts; no start at the end.
    fn batch(&self, request: &ReadRequest, after: Option<Position>) -> (Vec<Event>, Option<Position>) {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut batch = Vec::new();
        let mut bytes = 0;
        let range = self.events.range((from, Bound::Unbounded));
        for (position, event) in range.take_while(|(position, _)| request.until.is_none_or(|until| **position <= until))
        {
            if !request.scope.contains(event) {
                continue;
            }
            bytes += event.size();
            batch.push(event.clone());
            if batch.len() >= request.batch_events.get() || bytes >= request.batch_bytes.get() {
                return (batch, Some(*position));
            }
        }
        (batch, None)
    }

    fn census(&self, scope: &Scope, until: Option<Position>) -> Census {
        let mut census = Census::new();
        for event in self.events.values().take_while(|event| until.is_none_or(|until| event.position <= until)) {
            if !scope.contains(event) {
                continue;
            }
            let tally = census.entry((event.event_type.clone(), event.version)).or_default();
            tally.events += 1;
            tally.bytes = Some(tally.bytes.unwrap_or(0) + (event.data.len() + event.metadata.len()) as u64);
        }
        census
    }
}

/// Reads a [`MemoryStore`]. Each batch is taken when it is asked for, and includes what was appended by then.
#[derive(Clone, Debug)]
pub struct MemoryReader {
    shared: Arc<Shared>,
}

#[async_trait]
impl EventReader for MemoryReader {
    fn identity(&self) -> &StoreIdentity {
        &self.shared.identity
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let shared = Arc::clone(&self.shared);
        Box::pin(async_stream::stream! {
            let mut after = request.after;
            loop {
                let (batch, next) = shared.content().batch(&request, after);
                if !batch.is_empty() {
                    yield Ok(batch);
                }
                if next.is_none() {
                    return;
                }
                after = next;
            }
        })
    }

    async fn census(&self, scope: &Scope, until: Option<Position>) -> Result<Option<Census>, StoreError> {
        Ok(Some(self.shared.content().census(scope, until)))
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        Ok(self.shared.content().last_position())
    }

    async fn cuts(
        &self,
        after: Option<Position>,
        until: Position,
        parts: NonZeroUsize,
    ) -> Result<Vec<Position>, StoreError> {
        if !self.shared.limits.in_ranges || after.is_some_and(|after| after >= until) {
            return Ok(Vec::new());
        }
        let content = self.shared.content();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let positions: Vec<Position> = content.events.range((from, Bound::Excluded(until))).map(|(p, _)| *p).collect();
        let length = positions.len().div_ceil(parts.get()).max(1);
        Ok(positions.chunks_exact(length).filter_map(|part| part.last().copied()).take(parts.get() - 1).collect())
    }

    fn news(&self) -> Option<BoxStream<'static, ()>> {
        let mut appends = self.shared.appends.subscribe();
        Some(Box::pin(async_stream::stream! {
            while appends.changed().await.is_ok() {
                yield ();
            }
        }))
    }
}

/// JSON text without the white space between its tokens.
fn without_white_space(json: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for &byte in json {
        if in_string || !byte.is_ascii_whitespace() {
            kept.push(byte);
        }
        in_string ^= byte == b'"' && !escaped;
        escaped = in_string && byte == b'\\' && !escaped;
    }
    kept
}

/// Appends to a [`MemoryStore`]. Dropping it lets the next writer in.
#[derive(Debug)]
pub struct MemoryWriter {
    shared: Arc<Shared>,
}

impl Drop for MemoryWriter {
    fn drop(&mut self) {
        self.shared.has_writer.store(false, Ordering::Release);
    }
}

impl MemoryWriter {
    fn error(&self, action: &'static str, kind: StoreErrorKind) -> StoreError {
        StoreError::new(action, &self.shared.identity, kind)
    }
}

#[async_trait]
impl EventWriter for MemoryWriter {
    fn identity(&self) -> &StoreIdentity {
        &self.shared.identity
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities()
    }

    async fn append(&mut self, events: &[Event], progress: Option<&Progress>) -> Result<(), StoreError> {
        let mut content = self.shared.content_mut();
        self.shared.append(&mut content, events)?;
        if let Some(progress) = progress {
            content.commit(progress);
        }
        drop(content);
        self.shared.appends.send_modify(|appends| *appends += 1);
        Ok(())
    }

    async fn range_writers(&mut self, count: NonZeroUsize) -> Result<Vec<Box<dyn RangeWriter>>, StoreError> {
        if !self.shared.limits.in_ranges || self.shared.content().sealed {
            return Ok(Vec::new());
        }
        let writer = || Box::new(MemoryRangeWriter { shared: Arc::clone(&self.shared) }) as Box<dyn RangeWriter>;
        Ok((0..count.get()).map(|_| writer()).collect())
    }

    async fn seal(&mut self, dense: bool) -> Result<(), StoreError> {
        let mut content = self.shared.content_mut();
        if content.sealed {
            return Ok(());
        }
        if let Some((event, before)) = content.find_disorder() {
            let message = format!("revision {} comes after revision {before}", event.revision);
            let place = format_args!("stream {}, position {}", event.stream, event.position);
            return Err(self.error("seal", StoreErrorKind::BadInput(message)).at(place));
        }
        if let Some((stream, missing, revision, id)) = content.find_gap().filter(|_| dense) {
            let found = missing.0.checked_sub(1).map(Revision);
            let gap = StoreErrorKind::RevisionConflict { stream: stream.clone(), revision, id: id.clone(), found };
            return Err(self.error("seal", gap).at(format_args!("stream {stream}, revision {missing}")));
        }
        content.sealed = true;
        content.sparse = !dense;
        Ok(())
    }

    async fn heads(&self, streams: &[StreamName]) -> Result<Vec<Option<Revision>>, StoreError> {
        let content = self.shared.content();
        let head = |stream| content.streams.get(stream).and_then(|held| held.last_key_value()).map(|(last, _)| *last);
        Ok(streams.iter().map(head).collect())
    }

    async fn withdraw(&mut self, from: &[(StreamName, Revision)], progress: &Progress) -> Result<(), StoreError> {
        let mut content = self.shared.content_mut();
        let from: HashMap<&StreamName, Revision> = from.iter().map(|(stream, first)| (stream, *first)).collect();
        content.remove_where(|event| from.get(&event.stream).is_some_and(|first| event.revision >= *first));
        content.commit(progress);
        Ok(())
    }

    async fn erase(&mut self, after: Option<Position>, run: &RunRecord) -> Result<(), StoreError> {
        let mut content = self.shared.content_mut();
        content.remove_where(|event| after.is_none_or(|after| event.position > after));
        if content.events.is_empty() {
            content.sealed = false;
            content.sparse = false;
        }
        let notes = content.progress.remove(&run.id).map(|kept| kept.notes).unwrap_or_default();
        content.progress.insert(run.id, RunProgress { notes, ..RunProgress::default() });
        content.record(run);
        Ok(())
    }

    fn takes_earlier_positions(&self) -> bool {
        !self.shared.limits.assigns_positions
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.shared.content().events.is_empty())
    }

    async fn last_position(&self) -> Result<Option<Position>, StoreError> {
        Ok(self.shared.content().last_position())
    }
}

#[async_trait]
impl EventRewriter for MemoryWriter {
    async fn check_rewritable(&mut self) -> Result<(), StoreError> {
        if self.shared.content().sealed {
            return Ok(());
        }
        let loading = StoreErrorKind::Unsupported("it is loading".to_owned());
        Err(self.error("rewrite events in", loading).hint("let the run into it end first"))
    }

    async fn rewrite(&mut self, changes: &[Rewritten], progress: &Progress) -> Result<(), StoreError> {
        self.check_rewritable().await?;
        let mut content = self.shared.content_mut();
        for Rewritten { before, .. } in changes {
            if content.events.get(&before.position) != Some(before) {
                let place = format_args!("position {}", before.position);
                return Err(self.error("rewrite events in", StoreErrorKind::Changed(before.id.clone())).at(place));
            }
        }
        for Rewritten { before, after } in changes {
            let kept = self.shared.kept(after, &content);
            let made = Original::of(&Event { position: before.position, ..kept }).put_back(before);
            content.events.insert(before.position, made.clone());
            let undo = Rewritten { before: before.clone(), after: made };
            content.progress.entry(progress.run).or_default().undo.insert(before.position, undo);
        }
        content.commit(progress);
        Ok(())
    }

    async fn originals(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: NonZeroUsize,
    ) -> Result<Vec<Original>, StoreError> {
        let content = self.shared.content();
        let Some(run) = content.progress.get(&run) else { return Ok(Vec::new()) };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = run.undo.range((from, Bound::Unbounded)).take(limit.get());
        Ok(behind.map(|(_, undo)| Original::of(&undo.before)).collect())
    }

    async fn undo(&mut self, run: RunId, before: Option<Position>, limit: NonZeroUsize) -> Result<Undone, StoreError> {
        let mut content = self.shared.content_mut();
        let Content { events, progress, .. } = &mut *content;
        let Some(run) = progress.get_mut(&run) else { return Ok(Undone::default()) };
        let until = before.map_or(Bound::Unbounded, Bound::Excluded);
        let log = run.undo.range((Bound::Unbounded, until)).rev().take(limit.get());
        let log: Vec<Rewritten> = log.map(|(_, undo)| undo.clone()).collect();
        let next = log.last().filter(|_| log.len() == limit.get()).map(|last| last.before.position);
        let mut undone = Undone { next, ..Undone::default() };
        for Rewritten { before, after } in log {
            if events.get(&before.position) != Some(&after) {
                undone.kept.push((before.position, before.id));
                continue;
            }
            run.undo.remove(&before.position);
            events.insert(before.position, before);
            undone.restored += 1;
        }
        Ok(undone)
    }

    async fn drop_originals(&mut self, run: RunId) -> Result<u64, StoreError> {
        let mut content = self.shared.content_mut();
        let dropped = content.progress.get_mut(&run).map(|run| std::mem::take(&mut run.undo));
        Ok(dropped.map_or(0, |undo| undo.len() as u64))
    }
}

/// Loads ranges into a [`MemoryStore`].
#[derive(Debug)]
struct MemoryRangeWriter {
    shared: Arc<Shared>,
}

#[async_trait]
impl RangeWriter for MemoryRangeWriter {
    async fn append(
        &mut self,
        events: &[Event],
        run: RunId,
        range: &LoadRange,
        notes: &[NoteChange],
    ) -> Result<(), StoreError> {
        let mut content = self.shared.content_mut();
        let refused = |problem: &str| {
            let place = format!("range {}", range.index);
            let kind = StoreErrorKind::Unsupported(problem.to_owned());
            Err(StoreError::new("load", &self.shared.identity, kind).at(place))
        };
        let ranges = content.progress.get(&run).map_or(&[][..], |progress| &progress.ranges);
        let same = |planned: &&LoadRange| {
            (planned.index, planned.after, planned.until) == (range.index, range.after, range.until)
        };
        let Some(planned) = ranges.iter().find(same) else { return refused("it was not planned") };
        let mut last = planned.done.or(planned.after);
        for event in events {
            if last.is_some_and(|last| event.position <= last) || event.position > range.until {
                return refused("an event comes out of order");
            }
            last = Some(event.position);
        }
        self.shared.append(&mut content, events)?;
        let ranges = content.progress.entry(run).or_default();
        if let Some(planned) = ranges.ranges.iter_mut().find(|planned| planned.index == range.index) {
            *planned = *range;
        }
        ranges.note(notes);
        drop(content);
        self.shared.appends.send_modify(|appends| *appends += 1);
        Ok(())
    }
}

#[async_trait]
impl CheckpointStore for MemoryWriter {
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        Ok(self.shared.content().runs.clone())
    }

    async fn record_run(&mut self, run: &RunRecord) -> Result<(), StoreError> {
        self.shared.content_mut().record(run);
        Ok(())
    }

    async fn checkpoint(&self, run: RunId) -> Result<Option<Checkpoint>, StoreError> {
        Ok(self.shared.content().progress.get(&run).and_then(|run| run.checkpoint))
    }

    async fn state(&self, run: RunId, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let content = self.shared.content();
        let state = content.progress.get(&run).map(|run| &run.state);
        Ok(keys.iter().map(|key| state.and_then(|state| state.get(key).cloned())).collect())
    }

    async fn positions(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<PositionRange>, StoreError> {
        let content = self.shared.content();
        let Some(run) = content.progress.get(&run) else { return Ok(Vec::new()) };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(run.positions.range((from, Bound::Unbounded)).take(limit).map(|(_, range)| *range).collect())
    }

    async fn position_at(&self, run: RunId, source: Position) -> Result<Option<PositionRange>, StoreError> {
        let content = self.shared.content();
        let Some(run) = content.progress.get(&run) else { return Ok(None) };
        Ok(run.positions.range(..=source).next_back().map(|(_, range)| *range))
    }

    async fn late_of(&self, run: RunId, source: Position) -> Result<Vec<LatePosition>, StoreError> {
        let content = self.shared.content();
        let late = content.progress.get(&run).into_iter().flat_map(|run| &run.late);
        Ok(late.filter(|late| late.source == source).copied().collect())
    }

    async fn late_at(&self, run: RunId, target: Position) -> Result<Option<LateEvents>, StoreError> {
        let content = self.shared.content();
        let late = content.progress.get(&run).into_iter().flat_map(|run| &run.late);
        let mut last: Option<LateEvents> = None;
        for late in late.filter(|late| late.target <= target) {
            let (target, source) = (late.target, late.source);
            // In the order of their sources.
            last = match last {
                Some(last) if last.target > target => Some(last),
                Some(last) if last.target == target => Some(LateEvents { last_source: source, ..last }),
                _ => {
                    let target_length = late.target_length;
                    Some(LateEvents { target, target_length, first_source: source, last_source: source })
                }
            };
        }
        Ok(last)
    }

    async fn notes(
        &self,
        run: RunId,
        book: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>, StoreError> {
        let content = self.shared.content();
        let Some(run) = content.progress.get(&run) else { return Ok(Vec::new()) };
        let in_book = run.notes.iter().filter(|((known, _), _)| &**known == book);
        let behind = in_book.filter(|((_, key), _)| after.is_none_or(|after| &**key > after));
        Ok(behind.take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    async fn write_notes(&mut self, run: RunId, changes: &[NoteChange]) -> Result<(), StoreError> {
        self.shared.content_mut().progress.entry(run).or_default().note(changes);
        Ok(())
    }

    async fn load_ranges(&self, run: RunId) -> Result<Vec<LoadRange>, StoreError> {
        Ok(self.shared.content().progress.get(&run).map(|run| run.ranges.clone()).unwrap_or_default())
    }

    async fn plan_ranges(&mut self, run: RunId, ranges: &[LoadRange]) -> Result<(), StoreError> {
        let mut content = self.shared.content_mut();
        if content.sealed && !ranges.is_empty() {
            let problem = StoreErrorKind::Unsupported("it is sealed".to_owned());
            return Err(self.error("plan a load of", problem));
        }
        content.progress.entry(run).or_default().ranges = ranges.to_vec();
        Ok(())
    }
}
