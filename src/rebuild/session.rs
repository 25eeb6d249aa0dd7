//! Building projections beside the live ones: held, recorded in the ledger, loaded, caught up and swapped in.

use std::num::NonZeroUsize;
use std::sync::Arc;

use eventlift_events::{Position, StoreErrorKind, Timestamp};
use eventlift_projections::{
    Hold, Origin, Projection, ReadModelStore, RebuildAction, RebuildOutcome, RebuildRun, Side,
};
use tokio::sync::watch;

use super::coverage::prove_tables;
use super::error::RebuildError;
use super::feed::{Feed, Reading};
use super::fold::{Folded, Rows};
use super::options::{FailurePolicy, FoldOptions};
use super::progress::{Phase, RebuildProgress};
use super::rollup::RollingUp;
use super::stamp::stamp;
use super::update::{Update, Updated};
use crate::pipeline::Stop;

/// Rows that are loaded at a time.
const CHUNK: NonZeroUsize = NonZeroUsize::new(10_000).unwrap(); // not zero, which the compiler checks

/// A projection to build or to bring up to date, and why.
#[derive(Clone)]
pub struct Wanted {
    /// The projection.
    pub projection: Arc<dyn Projection>,
    /// What was typed, or what had changed; kept in the ledger.
    pub reason: String,
}

/// What became of a projection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Built {
    /// Its name.
    pub projection: String,
    /// The number of its live build.
    pub generation: u64,
    /// How many events were read for it.
    pub events: u64,
    /// How many rows its tables have, or, after an update, were changed.
    pub rows: u64,
    /// How many events were quarantined.
    pub quarantined: u64,
    /// The last event that is in it.
    pub checkpoint: Option<Position>,
}

/// In one order everywhere, so that no two sessions wait for each other.
fn in_order(wanted: &[Wanted]) -> Vec<&Wanted> {
    let mut ordered: Vec<&Wanted> = wanted.iter().collect();
    ordered.sort_by(|one, other| one.projection.name().cmp(other.projection.name()));
    ordered
}

/// The holder of some projections, from before the first event is read until the ledger says how it ended.
pub(super) struct Session {
    store: Arc<dyn ReadModelStore>,
    members: Vec<Member>,
    pub(super) progress: watch::Sender<RebuildProgress>,
}

struct Member {
    projection: Arc<dyn Projection>,
    run: RebuildRun,
    /// Held until the end of the session.
    _hold: Box<dyn Hold>,
}

impl Session {
    /// Takes hold of the projections and records a run of each. Fails where another process holds one of them.
    pub(super) async fn open(
        store: Arc<dyn ReadModelStore>,
        wanted: &[Wanted],
        action: RebuildAction,
        progress: watch::Sender<RebuildProgress>,
    ) -> Result<Self, RebuildError> {
        let mut taken = Vec::new();
        for wanted in in_order(wanted) {
            let hold = store.hold(wanted.projection.name()).await.map_err(RebuildError::ReadModels)?;
            taken.push((wanted, hold));
        }
        Self::record(store, taken, action, None, progress).await
    }

    /// The same for a time of a schedule. Leaves out the projections that other processes hold, which it returns the
    /// names of, and those that are done, or have failed, for that time already.
    pub(super) async fn open_scheduled(
        store: Arc<dyn ReadModelStore>,
        wanted: &[Wanted],
        action: RebuildAction,
        due: &(String, Timestamp),
        progress: watch::Sender<RebuildProgress>,
    ) -> Result<(Self, Vec<String>), RebuildError> {
        let (mut taken, mut held) = (Vec::new(), Vec::new());
        for wanted in in_order(wanted) {
            let name = wanted.projection.name();
            match store.hold(name).await {
                Ok(hold) => taken.push((wanted, hold)),
                Err(error) if matches!(error.kind, StoreErrorKind::Locked(_)) => held.push(name.to_owned()),
                Err(error) => return Err(RebuildError::ReadModels(error)),
            }
        }
        // Read once they are held: another process may have answered for them until then.
        let runs = store.runs().await.map_err(RebuildError::ReadModels)?;
        let is_answered = |name: &str| runs.iter().any(|run| run.projection == name && run.answers(due));
        taken.retain(|(wanted, _)| !is_answered(wanted.projection.name()));
        let session = Self::record(store, taken, action, Some(due), progress).await?;
        Ok((session, held))
    }

