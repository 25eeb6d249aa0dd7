//! Appending to a server over loopback: how many round trips, and how fast, against one append for each event. The server is the
//! one of the tests, in this process: it keeps its log in memory, so what is measured is the way there, not a disk.
//!
//! `cargo bench --features kurrentdb --bench kurrentdb`, or `cargo xtask bench kurrentdb`. `EVENTS` says how many.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]
#![allow(dead_code, reason = "the tests use more of the server")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use eventlift::events::{
    Event, EventId, EventReader, EventType, EventWriter, MemoryStore, Payload, Position, Revision, SchemaVersion,
    StreamName, Timestamp,
};
use eventlift::pipeline::{Migration, MigrationOptions};
use eventlift::stores::kurrentdb::{KurrentConfig, KurrentWriter, Order};
use eventlift::transformers::Registry;
use eventstore::{AppendToStreamOptions, Client, EventData, StreamState};
use uuid::Uuid;

#[path = "../tests/kurrentdb/server/mod.rs"]
mod server;

use server::{KurrentServer, ServerOptions};

/// Pairs of runs; their median counts.
const PAIRS: usize = 5;

/// How the events of streams follow one another.
#[derive(Clone, Copy)]
enum Mixed {
    /// One stream after the other.
    Apart,
    /// So many streams by turns.
    ByTurns(usize),
}

/// A log: how many events, how many of them in each stream, and how those follow one another.
#[derive(Clone, Copy)]
struct Log {
    events: usize,
    length: usize,
    mixed: Mixed,
}

fn events(log: Log) -> Vec<Event> {
    let at_once = match log.mixed {
        Mixed::Apart => 1,
        Mixed::ByTurns(streams) => streams,
    };
    let of_round = at_once * log.length;
    (0..log.events)
        .map(|number| {
            let (round, place) = (number / of_round, number % of_round);
            let (stream, revision) = (round * at_once + place % at_once, place / at_once);
            Event {
                id: EventId::uuid(Uuid::from_u128(0x77 << 96 | number as u128)),
                stream: StreamName::new(format!("order-{stream}")).unwrap(),
                revision: Revision(revision as u64),
                position: Position::new(number as u64 + 1),
                event_type: EventType::new("OrderPlaced").unwrap(),
                version: SchemaVersion::FIRST,
                data: Payload::json(format!(
                    "{{\"order\":{number},\"customer\":\"c-{}\",\"lines\":[{{\"sku\":\"A-{}\",\"n\":1,\"price\":10.10}}],\
                     \"note\":\"{}\"}}",
                    number % 977,
                    number % 31,
                    "x".repeat(120)
                )),
                metadata: Payload::json(format!("{{\"correlation\":\"{number:032x}\"}}")),
                recorded_at: Timestamp::from_micros(1_700_000_000_000_000 + number as i64).unwrap(),
                attributes: bytes::Bytes::new(),
            }
        })
        .collect()
}

async fn source(events: &[Event]) -> Arc<dyn EventReader> {
    let store = MemoryStore::new();
    let mut writer = store.writer().unwrap();
    for portion in events.chunks(10_000) {
        writer.append(portion, None).await.unwrap();
    }
    writer.seal(true).await.unwrap();
    Arc::new(store.reader())
}

/// Events a second, and requests of appends for each event.
struct Measured {
    rate: f64,
    requests: f64,
}

async fn migrated(source: Arc<dyn EventReader>, count: usize, order: Order) -> Measured {
    let server = KurrentServer::start(ServerOptions::default());
    let folder = tempfile::tempdir().unwrap();
    let config = KurrentConfig { order: Some(order), ..KurrentConfig::new(server.url(), folder.path().join("ledger")) };
    let target = Box::new(KurrentWriter::open(config).await.unwrap());
    let registry = Arc::new(Registry::builder().build().unwrap());
    let begun = Instant::now();
    let outcome = Migration::new(source, target, registry, MigrationOptions::default()).run().await.unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    assert_eq!(outcome.counts.written, count as u64);
    let counts = server.counters();
    assert_eq!(counts.appended_events, count as u64);
    Measured {
        rate: count as f64 / seconds,
        requests: (counts.batch_messages + counts.append_requests) as f64 / count as f64,
    }
}

/// One append for each event, each waiting for the one before: what a loop over events does.
async fn one_by_one(events: &[Event]) -> f64 {
    let server = KurrentServer::start(ServerOptions::default());
    let client = Client::new(server.url().parse().unwrap()).unwrap();
    let begun = Instant::now();
    for event in events {
        let state = event.revision.0.checked_sub(1).map_or(StreamState::NoStream, StreamState::StreamRevision);
        let options = AppendToStreamOptions::default().stream_state(state);
        let data =
            serde_json::value::RawValue::from_string(String::from_utf8(event.data.bytes().to_vec()).unwrap()).unwrap();
        let new = EventData::json(event.event_type.as_str(), &data).unwrap();
        let new = new.id(event.id.as_uuid().unwrap()).metadata(event.metadata.bytes().clone());
        client.append_to_stream(event.stream.as_str(), &options, new).await.unwrap();
    }
    events.len() as f64 / begun.elapsed().as_secs_f64()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn compare(name: &str, log: Log, order: Order) -> (f64, f64) {
    let all = events(log);
    let sample = &all[..all.len().min(20_000)];
    let source = source(&all).await;
    let (mut ratios, mut rates, mut requests) = (Vec::new(), Vec::new(), 0.0);
    for _ in 0..PAIRS {
        let measured = migrated(Arc::clone(&source), log.events, order).await;
        let plain = one_by_one(sample).await;
        ratios.push(measured.rate / plain);
        rates.push(measured.rate);
        requests = measured.requests;
    }
    let shown: Vec<String> = ratios.iter().map(|ratio| format!("{ratio:.1}")).collect();
    println!(
        "{name}: {:.0} events/s, {requests:.4} round trips an event, {} × one append for each event",
        median(rates),
        shown.join(" ")
    );
    (requests, median(ratios))
}

fn main() {
    // `cargo test --benches` and clippy build it; only a bench runs it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let count = std::env::var("EVENTS").ok().and_then(|text| text.replace('_', "").parse().ok()).unwrap_or(200_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let log = |length, mixed| Log { events: count, length, mixed };
        let (apart, _) = compare("streams of 100, one after the other", log(100, Mixed::Apart), Order::Stream).await;
        let by_turns = log(1_000, Mixed::ByTurns(64));
        let (mixed, ratio) = compare("streams of 1,000, 64 by turns", by_turns, Order::Stream).await;
        // A transaction of the run cuts these short.
        let by_turns = log(100, Mixed::ByTurns(64));
        let (cut, _) = compare("streams of 100, 64 by turns", by_turns, Order::Stream).await;
        compare("streams of 100, 2,000 by turns", log(100, Mixed::ByTurns(2_000)), Order::Stream).await;
        let ordered = Log { events: count.min(50_000), ..log(100, Mixed::ByTurns(64)) };
        compare("streams of 100, 64 by turns, one order", ordered, Order::Global).await;
        let kept = [apart, mixed, cut].into_iter().all(|requests| requests <= 0.01);
        println!(
            "bound: 0.01 round trips an event on streams of 100 and more: {}",
            if kept { "kept" } else { "MISSED" }
        );
        println!("many streams on one connection: {ratio:.1} × one append for each event");
        assert!(kept, "too many round trips");
    });
}
