//! Appending events in our own layout.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use eventlift_events::{
    ByteString, Capabilities, Checkpoint, CheckpointStore, Event, EventWriter, LateEvents, LatePosition, NoteChange,
    Position, PositionRange, Progress, Revision, RunId, RunRecord, StateKey, StoreError, StoreErrorKind, StoreIdentity,
    StreamName,
};
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};

use super::config::SqliteConfig;
use super::layout::{self, Content, INDEXES, INSERT, RowNumbers};
use super::passing;
use super::reader::{blocking, capabilities};
use super::removal;
use crate::ledger;
use crate::stores::Claim;
use crate::stores::gap_hint::gap_hint;
use crate::stores::local_file::{self, WriterLock};

/// Memory for SQLite's page cache and for each thread that sorts an index.
const CACHE_KIB: i64 = 8 * 1024;

/// Appends to a database in our own layout; the only writer of it while it lives.
///
/// A new database is loading: it has no indexes until it is sealed, since building them at the end is several times
/// faster than keeping them while random ids arrive.
#[derive(Debug)]
pub struct SqliteWriter {
    identity: StoreIdentity,
    // Locked for the length of one call, off the async threads.
    database: Arc<Mutex<Database>>,
}

#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    pub(super) display: String,
    pub(super) sealed: bool,
    sparse: bool,
    // Here and last, so that a call that outlives the writer is still the only one, and the lock goes after the rest.
    _lock: WriterLock,
}

impl SqliteWriter {
    /// Opens a database for writing and creates it where there is none. Fails where another writer has it, where it
    /// holds something else, and where it can't be written.
    pub fn open(config: SqliteConfig) -> Result<Self, StoreError> {
        Self::open_as(config, &Claim::default())
    }

    /// The same, saying what for.
    pub fn open_as(config: SqliteConfig, claim: &Claim) -> Result<Self, StoreError> {
        let display = config.display();
        let failed = |e| ledger::store_error("open", &display, e);
        let lock = local_file::lock_store(&config.path, &display, claim)?;
        refuse_unwritable(&config.path, &display)?;
        let connection = Connection::open(ledger::as_file(&config.path)).map_err(failed)?;
        let content = layout::content(&connection).map_err(failed)?;
        refuse_others(content, &display)?;
        prepare(&connection, content).map_err(failed)?;
        let is_new = content == Content::Nothing;
        // What an earlier version made lacks tables of this one.
        if is_new || !ledger::is_current(&connection).map_err(failed)? {
            let create = if is_new { layout::create } else { ledger::create };
            connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
            create(&connection).map_err(failed)?;
            connection.execute_batch("COMMIT").map_err(failed)?;
        }
        let sparse = layout::is_sparse(&connection).map_err(failed)?;
        let identity = config.identity()?;
        let sealed = content == Content::Sealed;
        let database = Arc::new(Mutex::new(Database { connection, display, sealed, sparse, _lock: lock }));
        Ok(Self { identity, database })
    }

    pub(super) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = Arc::clone(&self.database);
        blocking(move || work(&mut lock(&database))).await
    }

    pub(super) async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.with(|database| query(&database.connection).map_err(|e| ledger::store_error("read", &database.display, e)))
            .await
    }
}

/// Fails where there is a folder, or a file that can't be written.
pub(super) fn refuse_unwritable(path: &Path, display: &str) -> Result<(), StoreError> {
    let failed = |kind| StoreError::new("open", display, kind);
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            let folder = "it is a folder, not a database file".to_owned();
            Err(failed(StoreErrorKind::Unexpected(folder)).hint("name a file in it"))
        }
        Ok(found) if found.permissions().readonly() => {
            Err(failed(StoreErrorKind::ReadOnly).hint("make the file writable, or name another target"))
        }
        _ => Ok(()),
    }
}

/// Fails where a database holds something that is not ours to write to.
pub(super) fn refuse_others(content: Content, display: &str) -> Result<(), StoreError> {
    let failed = |problem: String| StoreError::new("open", display, StoreErrorKind::Unexpected(problem));
    match content {
        Content::Nothing | Content::Loading | Content::Sealed => Ok(()),
        Content::OtherVersion(version) => {
            let other = format!("its layout has version {version}, this program knows {}", layout::LAYOUT_VERSION);
            Err(failed(other).hint("use the eventlift that wrote it, or a newer one"))
        }
        Content::Foreign => {
            Err(failed("it is a database of something else".to_owned()).hint("name a file that does not exist yet"))
        }
    }
}

/// A panic inside a call leaves a connection whose transaction was rolled back: it can be used on.
fn lock(database: &Mutex<Database>) -> MutexGuard<'_, Database> {
    database.lock().unwrap_or_else(PoisonError::into_inner)
}

