//! Golden cases of every operation: `golden/operations/<name>.toml`.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use eventlift_events::{
    ContentType, Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName,
};
use eventlift_language::showing_values;
use eventlift_transformers::{Keys, Operation, Operations};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    case: Vec<Case>,
}

/// What an event's data becomes, or why it doesn't.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// JSON text; none for an event without data.
    given: Option<String>,
    given_type: Option<String>,
    metadata: Option<String>,
    operations: Vec<toml::Value>,
    then: Option<String>,
    fails_with: Option<String>,
    does_not_compile: Option<String>,
}

/// What happened, in the spelling of a golden file.
#[derive(PartialEq)]
enum Outcome {
    Then(String),
    FailsWith(String),
    DoesNotCompile(String),
}

impl Outcome {
    fn print(&self) -> String {
        let (key, text) = match self {
            Outcome::Then(text) => ("then", text),
            Outcome::FailsWith(text) => ("fails_with", text),
            Outcome::DoesNotCompile(text) => ("does_not_compile", text),
        };
        format!("{key} = {}", if text.contains('\'') { format!("'''{text}'''") } else { format!("'{text}'") })
    }
}

fn event(case: &Case) -> Event {
    let bytes = case.given.clone().unwrap_or_default();
    let content_type = case.given_type.as_deref().map_or(ContentType::Json, ContentType::parse);
    Event {
        id: EventId::text("cbe326da-5260-5f9d-88a8-a35a0b819073").unwrap(),
        stream: StreamName::new("user-1").unwrap(),
        revision: Revision(3),
        position: Position::new(7),
        event_type: EventType::new("UserCreated").unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::new(bytes, content_type),
        metadata: Payload::json(case.metadata.clone().unwrap_or_default()),
        recorded_at: "2024-05-01T12:00:00Z".parse().unwrap(),
        attributes: Default::default(),
    }
}

fn run(case: &Case) -> Outcome {
    let mut operations = Vec::new();
    for value in &case.operations {
        match value.clone().try_into::<Operation>() {
            Ok(operation) => operations.push(operation),
            Err(error) => return Outcome::DoesNotCompile(error.message().to_owned()),
        }
    }
    let mut keys = Keys::new();
    keys.insert("people", "a secret for tests");
    let operations = match Operations::compile(operations, &keys) {
        Ok(operations) => operations,
        Err(error) => return Outcome::DoesNotCompile(error.to_string()),
    };
    let event = event(case);
    match showing_values(|| operations.apply(&event.data, &event)) {
        Ok(payload) => {
            let text = String::from_utf8(payload.bytes().to_vec()).unwrap();
            if case.then.is_some() && case.then == case.given {
                assert_eq!(payload.bytes().as_ptr(), event.data.bytes().as_ptr(), "{}: bytes were copied", case.name);
            }
            Outcome::Then(text)
        }
        Err(reason) => Outcome::FailsWith(reason.to_string()),
    }
}

#[test]
fn every_operation_does_what_its_golden_file_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/operations");
    let mut covered = BTreeSet::new();
    let mut drift = Vec::new();
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let golden: Golden =
            toml::from_str(&fs::read_to_string(&file).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        for case in &golden.case {
            let expected = [
                case.then.clone().map(Outcome::Then),
                case.fails_with.clone().map(Outcome::FailsWith),
                case.does_not_compile.clone().map(Outcome::DoesNotCompile),
            ];
            let outcome = run(case);
            let mut expected = expected.into_iter().flatten();
            if expected.next().is_none_or(|expected| expected != outcome) || expected.next().is_some() {
                drift.push(format!("{name}.toml, case {:?}: proposed\n{}", case.name, outcome.print()));
            }
        }
        covered.insert(name);
    }
    let uncovered: Vec<_> = Operation::NAMES.iter().filter(|name| !covered.contains(**name)).collect();
    assert!(uncovered.is_empty(), "operations without a golden file: {uncovered:?}");
    assert!(drift.is_empty(), "{} cases differ:\n\n{}", drift.len(), drift.join("\n\n"));
}

