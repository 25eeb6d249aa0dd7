//! Reading `[[merge]]`.

use std::sync::Arc;
use std::time::Duration;

use eventlift_events::{EventType, SchemaVersion};
use eventlift_language::json::Pointer;
use eventlift_language::{Place, Reader, Table, Value};
use serde::Deserialize;

use super::merge_test::MergeTest;
use super::rule::fingerprint;
use crate::merge::{AtEnd, Merge, MergedField, Take};

const MERGE_KEYS: &[&str] = &[
    "name",
    "events",
    "until",
    "includes",
    "count",
    "seconds",
    "most",
    "at_end",
    "into",
    "data",
    "may_match_nothing",
    "test",
];
const MOST: usize = 1_000;

/// A field as it is written: one of these, and where it goes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenField {
    collect: Option<Pointer>,
    first: Option<Pointer>,
    last: Option<Pointer>,
    count: Option<Pointer>,
    sum: Option<Pointer>,
    min: Option<Pointer>,
    max: Option<Pointer>,
    into: Option<Pointer>,
    #[serde(default)]
    optional: bool,
}

/// A merge as a file defines it.
pub(super) struct DefinedMerge {
    pub(super) merge: Arc<Merge>,
    pub(super) place: Place,
    pub(super) tests: Vec<MergeTest>,
}

/// Reads one `[[merge]]`. What is wrong is noted.
pub(super) fn merge<'i>(reader: &mut Reader<'i>, mut table: Table<'i>) -> Option<DefinedMerge> {
    let (place, span) = (reader.line(&table.span), table.span.clone());
    let problems = reader.problems.len();
    let tests = reader.tables(&mut table, "test");
    let fingerprint = fingerprint(&table).finish();
    let name: Option<String> = reader.text(&mut table, "name");
    let events: Vec<String> = reader.get(&mut table, "events").unwrap_or_default();
    let until = reader.text(&mut table, "until");
    let includes = reader.get_spanned::<bool>(&mut table, "includes");
    let count: Option<usize> = reader.get(&mut table, "count");
    let seconds: Option<u64> = reader.get(&mut table, "seconds");
    let most: Option<usize> = reader.get(&mut table, "most");
    let at_end: Option<AtEnd> = reader.get(&mut table, "at_end");
    let may_match_nothing = reader.get(&mut table, "may_match_nothing").unwrap_or(false);
    let into = table.take("into").and_then(|value| into(reader, value));
    let fields = table.take("data").map(|value| fields(reader, value)).unwrap_or_default();
    reader.finish(table, "[[merge]]", MERGE_KEYS);
    if name.is_none() {
        reader.note(&span, "[[merge]] needs a `name`", None);
    }
    if events.is_empty() || events.iter().any(String::is_empty) {
        reader.note(&span, "[[merge]] needs `events`, the types that it collects", None);
    }
    if into.is_none() {
        let hint = "write into = { type = \"…\", version = 1 }".to_owned();
        reader.note(&span, "[[merge]] needs `into`, what it makes of them", Some(hint));
    }
    if let (Some((_, span)), None) = (&includes, &until) {
        reader.note(span, "`includes` belongs to `until`", None);
    }
    if until.as_ref().is_some_and(|until| events.contains(until)) {
        reader.note(&span, "`until` is one of the types that are collected", None);
    }
    if until.is_none() && count.is_none() && seconds.is_none() && at_end == Some(AtEnd::Wait) {
        let hint = "`until`, `count` or `seconds` closes it; or `at_end = \"close\"`".to_owned();
        reader.note(&span, "nothing closes the window", Some(hint));
    }
    let most = most.unwrap_or(MOST.max(count.unwrap_or(0)));
    if count.is_some_and(|count| count == 0 || count > most) || most == 0 {
        let message = format!("`count` has to be from 1 to `most`, which is {most}");
        reader.note(&span, message, None);
    }
    let only_type = if let [only] = &events[..] { Some(only.clone()) } else { None };
    let tests = tests.into_iter().filter_map(|test| MergeTest::read(reader, test, only_type.as_deref())).collect();
    if reader.problems.len() > problems {
        return None;
    }
    let merge = Merge {
        name: name?,
        fingerprint,
        events: events.into_iter().map(EventType::new).collect::<Result<_, _>>().ok()?,
        until: match until {
            Some(until) => Some((EventType::new(until).ok()?, includes.is_some_and(|(includes, _)| includes))),
            None => None,
        },
        count,
        longest: seconds.map(Duration::from_secs),
        most,
        at_end: at_end.unwrap_or_default(),
        into: into?,
        fields,
        may_match_nothing,
    };
    Some(DefinedMerge { merge: Arc::new(merge), place, tests })
}

fn into<'i>(reader: &mut Reader<'i>, value: Value<'i>) -> Option<(EventType, SchemaVersion)> {
    let mut table = reader.table(value, "`into`")?;
    let event_type = reader.text(&mut table, "type");
    let version = reader.version(&mut table, "version").unwrap_or(1);
    reader.finish(table, "`into`", &["type", "version"]);
    Some((EventType::new(event_type?).ok()?, SchemaVersion::new(version)?))
}

/// Whether one path leads to the other, or into it, so that only one of them can be written.
fn overlap(one: &Pointer, other: &Pointer) -> bool {
    one.segments().starts_with(other.segments()) || other.segments().starts_with(one.segments())
}

fn fields<'i>(reader: &mut Reader<'i>, value: Value<'i>) -> Vec<MergedField> {
    let mut fields: Vec<MergedField> = Vec::new();
    for item in reader.array(value, "`data`") {
        let span = item.span();
        let Some(written) = reader.deserialize::<WrittenField>(item, "data") else { continue };
        let WrittenField { collect, first, last, count, sum, min, max, into, optional } = written;
        let named = [
            (Take::Collect, collect),
            (Take::First, first),
            (Take::Last, last),
            (Take::Count, count),
            (Take::Sum, sum),
            (Take::Min, min),
            (Take::Max, max),
        ];
        let mut named = named.into_iter().filter_map(|(take, from)| Some((take, from?)));
        let (Some((take, from)), None) = (named.next(), named.next()) else {
            let hint = "for example { collect = \"/line\", into = \"/lines\" }".to_owned();
            reader.note(
                &span,
                "a field is one of `collect`, `first`, `last`, `count`, `sum`, `min` and `max`",
                Some(hint),
            );
            continue;
        };
        // `count` names where the number goes; the others go where they were, unless `into` says more.
        let into = match (take, into) {
            (_, Some(into)) => into,
            (Take::Collect, None) => {
                reader.note(&span, "`collect` needs `into`, where the array goes", None);
                continue;
            }
            (_, None) => from.clone(),
        };
        if from.has_wildcard() || into.has_wildcard() || into.segments().is_empty() {
            reader.note(&span, "a field of a merge has paths without `*`, and `into` names a field", None);
            continue;
        }
        if let Some(other) = fields.iter().find(|field| overlap(&field.into, &into)) {
            let message = match other.into == into {
                true => format!("two fields of the merge go to {into}"),
                false => format!(
                    "two fields of the merge go to {into} and {}, of which one leads into the other",
                    other.into
                ),
            };
            reader.note(&span, message, Some("`into` gives one of them another place".to_owned()));
            continue;
        }
        fields.push(MergedField { take, from, into, optional });
    }
    fields
}
