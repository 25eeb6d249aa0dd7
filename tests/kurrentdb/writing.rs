//! Appending: what is there afterwards, whatever went wrong on the way.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use bytes::Bytes;
use eventlift::events::{
    Checkpoint, CheckpointStore, Counts, Event, EventId, EventOrigin, EventType, EventWriter, Payload, Position,
    Progress, Revision, RunDetails, RunId, RunRecord, RunState, SchemaVersion, StoreError, StoreErrorKind, StreamName,
    Timestamp,
};
use eventlift::stores::kurrentdb::{KurrentConfig, KurrentWriter, MetadataKeys, Order, StreamMetadata};
use proptest::prelude::*;
use tempfile::TempDir;
use uuid::Uuid;

use super::server::{Expected, Fate, KurrentCluster, KurrentServer, NewEvent, ServerOptions};

/// A server, and a ledger.
struct Scene {
    server: KurrentServer,
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self::with(ServerOptions::default())
    }

    fn with(options: ServerOptions) -> Self {
        Self { server: KurrentServer::start(options), folder: tempfile::tempdir().unwrap() }
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    fn config(&self) -> KurrentConfig {
        KurrentConfig::new(format!("{}&defaultDeadline=1500", self.server.url()), self.ledger())
    }

    async fn writer(&self) -> KurrentWriter {
        KurrentWriter::open(self.config()).await.unwrap()
    }

    fn lose_ledger(&self) {
        std::fs::remove_file(self.ledger()).unwrap();
    }

    /// The streams that are not the server's own, metadata and truncated events included: ids in order.
    fn ids(&self) -> BTreeMap<String, Vec<Uuid>> {
        let mut streams: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
        for record in self.server.database().records() {
            streams.entry(record.stream.to_string()).or_default().push(record.id);
        }
        streams
    }

    /// Data of a stream's events, in order.
    fn data(&self, stream: &str) -> Vec<String> {
        let records = self.server.database().stream(stream);
        records.iter().map(|record| String::from_utf8_lossy(&record.data).into_owned()).collect()
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

fn id(number: u64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(number))
}

fn event(number: u64, stream: &str, revision: u64) -> Event {
    Event {
        id: EventId::uuid(id(number)),
        stream: StreamName::new(stream.to_owned()).unwrap(),
        revision: Revision(revision),
        position: Position::new(number),
        event_type: EventType::new("Happened").unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::json(format!("{{\"number\":{number}}}")),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Bytes::new(),
    }
}

/// Events of one stream from a revision on, numbered by `first` on.
fn run_of(stream: &str, first: u64, revisions: std::ops::Range<u64>) -> Vec<Event> {
    revisions.map(|revision| event(first + revision, stream, revision)).collect()
}

fn metadata(number: u64, stream: &str, revision: u64, json: &str) -> Event {
    Event {
        event_type: EventType::new("$metadata").unwrap(),
        data: Payload::json(json.to_owned()),
        ..event(number, &format!("$${stream}"), revision)
    }
}

fn tombstone(number: u64, stream: &str) -> Event {
    Event {
        event_type: EventType::new("$streamDeleted").unwrap(),
        data: Payload::binary(""),
        ..event(number, &format!("$tombstone-{stream}"), 0)
    }
}

/// Progress whose events had these revisions in the source.
fn progress(run: RunId, source: u64, revisions: &[u64]) -> Progress {
    let counts = Counts { read: source, ..Counts::default() };
    let checkpoint = Checkpoint { source: Position::new(source), target: None, counts };
    let origin = |(index, revision): (usize, &u64)| EventOrigin {
        revision: Revision(*revision),
        position: Position::new(index as u64),
    };
    let origins = revisions.iter().enumerate().map(origin).collect();
    Progress { run, checkpoint, state: Vec::new(), positions: Vec::new(), late: Vec::new(), notes: Vec::new(), origins }
}

fn record() -> RunRecord {
    RunRecord {
        id: RunId::random(),
        state: RunState::Loading,
        source: "file:a".to_owned(),
        fingerprint: "f".to_owned(),
        parts: Vec::new(),
        started_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
        tool: "0.1.0".to_owned(),
        details: RunDetails::default(),
    }
}

fn conflict(error: &StoreError) -> (String, u64, Option<u64>) {
    match &error.kind {
        StoreErrorKind::RevisionConflict { stream, revision, found, .. } => {
            (stream.to_string(), revision.0, found.map(|found| found.0))
        }
        other => panic!("{other:?}"),
    }
}

fn expected_ids(events: &[Event]) -> BTreeMap<String, Vec<Uuid>> {
    let mut streams: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
    for event in events {
        streams.entry(event.stream.to_string()).or_default().push(event.id.as_uuid().unwrap());
    }
    streams
}

#[test]
fn a_contiguous_stream_takes_a_hundredth_of_a_request_for_each_event() {
    block_on(async {
        let scene = Scene::new();
        let mut writer = scene.writer().await;
        let mut events = Vec::new();
        for stream in 0..20 {
            events.extend(run_of(&format!("order-{stream}"), stream * 1_000, 0..200));
        }
        events.sort_by_key(|event| event.revision);
        writer.append(&events, None).await.unwrap();
        assert_eq!(scene.ids(), expected_ids(&events));
        let counts = scene.server.counters();
        assert_eq!(counts.append_requests, 0);
        assert!(counts.batch_messages * 100 <= events.len() as u64, "{counts:?}");
    });
}

#[test]
fn no_more_streams_are_in_flight_than_allowed() {
    block_on(async {
        let scene = Scene::new();
        let events: Vec<Event> = (0..60).map(|number| event(number, &format!("order-{number}"), 0)).collect();
        scene.server.faults().delay(std::time::Duration::from_millis(20));
        for (in_flight, order) in [(8, Order::Stream), (8, Order::Global)] {
            let in_flight = NonZeroUsize::new(in_flight).unwrap();
            let config = KurrentConfig { in_flight, order: Some(order), ..scene.config() };
            let mut writer = KurrentWriter::open(config).await.unwrap();
            let part = if order == Order::Stream { &events[..40] } else { &events[40..] };
            writer.append(part, None).await.unwrap();
            let peak = scene.server.counters().peak_in_flight;
            assert!(peak <= 8 && peak > 1, "{peak}");
        }
        // Written one after the other, they are in the log in their order.
        let log: Vec<Uuid> = scene.server.database().records().iter().skip(40).map(|record| record.id).collect();
        assert_eq!(log, (40..60).map(id).collect::<Vec<_>>());
    });
}

#[test]
fn global_order_is_the_order_of_the_log() {
    block_on(async {
        let scene = Scene::new();
        let config = KurrentConfig { order: Some(Order::Global), ..scene.config() };
        let mut writer = KurrentWriter::open(config).await.unwrap();
        let streams = ["a", "a", "b", "a", "b", "b", "c", "a"];
        let mut revisions = BTreeMap::new();
        let events: Vec<Event> = (0..)
            .zip(streams)
            .map(|(number, stream)| {
                let next = revisions.entry(stream).or_insert(0);
                *next += 1;
                event(number, stream, *next - 1)
            })
            .collect();
        writer.append(&events, None).await.unwrap();
        let log: Vec<Uuid> = scene.server.database().records().iter().map(|record| record.id).collect();
        assert_eq!(log, (0..8).map(id).collect::<Vec<_>>());
        assert_eq!(scene.server.counters().batch_messages, 6);
    });
}

#[test]
fn what_is_there_already_is_found_whichever_way_it_is_cut() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let strategy = (
        proptest::collection::vec(0_usize..6, 1..60),
        proptest::collection::vec(0_usize..12, 6),
        proptest::collection::vec(1_usize..25, 1..12),
        60_usize..700,
        any::<bool>(),
    );
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |((streams, prefixes, cuts, max_append_size, is_global) in strategy)| {
        runtime.block_on(async {
            let scene = Scene::with(ServerOptions { max_append_size, ..ServerOptions::default() });
            let mut next = [0_u64; 6];
            let mut events = Vec::new();
            for (number, stream) in (0..).zip(&streams) {
                events.push(event(number, &format!("order-{stream}"), next[*stream]));
                next[*stream] += 1;
            }
            // Any prefix of each stream is there already.
            let database = scene.server.database();
            for (stream, prefix) in prefixes.iter().enumerate() {
                let name = format!("order-{stream}");
                let there = events.iter().filter(|event| event.stream.as_str() == name).take(*prefix);
                let there = there.map(|event| NewEvent::json("Happened", "{}").with_id(event.id.as_uuid().unwrap()));
                let there: Vec<NewEvent> = there.collect();
                if !there.is_empty() {
                    database.append(&name, Expected::NoStream, there).unwrap();
                }
            }
            let order = if is_global { Order::Global } else { Order::Stream };
            let config = KurrentConfig { order: Some(order), metadata: MetadataKeys::none(), ..scene.config() };
            let mut writer = KurrentWriter::open(config).await.unwrap();
            let mut rest = &events[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (part, after) = rest.split_at((*cut).min(rest.len()));
                writer.append(part, None).await.unwrap();
                rest = after;
            }
            assert_eq!(scene.ids(), expected_ids(&events));
        });
    });
}

