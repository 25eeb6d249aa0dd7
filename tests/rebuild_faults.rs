//! Rebuilds into read models that fail on cue, from sources that grow, beside other rebuilds and patient readers: what is
//! live is always one whole generation, and the next run ends right.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventlift::events::faults::{Fault, Script};
use eventlift::events::{Event, EventWriter, MemoryStore};
use eventlift::projections::faults::{FaultyReadModels, ReadModelCall};
use eventlift::projections::{
    Definitions, MemoryReadModels, Projection, Quarantined, ReadModelStore, RebuildOutcome, Row, Side,
};
use eventlift::rebuild::{Feed, FoldOptions, Outcome, Rebuild, RebuildError, Wanted};

use crate::rebuild_kill::{append, define, log_definition, look, order_definition, project};
use crate::rulebook;

pub(crate) fn definitions(texts: &[String]) -> Vec<Arc<dyn Projection>> {
    let files = texts.iter().enumerate().map(|(number, text)| (format!("{number}.toml").into(), text.clone()));
    Definitions::load(files).unwrap_or_else(|error| panic!("{error}")).projections()
}

fn version(version: u64) -> Vec<Arc<dyn Projection>> {
    definitions(&[log_definition(version), order_definition(version)])
}

pub(crate) async fn filled(events: &[Event]) -> MemoryStore {
    let store = MemoryStore::new();
    store.writer().unwrap().append(events, None).await.unwrap();
    store
}

pub(crate) fn rebuild(
    source: &MemoryStore,
    store: Arc<dyn ReadModelStore>,
    projections: &[Arc<dyn Projection>],
    options: FoldOptions,
) -> Rebuild {
    let wanted = projections.iter().map(|p| Wanted { projection: Arc::clone(p), reason: "test".to_owned() }).collect();
    Rebuild::new(Feed::of(Arc::new(source.reader())), store, wanted, options)
}

/// The rows of every table of every projection, and what is quarantined.
pub(crate) type Content = Vec<(Vec<Vec<Row>>, Vec<Quarantined>)>;

pub(crate) async fn content(store: &dyn ReadModelStore, projections: &[Arc<dyn Projection>]) -> Content {
    let mut content = Vec::new();
    for projection in projections {
        let mut tables = Vec::new();
        for number in 0..projection.tables().len() {
            tables.push(store.scan(Side::Live, projection.name(), number, None, usize::MAX).await.unwrap());
        }
        content.push((tables, store.quarantined(Side::Live, projection.name()).await.unwrap()));
    }
    content
}

struct Scene {
    source: MemoryStore,
    old: Content,
    new: Content,
}

impl Scene {
    async fn new() -> Self {
        let source = filled(&rulebook::log(300, 3)).await;
        let (old, new) = (Self::whole(&source, 1).await, Self::whole(&source, 2).await);
        assert!(old != new && !old[0].0[0].is_empty());
        Self { source, old, new }
    }

    async fn whole(source: &MemoryStore, number: u64) -> Content {
        let store = MemoryReadModels::new();
        run(source, Arc::new(store.clone()), number).await.unwrap();
        content(&store, &version(number)).await
    }

    /// Read models in which the old version is live.
    async fn with_old(&self) -> MemoryReadModels {
        let store = MemoryReadModels::new();
        run(&self.source, Arc::new(store.clone()), 1).await.unwrap();
        store
    }

    /// After whatever happened: old or new and whole, free, and the next run ends right.
    async fn check(&self, store: &MemoryReadModels, context: &str) -> bool {
        let found = content(store, &version(1)).await;
        let is_new = found == self.new;
        assert!(is_new || found == self.old, "{context}: neither the old nor the new one is live");
        for projection in ["log", "order"] {
            assert!(!store.is_held(projection).await.unwrap(), "{context}: {projection} is held");
        }
        let again = run(&self.source, Arc::new(store.clone()), 2).await;
        assert!(again.unwrap_or_else(|error| panic!("{context}: {error}")).done, "{context}");
        assert!(content(store, &version(2)).await == self.new, "{context}: the next run does not end right");
        for projection in ["log", "order"] {
            assert!(store.builds(projection).await.unwrap().shadow.is_none(), "{context}: a shadow is left");
        }
        is_new
    }
}

async fn run(source: &MemoryStore, store: Arc<dyn ReadModelStore>, number: u64) -> Result<Outcome, RebuildError> {
    rebuild(source, store, &version(number), FoldOptions::default()).run().await
}

