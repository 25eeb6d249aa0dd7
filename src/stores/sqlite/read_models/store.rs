//! The store: its connections, and which work runs on which.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use eventlift_events::{Position, StoreError, StoreErrorKind, StoreIdentity, StreamName};
use eventlift_projections::{
    Build, Builds, Hold, Origin, Quarantined, ReadModelStore, RebuildRun, Row, RowKey, Side, Snapshot, SnapshotStore,
    Step, Table,
};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use super::super::config::SqliteConfig;
use super::super::reader::blocking;
use super::refusal::Failure;
use super::{fill, ledger as read_model_ledger, record, schema, swap};
use crate::ledger;
use crate::stores::Claim;
use crate::stores::local_file::{self, WriterLock, behind_links};

/// How long a call waits for another writer's transaction.
const PATIENCE: Duration = Duration::from_secs(30);
/// Memory for the page cache of the connection that writes.
const CACHE_KIB: i64 = 16 * 1024;
/// Pages of the write-ahead log after which it is copied into the database: 32 MiB, so that a load copies the inner
/// pages of its trees seldom.
const LOG_PAGES: i64 = 8 * 1024;
/// What stays of the log's file once it was copied.
const LOG_BYTES: i64 = 64 << 20;

/// Read models and snapshots in a SQLite database. Clones share their connections.
#[derive(Clone, Debug)]
pub struct SqliteReadModels {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    identity: StoreIdentity,
    /// Connections that nobody reads with now. Closed before the writer, which clears up the log when it is the last.
    readers: Mutex<Vec<Connection>>,
    /// None where the database is only looked at.
    writer: Option<Mutex<Connection>>,
}

impl SqliteReadModels {
    /// Opens a database for building and reading, and creates it where there is none; its folder must be there. It may
    /// hold events and tables of anybody's as well: they are never touched. Fails where it can't be written.
    pub fn open(config: SqliteConfig) -> Result<Self, StoreError> {
        let display = config.display();
        let unexpected =
            |message: &str| StoreError::new("open", &display, StoreErrorKind::Unexpected(message.to_owned()));
        if config.path.is_dir() {
            return Err(unexpected("it is a folder, not a database file").hint("name a file in it"));
        }
        let folder = config.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.exists()) {
            return Err(StoreError::new("open", &display, StoreErrorKind::Missing).hint("create the folder first"));
        }
        if std::fs::metadata(&config.path).is_ok_and(|found| found.permissions().readonly()) {
            return Err(StoreError::new("open", &display, StoreErrorKind::ReadOnly)
                .hint("make the file writable, or name another database"));
        }
        let failed = |error| ledger::store_error("open", &display, error);
        let writer = Connection::open(ledger::as_file(&config.path)).map_err(failed)?;
        if !prepare(&writer).map_err(failed)? {
            return Err(unexpected("its file system can't hold a write-ahead log").hint("put it on a local disk"));
        }
        Self::with_writer(&config, Some(writer))
    }

    /// Opens a database to look at it, without creating or changing anything; none where there is no file. What
    /// changes something fails as read-only.
    pub fn look(config: SqliteConfig) -> Result<Option<Self>, StoreError> {
        match config.existing() {
            Ok(_) => Self::with_writer(&config, None).map(Some),
            Err(error) if matches!(error.kind, StoreErrorKind::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn with_writer(config: &SqliteConfig, writer: Option<Connection>) -> Result<Self, StoreError> {
        let shared = Shared {
            path: config.path.clone(),
            identity: config.identity()?,
            readers: Mutex::default(),
            writer: writer.map(Mutex::new),
        };
        // A file that is no database is found here.
        shared.read("open", schema::exists)?;
        Ok(Self { shared: Arc::new(shared) })
    }

    async fn read<T: Send + 'static, F: Into<Failure>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, F> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.read("read", work)).await
    }

    async fn write<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.write(action, |connection| in_transaction(connection, work))).await
    }
}

