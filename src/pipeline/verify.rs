//! Verification: both sides are read, and either they agree or the first event that differs is found.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use eventlift_events::{
    Capabilities, Event, EventReader, Payload, Position, ReadRequest, Scope, StoreError, StoreErrorKind, StoreIdentity,
};
use eventlift_language::json::value_form;
use eventlift_transformers::Registry;
use futures_util::stream::{BoxStream, StreamExt};
use rusqlite::{Connection, params};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::error::{PipelineError, Refusal};
use super::expected::expected_events_apart;
use super::migration::MigrationOptions;
use super::quarantine::Apart;
use super::stop::Stop;
use crate::ledger::temporary_database;

/// Streams are spread over this many buckets; a bucket's hash covers all events of its streams.
const BUCKETS: usize = 4096;

/// What a verification found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verification {
    /// How many events the target should hold.
    pub expected: u64,
    /// How many events the target holds.
    pub found: u64,
    /// How many of the 4,096 buckets of streams differ.
    pub differing_buckets: usize,
    /// The first event that differs, in the order of the target; none if it was stopped while it was looked for.
    pub first: Option<Difference>,
    /// Whether everything was compared: false if it was stopped.
    pub complete: bool,
    /// What was compared by value, and not to the byte.
    pub by_value: Vec<ByValue>,
}

/// A part of events that is compared by value, where it is JSON: white space, the order and repetition of keys, escapes
/// and the notation of numbers make no difference then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ByValue {
    /// Which part.
    pub part: Part,
    /// The store that keeps no more than the value.
    pub store: String,
}

/// A part of an event that holds bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Its data.
    Data,
    /// Its metadata.
    Metadata,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Data => "data",
            Self::Metadata => "metadata",
        })
    }
}

impl fmt::Display for ByValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is compared by value where it is JSON: {} does not keep its text", self.part, self.store)
    }
}

/// What of events that these stores hold is compared by value.
pub fn compared_by_value<'s>(stores: impl IntoIterator<Item = (&'s StoreIdentity, Capabilities)>) -> Vec<ByValue> {
    let mut by_value = Vec::new();
    for (store, capabilities) in stores {
        for (part, is_exact) in [(Part::Data, capabilities.exact_data), (Part::Metadata, capabilities.exact_metadata)] {
            if !is_exact {
                by_value.push(ByValue { part, store: store.to_string() });
            }
        }
    }
    by_value
}

/// An event that is not the same on both sides; at least one side has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The event that should be there; none where the target has one too many.
    pub expected: Option<Event>,
    /// The event that is there; none where the target lacks it.
    pub found: Option<Event>,
}

impl Verification {
    /// Whether the target holds exactly what it should.
    pub fn agrees(&self) -> bool {
        self.complete && self.differing_buckets == 0
    }
}

/// Which sides were read how far, for whoever watches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VerifyProgress {
    /// Events of the expected side.
    pub expected: u64,
    /// Events of the target.
    pub found: u64,
}

/// Reads both sides at the same time, in bounded memory, and compares them.
///
/// The source is transformed and numbered again up to `until` and each side's events are hashed into buckets by stream.
/// Where buckets differ, the events of those buckets alone are walked side by side to the first that differs.
pub async fn verify(
    source: Arc<dyn EventReader>,
    target: Arc<dyn EventReader>,
    registry: Arc<Registry>,
    options: MigrationOptions,
    until: Option<Position>,
    stop: Stop,
    seen: impl FnMut(VerifyProgress),
) -> Result<Verification, PipelineError> {
    verify_apart(source, target, registry, options, until, Arc::default(), stop, seen).await
}

