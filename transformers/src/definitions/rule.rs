//! Reading `[[upcast]]` and `[[rule]]`.

use std::sync::Arc;

use eventlift_language::{CompiledCondition, Fingerprint, Given, Place, Reader, Table, canonical_of_rule};

use super::actions::{Actions, Ending, Part};
use super::down::{Ends, ReadDown};
use super::read_actions::{PartDefaults, actions};
use super::test_case::{TestCase, TestDefaults};
use crate::operations::Keys;
use crate::registry::TakesNothing;
use crate::rule::{Matches, Rule, TypePattern};
use crate::upcaster::Upcaster;

const UPCAST_KEYS: &[&str] = &[
    "from",
    "to",
    "name",
    "when",
    "data",
    "metadata",
    "attributes",
    "jq",
    "type",
    "stream",
    "category",
    "drop",
    "split",
    "jq_events",
    "yields",
    "moves_streams",
    "down",
    "may_match_nothing",
    "test",
];
const RULE_KEYS: &[&str] = &[
    "name",
    "undecided",
    "match",
    "when",
    "data",
    "metadata",
    "attributes",
    "jq",
    "type",
    "stream",
    "category",
    "drop",
    "split",
    "jq_events",
    "yields",
    "moves_streams",
    "down",
    "may_match_nothing",
    "test",
];
const MATCH_KEYS: &[&str] = &["types", "categories", "category", "versions"];
/// What fingerprints leave out: what makes no difference, and what the registry adds in another form.
const NOT_IN_FINGERPRINT: &[&str] = &["name", "test", "from", "to", "match", "down", "may_match_nothing"];

/// A rule as a file defines it.
pub(super) struct Definition {
    pub(super) name: Option<String>,
    pub(super) place: Place,
    pub(super) kind: Kind,
    fingerprint: String,
    /// As it is written in the file, without its test cases.
    text: String,
    actions: Arc<Actions>,
    down: ReadDown,
    takes_nothing: TakesNothing,
    guard: Option<Arc<CompiledCondition>>,
    pub(super) tests: Vec<TestCase>,
}

/// What the rule is about.
pub(super) enum Kind {
    Upcast { from: (String, u32), to: Vec<(String, u32)> },
    General { matches: Matches, into_types: Vec<String> },
}

impl Definition {
    /// Whether nothing is left for a later upcaster of the same type, since both have the same condition.
    pub(super) fn takes_what(&self, later: &Self) -> bool {
        let (Kind::Upcast { from, .. }, Kind::Upcast { from: later_from, .. }) = (&self.kind, &later.kind) else {
            return false;
        };
        let (Some(guard), Some(later)) = (&self.guard, &later.guard) else { return false };
        // What a condition compiles to is all there is to it.
        from == later_from && format!("{guard:?}") == format!("{later:?}")
    }

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
            text: Some(self.text.clone()),
            shape: self.actions.shape(),
            guard: self.guard.clone().map(|guard| Box::new(move |event: &_| guard.holds(event)) as _),
            body: Box::new(move |event, out| actions.apply(event, out)),
            down: self.down.down(),
            takes_nothing: self.takes_nothing,
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
            text: Some(self.text.clone()),
            shape: self.actions.shape(),
            matches: matches.clone(),
            restricted_to_none: None,
            into_types: into_types.clone(),
            guard: self.guard.clone().map(|guard| Box::new(move |event: &_| guard.holds(event)) as _),
            body: Box::new(move |event, out| actions.apply(event, out)),
            down: self.down.down(),
            takes_nothing: self.takes_nothing,
        })
    }
}

