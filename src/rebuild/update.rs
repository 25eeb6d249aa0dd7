//! Applying new events to a build that is there already, in transactions with its checkpoint.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use eventlift_events::{Event, Position};
use eventlift_projections::{
    Change, Changes, Concern, EventView, FoldError, Projection, Quarantined, ReadModelStore, Rollup, Row, RowChange,
    RowKey, RowUpdate, Side, Step, Table, TableKind, Value, snapshot_columns,
};
use eventlift_transformers::Reason;
use futures_util::StreamExt;

use super::error::{RebuildError, RebuildRefusal};
use super::feed::{FedBatch, Feed, Reading};
use super::fold::{fits, waits_for};
use super::options::FailurePolicy;
use super::stamp::stamp;
use crate::pipeline::Stop;

/// A build that is brought up to date.
pub(super) struct Update<'u> {
    pub(super) store: &'u dyn ReadModelStore,
    pub(super) side: Side,
    pub(super) projection: Arc<dyn Projection>,
    /// Written into the snapshots.
    pub(super) fingerprint: &'u str,
    pub(super) on_failure: FailurePolicy,
}

/// What an update did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Updated {
    /// How many events were read.
    pub events: u64,
    /// How many rows were changed, created or deleted, counted anew in every transaction.
    pub rows: u64,
    /// How many events were quarantined.
    pub quarantined: u64,
    /// The last event that is in the build.
    pub checkpoint: Option<Position>,
}

/// A transaction ends with the batch that brings it to this many events.
const STEP_EVENTS: u64 = 10_000;
/// Or to this many rows in memory.
const STEP_ROWS: usize = 50_000;

