//! A worker: makes the changes of the rows that fall to it, and puts rows aside when it has too many.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::iter::Peekable;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use eventlift_events::Event;
use eventlift_projections::{Change, FoldError, Move, Row, RowKey, Table, Taken, Value};
use eventlift_transformers::Reason;
use tokio::sync::mpsc;

use super::agreement::{Abandoned, Agreement, Joint};
use super::aside::{Aside, Changed, Left, Problem, Site};
use super::batch::{Checkpoint, Message, Moved, Pending, Record, Share};
use super::failure::{Failure, Order};
use super::folder::put_aside;
use super::map::{Mapping, quarantined};
use super::memory::{Entry, Key, RowMap};
use crate::rebuild::{FailurePolicy, RebuildError, RebuildRefusal};

/// More events than this are not quarantined: then it is the fold that is wrong.
pub(super) const MOST_QUARANTINED: u64 = 100_000;

/// What all workers of a fold see.
pub(super) struct Common {
    pub(super) mapping: Mapping,
    /// Whether one of them has failed.
    pub(super) has_failed: AtomicBool,
    /// Whether nobody waits for the result any more.
    pub(super) is_given_up: AtomicBool,
    /// How many records of quarantined events there are.
    pub(super) quarantined: AtomicU64,
}

/// How much a worker keeps in memory, and for how long.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) bytes: usize,
    /// None: nobody goes on from what is put aside.
    pub(super) save_every: Option<Duration>,
}

/// The rows of a worker after the last event.
pub(super) struct Part {
    pub(super) rows: PartRows,
    /// The number of rows of each slot.
    pub(super) counts: Vec<u64>,
    pub(super) quarantined: Vec<Record>,
}

/// Where the rows of a worker are.
pub(super) enum PartRows {
    /// In memory: for each slot in ascending order of the keys.
    Memory(Vec<Vec<(RowKey, Row)>>),
    /// All in its file.
    Aside(Aside),
}

pub(super) struct Worker {
    common: Arc<Common>,
    site: Site,
    limits: Limits,
    /// The rows in memory, by slot.
    tables: Vec<RowMap>,
    /// About how many bytes they occupy.
    bytes: usize,
    /// The number of rows, by slot, in memory or not.
    counts: Vec<u64>,
    aside: Option<Aside>,
    checkpoint: Option<Checkpoint>,
    /// Rows that wait for an event, by slot.
    held: Vec<HashMap<RowKey, Box<str>>>,
    /// Those of them that are not put aside yet.
    held_since: Vec<(usize, RowKey, Box<str>)>,
    /// Quarantined since rows were put aside.
    quarantined: Vec<Record>,
    saved_at: Instant,
    failure: Option<Failure>,
    /// What rows were before the changes that may still be taken back, in the order of the changes.
    undo: Vec<Before>,
}

/// What a row was.
struct Before {
    slot: usize,
    key: Key,
    row: Option<Row>,
    was_changed: bool,
}

/// A row that an event can't be folded into.
struct FailedRow {
    slot: usize,
    key: RowKey,
    reason: String,
    /// Whether it does not wait for another event already.
    is_new: bool,
}

/// Events, and those of them that change several rows.
struct Batch<'b> {
    events: &'b [Event],
    first: u64,
    joints: &'b [Joint],
}

/// How a batch is gone through where events are quarantined.
#[derive(Clone, Copy)]
enum Pass<'p> {
    /// No event in it has rows of several workers.
    Alone,
    /// As if no event that has were to fail, with everything kept that it takes to take it back.
    Hopeful,
    /// Every such event is agreed on.
    Agreed(&'p Agreement),
}

/// Tells the others when the thread panics, so that none waits for it.
struct Alarm(Arc<Common>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.has_failed.store(true, Ordering::Relaxed);
        }
    }
}

impl Common {
    /// Whether the fold ends without a result, so that others may not go on.
    fn is_over(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed) || self.is_given_up.load(Ordering::Relaxed)
    }
}

type Changes = Peekable<std::vec::IntoIter<Pending>>;

