//! Definition files: what they do, and the messages about what is wrong with them.
//!
//! With `UPDATE_GOLDEN=1` the messages are written instead of compared; read the difference before committing it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use eventlift_events::{Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName, Timestamp};
use eventlift_transformers::{Definitions, Keys, Lift, Registry, Shape};

fn load(files: &[(&str, &str)], keys: &Keys) -> Result<(Definitions, Registry), String> {
    let files = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned()));
    let definitions = Definitions::load(files, keys).map_err(|errors| errors.to_string())?;
    let registry = definitions.register(Registry::builder()).build().map_err(|errors| errors.to_string())?;
    Ok((definitions, registry))
}

fn one(text: &str) -> (Definitions, Registry) {
    load(&[("a.toml", text)], &Keys::new()).unwrap()
}

fn event(event_type: &str, version: u32, data: &str) -> Event {
    Event {
        id: EventId::text("e-1").unwrap(),
        stream: StreamName::new("user-1").unwrap(),
        revision: Revision(4),
        position: Position::new(17),
        event_type: EventType::new(event_type.to_owned()).unwrap(),
        version: SchemaVersion::new(version).unwrap(),
        data: Payload::json(data.to_owned()),
        metadata: Payload::json(r#"{"user": "u-7"}"#),
        recorded_at: Timestamp::EPOCH,
        attributes: Default::default(),
    }
}

fn lifted(registry: &Registry, event: Event) -> Vec<String> {
    let mut out = Vec::new();
    registry.lift(event, &mut out).unwrap();
    let data = |event: &Event| String::from_utf8(event.data.bytes().to_vec()).unwrap();
    out.iter().map(|event| format!("{} {} {} {}", event.stream, event.event_type, event.version, data(event))).collect()
}

#[test]
fn every_mistake_has_its_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/definitions");
    let mut inputs: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    inputs.sort();
    assert!(inputs.len() >= 14, "{inputs:?}");
    let mut wrong = Vec::new();
    for input in inputs {
        let name = input.file_name().unwrap().to_str().unwrap();
        if name.starts_with("schema") && !cfg!(feature = "schema") {
            continue;
        }
        let text = fs::read_to_string(&input).unwrap();
        let message =
            load(&[(name, &text)], &Keys::new()).err().unwrap_or_else(|| "nothing is wrong".to_owned()) + "\n";
        let expected = input.with_extension("txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&expected, &message).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != message {
            wrong.push(format!("{}:\n{message}", expected.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_mistakes_of_all_files_come_at_once() {
    let message = load(&[("a.toml", "tpye = 'A'"), ("b/b.toml", "\n\ntype = 'B'\n")], &Keys::new()).err().unwrap();
    assert!(message.starts_with("2 problems in the definitions\n  a.toml:1:1: unknown key `tpye`"), "{message}");
    assert!(message.contains("\n  b/b.toml:3:8: B needs either `current` or `retired`"), "{message}");
}

#[test]
fn attributes_are_tested_redacted_and_renamed_there_and_back() {
    let (definitions, registry) = one(r#"
[[rule]]
name = "tenants"
match = { types = ["*"] }
when = { attributes = "/tenant", equals = "x" }
attributes = [{ rename = "/tenantid", to = "/customer" }]

[[rule.test]]
name = "of the tenant"
given = { type = "A", data = '{"a":1}', attributes = '{"tenant":"x", "tenantid":10.10,"n":1.0}' }
then = { data = '{"a":1}', attributes = '{"tenant":"x","customer":10.10,"n":1.0}' }

[[rule.test]]
name = "of another"
given = { type = "A", attributes = '{"tenant":"y","tenantid":10.10}' }
fails_with = "the rule does not take the event"

[[rule]]
name = "addresses"
match = { types = ["*"] }
attributes = [{ remove = "/clientip", optional = true }]
"#);
    let results = definitions.test(&registry);
    assert!(results.len() >= 2 && results.iter().all(|result| result.failure.is_none()), "{results:?}");
    let mut made = Vec::new();
    let mut given = event("A", 1, "{}");
    given.attributes = r#"{"clientip":"10.0.0.1"}"#.into();
    registry.lift(given, &mut made).unwrap();
    assert!(made[0].attributes.is_empty(), "{made:?}");
    assert_eq!(made[0].data.bytes(), "{}");

    let message = load(&[("a.toml", "[[rule]]\nname = 'a'\nmatch = { types = ['*'] }\nwhen = { attributes = '/a', data = '/b', exists = true }\ndrop = true\n")], &Keys::new()).err().unwrap();
    assert!(message.contains("names more than one of `path`, `data`, `metadata` and `attributes`"), "{message}");
    let message = load(
        &[(
            "a.toml",
            "[[rule]]\nname = 'a'\nmatch = { types = ['*'] }\nattributes = [{ remove = '/a' }]\ndrop = true\n",
        )],
        &Keys::new(),
    )
    .err()
    .unwrap();
    assert!(message.contains("`drop` makes `attributes` useless"), "{message}");
}

const USER_CREATED: &str = r#"
type = "UserCreated"
current = 3
oldest = 1

[[upcast]]
from = 1
data = [{ join = ["/first_name", "/last_name"], with = " ", into = "/full_name" }]

[[upcast.test]]
name = "joins the names"
given = '{"first_name":"Ada","last_name":"Lovelace"}'
then = '{"full_name":"Ada Lovelace"}'

[[upcast.test]]
name = "needs both"
given = '{"last_name":"Lovelace"}'
fails_with = "/first_name is missing"

[[upcast]]
from = 2
stream = "customer-{stream.id}"
metadata = [{ rename = "/user", to = "/by" }]

[[upcast.test]]
name = "moves"
given = { stream = "user-9", data = '{ "n": 10.10 }', metadata = '{"user":1}' }
then = { type = "UserCreated", version = 3, stream = "customer-9", data = '{ "n": 10.10 }', metadata = '{"by":1}' }

[[test]]
name = "the whole chain"
given = { data = '{"first_name":"Ada","last_name":"Lovelace"}', metadata = '{"user":"u-7"}' }
then = [{ version = 3, stream = "customer-1", data = '{"full_name":"Ada Lovelace"}' }]
"#;

#[test]
fn test_cases_run_through_their_rule_or_through_everything() {
    let (definitions, registry) = one(USER_CREATED);
    let results = definitions.test(&registry);
    let failed: Vec<String> = results.iter().filter(|result| !result.passed()).map(ToString::to_string).collect();
    assert_eq!((results.len(), failed), (4, Vec::new()));
    assert_eq!(registry.shape(), Shape::Moving);
}

#[test]
fn a_failed_test_case_says_what_differs() {
    let text = r#"
type = "A"
current = 2

[[upcast]]
from = 1
data = [{ rename = "/a", to = "/b" }]

[[upcast.test]]
name = "bytes"
given = '{"a":1.0}'
then = '{"b":1}'

[[upcast.test]]
name = "count"
given = '{"a":1}'
then = []

[[upcast.test]]
name = "fails after all"
given = '{}'
then = '{}'

[[upcast.test]]
name = "does not fail"
given = '{"a":1}'
fails_with = "missing"

[[upcast.test]]
name = "fails otherwise"
given = '{}'
fails_with = "too long"
"#;
    let (definitions, registry) = one(text);
    let results: Vec<String> = definitions.test(&registry).iter().map(ToString::to_string).collect();
    assert_eq!(
        results[0],
        "a.toml:9: bytes: failed\n    event 1, data\n      expected {\"b\":1}\n      actual   {\"b\":1.0}"
    );
    assert_eq!(
        results[1],
        "a.toml:14: count: failed\n    expected 0 events\n    it yields 1\n      A version 2: {\"b\":1}"
    );
    assert!(results[2].contains("it fails: rename: /a is missing"), "{}", results[2]);
    assert!(results[3].contains("expected it to fail\n    it yields 1"), "{}", results[3]);
    assert!(results[4].contains("expected it to fail with \"too long\""), "{}", results[4]);
}

#[test]
fn splits_renames_drops_and_retired_types() {
    let renamed = r#"
type = "FileRenamed"
retired = true

[[upcast]]
from = 1
split = [
  { type = "FileDeleted", version = 1, data = [{ remove = "/to" }] },
  { type = "FileAdded", version = 1, data = [{ remove = "/from" }], stream = "file-{/to}" },
]

[[upcast]]
from = 2
when = { path = "/to", exists = false }
drop = true

[[upcast]]
from = 2
type = "FileAdded"
to = 2
"#;
    let others = "[current]\nFileDeleted = 1\n";
    let added = "type = 'FileAdded'\ncurrent = 2\n[[upcast]]\nfrom = 1\ndata = [{ rename = '/to', to = '/path' }]\n";
    let (_, registry) = load(&[("r.toml", renamed), ("o.toml", others), ("a.toml", added)], &Keys::new()).unwrap();
    let first = event("FileRenamed", 1, r#"{"from":"x","to":"y"}"#);
    assert_eq!(
        lifted(&registry, first),
        [r#"user-1 FileDeleted 1 {"from":"x"}"#, r#"file-y FileAdded 2 {"path":"y"}"#]
    );
    assert_eq!(lifted(&registry, event("FileRenamed", 2, r#"{"to":"y"}"#)), [r#"user-1 FileAdded 2 {"to":"y"}"#]);
    assert!(lifted(&registry, event("FileRenamed", 2, "{}")).is_empty());
}

#[test]
fn a_split_that_no_part_takes_fails() {
    let text = "[[rule]]\nname = 's'\nsplit = [{ when = { path = '/a', exists = true } }]\n";
    let (_, registry) = one(text);
    let error = registry.lift(event("A", 1, "{}"), &mut Vec::new()).unwrap_err();
    assert_eq!(error.reason.message, "no part of the split takes it");
    assert!(error.rule == "s (a.toml:1)", "{}", error.rule);
}

#[test]
fn general_rules_match_types_categories_and_versions() {
    let text = r#"
[[rule]]
name = "forget names"
match = { types = ["User*"], category = "user", versions = [1] }
data = [{ remove = "/name" }]

[[rule.test]]
given = { type = "UserMade", data = '{"name":1}' }
then = '{}'

[[rule.test]]
given = { type = "OrderMade", data = '{"name":1}' }
fails_with = "does not take the event"
"#;
    let (definitions, registry) = one(text);
    let results = definitions.test(&registry);
    assert!(results.len() == 2 && results.iter().all(|result| result.passed()), "{results:?}");
    let untouched = [event("OrderMade", 1, "?"), event("UserMade", 2, "?")];
    for event in untouched {
        assert_eq!(registry.lift(event, &mut Vec::new()), Ok(Lift::Untouched));
    }
    assert_eq!(lifted(&registry, event("UserMade", 1, r#"{"name":1}"#)), ["user-1 UserMade 1 {}"]);
}

#[test]
fn the_fingerprint_is_of_the_content() {
    let of = |text: &str, keys: &Keys| load(&[("a.toml", text)], keys).unwrap().1.fingerprint().to_owned();
    let none = Keys::new();
    let base = "type = 'A'\ncurrent = 2\n[[upcast]]\nfrom = 1\ndata = [{ rename = '/a', to = '/b' }]\n";
    let same = "# a comment\ncurrent = 0x2\ntype = \"A\"\n\n[[upcast]]\nname = 'other'\n\
                data = [\n  { to = \"/b\", rename = '/a' },\n]\nto = 2\nfrom = 1\n\
                [[upcast.test]]\ngiven = '{\"a\":1}'\nthen = '{\"b\":1}'\n";
    assert_eq!(of(base, &none), of(same, &none));
    for (old, new) in [
        ("'/b'", "'/c'"),
        ("data", "metadata"),
        ("from = 1", "from = 1\nwhen = { path = '/a', exists = true }\n[[upcast]]\nfrom = 1"),
    ] {
        assert_ne!(of(base, &none), of(&base.replace(old, new), &none), "{new}");
    }
    let hash = "[[rule]]\nname = 'h'\ndata = [{ hash = '/a', key = 'k' }]\n";
    let with_key = |secret: &str| {
        let mut keys = Keys::new();
        keys.insert("k", secret);
        of(hash, &keys)
    };
    assert_eq!(with_key("one"), with_key("one"));
    assert_ne!(with_key("one"), with_key("two"));
}

#[cfg(feature = "schema")]
#[test]
fn results_follow_their_json_schema() {
    let text = r#"
type = "A"
current = 2

[[upcast]]
from = 1
data = [{ rename = "/a", to = "/b" }]

[schema]
2 = "schemas/a.2.json"
"#;
    let schema = r#"{"type": "object", "properties": {"b": {"type": "string"}}}"#;
    let (_, registry) = load(&[("t/a.toml", text), ("t/schemas/a.2.json", schema)], &Keys::new()).unwrap();
    assert_eq!(lifted(&registry, event("A", 1, r#"{"a":"x"}"#)), [r#"user-1 A 2 {"b":"x"}"#]);
    let error = registry.lift(event("A", 1, r#"{"a":1}"#), &mut Vec::new()).unwrap_err();
    assert_eq!(error.rule, "A 1 → 2 (t/a.toml:5)");
    assert_eq!(
        error.reason.message,
        "the result breaks the JSON Schema of A version 2 at /b: 1 is not of type \"string\""
    );
    // What no rule touches is carried, whatever it holds.
    assert_eq!(registry.lift(event("A", 2, "?"), &mut Vec::new()), Ok(Lift::Untouched));
}

#[cfg(feature = "jq")]
#[test]
fn jq_makes_other_data_or_other_events() {
    let text = r#"
type = "FileRenamed"
retired = true

[[upcast]]
from = 1
to = 2
jq = '.path = need(.to)'

[[upcast.test]]
given = '{"to":"y","n":10.10}'
then = '{"to":"y","n":10.10,"path":"y"}'

[[upcast.test]]
given = '{"to":null}'
fails_with = "to"

[[upcast]]
from = 2
jq_events = '''
{type: "FileDeleted", version: 1, data: {path: .data.from}},
{type: "FileAdded", version: 1, data: {path: .data.to}}
'''
yields = [{ type = "FileDeleted", version = 1 }, { type = "FileAdded", version = 1 }]

[[upcast.test]]
given = '{"from":"x","to":"y"}'
then = [{ type = "FileDeleted", data = '{"path":"x"}' }, { type = "FileAdded", data = '{"path":"y"}' }]
"#;
    let others = "[current]\nFileDeleted = 1\nFileAdded = 1\n";
    let (definitions, registry) = load(&[("r.toml", text), ("o.toml", others)], &Keys::new()).unwrap();
    let failed: Vec<String> =
        definitions.test(&registry).iter().filter(|result| !result.passed()).map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(registry.shape(), Shape::Shifting);
}

#[cfg(feature = "jq")]
#[test]
fn mistakes_in_jq_have_their_place_in_the_file() {
    let at = |text: &str| {
        let text = format!("type = 'A'\ncurrent = 2\n[[upcast]]\nfrom = 1\n{text}\n");
        load(&[("a.toml", &text)], &Keys::new()).err().unwrap()
    };
    let message = at("jq = '''\n.a\n| nosuch(.b)\n'''");
    assert!(message.contains("\n  a.toml:7:3: `jq`: "), "{message}");
    let message = at("jq = 'nosuch'");
    assert!(message.contains("\n  a.toml:5:6: `jq`: "), "{message}");
    let message = at("yields = []");
    assert!(message.contains("a.toml:5:10: `yields` belongs to `jq_events`"), "{message}");
}

#[cfg(not(feature = "jq"))]
#[test]
fn a_build_without_jq_refuses_it() {
    let text = "type = 'A'\ncurrent = 2\n[[upcast]]\nfrom = 1\njq = '.'\n";
    let message = load(&[("a.toml", text)], &Keys::new()).err().unwrap();
    assert!(message.contains("a.toml:5:6: `jq`: this build has no jq\n    hint: build with feature `jq`"), "{message}");
}

#[test]
fn damaged_files_are_refused_or_read_but_never_panic() {
    let keys = Keys::new();
    let mut refused = 0;
    for at in (0..USER_CREATED.len()).filter(|at| USER_CREATED.is_char_boundary(*at)) {
        let cut = &USER_CREATED[..at];
        let without = format!("{cut}{}", &USER_CREATED[at + 1..]);
        for text in [cut, without.as_str()] {
            refused += usize::from(load(&[("a.toml", text)], &keys).is_err());
        }
    }
    assert!(refused > 100);
}

#[test]
fn merges_do_what_their_golden_test_cases_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/merges");
    let mut texts = String::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let (definitions, registry) = load(&[(path.to_str().unwrap(), &text)], &Keys::new()).unwrap();
        let results = definitions.test(&registry);
        assert!(!results.is_empty(), "{}", path.display());
        let failed: Vec<String> = results.iter().filter(|result| !result.passed()).map(|r| r.to_string()).collect();
        assert!(failed.is_empty(), "{}", failed.join("\n"));
        texts.push_str(&text);
    }
    for kind in ["collect", "first", "last", "count", "sum", "min", "max"] {
        assert!(texts.contains(&format!("{{ {kind} = ")), "no golden test case has a field of the kind {kind}");
    }
}

#[test]
fn test_cases_of_merges_can_fail() {
    let text = r#"
[current]
A = 1
M = 1

[[merge]]
name = "m"
events = ["A"]
into = { type = "M", version = 1 }
data = [{ sum = "/n" }]

[[merge.test]]
name = "another sum"
given = ['{"n":1}', '{"n":2}']
then = '{"n":4}'

[[merge.test]]
name = "one too many"
given = ['{"n":1}']
then = []

[[merge.test]]
name = "it does not fail"
given = ['{"n":1}']
fails_with = "n"
"#;
    let (definitions, registry) = one(text);
    let failures: Vec<String> = definitions.test(&registry).iter().map(|result| result.to_string()).collect();
    assert_eq!(failures.len(), 3);
    assert!(failures[0].starts_with("a.toml:12: another sum: failed\n"), "{}", failures[0]);
    assert!(failures[0].contains("expected {\"n\":4}\n      actual   {\"n\":3}"), "{}", failures[0]);
    assert!(failures[1].contains("expected 0 events"), "{}", failures[1]);
    assert!(failures[2].contains("expected it to fail"), "{}", failures[2]);
}
