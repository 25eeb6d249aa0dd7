//! Reading `down`: how a rule is taken back, declared or worked out from what it does.

use std::sync::Arc;

use eventlift_events::{Event, EventType};
use eventlift_language::{
    CompiledCondition, Fingerprint, Given, JqFilter, Reader, Reason, Table, Value, canonical_of_rule,
};
use toml::de::DeValue;

use super::actions::{Destination, Ending, changed_attributes, in_metadata};
use super::read_actions::{destination, operations};
use super::template::Template;
use crate::operations::{Keys, OperationError, Operations};
use crate::rule::{Matches, TypePattern};
use crate::transformer::Shape;
use crate::way_back::{Down, Missing, Way};

const DOWN_KEYS: &[&str] =
    &["data", "metadata", "attributes", "jq", "stream", "category", "type", "keep", "when", "lossy"];

/// What takes back the changes of a rule, as far as that follows from them.
pub(super) struct Undo {
    pub(super) data: Result<Operations, Vec<OperationError>>,
    pub(super) metadata: Result<Operations, Vec<OperationError>>,
    pub(super) attributes: Result<Operations, Vec<OperationError>>,
    /// Whether a filter changes the data.
    pub(super) jq: bool,
    /// Whether the event moves.
    pub(super) moves: bool,
    /// The category it moves to, where that is always the same.
    pub(super) category: Option<String>,
    /// Of the parts of a split.
    pub(super) parts: Vec<Undo>,
}

/// Where a rule starts and ends.
pub(super) struct Ends<'a> {
    /// The type that an upcaster starts from.
    pub(super) from: Option<&'a str>,
    /// What it yields; of a general rule only what it declares for `jq_events`.
    pub(super) to: &'a [(String, u32)],
    /// What a general rule takes.
    pub(super) matches: Option<&'a Matches>,
    /// The type that a general rule gives its events.
    pub(super) new_type: Option<&'a str>,
    /// Whether it has a condition.
    pub(super) guarded: bool,
}

/// The way back as it was read.
pub(super) enum ReadDown {
    Way {
        keep: Option<String>,
        back: Arc<Back>,
        when: Option<Arc<CompiledCondition>>,
        exact: bool,
        fingerprint: String,
        matches: Matches,
    },
    Never,
    Missing(Vec<Missing>),
}

/// What is done to an event on the way back, in this order: data, metadata, attributes, stream, type.
#[derive(Default)]
pub(super) struct Back {
    data: Vec<Operations>,
    jq: Option<JqFilter>,
    metadata: Vec<Operations>,
    attributes: Vec<Operations>,
    stream: Option<Destination>,
    event_type: Option<EventType>,
    keeps: bool,
}

/// `down` as it is written.
#[derive(Default)]
struct Written {
    data: Option<Operations>,
    jq: Option<JqFilter>,
    metadata: Option<Operations>,
    attributes: Option<Operations>,
    stream: Option<Destination>,
    event_type: Option<String>,
    keep: Option<String>,
    when: Option<CompiledCondition>,
    lossy: bool,
}

