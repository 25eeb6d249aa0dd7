//! The contract a store keeps: how it is read, how it is appended to, how it remembers a run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroUsize;

use async_trait::async_trait;
use bytes::Bytes;
use bytestring::ByteString;
use futures_util::stream::BoxStream;

use crate::checkpoint::{
    Checkpoint, LateEvents, LatePosition, LoadRange, NoteChange, PositionRange, Progress, RunId, RunRecord, StateKey,
};
use crate::error::{StoreError, StoreErrorKind};
use crate::event::{Event, EventType, SchemaVersion};
use crate::position::Position;
use crate::scope::Scope;
use crate::stream::{Revision, StreamName};

/// Which store this is, wherever it is opened from: two readers or writers of the same events have equal identities.
/// Prints as a URL without its password.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct StoreIdentity {
    /// The kind of store and where it is, for people: `sqlite:shop.db`.
    pub display: String,
    /// What makes it the same store: a file's path without links, cluster and table of a database. No secrets.
    pub key: String,
}

impl fmt::Display for StoreIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.display)
    }
}

/// What a store can do, which decides how the pipeline treats it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// Events and their [`Progress`] commit together, all or nothing.
    pub transactions: bool,
    /// Its events have one order across all streams.
    pub global_order: bool,
    /// It keeps [`Event::position`] as given; otherwise it assigns its own, in the order of the appends.
    pub explicit_positions: bool,
    /// It keeps [`Event::recorded_at`] as given.
    pub sets_time: bool,
    /// It keeps [`Event::attributes`].
    pub attributes: bool,
    /// It keeps JSON data to the byte; if not, as a value only: white space, the order and repetition of keys and the
    /// notation of numbers may change.
    pub exact_data: bool,
    /// The same of metadata.
    pub exact_metadata: bool,
    /// The largest sum of payload bytes one append may hold.
    pub max_append_bytes: Option<u64>,
    /// It refuses an id that another of its events has.
    pub refuses_taken_ids: bool,
    /// What its own constraints make certain about its events. A writer that says revisions are dense takes no gaps.
    pub guarantees: Guarantees,
}

/// What a reader need not check, because the store's own constraints make it certain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Guarantees {
    /// No two events have the same id.
    pub unique_ids: bool,
    /// No two events of a stream have the same revision.
    pub unique_revisions: bool,
    /// The revisions of a stream count up from 0 without a gap.
    pub dense_revisions: bool,
}

/// What to read, and in what portions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadRequest {
    /// Which events.
    pub scope: Scope,
    /// Start behind this position; from the first event if none.
    pub after: Option<Position>,
    /// Stop behind this position; at the end of the store, as it is then, if none.
    pub until: Option<Position>,
    /// At most this many events a batch.
    pub batch_events: NonZeroUsize,
    /// A batch ends with the event that brings its [`Event::size`] sum to this many bytes.
    pub batch_bytes: NonZeroUsize,
    /// What of each event is needed.
    pub needed: Needed,
}

/// What of the events is needed, so that a store can leave out the rest. A reader may always yield more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Needed {
    /// The types that are; every one if none are named.
    pub types: Option<BTreeSet<EventType>>,
    /// What of its data.
    pub data: NeededPart,
    /// What of its metadata.
    pub metadata: NeededPart,
    /// Whether its attributes are.
    pub attributes: bool,
}

/// What of a payload is needed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum NeededPart {
    /// All of it, as it is.
    #[default]
    Whole,
    /// Of a JSON object only these keys and their values: a reader may yield, in its place, an object that has no
    /// others. Whatever is no JSON object is yielded as it is. Without any key, nothing is looked into, and nothing need
    /// be yielded.
    Keys(BTreeSet<String>),
}

impl Needed {
    /// Everything.
    pub const ALL: Self = Self { types: None, data: NeededPart::Whole, metadata: NeededPart::Whole, attributes: true };

    /// Of every event only what it has beside its payloads and attributes.
    pub const ENVELOPE: Self = Self {
        types: None,
        data: NeededPart::Keys(BTreeSet::new()),
        metadata: NeededPart::Keys(BTreeSet::new()),
        attributes: false,
    };

    /// What is needed by either.
    pub fn and(self, other: Self) -> Self {
        let types = match (self.types, other.types) {
            (Some(mut types), Some(others)) => {
                types.extend(others);
                Some(types)
            }
            _ => None,
        };
        Self {
            types,
            data: self.data.and(other.data),
            metadata: self.metadata.and(other.metadata),
            attributes: self.attributes || other.attributes,
        }
    }
}

