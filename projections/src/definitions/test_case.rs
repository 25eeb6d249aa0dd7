//! Test cases of definitions: events are given, and the rows that they make are compared.

use std::borrow::Cow;
use std::collections::BTreeMap;

use eventlift_events::{Event, EventId, Position, Revision, Timestamp};
use eventlift_language::json::compact;
use eventlift_language::{Given, Place, Reader, Reason, Table as TomlTable, TestResult, Value as TomlValue};
use toml::Spanned;
use toml::de::DeValue;

use super::constant::{constant, json_of};
use super::fold::Fold;
use super::read_source::column_named;
use super::state::fields_of;
use crate::projection::{Changes, Projection, RowChange};
use crate::rollup::Rollup;
use crate::row::{Row, RowKey};
use crate::table::{Table, snapshot_columns};
use crate::understood::Concern;
use crate::value::Value;
use crate::view::EventView;

/// A test case of a definition.
pub(super) struct TestCase {
    name: String,
    place: Place,
    given: Vec<Event>,
    then: Then,
}

enum Then {
    /// By the place of the table, all its rows in the order of their keys.
    Rows(Vec<(usize, Vec<Expected>)>),
    /// By stream, all states.
    States(BTreeMap<String, Expected>),
    Fails(String),
}

/// The values that are expected, by the place of their columns; the others are not compared.
type Expected = Vec<(usize, Value)>;

/// The rows by table and key.
type Rows = BTreeMap<(usize, RowKey), Row>;

impl TestCase {
    /// Reads a `[[test]]`. What is wrong is noted.
    pub(super) fn read<'i>(reader: &mut Reader<'i>, mut table: TomlTable<'i>, fold: &Fold) -> Option<Self> {
        let span = table.span.clone();
        let place = reader.line(&span);
        let name = reader.get(&mut table, "name").unwrap_or_else(|| "test".to_owned());
        let given = match table.take("given") {
            Some(value) => given_events(reader, value, fold),
            None => {
                reader.note(&span, "a test case needs `given`", Some("a list of events".to_owned()));
                None
            }
        };
        let (has_then, has_failure) = (table.has("then"), table.has("fails_with"));
        let then = table.take("then").and_then(|value| match &fold.state {
            Some(fields) => expected_states(reader, value, fields),
            None => expected_rows(reader, value, &fold.tables),
        });
        let fails = reader.text(&mut table, "fails_with").map(Then::Fails);
        reader.finish(table, "a test case", &["name", "given", "then", "fails_with"]);
        if has_then == has_failure {
            reader.note(&span, "a test case needs either `then` or `fails_with`", None);
            return None;
        }
        Some(Self { name, place, given: given?, then: then.or(fails)? })
    }

    /// Folds the given events and compares.
    pub(super) fn run(&self, fold: &Fold) -> TestResult {
        let mut rows = Rows::new();
        let outcome = self.given.iter().try_for_each(|event| fold_event(fold, event, &mut rows));
        let outcome = outcome.and_then(|()| fold.rollups.iter().try_for_each(|rollup| sum_up(fold, rollup, &mut rows)));
        let failure = match (&self.then, outcome) {
            (Then::Fails(part), Err(reason)) if reason.message.contains(part) => None,
            (Then::Fails(part), Err(reason)) => {
                Some(format!("    expected it to fail with {part:?}\n    it fails with     {:?}", reason.message))
            }
            (Then::Fails(_), Ok(())) => Some("    expected it to fail".to_owned()),
            (_, Err(reason)) => Some(format!("    it fails: {reason}")),
            (Then::Rows(tables), Ok(())) => row_differences(fold, tables, &rows),
            (Then::States(states), Ok(())) => state_differences(fold, states, &rows)
                .unwrap_or_else(|reason| Some(format!("    its states can't be read: {reason}"))),
        };
        TestResult { name: self.name.clone(), place: self.place.clone(), failure }
    }
}

/// Folds one event as a rebuild does: all its changes or none.
fn fold_event(fold: &Fold, event: &Event, rows: &mut Rows) -> Result<(), Reason> {
    let (event_type, version) = (&event.event_type, event.version);
    match fold.understood.concern(event) {
        Concern::Folded => {}
        Concern::Ignored => return Ok(()),
        Concern::UnknownType => {
            return Err(Reason::new(format_args!("it neither folds nor ignores {event_type}")));
        }
        Concern::UnknownVersion => {
            return Err(Reason::new(format_args!("it neither folds nor ignores {event_type} version {version}")));
        }
    }
    let mut changes = Changes::new();
    fold.project(&mut EventView::new(event), &mut changes)?;
    for RowChange { table, key, change, moves } in changes.drain() {
        let place = (table, key);
        let mut row = rows.remove(&place);
        match moves {
            None => change.make(event, &place.1, &mut row)?,
            Some(moves) if moves.to == place.1 => change.make(event, &place.1, &mut row)?,
            Some(moves) => {
                let other_place = (table, moves.to.clone());
                let mut other = rows.remove(&other_place);
                moves.make(change, event, &fold.tables[table], (&place.1, &mut row), &mut other)?;
                rows.extend(other.map(|row| (other_place, row)));
            }
        }
        rows.extend(row.map(|row| (place, row)));
    }
    Ok(())
}

