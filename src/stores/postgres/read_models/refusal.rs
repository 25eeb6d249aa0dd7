//! Why a call fails: PostgreSQL's reasons and our own.

use eventlift_events::StoreError;

use super::super::failure::{Place, reported, store_error};
use super::super::said;
pub(super) use crate::stores::refusal::Refusal;

/// Why a call fails. Its transaction is rolled back.
#[derive(Debug)]
pub(super) enum Failure {
    /// PostgreSQL can't, or can't be reached.
    Postgres(sqlx::Error),
    /// We don't.
    Refused(Box<Refusal>),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl Failure {
    /// The code of the server's error, if it is one.
    pub(super) fn code(&self) -> Option<&str> {
        match self {
            Self::Postgres(error) => reported(error).map(|reported| reported.code()),
            Self::Refused(_) => None,
        }
    }

    /// The server's message and its detail.
    pub(super) fn said(&self) -> String {
        match self {
            Self::Postgres(error) => match reported(error) {
                Some(reported) => match said::detail(reported) {
                    Some(detail) => format!("{} ({detail})", said::message(reported)),
                    None => said::message(reported),
                },
                None => error.to_string(),
            },
            Self::Refused(refusal) => refusal.kind().to_string(),
        }
    }

    /// Whether the connection can't be used any more.
    pub(super) fn is_disconnected(&self) -> bool {
        match self {
            Self::Refused(_) => false,
            Self::Postgres(error) => match reported(error) {
                Some(reported) => reported.code().starts_with("57P") || reported.code().starts_with("08"),
                None => true,
            },
        }
    }

    /// As the store's callers see it.
    pub(super) fn into_error(self, action: &'static str, display: &Place) -> StoreError {
        match self {
            Self::Postgres(error) => store_error(action, display, error),
            Self::Refused(refusal) => refusal.into_error(action, display),
        }
    }
}