impl Worker {
    pub(super) fn new(common: Arc<Common>, site: Site, limits: Limits, left: Option<Left>) -> Self {
        let slots = common.mapping.tables.count();
        let mut worker = Self {
            common,
            site,
            limits,
            tables: (0..slots).map(|_| RowMap::default()).collect(),
            bytes: 0,
            counts: vec![0; slots],
            aside: None,
            checkpoint: None,
            held: vec![HashMap::new(); slots],
            held_since: Vec::new(),
            quarantined: Vec::new(),
            saved_at: Instant::now(),
            failure: None,
            undo: Vec::new(),
        };
        let Some(left) = left else { return worker };
        for (slot, key, event) in left.held {
            if let Some(held) = worker.held.get_mut(slot) {
                held.insert(key, event);
            }
        }
        worker.aside = Some(left.aside);
        worker.checkpoint = Some(left.checkpoint);
        worker.counts = left.rows;
        worker
    }

    /// Works until it is told to finish, or nobody tells it anything any more. None: it was not asked for its rows.
    pub(super) fn run(mut self, mut messages: mpsc::Receiver<Message>) -> Result<Option<Part>, Failure> {
        let _alarm = Alarm(Arc::clone(&self.common));
        loop {
            match messages.blocking_recv() {
                Some(Message::Batch(share)) => self.take(share),
                Some(Message::Finish) => return self.finish().map(Some),
                Some(Message::Suspend) => return self.suspend().map(|()| None),
                None => return self.failure.map_or(Ok(None), Err),
            }
        }
    }

    fn take(&mut self, share: Share) {
        if self.failure.is_some() || self.common.is_given_up.load(Ordering::Relaxed) {
            return;
        }
        let end = share.end;
        let before = self.quarantined.len();
        self.apply(share);
        if self.failure.is_none() {
            self.count_quarantined(before);
        }
        if self.failure.is_none() {
            self.failure = self.end_batch(end).err();
        }
        if self.failure.is_some() {
            self.common.has_failed.store(true, Ordering::Relaxed);
        }
    }

    fn end_batch(&mut self, end: Option<Checkpoint>) -> Result<(), Failure> {
        // Without an end the rows are those of no checkpoint, and must not be put aside any more.
        let end = end.ok_or_else(Failure::ended)?;
        // After a resume others may be behind this one.
        if self.checkpoint.is_none_or(|checkpoint| checkpoint.position < end.position) {
            self.checkpoint = Some(end);
        }
        self.put_aside_if_due().map_err(Failure::of_place)
    }

    fn apply(&mut self, share: Share) {
        let Share { events, first, changes, quarantined, joints, agreement, .. } = share;
        self.quarantined.extend(quarantined);
        self.look_at(&changes);
        let batch = Batch { events: &events, first, joints: &joints };
        if self.common.mapping.on_failure == FailurePolicy::Stop {
            self.apply_or_stop(&batch, changes);
        } else if let Err(failure) = self.apply_or_leave_out(&batch, changes, agreement.as_deref()) {
            Failure::keep_first(&mut self.failure, failure);
        }
    }

    /// Makes changes up to the first event that fails.
    fn apply_or_stop(&mut self, batch: &Batch<'_>, changes: Vec<Pending>) {
        let mut changes = changes.into_iter().peekable();
        while let Some(pending) = changes.next() {
            let number = batch.first + u64::from(pending.event);
            // The other changes of the event that failed are made all the same: an earlier one may fail as well.
            if self.failure.as_ref().is_some_and(|failure| failure.order.event < number) {
                return;
            }
            let Some(event) = batch.events.get(pending.event as usize) else { continue };
            if self.common.is_given_up.load(Ordering::Relaxed) {
                // The checkpoint must not move over what is left out.
                self.failure = Some(Failure::ended());
                return;
            }
            let made = match self.common.mapping.tables.moves_rows(pending.slot) {
                true => self.change_in_turn(event, number, pending).map(drop),
                false => self.change_row(event, number, pending, &mut changes, false).map(drop),
            };
            if let Err(failure) = made {
                Failure::keep_first(&mut self.failure, failure);
            }
        }
    }

    /// Makes the changes of the events that can be folded into all of their rows, whoever has those, and leaves the
    /// others out.
    fn apply_or_leave_out(
        &mut self,
        batch: &Batch<'_>,
        changes: Vec<Pending>,
        agreement: Option<&Agreement>,
    ) -> Result<(), Failure> {
        let Some(agreement) = agreement else { return self.go_through(batch, changes, Pass::Alone).map(drop) };
        let (held, quarantined) = (self.held_since.len(), self.quarantined.len());
        let has_failed = self.go_through(batch, changes, Pass::Hopeful)?;
        let has_failed = agreement.on_batch(has_failed, || self.common.is_over()).map_err(ended)?;
        if !has_failed {
            self.undo.clear();
            return Ok(());
        }
        self.take_back(0);
        for (slot, key, _) in self.held_since.drain(held..) {
            self.held[slot].remove(&key);
        }
        self.quarantined.truncate(quarantined);
        // Changes are used up when they are made, so the events are asked for them again.
        let mut mapped = self.common.mapping.map_events(batch.events, batch.first);
        let changes = mapped.changes.swap_remove(self.site.identity.worker);
        self.go_through(batch, changes, Pass::Agreed(agreement)).map(drop)
    }