impl Shared {
    /// Runs work on one state of the database, beside whatever is being written.
    fn read<T, F: Into<Failure>>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, F>,
    ) -> Result<T, StoreError> {
        let idle = lock(&self.readers).pop();
        let opened = idle.map_or_else(|| ledger::open_to_read(&self.path, PATIENCE), Ok);
        let mut reader = opened.map_err(|error| Failure::from(error).into_error(action, &self.identity.display))?;
        let answer = reader
            .transaction()
            .map_err(Failure::from)
            .and_then(|transaction| work(&transaction).map_err(Into::into))
            .map_err(|failure| failure.into_error(action, &self.identity.display));
        lock(&self.readers).push(reader);
        answer
    }

    fn write<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let Some(writer) = &self.writer else { return Err(self.only_looked_at(action)) };
        work(&mut lock(writer)).map_err(|failure| failure.into_error(action, &self.identity.display))
    }

    fn only_looked_at(&self, action: &'static str) -> StoreError {
        StoreError::new(action, &self.identity, StoreErrorKind::ReadOnly).hint("it was opened to look at it only")
    }

    /// The file whose lock holds a projection.
    fn hold_path(&self, projection: &str) -> PathBuf {
        hold_path(&self.path, projection)
    }
}

/// A panic inside a call leaves a connection whose transaction was rolled back: it can be used on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

/// Sets up the connection that writes. Returns whether the database has a write-ahead log now.
fn prepare(connection: &Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(PATIENCE)?;
    if !has_log(connection)? {
        return Ok(false);
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "threads", 2)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    // A renamed table leaves behind whatever speaks of its name: views, triggers and foreign keys of others.
    connection.pragma_update(None, "legacy_alter_table", "ON")?;
    connection.pragma_update(None, "foreign_keys", "OFF")?;
    // An index of a column that is gone must fail, not become one of a text.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    connection.set_prepared_statement_cache_capacity(64);
    if !schema::exists(connection)? {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        schema::create(connection)?;
        connection.execute_batch("COMMIT")?;
    }
    Ok(true)
}

