//! Tries to break the promise that operations change the fields they name and nothing else.

#![allow(clippy::unwrap_used)]

use eventlift_events::{Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName};
use eventlift_transformers::json::{Document, Pointer};
use eventlift_transformers::{Condition, Keys, Operation, Operations};
use proptest::prelude::*;

/// How deep the documents of the depth tests are.
const LEVELS: usize = 100_000;

fn event(data: impl Into<eventlift_events::Bytes>) -> Event {
    Event {
        id: EventId::text("cbe326da-5260-5f9d-88a8-a35a0b819073").unwrap(),
        stream: StreamName::new("user-1").unwrap(),
        revision: Revision(0),
        position: Position::new(1),
        event_type: EventType::new("UserCreated").unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::json(data),
        metadata: Payload::empty(),
        recorded_at: "2024-05-01T12:00:00Z".parse().unwrap(),
        attributes: Default::default(),
    }
}

fn operations(list: &str) -> Operations {
    let table: toml::Table = toml::from_str(&format!("list = [{list}]")).unwrap();
    let list: Vec<Operation> = table["list"].clone().try_into().unwrap();
    let mut keys = Keys::new();
    keys.insert("k", "secret");
    Operations::compile(list, &keys).unwrap()
}

fn apply(list: &str, data: &str) -> Result<String, String> {
    let event = event(data.to_owned());
    let payload = operations(list).apply(&event.data, &event).map_err(|reason| reason.to_string())?;
    Ok(String::from_utf8(payload.bytes().to_vec()).unwrap())
}

/// One of every operation, each on a field of its own name.
const EVERY: &[&str] = &[
    "{ rename = '/a', to = '/z' }",
    "{ set = '/a/b', value = 1 }",
    "{ default = '/a', value = 1, or_null = true }",
    "{ copy = '/a/b', to = '/z/-' }",
    "{ move = '/a/0', to = '/z' }",
    "{ remove = '/a/*' }",
    "{ join = ['/a', '/b'], with = '-', into = '/c', replace = true }",
    "{ split = '/a', on = 'x', into = ['/b', '/c'], rest = 'last', fewer = 'null', replace = true }",
    "{ extract = '/a', pattern = '{x}0{y}' }",
    "{ parse = '/a', to = 'json' }",
    "{ parse = '/*', to = 'decimal' }",
    "{ format = '/a', decimals = 3 }",
    "{ format = '/*', as = 'json' }",
    "{ map = '/a', values = { a = 1 }, otherwise = 'keep' }",
    "{ date = '/a', from = 'unix_seconds', to = '%Y-%m-%d', zone = 'Europe/Berlin' }",
    "{ date = '/a', from = '%Y-%m-%d %H:%M:%S%.f', to = 'rfc3339', zone = 'Europe/Berlin', lossy = true }",
    "{ wrap = ['/a', '/b'], into = '/a', optional = true }",
    "{ unwrap = '/a' }",
    "{ redact = '/*' }",
    "{ hash = '/*', key = 'k' }",
    "{ set = '/c', value = 1, when = { path = '/*', greater_than = '1e5' } }",
    "{ set = '/c', value = 1, when = { path = '/a', starts_with = 'x' } }",
    "{ set = '/c', value = 1, when = { path = '/*/*', in = ['x', 1.5, true] } }",
];

/// Text of a JSON number, with what floats can't hold.
fn number() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?"
}

/// Text of a JSON string: escapes of all kinds, unpaired surrogates among them.
fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ -!#-\\[\\]-~äß€😀]{0,4}".boxed(),
        1 => "\\\\[\"\\\\/bfnrt]".boxed(),
        1 => "\\\\u[0-9a-fA-F]{4}".boxed(),
        1 => Just("\\ud800".to_owned()).boxed(),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn space() -> impl Strategy<Value = &'static str> {
    prop_oneof![5 => Just(""), 1 => Just(" "), 1 => Just("\n\t"), 1 => Just("\r\n ")]
}

/// Text of any JSON value, with white space, and with keys that are there twice.
fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![number(), string(), Just("null".to_owned()), Just("true".to_owned())];
    scalar.prop_recursive(4, 24, 5, |inner| {
        let key = prop_oneof![Just("\"a\"".to_owned()), Just("\"b\"".to_owned()), string()];
        let member = (key, space(), space(), inner.clone(), space())
            .prop_map(|(key, s1, s2, value, s3)| format!("{s2}{key}{s1}:{s2}{value}{s3}"));
        let item = (space(), inner, space()).prop_map(|(s1, value, s2)| format!("{s1}{value}{s2}"));
        prop_oneof![
            prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
            prop::collection::vec(item, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
        ]
    })
}

