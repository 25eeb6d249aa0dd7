//! What a load has shown about itself while it went by, so that sealing need not ask the server: that positions ascend,
//! and that the revisions of each stream do, and have no gaps.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use eventlift_events::{Event, LoadRange, Position};
use xxhash_rust::xxh3::xxh3_128;

/// As many streams as are remembered, of all ranges together: 64 MiB of tables. With more, the server is asked.
const MAX_STREAMS: usize = 900_000;

/// What was seen of the events of a load, in the order of their positions.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// Something went by unseen, or out of order.
    is_lost: bool,
    /// The start of the store, with all ranges that follow it without a hole.
    start: Seen,
    /// How many ranges that is, and where the last one ends.
    ranges: Option<(u32, Position)>,
    /// Complete ranges that something before is missing of.
    later: BTreeMap<u32, (LoadRange, Seen)>,
}

/// What was seen of consecutive events.
#[derive(Debug, Default)]
pub(super) struct Seen {
    is_lost: bool,
    is_dense: Dense,
    events: u64,
    first: Option<Position>,
    last: Option<Position>,
    /// The first and the last revision of each stream, by a hash of its name.
    streams: HashMap<u128, (u64, u64), BuildHasherDefault<Taken>>,
}

/// Whether no gap was seen.
#[derive(Debug)]
struct Dense(bool);

impl Default for Dense {
    fn default() -> Self {
        Self(true)
    }
}

/// Takes a half of the key, which is a hash already.
#[derive(Default)]
struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

impl Seen {
    /// Sees the events that come next.
    pub(super) fn events(&mut self, events: &[Event]) {
        for event in events {
            if self.is_lost {
                return;
            }
            if self.last.is_some_and(|last| last >= event.position) || self.streams.len() >= MAX_STREAMS {
                self.lose();
                return;
            }
            self.first.get_or_insert(event.position);
            self.last = Some(event.position);
            self.events += 1;
            let revision = event.revision.0;
            let (_, last) = self
                .streams
                .entry(xxh3_128(event.stream.as_str().as_bytes()))
                .and_modify(|(_, last)| {
                    self.is_lost |= revision <= *last;
                    self.is_dense.0 &= revision == last.saturating_add(1);
                })
                .or_insert((revision, revision));
            *last = revision;
        }
    }

    /// Gives up, and the memory back.
    fn lose(&mut self) {
        *self = Self { is_lost: true, ..Self::default() };
    }

    /// Puts what comes after it behind it.
    fn then(&mut self, next: Seen) {
        let ascends = match (self.last, next.first) {
            (Some(last), Some(first)) => last < first,
            _ => true,
        };
        if self.is_lost || next.is_lost || !ascends {
            self.lose();
            return;
        }
        for (stream, (first, last)) in next.streams {
            let known = self.streams.entry(stream).and_modify(|(_, before)| {
                self.is_lost |= first <= *before;
                self.is_dense.0 &= first == before.saturating_add(1);
            });
            known.or_insert((first, last)).1 = last;
        }
        self.is_dense.0 &= next.is_dense.0;
        self.events += next.events;
        self.first = self.first.or(next.first);
        self.last = next.last.or(self.last);
    }
}

impl Proof {
    /// Of a store that held events before.
    pub(super) fn lost() -> Self {
        Self { is_lost: true, ..Self::default() }
    }

    /// Gives up, and the memory back.
    pub(super) fn lose(&mut self) {
        *self = Self::lost();
    }

    /// Sees events that were appended behind all others.
    pub(super) fn appended(&mut self, events: &[Event]) {
        if self.is_lost {
            return;
        }
        // Ranges are loaded before anything is appended behind them.
        if !self.later.is_empty() {
            self.lose();
            return;
        }
        self.start.events(events);
        if self.start.is_lost {
            self.lose();
        }
    }

    /// Takes what was seen of a whole range. Ranges follow one another without a hole, the first one from the start.
    pub(super) fn range(&mut self, range: LoadRange, seen: Seen) {
        let lies_outside = seen.last.is_some_and(|last| last > range.until)
            || seen.first.is_some_and(|first| range.after.is_some_and(|after| first <= after));
        if self.is_lost || seen.is_lost || lies_outside {
            self.lose();
            return;
        }
        self.later.insert(range.index, (range, seen));
        let remembered: usize = self.later.values().map(|(_, seen)| seen.streams.len()).sum();
        if remembered + self.start.streams.len() > MAX_STREAMS {
            self.lose();
            return;
        }
        loop {
            let next = self.ranges.map_or(0, |(last, _)| last + 1);
            let Some((range, seen)) = self.later.remove(&next) else { return };
            if range.after != self.ranges.map(|(_, until)| until) {
                self.lose();
                return;
            }
            self.ranges = Some((next, range.until));
            self.start.then(seen);
            if self.start.is_lost {
                self.lose();
                return;
            }
        }
    }

