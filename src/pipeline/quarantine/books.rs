//! The books of the ledger that quarantine is kept in, and what their notes look like.

use std::collections::BTreeSet;

use bytes::Bytes;
use bytestring::ByteString;
use eventlift_events::{
    CheckpointStore, Event, NoteChange, Position, RunId, StoreError, StoreErrorKind, StreamName, Timestamp,
};
use eventlift_transformers::Uncovered;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::encoding;
use crate::pipeline::error::{PipelineError, why};

/// One note a stream.
pub(super) const STREAMS: &str = "quarantine";
/// One note an event that is held.
pub(super) const HELD: &str = "held";
/// One note an event that was given up.
pub(super) const DISCARDED: &str = "discarded";
/// What numbering has to know of events that were released or given up.
pub(super) const NUMBERING: &str = "quarantine numbering";
/// The first failure of each stream in each range that is loaded by itself.
pub(super) const RANGES: &str = "quarantine ranges";

const NUMBERING_KEY: &str = "numbering";
/// Notes that are read at a time.
pub(super) const PAGE: usize = 1_000;
/// What a key may hold, and so the longest name that stands in one as it is.
const LONGEST_KEY: usize = 1_000;
/// How the key of a longer name begins.
const HASHED: &str = "sha256:";

/// A stream in quarantine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct QuarantinedStream {
    /// Its name.
    pub stream: String,
    /// The source position of the event that brought it here; its held events lie under it.
    pub first: Position,
    /// The event that fails now, and why: that one, until it was released.
    #[serde(flatten)]
    pub failed: Failed,
    /// Since when it is here.
    pub since: Timestamp,
    /// How many of its events are held: the failing one and those that wait behind it.
    pub held: u64,
}

/// An event that failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failed {
    /// Its source position.
    pub position: Position,
    /// Its revision in the source.
    pub revision: u64,
    /// Its id.
    pub id: String,
    /// Its type, as it was read.
    pub event_type: String,
    /// Its version, as it was read.
    pub version: u32,
    /// The rule that failed, with its place; the policy, where nothing covers the event.
    pub rule: String,
    /// Why.
    pub reason: String,
}

/// An event that was given up.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Discarded {
    /// Its stream.
    pub stream: String,
    /// The event; rule and reason are those of the event that its stream failed on.
    #[serde(flatten)]
    pub failed: Failed,
    /// Who gave it up.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub why: String,
}

/// What numbering has to know of events that were released or given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::pipeline) struct Numbering {
    /// Source positions whose place in the target stays free although they count as read.
    pub(in crate::pipeline) free: u64,
    /// Events of the source that were released behind the target's last event.
    pub(in crate::pipeline) at_the_end: u64,
    /// Events of the source that were released to places before the target's last event.
    pub(in crate::pipeline) to_their_places: u64,
}

/// A held event with the key of its note.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldEvent {
    /// The note's key; what comes behind it is asked for with it.
    pub key: ByteString,
    /// The event, as it was read.
    pub event: Event,
}

impl Failed {
    /// The event and what it failed with.
    pub(super) fn of(event: &Event, error: &PipelineError) -> Self {
        let (rule, reason) = match error {
            PipelineError::Transform(error) => (error.rule.clone(), error.reason.to_string()),
            PipelineError::Uncovered { uncovered, event_type, version, .. } => {
                let policy = match uncovered {
                    Uncovered::UnknownType => "unknown_types",
                    Uncovered::UnknownVersion { .. } => "unknown_versions",
                };
                (format!("the policy {policy}"), format!("{event_type} version {version} {}", why(*uncovered)))
            }
            other => (String::new(), other.to_string()),
        };
        Self {
            position: event.position,
            revision: event.revision.0,
            id: event.id.to_string(),
            event_type: event.event_type.to_string(),
            version: event.version.number(),
            rule,
            reason,
        }
    }

    /// The same failure, of another event of the stream.
    pub(super) fn at(&self, event: &Event) -> Self {
        Self { rule: self.rule.clone(), reason: self.reason.clone(), ..Self::bare(event) }
    }