    /// Makes the changes of a batch, event by event. True, and ended early, where hope was in vain: an event failed that
    /// has rows of other workers.
    fn go_through(&mut self, batch: &Batch<'_>, changes: Vec<Pending>, pass: Pass<'_>) -> Result<bool, Failure> {
        let common = Arc::clone(&self.common);
        let projection_of = |pending: &Pending| common.mapping.tables.place(pending.slot).0;
        let mut changes = changes.into_iter().peekable();
        while let Some(next) = changes.peek() {
            let (place, projection) = (next.event, projection_of(next));
            let Some(event) = batch.events.get(place as usize) else {
                changes.next();
                continue;
            };
            if common.is_given_up.load(Ordering::Relaxed) {
                // The checkpoint must not move over what is left out.
                return Err(Failure::ended());
            }
            let number = batch.first + u64::from(place);
            let of_it = |joint: &Joint| (joint.event, joint.projection as usize).cmp(&(place, projection));
            let joint = batch.joints.binary_search_by(of_it).ok().map(|found| (found, batch.joints[found]));
            let keeps = joint.is_some() || matches!(pass, Pass::Hopeful);
            let begun = self.undo.len();
            let mut failed = Vec::new();
            while let Some(pending) = changes.next_if(|next| next.event == place && projection_of(next) == projection) {
                if !common.mapping.tables.moves_rows(pending.slot) {
                    failed.extend(self.change_row(event, number, pending, &mut changes, keeps)?);
                } else if !failed.iter().any(|row: &FailedRow| row.slot == pending.slot) {
                    // Behind one that fails, nobody knows which rows there are.
                    failed.extend(self.change_in_turn(event, number, pending)?);
                }
            }
            let fails_here = !failed.is_empty();
            let is_left_out = match (joint, pass) {
                (Some((_, joint)), _) if joint.has_failed => true,
                (Some((found, joint)), Pass::Agreed(agreement)) if joint.workers > 1 => {
                    let is_over = || common.is_over();
                    agreement.on_event(found, joint.workers, fails_here, is_over).map_err(ended)?
                }
                (Some((_, joint)), _) if joint.workers > 1 && fails_here => return Ok(true),
                _ => fails_here,
            };
            if is_left_out {
                self.take_back(begun);
            }
            for row in failed {
                self.leave_out(event, number, row);
            }
            if !matches!(pass, Pass::Hopeful) {
                self.undo.truncate(begun);
            }
        }
        Ok(false)
    }

    /// Records an event that could not be folded into a row, which waits for it from now on.
    fn leave_out(&mut self, event: &Event, number: u64, row: FailedRow) {
        let FailedRow { slot, key, reason, is_new } = row;
        let (projection, table) = self.common.mapping.tables.place(slot);
        let quarantined = quarantined(event, Some((table, key.clone())), reason);
        if is_new {
            let id: Box<str> = quarantined.id.to_string().into();
            self.held[slot].insert(key.clone(), id.clone());
            self.held_since.push((slot, key, id));
        }
        self.quarantined.push(Record { event: number, projection, quarantined });
    }

    /// Makes rows what they were before the changes from the one of this number on.
    fn take_back(&mut self, from: usize) {
        while self.undo.len() > from {
            let Some(Before { slot, key, row, was_changed }) = self.undo.pop() else { return };
            self.put(slot, key, row, was_changed);
        }
    }

    /// Looks at the rows once before the first is changed. Looks do not wait for one another as changes do, so the
    /// machine fetches several rows from memory at a time: folding many keys takes a third less time for it.
    fn look_at(&self, changes: &[Pending]) {
        let columns = |pending: &Pending| {
            let entry = self.tables[pending.slot].get(&pending.key);
            entry.and_then(|entry| entry.row.as_ref()).map_or(0, |row| row.0.last().map_or(0, Value::size))
        };
        std::hint::black_box(changes.iter().map(columns).sum::<usize>());
    }

