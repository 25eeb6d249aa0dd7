//! Merges: what windows hold, when they close, and that batches, faults and resumed runs make no difference to it.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use eventlift::events::faults::{Call, Fault, Faulty, Script};
use eventlift::events::{CheckpointStore, Event, EventWriter, MemoryStore, Position};
use eventlift::pipeline::{
    Following, Heartbeat, Mapped, Migration, MigrationOptions, Outcome, PipelineError, PositionMap, RetryPolicy, Stop,
    go_on, verify,
};
use eventlift::transformers::{Definitions, Keys, Registry};

use crate::content::{self, assert_same};
use crate::rulebook::event;

const CURRENT: &str = "[current]\nLineAdded = 1\nLineChanged = 1\nOrderPlaced = 1\nOrderRecorded = 1\nOther = 1\n";
const FIELDS: &str = r#"
into = { type = "OrderRecorded", version = 1 }
data = [
    { collect = "/line", into = "/lines" },
    { first = "/customer", optional = true },
    { last = "/line", into = "/newest" },
    { count = "/events" },
]
"#;

fn load(merge: &str) -> Result<Registry, String> {
    let text = format!("{CURRENT}{merge}");
    let definitions = Definitions::load([(PathBuf::from("m.toml"), text)], &Keys::new()).map_err(|e| e.to_string())?;
    definitions.register(Registry::builder()).build().map_err(|errors| errors.to_string())
}

fn merge(rest: &str) -> Arc<Registry> {
    let text = format!("[[merge]]\nname = \"lines\"\nevents = [\"LineAdded\", \"LineChanged\"]\n{rest}\n{FIELDS}");
    Arc::new(load(&text).unwrap())
}

fn options(batch: usize, transaction: usize) -> MigrationOptions {
    MigrationOptions {
        workers: NonZeroUsize::new(2).unwrap(),
        batch_events: NonZeroUsize::new(batch).unwrap(),
        transaction_events: NonZeroUsize::new(transaction).unwrap(),
        ..MigrationOptions::default()
    }
}