    fn bare(event: &Event) -> Self {
        Self {
            position: event.position,
            revision: event.revision.0,
            id: event.id.to_string(),
            event_type: event.event_type.to_string(),
            version: event.version.number(),
            rule: String::new(),
            reason: String::new(),
        }
    }
}

impl QuarantinedStream {
    /// Its name. Fails where the ledger was tampered with.
    pub fn name(&self) -> Result<StreamName, StoreError> {
        stream_name(&self.stream)
    }

    /// The note that it is kept as.
    pub(super) fn note(&self) -> NoteChange {
        note(STREAMS, stream_key(&self.stream), Some(json(self)))
    }

    /// What strikes its note out.
    pub(super) fn struck_out(&self) -> NoteChange {
        note(STREAMS, stream_key(&self.stream), None)
    }

    /// The key that its held events lie behind.
    fn before_held(&self) -> String {
        format!("{}/", position_key(self.first))
    }
}

impl Numbering {
    pub(super) async fn load(ledger: &dyn CheckpointStore, run: RunId) -> Result<Self, StoreError> {
        let notes = ledger.notes(run, NUMBERING, None, 1).await?;
        notes.first().map_or(Ok(Self::default()), |(_, value)| read(value, NUMBERING))
    }

    pub(super) fn note(&self) -> NoteChange {
        note(NUMBERING, NUMBERING_KEY.into(), Some(json(self)))
    }
}

/// The streams in quarantine, in the order of their names' bytes, except that names of more than 1,000 bytes come in
/// the order of their hashes.
pub async fn quarantined_streams(
    ledger: &dyn CheckpointStore,
    run: RunId,
) -> Result<Vec<QuarantinedStream>, StoreError> {
    all(ledger, run, STREAMS).await
}

/// The events that were given up, in the order of the source.
pub async fn discarded(ledger: &dyn CheckpointStore, run: RunId) -> Result<Vec<Discarded>, StoreError> {
    all(ledger, run, DISCARDED).await
}

/// Whether a run has streams in quarantine, or in a range that is not settled yet.
pub(in crate::pipeline) async fn has_failures(ledger: &dyn CheckpointStore, run: RunId) -> Result<bool, StoreError> {
    let in_ranges = !ledger.notes(run, RANGES, None, 1).await?.is_empty();
    Ok(in_ranges || !ledger.notes(run, STREAMS, None, 1).await?.is_empty())
}

/// Held events of a stream behind the note of another one, in the order of the stream, at most `limit`.
pub async fn held_events(
    ledger: &dyn CheckpointStore,
    run: RunId,
    stream: &QuarantinedStream,
    after: Option<&ByteString>,
    limit: usize,
) -> Result<Vec<HeldEvent>, StoreError> {
    let before = stream.before_held();
    let after = after.map_or(before.as_str(), |after| after);
    let notes = ledger.notes(run, HELD, Some(after), limit).await?;
    let notes = notes.into_iter().take_while(|(key, _)| key.starts_with(&before));
    notes
        .map(|(key, value)| {
            let event = encoding::decode(&value).ok_or_else(|| damaged("bytes that are no event", HELD))?;
            Ok(HeldEvent { key, event })
        })
        .collect()
}

/// The source positions of all events of a run that are held.
pub(in crate::pipeline) async fn held_positions(
    ledger: &dyn CheckpointStore,
    run: RunId,
) -> Result<BTreeSet<Position>, StoreError> {
    let mut positions = BTreeSet::new();
    let mut after: Option<ByteString> = None;
    loop {
        let notes = ledger.notes(run, HELD, after.as_deref(), PAGE).await?;
        for (key, _) in &notes {
            let position = key.split_once('/').and_then(|(_, position)| position_of_key(position));
            positions.insert(position.ok_or_else(|| damaged("a key without a position", HELD))?);
        }
        match notes.into_iter().next_back() {
            Some((last, _)) => after = Some(last),
            None => return Ok(positions),
        }
    }
}