/// Members whose keys are all different and none of which is `named`.
fn others() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec((string(), json()), 0..6).prop_map(|members| {
        let numbered = members.into_iter().enumerate();
        numbered.map(|(index, (key, value))| (format!("\"{index}-{}", &key[1..]), value.trim().to_owned())).collect()
    })
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(key, value)| format!("{key}:{value}")).collect();
    format!("{{{}}}", members.join(","))
}

/// The text without the white space between its tokens.
fn compact(json: &str) -> String {
    let mut out = String::new();
    let (mut in_string, mut escaped) = (false, false);
    for character in json.chars() {
        if in_string || !character.is_ascii_whitespace() {
            out.push(character);
        }
        match (in_string, escaped, character) {
            (true, true, _) => escaped = false,
            (true, false, '\\') => escaped = true,
            (_, false, '"') => in_string = !in_string,
            _ => {}
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn only_the_named_field_changes(before in others(), after in others(), value in json(), new in json()) {
        let after: Vec<_> = after.into_iter().map(|(key, value)| (format!("\"x{}", &key[1..]), value)).collect();
        let value = value.trim().to_owned();
        let whole = |middle: &[(String, String)]| object(&[&before[..], middle, &after].concat());
        let named = |key: &str, value: &str| (format!("\"{key}\""), value.to_owned());
        let given = whole(&[named("named", &value)]);

        prop_assert_eq!(apply("{ rename = '/named', to = '/new' }", &given).unwrap(), whole(&[named("new", &value)]));
        prop_assert_eq!(apply("{ remove = '/named' }", &given).unwrap(), whole(&[]));
        prop_assert_eq!(apply("{ redact = '/named', with = 'x' }", &given).unwrap(), whole(&[named("named", "\"x\"")]));
        let set = format!("{{ set = '/named', json = {} }}", quoted(&new));
        prop_assert_eq!(apply(&set, &given).unwrap(), whole(&[named("named", new.trim())]));
        let moved = object(&[&before[..], &after, &[named("new", &value)]].concat());
        prop_assert_eq!(apply("{ move = '/named', to = '/new' }", &given).unwrap(), moved);
        let wrapped = format!("{{\"named\":{value}}}");
        let wrapped = whole(&[named("o", &wrapped)]);
        let wrap = "{ wrap = ['/named'], into = '/o' }";
        prop_assert_eq!(apply(wrap, &given).unwrap(), wrapped);
        let unwrap = format!("{wrap}, {{ unwrap = '/o' }}, {{ move = '/named', to = '/new' }}");
        prop_assert_eq!(apply(&unwrap, &given).unwrap(), object(&[&before[..], &after, &[named("new", &value)]].concat()));
    }

    #[test]
    fn what_is_not_touched_is_the_same_bytes(data in json()) {
        let event = event(data);
        let list = operations(
            "{ rename = '/no such field', to = '/x', optional = true, when = { path = '', type_is = 'object' } },
             { set = '/x', value = 1, when = { event_type = 'Other' } }",
        );
        let payload = list.apply(&event.data, &event).unwrap();
        prop_assert_eq!(payload.bytes().as_ptr(), event.data.bytes().as_ptr());
    }

    #[test]
    fn an_opened_document_is_written_as_it_was_up_to_white_space(data in json()) {
        let mut document = Document::parse(data.as_bytes()).unwrap();
        for pointer in ["/*", "/*/*", "/*/*/*", "/a/b"] {
            // Opens as far as it gets; a path through a scalar is an error, and harmless.
            let _ = document.get(&Pointer::parse(pointer).unwrap());
        }
        prop_assert_eq!(compact(std::str::from_utf8(&document.write()).unwrap()), compact(&data));
    }

    #[test]
    fn no_operation_panics_or_writes_what_is_not_json(data in json(), rest in prop::collection::vec(any::<u8>(), 0..40)) {
        for list in EVERY {
            let operations = operations(list);
            let valid = event(data.clone());
            if let Ok(payload) = operations.apply(&valid.data, &valid) {
                let written = serde_json::from_slice::<&serde_json::value::RawValue>(payload.bytes());
                prop_assert!(written.is_ok(), "{}: {:?}", list, payload);
            }
            let broken = event(rest.clone());
            let _ = operations.apply(&broken.data, &broken);
            let cut = event(data.as_bytes()[..rest.len().min(data.len())].to_vec());
            let _ = operations.apply(&cut.data, &cut);
        }
    }

    #[test]
    fn only_json_is_read(bytes in prop::collection::vec(any::<u8>(), 1..60)) {
        let is_json = serde_json::from_slice::<&serde_json::value::RawValue>(&bytes).is_ok();
        prop_assert_eq!(Document::parse(&bytes).is_ok(), is_json && std::str::from_utf8(&bytes).is_ok());
    }

    #[test]
    fn parse_and_format_are_inverse(number in number()) {
        let given = format!("{{\"n\":{number}}}");
        let both = "{ format = '/n' }, { parse = '/n', to = 'decimal' }";
        prop_assert_eq!(apply(both, &given).unwrap(), given);
    }

    #[test]
    fn split_and_join_are_inverse(a in "[^-]{0,8}", b in "[^-]{0,8}") {
        let text = serde_json::to_string(&format!("{a}-{b}")).unwrap();
        let given = format!("{{\"t\":{text}}}");
        let both = "{ split = '/t', on = '-', into = ['/a', '/b'] }, { join = ['/a', '/b'], with = '-', into = '/t' }";
        prop_assert_eq!(apply(both, &given).unwrap(), given);
    }

    #[test]
    fn moments_survive_every_spelling(nanoseconds in -60_000_000_000_000_000_000_i128..250_000_000_000_000_000_000) {
        let moment = jiff::Timestamp::from_nanosecond(nanoseconds).unwrap();
        let given = format!("{{\"at\":\"{moment}\"}}");
        let there_and_back = "
            { date = '/at', from = 'rfc3339', to = '%d %b %Y %I:%M:%S%.f %p %:z', to_zone = 'Asia/Kolkata' },
            { date = '/at', from = '%d %b %Y %I:%M:%S%.f %p %:z', to = 'rfc3339' }";
        prop_assert_eq!(apply(there_and_back, &given).unwrap(), given);
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    // JSON's escapes of a string are TOML's, except for `\/`, which encoding does not produce.
    serde_json::to_string(text).unwrap()
}

#[test]
fn any_depth_is_carried() {
    let deep = format!("{}1{}", "[".repeat(LEVELS), "]".repeat(LEVELS));
    let given = format!("{{\"a\":{deep},\"b\":1}}");
    assert_eq!(apply("{ rename = '/a', to = '/c' }", &given).unwrap(), format!("{{\"c\":{deep},\"b\":1}}"));
    let objects = format!("{}1{}", "{\"a\":".repeat(LEVELS), "}".repeat(LEVELS));
    for list in EVERY {
        let _ = apply(list, &given);
        let _ = apply(list, &objects);
        let _ = apply(list, &deep);
        // Cut off in the deep: an error, not an abort.
        assert!(apply(list, &deep[..LEVELS]).is_err(), "{list}");
    }
}

#[test]
fn text_that_holds_deep_json_is_parsed() {
    let deep = format!("{}{}", "[".repeat(LEVELS), "]".repeat(LEVELS));
    let given = format!("{{\"a\":\"{deep}\"}}");
    assert_eq!(apply("{ parse = '/a', to = 'json' }", &given).unwrap(), format!("{{\"a\":{deep}}}"));
}

#[test]
fn the_keys_that_are_used_are_known() {
    let list = operations("{ hash = '/b', key = 'k' }, { remove = '/a' }, { hash = '/c', key = 'k' }");
    assert_eq!(list.key_names(), ["k"]);
    assert!(operations("{ remove = '/a' }").key_names().is_empty());
}

fn holds(condition: &str, data: &str) -> Result<bool, String> {
    let table: toml::Table = toml::from_str(&format!("when = {condition}")).unwrap();
    let condition: Condition = table["when"].clone().try_into().unwrap();
    let mut event = event(data.to_owned());
    event.metadata = Payload::json(r#"{"user":"eve"}"#);
    condition.compile().map_err(|reason| reason.to_string())?.holds(&event).map_err(|reason| reason.to_string())
}

#[test]
fn conditions_hold_where_they_say() {
    let data = r#"{"country":"D\u0045","n":9007199254740993,"one":1.0,"null":null,"yes":true,
        "lines":[{"sku":"a1"},{"sku":"b2"}],"empty":[],"text":"12"}"#;
    let yes = [
        "{ path = '/country', equals = 'DE' }",
        "{ path = '/country', not_equals = 'FR' }",
        "{ path = '/gone', not_equals = 'FR' }",
        "{ path = '/country', in = ['FR', 'DE'] }",
        "{ path = '/country', not_in = ['FR', 'IT'] }",
        "{ path = '/country', starts_with = 'D' }",
        "{ path = '/one', equals = 1 }",
        "{ path = '/yes', equals = true }",
        "{ path = '/n', greater_than = 9007199254740992 }",
        "{ path = '/n', at_least = 9007199254740993, at_most = '9007199254740993.0' }",
        "{ path = '/one', less_than = 1.5, greater_than = '0.999999999999999999999' }",
        "{ path = '/null', exists = true, type_is = 'null' }",
        "{ path = '/gone', missing = true }",
        "{ path = '/gone/deeper', exists = false }",
        "{ path = '/null/deeper', missing = true }",
        "{ path = '/lines/*/sku', equals = 'b2' }",
        "{ path = '/lines/*/sku', not_equals = 'c3' }",
        "{ path = '/empty/*', missing = true }",
        "{ path = '/lines', type_is = 'string | array' }",
        "{ path = '', type_is = 'object' }",
        "{ metadata = '/user', equals = 'eve' }",
        "{ data = '/country', equals = 'DE' }",
        "{ stream = 'user-1', category = ['user', 'customer'], event_type = 'UserCreated', version = [1, 2] }",
        "{ event_type_matches = 'Creat', stream_matches = '^user-[0-9]+$' }",
        "{ not = { event_type_matches = '^(Created|Deleted)$' } }",
        "{ recorded_before = '2024-05-02T00:00:00Z', recorded_after = 2024-05-01T13:59:59+02:00 }",
        "{ not = { path = '/country', equals = 'FR' } }",
        "{ any = [{ path = '/gone', exists = true }, { path = '/n', exists = true }] }",
        "{ all = [{ path = '/country', exists = true }, { version = 1 }], category = 'user' }",
    ];
    for condition in yes {
        assert_eq!(holds(condition, data), Ok(true), "{condition}");
    }
    let no = [
        "{ path = '/country', equals = 'D' }",
        "{ path = '/country', not_equals = 'DE' }",
        "{ path = '/gone', equals = 'DE' }",
        "{ path = '/text', equals = 12 }",
        "{ path = '/one', equals = '1.0' }",
        "{ path = '/n', greater_than = 9007199254740993 }",
        "{ path = '/n', equals = 9007199254740992 }",
        "{ path = '/null', greater_than = 0 }",
        "{ path = '/null', missing = true }",
        "{ path = '/lines/*/sku', not_equals = 'b2' }",
        "{ path = '/empty/*', exists = true }",
        "{ category = 'user', version = 2 }",
        "{ event_type_matches = '^Created' }",
        "{ event_type_matches = 'User', stream_matches = '^1' }",
        "{ recorded_before = '2024-05-01T12:00:00Z' }",
        "{ recorded_after = '2024-05-01T12:00:00Z' }",
        "{ all = [{ path = '/country', exists = true }, { version = 2 }] }",
    ];
    for condition in no {
        assert_eq!(holds(condition, data), Ok(false), "{condition}");
    }
}

#[test]
fn conditions_that_make_no_sense_are_refused() {
    for (condition, message) in [
        ("{}", "the condition says nothing"),
        ("{ path = '/a' }", "the condition names /a but tests nothing about it"),
        ("{ equals = 1 }", "the condition tests a field but names none"),
        (
            "{ path = '/a', metadata = '/b', exists = true }",
            "the condition names more than one of `path`, `data` and `metadata`",
        ),
        ("{ path = '/a', type_is = 'text' }", "\"text\" is not a type"),
        ("{ path = '/a', less_than = 'many' }", "many is not a number to compare with"),
        ("{ path = '/a', equals = [1] }", "an array can't be compared with"),
        ("{ any = [] }", "`any` lists no conditions"),
        ("{ event_type_matches = '(A' }", "\"(A\" is no regular expression: unclosed group"),
        ("{ recorded_after = 'yesterday' }", "\"yesterday\" is not a time such as 2024-05-01T12:00:00Z"),
    ] {
        assert_eq!(holds(condition, "{}"), Err(message.to_owned()), "{condition}");
    }
}

#[test]
fn conditions_that_cannot_be_answered_fail() {
    for (condition, data, message) in [
        (
            "{ path = '/a', greater_than = 1 }",
            r#"{"a":"2"}"#,
            "condition: /a is a string, so it can't be compared with a number",
        ),
        ("{ path = '/a', starts_with = 'x' }", r#"{"a":2}"#, "condition: /a is a number, so it can't start with text"),
        (
            "{ path = '/a/b', exists = true }",
            r#"{"a":2}"#,
            "condition: /a is a number, not an object with a field \"b\"",
        ),
        (
            "{ path = '/a', exists = true }",
            r#"{"a":2,"a":3}"#,
            "condition: /a occurs twice in its object, so it is not certain which is meant",
        ),
        (
            "{ path = '/a', exists = true }",
            "{",
            "condition: the data is not valid JSON: EOF while parsing an object at line 1 column 1",
        ),
    ] {
        assert_eq!(holds(condition, data), Err(message.to_owned()), "{condition}");
    }
    // What the envelope decides needs no JSON.
    assert_eq!(holds("{ version = 2, path = '/a', exists = true }", "{"), Ok(false));
}
