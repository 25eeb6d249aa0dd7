//! Reading the file of a projection or an aggregate.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use eventlift_events::EventType;
use eventlift_language::problem::did_you_mean;
use eventlift_language::{Fingerprint, Place, Reader, Table as TomlTable, Value as TomlValue, canonical};
use toml::de::DeValue;

use super::fold::{Clauses, Fold};
use super::read_clause::{self, Targets, texts, versions};
use super::read_rollup::SummedUp;
use super::read_source::column_named;
use super::test_case::TestCase;
use crate::rollup::Rollup;
use crate::table::{Column, Index, Table, TableKind};
use crate::understood::Understood;
use crate::value::ColumnType;

const PROJECTION_KEYS: &[&str] = &["projection", "from", "ignore", "table", "on", "test"];
const AGGREGATE_KEYS: &[&str] = &["aggregate", "from", "ignore", "table", "state", "on", "test"];
const TABLE_KEYS: &[&str] = &["key", "columns", "indexes", "of", "count", "sum"];
/// What fingerprints leave out, as it does not change what becomes of events.
const NOT_IN_FINGERPRINT: &[&str] = &["projection", "aggregate", "test"];

/// A definition with its test cases.
pub(super) struct Definition {
    pub(super) fold: Arc<Fold>,
    /// Where each table is said, in their order.
    pub(super) tables: Vec<Place>,
    pub(super) tests: Vec<TestCase>,
}

/// Reads a whole file; none where anything is wrong with it, which is noted.
pub(super) fn definition<'i>(reader: &mut Reader<'i>, mut file: TomlTable<'i>, path: &Path) -> Option<Definition> {
    let fingerprint = fingerprint(&file);
    if file.has("projection") && file.has("aggregate") {
        let hint = "one file is about one of them";
        reader.note(&file.span, "`projection` and `aggregate` exclude one another", Some(hint.to_owned()));
        return None;
    }
    let is_aggregate = file.has("aggregate") || file.has("state");
    let kind = if is_aggregate { "aggregate" } else { "projection" };
    let (name, span) = name(reader, &mut file, kind, path)?;
    let mut understood = Understood { categories: categories(reader, &mut file), ..Understood::default() };
    let problems = reader.problems.len();
    let (Tables { tables, rollups, places }, state) = match is_aggregate {
        true => {
            let (snapshots, fields, place) = state(reader, &mut file, &name, &span);
            let tables = Tables { tables: vec![snapshots], rollups: Vec::new(), places: vec![place] };
            (tables, Some(Arc::new(fields)))
        }
        false => (tables(reader, &mut file), None),
    };
    let is_unreadable = reader.problems.len() > problems;
    let targets = match &state {
        _ if is_unreadable => Targets::Unreadable,
        Some(fields) => Targets::State(Arc::clone(fields)),
        None => Targets::Tables {
            tables: tables.iter().cloned().map(Arc::new).collect(),
            summed_up: rollups.iter().map(|rollup| (rollup.table, rollup.of)).collect(),
        },
    };
    let clauses = clauses(reader, &mut file, &targets, &mut understood);
    ignored(reader, &mut file, &mut understood);
    let shape = state.as_deref().into_iter().chain(&tables);
    let fingerprint = shape.fold(fingerprint, |fingerprint, table| {
        let columns = table.columns.iter();
        columns.fold(fingerprint.field(&table.name), |fingerprint, column| {
            fingerprint.field(&column.name).field(column.column_type.as_str())
        })
    });
    let fold = Arc::new(Fold {
        name,
        place: reader.place(&span),
        fingerprint: fingerprint.finish(),
        understood,
        tables,
        rollups,
        state,
        clauses,
    });
    let tests = reader.tables(&mut file, "test");
    let tests = if is_unreadable { Vec::new() } else { tests };
    let tests = tests.into_iter().filter_map(|test| TestCase::read(reader, test, &fold)).collect();
    match is_aggregate {
        true => reader.finish(file, "the file of an aggregate", AGGREGATE_KEYS),
        false => reader.finish(file, "the file of a projection", PROJECTION_KEYS),
    }
    Some(Definition { fold, tables: places, tests })
}

