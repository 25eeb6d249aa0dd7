//! Made-up events and runs, the same on every run of the suite.

use std::collections::HashMap;

use bytes::Bytes;
use uuid::Uuid;

use crate::checkpoint::{Checkpoint, Counts, Progress, RunDetails, RunId, RunRecord, RunState};
use crate::event::{Event, EventId, EventType, SchemaVersion};
use crate::payload::Payload;
use crate::position::Position;
use crate::stream::{Revision, StreamName};
use crate::timestamp::Timestamp;

/// 2024-05-01T12:00:00.000001Z.
const NOON: i64 = 1_714_564_800_000_001;

/// The `number`-th event of the suite, with position `number`.
pub(super) fn event(number: u64, stream_name: &str, revision: u64) -> Event {
    Event {
        id: id(number),
        stream: stream(stream_name),
        revision: Revision(revision),
        position: Position::new(number),
        event_type: event_type(["OrderPlaced", "OrderPaid", "UserCreated"][(number % 3) as usize]),
        version: version(1 + (number % 2) as u32),
        data: Payload::json(format!(r#"{{"number":{number}}}"#)),
        metadata: Payload::json(format!(r#"{{"correlation":"c-{number}"}}"#)),
        recorded_at: time(NOON + number as i64),
        attributes: Bytes::new(),
    }
}

/// One event for each name, in that order: numbered from 1, each with the next revision of its stream.
pub(super) fn events(streams: &[&str]) -> Vec<Event> {
    let mut revisions: HashMap<&str, u64> = HashMap::new();
    let numbered = streams.iter().zip(1..);
    numbered
        .map(|(stream, number)| {
            let next = revisions.entry(stream).or_default();
            *next += 1;
            event(number, stream, *next - 1)
        })
        .collect()
}

/// Forty events of five streams, interleaved, with several types, versions and sizes.
pub(super) fn interleaved() -> Vec<Event> {
    const STREAMS: [&str; 5] = ["order-1", "user-7", "order-2", "audit", "user-8"];
    let streams: Vec<&str> = (0..40_usize).map(|number| STREAMS[(number * number + number / 3) % 5]).collect();
    let mut events = events(&streams);
    for (size, event) in events.iter_mut().enumerate() {
        event.data = Payload::json(format!(r#"{{"filler":"{}"}}"#, "x".repeat(size * 7 % 90)));
    }
    events
}

pub(super) fn id(number: u64) -> EventId {
    EventId::uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(number)))
}

#[expect(clippy::expect_used, reason = "the suite's own names")]
pub(super) fn stream(name: &str) -> StreamName {
    StreamName::new(name).expect("no name in the suite is empty") // written in the suite, never read from a store
}

#[expect(clippy::expect_used, reason = "the suite's own names")]
pub(super) fn event_type(name: &str) -> EventType {
    EventType::new(name).expect("no type in the suite is empty") // written in the suite, never read from a store
}

#[expect(clippy::expect_used, reason = "the suite's own ids")]
pub(super) fn text_id(text: &str) -> EventId {
    EventId::text(text).expect("no id in the suite is empty") // written in the suite, never read from a store
}

#[expect(clippy::expect_used, reason = "the suite's own versions")]
pub(super) fn version(number: u32) -> SchemaVersion {
    SchemaVersion::new(number).expect("no version in the suite is 0") // written in the suite, never read from a store
}

#[expect(clippy::expect_used, reason = "the suite's own times")]
pub(super) fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).expect("every time in the suite is in range") // written in the suite, never read from a store
}

/// A run that started `minute` minutes after noon.
pub(super) fn run(minute: i64) -> RunRecord {
    let started_at = time(NOON + minute * 60_000_000);
    RunRecord {
        id: RunId::random(),
        state: RunState::Loading,
        source: "sqlite:shop.db".to_owned(),
        fingerprint: format!("fingerprint {minute}"),
        parts: vec![("scope".to_owned(), "all".to_owned())],
        started_at,
        updated_at: started_at,
        tool: "0.1.0".to_owned(),
        details: RunDetails::default(),
    }
}

/// Progress of a run up to a source position, with nothing but the checkpoint.
pub(super) fn progress(run: RunId, source: u64) -> Progress {
    let counts = Counts { read: source, lifted: source / 2, dropped: 1, split: 2, written: source };
    let checkpoint = Checkpoint { source: Position::new(source), target: Some(Position::new(source)), counts };
    Progress {
        run,
        checkpoint,
        state: Vec::new(),
        positions: Vec::new(),
        late: Vec::new(),
        notes: Vec::new(),
        origins: Vec::new(),
    }
}