    /// How many events there are, where all of them were seen and are in order and, if asked for, without gaps.
    pub(super) fn events(&self, dense: bool) -> Option<u64> {
        if self.is_lost || self.start.is_lost || !self.later.is_empty() {
            return None;
        }
        let is_dense = || self.start.is_dense.0 && self.start.streams.values().all(|(first, _)| *first == 0);
        (!dense || is_dense()).then_some(self.start.events)
    }
}

#[cfg(test)]
mod tests {
    use eventlift_events::{EventId, EventType, Payload, Revision, SchemaVersion, StreamName, Timestamp};

    use super::*;

    fn event(position: u64, stream: &str, revision: u64) -> Event {
        Event {
            id: EventId::text(format!("id-{position}")).unwrap(),
            stream: StreamName::new(stream.to_owned()).unwrap(),
            revision: Revision(revision),
            position: Position::new(position),
            event_type: EventType::new("T").unwrap(),
            version: SchemaVersion::FIRST,
            data: Payload::empty(),
            metadata: Payload::empty(),
            recorded_at: Timestamp::EPOCH,
            attributes: Default::default(),
        }
    }

    fn range(index: u32, after: Option<u64>, until: u64) -> LoadRange {
        LoadRange {
            index,
            after: after.map(Position::new),
            until: Position::new(until),
            done: Some(Position::new(until)),
            counts: Default::default(),
            is_complete: true,
        }
    }

    fn seen(events: &[Event]) -> Seen {
        let mut seen = Seen::default();
        seen.events(events);
        seen
    }

    #[test]
    fn only_what_is_in_order_and_whole_is_proved() {
        let appended = |events: &[Event], dense| {
            let mut proof = Proof::default();
            proof.appended(events);
            proof.events(dense)
        };
        assert_eq!(appended(&[event(1, "a", 0), event(2, "b", 0), event(3, "a", 1)], true), Some(3));
        assert_eq!(appended(&[event(1, "a", 0), event(2, "a", 2)], true), None);
        assert_eq!(appended(&[event(1, "a", 1)], true), None);
        assert_eq!(appended(&[event(1, "a", 0), event(2, "a", 2)], false), Some(2));
        assert_eq!(appended(&[event(1, "a", 1), event(2, "a", 0)], false), None);
        assert_eq!(appended(&[event(1, "a", 0), event(1, "b", 0)], false), None);
        assert_eq!(appended(&[event(2, "a", 0), event(1, "b", 0)], false), None);
        assert_eq!(appended(&[event(1, "a", 0), event(2, "a", 0)], false), None);
    }

    #[test]
    fn ranges_prove_it_in_whatever_order_they_end() {
        let (first, second) = ([event(1, "a", 0), event(2, "b", 0)], [event(4, "a", 1), event(5, "c", 0)]);
        let mut proof = Proof::default();
        proof.range(range(1, Some(3), 5), seen(&second));
        assert_eq!(proof.events(true), None);
        proof.range(range(0, None, 3), seen(&first));
        assert_eq!(proof.events(true), Some(4));
        proof.appended(&[event(6, "c", 1)]);
        assert_eq!(proof.events(true), Some(5));
        proof.appended(&[event(7, "c", 3)]);
        assert_eq!((proof.events(true), proof.events(false)), (None, Some(6)));
    }

    #[test]
    fn ranges_with_a_hole_or_disorder_prove_nothing() {
        let first = [event(1, "a", 0)];
        for (range_of, second) in [
            (range(1, Some(4), 6), [event(5, "a", 1)]),
            (range(1, Some(3), 6), [event(7, "a", 1)]),
            (range(1, Some(3), 6), [event(3, "a", 1)]),
            (range(1, Some(3), 6), [event(5, "a", 0)]),
        ] {
            let mut proof = Proof::default();
            proof.range(range(0, None, 3), seen(&first));
            proof.range(range_of, seen(&second));
            assert_eq!(proof.events(false), None, "{range_of:?}");
        }
    }
}
