//! How far a run is, for whoever watches it.

use std::time::Duration;

use eventlift_events::{Counts, Position, RunState, Timestamp};

use super::quarantine::Quarantined;

/// How far a run is, as of its last commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// What it is doing.
    pub state: RunState,
    /// What it has done, from its first start.
    pub counts: Counts,
    /// The last source position that is done; none also while ranges are loaded at the same time.
    pub source: Option<Position>,
    /// The last position that the source has, where it is followed and can tell.
    pub head: Option<Position>,
    /// When the event that was appended last was recorded, where it is followed.
    pub recorded_at: Option<Timestamp>,
    /// What is in quarantine. While ranges are loaded at the same time, only the events that failed are counted.
    pub quarantined: Quarantined,
}

impl Progress {
    /// Nothing done yet.
    pub const START: Self = Self {
        state: RunState::Loading,
        counts: Counts { read: 0, lifted: 0, dropped: 0, split: 0, written: 0 },
        source: None,
        head: None,
        recorded_at: None,
        quarantined: Quarantined { streams: 0, events: 0 },
    };

    /// How many positions the source is ahead, where that is known: about as many events.
    pub fn lag(&self) -> Option<u64> {
        let (head, done) = (self.head?, self.source.map_or(0, Position::major));
        Some(head.major().saturating_sub(done))
    }

    /// How long ago the source was as the target is now: no time where nothing is left, and else the age of the event that was
    /// appended last, by the clock of whoever recorded it. None where that is not known.
    pub fn lag_time(&self, now: Timestamp) -> Option<Duration> {
        if self.lag()? == 0 {
            return Some(Duration::ZERO);
        }
        let age = now.micros().saturating_sub(self.recorded_at?.micros());
        Some(Duration::from_micros(u64::try_from(age).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_the_age_of_the_last_event_while_something_is_left() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000).unwrap();
        let (source, recorded_at) = (Some(Position::new(7)), Some(at(100)));
        let behind = Progress { source, head: Some(Position::new(9)), recorded_at, ..Progress::START };
        assert_eq!((behind.lag(), behind.lag_time(at(103))), (Some(2), Some(Duration::from_secs(3))));
        // A clock that is behind makes no lag of the past.
        assert_eq!(behind.lag_time(at(90)), Some(Duration::ZERO));
        let there = Progress { head: source, ..behind };
        assert_eq!((there.lag(), there.lag_time(at(500))), (Some(0), Some(Duration::ZERO)));
        assert_eq!(Progress { head: None, ..behind }.lag_time(at(103)), None);
    }
}
