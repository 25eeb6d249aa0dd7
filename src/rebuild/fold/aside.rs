//! What a worker has put aside: a SQLite file with the rows as they were at its checkpoint.

use std::path::{Path, PathBuf};

use eventlift_events::EventId;
use eventlift_projections::{Quarantined, Row, RowKey, Table};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::batch::{Checkpoint, Record};
use super::filter::Filter;
use super::memory::{Entry, Key, RowMap};
use crate::ledger::as_file;

/// Changes with the schema, the hash and the form of rows and keys, and with what becomes of events that fail.
const FORMAT: i64 = 2;

/// A row of up to about a thousand bytes stands whole in its page.
const PAGE_BYTES: i64 = 4096;

const SCHEMA: &str = "
CREATE TABLE rows (key BLOB PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE held (slot INTEGER NOT NULL, key BLOB NOT NULL, event TEXT NOT NULL, PRIMARY KEY (slot, key)) WITHOUT ROWID;
CREATE TABLE quarantined (
    event INTEGER NOT NULL, projection INTEGER NOT NULL, held_table INTEGER, held_key BLOB,
    id TEXT NOT NULL, stream TEXT NOT NULL, revision INTEGER NOT NULL, position TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE fold (
    format INTEGER NOT NULL, key TEXT NOT NULL, workers INTEGER NOT NULL, worker INTEGER NOT NULL,
    position TEXT NOT NULL, events INTEGER NOT NULL, rows TEXT NOT NULL
);";

/// Whatever goes wrong while rows are put aside or read back.
pub(super) type Problem = Box<dyn std::error::Error + Send + Sync>;

/// What a file belongs to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    pub(super) key: String,
    pub(super) workers: usize,
    pub(super) worker: usize,
}

/// Where a worker puts rows aside.
#[derive(Clone, Debug)]
pub(super) struct Site {
    /// The file; none for one that nothing goes on from.
    pub(super) path: Option<PathBuf>,
    pub(super) identity: Identity,
    /// What SQLite may keep of the file in memory.
    pub(super) cache_bytes: usize,
    /// What it takes to know of most keys that they are not in the file.
    pub(super) filter_bytes: usize,
}

/// A file with rows.
pub(super) struct Aside {
    connection: Connection,
    identity: Identity,
    /// The keys in the file.
    filter: Filter,
}

/// What a killed worker left.
pub(super) struct Left {
    pub(super) aside: Aside,
    pub(super) checkpoint: Checkpoint,
    /// The number of rows of each slot.
    pub(super) rows: Vec<u64>,
    /// Slot, key, and the event that is waited for.
    pub(super) held: Vec<(usize, RowKey, Box<str>)>,
}

/// What is put aside together.
pub(super) struct Changed<'c> {
    pub(super) tables: &'c mut [RowMap],
    pub(super) held: &'c [(usize, RowKey, Box<str>)],
    pub(super) quarantined: &'c [Record],
    pub(super) checkpoint: Checkpoint,
    pub(super) rows: &'c [u64],
}

impl Left {
    /// How many records of quarantined events there are.
    pub(super) fn quarantined(&self) -> Result<u64, Problem> {
        let count: i64 = self.aside.connection.query_row("SELECT count(*) FROM quarantined", [], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    }
}

impl Aside {
    /// A new file. One that nothing goes on from is unknown to the file system and vanishes with the connection.
    pub(super) fn create(site: &Site) -> Result<Self, Problem> {
        let connection = match &site.path {
            Some(path) => Connection::open(as_file(path))?,
            None => Connection::open("")?,
        };
        connection.pragma_update(None, "page_size", PAGE_BYTES)?;
        set_up(&connection, site)?;
        Ok(Self { connection, identity: site.identity.clone(), filter: Filter::new(site.filter_bytes) })
    }