impl ReadDown {
    /// Reads `down = false`, `down = [operations]` or `down = { … }`, if it is there; works out the rest.
    pub(super) fn read<'i>(
        reader: &mut Reader<'i>,
        value: Option<Value<'i>>,
        undo: Undo,
        ending: &Ending,
        ends: &Ends<'_>,
        keys: &Keys,
    ) -> Self {
        let Some(value) = value else {
            let fingerprint = Fingerprint::of("down").finish();
            return work_out(Written::default(), false, undo, ending, ends, fingerprint);
        };
        let mut fingerprint = Fingerprint::of("down").field(&canonical_of_rule(value.get_ref()));
        let span = value.span();
        if let DeValue::Boolean(yes) = value.get_ref() {
            if *yes {
                let hint = "write what it does, `down = [operations]`, or that nothing goes back, `down = false`";
                reader.note(&span, "`down` is true", Some(hint.to_owned()));
            }
            return Self::Never;
        }
        let written = match value.get_ref() {
            DeValue::Array(_) => {
                // The same as `down = { data = [ … ] }`.
                let mut entries = toml::de::DeTable::new();
                entries.insert(toml::Spanned::new(span.clone(), "data".into()), value);
                read_table(reader, Table { entries, span: span.clone() }, keys, &mut fingerprint)
            }
            _ => match reader.table(value, "`down`") {
                Some(table) => read_table(reader, table, keys, &mut fingerprint),
                None => return Self::Never,
            },
        };
        check_keep(reader, &span, &written, ending, ends);
        work_out(written, true, undo, ending, ends, fingerprint.finish())
    }

    /// The way back, for a rule.
    pub(super) fn down(&self) -> Down {
        match self {
            Self::Never => Down::Never,
            Self::Missing(missing) => Down::Missing(missing.clone()),
            Self::Way { keep, back, when, exact, fingerprint, matches } => {
                let (back, shape) = (Arc::clone(back), back.shape());
                Down::Way(Way {
                    keep: keep.clone(),
                    guard: when.clone().map(|when| Arc::new(move |event: &_| when.holds(event)) as _),
                    body: Arc::new(move |event, out| {
                        out.push(back.apply(event)?);
                        Ok(())
                    }),
                    shape,
                    exact: *exact,
                    fingerprint: fingerprint.clone(),
                    matches: matches.clone(),
                })
            }
        }
    }

    /// The event that test cases of the way back start from: of what the rule yields, the part that carries it back.
    pub(super) fn given(&self, to: &[(String, u32)]) -> Given {
        let keep = match self {
            Self::Way { keep, .. } => keep.as_deref(),
            _ => None,
        };
        let carrying = to.iter().find(|(event_type, _)| keep.is_none_or(|keep| keep == event_type));
        match carrying {
            Some((event_type, version)) => Given::of(event_type, *version),
            None => Given::untyped(None),
        }
    }
}

fn read_table<'i>(
    reader: &mut Reader<'i>,
    mut table: Table<'i>,
    keys: &Keys,
    fingerprint: &mut Fingerprint,
) -> Written {
    let has_metadata = table.has("metadata");
    let has_data = table.has("data");
    let has_attributes = table.has("attributes");
    let (data, _) = operations(reader, &mut table, "data", keys, fingerprint);
    let (metadata, _) = operations(reader, &mut table, "metadata", keys, fingerprint);
    let (attributes, _) = operations(reader, &mut table, "attributes", keys, fingerprint);
    let written = Written {
        data: has_data.then_some(data),
        jq: reader.jq(&mut table, "jq"),
        metadata: has_metadata.then_some(metadata),
        attributes: has_attributes.then_some(attributes),
        stream: destination(reader, &mut table),
        event_type: reader.text(&mut table, "type"),
        keep: reader.text(&mut table, "keep"),
        when: reader.condition(&mut table, "when"),
        lossy: reader.get(&mut table, "lossy").unwrap_or(false),
    };
    reader.finish(table, "`down`", DOWN_KEYS);
    written
}

/// Notes a `keep` that names none of the parts, one that is missing, and a `type` that says nothing.
fn check_keep(
    reader: &mut Reader<'_>,
    span: &std::ops::Range<usize>,
    written: &Written,
    ending: &Ending,
    ends: &Ends<'_>,
) {
    if let Ending::Drop = ending {
        let hint = "events that are dropped don't come back: `down = false`".to_owned();
        reader.note(span, "`drop` leaves nothing that could go back", Some(hint));
        return;
    }
    if written.event_type.is_some() && ends.from.is_some() {
        let hint = "an upcaster's event goes back to the type and version it starts from".to_owned();
        reader.note(span, "`type` does not belong into the `down` of an [[upcast]]", Some(hint));
    }
    let types = yielded_types(ending, ends);
    if let Ending::Split(parts) = ending {
        if types.is_empty() {
            let hint = "name the types of the parts, or say that nothing goes back: `down = false`".to_owned();
            reader.note(span, "parts without a type can't be told apart on the way back", Some(hint));
            return;
        }
        let of_kept =
            |part: &&super::actions::Part| part.event_type.as_ref().map(EventType::as_str) == written.keep.as_deref();
        if written.keep.is_some() && written.when.is_none() && parts.iter().filter(of_kept).count() > 1 {
            let hint = "`when` says which of them carries the event back; the others are dropped".to_owned();
            reader.note(span, "several parts have the type that `keep` names", Some(hint));
        }
    }
    match &written.keep {
        Some(keep) if !types.is_empty() && !types.contains(keep) => {
            let hint = format!("it is one of {}", types.join(", "));
            reader.note(span, format!("`keep` names {keep:?}, which the rule does not yield"), Some(hint));
        }
        Some(_) if types.len() <= 1 && !matches!(ending, Ending::Split(_)) => {
            reader.note(span, "`keep` belongs to rules that yield several events", Some("remove it".to_owned()));
        }
        None if types.len() > 1 || matches!(ending, Ending::Split(_)) => {
            let hint = format!("`keep` says which part carries the event back; it is one of {}", types.join(", "));
            reader.note(span, "`down` of a rule that yields several events needs `keep`", Some(hint));
        }
        _ => {}
    }
}

