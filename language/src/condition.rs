//! When a rule or an operation is about an event.

mod never;

use std::cmp::Ordering;
use std::ops::ControlFlow;

use eventlift_events::{ContentType, Event, Payload, StreamName, Timestamp};
use regex::Regex;
use serde::Deserialize;

use crate::json::{Decimal, Document, Kind, Node, Pointer, bytes_of, is_number};
use crate::literal::Literal;
use crate::reader::{Reader, Table};
use crate::reason::Reason;

/// A condition as a definition file says it: `when = { path = "/country", equals = "DE" }`.
///
/// Everything a table says must hold. Tests on a field (`equals`, `exists`, …) are about the one path the table names:
///
/// - `path` in the payload at hand: the event's data; in an operation's own condition the payload it works on, as the
///   operations before it left it,
/// - `data` in the event's data, `metadata` in its metadata and `attributes` in its other attributes, as the event came.
///
/// A test on a path with `*` holds when it holds for any of the values. A missing field equals nothing. Null on the
/// way to a field counts as missing; a path through text or a number fails the event.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    path: Option<Pointer>,
    data: Option<Pointer>,
    metadata: Option<Pointer>,
    attributes: Option<Pointer>,
    /// The field is there, even if it is null; or, with `false`, it is not.
    exists: Option<bool>,
    /// The opposite of `exists`.
    missing: Option<bool>,
    /// The same text, the same number by value (`1.0` is `1`), or the same boolean.
    equals: Option<Literal>,
    /// The opposite of `equals`.
    not_equals: Option<Literal>,
    /// Equals one of them.
    #[serde(rename = "in")]
    one_of: Option<Vec<Literal>>,
    /// The opposite of `in`.
    not_in: Option<Vec<Literal>>,
    /// `"string"`, `"number"`, `"boolean"`, `"null"`, `"object"` or `"array"`; several separated by `|`.
    type_is: Option<String>,
    starts_with: Option<String>,
    greater_than: Option<Literal>,
    less_than: Option<Literal>,
    at_least: Option<Literal>,
    at_most: Option<Literal>,
    stream: Option<OneOrMany<String>>,
    category: Option<OneOrMany<String>>,
    event_type: Option<OneOrMany<String>>,
    /// A regular expression that is found anywhere in the name, unless it is anchored.
    stream_matches: Option<String>,
    /// The same in the name of the type.
    event_type_matches: Option<String>,
    version: Option<OneOrMany<u32>>,
    /// RFC 3339, excluded.
    recorded_before: Option<Moment>,
    /// RFC 3339, excluded.
    recorded_after: Option<Moment>,
    all: Option<Vec<Condition>>,
    any: Option<Vec<Condition>>,
    not: Option<Box<Condition>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T: Clone> OneOrMany<T> {
    fn to_vec(&self) -> Vec<T> {
        match self {
            OneOrMany::One(one) => vec![one.clone()],
            OneOrMany::Many(many) => many.clone(),
        }
    }
}

/// A TOML date and time, or text.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Moment {
    Toml(toml::value::Datetime),
    Text(String),
}

impl Moment {
    fn compile(&self) -> Result<Timestamp, Reason> {
        let text = match self {
            Moment::Toml(moment) => moment.to_string(),
            Moment::Text(text) => text.clone(),
        };
        text.parse()
            .map_err(|error| Reason::new(error).hint("it is written with date, time and offset: 2024-05-01T00:00:00Z"))
    }
}

impl Condition {
    /// Checks a condition and makes it ready.
    pub fn compile(&self) -> Result<CompiledCondition, Reason> {
        let mut clauses = self.envelope()?;
        let checks = self.checks()?;
        match (self.field()?, checks.is_empty()) {
            (Some((source, pointer)), false) => {
                // Envelope tests come first: they need no parsing.
                clauses.push(Clause::Field { source, pointer, checks });
            }
            (Some((_, pointer)), true) => {
                return Err(Reason::new(format_args!("the condition names {pointer} but tests nothing about it"))
                    .hint("`exists = true` holds where the field is there"));
            }
            (None, false) => {
                return Err(
                    Reason::new("the condition tests a field but names none").hint("`path = \"/country\"` says which")
                );
            }
            (None, true) => {}
        }
        clauses.extend(self.combined()?);
        if clauses.is_empty() {
            return Err(Reason::new("the condition says nothing"));
        }
        if let Some(why) = never::contradiction(&clauses) {
            return Err(Reason::new(format_args!("the condition never holds: {why}"))
                .hint("everything that it says has to hold; `any = [{…}, {…}]` is one of several"));
        }
        Ok(CompiledCondition { clauses })
    }

