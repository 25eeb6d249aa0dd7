//! Made-up events: the same number and seed are always the same log.

use std::collections::HashMap;

use eventlift::events::{Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName, Timestamp};
use uuid::Uuid;

/// 2024-05-01T12:00:00.000001Z.
const NOON: i64 = 1_714_564_800_000_001;

/// An event of the type's first version. Every field follows from what is given.
pub(crate) fn event(number: u64, event_type: &str, stream: &str, revision: u64, data: impl Into<String>) -> Event {
    Event {
        id: EventId::uuid(Uuid::new_v5(&Uuid::NAMESPACE_OID, &number.to_be_bytes())),
        stream: StreamName::new(stream.to_owned()).unwrap(),
        revision: Revision(revision),
        position: Position::new(number),
        event_type: EventType::new(event_type.to_owned()).unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::json(data.into()),
        metadata: Payload::json(format!(r#"{{"correlation": "c-{number}"}}"#)),
        recorded_at: Timestamp::from_micros(NOON + number as i64).unwrap(),
        attributes: Default::default(),
    }
}

/// A log of many interleaved streams with all the types that the rulebook knows, and one that it does not.
pub(crate) fn log(events: u64, seed: u64) -> Vec<Event> {
    let mut random = Random(seed ^ 0x9e37_79b9_7f4a_7c15);
    let mut revisions: HashMap<String, u64> = HashMap::new();
    (1..=events)
        .map(|number| {
            let (event_type, data) = match random.below(12) {
                0 | 1 => ("UserCreated", format!(r#"{{"first":"Ada","last":"L{number}"}}"#)),
                2 | 3 => ("FileRenamed", format!(r#"{{"from":"a{number}","to":"b{number}"}}"#)),
                4 => ("Ping", "{}".to_owned()),
                5 => ("NoteAdded", format!(r#"{{"text":"note {number}"}}"#)),
                6 => ("Untouched", format!(r#"{{ "precise" : {number}.10, "wide":9007199254740993 }}"#)),
                7 => ("Repeated", format!(r#"{{"state":{}}}"#, random.below(2))),
                _ => ("AmountPaid", format!(r#"{{"amount":{}}}"#, random.below(40))),
            };
            let stream = format!("order-{}", random.below(events / 12 + 3));
            let revision = revisions.entry(stream.clone()).or_default();
            *revision += 1;
            event(number, event_type, &stream, *revision - 1, data)
        })
        .collect()
}

/// xorshift64*: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % limit
    }
}
