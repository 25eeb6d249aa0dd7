//! What is kept beside a file that eventlift writes: how much of it is committed, the ledger, and an index.

use std::path::{Path, PathBuf};
use std::time::Duration;

use eventlift_events::{Event, EventId, Position, StreamName};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Result, params};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use crate::ledger;
use crate::stores::local_file;

/// The version of these tables.
const FORMAT: i64 = 1;

const TABLES: &str = "
CREATE TABLE eventlift_file (
    only          INTEGER PRIMARY KEY CHECK (only = 1),
    format        INTEGER NOT NULL,
    length        INTEGER NOT NULL,
    lines         INTEGER NOT NULL,
    tail          INTEGER NOT NULL,
    last_position TEXT,
    sealed        INTEGER NOT NULL,
    sparse        INTEGER NOT NULL,
    writing       INTEGER NOT NULL
) STRICT;
";

const INDEX_TABLE: &str = "
CREATE TABLE eventlift_index (
    line     INTEGER PRIMARY KEY,
    stream   BLOB NOT NULL,
    revision INTEGER NOT NULL,
    id       BLOB NOT NULL
) STRICT;
";

/// How many bytes before the committed end are remembered by their hash.
pub(super) const TAIL: usize = 4096;

/// How much of the file is committed, and in which state it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct State {
    /// Bytes that are committed; what is behind them is of an append that was not.
    pub(super) length: u64,
    /// Lines in them, which are as many events.
    pub(super) lines: u64,
    /// Hash of the last bytes of them, so that another file of the same name is noticed.
    pub(super) tail: u64,
    pub(super) last_position: Option<Position>,
    pub(super) sealed: bool,
    pub(super) sparse: bool,
    /// Whether a writer has the file, or was killed while it had it.
    pub(super) writing: bool,
}

impl State {
    /// Nothing is committed yet.
    pub(super) fn empty() -> Self {
        Self {
            length: 0,
            lines: 0,
            tail: tail_hash(&[]),
            last_position: None,
            sealed: false,
            sparse: false,
            writing: true,
        }
    }
}

/// What a database beside a file is.
pub(super) enum Found {
    State(State),
    Nothing,
    OtherFormat(i64),
    Foreign,
}

/// Where it is.
pub(crate) fn path(file: &Path) -> PathBuf {
    let mut name = local_file::behind_links(file).into_os_string();
    name.push(".eventlift");
    PathBuf::from(name)
}

/// Opens it for a writer, creating it where it is missing.
pub(super) fn open(path: &Path) -> Result<Connection> {
    prepare(Connection::open(ledger::as_file(path))?)
}

/// One in memory, for standard output.
pub(super) fn open_in_memory() -> Result<Connection> {
    prepare(Connection::open_in_memory()?)
}

/// Opens it to read from.
pub(super) fn open_to_read(path: &Path) -> Result<Connection> {
    // Not read-only at first: what a killed writer left may have to be rolled back, which SQLite does when it reads.
    let path = ledger::as_file(path);
    let writable =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX);
    let connection = match writable {
        Ok(connection) => connection,
        Err(_) => Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
    };
    connection.busy_timeout(Duration::from_secs(30))?;
    Ok(connection)
}

fn prepare(connection: Connection) -> Result<Connection> {
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Creates the tables, the index apart.
pub(super) fn create(connection: &Connection) -> Result<()> {
    connection.execute_batch(TABLES)?;
    ledger::create(connection)
}

/// What is in the database.
pub(super) fn find(connection: &Connection) -> Result<Found> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(Found::Nothing);
    }
    if !has_table(connection, "eventlift_file")? {
        return Ok(Found::Foreign);
    }
    let format: i64 = connection.query_row("SELECT max(format) FROM eventlift_file", [], |row| row.get(0))?;
    if format != FORMAT { Ok(Found::OtherFormat(format)) } else { Ok(Found::State(state(connection)?)) }
}

/// The committed state.
pub(super) fn state(connection: &Connection) -> Result<State> {
    let sql = "SELECT length, lines, tail, last_position, sealed, sparse, writing FROM eventlift_file";
    connection.query_row(sql, [], |row| {
        let position: Option<String> = row.get(3)?;
        let position = position.map(|text| text.parse()).transpose();
        Ok(State {
            length: row.get::<_, i64>(0)?.unsigned_abs(),
            lines: row.get::<_, i64>(1)?.unsigned_abs(),
            tail: row.get::<_, i64>(2)?.cast_unsigned(),
            last_position: position.map_err(|error| {
                rusqlite::Error::FromSqlConversionFailure(3, rusqlite::types::Type::Text, Box::new(error))
            })?,
            sealed: row.get(4)?,
            sparse: row.get(5)?,
            writing: row.get(6)?,
        })
    })
}

/// Stores the state, in the caller's transaction.
pub(super) fn set_state(connection: &Connection, state: &State) -> Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO eventlift_file VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![
            FORMAT,
            state.length.cast_signed(),
            state.lines.cast_signed(),
            state.tail.cast_signed(),
            state.last_position.map(|position| position.to_string()),
            state.sealed,
            state.sparse,
            state.writing,
        ])?;
    Ok(())
}