    /// Records a run of each projection that was taken.
    async fn record(
        store: Arc<dyn ReadModelStore>,
        taken: Vec<(&Wanted, Box<dyn Hold>)>,
        action: RebuildAction,
        schedule: Option<&(String, Timestamp)>,
        progress: watch::Sender<RebuildProgress>,
    ) -> Result<Self, RebuildError> {
        for (Wanted { projection, .. }, _) in &taken {
            prove_tables(&**projection)?;
        }
        let mut session = Self { store, members: Vec::new(), progress };
        for (Wanted { projection, reason }, hold) in taken {
            let now = Timestamp::now();
            let mut run = RebuildRun {
                number: 0,
                projection: projection.name().to_owned(),
                action,
                reason: reason.clone(),
                schedule: schedule.cloned(),
                outcome: RebuildOutcome::Running,
                begun_at: now,
                updated_at: now,
                events: 0,
                rows: 0,
            };
            match session.store.record_run(&run).await {
                Ok(number) => run.number = number,
                Err(error) => {
                    let error = RebuildError::ReadModels(error);
                    session.fail(&error).await;
                    return Err(error);
                }
            }
            session.members.push(Member { projection: Arc::clone(projection), run, _hold: hold });
        }
        Ok(session)
    }

    /// The projections, in the order of their names.
    pub(super) fn projections(&self) -> Vec<Arc<dyn Projection>> {
        self.members.iter().map(|member| Arc::clone(&member.projection)).collect()
    }

    /// The projections whose shadow builds are whole already, made of what would be built now: a session before this
    /// one ended before it could swap them in.
    pub(super) async fn ready(&self, feed: &Feed, on_failure: FailurePolicy) -> Result<Vec<bool>, RebuildError> {
        let mut ready = Vec::new();
        for member in &self.members {
            ready.push(self.is_ready(&*member.projection, feed, on_failure).await?);
        }
        Ok(ready)
    }

    async fn is_ready(
        &self,
        projection: &dyn Projection,
        feed: &Feed,
        on_failure: FailurePolicy,
    ) -> Result<bool, RebuildError> {
        let name = projection.name();
        let Some(shadow) = self.store.builds(name).await.map_err(RebuildError::ReadModels)?.shadow else {
            return Ok(false);
        };
        let is_same = shadow.origin == super::origin(feed, projection) && shadow.tables == projection.tables();
        if !shadow.is_complete || !is_same {
            return Ok(false);
        }
        if on_failure == FailurePolicy::Stop {
            // It may be one that left events out.
            let left_out = self.store.quarantined(Side::Shadow, name).await.map_err(RebuildError::ReadModels)?;
            if !left_out.is_empty() {
                return Ok(false);
            }
        }
        match shadow.checkpoint {
            // Another store in the same place has other events.
            Some(end) => feed.holds(end).await,
            None => Ok(true),
        }
    }

    /// Loads what was folded into shadow builds. `folded` has the projections at the places, in their order.
    pub(super) async fn load(
        &mut self,
        folded: &Folded,
        places: &[usize],
        origins: &[Origin],
        options: &FoldOptions,
    ) -> Result<(), RebuildError> {
        self.enter(Phase::Loading);
        for (index, place) in places.iter().enumerate() {
            let member = &self.members[*place];
            let (name, tables) = (member.projection.name(), member.projection.tables());
            let origin = &origins[*place];
            self.store.begin(name, origin, tables).await.map_err(RebuildError::ReadModels)?;
            let loaded = self.load_tables(&member.projection, folded, index, origin, options).await?;
            self.progress.send_modify(|progress| progress.phase = Phase::Indexing);
            let (checkpoint, events) = (folded.checkpoint, folded.events);
            let completed = self.store.complete(name, checkpoint, events, folded.quarantined(index)).await;
            completed.map_err(RebuildError::ReadModels)?;
            let run = &mut self.members[*place].run;
            (run.events, run.rows) = (events, loaded);
        }
        Ok(())
    }

    /// Loads the tables of a projection, each sorted by its key; those that are summed up behind those they are of.
    async fn load_tables(
        &self,
        projection: &Arc<dyn Projection>,
        folded: &Folded,
        place: usize,
        origin: &Origin,
        options: &FoldOptions,
    ) -> Result<u64, RebuildError> {
        let mut loaded = 0;
        for number in 0..projection.tables().len() {
            if projection.rollups().iter().any(|rollup| rollup.table == number) {
                continue;
            }
            let of_it = projection.rollups().iter().filter(|rollup| rollup.of == number);
            let rolling = of_it.map(|rollup| RollingUp::begin(projection, rollup, options));
            let mut rolling = rolling.collect::<Result<Vec<_>, _>>()?;
            let Some(rows) = folded.rows(place, number, CHUNK) else { continue };
            loaded += self.load_table(&**projection, number, rows, origin, &mut rolling).await?;
            for rolled in rolling {
                let table = rolled.table();
                let summed = rolled.finish().await?;
                let Some(rows) = summed.rows(0, 0, CHUNK) else { continue };
                loaded += self.load_table(&**projection, table, rows, origin, &mut []).await?;
                summed.forget()?;
            }
        }
        Ok(loaded)
    }

