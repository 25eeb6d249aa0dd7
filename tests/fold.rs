//! The fold of events into rows comes to what a trivial one comes to, one event after another, whatever the number of
//! workers, the batches, the memory, and wherever it is gone on from.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use eventlift::Reason;
use eventlift::events::{
    Bytes, Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName, Timestamp,
};
use eventlift::projections::{
    Aggregate, Changes, Column, ColumnType, EventView, Projection, Quarantined, Row, RowKey, Snapshots, Table,
    TableKind, Understood, Value,
};
use eventlift::rebuild::{FailurePolicy, Fold, FoldOptions, Folded, RebuildError};
use proptest::prelude::*;

/// What an event of these tests says.
#[derive(serde::Deserialize)]
struct Said {
    k: i64,
    v: i64,
}

/// A change fails on it.
const BAD_FOR_ROWS: i64 = 13;
/// It fails before its rows are known.
const BAD_AT_ONCE: i64 = 17;

/// So many cases, or as many as `PROPTEST_CASES` says.
pub(crate) fn cases(usually: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    let is_asked = std::env::var_os("PROPTEST_CASES").is_some();
    ProptestConfig { cases: if is_asked { asked.cases } else { usually }, ..asked }
}

fn moved() -> Understood {
    Understood::default().folding(EventType::new("Moved").unwrap(), SchemaVersion::FIRST)
}

fn table(name: &str, key: ColumnType, columns: &[(&str, ColumnType)]) -> Table {
    let columns = std::iter::once(("key", key)).chain(columns.iter().copied());
    let columns = columns.map(|(name, column_type)| Column { name: name.to_owned(), column_type }).collect();
    Table { name: name.to_owned(), columns, key: vec![0], indexes: vec![], kind: TableKind::ReadModel }
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Integer(number) => *number,
        _ => panic!("{value:?} is no integer"),
    }
}

/// Counts and sums by key.
struct Sums(Understood, [Table; 1]);

impl Sums {
    fn new() -> Self {
        let columns = [("count", ColumnType::Integer), ("sum", ColumnType::Integer)];
        Self(moved(), [table("sums", ColumnType::Integer, &columns)])
    }
}

impl Projection for Sums {
    fn name(&self) -> &str {
        "sums"
    }

    fn fingerprint(&self) -> &str {
        "1"
    }

    fn understood(&self) -> &Understood {
        &self.0
    }

    fn tables(&self) -> &[Table] {
        &self.1
    }

    fn project(&self, event: &mut EventView<'_>, changes: &mut Changes) -> Result<(), Reason> {
        let Said { k, v } = event.read()?;
        changes.change(0, RowKey::of(&[Value::Integer(k)])?, move |_, row| {
            let zero = || Row(Box::new([Value::Integer(k), Value::Integer(0), Value::Integer(0)]));
            let values = &mut row.get_or_insert_with(zero).0;
            values[1] = Value::Integer(integer(&values[1]) + 1);
            values[2] = Value::Integer(integer(&values[2]) + v);
            if v == BAD_FOR_ROWS { Err(Reason::new("bad for rows")) } else { Ok(()) }
        });
        if v == BAD_AT_ONCE { Err(Reason::new("bad at once")) } else { Ok(()) }
    }
}

/// Changes several rows of two tables, one of them twice; deletes rows and makes them again.
struct FanOut(Understood, [Table; 2]);

impl FanOut {
    fn new() -> Self {
        let notes = table("notes", ColumnType::Text, &[("trail", ColumnType::Text)]);
        let lasts = table("lasts", ColumnType::Integer, &[("v", ColumnType::Integer)]);
        Self(moved(), [notes, lasts])
    }
}

impl Projection for FanOut {
    fn name(&self) -> &str {
        "fan_out"
    }

    fn fingerprint(&self) -> &str {
        "1"
    }

    fn understood(&self) -> &Understood {
        &self.0
    }

    fn tables(&self) -> &[Table] {
        &self.1
    }

