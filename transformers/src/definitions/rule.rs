//! Reading `[[upcast]]` and `[[rule]]`.

use std::ops::Range;
use std::sync::Arc;

use eventlift_events::{EventType, SchemaVersion};
use toml::de::DeValue;

use super::actions::{Actions, Changes, Destination, Ending, Part};
use super::canonical::canonical;
use super::filter::{JqError, JqFilter};
use super::reader::{Reader, Table, Value};
use super::template::Template;
use super::test_case::{Given, TestCase};
use crate::condition::{CompiledCondition, Condition};
use crate::fingerprint::Fingerprint;
use crate::operations::{Keys, Operation, Operations};
use crate::problem::Place;
use crate::rule::{Matches, Rule, TypePattern};
use crate::transformer::Reason;
use crate::upcaster::Upcaster;

const UPCAST_KEYS: &[&str] = &[
    "from",
    "to",
    "name",
    "when",
    "data",
    "metadata",
    "jq",
    "type",
    "stream",
    "category",
    "drop",
    "split",
    "jq_events",
    "yields",
    "moves_streams",
    "test",
];
const RULE_KEYS: &[&str] = &[
    "name",
    "match",
    "when",
    "data",
    "metadata",
    "jq",
    "type",
    "stream",
    "category",
    "drop",
    "split",
    "jq_events",
    "yields",
    "moves_streams",
    "test",
];
const PART_KEYS: &[&str] = &["type", "version", "when", "data", "metadata", "jq", "stream", "category"];
const MATCH_KEYS: &[&str] = &["types", "categories", "category", "versions"];
/// What fingerprints leave out: what makes no difference, and what the registry adds in another form.
const NOT_IN_FINGERPRINT: &[&str] = &["name", "test", "from", "to", "match"];

/// A rule as a file defines it.
pub(super) struct Definition {
    pub(super) name: Option<String>,
    pub(super) place: Place,
    pub(super) kind: Kind,
    fingerprint: String,
    actions: Arc<Actions>,
    guard: Option<Arc<CompiledCondition>>,
    pub(super) tests: Vec<TestCase>,
}

/// What the rule is about.
pub(super) enum Kind {
    Upcast { from: (String, u32), to: Vec<(String, u32)> },
    General { matches: Matches, into_types: Vec<String> },
}

impl Definition {
    /// The rule's upcaster, if it is one.
    pub(super) fn upcaster(&self) -> Option<Upcaster> {
        let Kind::Upcast { from, to } = &self.kind else { return None };
        let actions = Arc::clone(&self.actions);
        Some(Upcaster {
            name: self.name.clone(),
            place: self.place.clone(),
            from: from.clone(),
            to: to.clone(),
            fingerprint: self.fingerprint.clone(),
            shape: self.actions.shape(),
            guard: self.guard.clone().map(|guard| Box::new(move |event: &_| guard.holds(event)) as _),
            body: Box::new(move |event, out| actions.apply(event, out)),
        })
    }

    /// The general rule, if it is one.
    pub(super) fn rule(&self) -> Option<Rule> {
        let Kind::General { matches, into_types } = &self.kind else { return None };
        let actions = Arc::clone(&self.actions);
        Some(Rule {
            name: self.name.clone().unwrap_or_default(),
            place: self.place.clone(),
            fingerprint: self.fingerprint.clone(),
            shape: self.actions.shape(),
            matches: matches.clone(),
            into_types: into_types.clone(),
            guard: self.guard.clone().map(|guard| Box::new(move |event: &_| guard.holds(event)) as _),
            body: Box::new(move |event, out| actions.apply(event, out)),
        })
    }
}

