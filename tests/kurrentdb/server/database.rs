//! The log in memory, with its streams and the rules by which the server writes them.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use tokio::sync::watch;
use uuid::Uuid;

use super::noise::Noise;
use super::retention::{DELETED, Retention, ticks, with_truncate_before};

/// Bytes of a record besides its texts.
const RECORD_BYTES: u64 = 70;
/// Bytes of the record that ends an explicit transaction.
const COMMIT_BYTES: u64 = 54;
/// Of how many appended events the ids are remembered, for appends that expect any revision.
const REMEMBERED_IDS: usize = 100_000;

/// Where an event is in the log: where its commit begins, and where it begins itself. Ordinary events commit themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LogPosition {
    /// Where the commit begins.
    pub(crate) commit: u64,
    /// Where the event begins.
    pub(crate) prepare: u64,
}

impl LogPosition {
    /// Before everything.
    pub(crate) const START: Self = Self { commit: 0, prepare: 0 };
    /// Behind everything.
    pub(crate) const END: Self = Self { commit: u64::MAX, prepare: u64::MAX };
}

/// One event as it is in the log.
#[derive(Debug)]
pub(crate) struct Record {
    /// The stream it is in.
    pub(crate) stream: Arc<str>,
    /// Its number in the stream, from 0; `i64::MAX` of a tombstone.
    pub(crate) revision: i64,
    /// Its id.
    pub(crate) id: Uuid,
    /// Its type.
    pub(crate) event_type: Arc<str>,
    /// Whether its content type is JSON; anything else is octets.
    pub(crate) is_json: bool,
    /// Its data, as they were sent.
    pub(crate) data: Bytes,
    /// Its metadata, as they were sent.
    pub(crate) metadata: Bytes,
    /// When it was written, in 100 nanoseconds since 1970.
    pub(crate) created_ticks: u64,
    /// Where it is in the log.
    pub(crate) position: LogPosition,
    /// Where the next record may begin behind it: what reading backwards compares with.
    pub(super) behind: LogPosition,
}

impl Record {
    /// When it was written.
    pub(crate) fn created(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_micros(self.created_ticks / 10)
    }

    /// Whether it committed itself: not part of an explicit transaction.
    pub(super) fn is_self_committed(&self) -> bool {
        self.position.commit == self.position.prepare
    }
}

/// An event to append.
#[derive(Clone, Debug)]
pub(crate) struct NewEvent {
    /// Its id.
    pub(crate) id: Uuid,
    /// Its type.
    pub(crate) event_type: String,
    /// Whether it is sent as JSON.
    pub(crate) is_json: bool,
    /// Its data.
    pub(crate) data: Bytes,
    /// Its metadata.
    pub(crate) metadata: Bytes,
}

impl NewEvent {
    /// JSON without metadata, under a new id.
    pub(crate) fn json(event_type: &str, data: impl Into<Bytes>) -> Self {
        Self {
            id: Uuid::new_v4(),
            event_type: event_type.to_owned(),
            is_json: true,
            data: data.into(),
            metadata: Bytes::new(),
        }
    }

    /// Octets without metadata, under a new id.
    pub(crate) fn octets(event_type: &str, data: impl Into<Bytes>) -> Self {
        Self { is_json: false, ..Self::json(event_type, data) }
    }

    /// With this metadata.
    pub(crate) fn with_metadata(self, metadata: impl Into<Bytes>) -> Self {
        Self { metadata: metadata.into(), ..self }
    }

    /// With this id.
    pub(crate) fn with_id(self, id: Uuid) -> Self {
        Self { id, ..self }
    }

    /// As the server counts: data, metadata, and two bytes for each UTF-16 unit of the type.
    pub(crate) fn size(&self) -> usize {
        self.data.len() + self.metadata.len() + 2 * self.event_type.encode_utf16().count()
    }
}

/// What a writer expects of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Anything.
    Any,
    /// That it has events or metadata, and is not deleted.
    StreamExists,
    /// That it has no events.
    NoStream,
    /// That this is its last revision.
    Revision(u64),
}

impl Expected {
    /// As the server writes it into texts.
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Any => -2,
            Self::StreamExists => -4,
            Self::NoStream => -1,
            Self::Revision(revision) => i64::try_from(revision).unwrap_or(DELETED),
        }
    }
}

