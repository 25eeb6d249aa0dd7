//! A fence around a database: triggers that refuse every change of the events, and a row that says until when.
//!
//! SQLite lets one transaction write at a time. The triggers are made in such a transaction, so when it has committed
//! nobody else is writing: whoever wrote before has committed or rolled back, and whoever comes later meets them.
//!
//! The message is a part of the triggers, since they run in the SQLite of whoever writes, and only new ones raise
//! anything but literals. How long the fence stands, and for which run, is in the only row of `eventlift_fence`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use eventlift_events::{Fence, FenceNotice, RunId, StoreError, StoreErrorKind, Timestamp};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params};

use super::config::SqliteConfig;
use super::layout::{self, Content};
use super::reader::blocking;
use crate::ledger;

/// How long one attempt waits for whoever has the database, and keeps others waiting.
const ATTEMPT: Duration = Duration::from_millis(100);
/// How long after an attempt the next one comes; each time longer.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(250);
/// How long others are waited for who have the database when a fence is lifted.
const LIFTING: Duration = Duration::from_secs(10);
/// How long a look at it waits for others: it keeps nobody waiting.
const LOOKING: Duration = Duration::from_secs(10);

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS eventlift_fence (
    only       INTEGER PRIMARY KEY CHECK (only = 1),
    run        TEXT NOT NULL,
    notice     TEXT NOT NULL,
    expires_at INTEGER,
    passing    INTEGER NOT NULL DEFAULT 0
) STRICT";

/// The store's clock in microseconds since 1970, in words that every SQLite knows.
const NOW: &str = "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)";

const TRIGGERS: [(&str, &str); 3] =
    [("eventlift_fence_insert", "INSERT"), ("eventlift_fence_update", "UPDATE"), ("eventlift_fence_delete", "DELETE")];

/// Keeps everybody but eventlift from changing the events of a database.
///
/// eventlift's own writer ([`SqliteWriter`](super::SqliteWriter)) passes. What changes the schema, or turns triggers off
/// for itself, passes as well.
#[derive(Debug)]
pub struct SqliteFence {
    gate: Arc<Mutex<Gate>>,
}

#[derive(Debug)]
struct Gate {
    connection: Connection,
    path: PathBuf,
    display: String,
}

/// What stands around the events.
struct Standing {
    notice: FenceNotice,
    is_expired: bool,
}

/// Why an attempt did not succeed.
enum Failed {
    /// Somebody has the database.
    Busy,
    Store(StoreError),
}

