//! Lifting through registries of Rust rules.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use eventlift_events::{Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName, Timestamp};
use eventlift_transformers::{
    Lift, Outcome, Reason, Registry, Rule, Shape, StatefulTransformer, Transformer, Uncovered, Upcaster,
};
use serde::{Deserialize, Serialize};

fn event(event_type: &str, version: u32, data: &str) -> Event {
    Event {
        id: EventId::text("e-1").unwrap(),
        stream: StreamName::new("user-1").unwrap(),
        revision: Revision(4),
        position: Position::new(17),
        event_type: EventType::new(event_type.to_owned()).unwrap(),
        version: SchemaVersion::new(version).unwrap(),
        data: Payload::json(data.to_owned()),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Default::default(),
    }
}

fn append(text: &'static str) -> impl Fn(Event) -> Result<Event, Reason> + Send + Sync + 'static {
    move |mut event| {
        let data = [event.data.bytes(), text.as_bytes()].concat();
        event.data = Payload::json(data);
        Ok(event)
    }
}

fn lift(registry: &Registry, event: Event) -> (Lift, Vec<Event>) {
    let mut out = Vec::new();
    let lift = registry.lift(event, &mut out).unwrap();
    (lift, out)
}

fn summary(events: &[Event]) -> Vec<String> {
    events.iter().map(|e| format!("{} {} {:?}", e.event_type, e.version, e.data)).collect()
}

fn schema_of(event: &mut Event, event_type: &str, version: u32) {
    event.event_type = EventType::new(event_type.to_owned()).unwrap();
    event.version = SchemaVersion::new(version).unwrap();
}

#[test]
fn a_renamed_type_may_go_on_in_another_version() {
    let old = "type = 'Old'\nretired = true\n[[upcast]]\nfrom = 3\ntype = 'New'\nto = 1\n".to_owned();
    let new = "type = 'New'\ncurrent = 2\n[[upcast]]\nfrom = 1\n".to_owned();
    let files = [("o.toml".into(), old), ("n.toml".into(), new)];
    let definitions = eventlift_transformers::Definitions::load(files, &eventlift_transformers::Keys::new()).unwrap();
    let registry = definitions.register(Registry::builder()).build().unwrap();
    let mut out = Vec::new();
    let old = Event {
        version: SchemaVersion::new(3).unwrap(),
        event_type: EventType::new("Old").unwrap(),
        ..event("New", 1, "{}")
    };
    registry.lift(old, &mut out).unwrap();
    assert_eq!((out[0].event_type.as_str(), out[0].version.number()), ("New", 2));
}

#[test]
fn a_chain_runs_from_every_version_and_leaves_the_current_one_alone() {
    let registry = Registry::builder()
        .current("A", 3)
        .upcaster(Upcaster::new("A", 2, 3, "1", append("+3")))
        .upcaster(Upcaster::new("A", 1, 2, "1", append("+2")))
        .build()
        .unwrap();
    let (outcome, out) = lift(&registry, event("A", 1, "1"));
    assert_eq!((outcome, summary(&out)), (Lift::Lifted, vec!["A 3 application/json(\"1+2+3\")".to_owned()]));
    let current = event("A", 3, "1");
    assert_eq!(lift(&registry, current.clone()), (Lift::Untouched, vec![current]));
    let newer = event("A", 4, "1");
    let uncovered = Uncovered::UnknownVersion { current: SchemaVersion::new(3).unwrap() };
    assert_eq!(lift(&registry, newer.clone()), (Lift::Uncovered(uncovered), vec![newer]));
    let unknown = event("B", 1, "1");
    assert_eq!(lift(&registry, unknown.clone()), (Lift::Uncovered(Uncovered::UnknownType), vec![unknown]));
    assert_eq!(registry.shape(), Shape::OneToOne);
}

#[test]
fn parts_of_nested_splits_go_on_with_their_own_chains_and_ids() {
    let twice = |event: Event| Ok(vec![event.clone(), event]);
    let registry = Registry::builder()
        .current("A", 3)
        .current("B", 1)
        .upcaster(Upcaster::new("A", 1, 2, "1", twice))
        .upcaster(
            Upcaster::new("A", 2, 3, "1", |event| {
                let mut other = event.clone();
                schema_of(&mut other, "B", 1);
                Ok(vec![event, other])
            })
            .into_schemas([("A", 3), ("B", 1)]),
        )
        .build()
        .unwrap();
    assert_eq!(registry.shape(), Shape::Shifting);
    let original = event("A", 1, "{}");
    let (_, out) = lift(&registry, original.clone());
    let types: Vec<&str> = out.iter().map(|e| e.event_type.as_str()).collect();
    assert_eq!(types, ["A", "B", "A", "B"]);
    for (index, part) in out.iter().enumerate() {
        assert_eq!(part.id, original.id.of_part(index, &format!("{} {}", original.event_type, original.version)));
        assert_eq!((part.revision, part.position), (original.revision, original.position));
    }
    let ids: std::collections::HashSet<_> = out.iter().map(|e| &e.id).collect();
    assert_eq!(ids.len(), 4);
}

#[test]
fn a_rule_cannot_change_what_is_not_its_business() {
    let registry = Registry::builder()
        .current("A", 2)
        .upcaster(Upcaster::new("A", 1, 2, "1", |mut event| {
            event.id = EventId::text("mine").unwrap();
            event.revision = Revision(0);
            event.position = Position::new(0);
            event.recorded_at = Timestamp::now();
            event.attributes = "{}".into();
            Ok(event)
        }))
        .build()
        .unwrap();
    let original = event("A", 1, "{}");
    let (_, out) = lift(&registry, original.clone());
    let expected = Event { version: SchemaVersion::new(2).unwrap(), ..original };
    assert_eq!(out, [expected]);
}

#[test]
fn dropped_and_failed_events_push_nothing_and_keep_what_was_there() {
    let registry = Registry::builder()
        .current("A", 3)
        .upcaster(Upcaster::new("A", 1, 3, "1", |_| Ok(None)))
        .upcaster(Upcaster::new("A", 2, 3, "1", |event| Ok(vec![event.clone(), event])))
        .rule(Rule::new("no twins", "1", |event| {
            if event.data.bytes() == "bad" { Err(Reason::new("it is bad")) } else { Ok(event) }
        }))
        .build()
        .unwrap();
    let earlier = event("B", 1, "1");
    let mut out = vec![earlier.clone()];
    assert_eq!(registry.lift(event("A", 1, "1"), &mut out), Ok(Lift::Lifted));
    assert_eq!(out, std::slice::from_ref(&earlier));
    let bad = event("A", 2, "bad");
    let error = registry.lift(bad.clone(), &mut out).unwrap_err();
    assert_eq!(out, [earlier]);
    assert_eq!(*error.event, bad);
    let message = error.to_string();
    assert!(message.contains("revision 4) by no twins (") && message.contains("tests/lift.rs:"), "{message}");
}

#[test]
fn guards_are_tried_in_order_before_the_fallback() {
    let registry = Registry::builder()
        .current("A", 2)
        .upcaster(Upcaster::new("A", 1, 2, "1", append("+one")).when(|e| Ok(e.data.len() == 1)))
        .upcaster(Upcaster::new("A", 1, 2, "1", append("+short")).when(|e| Ok(e.data.len() < 3)))
        .upcaster(Upcaster::new("A", 1, 2, "1", append("+long")))
        .build()
        .unwrap();
    for (data, expected) in [("1", "1+one"), ("12", "12+short"), ("123", "123+long")] {
        assert_eq!(lift(&registry, event("A", 1, data)).1[0].data.bytes(), expected);
    }
    let names: Vec<String> = registry.parts().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["A 1 → 2, case 1", "A 1 → 2, case 2", "A 1 → 2, case 3"]);
}