/// Reads one `[[upcast]]` of a type.
pub(super) fn upcast<'i>(reader: &mut Reader<'i>, mut table: Table<'i>, event_type: &str, keys: &Keys) -> Definition {
    let what = "[[upcast]]";
    let place = reader.line(&table.span);
    let span = table.span.clone();
    let mut fingerprint = fingerprint(&table);
    if !table.has("from") {
        reader.note(&span, "[[upcast]] needs `from`, the version it starts from", None);
    }
    // When there is none, the rest is read only for what is wrong with it.
    let from = version(reader, &mut table, "from").unwrap_or(1);
    let declared_to = version(reader, &mut table, "to");
    let to = declared_to.unwrap_or(from.saturating_add(1));
    let name = reader.get(&mut table, "name");
    let own_parts = ["drop", "split", "yields"].into_iter().find(|key| table.has(key));
    if let (Some(_), Some(key)) = (declared_to, own_parts) {
        reader.note(&span, format!("`to` and `{key}` exclude one another"), Some("remove `to`".to_owned()));
    }
    let new_type = text(reader, &mut table, "type");
    let yields = yields(reader, &mut table);
    let guard = guard(reader, &mut table);
    let tests = tests(reader, &mut table, &Given::of(event_type, from));
    let target = new_type.clone().unwrap_or_else(|| event_type.to_owned());
    let defaults = PartDefaults { event_type: Some(event_type), version: Some(to) };
    let actions = actions(reader, &mut table, new_type.as_deref(), &defaults, keys, &mut fingerprint);
    reader.finish(table, what, UPCAST_KEYS);
    let to = match &actions.ending {
        Ending::Drop => Vec::new(),
        Ending::Split(parts) => targets(parts),
        Ending::One(_) => vec![(target, to)],
        Ending::Jq(..) if !yields.is_empty() => yields,
        Ending::Jq(..) => vec![(target, to)],
    };
    Definition {
        name,
        place,
        kind: Kind::Upcast { from: (event_type.to_owned(), from), to },
        fingerprint: fingerprint.finish(),
        actions: Arc::new(actions),
        guard,
        tests,
    }
}

/// Reads one `[[rule]]`.
pub(super) fn general<'i>(reader: &mut Reader<'i>, mut table: Table<'i>, keys: &Keys) -> Definition {
    let place = reader.line(&table.span);
    let span = table.span.clone();
    let mut fingerprint = fingerprint(&table);
    let name: Option<String> = reader.get(&mut table, "name");
    if name.is_none() {
        reader.note(&span, "[[rule]] needs a `name`", None);
    }
    let matches = matches(reader, &mut table);
    let new_type = text(reader, &mut table, "type");
    let yields = yields(reader, &mut table);
    let guard = guard(reader, &mut table);
    let tests = tests(reader, &mut table, &given_to(&matches));
    let defaults = PartDefaults { event_type: None, version: None };
    let actions = actions(reader, &mut table, new_type.as_deref(), &defaults, keys, &mut fingerprint);
    reader.finish(table, "[[rule]]", RULE_KEYS);
    let mut into_types: Vec<String> = new_type.into_iter().collect();
    into_types.extend(yields.into_iter().map(|(event_type, _)| event_type));
    if let Ending::Split(parts) = &actions.ending {
        into_types.extend(parts.iter().filter_map(|part| Some(part.event_type.as_ref()?.to_string())));
    }
    Definition {
        name,
        place,
        kind: Kind::General { matches, into_types },
        fingerprint: fingerprint.finish(),
        actions: Arc::new(actions),
        guard,
        tests,
    }
}

fn fingerprint(table: &Table<'_>) -> Fingerprint {
    let mut entries: Vec<_> = table.entries.iter().map(|(key, value)| (key.get_ref(), value.get_ref())).collect();
    entries.retain(|(key, _)| !NOT_IN_FINGERPRINT.contains(&key.as_ref()));
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    entries.into_iter().fold(Fingerprint::of("definition"), |fingerprint, (key, value)| {
        fingerprint.field(key).field(&canonical(value))
    })
}

