//! Appending to a server.

use async_trait::async_trait;
use bytes::Bytes;
use eventlift_events::{
    ByteString, Capabilities, Checkpoint, CheckpointStore, Event, EventWriter, Guarantees, NoteChange, Position,
    PositionRange, Progress, RunId, RunRecord, StateKey, StoreError, StoreErrorKind, StoreIdentity,
};
use eventstore::Client;

use super::config::{KurrentConfig, Order};
use super::connection::connect;
use super::reader::capabilities;

/// Appends to a KurrentDB server.
pub struct KurrentWriter {
    identity: StoreIdentity,
    config: KurrentConfig,
    client: Client,
}

impl KurrentWriter {
    /// Opens a server for appending.
    pub async fn open(config: KurrentConfig) -> Result<Self, StoreError> {
        let client = connect(&config.server, &config).await?;
        let identity = StoreIdentity { display: config.to_string(), key: config.server.key() };
        Ok(Self { identity, config, client })
    }

    fn missing<T>(&self) -> Result<T, StoreError> {
        let _ = &self.client;
        Err(StoreError::new("append to", &self.identity, StoreErrorKind::ReadOnly))
    }
}

#[async_trait]
impl EventWriter for KurrentWriter {
    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    fn capabilities(&self) -> Capabilities {
        let can = capabilities(Some(self.config.order.unwrap_or(Order::Stream)));
        Capabilities { guarantees: Guarantees { dense_revisions: true, ..can.guarantees }, ..can }
    }

    fn keeps_origins(&self) -> bool {
        true
    }

    async fn append(&mut self, _events: &[Event], _progress: Option<&Progress>) -> Result<(), StoreError> {
        self.missing()
    }

    async fn seal(&mut self, _dense: bool) -> Result<(), StoreError> {
        self.missing()
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.missing()
    }

    async fn last_position(&self) -> Result<Option<Position>, StoreError> {
        self.missing()
    }
}

#[async_trait]
impl CheckpointStore for KurrentWriter {
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.missing()
    }

    async fn record_run(&mut self, _run: &RunRecord) -> Result<(), StoreError> {
        self.missing()
    }

    async fn checkpoint(&self, _run: RunId) -> Result<Option<Checkpoint>, StoreError> {
        self.missing()
    }

    async fn state(&self, _run: RunId, _keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.missing()
    }

    async fn positions(&self, _: RunId, _: Option<Position>, _: usize) -> Result<Vec<PositionRange>, StoreError> {
        self.missing()
    }

    async fn position_at(&self, _run: RunId, _source: Position) -> Result<Option<PositionRange>, StoreError> {
        self.missing()
    }

    async fn notes(
        &self,
        _run: RunId,
        _book: &str,
        _after: Option<&str>,
        _limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>, StoreError> {
        self.missing()
    }

    async fn write_notes(&mut self, _run: RunId, _changes: &[NoteChange]) -> Result<(), StoreError> {
        self.missing()
    }
}
