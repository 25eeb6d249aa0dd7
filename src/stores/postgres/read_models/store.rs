//! The store: which work runs in which transaction.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use eventlift_events::{Position, StoreError, StoreErrorKind, StoreIdentity, StreamName};
use eventlift_projections::{
    Build, Builds, Hold, Origin, Quarantined, ReadModelStore, RebuildRun, Row, RowKey, Side, Snapshot, SnapshotStore,
    Step, Table,
};
use sqlx::postgres::PgConnection;
use sqlx::{Executor, Row as _};

use super::super::config::PostgresReadModelConfig;
use super::super::connection::connect;
use super::super::failure::store_error;
use super::super::migrations::{is_readable, migrate};
use super::hold::{self, Epochs};
use super::pool::Pool;
use super::refusal::Failure;
use super::schema::{READ_MODELS, READABLE};
use super::swap::Direction;
use super::{fill, ledger, record, swap};

/// Read models and snapshots in a schema of a PostgreSQL database. Clones share their connections.
#[derive(Clone, Debug)]
pub struct PostgresReadModels {
    pool: Arc<Pool>,
    identity: StoreIdentity,
    epochs: Epochs,
    patience: Duration,
}

impl PostgresReadModels {
    /// Opens a schema for building and reading, and creates it and the ledger's tables where there are none. It may
    /// hold tables of anybody's as well: they are never touched. Fails where the database is not there, can't be
    /// reached, or lets whoever asks not create tables.
    pub async fn open(config: PostgresReadModelConfig) -> Result<Self, StoreError> {
        let display = config.place();
        let mut connection = connect(&config.server, &display).await?;
        let identity = who(&mut connection, &config).await?;
        migrate(&mut connection, &config.schema, &READ_MODELS, &display).await?;
        Ok(Self::with(config, identity, false, connection))
    }

    /// Opens a schema to look at it, without creating or changing anything; none where nothing was ever built in it.
    /// What changes something fails as read-only.
    pub async fn look(config: PostgresReadModelConfig) -> Result<Option<Self>, StoreError> {
        let display = config.place();
        let mut connection = match connect(&config.server, &display).await {
            Err(error) if matches!(error.kind, StoreErrorKind::Missing) => return Ok(None),
            other => other?,
        };
        let identity = who(&mut connection, &config).await?;
        let set = connection.execute("SET default_transaction_read_only = on").await;
        set.map_err(|error| store_error("open", &display, error))?;
        if !is_readable(&mut connection, &config.schema, &READ_MODELS, READABLE, &display).await? {
            return Ok(None);
        }
        Ok(Some(Self::with(config, identity, true, connection)))
    }

    fn with(config: PostgresReadModelConfig, identity: StoreIdentity, looks: bool, connection: PgConnection) -> Self {
        let pool = Arc::new(Pool::new(config, looks, connection));
        Self { pool, identity, epochs: Epochs::default(), patience: swap::PATIENCE }
    }

    /// The same handle, whose swaps give up after another time than 60 s where the tables are in use. A swap gives up
    /// before anything has changed.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn schema(&self) -> &str {
        &self.pool.config.schema
    }

    /// The epoch of a projection that is held through this handle.
    fn epoch(&self, projection: &str) -> Option<i64> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner).get(projection).copied()
    }
}

/// Which database it is.
async fn who(connection: &mut PgConnection, config: &PostgresReadModelConfig) -> Result<StoreIdentity, StoreError> {
    let display = config.place();
    let failed = |error: sqlx::Error| store_error("open", &display, error);
    let sql = "SELECT d.oid::bigint AS database,
                      has_function_privilege('pg_control_system()', 'EXECUTE') AS may_ask,
                      coalesce(host(inet_server_addr()), 'local') || ':' || coalesce(inet_server_port(), 0) AS address
               FROM pg_database d WHERE d.datname = current_database()";
    let row = connection.fetch_one(sql).await.map_err(failed)?;
    let database: i64 = row.try_get("database").map_err(failed)?;
    let may_ask: bool = row.try_get("may_ask").map_err(failed)?;
    // Some hosted servers keep the cluster's number for themselves.
    let cluster: String = match may_ask {
        true => {
            let sql = "SELECT system_identifier::text FROM pg_control_system()";
            sqlx::query_scalar(sql).fetch_one(&mut *connection).await.map_err(failed)?
        }
        false => row.try_get("address").map_err(failed)?,
    };
    let key = format!("postgres:{cluster}/{database}/{}", config.schema);
    Ok(StoreIdentity { display: display.to_string(), key })
}

#[async_trait]
impl ReadModelStore for PostgresReadModels {
    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    async fn hold(&self, projection: &str) -> Result<Box<dyn Hold>, StoreError> {
        if self.pool.looks {
            let error = StoreError::new(hold::ACTION, &self.identity, StoreErrorKind::ReadOnly);
            return Err(error.hint("it was opened to look at it only"));
        }
        hold::hold(Arc::clone(&self.pool), &self.epochs, projection).await
    }

    async fn is_held(&self, projection: &str) -> Result<bool, StoreError> {
        let mut call = self.pool.read("read").await?;
        let done = hold::is_held(&mut call.connection, self.schema(), projection).await;
        call.end(done.map_err(Failure::from)).await
    }

    async fn projections(&self) -> Result<Vec<String>, StoreError> {
        let mut call = self.pool.read("read").await?;
        let done = record::projections(&mut call.connection, self.schema()).await;
        call.end(done).await
    }

    async fn builds(&self, projection: &str) -> Result<Builds, StoreError> {
        let mut call = self.pool.read("read").await?;
        let done = record::builds(&mut call.connection, self.schema(), projection).await;
        call.end(done).await
    }

