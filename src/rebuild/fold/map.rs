//! The map stage: which rows the events of a batch change, and how. Knows nothing of rows, so that batches can be
//! mapped at the same time.

use std::sync::Arc;

use eventlift_events::{Event, Position};
use eventlift_projections::{Changes, Concern, EventView, FoldError, Quarantined, RowChange, RowKey};
use eventlift_transformers::Reason;

use super::batch::{Pending, Record};
use super::failure::{Failure, Order};
use super::memory::Key;
use super::tables::{Tables, hash, worker_of};
use crate::rebuild::{FailurePolicy, RebuildError, RebuildRefusal};

/// What decides how batches are mapped.
pub(super) struct Mapping {
    pub(super) tables: Arc<Tables>,
    /// Up to where each worker has the events already.
    pub(super) done: Vec<Option<Position>>,
    pub(super) on_failure: FailurePolicy,
}

/// A batch after it is mapped.
pub(super) struct Mapped {
    pub(super) events: Vec<Event>,
    /// The changes for each worker.
    pub(super) changes: Vec<Vec<Pending>>,
    /// Events that can't be folded.
    pub(super) quarantined: Vec<Record>,
    /// The error that stopped it. Nothing comes after it.
    pub(super) failure: Option<Failure>,
}

impl Mapping {
    fn workers(&self) -> usize {
        self.done.len()
    }

    /// Whether a worker has an event already.
    fn is_done(&self, worker: usize, event: &Event) -> bool {
        self.done[worker].is_some_and(|done| event.position <= done)
    }

    /// Maps the events of a batch up to the first that stops the fold. `first` is the number of its first event.
    pub(super) fn map(&self, events: Vec<Event>, first: u64) -> Mapped {
        // One change an event and projection, a little unevenly spread.
        let expected = events.len() * self.tables.projections.len() / self.workers();
        let expected = expected + expected / 8;
        let changes = (0..self.workers()).map(|_| Vec::with_capacity(expected)).collect();
        let mut mapped = Mapped { events, changes, quarantined: Vec::new(), failure: None };
        let events = std::mem::take(&mut mapped.events);
        let mut scratch = Scratch::default();
        for (place, event) in events.iter().enumerate() {
            if let Err(failure) = self.map_event(event, place, first, &mut scratch, &mut mapped) {
                mapped.failure = Some(failure);
                break;
            }
        }
        mapped.events = events;
        mapped
    }

    fn map_event(
        &self,
        event: &Event,
        place: usize,
        first: u64,
        scratch: &mut Scratch,
        mapped: &mut Mapped,
    ) -> Result<(), Failure> {
        let number = first + place as u64;
        let mut view = EventView::new(event);
        for (projection, fold) in self.tables.projections.iter().enumerate() {
            let fail = |error| Failure { order: Order { event: number, projection, change: 0 }, error };
            match fold.understood().concern(event) {
                Concern::Folded => {}
                Concern::Ignored => continue,
                Concern::UnknownType | Concern::UnknownVersion => return Err(fail(not_understood(fold.name(), event))),
            }
            let projected = fold.project(&mut view, &mut scratch.changes);
            let Err(reason) = projected.and_then(|()| self.gather(projection, place, scratch)) else {
                self.hand_out(event, scratch, mapped);
                continue;
            };
            scratch.clear();
            if self.on_failure == FailurePolicy::Stop {
                return Err(fail(RebuildError::Fold(Box::new(FoldError::new(fold.name(), event, reason)))));
            }
            // The first worker keeps them all; which one does not matter, only that it is always the same.
            if !self.is_done(0, event) {
                let quarantined = quarantined(event, None, reason.to_string());
                mapped.quarantined.push(Record { event: number, projection, quarantined });
            }
        }
        Ok(())
    }

    /// Takes the changes of an event over, those of one row side by side.
    fn gather(&self, projection: usize, place: usize, scratch: &mut Scratch) -> Result<(), Reason> {
        let Scratch { changes, pending } = scratch;
        for (number, RowChange { table, key, change }) in changes.drain().enumerate() {
            let slot = self.tables.slot(projection, table);
            let slot = slot.ok_or_else(|| Reason::new(format_args!("it has no table of the number {table}")))?;
            let hash = hash(slot, key.as_bytes());
            // A batch is far smaller than that, and an event has far fewer changes.
            let (event, change_number) = (place as u32, number as u32);
            pending.push(Pending { event, change_number, slot, key: Key { hash, key }, change });
        }
        if pending.len() > 1 {
            // Stable: the changes of one row keep their order.
            pending.sort_by(|one, other| (one.slot, &one.key.key).cmp(&(other.slot, &other.key.key)));
        }
        Ok(())
    }

    fn hand_out(&self, event: &Event, scratch: &mut Scratch, mapped: &mut Mapped) {
        for pending in scratch.pending.drain(..) {
            let worker = worker_of(pending.key.hash, self.workers());
            if !self.is_done(worker, event) {
                mapped.changes[worker].push(pending);
            }
        }
    }
}

/// What is used again for every event.
#[derive(Default)]
struct Scratch {
    changes: Changes,
    pending: Vec<Pending>,
}

impl Scratch {
    fn clear(&mut self) {
        self.changes.truncate(0);
        self.pending.clear();
    }
}

fn not_understood(projection: &str, event: &Event) -> RebuildError {
    let Event { event_type, version, position, id, .. } = event;
    RebuildError::Refused(RebuildRefusal::NotUnderstood {
        projection: projection.to_owned(),
        events: vec![format!("{event_type} version {version} (event {id}, position {position})")],
    })
}

/// The record of an event that can't be folded, with no byte of the batch's buffer.
pub(super) fn quarantined(event: &Event, held: Option<(usize, RowKey)>, reason: String) -> Quarantined {
    let event = event.detached();
    let Event { id, stream, revision, position, .. } = event;
    Quarantined { held, id, stream, revision, position, reason }
}
