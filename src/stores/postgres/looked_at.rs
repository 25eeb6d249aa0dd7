//! Looking at a store's ledger while others write: changes nothing and waits for nobody.

use async_trait::async_trait;
use eventlift_events::{
    ByteString, Bytes, Checkpoint, CheckpointStore, LateEvents, LatePosition, LoadRange, NoteChange, Position,
    PositionRange, RunId, RunRecord, StateKey, StoreError, StoreErrorKind,
};
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use super::config::PostgresConfig;
use super::connection::connect;
use super::failure::{Place, store_error};
use super::layout::{ASCENDING, EVENTS, READABLE};
use super::ledger::Ledger;
use super::migrations;
use super::relation::{Relation, lock_key};
use crate::ledger::LedgerDatabase;

/// The ledger of a table of events, read-only.
#[derive(Debug)]
pub struct PostgresLedger {
    display: Place,
    ledger: Ledger,
    connection: Mutex<PgConnection>,
    /// Where an earlier version wrote it: the map that was asked for last, in today's form.
    older: Option<Mutex<Option<(RunId, LedgerDatabase)>>>,
}

/// Ranges that are copied at a time.
const PAGE: usize = 10_000;

impl PostgresLedger {
    /// Opens the ledger of a table; none where no run was ever recorded for it.
    pub async fn look_at(config: PostgresConfig) -> Result<Option<Self>, StoreError> {
        let display = config.place();
        let mut connection = connect(&config.server, &display).await?;
        let version = migrations::version(&mut connection, &config.schema, &EVENTS, &display).await?;
        if version < READABLE {
            return Ok(None);
        }
        let ledger = Ledger::of(&Relation::new(&config.schema, &config.table));
        let older = (version < ASCENDING).then(|| Mutex::new(None));
        Ok(Some(Self { display, ledger, connection: Mutex::new(connection), older }))
    }

    /// The map of a run that an earlier version wrote, in today's form and in a temporary file.
    async fn renewed(&self, run: RunId) -> Result<LedgerDatabase, StoreError> {
        let renewed = LedgerDatabase::temporary()?;
        let connection = &mut *self.connection.lock().await;
        let records = self.ledger.runs(connection).await.map_err(|e| self.failed(e))?;
        for record in records.iter().filter(|record| record.id == run) {
            renewed.record(record)?;
        }
        let mut after = None;
        loop {
            let ranges = self.ledger.positions(connection, run, after, PAGE).await.map_err(|e| self.failed(e))?;
            let Some(last) = ranges.last() else { break };
            after = Some(last.source);
            renewed.take_older_ranges(run, &ranges)?;
        }
        renewed.renew()?;
        Ok(renewed)
    }

    async fn older_map<'m>(
        &self,
        older: &'m mut Option<(RunId, LedgerDatabase)>,
        run: RunId,
    ) -> Result<&'m LedgerDatabase, StoreError> {
        if older.as_ref().is_none_or(|(known, _)| *known != run) {
            *older = None;
        }
        let (_, map) = match older.take() {
            Some(known) => older.insert(known),
            None => older.insert((run, self.renewed(run).await?)),
        };
        Ok(map)
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
        if let Some(older) = &self.older {
            let mut older = older.lock().await;
            return self.older_map(&mut older, run).await?.positions(run, after, limit).await;
        }
        self.ledger.positions(&mut *self.connection.lock().await, run, after, limit).await.map_err(|e| self.failed(e))
    }

    async fn position_at(&self, run: RunId, source: Position) -> Result<Option<PositionRange>, StoreError> {
        if let Some(older) = &self.older {
            let mut older = older.lock().await;
            return self.older_map(&mut older, run).await?.position_at(run, source).await;
        }
        self.ledger.position_at(&mut *self.connection.lock().await, run, source).await.map_err(|e| self.failed(e))
    }

    async fn late_of(&self, run: RunId, source: Position) -> Result<Vec<LatePosition>, StoreError> {
        if let Some(older) = &self.older {
            let mut older = older.lock().await;
            return self.older_map(&mut older, run).await?.late_of(run, source).await;
        }
        self.ledger.late_of(&mut *self.connection.lock().await, run, source).await.map_err(|e| self.failed(e))
    }

    async fn late_at(&self, run: RunId, target: Position) -> Result<Option<LateEvents>, StoreError> {
        if let Some(older) = &self.older {
            let mut older = older.lock().await;
            return self.older_map(&mut older, run).await?.late_at(run, target).await;
        }
        self.ledger.late_at(&mut *self.connection.lock().await, run, target).await.map_err(|e| self.failed(e))
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
