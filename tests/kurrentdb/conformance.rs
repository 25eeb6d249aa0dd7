//! The store against the suite that every store must pass, each check on a server of its own, in both orders.

use async_trait::async_trait;
use eventlift::events::conformance::StoreUnderTest;
use eventlift::events::{EventReader, EventWriter, StoreError};
use eventlift::stores::kurrentdb::{KurrentConfig, KurrentReader, KurrentWriter, Order};
use tempfile::TempDir;

use super::server::{KurrentServer, ServerOptions};

struct Kurrent {
    server: KurrentServer,
    folder: TempDir,
    order: Order,
}

impl Kurrent {
    fn new(order: Order) -> Self {
        // Payloads of 16 MiB are in the suite; links and statistics are in every log.
        let options = ServerOptions { max_append_size: 64 << 20, noise_every: 7, ..ServerOptions::default() };
        Self { server: KurrentServer::start(options), folder: tempfile::tempdir().unwrap(), order }
    }

    fn config(&self) -> KurrentConfig {
        let ledger = self.folder.path().join("ledger");
        KurrentConfig { order: Some(self.order), ..KurrentConfig::new(self.server.url(), ledger) }
    }
}

#[async_trait]
impl StoreUnderTest for Kurrent {
    async fn writer(&self) -> Result<Box<dyn EventWriter>, StoreError> {
        Ok(Box::new(KurrentWriter::open(self.config()).await?))
    }

    async fn reader(&self) -> Result<Box<dyn EventReader>, StoreError> {
        Ok(Box::new(KurrentReader::open(self.config()).await?))
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

mod by_stream {
    eventlift::events::conformance_tests!(
        store: super::Kurrent::new(super::Order::Stream),
        block_on: super::block_on,
    );
}

mod in_global_order {
    eventlift::events::conformance_tests!(
        store: super::Kurrent::new(super::Order::Global),
        block_on: super::block_on,
    );
}
