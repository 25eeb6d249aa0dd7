//! The rehearsal: the very migration, onto a target that only remembers.
//!
//! Reading, lifting, merging, numbering and quarantine are those of [`Migration`]. What would be appended is counted and
//! shown to whoever knows what the target can hold; what would be committed beside it is kept in a temporary file, over
//! the target's own ledger. What fails is counted, and the rehearsal goes on behind it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use bytestring::ByteString;
use eventlift_events::{
    Capabilities, Checkpoint, CheckpointStore, Counts, Event, EventOrigin, EventReader, EventType, EventWriter,
    LateEvents, LatePosition, LoadRange, NoteChange, Position, PositionRange, Progress, RunId, RunRecord,
    SchemaVersion, StateKey, StoreError, StoreIdentity,
};
use eventlift_transformers::Registry;

use super::append::refuse_attributes;
use super::error::PipelineError;
use super::limited::Limited;
use super::migration::{Migration, MigrationOptions};
use super::overlay::Overlay;
use super::overlooked::{Failures, Overlooked};
use super::quarantine::Quarantined;
use super::rule_counts;
use super::session::SessionStart;
use super::starting_point::StartingPoint;
use super::stop::Stop;
use super::windows;
use crate::stores::Prospect;

/// No more batches than these bytes are kept events of.
const KEPT_BYTES: usize = 32 << 20;

/// What a migration would do.
#[derive(Debug, Default)]
pub struct Rehearsal {
    /// What the run had done before.
    pub before: Counts,
    /// What it would have done at its end, from its first start. What fails is in none of them.
    pub counts: Counts,
    /// Whether it came to its end: false after a stop, or where something ended it.
    pub complete: bool,
    /// What would be appended now, by type and version.
    pub types: BTreeMap<(EventType, SchemaVersion), u64>,
    /// The payload bytes of that.
    pub written_bytes: u64,
    /// The first events of it, up to the number asked for, and to some 32 MiB.
    pub first: Vec<Event>,
    /// What rules fail on.
    pub failures: Failures,
    /// What the target can't hold.
    pub refused: Option<RefusedEvents>,
    /// How many events each rule took, from the run's first start, by name.
    pub took: BTreeMap<String, u64>,
    /// What would be in quarantine at the end.
    pub quarantined: Quarantined,
    /// What would end the migration wherever it is met, and has ended the rehearsal.
    pub stopped: Option<PipelineError>,
}

/// Events that a target can't hold.
#[derive(Debug)]
pub struct RefusedEvents {
    /// The source position at which the first is met; where windows are closed at the end, that is the last one.
    pub position: Position,
    /// Why it is refused, as an append would say.
    pub error: PipelineError,
    /// How many there are.
    pub events: u64,
}

impl Rehearsal {
    /// What would be done now.
    pub fn now(&self) -> Counts {
        let (before, all) = (self.before, self.counts);
        Counts {
            read: all.read - before.read,
            lifted: all.lifted - before.lifted,
            // Closing a window takes back what was counted for the event that opened it.
            dropped: all.dropped.saturating_sub(before.dropped),
            split: all.split - before.split,
            written: all.written - before.written,
        }
    }
}

/// What to rehearse, and onto what.
pub struct Rehearsing {
    /// Where it reads.
    pub source: Arc<dyn EventReader>,
    /// The target as it is.
    pub target: Prospect,
    /// The rules.
    pub registry: Arc<Registry>,
    /// What the migration is told.
    pub options: MigrationOptions,
    /// Only this many events of the source. Windows of merges are closed where they end.
    pub limit: Option<u64>,
    /// How many of the events that would be appended to keep.
    pub keep: usize,
}

impl Rehearsing {
    /// Where the run would begin or go on. Fails where it would be refused.
    pub async fn starting_point(&self) -> Result<StartingPoint, PipelineError> {
        self.migration(Overlooked::default(), Arc::default())?.starting_point().await
    }

