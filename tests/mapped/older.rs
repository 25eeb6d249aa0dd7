//! Maps as earlier versions wrote them, with late positions among the others: they are read in today's form, by who only
//! looks and by who goes on with them.

use eventlift::events::CheckpointStore;
use eventlift::ledger::LedgerDatabase;
use proptest::prelude::*;

use super::laws::{Plan, any_plan, block_on, config};
use super::{Kind, Scene, TYPES, Target, event};

/// What makes of a ledger what an earlier version would have written: late positions among the ranges, and no ranges of
/// events that have stayed: they wrote none also where an event came out of quarantine behind the others, at the very place
/// that it had.
const MAKE_OLD: &str = "
    DELETE FROM eventlift_positions
    WHERE source_major = target_major AND source_minor = -1 AND source_length = target_length
          AND run IN (SELECT id FROM eventlift_runs WHERE parts LIKE '%\"kept\"]%');
    INSERT INTO eventlift_positions
    SELECT {store} run, source_major, source_minor, 1, target_major, target_minor, target_length FROM eventlift_late;
    DROP TABLE eventlift_late;
";

async fn make_old(target: &Target) {
    match target {
        Target::Memory(_) => panic!("it has no ledger of an earlier version"),
        Target::File(_) | Target::Sqlite(_) => {
            let connection = rusqlite::Connection::open(ledger_file(target)).unwrap();
            connection.execute_batch(&MAKE_OLD.replace("{store}", "")).unwrap();
        }
        #[cfg(feature = "postgres")]
        Target::Postgres(database) => {
            let forget = "DELETE FROM eventlift_schema WHERE component = 'events' AND version >= 4;
                          ALTER TABLE eventlift_stores DROP COLUMN holder;";
            let made = format!("{}{forget}", MAKE_OLD.replace("{store}", "store,"));
            let mut connection = database.connect().await;
            sqlx::raw_sql(sqlx::AssertSqlSafe(made)).execute(&mut connection).await.unwrap();
        }
    }
}

fn ledger_file(target: &Target) -> std::path::PathBuf {
    match target {
        Target::File(folder) => folder.path().join("t.ndjson.eventlift"),
        Target::Sqlite(folder) => folder.path().join("t.db"),
        _ => panic!("its ledger is no file"),
    }
}

async fn look_at(target: &Target) -> Box<dyn CheckpointStore> {
    #[cfg(feature = "postgres")]
    if let Target::Postgres(database) = target {
        use eventlift::stores::postgres::{PostgresConfig, PostgresLedger};
        return Box::new(PostgresLedger::look_at(PostgresConfig::new(database.url())).await.unwrap().unwrap());
    }
    Box::new(LedgerDatabase::look_at(&ledger_file(target), "test").unwrap().unwrap())
}

pub(crate) fn any_older() -> impl Strategy<Value = (Plan, Kind, usize, usize)> {
    let kind = prop_oneof![Just(Kind::Kept), Just(Kind::Shifting), Just(Kind::Merging)];
    (any_plan(), kind, 0..40_usize, 1..12_usize)
}

pub(crate) async fn play(target: Target, (plan, kind, before, transaction): (Plan, Kind, usize, usize)) {
    let mut scene = Scene::new(target, kind, false, false, transaction);
    let (mut revisions, mut number) = ([0; 4], 0);
    let (mut events, mut poison) = (Vec::new(), Vec::new());
    for (gap, stream, event_type, is_poison) in plan {
        number += gap;
        // Of an event that was merged in part only, the last that was written was known.
        let event_type = if TYPES[event_type] == "Both" { "Into2" } else { TYPES[event_type] };
        events.push(event(number, stream, revisions[stream], event_type, false));
        revisions[stream] += 1;
        poison.extend((is_poison && kind.may_fail()).then_some(number));
    }
    let (first, rest) = events.split_at(before.clamp(1, events.len()));
    scene.grow(first, poison.iter().copied()).await;
    scene.run().await;
    scene.retry(|number| number % 2 == 0, None).await;
    scene.run().await;
    scene.check("as it is written").await;

    make_old(&scene.target).await;
    scene.check_with(&*look_at(&scene.target).await, "looked at").await;
    scene.check_with(&*look_at(&scene.target).await, "looked at again").await;
    scene.check("opened").await;
    scene.retry(|_| true, None).await;
    scene.grow(rest, []).await;
    scene.run().await;
    scene.check("gone on with").await;
}

proptest! {
    #![proptest_config(config(32))]

    #[test]
    fn a_map_of_an_earlier_version_beside_a_file_is_read_and_gone_on_with(older in any_older()) {
        block_on(play(Target::file(), older));
    }

    #[test]
    fn a_map_of_an_earlier_version_in_sqlite_is_read_and_gone_on_with(older in any_older()) {
        block_on(play(Target::sqlite(), older));
    }
}