/// Makes the rows of a table that is summed up from another one.
fn sum_up(fold: &Fold, rollup: &Rollup, rows: &mut Rows) -> Result<(), Reason> {
    let members = rows.iter().filter(|((table, _), _)| *table == rollup.of).map(|(_, row)| row);
    let mut groups: BTreeMap<RowKey, Option<Row>> = BTreeMap::new();
    for row in members {
        let Some(key) = rollup.group_of(row)? else { continue };
        rollup.add(&fold.tables[rollup.table], groups.entry(key.clone()).or_default(), &key, row)?;
    }
    rows.extend(groups.into_iter().filter_map(|(key, row)| Some(((rollup.table, key), row?))));
    Ok(())
}

/// Reads `given`: an event or a list of them. Where they don't say it, they are numbered: ids, revisions in their
/// streams, positions in the list.
fn given_events<'i>(reader: &mut Reader<'i>, value: TomlValue<'i>, fold: &Fold) -> Option<Vec<Event>> {
    let items = match value.get_ref() {
        DeValue::Array(_) => reader.array(value, "`given`"),
        _ => vec![value],
    };
    let mut events: Vec<Event> = Vec::new();
    let mut complete = true;
    for item in items {
        let number = events.len() as u64;
        let Some(mut event) = given_event(reader, item, fold, number) else {
            complete = false;
            continue;
        };
        event.position = Position::new(number);
        event.revision = Revision(events.iter().filter(|earlier| earlier.stream == event.stream).count() as u64);
        events.push(event);
    }
    complete.then_some(events)
}

fn given_event<'i>(reader: &mut Reader<'i>, item: TomlValue<'i>, fold: &Fold, number: u64) -> Option<Event> {
    let mut table = reader.table(item, "an item of `given`")?;
    let span = table.span.clone();
    let recorded_at = match table.take("recorded_at") {
        Some(value) => Some(recorded_at(reader, &value)?),
        None => None,
    };
    for key in ["data", "metadata"] {
        let Some(value) = table.entries.get_mut(key) else { continue };
        if matches!(value.get_ref(), DeValue::String(_)) {
            continue;
        }
        let span = value.span();
        match json_of(value.get_ref()) {
            Ok(json) => *value = Spanned::new(span, DeValue::String(Cow::Owned(json))),
            Err(reason) => reader.note(&span, format!("`{key}`: {reason}"), reason.hint),
        }
    }
    let has_id = table.has("id");
    let event_type = table.entries.get("type").and_then(|value| value.get_ref().as_str());
    let category = fold.understood.categories.first().map_or("test", String::as_str);
    let newest = event_type.and_then(|name| {
        let folded = fold.understood.folded.iter().find(|(event_type, _)| event_type.as_str() == name);
        folded?.1.last().map(|version| version.number())
    });
    let defaults = Given { event_type: None, version: newest.unwrap_or(1), stream: format!("{category}-1") };
    let value = Spanned::new(span, DeValue::Table(table.entries));
    let mut event = defaults.read(reader, value)?;
    if !has_id {
        event.id = EventId::text(format!("00000000-0000-4000-8000-{:012x}", number + 1)).ok()?;
    }
    event.recorded_at = recorded_at.unwrap_or(event.recorded_at);
    Some(event)
}

fn recorded_at(reader: &mut Reader<'_>, value: &TomlValue<'_>) -> Option<Timestamp> {
    let text = match value.get_ref() {
        DeValue::Datetime(moment) => moment.to_string(),
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let parsed = text.parse();
    if let Err(error) = &parsed {
        reader.note(&value.span(), format!("`recorded_at`: {error}"), None);
    }
    parsed.ok()
}

/// Reads `then.<table> = [{…}, …]`.
fn expected_rows<'i>(reader: &mut Reader<'i>, value: TomlValue<'i>, tables: &[Table]) -> Option<Then> {
    let mut by_table = reader.table(value, "`then`")?;
    let mut expected = Vec::new();
    for (place, table) in tables.iter().enumerate() {
        let Some(value) = by_table.take(&table.name) else { continue };
        let items = reader.array(value, &format!("`then.{}`", table.name));
        let rows = items.into_iter().filter_map(|item| expected_values(reader, item, table));
        expected.push((place, rows.collect()));
    }
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let span = by_table.span.clone();
    if expected.is_empty() && by_table.entries.is_empty() {
        reader.note(&span, "`then` names no table", None);
    }
    reader.finish(by_table, "`then`", &names);
    Some(Then::Rows(expected))
}