fn version(reader: &mut Reader<'_>, table: &mut Table<'_>, key: &str) -> Option<u32> {
    let value = table.take(key)?;
    let span = value.span();
    let number = match value.get_ref() {
        DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    };
    let number = number.filter(|number| *number > 0);
    if number.is_none() {
        reader.note(&span, format!("`{key}` has to be a version: 1, 2, 3 …"), None);
    }
    number
}

/// The version a file's top-level key holds.
pub(super) fn version_of<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>, key: &str) -> Option<u32> {
    version(reader, table, key)
}

/// Text that is not empty.
pub(super) fn text<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>, key: &str) -> Option<String> {
    let (text, span): (String, _) = reader.get_spanned(table, key)?;
    if text.is_empty() {
        reader.note(&span, format!("`{key}` is empty"), None);
        return None;
    }
    Some(text)
}

fn guard<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>) -> Option<Arc<CompiledCondition>> {
    condition(reader, table).map(Arc::new)
}

fn condition<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>) -> Option<CompiledCondition> {
    let (condition, span): (Condition, _) = reader.get_spanned(table, "when")?;
    compiled(reader, &span, "when", condition.compile())
}

fn compiled<T>(reader: &mut Reader<'_>, span: &Range<usize>, what: &str, result: Result<T, Reason>) -> Option<T> {
    match result {
        Ok(compiled) => Some(compiled),
        Err(reason) => {
            reader.note(span, format!("`{what}`: {reason}"), reason.hint);
            None
        }
    }
}

fn tests<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>, given: &Given) -> Vec<TestCase> {
    let tables = reader.tables(table, "test");
    tables.into_iter().filter_map(|test| TestCase::read(reader, test, given)).collect()
}

fn matches<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>) -> Matches {
    let mut matches = Matches::default();
    let Some(value) = table.take("match") else { return matches };
    let Some(mut table) = reader.table(value, "`match`") else { return matches };
    if let Some((types, span)) = reader.get_spanned::<Vec<String>>(&mut table, "types") {
        if types.is_empty() || types.iter().any(String::is_empty) {
            reader.note(&span, "`types` names no type", Some("\"*\" stands for every type".to_owned()));
        }
        matches.types = types.into_iter().map(TypePattern::parse).collect();
    }
    matches.categories = reader.get(&mut table, "categories").unwrap_or_default();
    matches.categories.extend(text(reader, &mut table, "category"));
    matches.versions = reader.get(&mut table, "versions").unwrap_or_default();
    reader.finish(table, "`match`", MATCH_KEYS);
    matches
}

/// The event that test cases of a general rule start from.
fn given_to(matches: &Matches) -> Given {
    let only_type = match &matches.types[..] {
        [TypePattern::Name(name)] => Some(name.clone()),
        _ => None,
    };
    let mut given = Given::untyped(only_type);
    if let Some(version) = matches.versions.first() {
        given.version = *version;
    }
    if let Some(category) = matches.categories.first() {
        given.stream = format!("{category}-1");
    }
    given
}

fn yields<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>) -> Vec<(String, u32)> {
    let needs_jq = table.has("yields") && !table.has("jq_events");
    let Some(value) = table.take("yields") else { return Vec::new() };
    if needs_jq {
        reader.note(&value.span(), "`yields` belongs to `jq_events`", None);
    }
    let mut schemas = Vec::new();
    for item in reader.array(value, "`yields`") {
        let Some(mut schema) = reader.table(item, "an item of `yields`") else { continue };
        let span = schema.span.clone();
        let event_type = text(reader, &mut schema, "type");
        let version = version(reader, &mut schema, "version");
        reader.finish(schema, "`yields`", &["type", "version"]);
        match (event_type, version) {
            (Some(event_type), Some(version)) => schemas.push((event_type, version)),
            _ => reader.note(&span, "an item of `yields` needs `type` and `version`", None),
        }
    }
    schemas
}

/// What parts of a split are if they don't say.
struct PartDefaults<'a> {
    event_type: Option<&'a str>,
    version: Option<u32>,
}

