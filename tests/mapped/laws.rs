//! Random runs.

use eventlift::events::{Event, MemoryLimits, MemoryStore};
use proptest::prelude::*;

use super::{Kind, Scene, TYPES, Target, event};

/// Something that happens to a run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The source gets so many events more, and the run goes on.
    Run(usize),
    /// The rules are corrected for a third of what fails, or for all, and what waits of a stream, or of all, is retried.
    Retry(Option<u64>, Option<usize>),
    /// What fails in the nth stream that waits is given up, or all that waits there.
    Discard(usize, bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..15_usize).prop_map(Step::Run),
        3 => (prop::option::of(0..3_u64), prop::option::of(0..4_usize)).prop_map(|(mends, of)| Step::Retry(mends, of)),
        1 => (0..4_usize, any::<bool>()).prop_map(|(nth, all)| Step::Discard(nth, all)),
    ]
}

/// Events: the gap before each, its stream, its type, whether it fails.
pub(crate) type Plan = Vec<(u64, usize, usize, bool)>;

pub(crate) fn any_plan() -> impl Strategy<Value = Plan> {
    let event = (1..3_u64, 0..4_usize, 0..TYPES.len(), prop::bool::weighted(0.15));
    prop::collection::vec(event, 1..60)
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![2 => Just(Kind::Kept), 2 => Just(Kind::Shifting), 2 => Just(Kind::Merging), 1 => Just(Kind::Moving)]
}

/// Events, what happens, the rules, whether they begin to move positions, whether positions are pairs, how many events a
/// transaction has.
pub(crate) type Run = (Plan, Vec<Step>, Kind, bool, bool, usize);

pub(crate) fn any_run() -> impl Strategy<Value = Run> {
    let pairs = prop::bool::weighted(0.25);
    (any_plan(), prop::collection::vec(any_step(), 1..8), any_kind(), any::<bool>(), pairs, 1..12_usize)
}

/// Has it all happen, and checks the map after every step.
pub(crate) async fn play(target: Target, (plan, steps, kind, changes, pairs, transaction): Run, in_ranges: bool) {
    let (mut revisions, mut number) = ([0; 4], 0);
    let events: Vec<(Event, bool)> = plan
        .into_iter()
        .map(|(gap, stream, kind, is_poison)| {
            number += gap;
            revisions[stream] += 1;
            (event(number, stream, revisions[stream] - 1, TYPES[kind], pairs), is_poison)
        })
        .collect();
    let mut rest = &events[..];
    let mut scene = Scene::new(target, kind, pairs, in_ranges, transaction);
    let ends = [Step::Run(usize::MAX), Step::Retry(None, None)];
    for (index, step) in steps.iter().chain(&ends).enumerate() {
        if index == 2 && kind == Kind::Kept && changes {
            // Rules that keep positions may give way to others.
            scene.kind = Kind::Shifting;
        }
        scene.closes = index == steps.len() && kind == Kind::Merging;
        match *step {
            Step::Run(count) => {
                let (next, left) = rest.split_at(count.min(rest.len()));
                rest = left;
                let poison = next.iter().filter(|(_, is_poison)| *is_poison && kind.may_fail());
                let poison: Vec<u64> = poison.map(|(event, _)| super::number_in(event)).collect();
                let next: Vec<Event> = next.iter().map(|(event, _)| event.clone()).collect();
                scene.grow(&next, poison).await;
                scene.run().await;
            }
            Step::Retry(third, only) => scene.retry(|number| third.is_none_or(|third| number % 3 == third), only).await,
            Step::Discard(nth, all) => scene.discard(nth, all).await,
        }
        if !scene.numbers.is_empty() {
            scene.check(&format!("after step {index}, {step:?}")).await;
        }
    }
}

pub(crate) fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn a_translated_checkpoint_skips_nothing_in_memory(run in any_run(), in_ranges in any::<bool>()) {
        let store = MemoryStore::with_limits(MemoryLimits { in_ranges, ..MemoryLimits::default() });
        block_on(play(Target::Memory(store), run, in_ranges));
    }
}

proptest! {
    #![proptest_config(config(48))]

    #[test]
    fn a_translated_checkpoint_skips_nothing_in_a_file(run in any_run()) {
        block_on(play(Target::file(), run, false));
    }

    #[test]
    fn a_translated_checkpoint_skips_nothing_in_sqlite(run in any_run()) {
        block_on(play(Target::sqlite(), run, false));
    }
}