impl NeededPart {
    /// What is needed by either.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Keys(mut keys), Self::Keys(others)) => {
                keys.extend(others);
                Self::Keys(keys)
            }
            _ => Self::Whole,
        }
    }

    /// The same with what a member of the payload's object holds, or, without a key, with all of it.
    pub fn with(self, key: Option<&str>) -> Self {
        match (self, key) {
            (Self::Keys(mut keys), Some(key)) => {
                keys.insert(key.to_owned());
                Self::Keys(keys)
            }
            _ => Self::Whole,
        }
    }
}

impl ReadRequest {
    /// Everything in the scope, in batches of up to 1,000 events or 1 MiB.
    pub fn new(scope: Scope) -> Self {
        const EVENTS: NonZeroUsize = NonZeroUsize::new(1_000).unwrap(); // not zero, which the compiler checks
        const BYTES: NonZeroUsize = NonZeroUsize::new(1 << 20).unwrap(); // not zero, which the compiler checks
        Self { scope, after: None, until: None, batch_events: EVENTS, batch_bytes: BYTES, needed: Needed::ALL }
    }

    /// The same, from behind a position.
    pub fn after(self, position: Option<Position>) -> Self {
        Self { after: position, ..self }
    }

    /// The same, up to and including a position.
    pub fn until(self, position: Option<Position>) -> Self {
        Self { until: position, ..self }
    }

    /// The same, of which only this is needed.
    pub fn needing(self, needed: Needed) -> Self {
        Self { needed, ..self }
    }

    /// The same, in batches of this many events.
    pub fn batch_events(self, events: NonZeroUsize) -> Self {
        Self { batch_events: events, ..self }
    }
}

/// Batches of events, never empty.
pub type EventStream = BoxStream<'static, Result<Vec<Event>, StoreError>>;

/// Reads a store. Opening and reading never change it.
#[async_trait]
pub trait EventReader: Send + Sync {
    /// Which store this is.
    fn identity(&self) -> &StoreIdentity;

    /// What the store can do.
    fn capabilities(&self) -> Capabilities;

    /// Streams the events of the request.
    ///
    /// Events come in the store's order: ascending positions, and ascending revisions within each stream. Reading
    /// from behind the position of any event yields exactly the events after it, so a read can be resumed anywhere.
    /// The stream reads ahead by a bounded number of batches and ends after the first error.
    fn read(&self, request: ReadRequest) -> EventStream;

    /// Counts the events of a scope by type and version, up to and including `until`, where the store can tell
    /// faster than by reading them; `None` where it can't.
    async fn census(&self, scope: &Scope, until: Option<Position>) -> Result<Option<Census>, StoreError>;

    /// The position of the last event, where the store can tell without reading all of it. `Ok(None)` also when
    /// there is no event. Of a store that others write to at the same time: the last one that nothing can come before
    /// any more.
    async fn head(&self) -> Result<Option<Position>, StoreError>;

    /// Positions, ascending, that cut what lies behind `after` and up to `until` into at most `parts` ranges of about as
    /// many events each. None where reading several ranges at the same time is not faster than reading one.
    async fn cuts(
        &self,
        after: Option<Position>,
        until: Position,
        parts: NonZeroUsize,
    ) -> Result<Vec<Position>, StoreError> {
        let _ = (after, until, parts);
        Ok(Vec::new())
    }

    /// Yields each time that new events may be there, for a store that can tell. It may yield too often, and ends, or
    /// misses some, when the connection is lost: who follows a store looks at it from time to time as well.
    fn news(&self) -> Option<BoxStream<'static, ()>> {
        None
    }

    /// What decides, beside what the store holds, which events it is read as: a mapping of attributes. Empty where
    /// nothing does. A run is not gone on with when it has changed, nor when [`EventWriter::writing`] has.
    fn reading(&self) -> String {
        String::new()
    }

    /// Whether it can be read more than once: false for standard input.
    fn is_rereadable(&self) -> bool {
        true
    }

    /// Whether the store itself may take events away that it has held: by an age or a number that it keeps, or when
    /// it is cleaned up.
    fn may_lose_events(&self) -> bool {
        false
    }

    /// Whether events that come later always stand behind those that were there before, as the store itself makes sure.
    /// One that does not can't be followed.
    fn grows_at_its_end(&self) -> bool {
        true
    }

    /// A position up to which reads have found everything that this store will ever have there, though it may lie
    /// behind the last event that they yielded: what comes in between is of no scope, and need not be looked through
    /// again. None where reads find out no more than they yield.
    fn seen_through(&self) -> Option<Position> {
        None
    }

    /// Takes out of events what says something else in every store, such as a revision of another stream that its
    /// writer translates, so that events of this store can be compared with those that it should hold. Both go through it.
    fn compared(&self, events: &mut [Event]) {
        let _ = events;
    }

    /// What reads have passed over so far, since it is nothing that can be carried to another store, or was told not to
    /// be. For people; the same things are counted again by every read.
    fn left_out(&self) -> Vec<LeftOut> {
        Vec::new()
    }

    /// How reads so far took what is written in the store in another form than it is yielded in, by a setting or found
    /// out: times that are numbers, versions that are not said. For people, a line each.
    fn taken_as(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Something that a store holds, and that no read yields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// What: `links to other events` …
    pub what: String,
    /// How many; `None` where nobody has counted.
    pub events: Option<u64>,
}

