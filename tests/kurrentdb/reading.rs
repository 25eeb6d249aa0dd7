//! Reading a server as a store of events.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use eventlift::stores::kurrentdb::{KurrentConfig, KurrentReader, MetadataKeys, StreamMetadata};
use eventlift_events::{
    Event, EventReader, EventType, Needed, Payload, Position, ReadRequest, Scope, StoreError, StoreErrorKind,
    StreamName,
};
use futures_util::{StreamExt, TryStreamExt};

use super::server::{Database, Expected, KurrentServer, NewEvent, ReadFate, Record, ServerOptions, User};

fn config(server: &KurrentServer, stream_metadata: StreamMetadata) -> KurrentConfig {
    let config = KurrentConfig::new(server.url(), "unused.eventlift");
    KurrentConfig { stream_metadata: Some(stream_metadata), ..config }
}

async fn reader(server: &KurrentServer) -> KurrentReader {
    KurrentReader::open(config(server, StreamMetadata::LeaveOut)).await.unwrap()
}

async fn carrying(server: &KurrentServer) -> KurrentReader {
    KurrentReader::open(config(server, StreamMetadata::Carry)).await.unwrap()
}

fn start() -> KurrentServer {
    KurrentServer::start(ServerOptions::default())
}

/// Links and statistics after every second event, and every third append a transaction.
fn noisy() -> KurrentServer {
    KurrentServer::start(ServerOptions { noise_every: 2, transaction_every: 3, ..ServerOptions::default() })
}

