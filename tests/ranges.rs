//! Ranges loaded at the same time: whatever happens, in whatever order, the target is that of a sequential run.

use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use eventlift::events::faults::{Call, Fault, Faulty, Script};
use eventlift::events::{CheckpointStore, Event, EventWriter, MemoryLimits, MemoryStore, Payload, Position, RunState};
use eventlift::pipeline::{
    Appended, Migration, MigrationOptions, Outcome, PipelineError, Refusal, StartingPoint, StopHandle,
};
use eventlift::transformers::{Reason, Registry, Rule};
use proptest::prelude::*;

use crate::content::{self, assert_same};
use crate::rulebook;

const EVENTS: u64 = 600;
const IN_RANGES: MemoryLimits = MemoryLimits {
    assigns_positions: false,
    assigns_time: false,
    drops_attributes: false,
    max_append_bytes: None,
    values_only: false,
    in_ranges: true,
};

fn options(workers: usize) -> MigrationOptions {
    MigrationOptions {
        workers: NonZeroUsize::new(workers).unwrap(),
        batch_events: NonZeroUsize::new(10).unwrap(),
        transaction_events: NonZeroUsize::new(30).unwrap(),
        ..MigrationOptions::default()
    }
}

/// A rule that changes some events, and fails on those of these positions.
fn rules(failing: &'static [u64]) -> Arc<Registry> {
    let changes = Rule::new("changes", "1", move |mut event: Event| {
        if failing.contains(&event.position.major()) {
            return Err(Reason::new("it can't"));
        }
        event.data = Payload::json([b"[", event.data.bytes().as_ref(), b"]"].concat());
        Ok(event)
    });
    Arc::new(Registry::builder().rule(changes.types(["AmountPaid", "NoteAdded"])).build().unwrap())
}

/// A log with gaps in its positions.
fn log() -> Vec<Event> {
    let spread = |event: Event| Event { position: Position::new(event.position.major() * 3), ..event };
    rulebook::log(EVENTS, 3).into_iter().map(spread).collect()
}

async fn store(limits: MemoryLimits, events: &[Event]) -> MemoryStore {
    let store = MemoryStore::with_limits(limits);
    store.writer().unwrap().append(events, None).await.unwrap();
    store
}

/// A source and a target that are made for ranges, the scripts they follow, and how the target should end.
struct Scene {
    events: Vec<Event>,
    source: MemoryStore,
    target: MemoryStore,
    reading: Script,
    writing: Script,
    sequential: Vec<String>,
}

impl Scene {
    async fn new() -> Self {
        let events = log();
        let (source, target) = (store(IN_RANGES, &events).await, MemoryStore::with_limits(IN_RANGES));
        let sequential = sequential(&events, &source).await;
        Self { events, source, target, reading: Script::new(), writing: Script::new(), sequential }
    }

    fn migration(&self, workers: usize, registry: Arc<Registry>) -> Migration {
        let source = Arc::new(Faulty::new(self.source.reader(), self.reading.clone()));
        let target = Box::new(Faulty::new(self.target.writer().unwrap(), self.writing.clone()));
        Migration::new(source, target, registry, options(workers))
    }

    async fn run(&self, workers: usize) -> Result<Outcome, PipelineError> {
        self.migration(workers, rules(&[])).run().await
    }

    async fn starting_point(&self) -> StartingPoint {
        self.migration(2, rules(&[])).starting_point().await.unwrap()
    }

    async fn finish(&self, workers: usize, context: &str) {
        let outcome = self.run(workers).await.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(outcome.done, "{context}");
        self.compare(context).await;
    }

    async fn compare(&self, context: &str) {
        assert_same(&self.sequential, &content::of_memory(&self.target, &self.events, &[]).await, context);
        let ledger = self.target.writer().unwrap();
        let run = ledger.runs().await.unwrap().remove(0).id;
        assert_eq!(ledger.load_ranges(run).await.unwrap(), [], "{context}: ranges that are in are forgotten");
    }
}

/// What a target that takes no ranges ends as.
async fn sequential(events: &[Event], source: &MemoryStore) -> Vec<String> {
    let target = MemoryStore::new();
    let writer = Box::new(target.writer().unwrap());
    let outcome = Migration::new(Arc::new(source.reader()), writer, rules(&[]), options(2)).run().await.unwrap();
    assert_eq!((outcome.done, outcome.counts.read), (true, events.len() as u64));
    content::of_memory(&target, events, &[]).await
}

