//! The windows of rules that keep events back: which are open, and whether they were closed for good.

use bytes::Bytes;
use bytestring::ByteString;
use eventlift_events::{CheckpointStore, Position, RunId, StateKey, StreamName};
use eventlift_transformers::StatefulTransformer;

use super::error::{PipelineError, Refusal};

/// The book of open windows: by the position that opened them, the rule and the stream.
pub(super) const OPEN: &str = "open windows";
/// The book that says where the source ended when windows were closed for that.
pub(super) const CLOSED: &str = "windows closed";
/// Its only key.
pub(super) const AT: &str = "at";
/// How many windows are closed in one transaction.
pub(super) const AT_ONCE: usize = 500;

/// Where the note of a stream's open window is remembered.
pub(super) fn window_key(rule: &dyn StatefulTransformer, stream: &StreamName) -> StateKey {
    StateKey { owner: ByteString::from(format!("window of {}", rule.name())), stream: stream.text().clone() }
}

/// The key of an open window's note. An event opens at most one window of a rule.
pub(super) fn note_key(rule: &dyn StatefulTransformer, opened: Position) -> ByteString {
    let (major, minor) = (opened.major(), opened.minor().unwrap_or(0));
    // A hash, since a key is short and a name may be long.
    let rule = xxhash_rust::xxh3::xxh3_64(rule.name().as_bytes());
    ByteString::from(format!("{major:020} {minor:020} {rule:016x}"))
}

pub(super) fn note_value(rule: &dyn StatefulTransformer, stream: &StreamName) -> Bytes {
    Bytes::from(serde_json::json!([rule.name(), stream.as_str()]).to_string())
}

/// The rule's name and the stream of a note.
pub(super) fn read_note(key: &str, value: &[u8]) -> Result<(String, StreamName), PipelineError> {
    let read = serde_json::from_slice::<(String, String)>(value).ok();
    let read = read.and_then(|(rule, stream)| Some((rule, StreamName::new(stream).ok()?)));
    read.ok_or_else(|| {
        let problem = format!("the target's ledger holds no window in the note {key:?} of the book {OPEN:?}");
        PipelineError::Refused(Refusal::Unfit(problem))
    })
}

/// The note that windows were closed: all of them, or those that end with the source.
pub(super) fn mark(end: Position, all: bool) -> Bytes {
    Bytes::from(serde_json::json!([end, all]).to_string())
}

async fn marked(run: RunId, store: &dyn CheckpointStore) -> Result<Option<(Position, bool)>, PipelineError> {
    let notes = store.notes(run, CLOSED, None, 1).await.map_err(PipelineError::Target)?;
    let Some((_, value)) = notes.first() else { return Ok(None) };
    let mark = serde_json::from_slice(value);
    mark.map(Some).map_err(|_| {
        PipelineError::Refused(Refusal::Unfit("the target's note of closed windows can't be read".to_owned()))
    })
}

/// Where the source ended when windows were closed for that; none while the run may go on.
pub(super) async fn closed_at(run: RunId, store: &dyn CheckpointStore) -> Result<Option<Position>, PipelineError> {
    Ok(marked(run, store).await?.map(|(end, _)| end))
}

/// Whether windows of a run that would wait for more were closed, so that its verification has to close them as well.
pub async fn all_windows_closed(run: RunId, store: &dyn CheckpointStore) -> Result<bool, PipelineError> {
    Ok(marked(run, store).await?.is_some_and(|(_, all)| all))
}

/// That a run can't go on behind closed windows.
pub(super) fn grown(closed: Position) -> String {
    format!(
        "windows of merges were closed where the source ended, at position {closed}, and it has got more events since; \
         merges with `at_end = \"wait\"` wait for those"
    )
}
