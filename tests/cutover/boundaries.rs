//! A crash at every boundary between two steps, and a second try: the same end. Services write all the while.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use eventlift::Project;
use eventlift::cutover::{
    Attendant, BackOutcome, BackParts, Boundary, CutOver, CutOverError, CutOverOptions, CutOverOutcome, CutOverParts,
    CutOverStep, Failure, FenceBy, Moment, cut_over, finish_switch, go_back,
};
use eventlift::events::{CheckpointStore, RunState};
use eventlift::pipeline::{GrowingVerification, Migration, MigrationOptions, Onto, Stop, is_reverse};
use eventlift::transformers::{Definitions, Keys, Registry};

use super::story;
use super::world::{Service, Side, Sqlite, World, active};

/// Stands by, and ends it at one of the boundaries.
pub(crate) struct Stand {
    active: PathBuf,
    /// Which boundary, counted from 0.
    ends_at: Option<usize>,
    pub(crate) seen: Vec<Boundary>,
    switch: Result<(), Failure>,
    checks: Checks,
}

/// What the checks do.
#[derive(Clone)]
enum Checks {
    Pass,
    Fail,
    Hang,
}

impl Stand {
    pub(crate) fn new(active: PathBuf, ends_at: Option<usize>) -> Self {
        Self { active, ends_at, seen: Vec::new(), switch: Ok(()), checks: Checks::Pass }
    }

    fn write(&self, side: &str) {
        let new = self.active.with_extension("new");
        std::fs::write(&new, side).unwrap();
        std::fs::rename(new, &self.active).unwrap();
    }
}

#[async_trait]
impl Attendant for Stand {
    async fn hooks(&mut self, moment: Moment) -> Result<(), Failure> {
        match moment {
            Moment::Switch => {
                self.switch.clone()?;
                self.write("target");
            }
            Moment::SwitchBack => self.write("source"),
            Moment::Fence | Moment::Lift => {}
        }
        Ok(())
    }

    fn has_hooks(&self, moment: Moment) -> bool {
        matches!(moment, Moment::Switch | Moment::SwitchBack)
    }

    async fn checks(&mut self) -> Result<(), Failure> {
        match self.checks {
            Checks::Pass => Ok(()),
            Checks::Fail => Err(Failure("the number of users differs".to_owned())),
            Checks::Hang => std::future::pending().await,
        }
    }