impl Update<'_> {
    /// Applies everything that the feed holds behind the checkpoint. What was committed before an error, or before a
    /// request to stop, stays; `seen` hears of every commit.
    pub(super) async fn run(
        &self,
        feed: &Feed,
        checkpoint: Option<Position>,
        reading: &Reading,
        stop: &Stop,
        mut seen: impl FnMut(Updated),
    ) -> Result<Updated, RebuildError> {
        let mut done = Updated { checkpoint, ..Updated::default() };
        let mut pending = Pending::new(checkpoint);
        for held in self.store.quarantined(self.side, self.projection.name()).await.map_err(RebuildError::ReadModels)? {
            if let Some(place) = held.held {
                pending.held.entry(place).or_insert(held.id.to_string());
            }
        }
        let feed = feed.to(std::slice::from_ref(&self.projection));
        let mut batches = feed.events(checkpoint, None, reading, stop);
        while let Some(batch) = batches.next().await {
            self.apply(batch?, &mut pending).await?;
            if pending.events >= STEP_EVENTS || pending.rows.len() >= STEP_ROWS {
                self.commit(&mut pending, &mut done).await?;
                seen(done);
            }
        }
        self.commit(&mut pending, &mut done).await?;
        seen(done);
        Ok(done)
    }

    /// Folds a batch into the rows of the open step. Where it fails, the open step must not be taken.
    async fn apply(&self, batch: FedBatch, pending: &mut Pending) -> Result<(), RebuildError> {
        let FedBatch { events, until, read } = batch;
        let projection = Arc::clone(&self.projection);
        let projected = tokio::task::spawn_blocking(move || {
            let projected = project(&*projection, &events);
            (events, projected)
        });
        let (events, projected) = match projected.await {
            Ok(projected) => projected,
            // A projection's own code panicked: that is the caller's bug, and the caller hears of it.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let wanted = self.wanted(&projected, pending);
        self.fetch(wanted, pending).await?;
        let tables = 0..self.projection.tables().len();
        let moving: Vec<bool> = tables.map(|table| self.projection.moves_rows(table)).collect();
        for (place, outcome) in projected {
            let event = &events[place];
            match outcome {
                Ok(changes) => self.apply_changes(event, changes, &moving, pending)?,
                Err(Unprojected::Refused(refusal)) => return Err(refusal.into()),
                Err(Unprojected::Failed(reason)) => self.failed(event, reason, None, pending)?,
            }
        }
        pending.until = Some(until);
        pending.events += read;
        Ok(())
    }

    /// The keys of the rows, by table, that the changes are about and that are not in the open step yet.
    fn wanted(&self, projected: &[Projected], pending: &mut Pending) -> Vec<Vec<RowKey>> {
        let mut wanted: Vec<Vec<RowKey>> = vec![Vec::new(); self.projection.tables().len()];
        for change in projected.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()).flatten() {
            for key in [Some(&change.key), change.moves.as_ref().map(|moves| &moves.to)].into_iter().flatten() {
                if let Entry::Vacant(entry) = pending.rows.entry((change.table, key.clone())) {
                    entry.insert(OpenRow::default());
                    wanted[change.table].push(key.clone());
                }
            }
        }
        wanted
    }

    /// Brings rows into the open step.
    async fn fetch(&self, wanted: Vec<Vec<RowKey>>, pending: &mut Pending) -> Result<(), RebuildError> {
        for (table, keys) in wanted.into_iter().enumerate() {
            if keys.is_empty() {
                continue;
            }
            let spec = &self.projection.tables()[table];
            let rows = self.store.rows(self.side, self.projection.name(), table, &keys).await;
            for (key, row) in keys.into_iter().zip(rows.map_err(RebuildError::ReadModels)?) {
                let floor = row.as_ref().and_then(|row| snapshot_position(spec, row));
                let before = row.clone().filter(|_| self.projection.rollups().iter().any(|rollup| rollup.of == table));
                pending.rows.insert((table, key), OpenRow { row, before, floor, is_changed: false });
            }
        }
        Ok(())
    }

    /// Makes the changes of an event, row by row; those of one row in their order, and all of a table whose rows move. All
    /// of them, or, where one fails and the event is quarantined, none.
    fn apply_changes(
        &self,
        event: &Event,
        changes: Vec<RowChange>,
        moving: &[bool],
        pending: &mut Pending,
    ) -> Result<(), RebuildError> {
        let mut by_row: BTreeMap<(usize, RowKey), Vec<(usize, Change)>> = BTreeMap::new();
        let mut failures = Vec::new();
        // What the rows were, for an event that it turns out can't be folded.
        let mut before = Vec::new();
        for (number, row_change) in changes.into_iter().enumerate() {
            let table = row_change.table;
            if !moving[table] {
                by_row.entry((table, row_change.key)).or_default().push((number, row_change.change));
            } else if !failures.iter().any(|(_, place, _): &(usize, Place, Reason)| place.0 == table) {
                // Behind one that fails, nobody knows which rows there are.
                self.change_in_turn(event, number, row_change, pending, &mut before, &mut failures);
            }
        }
        for (place, changes) in by_row {
            if let Some(id) = pending.held.get(&place) {
                failures.push((0, place, Reason::new(waits_for(id))));
                continue;
            }
            let open = pending.rows.entry(place.clone()).or_default();
            if open.floor.is_some_and(|floor| event.position <= floor) {
                // Somebody has saved a later snapshot.
                continue;
            }
            if self.on_failure == FailurePolicy::Quarantine {
                before.push((place.clone(), open.clone()));
            }
            open.is_changed = true;
            let table = &self.projection.tables()[place.0];
            for (number, change) in changes {
                if let Err(reason) =
                    change.make(event, &place.1, &mut open.row).and_then(|()| fits(open.row.as_ref(), table))
                {
                    failures.push((number, place, reason));
                    break;
                }
            }
        }
        if !failures.is_empty() {
            // The first that was kept of a row is what it was.
            pending.rows.extend(before.into_iter().rev());
        }
        match self.on_failure {
            // The error is that of the first change, whatever the order of the rows.
            FailurePolicy::Stop => failures.sort_by_key(|(number, ..)| *number),
            // In the order of the rows that are held, as a rebuild records them.
            FailurePolicy::Quarantine => failures.sort_by(|(_, one, _), (_, other, _)| one.cmp(other)),
        }
        failures.into_iter().try_for_each(|(_, place, reason)| self.failed(event, reason, Some(place), pending))
    }

    /// Makes one change in a table whose rows move, where changes are made in their order, whatever their rows. Where it
    /// fails, it fails in both rows that it is about.
    fn change_in_turn(
        &self,
        event: &Event,
        number: usize,
        row_change: RowChange,
        pending: &mut Pending,
        before: &mut Vec<(Place, OpenRow)>,
        failures: &mut Vec<(usize, Place, Reason)>,
    ) {
        let RowChange { table, key, change, moves } = row_change;
        let spec = &self.projection.tables()[table];
        let moves = moves.filter(|moves| moves.to != key);
        let place = (table, key);
        let other_place = moves.as_ref().map(|moves| (table, moves.to.clone()));
        let places: Vec<Place> = [Some(place.clone()), other_place.clone()].into_iter().flatten().collect();
        let held = places.iter().find_map(|place| pending.held.get(place));
        if let Some(held) = held {
            // Of neither key is known any more whose row it has.
            let waits = |place: &Place| Reason::new(waits_for(pending.held.get(place).unwrap_or(held)));
            failures.extend(places.iter().map(|place| (number, place.clone(), waits(place))));
            return;
        }
        let mut take = |place: &Place| {
            let open = pending.rows.entry(place.clone()).or_default();
            if self.on_failure == FailurePolicy::Quarantine {
                before.push((place.clone(), open.clone()));
            }
            open.is_changed = true;
            open.row.clone()
        };
        let mut row = take(&place);
        let mut other = other_place.as_ref().and_then(&mut take);
        let made = match &moves {
            None => change.make(event, &place.1, &mut row),
            Some(moves) => moves.make(change, event, spec, (&place.1, &mut row), &mut other),
        };
        match made.and_then(|()| fits(row.as_ref(), spec)).and_then(|()| fits(other.as_ref(), spec)) {
            Ok(()) => {
                for (place, row) in places.into_iter().zip([row, other]) {
                    pending.rows.entry(place).or_default().row = row;
                }
            }
            Err(reason) => failures.extend(places.into_iter().map(|place| (number, place, reason.clone()))),
        }
    }

    /// Stops, or puts the event into quarantine and holds the row that it could not be folded into.
    fn failed(
        &self,
        event: &Event,
        reason: Reason,
        held: Option<(usize, RowKey)>,
        pending: &mut Pending,
    ) -> Result<(), RebuildError> {
        let error = FoldError::new(self.projection.name(), event, reason);
        if self.on_failure == FailurePolicy::Stop {
            return Err(Box::new(error).into());
        }
        let FoldError { id, stream, revision, position, reason, .. } = error;
        if let Some(place) = &held {
            pending.held.entry(place.clone()).or_insert(id.to_string());
        }
        let reason = reason.to_string();
        pending.quarantined.push(Quarantined { held, id, stream, revision, position, reason });
        Ok(())
    }

    /// The rows that sum up the changed ones.
    async fn summed_up(&self, changed: &[((usize, RowKey), OpenRow)]) -> Result<Vec<RowUpdate>, RebuildError> {
        let tables = self.projection.tables();
        let mut updates = Vec::new();
        for rollup in self.projection.rollups() {
            let made = &tables[rollup.table];
            let failed = |reason| RebuildError::SumUp { table: made.name.clone(), reason };
            let members = || changed.iter().filter(|((table, _), _)| *table == rollup.of).map(|(_, open)| open);
            let mut groups = Groups::new();
            for row in members().flat_map(|open| open.before.iter().chain(&open.row)) {
                groups.extend(rollup.group_of(row).map_err(failed)?.map(|key| (key, None)));
            }
            let keys: Vec<RowKey> = groups.keys().cloned().collect();
            let found = self.store.rows(self.side, self.projection.name(), rollup.table, &keys).await;
            for (group, row) in groups.values_mut().zip(found.map_err(RebuildError::ReadModels)?) {
                *group = row;
            }
            // What rows were goes before what they are comes: both at once may not fit into a sum, and a row that has
            // moved went from one key and came to another.
            members().try_for_each(|open| take_out(rollup, made, open, &mut groups)).map_err(failed)?;
            members().try_for_each(|open| bring_in(rollup, made, open, &mut groups)).map_err(failed)?;
            updates.extend(groups.into_iter().map(|(key, row)| RowUpdate { table: rollup.table, key, row }));
        }
        Ok(updates)
    }

    async fn commit(&self, pending: &mut Pending, done: &mut Updated) -> Result<(), RebuildError> {
        let Some(to) = pending.until.filter(|until| Some(*until) != pending.from) else { return Ok(()) };
        let mut changed: Vec<_> = pending.rows.drain().filter(|(_, open)| open.is_changed).collect();
        // The order in which rows are summed up and written is the same on every run, and the one of the tables.
        changed.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut rows: Vec<RowUpdate> = self.summed_up(&changed).await?;
        rows.extend(changed.into_iter().map(|((table, key), OpenRow { mut row, .. })| {
            stamp(&self.projection.tables()[table], row.as_mut(), self.fingerprint);
            RowUpdate { table, key, row }
        }));
        rows.sort_by(|one, other| (one.table, &one.key).cmp(&(other.table, &other.key)));
        let step = Step {
            from: pending.from,
            to,
            events: pending.events,
            rows,
            quarantined: std::mem::take(&mut pending.quarantined),
        };
        self.store.step(self.side, self.projection.name(), &step).await.map_err(RebuildError::ReadModels)?;
        done.events += step.events;
        done.rows += step.rows.len() as u64;
        done.quarantined += step.quarantined.len() as u64;
        done.checkpoint = Some(to);
        pending.from = Some(to);
        pending.events = 0;
        Ok(())
    }
}