/// The same of a run that holds events in quarantine or has given some up: what those would become is left out. Where
/// events were released behind the target's last one, streams are compared, each in its order, and positions are not.
#[expect(clippy::too_many_arguments, reason = "those of `verify`, and what is left out")]
pub async fn verify_apart(
    source: Arc<dyn EventReader>,
    target: Arc<dyn EventReader>,
    registry: Arc<Registry>,
    options: MigrationOptions,
    until: Option<Position>,
    apart: Arc<Apart>,
    stop: Stop,
    mut seen: impl FnMut(VerifyProgress),
) -> Result<Verification, PipelineError> {
    let (carried, by_value) = comparable(&*source, &*target)?;
    let places = carried.positions;
    let carried = carried.with_positions(places && !apart.has_moved_positions());
    let sides = || Sides {
        expected: as_compared(
            expected_events_apart(
                Arc::clone(&source),
                Arc::clone(&registry),
                options.clone(),
                until,
                Arc::clone(&apart),
                stop.clone(),
            ),
            &target,
        ),
        // Where the target gives positions itself, nobody knows which one the run ended at.
        found: as_compared(target_events(&*target, apart.end().filter(|_| places)), &target),
    };

    let mut progress = VerifyProgress::default();
    let (mut expected, mut found) = (Buckets::new(carried), Buckets::new(carried));
    let Sides { expected: mut expected_side, found: mut found_side } = sides();
    let (mut expected_ended, mut found_ended) = (false, false);
    while !stop.is_asked() {
        tokio::select! {
            batch = expected_side.next(), if !expected_ended => match batch {
                Some(batch) => progress.expected += expected.add(&batch?),
                None => expected_ended = true,
            },
            batch = found_side.next(), if !found_ended => match batch {
                Some(batch) => progress.found += found.add(&batch?),
                None => found_ended = true,
            },
            else => break,
        }
        seen(progress);
    }
    let complete = expected_ended && found_ended && !stop.is_asked();
    let differing = expected.differing(&found);
    let first = match (complete, differing.is_empty()) {
        // A side that was stopped looks like one that has ended.
        (true, false) if carried.positions => {
            first_difference(sides(), &differing, carried).await?.filter(|_| !stop.is_asked())
        }
        (true, false) => {
            let again = sides().expected;
            first_by_stream(sides(), again, &differing, carried).await?.filter(|_| !stop.is_asked())
        }
        _ => None,
    };
    let VerifyProgress { expected, found } = progress;
    Ok(Verification { expected, found, differing_buckets: differing.len(), first, complete, by_value })
}

/// How two stores are compared: stream by stream, each in its order, where the target gives positions itself. Fails where
/// one of them can't be read again.
pub(super) fn comparable(
    source: &dyn EventReader,
    target: &dyn EventReader,
) -> Result<(Carried, Vec<ByValue>), PipelineError> {
    let capabilities = target.capabilities();
    if !source.is_rereadable() || !target.is_rereadable() {
        return Err(Refusal::Unfit("standard input can't be read again to verify it".to_owned()).into());
    }
    let stores = [source, target].map(|store| (store.identity(), store.capabilities()));
    let by_value = compared_by_value(stores);
    let carried = Carried::of(capabilities, &by_value);
    Ok((carried, by_value))
}

/// Compares a target with a source that held nothing.
pub async fn verify_empty(target: &dyn EventReader) -> Result<Verification, PipelineError> {
    let (mut found, mut first) = (0, None);
    let mut batches = target_events(target, None);
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        found += batch.len() as u64;
        first = first.or_else(|| batch.into_iter().next());
    }
    let first = first.map(|event| Difference { expected: None, found: Some(event) });
    let differing_buckets = usize::from(first.is_some());
    Ok(Verification { expected: 0, found, differing_buckets, first, complete: true, by_value: Vec::new() })
}

/// What of an event the target carries, and how exactly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    pub(super) positions: bool,
    time: bool,
    attributes: bool,
    data_by_value: bool,
    metadata_by_value: bool,
}

impl Carried {
    fn of(target: Capabilities, by_value: &[ByValue]) -> Self {
        Self {
            positions: target.global_order && target.explicit_positions,
            time: target.sets_time,
            attributes: target.attributes,
            data_by_value: by_value.iter().any(|compared| compared.part == Part::Data),
            metadata_by_value: by_value.iter().any(|compared| compared.part == Part::Metadata),
        }
    }

    /// The same, with or without positions.
    pub(super) fn with_positions(self, positions: bool) -> Self {
        Self { positions, ..self }
    }

    /// The event's payloads, as what is compared of them.
    fn payloads(self, event: &Event) -> [Cow<'_, [u8]>; 2] {
        [compared(&event.data, self.data_by_value), compared(&event.metadata, self.metadata_by_value)]
    }
}

/// The bytes of a payload, or the form of its value. What is called JSON and is none has only its bytes.
fn compared(payload: &Payload, by_value: bool) -> Cow<'_, [u8]> {
    let form = || value_form(std::str::from_utf8(payload.bytes()).ok()?);
    let form = if by_value && payload.is_json() { form() } else { None };
    form.map_or_else(|| Cow::Borrowed(&payload.bytes()[..]), Cow::Owned)
}

/// The events of both sides, in the order of the target.
struct Sides {
    expected: BoxStream<'static, Result<Vec<Event>, PipelineError>>,
    found: BoxStream<'static, Result<Vec<Event>, PipelineError>>,
}

