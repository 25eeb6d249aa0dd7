//! What is tested, and what is said when it fails.

use std::fmt;

use async_trait::async_trait;

use crate::error::StoreError;
use crate::rewriting::EventRewriter;
use crate::store::{EventReader, EventWriter};

/// A store that the suite opens as often as it likes. It is empty when a check gets it.
#[async_trait]
pub trait StoreUnderTest: Send + Sync {
    /// Opens the store for appending. Dropping the writer frees the store for the next one.
    async fn writer(&self) -> Result<Box<dyn EventWriter>, StoreError>;

    /// Opens the store for reading, whether or not a writer is open.
    async fn reader(&self) -> Result<Box<dyn EventReader>, StoreError>;

    /// Opens the store to rewrite its events where they are; none where it can't do that.
    async fn rewriter(&self) -> Result<Option<Box<dyn EventRewriter>>, StoreError> {
        Ok(None)
    }

    /// The bytes of memory this process occupies now (its resident set), where they can be told. The check of bounded
    /// memory needs them and passes without a word where there are none.
    fn resident_bytes(&self) -> Option<u64> {
        None
    }
}

/// What a check found: nothing, or what was expected and what came instead.
pub type Verdict = Result<(), Failure>;

/// A promise that the store broke: what was expected, and what came.
pub struct Failure(String);

impl Failure {
    /// A promise broken in this way.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }

    /// The same, with the situation it happened in.
    pub fn when(self, situation: impl fmt::Display) -> Self {
        Self(format!("{situation}: {}", self.0))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The same as it prints, so that a test that returns it is readable.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(format!("expected success, but got an error: {error}"))
    }
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

/// The value as it prints for debugging, cut where it gets long.
pub(super) fn shown(value: &impl fmt::Debug) -> String {
    const SHOWN: usize = 2_000;
    let text = format!("{value:?}");
    match text.char_indices().nth(SHOWN) {
        None => text,
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}
