//! Reading `[[on]]`.

use std::ops::Range;
use std::sync::Arc;

use eventlift_events::{EventType, SchemaVersion};
use eventlift_language::json::Pointer;
use eventlift_language::problem::did_you_mean;
use eventlift_language::{Reader, Table as TomlTable, Value as TomlValue};
use toml::de::DeValue;

use super::clause::{Clause, Missing, Moves, Rows};
use super::operation::{Operation, Verb};
use super::read_source::{ORIGIN_KEYS, Purpose, column_named};
use super::source::Source;
use crate::projection::Taken;
use crate::table::Table;
use crate::value::ColumnType;

const CLAUSE_KEYS: &[&str] = &[
    "event", "version", "table", "key", "each", "optional", "when", "missing", "set", "first", "last", "add",
    "subtract", "min", "max", "append", "remove", "clear", "delete", "jq", "move_to", "taken",
];
const STATE_CLAUSE_KEYS: &[&str] = &[
    "event", "version", "each", "optional", "when", "missing", "set", "first", "last", "add", "subtract", "min", "max",
    "append", "remove", "clear", "delete", "jq",
];

/// What clauses may change.
pub(super) enum Targets {
    Tables {
        tables: Vec<Arc<Table>>,
        /// Those that no event changes, as they are summed up from another one: places of both.
        summed_up: Vec<(usize, usize)>,
    },
    /// The fields of a state, as the columns of a table.
    State(Arc<Table>),
    /// Something that can't be read, so that what clauses do to it can't be checked.
    Unreadable,
}

/// A clause, and the events that it is about.
pub(super) struct Read {
    pub(super) types: Vec<EventType>,
    pub(super) versions: Vec<SchemaVersion>,
    pub(super) span: Range<usize>,
    /// None where something is wrong with it.
    pub(super) clause: Option<Clause>,
}

/// Reads one `[[on]]`. What is wrong is noted.
pub(super) fn clause<'i>(reader: &mut Reader<'i>, mut table: TomlTable<'i>, targets: &Targets) -> Read {
    let span = table.span.clone();
    let types = event_types(reader, &mut table);
    let versions = versions(reader, &mut table, "version");
    for (key, found) in [("event", types.is_some()), ("version", versions.is_some())] {
        if !found {
            let hint = if key == "event" { "a type, or a list of types" } else { "a version, or a list of versions" };
            reader.note(&span, format!("[[on]] needs `{key}`"), Some(hint.to_owned()));
        }
    }
    let allowed = match targets {
        Targets::State(_) => {
            without_key(reader, &mut table);
            STATE_CLAUSE_KEYS
        }
        _ => CLAUSE_KEYS,
    };
    let clause = match target(reader, &mut table, targets) {
        Some((target, columns)) => read_changes(reader, &mut table, target, columns, targets),
        None => {
            // What they say can't be checked without the table.
            for key in allowed {
                table.take(key);
            }
            None
        }
    };
    reader.finish(table, "[[on]]", allowed);
    Read { types: types.unwrap_or_default(), versions: versions.unwrap_or_default(), span, clause }
}

/// Notes what belongs to the clauses of a projection.
fn without_key(reader: &mut Reader<'_>, table: &mut TomlTable<'_>) {
    for key in ["key", "table"] {
        if let Some((name, _)) = table.entries.remove_entry(key) {
            let hint = "an aggregate has one state a stream, that of the event";
            reader.note(&name.span(), format!("`{key}` does not belong to an aggregate"), Some(hint.to_owned()));
        }
    }
}

/// A type or a list of types; none where the key is missing.
fn event_types<'i>(reader: &mut Reader<'i>, table: &mut TomlTable<'i>) -> Option<Vec<EventType>> {
    let (names, span) = texts(reader, table, "event")?;
    if names.is_empty() || names.iter().any(String::is_empty) {
        reader.note(&span, "`event` names no type", None);
    }
    if let Some(name) = names.iter().find(|name| name.contains('*')) {
        let message = format!("`event`: the `*` in {name:?} stands for nothing, types are named whole");
        reader.note(&span, message, Some("list the types".to_owned()));
    }
    Some(names.into_iter().filter_map(|name| EventType::new(name).ok()).collect())
}