/// How many events of each type and version a store holds, and their bytes.
pub type Census = BTreeMap<(EventType, SchemaVersion), Tally>;

/// A number of events and the sum of their payload bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// How many events.
    pub events: u64,
    /// The bytes of their data and metadata; `None` where only a full read could tell.
    pub bytes: Option<u64>,
}

/// Appends to a store. One writer at a time holds a store; opening a second one fails.
///
/// A writer is in one of two states, which the store remembers. **Loading**: the target of a first bulk load. Checks
/// that need indexes may wait for [`seal`](EventWriter::seal). **Sealed**: every append is checked at once.
#[async_trait]
pub trait EventWriter: CheckpointStore {
    /// Which store this is.
    fn identity(&self) -> &StoreIdentity;

    /// What the store can do.
    fn capabilities(&self) -> Capabilities;

    /// What decides how events are written down: equal to [`EventReader::reading`] of a reader that reads them back
    /// as they were.
    fn writing(&self) -> String {
        String::new()
    }

    /// Appends events, in the order given, with the progress of the run they belong to.
    ///
    /// Every event comes with its revision, which is also what it expects: that the stream holds all revisions
    /// before it. An event that the store already holds at that revision under the same id is left as it is, so a
    /// repeated append changes nothing. Another id at that revision, a missing revision before it, or the same id
    /// elsewhere is a conflict, and then nothing of the append is kept. While loading, a store may find conflicts
    /// only when it is sealed; and a missing revision is none yet, since only `seal` is told whether gaps are allowed.
    ///
    /// Where positions are kept as given, one that is taken is refused as well. A store without transactions may keep
    /// the events before a conflict, and those of other streams where it has no global order, but never the progress;
    /// repeating the append then adds the rest. What the store
    /// can't hold exactly (a position past its range, a name too long) it refuses as
    /// [`Unsupported`](crate::StoreErrorKind::Unsupported).
    ///
    /// When it returns `Ok`, events and progress are durable (they survive the process). When it returns an error,
    /// either all of the append or nothing of it happened; [`CheckpointStore::checkpoint`] tells which.
    async fn append(&mut self, events: &[Event], progress: Option<&Progress>) -> Result<(), StoreError>;

    /// Ends a bulk load: builds indexes and checks that ids, positions and revisions are unique, that the revisions of
    /// a stream ascend with the positions and, if `dense`, have no gaps. An error names the first event or stream that
    /// does not pass, and leaves the store loading. A store sealed without `dense` goes on taking gaps.
    /// Repeatable; does nothing where the store is sealed already.
    async fn seal(&mut self, dense: bool) -> Result<(), StoreError>;

    /// Appenders that load ranges of positions at the same time, at most `count`, where the store is loading and can do
    /// that; none where one append after the other is as fast. A store that has some can [withdraw](Self::withdraw) events.
    async fn range_writers(&mut self, count: NonZeroUsize) -> Result<Vec<Box<dyn RangeWriter>>, StoreError> {
        let _ = count;
        Ok(Vec::new())
    }

    /// The last revision of each of these streams, in their order, as of the last commit; none where the store holds no
    /// event of it. A name may be asked for more than once. Loading stores may read all of their events for it, in
    /// memory bounded by the streams asked for.
    async fn heads(&self, streams: &[StreamName]) -> Result<Vec<Option<Revision>>, StoreError> {
        let _ = streams;
        Err(cannot("look up streams in", "it looks up no streams"))
    }

    /// Takes events out again, with the progress of the run they belong to: of each of these streams the events from
    /// this revision on. All or nothing; repeatable. Streams and revisions that it does not hold are none; where a
    /// stream is named twice, the lower revision counts.
    ///
    /// The store stays as it is, loading or sealed, and takes the same events again; in a sealed one, at positions
    /// behind its last. What a load has proved by going by is not relied on any more when it is sealed. A store that only
    /// grows at its end refuses as [`Unsupported`](crate::StoreErrorKind::Unsupported), and nothing is changed.
    async fn withdraw(&mut self, from: &[(StreamName, Revision)], progress: &Progress) -> Result<(), StoreError> {
        let _ = (from, progress);
        Err(cannot("take events out of", "it takes no events out again"))
    }

