//! What is tested, and what is said when it fails.

use std::fmt;

use async_trait::async_trait;
use eventlift_events::StoreError;
use eventlift_events::conformance::{Failure, Verdict};

use crate::store::{ReadModelStore, SnapshotStore};

/// A store that the suite opens as often as it likes. It has no read models when a check gets it.
#[async_trait]
pub trait ReadModelsUnderTest: Send + Sync {
    /// Opens the store; every call gives a handle of its own to the same read models.
    async fn read_models(&self) -> Result<Box<dyn ReadModelStore>, StoreError>;

    /// Opens the same store for its snapshots.
    async fn snapshots(&self) -> Result<Box<dyn SnapshotStore>, StoreError>;
}

/// Fails unless both are equal.
pub(super) fn equal<T: PartialEq + fmt::Debug>(what: impl fmt::Display, expected: &T, found: &T) -> Verdict {
    if expected == found {
        return Ok(());
    }
    Err(Failure::new(format_args!("expected {what} to be {}, but got {}", shown(expected), shown(found))))
}

/// Fails with the expectation unless it holds.
pub(super) fn holds(condition: bool, expectation: impl fmt::Display) -> Verdict {
    if condition { Ok(()) } else { Err(Failure::new(format_args!("expected that {expectation}"))) }
}

/// The error, or a failure where there is none.
pub(super) fn refused<T>(what: impl fmt::Display, result: Result<T, StoreError>) -> Result<StoreError, Failure> {
    match result {
        Ok(_) => Err(Failure::new(format_args!("expected {what} to be refused, but it was not"))),
        Err(error) => Ok(error),
    }
}

/// The value as it prints for debugging, cut where it gets long.
fn shown(value: &impl fmt::Debug) -> String {
    const SHOWN: usize = 2_000;
    let text = format!("{value:?}");
    match text.char_indices().nth(SHOWN) {
        None => text,
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}
