//! The in-memory store, with all its abilities and with fewer, passes the suite; the suite finds what is broken.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use async_trait::async_trait;
use eventlift_events::conformance::StoreUnderTest;
use eventlift_events::{EventReader, EventRewriter, EventWriter, MemoryLimits, MemoryStore, StoreError};

mod resident;

struct Memory(MemoryStore);

impl Memory {
    fn new(limits: MemoryLimits) -> Self {
        Self(MemoryStore::with_limits(limits))
    }
}

#[async_trait]
impl StoreUnderTest for Memory {
    async fn writer(&self) -> Result<Box<dyn EventWriter>, StoreError> {
        Ok(Box::new(self.0.writer()?))
    }

    async fn reader(&self) -> Result<Box<dyn EventReader>, StoreError> {
        Ok(Box::new(self.0.reader()))
    }

    async fn rewriter(&self) -> Result<Option<Box<dyn EventRewriter>>, StoreError> {
        Ok(Some(Box::new(self.0.writer()?)))
    }

    fn resident_bytes(&self) -> Option<u64> {
        resident::resident_bytes()
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

mod able {
    use super::*;
    eventlift_events::conformance_tests!(store: Memory::new(MemoryLimits::default()), block_on: block_on);
}

mod limited {
    use super::*;
    const LIMITS: MemoryLimits = MemoryLimits {
        assigns_positions: true,
        assigns_time: true,
        drops_attributes: true,
        max_append_bytes: Some(1 << 20),
        values_only: false,
        in_ranges: false,
    };

    // Stands for a store that is made on a server.
    async fn open() -> Memory {
        Memory::new(LIMITS)
    }

    eventlift_events::conformance_tests!(store: open().await, block_on: block_on);
}

mod in_ranges {
    use super::*;
    const LIMITS: MemoryLimits = MemoryLimits {
        assigns_positions: false,
        assigns_time: false,
        drops_attributes: false,
        max_append_bytes: None,
        values_only: false,
        in_ranges: true,
    };
    eventlift_events::conformance_tests!(store: Memory::new(LIMITS), block_on: block_on);
}
