//! A connection that is the only one to write to a table: it holds the table's lock, and the epoch it raised keeps what
//! earlier ones left behind from committing.

use std::time::Duration;

use tokio::time::Instant;

use eventlift_events::{StoreError, StoreErrorKind, StoreIdentity};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::config::PostgresConfig;
use super::connection::connect;
use super::failure::{Place, store_error};
use super::fence::PASS;
use super::identity::identity;
use super::layout::{self, EVENTS, EventsTable};
use super::ledger::{Ledger, StoreRow};
use super::migrations::migrate;
use super::taking_over::{end_locking, holder_of, lock_of};
use crate::stores::{Claim, Holder};

/// How long apart a lock is tried for: the server may take a while to see that its holder is gone.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// How the table's lock is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taking<'a> {
    /// As what.
    pub(super) claim: &'a Claim,
    /// How long it is tried for.
    pub(super) patience: Duration,
    /// The server's process of the session that the same writer has lost, which is ended if it is there still.
    pub(super) lost: Option<i32>,
}

/// An open table.
pub(super) struct Session {
    pub(super) connection: PgConnection,
    /// The number of the server's process.
    pub(super) number: i32,
    display: Place,
    pub(super) identity: StoreIdentity,
    pub(super) table: EventsTable,
    pub(super) row: StoreRow,
    /// Whether it held no event when it was opened.
    pub(super) was_empty: bool,
    /// The sequence that numbers what services insert, as SQL takes its name.
    pub(super) sequence: Option<String>,
}

/// Which writer this is: nothing is committed once a later one has opened the store.
#[derive(Clone, Debug)]
pub(super) struct Fence {
    pub(super) ledger: Ledger,
    pub(super) epoch: i64,
    pub(super) display: Place,
}

impl Fence {
    /// Begins a transaction that no later writer can come before the end of. Fails where one has opened the store
    /// already; the transaction is then still to be rolled back.
    pub(super) async fn begin(
        &self,
        connection: &mut PgConnection,
        action: &'static str,
    ) -> Result<StoreRow, StoreError> {
        let failed = |e| store_error(action, &self.display, e);
        sqlx::raw_sql("BEGIN ISOLATION LEVEL READ COMMITTED").execute(&mut *connection).await.map_err(failed)?;
        match self.ledger.hold(connection).await.map_err(failed)? {
            Some(row) if row.epoch == self.epoch => Ok(row),
            _ => {
                let taken = "it was taken over by another run, which opened it later".to_owned();
                Err(StoreError::new(action, &self.display, StoreErrorKind::Locked(taken))
                    .hint("end the other run, or this one"))
            }
        }
    }

    /// Commits the transaction.
    pub(super) async fn commit(&self, connection: &mut PgConnection, action: &'static str) -> Result<(), StoreError> {
        let ended = sqlx::raw_sql("COMMIT").execute(connection).await;
        ended.map(|_| ()).map_err(|e| store_error(action, &self.display, e))
    }
}

/// Connects to append: past a fence that keeps others out.
pub(super) async fn connect_to_write(config: &PostgresConfig, display: &Place) -> Result<PgConnection, StoreError> {
    let mut connection = connect(&config.server, display).await?;
    sqlx::raw_sql(PASS).execute(&mut connection).await.map_err(|e| store_error("open", display, e))?;
    Ok(connection)
}

/// Ends whatever transaction there is, without its changes. False where the connection is of no use any more.
pub(super) async fn roll_back(connection: &mut PgConnection) -> bool {
    sqlx::raw_sql("ROLLBACK").execute(connection).await.is_ok()
}

