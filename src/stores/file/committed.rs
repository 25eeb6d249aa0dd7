//! Whether a file is the one that the database beside it speaks of.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use eventlift_events::{StoreError, StoreErrorKind};

use super::reader::io_error;
use super::sidecar::{self, Found, State, TAIL};
use crate::ledger;

/// What is committed of a file, where eventlift wrote it. Fails where the file is not what was committed.
pub(super) fn of_file(path: &Path, display: &str) -> Result<Option<State>, StoreError> {
    let beside = sidecar::path(path);
    if !beside.exists() {
        return Ok(None);
    }
    let failed = |error| ledger::store_error("read", display, error).at(beside.display());
    let connection = sidecar::open_to_read(&beside).map_err(failed)?;
    let state = match sidecar::find(&connection).map_err(failed)? {
        Found::State(state) => state,
        Found::Nothing => return Ok(None),
        other => return Err(unusable(other, "read", display, &beside)),
    };
    let mut file = File::open(path).map_err(|error| io_error("read", display, error))?;
    check(&mut file, &state, "read", display)?;
    Ok(Some(state))
}

/// Whether a run into the file has not ended. What can't be told is found out, and said, when the file is read.
pub(super) fn is_loading(path: &Path) -> bool {
    let beside = sidecar::path(path);
    if !beside.exists() {
        return false;
    }
    match sidecar::open_to_read(&beside).and_then(|connection| sidecar::find(&connection)) {
        Ok(Found::State(state)) => !state.sealed && state.length > 0,
        _ => false,
    }
}

/// The error for a database that is not the one of a file.
pub(super) fn unusable(found: Found, action: &'static str, display: &str, beside: &Path) -> StoreError {
    let (message, hint) = match found {
        Found::OtherFormat(format) => (
            format!("{} has the format {format} of another version", beside.display()),
            "use the eventlift that wrote it",
        ),
        _ => (format!("{} is a database of something else", beside.display()), "move that file away"),
    };
    StoreError::new(action, display, StoreErrorKind::Unexpected(message)).hint(hint)
}

/// Checks that the file holds what was committed, and nothing behind it but what a writer did not commit. Returns the
/// last committed bytes.
pub(super) fn check(
    file: &mut File,
    state: &State,
    action: &'static str,
    display: &str,
) -> Result<Vec<u8>, StoreError> {
    let failed = |error| io_error(action, display, error);
    let unexpected = |message: String, hint: &str| {
        Err(StoreError::new(action, display, StoreErrorKind::Unexpected(message)).hint(hint))
    };
    let length = file.metadata().map_err(failed)?.len();
    let committed = state.length;
    if length < committed {
        let message = format!("it has {length} bytes, but {committed} were written to it");
        return unexpected(message, "restore the file, or remove it and the .eventlift file beside it to start anew");
    }
    if length > committed && !state.writing {
        let message = format!("{} bytes were added to it by something else than eventlift", length - committed);
        return unexpected(message, "remove them, or remove the .eventlift file beside it to read all of the file");
    }
    let start = committed.saturating_sub(TAIL as u64);
    let mut tail = Vec::with_capacity(TAIL);
    file.seek(SeekFrom::Start(start)).map_err(failed)?;
    file.take(committed - start).read_to_end(&mut tail).map_err(failed)?;
    if sidecar::tail_hash(&tail) != state.tail {
        let message = "its content is not what was written to it".to_owned();
        return unexpected(message, "restore the file, or remove the .eventlift file beside it, which is of another");
    }
    Ok(tail)
}
