//! SQLite's errors in the words of the store contract.

use std::fmt;

use eventlift_events::{StoreError, StoreErrorKind};
use rusqlite::ErrorCode;

/// What an error of SQLite means for a store: full disk, read-only file, another writer, or anything else.
pub fn backend(error: rusqlite::Error) -> StoreErrorKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => StoreErrorKind::Full,
        Some(ErrorCode::ReadOnly) => StoreErrorKind::ReadOnly,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            StoreErrorKind::Locked("the database is locked by another connection".to_owned())
        }
        Some(ErrorCode::NotADatabase) => StoreErrorKind::Unexpected("it is not a SQLite database".to_owned()),
        Some(ErrorCode::DatabaseCorrupt) => {
            StoreErrorKind::Unexpected(format!("SQLite finds the file damaged: {error}"))
        }
        _ => StoreErrorKind::Backend(Box::new(error)),
    }
}

/// The same as a whole error, with a hint where there is something to try.
pub fn store_error(action: &'static str, store: impl fmt::Display, error: rusqlite::Error) -> StoreError {
    let kind = backend(error);
    let hint = match &kind {
        StoreErrorKind::Full => Some("free some space and run the same command again: it resumes"),
        StoreErrorKind::ReadOnly => Some("make the file and its folder writable for this user"),
        StoreErrorKind::Locked(_) => Some("end the other process, or wait for it"),
        StoreErrorKind::Unexpected(_) => Some("check the path, or run `PRAGMA integrity_check` on the file"),
        _ => None,
    };
    let error = StoreError::new(action, store, kind);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
