//! The SQLite store against the suite that every store must pass.

use async_trait::async_trait;
use eventlift::events::conformance::StoreUnderTest;
use eventlift::events::{EventReader, EventRewriter, EventWriter, StoreError};
use eventlift::stores::sqlite::{SqliteConfig, SqliteReader, SqliteWriter};
use tempfile::TempDir;

struct Sqlite {
    folder: TempDir,
}

impl Sqlite {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn config(&self) -> SqliteConfig {
        SqliteConfig::new(self.folder.path().join("events.db"))
    }
}

#[async_trait]
impl StoreUnderTest for Sqlite {
    async fn writer(&self) -> Result<Box<dyn EventWriter>, StoreError> {
        Ok(Box::new(SqliteWriter::open(self.config())?))
    }

    async fn reader(&self) -> Result<Box<dyn EventReader>, StoreError> {
        Ok(Box::new(SqliteReader::open(self.config())?))
    }

    async fn rewriter(&self) -> Result<Option<Box<dyn EventRewriter>>, StoreError> {
        Ok(Some(Box::new(SqliteWriter::open(self.config())?)))
    }

    fn resident_bytes(&self) -> Option<u64> {
        crate::memory::resident_bytes()
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

eventlift::events::conformance_tests!(store: Sqlite::new(), block_on: block_on);
