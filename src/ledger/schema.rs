//! The ledger's tables.

use rusqlite::{Connection, Result};

use super::renewal;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS eventlift_runs (
    number      INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    state       TEXT NOT NULL,
    source      TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    parts       TEXT NOT NULL,
    started_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    tool        TEXT NOT NULL,
    details     TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE TABLE IF NOT EXISTS eventlift_checkpoints (
    run     TEXT PRIMARY KEY,
    source  TEXT NOT NULL,
    target  TEXT,
    read    INTEGER NOT NULL,
    lifted  INTEGER NOT NULL,
    dropped INTEGER NOT NULL,
    split   INTEGER NOT NULL,
    written INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS eventlift_state (
    run    TEXT NOT NULL,
    owner  TEXT NOT NULL,
    stream TEXT NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (run, owner, stream)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS eventlift_notes (
    run   TEXT NOT NULL,
    book  TEXT NOT NULL,
    key   TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (run, book, key)
) STRICT, WITHOUT ROWID;
";

/// How a table of the position map begins, which may also be made for one connection alone.
pub(super) const CREATE: &str = "CREATE TABLE IF NOT EXISTS ";
/// How its index begins, and how that of a temporary table does.
pub(super) const INDEX: &str = "CREATE INDEX IF NOT EXISTS ";
pub(super) const TEMPORARY_INDEX: &str = "CREATE INDEX temp.";

pub(super) const POSITIONS: &str = "
CREATE TABLE IF NOT EXISTS eventlift_positions (
    run           TEXT NOT NULL,
    source_major  INTEGER NOT NULL,
    source_minor  INTEGER NOT NULL,
    source_length INTEGER NOT NULL,
    target_major  INTEGER NOT NULL,
    target_minor  INTEGER NOT NULL,
    target_length INTEGER NOT NULL,
    PRIMARY KEY (run, source_major, source_minor)
) STRICT, WITHOUT ROWID";

pub(super) const LATE: &str = "
CREATE TABLE IF NOT EXISTS eventlift_late (
    run           TEXT NOT NULL,
    source_major  INTEGER NOT NULL,
    source_minor  INTEGER NOT NULL,
    target_major  INTEGER NOT NULL,
    target_minor  INTEGER NOT NULL,
    target_length INTEGER NOT NULL,
    PRIMARY KEY (run, source_major, source_minor, target_major, target_minor)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS eventlift_late_target ON eventlift_late (run, target_major, target_minor)";

/// Creates the tables that are not there yet, and brings what an earlier version made to today's form. In the caller's
/// transaction, where it has one.
pub fn create(connection: &Connection) -> Result<()> {
    connection.execute_batch("SAVEPOINT eventlift_create")?;
    match create_missing(connection) {
        Ok(()) => connection.execute_batch("RELEASE eventlift_create"),
        Err(error) => {
            // The caller hears of the first error.
            let _ = connection.execute_batch("ROLLBACK TO eventlift_create; RELEASE eventlift_create");
            Err(error)
        }
    }
}

fn create_missing(connection: &Connection) -> Result<()> {
    connection.execute_batch(TABLES)?;
    connection.execute_batch(POSITIONS)?;
    if !has_late_positions(connection)? {
        connection.execute_batch(LATE)?;
        renewal::renew(connection)?;
    }
    if !has_details(connection)? {
        connection.execute_batch("ALTER TABLE eventlift_runs ADD COLUMN details TEXT NOT NULL DEFAULT '{}'")?;
    }
    Ok(())
}

/// Whether a ledger has all tables and columns of this version: one that an earlier version made may not.
pub fn is_current(connection: &Connection) -> Result<bool> {
    Ok(has_details(connection)? && has_notes(connection)? && has_late_positions(connection)?)
}

/// Whether runs have details.
pub(super) fn has_details(connection: &Connection) -> Result<bool> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM pragma_table_info('eventlift_runs') WHERE name = 'details')",
        [],
        |row| row.get(0),
    )
}

/// Whether there can be notes.
pub(super) fn has_notes(connection: &Connection) -> Result<bool> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'eventlift_notes')",
        [],
        |row| row.get(0),
    )
}

/// Whether there can be late positions, also where only this connection sees them.
pub(super) fn has_late_positions(connection: &Connection) -> Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM pragma_table_info('eventlift_late'))")?
        .query_row([], |row| row.get(0))
}

/// Whether the database has a ledger.
pub fn exists(connection: &Connection) -> Result<bool> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'eventlift_runs')",
        [],
        |row| row.get(0),
    )
}
