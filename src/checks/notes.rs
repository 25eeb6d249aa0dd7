//! What came of checks, as notes of the run; and whether a cut-over is held because of them.

use eventlift_events::{ByteString, Bytes, CheckpointStore, NoteChange, RunId, StoreError, StoreErrorKind, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::report::CheckReport;

/// The book of a run's notes that the results of checks are kept in.
pub const CHECKS_BOOK: &str = "checks";
/// The key of the note that holds the cut-over. Reports have keys that begin with `report`.
const HOLD: &str = "hold";
const REPORT: &str = "report ";

/// Why a run must not be cut over to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hold {
    /// When the checks failed.
    pub at: String,
    /// Those that did.
    pub checks: Vec<String>,
}

/// Keeps a report. With `holds`, checks that have failed hold the run's cut-over from now on, and where none has, nothing
/// holds it any more.
pub async fn record(
    report: &CheckReport,
    holds: bool,
    ledger: &mut dyn CheckpointStore,
    run: RunId,
) -> Result<(), StoreError> {
    let mut notes = vec![note_of(report)?];
    if holds {
        let checks: Vec<String> = report.failed().into_iter().map(str::to_owned).collect();
        let hold = (!checks.is_empty()).then(|| Hold { at: report.at.clone(), checks });
        notes.push(note(ByteString::from_static(HOLD), hold.as_ref())?);
    }
    ledger.write_notes(run, &notes).await
}

/// A report as a note, for the run that is about to begin.
pub fn note_of(report: &CheckReport) -> Result<NoteChange, StoreError> {
    let key = format!("{REPORT}{:020} {}", Timestamp::now().micros(), report.when.as_str());
    note(key.into(), Some(report))
}

/// Why a run must not be cut over to; none where it may.
pub async fn held(ledger: &dyn CheckpointStore, run: RunId) -> Result<Option<Hold>, StoreError> {
    // The first key of all.
    let notes = ledger.notes(run, CHECKS_BOOK, None, 1).await?;
    let Some((_, text)) = notes.into_iter().find(|(key, _)| &**key == HOLD) else { return Ok(None) };
    read(&text).map(Some)
}

/// The reports of a run, the latest last.
pub async fn kept_reports(ledger: &dyn CheckpointStore, run: RunId) -> Result<Vec<CheckReport>, StoreError> {
    let notes = ledger.notes(run, CHECKS_BOOK, None, usize::MAX).await?;
    notes.into_iter().filter(|(key, _)| key.starts_with(REPORT)).map(|(_, text)| read(&text)).collect()
}

fn note(key: ByteString, value: Option<&impl Serialize>) -> Result<NoteChange, StoreError> {
    let value = value.map(serde_json::to_vec).transpose().map_err(|error| {
        StoreError::new("write notes in", "the target", StoreErrorKind::Unexpected(error.to_string()))
    })?;
    Ok(NoteChange { book: ByteString::from_static(CHECKS_BOOK), key, value: value.map(Bytes::from) })
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(text).map_err(|error| {
        let problem = format!("its ledger holds a check's result that can't be read: {error}");
        StoreError::new("read", "the target", StoreErrorKind::Unexpected(problem))
    })
}
