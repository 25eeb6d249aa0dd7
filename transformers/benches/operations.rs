//! What one declarative operation costs beside a splice written by hand, in nanoseconds an event.
//!
//! Prints one line for each operation: the median of several rounds, and the ratio to the splice in the same run.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fmt;
use std::hint::black_box;
use std::time::Instant;

use eventlift_events::{Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName};
use eventlift_transformers::{Keys, Operation, Operations};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// About 300 bytes, flat.
const DATA: &str = concat!(
    r#"{"user_id":"7f6c2f0e-5d0b-4e0e-9d0c-0d6a5b1f3c11","first_name":"Adelaide","last_name":"Lovelace-Byron","#,
    r#""email":"adelaide.lovelace@example.org","country":"DE","city":"Frankfurt am Main","street":"Bahnhofstraße 12","#,
    r#""zip":"60311","balance":12345678901234567890.10,"newsletter":true,"locale":"de-DE"}"#
);

const EVENTS: usize = 20_000;
const ROUNDS: usize = 15;

/// An object's fields as they are written, in order.
struct Fields<'a>(Vec<(&'a str, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<(&'de str, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(12);
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Collect).map(Fields)
    }
}

/// The splice as somebody would write it for this one event type.
fn splice(payload: &Payload) -> Payload {
    let fields: Fields<'_> = serde_json::from_slice(payload.bytes()).unwrap();
    let mut out = String::with_capacity(payload.len() + 16);
    out.push('{');
    for (index, (key, value)) in fields.0.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push('"');
        out.push_str(if *key == "first_name" { "given_name" } else { key });
        out.push_str("\":");
        out.push_str(value.get());
    }
    out.push('}');
    Payload::json(out.into_bytes())
}

fn nanoseconds(events: &[Event], work: impl Fn(&Event) -> Payload) -> f64 {
    let start = Instant::now();
    for event in events {
        black_box(work(black_box(event)));
    }
    start.elapsed().as_nanos() as f64 / events.len() as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let event = Event {
        id: EventId::text("cbe326da-5260-5f9d-88a8-a35a0b819073").unwrap(),
        stream: StreamName::new("user-1").unwrap(),
        revision: Revision(0),
        position: Position::new(1),
        event_type: EventType::new("UserCreated").unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::json(DATA),
        metadata: Payload::empty(),
        recorded_at: "2024-05-01T12:00:00Z".parse().unwrap(),
        attributes: Default::default(),
    };
    // Bytes of their own for every event, as a store's batch has them.
    let events: Vec<Event> =
        (0..EVENTS).map(|_| Event { data: Payload::json(DATA.to_owned()), ..event.clone() }).collect();

    let mut keys = Keys::new();
    keys.insert("people", "a secret for measuring");
    let rename = "{ rename = '/first_name', to = '/given_name' }";
    let others = [
        rename,
        "{ rename = '/first_name', to = '/given_name', when = { path = '/country', equals = 'DE' } }",
        "{ set = '/source', value = 'import' }",
        "{ remove = '/email' }",
        "{ join = ['/first_name', '/last_name'], with = ' ', into = '/full_name' }",
        "{ format = '/balance', decimals = 2 }",
        "{ wrap = ['/street', '/zip', '/city'], into = '/address' }",
        "{ hash = '/email', key = 'people' }",
    ];
    println!("{} bytes an event, {EVENTS} events, median of {ROUNDS} rounds", DATA.len());
    for text in others {
        let table: toml::Table = toml::from_str(&format!("operation = {text}")).unwrap();
        let operation: Operation = table["operation"].clone().try_into().unwrap();
        let operations = Operations::compile(vec![operation], &keys).unwrap();
        let apply = |event: &Event| operations.apply(&event.data, event).unwrap();
        if text == rename {
            assert_eq!(apply(&event), splice(&event.data), "both do the same");
        }
        // In turn, so that a busy moment hits both.
        let (by_hand, declared): (Vec<f64>, Vec<f64>) = (0..ROUNDS)
            .map(|_| (nanoseconds(&events, |event| splice(&event.data)), nanoseconds(&events, apply)))
            .unzip();
        let (by_hand, declared) = (median(by_hand), median(declared));
        println!("{declared:7.0} ns, {:5.2} × {by_hand:.0} ns by hand: {text}", declared / by_hand);
    }
}