/// A text or a list of texts; none where the key is missing.
pub(super) fn texts<'i>(
    reader: &mut Reader<'i>,
    table: &mut TomlTable<'i>,
    key: &str,
) -> Option<(Vec<String>, Range<usize>)> {
    let value = table.take(key)?;
    let span = value.span();
    let items = match value.get_ref() {
        DeValue::Array(_) => reader.array(value, &format!("`{key}`")),
        _ => vec![value],
    };
    let items = items.into_iter().filter_map(|item| reader.deserialize::<String>(item, &format!("`{key}`")));
    Some((items.collect(), span))
}

/// A version or a list of versions, each from 1; none where the key is missing.
pub(super) fn versions<'i>(
    reader: &mut Reader<'i>,
    table: &mut TomlTable<'i>,
    key: &str,
) -> Option<Vec<SchemaVersion>> {
    let value = table.take(key)?;
    let span = value.span();
    let items = match value.get_ref() {
        DeValue::Array(_) => reader.array(value, &format!("`{key}`")),
        _ => vec![value],
    };
    if items.is_empty() {
        reader.note(&span, format!("`{key}` lists no version"), None);
    }
    let mut versions = Vec::new();
    for item in items {
        let span = item.span();
        let number = match item.get_ref() {
            DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        match number.and_then(SchemaVersion::new) {
            Some(version) => versions.push(version),
            None => reader.note(&span, format!("`{key}` has to be a version: 1, 2, 3 …"), None),
        }
    }
    Some(versions)
}

/// The table that the clause changes, with its place.
fn target<'i, 't>(
    reader: &mut Reader<'i>,
    table: &mut TomlTable<'i>,
    targets: &'t Targets,
) -> Option<(usize, &'t Arc<Table>)> {
    let (tables, summed_up) = match targets {
        Targets::State(fields) => return Some((0, fields)),
        Targets::Tables { tables, summed_up } => (tables, summed_up),
        Targets::Unreadable => return None,
    };
    let other_of = |place: usize| summed_up.iter().find(|(made, _)| *made == place).map(|(_, of)| *of);
    let changed: Vec<_> = tables.iter().enumerate().filter(|(place, _)| other_of(*place).is_none()).collect();
    let names: Vec<&str> = changed.iter().map(|(_, table)| table.name.as_str()).collect();
    let Some((name, span)) = reader.get_spanned::<String>(table, "table") else {
        if let [only] = &changed[..] {
            return Some(*only);
        }
        let hint = format!("the tables are {}", names.join(", "));
        reader.note(&table.span, "[[on]] needs `table`, as there are several", Some(hint));
        return None;
    };
    let found = tables.iter().enumerate().find(|(_, table)| table.name == name);
    let Some((place, _)) = found else {
        let hint = did_you_mean(&name, names.iter().copied())
            .unwrap_or_else(|| format!("the tables are {}", names.join(", ")));
        reader.note(&span, format!("there is no table `{name}`"), Some(hint));
        return None;
    };
    if let Some(of) = other_of(place) {
        let of = &tables[of].name;
        let hint = format!("what changes `{of}` changes it as well");
        reader.note(&span, format!("`{name}` is summed up from `{of}`, no event changes it"), Some(hint));
        return None;
    }
    found
}

fn read_changes<'i>(
    reader: &mut Reader<'i>,
    table: &mut TomlTable<'i>,
    target: usize,
    columns: &Arc<Table>,
    targets: &Targets,
) -> Option<Clause> {
    let problems = reader.problems.len();
    let each = each(reader, table);
    let has_items = each.is_some();
    let rows = match targets {
        Targets::State(_) => Some(Rows::State),
        // A row goes to one place, so it comes from one.
        _ => key(reader, table, "key", columns, has_items, !table.has("move_to")).map(Rows::Keys),
    };
    let in_key = matches!(&rows, Some(Rows::Keys(keys)) if keys.iter().any(Source::is_several));
    let optional = optional(reader, table, has_items || in_key);
    let when = reader.condition(table, "when");
    let deletes = deletes(reader, table);
    let moves = match targets {
        Targets::State(_) => None,
        _ => moves(reader, table, columns, has_items),
    };
    let missing = missing(reader, table, deletes, moves.is_some());
    let mut operations = Vec::new();
    for verb in Verb::ALL {
        read_operations(reader, table, verb, columns, has_items, &mut operations);
    }
    let clear = clear(reader, table, columns, &operations);
    let jq = reader.jq(table, "jq").map(Box::new);
    if reader.problems.len() > problems {
        return None;
    }
    Some(Clause {
        target,
        table: Arc::clone(columns),
        rows: rows?,
        when,
        each,
        optional,
        missing,
        operations: operations.into(),
        clear: clear.into(),
        deletes,
        jq,
        moves,
    })
}

