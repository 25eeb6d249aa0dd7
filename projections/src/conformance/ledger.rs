//! What was quarantined, and the runs.

use eventlift_events::conformance::Verdict;
use eventlift_events::{Position, Revision};

use super::observe::{CHECKPOINT, publish};
use super::sample::{count_rows, counts, key, origin, quarantined, step, time};
use super::subject::{ReadModelsUnderTest, equal};
use crate::store::{Quarantined, RebuildAction, RebuildOutcome, RebuildRun, Side, Step};

/// Every field, in the order of the positions, whatever order they were given in; those of steps among them.
pub async fn quarantine_is_kept_in_order(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    store.begin("p", &origin("f"), &[counts("t")]).await?;
    let held = Some((0, key("a\0'ü")));
    let pair =
        Quarantined { position: Position::pair(9, 1), revision: Revision(1 << 40), ..quarantined(9, held.clone()) };
    let first = [pair.clone(), quarantined(2, None), quarantined(10, held)];
    store.complete("p", Some(Position::new(CHECKPOINT)), 3, &first).await?;
    let late = [quarantined(12, None), quarantined(11, Some((0, key(""))))];
    store.step(Side::Shadow, "p", &Step { quarantined: late.to_vec(), ..step(CHECKPOINT, 12, vec![]) }).await?;
    let [_, two, ten] = first;
    let [twelve, eleven] = late;
    equal("what is quarantined", &vec![two, pair, ten, eleven, twelve], &store.quarantined(Side::Shadow, "p").await?)
}

/// Through swap and undo, and away with its build.
pub async fn quarantine_goes_with_its_build(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    for number in 1..=2 {
        store.begin("p", &origin("f"), &[counts("t")]).await?;
        store.complete("p", Some(Position::new(CHECKPOINT)), 3, &[quarantined(number, None)]).await?;
        store.swap(&["p"]).await?;
    }
    let of = |numbers: &[u64]| numbers.iter().map(|number| quarantined(*number, None)).collect::<Vec<_>>();
    let added = Step { quarantined: of(&[11]), ..step(CHECKPOINT, 11, vec![]) };
    store.step(Side::Live, "p", &added).await?;
    equal("the live quarantine", &of(&[2, 11]), &store.quarantined(Side::Live, "p").await?)?;
    equal("the previous quarantine", &of(&[1]), &store.quarantined(Side::Previous, "p").await?)?;
    store.undo(&["p"]).await?;
    equal("the live quarantine", &of(&[1]), &store.quarantined(Side::Live, "p").await?)?;
    equal("the previous quarantine", &of(&[2, 11]), &store.quarantined(Side::Previous, "p").await?)?;
    store.drop_previous("p").await?;
    publish(&*store, "p", &[(counts("t"), count_rows(&[]))]).await?;
    equal("the live quarantine", &vec![], &store.quarantined(Side::Live, "p").await?)?;
    equal("the previous quarantine", &of(&[1]), &store.quarantined(Side::Previous, "p").await?)
}

fn run(number: u64, projection: &str) -> RebuildRun {
    RebuildRun {
        number,
        projection: projection.to_owned(),
        action: RebuildAction::Rebuild,
        reason: "the fold 'customers' changed".to_owned(),
        schedule: None,
        outcome: RebuildOutcome::Running,
        begun_at: time(1_714_564_800_000_001),
        updated_at: time(1_714_564_800_000_002),
        events: 0,
        rows: 0,
    }
}

/// From 1, across projections; one with a number takes the place of the one that has it.
pub async fn runs_are_numbered_and_replaced(store: &dyn ReadModelsUnderTest) -> Verdict {
    let (store, other) = (store.read_models().await?, store.read_models().await?);
    let mut numbers = Vec::new();
    for projection in ["p", "q", "p"] {
        numbers.push(store.record_run(&run(0, projection)).await?);
    }
    equal("the numbers", &vec![1, 2, 3], &numbers)?;
    let done = RebuildRun { outcome: RebuildOutcome::Done, events: 7, ..run(2, "q") };
    equal("the number", &2, &other.record_run(&done).await?)?;
    equal("the runs", &vec![run(1, "p"), done, run(3, "p")], &store.runs().await?)
}

/// Every action, every outcome, with and without a schedule.
pub async fn runs_keep_every_field(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let outcomes = [
        (RebuildAction::Rebuild, RebuildOutcome::Running),
        (RebuildAction::Update, RebuildOutcome::Done),
        (RebuildAction::Undo, RebuildOutcome::Stopped),
        (RebuildAction::DropOld, RebuildOutcome::Failed("failed to read \"ü\":\nthe disk is full".to_owned())),
    ];
    let mut expected = Vec::new();
    for ((action, outcome), number) in outcomes.into_iter().zip(1..) {
        let schedule = (number % 2 == 0).then(|| (format!("{number} * * * *"), time(-1)));
        let full =
            RebuildRun {
                action, outcome, schedule, events: number * 1_000_000_000_000, rows: number, ..run(0, "p ü")
            };
        equal("the number", &number, &store.record_run(&full).await?)?;
        expected.push(RebuildRun { number, ..full });
    }
    equal("the runs", &expected, &store.runs().await?)
}
