//! What stages keep per stream between batches, in bounded memory: the target holds all of it, the recently used part
//! is cached.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use bytes::Bytes;
use bytestring::ByteString;
use eventlift_events::{CheckpointStore, RunId, StateChange, StateKey, StoreError};
use lru::LruCache;

/// Entries that are remembered beyond the batch that used them.
const CACHED: NonZeroUsize = NonZeroUsize::new(65_536).unwrap(); // not zero, which the compiler checks

/// The state of a run: read through a cache, changed in memory, handed out to be committed with the events.
#[derive(Debug)]
pub(super) struct StreamState {
    run: RunId,
    cache: LruCache<StateKey, Option<Bytes>>,
    /// The entries of the batches since the last commit.
    working: HashMap<StateKey, Entry>,
    /// Whether the cache has every entry that has a value: what is not in it has none, and the store need not be asked.
    holds_all: bool,
}

#[derive(Debug)]
struct Entry {
    value: Option<Bytes>,
    changed: bool,
}

impl StreamState {
    /// The state of a run that has committed some, or of a new one, which has none.
    pub(super) fn new(run: RunId, is_new: bool) -> Self {
        Self { run, cache: LruCache::new(CACHED), working: HashMap::new(), holds_all: is_new }
    }

    /// Makes the entries of these keys available to [`get`](Self::get) and [`set`](Self::set).
    pub(super) async fn load(
        &mut self,
        keys: impl Iterator<Item = StateKey>,
        store: &dyn CheckpointStore,
    ) -> Result<(), StoreError> {
        let mut missing = Vec::new();
        for key in keys {
            if self.working.contains_key(&key) {
                continue;
            }
            // The key outlives the batch, so it must not share the batch's buffer.
            let key = StateKey { owner: key.owner, stream: ByteString::from(&*key.stream) };
            match self.cache.get(&key) {
                Some(value) => {
                    let value = value.clone();
                    self.working.insert(key, Entry { value, changed: false });
                }
                None => {
                    self.working.insert(key.clone(), Entry { value: None, changed: false });
                    if !self.holds_all {
                        missing.push(key);
                    }
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let values = store.state(self.run, &missing).await?;
        for (key, value) in missing.into_iter().zip(values) {
            self.working.insert(key, Entry { value, changed: false });
        }
        Ok(())
    }

    /// The value of a loaded entry.
    pub(super) fn get(&self, key: &StateKey) -> Option<&Bytes> {
        self.working.get(key).and_then(|entry| entry.value.as_ref())
    }

    /// Changes a loaded entry. The same value again is no change.
    pub(super) fn set(&mut self, key: &StateKey, value: Option<Bytes>) {
        let Some(entry) = self.working.get_mut(key) else { return };
        if entry.value != value {
            entry.value = value;
            entry.changed = true;
        }
    }

    /// What changed since the last commit, ordered by key.
    pub(super) fn changes(&self) -> Vec<StateChange> {
        let changed = self.working.iter().filter(|(_, entry)| entry.changed);
        let mut changes: Vec<_> =
            changed.map(|(key, entry)| StateChange { key: key.clone(), value: entry.value.clone() }).collect();
        changes.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        changes
    }

    /// Says that the changes are committed.
    pub(super) fn committed(&mut self) {
        for (key, entry) in self.working.drain() {
            if self.holds_all && entry.value.is_none() {
                self.cache.pop(&key);
                continue;
            }
            let is_known = self.cache.contains(&key);
            self.holds_all &= is_known || self.cache.len() < CACHED.get();
            self.cache.put(key, entry.value);
        }
    }
}

#[cfg(test)]
mod tests {
    use eventlift_events::{Checkpoint, Counts, EventWriter, MemoryStore, Position, Progress};

    use super::*;

    fn key(stream: usize) -> StateKey {
        StateKey { owner: ByteString::from_static("shift"), stream: format!("s-{stream}").into() }
    }

    /// Every third stream has a value.
    fn value(stream: usize) -> Option<Bytes> {
        stream.is_multiple_of(3).then(|| Bytes::from(stream.to_string()))
    }

    #[tokio::test]
    async fn what_the_cache_has_forgotten_is_asked_for() {
        const STREAMS: usize = 4 * CACHED.get();
        let (run, mut store) = (RunId::random(), MemoryStore::new().writer().unwrap());
        let mut state = StreamState::new(run, true);
        for chunk in (0..STREAMS).collect::<Vec<_>>().chunks(10_000) {
            state.load(chunk.iter().copied().map(key), &store).await.unwrap();
            for stream in chunk {
                state.set(&key(*stream), value(*stream));
            }
            let checkpoint = Checkpoint { source: Position::new(1), target: None, counts: Counts::default() };
            let progress = Progress {
                run,
                checkpoint,
                state: state.changes(),
                positions: Vec::new(),
                late: Vec::new(),
                notes: Vec::new(),
                origins: Vec::new(),
            };
            store.append(&[], Some(&progress)).await.unwrap();
            state.committed();
        }
        assert!(!state.holds_all && state.cache.len() == CACHED.get());
        for stream in 0..STREAMS {
            state.load(std::iter::once(key(stream)), &store).await.unwrap();
            assert_eq!(state.get(&key(stream)).cloned(), value(stream), "{stream}");
        }
    }
}
