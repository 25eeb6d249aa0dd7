//! Reading what a definition does to an event: operations, filters, streams and endings.

use eventlift_events::{EventType, SchemaVersion};
use eventlift_language::{Fingerprint, Reader, Reason, Table, Value};

use super::actions::{Actions, Changes, Destination, Ending, Part};
use super::down::Undo;
use super::template::Template;
use crate::operations::{Keys, Operation, OperationError, Operations};

const PART_KEYS: &[&str] = &["type", "version", "when", "data", "metadata", "attributes", "jq", "stream", "category"];

/// What parts of a split are if they don't say.
pub(super) struct PartDefaults<'a> {
    pub(super) event_type: Option<&'a str>,
    pub(super) version: Option<u32>,
}

/// Reads everything a rule does. Adds the keys that its operations use to the fingerprint.
pub(super) fn actions<'i>(
    reader: &mut Reader<'i>,
    table: &mut Table<'i>,
    new_type: Option<&str>,
    defaults: &PartDefaults<'_>,
    keys: &Keys,
    fingerprint: &mut Fingerprint,
) -> (Actions, Undo) {
    exclusive(reader, table, new_type.is_some());
    let (changes, mut undo) = changes(reader, table, keys, fingerprint);
    let drops = reader.get_spanned::<bool>(table, "drop");
    if let Some((false, span)) = &drops {
        reader.note(span, "`drop` is false", Some("remove it".to_owned()));
    }
    let split = table.take("split").map(|value| parts(reader, value, defaults, keys, fingerprint));
    let split = split.map(|parts| {
        let (parts, undos) = parts.into_iter().unzip();
        undo.parts = undos;
        parts
    });
    let jq = jq_ending(reader, table);
    let ending = match (drops, split, jq) {
        (Some(_), _, _) => Ending::Drop,
        (None, Some(parts), _) => Ending::Split(parts),
        (None, None, Some(jq)) => jq,
        (None, None, None) => Ending::One(new_type.and_then(|name| EventType::new(name.to_owned()).ok())),
    };
    (Actions { changes, ending }, undo)
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
        let useless =
            ["data", "metadata", "attributes", "jq", "stream", "category"].into_iter().find(|key| table.has(key));
        if let Some(key) = useless {
            reader.note(&span, format!("`drop` makes `{key}` useless"), Some("remove one of them".to_owned()));
        }
    }
}

fn changes<'i>(
    reader: &mut Reader<'i>,
    table: &mut Table<'i>,
    keys: &Keys,
    fingerprint: &mut Fingerprint,
) -> (Changes, Undo) {
    if table.has("stream") && table.has("category") {
        let span = table.span.clone();
        reader.note(&span, "`stream` and `category` exclude one another", None);
    }
    let (data, data_back) = operations(reader, table, "data", keys, fingerprint);
    let (metadata, metadata_back) = operations(reader, table, "metadata", keys, fingerprint);
    let (attributes, attributes_back) = operations(reader, table, "attributes", keys, fingerprint);
    let jq = reader.jq(table, "jq");
    let stream = destination(reader, table);
    let category = match &stream {
        Some(Destination::Category(template)) => template.literal().map(str::to_owned),
        _ => None,
    };
    let (jq_used, moves) = (jq.is_some(), stream.is_some());
    let undo = Undo {
        data: data_back,
        metadata: metadata_back,
        attributes: attributes_back,
        jq: jq_used,
        moves,
        category,
        parts: Vec::new(),
    };
    (Changes { data, metadata, attributes, jq, stream }, undo)
}

/// Reads `stream` or `category`.
pub(super) fn destination<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>) -> Option<Destination> {
    let stream = template(reader, table, "stream", Template::check_stream).map(Destination::Stream);
    let category = template(reader, table, "category", Template::check_category).map(Destination::Category);
    stream.or(category)
}

fn template<'i>(
    reader: &mut Reader<'i>,
    table: &mut Table<'i>,
    key: &str,
    check: impl Fn(&Template) -> Result<(), Reason>,
) -> Option<Template> {
    let (text, span): (String, _) = reader.get_spanned(table, key)?;
    let template = Template::parse(&text).and_then(|template| check(&template).map(|()| template));
    reader.compiled(&span, key, template)
}

/// Reads a list of operations, and what takes them back.
pub(super) fn operations<'i>(
    reader: &mut Reader<'i>,
    table: &mut Table<'i>,
    key: &str,
    keys: &Keys,
    fingerprint: &mut Fingerprint,
) -> (Operations, Result<Operations, Vec<OperationError>>) {
    let none = || (Operations::default(), Ok(Operations::default()));
    let Some(value) = table.take(key) else { return none() };
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
        return none();
    }
    let back = Operations::inverse(&operations);
    match Operations::compile(operations, keys) {
        Ok(operations) => {
            for name in operations.key_names() {
                let mut next = Fingerprint::of("key");
                std::mem::swap(fingerprint, &mut next);
                *fingerprint = next.field(name).field(&keys.fingerprint(name).unwrap_or_default());
            }
            (operations, back)
        }
        Err(error) => {
            let span = spans.get(error.index).cloned().unwrap_or(0..0);
            reader.note(&span, format!("{key}: {}: {}", error.operation, error.reason), error.reason.hint);
            none()
        }
    }
}

fn parts<'i>(
    reader: &mut Reader<'i>,
    value: Value<'i>,
    defaults: &PartDefaults<'_>,
    keys: &Keys,
    fingerprint: &mut Fingerprint,
) -> Vec<(Part, Undo)> {
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
) -> Option<(Part, Undo)> {
    let mut table = reader.table(item, "a part of `split`")?;
    let span = table.span.clone();
    let event_type = reader.text(&mut table, "type").or_else(|| defaults.event_type.map(str::to_owned));
    let is_other = defaults.event_type != event_type.as_deref();
    let version = reader.version(&mut table, "version").or(if is_other { None } else { defaults.version });
    if version.is_none() && defaults.version.is_some() {
        let hint = "name the version of the other type that the part is in";
        reader.note(&span, "a part of another type needs `version`", Some(hint.to_owned()));
    }
    if version.is_some() && event_type.is_none() {
        reader.note(&span, "a general rule keeps the version", Some("remove `version`".to_owned()));
    }
    let when = reader.condition(&mut table, "when");
    let (changes, undo) = changes(reader, &mut table, keys, fingerprint);
    reader.finish(table, "a part of `split`", PART_KEYS);
    let event_type = event_type.and_then(|name| EventType::new(name).ok());
    let part = Part { event_type, version: version.and_then(SchemaVersion::new), changes, when };
    Some((part, undo))
}

fn jq_ending<'i>(reader: &mut Reader<'i>, table: &mut Table<'i>) -> Option<Ending> {
    let moves = reader.get_spanned::<bool>(table, "moves_streams");
    let filter = reader.jq(table, "jq_events");
    if let (Some((_, span)), None) = (&moves, &filter) {
        reader.note(span, "`moves_streams` belongs to `jq_events`", None);
    }
    filter.map(|filter| Ending::Jq(Box::new(filter), moves.is_some_and(|(moves, _)| moves)))
}