/// Where the row goes; none where it stays.
fn moves<'i>(reader: &mut Reader<'i>, table: &mut TomlTable<'i>, columns: &Table, has_items: bool) -> Option<Moves> {
    let taken = reader.get_spanned::<String>(table, "taken");
    if !table.has("move_to") {
        if let Some((_, span)) = taken {
            let hint = "it says what happens where the key that `move_to` names has a row";
            reader.note(&span, "`taken` goes with `move_to`", Some(hint.to_owned()));
        }
        return None;
    }
    let taken = match taken.as_ref().map(|(name, span)| (&**name, span)) {
        None | Some(("fail", _)) => Taken::Fail,
        Some(("skip", _)) => Taken::Skip,
        Some(("replace", _)) => Taken::Replace,
        Some((name, span)) => {
            let hint = did_you_mean(name, ["fail", "skip", "replace"]);
            let message = format!("`taken`: {name:?} is none of \"fail\", \"skip\" and \"replace\"");
            reader.note(span, message, hint);
            Taken::Fail
        }
    };
    Some(Moves { to: key(reader, table, "move_to", columns, has_items, false)?, taken })
}

fn each<'i>(reader: &mut Reader<'i>, table: &mut TomlTable<'i>) -> Option<Pointer> {
    let (pointer, span): (Pointer, _) = reader.get_spanned(table, "each")?;
    if !pointer.has_wildcard() {
        let hint = format!("\"{pointer}/*\" leads to every item");
        reader.note(&span, format!("`each`: {pointer} leads to one value"), Some(hint));
    }
    Some(pointer)
}

/// Whether the list may be missing that `each` or the key goes over.
fn optional<'i>(reader: &mut Reader<'i>, table: &mut TomlTable<'i>, has_lists: bool) -> bool {
    let Some((optional, span)) = reader.get_spanned::<bool>(table, "optional") else { return false };
    if !has_lists {
        let hint = "`missing` says what happens where a row is not there";
        let message = "`optional` is about a list that `each` or the key goes over, and there is none";
        reader.note(&span, message, Some(hint.to_owned()));
    }
    optional
}

/// The sources of the columns of a key, the row's own or the one that it gets, in the key's order.
fn key<'i>(
    reader: &mut Reader<'i>,
    table: &mut TomlTable<'i>,
    word: &str,
    columns: &Table,
    has_items: bool,
    several: bool,
) -> Option<Box<[Source]>> {
    let names: Vec<&str> = columns.key.iter().map(|place| columns.columns[*place].name.as_str()).collect();
    let example = || {
        format!("write {word} = {{ {} }}", names.iter().map(|n| format!("{n} = \"/…\"")).collect::<Vec<_>>().join(", "))
    };
    let purpose = |place: usize| Purpose {
        what: format!("{word}.{}", columns.columns[place].name),
        column_type: columns.columns[place].column_type,
        several,
        columns: None,
        has_items,
    };
    let Some(value) = table.take(word) else {
        reader.note(&table.span, format!("[[on]] needs `{word}`"), Some(example()));
        return None;
    };
    let span = value.span();
    if is_one_source(&value, &names) {
        let [place] = columns.key[..] else {
            let message = format!("`{word}` has to name {}", names.join(", "));
            reader.note(&span, message, Some(example()));
            return None;
        };
        return purpose(place).read(reader, value).map(|source| [source].into());
    }
    let mut parts = reader.table(value, &format!("`{word}`"))?;
    let mut sources = Vec::new();
    for (place, name) in columns.key.iter().zip(&names) {
        match parts.take(name) {
            Some(value) => sources.extend(purpose(*place).read(reader, value)),
            None => reader.note(&span, format!("`{word}` lacks `{name}`"), Some(example())),
        }
    }
    reader.finish(parts, &format!("`{word}`"), &names);
    if several && sources.iter().filter(|source| source.is_several()).count() > 1 {
        let hint = "paths with `*` and jq filters may yield several; use `each` and `{ item = \"/…\" }`";
        reader.note(&span, "only one column of a key can have several values", Some(hint.to_owned()));
        return None;
    }
    (sources.len() == names.len()).then(|| sources.into())
}

/// Whether `key = …` is the source of the one column rather than a table of columns.
fn is_one_source(value: &TomlValue<'_>, names: &[&str]) -> bool {
    let DeValue::Table(table) = value.get_ref() else { return true };
    let names_column = names.iter().any(|name| table.contains_key(*name));
    !names_column && ORIGIN_KEYS.iter().any(|key| table.contains_key(*key))
}