/// Reads `from`, the categories whose events are folded; none where it is every one.
fn categories<'i>(reader: &mut Reader<'i>, file: &mut TomlTable<'i>) -> BTreeSet<String> {
    let Some((names, span)) = texts(reader, file, "from") else { return BTreeSet::new() };
    reader.check_categories(&span, "from", &names);
    names.into_iter().collect()
}

fn fingerprint(file: &TomlTable<'_>) -> Fingerprint {
    let mut entries: Vec<_> = file.entries.iter().map(|(key, value)| (key.get_ref(), value.get_ref())).collect();
    entries.retain(|(key, _)| !NOT_IN_FINGERPRINT.contains(&key.as_ref()));
    entries.sort_by_key(|(key, _)| *key);
    entries.into_iter().fold(Fingerprint::of("projection"), |fingerprint, (key, value)| {
        fingerprint.field(key).field(&canonical(value))
    })
}

/// The name, which is the file's where it isn't said.
fn name<'i>(
    reader: &mut Reader<'i>,
    file: &mut TomlTable<'i>,
    kind: &str,
    path: &Path,
) -> Option<(String, Range<usize>)> {
    if let Some(value) = file.entries.get(kind) {
        let span = value.span();
        return Some((reader.text(file, kind)?, span));
    }
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Some((stem.unwrap_or_default(), file.span.start..file.span.start))
}

/// The table of the snapshots, the fields of `[state]` as the columns of a table, and where the first is said.
fn state<'i>(
    reader: &mut Reader<'i>,
    file: &mut TomlTable<'i>,
    name: &str,
    span: &Range<usize>,
) -> (Table, Table, Place) {
    let (table, table_span) = match file.take("table") {
        Some(value) => {
            let span = value.span();
            (snapshot_table(reader, value), span)
        }
        None => (Some(format!("{name}_snapshots")), span.clone()),
    };
    let snapshots = Table::of_snapshots(table.unwrap_or_else(|| "snapshots".to_owned()));
    if let Some(problem) = snapshots.problem() {
        reader.note(&table_span, problem, Some("`table` names the table of the snapshots".to_owned()));
    }
    let fields = match file.take("state") {
        Some(value) => fields(reader, value),
        None => {
            let hint = "its fields and their types: [state] items = \"integer\"";
            reader.note(span, "an aggregate needs `state`", Some(hint.to_owned()));
            Vec::new()
        }
    };
    let fields = Table {
        name: "state".to_owned(),
        columns: fields,
        key: Vec::new(),
        indexes: Vec::new(),
        kind: TableKind::ReadModel,
    };
    (snapshots, fields, reader.place(&table_span))
}

fn snapshot_table<'i>(reader: &mut Reader<'i>, value: TomlValue<'i>) -> Option<String> {
    if matches!(value.get_ref(), DeValue::Table(_)) {
        let hint = "`table = \"carts\"` names the table of its snapshots";
        reader.note(&value.span(), "an aggregate has [state] instead of tables", Some(hint.to_owned()));
        return None;
    }
    reader.deserialize(value, "`table`")
}

fn fields<'i>(reader: &mut Reader<'i>, value: TomlValue<'i>) -> Vec<Column> {
    let span = value.span();
    let problems = reader.problems.len();
    let fields = columns(reader, value, "`state`");
    // Their names have to be those of columns, which are checked in a table with a key.
    let key = Column { name: "stream".to_owned(), column_type: ColumnType::Text };
    let with_key = Table { columns: [&[key][..], &fields].concat(), ..Table::of_snapshots("state") };
    match with_key.problem() {
        _ if reader.problems.len() > problems => {}
        _ if fields.is_empty() => reader.note(&span, "`state` has no fields", None),
        Some(problem) => reader.note(&span, format!("`state`: {problem}"), None),
        None => {}
    }
    fields
}

