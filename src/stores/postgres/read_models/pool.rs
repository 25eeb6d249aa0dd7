//! The connections of a store, and the calls that run on them, a transaction each.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use eventlift_events::{StoreError, StoreErrorKind};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::super::config::PostgresReadModelConfig;
use super::super::connection::connect;
use super::super::failure::{Place, reported};
use super::refusal::Failure;

/// How many calls run at the same time; the others wait.
const CALLS: usize = 6;
/// How many connections are kept for later.
const IDLE: usize = 3;
/// How long the server is asked again whether a transaction was committed whose answer was lost.
const RESOLVING: Duration = Duration::from_secs(20);

/// Connections that nobody uses now, and as many more as there are calls.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) config: PostgresReadModelConfig,
    pub(super) display: Place,
    /// Whether nothing is to be changed.
    pub(super) looks: bool,
    idle: Mutex<Vec<PgConnection>>,
    permits: Semaphore,
}

/// A transaction on a connection of its own. Rolled back where it is dropped before its end.
pub(super) struct Call<'p> {
    pool: &'p Pool,
    action: &'static str,
    pub(super) connection: PgConnection,
    _permit: SemaphorePermit<'p>,
    writes: bool,
}

impl Pool {
    pub(super) fn new(config: PostgresReadModelConfig, looks: bool, first: PgConnection) -> Self {
        let display = config.place();
        let idle = Mutex::new(vec![first]);
        Self { config, display, looks, idle, permits: Semaphore::new(CALLS) }
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<PgConnection, StoreError> {
        let mut connection = connect(&self.config.server, &self.display).await?;
        if self.looks {
            let set = connection.execute("SET default_transaction_read_only = on").await;
            set.map_err(|error| self.error("open", error.into()))?;
        }
        Ok(connection)
    }

    /// Begins a call that reads.
    pub(super) async fn read(&self, action: &'static str) -> Result<Call<'_>, StoreError> {
        self.begin(action, "BEGIN READ ONLY", false).await
    }

    /// Begins a call that changes something.
    pub(super) async fn write(&self, action: &'static str) -> Result<Call<'_>, StoreError> {
        if self.looks {
            let error = StoreError::new(action, &self.display, StoreErrorKind::ReadOnly);
            return Err(error.hint("it was opened to look at it only"));
        }
        self.begin(action, "BEGIN READ WRITE", true).await
    }

    async fn begin(&self, action: &'static str, sql: &'static str, writes: bool) -> Result<Call<'_>, StoreError> {
        let closed = |_| StoreError::new(action, &self.display, StoreErrorKind::Unexpected("it is closed".to_owned()));
        let permit = self.permits.acquire().await.map_err(closed)?;
        let call = |connection| Call { pool: self, action, connection, _permit: permit, writes };
        // One that has waited may be dead by now, and nothing has happened on it yet.
        loop {
            let Some(mut connection) = self.idle().pop() else { break };
            if connection.execute(sql).await.is_ok() {
                return Ok(call(connection));
            }
        }
        let mut connection = self.connect().await.map_err(|error| StoreError { action, ..error })?;
        connection.execute(sql).await.map_err(|error| self.error(action, error.into()))?;
        Ok(call(connection))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<PgConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, connection: PgConnection) {
        let mut idle = self.idle();
        if idle.len() < IDLE {
            idle.push(connection);
        }
    }

    pub(super) fn error(&self, action: &'static str, failure: Failure) -> StoreError {
        failure.into_error(action, &self.display)
    }

    /// Whether a transaction was committed whose answer was lost. None where the server can't tell: one that has
    /// crashed since may have given its number to another one.
    async fn was_committed(&self, transaction: &Transaction) -> Option<bool> {
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < RESOLVING {
            if let Ok(mut connection) = self.connect().await {
                let asked = "SELECT CASE WHEN pg_postmaster_start_time()::text = $2 \
                             THEN pg_xact_status($1::text::xid8) ELSE 'unknown' END";
                let status = sqlx::query_scalar::<_, Option<String>>(asked)
                    .bind(&transaction.number)
                    .bind(&transaction.server)
                    .fetch_one(&mut connection)
                    .await;
                match status {
                    Ok(Some(status)) if status == "committed" => return Some(true),
                    Ok(Some(status)) if status == "aborted" => return Some(false),
                    // It may still be at it, where only we have lost the connection.
                    Ok(Some(status)) if status == "in progress" => {}
                    Ok(_) => return None,
                    Err(error) if reported(&error).is_some_and(|reported| reported.code() == "22023") => return None,
                    Err(_) => {}
                }
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        None
    }
}

/// A transaction that changes something, and the server that it is one of: when that was started.
struct Transaction {
    number: String,
    server: String,
}

impl Call<'_> {
    /// Commits what was done, or rolls back what failed. Where the connection is lost while it commits, the server is
    /// asked what became of the transaction, so that an error means that nothing happened.
    pub(super) async fn end<T>(mut self, done: Result<T, Failure>) -> Result<T, StoreError> {
        let done = match done {
            Ok(done) => done,
            Err(failure) => {
                if !failure.is_disconnected() && self.connection.execute("ROLLBACK").await.is_ok() {
                    self.pool.give_back(self.connection);
                }
                return Err(self.pool.error(self.action, failure));
            }
        };
        let failed = |error: sqlx::Error| self.pool.error(self.action, error.into());
        let transaction = match self.writes {
            true => {
                let asked = "SELECT pg_current_xact_id_if_assigned()::text, pg_postmaster_start_time()::text";
                let (number, server): (Option<String>, String) =
                    sqlx::query_as(asked).fetch_one(&mut self.connection).await.map_err(failed)?;
                number.map(|number| Transaction { number, server })
            }
            false => None,
        };
        if let Err(error) = self.connection.execute("COMMIT").await {
            let Some(transaction) = transaction else { return Err(failed(error)) };
            let failure = Failure::from(error);
            if !failure.is_disconnected() {
                return Err(self.pool.error(self.action, failure));
            }
            return match self.pool.was_committed(&transaction).await {
                Some(true) => Ok(done),
                Some(false) => Err(self.pool.error(self.action, failure)),
                None => Err(self
                    .pool
                    .error(self.action, failure)
                    .at("its commit, of which it is not known whether it happened")),
            };
        }
        self.pool.give_back(self.connection);
        Ok(done)
    }
}

/// Ends a connection in good order.
pub(super) async fn close(connection: PgConnection) {
    // It is over in any case.
    let _ = connection.close().await;
}