fn deletes<'i>(reader: &mut Reader<'i>, table: &mut TomlTable<'i>) -> bool {
    let Some((deletes, span)) = reader.get_spanned::<bool>(table, "delete") else { return false };
    if !deletes {
        reader.note(&span, "`delete` is false", Some("remove it".to_owned()));
    }
    let others = Verb::ALL.map(Verb::as_str).into_iter().chain(["clear", "jq", "move_to"]);
    for key in others.filter(|key| table.has(key)) {
        let hint = Some("remove one of them".to_owned());
        reader.note(&span, format!("`delete` makes `{key}` useless"), hint);
    }
    deletes
}

fn missing<'i>(reader: &mut Reader<'i>, table: &mut TomlTable<'i>, deletes: bool, moves: bool) -> Missing {
    let default = match (deletes, moves) {
        (true, _) => Missing::Skip,
        (false, true) => Missing::Fail,
        (false, false) => Missing::Create,
    };
    let Some((name, span)) = reader.get_spanned::<String>(table, "missing") else { return default };
    match &*name {
        "create" if deletes => {
            reader.note(&span, "`delete` creates no rows", Some("missing = \"fail\" or \"skip\"".to_owned()));
            default
        }
        "create" => Missing::Create,
        "skip" => Missing::Skip,
        "fail" => Missing::Fail,
        _ => {
            let hint = did_you_mean(&name, ["create", "skip", "fail"]);
            let message = format!("`missing`: {name:?} is none of \"create\", \"skip\" and \"fail\"");
            reader.note(&span, message, hint);
            default
        }
    }
}

fn read_operations<'i>(
    reader: &mut Reader<'i>,
    table: &mut TomlTable<'i>,
    verb: Verb,
    columns: &Table,
    has_items: bool,
    operations: &mut Vec<Operation>,
) {
    let Some(value) = table.take(verb.as_str()) else { return };
    let Some(targets) = reader.table(value, &format!("`{verb}`", verb = verb.as_str())) else { return };
    if targets.entries.is_empty() {
        reader.note(&targets.span, format!("`{}` names no column", verb.as_str()), None);
    }
    for (key, value) in targets.entries {
        let name = key.get_ref();
        let Some(place) = column_to_change(reader, columns, &key.span(), name) else { continue };
        let column_type = columns.columns[place].column_type;
        if !verb.takes(column_type) {
            let message = format!("`{}`: `{name}` is of the type {column_type}", verb.as_str());
            let hint = format!("`{}` takes {}", verb.as_str(), verb.takes_text());
            reader.note(&key.span(), message, Some(hint));
            continue;
        }
        let purpose = Purpose {
            what: format!("{}.{name}", verb.as_str()),
            column_type: if verb.takes_several() { ColumnType::Json } else { column_type },
            several: verb.takes_several(),
            columns: Some(columns),
            has_items,
        };
        let source = purpose.read(reader, value);
        operations.extend(source.map(|source| Operation { verb, place, source }));
    }
}

fn clear<'i>(
    reader: &mut Reader<'i>,
    table: &mut TomlTable<'i>,
    columns: &Table,
    operations: &[Operation],
) -> Vec<usize> {
    let Some(value) = table.take("clear") else { return Vec::new() };
    let span = value.span();
    let mut places: Vec<usize> = Vec::new();
    let items = reader.array(value, "`clear`");
    if items.is_empty() {
        reader.note(&span, "`clear` names no column", None);
    }
    for item in items {
        let span = item.span();
        let Some(name) = reader.deserialize::<String>(item, "`clear`") else { continue };
        let Some(place) = column_to_change(reader, columns, &span, &name) else { continue };
        if let Some(other) = operations.iter().find(|operation| operation.place == place) {
            let message = format!("`clear` and `{}` change the same column, `{name}`", other.verb.as_str());
            reader.note(&span, message, Some("remove one of them".to_owned()));
        }
        places.push(place);
    }
    places
}

/// The place of a column that is no part of the key; anything else is noted.
fn column_to_change(reader: &mut Reader<'_>, table: &Table, span: &Range<usize>, name: &str) -> Option<usize> {
    let place = column_named(reader, table, span, name)?;
    if table.key.contains(&place) {
        let hint = "its value is what `key` says";
        reader.note(span, format!("`{name}` is part of the key and can't be changed"), Some(hint.to_owned()));
        return None;
    }
    Some(place)
}
