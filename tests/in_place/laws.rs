//! What holds of every rewriting: it ends as the rules say, whatever fails on the way, and can be taken back to the byte.

use eventlift::events::faults::{Call, Fault, Script};
use eventlift::events::{Event, EventType, Payload, Rewritten};
use eventlift::pipeline::{Migration, MigrationOptions, PipelineError, Refusal, fills_the_store, is_in_place};
use std::sync::Arc;

use super::scene::{Scene, lifted, log, rules};
use crate::rulebook;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_as_the_rules_say_and_goes_back_to_the_byte() {
    let (rules, before) = (rules(), log(400));
    let expected = lifted(&rules, &before);
    let changed = before.iter().zip(&expected).filter(|(before, after)| before != after).count() as u64;
    for (batch, transaction) in [(1, 1), (7, 20), (100, 1_000), (1_000, 50)] {
        for scene in Scene::each(&before).await {
            let outcome = scene.in_place(&rules, batch, transaction).run().await.unwrap();
            assert!(outcome.done && !outcome.resumed);
            assert_eq!((outcome.counts.read, outcome.counts.written), (400, changed));
            assert_eq!(scene.events().await, expected, "batches of {batch}");
            let verified = scene.in_place(&rules, batch, transaction).verify(|_| {}).await.unwrap();
            assert!(verified.agrees(), "{verified:?}");
            assert_eq!((verified.rewritten, verified.untouched), (changed, 400 - changed));

            // A rule that must not be applied twice is not.
            let again = scene.in_place(&rules, batch, transaction).run().await.unwrap();
            assert!(again.done && again.resumed);
            assert_eq!((again.run, again.counts), (outcome.run, outcome.counts));
            assert_eq!(scene.events().await, expected);

            // Only what a service appended meanwhile is.
            let tail = rulebook::event(1_300, "NoteAdded", "note-of-a-service", 0, "{}");
            scene.rewriter().append(std::slice::from_ref(&tail), None).await.unwrap();
            scene.in_place(&rules, batch, transaction).run().await.unwrap();
            let mut with_tail = expected.clone();
            with_tail.extend(lifted(&rules, &[before.clone(), vec![tail.clone()]].concat()).pop());
            assert_eq!(scene.events().await, with_tail);
            assert!(scene.in_place(&rules, batch, transaction).verify(|_| {}).await.unwrap().agrees());

            let undone = scene.in_place(&rules, batch, transaction).undo().await.unwrap();
            assert!(undone.done && !undone.was_done);
            assert_eq!((undone.restored, undone.kept), (changed + 1, 0));
            assert_eq!(scene.events().await, [before.clone(), vec![tail]].concat());
            assert!(scene.in_place(&rules, batch, transaction).undo().await.unwrap().was_done);

            // And then it is as if it had never been.
            let anew = scene.in_place(&rules, batch, transaction).run().await.unwrap();
            assert_ne!(anew.run, outcome.run);
            assert_eq!(scene.events().await, with_tail);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_it_ends_the_same() {
    let (rules, before) = (rules(), log(120));
    let expected = lifted(&rules, &before);
    let faults = [Fault::Reject, Fault::FailAfterSuccess, Fault::Lose, Fault::LoseAfterSuccess];
    for call in [Call::Batch, Call::Rewrite, Call::Checkpoint, Call::Undo, Call::WriteNotes] {
        for fault in faults {
            for nth in 1..=8 {
                for scene in Scene::each(&before).await {
                    let script = Script::new();
                    script.on(call, nth, fault);
                    let context = format!("{call:?} {nth} {fault:?}");
                    let mut tries = 0;
                    while scene.faulty(&rules, &script).run().await.is_err() {
                        tries += 1;
                        assert!(tries < 3, "{context}");
                    }
                    assert_eq!(scene.events().await, expected, "{context}");
                    assert!(scene.in_place(&rules, 10, 30).verify(|_| {}).await.unwrap().agrees(), "{context}");
                    tries = 0;
                    while scene.faulty(&rules, &script).undo().await.is_err() {
                        tries += 1;
                        assert!(tries < 3, "{context}");
                    }
                    assert_eq!(scene.events().await, before, "{context}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verification_finds_every_event_that_differs() {
    let (rules, before) = (rules(), log(90));
    let expected = lifted(&rules, &before);
    for place in 0..90 {
        for scene in Scene::each(&before).await {
            scene.in_place(&rules, 10, 30).run().await.unwrap();
            let wrong = Event { data: Payload::json(r#"{"wrong": 1}"#), ..expected[place].clone() };
            let mut rewriter = scene.rewriter();
            let change = Rewritten { before: expected[place].clone(), after: wrong.clone() };
            let other = eventlift::events::RunId::random();
            rewriter.rewrite(&[change], &progress_of(other)).await.unwrap();
            drop(rewriter);
            let verified = scene.in_place(&rules, 10, 30).verify(|_| {}).await.unwrap();
            // What the rules never touched may be anything that they leave alone.
            let is_touched = before[place] != expected[place];
            assert_eq!(verified.agrees(), !is_touched, "{place}");
            if is_touched {
                let first = verified.first.unwrap();
                assert_eq!((first.expected.unwrap(), first.found.unwrap()), (expected[place].clone(), wrong));
                let undone = scene.in_place(&rules, 10, 30).undo().await.unwrap();
                assert_eq!((undone.kept, undone.done), (1, false));
                assert_eq!(undone.named, [(before[place].position, before[place].id.clone())]);
            }
        }
    }
}

fn progress_of(run: eventlift::events::RunId) -> eventlift::events::Progress {
    let source = eventlift::events::Position::new(1);
    let checkpoint =
        eventlift::events::Checkpoint { source, target: None, counts: eventlift::events::Counts::default() };
    eventlift::events::Progress {
        run,
        checkpoint,
        state: Vec::new(),
        positions: Vec::new(),
        late: Vec::new(),
        notes: Vec::new(),
        origins: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_rules_than_at_the_start_are_refused_until_it_is_over() {
    let (first, before) = (rules(), log(60));
    let second = || {
        let rule = eventlift::transformers::Rule::new("types are upper case", "1", |mut event: Event| {
            event.event_type = EventType::new(event.event_type.as_str().to_uppercase()).unwrap();
            Ok(event)
        });
        Arc::new(eventlift::transformers::Registry::builder().rule(rule).build().unwrap())
    };
    for scene in Scene::each(&before).await {
        scene.in_place(&first, 10, 30).run().await.unwrap();
        let refused = scene.in_place(&second(), 10, 30).run().await.unwrap_err();
        assert!(matches!(refused, PipelineError::Refused(Refusal::InPlace { .. })), "{refused}");
        assert!(refused.to_string().contains("what decides the result has changed"), "{refused}");
        assert_eq!(scene.events().await, lifted(&first, &before));
        let (_, dropped) = scene.in_place(&first, 10, 30).drop_undo().await.unwrap();
        assert!(dropped > 0);
        let refused = scene.in_place(&first, 10, 30).undo().await.unwrap_err();
        assert!(refused.to_string().contains("was dropped"), "{refused}");
        assert!(scene.in_place(&first, 10, 30).verify(|_| {}).await.is_err());
        // The same rules go on behind it.
        let same = scene.in_place(&first, 10, 30).run().await.unwrap();
        assert_eq!(scene.events().await, lifted(&first, &before));
        let other = scene.in_place(&second(), 10, 30).run().await.unwrap();
        assert_ne!(other.run, same.run);
        assert!(scene.events().await.iter().all(|event| !event.event_type.as_str().contains("mount")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_that_rewrite_did_not_fill_the_store() {
    let (rules, before) = (rules(), log(60));
    for target in Scene::each(&[]).await {
        let source = Scene::each(&before).await.remove(0);
        let migrate = || async {
            let plain = Arc::new(eventlift::transformers::Registry::builder().build().unwrap());
            let target: Box<dyn eventlift::events::EventWriter> = Box::new(target.rewriter());
            Migration::new(source.reader(), target, plain, MigrationOptions::default()).run().await
        };
        let filled = migrate().await.unwrap();
        target.in_place(&rules, 10, 30).run().await.unwrap();
        let runs = target.rewriter().runs().await.unwrap();
        assert_eq!(
            runs.iter().map(|run| (fills_the_store(run), is_in_place(run))).collect::<Vec<_>>(),
            [(true, false), (false, true)]
        );
        assert_eq!(migrate().await.unwrap().run, filled.run);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_move_events_are_refused_by_name_before_anything_is_written() {
    let before = log(60);
    for scene in Scene::each(&before).await {
        let refused = scene.in_place(&Arc::new(rulebook::general()), 10, 30).run().await.unwrap_err();
        assert!(refused.to_string().contains("FileRenamed"), "{refused}");
        assert_eq!(scene.events().await, before);
        assert!(scene.rewriter().runs().await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_fails_stops_it_and_what_came_before_is_in() {
    let before = log(120);
    let bad = before[77].id.clone();
    let fails = move |event: Event| {
        if event.id == bad {
            return Err(eventlift::transformers::Reason::new("it is poison"));
        }
        Ok(Event { data: Payload::json("1"), ..event })
    };
    let rule = eventlift::transformers::Rule::new("poison", "1", fails);
    let registry = Arc::new(eventlift::transformers::Registry::builder().rule(rule).build().unwrap());
    for scene in Scene::each(&before).await {
        let failed = scene.in_place(&registry, 7, 20).run().await.unwrap_err();
        assert!(matches!(failed, PipelineError::Transform(_)), "{failed}");
        let now = scene.events().await;
        let rewritten = now.iter().take_while(|event| event.data == Payload::json("1")).count();
        assert_eq!(rewritten, 77);
        assert_eq!(now[77..], before[77..]);
        assert_eq!(scene.in_place(&registry, 7, 20).undo().await.unwrap().restored, 77);
        assert_eq!(scene.events().await, before);
    }
}