    fn project(&self, event: &mut EventView<'_>, changes: &mut Changes) -> Result<(), Reason> {
        let Said { k, v } = event.read()?;
        for (number, place) in [k, k + 1, k + 2, k].into_iter().enumerate() {
            let name = format!("row {place}\0");
            let key = RowKey::text(&name);
            changes.change(0, key, move |event, row| {
                let row = row.get_or_insert_with(|| Row(Box::new([Value::text(name), Value::text("")])));
                let Value::Text(trail) = &row.0[1] else { return Err(Reason::new("no text")) };
                row.0[1] = Value::text(format!("{trail},{}:{number}", event.position));
                match v == BAD_FOR_ROWS && number != 1 {
                    true => Err(Reason::new(format_args!("bad for change {number}"))),
                    false => Ok(()),
                }
            });
        }
        let key = RowKey::of(&[Value::Integer(k)])?;
        match v % 3 {
            0 => changes.delete(1, key),
            _ => changes.put(1, &self.1[1], Row(Box::new([Value::Integer(k), Value::Integer(v)])))?,
        }
        Ok(())
    }
}

/// An aggregate of every stream.
struct Path3(Understood);

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Trail {
    steps: Vec<i64>,
}

impl Aggregate for Path3 {
    type State = Trail;

    fn name(&self) -> &str {
        "trail"
    }

    fn fingerprint(&self) -> &str {
        "1"
    }

    fn understood(&self) -> &Understood {
        &self.0
    }

    fn apply(&self, state: &mut Trail, event: &Event) -> Result<(), Reason> {
        let said: Said = serde_json::from_slice(event.data.bytes())?;
        state.steps.push(said.v);
        if said.v == BAD_FOR_ROWS { Err(Reason::new("bad for states")) } else { Ok(()) }
    }
}

pub(crate) fn projections() -> Vec<Arc<dyn Projection>> {
    vec![Arc::new(Sums::new()), Arc::new(FanOut::new()), Arc::new(Snapshots::of(Path3(moved())))]
}