    fn field(&self) -> Result<Option<(Source, Pointer)>, Reason> {
        let named = [
            (Source::AtHand, &self.path),
            (Source::Data, &self.data),
            (Source::Metadata, &self.metadata),
            (Source::Attributes, &self.attributes),
        ];
        let mut named = named.into_iter().filter_map(|(source, pointer)| Some((source, pointer.clone()?)));
        match (named.next(), named.next()) {
            (found, None) => Ok(found),
            _ => {
                let names = match self.attributes {
                    None => "`path`, `data` and `metadata`",
                    Some(_) => "`path`, `data`, `metadata` and `attributes`",
                };
                Err(Reason::new(format_args!("the condition names more than one of {names}"))
                    .hint("`all = [{…}, {…}]` combines conditions on several fields"))
            }
        }
    }

    fn checks(&self) -> Result<Vec<Check>, Reason> {
        let mut checks = Vec::new();
        if let Some(exists) = self.exists {
            checks.push(Check::Exists(exists));
        }
        if let Some(missing) = self.missing {
            checks.push(Check::Exists(!missing));
        }
        if let Some(types) = &self.type_is {
            checks.push(Check::TypeIs(kinds(types)?));
        }
        if let Some(value) = &self.equals {
            checks.push(Check::OneOf(vec![Constant::new(value)?]));
        }
        if let Some(value) = &self.not_equals {
            checks.push(Check::NoneOf(vec![Constant::new(value)?]));
        }
        if let Some(values) = &self.one_of {
            checks.push(Check::OneOf(listed(values, "in")?));
        }
        if let Some(values) = &self.not_in {
            checks.push(Check::NoneOf(listed(values, "not_in")?));
        }
        if let Some(start) = &self.starts_with {
            if start.is_empty() {
                return Err(Reason::new("`starts_with` is empty, as every text starts")
                    .hint("`type_is = \"string\"` holds for every text"));
            }
            checks.push(Check::StartsWith(start.clone()));
        }
        let bounds = [
            (&self.greater_than, &[Ordering::Greater][..]),
            (&self.less_than, &[Ordering::Less]),
            (&self.at_least, &[Ordering::Greater, Ordering::Equal]),
            (&self.at_most, &[Ordering::Less, Ordering::Equal]),
        ];
        for (bound, orders) in bounds {
            if let Some(bound) = bound {
                checks.push(Check::Compares(decimal(bound)?, orders));
            }
        }
        Ok(checks)
    }

    fn envelope(&self) -> Result<Vec<Clause>, Reason> {
        let mut clauses = Vec::new();
        if let Some(names) = &self.event_type {
            clauses.push(Clause::EventType(whole_names(names.to_vec(), "event_type", "event_type_matches")?));
        }
        if let Some(versions) = &self.version {
            let versions = versions.to_vec();
            match &versions[..] {
                [] => return Err(Reason::new("`version` names nothing")),
                some if some.contains(&0) => {
                    return Err(Reason::new("there is no version 0; versions count from 1"));
                }
                _ => clauses.push(Clause::Version(versions)),
            }
        }
        if let Some(names) = &self.category {
            let names = whole_names(names.to_vec(), "category", "stream_matches")?;
            names.iter().try_for_each(|name| StreamName::check_category(name)).map_err(Reason::new)?;
            clauses.push(Clause::Category(names));
        }
        if let Some(names) = &self.stream {
            clauses.push(Clause::Stream(whole_names(names.to_vec(), "stream", "stream_matches")?));
        }
        if let Some(pattern) = &self.event_type_matches {
            clauses.push(Clause::EventTypeMatches(regex(pattern)?));
        }
        if let Some(pattern) = &self.stream_matches {
            clauses.push(Clause::StreamMatches(regex(pattern)?));
        }
        if let Some(moment) = &self.recorded_before {
            clauses.push(Clause::Before(moment.compile()?));
        }
        if let Some(moment) = &self.recorded_after {
            clauses.push(Clause::After(moment.compile()?));
        }
        Ok(clauses)
    }