/// Fields or columns with their types.
fn columns<'i>(reader: &mut Reader<'i>, value: TomlValue<'i>, what: &str) -> Vec<Column> {
    let Some(table) = reader.table(value, what) else { return Vec::new() };
    let names = ColumnType::ALL.map(ColumnType::as_str);
    let mut columns = Vec::new();
    for (key, value) in table.entries {
        let (name, span) = (key.get_ref().clone().into_owned(), value.span());
        let Some(text) = reader.deserialize::<String>(value, &format!("the type of `{name}`")) else { continue };
        match ColumnType::ALL.into_iter().find(|column_type| column_type.as_str() == text) {
            Some(column_type) => columns.push(Column { name, column_type }),
            None => {
                let hint = did_you_mean(&text, names).unwrap_or_else(|| format!("types are {}", names.join(", ")));
                reader.note(&span, format!("`{name}`: there is no type {text:?}"), Some(hint));
            }
        }
    }
    columns
}

/// The tables of `[table.…]`.
#[derive(Default)]
struct Tables {
    tables: Vec<Table>,
    /// Those that are summed up.
    rollups: Vec<Rollup>,
    /// Where each is.
    places: Vec<Place>,
}

fn tables<'i>(reader: &mut Reader<'i>, file: &mut TomlTable<'i>) -> Tables {
    let mut read = Tables::default();
    let Some(value) = file.take("table") else {
        let hint = "write [table.name] with `key` and `columns`; an aggregate has [state]";
        reader.note(&file.span, "a projection needs a table", Some(hint.to_owned()));
        return read;
    };
    let Some(named) = reader.table(value, "`table`") else { return read };
    let problems = reader.problems.len();
    let mut summed_up = Vec::new();
    for (key, value) in named.entries {
        let (name, span) = (key.get_ref(), key.span());
        let Some(mut table) = reader.table(value, &format!("`table.{name}`")) else { continue };
        read.places.push(reader.place(&span));
        summed_up.extend(SummedUp::read(reader, &mut table, read.tables.len(), &span));
        read.tables.push(read_table(reader, table, name, &span));
    }
    // What names tables and columns can't be checked without them.
    if reader.problems.len() == problems {
        let rollups = summed_up.iter().filter_map(|table| table.resolve(reader, &read.tables, &summed_up));
        read.rollups = rollups.collect();
    }
    read
}

fn read_table<'i>(reader: &mut Reader<'i>, mut table: TomlTable<'i>, name: &str, span: &Range<usize>) -> Table {
    let problems = reader.problems.len();
    let mut read = Table {
        name: name.to_owned(),
        columns: Vec::new(),
        key: Vec::new(),
        indexes: Vec::new(),
        kind: TableKind::ReadModel,
    };
    match table.take("columns") {
        Some(value) => read.columns = columns(reader, value, "`columns`"),
        None => reader.note(span, format!("the table `{name}` needs `columns`"), None),
    }
    if reader.problems.len() > problems {
        // What names columns can't be checked without them.
        for key in ["key", "indexes"] {
            table.take(key);
        }
        reader.finish(table, "a table", TABLE_KEYS);
        return read;
    }
    if let Some(value) = table.take("key") {
        let value_span = value.span();
        read.key = places(reader, value, &read, "`key`");
        if read.key.iter().enumerate().any(|(index, place)| read.key[..index].contains(place)) {
            reader.note(&value_span, "`key` names a column twice", None);
        }
    } else {
        reader.note(
            span,
            format!("the table `{name}` needs `key`"),
            Some("the columns that tell its rows apart".to_owned()),
        );
    }
    if let Some(value) = table.take("indexes") {
        for item in reader.array(value, "`indexes`") {
            read.indexes.extend(index(reader, item, &read));
        }
    }
    reader.finish(table, "a table", TABLE_KEYS);
    // What is wrong already may be why the table is no good.
    if reader.problems.len() == problems
        && let Some(problem) = read.problem()
    {
        reader.note(span, format!("the table `{name}`: {problem}"), None);
    }
    read
}

