//! The map stage: which rows the events of a batch change, and how. Knows nothing of rows, so that batches can be
//! mapped at the same time.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use eventlift_events::{Event, EventId, Position};
use eventlift_projections::{Changes, Concern, EventView, FoldError, Move, Quarantined, RowChange, RowKey};
use eventlift_transformers::Reason;

use super::agreement::Joint;
use super::batch::{Moved, Pending, Record};
use super::failure::{Failure, Order};
use super::memory::Key;
use super::tables::{Tables, hash};
use crate::rebuild::{FailurePolicy, RebuildError, RebuildRefusal};

/// What decides how batches are mapped.
pub(super) struct Mapping {
    pub(super) tables: Arc<Tables>,
    /// Up to where each worker has the events already.
    pub(super) done: Vec<Option<Position>>,
    pub(super) on_failure: FailurePolicy,
    /// Projections and events of which is known, since before a kill, that a row of theirs can't be changed.
    pub(super) failed: HashSet<(usize, EventId)>,
}

/// A batch after it is mapped.
pub(super) struct Mapped {
    pub(super) events: Vec<Event>,
    /// The changes for each worker.
    pub(super) changes: Vec<Vec<Pending>>,
    /// Events that can't be folded.
    pub(super) quarantined: Vec<Record>,
    /// Events that change several rows, in order; found only where events are quarantined one by one.
    pub(super) joints: Vec<Joint>,
    /// The error that stopped it. Nothing comes after it.
    pub(super) failure: Option<Failure>,
}

impl Mapping {
    fn worker(&self, pending: &Pending) -> usize {
        self.tables.worker(pending.slot, pending.key.hash, self.workers())
    }

    fn workers(&self) -> usize {
        self.done.len()
    }

    /// Whether a worker has an event already.
    fn is_done(&self, worker: usize, event: &Event) -> bool {
        self.done[worker].is_some_and(|done| event.position <= done)
    }

    /// Maps the events of a batch up to the first that stops the fold. `first` is the number of its first event.
    pub(super) fn map(&self, events: Vec<Event>, first: u64) -> Mapped {
        let mapped = self.map_events(&events, first);
        Mapped { events, ..mapped }
    }

    /// The same, and leaves the events where they are.
    pub(super) fn map_events(&self, events: &[Event], first: u64) -> Mapped {
        // One change an event and projection, a little unevenly spread.
        let expected = events.len() * self.tables.projections.len() / self.workers();
        let expected = expected + expected / 8;
        let changes = (0..self.workers()).map(|_| Vec::with_capacity(expected)).collect();
        let (quarantined, joints) = (Vec::new(), Vec::new());
        let mut mapped = Mapped { events: Vec::new(), changes, quarantined, joints, failure: None };
        let mut scratch = Scratch::default();
        for (place, event) in events.iter().enumerate() {
            if let Err(failure) = self.map_event(event, place, first, &mut scratch, &mut mapped) {
                mapped.failure = Some(failure);
                break;
            }
        }
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
                if self.on_failure == FailurePolicy::Quarantine {
                    mapped.joints.extend(self.joint(event, projection, place, &scratch.pending));
                }
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
        let fold = &*self.tables.projections[projection];
        let first_slot = self.tables.slots_of(projection).start;
        for (number, row_change) in changes.drain().enumerate() {
            row_change.prove(fold)?;
            let RowChange { table, key, change, moves } = row_change;
            let slot = first_slot + table;
            let moves = moves.map(|Move { to, taken }| {
                let to = Key { hash: hash(slot, to.as_bytes()), key: to };
                Box::new(Moved { to, taken })
            });
            let hash = hash(slot, key.as_bytes());
            // A batch is far smaller than that, and an event has far fewer changes.
            let (event, change_number) = (place as u32, number as u32);
            pending.push(Pending { event, change_number, slot, key: Key { hash, key }, change, moves });
        }
        if pending.len() > 1 {
            // Stable: the changes of one row keep their order, and all of a table whose rows move.
            pending.sort_by(|one, other| {
                let by_key = || match self.tables.moves_rows(one.slot) {
                    true => Ordering::Equal,
                    false => one.key.key.cmp(&other.key.key),
                };
                one.slot.cmp(&other.slot).then_with(by_key)
            });
        }
        Ok(())
    }

    /// The event as one that changes several rows, if it does, and if any of them is still to be changed.
    fn joint(&self, event: &Event, projection: usize, place: usize, changes: &[Pending]) -> Option<Joint> {
        let row = |pending: &Pending| (pending.slot, pending.key.hash);
        let is_alone = |[one, other]: [&Pending; 2]| row(one) == row(other) && one.key == other.key;
        if changes.windows(2).all(|pair| is_alone([&pair[0], &pair[1]])) {
            return None;
        }
        let mut workers: Vec<usize> = changes.iter().map(|pending| self.worker(pending)).collect();
        workers.sort_unstable();
        workers.dedup();
        let all = workers.len();
        workers.retain(|worker| !self.is_done(*worker, event));
        let has_failed = workers.len() < all && self.failed.contains(&(projection, event.id.clone()));
        // A batch is far smaller than that, and so are projections and workers few.
        let (place, projection, left) = (place as u32, projection as u32, workers.len() as u32);
        (left > 0).then_some(Joint { event: place, projection, workers: left, has_failed })
    }

    fn hand_out(&self, event: &Event, scratch: &mut Scratch, mapped: &mut Mapped) {
        for pending in scratch.pending.drain(..) {
            let worker = self.worker(&pending);
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
