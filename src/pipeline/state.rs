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
}

#[derive(Debug)]
struct Entry {
    value: Option<Bytes>,
    changed: bool,
}

impl StreamState {
    pub(super) fn new(run: RunId) -> Self {
        Self { run, cache: LruCache::new(CACHED), working: HashMap::new() }
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
                    missing.push(key);
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
            self.cache.put(key, entry.value);
        }
    }
}