    /// Takes all events behind a position out again, all of them where it is none, and stores the record of the run that
    /// they belonged to, without its checkpoint, state, positions and ranges; its notes stay, and so does everything of
    /// other runs. All or nothing; repeatable.
    ///
    /// A store that holds an event afterwards stays as it is, loading or sealed. One that holds none is loading again, as
    /// a new one is: without the indexes that sealing makes, without gaps allowed, and taking ranges where it can. Where the
    /// store numbers what services insert, the numbers go on behind its last position.
    async fn erase(&mut self, after: Option<Position>, run: &RunRecord) -> Result<(), StoreError> {
        let _ = (after, run);
        Err(cannot("take events out of", "it takes no events out again"))
    }

    /// Whether it writes down where events came from: then [`Progress::origins`] names one for each event.
    fn keeps_origins(&self) -> bool {
        false
    }

    /// Whether it takes events at positions before its last one, once it is sealed, where those are free.
    fn takes_earlier_positions(&self) -> bool {
        false
    }

    /// Whether it holds any event.
    async fn is_empty(&self) -> Result<bool, StoreError>;

    /// The position of its last event.
    async fn last_position(&self) -> Result<Option<Position>, StoreError>;
}

/// Loads one range of positions after the other into a store that is loading, while others load other ranges.
#[async_trait]
pub trait RangeWriter: Send {
    /// Appends events whose positions lie in a range, with the range's progress, in one transaction. Only ranges that
    /// were [planned](CheckpointStore::plan_ranges) can be loaded; the events come in order and each once. Notes of the run
    /// are committed with them. When it returns `Ok`, all is durable; after an error [`CheckpointStore::load_ranges`]
    /// tells whether it is.
    async fn append(
        &mut self,
        events: &[Event],
        run: RunId,
        range: &LoadRange,
        notes: &[NoteChange],
    ) -> Result<(), StoreError>;
}

/// Remembers runs: the ledger, checkpoints, state and the position map.
#[async_trait]
pub trait CheckpointStore: Send + Sync {
    /// All runs, in the order in which they were recorded first.
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError>;

    /// Stores a run's record in place of the one with the same id, or as the last one.
    async fn record_run(&mut self, run: &RunRecord) -> Result<(), StoreError>;

    /// The last committed checkpoint of a run; none if it is unknown or has committed nothing.
    async fn checkpoint(&self, run: RunId) -> Result<Option<Checkpoint>, StoreError>;

    /// The committed values of state entries, one for each key, in the order of the keys asked for. An empty value is
    /// a value.
    async fn state(&self, run: RunId, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// The ranges of a run's position map that start behind a source position, in order, at most `limit`.
    async fn positions(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<PositionRange>, StoreError>;

    /// The last range that starts at or before a source position: the one that says what the position became.
    async fn position_at(&self, run: RunId, source: Position) -> Result<Option<PositionRange>, StoreError>;

    /// The late positions that a source position became, in the order of the target.
    async fn late_of(&self, run: RunId, source: Position) -> Result<Vec<LatePosition>, StoreError>;

    /// The last late events that begin at or before a target position; none where none do.
    async fn late_at(&self, run: RunId, target: Position) -> Result<Option<LateEvents>, StoreError>;

    /// The notes of one of a run's books behind a key, in the order of the keys' bytes, at most `limit`: key and value.
    async fn notes(
        &self,
        run: RunId,
        book: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>, StoreError>;

    /// Changes notes of a run, all or nothing, apart from any progress.
    async fn write_notes(&mut self, run: RunId, changes: &[NoteChange]) -> Result<(), StoreError>;

    /// The ranges that a run loads its events in, in order; none where it does not.
    async fn load_ranges(&self, run: RunId) -> Result<Vec<LoadRange>, StoreError> {
        let _ = run;
        Ok(Vec::new())
    }

    /// Remembers the ranges that a run will load, in place of those it has.
    async fn plan_ranges(&mut self, run: RunId, ranges: &[LoadRange]) -> Result<(), StoreError> {
        let _ = (run, ranges);
        let problem = "it loads no ranges at the same time".to_owned();
        Err(StoreError::new("plan a load of", "the store", StoreErrorKind::Unsupported(problem)))
    }
}

fn cannot(action: &'static str, problem: &str) -> StoreError {
    StoreError::new(action, "the store", StoreErrorKind::Unsupported(problem.to_owned()))
}