    /// Rehearses all of it. `seen` hears how many events were read now. Fails where a store can't be read.
    pub async fn run(&self, stop: &Stop, mut seen: impl FnMut(u64)) -> Result<Rehearsal, PipelineError> {
        let (overlooked, written) = (Overlooked::default(), Arc::new(Mutex::new(Written::default())));
        let migration = self.migration(overlooked.clone(), Arc::clone(&written))?.stop_on(stop.clone());
        let mut progress = migration.progress();
        let before = match migration.starting_point().await {
            Ok(start) => start.counts(),
            Err(error @ (PipelineError::Source(_) | PipelineError::Target(_))) => return Err(error),
            Err(error) => return Ok(Rehearsal { stopped: Some(error), ..Rehearsal::default() }),
        };
        let mut running = std::pin::pin!(migration.run());
        let ended = loop {
            tokio::select! {
                ended = &mut running => break ended,
                Ok(()) = progress.changed() => {
                    let read = progress.borrow_and_update().counts.read;
                    seen(read.saturating_sub(before.read) + overlooked.events());
                }
            }
        };
        let reached = *progress.borrow();
        let (counts, quarantined, done, stopped) = match ended {
            Ok(outcome) => (outcome.counts, outcome.quarantined, outcome.done, None),
            Err(error @ (PipelineError::Source(_) | PipelineError::Target(_))) => return Err(error),
            Err(error) => (reached.counts, reached.quarantined, false, Some(error)),
        };
        let Written { types, bytes, first, refused, took, run, .. } = std::mem::take(&mut *lock(&written));
        let took = rule_counts::rules_took_with(self.target.ledger.as_deref(), run, took).await;
        Ok(Rehearsal {
            before,
            counts,
            complete: done,
            types,
            written_bytes: bytes,
            first,
            failures: overlooked.failures(),
            refused,
            took: took.map_err(PipelineError::Target)?,
            quarantined,
            stopped,
        })
    }

    fn migration(&self, overlooked: Overlooked, written: Arc<Mutex<Written>>) -> Result<Migration, PipelineError> {
        let source = match self.limit {
            Some(limit) => Arc::new(Limited::new(Arc::clone(&self.source), limit)),
            None => Arc::clone(&self.source),
        };
        let ledger = Overlay::over(self.target.ledger.clone()).map_err(PipelineError::Target)?;
        let last = self.target.last_position;
        let stage = Stage { target: self.target.clone(), ledger, last, written, keep: self.keep };
        let migration = Migration::new(source, Box::new(stage), Arc::clone(&self.registry), self.options.clone());
        Ok(migration.overlooking(overlooked).started(SessionStart::now("plan")))
    }
}

/// What was appended to a stage.
#[derive(Debug, Default)]
struct Written {
    types: BTreeMap<(EventType, SchemaVersion), u64>,
    bytes: u64,
    first: Vec<Event>,
    /// The bytes of those.
    kept_bytes: usize,
    refused: Option<RefusedEvents>,
    /// How many events rules took in order.
    took: Option<BTreeMap<String, u64>>,
    run: Option<RunId>,
}

fn lock(written: &Mutex<Written>) -> MutexGuard<'_, Written> {
    // A panic elsewhere leaves whole counts.
    written.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A target that only remembers.
struct Stage {
    target: Prospect,
    ledger: Overlay,
    last: Option<Position>,
    written: Arc<Mutex<Written>>,
    keep: usize,
}

impl Stage {
    /// Whether the target can hold the event, as its writer and the pipeline would say.
    fn check(&self, event: &Event, origin: Option<&EventOrigin>) -> Result<(), PipelineError> {
        refuse_attributes(self.target.capabilities.attributes, std::slice::from_ref(event))?;
        let Some(fitness) = &self.target.fitness else { return Ok(()) };
        let mut fitness = fitness.lock().unwrap_or_else(PoisonError::into_inner);
        fitness.check(event, origin).map_err(PipelineError::Target)
    }
}

impl Written {
    fn add(&mut self, event: &Event, keep: usize) {
        let schema = (event.event_type.clone(), event.version);
        match self.types.get_mut(&schema) {
            Some(events) => *events += 1,
            None => {
                // The type outlives the batch, so it must not share the batch's buffer.
                let (event_type, version) = (event.detached().event_type, event.version);
                self.types.insert((event_type, version), 1);
            }
        }
        self.bytes += (event.data.len() + event.metadata.len()) as u64;
        if self.first.len() < keep && self.kept_bytes < KEPT_BYTES {
            self.kept_bytes += event.size();
            // Alone: an event of a batch holds all of the batch's memory.
            self.first.push(event.detached());
        }
    }