/// Gives the database a write-ahead log, once nobody is in it: this change does not wait by itself.
fn has_log(connection: &Connection) -> rusqlite::Result<bool> {
    let begun = Instant::now();
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0)) {
            Ok(mode) => return Ok(mode.eq_ignore_ascii_case("wal")),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Beside the database. Names that no file has are written in another way, and long ones end in their hash.
fn hold_path(database: &Path, projection: &str) -> PathBuf {
    const LONGEST: usize = 80;
    let mut name = String::new();
    for byte in projection.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    if name.len() > LONGEST {
        name.truncate(LONGEST);
        name.push_str(&format!("%{:016x}", xxhash_rust::xxh3::xxh3_64(projection.as_bytes())));
    }
    let mut path = behind_links(database).into_os_string();
    path.push(format!("-{name}-lock"));
    PathBuf::from(path)
}

/// A projection that is held by the lock of a file.
#[derive(Debug)]
struct FileHold {
    // Held, never read: dropping it frees the lock.
    _lock: WriterLock,
}

impl Hold for FileHold {}

/// Takes the lock of a projection. Whoever asks whether it is held has it for an instant, which is no reason to fail.
fn take(path: &Path) -> Result<WriterLock, StoreErrorKind> {
    let claim = Claim::default();
    match WriterLock::take(path, &claim) {
        Err(StoreErrorKind::Locked(_)) => {
            std::thread::sleep(Duration::from_millis(20));
            WriterLock::take(path, &claim)
        }
        other => other,
    }
}

#[async_trait]
impl ReadModelStore for SqliteReadModels {
    fn identity(&self) -> &StoreIdentity {
        &self.shared.identity
    }

    async fn hold(&self, projection: &str) -> Result<Box<dyn Hold>, StoreError> {
        const ACTION: &str = "hold a projection in";
        if self.shared.writer.is_none() {
            return Err(self.shared.only_looked_at(ACTION));
        }
        let path = self.shared.hold_path(projection);
        let taken = blocking(move || Ok(take(&path))).await?;
        let lock = taken.map_err(|kind| {
            let hint = match kind {
                StoreErrorKind::Locked(_) => "wait until that run ends, or stop it",
                StoreErrorKind::Full => "free some space and run the same command again",
                _ => "check that the folder can be written by this user",
            };
            StoreError::new(ACTION, self.identity(), kind).at(format_args!("projection {projection}")).hint(hint)
        })?;
        Ok(Box::new(FileHold { _lock: lock }))
    }

    async fn is_held(&self, projection: &str) -> Result<bool, StoreError> {
        Ok(local_file::is_locked(&self.shared.hold_path(projection)))
    }

    async fn projections(&self) -> Result<Vec<String>, StoreError> {
        self.read(record::projections).await
    }

    async fn builds(&self, projection: &str) -> Result<Builds, StoreError> {
        let projection = projection.to_owned();
        self.read(move |connection| record::builds(connection, &projection)).await
    }

    async fn begin(&self, projection: &str, origin: &Origin, tables: &[Table]) -> Result<Build, StoreError> {
        let (projection, origin, tables) = (projection.to_owned(), origin.clone(), tables.to_vec());
        self.write("begin a build in", move |connection| fill::begin(connection, &projection, &origin, &tables)).await
    }

    async fn load(&self, projection: &str, table: usize, rows: Vec<Row>) -> Result<(), StoreError> {
        let (shared, projection) = (Arc::clone(&self.shared), projection.to_owned());
        blocking(move || {
            shared.write("load rows into", |connection| {
                // What a power failure takes of a shadow is no loss before it is complete, and whatever is committed
                // behind it with full care makes it safe as well.
                connection.pragma_update(None, "synchronous", "NORMAL")?;
                let loaded = in_transaction(connection, |c| fill::load(c, &projection, table, &rows));
                connection.pragma_update(None, "synchronous", "FULL")?;
                loaded
            })
        })
        .await
    }

    async fn complete(
        &self,
        projection: &str,
        checkpoint: Option<Position>,
        events: u64,
        quarantined: &[Quarantined],
    ) -> Result<(), StoreError> {
        let (projection, quarantined) = (projection.to_owned(), quarantined.to_vec());
        self.write("complete a build in", move |connection| {
            fill::complete(connection, &projection, checkpoint, events, &quarantined)
        })
        .await
    }

    async fn step(&self, side: Side, projection: &str, step: &Step) -> Result<(), StoreError> {
        let (projection, step) = (projection.to_owned(), step.clone());
        self.write("update", move |connection| fill::step(connection, side, &projection, &step)).await
    }

    async fn rows(
        &self,
        side: Side,
        projection: &str,
        table: usize,
        keys: &[RowKey],
    ) -> Result<Vec<Option<Row>>, StoreError> {
        let (projection, keys) = (projection.to_owned(), keys.to_vec());
        self.read(move |connection| fill::rows(connection, side, &projection, table, &keys)).await
    }

    async fn scan(
        &self,
        side: Side,
        projection: &str,
        table: usize,
        after: Option<&RowKey>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let (projection, after) = (projection.to_owned(), after.cloned());
        self.read(move |connection| fill::scan(connection, side, &projection, table, after.as_ref(), limit)).await
    }

    async fn swap(&self, projections: &[&str]) -> Result<(), StoreError> {
        let projections: Vec<String> = projections.iter().map(|projection| (*projection).to_owned()).collect();
        self.write("swap builds in", move |connection| swap::swap(connection, &projections)).await
    }

    async fn undo(&self, projections: &[&str]) -> Result<(), StoreError> {
        let projections: Vec<String> = projections.iter().map(|projection| (*projection).to_owned()).collect();
        self.write("swap back in", move |connection| swap::undo(connection, &projections)).await
    }

    async fn drop_previous(&self, projection: &str) -> Result<bool, StoreError> {
        let projection = projection.to_owned();
        self.write("drop an old build in", move |connection| swap::drop_previous(connection, &projection)).await
    }

    async fn discard(&self, projection: &str) -> Result<(), StoreError> {
        let projection = projection.to_owned();
        self.write("discard a build in", move |connection| fill::discard(connection, &projection)).await
    }

    async fn quarantined(&self, side: Side, projection: &str) -> Result<Vec<Quarantined>, StoreError> {
        let projection = projection.to_owned();
        self.read(move |connection| read_model_ledger::quarantined(connection, side, &projection)).await
    }

    async fn record_run(&self, run: &RebuildRun) -> Result<u64, StoreError> {
        let run = run.clone();
        self.write("record a run in", move |connection| read_model_ledger::record_run(connection, &run)).await
    }

    async fn runs(&self) -> Result<Vec<RebuildRun>, StoreError> {
        self.read(read_model_ledger::runs).await
    }
}

#[async_trait]
impl SnapshotStore for SqliteReadModels {
    async fn snapshot(&self, aggregate: &str, stream: &StreamName) -> Result<Option<Snapshot>, StoreError> {
        let (aggregate, stream) = (aggregate.to_owned(), stream.clone());
        self.read(move |connection| read_model_ledger::snapshot(connection, &aggregate, &stream)).await
    }

    async fn save(&self, aggregate: &str, snapshot: &Snapshot) -> Result<(), StoreError> {
        let (aggregate, snapshot) = (aggregate.to_owned(), snapshot.clone());
        self.write("save a snapshot in", move |connection| read_model_ledger::save(connection, &aggregate, &snapshot))
            .await
    }
}