#[tokio::test]
async fn ranges_end_as_a_sequential_run_does() {
    for workers in [1, 2, 3, 7] {
        let scene = Scene::new().await;
        let migration = scene.migration(workers, rules(&[]));
        let progress = migration.progress();
        let outcome = migration.run().await.unwrap();
        assert_eq!((outcome.done, outcome.resumed), (true, false));
        assert_eq!(progress.borrow().state, RunState::Done);
        assert_eq!(progress.borrow().counts, outcome.counts);
        scene.compare(&format!("{workers} workers")).await;
        assert!(scene.writing.seen(Call::AppendRange) >= 2 * workers, "it was loaded in ranges");
        assert_eq!(scene.writing.seen(Call::Append), 1, "and its checkpoint was committed once");
        // Nothing is left to do.
        assert_eq!(scene.run(2).await.unwrap().counts, outcome.counts);
    }
}

#[tokio::test]
async fn where_one_side_is_not_made_for_ranges_there_are_none() {
    let scene = Scene::new().await;
    for limits in [MemoryLimits::default(), MemoryLimits { assigns_positions: true, ..IN_RANGES }] {
        let target = MemoryStore::with_limits(limits);
        let writing = Script::new();
        let writer = Box::new(Faulty::new(target.writer().unwrap(), writing.clone()));
        let source = Arc::new(scene.source.reader());
        assert!(Migration::new(source, writer, rules(&[]), options(2)).run().await.unwrap().done);
        assert_eq!(writing.seen(Call::AppendRange), 0);
    }
    let splits = Rule::new("splits", "1", |event: Event| Ok(vec![event; 2])).types(["Ping"]);
    let registry = Arc::new(Registry::builder().rule(splits).build().unwrap());
    assert!(scene.migration(2, registry).run().await.unwrap().done);
    assert_eq!(scene.writing.seen(Call::AppendRange), 0);
}

#[tokio::test]
async fn nothing_in_an_empty_source_is_no_range() {
    let (source, target) = (MemoryStore::with_limits(IN_RANGES), MemoryStore::with_limits(IN_RANGES));
    let writer = Box::new(target.writer().unwrap());
    let outcome = Migration::new(Arc::new(source.reader()), writer, rules(&[]), options(2)).run().await.unwrap();
    assert_eq!((outcome.done, outcome.source), (true, None));
}

