//! The way back: that lifting and lowering gives the event again, and what is said where it can't.
//!
//! With `UPDATE_GOLDEN=1` the messages are written instead of compared; read the difference before committing it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use eventlift_events::{Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName, Timestamp};
use eventlift_transformers::{Definitions, Keys, Lift, Operation, Operations, Registry, Rule, Shape, Upcaster};
use proptest::prelude::*;

fn load(files: &[(&str, &str)]) -> (Definitions, Registry) {
    let mut keys = Keys::new();
    keys.insert("k", "secret");
    let files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned()));
    let definitions = Definitions::load(files, &keys).unwrap_or_else(|errors| panic!("{errors}"));
    let registry = definitions.register(Registry::builder()).build().unwrap_or_else(|errors| panic!("{errors}"));
    (definitions, registry)
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

fn lowered(inverse: &Registry, event: Event) -> Vec<String> {
    let mut out = Vec::new();
    inverse.lift(event, &mut out).unwrap_or_else(|error| panic!("{error}"));
    let data = |event: &Event| String::from_utf8(event.data.bytes().to_vec()).unwrap();
    out.iter().map(|event| format!("{} {} {} {}", event.stream, event.event_type, event.version, data(event))).collect()
}

/// What is missing, each with its hint's first words.
fn missing(registry: &Registry) -> Vec<String> {
    registry.inverse().err().unwrap().0.iter().map(ToString::to_string).collect()
}

fn failed(results: Vec<eventlift_transformers::TestResult>) -> Vec<String> {
    results.iter().filter(|result| !result.passed()).map(ToString::to_string).collect()
}

const USER: &str = r#"
type = "UserCreated"
current = 4

[[upcast]]
from = 1
data = [{ rename = "/first", to = "/given" }, { set = "/source", value = "import" }]
metadata = [{ rename = "/user", to = "/by" }]

[[upcast.test]]
given = { data = '{"id":7,"first":"Ada"}', metadata = '{"user":1}' }
then = { data = '{"id":7,"given":"Ada","source":"import"}', metadata = '{"by":1}' }

[[upcast.test]]
name = "made by new code"
down = true
given = { data = '{"given":"Ada","source":"import"}', metadata = '{"by":1}' }
then = { type = "UserCreated", version = 1, data = '{"first":"Ada"}', metadata = '{"user":1}' }

[[upcast.test]]
name = "it would come again with a source"
down = true
given = { data = '{"given":"Ada"}', metadata = '{"by":1}' }
fails_with = 'in its data, /source is there, and was not'

[[upcast.test]]
name = "no place for it"
down = true
given = { data = '{"given":"Ada","source":"web"}', metadata = '{"by":1}' }
fails_with = 'the way back of set: /source is "web", not "import"'

[[upcast]]
from = 2
data = [{ join = ["/given", "/family"], with = " ", into = "/name" }]
down = [{ split = "/name", on = " ", into = ["/given", "/family"], rest = "last" }]

[[upcast.test]]
given = '{"given":"Ada","family":"King Lovelace"}'
then = '{"name":"Ada King Lovelace"}'

[[upcast]]
from = 3
type = "PersonCreated"
to = 1

[[test]]
name = "the whole way"
given = { version = 1, data = '{"id":7,"first":"Ada","family":"L"}', metadata = '{"user":1}' }
then = { type = "PersonCreated", version = 1, data = '{"id":7,"name":"Ada L","source":"import"}', metadata = '{"by":1}' }

[[test]]
name = "back through everything"
down = true
given = { type = "PersonCreated", version = 1, data = '{"name":"Ada L","source":"import"}', metadata = '{"by":1}' }
then = { type = "UserCreated", version = 1, data = '{"first":"Ada","family":"L"}', metadata = '{"user":1}' }
"#;

fn retired(text: &str) -> String {
    text.replace("current = 4", "retired = true")
}

