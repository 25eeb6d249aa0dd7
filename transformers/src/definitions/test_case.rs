//! Test cases of definitions: an event is given, and what becomes of it is compared byte by byte.

use eventlift_events::{Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName, Timestamp};
use toml::de::DeValue;

use super::reader::{Reader, Table, Value};
use crate::problem::Place;
use crate::registry::Registry;

const EVENT_KEYS: &[&str] = &["type", "version", "stream", "id", "data", "metadata"];
const EXPECTED_KEYS: &[&str] = &["type", "version", "stream", "data", "metadata"];

/// A test case of a rule or of the whole registry.
pub(super) struct TestCase {
    name: String,
    place: Place,
    given: Event,
    then: Then,
}

enum Then {
    Events(Vec<Expected>),
    Fails(String),
}

/// What is expected of one event; what is not said is not compared.
#[derive(Default)]
struct Expected {
    event_type: Option<String>,
    version: Option<u32>,
    stream: Option<String>,
    data: Option<String>,
    metadata: Option<String>,
}

/// How a test case went. Prints as one line, and below it what differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// The test case's name.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// What was expected and what came, over several lines; none if it passed.
    pub failure: Option<String>,
}

impl TestResult {
    /// Whether it passed.
    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }
}

impl std::fmt::Display for TestResult {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.failure {
            None => write!(f, "{}: {}: passed", self.place, self.name),
            Some(failure) => write!(f, "{}: {}: failed\n{failure}", self.place, self.name),
        }
    }
}

/// What the given event is, where the test case does not say.
pub(super) struct Given {
    event_type: Option<String>,
    pub(super) version: u32,
    pub(super) stream: String,
}

impl Given {
    pub(super) fn of(event_type: &str, version: u32) -> Self {
        Self { version, ..Self::untyped(Some(event_type.to_owned())) }
    }

    pub(super) fn untyped(event_type: Option<String>) -> Self {
        Self { event_type, version: 1, stream: "test-1".to_owned() }
    }
}

impl TestCase {
    pub(super) fn read<'i>(reader: &mut Reader<'i>, mut table: Table<'i>, defaults: &Given) -> Option<Self> {
        let span = table.span.clone();
        let place = reader.line(&span);
        let name = reader.get(&mut table, "name").unwrap_or_else(|| "test".to_owned());
        let given = match table.take("given") {
            Some(value) => given(reader, value, defaults),
            None => {
                reader.note(&span, "a test case needs `given`", None);
                None
            }
        };
        let then = table.take("then").map(|value| Then::Events(expected_events(reader, value)));
        let fails = reader.text(&mut table, "fails_with").map(Then::Fails);
        reader.finish(table, "a test case", &["name", "given", "then", "fails_with"]);
        let then = match (then, fails) {
            (Some(then), None) | (None, Some(then)) => Some(then),
            _ => {
                reader.note(&span, "a test case needs either `then` or `fails_with`", None);
                None
            }
        };
        Some(Self { name, place, given: given?, then: then? })
    }

    /// Runs it through one rule, whose place is given, or through the whole registry.
    pub(super) fn run(&self, registry: &Registry, rule: Option<&Place>) -> TestResult {
        let mut out = Vec::new();
        let outcome = match rule {
            Some(place) => registry.run_rule_at(place, self.given.clone(), &mut out),
            None => registry.lift(self.given.clone(), &mut out).map(|_| ()).map_err(|error| error.reason),
        };
        let failure = match (&self.then, outcome) {
            (Then::Events(expected), Ok(())) => differences(expected, &out),
            (Then::Events(_), Err(reason)) => Some(format!("    it fails: {reason}")),
            (Then::Fails(_), Ok(())) => Some(format!("    expected it to fail\n    {}", shown(&out))),
            (Then::Fails(part), Err(reason)) if reason.message.contains(part) => None,
            (Then::Fails(part), Err(reason)) => {
                Some(format!("    expected it to fail with {part:?}\n    it fails with     {:?}", reason.message))
            }
        };
        TestResult { name: self.name.clone(), place: self.place.clone(), failure }
    }
}