fn target_events(
    target: &dyn EventReader,
    until: Option<Position>,
) -> BoxStream<'static, Result<Vec<Event>, PipelineError>> {
    let batches = target.read(ReadRequest::new(Scope::All).until(until));
    batches.map(|batch| batch.map_err(PipelineError::Target)).boxed()
}

/// The same batches, as a store's events are compared.
fn as_compared(
    batches: BoxStream<'static, Result<Vec<Event>, PipelineError>>,
    target: &Arc<dyn EventReader>,
) -> BoxStream<'static, Result<Vec<Event>, PipelineError>> {
    let target = Arc::clone(target);
    let compared = batches.map(move |batch| {
        batch.map(|mut events| {
            target.compared(&mut events);
            events
        })
    });
    compared.boxed()
}

/// One hash and count per bucket. The hash is a sum of the events' own, which contain their places, so events can be
/// added in any order.
pub(super) struct Buckets {
    sums: Vec<(u128, u64)>,
    carried: Carried,
    buffer: Vec<u8>,
}

impl Buckets {
    pub(super) fn new(carried: Carried) -> Self {
        Self { sums: vec![(0, 0); BUCKETS], carried, buffer: Vec::new() }
    }

    pub(super) fn add(&mut self, batch: &[Event]) -> u64 {
        for event in batch {
            let hash = event_hash(event, self.carried, &mut self.buffer);
            let (sum, count) = &mut self.sums[bucket(event)];
            *sum = sum.wrapping_add(hash);
            *count += 1;
        }
        batch.len() as u64
    }

    pub(super) fn differing(&self, other: &Self) -> Vec<usize> {
        (0..BUCKETS).filter(|&bucket| self.sums[bucket] != other.sums[bucket]).collect()
    }
}

fn bucket(event: &Event) -> usize {
    // The remainder is below the number of buckets.
    (xxh3_64(event.stream.as_str().as_bytes()) % BUCKETS as u64) as usize
}

/// Hashes every field that the target carries, each with its length, so that no two events look alike.
fn event_hash(event: &Event, carried: Carried, buffer: &mut Vec<u8>) -> u128 {
    let mut field = |bytes: &[u8]| {
        buffer.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        buffer.extend_from_slice(bytes);
    };
    field(event.stream.as_str().as_bytes());
    field(&event.revision.0.to_le_bytes());
    if carried.positions {
        field(&event.position.major().to_le_bytes());
        match event.position.minor() {
            Some(minor) => field(&minor.to_le_bytes()),
            None => field(b""),
        }
    }
    match event.id.as_uuid() {
        Some(uuid) => field(uuid.as_bytes()),
        None => field(event.id.to_string().as_bytes()),
    }
    field(event.event_type.as_str().as_bytes());
    field(&event.version.number().to_le_bytes());
    for (payload, compared) in [&event.data, &event.metadata].into_iter().zip(carried.payloads(event)) {
        field(&compared);
        field(if payload.is_empty() { b"" } else { payload.content_type().as_str().as_bytes() });
    }
    if carried.time {
        field(&event.recorded_at.micros().to_le_bytes());
    }
    if carried.attributes {
        field(&event.attributes);
    }
    let hash = xxh3_128(buffer);
    buffer.clear();
    hash
}

/// Walks both sides in the order of the target, looking only at the buckets that differ.
async fn first_difference(
    sides: Sides,
    differing: &[usize],
    carried: Carried,
) -> Result<Option<Difference>, PipelineError> {
    let mut expected = Walk::new(sides.expected, differing);
    let mut found = Walk::new(sides.found, differing);
    loop {
        match (expected.next().await?, found.next().await?) {
            (None, None) => return Ok(None),
            (Some(expected), Some(found)) if expected.position < found.position => {
                return Ok(Some(Difference { expected: Some(expected), found: None }));
            }
            (Some(expected), Some(found)) if expected.position > found.position => {
                return Ok(Some(Difference { expected: None, found: Some(found) }));
            }
            (Some(expected), Some(found)) if is_same(&expected, &found, carried) => {}
            (expected, found) => return Ok(Some(Difference { expected, found })),
        }
    }
}