type Groups = BTreeMap<RowKey, Option<Row>>;

/// Takes a row as it was out of its group.
fn take_out(rollup: &Rollup, made: &Table, open: &OpenRow, groups: &mut Groups) -> Result<(), Reason> {
    let Some(before) = &open.before else { return Ok(()) };
    let Some(key) = rollup.group_of(before)? else { return Ok(()) };
    rollup.remove(made, groups.entry(key).or_default(), before)
}

/// Adds a row as it is to its group.
fn bring_in(rollup: &Rollup, made: &Table, open: &OpenRow, groups: &mut Groups) -> Result<(), Reason> {
    let Some(row) = &open.row else { return Ok(()) };
    let Some(key) = rollup.group_of(row)? else { return Ok(()) };
    rollup.add(made, groups.entry(key.clone()).or_default(), &key, row)
}

/// A table, and the key of a row in it.
type Place = (usize, RowKey);

/// The step that is open.
struct Pending {
    from: Option<Position>,
    until: Option<Position>,
    events: u64,
    rows: HashMap<(usize, RowKey), OpenRow>,
    /// Rows that wait for an event that could not be folded, and its id.
    held: HashMap<(usize, RowKey), String>,
    quarantined: Vec<Quarantined>,
}

impl Pending {
    fn new(from: Option<Position>) -> Self {
        let (rows, held) = (HashMap::new(), HashMap::new());
        Self { from, until: None, events: 0, rows, held, quarantined: Vec::new() }
    }
}