    /// Makes all changes of an event to one row. Where one of them fails, the row is what it was; the error is that of a
    /// fold that stops then. `keeps`: it may be taken back.
    fn change_row(
        &mut self,
        event: &Event,
        number: u64,
        first: Pending,
        others: &mut Changes,
        keeps: bool,
    ) -> Result<Option<FailedRow>, Failure> {
        let Pending { event: place, change_number, slot, key, change, .. } = first;
        let tables = &self.common.mapping.tables;
        let table = tables.table(slot);
        let of_same_row = |next: &Pending, key: &Key| next.event == place && next.slot == slot && next.key == *key;

        if let Some(failed) = self.held[slot].get(&key.key) {
            while others.next_if(|next| of_same_row(next, &key)).is_some() {}
            let reason = waits_for(failed);
            return Ok(Some(FailedRow { slot, key: key.key, reason, is_new: false }));
        }

        let mut entry = match self.tables[slot].entry(key) {
            Place::Occupied(entry) => entry,
            Place::Vacant(vacant) => {
                let row = match &self.aside {
                    Some(aside) => aside.row(slot, table, vacant.key()),
                    None => Ok(None),
                };
                let row = row.map_err(|problem| failed_to_put_aside(&self.site, problem))?;
                let mut entry = Entry { row, bytes: 0, is_changed: false };
                entry.bytes = entry.measure(vacant.key());
                self.bytes += entry.bytes;
                vacant.insert_entry(entry)
            }
        };
        let had_row = entry.get().row.is_some();
        let may_quarantine = self.common.mapping.on_failure == FailurePolicy::Quarantine;
        let (before, was_changed) = (may_quarantine.then(|| entry.get().row.clone()), entry.get().is_changed);
        let mut failed = None;

        let mut row = entry.get_mut().row.take();
        let make = |change: Change, key: &Key, row: &mut Option<Row>| {
            change.make(event, &key.key, row).and_then(|()| fits(row.as_ref(), table))
        };
        let mut outcome = make(change, entry.key(), &mut row).map_err(|reason| (change_number, reason));
        while let Some(next) = others.next_if(|next| of_same_row(next, entry.key())) {
            if outcome.is_ok() {
                outcome = make(next.change, entry.key(), &mut row).map_err(|reason| (next.change_number, reason));
            }
        }
        entry.get_mut().row = row;
        match outcome {
            Ok(()) => {
                entry.get_mut().is_changed = true;
                if let Some(row) = before.filter(|_| keeps) {
                    self.undo.push(Before { slot, key: entry.key().clone(), row, was_changed });
                }
            }
            Err((change, reason)) if !may_quarantine => {
                let (projection, _) = tables.place(slot);
                let name = tables.projections[projection].name();
                let error = RebuildError::Fold(Box::new(FoldError::new(name, event, reason)));
                return Err(Failure { order: Order { event: number, projection, change }, error });
            }
            Err((_, reason)) => {
                entry.get_mut().row = before.flatten();
                let (key, reason) = (entry.key().key.clone(), reason.to_string());
                failed = Some(FailedRow { slot, key, reason, is_new: true });
            }
        }

        let bytes = entry.get().measure(entry.key());
        self.bytes = self.bytes + bytes - entry.get().bytes;
        entry.get_mut().bytes = bytes;
        let has_row = entry.get().row.is_some();
        match (had_row, has_row) {
            (false, true) => self.counts[slot] += 1,
            (true, false) => self.counts[slot] -= 1,
            _ => {}
        }
        if !has_row && self.aside.is_none() {
            // Nothing was put aside that it would have to be deleted from.
            self.bytes -= bytes;
            entry.remove();
        }
        Ok(failed)
    }

