//! The tables of all projections, numbered.

use std::sync::Arc;

use eventlift_projections::{Projection, Table};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The projections, and their tables numbered over all of them: a *slot* is such a number.
pub(super) struct Tables {
    pub(super) projections: Vec<Arc<dyn Projection>>,
    /// Which projection's which table a slot is.
    slots: Vec<(usize, usize)>,
    /// The slot of each projection's first table.
    firsts: Vec<usize>,
    /// Whether rows of a slot get other keys: then one worker has all of them.
    moving: Vec<bool>,
}

impl Tables {
    pub(super) fn new(projections: Vec<Arc<dyn Projection>>) -> Self {
        let mut slots = Vec::new();
        let mut firsts = Vec::new();
        for (projection, fold) in projections.iter().enumerate() {
            firsts.push(slots.len());
            slots.extend((0..fold.tables().len()).map(|table| (projection, table)));
        }
        let moving = slots.iter().map(|(projection, table)| projections[*projection].moves_rows(*table)).collect();
        Self { projections, slots, firsts, moving }
    }

    /// How many slots there are.
    pub(super) fn count(&self) -> usize {
        self.slots.len()
    }

    /// The slots of a projection; none where there is no such projection.
    pub(super) fn slots_of(&self, projection: usize) -> std::ops::Range<usize> {
        let first = self.firsts.get(projection).copied().unwrap_or(self.slots.len());
        let end = self.firsts.get(projection + 1).copied().unwrap_or(self.slots.len());
        first..end
    }

    /// The slot of a projection's table, if it has so many.
    pub(super) fn slot(&self, projection: usize, table: usize) -> Option<usize> {
        self.slots_of(projection).nth(table)
    }

    /// Which projection's which table a slot is.
    pub(super) fn place(&self, slot: usize) -> (usize, usize) {
        self.slots[slot]
    }

    /// Whether rows of a slot may get other keys.
    pub(super) fn moves_rows(&self, slot: usize) -> bool {
        self.moving[slot]
    }

    /// The worker that a row belongs to, by the hash of its key.
    pub(super) fn worker(&self, slot: usize, hash_of_key: u64, workers: usize) -> usize {
        worker_of(if self.moving[slot] { hash(slot, &[]) } else { hash_of_key }, workers)
    }

    pub(super) fn table(&self, slot: usize) -> &Table {
        let (projection, table) = self.slots[slot];
        &self.projections[projection].tables()[table]
    }
}

/// The hash of a row's key. Files that were put aside depend on it: it is the same on every machine.
pub(super) fn hash(slot: usize, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, slot as u64)
}

/// The worker that a row belongs to. Taken from bits that hash maps look at last, for else a worker's map would use
/// only a part of its buckets.
fn worker_of(hash: u64, workers: usize) -> usize {
    let bits = (hash >> 25) & u64::from(u32::MAX);
    ((bits * workers as u64) >> 32) as usize
}
