//! Reading a server.

use async_trait::async_trait;
use eventlift_events::{
    Capabilities, Census, EventReader, EventStream, Guarantees, Position, ReadRequest, Scope, StoreError,
    StoreErrorKind, StoreIdentity,
};
use eventstore::Client;

use super::config::{KurrentConfig, Order};
use super::connection::connect;

/// Reads a KurrentDB server.
pub struct KurrentReader {
    identity: StoreIdentity,
    config: KurrentConfig,
    client: Client,
}

impl KurrentReader {
    /// Opens a server for reading.
    pub async fn open(config: KurrentConfig) -> Result<Self, StoreError> {
        let client = connect(&config.server, &config).await?;
        let identity = StoreIdentity { display: config.to_string(), key: config.server.key() };
        Ok(Self { identity, config, client })
    }
}

/// What a server can do.
pub(super) fn capabilities(order: Option<Order>) -> Capabilities {
    Capabilities {
        transactions: false,
        global_order: order != Some(Order::Stream),
        explicit_positions: false,
        sets_time: false,
        attributes: true,
        exact_data: true,
        exact_metadata: true,
        max_append_bytes: None,
        refuses_taken_ids: false,
        guarantees: Guarantees { unique_ids: false, unique_revisions: true, dense_revisions: false },
    }
}

#[async_trait]
impl EventReader for KurrentReader {
    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(self.config.order)
    }

    fn read(&self, _request: ReadRequest) -> EventStream {
        let _ = &self.client;
        Box::pin(futures_util::stream::empty())
    }

    async fn census(&self, _scope: &Scope, _until: Option<Position>) -> Result<Option<Census>, StoreError> {
        Ok(None)
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        Err(StoreError::new("read", &self.identity, StoreErrorKind::ReadOnly))
    }
}
