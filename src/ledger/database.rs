//! A ledger in a database of its own connection: one that is only looked at, or one that nobody keeps.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use eventlift_events::{
    ByteString, Bytes, Checkpoint, CheckpointStore, LateEvents, LatePosition, NoteChange, Position, PositionRange,
    Progress, RunId, RunRecord, StateKey, StoreError,
};
use rusqlite::{Connection, OpenFlags};

#[cfg(feature = "postgres")]
use super::renewal;
use super::{failure, progress, runs, schema};

/// A ledger in a SQLite file. Calls are short and answered at once, on the calling thread.
#[derive(Debug)]
pub struct LedgerDatabase {
    connection: Mutex<Connection>,
    display: String,
}

impl LedgerDatabase {
    /// An empty ledger in a temporary file that SQLite deletes when it is closed, for dry runs and verification.
    /// Memory stays bounded, whatever it holds.
    pub fn temporary() -> Result<Self, StoreError> {
        let display = "the temporary ledger".to_owned();
        let connection = temporary_database().and_then(|connection| {
            schema::create(&connection)?;
            Ok(connection)
        });
        let connection = connection.map_err(|e| failure::store_error("create", &display, e))?;
        Ok(Self { connection: Mutex::new(connection), display })
    }

    /// The ledger in a file, to look at while others write. None where the file has no ledger, or is not there.
    /// `display` is how the store is called in messages.
    pub fn look_at(path: &Path, display: impl Into<String>) -> Result<Option<Self>, StoreError> {
        if !path.exists() {
            return Ok(None);
        }
        let display = display.into();
        let opened = open_to_read(path, Duration::from_secs(5))
            .and_then(|connection| Ok(schema::exists(&connection)?.then_some(connection)));
        let connection = opened.map_err(|e| failure::store_error("open", &display, e))?;
        Ok(connection.map(|connection| Self { connection: Mutex::new(connection), display }))
    }

    /// Stores a run's progress.
    pub fn commit(&self, progress: &Progress) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let stored = connection.transaction().and_then(|transaction| {
            progress::commit(&transaction, progress)?;
            transaction.commit()
        });
        stored.map_err(|e| failure::store_error("write to", &self.display, e))
    }

    /// Stores a run's record, as [`record_run`](CheckpointStore::record_run) does.
    #[cfg(feature = "postgres")]
    pub(crate) fn record(&self, run: &RunRecord) -> Result<(), StoreError> {
        self.query(|c| runs::record_run(c, run))
    }

    /// Takes ranges of a map as earlier versions wrote them, until it is [renewed](Self::renew).
    #[cfg(feature = "postgres")]
    pub(crate) fn take_older_ranges(&self, run: RunId, ranges: &[PositionRange]) -> Result<(), StoreError> {
        self.query(|c| progress::write_ranges(c, run, ranges))
    }

    /// Brings what was taken to today's form.
    #[cfg(feature = "postgres")]
    pub(crate) fn renew(&self) -> Result<(), StoreError> {
        self.query(renewal::renew)
    }

    fn query<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        query(&self.lock()).map_err(|e| failure::store_error("read", &self.display, e))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A path as SQLite takes it for the name of a file, never for an address (`file:…`) or for memory (`:memory:`).
pub(crate) fn as_file(path: &Path) -> PathBuf {
    if path.is_relative() { Path::new(".").join(path) } else { path.to_owned() }
}

/// Opens a database to read from it. What a killed writer left half done is rolled back, which is the one thing that
/// a read-only connection can't do for itself.
pub(crate) fn open_to_read(path: &Path, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    let open = |flags| {
        let connection = Connection::open_with_flags(as_file(path), flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(busy_timeout)?;
        // Opening touches nothing; the first look does.
        connection.pragma_query_value(None, "schema_version", |_| Ok(()))?;
        Ok(connection)
    };
    match open(OpenFlags::SQLITE_OPEN_READ_ONLY) {
        Err(rusqlite::Error::SqliteFailure(error, _))
            if error.extended_code == rusqlite::ffi::SQLITE_READONLY_ROLLBACK =>
        {
            open(OpenFlags::SQLITE_OPEN_READ_WRITE)
        }
        opened => opened,
    }
}

/// A database in a temporary file, without a journal: a crash takes it away anyway.
pub(crate) fn temporary_database() -> rusqlite::Result<Connection> {
    let connection = Connection::open("")?;
    connection.pragma_update(None, "cache_size", -8 * 1024)?;
    connection.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    Ok(connection)
}

#[async_trait]
impl CheckpointStore for LedgerDatabase {
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.query(runs::runs)
    }

    async fn record_run(&mut self, run: &RunRecord) -> Result<(), StoreError> {
        self.query(|c| runs::record_run(c, run))
    }

    async fn checkpoint(&self, run: RunId) -> Result<Option<Checkpoint>, StoreError> {
        self.query(|c| progress::checkpoint(c, run))
    }

    async fn state(&self, run: RunId, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.query(|c| progress::state(c, run, keys))
    }

    async fn positions(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<PositionRange>, StoreError> {
        self.query(|c| progress::positions(c, run, after, limit))
    }

    async fn position_at(&self, run: RunId, source: Position) -> Result<Option<PositionRange>, StoreError> {
        self.query(|c| progress::position_at(c, run, source))
    }

    async fn late_of(&self, run: RunId, source: Position) -> Result<Vec<LatePosition>, StoreError> {
        self.query(|c| progress::late_of(c, run, source))
    }

    async fn late_at(&self, run: RunId, target: Position) -> Result<Option<LateEvents>, StoreError> {
        self.query(|c| progress::late_at(c, run, target))
    }

    async fn notes(
        &self,
        run: RunId,
        book: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>, StoreError> {
        self.query(|c| progress::notes(c, run, book, after, limit))
    }

    async fn write_notes(&mut self, run: RunId, changes: &[NoteChange]) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let written = connection.transaction().and_then(|transaction| {
            progress::write_notes(&transaction, run, changes)?;
            transaction.commit()
        });
        written.map_err(|e| failure::store_error("write to", &self.display, e))
    }
}