fn event(number: u64, position: u64, (k, v): (i64, i64)) -> Event {
    Event {
        id: EventId::text(format!("event-{number}")).unwrap(),
        stream: StreamName::from_parts("thing", &k.to_string()).unwrap(),
        revision: Revision(number),
        position: Position::new(position),
        event_type: EventType::new("Moved").unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::json(format!(r#"{{"k":{k},"v":{v}}}"#)),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Bytes::new(),
    }
}

/// A log in which some events share a position, and some positions have no event.
pub(crate) fn log_of(said: &[(i64, i64)]) -> Vec<Event> {
    let mut position = 1;
    let mut events = Vec::new();
    for (number, said) in said.iter().enumerate() {
        position += [1, 0, 1, 3][number % 4];
        events.push(event(number as u64, position, *said));
    }
    events
}

/// A long log, the same each time.
pub(crate) fn long_log(events: usize, keys: u64, with_bad: bool) -> Vec<Event> {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: u64| {
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        (random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    };
    let mut said = Vec::new();
    while said.len() < events {
        let (k, v) = (next(keys) as i64, next(400) as i64);
        if with_bad || ![BAD_FOR_ROWS, BAD_AT_ONCE].contains(&v) {
            said.push((k, v));
        }
    }
    log_of(&said)
}

/// A result that can be compared: every table's rows as bytes, and what was quarantined.
#[derive(PartialEq, Debug, Default, Clone)]
pub(crate) struct Outcome {
    rows: Vec<Vec<Vec<u8>>>,
    quarantined: Vec<Vec<Quarantined>>,
}

fn bytes_of(row: &Row) -> Vec<u8> {
    let mut bytes = Vec::new();
    row.encode(&mut bytes).unwrap();
    bytes
}

/// The trivial fold.
pub(crate) fn reference(events: &[Event], policy: FailurePolicy) -> Result<Outcome, String> {
    let mut outcome = Outcome::default();
    let projections = projections();
    let mut first: Option<(usize, usize, usize, String)> = None;
    for (number, projection) in projections.iter().enumerate() {
        let mut tables: Vec<BTreeMap<RowKey, Row>> = projection.tables().iter().map(|_| BTreeMap::new()).collect();
        let mut held: BTreeMap<(usize, RowKey), String> = BTreeMap::new();
        let mut quarantined = Vec::new();
        'events: for (place, event) in events.iter().enumerate() {
            let record = |held: Option<(usize, RowKey)>, reason: String| Quarantined {
                held,
                id: event.id.clone(),
                stream: event.stream.clone(),
                revision: event.revision,
                position: event.position,
                reason,
            };
            let mut note = |change: usize, reason: &str| {
                let name = projection.name();
                let message = format!(
                    "failed to fold event {} ({} version 1, stream {}, revision {}) into {name}: {reason}",
                    event.id, event.event_type, event.stream, event.revision
                );
                let met = (place, number, change, message);
                if first.as_ref().is_none_or(|first| met < *first) {
                    first = Some(met);
                }
            };
            let mut changes = Changes::new();
            if let Err(reason) = projection.project(&mut EventView::new(event), &mut changes) {
                note(0, &reason.message);
                quarantined.push(record(None, reason.to_string()));
                continue 'events;
            }
            let mut by_row: BTreeMap<(usize, RowKey), Vec<_>> = BTreeMap::new();
            for (order, change) in changes.drain().enumerate() {
                by_row.entry((change.table, change.key)).or_default().push((order, change.change));
            }
            // What the rows become where none of them fails.
            let (mut after, recorded) = (Vec::new(), quarantined.len());
            for ((table, key), changes) in by_row {
                if let Some(failed) = held.get(&(table, key.clone())) {
                    quarantined.push(record(
                        Some((table, key)),
                        format!("it waits for event {failed}, which could not be folded"),
                    ));
                    continue;
                }
                let mut row = tables[table].get(&key).cloned();
                let failed = changes
                    .into_iter()
                    .find_map(|(order, change)| change.make(event, &key, &mut row).err().map(|reason| (order, reason)));
                match (failed, row) {
                    (Some((order, reason)), _) => {
                        note(order, &reason.message);
                        held.insert((table, key.clone()), event.id.to_string());
                        quarantined.push(record(Some((table, key)), reason.to_string()));
                    }
                    (None, row) => after.push((table, key, row)),
                }
            }
            if quarantined.len() > recorded {
                continue 'events;
            }
            for (table, key, row) in after {
                match row {
                    Some(row) => drop(tables[table].insert(key, row)),
                    None => drop(tables[table].remove(&key)),
                }
            }
        }
        outcome.rows.extend(tables.iter().map(|table| table.values().map(bytes_of).collect()));
        outcome.quarantined.push(quarantined);
    }
    match first {
        Some((.., message)) if policy == FailurePolicy::Stop => Err(message),
        _ => Ok(outcome),
    }
}

pub(crate) fn options(workers: usize, memory_bytes: usize, on_failure: FailurePolicy) -> FoldOptions {
    FoldOptions { workers: NonZeroUsize::new(workers).unwrap(), memory_bytes, on_failure, ..FoldOptions::default() }
}

/// Pushes what is not in yet, in batches of about so many events.
pub(crate) async fn push_all(fold: &mut Fold, events: &[Event], batch: usize) -> Result<(), RebuildError> {
    let begin = match fold.resumed_at() {
        Some(done) => events.partition_point(|event| event.position <= done),
        None => 0,
    };
    let mut rest = &events[begin..];
    assert_eq!(fold.events(), begin as u64);
    while let Some(last) = rest.get(batch.min(rest.len()).wrapping_sub(1)) {
        let length = rest.partition_point(|event| event.position <= last.position);
        fold.push(rest[..length].to_vec(), last.position).await?;
        rest = &rest[length..];
    }
    Ok(())
}

pub(crate) async fn outcome_of(folded: &Folded) -> Outcome {
    let mut outcome = Outcome::default();
    for (number, projection) in projections().iter().enumerate() {
        let mut count = 0;
        for table in 0..projection.tables().len() {
            let mut rows = folded.rows(number, table, NonZeroUsize::new(7).unwrap()).unwrap();
            let mut all = Vec::new();
            while let Some(chunk) = rows.next_chunk().await.unwrap() {
                assert!(!chunk.is_empty() && chunk.len() <= 7);
                all.extend(chunk.iter().map(bytes_of));
            }
            count += all.len() as u64;
            outcome.rows.push(all);
        }
        assert_eq!(folded.row_count(number), count);
        outcome.quarantined.push(folded.quarantined(number).to_vec());
        assert!(folded.rows(number, projection.tables().len(), NonZeroUsize::MIN).is_none());
    }
    outcome
}

pub(crate) async fn fold(events: &[Event], batch: usize, options: &FoldOptions) -> Result<Outcome, String> {
    let mut fold = Fold::begin(projections(), "key", options).map_err(|error| error.to_string())?;
    push_all(&mut fold, events, batch).await.map_err(|error| error.to_string())?;
    let folded = fold.finish().await.map_err(|error| error.to_string())?;
    assert_eq!(folded.events, events.len() as u64);
    assert_eq!(folded.checkpoint, events.last().map(|event| event.position));
    let outcome = outcome_of(&folded).await;
    folded.forget().unwrap();
    Ok(outcome)
}

/// Everything put aside after every batch; a little room; all the room there is.
pub(crate) fn memories(workers: usize) -> [usize; 4] {
    [1, 1 << 10, workers * ((128 << 10) + 3_000), usize::MAX]
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

#[test]
fn the_result_is_the_same_whatever_the_workers_the_batches_and_the_memory() {
    for policy in [FailurePolicy::Stop, FailurePolicy::Quarantine] {
        let events = long_log(600, 40, policy == FailurePolicy::Quarantine);
        let expected = reference(&events, policy);
        let Ok(outcome) = &expected else { panic!("{expected:?}") };
        assert!(outcome.rows.iter().all(|rows| rows.len() > 10));
        assert_eq!(outcome.quarantined.iter().all(Vec::is_empty), policy == FailurePolicy::Stop);
        for workers in 1..=4 {
            for memory in memories(workers) {
                for batch in [1, 16, 1_000] {
                    let folded = runtime().block_on(fold(&events, batch, &options(workers, memory, policy)));
                    assert!(folded == expected, "{workers} workers, {memory} bytes, batches of {batch}");
                }
            }
        }
    }
}

fn policies() -> impl Strategy<Value = FailurePolicy> {
    prop_oneof![Just(FailurePolicy::Stop), Just(FailurePolicy::Quarantine)]
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn the_result_or_the_error_is_that_of_the_trivial_fold(
        said in prop::collection::vec((0_i64..6, 0_i64..40), 0..80),
        policy in policies(),
        workers in 1_usize..5,
        memory in 0_usize..4,
        batch in 1_usize..30,
    ) {
        let events = log_of(&said);
        let expected = reference(&events, policy);
        let options = options(workers, memories(workers)[memory], policy);
        let folded = runtime().block_on(fold(&events, batch, &options));
        prop_assert_eq!(folded, expected);
    }

    #[test]
    fn a_fold_that_is_given_up_again_and_again_comes_to_the_same(
        said in prop::collection::vec((0_i64..6, 0_i64..60), 1..120),
        tries in prop::collection::vec((0_usize..120, 1_usize..5, 0_usize..4, 1_usize..30, any::<bool>(), any::<bool>()), 1..4),
        last in 1_usize..30,
    ) {
        let events = log_of(&said);
        let expected = reference(&events, FailurePolicy::Quarantine);
        let folder = tempfile::tempdir().unwrap();
        let with_folder = |workers, memory, saves| FoldOptions {
            folder: Some(folder.path().to_owned()),
            save_every: if saves { Duration::ZERO } else { Duration::MAX },
            ..options(workers, memory, FailurePolicy::Quarantine)
        };
        runtime().block_on(async {
            for (reach, workers, memory, batch, saves, waits) in tries {
                let options = with_folder(workers, memories(workers)[memory], saves);
                let mut fold = Fold::begin(projections(), "key", &options).unwrap();
                let reach = &events[..reach.min(events.len())];
                // A batch never ends between events that share a position.
                let next = events.get(reach.len()).map(|event| event.position);
                let reach = &reach[..reach.partition_point(|event| Some(event.position) != next)];
                if reach.len() as u64 >= fold.events() {
                    push_all(&mut fold, reach, batch).await.unwrap();
                }
                if waits {
                    fold.suspend().await.unwrap();
                }
            }
            prop_assert_eq!(super::fold::fold(&events, last, &with_folder(2, 1, true)).await, expected);
            Ok(())
        })?;
    }
}

/// What is done to a worker's file.
type Damage = fn(&Path);

async fn unfinished(folder: &Path, key: &str, events: &[Event]) {
    let options = FoldOptions {
        folder: Some(folder.to_owned()),
        save_every: Duration::MAX,
        ..options(3, usize::MAX, FailurePolicy::Stop)
    };
    let mut fold = Fold::begin(projections(), key, &options).unwrap();
    push_all(&mut fold, events, 10).await.unwrap();
    fold.suspend().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_damaged_or_of_another_key_is_begun_anew() {
    let events = long_log(300, 20, false);
    let expected = reference(&events, FailurePolicy::Stop);
    let damages: [(&str, bool, Damage); 7] = [
        ("nothing", true, |_| ()),
        ("no database", false, |file| std::fs::write(file, "something else").unwrap()),
        ("cut off", false, |file| {
            std::fs::File::options().write(true).open(file).unwrap().set_len(5_000).unwrap();
        }),
        ("empty", false, |file| std::fs::write(file, "").unwrap()),
        ("pages overwritten", false, |file| {
            let mut bytes = std::fs::read(file).unwrap();
            bytes[4_096..12_000].fill(0x5a);
            std::fs::write(file, bytes).unwrap();
        }),
        ("another version", false, |file| {
            rusqlite::Connection::open(file).unwrap().execute("UPDATE fold SET format = 99", []).unwrap();
        }),
        // Its worker alone begins anew, which takes all the events.
        ("gone", false, |file| std::fs::remove_file(file).unwrap()),
    ];
    for (what, resumes, damage) in damages {
        let folder = tempfile::tempdir().unwrap();
        unfinished(folder.path(), "key", &events[..150]).await;
        damage(&folder.path().join("worker-001.db"));
        std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        let options =
            FoldOptions { folder: Some(folder.path().to_owned()), ..options(2, usize::MAX, FailurePolicy::Stop) };
        let begun = Fold::begin(projections(), "key", &options).unwrap();
        assert_eq!(begun.resumed_at().is_some(), resumes, "{what}");
        drop(begun);
        assert_eq!(fold(&events, 7, &options).await, expected, "{what}");
        let mut left: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["lock", "notes.txt"], "{what}");
    }

    let folder = tempfile::tempdir().unwrap();
    unfinished(folder.path(), "another", &events[..150]).await;
    let options = FoldOptions { folder: Some(folder.path().to_owned()), ..options(3, usize::MAX, FailurePolicy::Stop) };
    let begun = Fold::begin(projections(), "key", &options).unwrap();
    assert_eq!((begun.resumed_at(), begun.events()), (None, 0));
    assert!(matches!(Fold::begin(projections(), "key", &options), Err(RebuildError::Refused(_))), "it is in use");
    drop(begun);
    assert_eq!(fold(&events, 7, &options).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fits_into_memory_creates_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let options = FoldOptions { folder: Some(folder.path().to_owned()), ..options(2, usize::MAX, FailurePolicy::Stop) };
    let mut fold = Fold::begin(projections(), "key", &options).unwrap();
    push_all(&mut fold, &long_log(2_000, 100, false), 50).await.unwrap();
    let folded = fold.finish().await.unwrap();
    let left: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["lock"]);
    assert!(folded.row_count(0) > 0);
}

/// The events behind the one that stopped the fold are in no checkpoint, whatever was put aside before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stopped_a_fold_stops_it_again() {
    let mut events = long_log(400, 20, false);
    events[333].version = SchemaVersion::new(2).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let with_folder = |memory| FoldOptions {
        folder: Some(folder.path().to_owned()),
        ..options(2, memory, FailurePolicy::Quarantine)
    };
    let position = events[333].position;
    for memory in [1, usize::MAX, 1] {
        let mut fold = Fold::begin(projections(), "key", &with_folder(memory)).unwrap();
        assert!(fold.resumed_at().is_none_or(|resumed| resumed < position));
        let error = match push_all(&mut fold, &events, 50).await {
            Ok(()) => fold.finish().await.err().unwrap(),
            Err(error) => error,
        };
        assert_eq!(
            error.to_string(),
            format!(
                "refused: sums does not understand what the store holds: Moved version 2 (event event-333, position {position})"
            )
        );
    }
    events[333].version = SchemaVersion::FIRST;
    assert_eq!(super::fold::fold(&events, 50, &with_folder(1)).await, reference(&events, FailurePolicy::Quarantine));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_hundred_thousand_quarantined_events_stop_the_fold() {
    let said: Vec<_> = (0..34_000).map(|number| (number, BAD_FOR_ROWS)).collect();
    let events = log_of(&said);
    for memory in [1 << 20, usize::MAX] {
        let error = fold(&events, 1_000, &options(2, memory, FailurePolicy::Quarantine)).await.unwrap_err();
        assert_eq!(error, "refused: more than 100000 events can't be folded, or wait for one that can't be");
    }
}

/// A projection with bugs, by what the event says.
struct Buggy(Understood, [Table; 1]);

impl Projection for Buggy {
    fn name(&self) -> &str {
        "buggy"
    }

    fn fingerprint(&self) -> &str {
        "1"
    }

    fn understood(&self) -> &Understood {
        &self.0
    }

    fn tables(&self) -> &[Table] {
        &self.1
    }

    fn project(&self, event: &mut EventView<'_>, changes: &mut Changes) -> Result<(), Reason> {
        let Said { k, v } = event.read()?;
        assert!(k != 1, "a bug in project");
        let table = usize::from(k == 3);
        changes.change(table, RowKey::of(&[Value::Integer(k)])?, move |_, row| {
            assert!(k != 2, "a bug in a change");
            *row = Some(match k {
                4 => Row(Box::new([Value::Integer(k)])),
                5 => Row(Box::new([Value::Integer(k), Value::Boolean(true)])),
                6 => Row(Box::new([Value::Integer(k + 1), Value::Null])),
                _ => Row(Box::new([Value::Integer(k), Value::Integer(v)])),
            });
            Ok(())
        });
        Ok(())
    }
}

async fn fold_buggy(k: i64) -> Result<Vec<Row>, RebuildError> {
    let buggy = Buggy(moved(), [table("t", ColumnType::Integer, &[("v", ColumnType::Integer)])]);
    let mut fold = Fold::begin(vec![Arc::new(buggy)], "key", &options(2, 1, FailurePolicy::Stop))?;
    for number in 1..20 {
        fold.push(vec![event(number, number, (k, 0))], Position::new(number)).await?;
    }
    let folded = fold.finish().await?;
    let mut rows = folded.rows(0, 0, NonZeroUsize::MIN).unwrap();
    Ok(rows.next_chunk().await?.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bugs_of_a_projection_reach_the_caller() {
    assert_eq!(fold_buggy(0).await.unwrap(), [Row(Box::new([Value::Integer(0), Value::Integer(0)]))]);
    for (k, message) in [(1, "a bug in project"), (2, "a bug in a change")] {
        let panic = tokio::spawn(fold_buggy(k)).await.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&message));
    }
    for (k, message) in [
        (3, "it has no table of the number 1"),
        (4, "a row of the table `t` has 1 columns instead of 2"),
        (5, "the value of the column `v` of the table `t` is not of the type integer"),
        (6, "refused: buggy makes a row of the table `t` whose key is not the one that it named"),
    ] {
        let error = fold_buggy(k).await.unwrap_err().to_string();
        assert!(error.ends_with(message), "{error}");
    }
}

/// Whoever pushes after an error hears that it is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_error_nothing_is_taken() {
    let mut fold = Fold::begin(projections(), "key", &options(2, 1, FailurePolicy::Stop)).unwrap();
    let mut number = 0;
    let error = loop {
        number += 1;
        let bad = event(number, number, (1, BAD_FOR_ROWS));
        if let Err(error) = fold.push(vec![bad], Position::new(number)).await {
            break error;
        }
    };
    assert!(error.to_string().starts_with("failed to fold event event-1 "), "{error}");
    let again = fold.push(vec![], Position::new(number + 1)).await.unwrap_err();
    assert_eq!(again.to_string(), "refused: the fold has ended with an error before");
    assert!(fold.finish().await.is_err());
}