#[test]
fn chains_are_followed_back_to_their_beginning() {
    let (definitions, registry) = load(&[("u.toml", &retired(USER)), ("p.toml", "[current]\nPersonCreated = 1\n")]);
    assert_eq!(failed(definitions.test(&registry)), Vec::<String>::new());
    let inverse = registry.inverse().unwrap();
    let there_and_back = definitions.test_there_and_back(&registry, &inverse);
    assert_eq!(there_and_back.len(), 3);
    assert_eq!(failed(there_and_back), Vec::<String>::new());
    assert_eq!(inverse.shape(), Shape::OneToOne);
    let mut out = Vec::new();
    let new = Event {
        metadata: Payload::json(r#"{"by":1}"#),
        ..event("user-1", "PersonCreated", 1, r#"{"name":"A B","source":"import"}"#)
    };
    assert_eq!(inverse.lift(new.clone(), &mut out), Ok(Lift::Lifted));
    let old = &out[0];
    assert_eq!(
        (old.id.clone(), old.revision, old.position, old.version.number()),
        (new.id, new.revision, new.position, 1)
    );
}

#[test]
fn the_old_code_may_read_a_later_version() {
    let text = retired(USER).replace("retired = true", "retired = true\nreads = 2");
    let (_, registry) = load(&[("u.toml", &text), ("p.toml", "[current]\nPersonCreated = 1\n")]);
    let inverse = registry.inverse().unwrap();
    let new = event("user-1", "PersonCreated", 1, r#"{"name":"A B"}"#);
    assert_eq!(lowered(&inverse, new.clone()), [r#"user-1 UserCreated 2 {"given":"A","family":"B"}"#]);

    let (_, registry) =
        load(&[("u.toml", &retired(USER)), ("p.toml", "[current]\nPersonCreated = 1\n[reads]\nPersonCreated = 1\n")]);
    let mut out = Vec::new();
    assert_eq!(registry.inverse().unwrap().lift(new, &mut out), Ok(Lift::Untouched));

    let wrong = "[current]\nPersonCreated = 1\n[reads]\nPersonCreated = 7\n";
    let (_, registry) = load(&[("u.toml", &retired(USER)), ("p.toml", wrong)]);
    assert_eq!(
        missing(&registry),
        ["p.toml:4: PersonCreated: reads: no rule knows PersonCreated version 7, which the old code is said to read"]
    );
}

#[test]
fn changing_the_way_back_does_not_change_the_rules() {
    let (_, registry) = load(&[("u.toml", &retired(USER)), ("p.toml", "[current]\nPersonCreated = 1\n")]);
    let other = retired(USER).replace("rest = \"last\"", "rest = \"first\"");
    let (_, changed) = load(&[("u.toml", &other), ("p.toml", "[current]\nPersonCreated = 1\n")]);
    assert_eq!(registry.fingerprint(), changed.fingerprint());
    assert_ne!(registry.inverse().unwrap().fingerprint(), changed.inverse().unwrap().fingerprint());
}

#[test]
fn one_part_of_a_split_carries_the_event_back() {
    let contact = r#"
type = "ContactChanged"
retired = true

[[upcast]]
from = 1
data = [{ rename = "/user", to = "/user_id" }]
split = [
    { type = "AddressChanged", version = 1, data = [{ remove = "/phone", optional = true }] },
    { type = "PhoneChanged", version = 1, when = { path = "/phone", exists = true }, data = [{ remove = "/address" }] },
]
down = { keep = "AddressChanged", data = [{ rename = "/user_id", to = "/user" }], lossy = true }

[[upcast.test]]
given = '{"user":7,"address":"Bonn","phone":"1"}'
then = [{ data = '{"user_id":7,"address":"Bonn"}' }, { data = '{"user_id":7,"phone":"1"}' }]

[[upcast.test]]
name = "carried back"
down = true
given = '{"user_id":7,"address":"Bonn"}'
then = { type = "ContactChanged", version = 1, data = '{"user":7,"address":"Bonn"}' }

[[upcast.test]]
name = "dropped"
down = true
given = { type = "PhoneChanged", data = '{"user_id":7,"phone":"1"}' }
then = []
"#;
    let others = "[current]\nAddressChanged = 1\nPhoneChanged = 1\n";
    let (definitions, registry) = load(&[("c.toml", contact), ("o.toml", others)]);
    assert_eq!(failed(definitions.test(&registry)), Vec::<String>::new());
    let inverse = registry.inverse().unwrap();
    assert!(definitions.test_there_and_back(&registry, &inverse).is_empty(), "it is declared as lossy");
    assert_eq!(inverse.shape(), Shape::Shifting);
    assert!(lowered(&inverse, event("u-1", "PhoneChanged", 1, "{}")).is_empty());

    // Not declared as lossy, it is found out.
    let (definitions, registry) = load(&[("c.toml", &contact.replace(", lossy = true", "")), ("o.toml", others)]);
    let failures = failed(definitions.test_there_and_back(&registry, &registry.inverse().unwrap()));
    assert_eq!(failures.len(), 1);
    assert!(failures[0].contains(r#"expected {"user":7,"address":"Bonn","phone":"1"}"#), "{}", failures[0]);

    // The old code knows phones.
    let (_, registry) = load(&[("c.toml", contact), ("o.toml", &format!("{others}[reads]\nPhoneChanged = 1\n"))]);
    assert_eq!(lowered(&registry.inverse().unwrap(), event("u-1", "PhoneChanged", 1, "{}")), ["u-1 PhoneChanged 1 {}"]);
}

#[test]
fn general_rules_are_taken_back_first_and_the_last_one_first() {
    let rules = r#"
[current]
UserMoved = 2
PersonMoved = 2

[[rule]]
name = "people"
match = { types = ["UserMoved"] }
type = "PersonMoved"

[[rule]]
name = "streams"
match = { categories = ["user"] }
category = "person"

[[rule]]
name = "a: b"
match = { types = ["PersonMoved"] }
data = [{ rename = "/a", to = "/b" }]

[[rule]]
name = "b: c"
match = { types = ["PersonMoved"] }
data = [{ rename = "/b", to = "/c" }]

[[rule]]
name = "no test users"
when = { stream = "user-test" }
drop = true
down = false

[[test]]
given = { type = "UserMoved", version = 1, stream = "user-1", data = '{"x":1}' }
then = { type = "PersonMoved", version = 2, stream = "person-1", data = '{"c":1}' }
"#;
    let user = "type = 'UserMoved'\ncurrent = 2\n[[upcast]]\nfrom = 1\ndata = [{ rename = '/x', to = '/a' }]\n";
    let rules = rules.replace("UserMoved = 2\n", "");
    let (definitions, registry) = load(&[("g.toml", &rules), ("u.toml", user)]);
    assert_eq!(failed(definitions.test(&registry)), Vec::<String>::new());
    let inverse = registry.inverse().unwrap();
    assert_eq!(inverse.shape(), Shape::Moving);
    assert_eq!(lowered(&inverse, event("person-1", "PersonMoved", 2, r#"{"c":1}"#)), [r#"user-1 UserMoved 1 {"x":1}"#]);
}

#[test]
fn guarded_upcasters_need_one_way_back() {
    let text = r#"
type = "Paid"
current = 2

[[upcast]]
from = 1
when = { path = "/currency", exists = true }

[[upcast]]
from = 1
data = [{ set = "/currency", value = "EUR" }]
"#;
    let (_, registry) = load(&[("p.toml", text)]);
    assert_eq!(
        missing(&registry),
        ["p.toml:5: Paid 1 → 2, case 1: Paid version 2 may come from this rule or from the one at p.toml:9"]
    );
    let never = text.replace("exists = true }\n", "exists = true }\ndown = false\n");
    let (_, registry) = load(&[("p.toml", &never)]);
    assert_eq!(
        lowered(&registry.inverse().unwrap(), event("p-1", "Paid", 2, r#"{"currency":"EUR"}"#)),
        ["p-1 Paid 1 {}"]
    );
    let told_apart =
        text.replace("exists = true }\n", "exists = true }\ndown = { when = { path = '/currency', in = ['SEK'] } }\n");
    let (_, registry) = load(&[("p.toml", &told_apart)]);
    let inverse = registry.inverse().unwrap();
    assert_eq!(
        lowered(&inverse, event("p-1", "Paid", 2, r#"{"currency":"SEK"}"#)),
        [r#"p-1 Paid 1 {"currency":"SEK"}"#]
    );
    assert_eq!(lowered(&inverse, event("p-1", "Paid", 2, r#"{"currency":"EUR"}"#)), ["p-1 Paid 1 {}"]);
}

#[test]
fn rules_in_rust_may_have_a_way_back() {
    let rename = |to: &'static str| move |event: Event| Ok(Event { data: Payload::json(to), ..event });
    let without = || Upcaster::new("A", 1, 2, "1", rename("2")).named("a");
    let of = |upcaster: Upcaster| Registry::builder().current("A", 2).upcaster(upcaster).build().unwrap();
    let errors = of(without()).inverse().err().unwrap();
    assert_eq!(errors.0.len(), 1);
    assert_eq!((errors.0[0].rule.as_str(), errors.0[0].why.as_str()), ("a", "it is written in Rust"));
    assert!(errors.to_string().starts_with("1 step has no way back\n  "), "{errors}");
    let inverse = of(without().with_down("1", rename("1"))).inverse().unwrap();
    assert_eq!(lowered(&inverse, event("s-1", "A", 2, "2")), ["s-1 A 1 1"]);
    let errors = of(without().without_down()).inverse().err().unwrap();
    assert!(errors.0[0].why.starts_with("A version 2 would stay what it is"), "{errors}");
    let builder = Registry::builder().current("A", 2).reads("A", 2).upcaster(without().without_down());
    let inverse = builder.build().unwrap().inverse().unwrap();
    assert_eq!(lowered(&inverse, event("s-1", "A", 2, "2")), ["s-1 A 2 2"]);

    let rule = Rule::new("r", "1", rename("3")).types(["A"]).with_down(["A"], "1", rename("2"));
    let registry = Registry::builder().current("A", 2).current("B", 1).rule(rule).build().unwrap();
    let inverse = registry.inverse().unwrap();
    assert_eq!(lowered(&inverse, event("s-1", "A", 2, "3")), ["s-1 A 2 2"]);
    assert_eq!(lowered(&inverse, event("s-1", "B", 1, "3")), ["s-1 B 1 3"]);
}

#[test]
fn what_can_t_be_taken_back_is_listed_completely() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/inverse");
    let mut inputs: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    inputs.sort();
    assert!(!inputs.is_empty());
    for input in inputs {
        if input.to_string_lossy().contains("jq") && !cfg!(feature = "jq") {
            continue;
        }
        let name = input.file_name().unwrap().to_str().unwrap().to_owned();
        let (_, registry) = load(&[(&name, &fs::read_to_string(&input).unwrap())]);
        let message = match registry.inverse() {
            Ok(_) => "there is a way back\n".to_owned(),
            Err(missing) => format!("{missing}\n"),
        };
        let expected = input.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &message).unwrap();
        }
        assert_eq!(fs::read_to_string(&expected).unwrap_or_default(), message, "{name}");
    }
}

/// Every operation that has an inverse, on fields that documents may have, with what makes their values fit. The
/// order of keys may differ where the second is true.
const INVERTIBLE: &[(&str, bool)] = &[
    ("{ rename = '/a', to = '/z' }", false),
    ("{ rename = '/a', to = '/y/z' }", true),
    ("{ rename = '/list/*/a', to = '/list/*/z' }", false),
    ("{ move = '/a', to = '/y/z' }", true),
    ("{ move = '/a', to = '/o/z' }", true),
    ("{ copy = '/a', to = '/z' }", false),
    ("{ copy = '/a', to = '/y/z' }", false),
    ("{ set = '/z', json = '1.0' }", false),
    ("{ set = '/y/z', value = { b = 1 } }", false),
    ("{ set = '/list/*/z', value = 'x' }", false),
    ("{ split = '/name', on = ' ', into = ['/f', '/l'], rest = 'last' }", false),
    ("{ split = '/name', on = ' ', into = ['/f', '/l'], rest = 'first', fewer = 'null' }", false),
    ("{ split = '/name', on = ' ', into = ['/f', '/l'], rest = 'last', fewer = 'omit' }", false),
    ("{ parse = '/number', to = 'decimal' }", false),
    ("{ map = '/status', values = { A = 'active', I = 'inactive', X = { json = 'null' } } }", false),
    ("{ date = '/at', from = 'unix_seconds', to = 'rfc3339' }", false),
    ("{ date = '/at', from = 'unix_seconds', to = '%d.%m.%Y %H:%M:%S', zone = 'UTC' }", false),
    ("{ date = '/day', from = '%Y-%m-%d', to = 'rfc3339', zone = 'Europe/Berlin' }", false),
    ("{ date = '/day', from = '%Y-%m-%d', to = '%d.%m.%Y' }", false),
    ("{ date = '/moment', from = 'rfc3339', to = 'unix_seconds' }", false),
    ("{ wrap = ['/a', '/name'], into = '/z' }", true),
    ("{ wrap = ['/a', '/number'], into = '/y/z' }", true),
];

/// Operations without an inverse, one of each that never has one.
const LOSSY: &[&str] = &[
    "{ default = '/a', value = 1 }",
    "{ remove = '/a' }",
    "{ join = ['/a', '/b'], with = '-', into = '/c' }",
    "{ extract = '/a', pattern = '{x}0{y}' }",
    "{ format = '/a' }",
    "{ unwrap = '/a' }",
    "{ redact = '/a' }",
    "{ hash = '/a', key = 'k' }",
    "{ parse = '/a', to = 'json' }",
    "{ split = '/a', on = ' ', into = ['/b', '/c'], rest = 'drop' }",
    "{ split = '/a', on = ' ', into = '/b' }",
    "{ rename = '/a', to = '/b', replace = true }",
    "{ move = '/a/0', to = '/b' }",
    "{ copy = '/a', to = '/b/-' }",
    "{ set = '', value = 1 }",
    "{ map = '/a', values = { A = 'x', B = 'x' } }",
    "{ map = '/a', values = { A = 'x' }, otherwise = 'keep' }",
    "{ map = '/a', values = { 1 = 'x' } }",
    "{ map = '/a', values = { A = '1', B = 1 } }",
    "{ date = '/a', from = 'rfc3339', to = '%Y-%m-%d', zone = 'UTC', lossy = true }",
    "{ rename = '/a', to = '/b', when = { path = '/a', exists = true } }",
];

fn operations(text: &str) -> Vec<Operation> {
    let table: toml::Table = toml::from_str(&format!("list = [{text}]")).unwrap();
    table["list"].clone().try_into().unwrap()
}

#[test]
fn every_operation_has_an_inverse_or_says_why_not() {
    let mut named: Vec<&str> = Vec::new();
    for text in LOSSY {
        let list = operations(text);
        named.push(list[0].name());
        let errors = Operations::inverse(&list).err().unwrap_or_else(|| panic!("{text} has an inverse"));
        assert!(errors[0].reason.hint.is_some(), "{text}: {}", errors[0]);
    }
    for (text, _) in INVERTIBLE {
        let list = operations(text);
        named.push(list[0].name());
        assert!(Operations::inverse(&list).is_ok(), "{text}");
    }
    let forgotten: Vec<_> = Operation::NAMES.iter().filter(|name| !named.contains(name)).collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ -!#-\\[\\]-~äß€😀]{0,4}".boxed(),
        1 => "\\\\[\"\\\\/bfnrt]".boxed(),
        1 => "\\\\u[0-9a-fA-F]{4}".boxed(),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// Any JSON value without white space, with numbers that floats can't hold and strings with all kinds of escapes.
fn json() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?";
    let scalar = prop_oneof![number, string(), Just("null".to_owned()), Just("true".to_owned())];
    scalar.prop_recursive(3, 12, 4, |inner| {
        let member = (string(), inner.clone()).prop_map(|(key, value)| format!("{key}:{value}"));
        prop_oneof![
            prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

/// A document with every field that the operations name, and others before, between and behind them.
fn document() -> impl Strategy<Value = Vec<String>> {
    let words = prop_oneof!["[a-z]{1,4} [a-z]{1,4}", "[a-z]{0,3} [a-z]{0,3} [ a-z]{0,5}", "[äß€]{1,2} x"];
    let number = "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?";
    let named = (
        json(),
        words,
        number,
        prop::sample::select(vec!["A", "I", "X"]),
        0..4_000_000_000_i64,
        1..28_u32,
        prop::collection::vec(json(), 0..3),
        json(),
    );
    let named = named.prop_map(|(a, name, number, status, at, day, items, o)| {
        let items: Vec<String> = items.iter().map(|item| format!("{{\"b\":1,\"a\":{item},\"c\":[]}}")).collect();
        vec![
            format!("\"a\":{a}"),
            format!("\"name\":\"{name}\""),
            format!("\"number\":\"{number}\""),
            format!("\"status\":\"{status}\""),
            format!("\"at\":{at}"),
            format!("\"day\":\"2024-06-{day:02}\""),
            format!("\"moment\":\"2024-06-{day:02}T10:00:00Z\""),
            format!("\"list\":[{}]", items.join(",")),
            format!("\"o\":{{\"kept\":{o}}}"),
        ]
    });
    let others = prop::collection::vec(("\"[a-zé /~*]{0,4}\"", json()), 0..5).prop_map(|members| {
        let numbered = members.into_iter().enumerate();
        numbered.map(|(index, (key, value))| format!("\"{index}-{}:{value}", &key[1..])).collect::<Vec<_>>()
    });
    (named, others).prop_flat_map(|(mut named, others)| {
        named.extend(others);
        Just(named).prop_shuffle()
    })
}

/// The members in an order of their own, of the document and of the objects in it that operations reach into.
fn sorted(json: &str) -> String {
    let members: std::collections::BTreeMap<String, Box<serde_json::value::RawValue>> =
        serde_json::from_str(json).unwrap();
    members.iter().map(|(key, value)| format!("{key}:{value}\n")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn there_and_back_is_the_document_again(members in document(), picks in prop::collection::vec(0..INVERTIBLE.len(), 1..4)) {
        let given = format!("{{{}}}", members.join(","));
        // Operations on the same field would be in each other's way; each on its own, and some one after the other.
        for pick in picks {
            let (text, reordered) = INVERTIBLE[pick];
            let list = operations(text);
            let up = Operations::compile(list.clone(), &Keys::new()).unwrap();
            let down = Operations::inverse(&list).unwrap();
            let before = event("user-1", "E", 1, given.clone());
            let lifted = up.apply(&before.data, &before);
            prop_assert!(lifted.is_ok(), "{text} on {given}: {lifted:?}");
            let lifted = lifted.unwrap();
            let lowered = down.apply(&lifted, &before);
            prop_assert!(lowered.is_ok(), "back of {text} on {lifted:?}: {lowered:?}");
            let lowered = String::from_utf8(lowered.unwrap().bytes().to_vec()).unwrap();
            if reordered {
                prop_assert_eq!(sorted(&given), sorted(&lowered), "{}", text);
            } else {
                prop_assert_eq!(&given, &lowered, "{}", text);
            }
        }
    }

    #[test]
    fn several_operations_are_taken_back_in_turn(members in document()) {
        let given = format!("{{{}}}", members.join(","));
        let text = "{ rename = '/a', to = '/b' }, { wrap = ['/b'], into = '/w' }, { copy = '/w/b', to = '/c' }, \
                    { rename = '/w', to = '/a' }, { set = '/a/x', value = 1 }, { parse = '/number', to = 'decimal' }";
        let list = operations(text);
        let before = event("user-1", "E", 1, given.clone());
        let lifted = Operations::compile(list.clone(), &Keys::new()).unwrap().apply(&before.data, &before).unwrap();
        let lowered = Operations::inverse(&list).unwrap().apply(&lifted, &before).unwrap();
        prop_assert_eq!(given, String::from_utf8(lowered.bytes().to_vec()).unwrap());
    }
}
