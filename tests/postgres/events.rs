//! The events store against the suite that every store must pass, once for each kind of column.

use async_trait::async_trait;
use eventlift::events::conformance::StoreUnderTest;
use eventlift::events::{EventReader, EventRewriter, EventWriter, StoreError};
use eventlift::stores::postgres::{PayloadColumn, PostgresConfig, PostgresReader, PostgresWriter};

use super::database::Database;

struct Postgres {
    database: Database,
    data: PayloadColumn,
    metadata: PayloadColumn,
}

impl Postgres {
    async fn new(data: PayloadColumn, metadata: PayloadColumn) -> Self {
        Self { database: Database::create().await, data, metadata }
    }

    fn config(&self) -> PostgresConfig {
        PostgresConfig { data: self.data, metadata: self.metadata, ..PostgresConfig::new(self.database.url()) }
    }
}

#[async_trait]
impl StoreUnderTest for Postgres {
    async fn writer(&self) -> Result<Box<dyn EventWriter>, StoreError> {
        Ok(Box::new(PostgresWriter::open(self.config()).await?))
    }

    async fn reader(&self) -> Result<Box<dyn EventReader>, StoreError> {
        Ok(Box::new(PostgresReader::open(self.config()).await?))
    }

    async fn rewriter(&self) -> Result<Option<Box<dyn EventRewriter>>, StoreError> {
        Ok(Some(Box::new(PostgresWriter::open(self.config()).await?)))
    }

    fn resident_bytes(&self) -> Option<u64> {
        crate::memory::resident_bytes()
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

mod json {
    use super::*;

    eventlift::events::conformance_tests!(
        store: Postgres::new(PayloadColumn::Json, PayloadColumn::Json).await,
        block_on: block_on,
        ignore: "needs a PostgreSQL server: cargo xtask test",
    );
}

mod bytea {
    use super::*;

    eventlift::events::conformance_tests!(
        store: Postgres::new(PayloadColumn::Bytea, PayloadColumn::Bytea).await,
        block_on: block_on,
        ignore: "needs a PostgreSQL server: cargo xtask test",
    );
}

mod jsonb {
    use super::*;

    eventlift::events::conformance_tests!(
        store: Postgres::new(PayloadColumn::Jsonb, PayloadColumn::Jsonb).await,
        block_on: block_on,
        ignore: "needs a PostgreSQL server: cargo xtask test",
    );
}
