//! The table of events, its indexes, and an event as a row.

use bytes::Bytes;
use eventlift_events::{ContentType, Event, Payload};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Result, ToSql, params};

/// Marks a database as one of ours (`elft`), as SQLite's `application_id`.
pub(super) const APPLICATION_ID: i32 = 0x656c_6674;
/// The version of the layout, as SQLite's `user_version`.
pub(super) const LAYOUT_VERSION: i32 = 1;

/// `data` and `metadata` are TEXT where they are JSON in UTF-8, else BLOB; NULL where the event has none. The types
/// are NULL for JSON. `recorded_at` counts microseconds since 1970.
pub(super) const TABLE: &str = "
CREATE TABLE events (
    position       INTEGER PRIMARY KEY,
    stream         TEXT NOT NULL,
    revision       INTEGER NOT NULL,
    id             TEXT NOT NULL,
    type           TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    recorded_at    INTEGER NOT NULL,
    data           ANY,
    metadata       ANY,
    data_type      TEXT,
    metadata_type  TEXT,
    attributes     TEXT
) STRICT";

/// The indexes of a sealed store, the ones that prove something first.
pub(super) const INDEXES: [(&str, &str); 3] = [
    ("events_stream", "CREATE UNIQUE INDEX IF NOT EXISTS events_stream ON events (stream, revision)"),
    ("events_id", "CREATE UNIQUE INDEX IF NOT EXISTS events_id ON events (id)"),
    ("events_type", "CREATE INDEX IF NOT EXISTS events_type ON events (type, schema_version)"),
];

/// Columns in the order that the reader expects.
pub(super) const COLUMNS: &str = "position, stream, revision, id, type, schema_version, recorded_at, \
                                  data, metadata, data_type, metadata_type, attributes";

/// What a database file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Content {
    /// No tables at all.
    Nothing,
    /// Our layout, without its indexes: the target of a load that has not ended.
    Loading,
    /// Our layout.
    Sealed,
    /// Our layout in a version that this program does not know.
    OtherVersion(i32),
    /// Something else.
    Foreign,
}

/// Looks at what a database holds.
pub(super) fn content(connection: &Connection) -> Result<Content> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application == APPLICATION_ID {
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != LAYOUT_VERSION {
            return Ok(Content::OtherVersion(version));
        }
        let indexes: i64 = connection.query_row(
            "SELECT count(*) FROM sqlite_schema WHERE type = 'index'
             AND name IN ('events_stream', 'events_id', 'events_type')",
            [],
            |row| row.get(0),
        )?;
        return Ok(if indexes == INDEXES.len() as i64 { Content::Sealed } else { Content::Loading });
    }
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(if tables == 0 { Content::Nothing } else { Content::Foreign })
}

/// Creates the layout in an empty database, without its indexes.
pub(super) fn create(connection: &Connection) -> Result<()> {
    connection.execute_batch(TABLE)?;
    // A store that is allowed gaps in revisions says so here; see `seal`.
    connection.execute_batch(
        "CREATE TABLE eventlift_store (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    )?;
    crate::ledger::create(connection)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", LAYOUT_VERSION)
}

/// Whether revisions may have gaps here.
pub(super) fn is_sparse(connection: &Connection) -> Result<bool> {
    let value: Option<String> = connection
        .query_row("SELECT value FROM eventlift_store WHERE name = 'revisions'", [], |row| row.get(0))
        .optional()?;
    Ok(value.as_deref() == Some("sparse"))
}

/// Remembers that revisions may have gaps here.
pub(super) fn set_sparse(connection: &Connection) -> Result<()> {
    connection.execute("INSERT OR REPLACE INTO eventlift_store VALUES ('revisions', 'sparse')", []).map(|_| ())
}

/// Forgets that revisions may have gaps here.
pub(super) fn set_dense(connection: &Connection) -> Result<()> {
    connection.execute("DELETE FROM eventlift_store WHERE name = 'revisions'", []).map(|_| ())
}

/// The statement that [`insert`] runs.
pub(super) const INSERT: &str = "INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";

/// Writes an event as a row.
pub(super) fn insert(statement: &mut CachedStatement<'_>, event: &Event, number: RowNumbers) -> Result<()> {
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    let id_text;
    let id = match event.id.as_uuid() {
        Some(uuid) => &*uuid.hyphenated().encode_lower(&mut id),
        None => {
            id_text = event.id.to_string();
            &id_text
        }
    };
    statement
        .execute(params![
            number.position,
            event.stream.as_str(),
            number.revision,
            id,
            event.event_type.as_str(),
            event.version.number(),
            event.recorded_at.micros(),
            PayloadColumn(&event.data),
            PayloadColumn(&event.metadata),
            type_column(&event.data),
            type_column(&event.metadata),
            AttributesColumn(&event.attributes),
        ])
        .map(|_| ())
}

/// An event's position and revision in SQLite's signed integers.
#[derive(Clone, Copy)]
pub(super) struct RowNumbers {
    pub(super) position: i64,
    pub(super) revision: i64,
}

impl RowNumbers {
    /// None where a number is too large, or the position has two.
    pub(super) fn of(event: &Event) -> Option<Self> {
        if event.position.minor().is_some() {
            return None;
        }
        Some(Self {
            position: i64::try_from(event.position.major()).ok()?,
            revision: i64::try_from(event.revision.0).ok()?,
        })
    }
}

/// A payload as a column holds it.
pub(super) struct PayloadColumn<'a>(pub(super) &'a Payload);

impl ToSql for PayloadColumn<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        let bytes = self.0.bytes();
        let value = if bytes.is_empty() {
            ValueRef::Null
        } else if self.0.holds_json() {
            ValueRef::Text(bytes)
        } else {
            ValueRef::Blob(bytes)
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

struct AttributesColumn<'a>(&'a Bytes);

impl ToSql for AttributesColumn<'_> {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        let value = if self.0.is_empty() { ValueRef::Null } else { ValueRef::Text(self.0) };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

/// What the column of its content type holds.
pub(super) fn type_column(payload: &Payload) -> Option<&str> {
    match payload.content_type() {
        ContentType::Json => None,
        other => Some(other.as_str()),
    }
}
