//! What goes back comes again: whatever an inverse makes of an event is lifted to that event, or the event fails.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use eventlift_events::{Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName, Timestamp};
use eventlift_transformers::{Definitions, Keys, Operation, Reason, Registry, Rule, Upcaster};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::value::RawValue;

fn load(files: &[(&str, &str)]) -> Option<Registry> {
    let mut keys = Keys::new();
    keys.insert("k", "secret");
    let files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned()));
    Definitions::load(files, &keys).ok()?.register(Registry::builder()).build().ok()
}

fn inverse(files: &[(&str, &str)]) -> Registry {
    load(files).unwrap().inverse().unwrap_or_else(|missing| panic!("{missing}"))
}

fn event(stream: &str, event_type: &str, version: u32, data: impl Into<String>) -> Event {
    Event {
        id: EventId::text("e-1").unwrap(),
        stream: StreamName::new(stream.to_owned()).unwrap(),
        revision: Revision(4),
        position: Position::new(17),
        event_type: EventType::new(event_type.to_owned()).unwrap(),
        version: SchemaVersion::new(version).unwrap(),
        data: Payload::json(data.into()),
        metadata: Payload::json(r#"{"user":"u-7"}"#),
        recorded_at: Timestamp::EPOCH,
        attributes: Default::default(),
    }
}

/// What an event goes back as, or why it doesn't.
fn back(inverse: &Registry, event: Event) -> Result<Vec<String>, String> {
    let mut out = Vec::new();
    inverse.lift(event, &mut out).map_err(|error| error.reason.message)?;
    Ok(out.iter().map(shown).collect())
}

fn shown(event: &Event) -> String {
    let data = String::from_utf8(event.data.bytes().to_vec()).unwrap();
    format!("{} {} {} {data}", event.stream, event.event_type, event.version)
}

/// A form of JSON that is equal for texts that say the same, numbers digit for digit.
fn form(json: &str) -> String {
    match json.as_bytes().first() {
        Some(b'{') => {
            let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json).unwrap();
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("{key:?}:{}", form(value.get()))).collect();
            format!("{{{}}}", members.join(","))
        }
        Some(b'[') => {
            let items: Vec<Box<RawValue>> = serde_json::from_str(json).unwrap();
            let items: Vec<String> = items.iter().map(|item| form(item.get())).collect();
            format!("[{}]", items.join(","))
        }
        Some(b'"') => format!("{:?}", serde_json::from_str::<String>(json).unwrap()),
        _ => json.to_owned(),
    }
}

fn path() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["/a", "/b", "/c", "/w", "/w/a", "/w/b", "/l/*/a", "/l/*/b", "/l/0", "/x/y"])
        .prop_map(str::to_owned)
}

fn flag(name: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![2 => Just(String::new()), 1 => Just(format!(", {name} = true"))]
}