/// The places of the columns in a list, or of the one that is named.
fn places<'i>(reader: &mut Reader<'i>, value: TomlValue<'i>, table: &Table, what: &str) -> Vec<usize> {
    let items = match value.get_ref() {
        DeValue::Array(_) => reader.array(value, what),
        _ => vec![value],
    };
    let mut places = Vec::new();
    for item in items {
        let span = item.span();
        let Some(name) = reader.deserialize::<String>(item, what) else { continue };
        places.extend(column_named(reader, table, &span, &name));
    }
    places
}

fn index<'i>(reader: &mut Reader<'i>, value: TomlValue<'i>, table: &Table) -> Option<Index> {
    if !matches!(value.get_ref(), DeValue::Table(_)) {
        return Some(Index { columns: places(reader, value, table, "`indexes`"), unique: false });
    }
    let mut index = reader.table(value, "an index")?;
    let columns = index.take("columns").map(|value| places(reader, value, table, "`columns`"));
    let unique = reader.get(&mut index, "unique").unwrap_or(false);
    let span = index.span.clone();
    reader.finish(index, "an index", &["columns", "unique"]);
    if columns.is_none() {
        reader.note(&span, "an index needs `columns`", None);
    }
    Some(Index { columns: columns?, unique })
}

/// Every `[[on]]`; what it folds is understood from now on.
fn clauses<'i>(
    reader: &mut Reader<'i>,
    file: &mut TomlTable<'i>,
    targets: &Targets,
    understood: &mut Understood,
) -> Clauses {
    let mut clauses = Clauses::default();
    let span = file.span.clone();
    let is_said = file.has("on");
    for table in reader.tables(file, "on") {
        let read = read_clause::clause(reader, table, targets);
        let clause = read.clause.map(Arc::new);
        for (index, event_type) in read.types.iter().enumerate() {
            if read.types[..index].contains(event_type) {
                reader.note(&read.span, format!("[[on]] names {event_type} twice"), None);
            }
            for version in &read.versions {
                understood.folded.entry(event_type.clone()).or_default().insert(*version);
                if let Some(clause) = &clause {
                    clauses.add(event_type, *version, Arc::clone(clause));
                }
            }
        }
        let repeated = (1..read.versions.len()).find(|index| read.versions[..*index].contains(&read.versions[*index]));
        if let Some(index) = repeated {
            reader.note(&read.span, format!("[[on]] names version {} twice", read.versions[index]), None);
        }
    }
    if !is_said {
        let hint = "[[on]] says what an event changes";
        reader.note(&span, "nothing is folded", Some(hint.to_owned()));
    }
    clauses
}

/// Reads `ignore`.
fn ignored<'i>(reader: &mut Reader<'i>, file: &mut TomlTable<'i>, understood: &mut Understood) {
    let Some(value) = file.take("ignore") else { return };
    for item in reader.array(value, "`ignore`") {
        let span = item.span();
        let (name, versions) = match item.get_ref() {
            DeValue::Table(_) => {
                let Some(mut table) = reader.table(item, "an item of `ignore`") else { continue };
                let name = reader.text(&mut table, "type");
                let versions: BTreeSet<_> =
                    versions(reader, &mut table, "versions").unwrap_or_default().into_iter().collect();
                reader.finish(table, "an item of `ignore`", &["type", "versions"]);
                (name, versions)
            }
            _ => (reader.deserialize::<String>(item, "`ignore`"), BTreeSet::new()),
        };
        let Some(name) = name else { continue };
        if name == "*" {
            understood.ignores_other_types = true;
            continue;
        }
        let Ok(event_type) = EventType::new(name) else {
            reader.note(&span, "`ignore` names no type", None);
            continue;
        };
        let folded = understood.folded.get(&event_type);
        let both =
            folded.and_then(|folded| folded.iter().find(|version| versions.is_empty() || versions.contains(version)));
        if let Some(version) = both {
            let hint = "`versions` says which versions to leave out";
            reader.note(&span, format!("{event_type} version {version} is ignored and folded"), Some(hint.to_owned()));
            continue;
        }
        if understood.ignored.contains_key(&event_type) {
            reader.note(&span, format!("`ignore` names {event_type} twice"), None);
        }
        understood.ignored.insert(event_type, versions);
    }
}
