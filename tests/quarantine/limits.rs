//! Where quarantine ends: its limits, and rules that it is not for.

use std::sync::Arc;

use eventlift::events::{EventReader, Position, RunState, StreamName};
use eventlift::pipeline::quarantine::{QuarantineLimits, release};
use eventlift::pipeline::{FailedEvents, Migration, PipelineError, Policies, Refusal, Stop, still_agrees};
use eventlift::transformers::{Reason, Registry, Rule};
use eventlift::{Event, Payload};

use super::scene::{Kind, Scene, clean, lines, options, poison, rules};
use crate::content::assert_same;
use crate::rulebook;

/// Ten streams that take turns, of twenty events each.
fn log() -> Vec<Event> {
    (0..200).map(|n| rulebook::event(n + 1, "A", &format!("s-{}", n % 10), n / 10, format!("{{\"n\":{n}}}"))).collect()
}

#[tokio::test]
async fn past_a_limit_the_run_stops_and_what_was_committed_stays() {
    for in_ranges in [false, true] {
        let limits = [
            (QuarantineLimits { streams: 2, events: 1_000 }, "2 streams are in quarantine, and 1000 events of 2"),
            (QuarantineLimits { streams: 5, events: 7 }, "and 7 events of 5 streams may be"),
        ];
        for (quarantine, message) in limits {
            let options = Scene::new(&log(), Kind::OneToOne, in_ranges, options(7, 2, 20)).await.options;
            let options = eventlift::MigrationOptions { quarantine, ..options };
            let mut scene = Scene::new(&log(), Kind::OneToOne, in_ranges, options).await;
            // The third, fourth and fifth stream, in their first events.
            let bad = poison([3, 14, 25]);
            let error = scene.run(&bad).await.unwrap_err();
            assert!(matches!(error, PipelineError::QuarantineFull { .. }), "{error}");
            assert!(error.to_string().contains(message), "{error}");
            assert!(error.to_string().contains("it is poison"), "{error}");
            assert!(error.hint().unwrap().contains("[quarantine]"));
            let committed = scene.events().await.len();
            assert!(committed > 0);
            // It stops at the same place again, and goes on once there is room.
            assert!(scene.run(&bad).await.is_err());
            assert!(scene.events().await.len() >= committed);
            scene.options.quarantine = QuarantineLimits::default();
            let outcome = scene.run(&bad).await.unwrap();
            assert_eq!((outcome.done, outcome.quarantined.streams), (true, 3));
            scene.release(&poison([])).await.unwrap();
            let undisturbed = clean(&log(), Kind::OneToOne).await;
            assert_same(&lines(&undisturbed, true), &lines(&scene.events().await, true), "after the repair");
        }
    }
}

#[tokio::test]
async fn without_the_policy_a_failure_stops_the_run_and_what_waits_goes_on_waiting() {
    let mut scene = Scene::new(&log(), Kind::OneToOne, false, options(7, 2, 20)).await;
    scene.options.policies.failed_events = FailedEvents::Stop;
    assert!(matches!(scene.run(&poison([25])).await, Err(PipelineError::Transform(_))));
    scene.options.policies.failed_events = FailedEvents::Quarantine;
    let bad = poison([25, 77]);
    assert!(scene.run(&bad).await.unwrap().done);
    // What is held is held under either policy, and only what comes new stops the run.
    scene.options.policies.failed_events = FailedEvents::Stop;
    let event = |n: u64, stream: u64| rulebook::event(n, "A", &format!("s-{stream}"), 20, "{}".to_owned());
    super::scene::fill(&scene.source, &[event(201, 4), event(202, 5), event(203, 6)]).await;
    let error = scene.run(&poison([25, 77, 202])).await.unwrap_err();
    assert!(error.to_string().contains("stream s-5"), "{error}");
    let outcome = scene.run(&bad).await.unwrap();
    assert_eq!((outcome.done, outcome.quarantined.streams), (true, 2));
    assert_eq!(scene.held().await.iter().map(|stream| stream.held).sum::<u64>(), 18 + 1 + 13 + 1);
}

