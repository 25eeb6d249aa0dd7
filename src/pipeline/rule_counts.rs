//! How many events each rule took, as a run remembers it.

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;
use eventlift_events::{CheckpointStore, NoteChange, RunId, StoreError, StoreErrorKind};
use eventlift_transformers::{Registry, Took};

/// The book of notes. What was lifted again after a failure counts again.
pub(super) const BOOK: &str = "rules took";
/// The key of what was lifted in order. Each range, and each time that one is gone on with, has one of its own.
pub(super) const IN_ORDER: &str = "in order";

/// Counts by the rules' names, and whether they have changed since they were committed.
#[derive(Clone, Debug, Default)]
pub(super) struct RuleCounts {
    counts: BTreeMap<String, u64>,
    has_changed: bool,
}

impl RuleCounts {
    /// What a run has counted in order.
    pub(super) async fn load(store: &dyn CheckpointStore, run: RunId) -> Result<Self, StoreError> {
        let counts = notes(store, run).await?.remove(IN_ORDER).unwrap_or_default();
        Ok(Self { counts, has_changed: false })
    }

    pub(super) fn add(&mut self, registry: &Registry, took: &Took) {
        for (rule, events) in registry.took(took) {
            self.count(rule, events);
        }
    }

    pub(super) fn count(&mut self, rule: &str, events: u64) {
        self.has_changed = true;
        match self.counts.get_mut(rule) {
            Some(count) => *count += events,
            None => {
                self.counts.insert(rule.to_owned(), events);
            }
        }
    }

    /// The note to be committed, if it has changed.
    pub(super) fn note(&self, key: &str) -> Option<NoteChange> {
        let value = || Bytes::from(serde_json::json!(self.counts).to_string());
        let (book, key) = (ByteString::from_static(BOOK), ByteString::from(key));
        self.has_changed.then(|| NoteChange { book, key, value: Some(value()) })
    }

    pub(super) fn committed(&mut self) {
        self.has_changed = false;
    }
}

/// The counts in a note.
pub(super) fn read(value: &[u8]) -> Result<BTreeMap<String, u64>, StoreError> {
    serde_json::from_slice(value).map_err(|error| {
        let problem = format!("the ledger's note of what rules took can't be read: {error}");
        StoreError::new("read", "the ledger", StoreErrorKind::Unexpected(problem))
    })
}

/// The counts of a run by key.
async fn notes(store: &dyn CheckpointStore, run: RunId) -> Result<BTreeMap<String, BTreeMap<String, u64>>, StoreError> {
    let notes = store.notes(run, BOOK, None, usize::MAX).await?;
    notes.into_iter().map(|(key, value)| Ok((key.to_string(), read(&value)?))).collect()
}

/// How many events each rule of a run took, by name; what came before this was counted is in none of them.
pub async fn rules_took(store: &dyn CheckpointStore, run: RunId) -> Result<BTreeMap<String, u64>, StoreError> {
    Ok(sum(notes(store, run).await?.into_values()))
}

/// The same, where what was lifted in order has come to something else since.
pub(super) async fn rules_took_with(
    store: Option<&dyn CheckpointStore>,
    run: Option<RunId>,
    in_order: Option<BTreeMap<String, u64>>,
) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut notes = match (store, run) {
        (Some(store), Some(run)) => notes(store, run).await?,
        _ => BTreeMap::new(),
    };
    if let Some(in_order) = in_order {
        notes.insert(IN_ORDER.to_owned(), in_order);
    }
    Ok(sum(notes.into_values()))
}

fn sum(counts: impl Iterator<Item = BTreeMap<String, u64>>) -> BTreeMap<String, u64> {
    let mut sum = BTreeMap::new();
    for (rule, events) in counts.flatten() {
        *sum.entry(rule).or_default() += events;
    }
    sum
}
