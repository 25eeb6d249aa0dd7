//! Beginning, loading, completing and discarding builds.

use eventlift_events::conformance::{Failure, Verdict};
use eventlift_events::{Position, StoreErrorKind};

use super::observe::{CHECKPOINT, build, comes_back, has, publish};
use super::sample::{count, count_rows, counts, indexed, key, origin, put, quarantined, step, table};
use super::subject::{ReadModelsUnderTest, equal, holds, refused};
use crate::row::Row;
use crate::store::{Build, Builds, Origin, Side};
use crate::table::{Index, Table};
use crate::value::ColumnType;

/// Nothing is there, nothing is held, and asking changes nothing.
pub async fn a_store_begins_without_read_models(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    equal("the projections", &vec![], &store.projections().await?)?;
    equal("the builds", &Builds::default(), &store.builds("p").await?)?;
    equal("whether it is held", &false, &store.is_held("p").await?)?;
    equal("the runs", &vec![], &store.runs().await?)?;
    equal("whether a previous build was dropped", &false, &store.drop_previous("p").await?)?;
    store.discard("p").await?;
    equal("the projections", &vec![], &store.projections().await?)
}

/// Every field of a build is recorded when it begins, and again when it is complete and live.
pub async fn a_build_is_recorded_exactly(store: &dyn ReadModelsUnderTest) -> Verdict {
    let (store, other) = (store.read_models().await?, store.read_models().await?);
    let all_types: Vec<_> = ColumnType::ALL.iter().map(|column_type| (column_type.as_str(), *column_type)).collect();
    let tables = [indexed("one", true), table("two", &all_types, 2), Table::of_snapshots("three")];
    let begun = store.begin("a 'projection'", &origin("first"), &tables).await?;
    equal("the generation of the first build", &1, &begun.generation)?;
    equal("the origin", &origin("first"), &begun.origin)?;
    equal("the tables", &tables.to_vec(), &begun.tables)?;
    equal(
        "checkpoint, events and completeness",
        &(None, 0, false),
        &(begun.checkpoint, begun.events, begun.is_complete),
    )?;
    equal("when it was updated", &begun.begun_at, &begun.updated_at)?;
    let shadow = Builds { shadow: Some(begun.clone()), ..Builds::default() };
    equal("the builds of a second handle", &shadow, &other.builds("a 'projection'").await?)?;

    let checkpoint = Position::pair(7, 3);
    store.complete("a 'projection'", Some(checkpoint), 12_345, &[quarantined(3, None)]).await?;
    let complete = other.builds("a 'projection'").await?.shadow.ok_or_else(|| Failure::new("the shadow is gone"))?;
    holds(complete.updated_at >= begun.updated_at, "completing a build updates it")?;
    let expected = Build {
        checkpoint: Some(checkpoint),
        events: 12_345,
        is_complete: true,
        updated_at: complete.updated_at,
        ..begun
    };
    equal("the complete build", &expected, &complete)?;
    store.swap(&["a 'projection'"]).await?;
    let live = Builds { live: Some(expected), ..Builds::default() };
    equal("the builds after the swap", &live, &other.builds("a 'projection'").await?)
}

/// Where there was no event there is no checkpoint.
pub async fn a_build_without_events_is_whole(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let origin = Origin { source: String::new(), fingerprint: String::new(), parts: Vec::new() };
    store.begin("p", &origin, &[indexed("t", true)]).await?;
    store.complete("p", None, 0, &[]).await?;
    store.swap(&["p"]).await?;
    let live = store.builds("p").await?.live;
    let found = live.map(|live| (live.origin, live.checkpoint, live.events, live.is_complete));
    equal("the live build", &Some((origin, None, 0, true)), &found)?;
    has(&*store, Side::Live, "p", 0, &[]).await
}

/// No table, one without a key, names no database takes, a name twice.
pub async fn tables_that_make_no_sense_are_refused(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let far = Index { columns: vec![9], unique: false };
    let senseless: [(&str, Vec<Table>); 7] = [
        ("no table", vec![]),
        ("a table without a key", vec![Table { key: vec![], ..counts("t") }]),
        ("a table without a name", vec![counts("")]),
        ("a table with a quote in its name", vec![counts("a\"b")]),
        ("a table of the ledger's", vec![counts("eventlift_projections")]),
        ("an index of no column", vec![Table { indexes: vec![far], ..counts("t") }]),
        ("two tables of one name", vec![counts("one"), counts("ONE")]),
    ];
    for (what, tables) in senseless {
        refused(what, store.begin("p", &origin("f"), &tables).await)?;
    }
    equal("the builds", &Builds::default(), &store.builds("p").await?)
}

