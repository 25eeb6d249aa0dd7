//! Looking at a store's ledger while others write: changes nothing and waits for nobody.

use async_trait::async_trait;
use eventlift_events::{
    ByteString, Bytes, Checkpoint, CheckpointStore, LoadRange, NoteChange, Position, PositionRange, RunId, RunRecord,
    StateKey, StoreError, StoreErrorKind,
};
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use super::config::PostgresConfig;
use super::connection::connect;
use super::failure::{Place, store_error};
use super::layout::{EVENTS, READABLE};
use super::ledger::Ledger;
use super::migrations::is_readable;
use super::relation::Relation;

/// The ledger of a table of events, read-only.
#[derive(Debug)]
pub struct PostgresLedger {
    display: Place,
    ledger: Ledger,
    connection: Mutex<PgConnection>,
}

impl PostgresLedger {
    /// Opens the ledger of a table; none where no run was ever recorded for it.
    pub async fn look_at(config: PostgresConfig) -> Result<Option<Self>, StoreError> {
        let display = config.place();
        let mut connection = connect(&config.server, &display).await?;
        if !is_readable(&mut connection, &config.schema, &EVENTS, READABLE, &display).await? {
            return Ok(None);
        }
        let ledger = Ledger::of(&Relation::new(&config.schema, &config.table));
        Ok(Some(Self { display, ledger, connection: Mutex::new(connection) }))
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        store_error("read", &self.display, error)
    }
}

#[async_trait]
impl CheckpointStore for PostgresLedger {
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.ledger.runs(&mut *self.connection.lock().await).await.map_err(|e| self.failed(e))
    }

    async fn record_run(&mut self, _run: &RunRecord) -> Result<(), StoreError> {
        Err(StoreError::new("record a run in", &self.display, StoreErrorKind::ReadOnly))
    }

    async fn checkpoint(&self, run: RunId) -> Result<Option<Checkpoint>, StoreError> {
        self.ledger.checkpoint(&mut *self.connection.lock().await, run).await.map_err(|e| self.failed(e))
    }

    async fn state(&self, run: RunId, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.ledger.state(&mut *self.connection.lock().await, run, keys).await.map_err(|e| self.failed(e))
    }

    async fn positions(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<PositionRange>, StoreError> {
        self.ledger.positions(&mut *self.connection.lock().await, run, after, limit).await.map_err(|e| self.failed(e))
    }

    async fn position_at(&self, run: RunId, source: Position) -> Result<Option<PositionRange>, StoreError> {
        self.ledger.position_at(&mut *self.connection.lock().await, run, source).await.map_err(|e| self.failed(e))
    }

    async fn notes(
        &self,
        run: RunId,
        book: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>, StoreError> {
        let mut connection = self.connection.lock().await;
        self.ledger.notes(&mut connection, run, book, after, limit).await.map_err(|e| self.failed(e))
    }

    async fn write_notes(&mut self, _run: RunId, _changes: &[NoteChange]) -> Result<(), StoreError> {
        Err(StoreError::new("write notes in", &self.display, StoreErrorKind::ReadOnly))
    }

    async fn load_ranges(&self, run: RunId) -> Result<Vec<LoadRange>, StoreError> {
        self.ledger.load_ranges(&mut *self.connection.lock().await, run).await.map_err(|e| self.failed(e))
    }
}