fn yielded_types(ending: &Ending, ends: &Ends<'_>) -> Vec<String> {
    let mut types: Vec<String> = match ending {
        Ending::Split(parts) => parts.iter().filter_map(|part| Some(part.event_type.as_ref()?.to_string())).collect(),
        _ => ends.to.iter().map(|(event_type, _)| event_type.clone()).collect(),
    };
    types.sort();
    types.dedup();
    types
}

/// What was declared, and for the rest what takes back the changes.
fn work_out(
    written: Written,
    declared: bool,
    undo: Undo,
    ending: &Ending,
    ends: &Ends<'_>,
    fingerprint: String,
) -> ReadDown {
    let whole = |why: &str, hint: &str| {
        ReadDown::Missing(vec![Missing { step: String::new(), reason: Reason::new(why).hint(hint) }])
    };
    match ending {
        Ending::Drop => {
            return whole("it drops events", "`down = false` says that none of them has to come back");
        }
        Ending::Split(_) if !declared => {
            return whole(
                "which of its parts carries an event back is not said",
                "`down = { keep = \"Type\", data = [operations] }`; the other parts are dropped on the way back",
            );
        }
        Ending::Jq(..) if !declared => {
            return whole(
                "a filter can't be taken back",
                "say what the way back does: `down = { data = [operations] }` or `{ jq = '…' }`",
            );
        }
        _ if ends.guarded && !declared && ends.matches.is_some() => {
            return whole(
                "which events its `when` held for is not known any more",
                "`down = { when = { … }, … }` says which events go back through it, `down = false` that none needs to",
            );
        }
        _ => {}
    }
    let mut missing = Vec::new();
    let changes = in_order(undo, ending, &written);
    if let Ending::Jq(..) = ending
        && written.data.is_none()
        && written.jq.is_none()
    {
        let reason = Reason::new("a filter can't be taken back").hint("`data` or `jq` says what the way back does");
        missing.push(Missing { step: "jq_events".to_owned(), reason });
    }
    let mut back = Back { jq: None, keeps: written.keep.is_some(), ..Back::default() };
    let says_data = written.data.is_some() || written.jq.is_some();
    let says_metadata = written.metadata.is_some();
    let says_attributes = written.attributes.is_some();
    back.data.extend(written.data);
    back.jq = written.jq;
    back.metadata.extend(written.metadata);
    back.attributes.extend(written.attributes);
    let mut matches = ends.matches.cloned().unwrap_or_default();
    let mut moved = None;
    for (which, change) in changes {
        if !says_data {
            if change.jq {
                let reason = Reason::new("a filter can't be taken back")
                    .hint("say what the way back does: `down = { jq = '…' }`");
                missing.push(Missing { step: format!("{which}jq"), reason });
            }
            take(change.data, &format!("{which}data"), &mut back.data, &mut missing);
        }
        if !says_metadata {
            take(change.metadata, &format!("{which}metadata"), &mut back.metadata, &mut missing);
        }
        if !says_attributes {
            take(change.attributes, &format!("{which}attributes"), &mut back.attributes, &mut missing);
        }
        if change.moves {
            moved = Some((which, change.category));
        }
    }
    if let (Some((which, category)), None) = (moved, &written.stream) {
        let before = ends.matches.map(|matches| &matches.categories[..]);
        match (category, before) {
            (Some(new), Some([old])) => {
                back.stream =
                    Template::parse(&old.replace('{', "{{").replace('}', "}}")).ok().map(Destination::Category);
                matches.categories = vec![new];
            }
            _ => {
                let reason = Reason::new("which stream the event was in is not known any more")
                    .hint("`down = { category = \"…\" }` or `{ stream = \"…\" }` says where it goes back to");
                missing.push(Missing { step: format!("{which}stream"), reason });
            }
        }
    } else if written.stream.is_some() {
        // What was matched is the category before.
        matches.categories = Vec::new();
        back.stream = written.stream;
    }
    back.event_type = type_before(&mut matches, written.event_type, ending, ends, &mut missing);
    if !missing.is_empty() {
        return ReadDown::Missing(missing);
    }
    ReadDown::Way {
        keep: written.keep,
        back: Arc::new(back),
        when: written.when.map(Arc::new),
        exact: !written.lossy,
        fingerprint,
        matches,
    }
}

