//! Which keys are surely not in a file, so that it need not be asked for them.

/// A Bloom filter of a fixed size: it forgets nothing, and the fuller it is, the more often it does not know.
pub(super) struct Filter {
    blocks: Vec<Block>,
}

/// One line of the processor's cache: a look goes to memory once.
type Block = [u64; 8];

/// Bits set for a key.
const BITS: u32 = 6;

impl Filter {
    /// An empty filter of about so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self { blocks: vec![Block::default(); bytes / size_of::<Block>()] }
    }

    /// A filter that knows nothing.
    pub(super) fn unknowing() -> Self {
        Self { blocks: Vec::new() }
    }

    /// Remembers the hash of a key.
    pub(super) fn insert(&mut self, hash: u64) {
        if self.blocks.is_empty() {
            return;
        }
        let (block, bits) = self.place(hash);
        for (word, bit) in places(bits) {
            self.blocks[block][word] |= bit;
        }
    }

    /// False where no key of this hash was inserted.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        if self.blocks.is_empty() {
            return true;
        }
        let (block, bits) = self.place(hash);
        let block = &self.blocks[block];
        places(bits).all(|(word, bit)| block[word] & bit != 0)
    }

    /// The block, and the bits that say where in it. All bits of the hash go into both: some of them are the same in
    /// all keys of a worker.
    fn place(&self, hash: u64) -> (usize, u64) {
        let spread = |factor: u64| u128::from(hash ^ hash >> 29) * u128::from(factor);
        let mixed = |product: u128| (product >> 64) as u64 ^ product as u64;
        let block = u128::from(mixed(spread(0x9e37_79b9_7f4a_7c15))) * self.blocks.len() as u128;
        ((block >> 64) as usize, mixed(spread(0xc2b2_ae3d_27d4_eb4f)))
    }
}

fn places(bits: u64) -> impl Iterator<Item = (usize, u64)> {
    // Nine bits each: three for the word, six for the bit in it.
    (0..BITS).map(move |number| {
        let place = bits >> (9 * number);
        ((place >> 6) as usize & 7, 1 << (place & 63))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rebuild::fold::tables::hash;

    #[test]
    fn nothing_is_forgotten_and_little_is_made_up() {
        let keys = |from: u32| (from..from + 100_000).map(|key| hash(1, &key.to_be_bytes()));
        let mut filter = Filter::new(100_000);
        keys(0).for_each(|hash| filter.insert(hash));
        assert!(keys(0).all(|hash| filter.may_hold(hash)));
        let made_up = keys(1_000_000).filter(|hash| filter.may_hold(*hash)).count();
        assert!(made_up < 8_000, "{made_up} of 100,000");
    }

    #[test]
    fn a_filter_without_room_knows_nothing() {
        let mut filter = Filter::new(63);
        filter.insert(1);
        assert!(filter.may_hold(1) && filter.may_hold(2) && Filter::unknowing().may_hold(3));
    }
}
