//! What a fold of a definition costs, in nanoseconds an event: asking for the changes, and making them.
//!
//! Prints one line for each definition: the medians of several rounds.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use eventlift_events::{Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName};
use eventlift_projections::{Changes, Definitions, EventView, Projection, Row, RowKey};

const EVENTS: u64 = 100_000;
const KEYS: u64 = 5_000;
const ROUNDS: usize = 9;

const TABLE: &str = r#"
[table.customers]
key = "id"
columns = { id = "text", name = "text", orders = "integer", spent = "numeric", since = "time", tags = "json" }
"#;

const CASES: [(&str, &str); 5] = [
    (
        "add and set of 3 fields",
        "key = '/customer_id'\nset = { name = '/full_name' }\nadd = { orders = 1, spent = '/total' }",
    ),
    (
        "the same with a condition",
        "key = '/customer_id'\nwhen = { path = '/country', equals = 'DE' }\nset = { name = '/full_name' }\nadd = { orders = 1, spent = '/total' }",
    ),
    (
        "first, last, min and max",
        "key = '/customer_id'\nfirst = { since = { event = 'recorded_at' } }\nlast = { name = '/full_name' }\nmax = { spent = '/total' }\nmin = { orders = 7 }",
    ),
    ("a key out of the event", "key = { event = 'stream_id' }\nadd = { orders = 1 }"),
    ("a look-up in the row", "key = '/customer_id'\nset = { name = { column = 'id' } }\nadd = { orders = 1 }"),
];

/// An aggregate of the same events.
const AGGREGATE: &str = "aggregate = 'customer'\nstate = { orders = 'integer', spent = 'numeric', name = 'text' }\n\
    [[on]]\nevent = 'OrderPlaced'\nversion = 2\nset = { name = '/full_name' }\nadd = { orders = 1, spent = '/total' }\n";

fn event(number: u64) -> Event {
    let customer = number.wrapping_mul(0x9e37_79b9) % KEYS;
    let data = format!(
        r#"{{"order_id":"7f6c2f0e-5d0b-4e0e-9d0c-{number:012}","customer_id":"customer-{customer}","full_name":"Adelaide Lovelace-Byron {customer}","email":"adelaide.lovelace@example.org","country":"DE","city":"Frankfurt am Main","total":{}.{:02},"newsletter":true}}"#,
        number % 1000,
        number % 100
    );
    Event {
        id: EventId::text(format!("e-{number}")).unwrap(),
        stream: StreamName::new(format!("customer-{customer}")).unwrap(),
        revision: Revision(number),
        position: Position::new(number),
        event_type: EventType::new("OrderPlaced").unwrap(),
        version: SchemaVersion::new(2).unwrap(),
        data: Payload::json(data),
        metadata: Payload::empty(),
        recorded_at: "2024-05-01T12:00:00Z".parse().unwrap(),
        attributes: Default::default(),
    }
}

/// Nanoseconds an event for the changes, and for making them.
fn round(projection: &dyn Projection, events: &[Event]) -> (f64, f64) {
    let mut rows: HashMap<RowKey, Option<Row>> = HashMap::new();
    let (mut asked, mut made) = (0, 0);
    // In batches, as a rebuild has them.
    for batch in events.chunks(1000) {
        let mut all = Vec::with_capacity(batch.len());
        let start = Instant::now();
        for event in batch {
            let mut changes = Changes::new();
            projection.project(&mut EventView::new(event), &mut changes).unwrap();
            all.push(changes);
        }
        asked += start.elapsed().as_nanos();
        let start = Instant::now();
        for (event, mut changes) in batch.iter().zip(all) {
            for change in changes.drain() {
                let key = change.key.clone();
                change.make(event, rows.entry(key).or_default()).unwrap();
            }
        }
        made += start.elapsed().as_nanos();
    }
    assert!(rows.len() as u64 == KEYS, "{}", rows.len());
    let per_event = |nanoseconds: u128| nanoseconds as f64 / events.len() as f64;
    (per_event(asked), per_event(made))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let events: Vec<Event> = (0..EVENTS).map(event).collect();
    println!("{} bytes an event, {EVENTS} events, {KEYS} keys, medians of {ROUNDS} rounds", events[0].data.len());
    let projections =
        CASES.map(|(name, clause)| (name, format!("{TABLE}\n[[on]]\nevent = 'OrderPlaced'\nversion = 2\n{clause}\n")));
    for (name, text) in projections.into_iter().chain([("an aggregate of 3 fields", AGGREGATE.to_owned())]) {
        let definitions = Definitions::load([(PathBuf::from("customers.toml"), text)]).unwrap();
        let projection = &definitions.projections()[0];
        let (asked, made) = (0..ROUNDS).map(|_| round(&**projection, &events)).unzip();
        let (asked, made) = (median(asked), median(made));
        println!("{:7.0} ns = {asked:4.0} project + {made:4.0} apply: {name}", asked + made);
    }
}