/// Any operation, with parameters of all kinds; many of them can't be right.
fn operation() -> impl Strategy<Value = String> {
    let one = |form: &'static str| {
        (path(), flag("optional"))
            .prop_map(move |(path, optional)| format!("{{ {} }}", form.replace("PATH", &format!("'{path}'{optional}"))))
    };
    let two = |form: &'static str| {
        (path(), path(), flag("optional"), flag("replace")).prop_map(move |(from, to, optional, replace)| {
            format!("{{ {form} = '{from}', to = '{to}'{optional}{replace} }}")
        })
    };
    let separator = prop::sample::select(vec![" ", "-", "ab"]);
    let rest = prop::sample::select(vec!["", ", rest = 'last'", ", rest = 'first'", ", rest = 'drop'"]);
    let fewer = prop::sample::select(vec!["", ", fewer = 'null'", ", fewer = 'omit'"]);
    let split = (path(), separator.clone(), path(), path(), rest, fewer, flag("keep"), flag("optional")).prop_map(
        |(from, on, first, second, rest, fewer, keep, optional)| {
            format!("{{ split = '{from}', on = '{on}', into = ['{first}', '{second}']{rest}{fewer}{keep}{optional} }}")
        },
    );
    let join = (path(), path(), separator, path(), flag("keep"), flag("optional")).prop_map(
        |(first, second, with, into, keep, optional)| {
            format!("{{ join = ['{first}', '{second}'], with = '{with}', into = '{into}'{keep}{optional} }}")
        },
    );
    let wrap = (path(), path(), path(), flag("optional"), flag("replace")).prop_map(
        |(first, second, into, optional, replace)| {
            format!("{{ wrap = ['{first}', '{second}'], into = '{into}'{optional}{replace} }}")
        },
    );
    let spelling = prop::sample::select(vec!["rfc3339", "unix_seconds", "unix_millis", "%Y-%m-%d", "%d.%m.%Y %H:%M"]);
    let date = (path(), spelling.clone(), spelling, flag("lossy")).prop_map(|(path, from, to, lossy)| {
        format!("{{ date = '{path}', from = '{from}', to = '{to}', zone = 'Europe/Berlin'{lossy} }}")
    });
    prop_oneof![
        two("rename"),
        two("copy"),
        two("move"),
        one("set = PATH, value = 'x'"),
        one("set = PATH, json = '1.0'"),
        one("default = PATH, json = '{\"b\":1}'"),
        one("remove = PATH"),
        one("parse = PATH, to = 'integer'"),
        one("parse = PATH, to = 'decimal'"),
        one("parse = PATH, to = 'boolean'"),
        one("parse = PATH, to = 'json'"),
        one("format = PATH"),
        one("format = PATH, as = 'json'"),
        one("map = PATH, values = { A = 'x', B = { json = '1.0' } }"),
        one("map = PATH, values = { A = 'x' }, otherwise = 'keep'"),
        one("unwrap = PATH"),
        one("redact = PATH, with = 'x'"),
        one("hash = PATH, key = 'k'"),
        one("extract = PATH, pattern = '{a} {b}'"),
        split,
        join,
        wrap,
        date,
    ]
}

/// A document with the keys that operations name, and values that some of them take.
fn document() -> impl Strategy<Value = String> {
    let scalar = prop::sample::select(vec![
        "null",
        "true",
        "1",
        "5.0",
        "1e2",
        "1.0",
        "0",
        "\"\"",
        "\"x\"",
        "\"A\"",
        "\"A B\"",
        "\"A B C\"",
        "\"a-b\"",
        "\" \"",
        "\"1\"",
        "\"5.0\"",
        "\"01\"",
        "\"true\"",
        "\"\\u0041 B\"",
        "\"2024-06-01T10:00:00Z\"",
        "\"2024-06-01T10:00:00.000Z\"",
        "\"2024-06-01T12:00:00+02:00\"",
        "\"2024-06-01\"",
        "1717236000",
        "{\"b\":1}",
        "{\"b\":1,\"a\":2,\"c\":3}",
        "{}",
        "[]",
    ]);
    let member = (prop::sample::select(vec!["a", "b", "c", "w", "x", "other"]), scalar.clone());
    let item = prop::collection::vec((prop::sample::select(vec!["a", "b"]), scalar), 0..3).prop_map(object);
    (prop::collection::vec(member, 0..5), prop::option::of(prop::collection::vec(item, 0..3))).prop_map(
        |(members, list)| {
            let mut document = object(members);
            if let Some(list) = list {
                document.pop();
                let comma = if document.len() > 1 { "," } else { "" };
                document.push_str(&format!("{comma}\"l\":[{}]}}", list.join(",")));
            }
            document
        },
    )
}

