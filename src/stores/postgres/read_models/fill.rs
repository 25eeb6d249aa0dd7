//! Filling builds: begin, load, complete, step; and reading their rows.

use eventlift_events::{Position, Timestamp};
use eventlift_projections::{Build, Origin, Quarantined, Row, RowKey, RowUpdate, Side, Step, Table, Value};
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor, ValueRef};

use super::super::relation::{Quoted, Relation};
use super::record::{self, place};
use super::refusal::{Failure, Refusal};
use super::schema::ledger as ledger_table;
use super::tables::{self, all_columns, column_list, name_on, relation};
use super::values::{self, Array, sql_type};
use super::{ledger, values::check_row};

/// Begins a shadow build with empty tables.
pub(super) async fn begin(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
    origin: &Origin,
    declared: &[Table],
) -> Result<Build, Failure> {
    if let Some(problem) = Table::problem_of_all(declared) {
        return Err(Refusal::unsupported(problem).at(projection).into());
    }
    declared.iter().try_for_each(tables::check)?;
    refuse_clashes(declared)?;
    refuse_owned(connection, schema, projection, declared).await?;
    discard(connection, schema, projection).await?;
    refuse_foreign(connection, schema, projection, declared).await?;
    let now = Timestamp::now();
    let build = Build {
        generation: record::next_generation(connection, schema, projection).await?,
        origin: origin.clone(),
        tables: declared.to_vec(),
        checkpoint: None,
        events: 0,
        is_complete: false,
        begun_at: now,
        updated_at: now,
    };
    for table in declared {
        tables::create(connection, schema, table).await?;
    }
    record::put(connection, schema, projection, Side::Shadow, &build).await?;
    Ok(build)
}

/// All names that a table may have in its life. Projections keep out of one another's way however names are written.
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

fn share_a_name(one: &Table, other: &Table) -> bool {
    let others = names(other);
    names(one).iter().any(|name| others.contains(name))
}