/// A shadow that somebody left is dropped with its rows, whether it was complete or not.
pub async fn beginning_drops_a_leftover_shadow(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    publish(&*store, "p", &[(counts("t"), count_rows(&[("live", 1)]))]).await?;
    store.begin("p", &origin("f"), &[counts("t"), counts("u")]).await?;
    store.load("p", 0, count_rows(&[("a", 1)])).await?;
    store.begin("p", &origin("f"), &[counts("t")]).await?;
    store.load("p", 0, count_rows(&[("a", 2), ("b", 3)])).await?;
    store.complete("p", None, 0, &[quarantined(1, None)]).await?;
    has(&*store, Side::Shadow, "p", 0, &count_rows(&[("a", 2), ("b", 3)])).await?;
    store.begin("p", &origin("f"), &[counts("u")]).await?;
    store.complete("p", None, 0, &[]).await?;
    has(&*store, Side::Shadow, "p", 0, &[]).await?;
    equal("what is quarantined", &vec![], &store.quarantined(Side::Shadow, "p").await?)?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("live", 1)])).await
}

/// A `begin` that fails drops nothing.
pub async fn a_refused_begin_leaves_the_shadow(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    publish(&*store, "other", &[(counts("taken"), vec![])]).await?;
    build(&*store, "p", &[(counts("t"), count_rows(&[("a", 1)]))]).await?;
    let before = store.builds("p").await?;
    refused("a taken table", store.begin("p", &origin("f"), &[counts("t"), counts("taken")]).await)?;
    equal("the builds", &before, &store.builds("p").await?)?;
    has(&*store, Side::Shadow, "p", 0, &count_rows(&[("a", 1)])).await
}

/// Not after a shadow was dropped, nor after a previous build was, nor after all were.
pub async fn generations_are_never_given_twice(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let mut given = Vec::new();
    for _ in 0..2 {
        given.push(store.begin("p", &origin("f"), &[counts("t")]).await?.generation);
        store.discard("p").await?;
    }
    for _ in 0..3 {
        given.push(store.begin("p", &origin("f"), &[counts("t")]).await?.generation);
        store.complete("p", None, 0, &[]).await?;
        store.swap(&["p"]).await?;
    }
    store.drop_previous("p").await?;
    given.push(store.begin("p", &origin("f"), &[counts("t")]).await?.generation);
    given.push(store.begin("p", &origin("f"), &[counts("t")]).await?.generation);
    equal("the generations", &vec![1, 2, 3, 4, 5, 6, 7], &given)?;
    equal("another's", &1, &store.begin("q", &origin("f"), &[counts("u")]).await?.generation)
}

/// Whether the table is live, being made, or kept, and however its name is written.
pub async fn tables_of_other_projections_are_refused(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    build(&*store, "one", &[(counts("shadow_table"), vec![])]).await?;
    refused("a table being made", store.begin("two", &origin("f"), &[counts("shadow_table")]).await)?;
    store.swap(&["one"]).await?;
    let error = refused("a live table", store.begin("two", &origin("f"), &[counts("Shadow_Table")]).await)?;
    let names = error.to_string().to_lowercase().contains("shadow_table") && error.to_string().contains("one");
    holds(names, format_args!("the error names the table and its owner: {error}"))?;
    publish(&*store, "one", &[(counts("next_table"), vec![])]).await?;
    refused("a table of a previous build", store.begin("two", &origin("f"), &[counts("shadow_table")]).await)?;
    store.drop_previous("one").await?;
    store.begin("two", &origin("f"), &[counts("shadow_table")]).await?;
    Ok(())
}

/// Rows of several calls and of several tables.
pub async fn loads_add_up(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    store.begin("p", &origin("f"), &[counts("t"), indexed("u", false)]).await?;
    store.load("p", 0, count_rows(&[("a", 1), ("b", 2)])).await?;
    store.load("p", 1, count_rows(&[("x", 1)])).await?;
    store.load("p", 0, vec![]).await?;
    store.load("p", 0, count_rows(&[("c", 3)])).await?;
    equal("a row before the end", &vec![Some(count("c", 3))], &store.rows(Side::Shadow, "p", 0, &[key("c")]).await?)?;
    store.complete("p", None, 0, &[]).await?;
    has(&*store, Side::Shadow, "p", 0, &count_rows(&[("a", 1), ("b", 2), ("c", 3)])).await?;
    has(&*store, Side::Shadow, "p", 1, &count_rows(&[("x", 1)])).await
}