    /// Makes one change in a table whose rows move, where changes are made in their order, whatever their rows. Where it
    /// fails, it fails in both rows that it is about. Where events are quarantined, it may be taken back.
    fn change_in_turn(&mut self, event: &Event, number: u64, pending: Pending) -> Result<Vec<FailedRow>, Failure> {
        let Pending { change_number, slot, key, change, moves, .. } = pending;
        let common = Arc::clone(&self.common);
        let tables = &common.mapping.tables;
        let table = tables.table(slot);
        let (to, taken) = match moves.map(|moves| *moves).filter(|moves| moves.to != key) {
            Some(Moved { to, taken }) => (Some(to), taken),
            None => (None, Taken::Fail),
        };
        let waits = self.waits(slot, &key, to.as_ref());
        if !waits.is_empty() {
            return Ok(waits);
        }
        self.bring_in(slot, &key)?;
        if let Some(to) = &to {
            self.bring_in(slot, to)?;
        }
        let copy = |key: &Key| self.tables[slot].get(key).and_then(|entry| entry.row.clone());
        let (mut row, mut other) = (copy(&key), to.as_ref().and_then(copy));
        let made = match &to {
            None => change.make(event, &key.key, &mut row),
            Some(to) => {
                let moves = Move { to: to.key.clone(), taken };
                moves.make(change, event, table, (&key.key, &mut row), &mut other)
            }
        };
        let made = made.and_then(|()| fits(row.as_ref(), table)).and_then(|()| fits(other.as_ref(), table));
        match made {
            Ok(()) => {
                self.set(slot, key, row);
                if let Some(to) = to {
                    self.set(slot, to, other);
                }
                Ok(Vec::new())
            }
            Err(reason) if common.mapping.on_failure == FailurePolicy::Stop => {
                let (projection, _) = tables.place(slot);
                let name = tables.projections[projection].name();
                let error = RebuildError::Fold(Box::new(FoldError::new(name, event, reason)));
                Err(Failure { order: Order { event: number, projection, change: change_number }, error })
            }
            Err(reason) => {
                let failed = |key: Key| FailedRow { slot, key: key.key, reason: reason.to_string(), is_new: true };
                Ok([Some(key), to].into_iter().flatten().map(failed).collect())
            }
        }
    }

    /// Brings the row of a key into memory.
    fn bring_in(&mut self, slot: usize, key: &Key) -> Result<(), Failure> {
        if self.tables[slot].contains_key(key) {
            return Ok(());
        }
        let Some(aside) = &self.aside else { return Ok(()) };
        let row = aside.row(slot, self.common.mapping.tables.table(slot), key);
        let row = row.map_err(|problem| failed_to_put_aside(&self.site, problem))?;
        let mut entry = Entry { row, bytes: 0, is_changed: false };
        entry.bytes = entry.measure(key);
        self.bytes += entry.bytes;
        self.tables[slot].insert(key.clone(), entry);
        Ok(())
    }

    /// The rows of a change that can't be made because one of them is held. The other one of a move waits with it: of
    /// neither key is known any more whose row it has.
    fn waits(&self, slot: usize, key: &Key, to: Option<&Key>) -> Vec<FailedRow> {
        let keys = || [Some(key), to].into_iter().flatten();
        let Some(event) = keys().find_map(|key| self.held[slot].get(&key.key)) else { return Vec::new() };
        let waits = |key: &Key| {
            let own = self.held[slot].get(&key.key);
            let reason = waits_for(own.unwrap_or(event));
            FailedRow { slot, key: key.key.clone(), reason, is_new: own.is_none() }
        };
        keys().map(waits).collect()
    }

    /// Makes the row of a key, which is in memory if it is anywhere, another one.
    fn set(&mut self, slot: usize, key: Key, row: Option<Row>) {
        if self.common.mapping.on_failure == FailurePolicy::Stop {
            self.put(slot, key, row, true);
            return;
        }
        let (before, was_changed) = self.put(slot, key.clone(), row, true);
        self.undo.push(Before { slot, key, row: before, was_changed });
    }

    /// Puts a row in the place of the one in memory. Returns that, and whether it differed from what was put aside.
    fn put(&mut self, slot: usize, key: Key, row: Option<Row>, is_changed: bool) -> (Option<Row>, bool) {
        let mut entry = match self.tables[slot].entry(key) {
            Place::Occupied(entry) => entry,
            Place::Vacant(vacant) => vacant.insert_entry(Entry::default()),
        };
        let has_row = row.is_some();
        let before = std::mem::replace(&mut entry.get_mut().row, row);
        let was_changed = std::mem::replace(&mut entry.get_mut().is_changed, is_changed);
        let bytes = entry.get().measure(entry.key());
        self.bytes = self.bytes + bytes - entry.get().bytes;
        entry.get_mut().bytes = bytes;
        match (before.is_some(), has_row) {
            (false, true) => self.counts[slot] += 1,
            (true, false) => self.counts[slot] -= 1,
            _ => {}
        }
        if !has_row && self.aside.is_none() {
            // Nothing was put aside that it would have to be deleted from.
            self.bytes -= bytes;
            entry.remove();
        }
        (before, was_changed)
    }

