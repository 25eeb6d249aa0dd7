//! Read models in memory, for tests and for services that rebuild when they start.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use eventlift_events::{Position, StoreError, StoreErrorKind, StoreIdentity, StreamName, Timestamp};
use eventlift_language::Reason;
use uuid::Uuid;

use crate::aggregate::Snapshot;
use crate::row::{Row, RowKey};
use crate::store::{
    Build, Builds, Hold, Origin, Quarantined, ReadModelStore, RebuildRun, RowUpdate, Side, SnapshotStore, Step,
};
use crate::table::{Table, TableKind};
use crate::value::Value;

/// Read models and snapshots in memory. Clones are handles to the same ones.
#[derive(Clone, Debug)]
pub struct MemoryReadModels {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    identity: StoreIdentity,
    content: Mutex<Content>,
}

#[derive(Clone, Debug, Default)]
struct Content {
    projections: BTreeMap<String, Kept>,
    held: BTreeSet<String>,
    runs: BTreeMap<u64, RebuildRun>,
}

/// What is kept of a projection.
#[derive(Clone, Debug, Default)]
struct Kept {
    last_generation: u64,
    live: Option<Generation>,
    shadow: Option<Generation>,
    previous: Option<Generation>,
}

/// A build with its rows, table by table.
#[derive(Clone, Debug)]
struct Generation {
    build: Build,
    rows: Vec<BTreeMap<RowKey, Row>>,
    quarantined: Vec<Quarantined>,
}

/// Why a call failed, and where.
struct Refusal {
    kind: StoreErrorKind,
    place: String,
}

impl Default for MemoryReadModels {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryReadModels {
    /// No read models yet.
    pub fn new() -> Self {
        let identity = StoreIdentity { display: "memory".to_owned(), key: Uuid::new_v4().to_string() };
        Self { shared: Arc::new(Shared { identity, content: Mutex::default() }) }
    }

    fn call<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&mut Content) -> Result<T, Refusal>,
    ) -> Result<T, StoreError> {
        work(&mut self.shared.content())
            .map_err(|refusal| StoreError::new(action, &self.shared.identity, refusal.kind).at(refusal.place))
    }
}

impl Shared {
    fn content(&self) -> MutexGuard<'_, Content> {
        // Every call checks before it changes anything, so a poisoned lock guards sound content.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unexpected(place: impl Into<String>, message: impl Into<String>) -> Refusal {
    Refusal { kind: StoreErrorKind::Unexpected(message.into()), place: place.into() }
}

fn bad_input(place: impl Into<String>, reason: Reason) -> Refusal {
    Refusal { kind: StoreErrorKind::BadInput(reason.message), place: place.into() }
}

fn place(side: Side, projection: &str) -> String {
    format!("the {side} build of {projection}")
}

impl Content {
    fn side(&self, side: Side, projection: &str) -> Result<&Generation, Refusal> {
        let kept = self.projections.get(projection).and_then(|kept| kept.side(side).as_ref());
        kept.ok_or_else(|| Refusal { kind: StoreErrorKind::Missing, place: place(side, projection) })
    }

    fn side_mut(&mut self, side: Side, projection: &str) -> Result<&mut Generation, Refusal> {
        let kept = self.projections.get_mut(projection).and_then(|kept| kept.side_mut(side).as_mut());
        kept.ok_or_else(|| Refusal { kind: StoreErrorKind::Missing, place: place(side, projection) })
    }

    fn complete_side(&self, side: Side, projection: &str) -> Result<&Generation, Refusal> {
        let generation = self.side(side, projection)?;
        match generation.build.is_complete {
            true => Ok(generation),
            false => Err(unexpected(place(side, projection), "it is not complete")),
        }
    }

    /// The shadow build while it is being loaded.
    fn loading(&mut self, projection: &str) -> Result<&mut Generation, Refusal> {
        let generation = self.side_mut(Side::Shadow, projection)?;
        match generation.build.is_complete {
            false => Ok(generation),
            true => Err(unexpected(place(Side::Shadow, projection), "it is complete already")),
        }
    }

    /// The other projection that a table belongs to.
    fn owner(&self, table: &str, other_than: &str) -> Option<&str> {
        let others = self.projections.iter().filter(|(name, _)| *name != other_than);
        others.into_iter().find(|(_, kept)| kept.has_table(table)).map(|(name, _)| &**name)
    }
}