/// Reads `then = { "<stream>" = {…} }`.
fn expected_states<'i>(reader: &mut Reader<'i>, value: TomlValue<'i>, fields: &Table) -> Option<Then> {
    let by_stream = reader.table(value, "`then`")?;
    let mut expected = BTreeMap::new();
    for (stream, value) in by_stream.entries {
        let values = expected_values(reader, value, fields);
        expected.extend(values.map(|values| (stream.get_ref().clone().into_owned(), values)));
    }
    Some(Then::States(expected))
}

/// The values of a row or state; `{ null = true }` is null.
fn expected_values<'i>(reader: &mut Reader<'i>, value: TomlValue<'i>, table: &Table) -> Option<Expected> {
    let row = reader.table(value, "a row of `then`")?;
    let mut expected = Expected::new();
    for (key, value) in row.entries {
        let name = key.get_ref();
        let Some(place) = column_named(reader, table, &key.span(), name) else { continue };
        if is_null(value.get_ref()) {
            expected.push((place, Value::Null));
            continue;
        }
        match constant(value.get_ref(), table.columns[place].column_type) {
            Ok(value) => expected.push((place, value)),
            Err(reason) => reader.note(&value.span(), format!("`{name}`: {reason}"), reason.hint),
        }
    }
    Some(expected)
}

fn is_null(value: &DeValue<'_>) -> bool {
    let DeValue::Table(table) = value else { return false };
    table.len() == 1 && table.get("null").is_some_and(|value| matches!(value.get_ref(), DeValue::Boolean(true)))
}

fn row_differences(fold: &Fold, expected: &[(usize, Vec<Expected>)], rows: &Rows) -> Option<String> {
    let mut lines = Vec::new();
    for (place, expected) in expected {
        let table = &fold.tables[*place];
        let actual: Vec<&Row> = rows.iter().filter(|((table, _), _)| table == place).map(|(_, row)| row).collect();
        if actual.len() != expected.len() {
            lines.push(format!("    {}: expected {} rows", table.name, expected.len()));
            lines.push(format!("      it has {}", actual.len()));
            lines.extend(actual.iter().map(|row| format!("        {}", shown(table, row))));
            continue;
        }
        for (index, (expected, row)) in expected.iter().zip(actual).enumerate() {
            lines.extend(differences(&format!("{} row {}", table.name, index + 1), table, expected, row));
        }
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn state_differences(
    fold: &Fold,
    expected: &BTreeMap<String, Expected>,
    rows: &Rows,
) -> Result<Option<String>, Reason> {
    let Some(fields) = &fold.state else { return Ok(None) };
    let mut lines = Vec::new();
    let mut actual = BTreeMap::new();
    for row in rows.values() {
        // Through JSON and back, as states are kept.
        let json = row.0[snapshot_columns::STATE].json()?;
        let mut kept = row.clone();
        kept.0[snapshot_columns::STATE] = Value::Json(json);
        actual.insert(row.0[snapshot_columns::STREAM].to_string(), fields_of(fields, &kept)?);
    }
    for (stream, values) in expected {
        match actual.remove(stream) {
            Some(state) => lines.extend(differences(stream, fields, values, &state)),
            None => lines.push(format!("    {stream}: expected a state\n      it has none")),
        }
    }
    for (stream, state) in actual {
        lines.push(format!("    {stream}: expected no state\n      it has {}", shown(fields, &state)));
    }
    Ok((!lines.is_empty()).then(|| lines.join("\n")))
}

fn differences(what: &str, table: &Table, expected: &Expected, row: &Row) -> Vec<String> {
    let differing = expected.iter().filter(|(place, value)| !same(value, &row.0[*place]));
    differing
        .map(|(place, value)| {
            let column = &table.columns[*place].name;
            format!("    {what}, {column}\n      expected {value}\n      actual   {}", row.0[*place])
        })
        .collect()
}

/// The same value; white space in JSON makes no difference.
fn same(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Json(expected), Value::Json(actual)) => compact(expected) == compact(actual),
        _ => expected == actual,
    }
}

fn shown(table: &Table, row: &Row) -> String {
    super::source::row_json(table, row).unwrap_or_else(|reason| reason.message)
}