/// The hash of the last bytes.
pub(super) fn tail_hash(bytes: &[u8]) -> u64 {
    xxh3_64(&bytes[bytes.len().saturating_sub(TAIL)..])
}

/// Whether every committed line is in the index.
pub(super) fn has_index(connection: &Connection) -> Result<bool> {
    has_table(connection, "eventlift_index")
}

fn has_table(connection: &Connection, name: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
    connection.query_row(sql, [name], |row| row.get(0))
}

/// Creates the index's table, which keeps hashes: 128 bits tell 10¹² names apart.
pub(super) fn create_index_table(connection: &Connection) -> Result<()> {
    connection.execute_batch(INDEX_TABLE)
}

/// Puts a line into the index.
pub(super) fn index_line(connection: &Connection, line: u64, event: &Event) -> Result<()> {
    connection.prepare_cached("INSERT INTO eventlift_index VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        line.cast_signed(),
        stream_hash(&event.stream),
        event.revision.0.cast_signed(),
        id_hash(&event.id)
    ])?;
    Ok(())
}

/// Takes all lines behind this one out of the index; the index itself goes where none is left.
pub(super) fn cut_index(connection: &Connection, lines: u64) -> Result<()> {
    if lines == 0 {
        return connection.execute_batch("DROP TABLE eventlift_index");
    }
    connection.execute("DELETE FROM eventlift_index WHERE line > ?1", [lines.cast_signed()]).map(|_| ())
}

/// Builds one of the two unique indexes; says on which lines it fails.
pub(super) fn create_index(connection: &Connection, key: IndexKey) -> Result<std::result::Result<(), Repeat>> {
    let (name, columns) = match key {
        IndexKey::Id => ("id", "id"),
        IndexKey::Revision => ("revision", "stream, revision"),
    };
    let sql = format!("CREATE UNIQUE INDEX eventlift_index_{name} ON eventlift_index ({columns})");
    match connection.execute_batch(&sql) {
        Ok(()) => Ok(Ok(())),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
            let sql = format!(
                "SELECT min(line), max(line), count(*) FROM eventlift_index GROUP BY {columns} HAVING count(*) > 1
                 ORDER BY min(line) LIMIT 1"
            );
            connection.query_row(&sql, [], |row| {
                Ok(Err(Repeat { first: unsigned(row, 0)?, last: unsigned(row, 1)?, times: unsigned(row, 2)? }))
            })
        }
        Err(error) => Err(error),
    }
}

fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

/// What has to be unique.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum IndexKey {
    Id,
    Revision,
}

/// Lines that hold the same id or revision.
pub(super) struct Repeat {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) times: u64,
}

/// The line before which the first gap in a stream is, and the revision that is missing.
pub(super) fn first_gap(connection: &Connection) -> Result<Option<(u64, u64)>> {
    let sql = "SELECT stream FROM eventlift_index GROUP BY stream
               HAVING min(revision) <> 0 OR max(revision) <> count(*) - 1 LIMIT 1";
    let Some(stream) = connection.query_row(sql, [], |row| row.get::<_, Vec<u8>>(0)).optional()? else {
        return Ok(None);
    };
    let mut rows =
        connection.prepare("SELECT line, revision FROM eventlift_index WHERE stream = ?1 ORDER BY revision")?;
    let rows = rows.query_map([&stream], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)))?;
    for (expected, row) in (0..).zip(rows) {
        let (line, revision) = row?;
        if revision != expected {
            return Ok(Some((line, expected)));
        }
    }
    Ok(None)
}

/// The first line that comes before the line of the revision before its own, and that line.
pub(super) fn first_disorder(connection: &Connection) -> Result<Option<(u64, u64)>> {
    // Goes along the index of streams and revisions: nothing is sorted.
    let sql = "SELECT line, before FROM (
                   SELECT line, lag(line) OVER (PARTITION BY stream ORDER BY revision) AS before FROM eventlift_index
               ) WHERE before > line ORDER BY line LIMIT 1";
    connection.query_row(sql, [], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?))).optional()
}

/// The last revision of a stream.
pub(super) fn head(connection: &Connection, stream: &StreamName) -> Result<Option<u64>> {
    let head: Option<i64> = connection
        .prepare_cached("SELECT max(revision) FROM eventlift_index WHERE stream = ?1")?
        .query_row([stream_hash(stream)], |row| row.get(0))?;
    Ok(head.map(i64::unsigned_abs))
}

/// Whether the event is there, under its id at its revision.
pub(super) fn holds(connection: &Connection, event: &Event) -> Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM eventlift_index WHERE stream = ?1 AND revision = ?2 AND id = ?3)",
        )?
        .query_row(params![stream_hash(&event.stream), event.revision.0.cast_signed(), id_hash(&event.id)], |row| {
            row.get(0)
        })
}

/// Whether an event of this id is there.
pub(super) fn holds_id(connection: &Connection, id: &EventId) -> Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM eventlift_index WHERE id = ?1)")?
        .query_row([id_hash(id)], |row| row.get(0))
}

fn stream_hash(stream: &StreamName) -> [u8; 16] {
    xxh3_128(stream.as_str().as_bytes()).to_be_bytes()
}

fn id_hash(id: &EventId) -> [u8; 16] {
    xxh3_128(id.to_string().as_bytes()).to_be_bytes()
}
