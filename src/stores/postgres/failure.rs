//! What an error of the server, or of the way to it, means for a store.

use eventlift_events::{StoreError, StoreErrorKind};
use sqlx::postgres::PgDatabaseError;

/// Names what happened, and what to try.
pub(super) fn store_error(action: &'static str, display: impl std::fmt::Display, error: sqlx::Error) -> StoreError {
    let failed = |kind| StoreError::new(action, &display, kind);
    let Some(reported) = reported(&error) else {
        return match error {
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                failed(StoreErrorKind::Unavailable(Box::new(error)))
                    .hint("see whether the server runs and can be reached from here")
            }
            error => failed(StoreErrorKind::Backend(Box::new(error))),
        };
    };
    let message = reported.message().to_owned();
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    match reported.code() {
        "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "40001" | "40P01" | "55P03" => {
            failed(StoreErrorKind::Unavailable(Box::new(error)))
        }
        code if code.starts_with("08") => failed(StoreErrorKind::Unavailable(Box::new(error))),
        "28P01" | "28000" => failed(StoreErrorKind::Denied(message)).hint(
            "give the password in PGPASSWORD, in ~/.pgpass, or with `password_file` or `password_env` in eventlift.toml",
        ),
        "42501" => failed(StoreErrorKind::Denied(message)),
        "3D000" => failed(StoreErrorKind::Missing).hint("make the database with `createdb`, or correct the URL"),
        "25006" => failed(StoreErrorKind::ReadOnly).hint("name the primary server, not a standby"),
        "53100" => failed(StoreErrorKind::Full),
        _ => failed(StoreErrorKind::Backend(Box::new(error))),
    }
}

/// What the server said, if it was the server.
pub(super) fn reported(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()
}