impl Session {
    /// Connects, brings the ledger's tables up to date, makes the table where there is none, and takes it over.
    pub(super) async fn open(config: &PostgresConfig, taking: Taking<'_>) -> Result<Self, StoreError> {
        let display = config.place().written();
        let failed = |e| store_error("open", &display, e);
        let mut connection = connect_to_write(config, &display).await?;
        check_encoding(&mut connection, &display).await?;
        migrate(&mut connection, &config.schema, &EVENTS, &display).await?;
        let number = lock(&mut connection, config, taking, &display).await?;

        sqlx::raw_sql("BEGIN ISOLATION LEVEL READ COMMITTED").execute(&mut connection).await.map_err(failed)?;
        let table = match layout::table(&mut connection, config).await? {
            Some(table) => table,
            None => layout::create(&mut connection, config).await?,
        };
        let ledger = Ledger::of(&table.relation);
        let holder = Holder { session: Some(number), ..Holder::this(taking.claim) };
        let row = ledger.raise_epoch(&mut connection, &holder).await.map_err(failed)?;
        sqlx::raw_sql("COMMIT").execute(&mut connection).await.map_err(failed)?;

        layout::check_partitions(&mut connection, &table, &display).await?;
        let select =
            format!("SELECT NOT EXISTS (SELECT 1 FROM {}), pg_get_serial_sequence($1, 'position')", table.relation);
        let (was_empty, sequence): (bool, Option<String>) = sqlx::query_as(AssertSqlSafe(select))
            .bind(table.relation.to_string())
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        let identity = identity(&mut connection, config).await?;
        Ok(Self { connection, number, display, identity, table, row, was_empty, sequence })
    }

    /// What keeps this session's commits apart from those of later ones.
    pub(super) fn fence(&self) -> Fence {
        let ledger = Ledger::of(&self.table.relation);
        Fence { ledger, epoch: self.row.epoch, display: self.display.clone() }
    }
}

/// Moves a sequence behind a position, if it is not there yet.
pub(super) async fn number_on(connection: &mut PgConnection, sequence: Option<&str>, last: i64) -> sqlx::Result<()> {
    // A sequence counts from 1.
    let Some(sequence) = sequence.filter(|_| last >= 1) else { return Ok(()) };
    let statement = format!("SELECT setval($1::regclass, $2) FROM {sequence} WHERE last_value < $2 OR NOT is_called");
    sqlx::query(AssertSqlSafe(statement)).bind(sequence).bind(last).execute(connection).await.map(|_| ())
}

async fn check_encoding(connection: &mut PgConnection, display: &Place) -> Result<(), StoreError> {
    let encoding: String = sqlx::query_scalar("SELECT current_setting('server_encoding')")
        .fetch_one(connection)
        .await
        .map_err(|e| store_error("open", display, e))?;
    if encoding == "UTF8" {
        return Ok(());
    }
    let problem = format!("the database's encoding is {encoding}, which can't hold every text");
    Err(StoreError::new("open", display, StoreErrorKind::Unsupported(problem))
        .hint("make a database with `createdb --encoding=UTF8 --template=template0`"))
}

/// Takes the table's lock for as long as the connection lives, and returns the number of the server's process.
async fn lock(
    connection: &mut PgConnection,
    config: &PostgresConfig,
    taking: Taking<'_>,
    display: &Place,
) -> Result<i32, StoreError> {
    let failed = |e| store_error("open", display, e);
    let key = lock_of(config);
    let begun = Instant::now();
    loop {
        let (is_ours, number): (bool, i32) = sqlx::query_as("SELECT pg_try_advisory_lock($1), pg_backend_pid()")
            .bind(key)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        if is_ours {
            return Ok(number);
        }
        if let Some(lost) = taking.lost {
            // Without the right to, it is waited for.
            let _ = end_locking(connection, config, lost).await;
        }
        if begun.elapsed() >= taking.patience {
            break;
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    let holder = holder_of(connection, config).await.map_err(failed)?;
    let holder = holder.map_or_else(|| "a connection that has just ended".to_owned(), |holder| holder.to_string());
    Err(StoreError::new("open", display, StoreErrorKind::Locked(holder)).hint("end the other run, or wait for it"))
}
