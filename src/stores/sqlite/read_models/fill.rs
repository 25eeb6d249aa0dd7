//! Filling builds: begin, load, complete, step; and reading their rows.

use eventlift_events::{Position, Timestamp};
use eventlift_projections::{
    Build, ColumnType, Index, Origin, Quarantined, Row, RowKey, RowUpdate, Side, Step, Table, Value,
};
use rusqlite::{CachedStatement, Connection, ErrorCode, Statement};

use super::numbers::{digits_name, numeric_columns, value_of_digits};
use super::record::{self, complete_build, place};
use super::refusal::{Failure, Refusal};
use super::tables::{self, column_list, name_on, quoted, read_columns, stored_columns};
use super::values::{bind, bind_digits, bind_row, read_row};
use super::{ledger, values};

/// Begins a shadow build with empty tables.
pub(super) fn begin(
    connection: &Connection,
    projection: &str,
    origin: &Origin,
    declared: &[Table],
) -> Result<Build, Failure> {
    if let Some(problem) = Table::problem_of_all(declared) {
        return Err(Refusal::unsupported(problem).at(projection).into());
    }
    refuse_clashes(declared)?;
    declared.iter().try_for_each(refuse_names_of_digits)?;
    refuse_owned(connection, projection, declared)?;
    discard(connection, projection)?;
    refuse_foreign(connection, projection, declared)?;
    let now = Timestamp::now();
    let build = Build {
        generation: record::next_generation(connection, projection)?,
        origin: origin.clone(),
        tables: declared.to_vec(),
        checkpoint: None,
        events: 0,
        is_complete: false,
        begun_at: now,
        updated_at: now,
    };
    declared.iter().try_for_each(|table| tables::create(connection, Side::Shadow, table))?;
    record::put(connection, projection, Side::Shadow, &build)?;
    Ok(build)
}

/// All names that a table may have in its life.
fn names(table: &Table) -> [String; 3] {
    Side::ALL.map(|side| name_on(side, &table.name).to_ascii_lowercase())
}

/// Fails where two tables of a projection would get one name.
fn refuse_clashes(declared: &[Table]) -> Result<(), Failure> {
    for (number, table) in declared.iter().enumerate() {
        let clashing = declared[..number].iter().find(|other| share_a_name(other, table));
        if let Some(other) = clashing {
            let message = format!("`{}` and `{}` would meet while one of them is built", other.name, table.name);
            return Err(Refusal::unsupported(message).hint("give one of the tables another name").into());
        }
    }
    Ok(())
}

/// Fails where a column has the name that another one's digits need.
fn refuse_names_of_digits(table: &Table) -> Result<(), Failure> {
    for (_, column) in numeric_columns(table) {
        let name = digits_name(column);
        if table.columns.iter().any(|other| other.name.eq_ignore_ascii_case(&name)) {
            let message =
                format!("the digits of `{}` are kept in a column `{name}`, which is declared too", column.name);
            let refusal = Refusal::unsupported(message).at(format_args!("table {}", table.name));
            return Err(refusal.hint("give one of the columns another name").into());
        }
    }
    Ok(())
}

fn share_a_name(one: &Table, other: &Table) -> bool {
    let others = names(other);
    names(one).iter().any(|name| others.contains(name))
}

/// Fails where a table belongs to another projection.
fn refuse_owned(connection: &Connection, projection: &str, declared: &[Table]) -> Result<(), Failure> {
    for other in record::projections(connection)?.iter().filter(|other| *other != projection) {
        let builds = record::builds(connection, other)?;
        let owned = Side::ALL.into_iter().filter_map(|side| builds.side(side)).flat_map(|build| &build.tables);
        for owned in owned {
            if let Some(table) = declared.iter().find(|table| share_a_name(table, owned)) {
                let message = format!("the table `{}` belongs to the projection {other}", owned.name);
                let refusal = Refusal::unexpected(message).at(format_args!("table {}", table.name));
                return Err(refusal
                    .hint(format_args!(
                        "give the table another name: two projections can't share one; if {other} is what this one was \
                         called before, keep that name with projection = \"{other}\" in its file"
                    ))
                    .into());
            }
        }
    }
    Ok(())
}