/// Events of some streams in turn, each of which places an order now and then.
fn log(count: u64) -> Vec<Event> {
    let mut revisions = [0_u64; 7];
    (1..=count)
        .map(|number| {
            let stream = (number * number % 7) as usize;
            let event_type = match number % 11 {
                0 | 5 => "OrderPlaced",
                3 => "Other",
                9 => "LineChanged",
                _ => "LineAdded",
            };
            revisions[stream] += 1;
            let data = format!(r#"{{"line":{number}.0,"customer":"c-{stream}"}}"#);
            event(number, event_type, &format!("order-{stream}"), revisions[stream] - 1, data)
        })
        .collect()
}

async fn store(events: &[Event]) -> MemoryStore {
    let store = MemoryStore::new();
    store.writer().unwrap().append(events, None).await.unwrap();
    store
}

async fn migrate(
    source: &MemoryStore,
    target: &MemoryStore,
    registry: &Arc<Registry>,
    options: MigrationOptions,
) -> Outcome {
    let writer = Box::new(target.writer().unwrap());
    Migration::new(Arc::new(source.reader()), writer, Arc::clone(registry), options).run().await.unwrap()
}

async fn lines(target: &MemoryStore) -> Vec<String> {
    let events = content::events_of(&target.reader()).await;
    let data = |event: &Event| String::from_utf8(event.data.bytes().to_vec()).unwrap();
    let line = |e: &Event| format!("{} {} {} {} {}", e.position, e.stream, e.revision, e.event_type, data(e));
    events.iter().map(line).collect()
}

async fn agrees(
    source: &MemoryStore,
    target: &MemoryStore,
    registry: &Arc<Registry>,
    options: MigrationOptions,
) -> bool {
    let (source, target) = (Arc::new(source.reader()), Arc::new(target.reader()));
    let found = verify(source, target, Arc::clone(registry), options, None, Stop::never(), |_| {}).await.unwrap();
    found.agrees()
}

fn line(number: u64, event_type: &str, stream: &str, revision: u64) -> Event {
    event(number, event_type, stream, revision, format!(r#"{{"line":{number}.0}}"#))
}

#[tokio::test]
async fn a_window_closes_before_the_event_that_ends_it_or_at_the_end() {
    let events = [
        line(1, "LineAdded", "o-1", 0),
        line(2, "LineAdded", "o-2", 0),
        line(3, "Other", "o-1", 1),
        line(4, "LineChanged", "o-1", 2),
        line(5, "OrderPlaced", "o-1", 3),
        line(6, "LineAdded", "o-1", 4),
    ];
    let (source, target) = (store(&events).await, MemoryStore::new());
    let registry = merge("until = \"OrderPlaced\"");
    let outcome = migrate(&source, &target, &registry, options(2, 2)).await;
    assert_eq!(
        lines(&target).await,
        [
            r#"1 o-1 0 Other {"line":3.0}"#,
            r#"2 o-1 1 OrderRecorded {"lines":[1.0,4.0],"newest":4.0,"events":2}"#,
            r#"3 o-1 2 OrderPlaced {"line":5.0}"#,
            r#"4 o-2 0 OrderRecorded {"lines":[2.0],"newest":2.0,"events":1}"#,
            r#"5 o-1 3 OrderRecorded {"lines":[6.0],"newest":6.0,"events":1}"#,
        ]
    );
    let counts = outcome.counts;
    assert_eq!((counts.read, counts.written, counts.dropped, counts.split), (6, 5, 1, 0));
    let found = content::events_of(&target.reader()).await;
    assert_eq!(found[1].id, events[0].id, "the first one's, so that links still resolve");
    assert_eq!(found[1].recorded_at, events[3].recorded_at);
    let ledger = target.writer().unwrap();
    let record = ledger.runs().await.unwrap().pop().unwrap();
    let map = PositionMap::of(&ledger, &record, None).await.unwrap().unwrap();
    for (from, to) in [(1, 2), (2, 4), (3, 1), (4, 2), (5, 3), (6, 5)] {
        let to = Position::new(to);
        assert_eq!(map.position(Position::new(from)).await.unwrap(), Mapped::Became { first: to, last: to }, "{from}");
    }
    assert!(ledger.notes(outcome.run, "open windows", None, 10).await.unwrap().is_empty());
    assert!(agrees(&source, &target, &registry, options(3, 3)).await);
}

#[tokio::test]
async fn windows_close_by_their_count_by_time_and_with_the_event_taken_in() {
    let mut events = vec![
        line(1, "LineAdded", "o-1", 0),
        line(2, "LineAdded", "o-1", 1),
        line(3, "LineAdded", "o-1", 2),
        line(4, "OrderPlaced", "o-1", 3),
    ];
    let data =
        |lines: Vec<String>| lines.iter().map(|line| line.split_once(" {").unwrap().0.to_owned()).collect::<Vec<_>>();
    let target = MemoryStore::new();
    migrate(&store(&events).await, &target, &merge("count = 2"), options(1, 1)).await;
    assert_eq!(data(lines(&target).await), ["1 o-1 0 OrderRecorded", "2 o-1 1 OrderPlaced", "3 o-1 2 OrderRecorded"]);

    let target = MemoryStore::new();
    migrate(&store(&events).await, &target, &merge("until = \"OrderPlaced\"\nincludes = true"), options(1, 1)).await;
    assert_eq!(lines(&target).await, [r#"1 o-1 0 OrderRecorded {"lines":[1.0,2.0,3.0,4.0],"newest":4.0,"events":4}"#]);

    let late = events[0].recorded_at.micros() + 11_000_000;
    events[2].recorded_at = eventlift::events::Timestamp::from_micros(late).unwrap();
    let target = MemoryStore::new();
    migrate(&store(&events).await, &target, &merge("seconds = 10"), options(1, 1)).await;
    assert_eq!(lines(&target).await[0], r#"1 o-1 0 OrderRecorded {"lines":[1.0,2.0],"newest":2.0,"events":2}"#);
    assert_eq!(lines(&target).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn faults_and_batches_make_no_difference() {
    let events = log(400);
    let source = store(&events).await;
    for rest in ["until = \"OrderPlaced\"", "count = 3", "until = \"OrderPlaced\"\nincludes = true\ncount = 4", ""] {
        let (registry, calm) = (merge(rest), MemoryStore::new());
        let owners = ["next revision", "rule lines", "window of lines"];
        migrate(&source, &calm, &registry, options(1_000, 1_000)).await;
        let expected = content::of_memory(&calm, &events, &owners).await;
        assert!(agrees(&source, &calm, &registry, options(7, 13)).await, "{rest}");
        for (batch, transaction, nth) in
            [(1, 1, 40), (7, 13, 2), (50, 10, 5), (20, 30, 14), (400, 400, 1), (400, 400, 2)]
        {
            for fault in [Fault::Lose, Fault::LoseAfterSuccess] {
                let (target, script) = (MemoryStore::new(), Script::new());
                script.on(Call::Append, nth, fault);
                let attempt = |heartbeat: Heartbeat| {
                    let writer = Box::new(Faulty::new(target.writer().unwrap(), script.clone()));
                    let reader = Arc::new(source.reader());
                    let migration = Migration::new(reader, writer, Arc::clone(&registry), options(batch, transaction));
                    async move {
                        heartbeat.begun();
                        migration.run().await
                    }
                };
                let policy = RetryPolicy::default();
                go_on(&policy, &Stop::never(), attempt, |_| {}).await.unwrap();
                let found = content::of_memory(&target, &events, &owners).await;
                assert_same(&expected, &found, &format!("{rest} {batch} {transaction} {nth}"));
            }
        }
    }
}

#[tokio::test]
async fn windows_that_wait_are_closed_when_told_and_then_for_good() {
    let events = log(100);
    let (source, target) = (store(&events[..60]).await, MemoryStore::new());
    let registry = merge("until = \"OrderPlaced\"\nat_end = \"wait\"");
    migrate(&source, &target, &registry, options(10, 10)).await;
    assert!(agrees(&source, &target, &registry, options(10, 10)).await);
    source.writer().unwrap().append(&events[60..], None).await.unwrap();
    let outcome = migrate(&source, &target, &registry, options(10, 10)).await;
    let open = target.writer().unwrap().notes(outcome.run, "open windows", None, 100).await.unwrap().len() as u64;
    assert!(open > 0);

    let writer = Box::new(target.writer().unwrap());
    let mut migration = Migration::new(Arc::new(source.reader()), writer, Arc::clone(&registry), options(10, 10));
    assert_eq!(migration.close_windows().await.unwrap(), open);
    assert_eq!(migration.close_windows().await.unwrap(), 0, "it can be repeated");
    drop(migration);
    let at_once = MemoryStore::new();
    let closing = MigrationOptions { close_windows: true, ..options(100, 100) };
    migrate(&store(&events).await, &at_once, &registry, closing.clone()).await;
    assert_eq!(lines(&at_once).await, lines(&target).await);
    assert!(agrees(&source, &target, &registry, closing).await);

    let more = event(101, "Other", "order-9", 0, "{}");
    source.writer().unwrap().append(&[more], None).await.unwrap();
    let writer = Box::new(target.writer().unwrap());
    let refused = Migration::new(Arc::new(source.reader()), writer, registry, options(10, 10)).run().await.unwrap_err();
    assert!(
        refused.to_string().contains("windows of merges were closed where the source ended, at position 100"),
        "{refused}"
    );
}

#[tokio::test]
async fn following_needs_windows_that_wait() {
    let (source, target) = (store(&log(3)).await, MemoryStore::new());
    let writer = Box::new(target.writer().unwrap());
    let migration = Migration::new(Arc::new(source.reader()), writer, merge("count = 2"), options(10, 10));
    let refused = migration.follow(Following::default()).await.unwrap_err();
    assert!(refused.to_string().contains("lines closes its windows where the source ends"), "{refused}");
    assert!(lines(&target).await.is_empty());
}

#[tokio::test]
async fn a_window_that_never_closes_stops_the_run() {
    let events: Vec<Event> = (1..=5).map(|number| line(number, "LineAdded", "o-1", number - 1)).collect();
    let target = MemoryStore::new();
    let writer = Box::new(target.writer().unwrap());
    let registry = merge("until = \"OrderPlaced\"\nmost = 3");
    let error = Migration::new(Arc::new(store(&events).await.reader()), writer, registry, options(2, 2)).run().await;
    let Err(PipelineError::Transform(error)) = error else { panic!("{error:?}") };
    assert_eq!(
        error.to_string(),
        format!(
            "failed to transform event {} (LineAdded version 1, stream o-1, revision 3) by lines: the window of stream o-1 holds \
             4 events since position 1 and has not closed; at most 3 events and 4 MiB are kept",
            events[3].id
        )
    );
}

#[test]
fn merges_that_can_t_be_right_are_refused() {
    let of =
        |events: &str, into: &str| format!("[[merge]]\nname = \"m\"\nevents = {events}\ncount = 2\ninto = {into}\n");
    let recorded = "{ type = \"OrderRecorded\", version = 1 }";
    for (text, part) in [
        (of("[\"Nobody\"]", recorded), "m: it collects Nobody, which is not declared"),
        (
            of("[\"LineAdded\"]", "{ type = \"OrderRecorded\", version = 2 }"),
            "it makes OrderRecorded version 2, which is not the current one",
        ),
        (
            of("[\"LineAdded\"]", recorded) + &of("[\"LineAdded\"]", recorded).replace("\"m\"", "\"n\""),
            "LineAdded is collected already by the merge at m.toml:7",
        ),
        (of("[]", recorded), "needs `events`"),
        (of("[\"LineAdded\"]", recorded).replace("count = 2", "at_end = \"wait\""), "nothing closes the window"),
        (
            of("[\"LineAdded\"]", recorded).replace("count = 2", "count = 9\nmost = 3"),
            "`count` has to be from 1 to `most`, which is 3",
        ),
        (of("[\"LineAdded\"]", recorded).replace("count = 2", "untill = \"Other\""), "did you mean `until`?"),
    ] {
        let message = load(&text).err().unwrap();
        assert!(message.contains(part), "{part}: {message}");
    }
    // A merge has no way back.
    let missing = merge("count = 2").inverse().err().unwrap().to_string();
    assert!(missing.contains("lines: a rule that remembers earlier events can't be taken back"), "{missing}");
}