    fn refuse(&mut self, position: Position, error: PipelineError) {
        match &mut self.refused {
            Some(refused) => refused.events += 1,
            None => self.refused = Some(RefusedEvents { position, error, events: 1 }),
        }
    }
}

#[async_trait]
impl EventWriter for Stage {
    fn identity(&self) -> &StoreIdentity {
        &self.target.identity
    }

    fn capabilities(&self) -> Capabilities {
        // What becomes of attributes is asked for event by event, so that all of it is counted.
        Capabilities { attributes: true, ..self.target.capabilities }
    }

    fn writing(&self) -> String {
        self.target.writing.clone()
    }

    fn keeps_origins(&self) -> bool {
        true
    }

    async fn append(&mut self, events: &[Event], progress: Option<&Progress>) -> Result<(), StoreError> {
        let origins = progress.map(|progress| progress.origins.as_slice()).unwrap_or_default();
        let closes_windows = |progress: &&Progress| progress.notes.iter().any(|note| note.book == windows::CLOSED);
        let end = progress.filter(closes_windows).map(|progress| progress.checkpoint.source);
        for (index, event) in events.iter().enumerate() {
            let origin = origins.get(index);
            let checked = self.check(event, origin);
            let mut written = lock(&self.written);
            written.add(event, self.keep);
            if let Err(error) = checked {
                let met = end.or(origin.map(|origin| origin.position));
                written.refuse(met.unwrap_or(event.position), error);
            }
        }
        if let Some(progress) = progress {
            let mut written = lock(&self.written);
            for note in progress.notes.iter().filter(|note| note.book == rule_counts::BOOK) {
                written.took = note.value.as_deref().map(rule_counts::read).transpose()?;
            }
        }
        self.last = events.last().map(|event| event.position).or(self.last);
        progress.map_or(Ok(()), |progress| self.ledger.commit(progress))
    }

    async fn seal(&mut self, _dense: bool) -> Result<(), StoreError> {
        Ok(())
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.target.is_empty)
    }

    async fn last_position(&self) -> Result<Option<Position>, StoreError> {
        Ok(self.last)
    }
}

#[async_trait]
impl CheckpointStore for Stage {
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.ledger.runs().await
    }

    async fn record_run(&mut self, run: &RunRecord) -> Result<(), StoreError> {
        lock(&self.written).run = Some(run.id);
        self.ledger.record_run(run).await
    }

    async fn checkpoint(&self, run: RunId) -> Result<Option<Checkpoint>, StoreError> {
        self.ledger.checkpoint(run).await
    }

    async fn state(&self, run: RunId, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.ledger.state(run, keys).await
    }

    async fn positions(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<PositionRange>, StoreError> {
        self.ledger.positions(run, after, limit).await
    }

    async fn position_at(&self, run: RunId, source: Position) -> Result<Option<PositionRange>, StoreError> {
        self.ledger.position_at(run, source).await
    }

    async fn late_of(&self, run: RunId, source: Position) -> Result<Vec<LatePosition>, StoreError> {
        self.ledger.late_of(run, source).await
    }

    async fn late_at(&self, run: RunId, target: Position) -> Result<Option<LateEvents>, StoreError> {
        self.ledger.late_at(run, target).await
    }

    async fn notes(
        &self,
        run: RunId,
        book: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>, StoreError> {
        self.ledger.notes(run, book, after, limit).await
    }

    async fn write_notes(&mut self, run: RunId, changes: &[NoteChange]) -> Result<(), StoreError> {
        self.ledger.write_notes(run, changes).await
    }

    async fn load_ranges(&self, run: RunId) -> Result<Vec<LoadRange>, StoreError> {
        self.ledger.load_ranges(run).await
    }

    async fn plan_ranges(&mut self, run: RunId, ranges: &[LoadRange]) -> Result<(), StoreError> {
        self.ledger.plan_ranges(run, ranges).await
    }
}