#[test]
fn operations_that_an_earlier_one_makes_impossible_are_refused_and_no_others() {
    let compile = |text: &str| {
        let table: toml::Table = toml::from_str(&format!("list = [{text}]")).unwrap();
        let list: Vec<Operation> = table["list"].clone().try_into().unwrap();
        Operations::compile(list, &Keys::new()).map(|_| ()).map_err(|error| error.to_string())
    };
    for (text, expected) in [
        ("{ remove = '/a' }, { parse = '/a', to = 'integer' }", "/a is never there: operation 1 has taken /a away"),
        ("{ rename = '/a', to = '/b' }, { copy = '/a', to = '/c' }", "/a is never there"),
        ("{ wrap = ['/a', '/b'], into = '/w' }, { join = ['/a', '/c'], with = '', into = '/d' }", "/a is never there"),
        ("{ join = ['/a', '/b'], with = '', into = '/c' }, { remove = ['/x', '/b'] }", "/b is never there"),
        ("{ split = '/a', on = ' ', into = ['/b', '/c'] }, { format = '/a/x' }", "operation 1 has taken /a away"),
        ("{ set = '/a', value = 1 }, { rename = '/b', to = '/a' }", "/a is always there: operation 1 makes it"),
        ("{ copy = '/a', to = '/b' }, { wrap = ['/c'], into = '/b' }", "/b is always there"),
        ("{ remove = '/a' }, { map = '/a', values = { A = 1 }, when = { path = '/b', exists = true } }", "never there"),
    ] {
        let error = compile(text).err();
        assert!(error.as_ref().is_some_and(|error| error.contains(expected)), "{text}: {error:?}");
    }
    for text in [
        "{ remove = '/a', optional = true }, { rename = '/b', to = '/a' }, { parse = '/a', to = 'integer' }",
        "{ remove = '/a' }, { parse = '/a', to = 'integer', optional = true }",
        "{ remove = '/a', when = { path = '/b', exists = true } }, { parse = '/a', to = 'integer' }",
        "{ remove = '/a' }, { set = '/a/b', value = 1 }, { parse = '/a/b', to = 'integer' }, { unwrap = '/a' }",
        "{ remove = '/w/a' }, { set = '/w', value = { a = 1 } }, { rename = '/w/a', to = '/b' }",
        "{ remove = '/w/a' }, { set = '', value = { w = { a = 1 } } }, { rename = '/w/a', to = '/b' }",
        "{ unwrap = '/a' }, { unwrap = '/a/b' }",
        "{ remove = '/a' }, { unwrap = '/w' }, { rename = '/a', to = '/b' }",
        "{ remove = '/b' }, { extract = '/a', pattern = '{b} {c}' }, { parse = '/b', to = 'integer' }",
        "{ remove = '/b' }, { extract = '/x/a', pattern = '{b}', into = { b = '/b' } }, { format = '/b' }",
        "{ remove = '/l/0' }, { rename = '/l/0', to = '/b' }",
        "{ rename = '/l/*/a', to = '/l/*/b' }, { set = '/l/*/a', value = 1 }",
        "{ set = '/a', value = 1 }, { rename = '/b', to = '/a', replace = true }",
        "{ set = '/a', value = 1 }, { remove = '/a' }, { rename = '/b', to = '/a' }",
        "{ split = '/a', on = ' ', into = ['/b', '/c'], fewer = 'omit' }, { rename = '/d', to = '/c' }",
        "{ rename = '/a', to = '/b' }, { rename = '/b', to = '/a' }, { format = '/a' }",
        "{ wrap = ['/a'], into = '/a' }, { format = '/a/a' }",
        "{ split = '/a', on = ' ', into = ['/a', '/b'] }, { format = '/a' }",
    ] {
        assert_eq!(compile(text), Ok(()), "{text}");
    }
}
