//! The store against the suite that every store must pass, each check on a server of its own, in both orders.

use std::sync::Arc;

use async_trait::async_trait;
use eventlift::events::conformance::StoreUnderTest;
use eventlift::events::{
    Capabilities, Census, EventReader, EventStream, EventWriter, Position, ReadRequest, Scope, StoreError,
    StoreIdentity,
};
use eventlift::stores::kurrentdb::{KurrentConfig, KurrentReader, KurrentWriter, Order};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::server::{KurrentServer, ServerOptions};

struct Kurrent {
    server: KurrentServer,
    folder: TempDir,
    order: Order,
    /// Opened once: a check may read hundreds of times.
    reader: OnceCell<Arc<KurrentReader>>,
}

/// A reader that others read with, too.
struct Shared(Arc<KurrentReader>);

#[async_trait]
impl EventReader for Shared {
    fn identity(&self) -> &StoreIdentity {
        self.0.identity()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        self.0.read(request)
    }

    async fn census(&self, scope: &Scope, until: Option<Position>) -> Result<Option<Census>, StoreError> {
        self.0.census(scope, until).await
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.0.head().await
    }

    fn reading(&self) -> String {
        self.0.reading()
    }
}

impl Kurrent {
    fn new(order: Order) -> Self {
        // Payloads of 16 MiB are in the suite; links and statistics are in every log.
        let options = ServerOptions { max_append_size: 64 << 20, noise_every: 7, ..ServerOptions::default() };
        Self {
            server: KurrentServer::start(options),
            folder: tempfile::tempdir().unwrap(),
            order,
            reader: OnceCell::new(),
        }
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
        let open = async || KurrentReader::open(self.config()).await.map(Arc::new);
        Ok(Box::new(Shared(Arc::clone(self.reader.get_or_try_init(open).await?))))
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