fn prepare(connection: &Connection, content: Content) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(30))?;
    // New pages need no journal, so an append writes each byte once; a write-ahead log would write it twice. While
    // loading, the journal's file stays from one transaction to the next.
    set_journal(connection, if content == Content::Sealed { "DELETE" } else { "TRUNCATE" })?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "threads", 2)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Sets the kind of journal, unless the database has a write-ahead log: it holds read models as well, whose readers
/// must never be blocked.
fn set_journal(connection: &Connection, journal: &str) -> rusqlite::Result<()> {
    let current: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if current.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    connection.pragma_update_and_check(None, "journal_mode", journal, |_| Ok(()))
}

#[async_trait]
impl EventWriter for SqliteWriter {
    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(!lock(&self.database).sparse)
    }

    async fn append(&mut self, events: &[Event], progress: Option<&Progress>) -> Result<(), StoreError> {
        // Events share their bytes, so this copies handles only.
        let (events, progress) = (events.to_vec(), progress.cloned());
        self.with(move |database| database.append(&events, progress.as_ref())).await
    }

    async fn seal(&mut self, dense: bool) -> Result<(), StoreError> {
        self.with(move |database| database.seal(dense)).await
    }

    fn takes_earlier_positions(&self) -> bool {
        true
    }

    async fn heads(&self, streams: &[StreamName]) -> Result<Vec<Option<Revision>>, StoreError> {
        let streams = streams.to_vec();
        self.with(move |database| {
            let heads = removal::heads(&database.connection, &streams, database.sealed);
            heads.map_err(|e| ledger::store_error("read", &database.display, e))
        })
        .await
    }

    async fn withdraw(&mut self, from: &[(StreamName, Revision)], progress: &Progress) -> Result<(), StoreError> {
        let (from, progress) = (from.to_vec(), progress.clone());
        self.with(move |database| database.withdraw(&from, &progress)).await
    }

    async fn erase(&mut self, after: Option<Position>, run: &RunRecord) -> Result<(), StoreError> {
        let run = run.clone();
        self.with(move |database| database.erase(after, &run)).await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.query(|c| c.query_row("SELECT NOT EXISTS (SELECT 1 FROM events)", [], |row| row.get(0))).await
    }

    async fn last_position(&self) -> Result<Option<Position>, StoreError> {
        let last: Option<i64> =
            self.query(|c| c.query_row("SELECT max(position) FROM events", [], |row| row.get(0))).await?;
        Ok(last.map(|number| Position::new(number.unsigned_abs())))
    }
}