/// Reads one `[[upcast]]` of a type.
pub(super) fn upcast<'i>(reader: &mut Reader<'i>, mut table: Table<'i>, event_type: &str, keys: &Keys) -> Definition {
    let what = "[[upcast]]";
    let place = reader.line(&table.span);
    let span = table.span.clone();
    let text = reader.source(&table.span_without(&["test"])).trim_end().to_owned();
    let mut fingerprint = fingerprint(&table);
    if !table.has("from") {
        reader.note(&span, "[[upcast]] needs `from`, the version it starts from", None);
    }
    // When there is none, the rest is read only for what is wrong with it.
    let from = reader.version(&mut table, "from").unwrap_or(1);
    let declared_to = reader.version(&mut table, "to");
    let to = declared_to.unwrap_or(from.saturating_add(1));
    let name = reader.get(&mut table, "name");
    let own_parts = ["drop", "split", "yields"].into_iter().find(|key| table.has(key));
    if let (Some(_), Some(key)) = (declared_to, own_parts) {
        reader.note(&span, format!("`to` and `{key}` exclude one another"), Some("remove `to`".to_owned()));
    }
    let new_type = reader.text(&mut table, "type");
    let yields = yields(reader, &mut table);
    let guard = guard(reader, &mut table);
    if guard.as_ref().is_some_and(|guard| guard.excludes(Some(event_type), Some(from), None)) {
        let hint = Some("its `when` is about another type or version".to_owned());
        reader.note(&span, format!("[[upcast]] takes no event: it is for {event_type} version {from} only"), hint);
    }
    let down = table.take("down");
    // Stores hold no events of versions that are long gone: that a step takes none is nothing to refuse.
    let takes_nothing = if may_match_nothing(reader, &mut table) { TakesNothing::Meant } else { TakesNothing::Said };
    let tests = reader.tables(&mut table, "test");
    let target = new_type.clone().unwrap_or_else(|| event_type.to_owned());
    let defaults = PartDefaults { event_type: Some(event_type), version: Some(to) };
    let (actions, undo) = actions(reader, &mut table, new_type.as_deref(), &defaults, keys, &mut fingerprint);
    reader.finish(table, what, UPCAST_KEYS);
    let to = match &actions.ending {
        Ending::Drop => Vec::new(),
        Ending::Split(parts) => targets(parts),
        Ending::One(_) => vec![(target, to)],
        Ending::Jq(..) if !yields.is_empty() => yields,
        Ending::Jq(..) => vec![(target, to)],
    };
    let ends = Ends { from: Some(event_type), to: &to, matches: None, new_type: None, guarded: guard.is_some() };
    let down = ReadDown::read(reader, down, undo, &actions.ending, &ends, keys);
    let defaults = TestDefaults { up: Given::of(event_type, from), down: down.given(&to) };
    let tests = tests.into_iter().filter_map(|test| TestCase::read(reader, test, &defaults)).collect();
    Definition {
        name,
        place,
        down,
        takes_nothing,
        kind: Kind::Upcast { from: (event_type.to_owned(), from), to },
        fingerprint: fingerprint.finish(),
        text,
        actions: Arc::new(actions),
        guard,
        tests,
    }
}

fn may_match_nothing<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>) -> bool {
    reader.get(table, "may_match_nothing").unwrap_or(false)
}

/// Notes a rule that is still to be written: what was generated is not to pass for what somebody has decided.
fn undecided<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>) {
    let Some((question, span)) = reader.get_spanned::<String>(table, "undecided") else { return };
    let hint = "write the rule in place of `undecided`, or delete it where nothing is to be done".to_owned();
    reader.note(&span, format!("not decided yet: {question}"), Some(hint));
}

