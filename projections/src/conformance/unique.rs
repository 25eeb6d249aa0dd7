//! Unique indexes.

use eventlift_events::conformance::{Failure, Verdict};
use eventlift_language::{Numeric, values_are_shown};

use super::observe::{build, has, publish};
use super::sample::{count_rows, delete, indexed, origin, put, step, table};
use super::subject::{ReadModelsUnderTest, equal, holds, refused};
use crate::row::Row;
use crate::store::{Builds, Side};
use crate::table::{Index, Table};
use crate::value::{ColumnType, Value};

/// The column is named, and the value where messages show values.
fn names(message: &str, value: &str) -> Verdict {
    holds(message.contains("number"), format_args!("it names the column: {message}"))?;
    holds(!values_are_shown() || message.contains(value), format_args!("it shows the value: {message}"))
}

/// A build whose rows are not unique is refused with the values, and stays incomplete.
pub async fn a_unique_index_is_kept_when_a_build_completes(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    publish(&*store, "p", &[(indexed("t", true), count_rows(&[("a", 1)]))]).await?;
    let before = store.builds("p").await?;
    let begun = store.begin("p", &origin("f"), &[indexed("t", false), indexed("u", true)]).await?;
    store.load("p", 1, count_rows(&[("a", 1), ("b", 4_711), ("c", 3), ("d", 4_711)])).await?;
    let error = refused("rows that are not unique", store.complete("p", None, 4, &[]).await)?;
    let message = error.to_string();
    names(&message, "4711")?;
    let expected = Builds { shadow: Some(begun), ..before };
    equal("the builds", &expected, &store.builds("p").await?)?;
    refused("a swap", store.swap(&["p"]).await)?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("a", 1)])).await
}

/// A step to the same value is refused with the value, and nothing of it is kept.
pub async fn a_unique_index_is_kept_in_a_step(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let rows = count_rows(&[("a", 1), ("b", 4_711)]);
    publish(&*store, "p", &[(indexed("t", true), rows.clone())]).await?;
    build(&*store, "p", &[(indexed("t", true), rows.clone())]).await?;
    let before = store.builds("p").await?;
    for side in [Side::Live, Side::Shadow] {
        for updates in [vec![put("0", 5), put("c", 4_711)], vec![put("c", 9), put("d", 9)], vec![put("a", 4_711)]] {
            let twice = if updates.len() == 2 && updates[1] == put("d", 9) { "9" } else { "4711" };
            let error = refused("a value that is there", store.step(side, "p", &step(10, 11, updates)).await)?;
            names(&error.to_string(), twice)?;
        }
        has(&*store, side, "p", 0, &rows).await?;
    }
    equal("the builds", &before, &store.builds("p").await?)?;
    store.swap(&["p"]).await?;
    refused("a value that is there", store.step(Side::Live, "p", &step(10, 11, vec![put("c", 1)])).await)?;
    has(&*store, Side::Live, "p", 0, &rows).await
}

/// What counts is how the rows are behind the step: values change places, in whatever order the rows come.
pub async fn a_step_may_move_unique_values_between_rows(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    publish(&*store, "p", &[(indexed("t", true), count_rows(&[("b", 1), ("c", 2), ("d", 3)]))]).await?;
    store.step(Side::Live, "p", &step(10, 11, vec![put("a", 3), put("b", 2), put("c", 1), delete("d")])).await?;
    has(&*store, Side::Live, "p", 0, &count_rows(&[("a", 3), ("b", 2), ("c", 1)])).await
}

/// Exact numbers are the same when their values are, to the last digit, however many decimals they are written with.
pub async fn equal_numbers_are_the_same_in_a_unique_index(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let columns = [("id", ColumnType::Text), ("total", ColumnType::Numeric)];
    let prices = Table { indexes: vec![Index { columns: vec![1], unique: true }], ..table("t", &columns, 1) };
    let row = |id: &str, number: &str| -> Result<Row, Failure> {
        let number = number.parse::<Numeric>().map_err(Failure::new)?;
        Ok(Row(Box::new([Value::text(id), Value::numeric(number)])))
    };
    let different =
        ["0.1", "0.10000000000000000000000000000000000001", "9007199254740993", "9007199254740992", "-0.1", "10"];
    let rows = different.iter().enumerate().map(|(number, text)| row(&format!("r{number}"), text));
    let rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
    publish(&*store, "p", &[(prices.clone(), rows.clone())]).await?;
    for same in ["0.10", "10.00", "9007199254740992.000", "-0.100"] {
        let added = crate::store::RowUpdate { row: Some(row("z", same)?), ..put("z", 0) };
        refused("a number that is there", store.step(Side::Live, "p", &step(10, 11, vec![added])).await)?;
        has(&*store, Side::Live, "p", 0, &rows).await?;
        let begun = store.begin("p", &origin("f"), std::slice::from_ref(&prices)).await?;
        store
            .load("p", 0, vec![rows[0].clone(), rows[3].clone(), rows[4].clone(), rows[5].clone(), row("z", same)?])
            .await?;
        let error = refused("rows that are not unique", store.complete("p", None, 4, &[]).await)?.to_string();
        holds(error.contains("total"), format_args!("it names the column: {error}"))?;
        equal("the shadow build", &Some(begun), &store.builds("p").await?.shadow)?;
    }
    Ok(())
}

/// Any number of rows have null in a unique index, alone or beside the same value.
pub async fn nulls_are_never_the_same(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let columns = [("id", ColumnType::Text), ("one", ColumnType::Text), ("two", ColumnType::Integer)];
    let indexes = vec![Index { columns: vec![1], unique: true }, Index { columns: vec![2, 1], unique: true }];
    let nulls = Table { indexes, ..table("t", &columns, 1) };
    let row = |id: &str| Row(Box::new([Value::text(id), Value::Null, Value::Integer(1)]));
    publish(&*store, "p", &[(nulls, vec![row("a"), row("b")])]).await?;
    let added = crate::store::RowUpdate { row: Some(row("c")), ..put("c", 0) };
    store.step(Side::Live, "p", &step(10, 11, vec![added])).await?;
    has(&*store, Side::Live, "p", 0, &[row("a"), row("b"), row("c")]).await
}