    fn reached(&mut self, boundary: Boundary) -> ControlFlow<()> {
        self.seen.push(boundary);
        match self.ends_at == Some(self.seen.len() - 1) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

/// A project whose rules are one rename, and what is done with it.
pub(crate) struct Scene<W> {
    pub(crate) world: W,
    pub(crate) project: crate::project::Project,
    pub(crate) budget: Duration,
    pub(crate) settled: Option<Duration>,
}

impl<W: World> Scene<W> {
    pub(crate) fn new(world: W) -> Self {
        let project = story::project(&world);
        Self { world, project, budget: Duration::from_secs(30), settled: None }
    }

    fn loaded(&self) -> Project {
        Project::load(self.project.folder()).unwrap()
    }

    fn registry(&self) -> Arc<Registry> {
        let definitions = Definitions::load(self.loaded().definitions().unwrap(), &Keys::new()).unwrap();
        Arc::new(definitions.register(Registry::builder()).build().unwrap())
    }

    pub(crate) fn active(&self) -> PathBuf {
        self.project.path("active")
    }

    fn migration_options(&self) -> MigrationOptions {
        MigrationOptions { policies: self.loaded().policies, ..MigrationOptions::default() }
    }

    pub(crate) async fn cut_over(&self, stand: &mut Stand) -> Result<CutOverOutcome, CutOverError> {
        let project = self.loaded();
        let target = project.target.as_ref().unwrap();
        let (source, mut writer) = (project.source.reader().await.unwrap(), target.writer().await.unwrap());
        if let Some(run) = writer.runs().await.unwrap().into_iter().rfind(|run| !is_reverse(run))
            && let Some(outcome) = finish_switch(&mut *writer, run.id, stand).await?
        {
            return Ok(outcome);
        }
        let options = self.migration_options();
        let migration = Migration::new(Arc::clone(&source), writer, self.registry(), options.clone());
        let tail = migration.into_tail().await.unwrap();
        let readers = (source, target.reader().await.unwrap());
        let verification =
            GrowingVerification::new(readers.0, readers.1, self.registry(), options, Arc::default(), Stop::never())
                .await
                .unwrap();
        let fence = FenceBy::Store(project.source.fence().await.unwrap().unwrap());
        let target_fence = target.fence().await.unwrap().map(FenceBy::Store);
        let options = CutOverOptions {
            budget: self.budget,
            patience: Duration::from_secs(30).min(self.budget),
            by: "a test".to_owned(),
            message: "the events were moved".to_owned(),
            settled: self.settled.unwrap_or(CutOverOptions::default().settled),
            ..CutOverOptions::default()
        };
        cut_over(CutOverParts { tail, verification, fence, target_fence, attendant: stand, options }).await
    }

    pub(crate) async fn go_back(&self, stand: &mut Stand) -> Result<BackOutcome, CutOverError> {
        let project = self.loaded();
        let target = project.target.as_ref().unwrap();
        let writer = target.writer().await.unwrap();
        let run = writer.runs().await.unwrap().into_iter().rfind(|run| !is_reverse(run)).unwrap();
        let record = CutOver::of(&*writer, run.id).await.unwrap().unwrap();
        let onto = Some(Onto { after: record.target_end, of: run.id });
        let options = MigrationOptions { onto, ..self.migration_options() };
        let back = Arc::new(self.registry().inverse().unwrap());
        let (from, to) = (target.reader().await.unwrap(), project.source.writer().await.unwrap());
        let reverse = match record.step < CutOverStep::BackDrained {
            true => Ok(Migration::new(Arc::clone(&from), to, back, options).into_tail().await.unwrap()),
            false => Err("it is drained".to_owned()),
        };
        let parts = BackParts {
            target: writer,
            target_events: from,
            run,
            reverse,
            source_fence: FenceBy::Store(project.source.fence().await.unwrap().unwrap()),
            target_fence: FenceBy::Store(target.fence().await.unwrap().unwrap()),
            attendant: stand,
            patience: Duration::from_secs(30),
        };
        go_back(parts).await
    }

    pub(crate) async fn record(&self) -> (CutOver, RunState) {
        let project = self.loaded();
        let ledger = project.target.unwrap().ledger().await.unwrap().unwrap();
        let run = ledger.runs().await.unwrap().pop().unwrap();
        (CutOver::of(&*ledger, run.id).await.unwrap().unwrap(), run.state)
    }
}

/// Every accepted event is in a store once, and nothing else.
fn assert_holds<W: World>(world: &W, side: Side, accepted: &BTreeSet<String>, context: &str) {
    let rows = world.open(side).rows();
    let found: BTreeSet<String> = rows.iter().map(|row| row.id.clone()).collect();
    assert_eq!(found.len(), rows.len(), "{context}: an id is there twice");
    let (lost, more) = (accepted.difference(&found).count(), found.difference(accepted).count());
    assert_eq!((lost, more), (0, 0), "{context}: lost and too many in the {side:?}");
}

const REST: Duration = Duration::from_millis(3);
/// Long enough for some writes.
const A_WHILE: Duration = Duration::from_millis(60);

/// Waits until services have written to a store, after this was called.
async fn until_written<W: World>(world: &W, side: Side) {
    let mut store = world.open(side);
    let before = store.rows().len();
    let written = async {
        while store.rows().len() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // Long enough for any machine.
    tokio::time::timeout(Duration::from_secs(120), written)
        .await
        .unwrap_or_else(|_| panic!("no writes to the {side:?}"));
}

fn steps(seen: &[Boundary]) -> Vec<CutOverStep> {
    seen.iter().filter(|boundary| boundary.recorded).map(|boundary| boundary.step).collect()
}

/// Crashes at each boundary of a cut-over, and tries again.
pub(crate) async fn cut_over_at_every_boundary<W: World>(make: impl AsyncFn() -> W) {
    use CutOverStep::*;
    let expected = [Begun, Fenced, Drained, Verified, Checked, Confirmed, Switched, Done];
    for boundary in 0..2 * expected.len() {
        let scene = Scene::new(make().await);
        let service = Service::start(&scene.world, &scene.active(), 2, REST);
        tokio::time::sleep(A_WHILE).await;
        let mut stand = Stand::new(scene.active(), Some(boundary));
        let ended = scene.cut_over(&mut stand).await;
        assert!(matches!(ended, Err(CutOverError::Ended { .. })), "{boundary}: {ended:?}");
        let reached = stand.seen.last().unwrap();
        assert_eq!((reached.step, reached.recorded), (expected[boundary / 2], boundary % 2 == 1));
        tokio::time::sleep(A_WHILE).await;

        let mut stand = Stand::new(scene.active(), None);
        let outcome = scene.cut_over(&mut stand).await.unwrap_or_else(|error| panic!("{boundary}: {error}"));
        assert_eq!(outcome.record.step, Done, "{boundary}");
        until_written(&scene.world, Side::Target).await;
        let wrote = service.end();
        let context = format!("a crash at boundary {boundary}");
        assert_eq!(active(&scene.active()), Side::Target, "{context}");
        let events = || wrote.streams.values().flatten();
        let ids = |of: Option<Side>| -> BTreeSet<String> {
            events().filter(|(side, _)| of.is_none_or(|of| of == *side)).map(|(_, event)| event.id.clone()).collect()
        };
        assert!(!ids(Some(Side::Target)).is_empty(), "{context}: nothing was written to the target");
        assert_holds(&scene.world, Side::Source, &ids(Some(Side::Source)), &context);
        assert_holds(&scene.world, Side::Target, &ids(None), &context);
        let refused = scene.world.open(Side::Source).write(&super::world::renamed(Side::Source, "user-x", "x"));
        assert!(refused.unwrap_err().contains("moved"), "{context}");
    }
}

/// Crashes at each boundary of the way back, and tries again.
pub(crate) async fn go_back_at_every_boundary<W: World>(make: impl AsyncFn() -> W) {
    use CutOverStep::*;
    let expected = [BackFenced, BackDrained, BackSwitched, RolledBack];
    for boundary in 0..2 * expected.len() {
        let scene = Scene::new(make().await);
        let service = Service::start(&scene.world, &scene.active(), 2, REST);
        tokio::time::sleep(A_WHILE).await;
        scene.cut_over(&mut Stand::new(scene.active(), None)).await.unwrap();
        tokio::time::sleep(A_WHILE).await;
        let mut stand = Stand::new(scene.active(), Some(boundary));
        let ended = scene.go_back(&mut stand).await;
        assert!(matches!(ended, Err(CutOverError::Ended { .. })), "{boundary}: {ended:?}");
        tokio::time::sleep(A_WHILE).await;
        let mut stand = Stand::new(scene.active(), None);
        let outcome = scene.go_back(&mut stand).await.unwrap_or_else(|error| panic!("{boundary}: {error}"));
        assert_eq!(outcome.record.step, RolledBack, "{boundary}");
        assert_eq!(steps(&stand.seen).last(), expected.get(3).filter(|_| boundary < 7), "{boundary}");
        tokio::time::sleep(A_WHILE).await;
        let wrote = service.end();
        let context = format!("a crash at boundary {boundary} of the way back");
        assert_eq!(active(&scene.active()), Side::Source, "{context}");
        let events = || wrote.streams.values().flatten();
        assert_holds(&scene.world, Side::Source, &events().map(|(_, event)| event.id.clone()).collect(), &context);
        let (record, state) = scene.record().await;
        assert_eq!((record.step, state), (RolledBack, RunState::RolledBack), "{context}");
        let refused = scene.world.open(Side::Target).write(&super::world::renamed(Side::Target, "user-x", "x"));
        assert!(refused.unwrap_err().contains("moved back"), "{context}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_every_boundary_of_a_cut_over() {
    cut_over_at_every_boundary(async || tokio::task::spawn_blocking(Sqlite::new).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_every_boundary_of_the_way_back() {
    go_back_at_every_boundary(async || tokio::task::spawn_blocking(Sqlite::new).await.unwrap()).await;
}

async fn sqlite_scene() -> Scene<Sqlite> {
    Scene::new(tokio::task::spawn_blocking(Sqlite::new).await.unwrap())
}

/// Fails, and writers go on with the source; then it succeeds.
async fn fails_and_lifts(scene: Scene<Sqlite>, mut stand: Stand, said: &str) {
    let service = Service::start(&scene.world, &scene.active(), 2, REST);
    tokio::time::sleep(A_WHILE).await;
    let error = scene.cut_over(&mut stand).await.unwrap_err();
    assert!(error.to_string().contains(said), "{error}");
    assert_eq!(steps(&stand.seen).last(), Some(&CutOverStep::Lifted));
    let (record, _) = scene.record().await;
    assert_eq!(record.problem, Some(error.to_string()));
    until_written(&scene.world, Side::Source).await;
    let scene = Scene { budget: Duration::from_secs(30), ..scene };
    scene.cut_over(&mut Stand::new(scene.active(), None)).await.unwrap();
    tokio::time::sleep(A_WHILE).await;
    let wrote = service.end();
    let all: BTreeSet<String> = wrote.streams.values().flatten().map(|(_, event)| event.id.clone()).collect();
    assert_holds(&scene.world, Side::Target, &all, said);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_takes_longer_than_the_budget_lifts_the_fence() {
    // Enough for everything before the checks on any machine.
    let scene = Scene { budget: Duration::from_secs(4), ..sqlite_scene().await };
    let stand = Stand { checks: Checks::Hang, ..Stand::new(scene.active(), None) };
    fails_and_lifts(scene, stand, "failed to cut over within 4s: it was verified when the time was over").await;
}

/// However slow the machine is, a round that gets no shorter, and fits into the budget, is short enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rounds_that_get_no_shorter_are_short_enough() {
    let scene = Scene { settled: Some(Duration::ZERO), ..sqlite_scene().await };
    let service = Service::start(&scene.world, &scene.active(), 2, REST);
    until_written(&scene.world, Side::Source).await;
    let outcome = scene.cut_over(&mut Stand::new(scene.active(), None)).await.unwrap();
    assert_eq!(outcome.record.step, CutOverStep::Done);
    until_written(&scene.world, Side::Target).await;
    service.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_that_fails_lifts_the_fence() {
    let scene = sqlite_scene().await;
    let stand = Stand { checks: Checks::Fail, ..Stand::new(scene.active(), None) };
    fails_and_lifts(scene, stand, "failed to pass the checks before the switch: the number of users differs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_that_fails_is_taken_back() {
    let scene = sqlite_scene().await;
    let switch = Err(Failure("no route to the load balancer".to_owned()));
    let stand = Stand { switch, ..Stand::new(scene.active(), None) };
    fails_and_lifts(scene, stand, "failed to run the hook of `switch`: no route to the load balancer").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_fence_of_a_killed_cut_over_falls_by_itself() {
    let scene = Scene { budget: Duration::from_millis(500), ..sqlite_scene().await };
    let service = Service::start(&scene.world, &scene.active(), 2, REST);
    tokio::time::sleep(A_WHILE).await;
    // Ended behind the fence, as if killed: nobody lifts it.
    let ended = scene.cut_over(&mut Stand::new(scene.active(), Some(3))).await;
    assert!(matches!(ended, Err(CutOverError::Ended { step: CutOverStep::Fenced, .. })), "{ended:?}");
    let before = scene.world.open(Side::Source).rows().len();
    tokio::time::timeout(Duration::from_secs(30), async {
        while scene.world.open(Side::Source).rows().len() < before + 10 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the fence has not fallen");
    assert!(service.refused() > 0);
    service.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_others_in_the_target_hold_the_switch() {
    let scene = sqlite_scene().await;
    let mut source = scene.world.open(Side::Source);
    source.write(&super::world::renamed(Side::Source, "user-1", "one")).unwrap();
    scene.cut_over(&mut Stand::new(scene.active(), Some(0))).await.unwrap_err();
    scene.world.open(Side::Target).write(&super::world::renamed(Side::Target, "user-2", "two")).unwrap();
    let project = scene.loaded();
    let target = project.target.as_ref().unwrap();
    let source = project.source.reader().await.unwrap();
    let migration = Migration::new(source, target.writer().await.unwrap(), scene.registry(), scene.migration_options());
    let refused = migration.into_tail().await.map(|tail| tail.outcome()).unwrap_err().to_string();
    assert!(refused.contains("holds events that run"), "{refused}");
}
