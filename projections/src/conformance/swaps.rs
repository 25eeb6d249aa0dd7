//! Swapping, and swapping back.

use eventlift_events::conformance::{Failure, Verdict};

use super::observe::{build, has, publish};
use super::sample::{count_rows, counts, indexed, key, origin, put, step, table};
use super::subject::{ReadModelsUnderTest, equal, refused};
use crate::row::Row;
use crate::store::{Builds, ReadModelStore, Side};
use crate::table::Table;
use crate::value::{ColumnType, Value};

/// The generations of live, shadow and previous build.
async fn generations(store: &dyn ReadModelStore, projection: &str) -> Result<[Option<u64>; 3], Failure> {
    let Builds { live, shadow, previous } = store.builds(projection).await?;
    Ok([live, shadow, previous].map(|build| build.map(|build| build.generation)))
}

/// Publishes `count` builds of one row, which says which build it is.
async fn numbered(store: &dyn ReadModelStore, count: i64) -> Verdict {
    for number in 1..=count {
        publish(store, "p", &[(indexed("t", true), count_rows(&[("row", number)]))]).await?;
    }
    Ok(())
}

/// The live build becomes the previous one, with its rows.
pub async fn a_swap_keeps_the_old_build(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    numbered(&*store, 1).await?;
    equal("the generations", &[Some(1), None, None], &generations(&*store, "p").await?)?;
    numbered(&*store, 1).await?;
    equal("the generations", &[Some(2), None, Some(1)], &generations(&*store, "p").await?)?;
    has(&*store, Side::Previous, "p", 0, &count_rows(&[("row", 1)])).await?;
    let row = store.rows(Side::Previous, "p", 0, &[key("row")]).await?;
    equal("the previous row", &vec![count_rows(&[("row", 1)]).pop()], &row)
}

/// Only the last one is kept.
pub async fn a_swap_drops_the_earlier_previous_build(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    numbered(&*store, 3).await?;
    equal("the generations", &[Some(3), None, Some(2)], &generations(&*store, "p").await?)?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("row", 3)])).await?;
    has(&*store, Side::Previous, "p", 0, &count_rows(&[("row", 2)])).await
}

/// Three projections with three, two and no builds before.
pub async fn several_projections_are_swapped_at_once(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let of = |name: &str, number| (indexed(&format!("{name}_t"), true), count_rows(&[("row", number)]));
    publish(&*store, "a", &[of("a", 1)]).await?;
    publish(&*store, "a", &[of("a", 2)]).await?;
    publish(&*store, "b", &[of("b", 1)]).await?;
    for name in ["a", "b", "c"] {
        build(&*store, name, &[of(name, 3)]).await?;
    }
    store.swap(&["a", "b", "c"]).await?;
    for (name, expected) in
        [("a", [Some(3), None, Some(2)]), ("b", [Some(2), None, Some(1)]), ("c", [Some(1), None, None])]
    {
        equal(format!("the generations of {name}"), &expected, &generations(&*store, name).await?)?;
        has(&*store, Side::Live, name, 0, &count_rows(&[("row", 3)])).await?;
    }
    store.swap(&[]).await?;
    Ok(())
}

/// One that is not complete, not there, or named twice keeps the others from being swapped.
pub async fn a_refused_swap_swaps_nothing(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    numbered(&*store, 1).await?;
    build(&*store, "p", &[(indexed("t", true), count_rows(&[("row", 2)]))]).await?;
    store.begin("loading", &origin("f"), &[counts("u")]).await?;
    for others in [["p", "loading"], ["p", "nobody"], ["loading", "p"], ["p", "p"]] {
        refused(format!("a swap of {others:?}"), store.swap(&others).await)?;
        equal("the generations", &[Some(1), Some(2), None], &generations(&*store, "p").await?)?;
        has(&*store, Side::Live, "p", 0, &count_rows(&[("row", 1)])).await?;
    }
    store.swap(&["p"]).await?;
    Ok(())
}