/// Fails where something that is nobody's has a name that a table needs.
fn refuse_foreign(connection: &Connection, projection: &str, declared: &[Table]) -> Result<(), Failure> {
    let builds = record::builds(connection, projection)?;
    for table in declared {
        for side in Side::ALL {
            let ours = builds
                .side(side)
                .is_some_and(|build| build.tables.iter().any(|t| t.name.eq_ignore_ascii_case(&table.name)));
            let name = name_on(side, &table.name);
            if let Some(kind) = tables::kind_of(connection, &name)?.filter(|_| !ours) {
                let message = format!("there is a {kind} `{name}` that eventlift did not make");
                return Err(Refusal::unexpected(message)
                    .at(format_args!("table {}", table.name))
                    .hint("rename or drop it, or give the projection's table another name")
                    .into());
            }
        }
    }
    Ok(())
}

/// Drops the shadow build, if there is one.
pub(super) fn discard(connection: &Connection, projection: &str) -> Result<(), Failure> {
    let Some(shadow) = record::builds(connection, projection)?.shadow else { return Ok(()) };
    shadow.tables.iter().try_for_each(|table| tables::drop(connection, Side::Shadow, table))?;
    record::forget(connection, projection, Side::Shadow, shadow.generation)
}

/// The shadow build while it is being loaded.
fn loading(connection: &Connection, projection: &str) -> Result<Build, Failure> {
    let build = record::build(connection, projection, Side::Shadow)?;
    if build.is_complete {
        return Err(Refusal::unexpected("it is complete already").at(place(projection, Side::Shadow)).into());
    }
    Ok(build)
}

fn table_of(build: &Build, number: usize) -> Result<&Table, Failure> {
    let none = || Refusal::unexpected("the projection has no such table").at(format_args!("table {number}"));
    Ok(build.tables.get(number).ok_or_else(none)?)
}

/// Adds rows to a table of the shadow build.
pub(super) fn load(connection: &Connection, projection: &str, number: usize, rows: &[Row]) -> Result<(), Failure> {
    let build = loading(connection, projection)?;
    let table = table_of(&build, number)?;
    tables::verify(connection, Side::Shadow, table)?;
    let mut insert = connection.prepare_cached(&insert_into(Side::Shadow, table))?;
    let mut text = String::new();
    for row in rows {
        bind_row(&mut insert, table, &row.0, &mut text)?;
        if let Err(error) = insert.raw_execute() {
            return Err(not_inserted(table, row, error));
        }
    }
    Ok(())
}

fn not_inserted(table: &Table, row: &Row, error: rusqlite::Error) -> Failure {
    if error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) {
        return error.into();
    }
    let key: Vec<String> = table.key.iter().map(|place| format!("`{}`", row.0[*place])).collect();
    Refusal::bad_input(error).at(format_args!("table {}, key {}", table.name, key.join(", "))).into()
}

fn insert_into(side: Side, table: &Table) -> String {
    let columns: Vec<String> = stored_columns(table).iter().map(|name| quoted(name)).collect();
    let parameters: Vec<String> = (1..=columns.len()).map(|number| format!("?{number}")).collect();
    let name = quoted(&name_on(side, &table.name));
    format!("INSERT INTO {name} ({}) VALUES ({})", columns.join(", "), parameters.join(", "))
}

/// Ends the loading of the shadow build.
pub(super) fn complete(
    connection: &Connection,
    projection: &str,
    checkpoint: Option<Position>,
    events: u64,
    quarantined: &[Quarantined],
) -> Result<(), Failure> {
    let build = loading(connection, projection)?;
    for table in &build.tables {
        tables::verify(connection, Side::Shadow, table)?;
        tables::create_indexes(connection, table, build.generation)?;
    }
    ledger::quarantine(connection, projection, build.generation, quarantined)?;
    let whole = Build { checkpoint, events, is_complete: true, updated_at: Timestamp::now(), ..build };
    record::put(connection, projection, Side::Shadow, &whole)
}

