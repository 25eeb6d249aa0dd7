//! Laws: whatever fails, in whatever portions it is read, and however often it is interrupted.

use std::collections::{BTreeMap, BTreeSet};

use eventlift::events::faults::{Call, Fault};
use eventlift::events::{Event, StreamName};
use eventlift::pipeline::quarantine::{Discard, discard};
use proptest::prelude::*;

use super::scene::{Kind, Scene, clean, fill, lines, options, poison, rules};
use crate::content::assert_same;
use crate::rulebook;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// A log of up to five streams, with gaps between the positions, and which of its events are poison.
fn any_log() -> impl Strategy<Value = (Vec<Event>, BTreeSet<u64>)> {
    prop::collection::vec((0..5_usize, 1..3_u64, prop::bool::weighted(0.12)), 1..80).prop_map(|events| {
        let (mut revisions, mut position, mut poison) = ([0; 5], 0, BTreeSet::new());
        let events = events.into_iter().map(|(stream, gap, is_poison)| {
            position += gap;
            if is_poison {
                poison.insert(position);
            }
            revisions[stream] += 1;
            let data = format!("{{ \"n\" : {position}.10 }}");
            rulebook::event(position, "A", &format!("s-{stream}"), revisions[stream] - 1, data)
        });
        (events.collect(), poison)
    })
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::OneToOne), Just(Kind::Shifting), Just(Kind::Stateful)]
}

fn any_faults() -> impl Strategy<Value = Vec<(Call, usize, Fault)>> {
    let call = prop_oneof![
        4 => Just(Call::Append), 2 => Just(Call::AppendRange), 3 => Just(Call::WriteNotes), 2 => Just(Call::Withdraw),
        2 => Just(Call::PlanRanges), 1 => Just(Call::Checkpoint), 1 => Just(Call::Seal),
    ];
    let fault = prop_oneof![Just(Fault::Lose), Just(Fault::LoseAfterSuccess)];
    prop::collection::vec((call, 1..6_usize, fault), 0..5)
}

/// What is in the target must be what the clean one has, apart from what waits.
fn assert_others_went_on(events: &[Event], poison: &BTreeSet<u64>, clean: &[Event], found: &[Event]) {
    let mut first_poison: BTreeMap<&StreamName, u64> = BTreeMap::new();
    for event in events.iter().filter(|event| poison.contains(&event.position.major())) {
        first_poison.entry(&event.stream).or_insert(event.revision.0);
    }
    let untouched = |events: &[Event]| -> Vec<Event> {
        events.iter().filter(|event| !first_poison.contains_key(&event.stream)).cloned().collect()
    };
    assert_same(&lines(&untouched(clean), false), &lines(&untouched(found), false), "the other streams");
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn after_a_repair_nothing_shows_that_anything_failed(
        (events, failing) in any_log(), kind in any_kind(), in_ranges in any::<bool>(), faults in any_faults(),
        later in 0..40_usize, batch in 1..12_usize, workers in 1..4_usize, transaction in 1..20_usize,
    ) {
        block_on(async {
            // The last events come only once the first ones are through.
            let (before, after) = events.split_at(events.len() - later.min(events.len() - 1));
            let scene = Scene::new(before, kind, in_ranges, options(batch, workers, transaction)).await;
            for (call, nth, fault) in faults {
                scene.writing.on(call, nth, fault);
            }
            let all = poison(failing.iter().copied());
            let outcome = scene.run_through(&all).await;
            assert!(outcome.done);
            let undisturbed = clean(before, kind).await;
            assert_others_went_on(before, &failing, &undisturbed, &scene.events().await);
            let held = scene.held().await;
            assert_eq!(held.len() as u64, outcome.quarantined.streams);
            assert_eq!(held.iter().map(|stream| stream.held).sum::<u64>(), outcome.quarantined.events);
            assert_eq!(outcome.counts.read + outcome.quarantined.events, before.len() as u64);
            let verification = scene.verified(&all).await;
            assert!(verification.agrees(), "{verification:?}");

            // Half a repair, more events, and then the other half.
            let half = poison(failing.iter().copied().filter(|position| position % 2 == 0));
            let released = scene.release_through(&half).await;
            assert_eq!(released.failing.len(), scene.held().await.len());
            fill(&scene.source, after).await;
            scene.run_through(&half).await;
            let verification = scene.verified(&half).await;
            assert!(verification.agrees(), "{verification:?}");

            let none = poison([]);
            assert_eq!(scene.release_through(&none).await.failing, []);
            assert_eq!(scene.held().await, []);
            let outcome = scene.run_through(&none).await;
            assert_eq!((outcome.done, outcome.counts.read), (true, events.len() as u64));
            let undisturbed = clean(&events, kind).await;
            let places = kind != Kind::Shifting;
            assert_same(&lines(&undisturbed, places), &lines(&scene.events().await, places), "after the repair");
            let verification = scene.verified(&none).await;
            assert!(verification.agrees(), "{verification:?}");
        });
    }

    #[test]
    fn what_is_given_up_is_missing_and_nothing_else(
        (events, failing) in any_log(), kind in any_kind(), in_ranges in any::<bool>(), all in any::<bool>(),
        later in 0..40_usize, transaction in 1..20_usize,
    ) {
        block_on(what_is_given_up_is_missing(events, failing, kind, in_ranges, all, later, transaction));
    }
}

