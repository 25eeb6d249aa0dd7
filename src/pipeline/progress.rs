//! How far a run is, for whoever watches it.

use eventlift_events::{Counts, Position, RunState};

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
        quarantined: Quarantined { streams: 0, events: 0 },
    };

    /// How many positions the source is ahead, where that is known: about as many events.
    pub fn lag(&self) -> Option<u64> {
        let (head, done) = (self.head?, self.source.map_or(0, Position::major));
        Some(head.major().saturating_sub(done))
    }
}