/// Takes a step on a complete build.
pub(super) fn step(connection: &Connection, side: Side, projection: &str, step: &Step) -> Result<(), Failure> {
    let build = complete_build(connection, projection, side)?;
    if build.checkpoint != step.from {
        let shown = |position: Option<Position>| position.map_or("none".to_owned(), |position| position.to_string());
        let message =
            format!("its checkpoint is {}, but the step begins at {}", shown(build.checkpoint), shown(step.from));
        return Err(Refusal::unexpected(message)
            .at(place(projection, side))
            .hint("something else has updated it: read its checkpoint again and go on from there")
            .into());
    }
    for (number, table) in build.tables.iter().enumerate() {
        let updates: Vec<&RowUpdate> = step.rows.iter().filter(|update| update.table == number).collect();
        if !updates.is_empty() {
            tables::verify(connection, side, table)?;
            update(connection, side, table, &updates)?;
        }
    }
    step.rows.iter().try_for_each(|update| table_of(&build, update.table).map(|_| ()))?;
    ledger::quarantine(connection, projection, build.generation, &step.quarantined)?;
    let events = build.events.saturating_add(step.events);
    let stepped = Build { checkpoint: Some(step.to), events, updated_at: Timestamp::now(), ..build };
    record::put(connection, projection, side, &stepped)
}

/// Makes the rows of a table what they shall be.
pub(super) fn update(
    connection: &Connection,
    side: Side,
    table: &Table,
    updates: &[&RowUpdate],
) -> Result<(), Failure> {
    let mut text = String::new();
    // A unique value may go from one row to another, in any order of the rows, so all of them give theirs up first.
    let all_give_up = table.indexes.iter().any(|index| index.unique);
    let mut delete = connection.prepare_cached(&format!(
        "DELETE FROM {} WHERE {}",
        quoted(&name_on(side, &table.name)),
        key_is(table)
    ))?;
    for update in updates.iter().filter(|update| all_give_up || update.row.is_none()) {
        bind_key(&mut delete, table, &update.key, &mut text)?;
        delete.raw_execute()?;
    }
    let mut put = connection.prepare_cached(&upsert_into(side, table))?;
    for update in updates {
        let Some(row) = &update.row else { continue };
        bind_row(&mut put, table, &row.0, &mut text)?;
        if row.key(table).map_err(|reason| Refusal::bad_input(reason.message))? != update.key {
            let message = "a row has another key than it is put at";
            return Err(Refusal::bad_input(message).at(format_args!("table {}", table.name)).into());
        }
        if let Err(error) = put.raw_execute() {
            return Err(match error.sqlite_error_code() {
                Some(ErrorCode::ConstraintViolation) => not_unique(connection, side, table, row, error)?,
                _ => error.into(),
            });
        }
    }
    Ok(())
}

fn upsert_into(side: Side, table: &Table) -> String {
    let others: Vec<String> = stored_columns(table)
        .iter()
        .enumerate()
        .filter(|(place, _)| !table.key.contains(place))
        .map(|(_, name)| quoted(name))
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let action = if others.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", others.join(", ")) };
    format!("{} ON CONFLICT ({}) DO {action}", insert_into(side, table), column_list(table, &table.key))
}

/// Names the values of a row that another row has in a unique index.
fn not_unique(
    connection: &Connection,
    side: Side,
    table: &Table,
    row: &Row,
    error: rusqlite::Error,
) -> Result<Failure, Failure> {
    for index in table.indexes.iter().filter(|index| index.unique) {
        let values: Vec<&Value> = index.columns.iter().map(|place| &row.0[*place]).collect();
        if is_taken(connection, side, table, index, &values)? {
            let place = format!("table {}", table.name);
            let refusal = Refusal::bad_input(table.same_values(index, &values)).at(place);
            return Ok(refusal.hint(tables::MAKE_UNIQUE).into());
        }
    }
    // A unique index, constraint or trigger that others made.
    Ok(not_inserted(table, row, error))
}