/// The note of a held event of a stream that came to quarantine at `first`.
pub(super) fn held_note(first: Position, event: &Event) -> NoteChange {
    let key = format!("{}/{}", position_key(first), position_key(event.position));
    note(HELD, key.into(), Some(encoding::encode(event)))
}

/// What strikes out the note of a held event.
pub(super) fn no_longer_held(key: &ByteString) -> NoteChange {
    note(HELD, key.clone(), None)
}

/// The note of an event that was given up.
pub(super) fn discarded_note(discarded: &Discarded) -> NoteChange {
    note(DISCARDED, position_key(discarded.failed.position).into(), Some(json(discarded)))
}

pub(super) fn note(book: &'static str, key: ByteString, value: Option<Bytes>) -> NoteChange {
    NoteChange { book: ByteString::from_static(book), key, value }
}

/// The stream that a note names. Fails where the ledger was tampered with.
pub(super) fn stream_name(name: &str) -> Result<StreamName, StoreError> {
    StreamName::new(name.to_owned()).map_err(|_| damaged("a stream without a name", STREAMS))
}

/// All notes of a book, read.
pub(super) async fn all<T: DeserializeOwned>(
    ledger: &dyn CheckpointStore,
    run: RunId,
    book: &'static str,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::new();
    let mut after: Option<ByteString> = None;
    loop {
        let notes = ledger.notes(run, book, after.as_deref(), PAGE).await?;
        for (_, value) in &notes {
            found.push(read(value, book)?);
        }
        match notes.into_iter().next_back() {
            Some((last, _)) => after = Some(last),
            None => return Ok(found),
        }
    }
}

fn read<T: DeserializeOwned>(value: &Bytes, book: &str) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|error| damaged(&error.to_string(), book))
}

/// A note as JSON: names, numbers and times, which can always be written.
pub(super) fn json(note: &impl Serialize) -> Bytes {
    serde_json::to_vec(note).unwrap_or_default().into()
}

fn damaged(problem: &str, book: &str) -> StoreError {
    let kind = StoreErrorKind::Unexpected(format!("its book {book:?} holds {problem}"));
    StoreError::new("read", "the target's ledger", kind)
}

/// A position as text whose bytes are in the order of positions.
pub(super) fn position_key(position: Position) -> String {
    match position.minor() {
        None => format!("{:020}", position.major()),
        Some(minor) => format!("{:020}.{minor:020}", position.major()),
    }
}

fn position_of_key(key: &str) -> Option<Position> {
    match key.split_once('.') {
        None => Some(Position::new(key.parse().ok()?)),
        Some((major, minor)) => Some(Position::pair(major.parse().ok()?, minor.parse().ok()?)),
    }
}

/// The key of a stream: its name, or a hash of it where it is too long for a key.
pub(super) fn stream_key(stream: &str) -> ByteString {
    // A name that looks like such a hash is hashed as well, so that no two streams share a key.
    if stream.len() <= LONGEST_KEY && !stream.starts_with(HASHED) {
        return stream.into();
    }
    let hash = Sha256::digest(stream.as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{HASHED}{hex}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_short_and_no_two_streams_share_one() {
        let long = "s".repeat(1_001);
        let key = stream_key(&long);
        assert!(key.len() < 100 && key.starts_with("sha256:"));
        assert_ne!(stream_key(&key), key);
        assert_eq!(stream_key("user-1"), "user-1");
        assert_eq!(stream_key(&"s".repeat(1_000)).len(), 1_000);
    }

    #[test]
    fn keys_are_in_the_order_of_positions() {
        let positions =
            [Position::new(0), Position::new(9), Position::new(10), Position::new(u64::MAX)].map(position_key);
        assert!(positions.is_sorted());
        assert!(position_key(Position::pair(1, 9)) < position_key(Position::pair(1, 10)));
        assert!(position_key(Position::pair(1, 10)) < position_key(Position::pair(2, 0)));
        for position in [Position::new(0), Position::new(u64::MAX), Position::pair(7, 0), Position::pair(0, u64::MAX)] {
            assert_eq!(position_of_key(&position_key(position)), Some(position));
        }
    }
}
