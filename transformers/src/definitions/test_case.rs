//! Test cases of definitions: an event is given, and what becomes of it is compared byte by byte.

use eventlift_events::Event;
use eventlift_language::{Given, Place, Reader, Reason, Table, TestResult, Value, difference};
use toml::de::DeValue;

use crate::registry::Registry;
use crate::upcaster::Schema;

const EXPECTED_KEYS: &[&str] = &["type", "version", "stream", "data", "metadata", "attributes"];

/// A test case of a rule or of the whole registry.
pub(super) struct TestCase {
    name: String,
    place: Place,
    given: Event,
    then: Then,
    /// Whether it is about the way back.
    pub(super) down: bool,
}

/// The events that test cases start from, where they don't say.
pub(super) struct TestDefaults {
    pub(super) up: Given,
    pub(super) down: Given,
}

pub(super) enum Then {
    Events(Vec<Expected>),
    Fails(String),
}

/// What is expected of one event; what is not said is not compared.
#[derive(Default)]
pub(super) struct Expected {
    event_type: Option<String>,
    version: Option<u32>,
    stream: Option<String>,
    data: Option<String>,
    metadata: Option<String>,
    attributes: Option<String>,
}

impl TestCase {
    pub(super) fn read<'i>(reader: &mut Reader<'i>, mut table: Table<'i>, defaults: &TestDefaults) -> Option<Self> {
        let span = table.span.clone();
        let place = reader.line(&span);
        let name = reader.get(&mut table, "name").unwrap_or_else(|| "test".to_owned());
        let down = reader.get(&mut table, "down").unwrap_or(false);
        let defaults = if down { &defaults.down } else { &defaults.up };
        let given = match table.take("given") {
            Some(value) => defaults.read(reader, value),
            None => {
                reader.note(&span, "a test case needs `given`", None);
                None
            }
        };
        let then = Then::read(reader, &mut table);
        reader.finish(table, "a test case", &["name", "down", "given", "then", "fails_with"]);
        Some(Self { name, place, given: given?, then: then?, down })
    }

    /// Runs it through one rule, whose place is given, or through the whole registry.
    pub(super) fn run(&self, registry: &Registry, rule: Option<&Place>) -> TestResult {
        let mut out = Vec::new();
        let outcome = match rule {
            Some(place) if self.down => registry.run_back_at(place, self.given.clone(), &mut out),
            Some(place) => registry.run_rule_at(place, self.given.clone(), &mut out),
            None if self.down => lowered(registry, &self.given, &mut out),
            None => registry.lift(self.given.clone(), &mut out).map(|_| ()).map_err(|error| error.reason),
        };
        let failure = self.then.failure(outcome.map(|()| out));
        TestResult { name: self.name.clone(), place: self.place.clone(), failure }
    }

    /// Lifts what is given and lowers it again: where nothing on the way loses anything, that has to give the event.
    /// None where the test case says nothing about that.
    pub(super) fn run_there_and_back(
        &self,
        registry: &Registry,
        inverse: &Registry,
        rule: Option<&Place>,
    ) -> Option<TestResult> {
        if self.down || matches!(self.then, Then::Fails(_)) {
            return None;
        }
        let is_exact = match rule {
            Some(place) => registry.is_exact_at(place),
            None => registry.is_exact_from(&Schema::of(&self.given), inverse),
        };
        if !is_exact {
            return None;
        }
        let failure = match self.there_and_back(registry, inverse, rule) {
            Ok(None) => return None,
            Ok(Some(events)) => differences(&[Expected::of(&self.given)], &events).map(|lines| {
                format!("{lines}\n    hint: say what the way back does with `down`, or that it loses something with `lossy = true`")
            }),
            Err(reason) => Some(format!("    the way back fails: {reason}")),
        };
        Some(TestResult { name: format!("{}, there and back", self.name), place: self.place.clone(), failure })
    }

    /// None where the event does not get there, which its own test case reports.
    fn there_and_back(
        &self,
        registry: &Registry,
        inverse: &Registry,
        rule: Option<&Place>,
    ) -> Result<Option<Vec<Event>>, Reason> {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let lifted = match rule {
            Some(place) => registry.run_rule_at(place, self.given.clone(), &mut there).is_ok(),
            None => registry.lift(self.given.clone(), &mut there).is_ok(),
        };
        if !lifted {
            return Ok(None);
        }
        for event in there {
            match rule {
                Some(place) => registry.run_back_at(place, event, &mut back)?,
                None => inverse.lift(event, &mut back).map(|_| ()).map_err(|error| error.reason)?,
            }
        }
        Ok(Some(back))
    }
}

impl Then {
    /// Reads `then` or `fails_with`, one of which has to be there.
    pub(super) fn read<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>) -> Option<Self> {
        let then = table.take("then").map(|value| Self::Events(expected_events(reader, value)));
        let fails = reader.text(table, "fails_with").map(Self::Fails);
        match (then, fails) {
            (Some(then), None) | (None, Some(then)) => Some(then),
            _ => {
                reader.note(&table.span, "a test case needs either `then` or `fails_with`", None);
                None
            }
        }
    }

    /// How what came out differs; none where it does not.
    pub(super) fn failure(&self, outcome: Result<Vec<Event>, Reason>) -> Option<String> {
        match (self, outcome) {
            (Self::Events(expected), Ok(events)) => differences(expected, &events),
            (Self::Events(_), Err(reason)) => Some(format!("    it fails: {reason}")),
            (Self::Fails(_), Ok(events)) => Some(format!("    expected it to fail\n    {}", shown(&events))),
            (Self::Fails(part), Err(reason)) if reason.message.contains(part) => None,
            (Self::Fails(part), Err(reason)) => {
                Some(format!("    expected it to fail with {part:?}\n    it fails with     {:?}", reason.message))
            }
        }
    }
}

fn lowered(registry: &Registry, event: &Event, out: &mut Vec<Event>) -> Result<(), Reason> {
    let inverse = registry.inverse().map_err(Reason::new)?;
    inverse.lift(event.clone(), out).map(|_| ()).map_err(|error| error.reason)
}

impl Expected {
    /// Everything that a test case can say of an event.
    fn of(event: &Event) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            event_type: Some(event.event_type.to_string()),
            version: Some(event.version.number()),
            stream: Some(event.stream.to_string()),
            data: Some(text(event.data.bytes())),
            metadata: Some(text(event.metadata.bytes())),
            attributes: Some(text(&event.attributes)),
        }
    }
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
        attributes: reader.get(&mut table, "attributes"),
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
            ("attributes", &expected.attributes, &event.attributes[..]),
        ]
        .map(|(name, expected, actual)| {
            difference(&format!("event {}, {name}", index + 1), expected.as_deref()?, actual)
        });
        lines.extend(fields.into_iter().flatten());
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn shown(events: &[Event]) -> String {
    let mut text = format!("it yields {}", events.len());
    for event in events {
        let data = String::from_utf8_lossy(event.data.bytes());
        text.push_str(&format!("\n      {} version {}: {data}", event.event_type, event.version));
    }
    text
}
