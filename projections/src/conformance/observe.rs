//! Building, publishing and reading back.

use eventlift_events::conformance::{Failure, Verdict};
use eventlift_events::{Position, StoreError};

use super::sample::origin;
use super::subject::equal;
use crate::row::Row;
use crate::store::{ReadModelStore, Side};
use crate::table::Table;

/// The checkpoint of every build that [`build`] makes, and the number of its events.
pub(super) const CHECKPOINT: u64 = 10;

/// Makes a complete shadow build of tables, each with its rows, which come in any order.
pub(super) async fn build(
    store: &dyn ReadModelStore,
    projection: &str,
    tables: &[(Table, Vec<Row>)],
) -> Result<(), StoreError> {
    let declared: Vec<Table> = tables.iter().map(|(table, _)| table.clone()).collect();
    store.begin(projection, &origin("f"), &declared).await?;
    for (number, (table, rows)) in tables.iter().enumerate() {
        store.load(projection, number, in_order(table, rows.clone())).await?;
    }
    store.complete(projection, Some(Position::new(CHECKPOINT)), CHECKPOINT, &[]).await
}

/// Makes a build and swaps it in.
pub(super) async fn publish(
    store: &dyn ReadModelStore,
    projection: &str,
    tables: &[(Table, Vec<Row>)],
) -> Result<(), StoreError> {
    build(store, projection, tables).await?;
    store.swap(&[projection]).await
}

/// The rows in the order of their keys.
pub(super) fn in_order(table: &Table, mut rows: Vec<Row>) -> Vec<Row> {
    // A row without a key comes first; the store refuses it.
    rows.sort_by_key(|row| row.key(table).ok());
    rows
}

/// All rows of a table of a build.
pub(super) async fn all(
    store: &dyn ReadModelStore,
    side: Side,
    projection: &str,
    table: usize,
) -> Result<Vec<Row>, StoreError> {
    store.scan(side, projection, table, None, usize::MAX).await
}

/// Fails unless a table of a build holds exactly these rows, in this order.
pub(super) async fn has(
    store: &dyn ReadModelStore,
    side: Side,
    projection: &str,
    table: usize,
    expected: &[Row],
) -> Verdict {
    let found = all(store, side, projection, table).await?;
    equal(format_args!("the rows of table {table} of the {side} build of {projection}"), &expected.to_vec(), &found)
}

/// Publishes the rows, and fails unless they come back: by scanning and by their keys.
pub(super) async fn comes_back(store: &dyn ReadModelStore, table: &Table, rows: Vec<Row>) -> Verdict {
    let rows = in_order(table, rows);
    publish(store, "p", &[(table.clone(), rows.clone())]).await?;
    has(store, Side::Live, "p", 0, &rows).await?;
    let keys: Result<Vec<_>, _> = rows.iter().map(|row| row.key(table)).collect();
    let keys = keys.map_err(Failure::new)?;
    let found = store.rows(Side::Live, "p", 0, &keys).await?;
    equal("the rows by their keys", &rows.into_iter().map(Some).collect(), &found)
}