    fn count_quarantined(&mut self, before: usize) {
        let more = (self.quarantined.len() - before) as u64;
        let all = self.common.quarantined.fetch_add(more, Ordering::Relaxed) + more;
        if all > MOST_QUARANTINED {
            let error = RebuildRefusal::TooManyQuarantined { limit: MOST_QUARANTINED };
            self.failure = Some(Failure::of_place(error.into()));
        }
    }

    fn put_aside_if_due(&mut self) -> Result<(), RebuildError> {
        if self.bytes > self.limits.bytes {
            self.put_aside()?;
            self.empty();
        } else if self.limits.save_every.is_some_and(|every| self.saved_at.elapsed() >= every) {
            self.put_aside()?;
            self.drop_deleted();
        }
        Ok(())
    }

    /// Brings the file to the checkpoint.
    fn put_aside(&mut self) -> Result<(), RebuildError> {
        let Some(checkpoint) = self.checkpoint else { return Ok(()) };
        let put = self.open_aside().and_then(|mut aside| {
            let put = aside.put(Changed {
                tables: &mut self.tables,
                held: &self.held_since,
                quarantined: &self.quarantined,
                checkpoint,
                rows: &self.counts,
            });
            self.aside = Some(aside);
            put
        });
        put.map_err(|problem| failed_to_put_aside(&self.site, problem).error)?;
        self.held_since.clear();
        self.quarantined.clear();
        self.saved_at = Instant::now();
        Ok(())
    }

    fn open_aside(&mut self) -> Result<Aside, Problem> {
        match self.aside.take() {
            Some(aside) => Ok(aside),
            None => Aside::create(&self.site),
        }
    }

    fn empty(&mut self) {
        self.tables.iter_mut().for_each(RowMap::clear);
        self.bytes = 0;
    }

    /// Forgets the keys without a row: the file has no row of them either.
    fn drop_deleted(&mut self) {
        for table in &mut self.tables {
            table.retain(|_, entry| {
                let is_there = entry.row.is_some();
                self.bytes -= if is_there { 0 } else { entry.bytes };
                is_there
            });
        }
    }

    fn suspend(mut self) -> Result<(), Failure> {
        match self.failure.take() {
            Some(failure) => Err(failure),
            None => self.put_aside().map_err(Failure::of_place),
        }
    }

    fn finish(mut self) -> Result<Part, Failure> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if self.aside.is_some() {
            self.put_aside().map_err(Failure::of_place)?;
        }
        let Some(aside) = self.aside else {
            let rows = self.tables.into_iter().map(sorted).collect();
            return Ok(Part { rows: PartRows::Memory(rows), counts: self.counts, quarantined: self.quarantined });
        };
        let quarantined = aside.quarantined().map_err(|problem| failed_to_put_aside(&self.site, problem))?;
        Ok(Part { rows: PartRows::Aside(aside), counts: self.counts, quarantined })
    }
}

fn sorted(table: RowMap) -> Vec<(RowKey, Row)> {
    let rows = table.into_iter().filter_map(|(key, entry)| entry.row.map(|row| (key.key, row)));
    let mut rows: Vec<(RowKey, Row)> = rows.collect();
    rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    rows
}

/// What becomes of a worker whose word nobody takes any more.
fn ended(_: Abandoned) -> Failure {
    Failure::ended()
}

/// Why an event is not folded into a row that is held.
pub(in crate::rebuild) fn waits_for(event: &str) -> String {
    format!("it waits for event {event}, which could not be folded")
}

/// Whether a row has the columns of its table: one that has not can't be put aside and read back.
pub(in crate::rebuild) fn fits(row: Option<&Row>, table: &Table) -> Result<(), Reason> {
    let Some(row) = row else { return Ok(()) };
    if row.0.len() != table.columns.len() {
        let (has, needs) = (row.0.len(), table.columns.len());
        return Err(Reason::new(format_args!(
            "a row of the table `{}` has {has} columns instead of {needs}",
            table.name
        )));
    }
    let unfit = table
        .columns
        .iter()
        .zip(&row.0)
        .find(|(column, value)| value.column_type().is_some_and(|column_type| column_type != column.column_type));
    match unfit {
        None => Ok(()),
        Some((column, _)) => Err(Reason::new(format_args!(
            "the value of the column `{}` of the table `{}` is not of the type {}",
            column.name, table.name, column.column_type
        ))),
    }
}

fn failed_to_put_aside(site: &Site, problem: Problem) -> Failure {
    let temporary = std::env::temp_dir();
    let folder = site.path.as_deref().and_then(Path::parent).unwrap_or(&temporary);
    Failure::of_place(put_aside(folder, problem))
}