impl SqliteFence {
    /// Opens a database to fence it. Nothing is changed yet. Fails where there is none, where it holds something else,
    /// and where it can't be written.
    pub fn open(config: &SqliteConfig) -> Result<Self, StoreError> {
        let display = config.display();
        let failed = |e| ledger::store_error("fence", &display, e);
        let path = config.existing()?.to_owned();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(ledger::as_file(&path), flags).map_err(failed)?;
        connection.busy_timeout(LOOKING).map_err(failed)?;
        if !matches!(layout::content(&connection).map_err(failed)?, Content::Loading | Content::Sealed) {
            let foreign = "it holds no events in eventlift's layout".to_owned();
            return Err(StoreError::new("fence", &display, StoreErrorKind::Unexpected(foreign))
                .hint("name the database that the events are in"));
        }
        let gate = Gate { connection, path, display };
        gate.check_writable()?;
        Ok(Self { gate: Arc::new(Mutex::new(gate)) })
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Gate) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let gate = Arc::clone(&self.gate);
        // A panic inside a call leaves a connection whose transaction was rolled back: it can be used on.
        blocking(move || work(&mut gate.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

#[async_trait]
impl Fence for SqliteFence {
    async fn set(&mut self, notice: &FenceNotice, patience: Duration) -> Result<(), StoreError> {
        let notice = notice.clone();
        self.with(move |gate| {
            gate.check_writable()?;
            gate.attempts("fence", patience, |transaction, display| set(transaction, display, &notice))
        })
        .await
    }

    async fn confirm(&mut self, run: RunId) -> Result<(), StoreError> {
        // It need not be waited for longer than it stands.
        let patience = match self.standing().await? {
            Some(FenceNotice { expires_at: Some(end), .. }) => {
                let left = end.micros().saturating_sub(Timestamp::now().micros());
                Duration::from_micros(left.max(0).unsigned_abs())
            }
            _ => LIFTING,
        };
        self.with(move |gate| {
            gate.attempts("confirm the fence of", patience, |transaction, display| confirm(transaction, display, run))
        })
        .await
    }

    async fn lift(&mut self, run: RunId) -> Result<(), StoreError> {
        self.with(move |gate| {
            gate.attempts("lift the fence of", LIFTING, |transaction, display| lift(transaction, display, run))
        })
        .await
    }

    async fn standing(&self) -> Result<Option<FenceNotice>, StoreError> {
        self.with(|gate| {
            let found = found(&gate.connection, &gate.display, "read the fence of").map_err(|failed| match failed {
                Failed::Store(error) => error,
                Failed::Busy => gate.busy("read the fence of", LOOKING),
            })?;
            Ok(found.filter(|found| !found.is_expired).map(|found| found.notice))
        })
        .await
    }
}

impl Gate {
    fn check_writable(&self) -> Result<(), StoreError> {
        let is_read_only = std::fs::metadata(&self.path).is_ok_and(|found| found.permissions().readonly());
        if !is_read_only {
            return Ok(());
        }
        Err(StoreError::new("fence", &self.display, StoreErrorKind::ReadOnly)
            .hint("make the file and its folder writable for this user, or stop its writers and say --fenced"))
    }

    /// Does something in a transaction that nobody else writes beside. While others have the database it is tried again,
    /// in attempts that keep nobody waiting for long.
    fn attempts(
        &mut self,
        action: &'static str,
        patience: Duration,
        work: impl Fn(&Transaction<'_>, &str) -> Result<(), Failed>,
    ) -> Result<(), StoreError> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match self.attempt(action, &work) {
                Ok(()) => return Ok(()),
                Err(Failed::Store(error)) => return Err(error),
                Err(Failed::Busy) => {}
            }
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(self.busy(action, patience));
            }
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    fn attempt(
        &mut self,
        action: &'static str,
        work: impl Fn(&Transaction<'_>, &str) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let failed = |e| failed(action, &self.display, e);
        self.connection.busy_timeout(ATTEMPT).map_err(failed)?;
        let done = transacted(&mut self.connection, &self.display, failed, work);
        self.connection.busy_timeout(LOOKING).map_err(failed)?;
        done
    }

    fn busy(&self, action: &'static str, patience: Duration) -> StoreError {
        let problem = format!("another connection has had the database locked for {} ms", patience.as_millis());
        let problem = std::io::Error::new(std::io::ErrorKind::TimedOut, problem);
        StoreError::new(action, &self.display, StoreErrorKind::Unavailable(Box::new(problem)))
            .hint("end long transactions of whoever writes to it or reads from it, and try again")
    }
}

fn transacted(
    connection: &mut Connection,
    display: &str,
    failed: impl Fn(rusqlite::Error) -> Failed,
    work: impl Fn(&Transaction<'_>, &str) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
    work(&transaction, display)?;
    // Readers may hold it up; rolled back, it lets the next ones in.
    transaction.commit().map_err(failed)
}

fn failed(action: &'static str, display: &str, error: rusqlite::Error) -> Failed {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Failed::Busy,
        _ => Failed::Store(ledger::store_error(action, display, error)),
    }
}

fn set(transaction: &Transaction<'_>, display: &str, notice: &FenceNotice) -> Result<(), Failed> {
    const ACTION: &str = "fence";
    let failed = |e| failed(ACTION, display, e);
    if let Some(found) = found(transaction, display, ACTION)?
        && !found.is_expired
        && found.notice.run != notice.run
    {
        return Err(another(ACTION, display, &found.notice));
    }
    let json =
        serde_json::to_string(notice).map_err(|e| failed(rusqlite::Error::ToSqlConversionFailure(Box::new(e))))?;
    transaction.execute_batch(TABLE).map_err(failed)?;
    let expires_at = notice.expires_at.map(|end| end.micros());
    transaction
        .execute(
            "INSERT OR REPLACE INTO eventlift_fence (only, run, notice, expires_at) VALUES (1, ?1, ?2, ?3)",
            params![notice.run.to_string(), json, expires_at],
        )
        .map_err(failed)?;
    transaction.execute_batch(&triggers(notice)).map_err(failed)?;
    let is_expired = format!("SELECT coalesce({NOW} >= ?1, 0)");
    if transaction.query_row(&is_expired, [expires_at], |row| row.get(0)).map_err(failed)? {
        let expired = "it would have expired already, by the clock of this machine".to_owned();
        return Err(Failed::Store(
            StoreError::new(ACTION, display, StoreErrorKind::Unexpected(expired))
                .hint("give it more time, or set the clock"),
        ));
    }
    Ok(())
}

fn triggers(notice: &FenceNotice) -> String {
    let message = format!("{} (fenced by eventlift, run {}, since {})", notice.message, notice.run, notice.set_at);
    // SQLite's text ends with a NUL.
    let message = message.replace('\0', "\u{fffd}").replace('\'', "''");
    let trigger = |(name, change): (&str, &str)| {
        format!(
            "DROP TRIGGER IF EXISTS {name};
             CREATE TRIGGER {name} BEFORE {change} ON events
             WHEN (SELECT passing = 0 AND ifnull({NOW} < expires_at, 1) FROM eventlift_fence)
             BEGIN SELECT RAISE(ABORT, '{message}'); END;"
        )
    };
    TRIGGERS.into_iter().map(trigger).collect()
}

fn confirm(transaction: &Transaction<'_>, display: &str, run: RunId) -> Result<(), Failed> {
    const ACTION: &str = "confirm the fence of";
    let failed = |e| failed(ACTION, display, e);
    let gone = |problem: String| {
        let error = StoreError::new(ACTION, display, StoreErrorKind::Unexpected(problem));
        Failed::Store(error.hint("events may have been written since: set it again, and carry them over"))
    };
    let Some(found) = found(transaction, display, ACTION)? else {
        return Err(gone("no fence stands any more".to_owned()));
    };
    if found.is_expired {
        let end = found.notice.expires_at.map(|end| end.to_string()).unwrap_or_default();
        return Err(gone(format!("the fence expired at {end}")));
    }
    if found.notice.run != run {
        return Err(another(ACTION, display, &found.notice));
    }
    let notice = FenceNotice { expires_at: None, ..found.notice };
    let json =
        serde_json::to_string(&notice).map_err(|e| failed(rusqlite::Error::ToSqlConversionFailure(Box::new(e))))?;
    transaction.execute("UPDATE eventlift_fence SET notice = ?1, expires_at = NULL", [json]).map(|_| ()).map_err(failed)
}

fn lift(transaction: &Transaction<'_>, display: &str, run: RunId) -> Result<(), Failed> {
    const ACTION: &str = "lift the fence of";
    let failed = |e| failed(ACTION, display, e);
    if let Some(found) = found(transaction, display, ACTION)?
        && !found.is_expired
        && found.notice.run != run
    {
        return Err(another(ACTION, display, &found.notice));
    }
    // What does not stand any more, or not as a whole, goes whosever it was.
    for (name, _) in TRIGGERS {
        transaction.execute_batch(&format!("DROP TRIGGER IF EXISTS {name}")).map_err(failed)?;
    }
    transaction.execute_batch("DROP TABLE IF EXISTS eventlift_fence").map_err(failed)
}

fn another(action: &'static str, display: &str, notice: &FenceNotice) -> Failed {
    let holder = format!("run {} has fenced it since {}", notice.run, notice.set_at);
    Failed::Store(
        StoreError::new(action, display, StoreErrorKind::Locked(holder))
            .hint("end that run's cut-over, or roll it back, first"),
    )
}

/// The fence that is there, expired or not; none where a trigger of it is missing.
fn found(connection: &Connection, display: &str, action: &'static str) -> Result<Option<Standing>, Failed> {
    let failed = |e| failed(action, display, e);
    let is_whole: bool = connection
        .query_row(
            "SELECT (SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'events'
                     AND name IN ('eventlift_fence_insert', 'eventlift_fence_update', 'eventlift_fence_delete')) = 3
                AND EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'eventlift_fence')",
            [],
            |row| row.get(0),
        )
        .map_err(failed)?;
    if !is_whole {
        return Ok(None);
    }
    let select = format!("SELECT notice, ifnull({NOW} >= expires_at, 0) FROM eventlift_fence");
    let row: Option<(String, bool)> =
        connection.query_row(&select, [], |row| Ok((row.get(0)?, row.get(1)?))).optional().map_err(failed)?;
    let Some((notice, is_expired)) = row else { return Ok(None) };
    let notice = serde_json::from_str(&notice).map_err(|problem| {
        let problem = format!("its fence has a notice that can't be read ({problem})");
        let error = StoreError::new(action, display, StoreErrorKind::Unexpected(problem));
        Failed::Store(error.hint("use the eventlift that set it, or a newer one"))
    })?;
    Ok(Some(Standing { notice, is_expired }))
}
