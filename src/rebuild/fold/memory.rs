//! The rows that a worker has in memory.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use eventlift_projections::{Row, RowKey};

/// What a row takes beside its values and the bytes of its key: its entry in the map, which has up to twice as many
/// places as entries, and what the allocator adds to the row and to the key.
const ENTRY: usize = 2 * size_of::<(Key, Entry)>() + 32;

/// The rows of one table.
pub(super) type RowMap = HashMap<Key, Entry, BuildHasherDefault<Given>>;

/// A row that is in memory.
#[derive(Default)]
pub(super) struct Entry {
    /// None: there is no row of the key, whatever was put aside.
    pub(super) row: Option<Row>,
    /// How many bytes it was counted with.
    pub(super) bytes: usize,
    /// Whether it differs from what was put aside.
    pub(super) is_changed: bool,
}

impl Entry {
    /// About how many bytes it occupies, with its key.
    pub(super) fn measure(&self, key: &Key) -> usize {
        ENTRY + key.key.size() + self.row.as_ref().map_or(0, Row::size)
    }
}

/// A key with the hash of it and its slot, which is known before.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) hash: u64,
    pub(super) key: RowKey,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.key == other.key
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Hands on the hash that it is given.
#[derive(Default)]
pub(super) struct Given(u64);

impl Hasher for Given {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    /// Not used by [`Key`]; here because a hasher must have it.
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }
}