/// Everything that failed is given up, or the first event of each stream that did; then the rest comes.
async fn what_is_given_up_is_missing(
    events: Vec<Event>,
    failing: BTreeSet<u64>,
    kind: Kind,
    in_ranges: bool,
    all: bool,
    later: usize,
    transaction: usize,
) {
    let (before, after) = events.split_at(events.len() - later.min(events.len() - 1));
    let scene = Scene::new(before, kind, in_ranges, options(5, 2, transaction)).await;
    let bad = poison(failing.iter().copied());
    scene.run_through(&bad).await;
    let mut given_up = 0;
    for stream in scene.held().await {
        let mut writer = scene.target.writer().unwrap();
        let run = scene.record(&writer).await;
        let stream = StreamName::new(stream.stream).unwrap();
        let what = Discard { stream, all, by: "a test".to_owned(), why: "poison".to_owned() };
        given_up += discard(&mut writer, &rules(kind, &bad), &run, &what).await.unwrap();
    }
    scene.release_through(&poison([])).await;
    assert_eq!(scene.held().await, []);
    fill(&scene.source, after).await;
    let outcome = scene.run_through(&poison([])).await;
    assert!(outcome.done);
    assert_eq!(outcome.counts.read, events.len() as u64);
    let verification = scene.verified(&poison([])).await;
    assert!(verification.agrees(), "{verification:?}");
    if kind != Kind::Shifting {
        assert_eq!(scene.events().await.len() as u64 + given_up, events.len() as u64);
    }
    let mut next: BTreeMap<StreamName, u64> = BTreeMap::new();
    for event in scene.events().await {
        let next = next.entry(event.stream.clone()).or_default();
        assert_eq!(event.revision.0, *next, "{event:?}");
        *next += 1;
    }
}

/// The target was empty when the only stream with events in it was released.
#[test]
fn what_is_released_before_anything_was_written() {
    let at = |position: u64, stream: &str, revision: u64| {
        rulebook::event(position, "A", stream, revision, format!("{{ \"n\" : {position}.10 }}"))
    };
    let mut events = vec![at(2, "s-0", 0), at(3, "s-0", 1), at(5, "s-1", 0)];
    events.extend((6..30).map(|position| at(position, "s-0", position - 4)));
    for kind in [Kind::Shifting, Kind::OneToOne, Kind::Stateful] {
        for (in_ranges, all) in [(false, false), (false, true), (true, false), (true, true)] {
            block_on(what_is_given_up_is_missing(events.clone(), [2].into(), kind, in_ranges, all, 24, 1));
        }
    }
}