#[test]
fn general_rules_see_the_type_an_earlier_one_gave() {
    let rename = |mut event: Event| {
        event.event_type = EventType::new("Z").unwrap();
        Ok(event)
    };
    let registry = Registry::builder()
        .rule(Rule::new("never again", "1", append("+early")).types(["Z"]))
        .rule(Rule::new("rename", "1", rename).types(["A"]))
        .rule(Rule::new("on Z", "1", append("+Z")).types(["Z"]))
        .rule(Rule::new("on A", "1", append("+A")).types(["A"]))
        .rule(Rule::new("elsewhere", "1", append("+order")).categories(["order"]))
        .rule(Rule::new("version 2", "1", append("+v2")).versions([2]))
        .build()
        .unwrap();
    assert_eq!(summary(&lift(&registry, event("A", 1, "1")).1), ["Z 1 application/json(\"1+Z\")"]);
    assert_eq!(lift(&registry, event("C", 1, "1")).0, Lift::Untouched);
    assert_eq!(lift(&registry, event("C", 2, "1")).0, Lift::Lifted);
}

#[test]
fn a_redaction_of_all_types_holds_for_uncovered_events() {
    let registry = Registry::builder().current("A", 1).rule(Rule::new("redact", "1", append("-"))).build().unwrap();
    let (outcome, out) = lift(&registry, event("B", 7, "1"));
    assert_eq!(outcome, Lift::Uncovered(Uncovered::UnknownType));
    assert_eq!(out[0].data.bytes(), "1-");
}

