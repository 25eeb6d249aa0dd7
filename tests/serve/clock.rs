//! A clock that goes as tokio's does, and can be set.

use std::sync::atomic::{AtomicI64, Ordering};

use eventlift::Timestamp;
use eventlift::serve::Clock;
use tokio::time::Instant;

pub(super) struct TestClock {
    base: i64,
    begun: Instant,
    set_by: AtomicI64,
}

impl TestClock {
    pub(super) fn new(start: &str) -> Self {
        let base = super::times::at(start).micros();
        Self { base, begun: Instant::now(), set_by: AtomicI64::new(0) }
    }

    /// Sets it forward, or back.
    pub(super) fn set_by(&self, seconds: i64) {
        self.set_by.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.begun.elapsed().as_micros()).unwrap();
        Timestamp::from_micros(self.base + elapsed + self.set_by.load(Ordering::SeqCst)).unwrap()
    }
}
