//! The ledger's tables.

use rusqlite::{Connection, Result};

/// `tables` and `parts` are JSON; times are microseconds since 1970. A generation's quarantine is numbered as it came.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS eventlift_projections (
    projection  TEXT NOT NULL,
    side        TEXT NOT NULL CHECK (side IN ('live', 'shadow', 'previous')),
    generation  INTEGER NOT NULL,
    source      TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    parts       TEXT NOT NULL,
    tables      TEXT NOT NULL,
    checkpoint  TEXT,
    events      INTEGER NOT NULL,
    is_complete INTEGER NOT NULL,
    begun_at    INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (projection, side)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS eventlift_generations (
    projection TEXT PRIMARY KEY,
    last       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS eventlift_quarantine (
    projection TEXT NOT NULL,
    generation INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    held_table INTEGER,
    held_key   BLOB,
    id         TEXT NOT NULL,
    stream     TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    position   TEXT NOT NULL,
    reason     TEXT NOT NULL,
    PRIMARY KEY (projection, generation, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS eventlift_rebuilds (
    number     INTEGER PRIMARY KEY,
    projection TEXT NOT NULL,
    action     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    schedule   TEXT,
    due_at     INTEGER,
    outcome    TEXT NOT NULL,
    begun_at   INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    events     INTEGER NOT NULL,
    rows       INTEGER NOT NULL
) STRICT;
";

/// Creates the tables that are not there yet.
pub(super) fn create(connection: &Connection) -> Result<()> {
    connection.execute_batch(TABLES)
}

/// Whether the database has them. The last one is there only with all of them.
pub(super) fn exists(connection: &Connection) -> Result<bool> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'eventlift_rebuilds')",
        [],
        |row| row.get(0),
    )
}
