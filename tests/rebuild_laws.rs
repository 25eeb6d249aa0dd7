//! Random logs and definitions with every operation: the rows and what is quarantined never depend on how a rebuild is
//! run, nor on whether it is a rebuild or a row of updates.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use eventlift::events::{Event, EventWriter, MemoryStore, Position};
use eventlift::pipeline::{Migration, MigrationOptions, Policies};
use eventlift::projections::{
    Changes, Concern, EventView, MemoryReadModels, Projection, Row, RowChange, RowKey, TableKind, Value,
    snapshot_columns,
};
use eventlift::rebuild::{FailurePolicy, Feed, Fold, FoldOptions, Reading, Rebuild, Wanted};
use eventlift::transformers::Registry;
use proptest::prelude::*;

use crate::fold::cases;
use crate::rebuild_faults::{Content, content, definitions, filled, rebuild};
use crate::rebuild_kill::SPLIT;
use crate::rulebook;

/// Every operation, an item that comes twice, rows that go, and changes that fail.
const EVERYTHING: &str = r#"
projection = "everything"

[table.rows]
key = "k"
columns = { k = "integer", s = "text", first = "integer", last = "integer", sum = "numeric", less = "integer", low = "integer", high = "integer", list = "json", jq = "integer", positive = "integer" }

[table.items]
key = ["k", "i"]
columns = { k = "integer", i = "integer", times = "integer", v = "integer" }

[table.groups]
of = "items"
key = "v"
columns = { v = "integer", rows = "integer", times = "integer" }
count = "rows"
sum = { times = "times" }

[[on]]
event = "Changed"
version = 1
table = "rows"
key = "/k"
set = { s = { event = "id" } }
first = { first = "/v" }
last = { last = "/v" }
add = { sum = "/v" }
subtract = { less = "/v" }
min = { low = "/v" }
max = { high = "/v" }
append = { list = "/items/*" }
jq = 'if .row.sum == "13" or .row.sum == 13 then error("thirteen") else { jq: ((.row.jq // 0) + 1) } end'

[[on]]
event = "Changed"
version = 1
table = "items"
each = "/items/*"
key = { k = "/k", i = { item = "" } }
add = { times = 1 }
set = { v = { jq = 'if .item == 4 and .event.data.v == 3 then error("four") else .event.data.v end' } }

[[on]]
event = "Cleared"
version = 1
table = "rows"
key = "/k"
missing = "skip"
remove = { list = "/v" }
clear = ["low", "high", "less"]

[[on]]
event = "Removed"
version = 1
table = "rows"
key = "/k"
missing = "fail"
delete = true

[[on]]
event = "Removed"
version = 1
table = "items"
key = { k = "/k", i = "/items/*" }
delete = true
"#;

const STATES: &str = r#"
aggregate = "states"
ignore = ["Cleared"]
state = { sum = "integer", list = "json" }

[[on]]
event = "Changed"
version = 1
add = { sum = "/v" }
append = { list = "/v" }

[[on]]
event = "Removed"
version = 1
missing = "skip"
when = { path = "/v", greater_than = 6 }
delete = true
"#;

const COUNTS: &str = r#"
projection = "counts"

[table.counts]
key = ["type"]
columns = { type = "text", events = "integer" }

[[on]]
event = ["Changed", "Cleared", "Removed"]
version = 1
table = "counts"
key = { event = "type" }
add = { events = 1 }
"#;

/// Each event takes from one account and gives to others, and fails where there is too little, or too much.
const TRANSFERS: &str = r#"
projection = "transfers"
ignore = ["Cleared", "Removed"]

[table.accounts]
key = "id"
columns = { id = "integer", balance = "integer", moves = "integer" }

[table.moves]
of = "accounts"
key = "moves"
columns = { moves = "integer", accounts = "integer", balance = "integer" }
count = "accounts"
sum = { balance = "balance" }

[[on]]
event = "Changed"
version = 1
table = "accounts"
key = "/k"
add = { moves = 1 }
jq = '((.row.balance // 9) - .event.data.v * (.event.data.items | length)) as $left | if $left < -9 then error("too little") else { balance: $left } end'