    async fn begin(&self, projection: &str, origin: &Origin, tables: &[Table]) -> Result<Build, StoreError> {
        let mut call = self.pool.write("begin a build in").await?;
        let connection = &mut call.connection;
        let done = async {
            record::fence(connection, self.schema(), projection, self.epoch(projection), true).await?;
            fill::begin(connection, self.schema(), projection, origin, tables).await
        };
        let done = done.await;
        call.end(done).await
    }

    async fn load(&self, projection: &str, table: usize, rows: Vec<Row>) -> Result<(), StoreError> {
        let mut call = self.pool.write("load rows into").await?;
        let connection = &mut call.connection;
        let done = async {
            record::fence(connection, self.schema(), projection, self.epoch(projection), true).await?;
            fill::load(connection, self.schema(), projection, table, &rows).await
        };
        let done = done.await;
        call.end(done).await
    }

    async fn complete(
        &self,
        projection: &str,
        checkpoint: Option<Position>,
        events: u64,
        quarantined: &[Quarantined],
    ) -> Result<(), StoreError> {
        let mut call = self.pool.write("complete a build in").await?;
        let connection = &mut call.connection;
        let done = async {
            record::fence(connection, self.schema(), projection, self.epoch(projection), true).await?;
            fill::complete(connection, self.schema(), projection, checkpoint, events, quarantined).await
        };
        let done = done.await;
        call.end(done).await
    }

    async fn step(&self, side: Side, projection: &str, step: &Step) -> Result<(), StoreError> {
        let mut call = self.pool.write("update").await?;
        let connection = &mut call.connection;
        let done = async {
            record::fence(connection, self.schema(), projection, self.epoch(projection), true).await?;
            fill::step(connection, self.schema(), side, projection, step).await
        };
        let done = done.await;
        call.end(done).await
    }

    async fn rows(
        &self,
        side: Side,
        projection: &str,
        table: usize,
        keys: &[RowKey],
    ) -> Result<Vec<Option<Row>>, StoreError> {
        let mut call = self.pool.read("read").await?;
        let done = fill::rows(&mut call.connection, self.schema(), side, projection, table, keys).await;
        call.end(done).await
    }

    async fn scan(
        &self,
        side: Side,
        projection: &str,
        table: usize,
        after: Option<&RowKey>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut call = self.pool.read("read").await?;
        let done = fill::scan(&mut call.connection, self.schema(), side, projection, table, after, limit).await;
        call.end(done).await
    }

    async fn swap(&self, projections: &[&str]) -> Result<(), StoreError> {
        self.turn("swap builds in", projections, Direction::Forward).await
    }

    async fn undo(&self, projections: &[&str]) -> Result<(), StoreError> {
        self.turn("swap back in", projections, Direction::Back).await
    }

    async fn drop_previous(&self, projection: &str) -> Result<bool, StoreError> {
        let mut call = self.pool.write("drop an old build in").await?;
        let connection = &mut call.connection;
        let done = async {
            record::fence(connection, self.schema(), projection, self.epoch(projection), true).await?;
            swap::drop_previous(connection, self.schema(), projection).await
        };
        let done = done.await;
        call.end(done).await
    }

    async fn discard(&self, projection: &str) -> Result<(), StoreError> {
        let mut call = self.pool.write("discard a build in").await?;
        let connection = &mut call.connection;
        let done = async {
            record::fence(connection, self.schema(), projection, self.epoch(projection), true).await?;
            fill::discard(connection, self.schema(), projection).await
        };
        let done = done.await;
        call.end(done).await
    }

    async fn quarantined(&self, side: Side, projection: &str) -> Result<Vec<Quarantined>, StoreError> {
        let mut call = self.pool.read("read").await?;
        let done = ledger::quarantined(&mut call.connection, self.schema(), side, projection).await;
        call.end(done).await
    }

    async fn record_run(&self, run: &RebuildRun) -> Result<u64, StoreError> {
        let mut call = self.pool.write("record a run in").await?;
        let done = ledger::record_run(&mut call.connection, self.schema(), run).await;
        call.end(done).await
    }

    async fn runs(&self) -> Result<Vec<RebuildRun>, StoreError> {
        let mut call = self.pool.read("read").await?;
        let done = ledger::runs(&mut call.connection, self.schema()).await;
        call.end(done).await
    }
}

impl PostgresReadModels {
    async fn turn(&self, action: &'static str, projections: &[&str], direction: Direction) -> Result<(), StoreError> {
        let held: Vec<(&str, Option<i64>)> =
            projections.iter().map(|projection| (*projection, self.epoch(projection))).collect();
        let mut call = self.pool.write(action).await?;
        let done = swap::turn(&mut call.connection, self.schema(), &held, direction, self.patience).await;
        call.end(done).await
    }
}

#[async_trait]
impl SnapshotStore for PostgresReadModels {
    async fn snapshot(&self, aggregate: &str, stream: &StreamName) -> Result<Option<Snapshot>, StoreError> {
        let mut call = self.pool.read("read").await?;
        let done = ledger::snapshot(&mut call.connection, self.schema(), aggregate, stream).await;
        call.end(done).await
    }

    async fn save(&self, aggregate: &str, snapshot: &Snapshot) -> Result<(), StoreError> {
        let mut call = self.pool.write("save a snapshot in").await?;
        let connection = &mut call.connection;
        let done = async {
            // Beside other services, and never while the table is being renamed.
            record::fence(connection, self.schema(), aggregate, None, false).await?;
            ledger::save(connection, self.schema(), aggregate, snapshot).await
        };
        let done = done.await;
        call.end(done).await
    }
}
