//! Which rules took how many events.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use eventlift_events::{Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName, Timestamp};
use eventlift_transformers::{Definitions, Keys, Registry, TakesNothing, Took};

const RULES: &str = r#"
[current]
A = 1
B = 1

[[rule]]
name = "forget"
match = { types = ["A"] }
data = [{ redact = "/x" }]

[[rule]]
name = "forget in parts"
match = { types = ["A"] }
when = { path = "/x", exists = false }
split = [{ metadata = [{ hash = "/ip", key = "k", optional = true }] }, { type = "B" }]

[[rule]]
name = "forget what may not be there"
match = { types = ["C*"] }
may_match_nothing = true
data = [{ redact = "/x" }]

[[rule]]
name = "mark"
match = { types = ["A", "B"] }
data = [{ set = "/marked", value = true }]
"#;

fn event(event_type: &str, data: &str) -> Event {
    Event {
        id: EventId::text("e-1").unwrap(),
        stream: StreamName::new("user-1").unwrap(),
        revision: Revision(0),
        position: Position::new(0),
        event_type: EventType::new(event_type.to_owned()).unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::json(data.to_owned()),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Default::default(),
    }
}

fn registry() -> Registry {
    let mut keys = Keys::new();
    keys.insert("k", vec![7; 32]);
    let definitions = Definitions::load([(PathBuf::from("r.toml"), RULES.to_owned())], &keys).unwrap();
    definitions.register(Registry::builder()).build().unwrap()
}

#[test]
fn an_event_counts_once_for_each_rule_that_took_it_unless_it_failed() {
    let (registry, mut took, mut out) = (registry(), Took::default(), Vec::new());
    for (event_type, data) in [("A", r#"{"x":1}"#), ("B", "{}"), ("A", r#"{"x":2}"#)] {
        registry.lift_counting(event(event_type, data), &mut out, &mut took).unwrap();
    }
    registry.lift_counting(event("A", "{}"), &mut out, &mut took).unwrap_err();
    let found: BTreeMap<&str, u64> = registry.took(&took).collect();
    assert_eq!(found, BTreeMap::from([("forget", 2), ("mark", 3)]));
}

#[test]
fn what_redacts_must_not_take_nothing_unless_that_is_meant() {
    let registry = registry();
    let found: Vec<_> = registry.takers().map(|taker| (taker.name.to_owned(), taker.takes_nothing)).collect();
    let expected = [
        ("forget", TakesNothing::Refused),
        ("forget in parts", TakesNothing::Refused),
        ("forget what may not be there", TakesNothing::Meant),
        ("mark", TakesNothing::Said),
    ];
    assert_eq!(found, expected.map(|(name, takes_nothing)| (name.to_owned(), takes_nothing)));
}
