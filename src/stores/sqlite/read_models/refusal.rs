//! Why a call fails: SQLite's reasons and our own.

use eventlift_events::StoreError;

use crate::ledger;
pub(super) use crate::stores::refusal::Refusal;

/// Why a call fails. Its transaction is rolled back.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite can't.
    Sqlite(rusqlite::Error),
    /// We don't.
    Refused(Box<Refusal>),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl Failure {
    /// As the store's callers see it.
    pub(super) fn into_error(self, action: &'static str, display: &str) -> StoreError {
        match self {
            Self::Sqlite(error) => ledger::store_error(action, display, error),
            Self::Refused(refusal) => refusal.into_error(action, display),
        }
    }
}
