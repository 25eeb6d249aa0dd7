//! Positions in a table of somebody else's.

use std::collections::BTreeSet;
use std::time::Duration;

use eventlift_events::{RunId, StoreError};
use rusqlite::{Connection, OpenFlags, params};

use super::config::SqliteConfig;
use crate::ledger;
use crate::stores::checkpoint_table::{
    CheckpointChange, CheckpointRow, CheckpointRows, CheckpointTable, TRANSLATED, no_key, not_one,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// The rows of a table.
pub(in crate::stores) fn checkpoint_rows(
    config: &SqliteConfig,
    table: &CheckpointTable,
    run: RunId,
) -> Result<CheckpointRows, StoreError> {
    let failed = |error| ledger::store_error("read", config.display(), error);
    let connection = ledger::open_to_read(config.existing()?, PATIENCE).map_err(failed)?;
    let rows: Vec<(Option<String>, Option<String>)> = connection
        .prepare(&format!(
            "SELECT CAST({key} AS TEXT), CAST({column} AS TEXT) FROM {table} ORDER BY 1",
            key = column(&table.key),
            column = column(&table.column),
            table = name(table),
        ))
        .and_then(|mut query| query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .map_err(failed)?;
    let rows: Option<Vec<CheckpointRow>> =
        rows.into_iter().map(|(key, position)| Some(CheckpointRow { key: key?, position })).collect();
    let rows = rows.ok_or_else(|| no_key(config.display(), table))?;
    let translated = translated(&connection, table, run).map_err(failed)?;
    Ok(CheckpointRows { rows, translated })
}

fn translated(connection: &Connection, table: &CheckpointTable, run: RunId) -> rusqlite::Result<BTreeSet<String>> {
    let schema = table.schema_or("main");
    let is_there: bool = connection.query_row(
        &format!("SELECT EXISTS (SELECT 1 FROM {}.sqlite_master WHERE type = 'table' AND name = ?1)", quoted(schema)),
        [TRANSLATED],
        |row| row.get(0),
    )?;
    if !is_there {
        return Ok(BTreeSet::new());
    }
    connection
        .prepare(&format!("SELECT row_key FROM {}.{TRANSLATED} WHERE run = ?1 AND column_name = ?2", quoted(schema)))?
        .query_map(params![run.to_string(), table.column_name()], |row| row.get(0))?
        .collect()
}

/// Changes rows, all or none.
pub(in crate::stores) fn change_checkpoints(
    config: &SqliteConfig,
    table: &CheckpointTable,
    run: RunId,
    changes: &[CheckpointChange],
) -> Result<(), StoreError> {
    let failed = |error| ledger::store_error("translate positions in", config.display(), error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(ledger::as_file(config.existing()?), flags).map_err(failed)?;
    connection.busy_timeout(PATIENCE).map_err(failed)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
    let schema = quoted(table.schema_or("main"));
    transaction
        .execute_batch(&format!(
            "CREATE TABLE IF NOT EXISTS {schema}.{TRANSLATED} (run TEXT, column_name TEXT, row_key TEXT, was TEXT, became TEXT,
                 translated_at TEXT DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (run, column_name, row_key))"
        ))
        .map_err(failed)?;
    // A number stays a number, text stays text.
    let update = format!(
        "UPDATE {name} SET {column} = CASE typeof({column}) WHEN 'integer' THEN CAST(?1 AS INTEGER) ELSE ?1 END
         WHERE CAST({key} AS TEXT) = ?2 AND CAST({column} AS TEXT) = ?3",
        name = name(table),
        column = column(&table.column),
        key = column(&table.key),
    );
    let note = format!(
        "INSERT INTO {schema}.{TRANSLATED} (run, column_name, row_key, was, became) VALUES (?1, ?2, ?3, ?4, ?5)"
    );
    for change in changes {
        let changed = transaction.execute(&update, params![change.to, change.key, change.from]).map_err(failed)?;
        if changed != 1 {
            return Err(not_one(config.display(), change, changed as u64));
        }
        transaction
            .execute(&note, params![run.to_string(), table.column_name(), change.key, change.from, change.to])
            .map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

fn name(table: &CheckpointTable) -> String {
    format!("{}.{}", quoted(table.schema_or("main")), quoted(&table.table))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A column. SQLite takes a quoted name that no column has for text, which brackets are not; a name can't hold `]` then.
fn column(name: &str) -> String {
    if name.contains(']') { quoted(name) } else { format!("[{name}]") }
}