/// The rows as they were, with the steps that were taken before the swap; steps go on from there.
pub async fn undo_brings_the_old_build_back(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    numbered(&*store, 1).await?;
    store.step(Side::Live, "p", &step(10, 11, vec![put("stepped", 5)])).await?;
    let before = store.builds("p").await?.live;
    numbered(&*store, 1).await?;
    store.step(Side::Live, "p", &step(10, 12, vec![put("row", 7)])).await?;
    store.undo(&["p"]).await?;
    equal("the live build", &before, &store.builds("p").await?.live)?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("row", 1), ("stepped", 5)])).await?;
    has(&*store, Side::Previous, "p", 0, &count_rows(&[("row", 7)])).await?;
    store.step(Side::Live, "p", &step(11, 12, vec![put("stepped", 6)])).await?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("row", 1), ("stepped", 6)])).await
}

/// Builds, rows and what was quarantined.
pub async fn undoing_twice_is_where_it_was(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    numbered(&*store, 2).await?;
    let before = store.builds("p").await?;
    for _ in 0..2 {
        store.undo(&["p"]).await?;
        equal("the generations", &[Some(1), None, Some(2)], &generations(&*store, "p").await?)?;
        store.undo(&["p"]).await?;
        equal("the builds", &before, &store.builds("p").await?)?;
        has(&*store, Side::Live, "p", 0, &count_rows(&[("row", 2)])).await?;
        has(&*store, Side::Previous, "p", 0, &count_rows(&[("row", 1)])).await?;
    }
    refused("a value that is there", store.step(Side::Live, "p", &step(10, 11, vec![put("other", 2)])).await)?;
    numbered(&*store, 1).await
}

/// A build that is being made goes on, and is swapped in behind an undo.
pub async fn undo_leaves_the_shadow(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    numbered(&*store, 2).await?;
    store.begin("p", &origin("f"), &[indexed("t", true), counts("u")]).await?;
    store.load("p", 0, count_rows(&[("row", 3)])).await?;
    store.undo(&["p"]).await?;
    equal("the generations", &[Some(1), Some(3), Some(2)], &generations(&*store, "p").await?)?;
    store.load("p", 0, count_rows(&[("row 2", 4)])).await?;
    store.complete("p", None, 0, &[]).await?;
    store.undo(&["p"]).await?;
    store.undo(&["p"]).await?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("row", 1)])).await?;
    store.swap(&["p"]).await?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("row", 3), ("row 2", 4)])).await?;
    equal("the generations", &[Some(3), None, Some(1)], &generations(&*store, "p").await?)
}

/// One that has no previous build, or is named twice, keeps the others from being swapped back.
pub async fn several_projections_are_undone_at_once(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let of = |name: &str, number| (indexed(&format!("{name}_t"), true), count_rows(&[("row", number)]));
    for name in ["a", "b"] {
        publish(&*store, name, &[of(name, 1)]).await?;
        publish(&*store, name, &[of(name, 2)]).await?;
    }
    publish(&*store, "c", &[of("c", 1)]).await?;
    refused("undoing one that has no previous build", store.undo(&["a", "c"]).await)?;
    refused("undoing one twice", store.undo(&["b", "a", "b"]).await)?;
    for name in ["a", "b"] {
        has(&*store, Side::Live, name, 0, &count_rows(&[("row", 2)])).await?;
    }
    store.undo(&["a", "b"]).await?;
    for name in ["a", "b"] {
        equal(format!("the generations of {name}"), &[Some(1), None, Some(2)], &generations(&*store, name).await?)?;
        has(&*store, Side::Live, name, 0, &count_rows(&[("row", 1)])).await?;
    }
    has(&*store, Side::Live, "c", 0, &count_rows(&[("row", 1)])).await
}

/// There is nothing to go back to.
pub async fn undo_without_a_previous_build_is_refused(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    refused("undoing nothing", store.undo(&["p"]).await)?;
    numbered(&*store, 1).await?;
    refused("undoing the first build", store.undo(&["p"]).await)?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("row", 1)])).await
}