    async fn load_table(
        &self,
        projection: &dyn Projection,
        number: usize,
        mut rows: Rows,
        origin: &Origin,
        rolling: &mut [RollingUp],
    ) -> Result<u64, RebuildError> {
        let mut loaded = 0;
        let mut next = rows.next_chunk().await?;
        while let Some(mut chunk) = next {
            chunk.iter_mut().for_each(|row| stamp(&projection.tables()[number], Some(row), &origin.fingerprint));
            for rolled in &mut *rolling {
                rolled.push(&chunk).await?;
            }
            let count = chunk.len() as u64;
            // While these rows are written, the next ones are put into order.
            let (written, following) =
                tokio::join!(self.store.load(projection.name(), number, chunk), rows.next_chunk());
            written.map_err(RebuildError::ReadModels)?;
            next = following?;
            self.progress.send_modify(|progress| progress.rows += count);
            loaded += count;
        }
        Ok(loaded)
    }

    /// Applies what the feed has got since the shadow builds were made.
    pub(super) async fn catch_up(
        &mut self,
        feed: &Feed,
        on_failure: FailurePolicy,
        reading: &Reading,
        stop: &Stop,
    ) -> Result<(), RebuildError> {
        // A source that grows faster than it is read is left behind by a little; the next update brings the rest.
        const MOST_PASSES: usize = 20;
        self.enter(Phase::CatchingUp);
        for member in &mut self.members {
            let name = member.projection.name();
            for _ in 0..MOST_PASSES {
                let builds = self.store.builds(name).await.map_err(RebuildError::ReadModels)?;
                let Some(shadow) = builds.shadow else { break };
                let update = Update {
                    store: &*self.store,
                    side: Side::Shadow,
                    projection: Arc::clone(&member.projection),
                    fingerprint: &shadow.origin.fingerprint,
                    on_failure,
                };
                let updated = update.run(feed, shadow.checkpoint, reading, stop, |_| {}).await?;
                member.run.events += updated.events;
                if updated.events == 0 || stop.is_asked() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Makes the shadow builds the live ones, all at once.
    pub(super) async fn swap(&mut self) -> Result<(), RebuildError> {
        self.enter(Phase::Swapping);
        let names: Vec<&str> = self.members.iter().map(|member| member.projection.name()).collect();
        self.store.swap(&names).await.map_err(RebuildError::ReadModels)
    }

    /// Applies to the live builds what the feed holds behind their checkpoints.
    pub(super) async fn update(
        &mut self,
        feed: &Feed,
        on_failure: FailurePolicy,
        reading: &Reading,
        stop: &Stop,
    ) -> Result<(), RebuildError> {
        self.enter(Phase::Updating);
        for member in &mut self.members {
            let builds = self.store.builds(member.projection.name()).await.map_err(RebuildError::ReadModels)?;
            // Whoever asks for an update has seen that there is one.
            let Some(live) = builds.live else { continue };
            let update = Update {
                store: &*self.store,
                side: Side::Live,
                projection: Arc::clone(&member.projection),
                fingerprint: &live.origin.fingerprint,
                on_failure,
            };
            let before = self.progress.borrow().events;
            let seen = |done: Updated| self.progress.send_modify(|progress| progress.events = before + done.events);
            let updated = update.run(feed, live.checkpoint, reading, stop, seen).await?;
            (member.run.events, member.run.rows) = (updated.events, updated.rows);
        }
        Ok(())
    }

    /// Records how it ended, and says what became of the projections.
    pub(super) async fn end(mut self, outcome: RebuildOutcome) -> Result<Vec<Built>, RebuildError> {
        let mut recorded = Ok(());
        for member in &mut self.members {
            member.run.outcome = outcome.clone();
            member.run.updated_at = Timestamp::now();
            // One that can't be recorded is no reason not to record the others.
            recorded = recorded.and(self.store.record_run(&member.run).await.map(drop));
        }
        recorded.map_err(RebuildError::ReadModels)?;
        let mut built = Vec::new();
        for member in &self.members {
            let name = member.projection.name();
            let builds = self.store.builds(name).await.map_err(RebuildError::ReadModels)?;
            let Some(live) = builds.live else { continue };
            let quarantined = self.store.quarantined(Side::Live, name).await.map_err(RebuildError::ReadModels)?;
            built.push(Built {
                projection: name.to_owned(),
                generation: live.generation,
                events: member.run.events,
                rows: member.run.rows,
                quarantined: quarantined.len() as u64,
                checkpoint: live.checkpoint,
            });
        }
        Ok(built)
    }

    /// Records that it failed and takes away what it had begun beside the live builds. Never fails itself: the error that
    /// brought it here is the one that counts.
    pub(super) async fn fail(mut self, error: &RebuildError) {
        for member in &mut self.members {
            member.run.outcome = RebuildOutcome::Failed(error.to_string());
            member.run.updated_at = Timestamp::now();
            let _ = self.store.record_run(&member.run).await;
            if member.run.action == RebuildAction::Rebuild {
                let _ = self.store.discard(member.projection.name()).await;
            }
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.progress.send_modify(|progress| progress.phase = phase);
    }
}