/// Every call that plans, loads and forgets ranges fails once, before and after it is done.
#[tokio::test]
async fn every_step_may_fail() {
    let calls = [(Call::PlanRanges, 2), (Call::AppendRange, 24), (Call::Append, 1), (Call::Seal, 1), (Call::Batch, 60)];
    for (call, times) in calls {
        for nth in 1..=times {
            for fault in [Fault::Lose, Fault::LoseAfterSuccess] {
                let scene = Scene::new().await;
                let context = format!("{call:?} {nth} {fault:?}");
                let script = if call == Call::Batch { &scene.reading } else { &scene.writing };
                script.on(call, nth, fault);
                match scene.run(3).await {
                    Ok(_) => assert!(fault == Fault::LoseAfterSuccess, "{context} was told to fail the run"),
                    Err(error) => assert!(error.to_string().contains("was told to"), "{context}: {error}"),
                }
                assert_eq!(script.outstanding(), 0, "{context} never came");
                scene.finish(2, &context).await;
            }
        }
    }
    for fault in [Fault::Lose, Fault::LoseAfterSuccess] {
        let scene = Scene::new().await;
        scene.reading.on(Call::Cuts, 1, fault);
        scene.run(2).await.unwrap_err();
        scene.writing.on(Call::LoadRanges, 1, fault);
        scene.run(2).await.unwrap_err();
        scene.finish(2, "cuts").await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_to_a_range_is_tried_again_and_never_doubled() {
    let scene = Scene::new().await;
    scene.writing.on(Call::AppendRange, 1, Fault::Reject).on(Call::AppendRange, 5, Fault::FailAfterSuccess);
    scene.finish(3, "once").await;

    let scene = Scene::new().await;
    (3..60).for_each(|nth| {
        scene.writing.on(Call::AppendRange, nth, Fault::Reject);
    });
    let error = scene.run(1).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to load a range of memory: call 6 to AppendRange was told to Reject");
}

#[tokio::test]
async fn what_one_range_fails_on_stops_the_run_which_goes_on_once_it_is_mended() {
    let scene = Scene::new().await;
    let paid = |event: &&Event| event.event_type.as_str() == "AmountPaid";
    let positions: Vec<u64> = scene.events.iter().filter(paid).map(|event| event.position.major()).collect();
    // Both are in ranges that are loaded at the same time, at their very beginning.
    let failing: &'static [u64] = Vec::leak(vec![positions[0], positions[positions.len() - 1]]);
    let error = scene.migration(2, rules(failing)).run().await.unwrap_err();
    let PipelineError::Transform(transform) = &error else { panic!("{error}") };
    assert!(error.to_string().contains("it can't"), "{error}");
    let first = scene.events.iter().find(|event| event.position.major() == failing[0]).unwrap();
    assert!(transform.to_string().contains(&first.id.to_string()), "{error} is not about {first:?}");
    assert!(matches!(scene.starting_point().await, StartingPoint::InRanges { .. } | StartingPoint::FirstEvent));
    scene.finish(4, "mended").await;
}

#[tokio::test]
async fn a_run_that_is_stopped_commits_what_it_has_read() {
    let scene = Scene::new().await;
    scene.writing.on(Call::AppendRange, 3, Fault::Hold);
    let (handle, stop) = StopHandle::new();
    let run = tokio::spawn(scene.migration(2, rules(&[])).stop_on(stop).run());
    scene.writing.until_held().await;
    handle.stop();
    scene.writing.release();
    let outcome = run.await.unwrap().unwrap();
    assert!(!outcome.done && outcome.source.is_none());
    assert!((1..EVENTS).contains(&outcome.counts.read), "{outcome:?}");
    assert_eq!(scene.starting_point().await, StartingPoint::InRanges { counts: outcome.counts });
    scene.finish(5, "stopped").await;
}

#[tokio::test]
async fn a_run_that_is_dropped_goes_on() {
    let scene = Scene::new().await;
    for nth in [2, 5, 3] {
        let nth = scene.writing.seen(Call::AppendRange) + nth;
        scene.writing.on(Call::AppendRange, nth, Fault::Hold);
        let mut run = tokio::spawn(scene.migration(3, rules(&[])).run());
        tokio::select! {
            () = scene.writing.until_held() => run.abort(),
            // Others may have loaded so much before they were dropped that this run comes to its end.
            ended = &mut run => {
                assert!(ended.unwrap().unwrap().done);
                break;
            }
        }
        assert!(run.await.unwrap_err().is_cancelled());
        // Its loaders are dropped behind it.
        while scene.writing.held() > 0 {
            tokio::task::yield_now().await;
        }
    }
    scene.finish(2, "dropped").await;
}

struct Nobody;

#[async_trait]
impl Appended for Nobody {
    async fn appended(&mut self, _: Vec<Event>, _: Position) {}
}

#[tokio::test]
async fn what_needs_the_order_of_events_is_refused_in_the_middle_of_ranges() {
    let scene = Scene::new().await;
    scene.writing.on(Call::AppendRange, 6, Fault::Lose);
    scene.run(2).await.unwrap_err();

    let error = scene.migration(2, rules(&[])).run_beside(&mut Nobody).await.unwrap_err();
    assert!(matches!(error, PipelineError::Refused(Refusal::OutOfOrder { .. })), "{error}");

    let splits = Rule::new("splits", "1", |event: Event| Ok(vec![event; 2])).types(["Ping"]);
    let registry = Arc::new(Registry::builder().rule(splits).build().unwrap());
    let target = Box::new(scene.target.writer().unwrap());
    let accepting = MigrationOptions { accept_changes: true, ..options(2) };
    let error = Migration::new(Arc::new(scene.source.reader()), target, registry, accepting).run().await.unwrap_err();
    assert!(error.to_string().contains("loaded parts of memory out of order"), "{error}");

    // Somebody else's event is found out, wherever the ranges are.
    let last = scene.events.last().unwrap();
    let foreign = rulebook::event(last.position.major() + 1, "Foreign", "foreign-1", 0, "{}");
    scene.finish(2, "as it was begun").await;
    scene.target.writer().unwrap().append(&[foreign], None).await.unwrap();
    let error = scene.run(2).await.unwrap_err();
    assert!(matches!(error, PipelineError::Refused(Refusal::ForeignEvents { .. })), "{error}");
}

#[tokio::test]
async fn foreign_events_beside_ranges_are_found_out() {
    let scene = Scene::new().await;
    scene.writing.on(Call::AppendRange, 6, Fault::Lose);
    scene.run(2).await.unwrap_err();
    let last = scene.events.last().unwrap();
    let foreign = rulebook::event(last.position.major() + 1, "Foreign", "foreign-1", 0, "{}");
    scene.target.writer().unwrap().append(&[foreign], None).await.unwrap();
    let error = scene.run(2).await.unwrap_err();
    assert!(matches!(error, PipelineError::Refused(Refusal::ForeignEvents { .. })), "{error}");
}

#[tokio::test]
async fn a_source_that_was_begun_anew_is_not_gone_on_with() {
    let scene = Scene::new().await;
    scene.writing.on(Call::AppendRange, 6, Fault::Lose);
    scene.run(2).await.unwrap_err();
    let other = store(IN_RANGES, &scene.events[..3]).await;
    let target = Box::new(scene.target.writer().unwrap());
    let error = Migration::new(Arc::new(other.reader()), target, rules(&[]), options(2)).run().await.unwrap_err();
    assert!(matches!(error, PipelineError::Refused(Refusal::OtherSource { .. })), "{error}");
}

/// How a run is disturbed.
#[derive(Clone, Copy, Debug)]
struct Disturbance {
    fault: Fault,
    /// Which append to a range from now on.
    nth: usize,
    workers: usize,
    /// How many events come to the source before it.
    grows: usize,
}

fn any_disturbance() -> impl Strategy<Value = Disturbance> {
    let fault = prop_oneof![Just(Fault::Lose), Just(Fault::LoseAfterSuccess), Just(Fault::FailAfterSuccess)];
    (fault, 1..12_usize, 1..6_usize, 0..40_usize).prop_map(|(fault, nth, workers, grows)| Disturbance {
        fault,
        nth,
        workers,
        grows,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn killed_at_any_append_and_resumed_with_other_workers_it_ends_as_a_sequential_run(
        disturbances in prop::collection::vec(any_disturbance(), 0..6), first in 1..400_usize, workers in 1..6_usize,
        several_threads: bool,
    ) {
        let mut builder = match several_threads {
            true => tokio::runtime::Builder::new_multi_thread(),
            false => tokio::runtime::Builder::new_current_thread(),
        };
        builder.worker_threads(2).enable_all().build().unwrap().block_on(async {
            let events = log();
            let mut there = first;
            let source = store(IN_RANGES, &events[..there]).await;
            let target = MemoryStore::with_limits(IN_RANGES);
            let (reading, writing) = (Script::new(), Script::new());
            for disturbance in &disturbances {
                let grown = (there + disturbance.grows).min(events.len());
                source.writer().unwrap().append(&events[there..grown], None).await.unwrap();
                there = grown;
                writing.on(Call::AppendRange, writing.seen(Call::AppendRange) + disturbance.nth, disturbance.fault);
                let reader = Arc::new(Faulty::new(source.reader(), reading.clone()));
                let writer = Box::new(Faulty::new(target.writer().unwrap(), writing.clone()));
                let run = Migration::new(reader, writer, rules(&[]), options(disturbance.workers)).run();
                if let Err(error) = run.await {
                    assert!(error.to_string().contains("was told to Lose"), "{error}");
                }
            }
            let writer = Box::new(target.writer().unwrap());
            let run = Migration::new(Arc::new(source.reader()), writer, rules(&[]), options(workers)).run();
            assert!(run.await.unwrap().done);
            let expected = sequential(&events[..there], &source).await;
            assert_same(&expected, &content::of_memory(&target, &events, &[]).await, "disturbed");
        });
    }
}