#[async_trait]
impl CheckpointStore for SqliteWriter {
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.query(ledger::runs).await
    }

    async fn record_run(&mut self, run: &RunRecord) -> Result<(), StoreError> {
        let run = run.clone();
        self.with(move |database| {
            ledger::record_run(&database.connection, &run)
                .map_err(|e| ledger::store_error("record a run in", &database.display, e))
        })
        .await
    }

    async fn checkpoint(&self, run: RunId) -> Result<Option<Checkpoint>, StoreError> {
        self.query(move |c| ledger::checkpoint(c, run)).await
    }

    async fn state(&self, run: RunId, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let keys = keys.to_vec();
        self.query(move |c| ledger::state(c, run, &keys)).await
    }

    async fn positions(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<PositionRange>, StoreError> {
        self.query(move |c| ledger::positions(c, run, after, limit)).await
    }

    async fn position_at(&self, run: RunId, source: Position) -> Result<Option<PositionRange>, StoreError> {
        self.query(move |c| ledger::position_at(c, run, source)).await
    }

    async fn late_of(&self, run: RunId, source: Position) -> Result<Vec<LatePosition>, StoreError> {
        self.query(move |connection| ledger::late_of(connection, run, source)).await
    }

    async fn late_at(&self, run: RunId, target: Position) -> Result<Option<LateEvents>, StoreError> {
        self.query(move |connection| ledger::late_at(connection, run, target)).await
    }

    async fn notes(
        &self,
        run: RunId,
        book: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>, StoreError> {
        let (book, after) = (book.to_owned(), after.map(str::to_owned));
        self.query(move |connection| ledger::notes(connection, run, &book, after.as_deref(), limit)).await
    }

    async fn write_notes(&mut self, run: RunId, changes: &[NoteChange]) -> Result<(), StoreError> {
        let changes = changes.to_vec();
        self.with(move |database| {
            let written = database.connection.transaction().and_then(|transaction| {
                ledger::write_notes(&transaction, run, &changes)?;
                transaction.commit()
            });
            written.map_err(|e| ledger::store_error("write notes in", &database.display, e))
        })
        .await
    }
}

impl Database {
    fn append(&mut self, events: &[Event], progress: Option<&Progress>) -> Result<(), StoreError> {
        let display = &self.display;
        let failed = |e| ledger::store_error("append to", display, e);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let passing = passing::begin(&transaction).map_err(failed)?;
        if self.sealed {
            insert_checked(&transaction, display, events, self.sparse)?;
        } else {
            insert_unchecked(&transaction, display, events)?;
        }
        if let Some(progress) = progress {
            ledger::commit(&transaction, progress).map_err(failed)?;
        }
        passing.end(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    fn withdraw(&mut self, from: &[(StreamName, Revision)], progress: &Progress) -> Result<(), StoreError> {
        let failed = |e| ledger::store_error("take events out of", &self.display, e);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let passing = passing::begin(&transaction).map_err(failed)?;
        removal::withdraw(&transaction, from, self.sealed).map_err(failed)?;
        ledger::commit(&transaction, progress).map_err(failed)?;
        passing.end(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    fn erase(&mut self, after: Option<Position>, run: &RunRecord) -> Result<(), StoreError> {
        let failed = |e| ledger::store_error("take events out of", &self.display, e);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let passing = passing::begin(&transaction).map_err(failed)?;
        let is_empty = removal::erase(&transaction, after).map_err(failed)?;
        ledger::forget(&transaction, run.id).map_err(failed)?;
        ledger::record_run(&transaction, run).map_err(failed)?;
        passing.end(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        if is_empty {
            self.sealed = false;
            self.sparse = false;
            set_journal(&self.connection, "TRUNCATE").map_err(failed)?;
        }
        Ok(())
    }

    fn seal(&mut self, dense: bool) -> Result<(), StoreError> {
        if self.sealed {
            return Ok(());
        }
        let display = &self.display;
        let failed = |e| ledger::store_error("seal", display, e);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        if !dense {
            layout::set_sparse(&transaction).map_err(failed)?;
        }
        for (name, create) in INDEXES {
            if let Err(error) = transaction.execute_batch(create) {
                if error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) {
                    return Err(failed(error));
                }
                return Err(duplicate(&transaction, display, name).map_err(failed)?);
            }
        }
        if let Some(error) = first_broken_stream(&transaction, display, dense).map_err(failed)? {
            return Err(error);
        }
        transaction.commit().map_err(failed)?;
        // Nothing bulky comes any more, so the journal need not stay between transactions.
        set_journal(&self.connection, "DELETE").map_err(failed)?;
        self.sealed = true;
        self.sparse = !dense;
        Ok(())
    }
}

/// Inserts into a store without indexes: only a position that is taken can be noticed here.
fn insert_unchecked(connection: &Connection, display: &str, events: &[Event]) -> Result<(), StoreError> {
    let failed = |e| ledger::store_error("append to", display, e);
    let mut statement = connection.prepare_cached(INSERT).map_err(failed)?;
    for event in events {
        let numbers = row_numbers(event, display)?;
        if let Err(error) = layout::insert(&mut statement, event, numbers) {
            if error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) {
                return Err(failed(error).at(place(event)));
            }
            // A repeated append meets its own rows.
            if !holds_same(connection, event, numbers).map_err(failed)? {
                return Err(position_taken(event, display));
            }
        }
    }
    Ok(())
}

/// Inserts into a sealed store: every event must continue its stream, or be there already.
fn insert_checked(connection: &Connection, display: &str, events: &[Event], sparse: bool) -> Result<(), StoreError> {
    let failed = |e| ledger::store_error("append to", display, e);
    let mut insert = connection.prepare_cached(INSERT).map_err(failed)?;
    let mut heads: HashMap<StreamName, Option<Revision>> = HashMap::new();
    for event in events {
        let numbers = row_numbers(event, display)?;
        let head = match heads.get(&event.stream) {
            Some(head) => *head,
            None => stream_head(connection, &event.stream).map_err(failed)?,
        };
        let expected = head.map_or(Revision(0), Revision::next);
        if event.revision < expected {
            if holds_same(connection, event, numbers).map_err(failed)? {
                heads.insert(event.stream.clone(), head);
                continue;
            }
            return Err(conflict(event, display, head));
        }
        if event.revision > expected && !sparse {
            return Err(conflict(event, display, head));
        }
        if let Err(error) = layout::insert(&mut insert, event, numbers) {
            if error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) {
                return Err(failed(error).at(place(event)));
            }
            let id_is_there = id_is_there(connection, event).map_err(failed)?;
            return Err(if id_is_there {
                StoreError::new("append to", display, StoreErrorKind::DuplicateId(event.id.clone())).at(place(event))
            } else {
                position_taken(event, display)
            });
        }
        heads.insert(event.stream.clone(), Some(event.revision));
    }
    Ok(())
}

fn place(event: &Event) -> String {
    format!("stream {}, revision {}", event.stream, event.revision)
}

pub(super) fn row_numbers(event: &Event, display: &str) -> Result<RowNumbers, StoreError> {
    RowNumbers::of(event).ok_or_else(|| {
        let problem =
            format!("position {} or revision {} does not fit an integer column", event.position, event.revision);
        StoreError::new("append to", display, StoreErrorKind::Unsupported(problem)).at(place(event))
    })
}

fn conflict(event: &Event, display: &str, found: Option<Revision>) -> StoreError {
    let (stream, revision, id) = (event.stream.clone(), event.revision, event.id.clone());
    StoreError::new("append to", display, StoreErrorKind::RevisionConflict { stream, revision, id, found })
}

fn position_taken(event: &Event, display: &str) -> StoreError {
    let taken = format!("position {} is taken by another event", event.position);
    StoreError::new("append to", display, StoreErrorKind::BadInput(taken)).at(place(event))
}

pub(super) fn stream_head(connection: &Connection, stream: &StreamName) -> rusqlite::Result<Option<Revision>> {
    let head: Option<i64> = connection
        .prepare_cached("SELECT max(revision) FROM events WHERE stream = ?1")?
        .query_row([stream.as_str()], |row| row.get(0))?;
    Ok(head.map(|revision| Revision(revision.unsigned_abs())))
}

/// Whether the store holds this event, under its id at its revision. Asked by position, which needs no index, and
/// again by stream where positions differ.
fn holds_same(connection: &Connection, event: &Event, numbers: RowNumbers) -> rusqlite::Result<bool> {
    let id = event.id.to_string();
    let here: Option<bool> = connection
        .prepare_cached("SELECT id = ?2 AND stream = ?3 AND revision = ?4 FROM events WHERE position = ?1")?
        .query_row(params![numbers.position, id, event.stream.as_str(), numbers.revision], |row| row.get(0))
        .optional()?;
    if here == Some(true) {
        return Ok(true);
    }
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM events WHERE stream = ?1 AND revision = ?2 AND id = ?3)")?
        .query_row(params![event.stream.as_str(), numbers.revision, id], |row| row.get(0))
}

fn id_is_there(connection: &Connection, event: &Event) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM events WHERE id = ?1)")?
        .query_row([event.id.to_string()], |row| row.get(0))
}

