//! Test cases of merges: events are given in their order, and all that comes out is compared.

use std::collections::HashMap;

use eventlift_events::{Event, EventId, Position, Revision, StreamName, Timestamp};
use eventlift_language::{Given, Place, Reader, Reason, Table, TestResult, Value};
use toml::Spanned;
use toml::de::DeValue;

use super::test_case::Then;
use crate::merge::Merge;
use crate::transformer::StatefulTransformer;

/// A test case of a merge.
pub(super) struct MergeTest {
    name: String,
    place: Place,
    given: Vec<Event>,
    then: Then,
}

impl MergeTest {
    /// Reads one. `only_type`: the type of events that don't say theirs. What is wrong is noted.
    pub(super) fn read<'i>(reader: &mut Reader<'i>, mut table: Table<'i>, only_type: Option<&str>) -> Option<Self> {
        let span = table.span.clone();
        let place = reader.line(&span);
        let name = reader.get(&mut table, "name").unwrap_or_else(|| "test".to_owned());
        let given = match table.take("given") {
            Some(value) => given_events(reader, value, only_type),
            None => {
                reader.note(&span, "a test case of a merge needs `given`, the events in their order", None);
                None
            }
        };
        let then = Then::read(reader, &mut table);
        reader.finish(table, "a test case of a merge", &["name", "given", "then", "fails_with"]);
        Some(Self { name, place, given: given?, then: then? })
    }

    /// Runs it through its merge.
    pub(super) fn run(&self, merge: &Merge) -> TestResult {
        let failure = self.then.failure(self.merged(merge));
        TestResult { name: self.name.clone(), place: self.place.clone(), failure }
    }

    fn merged(&self, merge: &Merge) -> Result<Vec<Event>, Reason> {
        let mut merged = Vec::new();
        // With the event that opened them: at the end they are closed in that order.
        let mut windows: HashMap<&StreamName, (usize, Vec<u8>)> = HashMap::new();
        for (number, event) in self.given.iter().enumerate() {
            if !merge.observes(&event.event_type, event.version) {
                merged.push(event.clone());
                continue;
            }
            let (opened, mut state) = windows.remove(&event.stream).unwrap_or((number, Vec::new()));
            let (mut closed, mut out) = (Vec::new(), Vec::new());
            merge.collect(&mut state, event.clone(), &mut closed, &mut out)?;
            merged.extend(closed.into_iter().map(|merged| merged.event));
            merged.append(&mut out);
            if !state.is_empty() {
                windows.insert(&event.stream, (opened, state));
            }
        }
        if !merge.ends_with_source() {
            return Ok(merged);
        }
        let mut windows: Vec<_> = windows.into_iter().collect();
        windows.sort_unstable_by_key(|(_, (opened, _))| *opened);
        for (stream, (_, mut state)) in windows {
            merged.extend(merge.finish(&mut state, stream)?.map(|merged| merged.event));
        }
        Ok(merged)
    }
}

/// Reads `given`: an event or a list of them. Where they don't say it, they are numbered: ids, positions in the list and
/// revisions in their streams; and each is recorded a second after the one before.
fn given_events<'i>(reader: &mut Reader<'i>, value: Value<'i>, only_type: Option<&str>) -> Option<Vec<Event>> {
    let items = match value.get_ref() {
        DeValue::Array(_) => reader.array(value, "`given`"),
        _ => vec![value],
    };
    let mut events: Vec<Event> = Vec::new();
    let mut is_whole = true;
    for item in items {
        let Some(event) = given_event(reader, item, only_type, &events) else {
            is_whole = false;
            continue;
        };
        events.push(event);
    }
    is_whole.then_some(events)
}

fn given_event<'i>(
    reader: &mut Reader<'i>,
    item: Value<'i>,
    only_type: Option<&str>,
    before: &[Event],
) -> Option<Event> {
    let number = before.len() as u64;
    let defaults = Given::untyped(only_type.map(str::to_owned));
    let span = item.span();
    let (mut event, has_id, recorded_at) = match item.get_ref() {
        DeValue::String(_) => (defaults.read(reader, item)?, false, None),
        _ => {
            let mut table = reader.table(item, "an item of `given`")?;
            let has_id = table.has("id");
            let recorded_at = match reader.text(&mut table, "recorded_at").map(|text| text.parse::<Timestamp>()) {
                Some(Err(error)) => {
                    let hint = "write it as in 2024-05-01T12:00:00Z".to_owned();
                    reader.note(&span, format!("`recorded_at`: {error}"), Some(hint));
                    return None;
                }
                Some(Ok(time)) => Some(time),
                None => None,
            };
            let value = Spanned::new(span, DeValue::Table(table.entries));
            (defaults.read(reader, value)?, has_id, recorded_at)
        }
    };
    if !has_id {
        event.id = EventId::text(format!("00000000-0000-4000-8000-{:012x}", number + 1)).ok()?;
    }
    event.position = Position::new(number);
    event.revision = Revision(before.iter().filter(|earlier| earlier.stream == event.stream).count() as u64);
    let after = before.last().map_or(0, |last| last.recorded_at.micros() + 1_000_000);
    event.recorded_at = recorded_at.or_else(|| Timestamp::from_micros(after).ok())?;
    Some(event)
}