#[test]
fn answers_that_are_lost_at_random_double_nothing() {
    block_on(async {
        for seed in 0..4 {
            let scene = Scene::with(ServerOptions { max_append_size: 600, ..ServerOptions::default() });
            let mut events = Vec::new();
            for stream in 0..30 {
                events.extend(run_of(&format!("order-{stream}"), stream * 1_000, 0..20));
            }
            scene.server.faults().lose_answers_at_random(0.05, seed);
            let run = record();
            let mut writer = scene.writer().await;
            writer.record_run(&run).await.unwrap();
            let mut tries = 0;
            for (index, part) in events.chunks(97).enumerate() {
                let done = progress(run.id, index as u64 + 1, &[]);
                while let Err(error) = writer.append(part, Some(&done)).await {
                    assert!(error.may_pass(), "{error}");
                    tries += 1;
                    assert!(tries < 500, "{error}");
                    drop(writer);
                    writer = scene.writer().await;
                }
                assert_eq!(writer.checkpoint(run.id).await.unwrap(), Some(done.checkpoint));
            }
            assert!(scene.server.counters().lost_answers > 0);
            assert_eq!(scene.ids(), expected_ids(&events));
        }
    });
}

#[test]
fn an_answer_that_never_comes_is_not_waited_for() {
    block_on(async {
        let scene = Scene::new();
        let mut writer = scene.writer().await;
        scene.server.faults().script_appends([Fate::Hang, Fate::Answer]);
        let events = run_of("order-1", 0, 0..5);
        writer.append(&events, None).await.unwrap();
        scene.server.faults().script_appends([Fate::TimeOut]);
        writer.append(&run_of("order-2", 100, 0..5), None).await.unwrap();
        assert_eq!(scene.ids().values().map(Vec::len).collect::<Vec<_>>(), [5, 5]);
    });
}