[[on]]
event = "Changed"
version = 1
table = "accounts"
each = "/items/*"
key = { item = "" }
add = { balance = "/v", moves = 1 }
jq = 'if .row.balance > 17 then error("too much") else .row end'
"#;

/// Rows that get other keys, there and back and on top of one another, and what else happens to them; some can't.
const MOVES: &str = r#"
projection = "moves"

[table.movers]
key = "k"
columns = { k = "integer", was = "integer", sum = "integer" }

[table.others]
key = "k"
columns = { k = "integer", times = "integer" }

[table.origins]
of = "movers"
key = "was"
columns = { was = "integer", movers = "integer", sum = "integer" }
count = "movers"
sum = { sum = "sum" }

[[on]]
event = "Changed"
version = 1
table = "movers"
key = "/k"
add = { sum = "/v" }
first = { was = { column = "k" } }

[[on]]
event = "Changed"
version = 1
table = "others"
each = "/items/*"
key = { item = "" }
add = { times = { jq = 'if .event.data.v == 7 then error("seven") else 1 end' } }

[[on]]
event = "Changed"
version = 1
table = "movers"
each = "/items/*"
when = { path = "", less_than = 3 }
key = "/k"
move_to = { item = "" }
taken = "skip"
missing = "skip"

[[on]]
event = "Cleared"
version = 1
table = "movers"
key = "/k"
move_to = "/v"
taken = "replace"
missing = "skip"
set = { was = { column = "k" } }

[[on]]
event = "Removed"
version = 1
table = "movers"
key = "/k"
move_to = "/v"

[[on]]
event = "Removed"
version = 1
table = "movers"
key = "/v"
add = { sum = 1000 }
"#;

/// Two tables whose rows move, several changes of one row, keys of several columns, and moves that fail before either row
/// is looked at.
const SEATS: &str = r#"
projection = "seats"

[table.seats]
key = ["a", "b"]
columns = { a = "integer", b = "integer", n = "integer", trail = "json" }

[table.marks]
key = "k"
columns = { k = "integer", n = "integer", last = "integer" }

[table.totals]
of = "seats"
key = "b"
columns = { b = "integer", seats = "integer", n = "integer" }
count = "seats"
sum = { n = "n" }

[[on]]
event = "Changed"
version = 1
table = "seats"
key = { a = "/k", b = "/k" }
add = { n = 1 }
append = { trail = "/v" }

[[on]]
event = "Changed"
version = 1
table = "seats"
key = { a = "/k", b = "/k" }
add = { n = { jq = 'if .event.data.v == 5 then error("five") else 10 end' } }

[[on]]
event = "Changed"
version = 1
table = "marks"
key = "/v"
add = { n = 1 }

[[on]]
event = "Cleared"
version = 1
table = "seats"
key = { a = "/k", b = "/k" }
move_to = { a = "/v", b = "/k" }
missing = "skip"
taken = "skip"
add = { n = "/items/0" }

[[on]]
event = "Cleared"
version = 1
table = "seats"
key = { a = "/v", b = "/k" }
move_to = { a = "/k", b = "/v" }
missing = "skip"
jq = 'if .event.data.v == 4 then null else .row end'

[[on]]
event = "Removed"
version = 1
table = "seats"
key = { a = "/k", b = "/k" }
move_to = { a = { jq = 'if .event.data.v == 3 then null else .event.data.v end' }, b = "/v" }
missing = "skip"

[[on]]
event = "Removed"
version = 1
table = "marks"
each = "/items/*"
key = "/k"
move_to = { item = "" }
missing = "create"
taken = "replace"
last = { last = { item = "" } }
"#;

/// All that the laws are about.
fn all() -> Vec<Arc<dyn Projection>> {
    definitions(&[EVERYTHING, STATES, COUNTS, TRANSFERS, MOVES, SEATS].map(str::to_owned))
}

/// Those that are tables of rows, not states.
fn read_models() -> Vec<Arc<dyn Projection>> {
    definitions(&[EVERYTHING, COUNTS, TRANSFERS, MOVES, SEATS].map(str::to_owned))
}