    /// What a killed worker left in a file. None where it has nothing to go on from: it is damaged, of another version,
    /// or not such a file at all. Whether it belongs to this fold is for the caller to see.
    pub(super) fn resume(path: &Path, cache_bytes: usize) -> Result<Option<Left>, Problem> {
        let identity = Identity { key: String::new(), workers: 0, worker: 0 };
        let site = Site { path: Some(path.to_owned()), identity, cache_bytes, filter_bytes: 0 };
        match Connection::open(as_file(path)).and_then(|connection| left_in(connection, &site)) {
            Ok(left) => Ok(left),
            Err(error) if is_of_the_place(&error) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The row of a key.
    pub(super) fn row(&self, slot: usize, table: &Table, key: &Key) -> Result<Option<Row>, Problem> {
        if !self.filter.may_hold(key.hash) {
            return Ok(None);
        }
        let mut statement = self.connection.prepare_cached("SELECT row FROM rows WHERE key = ?1")?;
        let mut rows = statement.query(params![full_key(slot, key.key.as_bytes())])?;
        match rows.next()? {
            Some(row) => Ok(Some(Row::decode(table, row.get_ref(0)?.as_blob()?)?)),
            None => Ok(None),
        }
    }

    /// Rows of a table behind a key, in ascending order, at most `limit`.
    pub(super) fn rows_behind(
        &self,
        slot: usize,
        table: &Table,
        after: Option<&RowKey>,
        limit: usize,
    ) -> Result<Vec<(RowKey, Row)>, Problem> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT key, row FROM rows WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3")?;
        let mut begin = full_key(slot, after.map_or(&[], RowKey::as_bytes));
        if after.is_some() {
            // The smallest bytes behind a key's are those with a zero more.
            begin.push(0);
        }
        let end = full_key(slot + 1, &[]);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![begin, end, limit])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let key = row.get_ref(0)?.as_blob()?.get(SLOT_BYTES..).unwrap_or_default();
            let values = Row::decode(table, row.get_ref(1)?.as_blob()?)?;
            found.push((RowKey::from_bytes(key), values));
        }
        Ok(found)
    }

    /// Puts aside what has changed, in one transaction with the checkpoint. The entries then say that they are not
    /// changed any more.
    pub(super) fn put(&mut self, changed: Changed<'_>) -> Result<(), Problem> {
        let transaction = self.connection.transaction()?;
        if !transaction.table_exists(None, "fold")? {
            transaction.execute_batch(SCHEMA)?;
        }
        put_rows(&transaction, changed.tables, &mut self.filter)?;
        for (slot, key, event) in changed.held {
            let mut insert = transaction.prepare_cached("INSERT INTO held VALUES (?1, ?2, ?3)")?;
            insert.execute(params![slot, key.as_bytes(), event])?;
        }
        for record in changed.quarantined {
            put_quarantined(&transaction, record)?;
        }
        let Identity { key, workers, worker } = &self.identity;
        let Checkpoint { position, events } = changed.checkpoint;
        let rows = serde_json::to_string(changed.rows)?;
        transaction.execute("DELETE FROM fold", [])?;
        transaction.execute(
            "INSERT INTO fold VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![FORMAT, key, workers, worker, position.to_string(), events.cast_signed(), rows],
        )?;
        transaction.commit()?;
        for entry in changed.tables.iter_mut().flat_map(RowMap::values_mut) {
            entry.is_changed = false;
        }
        Ok(())
    }

    /// Everything that was quarantined, in the order in which it was put aside.
    pub(super) fn quarantined(&self) -> Result<Vec<Record>, Problem> {
        let mut statement = self.connection.prepare("SELECT * FROM quarantined ORDER BY rowid")?;
        let mut rows = statement.query([])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            let held = match row.get::<_, Option<usize>>("held_table")? {
                Some(table) => Some((table, RowKey::from_bytes(row.get::<_, Vec<u8>>("held_key")?))),
                None => None,
            };
            let quarantined = Quarantined {
                held,
                id: row.get::<_, String>("id")?.parse::<EventId>()?,
                stream: row.get::<_, String>("stream")?.parse()?,
                revision: eventlift_events::Revision(row.get::<_, i64>("revision")?.cast_unsigned()),
                position: row.get::<_, String>("position")?.parse()?,
                reason: row.get("reason")?,
            };
            let event = row.get::<_, i64>("event")?.cast_unsigned();
            records.push(Record { event, projection: row.get("projection")?, quarantined });
        }
        Ok(records)
    }
}