fn append(database: &Database, stream: &str, types: &[&str]) {
    let events = types.iter().map(|name| NewEvent::json(name, r#"{"a": 1.0}"#)).collect();
    database.append(stream, Expected::Any, events).unwrap();
}

async fn read(reader: &impl EventReader, request: ReadRequest) -> Result<Vec<Event>, StoreError> {
    let batches: Vec<Vec<Event>> = reader.read(request).try_collect().await?;
    Ok(batches.concat())
}

async fn all(reader: &impl EventReader) -> Vec<Event> {
    read(reader, ReadRequest::new(Scope::All)).await.unwrap()
}

async fn of_scope(reader: &impl EventReader, scope: Scope) -> Vec<String> {
    places(&read(reader, ReadRequest::new(scope)).await.unwrap())
}

fn stream(name: &str) -> Scope {
    Scope::Stream(StreamName::new(name.to_owned()).unwrap())
}

fn places(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| format!("{} {}", event.stream, event.revision)).collect()
}

fn position(record: &Record) -> Position {
    Position::pair(record.position.commit, record.position.prepare)
}

fn left_out(reader: &impl EventReader) -> Vec<(String, Option<u64>)> {
    reader.left_out().into_iter().map(|left| (left.what, left.events)).collect()
}

fn batches_of(events: usize) -> NonZeroUsize {
    NonZeroUsize::new(events).unwrap()
}

#[tokio::test]
async fn events_of_users_are_read_as_they_are() {
    let server = noisy();
    let database = server.database();
    append(&database, "user-1", &["A", "B"]);
    let odd = NewEvent::octets("C ü", Bytes::from_static(&[0, 255])).with_metadata("no JSON");
    database
        .append("user-2", Expected::Any, vec![odd, NewEvent::json("D", "").with_metadata("{ \"a\" : 1 }")])
        .unwrap();
    append(&database, "audit", &["E", "F", "G"]);
    let reader = reader(&server).await;
    let events = all(&reader).await;
    assert_eq!(places(&events), ["user-1 0", "user-1 1", "user-2 0", "user-2 1", "audit 0", "audit 1", "audit 2"]);
    assert!(events.is_sorted_by_key(|event| event.position));
    let records = database.records();
    let ours: Vec<_> = records.iter().filter(|record| !record.stream.starts_with('$')).collect();
    assert!(ours.len() < records.len(), "the system writes as well");
    for (event, record) in events.iter().zip(ours) {
        assert_eq!(event.id.as_uuid(), Some(record.id));
        assert_eq!(event.event_type.as_str(), &*record.event_type);
        assert_eq!((event.data.bytes(), event.metadata.bytes()), (&record.data, &record.metadata));
        assert_eq!(event.data.is_json(), record.is_json);
        assert_eq!(event.position, position(record));
        assert_eq!(event.recorded_at.micros(), i64::try_from(record.created_ticks / 10).unwrap());
    }
    assert_eq!(events[2].metadata, Payload::binary("no JSON"));
    assert_eq!(left_out(&reader), [("events of system streams ($…)".to_owned(), None)]);
    assert_eq!(reader.head().await.unwrap(), Some(events[6].position));
}

#[tokio::test]
async fn an_empty_server_has_no_events_and_no_head() {
    let server = start();
    let reader = reader(&server).await;
    assert!(all(&reader).await.is_empty());
    assert_eq!((reader.head().await.unwrap(), reader.seen_through()), (None, None));
    append(&server.database(), "$ours", &["S"]);
    assert!(all(&reader).await.is_empty());
    assert_eq!(reader.head().await.unwrap(), None);
    assert!(reader.seen_through().is_some());
}

#[tokio::test]
async fn reads_go_on_behind_any_position_and_stop_at_any() {
    let server = noisy();
    let database = server.database();
    for round in 0..6 {
        append(&database, &format!("user-{}", round % 3), &["A", "B", "C"][..1 + round % 3]);
    }
    let records = database.records();
    assert!(records.iter().any(|record| record.position.commit != record.position.prepare));
    let reader = carrying(&server).await;
    let scopes = [
        Scope::All,
        Scope::Category("user".to_owned()),
        stream("user-1"),
        Scope::Types(BTreeSet::from([EventType::new("B").unwrap()])),
    ];
    for scope in scopes {
        let events = read(&reader, ReadRequest::new(scope.clone())).await.unwrap();
        assert!(!events.is_empty());
        for place in records.iter().step_by(3).map(|record| position(record)) {
            for place in [Some(place), place.just_before()].into_iter().flatten() {
                let (before, behind): (Vec<Event>, Vec<Event>) =
                    events.iter().cloned().partition(|event| event.position <= place);
                let request = ReadRequest::new(scope.clone());
                assert_eq!(
                    read(&reader, request.clone().after(Some(place))).await.unwrap(),
                    behind,
                    "{scope:?} {place}"
                );
                assert_eq!(read(&reader, request.until(Some(place))).await.unwrap(), before, "{scope:?} {place}");
            }
        }
        let end = Position::pair(u64::MAX, u64::MAX);
        assert!(read(&reader, ReadRequest::new(scope).after(Some(end))).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn batches_are_no_larger_than_asked_for() {
    let server = start();
    append(&server.database(), "user-1", &["A"; 10]);
    let reader = reader(&server).await;
    let request = ReadRequest::new(Scope::All).batch_events(batches_of(4));
    let batches: Vec<Vec<Event>> = reader.read(request).try_collect().await.unwrap();
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
    let request = ReadRequest { batch_bytes: NonZeroUsize::MIN, ..ReadRequest::new(Scope::All) };
    let batches: Vec<Vec<Event>> = reader.read(request).try_collect().await.unwrap();
    assert_eq!(batches.len(), 10);
}

#[tokio::test]
async fn a_read_ends_where_the_store_ended() {
    let server = start();
    append(&server.database(), "user-1", &["A"; 500]);
    let reader = reader(&server).await;
    let mut batches = reader.read(ReadRequest::new(Scope::All).batch_events(batches_of(10)));
    let mut events = batches.next().await.unwrap().unwrap();
    append(&server.database(), "user-1", &["A"; 500]);
    while let Some(batch) = batches.next().await {
        events.extend(batch.unwrap());
    }
    assert_eq!(events.len(), 500);
}

#[tokio::test]
async fn names_are_matched_to_the_letter() {
    let server = start();
    let database = server.database();
    for name in ["a.b-1", "a.b", "axb-1", "a.bc-1", "a.b\n", "[x]+(y)|$-1", "x-1", "a.b-1-2"] {
        append(&database, name, &["T.1"]);
    }
    append(&database, "a.b-1", &["T1", "Tx1"]);
    let reader = reader(&server).await;
    let category = |name: &str| Scope::Category(name.to_owned());
    assert_eq!(of_scope(&reader, category("a.b")).await, ["a.b-1 0", "a.b 0", "a.b-1-2 0", "a.b-1 1", "a.b-1 2"]);
    assert_eq!(of_scope(&reader, category("[x]+(y)|$")).await, ["[x]+(y)|$-1 0"]);
    assert!(of_scope(&reader, category("a")).await.is_empty());
    let types = Scope::Types(BTreeSet::from([EventType::new("T.1").unwrap()]));
    assert_eq!(of_scope(&reader, types).await.len(), 8);
    assert_eq!(of_scope(&reader, stream("a.b-1")).await, ["a.b-1 0", "a.b-1 1", "a.b-1 2"]);
    assert!(of_scope(&reader, stream("nobody")).await.is_empty());
    assert!(of_scope(&reader, stream("$stats")).await.is_empty());
    let needed = Needed { types: Some(BTreeSet::from([EventType::new("Tx1").unwrap()])), ..Needed::ALL };
    let few = read(&reader, ReadRequest::new(Scope::All).needing(needed)).await.unwrap();
    assert!(few.iter().any(|event| event.event_type.as_str() == "Tx1"));
    assert_eq!(reader.seen_through(), None, "that read has not seen everything");
}

/// A stream with metadata, links, a deletion and one for good.
fn varied(database: &Database) {
    append(database, "user-1", &["A", "B"]);
    database.set_metadata("user-1", r#"{"$maxAge":1000000, "own": 1}"#).unwrap();
    database
        .append("links", Expected::Any, vec![NewEvent::octets("$>", "0@user-1"), NewEvent::json("A", "{}")])
        .unwrap();
    append(database, "user-2", &["A"]);
    database.tombstone("user-2", Expected::Any).unwrap();
    append(database, "other-1", &["A"]);
    database.delete("other-1", Expected::Any).unwrap();
    append(database, "other-1", &["B"]);
    database.set_metadata("$ours", r#"{"$maxCount":5}"#).unwrap();
}

#[tokio::test]
async fn links_metadata_and_deletions_are_counted_where_they_are_left_out() {
    let server = start();
    varied(&server.database());
    let reader = reader(&server).await;
    let events = all(&reader).await;
    assert_eq!(places(&events), ["user-1 0", "user-1 1", "links 1", "user-2 0", "other-1 0", "other-1 1"]);
    let records = server.database().records();
    let is_counted = |name: &str| name.starts_with("$$") && !name.starts_with("$$$");
    let metadata = records.iter().filter(|record| is_counted(&record.stream)).count();
    let metadata = Some(u64::try_from(metadata).unwrap());
    let expected = [
        ("links to other events", Some(1)),
        ("events with the metadata of streams", metadata),
        ("deletions of streams for good", Some(1)),
        ("events of system streams ($…)", None),
    ];
    assert_eq!(left_out(&reader), expected.map(|(what, events)| (what.to_owned(), events)));
    assert!(of_scope(&reader, stream("$$user-1")).await.is_empty());
    assert!(of_scope(&reader, stream("$tombstone-user-2")).await.is_empty());
}

#[tokio::test]
async fn metadata_and_deletions_are_events_where_they_are_carried() {
    let server = start();
    varied(&server.database());
    let reader = carrying(&server).await;
    let events = all(&reader).await;
    let expected = [
        "user-1 0",
        "user-1 1",
        "$$user-1 0",
        "links 1",
        "user-2 0",
        "$tombstone-user-2 0",
        "other-1 0",
        "$$other-1 0",
        "other-1 1",
    ];
    let found: Vec<String> = places(&events).into_iter().filter(|place| place != "$$other-1 1").collect();
    assert_eq!(found, expected);
    assert_eq!(left_out(&reader)[0], ("links to other events".to_owned(), Some(1)));
    let metadata = events.iter().find(|event| event.stream.as_str() == "$$user-1").unwrap();
    assert_eq!(metadata.event_type.as_str(), "$metadata");
    assert_eq!(metadata.data, Payload::json(r#"{"$maxAge":1000000, "own": 1}"#));
    let tombstone = events.iter().find(|event| event.stream.as_str() == "$tombstone-user-2").unwrap();
    assert_eq!((tombstone.event_type.as_str(), tombstone.data.len()), ("$streamDeleted", 0));
    let mut ids: Vec<_> = events.iter().map(|event| event.id.clone()).collect();
    assert_eq!(all(&carrying(&server).await).await, events, "ids are the same every time");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), events.len());
    assert_eq!(of_scope(&reader, stream("$$user-1")).await, ["$$user-1 0"]);
    assert_eq!(of_scope(&reader, stream("$tombstone-user-2")).await, ["$tombstone-user-2 0"]);
    assert!(of_scope(&reader, stream("$$$ours")).await.is_empty());
    let of_users = of_scope(&reader, Scope::Category("user".to_owned())).await;
    assert_eq!(of_users, ["user-1 0", "user-1 1", "$$user-1 0", "user-2 0", "$tombstone-user-2 0"]);
    assert_eq!(reader.head().await.unwrap(), events.last().map(|event| event.position));
}

#[tokio::test]
async fn deleted_and_truncated_streams_have_what_is_left() {
    let server = start();
    let database = server.database();
    append(&database, "deleted", &["A"; 3]);
    database.delete("deleted", Expected::Any).unwrap();
    append(&database, "gone", &["A"; 3]);
    database.tombstone("gone", Expected::Any).unwrap();
    append(&database, "cut", &["A"; 40]);
    database.set_metadata("cut", r#"{"$tb":35}"#).unwrap();
    let reader = reader(&server).await;
    assert!(of_scope(&reader, stream("deleted")).await.is_empty());
    assert!(of_scope(&reader, stream("gone")).await.is_empty());
    assert_eq!(of_scope(&reader, stream("cut")).await, ["cut 35", "cut 36", "cut 37", "cut 38", "cut 39"]);
    let records = database.stream("cut");
    let after = |index: usize| ReadRequest::new(stream("cut")).after(Some(position(&records[index])));
    assert_eq!(places(&read(&reader, after(37)).await.unwrap()), ["cut 38", "cut 39"]);
    assert_eq!(read(&reader, after(3)).await.unwrap().len(), 5);
    assert_eq!(all(&reader).await.len(), 46, "nothing is cleaned up yet");
    database.scavenge();
    let left = all(&reader).await;
    assert!(left.len() < 46);
    assert_eq!(
        read(&reader, ReadRequest::new(Scope::All).after(Some(position(&records[3])))).await.unwrap(),
        left[left.len() - 5..]
    );
}

#[tokio::test]
async fn what_others_have_written_down_in_the_metadata_comes_back() {
    let server = start();
    let original =
        r#"{"user":"x","$originalTime":"2020-01-02T03:04:05.000006Z","$originalRevision":4,"$schemaVersion":3}"#;
    let event = NewEvent::json("A", "{}").with_metadata(original);
    server.database().append("user-1", Expected::Any, vec![event]).unwrap();
    let found = all(&reader(&server).await).await;
    assert_eq!(found[0].metadata, Payload::json(r#"{"user":"x"}"#));
    assert_eq!(found[0].recorded_at.to_string(), "2020-01-02T03:04:05.000006Z");
    assert_eq!(found[0].version.number(), 3);
    let plain = KurrentConfig { metadata: MetadataKeys::none(), ..config(&server, StreamMetadata::LeaveOut) };
    let plain = KurrentReader::open(plain).await.unwrap();
    assert_eq!(all(&plain).await[0].metadata, Payload::json(original));
    assert_ne!(plain.reading(), reader(&server).await.reading());
    assert_ne!(carrying(&server).await.reading(), reader(&server).await.reading());
}

#[tokio::test]
async fn noise_behind_the_last_event_is_looked_through_once() {
    let server = start();
    let database = server.database();
    append(&database, "user-1", &["A", "B"]);
    let reader = reader(&server).await;
    let events = all(&reader).await;
    assert_eq!(reader.seen_through(), Some(events[1].position));
    for round in 0..5 {
        append(&database, "$noise", &["S"; 100]);
        assert_eq!(reader.head().await.unwrap(), Some(events[1].position));
        let end = position(database.records().last().unwrap());
        assert_eq!(reader.seen_through(), Some(end), "{round}");
    }
    let sent = server.counters().sent_events;
    assert_eq!(reader.head().await.unwrap(), Some(events[1].position));
    assert_eq!(server.counters().sent_events, sent + 1, "only the end is looked at");
    append(&database, "user-1", &["C"]);
    append(&database, "$noise", &["S"]);
    let seen = reader.seen_through().unwrap();
    let head = reader.head().await.unwrap().unwrap();
    assert!(head > seen);
    assert_eq!(reader.seen_through(), Some(seen), "the new event is not read yet");
    let new = read(&reader, ReadRequest::new(Scope::All).after(Some(seen))).await.unwrap();
    assert_eq!((places(&new), new[0].position), (vec!["user-1 2".to_owned()], head));
    assert_eq!(reader.seen_through(), Some(position(database.records().last().unwrap())));
}

#[tokio::test]
async fn the_last_of_many_new_events_is_found() {
    let server = start();
    let database = server.database();
    append(&database, "user-1", &["A"]);
    let reader = reader(&server).await;
    all(&reader).await;
    append(&database, "user-1", &["A"; 1_000]);
    append(&database, "$noise", &["S"; 50]);
    assert_eq!(reader.head().await.unwrap(), Some(position(&database.stream("user-1")[1_000])));
}

#[tokio::test]
async fn news_come_with_events_of_users_and_end_with_the_connection() {
    let server = start();
    let reader = reader(&server).await;
    let mut news = reader.news().unwrap();
    news.next().await.unwrap();
    append(&server.database(), "$noise", &["S"]);
    append(&server.database(), "user-1", &["A"]);
    news.next().await.unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(200), news.next()).await;
    assert!(silence.is_err(), "nothing has come");
    server.stop();
    assert!(news.next().await.is_none());
}

#[tokio::test]
async fn a_connection_that_breaks_is_unavailable_and_nothing_is_lost() {
    let server = start();
    append(&server.database(), "user-1", &["A"; 300]);
    for fate in [ReadFate::FailAfter(100), ReadFate::BreakAfter(100)] {
        let reader = reader(&server).await;
        server.faults().script_reads([ReadFate::Serve, fate]);
        let mut batches = reader.read(ReadRequest::new(Scope::All).batch_events(batches_of(7)));
        let mut events = Vec::new();
        let error = loop {
            match batches.next().await.unwrap() {
                Ok(batch) => events.extend(batch),
                Err(error) => break error,
            }
        };
        assert!(error.may_pass(), "{error:?}");
        assert!(batches.next().await.is_none());
        assert!(reader.seen_through().is_none());
        if let Some(last) = events.last() {
            assert!(error.to_string().contains(&format!("position {}", last.position)), "{error}");
        }
        let after = events.last().map(|event| event.position);
        events.extend(read(&reader, ReadRequest::new(Scope::All).after(after)).await.unwrap());
        assert_eq!(events.len(), 300);
    }
    let reader = reader(&server).await;
    server.stop();
    for _ in 0..3 {
        let error = read(&reader, ReadRequest::new(Scope::All)).await.unwrap_err();
        assert!(error.may_pass(), "{error:?}");
    }
    let error = KurrentReader::open(config(&server, StreamMetadata::Carry)).await.map(|_| ()).unwrap_err();
    assert!(error.nobody_answered(), "{error:?}");
}

#[tokio::test]
async fn a_read_that_nobody_goes_on_with_ends() {
    let server = start();
    append(&server.database(), "user-1", &["A"; 5_000]);
    let reader = reader(&server).await;
    let mut batches = reader.read(ReadRequest::new(Scope::All).batch_events(NonZeroUsize::MIN));
    batches.next().await.unwrap().unwrap();
    drop(batches);
    assert_eq!(reader.seen_through(), None);
    assert_eq!(all(&reader).await.len(), 5_000);
}

#[tokio::test]
async fn who_is_not_let_in_is_told_when_the_store_is_opened() {
    let users = vec![User::admin("admin", "changeit"), User::named("reader", "secret")];
    let server = KurrentServer::start(ServerOptions { users, ..ServerOptions::default() });
    let open = async |url: String| KurrentReader::open(KurrentConfig::new(url, "unused.eventlift")).await;
    let wrong = open(server.url_as(&User::named("admin", "guess"))).await.map(|_| ()).unwrap_err();
    assert!(matches!(wrong.kind, StoreErrorKind::Denied(_)), "{wrong:?}");
    assert!(!format!("{wrong:?}").contains("guess"));
    let nobody = open(format!("esdb://{}?tls=false", server.address())).await.map(|_| ()).unwrap_err();
    assert!(matches!(nobody.kind, StoreErrorKind::Denied(_)), "{nobody:?}");
    // One who may read streams may still not read everything.
    let limited = open(server.url_as(&User::named("reader", "secret"))).await.unwrap();
    append(&server.database(), "user-1", &["A"]);
    assert_eq!(of_scope(&limited, stream("user-1")).await, ["user-1 0"]);
    let denied = read(&limited, ReadRequest::new(Scope::All)).await.unwrap_err();
    assert!(matches!(denied.kind, StoreErrorKind::Denied(_)), "{denied:?}");
}

#[tokio::test]
async fn encryption_on_one_side_only_is_recognised() {
    let plain = start();
    let encrypted = KurrentServer::start(ServerOptions { tls: true, ..ServerOptions::default() });
    let open = async |url: String| KurrentReader::open(KurrentConfig::new(url, "unused.eventlift")).await;
    let cases = [
        (format!("esdb://{}", plain.address()), "does not encrypt", "tls=false"),
        (format!("esdb://{}?tls=false", encrypted.address()), "encrypts", "tls=false"),
        (format!("esdb://{}", encrypted.address()), "certificate", "tlsCaFile"),
        (format!("esdb://{0},{0}?maxDiscoverAttempts=2", plain.address()), "does not encrypt", "tls=false"),
    ];
    for (url, problem, hint) in cases {
        let error = open(url.clone()).await.map(|_| ()).unwrap_err();
        assert!(matches!(error.kind, StoreErrorKind::Denied(_)), "{url}: {error:?}");
        assert!(error.to_string().contains(problem), "{url}: {error}");
        assert!(error.hint.unwrap().contains(hint), "{url}");
    }
    append(&encrypted.database(), "user-1", &["A"]);
    assert_eq!(all(&reader(&encrypted).await).await.len(), 1);
}