/// What came of an append or of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    /// The last revision of what was appended, or was there already; -1 where the stream is still empty.
    pub(crate) revision: i64,
    /// Of the last event; nothing where it was there already and is truncated by now.
    pub(crate) position: Option<LogPosition>,
    /// How many events were really written: none where all of them were there already.
    pub(crate) written: usize,
}

/// Why nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The stream's last revision is another one; -1: it has no events.
    WrongVersion {
        /// The stream's last revision.
        current: i64,
    },
    /// The stream has a tombstone, or is deleted and was expected to exist.
    Deleted,
}

/// Events that are in the log and wait for their commit.
#[derive(Debug)]
pub(crate) struct Transaction {
    stream: String,
    events: Vec<(u64, NewEvent)>,
}

#[derive(Default)]
struct Stream {
    records: Vec<Arc<Record>>,
    /// -1 without events, `DELETED` behind a tombstone.
    last: i64,
    retention: Retention,
}

#[derive(Default)]
struct State {
    log: Vec<Arc<Record>>,
    streams: HashMap<Arc<str>, Stream>,
    types: HashSet<Arc<str>>,
    end: u64,
    ids: HashMap<Uuid, (Arc<str>, i64)>,
    order_of_ids: VecDeque<Uuid>,
    noise: Noise,
    transaction_every: u64,
    until_transaction: u64,
}

/// The log of a server or of all the nodes of a cluster. Every method is one step: others see all of it or nothing.
pub(crate) struct Database {
    state: Mutex<State>,
    end: watch::Sender<u64>,
}

enum Decision {
    Write { last: i64, was_deleted: bool },
    There { last: i64 },
}

impl Database {
    /// Without events. Every `noise_every`th event brings links and statistics of the system with it, every
    /// `transaction_every`th append is an explicit transaction: the commit of its events is behind them. 0: never.
    pub(crate) fn new(noise_every: u64, transaction_every: u64) -> Arc<Self> {
        let state = State {
            noise: Noise::every(noise_every),
            transaction_every,
            until_transaction: transaction_every,
            ..State::default()
        };
        Arc::new(Self { state: Mutex::new(state), end: watch::Sender::new(0) })
    }

    /// Appends with the time that it is.
    pub(crate) fn append(&self, stream: &str, expected: Expected, events: Vec<NewEvent>) -> Result<Appended, Refused> {
        self.append_at(SystemTime::now(), stream, expected, events)
    }

