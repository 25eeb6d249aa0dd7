//! Where a run would begin.

use eventlift_events::{Checkpoint, Counts, Position};

/// Where a run would begin, or go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartingPoint {
    /// With the first event.
    FirstEvent,
    /// In the middle of several ranges of positions, which it loads at the same time.
    InRanges {
        /// What was done in all of them.
        counts: Counts,
    },
    /// Behind a checkpoint.
    Behind(Checkpoint),
}

impl StartingPoint {
    /// Whether nothing of the run was done yet.
    pub fn is_first_event(self) -> bool {
        self == Self::FirstEvent
    }

    /// What was done.
    pub fn counts(self) -> Counts {
        match self {
            Self::FirstEvent => Counts::default(),
            Self::InRanges { counts } => counts,
            Self::Behind(checkpoint) => checkpoint.counts,
        }
    }

    /// The source position up to which all is done; none where there is no such position.
    pub fn source(self) -> Option<Position> {
        match self {
            Self::FirstEvent | Self::InRanges { .. } => None,
            Self::Behind(checkpoint) => Some(checkpoint.source),
        }
    }
}