/// Finds what a unique index failed on. Slow, but the run has failed and a person wants to know.
fn duplicate(connection: &Connection, display: &str, index: &str) -> rusqlite::Result<StoreError> {
    let columns = if index == "events_id" { "id" } else { "stream, revision" };
    let sql = format!(
        "SELECT min(position), max(position), count(*) FROM events GROUP BY {columns} HAVING count(*) > 1
                       ORDER BY min(position) LIMIT 1"
    );
    let (first, last, times): (i64, i64, i64) =
        connection.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let (id, stream, revision): (String, String, i64) =
        connection.query_row("SELECT id, stream, revision FROM events WHERE position = ?1", [first], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
    let problem = if index == "events_id" {
        format!("event id {id} occurs {times} times, at positions {first} and {last}")
    } else {
        format!("stream {stream} has revision {revision} {times} times, at positions {first} and {last}")
    };
    Ok(StoreError::new("seal", display, StoreErrorKind::BadInput(problem))
        .hint("repair the source, then migrate into a new target; this one is not usable"))
}

/// Walks the streams along their index and describes the first whose revisions have a gap or don't ascend with the
/// positions.
fn first_broken_stream(connection: &Connection, display: &str, dense: bool) -> rusqlite::Result<Option<StoreError>> {
    let mut statement = connection
        .prepare("SELECT stream, revision, position FROM events INDEXED BY events_stream ORDER BY stream, revision")?;
    let mut rows = statement.query([])?;
    let mut stream = Vec::new();
    let mut last: Option<(i64, i64)> = None;
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_bytes()?;
        if name != stream {
            stream.clear();
            stream.extend_from_slice(name);
            last = None;
        }
        let (revision, position): (i64, i64) = (row.get(1)?, row.get(2)?);
        let expected = last.map_or(0, |(revision, _)| revision + 1);
        let name = || String::from_utf8_lossy(&stream).into_owned();
        let bad = |problem| StoreError::new("seal", display, StoreErrorKind::BadInput(problem));
        if dense && revision != expected {
            let gap = format!("stream {} goes on with revision {revision} where {expected} should be", name());
            let hint = gap_hint(expected.unsigned_abs(), revision.unsigned_abs());
            return Ok(Some(bad(gap).at(format_args!("position {position}")).hint(hint)));
        }
        if let Some((_, before)) = last.filter(|(_, before)| *before > position) {
            let disorder = format!("stream {} has revision {revision} before lower ones (position {before})", name());
            return Ok(Some(
                bad(disorder)
                    .at(format_args!("position {position}"))
                    .hint("repair the source, then migrate into a new target; this one is not usable"),
            ));
        }
        last = Some((revision, position));
    }
    Ok(None)
}
