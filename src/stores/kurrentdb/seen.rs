//! How far reads have found everything, and where the last event is, so that neither is looked for again from the start:
//! behind the last event there may be millions of the system's.

use eventlift_events::Position;

/// What is known of a store that only grows at its end.
#[derive(Default, Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// What one reader that goes on where it stopped has found.
    reads: Option<Reads>,
    /// Reads that did not go on from those: somebody else's, or the same reader's, which has begun elsewhere.
    others: Option<Reads>,
    last: Option<Last>,
}

/// Reads that go on from one another, up to the end of the store as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Reads {
    /// The last event they yielded, or where they began.
    yielded: Option<Position>,
    /// There is no event of ours behind `yielded` and up to here.
    to: Position,
}

/// The last event of ours up to some place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Last {
    /// Where it is, if there is one.
    pub(super) event: Option<Position>,
    /// Up to where there is none behind it.
    pub(super) through: Position,
}

impl Reads {
    /// Whether a read that starts behind this position goes on where these stopped.
    fn is_followed_by(&self, after: Option<Position>) -> bool {
        self.yielded <= after && after <= Some(self.to)
    }
}

impl Seen {
    /// A read of everything behind `after` came to the end of the store, which was at `end`; `yielded` is its last event.
    pub(super) fn completed(&mut self, after: Option<Position>, yielded: Option<Position>, end: Position) {
        let reads = Reads { yielded: yielded.or(after), to: end };
        let follows = |earlier: &Option<Reads>| earlier.as_ref().is_some_and(|earlier| earlier.is_followed_by(after));
        if self.reads.is_none() || follows(&self.reads) || follows(&self.others) {
            (self.reads, self.others) = (Some(reads), None);
        } else {
            self.others = Some(reads);
        }
        if yielded.is_some() {
            self.found(Last { event: yielded, through: end });
        }
    }

    /// The last event up to some place was looked up.
    pub(super) fn found(&mut self, last: Last) {
        if self.last.is_none_or(|known| known.through <= last.through) {
            self.last = Some(last);
        }
    }

    /// The last event as far as it is known.
    pub(super) fn last(&self) -> Option<Last> {
        self.last
    }

    /// Up to where reads have found everything, though nothing was yielded at the end of it.
    pub(super) fn through(&mut self) -> Option<Position> {
        let reads = self.reads.as_mut()?;
        if let Some(last) = self.last.filter(|last| last.event <= Some(reads.to)) {
            reads.to = reads.to.max(last.through);
        }
        Some(reads.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u64) -> Position {
        Position::pair(number, number)
    }

    #[test]
    fn what_reads_came_through_has_been_seen() {
        let mut seen = Seen::default();
        assert_eq!(seen.through(), None);
        seen.completed(None, Some(at(5)), at(9));
        assert_eq!((seen.through(), seen.last().unwrap().event), (Some(at(9)), Some(at(5))));
        seen.completed(Some(at(5)), None, at(12));
        assert_eq!(seen.through(), Some(at(12)));
        // Whoever passed over to what was seen goes on from there.
        seen.completed(Some(at(12)), Some(at(20)), at(20));
        assert_eq!(seen.through(), Some(at(20)));
    }

    #[test]
    fn where_the_last_event_is_says_that_nothing_is_behind_it() {
        let mut seen = Seen::default();
        seen.found(Last { event: Some(at(5)), through: at(30) });
        assert_eq!(seen.through(), None, "nobody has read anything");
        seen.completed(None, Some(at(5)), at(9));
        assert_eq!(seen.through(), Some(at(30)));
        seen.found(Last { event: Some(at(40)), through: at(50) });
        assert_eq!(seen.through(), Some(at(30)), "the event at 40 is not read yet");
        seen.completed(Some(at(30)), Some(at(40)), at(45));
        assert_eq!(seen.through(), Some(at(50)));
    }

    #[test]
    fn reads_of_others_do_not_count() {
        let mut seen = Seen::default();
        seen.completed(None, Some(at(5)), at(9));
        // Somebody reads everything while more has come, which the first reader has not.
        seen.completed(None, Some(at(15)), at(19));
        assert_eq!(seen.through(), Some(at(9)));
        seen.completed(Some(at(9)), Some(at(15)), at(25));
        assert_eq!(seen.through(), Some(at(25)));
    }

    #[test]
    fn a_reader_that_begins_elsewhere_is_known_once_it_goes_on() {
        let mut seen = Seen::default();
        seen.completed(None, Some(at(5)), at(9));
        seen.completed(Some(at(2)), Some(at(15)), at(19));
        assert_eq!(seen.through(), Some(at(9)));
        seen.completed(Some(at(15)), None, at(22));
        assert_eq!(seen.through(), Some(at(22)));
    }

    #[test]
    fn an_older_look_does_not_undo_a_newer_one() {
        let mut seen = Seen::default();
        seen.found(Last { event: Some(at(5)), through: at(30) });
        seen.found(Last { event: Some(at(5)), through: at(10) });
        assert_eq!(seen.last().unwrap().through, at(30));
    }
}