type Said = (u8, i64, i64, Vec<i64>);

fn said() -> impl Strategy<Value = Vec<Said>> {
    let one = (0_u8..6, 0_i64..5, 0_i64..8, prop::collection::vec(0_i64..5, 0..4));
    prop::collection::vec(one, 1..60)
}

fn log(said: &[Said]) -> Vec<Event> {
    let mut revisions = [0; 5];
    let events = said.iter().enumerate().map(|(number, (kind, k, v, items))| {
        let event_type = ["Changed", "Changed", "Changed", "Changed", "Cleared", "Removed"][usize::from(*kind)];
        let revision = &mut revisions[*k as usize];
        *revision += 1;
        let data = format!(r#"{{"k":{k},"v":{v},"items":{items:?}}}"#);
        rulebook::event(number as u64 + 1, event_type, &format!("states-{k}"), *revision - 1, data)
    });
    events.collect()
}

fn options(workers: usize, memory_bytes: usize, on_failure: FailurePolicy) -> FoldOptions {
    FoldOptions { workers: NonZeroUsize::new(workers).unwrap(), memory_bytes, on_failure, ..FoldOptions::default() }
}

fn reading(batch: usize) -> Reading {
    Reading { batch_events: NonZeroUsize::new(batch).unwrap(), ..Reading::default() }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

/// The content, or the error, of a rebuild of everything.
async fn rebuilt(
    source: &MemoryStore,
    projections: &[Arc<dyn Projection>],
    options: FoldOptions,
    batch: usize,
) -> Result<Content, String> {
    let store = MemoryReadModels::new();
    let run = rebuild(source, Arc::new(store.clone()), projections, options).reading(reading(batch)).run();
    run.await.map_err(|error| error.to_string())?;
    Ok(content(&store, projections).await)
}

/// The same of a rebuild up to the first cut and an update to each other one.
async fn in_pieces(
    events: &[Event],
    cuts: &[usize],
    projections: &[Arc<dyn Projection>],
    options: FoldOptions,
    batch: usize,
) -> Result<Content, String> {
    let source = MemoryStore::new();
    let store = MemoryReadModels::new();
    let mut done = 0;
    for (number, cut) in cuts.iter().enumerate() {
        source.writer().unwrap().append(&events[done..*cut], None).await.unwrap();
        done = *cut;
        let piece = rebuild(&source, Arc::new(store.clone()), projections, options.clone()).reading(reading(batch));
        let piece = if number == 0 { piece.run().await } else { piece.update().await };
        piece.map_err(|error| error.to_string())?;
    }
    Ok(content(&store, projections).await)
}

proptest! {
    #![proptest_config(cases(48))]

    /// A build at any moment, brought up to date in any pieces, is a build of everything; or it fails as that does.
    #[test]
    fn updates_come_to_a_rebuild(
        said in said(),
        cuts in prop::collection::vec(0.0_f64..1.0, 1..5),
        quarantines in any::<bool>(),
        batch in 1_usize..20,
    ) {
        let policy = if quarantines { FailurePolicy::Quarantine } else { FailurePolicy::Stop };
        let events = log(&said);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| (cut * events.len() as f64) as usize).collect();
        cuts.push(events.len());
        cuts.sort_unstable();
        block_on(async {
            for projection in all() {
                let projection = [projection];
                let options = options(1, usize::MAX, policy);
                let expected = rebuilt(&filled(&events).await, &projection, options.clone(), 1_000).await;
                let found = in_pieces(&events, &cuts, &projection, options, batch).await;
                assert_eq!(found, expected, "{}", projection[0].name());
            }
        });
    }

    /// Workers, batches, memory, the order of the projections and their company change nothing.
    #[test]
    fn how_it_is_run_changes_nothing(
        said in said(),
        quarantines in any::<bool>(),
        workers in 1_usize..5,
        memory in prop_oneof![Just(1_usize), Just(1 << 12), Just(usize::MAX)],
        batch in 1_usize..40,
        kill_at in 0.0_f64..1.0,
    ) {
        let policy = if quarantines { FailurePolicy::Quarantine } else { FailurePolicy::Stop };
        let events = log(&said);
        block_on(async {
            let source = filled(&events).await;
            let calm = options(1, usize::MAX, policy);
            let expected = rebuilt(&source, &all(), calm.clone(), 1_000).await;
            assert_eq!(rebuilt(&source, &all(), options(workers, memory, policy), batch).await, expected);
            let Ok(expected) = expected else { return };

            let mut turned = all();
            turned.reverse();
            let mut found = rebuilt(&source, &turned, options(workers, memory, policy), batch).await.unwrap();
            found.reverse();
            assert!(found == expected, "the order of the projections matters");
            for (projection, expected) in all().into_iter().zip(&expected) {
                let alone = rebuilt(&source, &[projection], calm.clone(), batch).await.unwrap();
                assert!(alone[0] == *expected, "company matters");
            }

            // Given up somewhere, and gone on from there.
            let folder = tempfile::tempdir().unwrap();
            let kept = FoldOptions {
                folder: Some(folder.path().to_owned()),
                save_every: Duration::from_nanos(1),
                ..options(workers, memory, policy)
            };
            let cut = (kill_at * events.len() as f64) as usize;
            let mut fold = Fold::begin(all(), "key", &kept).unwrap();
            for piece in events[..cut].chunks(batch) {
                fold.push(piece.to_vec(), piece.last().unwrap().position).await.unwrap();
            }
            drop(fold);
            let mut fold = Fold::begin(all(), "key", &kept).unwrap();
            let rest = events.partition_point(|event| Some(event.position) <= fold.resumed_at());
            for piece in events[rest..].chunks(batch) {
                fold.push(piece.to_vec(), piece.last().unwrap().position).await.unwrap();
            }
            let folded = fold.finish().await.unwrap();
            for (place, projection) in all().iter().enumerate() {
                assert_eq!(folded.quarantined(place), expected[place].1);
                for number in 0..projection.tables().len() {
                    if projection.rollups().iter().any(|rollup| rollup.table == number) {
                        continue;
                    }
                    let mut rows = folded.rows(place, number, NonZeroUsize::new(3).unwrap()).unwrap();
                    let mut all = Vec::new();
                    while let Some(chunk) = rows.next_chunk().await.unwrap() {
                        all.extend(chunk);
                    }
                    let expected = expected[place].0[number].iter().cloned();
                    let expected: Vec<Row> = expected.map(|row| without(row, &projection.tables()[number].kind)).collect();
                    let found: Vec<Row> = all.into_iter().map(|row| without(stated(row), &projection.tables()[number].kind)).collect();
                    assert_eq!(found, expected);
                }
            }
        });
    }
}

/// The rows, by table and key, and the events that were left out: folded one after the other, and each into all of its
/// rows or into none.
fn one_after_the_other(
    projection: &dyn Projection,
    events: &[Event],
) -> (BTreeMap<(usize, RowKey), Row>, BTreeSet<String>) {
    let (mut rows, mut left_out, mut held) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for event in events.iter().filter(|event| projection.understood().concern(event) == Concern::Folded) {
        let mut changes = Changes::new();
        if projection.project(&mut EventView::new(event), &mut changes).is_err() {
            left_out.insert(event.id.to_string());
            continue;
        }
        // In the order of the changes, table by table; behind a failure in a row, or in a table whose rows move, no more.
        let mut after: BTreeMap<(usize, RowKey), Option<Row>> = BTreeMap::new();
        let mut failed: BTreeSet<(usize, RowKey)> = BTreeSet::new();
        for RowChange { table, key, change, moves } in changes.drain() {
            let moving = projection.moves_rows(table);
            let place = (table, key);
            let other = moves.as_ref().map(|moves| (table, moves.to.clone())).filter(|other| *other != place);
            if failed.iter().any(|failed| *failed == place || moving && failed.0 == table) {
                continue;
            }
            let places: Vec<_> = std::iter::once(place.clone()).chain(other.clone()).collect();
            if places.iter().any(|place| held.contains(place)) {
                failed.extend(places);
                continue;
            }
            let now = |place: &(usize, RowKey)| after.get(place).cloned().unwrap_or_else(|| rows.get(place).cloned());
            let mut row = now(&place);
            let mut there = other.as_ref().and_then(now);
            let made = match (&moves, &other) {
                (Some(moves), Some(_)) => {
                    moves.make(change, event, &projection.tables()[table], (&place.1, &mut row), &mut there)
                }
                _ => change.make(event, &place.1, &mut row),
            };
            if made.is_err() {
                failed.extend(places);
                continue;
            }
            after.insert(place, row);
            after.extend(other.map(|other| (other, there)));
        }
        let fails = !failed.is_empty();
        held.extend(failed);
        if fails {
            left_out.insert(event.id.to_string());
            continue;
        }
        for (place, row) in after {
            match row {
                Some(row) => rows.insert(place, row),
                None => rows.remove(&place),
            };
        }
    }
    (rows, left_out)
}

proptest! {
    #![proptest_config(cases(96))]

    /// Quarantine leaves out whole events: what is left is what they come to one after the other, whoever has which rows.
    #[test]
    fn an_event_is_in_all_its_rows_or_in_none(
        said in said(),
        workers in 1_usize..6,
        memory in prop_oneof![Just(1_usize), Just(1 << 12), Just(usize::MAX)],
        batch in 1_usize..60,
    ) {
        let events = log(&said);
        block_on(async {
            for projection in read_models() {
                let (rows, left_out) = one_after_the_other(&*projection, &events);
                let options = options(workers, memory, FailurePolicy::Quarantine);
                let found = rebuilt(&filled(&events).await, &[Arc::clone(&projection)], options, batch).await.unwrap();
                let (tables, quarantined) = &found[0];
                let found: BTreeSet<String> = quarantined.iter().map(|record| record.id.to_string()).collect();
                assert_eq!(found, left_out, "{}", projection.name());
                for (number, table) in projection.tables().iter().enumerate() {
                    if projection.rollups().iter().any(|rollup| rollup.table == number) {
                        continue;
                    }
                    let of_it = rows.iter().filter(|((place, _), _)| *place == number).map(|(_, row)| row.clone());
                    assert_eq!(tables[number], of_it.collect::<Vec<Row>>(), "{}", table.name);
                }
            }
        });
    }
}

/// The log makes events fail in every way that the law is about.
#[test]
fn transfers_do_fail_on_either_side() {
    let projection = definitions(&[TRANSFERS.to_owned()]).remove(0);
    let events = log(&[(0, 0, 7, vec![1, 2]), (0, 0, 7, vec![3, 4]), (0, 3, 0, vec![0]), (0, 1, 1, vec![2])]);
    let (rows, left_out) = one_after_the_other(&*projection, &events);
    assert_eq!((rows.len(), left_out.len()), (3, 2));
}

/// What becomes of events where events are quarantined: in a rebuild, in several, and event by event in updates.
fn in_every_way(definition: &str, said: &[Said]) -> Content {
    let projection = definitions(&[definition.to_owned()]);
    let events = log(said);
    let cuts: Vec<usize> = (0..=events.len()).collect();
    block_on(async {
        let calm = options(1, usize::MAX, FailurePolicy::Quarantine);
        let found = rebuilt(&filled(&events).await, &projection, calm.clone(), 1_000).await.unwrap();
        let narrow = options(3, 1, FailurePolicy::Quarantine);
        assert_eq!(rebuilt(&filled(&events).await, &projection, narrow, 2).await.unwrap(), found);
        assert_eq!(in_pieces(&events, &cuts, &projection, calm, 10).await.unwrap(), found);
        found
    })
}

/// The events in quarantine by their number in the log, with the table and key that each holds.
fn held(content: &Content, events: usize) -> Vec<(usize, usize, RowKey)> {
    let records = content[0].1.iter().filter_map(|record| {
        let number = (0..events).find(|number| record.position == Position::new(*number as u64 + 1));
        let (table, key) = record.held.clone()?;
        Some((number.unwrap(), table, key))
    });
    records.collect()
}

/// The key that a row has, and the one that it would have got: whatever the reason, and in the order of the keys.
#[test]
fn a_row_that_can_not_move_holds_both_its_keys() {
    let key = |key: i64| RowKey::of(&[Value::Integer(key)]).unwrap();
    let said = [
        (0, 4, 0, vec![]),
        (0, 2, 0, vec![]),
        (0, 3, 0, vec![]),
        // 2 is taken.
        (5, 4, 2, vec![]),
        // 3 can't be what 2 is, and nobody comes to 3 or 2 any more.
        (4, 3, 2, vec![]),
        (0, 3, 1, vec![]),
        (4, 0, 2, vec![]),
    ];
    let found = in_every_way(MOVES, &said);
    let expected = [
        (3, 0, key(2)),
        (3, 0, key(4)),
        (4, 0, key(2)),
        (4, 0, key(3)),
        (5, 0, key(3)),
        (6, 0, key(0)),
        (6, 0, key(2)),
    ];
    assert_eq!(held(&found, said.len()), expected);
    assert_eq!(found[0].0[0].len(), 3);
}

/// What a change sets may be what it fails for: both keys are known all the same. Of a key that is null only the other is.
#[test]
fn a_move_that_fails_before_its_rows_are_seen_holds_what_keys_it_has() {
    let key = |a: i64, b: i64| RowKey::of(&[Value::Integer(a), Value::Integer(b)]).unwrap();
    let found = in_every_way(SEATS, &[(0, 1, 0, vec![]), (4, 1, 2, vec![]), (0, 3, 0, vec![]), (5, 3, 3, vec![])]);
    assert_eq!(held(&found, 4), [(1, 0, key(1, 1)), (1, 0, key(2, 1)), (3, 0, key(3, 3))]);
}

/// Of several changes of one row that does not move itself, none is left where the last fails.
#[test]
fn an_event_is_in_a_row_of_a_table_whose_rows_move_with_all_its_changes_or_with_none() {
    let found = in_every_way(SEATS, &[(0, 1, 1, vec![]), (0, 1, 5, vec![])]);
    let seats = [Value::Integer(1), Value::Integer(1), Value::Integer(11), Value::Json("[1]".into())];
    assert_eq!(found[0].0[0], [Row(seats.into())]);
}

/// A state that is still a Rust value becomes JSON, as it is kept.
fn stated(row: Row) -> Row {
    let kept = |value: Value| match value {
        Value::Kept(state) => Value::Json(state.json().unwrap().into()),
        other => other,
    };
    Row(row.0.into_iter().map(kept).collect())
}

/// A snapshot without what depends on where it was folded from.
fn without(mut row: Row, kind: &TableKind) -> Row {
    if *kind == TableKind::Snapshots {
        for place in [snapshot_columns::REVISION, snapshot_columns::POSITION, snapshot_columns::FINGERPRINT] {
            row.0[place] = Value::Null;
        }
    }
    row
}

const RULES: &str = r#"
[current]
FileDeleted = 1
FileAdded = 1
Ping = 1

[[rule]]
name = "no pings"
match = { types = ["Ping"] }
drop = true
"#;

const LIFTED: &str = r#"
projection = "lifted"
ignore = ["*"]

[table.lifted]
key = ["stream", "type"]
columns = { stream = "text", type = "text", events = "integer", last = "json" }

[[on]]
event = ["FileDeleted", "FileAdded", "FileRenamed", "UserCreated", "Ping", "NoteAdded", "AmountPaid", "Untouched"]
version = [1, 2]
key = { stream = { event = "stream" }, type = { event = "type" } }
add = { events = 1 }
set = { last = { data = "" } }
"#;

const NOTES: &str = r#"
aggregate = "notes"
ignore = ["*"]
state = { types = "json" }

[[on]]
event = ["FileDeleted", "FileAdded", "FileRenamed", "NoteAdded"]
version = 1
append = { types = { event = "type" } }
"#;

/// A split, a drop and a rename.
fn rules() -> Registry {
    let renamed = r#"
type = "UserCreated"
current = 2

[[upcast]]
from = 1
to = 2
data = [{ rename = "/first", to = "/given" }]
"#;
    let files = [("split", SPLIT), ("renamed", renamed), ("rules", RULES)];
    let files = files.map(|(name, text)| (format!("{name}.toml").into(), text.to_owned()));
    let rules = eventlift::transformers::Definitions::load(files, &Default::default());
    rules.unwrap_or_else(|error| panic!("{error}")).register(Registry::builder()).build().unwrap()
}

/// Splits, drops and renames on the fly come to what they come to when they are migrated first.
#[test]
fn on_the_fly_is_as_good_as_migrated() {
    block_on(async {
        for seed in 0..12 {
            let projections = definitions(&[LIFTED.to_owned(), NOTES.to_owned()]);
            let registry = Arc::new(rules());
            let source = filled(&rulebook::log(150 + 17 * seed, seed)).await;
            let target = MemoryStore::new();
            let options = MigrationOptions::default();
            let policies: Policies = options.policies;
            let (reader, writer) = (Arc::new(source.reader()), Box::new(target.writer().unwrap()));
            assert!(Migration::new(reader, writer, Arc::clone(&registry), options).run().await.unwrap().done);
            let fold = FoldOptions::default();
            let migrated = rebuilt(&target, &projections, fold.clone(), 7).await.unwrap();

            let feed = Feed::of(Arc::new(source.reader())).lifted_by(registry, policies).unwrap();
            let store = MemoryReadModels::new();
            let wanted =
                projections.iter().map(|p| Wanted { projection: Arc::clone(p), reason: String::new() }).collect();
            Rebuild::new(feed, Arc::new(store.clone()), wanted, fold).reading(reading(5)).run().await.unwrap();
            let lifted = content(&store, &projections).await;
            let rows = |content: Content| -> Vec<Vec<Row>> {
                let tables = projections.iter().zip(content).flat_map(|(projection, (tables, _))| {
                    let kinds = projection.tables().iter().map(|table| table.kind);
                    kinds
                        .zip(tables)
                        .map(|(kind, rows)| rows.into_iter().map(|row| without(row, &kind)).collect())
                        .collect::<Vec<_>>()
                });
                tables.collect()
            };
            let (lifted, migrated) = (rows(lifted), rows(migrated));
            assert!(migrated[0].len() > 10 && !migrated[1].is_empty());
            assert_eq!(lifted, migrated, "seed {seed}");
        }
    });
}

/// Sums that don't fit are an error: no policy leaves members out of them.
#[test]
fn a_roll_up_that_does_not_fit_is_never_left_out() {
    let definition = r#"
projection = "sums"

[table.members]
key = "k"
columns = { k = "integer", v = "integer", all = "integer" }

[table.sums]
of = "members"
key = "all"
columns = { all = "integer", members = "integer", v = "integer" }
count = "members"
sum = { v = "v" }

[[on]]
event = "Changed"
version = 1
table = "members"
key = "/k"
set = { v = "/v", all = 1 }
"#;
    block_on(async {
        let projections = definitions(&[definition.to_owned()]);
        let events = log(&[(0, 0, i64::MAX, vec![]), (0, 1, 1, vec![])]);
        let options = options(1, usize::MAX, FailurePolicy::Quarantine);
        let failed = rebuilt(&filled(&events).await, &projections, options.clone(), 10).await.unwrap_err();
        assert!(failed.contains("the sum in sums.v does not fit into its type"), "{failed}");

        let source = filled(&events[..1]).await;
        let store = MemoryReadModels::new();
        rebuild(&source, Arc::new(store.clone()), &projections, options.clone()).run().await.unwrap();
        source.writer().unwrap().append(&events[1..], None).await.unwrap();
        let failed = rebuild(&source, Arc::new(store), &projections, options).update().await.unwrap_err();
        assert!(failed.to_string().contains("the sum in sums.v does not fit into its type"), "{failed}");
    });
}