    fn combined(&self) -> Result<Vec<Clause>, Reason> {
        let mut clauses = Vec::new();
        if let Some(all) = &self.all {
            clauses.push(Clause::All(compile_each(all, "all")?));
        }
        if let Some(any) = &self.any {
            clauses.push(Clause::Any(compile_each(any, "any")?));
        }
        if let Some(not) = &self.not {
            clauses.push(Clause::Not(Box::new(not.compile()?)));
        }
        Ok(clauses)
    }
}

impl<'i> Reader<'i> {
    /// The condition in a key's table; one that does not compile is noted.
    pub fn condition(&mut self, table: &mut Table<'i>, key: &str) -> Option<CompiledCondition> {
        let (condition, span): (Condition, _) = self.get_spanned(table, key)?;
        self.compiled(&span, key, condition.compile())
    }
}

fn compile_each(conditions: &[Condition], name: &str) -> Result<Vec<CompiledCondition>, Reason> {
    if conditions.is_empty() {
        return Err(Reason::new(format_args!("`{name}` lists no conditions")));
    }
    conditions.iter().map(Condition::compile).collect()
}

/// The constants of a list, which has some.
fn listed(values: &[Literal], key: &str) -> Result<Vec<Constant>, Reason> {
    if values.is_empty() {
        return Err(Reason::new(format_args!("`{key}` lists nothing")));
    }
    values.iter().map(Constant::new).collect()
}

/// Names, of which there are some. A `*` in one would stand for nothing: `pattern` is the key that takes patterns.
fn whole_names(names: Vec<String>, key: &str, pattern: &str) -> Result<Vec<String>, Reason> {
    if names.is_empty() {
        return Err(Reason::new(format_args!("`{key}` names nothing")));
    }
    if names.iter().any(String::is_empty) {
        return Err(Reason::new(format_args!("`{key}` holds an empty name")));
    }
    match names.iter().find(|name| name.contains('*')) {
        None => Ok(names),
        Some(name) => {
            Err(Reason::new(format_args!("`{key}`: the `*` in {name:?} stands for nothing, names are whole"))
                .hint(format_args!("`{pattern} = \"^User\"` takes a regular expression")))
        }
    }
}

fn regex(pattern: &str) -> Result<Regex, Reason> {
    if pattern.is_empty() {
        return Err(Reason::new("the regular expression is empty, so it is found in every name"));
    }
    // What has no shortest match has none.
    if regex_syntax::parse(pattern).is_ok_and(|parsed| parsed.properties().minimum_len().is_none()) {
        return Err(Reason::new(format_args!("there is nothing that it matches: {pattern:?}")));
    }
    Regex::new(pattern).map_err(|error| {
        // The last line says what is wrong; those before it draw an arrow.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Reason::new(format_args!("{pattern:?} is no regular expression: {reason}"))
            .hint("it is written as the crate `regex` has it: no look-around, no back-references")
    })
}

fn kinds(text: &str) -> Result<Vec<Kind>, Reason> {
    text.split('|')
        .map(|name| {
            Kind::ALL.into_iter().find(|kind| kind.as_str() == name.trim()).ok_or_else(|| {
                Reason::new(format_args!("{:?} is not a type", name.trim()))
                    .hint("types are string, number, boolean, null, object and array, separated by `|`")
            })
        })
        .collect()
}

fn article(value: &Literal) -> &'static str {
    if matches!(value, Literal::Array(_)) { "an" } else { "a" }
}

/// A number, or text that is one.
fn decimal(value: &Literal) -> Result<Decimal, Reason> {
    let text = match value {
        Literal::Number(text) | Literal::Text(text) => text.clone(),
        Literal::NotFinite(number) => number.to_string(),
        other => {
            return Err(Reason::new(format_args!(
                "{} {} is not a number to compare with",
                article(other),
                other.type_name()
            )));
        }
    };
    Decimal::parse(&text).ok_or_else(|| Reason::new(format_args!("{text} is not a number to compare with")))
}

/// A condition that is ready.
#[derive(Debug)]
pub struct CompiledCondition {
    clauses: Vec<Clause>,
}