#[test]
fn a_session_that_ends_takes_nothing_along() {
    block_on(async {
        let scene = Scene::new();
        let mut events: Vec<Event> = (0..200).map(|number| event(number, &format!("order-{number}"), 0)).collect();
        // Half of each of these is there: their appends end the session that all others are on.
        for stream in [3, 77, 150] {
            let name = format!("order-{stream}");
            let there = NewEvent::json("Happened", "{}").with_id(id(stream));
            scene.server.database().append(&name, Expected::NoStream, vec![there]).unwrap();
            events.push(event(1_000 + stream, &name, 1));
        }
        let mut writer = scene.writer().await;
        writer.append(&events, None).await.unwrap();
        assert_eq!(scene.ids(), expected_ids(&events));
    });
}

#[test]
fn a_stream_that_was_changed_is_a_conflict_at_the_first_event_that_differs() {
    block_on(async {
        let scene = Scene::new();
        let run = record();
        let mut writer = scene.writer().await;
        writer.record_run(&run).await.unwrap();
        writer.append(&run_of("order-1", 0, 0..3), Some(&progress(run.id, 3, &[]))).await.unwrap();
        let foreign = vec![NewEvent::json("Foreign", "{}"), NewEvent::json("Foreign", "{}")];
        scene.server.database().append("order-1", Expected::Revision(2), foreign).unwrap();

        let done = progress(run.id, 9, &[]);
        let error = writer.append(&run_of("order-1", 0, 3..9), Some(&done)).await.unwrap_err();
        assert_eq!(conflict(&error), ("order-1".to_owned(), 3, Some(4)));
        let error = writer.append(&run_of("order-1", 0, 0..4), Some(&done)).await.unwrap_err();
        assert_eq!(conflict(&error), ("order-1".to_owned(), 3, Some(4)));
        let error = writer.append(&run_of("order-1", 0, 6..9), Some(&done)).await.unwrap_err();
        assert_eq!(conflict(&error), ("order-1".to_owned(), 6, Some(4)));
        assert_eq!(writer.checkpoint(run.id).await.unwrap(), Some(progress(run.id, 3, &[]).checkpoint));
        assert_eq!(scene.data("order-1").len(), 5);
    });
}

