//! Steps of incremental runs.

use eventlift_events::Position;
use eventlift_events::conformance::{Failure, Verdict};

use super::observe::{CHECKPOINT, build, has, publish};
use super::sample::{count, count_rows, counts, delete, indexed, key, origin, put, quarantined, step};
use super::subject::{ReadModelsUnderTest, equal, holds, refused};
use crate::row::Row;
use crate::store::{ReadModelStore, RowUpdate, Side, Step};
use crate::value::Value;

/// A live build of two rows at the position [`CHECKPOINT`].
async fn published(store: &dyn ReadModelsUnderTest) -> Result<Box<dyn ReadModelStore>, Failure> {
    let store = store.read_models().await?;
    publish(&*store, "p", &[(indexed("t", false), count_rows(&[("a", 1), ("b", 2)]))]).await?;
    Ok(store)
}

/// Rows are created, changed and deleted, and the record goes with them.
pub async fn a_step_changes_rows_and_checkpoint(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = published(store).await?;
    let before = store.builds("p").await?.live.ok_or_else(|| Failure::new("the live build is gone"))?;
    let rows = vec![put("a", 10), delete("b"), put("c", 3), delete("never there")];
    store.step(Side::Live, "p", &Step { events: 7, ..step(CHECKPOINT, 19, rows) }).await?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("a", 10), ("c", 3)])).await?;
    let after = store.builds("p").await?.live.ok_or_else(|| Failure::new("the live build is gone"))?;
    holds(after.updated_at >= before.updated_at, "a step updates the build")?;
    let expected = crate::store::Build {
        checkpoint: Some(Position::new(19)),
        events: before.events + 7,
        updated_at: after.updated_at,
        ..before
    };
    equal("the live build", &expected, &after)
}

/// Neither a step that was taken already, nor one that would leave events out.
pub async fn a_step_from_another_checkpoint_changes_nothing(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = published(store).await?;
    let taken = step(CHECKPOINT, 11, vec![put("a", 10)]);
    store.step(Side::Live, "p", &taken).await?;
    let before = store.builds("p").await?;
    let later = Step { from: Some(Position::new(12)), to: Position::new(13), ..taken.clone() };
    let first = Step { from: None, ..taken.clone() };
    let pair = Step { from: Some(Position::pair(11, 0)), ..taken.clone() };
    for wrong in [taken, later, first, pair] {
        let rows = vec![put("a", 99), delete("b"), put("z", 1)];
        let wrong = Step { rows, quarantined: vec![quarantined(1, None)], ..wrong };
        refused(format!("a step from {:?}", wrong.from), store.step(Side::Live, "p", &wrong).await)?;
    }
    equal("the builds", &before, &store.builds("p").await?)?;
    equal("what is quarantined", &vec![], &store.quarantined(Side::Live, "p").await?)?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("a", 10), ("b", 2)])).await
}

/// A build of no events has no checkpoint, and its first step begins at none.
pub async fn a_step_of_the_first_events_begins_at_none(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    store.begin("p", &origin("f"), &[counts("t")]).await?;
    store.complete("p", None, 0, &[]).await?;
    store.swap(&["p"]).await?;
    refused("a step from a position", store.step(Side::Live, "p", &step(0, 1, vec![put("a", 1)])).await)?;
    store.step(Side::Live, "p", &Step { from: None, ..step(0, 1, vec![put("a", 2)]) }).await?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("a", 2)])).await
}

/// A row that was deleted comes again, in the same place.
pub async fn a_step_deletes_and_creates_again(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = published(store).await?;
    store.step(Side::Live, "p", &step(10, 11, vec![delete("a")])).await?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("b", 2)])).await?;
    equal("the row", &vec![None], &store.rows(Side::Live, "p", 0, &[key("a")]).await?)?;
    let null = RowUpdate { row: Some(Row(Box::new([Value::text("a"), Value::Null]))), ..put("a", 0) };
    store.step(Side::Live, "p", &step(11, 12, vec![null.clone()])).await?;
    let expected = vec![null.row.unwrap_or_else(|| count("a", 0)), count("b", 2)];
    has(&*store, Side::Live, "p", 0, &expected).await
}

/// Events that change nothing still move the checkpoint.
pub async fn a_step_without_rows_moves_the_checkpoint(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = published(store).await?;
    store.step(Side::Live, "p", &step(10, 5_000_000_000, vec![])).await?;
    let checkpoint = store.builds("p").await?.live.and_then(|live| live.checkpoint);
    equal("the checkpoint", &Some(Position::new(5_000_000_000)), &checkpoint)?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("a", 1), ("b", 2)])).await
}

/// The tables of a projection change together.
pub async fn a_step_changes_several_tables(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let rows = count_rows(&[("a", 1)]);
    publish(&*store, "p", &[(counts("t"), rows.clone()), (indexed("u", true), rows.clone()), (counts("v"), rows)])
        .await?;
    let of = |table, update| RowUpdate { table, ..update };
    let rows = vec![of(2, delete("a")), of(0, put("a", 5)), of(1, put("b", 6)), of(2, put("c", 7))];
    store.step(Side::Live, "p", &step(10, 11, rows)).await?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("a", 5)])).await?;
    has(&*store, Side::Live, "p", 1, &count_rows(&[("a", 1), ("b", 6)])).await?;
    has(&*store, Side::Live, "p", 2, &count_rows(&[("c", 7)])).await
}

/// Catching up beside the live build, which goes on by itself.
pub async fn a_step_on_the_shadow_leaves_the_live_build(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = published(store).await?;
    build(&*store, "p", &[(indexed("t", true), count_rows(&[("x", 1)]))]).await?;
    store.step(Side::Shadow, "p", &step(10, 15, vec![put("y", 2)])).await?;
    store.step(Side::Live, "p", &step(10, 12, vec![put("a", 3)])).await?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("a", 3), ("b", 2)])).await?;
    has(&*store, Side::Shadow, "p", 0, &count_rows(&[("x", 1), ("y", 2)])).await?;
    store.swap(&["p"]).await?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("x", 1), ("y", 2)])).await?;
    let builds = store.builds("p").await?;
    let checkpoints = [builds.live, builds.previous].map(|build| build.and_then(|build| build.checkpoint));
    equal("the checkpoints", &[15, 12].map(|number| Some(Position::new(number))), &checkpoints)
}

/// All of a step or nothing of it, wherever in it the row is that is refused.
pub async fn a_refused_step_changes_nothing(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = published(store).await?;
    let before = store.builds("p").await?;
    let misfit = RowUpdate { row: Some(Row(Box::new([Value::text("c"), Value::text("3")]))), ..put("c", 3) };
    let elsewhere = RowUpdate { key: key("d"), ..put("c", 3) };
    let no_table = RowUpdate { table: 1, ..put("c", 3) };
    for (what, bad) in
        [("a value of another type", misfit), ("a row at another key", elsewhere), ("no table", no_table)]
    {
        let rows = vec![put("a", 99), delete("b"), bad, put("e", 5)];
        let bad = Step { quarantined: vec![quarantined(11, None)], ..step(10, 11, rows) };
        refused(what, store.step(Side::Live, "p", &bad).await)?;
    }
    equal("the builds", &before, &store.builds("p").await?)?;
    equal("what is quarantined", &vec![], &store.quarantined(Side::Live, "p").await?)?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("a", 1), ("b", 2)])).await
}
