//! What a fold comes to.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use eventlift_events::Position;
use eventlift_projections::Quarantined;

use super::batch::{Checkpoint, Record};
use super::folder::{Folder, put_aside};
use super::merge::{Merge, Misplaced, Source, Sources};
use super::tables::Tables;
use super::worker::Part;
use crate::rebuild::{RebuildError, RebuildRefusal};

/// The rows that all the events make, in memory or where they were put aside.
pub struct Folded {
    /// The position of the last source event; none where nothing was pushed.
    pub checkpoint: Option<Position>,
    /// How many events were folded or left out.
    pub events: u64,
    sources: Arc<Sources>,
    /// The number of rows of each slot.
    counts: Vec<u64>,
    /// By projection.
    quarantined: Vec<Vec<Quarantined>>,
    folder: Option<Folder>,
}

impl Folded {
    pub(super) fn new(tables: Arc<Tables>, parts: Vec<Part>, end: Option<Checkpoint>, folder: Option<Folder>) -> Self {
        let mut counts = vec![0; tables.count()];
        let mut records: Vec<Record> = Vec::new();
        let mut workers = Vec::new();
        for part in parts {
            counts.iter_mut().zip(part.counts).for_each(|(sum, rows)| *sum += rows);
            records.extend(part.quarantined);
            workers.push(Source::new(part.rows));
        }
        records.sort_by(|one, other| (one.event, &one.quarantined.held).cmp(&(other.event, &other.quarantined.held)));
        let mut quarantined = vec![Vec::new(); tables.projections.len()];
        for record in records {
            if let Some(records) = quarantined.get_mut(record.projection) {
                records.push(record.quarantined);
            }
        }
        Self {
            checkpoint: end.map(|end| end.position),
            events: end.map_or(0, |end| end.events),
            sources: Arc::new(Sources { tables, workers }),
            counts,
            quarantined,
            folder,
        }
    }

    /// The events that a projection could not take, and those that wait behind them, in the order of the events; of
    /// one event in the order of the rows that are held. `projection` is its place among those the fold began with.
    pub fn quarantined(&self, projection: usize) -> &[Quarantined] {
        self.quarantined.get(projection).map_or(&[], Vec::as_slice)
    }

    /// How many rows the tables of a projection have.
    pub fn row_count(&self, projection: usize) -> u64 {
        self.counts[self.sources.tables.slots_of(projection)].iter().sum()
    }

    /// The rows of a table of a projection, in ascending order of their keys, in chunks of `chunk` rows. They can be
    /// asked for again. None where there is no such table.
    pub fn rows(&self, projection: usize, table: usize, chunk: NonZeroUsize) -> Option<Rows> {
        let slot = self.sources.tables.slot(projection, table)?;
        let folder = self.folder.as_ref().map_or_else(std::env::temp_dir, |folder| folder.path().to_owned());
        let merge = Some(Merge::new(slot, &self.sources));
        Some(Rows { sources: Arc::clone(&self.sources), merge, slot, chunk: chunk.get(), folder })
    }

    /// Removes what was put aside, so that nothing goes on from it. For when the result is safe elsewhere; whoever
    /// still has [`Rows`] must not read on.
    pub fn forget(self) -> Result<(), RebuildError> {
        // Files are closed before they are removed, which not every system does otherwise.
        drop(self.sources);
        let Some(folder) = self.folder else { return Ok(()) };
        folder.clear().map_err(|error| put_aside(folder.path(), error))
    }
}

impl fmt::Debug for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { checkpoint, events, counts, .. } = self;
        let mut shown = f.debug_struct("Folded");
        shown.field("checkpoint", checkpoint).field("events", events).field("rows", counts).finish_non_exhaustive()
    }
}

/// The rows of a table, chunk by chunk. No more than a chunk, and a few hundred rows of each worker's, are read from
/// files at once.
pub struct Rows {
    sources: Arc<Sources>,
    /// None while a chunk is read, and after an error.
    merge: Option<Merge>,
    slot: usize,
    chunk: usize,
    folder: PathBuf,
}

impl Rows {
    /// The next rows, never none of them; `None` after the last. A call that was cancelled, or has failed, ends it: the
    /// next one fails.
    pub async fn next_chunk(&mut self) -> Result<Option<Vec<eventlift_projections::Row>>, RebuildError> {
        let Some(mut merge) = self.merge.take() else { return Err(RebuildRefusal::Ended.into()) };
        let (sources, limit) = (Arc::clone(&self.sources), self.chunk);
        let read = tokio::task::spawn_blocking(move || {
            let rows = merge.next(&sources, limit);
            (merge, rows)
        });
        let (merge, rows) = match read.await {
            Ok(read) => read,
            // A state's own code panicked while it was written: the caller hears of it.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let rows = rows.map_err(|problem| match problem.is::<Misplaced>() {
            true => self.other_key(),
            false => put_aside(&self.folder, problem),
        })?;
        self.merge = Some(merge);
        Ok((!rows.is_empty()).then_some(rows))
    }

    fn other_key(&self) -> RebuildError {
        let tables = &self.sources.tables;
        let (projection, _) = tables.place(self.slot);
        let projection = tables.projections[projection].name().to_owned();
        RebuildRefusal::OtherKey { projection, table: tables.table(self.slot).name.clone() }.into()
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("table", &self.sources.tables.table(self.slot).name).finish_non_exhaustive()
    }
}
