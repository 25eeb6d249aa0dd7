//! Ledgers with rows that no run of ours has written: each line is a statement's column and value.

use eventlift::events::RunId;
use eventlift::ledger;
use rusqlite::Connection;

use super::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "ledger",
    dictionary: &[
        "runs.started_at",
        "runs.state",
        "runs.details",
        "checkpoints.source",
        "checkpoints.target",
        "checkpoints.read",
        "positions.source_major",
        "positions.source_minor",
        "positions.source_length",
        "positions.target_major",
        "positions.target_length",
        "notes.key",
        "notes.value",
        "state.value",
        "=",
        "-1",
        "9223372036854775807",
        "{}",
        "null",
        "2024-01-01T00:00:00Z",
        "\n",
        "\"",
        "[]",
        "1-2",
        "0",
    ],
    always: 500,
    run,
};

const RUN: &str = "0190163d-8694-739b-aea5-966c26f8ad91";

fn run(input: &[u8]) -> Result<String, String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok("not text".to_owned()) };
    let connection = Connection::open_in_memory().unwrap();
    ledger::create(&connection).unwrap();
    for line in text.lines() {
        let Some((place, value)) = line.split_once('=') else { continue };
        let Some((table, column)) = place.split_once('.') else { continue };
        insert(&connection, table, column, value);
    }
    let id: RunId = RUN.parse().unwrap();
    let end = (|| {
        let runs = ledger::runs(&connection)?.len();
        ledger::checkpoint(&connection, id)?;
        let positions = ledger::positions(&connection, id, None, 100)?;
        for range in &positions {
            ledger::position_at(&connection, id, range.source)?;
        }
        ledger::notes(&connection, id, "book", None, 100)?;
        Ok::<_, rusqlite::Error>(format!("read {} {}", runs > 0, positions.is_empty()))
    })();
    Ok(end.unwrap_or_else(|error| error.to_string()))
}

/// A row with this value in this column, and something in the others.
fn insert(connection: &Connection, table: &str, column: &str, value: &str) {
    let table = format!("eventlift_{table}");
    let Ok(mut columns) = connection.prepare("SELECT name, type FROM pragma_table_info(?1)") else { return };
    let columns: Vec<(String, String)> = columns
        .query_map([&table], |row| Ok((row.get(0)?, row.get(1)?)))
        .and_then(Iterator::collect)
        .unwrap_or_default();
    if columns.is_empty() {
        return;
    }
    let values = columns.iter().map(|(name, kind)| match (name == column, kind.as_str()) {
        (true, "INTEGER") => rusqlite::types::Value::Integer(value.parse().unwrap_or(-7)),
        (true, "BLOB") => rusqlite::types::Value::Blob(value.as_bytes().to_vec()),
        (true, _) => rusqlite::types::Value::Text(value.to_owned()),
        (false, "INTEGER") => rusqlite::types::Value::Integer(1),
        (false, "BLOB") => rusqlite::types::Value::Blob(vec![b'1']),
        (false, _) if name == "run" || name == "id" => rusqlite::types::Value::Text(RUN.to_owned()),
        (false, _) if name == "book" => rusqlite::types::Value::Text("book".to_owned()),
        (false, _) => rusqlite::types::Value::Text("1".to_owned()),
    });
    let marks = vec!["?"; columns.len()].join(", ");
    let insert = format!("INSERT OR REPLACE INTO {table} VALUES ({marks})");
    drop(connection.execute(&insert, rusqlite::params_from_iter(values)));
}
