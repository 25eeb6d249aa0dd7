//! What others made on our live tables: indexes and triggers, which go along with the name.

use eventlift_projections::Table;
use rusqlite::Connection;

use super::refusal::{Failure, Refusal};
use super::tables::{index_names, quoted};

/// An index or trigger on a table.
#[derive(Debug)]
pub(super) struct Object {
    kind: String,
    name: String,
    /// The table's name in the record.
    table: String,
    /// The statement that makes it.
    sql: String,
}

/// Takes the indexes and triggers that others made off a live table.
pub(super) fn take_off(connection: &Connection, table: &Table, generation: u64) -> Result<Vec<Object>, Failure> {
    let ours = index_names(table, generation);
    let mut statement = connection.prepare_cached(
        "SELECT type, name, sql FROM sqlite_schema
         WHERE type IN ('index', 'trigger') AND tbl_name = ?1 COLLATE NOCASE AND sql IS NOT NULL ORDER BY rowid",
    )?;
    let found = statement.query_map([&table.name], |row| {
        Ok(Object { kind: row.get(0)?, name: row.get(1)?, table: table.name.clone(), sql: row.get(2)? })
    })?;
    let found: Vec<Object> = found.collect::<Result<_, _>>()?;
    let others: Vec<Object> = found.into_iter().filter(|object| !ours.contains(&object.name)).collect();
    for object in &others {
        connection.execute_batch(&format!("DROP {} {}", object.kind, quoted(&object.name)))?;
    }
    Ok(others)
}

/// Puts them on the table that has the name now. Fails where one does not fit it.
pub(super) fn put_on(connection: &Connection, objects: &[Object]) -> Result<(), Failure> {
    for Object { kind, name, table, sql } in objects {
        if let Err(error) = connection.execute_batch(sql) {
            let message =
                format!("the {kind} `{name}`, which eventlift did not make, can't be on the new table: {error}");
            return Err(Refusal::unexpected(message)
                .at(format_args!("table {table}"))
                .hint(format_args!("drop the {kind} `{name}`, or declare it in the projection"))
                .into());
        }
    }
    Ok(())
}
