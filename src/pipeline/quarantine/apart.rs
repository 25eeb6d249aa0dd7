//! What a target lacks by intention: events that are in quarantine, and those that were given up.

use std::collections::HashMap;

use eventlift_events::{CheckpointStore, Event, Position, RunId, StoreError, StreamName};

use super::books::{Numbering, discarded, quarantined_streams};
use super::holding::{Holding, Quarantined, by_stream};

/// In what a target differs from its source by intention: events of the source that it lacks, and events of others that it
/// holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Apart {
    /// The first event of each stream that is in quarantine.
    held: HashMap<StreamName, Position>,
    held_events: u64,
    discarded: HashMap<StreamName, Vec<Position>>,
    numbering: Numbering,
    /// What the target holds behind it was written by others.
    end: Option<Position>,
}

impl Apart {
    /// What a run holds and has given up.
    pub async fn of(ledger: &dyn CheckpointStore, run: RunId) -> Result<Self, StoreError> {
        let mut apart = Self { numbering: Numbering::load(ledger, run).await?, ..Self::default() };
        for stream in quarantined_streams(ledger, run).await? {
            apart.held_events += stream.held;
            apart.held.insert(stream.name()?, stream.failed.position);
        }
        apart.discarded = by_stream(discarded(ledger, run).await?)?;
        Ok(apart)
    }

    /// The same of a target that others write to since it held this last: what is behind it is not compared.
    pub fn up_to(self, end: Option<Position>) -> Self {
        Self { end, ..self }
    }

    /// The last position of the target that is compared; all of it where there is none.
    pub fn end(&self) -> Option<Position> {
        self.end
    }

    /// How much is in quarantine.
    pub fn quarantined(&self) -> Quarantined {
        Quarantined { streams: self.held.len() as u64, events: self.held_events }
    }

    /// How many events were given up.
    pub fn discarded(&self) -> u64 {
        self.discarded.values().map(|positions| positions.len() as u64).sum()
    }

    /// Whether events were released behind the target's last one, so that positions say nothing about what is equal:
    /// streams are compared, each in its order.
    pub fn has_moved_positions(&self) -> bool {
        self.numbering.at_the_end > 0
    }

    /// How many events were released to places before others that were written earlier: whoever has read past them has
    /// missed them.
    pub fn released_between(&self) -> u64 {
        self.numbering.to_their_places
    }

    /// Whether there is nothing of all that.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.discarded.is_empty()
    }

    /// Whether the target lacks what this event of the source would become.
    pub fn leaves_out(&self, event: &Event) -> bool {
        self.held.get(&event.stream).is_some_and(|first| event.position >= *first)
            || self.discarded.get(&event.stream).is_some_and(|gone| gone.binary_search(&event.position).is_ok())
    }

    /// What numbering has to know of it.
    pub(in crate::pipeline) fn holding(&self) -> Holding {
        Holding::nothing(self.discarded.clone())
    }
}
