//! Events of its source that a run remembers, so that another source of the same shape is told from it when the run goes on:
//! the first one, the last one of each commit, and of each range that is loaded by itself. Whatever lies between them is for
//! `verify`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytestring::ByteString;
use eventlift_events::{
    CheckpointStore, Event, EventReader, EventStream, NoteChange, Position, ReadRequest, RunId, Scope, StoreError,
    StoreErrorKind,
};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::error::PipelineError;
use super::quarantine::encode;

/// The book of the ledger that they are kept in.
const BOOK: &str = "source";
const FIRST: &str = "first";
const LAST: &str = "last";
/// So many are looked at when a run goes on, the last one among them.
const LOOKED_AT: usize = 8;
/// More ranges than any load has.
const MOST: usize = 10_000;

/// An event as it is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Landmark {
    position: Position,
    /// A hash of all of it.
    print: Print,
}

/// 128 bits, as hexadecimal digits where they are written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Print(u128);

impl Serialize for Print {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Print {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

impl Landmark {
    fn of(event: &Event) -> Self {
        Self { position: event.position, print: Print(xxhash_rust::xxh3::xxh3_128(&encode(event))) }
    }

    fn note(self, key: ByteString) -> Option<NoteChange> {
        // Text and numbers always become JSON.
        let value = serde_json::to_vec(&self).ok()?;
        Some(NoteChange { book: BOOK.into(), key, value: Some(value.into()) })
    }
}

/// What was read of a source and is not committed yet. Clones share everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Landmarks(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    first: Option<Landmark>,
    /// The last event of each batch, in order: as many as are read ahead.
    ends: VecDeque<Landmark>,
}

impl Landmarks {
    /// Remembers where the batches of a read end; and where it begins, if it begins with the source's first event.
    pub(super) fn of(&self, batches: EventStream, is_beginning: bool) -> EventStream {
        let landmarks = self.clone();
        // What a read before has left was not committed.
        self.lock().ends.clear();
        let mut wants_first = is_beginning;
        Box::pin(batches.inspect(move |batch| {
            let Ok(batch) = batch else { return };
            let mut seen = landmarks.lock();
            if std::mem::take(&mut wants_first) {
                seen.first = batch.first().map(Landmark::of);
            }
            seen.ends.extend(batch.last().map(Landmark::of));
        }))
    }

    /// What is to be committed with everything up to a position.
    pub(super) fn notes(&self, until: Position) -> Vec<NoteChange> {
        self.taken(until, LAST.into())
    }

    /// The same of a range that is loaded by itself.
    pub(super) fn notes_of_range(&self, range: u32, until: Option<Position>) -> Vec<NoteChange> {
        until.map(|until| self.taken(until, format!("range {range:010}").into())).unwrap_or_default()
    }

    fn taken(&self, until: Position, key: ByteString) -> Vec<NoteChange> {
        let mut seen = self.lock();
        let mut last = None;
        while let Some(end) = seen.ends.front().copied().filter(|end| end.position <= until) {
            seen.ends.pop_front();
            last = Some(end);
        }
        let first = seen.first.take().and_then(|first| first.note(FIRST.into()));
        first.into_iter().chain(last.and_then(|last| last.note(key))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // What is in it is replaced whole, so it is sound whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks whether a source holds what a run remembers of it, at a few places spread over it, and returns the first place where
/// it does not. A run of an earlier version remembers nothing.
pub(super) async fn first_unknown(
    source: &dyn EventReader,
    scope: &Scope,
    ledger: &dyn CheckpointStore,
    run: RunId,
) -> Result<Option<Position>, PipelineError> {
    let known = known(ledger, run).await.map_err(PipelineError::Target)?;
    for landmark in spread(&known) {
        let at = landmark.position;
        let request = ReadRequest::new(scope.clone()).after(at.just_before()).until(Some(at));
        let batch = source.read(request).next().await.transpose().map_err(PipelineError::Source)?;
        let found = batch.and_then(|batch| batch.last().map(Landmark::of));
        if found != Some(landmark) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Strikes out what a run remembers, since its source has changed and is gone on with all the same.
pub(super) async fn forgotten(ledger: &dyn CheckpointStore, run: RunId) -> Result<Vec<NoteChange>, StoreError> {
    let notes = ledger.notes(run, BOOK, None, MOST).await?;
    Ok(notes.into_iter().map(|(key, _)| NoteChange { book: BOOK.into(), key, value: None }).collect())
}

/// What a run remembers, in the order of the source.
async fn known(ledger: &dyn CheckpointStore, run: RunId) -> Result<Vec<Landmark>, StoreError> {
    let notes = ledger.notes(run, BOOK, None, MOST).await?;
    let read = |(_, value): &(ByteString, bytes::Bytes)| serde_json::from_slice(value);
    let known: Result<Vec<Landmark>, _> = notes.iter().map(read).collect();
    let mut known = known.map_err(|error| {
        let problem = format!("what it remembers of the source can't be read: {error}");
        StoreError::new("read", format!("run {run}"), StoreErrorKind::Unexpected(problem))
    })?;
    known.sort_by_key(|landmark| landmark.position);
    Ok(known)
}

/// At most [`LOOKED_AT`] of them, spread evenly, the last one first: that is the one that most others lack.
fn spread(known: &[Landmark]) -> Vec<Landmark> {
    let Some((last, before)) = known.split_last() else { return Vec::new() };
    let step = before.len().div_ceil(LOOKED_AT - 1).max(1);
    std::iter::once(*last).chain(before.iter().step_by(step).copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn landmark(position: u64) -> Landmark {
        Landmark { position: Position::new(position), print: Print(u128::from(position) << 100) }
    }

    #[test]
    fn a_landmark_is_written_down_and_read_back() {
        let written = serde_json::to_string(&landmark(7)).unwrap();
        assert_eq!(serde_json::from_str::<Landmark>(&written).unwrap(), landmark(7), "{written}");
    }

    #[test]
    fn a_few_are_looked_at_the_last_one_first() {
        assert_eq!(spread(&[]), []);
        assert_eq!(spread(&[landmark(1)]), [landmark(1)]);
        for count in [2, 7, 8, 9, 100, 1_000] {
            let known: Vec<Landmark> = (1..=count).map(landmark).collect();
            let spread = spread(&known);
            assert_eq!(spread[0], landmark(count));
            assert_eq!(spread[1], landmark(1));
            assert!(spread.len() <= LOOKED_AT && spread.len() >= (count as usize).min(LOOKED_AT / 2), "{count}");
        }
    }
}