/// The second time there is none.
pub async fn the_previous_build_is_dropped_once(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    numbered(&*store, 2).await?;
    equal("whether there was one", &true, &store.drop_previous("p").await?)?;
    equal("whether there was one", &false, &store.drop_previous("p").await?)?;
    equal("the generations", &[Some(2), None, None], &generations(&*store, "p").await?)?;
    refused("undo", store.undo(&["p"]).await)?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("row", 2)])).await?;
    numbered(&*store, 1).await
}

/// A table that the next definition lacks or calls otherwise is gone at the swap, and comes back when it is undone.
pub async fn a_dropped_table_is_gone_and_comes_back(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let of = |name: &str, number| (indexed(name, true), count_rows(&[("row", number)]));
    publish(&*store, "p", &[of("kept", 1), of("dropped", 2)]).await?;
    publish(&*store, "p", &[of("renamed", 3), of("kept", 4)]).await?;
    let names = async || {
        let live = store.builds("p").await?.live;
        let names = live.map(|live| live.tables.into_iter().map(|table| table.name).collect::<Vec<_>>());
        Ok::<_, Failure>(names.unwrap_or_default().join(" "))
    };
    equal("the live tables", &"renamed kept".to_owned(), &names().await?)?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("row", 3)])).await?;
    has(&*store, Side::Live, "p", 1, &count_rows(&[("row", 4)])).await?;
    has(&*store, Side::Previous, "p", 1, &count_rows(&[("row", 2)])).await?;
    store.undo(&["p"]).await?;
    equal("the live tables", &"kept dropped".to_owned(), &names().await?)?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("row", 1)])).await?;
    has(&*store, Side::Live, "p", 1, &count_rows(&[("row", 2)])).await?;
    has(&*store, Side::Previous, "p", 0, &count_rows(&[("row", 3)])).await?;
    store.undo(&["p"]).await?;
    store.drop_previous("p").await?;
    publish(&*store, "q", &[of("dropped", 5)]).await?;
    has(&*store, Side::Live, "p", 1, &count_rows(&[("row", 4)])).await
}

/// Two tables change names with one another.
pub async fn tables_may_trade_their_shapes(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let flag = |name: &str| table(name, &[("flag", ColumnType::Boolean)], 1);
    let flags = vec![Row(Box::new([Value::Boolean(true)]))];
    publish(&*store, "p", &[(counts("one"), count_rows(&[("a", 1)])), (flag("two"), flags.clone())]).await?;
    publish(&*store, "p", &[(flag("one"), flags.clone()), (counts("two"), count_rows(&[("b", 2)]))]).await?;
    has(&*store, Side::Live, "p", 0, &flags).await?;
    has(&*store, Side::Live, "p", 1, &count_rows(&[("b", 2)])).await?;
    store.undo(&["p"]).await?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("a", 1)])).await?;
    has(&*store, Side::Live, "p", 1, &flags).await
}

/// A column has another type in the next definition; the key, too.
pub async fn a_column_may_change_its_type(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let of_texts = table("t", &[("number", ColumnType::Text), ("id", ColumnType::Text)], 1);
    let of_texts = Table { key: vec![1, 0], ..of_texts };
    let texts = vec![Row(Box::new([Value::text("1"), Value::text("a")]))];
    publish(&*store, "p", &[(counts("t"), count_rows(&[("a", 1)]))]).await?;
    publish(&*store, "p", &[(of_texts, texts.clone())]).await?;
    has(&*store, Side::Live, "p", 0, &texts).await?;
    has(&*store, Side::Previous, "p", 0, &count_rows(&[("a", 1)])).await?;
    store.undo(&["p"]).await?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("a", 1)])).await?;
    store.step(Side::Live, "p", &step(10, 11, vec![put("b", 2)])).await?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("a", 1), ("b", 2)])).await
}
