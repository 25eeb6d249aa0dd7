//! Keys, and the order of the rows.

use eventlift_events::conformance::{Failure, Verdict};
use uuid::Uuid;

use super::observe::{comes_back, in_order, publish};
use super::sample::{count, count_rows, counts, key, table, time};
use super::subject::{ReadModelsUnderTest, equal};
use crate::row::{Row, RowKey};
use crate::store::Side;
use crate::table::Table;
use crate::value::{ColumnType, Value};

/// Every type that can be a key, with rows on both sides of every corner of its order.
pub async fn keys_of_every_type_find_their_rows(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let keys: [(ColumnType, Vec<Value>); 5] = [
        (
            ColumnType::Text,
            ["", "A", "B", "a", "a b", "aa", "z", "Z", "é", "z\u{301}", "日", "🦀"].map(Value::text).into(),
        ),
        (ColumnType::Integer, [0, -1, 1, 9, 10, -10, i64::MAX, i64::MIN].map(Value::Integer).into()),
        (ColumnType::Boolean, [true, false].map(Value::Boolean).into()),
        (ColumnType::Time, [0, -1, 1, -1_000_000, 999_999, 1_000_000, 100_000].map(|m| Value::Time(time(m))).into()),
        (ColumnType::Uuid, [0, 1, 0xa0, 0x9f, u128::MAX, 1 << 127].map(|n| Value::Uuid(Uuid::from_u128(n))).into()),
    ];
    for (column_type, values) in keys {
        let of_type = table("keyed", &[("key", column_type), ("number", ColumnType::Integer)], 1);
        let rows = values.into_iter().zip(1..).map(|(key, number)| Row(Box::new([key, Value::Integer(number)])));
        comes_back(&*store, &of_type, rows.collect())
            .await
            .map_err(|f| f.when(format_args!("keys of {column_type}")))?;
    }
    Ok(())
}

/// A key of a text, an integer, a boolean, a time and a UUID, declared in another order than the columns.
fn several() -> Table {
    let types = [ColumnType::Uuid, ColumnType::Time, ColumnType::Boolean, ColumnType::Integer, ColumnType::Text];
    let columns: Vec<_> = types.iter().map(|column_type| (column_type.as_str(), *column_type)).collect();
    Table { key: vec![4, 3, 2, 1, 0], ..table("several", &columns, 1) }
}

/// Keys of several columns compare column by column, in the order of the key.
pub async fn keys_of_several_columns_keep_their_order(store: &dyn ReadModelsUnderTest) -> Verdict {
    let mut rows = Vec::new();
    for text in ["", "a", "aa", "b"] {
        for number in [-1, 0, 10] {
            for place in 0..4 {
                rows.push(Row(Box::new([
                    Value::Uuid(Uuid::from_u128(place % 2)),
                    Value::Time(time(i64::from(place < 2))),
                    Value::Boolean(number == 0),
                    Value::Integer(number),
                    Value::text(text),
                ])));
            }
        }
    }
    let store = store.read_models().await?;
    comes_back(&*store, &several(), rows.clone()).await?;
    page_through(&*store, &several(), rows, 5).await
}

/// Rows come as they are asked for: in any order, twice, none where there is none.
pub async fn rows_come_in_the_order_of_the_keys_asked_for(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    publish(&*store, "p", &[(counts("t"), count_rows(&[("a", 1), ("b", 2), ("c", 3)]))]).await?;
    let asked = ["c", "x", "a", "c"].map(key);
    let expected = vec![Some(count("c", 3)), None, Some(count("a", 1)), Some(count("c", 3))];
    equal("the rows", &expected, &store.rows(Side::Live, "p", 0, &asked).await?)?;
    equal("the rows of no keys", &vec![], &store.rows(Side::Live, "p", 0, &[]).await?)
}

/// Pages of every size follow one another, also behind a key that has no row.
pub async fn scans_page_in_the_order_of_the_keys(store: &dyn ReadModelsUnderTest) -> Verdict {
    let store = store.read_models().await?;
    let rows: Vec<Row> = (0..23).map(|number| count(&format!("{}", number * 7), number)).collect();
    publish(&*store, "p", &[(counts("t"), in_order(&counts("t"), rows.clone()))]).await?;
    for limit in [1, 2, 22, 23, 24] {
        page_through(&*store, &counts("t"), rows.clone(), limit).await?;
    }
    let in_order = in_order(&counts("t"), rows);
    for after in ["", "0", "00", "105x", "zz"] {
        let behind: Vec<Row> =
            in_order.iter().filter(|row| row.key(&counts("t")).is_ok_and(|k| k > key(after))).cloned().collect();
        let found = store.scan(Side::Live, "p", 0, Some(&key(after)), 100).await?;
        equal(format_args!("the rows behind {after:?}"), &behind, &found)?;
    }
    equal("a page of no rows", &vec![], &store.scan(Side::Live, "p", 0, None, 0).await?)
}

async fn page_through(
    store: &dyn crate::store::ReadModelStore,
    table: &Table,
    rows: Vec<Row>,
    limit: usize,
) -> Verdict {
    let mut found: Vec<Row> = Vec::new();
    let mut after: Option<RowKey> = None;
    loop {
        let page = store.scan(Side::Live, "p", 0, after.as_ref(), limit).await?;
        if page.len() > limit {
            return Err(Failure::new(format_args!("a page of {limit} rows has {}", page.len())));
        }
        let Some(last) = page.last() else { break };
        let last = last.key(table).map_err(Failure::new)?;
        if after.as_ref().is_some_and(|after| *after >= last) {
            return Err(Failure::new("a page ends before the one before it"));
        }
        after = Some(last);
        found.extend(page);
    }
    equal(format_args!("all pages of {limit} rows"), &in_order(table, rows), &found)
}
