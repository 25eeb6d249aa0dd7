//! Why a call fails: SQLite's reasons and our own.

use std::fmt;

use eventlift_events::{StoreError, StoreErrorKind};

use crate::ledger;

/// Why a call fails. Its transaction is rolled back.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite can't.
    Sqlite(rusqlite::Error),
    /// We don't.
    Refused(Box<Refusal>),
}

/// What is refused, where, and what to try.
#[derive(Debug)]
pub(super) struct Refusal {
    kind: StoreErrorKind,
    place: Option<String>,
    hint: Option<String>,
}

impl Refusal {
    pub(super) fn new(kind: StoreErrorKind) -> Self {
        Self { kind, place: None, hint: None }
    }

    /// The database is not as the record says.
    pub(super) fn unexpected(message: impl fmt::Display) -> Self {
        Self::new(StoreErrorKind::Unexpected(message.to_string()))
    }

    /// What was given contradicts itself or what is there.
    pub(super) fn bad_input(message: impl fmt::Display) -> Self {
        Self::new(StoreErrorKind::BadInput(message.to_string()))
    }

    /// This store can't take what was given.
    pub(super) fn unsupported(message: impl fmt::Display) -> Self {
        Self::new(StoreErrorKind::Unsupported(message.to_string()))
    }

    pub(super) fn at(self, place: impl fmt::Display) -> Self {
        Self { place: Some(place.to_string()), ..self }
    }

    pub(super) fn hint(self, hint: impl fmt::Display) -> Self {
        Self { hint: Some(hint.to_string()), ..self }
    }
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
            Self::Refused(refusal) => {
                let Refusal { kind, place, hint } = *refusal;
                StoreError { place, hint, ..StoreError::new(action, display, kind) }
            }
        }
    }
}