/// The changes of the part that carries the event back, then those of the rule: the last one first.
fn in_order(mut undo: Undo, ending: &Ending, written: &Written) -> Vec<(String, Undo)> {
    let mut changes = Vec::new();
    if let Ending::Split(parts) = ending {
        let is_kept = |part: &super::actions::Part| match (&written.keep, &part.event_type) {
            (Some(keep), Some(event_type)) => event_type.as_str() == keep,
            (None, _) | (Some(_), None) => true,
        };
        let undos = std::mem::take(&mut undo.parts).into_iter().enumerate().zip(parts);
        let kept = undos.filter(|(_, part)| is_kept(part)).map(|(undo, _)| undo).next();
        changes.extend(kept.map(|(index, part)| (format!("part {}, ", index + 1), part)));
    }
    changes.push((String::new(), undo));
    changes
}

fn take(
    undo: Result<Operations, Vec<OperationError>>,
    key: &str,
    back: &mut Vec<Operations>,
    missing: &mut Vec<Missing>,
) {
    match undo {
        Ok(operations) => back.push(operations),
        Err(errors) => missing.extend(errors.into_iter().map(|error| Missing {
            step: format!("{key}, operation {} ({})", error.index + 1, error.operation),
            reason: error.reason,
        })),
    }
}

/// The type that a general rule's events get back, and which types are taken for that.
fn type_before(
    matches: &mut Matches,
    declared: Option<String>,
    ending: &Ending,
    ends: &Ends<'_>,
    missing: &mut Vec<Missing>,
) -> Option<EventType> {
    let before = ends.matches?;
    let yielded: Vec<String> = match (ends.new_type, yielded_types(ending, ends)) {
        (Some(new_type), _) => vec![new_type.to_owned()],
        (None, types) => types,
    };
    if yielded.is_empty() {
        return declared.and_then(|name| EventType::new(name).ok());
    }
    let old = match (&declared, &before.types[..]) {
        (Some(name), _) => Some(name.clone()),
        (None, [TypePattern::Name(only)]) => Some(only.clone()),
        _ => None,
    };
    matches.types = yielded.into_iter().map(TypePattern::parse).collect();
    if old.is_none() {
        let reason = Reason::new("which type the event had is not known any more")
            .hint("`down = { type = \"…\" }` says which it gets back");
        missing.push(Missing { step: "type".to_owned(), reason });
    }
    old.and_then(|name| EventType::new(name).ok())
}

impl Back {
    fn shape(&self) -> Shape {
        match (&self.stream, self.keeps) {
            (Some(_), _) => Shape::Moving,
            (None, true) => Shape::Shifting,
            (None, false) => Shape::OneToOne,
        }
    }

    fn apply(&self, event: Event) -> Result<Event, Reason> {
        let mut made = event.clone();
        if let Some(destination) = &self.stream {
            made.stream = destination.stream_of(&event)?;
        }
        for operations in &self.data {
            made.data = operations.apply(&made.data, &event)?;
        }
        if let Some(jq) = &self.jq {
            made.data = jq.apply_data(&made.data)?;
        }
        for operations in &self.metadata {
            made.metadata = operations.apply(&made.metadata, &event).map_err(in_metadata)?;
        }
        for operations in self.attributes.iter().filter(|operations| !operations.is_empty()) {
            made.attributes = changed_attributes(operations, &made.attributes, &event)?;
        }
        if let Some(event_type) = &self.event_type {
            made.event_type = event_type.clone();
        }
        Ok(made)
    }
}