/// Reads one `[[rule]]`.
pub(super) fn general<'i>(reader: &mut Reader<'i>, mut table: Table<'i>, keys: &Keys) -> Definition {
    let place = reader.line(&table.span);
    let span = table.span.clone();
    let text = reader.source(&table.span_without(&["test"])).trim_end().to_owned();
    let mut fingerprint = fingerprint(&table);
    let name: Option<String> = reader.get(&mut table, "name");
    if name.is_none() {
        reader.note(&span, "[[rule]] needs a `name`", None);
    }
    undecided(reader, &mut table);
    let matches = matches(reader, &mut table);
    let new_type = reader.text(&mut table, "type");
    let yields = yields(reader, &mut table);
    let guard = guard(reader, &mut table);
    if guard.as_ref().is_some_and(|guard| matches.never_with(guard)) {
        let hint = Some("`match` and `when` both have to hold".to_owned());
        reader.note(&span, "[[rule]] takes no event: its `when` holds for none that `match` lets through", hint);
    }
    let down = table.take("down");
    let is_meant = may_match_nothing(reader, &mut table);
    let tests = reader.tables(&mut table, "test");
    let defaults = PartDefaults { event_type: None, version: None };
    let (actions, undo) = actions(reader, &mut table, new_type.as_deref(), &defaults, keys, &mut fingerprint);
    reader.finish(table, "[[rule]]", RULE_KEYS);
    let given = given_to(&matches);
    let ends = Ends {
        from: None,
        to: &yields,
        matches: Some(&matches),
        new_type: new_type.as_deref(),
        guarded: guard.is_some(),
    };
    let down = ReadDown::read(reader, down, undo, &actions.ending, &ends, keys);
    let back = match &new_type {
        Some(new_type) => Given { event_type: Some(new_type.clone()), ..given.clone() },
        None => given.clone(),
    };
    let defaults = TestDefaults { up: given, down: back };
    let tests = tests.into_iter().filter_map(|test| TestCase::read(reader, test, &defaults)).collect();
    let mut into_types: Vec<String> = new_type.into_iter().collect();
    into_types.extend(yields.into_iter().map(|(event_type, _)| event_type));
    if let Ending::Split(parts) = &actions.ending {
        into_types.extend(parts.iter().filter_map(|part| Some(part.event_type.as_ref()?.to_string())));
    }
    Definition {
        name,
        place,
        down,
        takes_nothing: match is_meant {
            true => TakesNothing::Meant,
            false if actions.redacts() => TakesNothing::Refused,
            false => TakesNothing::Said,
        },
        kind: Kind::General { matches, into_types },
        fingerprint: fingerprint.finish(),
        text,
        actions: Arc::new(actions),
        guard,
        tests,
    }
}

pub(super) fn fingerprint(table: &Table<'_>) -> Fingerprint {
    let mut entries: Vec<_> = table.entries.iter().map(|(key, value)| (key.get_ref(), value.get_ref())).collect();
    entries.retain(|(key, _)| !NOT_IN_FINGERPRINT.contains(&key.as_ref()));
    entries.sort_by_key(|(key, _)| *key);
    entries.into_iter().fold(Fingerprint::of("definition"), |fingerprint, (key, value)| {
        fingerprint.field(key).field(&canonical_of_rule(value))
    })
}

fn guard<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>) -> Option<Arc<CompiledCondition>> {
    reader.condition(table, "when").map(Arc::new)
}

fn matches<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>) -> Matches {
    let mut matches = Matches::default();
    let Some(value) = table.take("match") else { return matches };
    let Some(mut table) = reader.table(value, "`match`") else { return matches };
    if table.entries.is_empty() {
        let hint = "leave `match` out where the rule takes every event".to_owned();
        reader.note(&table.span, "`match` says nothing", Some(hint));
    }
    if let Some((types, span)) = reader.get_spanned::<Vec<String>>(&mut table, "types") {
        if types.is_empty() || types.iter().any(String::is_empty) {
            reader.note(&span, "`types` names no type", Some("\"*\" stands for every type".to_owned()));
        }
        for name in types.iter().filter(|name| name.trim_end_matches('*').contains('*') || name.ends_with("**")) {
            let hint = "\"User*\" stands for every type that starts with User".to_owned();
            reader.note(&span, format!("`types`: a `*` stands at the end of a name only, not in {name:?}"), Some(hint));
        }
        matches.types = types.into_iter().map(TypePattern::parse).collect();
    }
    if let Some((categories, span)) = reader.get_spanned::<Vec<String>>(&mut table, "categories") {
        reader.check_categories(&span, "categories", &categories);
        matches.categories = categories;
    }
    if let Some((category, span)) = reader.get_spanned::<String>(&mut table, "category") {
        reader.check_categories(&span, "category", std::slice::from_ref(&category));
        matches.categories.push(category);
    }
    if let Some((versions, span)) = reader.get_spanned::<Vec<u32>>(&mut table, "versions") {
        if versions.is_empty() {
            let hint = "leave `versions` out where every version is meant".to_owned();
            reader.note(&span, "`versions` names no version", Some(hint));
        }
        if versions.contains(&0) {
            reader.note(&span, "`versions`: there is no version 0; versions count from 1", None);
        }
        matches.versions = versions;
    }
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
        let event_type = reader.text(&mut schema, "type");
        let version = reader.version(&mut schema, "version");
        reader.finish(schema, "`yields`", &["type", "version"]);
        match (event_type, version) {
            (Some(event_type), Some(version)) => schemas.push((event_type, version)),
            _ => reader.note(&span, "an item of `yields` needs `type` and `version`", None),
        }
    }
    schemas
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