/// A row of the open step.
#[derive(Clone, Default)]
struct OpenRow {
    row: Option<Row>,
    /// What it was when it was read, where it is summed up.
    before: Option<Row>,
    /// The position of the snapshot that was read from the store: everything up to it is in the state.
    floor: Option<Position>,
    is_changed: bool,
}

/// The place of an event in its batch, and what it changes.
type Projected = (usize, Result<Vec<RowChange>, Unprojected>);

/// Why an event changes nothing.
enum Unprojected {
    Refused(RebuildRefusal),
    Failed(Reason),
}

/// What the events of a batch change, for those that a projection folds, up to the first that it does not understand.
fn project(projection: &dyn Projection, events: &[Event]) -> Vec<Projected> {
    let mut projected = Vec::new();
    let mut changes = Changes::new();
    for (place, event) in events.iter().enumerate() {
        match projection.understood().concern(event) {
            Concern::Ignored => {}
            Concern::Folded => match projection.project(&mut EventView::new(event), &mut changes) {
                Ok(()) => projected.push((place, proven(projection, changes.drain().collect()))),
                Err(reason) => {
                    changes.truncate(0);
                    projected.push((place, Err(Unprojected::Failed(reason))));
                }
            },
            Concern::UnknownType | Concern::UnknownVersion => {
                let refusal = RebuildRefusal::not_understood(projection.name(), event);
                projected.push((place, Err(Unprojected::Refused(refusal))));
                return projected;
            }
        }
    }
    projected
}

fn proven(projection: &dyn Projection, changes: Vec<RowChange>) -> Result<Vec<RowChange>, Unprojected> {
    let proven = changes.iter().try_for_each(|change| change.prove(projection));
    proven.map(|()| changes).map_err(Unprojected::Failed)
}

fn snapshot_position(table: &Table, row: &Row) -> Option<Position> {
    if table.kind != TableKind::Snapshots {
        return None;
    }
    match row.0.get(snapshot_columns::POSITION)? {
        Value::Text(position) => position.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use eventlift_projections::ColumnType;

    use super::*;

    #[test]
    fn only_snapshots_have_a_position() {
        let narrow = Table::read_model("counts", [("id", ColumnType::Text), ("count", ColumnType::Integer)]);
        assert_eq!(snapshot_position(&narrow, &Row([Value::text("a"), Value::Integer(1)].into())), None);
        let text = || Value::text("7");
        let wide = Row([text(), text(), text(), text(), text()].into());
        let columns = ["a", "b", "c", "d", "e"].map(|name| (name, ColumnType::Text));
        assert_eq!(snapshot_position(&Table::read_model("texts", columns), &wide), None);
        assert_eq!(snapshot_position(&Table::of_snapshots("snapshots"), &wide), Some(Position::new(7)));
    }
}