#[derive(Debug)]
enum Clause {
    Field { source: Source, pointer: Pointer, checks: Vec<Check> },
    EventType(Vec<String>),
    Version(Vec<u32>),
    Category(Vec<String>),
    Stream(Vec<String>),
    EventTypeMatches(Regex),
    StreamMatches(Regex),
    Before(Timestamp),
    After(Timestamp),
    All(Vec<CompiledCondition>),
    Any(Vec<CompiledCondition>),
    Not(Box<CompiledCondition>),
}

/// Which payload a condition looks into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The one that is being worked on: the event's data, or an item of it.
    AtHand,
    /// The event's data.
    Data,
    /// The event's metadata.
    Metadata,
    /// What else the event's envelope held.
    Attributes,
}

#[derive(Debug)]
enum Check {
    Exists(bool),
    TypeIs(Vec<Kind>),
    OneOf(Vec<Constant>),
    NoneOf(Vec<Constant>),
    StartsWith(String),
    Compares(Decimal, &'static [Ordering]),
}

#[derive(Debug, PartialEq)]
enum Constant {
    Text(String),
    Number(Decimal),
    Boolean(bool),
}

/// What a condition is asked about: an event, and perhaps a payload of it that is being worked on.
pub struct Subject<'s, 'd> {
    event: &'s Event,
    at_hand: Option<&'s mut Document<'d>>,
}

impl<'s, 'd> Subject<'s, 'd> {
    /// A payload of the event, as it is by now.
    pub fn payload(event: &'s Event, document: &'s mut Document<'d>) -> Self {
        Self { event, at_hand: Some(document) }
    }
}

impl CompiledCondition {
    /// Names every place that it may look at, and the payload that it looks for it in.
    pub fn places(&self, visit: &mut dyn FnMut(Source, &Pointer)) {
        for clause in &self.clauses {
            match clause {
                Clause::Field { source, pointer, .. } => visit(*source, pointer),
                Clause::All(conditions) | Clause::Any(conditions) => {
                    conditions.iter().for_each(|condition| condition.places(visit));
                }
                Clause::Not(condition) => condition.places(visit),
                _ => {}
            }
        }
    }

    /// Whether it holds for an event. Fails when it tests a field of a payload that is not JSON, when a path leads
    /// through text or a number, and when a value can't be compared as the condition demands.
    pub fn holds(&self, event: &Event) -> Result<bool, Reason> {
        self.holds_for(&mut Subject { event, at_hand: None })
    }