fn given<'i>(reader: &mut Reader<'i>, value: Value<'i>, defaults: &Given) -> Option<Event> {
    let span = value.span();
    let mut event = Event {
        id: EventId::text("00000000-0000-4000-8000-000000000001").ok()?,
        stream: StreamName::new(defaults.stream.clone()).ok()?,
        revision: Revision(0),
        position: Position::new(0),
        event_type: EventType::new("?").ok()?,
        version: SchemaVersion::new(defaults.version)?,
        data: Payload::empty(),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Default::default(),
    };
    let mut event_type = defaults.event_type.clone();
    if let DeValue::String(data) = value.get_ref() {
        event.data = Payload::json(data.clone().into_owned());
    } else {
        let mut table = reader.table(value, "`given`")?;
        event_type = reader.text(&mut table, "type").or(event_type);
        if let Some(version) = reader.version(&mut table, "version").and_then(SchemaVersion::new) {
            event.version = version;
        }
        if let Some(stream) = reader.text(&mut table, "stream") {
            event.stream = StreamName::new(stream).ok()?;
        }
        if let Some(id) = reader.text(&mut table, "id") {
            event.id = EventId::text(id).ok()?;
        }
        event.data = Payload::json(reader.get::<String>(&mut table, "data").unwrap_or_default());
        event.metadata = Payload::json(reader.get::<String>(&mut table, "metadata").unwrap_or_default());
        reader.finish(table, "`given`", EVENT_KEYS);
    }
    let Some(event_type) = event_type else {
        let hint = "write given = { type = \"…\", data = '…' }";
        reader.note(&span, "`given` needs a `type`", Some(hint.to_owned()));
        return None;
    };
    event.event_type = EventType::new(event_type).ok()?;
    Some(event)
}

fn expected_events<'i>(reader: &mut Reader<'i>, value: Value<'i>) -> Vec<Expected> {
    if !matches!(value.get_ref(), DeValue::Array(_)) {
        return expected(reader, value).into_iter().collect();
    }
    let items = reader.array(value, "`then`");
    items.into_iter().filter_map(|item| expected(reader, item)).collect()
}

fn expected<'i>(reader: &mut Reader<'i>, value: Value<'i>) -> Option<Expected> {
    if let DeValue::String(data) = value.get_ref() {
        return Some(Expected { data: Some(data.clone().into_owned()), ..Expected::default() });
    }
    let mut table = reader.table(value, "`then`")?;
    let expected = Expected {
        event_type: reader.text(&mut table, "type"),
        version: reader.version(&mut table, "version"),
        stream: reader.text(&mut table, "stream"),
        data: reader.get(&mut table, "data"),
        metadata: reader.get(&mut table, "metadata"),
    };
    reader.finish(table, "`then`", EXPECTED_KEYS);
    Some(expected)
}

fn differences(expected: &[Expected], events: &[Event]) -> Option<String> {
    if expected.len() != events.len() {
        return Some(format!("    expected {} events\n    {}", expected.len(), shown(events)));
    }
    let mut lines = Vec::new();
    for (index, (expected, event)) in expected.iter().zip(events).enumerate() {
        let version = expected.version.map(|version| version.to_string());
        let fields = [
            ("type", &expected.event_type, event.event_type.as_str().as_bytes()),
            ("version", &version, event.version.to_string().as_bytes()),
            ("stream", &expected.stream, event.stream.as_str().as_bytes()),
            ("data", &expected.data, &event.data.bytes()[..]),
            ("metadata", &expected.metadata, &event.metadata.bytes()[..]),
        ]
        .map(|(name, expected, actual)| difference(index, name, expected.as_deref(), actual));
        lines.extend(fields.into_iter().flatten());
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn difference(index: usize, field: &str, expected: Option<&str>, actual: &[u8]) -> Option<String> {
    let expected = expected?;
    if expected.as_bytes() == actual {
        return None;
    }
    let actual = String::from_utf8_lossy(actual);
    Some(format!("    event {}, {field}\n      expected {expected}\n      actual   {actual}", index + 1))
}

fn shown(events: &[Event]) -> String {
    let mut text = format!("it yields {}", events.len());
    for event in events {
        let data = String::from_utf8_lossy(event.data.bytes());
        text.push_str(&format!("\n      {} version {}: {data}", event.event_type, event.version));
    }
    text
}