#[tokio::test]
async fn what_may_not_pass_goes_to_quarantine_as_well() {
    let strict = |known: &[&str]| {
        let registry = known.iter().fold(Registry::builder(), |builder, name| builder.current(*name, 1));
        Arc::new(registry.build().unwrap())
    };
    let mut events = log();
    events[57].event_type = eventlift::EventType::new("B").unwrap();
    let scene = Scene::new(&events, Kind::OneToOne, false, options(7, 2, 20)).await;
    let policies = Policies {
        unknown_types: eventlift::pipeline::PassUnlessTold(eventlift::pipeline::Unknown::Fail),
        ..scene.options.policies
    };
    let options = eventlift::MigrationOptions { policies, ..scene.options.clone() };
    let writer = Box::new(scene.target.writer().unwrap());
    let migration = Migration::new(Arc::new(scene.source.reader()), writer, strict(&["A"]), options);
    let outcome = migration.run().await.unwrap();
    assert_eq!((outcome.done, outcome.quarantined.streams), (true, 1));
    let held = scene.held().await.remove(0);
    assert_eq!(held.failed.rule, "the policy unknown_types");
    assert_eq!(held.failed.reason, "B version 1 is named by no definition");
    assert_eq!((held.failed.position, held.held), (Position::new(58), 15));
}

#[tokio::test]
async fn rules_that_move_events_are_refused() {
    let scene = Scene::new(&log(), Kind::OneToOne, false, options(7, 2, 20)).await;
    let moves = Rule::new("moves", "1", |event: Event| Ok(event)).moves_streams();
    let registry = Arc::new(Registry::builder().rule(moves).build().unwrap());
    let writer = Box::new(scene.target.writer().unwrap());
    let migration = Migration::new(Arc::new(scene.source.reader()), writer, registry, scene.options.clone());
    let error = migration.run().await.unwrap_err();
    assert!(matches!(error, PipelineError::Refused(Refusal::QuarantineOfMoves)), "{error}");
}

#[tokio::test]
async fn streams_that_are_not_held_can_not_be_released() {
    let scene = Scene::new(&log(), Kind::OneToOne, false, options(7, 2, 20)).await;
    scene.run(&poison([25])).await.unwrap();
    let mut writer = scene.target.writer().unwrap();
    let run = scene.record(&writer).await;
    let (registry, policies) = (rules(Kind::OneToOne, &poison([])), scene.options.policies);
    let only = [StreamName::new("s-4").unwrap(), StreamName::new("s-7").unwrap()];
    let error = release(&mut writer, &registry, policies, &run, &only, &Stop::never(), |_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "refused to run: stream s-7 is not in quarantine");
    let released = release(&mut writer, &registry, policies, &run, &only[..1], &Stop::never(), |_| {}).await.unwrap();
    assert_eq!((released.streams, released.events), (1, 18));
}

#[tokio::test]
async fn a_repair_that_breaks_what_was_lifted_is_refused() {
    let scene = Scene::new(&log(), Kind::OneToOne, false, options(7, 2, 20)).await;
    scene.run(&poison([25])).await.unwrap();
    let writer = scene.target.writer().unwrap();
    let run = scene.record(&writer).await;
    assert_eq!(run.state, RunState::Done);
    let agrees = async |registry: Arc<Registry>| {
        let (source, target): (Arc<dyn EventReader>, Arc<dyn EventReader>) =
            (Arc::new(scene.source.reader()), Arc::new(scene.target.reader()));
        let options = scene.options.clone();
        still_agrees(source, target, registry, options, &run, &writer, Stop::never(), |_| {}).await
    };
    assert!(agrees(rules(Kind::OneToOne, &poison([]))).await.unwrap());
    let broken = |what: fn(Event) -> Result<Event, Reason>| {
        Arc::new(Registry::builder().rule(Rule::new("changes", "2", what)).build().unwrap())
    };
    let error = agrees(broken(|event| Ok(Event { data: Payload::json("1"), ..event }))).await.unwrap_err();
    let expected = "would make something else of what run";
    assert!(error.to_string().contains(expected) && error.to_string().contains("stream s-0, revision 0"), "{error}");
    let error = agrees(broken(|event| match event.position.major() {
        90 => Err(Reason::new("no more")),
        _ => Ok(event),
    }))
    .await
    .unwrap_err();
    assert!(matches!(error, PipelineError::Refused(Refusal::BreaksLifted { .. })), "{error}");
}