fn object(members: Vec<(&'static str, &'static str)>) -> String {
    let members: BTreeMap<_, _> = members.into_iter().collect();
    let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// How often events of an operation went back, and how often they were refused.
type Outcomes = BTreeMap<String, (u32, u32)>;

/// Takes a new event back and lifts it again, by what is an upcaster or a general rule.
fn try_back(rule: &str, new: &Event, outcomes: &mut (u32, u32)) -> Result<(), TestCaseError> {
    let Some(registry) = load(&[("u.toml", rule)]) else { return Ok(()) };
    let Ok(inverse) = registry.inverse() else { return Ok(()) };
    let mut old = Vec::new();
    if inverse.lift(new.clone(), &mut old).is_err() {
        outcomes.1 += 1;
        return Ok(());
    }
    outcomes.0 += 1;
    let mut again = Vec::new();
    for event in &old {
        let lifted = registry.lift(event.clone(), &mut again);
        prop_assert!(lifted.is_ok(), "{rule}\n{} went back as {old:?}, which fails: {lifted:?}", shown(new));
    }
    prop_assert_eq!(again.len(), 1, "{}\n{} went back as {:?}", rule, shown(new), &old);
    let text = |payload: &Payload| form(std::str::from_utf8(payload.bytes()).unwrap());
    prop_assert_eq!(&again[0].event_type, &new.event_type);
    prop_assert_eq!(again[0].version, new.version);
    prop_assert_eq!(&again[0].stream, &new.stream);
    prop_assert_eq!(text(&again[0].data), text(&new.data), "{}\n{} went back as {:?}", rule, shown(new), &old);
    prop_assert_eq!(text(&again[0].metadata), text(&new.metadata), "{}\n{} went back as {:?}", rule, shown(new), &old);
    Ok(())
}

#[test]
fn whatever_any_operation_gives_back_is_lifted_to_what_it_was() {
    let config = Config { cases: 12_000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let declared = prop_oneof![
        3 => Just(None),
        2 => prop::collection::vec(operation(), 0..3).prop_map(Some),
    ];
    let cases =
        (prop::collection::vec(operation(), 1..3), declared, document(), any::<bool>(), any::<bool>(), any::<bool>());
    let outcomes = std::cell::RefCell::new(Outcomes::new());
    let run = runner.run(&cases, |(operations, declared, document, lifted_before, general, in_metadata)| {
        let key = if in_metadata { "metadata" } else { "data" };
        let list = operations.join(", ");
        let down =
            declared.as_ref().map_or(String::new(), |down| format!("down = {{ {key} = [{}] }}\n", down.join(", ")));
        let rule = match general {
            false => format!("type = 'U'\ncurrent = 2\n[[upcast]]\nfrom = 1\n{key} = [{list}]\n{down}"),
            true => format!("[current]\nU = 2\n[[rule]]\nname = 'r'\n{key} = [{list}]\n{down}"),
        };
        let mut new = event("u-1", "U", 2, "{}");
        match in_metadata {
            true => new.metadata = Payload::json(document),
            false => new.data = Payload::json(document),
        }
        if lifted_before {
            // What old code wrote, lifted: this goes back far more often than what is made up.
            let Some(registry) = load(&[("u.toml", &rule)]) else { return Ok(()) };
            let old = if general { new } else { Event { version: SchemaVersion::FIRST, ..new } };
            let mut lifted = Vec::new();
            if registry.lift(old, &mut lifted).is_err() {
                return Ok(());
            }
            new = lifted.remove(0);
        }
        let name = operations[0].split(' ').nth(1).unwrap().to_owned();
        try_back(&rule, &new, outcomes.borrow_mut().entry(name).or_default())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
    // None of it says anything where nothing goes back, or everything.
    let outcomes = outcomes.into_inner();
    for name in Operation::NAMES {
        let (went, refused) = outcomes.get(*name).copied().unwrap_or_default();
        assert!(went > 0 && refused > 0, "{name}: {went} went back, {refused} were refused: {outcomes:?}");
    }
}

const SPLIT: &str = "{ split = '/name', on = ' ', into = ['/first', '/last'], rest = 'last', fewer = 'omit' }";

#[test]
fn what_would_come_again_as_something_else_does_not_go_back() {
    let of = |operations: &str| format!("type = 'U'\ncurrent = 2\n[[upcast]]\nfrom = 1\ndata = [{operations}]\n");
    for (operations, new, expected) in [
        (SPLIT, r#"{"last":"C"}"#, "/first is there, and was not"),
        (SPLIT, r#"{"first":"A B","last":"C"}"#, "/first is another string"),
        ("{ parse = '/n', to = 'integer' }", r#"{"n":5.0}"#, "fails when U 1 → 2 lifts it again: parse"),
        ("{ wrap = ['/a', '/b'], into = '/w' }", r#"{"w":{"a":1,"b":2,"c":3}}"#, "/c is there, and was not"),
        ("{ set = '/s', value = 1 }", "{}", "/s is there, and was not"),
        ("{ copy = '/a', to = '/b' }", r#"{"a":1}"#, "/b is there, and was not"),
        ("{ map = '/a', values = { A = 1 } }", r#"{"a":"1"}"#, "/a is a number, and was a string"),
        (
            "{ date = '/at', from = 'unix_seconds', to = 'rfc3339' }",
            r#"{"at":"2024-06-01T12:00:00+02:00"}"#,
            "/at is another string",
        ),
    ] {
        let failed = back(&inverse(&[("u.toml", &of(operations))]), event("u-1", "U", 2, new));
        let message = failed.err().unwrap_or_else(|| panic!("{operations} takes {new} back"));
        assert!(message.contains(expected), "{operations}, {new}: {message}");
        assert!(!message.contains("A B"), "no value is told: {message}");
        // Unless that is what the definition says.
        let lossy = format!("{}down = {{ lossy = true }}\n", of(operations));
        assert!(back(&inverse(&[("u.toml", &lossy)]), event("u-1", "U", 2, new)).is_ok(), "{operations}, {new}");
    }
    // The order of keys is not lost with it.
    let wrap = of("{ wrap = ['/a', '/b'], into = '/w' }");
    let new = event("u-1", "U", 2, r#"{ "w" : {"b":2,"a":1}, "x":1 }"#);
    assert!(back(&inverse(&[("u.toml", &wrap)]), new).is_ok());
}

#[test]
fn every_step_of_a_chain_is_lifted_again_and_a_lossy_one_excuses_no_other() {
    let chain = "type = 'U'\ncurrent = 3\n[[upcast]]\nfrom = 1\ndata = [{ parse = '/n', to = 'integer' }]\n\
                 [[upcast]]\nfrom = 2\ndata = [{ redact = '/mail' }]\ndown = { data = [], lossy = true }\n";
    let inverse = inverse(&[("u.toml", chain)]);
    let back = |data: &str| back(&inverse, event("u-1", "U", 3, data));
    assert_eq!(back(r#"{"n":5,"mail":"a@b"}"#).unwrap(), [r#"u-1 U 1 {"n":"5","mail":"a@b"}"#]);
    let message = back(r#"{"n":5.0,"mail":null}"#).unwrap_err();
    assert!(message.contains("lifts it again"), "{message}");
}

#[test]
fn a_condition_that_leads_another_way_up_is_found() {
    // What the second rule takes back, the first one would take up.
    let text = "type = 'U'\ncurrent = 2\n[[upcast]]\nfrom = 1\nwhen = { path = '/a', exists = true }\n\
                data = [{ rename = '/a', to = '/b' }]\ndown = false\n\
                [[upcast]]\nfrom = 1\ndata = [{ rename = '/c', to = '/d', optional = true }]\n";
    let inverse = inverse(&[("u.toml", text)]);
    assert_eq!(back(&inverse, event("u-1", "U", 2, r#"{"d":1}"#)).unwrap(), [r#"u-1 U 1 {"c":1}"#]);
    let message = back(&inverse, event("u-1", "U", 2, r#"{"d":1,"a":2}"#)).unwrap_err();
    assert!(message.contains("another event: in its data, /a is gone"), "{message}");
}

#[test]
fn what_a_general_rule_leaves_alone_on_the_way_back_has_to_be_left_alone_on_the_way_up() {
    let text = "[current]\nA = 1\nB = 1\n\
                [[rule]]\nname = 'moved'\nmatch = { categories = ['user'] }\ncategory = 'person'\n\
                [[rule]]\nname = 'renamed'\nmatch = { types = ['A'] }\ntype = 'B'\n";
    let inverse_of = |text: &str| inverse(&[("g.toml", text)]);
    let inverse = inverse_of(text);
    assert_eq!(back(&inverse, event("person-1", "B", 1, "{}")).unwrap(), ["user-1 A 1 {}"]);
    let message = back(&inverse, event("user-1", "B", 1, "{}")).unwrap_err();
    assert!(message.contains("in another stream"), "{message}");
    let message = back(&inverse, event("order-1", "A", 1, "{}")).unwrap_err();
    assert!(message.contains("it is B version 1, and was A version 1"), "{message}");
    // A rule that need not be taken back is not compared with.
    let never = text.replace("category = 'person'", "category = 'person'\ndown = false");
    assert_eq!(back(&inverse_of(&never), event("user-1", "B", 1, "{}")).unwrap(), ["user-1 A 1 {}"]);
}

#[test]
fn metadata_and_filters_are_compared_too() {
    let text = "type = 'U'\ncurrent = 2\n[[upcast]]\nfrom = 1\nmetadata = [{ set = '/by', value = 'import' }]\n";
    let message = back(&inverse(&[("u.toml", text)]), event("u-1", "U", 2, "{}")).unwrap_err();
    assert!(message.contains("in its metadata, /by is there, and was not"), "{message}");
    if cfg!(feature = "jq") {
        let text = "type = 'U'\ncurrent = 2\n[[upcast]]\nfrom = 1\njq = '{n: (.n|tonumber)}'\n\
                    down = { jq = '{n: (.n|tostring)}' }\n";
        let inverse = inverse(&[("u.toml", text)]);
        assert_eq!(back(&inverse, event("u-1", "U", 2, r#"{"n":5}"#)).unwrap(), [r#"u-1 U 1 {"n":"5"}"#]);
        let message = back(&inverse, event("u-1", "U", 2, r#"{"n":5,"more":1}"#)).unwrap_err();
        assert!(message.contains("/more is gone"), "{message}");
    }
}

#[test]
fn the_part_that_carries_a_split_back_comes_again_with_the_others() {
    let text = "type = 'C'\nretired = true\n[[upcast]]\nfrom = 1\nsplit = [\n\
                { type = 'A', version = 1 },\n\
                { type = 'P', version = 1, data = [{ remove = '/address' }] },\n]\ndown = { keep = 'A' }\n";
    let inverse = inverse(&[("c.toml", text), ("o.toml", "[current]\nA = 1\nP = 1\n")]);
    let both = r#"{"address":"Bonn","phone":1}"#;
    assert_eq!(back(&inverse, event("c-1", "A", 1, both)).unwrap(), [format!("c-1 C 1 {both}")]);
    assert_eq!(back(&inverse, event("c-1", "P", 1, r#"{"phone":1}"#)).unwrap(), Vec::<String>::new());
    let message = back(&inverse, event("c-1", "A", 1, "{}")).unwrap_err();
    assert!(message.contains("fails when"), "{message}");
}

#[test]
fn rules_in_rust_are_lifted_again_as_well() {
    let text = |to: &'static str| move |event: Event| Ok(Event { data: Payload::json(to), ..event });
    let of =
        |upcaster: Upcaster| Registry::builder().current("A", 2).upcaster(upcaster).build().unwrap().inverse().unwrap();
    let upcaster = || Upcaster::new("A", 1, 2, "1", text("[2]")).with_down("1", text("[1]"));
    assert_eq!(back(&of(upcaster()), event("a-1", "A", 2, " [2 ]")).unwrap(), ["a-1 A 1 [1]"]);
    let message = back(&of(upcaster()), event("a-1", "A", 2, "[3]")).unwrap_err();
    assert!(message.contains("/0 is another number"), "{message}");
    assert_eq!(back(&of(upcaster().lossy_down()), event("a-1", "A", 2, "[3]")).unwrap(), ["a-1 A 1 [1]"]);

    // One event for every event leaves none to be dropped.
    let dropping = Upcaster::new("A", 1, 2, "1", text("[2]")).with_down("1", |_| Ok(None::<Event>));
    let message = back(&of(dropping), event("a-1", "A", 2, "[2]")).unwrap_err();
    assert!(message.contains("nothing goes back"), "{message}");
    let doubling = Upcaster::new("A", 1, 2, "1", Ok).with_down("1", |event| Ok(vec![event.clone(), event]));
    let message = back(&of(doubling), event("a-1", "A", 2, "[2]")).unwrap_err();
    assert!(message.contains("gives 2 events"), "{message}");
    let failing = Upcaster::new("A", 1, 2, "1", |_| Err::<Event, _>(Reason::new("no"))).with_down("1", Ok);
    let message = back(&of(failing), event("a-1", "A", 2, "[2]")).unwrap_err();
    assert!(message.contains("fails when A 1 → 2 lifts it again: no"), "{message}");

    let rule = || Rule::new("r", "1", text("[3]")).types(["A"]).with_down(["A"], "1", text("[2]"));
    let of = |rule: Rule| Registry::builder().current("A", 2).rule(rule).build().unwrap().inverse().unwrap();
    assert_eq!(back(&of(rule()), event("a-1", "A", 2, "[3]")).unwrap(), ["a-1 A 2 [2]"]);
    assert!(back(&of(rule()), event("a-1", "A", 2, "[4]")).is_err());
    assert_eq!(back(&of(rule().lossy_down()), event("a-1", "A", 2, "[4]")).unwrap(), ["a-1 A 2 [2]"]);
}