#[test]
fn what_is_not_declared_fails() {
    let stray = |mut event: Event| {
        schema_of(&mut event, "C", 9);
        Ok(event)
    };
    let moved = |mut event: Event| {
        event.stream = StreamName::new("order-1").unwrap();
        Ok(event)
    };
    let newer = |mut event: Event| {
        event.version = SchemaVersion::new(2).unwrap();
        Ok(event)
    };
    let registry = Registry::builder()
        .current("A", 2)
        .current("B", 2)
        .current("C", 1)
        .upcaster(Upcaster::new("A", 1, 2, "1", stray))
        .upcaster(Upcaster::new("B", 1, 2, "1", moved))
        .rule(Rule::new("newer", "1", newer).types(["C"]))
        .build()
        .unwrap();
    let reason = |event| registry.lift(event, &mut Vec::new()).unwrap_err().reason.message;
    assert_eq!(reason(event("A", 1, "")), "it yields C version 9, but declares A version 2");
    assert_eq!(reason(event("B", 1, "")), "it moves the event to stream order-1 without declaring that it moves");
    assert_eq!(reason(event("C", 1, "")), "it changes the version to 2");
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserCreatedV1 {
    first_name: String,
    last_name: String,
}

#[derive(Serialize)]
struct UserCreatedV2 {
    full_name: String,
}

#[test]
fn typed_upcasters_read_the_old_type_and_write_the_new() {
    let registry = Registry::builder()
        .current("UserCreated", 2)
        .upcaster(Upcaster::typed("UserCreated", 1, 2, "1", |old: UserCreatedV1| {
            if old.last_name.is_empty() {
                return Err(Reason::new("the last name is empty"));
            }
            Ok(UserCreatedV2 { full_name: format!("{} {}", old.first_name, old.last_name) })
        }))
        .build()
        .unwrap();
    let ada = event("UserCreated", 1, r#"{"first_name":"Ada","last_name":"Lovelace"}"#);
    assert_eq!(lift(&registry, ada).1[0].data.bytes(), r#"{"full_name":"Ada Lovelace"}"#);
    let reason = |data: &str| registry.lift(event("UserCreated", 1, data), &mut Vec::new()).unwrap_err().reason.message;
    assert_eq!(reason(r#"{"first_name":"Ada","last_name":""}"#), "the last name is empty");
    assert!(reason(r#"{"first_name":"Ada"}"#).contains("missing field `last_name`"));
    let mut binary = event("UserCreated", 1, "");
    binary.data = Payload::binary("x");
    let error = registry.lift(binary, &mut Vec::new()).unwrap_err();
    assert_eq!(error.reason.message, "the data is application/octet-stream, not JSON");
}

struct Liar;

impl Transformer for Liar {
    fn name(&self) -> &str {
        "liar"
    }
    fn fingerprint(&self) -> &str {
        "1"
    }
    fn shape(&self) -> Shape {
        Shape::OneToOne
    }
    fn transform(&self, _: Event, _: &mut Vec<Event>) -> Result<(), Reason> {
        Ok(())
    }
}

#[test]
fn a_transformer_that_breaks_its_word_fails() {
    let registry = Registry::builder().rule(Liar).build().unwrap();
    let error = registry.lift(event("A", 1, ""), &mut Vec::new()).unwrap_err();
    assert_eq!(error.reason.message, "it yields 0 events, but says that it is one-to-one");
    assert!(error.rule.starts_with("liar (") && error.rule.contains("tests/lift.rs:"), "{}", error.rule);
}

struct Every(bool);

impl StatefulTransformer for Every {
    fn name(&self) -> &str {
        "every"
    }
    fn fingerprint(&self) -> &str {
        "1"
    }
    fn observes(&self, _: &EventType, _: SchemaVersion) -> bool {
        true
    }
    fn is_one_to_one(&self) -> bool {
        self.0
    }
    fn transform(&self, _: &mut Vec<u8>, event: Event, out: &mut Vec<Event>) -> Result<(), Reason> {
        out.push(event);
        Ok(())
    }
}

#[test]
fn shapes_are_known_before_running() {
    assert!(Registry::builder().current("A", 1).build().unwrap().is_empty());
    let shape = |stateful| Registry::builder().stateful(Arc::new(Every(stateful))).build().unwrap().shape();
    assert_eq!((shape(true), shape(false)), (Shape::OneToOne, Shape::Moving));
    let moving = Rule::new("move", "1", Ok).moves_streams();
    assert_eq!(Registry::builder().rule(moving).build().unwrap().shape(), Shape::Moving);
}

#[test]
fn coverage_names_the_steps_and_the_general_rules_at_their_ends() {
    let registry = Registry::builder()
        .current("A", 3)
        .current("B", 1)
        .upcaster(Upcaster::new("A", 1, 2, "1", append("")))
        .upcaster(Upcaster::new("A", 2, 3, "1", append("")).into_schemas([("B", 1)]))
        .rule(Rule::new("on B", "1", append("")).types(["B*"]))
        .rule(Rule::new("on A", "1", append("")).types(["A"]))
        .build()
        .unwrap();
    let coverage = |event_type: &'static str, version| {
        registry.coverage(&EventType::new(event_type).unwrap(), SchemaVersion::new(version).unwrap())
    };
    let Outcome::Lifted(steps) = coverage("A", 1).outcome else { panic!("{:?}", coverage("A", 1)) };
    let rules: Vec<&str> = steps.iter().map(|step| step.rule.as_str()).collect();
    assert_eq!(rules, ["A 1 → 2", "A 2 → B 1"]);
    assert_eq!(coverage("A", 1).rules, ["on B"]);
    assert_eq!((coverage("A", 3).outcome, coverage("A", 3).rules), (Outcome::Current, vec!["on A".to_owned()]));
    assert_eq!(coverage("C", 1).outcome, Outcome::Uncovered(Uncovered::UnknownType));
    assert_eq!(coverage("BB", 1).rules, ["on B"]);
}

#[test]
fn the_fingerprint_follows_what_rules_yield_and_nothing_else() {
    let base = || Registry::builder().current("A", 3).current("B", 1);
    let first = || Upcaster::new("A", 1, 2, "1", append(""));
    let second = |fingerprint: &str| Upcaster::new("A", 2, 3, fingerprint, append(""));
    let one = base().upcaster(first()).upcaster(second("1")).build().unwrap();
    let same = base().upcaster(second("1").named("other")).upcaster(first()).build().unwrap();
    let changed = base().upcaster(first()).upcaster(second("2")).build().unwrap();
    assert_eq!(one.fingerprint(), same.fingerprint());
    assert_ne!(one.fingerprint(), changed.fingerprint());
    assert_eq!(one.parts()[0], changed.parts()[0]);
    assert_ne!(one.parts()[1], changed.parts()[1]);
    let rule = |name: &str, fingerprint: &str| Rule::new(name, fingerprint, append(""));
    let ab = Registry::builder().rule(rule("a", "1")).rule(rule("b", "2")).build().unwrap();
    let ba = Registry::builder().rule(rule("b", "2")).rule(rule("a", "1")).build().unwrap();
    assert_ne!(ab.fingerprint(), ba.fingerprint());
}
