//! What of an append goes to the server in one request.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::entry::Entry;

/// What every server takes in one append where its options don't say otherwise.
const FIRST_LIMIT: usize = 1 << 20;

/// The most bytes of one append, as far as it is known.
#[derive(Debug)]
pub(super) struct Limit {
    bytes: AtomicUsize,
    // 0 stands for: nothing was learnt.
    learnt: AtomicUsize,
}

impl Limit {
    pub(super) fn new(known: Option<usize>) -> Self {
        Self { bytes: AtomicUsize::new(known.unwrap_or(FIRST_LIMIT).min(FIRST_LIMIT)), learnt: AtomicUsize::new(0) }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What was found out since it was made.
    pub(super) fn learnt(&self) -> Option<usize> {
        Some(self.learnt.load(Ordering::Relaxed)).filter(|learnt| *learnt > 0)
    }

    /// An append of this many bytes was too large; `said` is what the server says it takes. The next ones are smaller, at
    /// any rate.
    pub(super) fn learn(&self, refused: usize, said: Option<usize>) {
        let smaller = said.filter(|said| *said < refused).unwrap_or(refused / 2).max(1);
        let before = self.bytes.fetch_min(smaller, Ordering::Relaxed);
        self.learnt.store(before.min(smaller), Ordering::Relaxed);
    }
}

/// How many of these go in one append: as many as fit, and always one.
pub(super) fn fitting(entries: &[Entry], limit: usize) -> usize {
    let mut bytes = 0_usize;
    let fits = |entry: &&Entry| {
        bytes = bytes.saturating_add(entry.size());
        bytes <= limit
    };
    entries.iter().take_while(fits).count().clamp(1, entries.len().max(1))
}

/// The bytes of these.
pub(super) fn size(entries: &[Entry]) -> usize {
    entries.iter().map(Entry::size).sum()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;

    fn of_bytes(sizes: &[usize]) -> Vec<Entry> {
        let entry = |size: &usize| Entry {
            id: Uuid::max(),
            revision: 0,
            event_type: "a".into(),
            is_json: false,
            data: Bytes::from(vec![0; size - 2]),
            metadata: Bytes::new(),
        };
        sizes.iter().map(entry).collect()
    }

    #[test]
    fn as_many_go_as_fit_and_always_one() {
        assert_eq!(fitting(&of_bytes(&[10, 10, 10]), 30), 3);
        assert_eq!(fitting(&of_bytes(&[10, 10, 10]), 29), 2);
        assert_eq!(fitting(&of_bytes(&[40, 10]), 30), 1);
    }

    #[test]
    fn a_limit_only_shrinks() {
        let limit = Limit::new(Some(1 << 30));
        assert_eq!((limit.bytes(), limit.learnt()), (FIRST_LIMIT, None));
        limit.learn(1_000_000, Some(4_096));
        limit.learn(1_000_000, None);
        assert_eq!((limit.bytes(), limit.learnt()), (4_096, Some(4_096)));
        limit.learn(4_000, Some(9_999));
        assert_eq!(limit.bytes(), 2_000);
    }
}