/// Neither the rows before the one that is refused, nor those behind it.
pub async fn a_refused_load_adds_nothing(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    store.begin("p", &origin("f"), &[counts("t")]).await?;
    store.load("p", 0, count_rows(&[("a", 1)])).await?;
    let bad = Row(Box::new([crate::Value::text("c"), crate::Value::Boolean(true)]));
    refused("a row of another type", store.load("p", 0, vec![count("b", 2), bad, count("d", 4)]).await)?;
    store.load("p", 0, count_rows(&[("b", 3)])).await?;
    store.complete("p", None, 0, &[]).await?;
    has(&*store, Side::Shadow, "p", 0, &count_rows(&[("a", 1), ("b", 3)])).await
}

/// Neither loading nor completing goes on after the end.
pub async fn a_complete_build_takes_no_load(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    build(&*store, "p", &[(counts("t"), count_rows(&[("a", 1)]))]).await?;
    refused("a load after the end", store.load("p", 0, count_rows(&[("b", 1)])).await)?;
    refused("a second end", store.complete("p", Some(Position::new(99)), 99, &[]).await)?;
    let checkpoint = store.builds("p").await?.shadow.and_then(|shadow| shadow.checkpoint);
    equal("the checkpoint", &Some(Position::new(CHECKPOINT)), &checkpoint)?;
    has(&*store, Side::Shadow, "p", 0, &count_rows(&[("a", 1)])).await
}

/// A build that is being loaded is no base for anything else.
pub async fn only_a_complete_build_is_scanned_stepped_and_swapped(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    store.begin("p", &origin("f"), &[counts("t")]).await?;
    store.load("p", 0, count_rows(&[("a", 1)])).await?;
    let before = store.builds("p").await?;
    refused("a scan", store.scan(Side::Shadow, "p", 0, None, 10).await)?;
    let first = crate::store::Step { from: None, ..step(0, 1, vec![put("b", 1)]) };
    refused("a step", store.step(Side::Shadow, "p", &first).await)?;
    refused("a swap", store.swap(&["p"]).await)?;
    equal("the builds", &before, &store.builds("p").await?)
}

/// Its tables, its record, what was quarantined in it; nothing of the live build.
pub async fn discarding_takes_the_shadow_alone(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    publish(&*store, "p", &[(counts("t"), count_rows(&[("a", 1)]))]).await?;
    let before = store.builds("p").await?;
    build(&*store, "p", &[(counts("t"), vec![]), (counts("extra"), vec![])]).await?;
    store.discard("p").await?;
    store.discard("p").await?;
    equal("the builds", &before, &store.builds("p").await?)?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("a", 1)])).await?;
    // The table that only the shadow had is free again.
    store.begin("q", &origin("f"), &[counts("extra")]).await?;
    Ok(())
}

/// Those with any build, in the order of their names; those without are left out.
pub async fn projections_are_listed_by_name(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    for (number, projection) in ["b", "a", "ü", "B", "gone"].into_iter().enumerate() {
        store.begin(projection, &origin("f"), &[counts(&format!("t{number}"))]).await?;
    }
    store.discard("gone").await?;
    let names: Vec<String> = ["B", "a", "b", "ü"].map(str::to_owned).into();
    equal("the projections", &names, &store.projections().await?)
}

/// Reading and changing a build that is not there fails as missing.
pub async fn what_is_not_there_is_missing(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    build(&*store, "other", &[(counts("t"), vec![])]).await?;
    let missing = |error: eventlift_events::StoreError| {
        let expectation = format!("the error says that it does not exist: {error}");
        holds(matches!(error.kind, StoreErrorKind::Missing), expectation)
    };
    for side in Side::ALL {
        missing(refused("rows", store.rows(side, "p", 0, &[key("a")]).await)?)?;
        missing(refused("a scan", store.scan(side, "p", 0, None, 1).await)?)?;
        missing(refused("a step", store.step(side, "p", &step(0, 1, vec![])).await)?)?;
        missing(refused("quarantined", store.quarantined(side, "p").await)?)?;
    }
    missing(refused("a load", store.load("p", 0, vec![]).await)?)?;
    missing(refused("an end", store.complete("p", None, 0, &[]).await)?)?;
    missing(refused("a swap", store.swap(&["p"]).await)?)?;
    refused("a table that is not there", store.scan(Side::Shadow, "other", 1, None, 1).await)?;
    Ok(())
}

/// Loaded in portions, with two indexes.
pub async fn ten_thousand_rows_come_back(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let indexes = vec![Index { columns: vec![1], unique: true }, Index { columns: vec![1, 0], unique: false }];
    let many = Table { indexes, ..counts("many") };
    let rows: Vec<Row> = (0..10_000).map(|number| count(&format!("{:05}", number * 7 % 10_000), number)).collect();
    comes_back(&*store, &many, rows).await
}