fn actions<'i>(
    reader: &mut Reader<'i>,
    table: &mut Table<'i>,
    new_type: Option<&str>,
    defaults: &PartDefaults<'_>,
    keys: &Keys,
    fingerprint: &mut Fingerprint,
) -> Actions {
    exclusive(reader, table, new_type.is_some());
    let changes = changes(reader, table, keys, fingerprint);
    let drops = reader.get_spanned::<bool>(table, "drop");
    if let Some((false, span)) = &drops {
        reader.note(span, "`drop` is false", Some("remove it".to_owned()));
    }
    let split = table.take("split").map(|value| parts(reader, value, defaults, keys, fingerprint));
    let jq = jq_ending(reader, table);
    let ending = match (drops, split, jq) {
        (Some(_), _, _) => Ending::Drop,
        (None, Some(parts), _) => Ending::Split(parts),
        (None, None, Some(jq)) => jq,
        (None, None, None) => Ending::One(new_type.and_then(|name| EventType::new(name.to_owned()).ok())),
    };
    Actions { changes, ending }
}

/// Notes endings that exclude one another.
fn exclusive(reader: &mut Reader<'_>, table: &Table<'_>, renames: bool) {
    let endings: Vec<&str> = ["drop", "split", "jq_events"].into_iter().filter(|key| table.has(key)).collect();
    let span = table.span.clone();
    if let [first, second, ..] = endings[..] {
        reader.note(&span, format!("`{first}` and `{second}` exclude one another"), None);
    }
    let Some(ending) = endings.first() else { return };
    if renames {
        let hint =
            format!("remove one of them{}", if *ending == "split" { ", and name types in the parts" } else { "" });
        reader.note(&span, format!("`{ending}` and `type` exclude one another"), Some(hint));
    }
    if *ending == "drop" {
        let useless = ["data", "metadata", "jq", "stream", "category"].into_iter().find(|key| table.has(key));
        if let Some(key) = useless {
            reader.note(&span, format!("`drop` makes `{key}` useless"), Some("remove one of them".to_owned()));
        }
    }
}

fn changes<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>, keys: &Keys, fingerprint: &mut Fingerprint) -> Changes {
    if table.has("stream") && table.has("category") {
        let span = table.span.clone();
        reader.note(&span, "`stream` and `category` exclude one another", None);
    }
    let data = operations(reader, table, "data", keys, fingerprint);
    let metadata = operations(reader, table, "metadata", keys, fingerprint);
    let jq = jq(reader, table, "jq");
    let stream = template(reader, table, "stream").map(Destination::Stream);
    let category = template(reader, table, "category").map(Destination::Category);
    Changes { data, metadata, jq, stream: stream.or(category) }
}

fn template<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>, key: &str) -> Option<Template> {
    let (text, span): (String, _) = reader.get_spanned(table, key)?;
    compiled(reader, &span, key, Template::parse(&text))
}

fn operations<'i>(
    reader: &mut Reader<'i>,
    table: &mut Table<'i>,
    key: &str,
    keys: &Keys,
    fingerprint: &mut Fingerprint,
) -> Operations {
    let Some(value) = table.take(key) else { return Operations::default() };
    let mut spans = Vec::new();
    let mut operations: Vec<Operation> = Vec::new();
    let mut all_read = true;
    for item in reader.array(value, &format!("`{key}`")) {
        let span = item.span();
        match reader.deserialize(item, key) {
            Some(operation) => operations.push(operation),
            None => all_read = false,
        }
        spans.push(span);
    }
    if !all_read {
        return Operations::default();
    }
    match Operations::compile(operations, keys) {
        Ok(operations) => {
            for name in operations.key_names() {
                let mut next = Fingerprint::of("key");
                std::mem::swap(fingerprint, &mut next);
                *fingerprint = next.field(name).field(&keys.fingerprint(name).unwrap_or_default());
            }
            operations
        }
        Err(error) => {
            let span = spans.get(error.index).cloned().unwrap_or(0..0);
            reader.note(&span, format!("{key}: {}: {}", error.operation, error.reason), error.reason.hint);
            Operations::default()
        }
    }
}