/// Fails where a table belongs to another projection.
async fn refuse_owned(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
    declared: &[Table],
) -> Result<(), Failure> {
    for other in record::projections(connection, schema).await?.iter().filter(|other| *other != projection) {
        let builds = record::builds(connection, schema, other).await?;
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
async fn refuse_foreign(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
    declared: &[Table],
) -> Result<(), Failure> {
    let builds = record::builds(connection, schema, projection).await?;
    for table in declared {
        for side in Side::ALL {
            let ours = builds.side(side).is_some_and(|build| build.tables.iter().any(|t| t.name == table.name));
            let name = name_on(side, &table.name);
            if let Some(kind) = tables::kind_of(connection, schema, &name).await?.filter(|_| !ours) {
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
pub(super) async fn discard(connection: &mut PgConnection, schema: &str, projection: &str) -> Result<(), Failure> {
    let Some(shadow) = record::builds(connection, schema, projection).await?.shadow else { return Ok(()) };
    for table in &shadow.tables {
        tables::drop(connection, schema, Side::Shadow, table).await?;
    }
    record::forget(connection, schema, projection, shadow.generation).await
}

/// The shadow build while it is being loaded.
async fn loading(connection: &mut PgConnection, schema: &str, projection: &str) -> Result<Build, Failure> {
    let build = record::build(connection, schema, projection, Side::Shadow).await?;
    if build.is_complete {
        return Err(Refusal::unexpected("it is complete already").at(place(projection, Side::Shadow)).into());
    }
    Ok(build)
}

fn table_of(build: &Build, number: usize) -> Result<&Table, Failure> {
    let none = || Refusal::unexpected("the projection has no such table").at(format_args!("table {number}"));
    Ok(build.tables.get(number).ok_or_else(none)?)
}

/// Adds rows to a table of the shadow build. The same rows given again, because it was not known whether they had
/// arrived, are added once.
pub(super) async fn load(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
    number: usize,
    rows: &[Row],
) -> Result<(), Failure> {
    let build = loading(connection, schema, projection).await?;
    let table = table_of(&build, number)?;
    tables::verify(connection, schema, Side::Shadow, table).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let copied = values::copied(table, rows)?;
    let mut hash = Sha256::new();
    hash.update((number as u64).to_be_bytes());
    hash.update(&copied);
    let sql = format!(
        "UPDATE {} SET last_load = $3 WHERE projection = $1 AND generation = $2 AND last_load IS DISTINCT FROM $3",
        ledger_table(schema, "projections")
    );
    let noted = sqlx::query(AssertSqlSafe(sql))
        .bind(projection)
        .bind(record::integer(build.generation)?)
        .bind(hash.finalize().to_vec())
        .execute(&mut *connection)
        .await?;
    if noted.rows_affected() == 0 {
        return Ok(());
    }
    let name = relation(schema, Side::Shadow, table);
    copy_in(connection, &name, table, &copied)
        .await
        .map_err(|failure| tables::not_unique(table, build.generation, failure))
}

async fn copy_in(connection: &mut PgConnection, name: &Relation, table: &Table, copied: &[u8]) -> Result<(), Failure> {
    let sql = format!("COPY {name} ({}) FROM STDIN (FORMAT binary)", all_columns(table));
    let mut copy = connection.copy_in_raw(&sql).await?;
    copy.send(copied).await?;
    copy.finish().await?;
    Ok(())
}

/// Ends the loading of the shadow build.
pub(super) async fn complete(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
    checkpoint: Option<Position>,
    events: u64,
    quarantined: &[Quarantined],
) -> Result<(), Failure> {
    let build = loading(connection, schema, projection).await?;
    for table in &build.tables {
        tables::verify(connection, schema, Side::Shadow, table).await?;
        tables::finish(connection, schema, table, build.generation).await?;
    }
    ledger::quarantine(connection, schema, projection, build.generation, quarantined).await?;
    let whole = Build { checkpoint, events, is_complete: true, updated_at: Timestamp::now(), ..build };
    record::put(connection, schema, projection, Side::Shadow, &whole).await
}

/// Takes a step on a complete build.
pub(super) async fn step(
    connection: &mut PgConnection,
    schema: &str,
    side: Side,
    projection: &str,
    step: &Step,
) -> Result<(), Failure> {
    let build = record::complete_build(connection, schema, projection, side).await?;
    if build.checkpoint != step.from {
        let shown = |position: Option<Position>| position.map_or("none".to_owned(), |position| position.to_string());
        let message =
            format!("its checkpoint is {}, but the step begins at {}", shown(build.checkpoint), shown(step.from));
        return Err(Refusal::unexpected(message)
            .at(place(projection, side))
            .hint("something else has updated it: read its checkpoint again and go on from there")
            .into());
    }
    for update in &step.rows {
        check_update(table_of(&build, update.table)?, update)?;
    }
    for (number, table) in build.tables.iter().enumerate() {
        let updates: Vec<&RowUpdate> = step.rows.iter().filter(|update| update.table == number).collect();
        if !updates.is_empty() {
            tables::verify(connection, schema, side, table).await?;
            update(connection, schema, side, table, build.generation, &updates).await?;
        }
    }
    ledger::quarantine(connection, schema, projection, build.generation, &step.quarantined).await?;
    let events = build.events.saturating_add(step.events);
    let stepped = Build { checkpoint: Some(step.to), events, updated_at: Timestamp::now(), ..build };
    record::put(connection, schema, projection, side, &stepped).await
}

fn check_update(table: &Table, update: &RowUpdate) -> Result<(), Failure> {
    let Some(row) = &update.row else { return Ok(()) };
    check_row(table, row)?;
    if row.key(table).map_err(|reason| Refusal::bad_input(reason.message))? != update.key {
        let message = "a row has another key than it is put at";
        return Err(Refusal::bad_input(message).at(format_args!("table {}", table.name)).into());
    }
    Ok(())
}

/// Makes the rows of a table what they shall be. Rows that stay are never deleted, not even for a moment: foreign keys
/// of others may speak of them.
async fn update(
    connection: &mut PgConnection,
    schema: &str,
    side: Side,
    table: &Table,
    generation: u64,
    updates: &[&RowUpdate],
) -> Result<(), Failure> {
    let name = relation(schema, side, table);
    // Triggers and defaults that others made may expect their usual path.
    let path = format!("SET LOCAL search_path = {}, \"$user\", public", Quoted(schema));
    connection.execute(AssertSqlSafe(path)).await?;
    let deleted: Vec<&RowKey> = updates.iter().filter(|update| update.row.is_none()).map(|u| &u.key).collect();
    let put: Vec<&Row> = updates.iter().filter_map(|update| update.row.as_ref()).collect();
    let explained = |failure| tables::not_unique(table, generation, failure);
    if !deleted.is_empty() {
        let sql = format!("DELETE FROM {name} AS t USING {} WHERE {}", unnested_keys(table), keys_meet(table));
        run(connection, sql, key_arrays(table, &deleted)?).await.map_err(explained)?;
    }
    if put.is_empty() {
        connection.execute("SET LOCAL search_path = pg_catalog").await?;
        return Ok(());
    }
    let given_up = columns_given_up(table);
    if given_up.is_empty() {
        upsert(connection, &name, table, &put).await.map_err(explained)?;
    } else {
        // A unique value may go from one row to another, in any order of the rows.
        connection.execute("SAVEPOINT step").await?;
        match upsert(connection, &name, table, &put).await {
            Ok(()) => {}
            Err(failure) if failure.code() == Some("23505") => {
                connection.execute("ROLLBACK TO SAVEPOINT step").await?;
                give_up(connection, &name, table, &given_up, &put).await.map_err(explained)?;
                upsert(connection, &name, table, &put).await.map_err(explained)?;
            }
            Err(failure) => return Err(explained(failure)),
        }
        connection.execute("RELEASE SAVEPOINT step").await?;
    }
    connection.execute("SET LOCAL search_path = pg_catalog").await?;
    Ok(())
}

/// The columns of unique indexes that are not in the key: null there is never the same as another.
fn columns_given_up(table: &Table) -> Vec<usize> {
    let unique = table.indexes.iter().filter(|index| index.unique).flat_map(|index| &index.columns);
    let mut places: Vec<usize> = unique.filter(|place| !table.key.contains(place)).copied().collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// Takes the unique values of the rows from them, until they get theirs.
async fn give_up(
    connection: &mut PgConnection,
    name: &Relation,
    table: &Table,
    places: &[usize],
    rows: &[&Row],
) -> Result<(), Failure> {
    let keys: Result<Vec<RowKey>, _> = rows.iter().map(|row| row.key(table)).collect();
    let keys = keys.map_err(|reason| Refusal::bad_input(reason.message))?;
    let nulls: Vec<String> =
        places.iter().map(|place| format!("{} = NULL", Quoted(&table.columns[*place].name))).collect();
    let sql =
        format!("UPDATE {name} AS t SET {} FROM {} WHERE {}", nulls.join(", "), unnested_keys(table), keys_meet(table));
    run(connection, sql, key_arrays(table, &keys.iter().collect::<Vec<_>>())?).await
}

async fn upsert(connection: &mut PgConnection, name: &Relation, table: &Table, rows: &[&Row]) -> Result<(), Failure> {
    let others: Vec<String> = (0..table.columns.len())
        .filter(|place| !table.key.contains(place))
        .map(|place| Quoted(&table.columns[place].name).to_string())
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let action = if others.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", others.join(", ")) };
    let all: Vec<usize> = (0..table.columns.len()).collect();
    let sql = format!(
        "INSERT INTO {name} ({}) SELECT * FROM {} ON CONFLICT ({}) DO {action}",
        all_columns(table),
        unnested(table, &all),
        column_list(table, &table.key)
    );
    let mut arrays = arrays_of(table, &all);
    for row in rows {
        for ((column, value), array) in table.columns.iter().zip(&row.0).zip(&mut arrays) {
            array.push(table, column, value)?;
        }
    }
    run(connection, sql, arrays).await
}

async fn run(connection: &mut PgConnection, sql: String, arrays: Vec<Array>) -> Result<(), Failure> {
    // A plan of a table would outlive the table's swap.
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    for array in arrays {
        query = query.bind(array);
    }
    query.execute(connection).await?;
    Ok(())
}

fn arrays_of(table: &Table, places: &[usize]) -> Vec<Array> {
    places.iter().map(|place| Array::new(table.columns[*place].column_type)).collect()
}

fn key_arrays(table: &Table, keys: &[&RowKey]) -> Result<Vec<Array>, Failure> {
    let mut arrays = arrays_of(table, &table.key);
    let types = table.key_types();
    let unreadable = |reason: eventlift_language::Reason| {
        Refusal::bad_input(reason.message).at(format_args!("table {}", table.name))
    };
    for key in keys {
        let values = key.values(&types).map_err(unreadable)?;
        for ((place, value), array) in table.key.iter().zip(&values).zip(&mut arrays) {
            array.push(table, &table.columns[*place], value)?;
        }
    }
    Ok(arrays)
}

/// Arrays, the first of which is the first parameter, as rows `k` of the columns `k1`, `k2`, … and their number `n`.
fn unnested(table: &Table, places: &[usize]) -> String {
    let cast = |(number, place): (usize, &usize)| {
        format!("${}::{}[]", number + 1, sql_type(table.columns[*place].column_type))
    };
    let parameters: Vec<String> = places.iter().enumerate().map(cast).collect();
    format!("unnest({})", parameters.join(", "))
}

fn unnested_keys(table: &Table) -> String {
    let names: Vec<String> = (1..=table.key.len()).map(|number| format!("k{number}")).collect();
    format!("{} WITH ORDINALITY AS k ({}, n)", unnested(table, &table.key), names.join(", "))
}

fn keys_meet(table: &Table) -> String {
    let meet = |(number, place): (usize, &usize)| {
        let column = &table.columns[*place];
        let collation = if sql_type(column.column_type) == "text" { " COLLATE \"C\"" } else { "" };
        format!("t.{} = k.k{}{collation}", Quoted(&column.name), number + 1)
    };
    table.key.iter().enumerate().map(meet).collect::<Vec<_>>().join(" AND ")
}

/// The columns of `t`, exact numbers as text.
fn selected(table: &Table) -> String {
    let select = |column: &eventlift_projections::Column| match sql_type(column.column_type) {
        "numeric" => format!("t.{}::text", Quoted(&column.name)),
        _ => format!("t.{}", Quoted(&column.name)),
    };
    table.columns.iter().map(select).collect::<Vec<_>>().join(", ")
}

/// A build with one of its tables kept from being renamed until the transaction ends.
async fn kept_in_place(
    connection: &mut PgConnection,
    schema: &str,
    side: Side,
    projection: &str,
    number: usize,
) -> Result<Build, Failure> {
    let mut build = record::build(connection, schema, projection, side).await?;
    loop {
        let table = table_of(&build, number)?;
        let name = relation(schema, side, table);
        let kept = tables::execute(connection, format!("LOCK TABLE {name} IN ACCESS SHARE MODE")).await;
        match kept {
            // Gone by somebody's hand, which the check says better.
            Err(failure) if failure.code() == Some("42P01") => {
                let message = format!("the table `{}` was changed by something else: it is gone", name.name);
                return Err(Refusal::unexpected(message).hint("`eventlift rebuild` builds it anew").into());
            }
            Err(failure) if failure.code() == Some("42809") => {
                let message = format!(
                    "the table `{}` was changed by something else: something that is no table is in its place",
                    name.name
                );
                return Err(Refusal::unexpected(message).hint("drop it, then rebuild").into());
            }
            other => other?,
        }
        let now = record::build(connection, schema, projection, side).await?;
        if now.generation == build.generation {
            tables::verify(connection, schema, side, table_of(&now, number)?).await?;
            return Ok(now);
        }
        // A swap came between; the lock on what was there before does no harm.
        build = now;
    }
}

/// Rows by their keys, in the order of the keys asked for.
pub(super) async fn rows(
    connection: &mut PgConnection,
    schema: &str,
    side: Side,
    projection: &str,
    number: usize,
    keys: &[RowKey],
) -> Result<Vec<Option<Row>>, Failure> {
    let build = kept_in_place(connection, schema, side, projection, number).await?;
    let table = table_of(&build, number)?;
    let name = relation(schema, side, table);
    let sql = format!(
        "SELECT {} FROM {} LEFT JOIN {name} AS t ON {} ORDER BY k.n",
        selected(table),
        unnested_keys(table),
        keys_meet(table)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    for array in key_arrays(table, &keys.iter().collect::<Vec<_>>())? {
        query = query.bind(array);
    }
    let found = query.fetch_all(connection).await?;
    let row = |found: &PgRow| {
        // No part of a key is null in a row that is there.
        let is_there = !sqlx::Row::try_get_raw(found, table.key[0])?.is_null();
        is_there.then(|| values::read_row(table, found)).transpose()
    };
    found.iter().map(row).collect()
}

/// Rows behind a key, in the order of the keys.
pub(super) async fn scan(
    connection: &mut PgConnection,
    schema: &str,
    side: Side,
    projection: &str,
    number: usize,
    after: Option<&RowKey>,
    limit: usize,
) -> Result<Vec<Row>, Failure> {
    let build = kept_in_place(connection, schema, side, projection, number).await?;
    record::require_complete(&build, projection, side)?;
    let table = table_of(&build, number)?;
    let name = relation(schema, side, table);
    let key: Vec<String> = table.key.iter().map(|place| format!("t.{}", Quoted(&table.columns[*place].name))).collect();
    let behind = match after {
        Some(_) => {
            let last = |(number, place): (usize, &usize)| {
                format!("(${}::{}[])[1]", number + 1, sql_type(table.columns[*place].column_type))
            };
            let last: Vec<String> = table.key.iter().enumerate().map(last).collect();
            format!("WHERE ({}) > ({})", key.join(", "), last.join(", "))
        }
        None => String::new(),
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = format!("SELECT {} FROM {name} AS t {behind} ORDER BY {} LIMIT {limit}", selected(table), key.join(", "));
    let mut query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
    if let Some(after) = after {
        for array in key_arrays(table, &[after])? {
            query = query.bind(array);
        }
    }
    let found = query.fetch_all(connection).await?;
    found.iter().map(|row| values::read_row(table, row)).collect()
}

/// Puts one row where there is none with its key, or where the one that is there, called `t`, meets a condition.
pub(super) async fn put_where(
    connection: &mut PgConnection,
    schema: &str,
    table: &Table,
    row: &Row,
    condition: &str,
) -> Result<(), Failure> {
    check_row(table, row)?;
    let name = relation(schema, Side::Live, table);
    let all: Vec<usize> = (0..table.columns.len()).collect();
    let assigned: Vec<String> = all
        .iter()
        .map(|place| Quoted(&table.columns[*place].name).to_string())
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let sql = format!(
        "INSERT INTO {name} AS t ({}) SELECT * FROM {} ON CONFLICT ({}) DO UPDATE SET {} WHERE {condition}",
        all_columns(table),
        unnested(table, &all),
        column_list(table, &table.key),
        assigned.join(", ")
    );
    let mut arrays = arrays_of(table, &all);
    for ((column, value), array) in table.columns.iter().zip::<&[Value]>(&row.0).zip(&mut arrays) {
        array.push(table, column, value)?;
    }
    run(connection, sql, arrays).await
}