#[test]
fn truncated_events_count_as_there() {
    block_on(async {
        let scene = Scene::new();
        let events = run_of("order-1", 0, 0..10);
        scene.writer().await.append(&events, None).await.unwrap();
        scene.server.database().set_metadata("order-1", r#"{"$tb":6}"#).unwrap();
        scene.lose_ledger();
        let more = run_of("order-1", 0, 0..12);
        scene.writer().await.append(&more, None).await.unwrap();
        assert_eq!(scene.ids()["order-1"].len(), 12);
    });
}

#[test]
fn a_stream_that_was_deleted_before_does_not_go_on_counting_unseen() {
    block_on(async {
        let scene = Scene::new();
        let database = scene.server.database();
        database.append("order-1", Expected::NoStream, vec![NewEvent::json("Foreign", "{}")]).unwrap();
        database.delete("order-1", Expected::Any).unwrap();
        let error = scene.writer().await.append(&run_of("order-1", 0, 0..2), None).await.unwrap_err();
        assert!(error.to_string().contains("goes on counting"), "{error}");
    });
}

#[test]
fn the_limit_of_an_append_is_found_out_and_remembered() {
    block_on(async {
        for max_append_size in [300, 1_000, 65_536, 1_048_576] {
            let scene = Scene::with(ServerOptions { max_append_size, ..ServerOptions::default() });
            let mut events = Vec::new();
            for revision in 0..100 {
                let data = format!("{{\"filler\":\"{}\"}}", "x".repeat((revision * 37 % 100) as usize));
                events.push(Event { data: Payload::json(data), ..event(revision, "order-1", revision) });
            }
            let mut writer = scene.writer().await;
            writer.append(&events, None).await.unwrap();
            assert_eq!(scene.ids(), expected_ids(&events));
            drop(writer);
            let before = scene.server.counters();
            let more: Vec<Event> = events
                .iter()
                .map(|event| Event { stream: StreamName::new("order-2").unwrap(), ..event.clone() })
                .collect();
            scene.writer().await.append(&more, None).await.unwrap();
            // Nothing is refused any more.
            assert_eq!(scene.server.counters().append_requests, before.append_requests, "{max_append_size}");
        }
    });
}

#[test]
fn an_event_past_the_limit_is_named_with_what_can_be_done() {
    block_on(async {
        let scene = Scene::with(ServerOptions { max_append_size: 5_000, ..ServerOptions::default() });
        let run = record();
        let mut writer = scene.writer().await;
        writer.record_run(&run).await.unwrap();
        let large = Event { data: Payload::binary(vec![7; 6_000]), ..event(2, "order-1", 1) };
        let events = [event(1, "order-1", 0), large];
        let error = writer.append(&events, Some(&progress(run.id, 2, &[]))).await.unwrap_err();
        assert!(matches!(error.kind, StoreErrorKind::Unsupported(_)), "{error}");
        let text = format!("{error}; {}", error.hint.clone().unwrap_or_default());
        for part in [&id(2).to_string()[..], "order-1", "revision 1", "5000 bytes", "MaxAppendSize"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(writer.checkpoint(run.id).await.unwrap(), None);
    });
}

#[test]
fn a_larger_event_goes_alone_where_the_server_takes_it() {
    block_on(async {
        let scene = Scene::with(ServerOptions { max_append_size: 12 << 20, ..ServerOptions::default() });
        let large = Event { data: Payload::binary(vec![7; 10 << 20]), ..event(2, "order-1", 1) };
        let events = [event(1, "order-1", 0), large, event(3, "order-1", 2)];
        scene.writer().await.append(&events, None).await.unwrap();
        assert_eq!(scene.ids(), expected_ids(&events));
        assert_eq!(scene.server.counters().batch_messages, 3);
    });
}

#[test]
fn another_leader_is_found() {
    block_on(async {
        let cluster = KurrentCluster::start(3, &ServerOptions::default());
        let folder = tempfile::tempdir().unwrap();
        let config = KurrentConfig::new(cluster.url(), folder.path().join("ledger"));
        let mut writer = KurrentWriter::open(config).await.unwrap();
        let events = run_of("order-1", 0, 0..40);
        for (part, leader) in events.chunks(10).zip([0, 2, 1, 0]) {
            cluster.change_leader(leader);
            writer.append(part, None).await.unwrap();
        }
        assert_eq!(cluster.database().stream("order-1").len(), 40);
    });
}

#[test]
fn a_server_that_went_away_is_unavailable_and_the_same_again_completes() {
    block_on(async {
        let scene = Scene::new();
        let mut writer = scene.writer().await;
        let events = run_of("order-1", 0, 0..10);
        writer.append(&events[..4], None).await.unwrap();
        scene.server.stop();
        let error = writer.append(&events[4..], None).await.unwrap_err();
        assert!(error.may_pass(), "{error}");
        scene.server.start_again();
        drop(writer);
        scene.writer().await.append(&events[4..], None).await.unwrap();
        assert_eq!(scene.ids(), expected_ids(&events));
    });
}

#[test]
fn what_the_server_can_not_keep_is_refused() {
    block_on(async {
        let scene = Scene::new();
        let mut writer = scene.writer().await;
        let text_id = Event { id: EventId::text("order-1").unwrap(), ..event(1, "a", 0) };
        let no_id = Event { id: EventId::uuid(Uuid::nil()), ..event(1, "a", 0) };
        let own_type = Event { event_type: EventType::new("$>").unwrap(), ..event(1, "a", 0) };
        let of_system = metadata(1, "$settings", 0, "{}");
        for bad in [text_id, no_id, own_type, event(1, "$ce-order", 0), event(1, "$$a", 0), of_system] {
            let error = writer.append(std::slice::from_ref(&bad), None).await.unwrap_err();
            assert!(matches!(error.kind, StoreErrorKind::Unsupported(_)), "{bad:?}: {error}");
            assert!(error.hint.is_some(), "{error}");
        }
        assert!(writer.is_empty().await.unwrap());
        drop(writer);
        let config = KurrentConfig { stream_metadata: Some(StreamMetadata::LeaveOut), ..scene.config() };
        let mut writer = KurrentWriter::open(config).await.unwrap();
        for bad in [metadata(1, "a", 0, "{}"), tombstone(1, "a")] {
            let error = writer.append(&[bad], None).await.unwrap_err();
            assert!(matches!(error.kind, StoreErrorKind::Unsupported(_)), "{error}");
        }
    });
}

#[test]
fn metadata_keeps_its_place_among_the_events_of_its_stream() {
    block_on(async {
        let scene = Scene::new();
        let json = r#" { "$maxAge" : 600, "$acl":{"$r":"$all"},"nested":{"a":[1.0]} } "#;
        let mut events = run_of("order-1", 0, 0..3);
        events.push(metadata(10, "order-1", 0, json));
        events.push(metadata(11, "order-1", 1, r#"{"$tb":9223372036854775807}"#));
        events.push(event(3, "order-1", 3));
        // The server wrote the same by itself when the deleted stream was appended to.
        events.push(metadata(12, "order-1", 2, r#"{ "$tb": 3 }"#));
        events.push(event(4, "order-1", 4));
        for _ in 0..3 {
            scene.writer().await.append(&events, None).await.unwrap();
            assert_eq!(scene.data("$$order-1"), [json, r#"{"$tb":9223372036854775807}"#, r#"{"$tb":3}"#]);
            assert_eq!(scene.ids()["order-1"], (0..5).map(id).collect::<Vec<_>>());
            let log: Vec<String> =
                scene.server.database().records().iter().map(|record| record.stream.to_string()).collect();
            assert_eq!(log[..5], ["order-1", "order-1", "order-1", "$$order-1", "$$order-1"]);
            scene.lose_ledger();
        }
        // One at a time, as another run might.
        let mut writer = scene.writer().await;
        for event in &events {
            writer.append(std::slice::from_ref(event), None).await.unwrap();
        }
        let error = writer.append(&[metadata(99, "order-1", 1, r#"{"$tb":1}"#)], None).await.unwrap_err();
        assert_eq!(conflict(&error), ("$$order-1".to_owned(), 1, Some(2)));
    });
}

#[test]
fn truncation_is_put_into_the_revisions_of_the_target() {
    block_on(async {
        let scene = Scene::new();
        let run = record();
        let mut writer = scene.writer().await;
        writer.record_run(&run).await.unwrap();
        // Revision 1 of the source became three events, revision 3 was dropped.
        let origins = [0, 1, 1, 1, 2, 4, 5, 6];
        for (part, origins) in [(0..4, &origins[..4]), (4..8, &origins[4..])] {
            let events = run_of("order-1", 0, part);
            writer.append(&events, Some(&progress(run.id, 1, origins))).await.unwrap();
        }
        let cases = [(0, "0"), (1, "1"), (2, "4"), (3, "5"), (4, "5"), (6, "7"), (7, "8")];
        for (revision, (original, target)) in (0..).zip(cases) {
            let json = format!("{{ \"a\":1, \"$tb\" : {original} }}");
            let events = [metadata(100 + revision, "order-1", revision, &json)];
            writer.append(&events, Some(&progress(run.id, 2, &[revision]))).await.unwrap();
            let record = scene.server.database().stream("$$order-1").pop().unwrap();
            let data = String::from_utf8_lossy(&record.data).into_owned();
            assert_eq!(data, format!("{{ \"a\":1, \"$tb\" : {target} }}"), "of {original}");
        }
        // The ledger remembers that the stream has other revisions, and a repeat finds all of it.
        drop(writer);
        let again = [metadata(100, "order-1", 0, r#"{ "a":1, "$tb" : 0 }"#)];
        scene.writer().await.append(&again, Some(&progress(run.id, 2, &[0]))).await.unwrap();
    });
}

#[test]
fn truncation_behind_the_end_hides_nothing_that_is_to_come() {
    block_on(async {
        let scene = Scene::new();
        let run = record();
        let mut writer = scene.writer().await;
        writer.record_run(&run).await.unwrap();
        // The source has lost revisions 0 to 4.
        let events = [metadata(10, "order-1", 0, r#"{"$tb":5}"#), event(0, "order-1", 0), event(1, "order-1", 1)];
        writer.append(&events, Some(&progress(run.id, 1, &[0, 5, 6]))).await.unwrap();
        assert_eq!(scene.data("$$order-1"), [r#"{"$tb":0}"#]);
    });
}

#[test]
fn truncation_that_can_not_be_placed_is_refused() {
    block_on(async {
        let scene = Scene::new();
        let run = record();
        let config = KurrentConfig { metadata: MetadataKeys::none(), ..scene.config() };
        let mut writer = KurrentWriter::open(config).await.unwrap();
        writer.record_run(&run).await.unwrap();
        writer.append(&run_of("same-1", 0, 0..4), Some(&progress(run.id, 1, &[0, 1, 2, 3]))).await.unwrap();
        writer.append(&run_of("order-1", 100, 0..4), Some(&progress(run.id, 1, &[0, 2, 3, 4]))).await.unwrap();
        let same = [metadata(10, "same-1", 0, r#"{"$tb":2}"#)];
        writer.append(&same, Some(&progress(run.id, 2, &[0]))).await.unwrap();
        assert_eq!(scene.data("$$same-1"), [r#"{"$tb":2}"#]);
        let shifted = [metadata(11, "order-1", 0, r#"{"$tb":2}"#)];
        let error = writer.append(&shifted, Some(&progress(run.id, 3, &[0]))).await.unwrap_err();
        assert!(matches!(error.kind, StoreErrorKind::Unsupported(_)), "{error}");
        assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("$originalRevision")), "{error}");
    });
}

#[test]
fn deletions_travel_and_are_met_again() {
    block_on(async {
        let scene = Scene::new();
        let mut events = run_of("order-1", 0, 0..3);
        events.extend(run_of("order-2", 100, 0..2));
        events.push(metadata(50, "order-1", 0, r#"{"$maxCount":5}"#));
        events.push(tombstone(60, "order-1"));
        events.push(event(102, "order-2", 2));
        for cut in [events.len(), 1, 3] {
            let mut writer = scene.writer().await;
            for part in events.chunks(cut) {
                writer.append(part, None).await.unwrap();
            }
            writer.seal(true).await.unwrap();
            // A repeat of the append that ended the stream, once it is sealed.
            writer.append(&events, None).await.unwrap();
            let heads = ["order-1", "$tombstone-order-1", "$$order-2", "order-2"];
            let heads = heads.map(|name| StreamName::new(name).unwrap());
            let found = writer.heads(&heads).await.unwrap();
            assert_eq!(found, [None, Some(Revision(0)), None, Some(Revision(2))]);
            drop(writer);
            scene.lose_ledger();
        }
        assert_eq!(scene.ids()["order-2"].len(), 3);
    });
}

#[test]
fn a_stream_that_is_deleted_on_the_target_alone_is_found() {
    block_on(async {
        let scene = Scene::new();
        let database = scene.server.database();
        database.append("order-1", Expected::NoStream, vec![NewEvent::json("Foreign", "{}")]).unwrap();
        database.tombstone("order-1", Expected::Any).unwrap();
        let mut writer = scene.writer().await;
        let events = [event(0, "order-1", 0), event(10, "order-2", 0)];
        writer.append(&events, None).await.unwrap();
        for _ in 0..2 {
            let error = writer.seal(true).await.unwrap_err();
            assert!(error.to_string().contains("stream order-1") && error.hint.is_some(), "{error}");
        }
        drop(writer);
        let config = KurrentConfig { stream_metadata: Some(StreamMetadata::LeaveOut), ..scene.config() };
        scene.lose_ledger();
        let mut writer = KurrentWriter::open(config).await.unwrap();
        let error = writer.append(&events, None).await.unwrap_err();
        assert!(error.to_string().contains("deleted for good"), "{error}");
    });
}

#[test]
fn a_failed_append_with_a_tombstone_loses_nothing_when_it_is_repeated() {
    block_on(async {
        let scene = Scene::new();
        let mut writer = scene.writer().await;
        writer.seal(true).await.unwrap();
        let mut events = run_of("order-1", 0, 0..3);
        events.push(tombstone(60, "order-1"));
        scene.server.faults().script_appends([Fate::Fail, Fate::Fail]);
        writer.append(&events, None).await.unwrap_err();
        drop(writer);
        scene.writer().await.append(&events, None).await.unwrap();
        let records = scene.server.database().stream("order-1");
        assert_eq!(records.len(), 4);
        assert_eq!(&*records[3].event_type, "$streamDeleted");
    });
}

#[test]
fn heads_are_found_behind_deletions_and_truncations() {
    block_on(async {
        let scene = Scene::new();
        let database = scene.server.database();
        let mut writer = scene.writer().await;
        for stream in ["plain", "deleted", "truncated", "deleted-longer"] {
            writer.append(&run_of(stream, 0, 0..4), None).await.unwrap();
        }
        database.delete("deleted", Expected::Any).unwrap();
        database.set_metadata("truncated", r#"{"$tb":4}"#).unwrap();
        database.set_metadata("empty", r#"{"a":4}"#).unwrap();
        let asked = ["plain", "deleted", "truncated", "empty", "none", "$$deleted"];
        let asked = asked.map(|name| StreamName::new(name).unwrap());
        let three = Some(Revision(3));
        assert_eq!(writer.heads(&asked).await.unwrap(), [three, three, three, None, None, Some(Revision(0))]);
    });
}

#[test]
fn a_ledger_goes_with_its_server() {
    block_on(async {
        let scene = Scene::new();
        let mut writer = scene.writer().await;
        let refused = KurrentWriter::open(scene.config()).await.err().unwrap();
        assert!(matches!(refused.kind, StoreErrorKind::Locked(_)), "{refused}");
        writer.append(&run_of("order-1", 0, 0..3), None).await.unwrap();
        drop(writer);
        let other = KurrentServer::start(ServerOptions::default());
        let config = KurrentConfig::new(other.url(), scene.ledger());
        let refused = KurrentWriter::open(config).await.err().unwrap();
        assert!(refused.to_string().contains("of another server"), "{refused}");
    });
}

#[test]
fn nothing_is_added_where_nothing_may_be() {
    block_on(async {
        let scene = Scene::new();
        let config = KurrentConfig { metadata: MetadataKeys::none(), ..scene.config() };
        let mut writer = KurrentWriter::open(config).await.unwrap();
        let with = |number, revision, metadata| Event { metadata, ..event(number, "order-1", revision) };
        let events = [with(0, 0, Payload::empty()), with(1, 1, Payload::json("{ }")), with(2, 2, Payload::binary("x"))];
        writer.append(&events, None).await.unwrap();
        let kept: Vec<Bytes> = scene.server.database().stream("order-1").iter().map(|r| r.metadata.clone()).collect();
        assert_eq!(kept, ["", "{ }", "x"]);
    });
}