fn is_taken(
    connection: &Connection,
    side: Side,
    table: &Table,
    index: &Index,
    values: &[&Value],
) -> Result<bool, Failure> {
    let equal = |(number, place): (usize, &usize)| {
        let column = &table.columns[*place];
        let value = match column.column_type {
            ColumnType::Numeric => value_of_digits(column),
            _ => quoted(&column.name),
        };
        format!("{value} = ?{}", number + 1)
    };
    let equal: Vec<String> = index.columns.iter().enumerate().map(equal).collect();
    let sql = format!("SELECT 1 FROM {} WHERE {}", quoted(&name_on(side, &table.name)), equal.join(" AND "));
    let mut statement = connection.prepare(&sql)?;
    let mut text = String::new();
    for (number, (place, value)) in index.columns.iter().zip(values).enumerate() {
        match value {
            Value::Numeric(digits) => bind_digits(&mut statement, number + 1, digits.shortest(), &mut text)?,
            value => bind(&mut statement, number + 1, &table.columns[*place], value, &mut text)?,
        }
    }
    Ok(statement.raw_query().next()?.is_some())
}

fn columns_are(table: &Table, places: &[usize]) -> String {
    let equal = |(number, place): (usize, &usize)| format!("{} = ?{}", quoted(&table.columns[*place].name), number + 1);
    places.iter().enumerate().map(equal).collect::<Vec<_>>().join(" AND ")
}

fn key_is(table: &Table) -> String {
    columns_are(table, &table.key)
}

fn bind_key(statement: &mut Statement<'_>, table: &Table, key: &RowKey, text: &mut String) -> Result<(), Failure> {
    let unreadable = |reason: eventlift_transformers::Reason| {
        Refusal::bad_input(reason.message).at(format_args!("table {}", table.name))
    };
    let key = key.values(&table.key_types()).map_err(unreadable)?;
    for (number, (place, value)) in table.key.iter().zip(&key).enumerate() {
        values::bind(statement, number + 1, &table.columns[*place], value, text)?;
    }
    Ok(())
}

/// Rows by their keys, in the order of the keys asked for.
pub(super) fn rows(
    connection: &Connection,
    side: Side,
    projection: &str,
    number: usize,
    keys: &[RowKey],
) -> Result<Vec<Option<Row>>, Failure> {
    let build = record::build(connection, projection, side)?;
    let table = table_of(&build, number)?;
    tables::verify(connection, side, table)?;
    let mut select = connection.prepare_cached(&format!("{} WHERE {}", select_from(side, table), key_is(table)))?;
    let mut text = String::new();
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        bind_key(&mut select, table, key, &mut text)?;
        found.push(read_rows(&mut select, table)?.pop());
    }
    Ok(found)
}

/// Rows behind a key, in the order of the keys.
pub(super) fn scan(
    connection: &Connection,
    side: Side,
    projection: &str,
    number: usize,
    after: Option<&RowKey>,
    limit: usize,
) -> Result<Vec<Row>, Failure> {
    let build = complete_build(connection, projection, side)?;
    let table = table_of(&build, number)?;
    tables::verify(connection, side, table)?;
    let key = column_list(table, &table.key);
    let parameters: Vec<String> = (1..=table.key.len()).map(|number| format!("?{number}")).collect();
    let behind = match after {
        Some(_) => format!("WHERE ({key}) > ({})", parameters.join(", ")),
        None => String::new(),
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = format!("{} {behind} ORDER BY {key} LIMIT {limit}", select_from(side, table));
    let mut select = connection.prepare_cached(&sql)?;
    if let Some(after) = after {
        bind_key(&mut select, table, after, &mut String::new())?;
    }
    read_rows(&mut select, table)
}

fn select_from(side: Side, table: &Table) -> String {
    format!("SELECT {} FROM {}", read_columns(table), quoted(&name_on(side, &table.name)))
}

fn read_rows(select: &mut CachedStatement<'_>, table: &Table) -> Result<Vec<Row>, Failure> {
    let mut found = Vec::new();
    let mut rows = select.raw_query();
    while let Some(row) = rows.next()? {
        found.push(Row(read_row(table, row)?));
    }
    Ok(found)
}