/// Looks for the first event of the target that is not expected where it is in its stream, or else for the first expected
/// one that is missing, in the buckets that differ. What is expected is kept on disk meanwhile.
async fn first_by_stream(
    sides: Sides,
    expected_again: BoxStream<'static, Result<Vec<Event>, PipelineError>>,
    differing: &[usize],
    carried: Carried,
) -> Result<Option<Difference>, PipelineError> {
    let mut left = LeftOver::new().map_err(disk_failed)?;
    let mut expected = Walk::new(sides.expected, differing);
    while let Some(event) = expected.next().await? {
        left.add(&event, carried).map_err(disk_failed)?;
    }
    let (mut found, mut first) = (Walk::new(sides.found, differing), None);
    while let Some(event) = found.next().await? {
        let is_expected = left.take(&event, carried).map_err(disk_failed)?;
        if !is_expected && first.is_none() {
            first = Some(event);
        }
    }
    let mut expected = Walk::new(expected_again, differing);
    while let Some(event) = expected.next().await? {
        let is_it = match &first {
            Some(found) => found.stream == event.stream && found.revision == event.revision,
            None => left.holds(&event).map_err(disk_failed)?,
        };
        if is_it {
            return Ok(Some(Difference { expected: Some(event), found: first }));
        }
    }
    Ok(first.map(|found| Difference { expected: None, found: Some(found) }))
}

fn disk_failed(error: rusqlite::Error) -> PipelineError {
    let error = StoreError::new("compare", "both sides", StoreErrorKind::Backend(Box::new(error)));
    PipelineError::Target(error.hint("a difference is looked for with temporary files; TMPDIR says where"))
}

/// Expected events that were not found yet, by stream and revision, on disk.
struct LeftOver {
    connection: Connection,
    buffer: Vec<u8>,
}

impl LeftOver {
    fn new() -> rusqlite::Result<Self> {
        let connection = temporary_database()?;
        connection.execute_batch(
            "CREATE TABLE expected (stream BLOB, revision BLOB, hash BLOB, PRIMARY KEY (stream, revision)) WITHOUT ROWID;
             BEGIN",
        )?;
        Ok(Self { connection, buffer: Vec::new() })
    }

    fn add(&mut self, event: &Event, carried: Carried) -> rusqlite::Result<()> {
        let hash = event_hash(event, carried, &mut self.buffer).to_be_bytes();
        let (stream, revision) = place_of(event);
        let mut insert = self.connection.prepare_cached("INSERT OR REPLACE INTO expected VALUES (?1, ?2, ?3)")?;
        insert.execute(params![stream, revision, hash]).map(drop)
    }

    /// Whether the event was expected; it is not any more.
    fn take(&mut self, event: &Event, carried: Carried) -> rusqlite::Result<bool> {
        let hash = event_hash(event, carried, &mut self.buffer).to_be_bytes();
        let (stream, revision) = place_of(event);
        let delete = "DELETE FROM expected WHERE stream = ?1 AND revision = ?2 AND hash = ?3";
        Ok(self.connection.prepare_cached(delete)?.execute(params![stream, revision, hash])? > 0)
    }

    fn holds(&self, event: &Event) -> rusqlite::Result<bool> {
        let (stream, revision) = place_of(event);
        self.connection
            .prepare_cached("SELECT 1 FROM expected WHERE stream = ?1 AND revision = ?2")?
            .exists(params![stream, revision])
    }
}

fn place_of(event: &Event) -> ([u8; 16], [u8; 8]) {
    (xxh3_128(event.stream.as_str().as_bytes()).to_be_bytes(), event.revision.0.to_be_bytes())
}

pub(super) fn is_same(expected: &Event, found: &Event, carried: Carried) -> bool {
    let same_type = |one: &Payload, other: &Payload| {
        one.content_type() == other.content_type() || (one.is_empty() && other.is_empty())
    };
    expected.id == found.id
        && expected.stream == found.stream
        && expected.revision == found.revision
        && expected.event_type == found.event_type
        && expected.version == found.version
        && same_type(&expected.data, &found.data)
        && same_type(&expected.metadata, &found.metadata)
        && carried.payloads(expected) == carried.payloads(found)
        && (!carried.time || expected.recorded_at == found.recorded_at)
        && (!carried.attributes || expected.attributes == found.attributes)
}

/// The events of some buckets, one by one.
struct Walk<'a> {
    batches: BoxStream<'static, Result<Vec<Event>, PipelineError>>,
    batch: std::vec::IntoIter<Event>,
    buckets: &'a [usize],
}

impl<'a> Walk<'a> {
    fn new(batches: BoxStream<'static, Result<Vec<Event>, PipelineError>>, buckets: &'a [usize]) -> Self {
        Self { batches, batch: Vec::new().into_iter(), buckets }
    }

    async fn next(&mut self) -> Result<Option<Event>, PipelineError> {
        loop {
            let buckets = self.buckets;
            if let Some(event) = self.batch.find(|event| buckets.binary_search(&bucket(event)).is_ok()) {
                return Ok(Some(event));
            }
            match self.batches.next().await {
                Some(batch) => self.batch = batch?.into_iter(),
                None => return Ok(None),
            }
        }
    }
}