/// How a file is used. One that is gone on from survives a loss of power; another one need not.
fn set_up(connection: &Connection, site: &Site) -> rusqlite::Result<()> {
    let cache_kib = i64::try_from(site.cache_bytes / 1024).unwrap_or(i64::MAX).max(1);
    connection.pragma_update(None, "cache_size", -cache_kib)?;
    // One process, one connection: without this every look would begin and end with the file's locks.
    connection.pragma_update_and_check(None, "locking_mode", "EXCLUSIVE", |_| Ok(()))?;
    let (journal, synchronous) = if site.path.is_some() { ("TRUNCATE", "FULL") } else { ("OFF", "OFF") };
    connection.pragma_update_and_check(None, "journal_mode", journal, |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", synchronous)
}

fn left_in(connection: Connection, site: &Site) -> rusqlite::Result<Option<Left>> {
    set_up(&connection, site)?;
    let check: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if check != "ok" || !connection.table_exists(None, "fold")? {
        return Ok(None);
    }
    let format: Option<i64> = connection.query_row("SELECT format FROM fold", [], |row| row.get(0)).optional()?;
    if format != Some(FORMAT) {
        return Ok(None);
    }
    let (identity, position, events, rows) =
        connection.query_row("SELECT key, workers, worker, position, events, rows FROM fold", [], |row| {
            let identity = Identity { key: row.get(0)?, workers: row.get(1)?, worker: row.get(2)? };
            Ok((identity, row.get::<_, String>(3)?, row.get::<_, i64>(4)?.cast_unsigned(), row.get::<_, String>(5)?))
        })?;
    let (Ok(position), Ok(rows)) = (position.parse(), serde_json::from_str(&rows)) else { return Ok(None) };
    let mut statement = connection.prepare("SELECT slot, key, event FROM held")?;
    let held = statement.query_map([], |row| {
        let event: String = row.get(2)?;
        Ok((row.get(0)?, RowKey::from_bytes(row.get::<_, Vec<u8>>(1)?), event.into()))
    })?;
    let held = held.collect::<rusqlite::Result<_>>()?;
    drop(statement);
    let checkpoint = Checkpoint { position, events };
    let filter = Filter::unknowing();
    Ok(Some(Left { aside: Aside { connection, identity, filter }, checkpoint, rows, held }))
}

/// Whether an error says nothing about what is in the file.
fn is_of_the_place(error: &rusqlite::Error) -> bool {
    use ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure,
    };
    let place =
        [CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure];
    error.sqlite_error_code().is_some_and(|code| place.contains(&code))
}

const SLOT_BYTES: usize = 4;

/// The slot and the key, so that the tables stand one after another in the order of their slots.
fn full_key(slot: usize, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(SLOT_BYTES + key.len());
    // Nobody declares four thousand million tables.
    full.extend_from_slice(&(slot as u32).to_be_bytes());
    full.extend_from_slice(key);
    full
}

/// In the order of the file, so that each of its pages is read and written once.
fn put_rows(connection: &Connection, tables: &[RowMap], filter: &mut Filter) -> Result<(), Problem> {
    let mut upsert = connection.prepare_cached("INSERT OR REPLACE INTO rows VALUES (?1, ?2)")?;
    let mut delete = connection.prepare_cached("DELETE FROM rows WHERE key = ?1")?;
    let mut bytes = Vec::new();
    for (slot, rows) in tables.iter().enumerate() {
        let mut changed: Vec<(&Key, &Entry)> = rows.iter().filter(|(_, entry)| entry.is_changed).collect();
        changed.sort_unstable_by(|(one, _), (other, _)| one.key.cmp(&other.key));
        for (key, entry) in changed {
            filter.insert(key.hash);
            let key = full_key(slot, key.key.as_bytes());
            match &entry.row {
                Some(row) => {
                    bytes.clear();
                    row.encode(&mut bytes)?;
                    upsert.execute(params![key, bytes])?;
                }
                None => {
                    delete.execute(params![key])?;
                }
            }
        }
    }
    Ok(())
}

fn put_quarantined(connection: &Connection, record: &Record) -> Result<(), Problem> {
    let Quarantined { held, id, stream, revision, position, reason } = &record.quarantined;
    let (table, key) = held.as_ref().map_or((None, None), |(table, key)| (Some(*table), Some(key.as_bytes())));
    let mut insert =
        connection.prepare_cached("INSERT INTO quarantined VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
    insert.execute(params![
        record.event.cast_signed(),
        record.projection,
        table,
        key,
        id.to_string(),
        stream.as_str(),
        revision.0.cast_signed(),
        position.to_string(),
        reason
    ])?;
    Ok(())
}