impl Kept {
    fn side(&self, side: Side) -> &Option<Generation> {
        match side {
            Side::Live => &self.live,
            Side::Shadow => &self.shadow,
            Side::Previous => &self.previous,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut Option<Generation> {
        match side {
            Side::Live => &mut self.live,
            Side::Shadow => &mut self.shadow,
            Side::Previous => &mut self.previous,
        }
    }

    fn builds(&self) -> Builds {
        let build = |generation: &Option<Generation>| generation.as_ref().map(|generation| generation.build.clone());
        Builds { live: build(&self.live), shadow: build(&self.shadow), previous: build(&self.previous) }
    }

    fn has_table(&self, name: &str) -> bool {
        let generations = [&self.live, &self.shadow, &self.previous].into_iter().flatten();
        generations.flat_map(|generation| &generation.build.tables).any(|table| table.name.eq_ignore_ascii_case(name))
    }
}

impl Generation {
    fn table(&self, table: usize) -> Result<(&Table, &BTreeMap<RowKey, Row>), Refusal> {
        let found = self.build.tables.get(table).zip(self.rows.get(table));
        found.ok_or_else(|| unexpected(format!("table {table}"), "the projection has no such table"))
    }

    /// The updates with rows as they are kept, every key and row checked.
    fn checked(&self, updates: &[RowUpdate]) -> Result<Vec<RowUpdate>, Refusal> {
        let mut checked = Vec::with_capacity(updates.len());
        for RowUpdate { table: number, key, row } in updates {
            let (table, _) = self.table(*number)?;
            let row = row.as_ref().map(|row| fitting(table, row)).transpose()?;
            let of_row = row.as_ref().map(|row| row.key(table)).transpose();
            if of_row.map_err(|reason| bad_input(&table.name, reason))?.is_some_and(|of_row| of_row != *key) {
                return Err(bad_input(&table.name, Reason::new("a row has another key than it is put at")));
            }
            checked.push(RowUpdate { table: *number, key: key.clone(), row });
        }
        for (number, table) in self.build.tables.iter().enumerate() {
            if table.indexes.iter().any(|index| index.unique) {
                let mut rows = self.rows[number].clone();
                checked.iter().filter(|update| update.table == number).for_each(|update| update_row(&mut rows, update));
                unique(table, &rows)?;
            }
        }
        Ok(checked)
    }
}

fn update_row(rows: &mut BTreeMap<RowKey, Row>, update: &RowUpdate) {
    match &update.row {
        Some(row) => rows.insert(update.key.clone(), row.clone()),
        None => rows.remove(&update.key),
    };
}

/// The row as it is kept: state that is still a Rust value becomes JSON.
fn fitting(table: &Table, row: &Row) -> Result<Row, Refusal> {
    if let Some(misfit) = table.misfit(row) {
        return Err(bad_input(&table.name, Reason::new(misfit)));
    }
    let kept = |value: &Value| match value {
        Value::Kept(state) => state.json().map(|json| Value::Json(json.into())),
        other => Ok(other.clone()),
    };
    let values: Result<Box<[Value]>, Reason> = row.0.iter().map(kept).collect();
    values.map(Row).map_err(|reason| bad_input(&table.name, reason))
}

/// Fails where two rows have the same values in a unique index.
fn unique(table: &Table, rows: &BTreeMap<RowKey, Row>) -> Result<(), Refusal> {
    for index in table.indexes.iter().filter(|index| index.unique) {
        let mut seen = BTreeSet::new();
        for row in rows.values() {
            let values: Vec<&Value> = index.columns.iter().map(|place| &row.0[*place]).collect();
            if values.iter().any(|value| value.is_null()) {
                continue;
            }
            let compared = |value: &&Value| match value {
                // Equal numbers are the same, however many decimals they are written with.
                Value::Numeric(number) => number.shortest().to_string(),
                value => value.to_string(),
            };
            if !seen.insert(values.iter().map(compared).collect::<Vec<_>>()) {
                return Err(bad_input(&table.name, Reason::new(table.same_values(index, &values))));
            }
        }
    }
    Ok(())
}

#[derive(Debug)]
struct MemoryHold {
    shared: Arc<Shared>,
    projection: String,
}

impl Hold for MemoryHold {}

impl Drop for MemoryHold {
    fn drop(&mut self) {
        self.shared.content().held.remove(&self.projection);
    }
}

#[async_trait]
impl ReadModelStore for MemoryReadModels {
    fn identity(&self) -> &StoreIdentity {
        &self.shared.identity
    }

    async fn hold(&self, projection: &str) -> Result<Box<dyn Hold>, StoreError> {
        self.call("hold", |content| match content.held.insert(projection.to_owned()) {
            true => Ok(()),
            false => Err(Refusal {
                kind: StoreErrorKind::Locked("a holder in this process".to_owned()),
                place: projection.to_owned(),
            }),
        })?;
        Ok(Box::new(MemoryHold { shared: Arc::clone(&self.shared), projection: projection.to_owned() }))
    }

    async fn is_held(&self, projection: &str) -> Result<bool, StoreError> {
        Ok(self.shared.content().held.contains(projection))
    }

    async fn projections(&self) -> Result<Vec<String>, StoreError> {
        let content = self.shared.content();
        let with_builds = content.projections.iter().filter(|(_, kept)| kept.builds() != Builds::default());
        Ok(with_builds.map(|(name, _)| name.clone()).collect())
    }

    async fn builds(&self, projection: &str) -> Result<Builds, StoreError> {
        Ok(self.shared.content().projections.get(projection).map(Kept::builds).unwrap_or_default())
    }

    async fn begin(&self, projection: &str, origin: &Origin, tables: &[Table]) -> Result<Build, StoreError> {
        self.call("begin a build in", |content| {
            if let Some(problem) = Table::problem_of_all(tables) {
                return Err(Refusal { kind: StoreErrorKind::Unsupported(problem), place: projection.to_owned() });
            }
            let owned = tables.iter().find_map(|table| Some((table, content.owner(&table.name, projection)?)));
            if let Some((table, owner)) = owned {
                return Err(unexpected(&table.name, format!("the table belongs to the projection {owner}")));
            }
            let kept = content.projections.entry(projection.to_owned()).or_default();
            kept.last_generation += 1;
            let now = Timestamp::now();
            let build = Build {
                generation: kept.last_generation,
                origin: origin.clone(),
                tables: tables.to_vec(),
                checkpoint: None,
                events: 0,
                is_complete: false,
                begun_at: now,
                updated_at: now,
            };
            let rows = vec![BTreeMap::new(); tables.len()];
            kept.shadow = Some(Generation { build: build.clone(), rows, quarantined: Vec::new() });
            Ok(build)
        })
    }

    async fn load(&self, projection: &str, table: usize, rows: Vec<Row>) -> Result<(), StoreError> {
        self.call("load rows into", |content| {
            let shadow = content.loading(projection)?;
            let (of, there) = shadow.table(table)?;
            let mut fresh = BTreeMap::new();
            for row in &rows {
                let row = fitting(of, row)?;
                let key = row.key(of).map_err(|reason| bad_input(&of.name, reason))?;
                if there.contains_key(&key) || fresh.insert(key, row).is_some() {
                    return Err(bad_input(&of.name, Reason::new("two rows have the same key")));
                }
            }
            shadow.rows[table].append(&mut fresh);
            Ok(())
        })
    }

    async fn complete(
        &self,
        projection: &str,
        checkpoint: Option<Position>,
        events: u64,
        quarantined: &[Quarantined],
    ) -> Result<(), StoreError> {
        self.call("complete a build in", |content| {
            let shadow = content.loading(projection)?;
            shadow.build.tables.iter().zip(&shadow.rows).try_for_each(|(table, rows)| unique(table, rows))?;
            shadow.build =
                Build { checkpoint, events, is_complete: true, updated_at: Timestamp::now(), ..shadow.build.clone() };
            shadow.quarantined = quarantined.to_vec();
            Ok(())
        })
    }

    async fn step(&self, side: Side, projection: &str, step: &Step) -> Result<(), StoreError> {
        self.call("update", |content| {
            let generation = content.complete_side(side, projection)?;
            if generation.build.checkpoint != step.from {
                return Err(unexpected(place(side, projection), "it has another checkpoint than the step begins at"));
            }
            let updates = generation.checked(&step.rows)?;
            let generation = content.side_mut(side, projection)?;
            updates.iter().for_each(|update| update_row(&mut generation.rows[update.table], update));
            generation.build.checkpoint = Some(step.to);
            generation.build.events += step.events;
            generation.build.updated_at = Timestamp::now();
            generation.quarantined.extend_from_slice(&step.quarantined);
            Ok(())
        })
    }

    async fn rows(
        &self,
        side: Side,
        projection: &str,
        table: usize,
        keys: &[RowKey],
    ) -> Result<Vec<Option<Row>>, StoreError> {
        self.call("read", |content| {
            let (_, rows) = content.side(side, projection)?.table(table)?;
            Ok(keys.iter().map(|key| rows.get(key).cloned()).collect())
        })
    }

    async fn scan(
        &self,
        side: Side,
        projection: &str,
        table: usize,
        after: Option<&RowKey>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.call("read", |content| {
            let (_, rows) = content.complete_side(side, projection)?.table(table)?;
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            Ok(rows.range::<RowKey, _>((from, Bound::Unbounded)).take(limit).map(|(_, row)| row.clone()).collect())
        })
    }

    async fn swap(&self, projections: &[&str]) -> Result<(), StoreError> {
        self.call("swap builds in", |content| {
            for (number, projection) in projections.iter().enumerate() {
                content.complete_side(Side::Shadow, projection)?;
                if projections[..number].contains(projection) {
                    return Err(unexpected(*projection, "it is named twice"));
                }
            }
            for projection in projections {
                if let Some(kept) = content.projections.get_mut(*projection) {
                    kept.previous = std::mem::replace(&mut kept.live, kept.shadow.take());
                }
            }
            Ok(())
        })
    }

    async fn undo(&self, projections: &[&str]) -> Result<(), StoreError> {
        self.call("swap back in", |content| {
            for (number, projection) in projections.iter().enumerate() {
                content.side(Side::Previous, projection)?;
                if projections[..number].contains(projection) {
                    return Err(unexpected(*projection, "it is named twice"));
                }
            }
            for projection in projections {
                if let Some(kept) = content.projections.get_mut(*projection) {
                    std::mem::swap(&mut kept.live, &mut kept.previous);
                }
            }
            Ok(())
        })
    }

    async fn drop_previous(&self, projection: &str) -> Result<bool, StoreError> {
        let mut content = self.shared.content();
        Ok(content.projections.get_mut(projection).is_some_and(|kept| kept.previous.take().is_some()))
    }

    async fn discard(&self, projection: &str) -> Result<(), StoreError> {
        if let Some(kept) = self.shared.content().projections.get_mut(projection) {
            kept.shadow = None;
        }
        Ok(())
    }

    async fn quarantined(&self, side: Side, projection: &str) -> Result<Vec<Quarantined>, StoreError> {
        self.call("read", |content| {
            let mut quarantined = content.side(side, projection)?.quarantined.clone();
            quarantined.sort_by_key(|event| event.position);
            Ok(quarantined)
        })
    }

    async fn record_run(&self, run: &RebuildRun) -> Result<u64, StoreError> {
        let mut content = self.shared.content();
        let next = content.runs.last_key_value().map_or(1, |(last, _)| last + 1);
        let number = if run.number == 0 { next } else { run.number };
        content.runs.insert(number, RebuildRun { number, ..run.clone() });
        Ok(number)
    }

    async fn runs(&self) -> Result<Vec<RebuildRun>, StoreError> {
        Ok(self.shared.content().runs.values().cloned().collect())
    }
}

#[async_trait]
impl SnapshotStore for MemoryReadModels {
    async fn snapshot(&self, aggregate: &str, stream: &StreamName) -> Result<Option<Snapshot>, StoreError> {
        self.call("read", |content| {
            let Ok(live) = content.side(Side::Live, aggregate) else { return Ok(None) };
            let Some(table) = snapshots_table(&live.build) else { return Ok(None) };
            let row = live.rows[table].get(&RowKey::text(stream.as_str()));
            let snapshot = row.map(Snapshot::from_row).transpose();
            snapshot.map_err(|reason| bad_input(format!("the snapshot of {stream}"), reason))
        })
    }

    async fn save(&self, aggregate: &str, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.call("save a snapshot in", |content| {
            let live = content.side_mut(Side::Live, aggregate)?;
            let none = || unexpected(place(Side::Live, aggregate), "it has no table of snapshots");
            let table = snapshots_table(&live.build).ok_or_else(none)?;
            if live.build.origin.fingerprint != snapshot.fingerprint {
                return Err(unexpected(place(Side::Live, aggregate), "it was made with another fingerprint"));
            }
            let unreadable = |reason| bad_input(format!("the snapshot of {}", snapshot.stream), reason);
            let key = RowKey::text(snapshot.stream.as_str());
            if let Some(row) = live.rows[table].get(&key) {
                let there = Snapshot::from_row(row).map_err(unreadable)?;
                if there.revision >= snapshot.revision && there.fingerprint == snapshot.fingerprint {
                    return Ok(());
                }
            }
            let row = snapshot.to_row().map_err(unreadable)?;
            live.rows[table].insert(key, row);
            Ok(())
        })
    }
}

fn snapshots_table(build: &Build) -> Option<usize> {
    build.tables.iter().position(|table| table.kind == TableKind::Snapshots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::ReadModelsUnderTest;

    struct Memory(MemoryReadModels);

    #[async_trait]
    impl ReadModelsUnderTest for Memory {
        async fn read_models(&self) -> Result<Box<dyn ReadModelStore>, StoreError> {
            Ok(Box::new(self.0.clone()))
        }

        async fn snapshots(&self) -> Result<Box<dyn SnapshotStore>, StoreError> {
            Ok(Box::new(self.0.clone()))
        }
    }

    fn block_on<F: Future>(future: F) -> F::Output {
        futures_util::FutureExt::now_or_never(future).unwrap()
    }

    crate::read_model_conformance_tests!(store: Memory(MemoryReadModels::new()), block_on: block_on);
}