    /// Appends as if it were that time.
    pub(crate) fn append_at(
        &self,
        created: SystemTime,
        stream: &str,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, Refused> {
        self.change(|state| state.append(ticks(created), stream, expected, events))
    }

    /// Writes `$metadata` to the stream's stream of metadata, whatever was there.
    pub(crate) fn set_metadata(&self, stream: &str, metadata: &str) -> Result<Appended, Refused> {
        let event = NewEvent::json("$metadata", metadata.to_owned());
        self.append(&format!("$${stream}"), Expected::Any, vec![event])
    }

    /// Deletes softly: writes `$tb` = `i64::MAX` as the stream's whole metadata.
    pub(crate) fn delete(&self, stream: &str, expected: Expected) -> Result<Appended, Refused> {
        self.change(|state| state.delete(stream, expected))
    }

    /// Deletes for good: nothing can be written to the stream ever again.
    pub(crate) fn tombstone(&self, stream: &str, expected: Expected) -> Result<Appended, Refused> {
        self.change(|state| state.tombstone(stream, expected))
    }

    /// Writes the events of an explicit transaction, which nobody sees before it is committed. Others may write between.
    pub(crate) fn start_transaction(&self, stream: &str, events: Vec<NewEvent>) -> Transaction {
        self.change(|state| state.start_transaction(stream, events))
    }

    /// Makes the events of a transaction events of their stream: behind everything that came meanwhile.
    pub(crate) fn commit(&self, transaction: Transaction) -> Result<Appended, Refused> {
        self.change(|state| state.commit(ticks(SystemTime::now()), transaction, Expected::Any))
    }

    /// Removes from the log what no stream shows any more, except each stream's last event and the tombstones.
    /// Positions of the others stay. Says how many events went.
    pub(crate) fn scavenge(&self) -> usize {
        self.change(State::scavenge)
    }

    /// Every event in the order of the log, handles only.
    pub(crate) fn records(&self) -> Vec<Arc<Record>> {
        self.state().log.clone()
    }

    /// The events of one stream as they are in the log, truncated ones too.
    pub(crate) fn stream(&self, name: &str) -> Vec<Arc<Record>> {
        self.state().streams.get(name).map(|stream| stream.records.clone()).unwrap_or_default()
    }

    /// The stream's newest metadata; nothing where it has none.
    pub(crate) fn metadata(&self, stream: &str) -> Option<serde_json::Value> {
        let record = self.stream(&format!("$${stream}")).pop()?;
        serde_json::from_slice(&record.data).ok()
    }

    /// Where the next record will begin, in bytes.
    pub(crate) fn end(&self) -> u64 {
        self.state().end
    }

    /// Wakes whoever waits for the log to grow.
    pub(super) fn grown(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    pub(super) fn retention(&self, stream: &str) -> Retention {
        self.state().retention(stream)
    }

    /// The events at and behind the position, at most so many.
    pub(super) fn all_forwards(&self, from: LogPosition, most: usize) -> Vec<Arc<Record>> {
        let state = self.state();
        let first = state.log.partition_point(|record| record.position < from);
        state.log[first..].iter().take(most).cloned().collect()
    }

    /// The events that end at or before the position, newest first, at most so many.
    pub(super) fn all_backwards(&self, from: LogPosition, most: usize) -> Vec<Arc<Record>> {
        let state = self.state();
        let behind = state.log.partition_point(|record| record.behind <= from);
        state.log[..behind].iter().rev().take(most).cloned().collect()
    }

    /// Whether the position is within a record, where no record begins.
    pub(super) fn is_within_a_record(&self, position: LogPosition) -> bool {
        let state = self.state();
        let behind = state.log.partition_point(|record| record.position.commit <= position.commit);
        let Some(record) = behind.checked_sub(1).and_then(|last| state.log.get(last)) else { return false };
        record.position.commit < position.commit && position.commit < record.behind.commit
    }

    /// What of the stream may be read.
    pub(super) fn readable(&self, stream: &str) -> Readable {
        self.state().readable(stream)
    }

    /// Up to `most` events that may be read, with revisions from `from` upwards.
    pub(super) fn stream_forwards(&self, stream: &str, from: i64, most: usize) -> Vec<Arc<Record>> {
        let state = self.state();
        let visible = state.visible(stream);
        let first = visible.partition_point(|record| record.revision < from);
        visible[first..].iter().take(most).cloned().collect()
    }

    /// Up to `most` events that may be read, with revisions from `from` downwards.
    pub(super) fn stream_backwards(&self, stream: &str, from: i64, most: usize) -> Vec<Arc<Record>> {
        let state = self.state();
        let visible = state.visible(stream);
        let behind = visible.partition_point(|record| record.revision <= from);
        visible[..behind].iter().rev().take(most).cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let before = state.end;
        let made = change(&mut state);
        let end = state.end;
        drop(state);
        if end != before {
            // Two writers may come here in either order: the end never goes back.
            self.end.send_if_modified(|known| (*known < end).then(|| *known = end).is_some());
        }
        made
    }
}

/// What a reader of a stream finds.
pub(super) enum Readable {
    /// No events, or deleted softly.
    NoStream,
    /// A tombstone.
    Deleted,
    /// Events from the first revision that may be read, to the last one.
    Revisions { first: i64, last: i64 },
}

impl State {
    fn append(
        &mut self,
        created: u64,
        stream: &str,
        expected: Expected,
        events: Vec<NewEvent>,
    ) -> Result<Appended, Refused> {
        if !events.is_empty() && self.is_time_for_a_transaction() {
            // Refused before anything is in the log, as the others are.
            if let Decision::There { last } = self.check(stream, expected, &events)? {
                return Ok(self.there_already(stream, last));
            }
            let transaction = self.start_transaction(stream, events);
            return self.commit(created, transaction, expected);
        }
        let (last, was_deleted) = match self.check(stream, expected, &events)? {
            Decision::There { last } => return Ok(self.there_already(stream, last)),
            Decision::Write { last, was_deleted } => (last, was_deleted),
        };
        let placed = events.into_iter().map(|event| (None, event)).collect();
        Ok(self.write(created, stream, last, was_deleted, placed))
    }

    fn is_time_for_a_transaction(&mut self) -> bool {
        if self.transaction_every == 0 {
            return false;
        }
        self.until_transaction -= 1;
        if self.until_transaction > 0 {
            return false;
        }
        self.until_transaction = self.transaction_every;
        true
    }

    fn start_transaction(&mut self, stream: &str, events: Vec<NewEvent>) -> Transaction {
        self.end += RECORD_BYTES + stream.len() as u64;
        let events = events.into_iter().map(|event| (self.place(stream, &event), event)).collect();
        Transaction { stream: stream.to_owned(), events }
    }

    fn commit(&mut self, created: u64, transaction: Transaction, expected: Expected) -> Result<Appended, Refused> {
        let Transaction { stream, events } = transaction;
        let new: Vec<NewEvent> = events.iter().map(|(_, event)| event.clone()).collect();
        let (last, was_deleted) = match self.check(&stream, expected, &new)? {
            Decision::There { last } => return Ok(self.there_already(&stream, last)),
            Decision::Write { last, was_deleted } => (last, was_deleted),
        };
        let placed = events.into_iter().map(|(prepare, event)| (Some(prepare), event)).collect();
        Ok(self.write(created, &stream, last, was_deleted, placed))
    }

    /// Takes the bytes of an event from the log's end.
    fn place(&mut self, stream: &str, event: &NewEvent) -> u64 {
        let start = self.end;
        self.end += record_bytes(stream, event);
        start
    }

    fn write(
        &mut self,
        created: u64,
        stream: &str,
        last: i64,
        was_deleted: bool,
        events: Vec<(Option<u64>, NewEvent)>,
    ) -> Appended {
        let original = stream.strip_prefix("$$").map(str::to_owned);
        let undeletes = original.as_deref().filter(|original| self.retention(original).is_deleted());
        let undeletes = undeletes.map(str::to_owned);
        let written = events.len();
        let name = self.name(stream);
        let commit = events.iter().any(|(prepare, _)| prepare.is_some()).then_some(self.end);
        if commit.is_some() {
            self.end += COMMIT_BYTES;
        }
        let mut pushed = Vec::with_capacity(written);
        let mut revision = last;
        let mut position = LogPosition { commit: self.end, prepare: self.end };
        if written == 0 {
            // An append of nothing leaves a record that nobody reads.
            self.end += RECORD_BYTES;
        }
        for (prepare, event) in events {
            revision += 1;
            let record = self.push(created, &name, revision, prepare.zip(commit), event);
            position = record.position;
            pushed.push(record);
        }
        if was_deleted {
            self.undelete(created, stream, last + 1);
        }
        if let Some(original) = undeletes {
            let next = self.last(&original) + 1;
            self.undelete(created, &original, next);
        }
        self.make_noise(created, &pushed);
        Appended { revision, position: Some(position), written }
    }

    /// What the system writes by itself behind the events of users.
    fn make_noise(&mut self, created: u64, records: &[Arc<Record>]) {
        for record in records.iter().filter(|record| !record.stream.starts_with('$')) {
            for (stream, event) in self.noise.after(record) {
                let name = self.name(&stream);
                let revision = self.last(&stream) + 1;
                self.push(created, &name, revision, None, event);
            }
        }
    }

    /// One event into the log and its stream.
    fn push(
        &mut self,
        created: u64,
        stream: &Arc<str>,
        revision: i64,
        transaction: Option<(u64, u64)>,
        event: NewEvent,
    ) -> Arc<Record> {
        let bytes = record_bytes(stream, &event);
        let (position, behind) = match transaction {
            Some((prepare, commit)) => (
                LogPosition { commit, prepare },
                LogPosition { commit: commit + COMMIT_BYTES, prepare: prepare + bytes },
            ),
            None => {
                let start = self.place(stream, &event);
                let behind = start + bytes;
                (LogPosition { commit: start, prepare: start }, LogPosition { commit: behind, prepare: behind })
            }
        };
        let event_type = self.event_type(&event.event_type);
        let NewEvent { id, is_json, data, metadata, .. } = event;
        let stream = Arc::clone(stream);
        let record = Record {
            stream: Arc::clone(&stream),
            revision,
            id,
            event_type,
            is_json,
            data,
            metadata,
            created_ticks: created,
            position,
            behind,
        };
        let record = Arc::new(record);
        if let Some(original) = stream.strip_prefix("$$") {
            let original = self.name(original);
            self.stream_mut(&original).retention = Retention::read(&record.data);
        }
        self.remember(id, &stream, revision);
        let log = self.stream_mut(&stream);
        log.records.push(Arc::clone(&record));
        log.last = revision;
        self.log.push(Arc::clone(&record));
        record
    }

    /// Decides as the server does, by the revisions and ids that are there.
    fn check(&self, stream: &str, expected: Expected, events: &[NewEvent]) -> Result<Decision, Refused> {
        let last = self.last(stream);
        if last == DELETED {
            return Err(Refused::Deleted);
        }
        let wrong = Refused::WrongVersion { current: last };
        let was_deleted = self.retention(stream).is_deleted();
        if expected == Expected::StreamExists {
            if was_deleted {
                return Err(Refused::Deleted);
            }
            if last < 0 && self.last(&format!("$${stream}")) < 0 {
                return Err(wrong);
            }
        }
        let write = Decision::Write { last, was_deleted };
        if matches!(expected, Expected::Any | Expected::StreamExists) {
            return self.by_ids(stream, events, write, wrong);
        }
        let expected_last = expected.number();
        if expected_last > last {
            return Err(wrong);
        }
        if expected_last == last {
            return Ok(write);
        }
        let mut revision = expected_last;
        for event in events {
            revision += 1;
            if self.record(stream, revision).is_some_and(|record| record.id == event.id)
                || self.ids.get(&event.id).is_some_and(|(at, number)| &**at == stream && *number == revision)
            {
                continue;
            }
            let is_first = revision == expected_last + 1;
            if is_first && expected == Expected::NoStream && was_deleted {
                return Ok(write);
            }
            return Err(wrong);
        }
        if events.is_empty() { Err(wrong) } else { Ok(Decision::There { last: revision }) }
    }

    fn by_ids(&self, stream: &str, events: &[NewEvent], write: Decision, wrong: Refused) -> Result<Decision, Refused> {
        let mut there = None;
        for event in events {
            match self.ids.get(&event.id) {
                Some((at, revision)) if &**at == stream => there = Some(*revision),
                _ if there.is_none() => return Ok(write),
                _ => return Err(wrong),
            }
        }
        Ok(there.map_or(write, |last| Decision::There { last }))
    }

    fn there_already(&self, stream: &str, last: i64) -> Appended {
        let visible = self.visible(stream);
        let found = visible.binary_search_by_key(&last, |record| record.revision).ok();
        let position =
            found.map(|at| LogPosition { commit: visible[at].position.prepare, prepare: visible[at].position.prepare });
        Appended { revision: last, position, written: 0 }
    }

    fn delete(&mut self, stream: &str, expected: Expected) -> Result<Appended, Refused> {
        let deletion = NewEvent::json("$metadata", format!("{{\"$tb\":{DELETED}}}"));
        self.check(stream, expected, std::slice::from_ref(&deletion))?;
        let metadata_stream = format!("$${stream}");
        let last = self.last(&metadata_stream);
        if self.last(stream) < 0 && last < 0 {
            return Err(Refused::WrongVersion { current: -1 });
        }
        let name = self.name(&metadata_stream);
        let record = self.push(ticks(SystemTime::now()), &name, last + 1, None, deletion);
        Ok(Appended { revision: last + 1, position: Some(record.position), written: 1 })
    }

    fn tombstone(&mut self, stream: &str, expected: Expected) -> Result<Appended, Refused> {
        let tombstone = NewEvent::octets("$streamDeleted", Bytes::new());
        self.check(stream, expected, std::slice::from_ref(&tombstone))?;
        let name = self.name(stream);
        let record = self.push(ticks(SystemTime::now()), &name, DELETED, None, tombstone);
        Ok(Appended { revision: DELETED, position: Some(record.position), written: 1 })
    }

    /// The stream begins again at the revision: the server says so in the metadata, which keep their other keys.
    fn undelete(&mut self, created: u64, stream: &str, revision: i64) {
        let metadata_stream = format!("$${stream}");
        let newest = self.streams.get(&*metadata_stream).and_then(|stream| stream.records.last());
        let Some(metadata) = newest.and_then(|record| with_truncate_before(&record.data, revision)) else { return };
        let name = self.name(&metadata_stream);
        let next = self.last(&metadata_stream) + 1;
        self.push(created, &name, next, None, NewEvent::json("$metadata", metadata));
    }

    fn scavenge(&mut self) -> usize {
        let before = self.log.len();
        let names: Vec<Arc<str>> = self.streams.keys().cloned().collect();
        let mut kept: HashSet<u64> = HashSet::with_capacity(before);
        for name in &names {
            let deleted = self.last(name) == DELETED;
            let tombstone_only = deleted && !name.starts_with("$$");
            let retention = self.retention(name);
            let Some(stream) = self.streams.get_mut(name) else { continue };
            let newest = stream.records.last().map(|record| record.revision);
            let first = retention.first_revision(newest.unwrap_or(-1));
            let oldest = retention.oldest_ticks();
            stream.records.retain(|record| match (deleted, tombstone_only) {
                (true, true) => record.revision == DELETED,
                // The metadata of a stream with a tombstone go with it.
                (true, false) => false,
                _ => Some(record.revision) == newest || (record.revision >= first && record.created_ticks >= oldest),
            });
            kept.extend(stream.records.iter().map(|record| record.position.prepare));
        }
        self.log.retain(|record| kept.contains(&record.position.prepare));
        before - self.log.len()
    }

    fn readable(&self, stream: &str) -> Readable {
        let last = self.last(stream);
        if last == DELETED {
            return Readable::Deleted;
        }
        let retention = self.retention(stream);
        if last < 0 || retention.is_deleted() {
            return Readable::NoStream;
        }
        Readable::Revisions { first: retention.first_revision(last), last }
    }

    /// The events that a reader of the stream gets.
    fn visible(&self, stream: &str) -> &[Arc<Record>] {
        let Readable::Revisions { first, .. } = self.readable(stream) else { return &[] };
        let Some(found) = self.streams.get(stream) else { return &[] };
        let by_revision = found.records.partition_point(|record| record.revision < first);
        let visible = &found.records[by_revision..];
        let oldest = self.retention(stream).oldest_ticks();
        &visible[visible.partition_point(|record| record.created_ticks < oldest)..]
    }

    fn record(&self, stream: &str, revision: i64) -> Option<&Arc<Record>> {
        let records = &self.streams.get(stream)?.records;
        let at = records.binary_search_by_key(&revision, |record| record.revision).ok()?;
        records.get(at)
    }

    /// The last revision; a stream of metadata is deleted with its stream.
    fn last(&self, stream: &str) -> i64 {
        let last = |name: &str| self.streams.get(name).map_or(-1, |stream| stream.last);
        match stream.strip_prefix("$$") {
            Some(original) if last(original) == DELETED => DELETED,
            _ => last(stream),
        }
    }

    fn retention(&self, stream: &str) -> Retention {
        if stream.starts_with("$$") {
            return Retention::of_metadata_stream();
        }
        self.streams.get(stream).map(|stream| stream.retention.clone()).unwrap_or_default()
    }

    fn stream_mut(&mut self, name: &Arc<str>) -> &mut Stream {
        self.streams.entry(Arc::clone(name)).or_insert_with(|| Stream { last: -1, ..Stream::default() })
    }

    /// One text for all records of a stream.
    fn name(&self, stream: &str) -> Arc<str> {
        self.streams.get_key_value(stream).map_or_else(|| Arc::from(stream), |(name, _)| Arc::clone(name))
    }

    fn event_type(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.types.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = Arc::from(name);
        self.types.insert(Arc::clone(&name));
        name
    }

    fn remember(&mut self, id: Uuid, stream: &Arc<str>, revision: i64) {
        // The first one counts where an id is there twice.
        if self.ids.contains_key(&id) {
            return;
        }
        self.ids.insert(id, (Arc::clone(stream), revision));
        self.order_of_ids.push_back(id);
        if self.order_of_ids.len() > REMEMBERED_IDS
            && let Some(oldest) = self.order_of_ids.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

fn record_bytes(stream: &str, event: &NewEvent) -> u64 {
    RECORD_BYTES + (stream.len() + event.event_type.len() + event.data.len() + event.metadata.len()) as u64
}
