//! The suite that every store must pass, for every form of a file.

use async_trait::async_trait;
use eventlift::stores::file::{Attribute, FileConfig, FileReader, FileWriter};
use eventlift_events::conformance::StoreUnderTest;
use eventlift_events::{EventReader, EventWriter, StoreError};
use tempfile::TempDir;

struct FileUnderTest {
    config: FileConfig,
    // Held: dropping it deletes the files.
    _directory: TempDir,
}

impl FileUnderTest {
    fn new(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { config: FileConfig::new(directory.path().join(name)), _directory: directory }
    }

    fn by_line(mut self) -> Self {
        self.config.attributes.order = Attribute::NONE;
        self
    }
}

#[async_trait]
impl StoreUnderTest for FileUnderTest {
    async fn writer(&self) -> Result<Box<dyn EventWriter>, StoreError> {
        Ok(Box::new(FileWriter::open(self.config.clone())?))
    }

    async fn reader(&self) -> Result<Box<dyn EventReader>, StoreError> {
        Ok(Box::new(FileReader::open(self.config.clone())?))
    }

    fn resident_bytes(&self) -> Option<u64> {
        crate::memory::resident_bytes()
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

mod plain {
    use super::{FileUnderTest, block_on};
    eventlift_events::conformance_tests!(store: FileUnderTest::new("events.ndjson"), block_on: block_on);
}

mod gzip {
    use super::{FileUnderTest, block_on};
    eventlift_events::conformance_tests!(store: FileUnderTest::new("events.ndjson.gz"), block_on: block_on);
}

mod zstandard {
    use super::{FileUnderTest, block_on};
    eventlift_events::conformance_tests!(store: FileUnderTest::new("events.ndjson.zst"), block_on: block_on);
}

mod by_line {
    use super::{FileUnderTest, block_on};
    eventlift_events::conformance_tests!(store: FileUnderTest::new("events.ndjson").by_line(), block_on: block_on);
}