/// How often each call comes in a run that nothing disturbs.
async fn calls(scene: &Scene) -> Vec<(ReadModelCall, usize)> {
    let script = Script::new();
    let faulty = FaultyReadModels::new(scene.with_old().await, script.clone());
    run(&scene.source, Arc::new(faulty), 2).await.unwrap();
    ReadModelCall::ALL.into_iter().map(|call| (call, script.seen(call))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_the_live_tables_are_whole() {
    let scene = Scene::new().await;
    let (mut faults, mut swapped) = (0, 0);
    for (call, times) in calls(&scene).await {
        for (nth, fault) in (1..=times).flat_map(|nth| [(nth, Fault::Reject), (nth, Fault::FailAfterSuccess)]) {
            let context = format!("{fault:?} {call:?} {nth} of {times}");
            let store = scene.with_old().await;
            let runs_before = store.runs().await.unwrap().len();
            let script = Script::new();
            script.on(call, nth, fault);
            let faulty = FaultyReadModels::new(store.clone(), script.clone());
            let failed = run(&scene.source, Arc::new(faulty), 2).await.expect_err(&context).to_string();
            assert_eq!(script.outstanding(), 0, "{context}");
            faults += 1;
            let live_is_new = content(&store, &version(1)).await == scene.new;
            for run in &store.runs().await.unwrap()[runs_before..] {
                match &run.outcome {
                    RebuildOutcome::Failed(reason) => assert_eq!(*reason, failed, "{context}"),
                    RebuildOutcome::Done => assert!(live_is_new, "{context}: {run:?}"),
                    // The record itself was not taken, or was not known to have been.
                    other => assert!(call == ReadModelCall::RecordRun, "{context}: {other:?}"),
                }
            }
            swapped += usize::from(scene.check(&store, &context).await);
        }
    }
    assert!(faults > 30 && swapped > 0 && swapped < faults, "{faults} faults, {swapped} behind the swap");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_that_is_dropped_anywhere_leaves_nothing_held() {
    let scene = Scene::new().await;
    for (call, times) in calls(&scene).await {
        for nth in 1..=times {
            let context = format!("dropped at {call:?} {nth} of {times}");
            let store = scene.with_old().await;
            let script = Script::new();
            script.on(call, nth, Fault::Hold);
            let faulty = FaultyReadModels::new(store.clone(), script.clone());
            let running = rebuild(&scene.source, Arc::new(faulty), &version(2), FoldOptions::default()).run();
            tokio::select! {
                ended = running => panic!("{context}: {ended:?}"),
                () = script.until_held() => {}
            }
            scene.check(&store, &context).await;
        }
    }
}

/// Events that come while rows are loaded, indexed or caught up are in before the swap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_meanwhile_is_caught_up_with() {
    let events = rulebook::log(300, 3);
    let expected = Scene::whole(&filled(&events).await, 2).await;
    for call in [ReadModelCall::Begin, ReadModelCall::Load, ReadModelCall::Complete, ReadModelCall::Step] {
        let source = filled(&events[..200]).await;
        let store = MemoryReadModels::new();
        run(&source, Arc::new(store.clone()), 1).await.unwrap();
        let old = content(&store, &version(1)).await;
        let script = Script::new();
        script.on(call, 1, Fault::Hold);
        if call == ReadModelCall::Step {
            // There is something to catch up with only then.
            script.on(ReadModelCall::Load, 1, Fault::Hold);
        }
        let faulty = FaultyReadModels::new(store.clone(), script.clone());
        let running = tokio::spawn(rebuild(&source, Arc::new(faulty), &version(2), FoldOptions::default()).run());
        let mut writer = source.writer().unwrap();
        if call == ReadModelCall::Step {
            script.until_held().await;
            writer.append(&events[200..250], None).await.unwrap();
            script.release();
            while script.seen(ReadModelCall::Step) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        script.until_held().await;
        assert!(content(&store, &version(1)).await == old, "{call:?}");
        let rest = if call == ReadModelCall::Step { 250 } else { 200 };
        writer.append(&events[rest..], None).await.unwrap();
        script.release();
        assert!(running.await.unwrap().unwrap().done, "{call:?}");
        assert!(content(&store, &version(2)).await == expected, "{call:?}: something is missing");
    }
}

#[test]
fn of_two_processes_one_is_refused() {
    let project = project(&rulebook::log(20_000, 9));
    define(&project, 1);
    project.run("rebuild", ["--all"]).succeeds();
    define(&project, 2);
    let mut first = project.command("rebuild").arg("--all").stdout(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
    let running = || {
        let sql = "SELECT count(*) FROM eventlift_rebuilds WHERE outcome LIKE '%running%'";
        look(&project).query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap()
    };
    let begun = Instant::now();
    while running() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(30) && first.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(1));
    }
    let second = project.run("rebuild", ["--all"]);
    assert!(first.wait().unwrap().success());
    assert_eq!(second.code, Some(5), "{second:?}");
    assert!(second.stderr.contains("projection log") && second.stderr.contains("wait until"), "{}", second.stderr);
    let count = |sql: &str| look(&project).query_row(sql, [], |row| row.get::<_, u64>(0)).unwrap();
    assert_eq!(count("SELECT count(*) FROM seen WHERE generation <> 2"), 0);
    assert!(count("SELECT count(*) FROM seen") > 15_000);
    assert_eq!(count("SELECT count(*) FROM eventlift_rebuilds WHERE outcome NOT LIKE '%done%'"), 0);
}

/// A reader that stays in its transaction sees what it has begun with, and nobody waits for it.
#[test]
fn a_long_read_does_not_hold_up_the_swap() {
    let events = rulebook::log(1_000, 10);
    let project = project(&events[..900]);
    define(&project, 1);
    project.run("rebuild", ["--all"]).succeeds();
    let reader = look(&project);
    let see = || {
        let sql = "SELECT (SELECT sum(generation) FROM seen), (SELECT count(*) FROM seen)";
        reader.query_row(sql, [], |row| Ok((row.get::<_, u64>(0)?, row.get::<_, u64>(1)?))).unwrap()
    };
    reader.execute_batch("BEGIN").unwrap();
    let before = see();
    append(&project.path("events.db"), &events[900..]);
    let begun = Instant::now();
    project.run("rebuild", ["--since"]).succeeds();
    define(&project, 2);
    for _ in 0..3 {
        project.run("rebuild", ["--all"]).succeeds();
        assert_eq!(see(), before);
    }
    project.run("rebuild", ["--drop-old"]).succeeds();
    // A writer that waits for a reader waits for half a minute.
    assert!(begun.elapsed() < Duration::from_secs(25), "it waited for {:?}", begun.elapsed());
    assert_eq!(see(), before);
    reader.execute_batch("COMMIT").unwrap();
    let (sum, rows) = see();
    assert!(rows > before.1 && sum == rows * 2, "{sum} {rows}");
}