fn parts<'i>(
    reader: &mut Reader<'i>,
    value: Value<'i>,
    defaults: &PartDefaults<'_>,
    keys: &Keys,
    fingerprint: &mut Fingerprint,
) -> Vec<Part> {
    let span = value.span();
    let items = reader.array(value, "`split`");
    if items.is_empty() {
        reader.note(&span, "`split` has no parts", Some("write `drop = true` to drop events".to_owned()));
    }
    items.into_iter().filter_map(|item| part(reader, item, defaults, keys, fingerprint)).collect()
}

fn part<'i>(
    reader: &mut Reader<'i>,
    item: Value<'i>,
    defaults: &PartDefaults<'_>,
    keys: &Keys,
    fingerprint: &mut Fingerprint,
) -> Option<Part> {
    let mut table = reader.table(item, "a part of `split`")?;
    let span = table.span.clone();
    let event_type = text(reader, &mut table, "type").or_else(|| defaults.event_type.map(str::to_owned));
    let is_other = defaults.event_type != event_type.as_deref();
    let version = version(reader, &mut table, "version").or(if is_other { None } else { defaults.version });
    if version.is_none() && defaults.version.is_some() {
        let hint = "name the version of the other type that the part is in";
        reader.note(&span, "a part of another type needs `version`", Some(hint.to_owned()));
    }
    let when = condition(reader, &mut table);
    let changes = changes(reader, &mut table, keys, fingerprint);
    reader.finish(table, "a part of `split`", PART_KEYS);
    Some(Part {
        event_type: event_type.and_then(|name| EventType::new(name).ok()),
        version: version.and_then(SchemaVersion::new),
        changes,
        when,
    })
}

fn targets(parts: &[Part]) -> Vec<(String, u32)> {
    let mut targets: Vec<(String, u32)> = Vec::new();
    for part in parts {
        if let (Some(event_type), Some(version)) = (&part.event_type, part.version) {
            let target = (event_type.to_string(), version.number());
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
    }
    targets
}

fn jq_ending<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>) -> Option<Ending> {
    let moves = reader.get_spanned::<bool>(table, "moves_streams");
    let filter = jq(reader, table, "jq_events");
    if let (Some((_, span)), None) = (&moves, &filter) {
        reader.note(span, "`moves_streams` belongs to `jq_events`", None);
    }
    filter.map(|filter| Ending::Jq(Box::new(filter), moves.is_some_and(|(moves, _)| moves)))
}

fn jq<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>, key: &str) -> Option<JqFilter> {
    let (source, span): (String, _) = reader.get_spanned(table, key)?;
    match JqFilter::compile(&source) {
        Ok(filter) => Some(filter),
        Err(error) => {
            let at = jq_offset(reader.source(&span), &error);
            let span = span.start + at..span.end;
            reader.note(&span, format!("`{key}`: {}", error.message), error.hint);
            None
        }
    }
}

/// Where in the TOML literal an error of the filter is: exact for text of several lines, whose characters stand for
/// themselves; otherwise the beginning.
fn jq_offset(literal: &str, error: &JqError) -> usize {
    let Some(inner) = literal.strip_prefix("'''") else { return 0 };
    let inner = inner.strip_prefix('\n').or_else(|| inner.strip_prefix("\r\n")).unwrap_or(inner);
    let skipped = literal.len() - inner.len();
    let lines: usize = inner.split_inclusive('\n').take(error.line.saturating_sub(1)).map(str::len).sum();
    let line = inner.get(lines..).unwrap_or_default();
    let column: usize = line.chars().take(error.column.saturating_sub(1)).map(char::len_utf8).sum();
    skipped + lines + column
}