    /// The same for a subject: tests on `path` are about the payload at hand.
    pub fn holds_for(&self, subject: &mut Subject<'_, '_>) -> Result<bool, Reason> {
        for clause in &self.clauses {
            if !clause.holds(subject)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Clause {
    fn holds(&self, subject: &mut Subject<'_, '_>) -> Result<bool, Reason> {
        let event = subject.event;
        Ok(match self {
            Clause::EventType(names) => names.iter().any(|name| name == event.event_type.as_str()),
            Clause::Version(versions) => versions.contains(&event.version.number()),
            Clause::Category(names) => names.iter().any(|name| name == event.stream.category()),
            Clause::Stream(names) => names.iter().any(|name| name == event.stream.as_str()),
            Clause::EventTypeMatches(regex) => regex.is_match(event.event_type.as_str()),
            Clause::StreamMatches(regex) => regex.is_match(event.stream.as_str()),
            Clause::Before(moment) => event.recorded_at < *moment,
            Clause::After(moment) => event.recorded_at > *moment,
            Clause::All(conditions) => {
                for condition in conditions {
                    if !condition.holds_for(subject)? {
                        return Ok(false);
                    }
                }
                true
            }
            Clause::Any(conditions) => {
                for condition in conditions {
                    if condition.holds_for(subject)? {
                        return Ok(true);
                    }
                }
                false
            }
            Clause::Not(condition) => !condition.holds_for(subject)?,
            Clause::Field { source, pointer, checks } => {
                let explain = |reason: Reason| Reason { message: format!("condition: {}", reason.message), ..reason };
                match (source, &mut subject.at_hand) {
                    (Source::AtHand, Some(document)) => field_holds(document, pointer, checks),
                    (Source::AtHand | Source::Data, _) => payload_holds(&event.data, pointer, checks),
                    (Source::Metadata, _) => payload_holds(&event.metadata, pointer, checks),
                    (Source::Attributes, _) => {
                        payload_holds(&Payload::new(event.attributes.clone(), ContentType::Json), pointer, checks)
                    }
                }
                .map_err(explain)?
            }
        })
    }
}

fn payload_holds(payload: &Payload, pointer: &Pointer, checks: &[Check]) -> Result<bool, Reason> {
    if !payload.is_empty() && !payload.is_json() {
        return Err(Reason::new(format_args!("it is {}, but the rule needs JSON", payload.content_type())));
    }
    field_holds(&mut Document::parse(payload.bytes())?, pointer, checks)
}

fn field_holds(document: &mut Document<'_>, pointer: &Pointer, checks: &[Check]) -> Result<bool, Reason> {
    for check in checks {
        if !check.holds(document, pointer)? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Check {
    fn holds(&self, document: &mut Document<'_>, pointer: &Pointer) -> Result<bool, Reason> {
        let any = |document: &mut Document<'_>, test: &dyn Fn(&Node<'_>) -> Result<bool, Reason>| {
            let mut outcome = Ok(false);
            document.find(pointer.segments(), &mut |node| {
                outcome = test(node);
                if matches!(outcome, Ok(false)) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            outcome
        };
        match self {
            Check::Exists(expected) => Ok(any(document, &|_| Ok(true))? == *expected),
            Check::TypeIs(kinds) => any(document, &|node| Ok(node.kind().is_some_and(|kind| kinds.contains(&kind)))),
            Check::OneOf(constants) => any(document, &|node| Ok(equals_one(node, constants))),
            Check::NoneOf(constants) => Ok(!any(document, &|node| Ok(equals_one(node, constants)))?),
            Check::StartsWith(start) => any(document, &|node| starts_with(node, start, pointer)),
            Check::Compares(bound, orders) => any(document, &|node| compares(node, bound, orders, pointer)),
        }
    }
}

fn equals_one(node: &Node<'_>, constants: &[Constant]) -> bool {
    let Node::Text(text) = node else { return false };
    constants.iter().any(|constant| constant.equals(text))
}

fn starts_with(node: &Node<'_>, start: &str, pointer: &Pointer) -> Result<bool, Reason> {
    match (node.kind(), node) {
        (Some(Kind::String), Node::Text(text)) => Ok(bytes_of(text).starts_with(start.as_bytes())),
        (Some(Kind::Null) | None, _) => Ok(false),
        (Some(kind), _) => Err(Reason::new(format_args!("{pointer} is {kind}, so it can't start with text"))),
    }
}

fn compares(node: &Node<'_>, bound: &Decimal, orders: &[Ordering], pointer: &Pointer) -> Result<bool, Reason> {
    match (node.kind(), node) {
        (Some(Kind::Number), Node::Text(text)) => match Decimal::parse(text) {
            Some(number) => Ok(orders.contains(&number.cmp(bound))),
            None => Err(Reason::new(format_args!("{pointer} has an exponent too large to compare"))),
        },
        (Some(Kind::Null) | None, _) => Ok(false),
        (Some(kind), _) => Err(Reason::new(format_args!("{pointer} is {kind}, so it can't be compared with a number"))
            .hint("a `parse` operation before this one makes numbers of text")),
    }
}

impl Constant {
    fn new(value: &Literal) -> Result<Self, Reason> {
        match value {
            Literal::Text(text) => Ok(Constant::Text(text.clone())),
            Literal::Boolean(yes) => Ok(Constant::Boolean(*yes)),
            Literal::Number(_) | Literal::NotFinite(_) => decimal(value).map(Constant::Number),
            other => Err(Reason::new(format_args!("{} {} can't be compared with", article(other), other.type_name()))
                .hint("values are compared with text, numbers and booleans; `type_is = \"null\"` tests for null")),
        }
    }

    /// Whether a JSON value's text is this value.
    fn equals(&self, json: &str) -> bool {
        match self {
            Constant::Text(text) => json.starts_with('"') && *bytes_of(json) == *text.as_bytes(),
            Constant::Boolean(yes) => json == if *yes { "true" } else { "false" },
            Constant::Number(number) => is_number(json) && Decimal::parse(json).is_some_and(|found| found == *number),
        }
    }
}
