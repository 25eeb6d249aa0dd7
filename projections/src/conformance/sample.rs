//! Made-up tables, rows and builds, the same on every run of the suite.

use eventlift_events::{EventId, Position, Revision, StreamName, Timestamp};
use uuid::Uuid;

use crate::row::{Row, RowKey};
use crate::store::{Origin, Quarantined, RowUpdate, Step};
use crate::table::{Column, Index, Table, TableKind};
use crate::value::{ColumnType, Value};

/// A table with these columns, of which the first `key` are the key.
pub(super) fn table(name: &str, columns: &[(&str, ColumnType)], key: usize) -> Table {
    let column =
        |(name, column_type): &(&str, ColumnType)| Column { name: (*name).to_owned(), column_type: *column_type };
    Table {
        name: name.to_owned(),
        columns: columns.iter().map(column).collect(),
        key: (0..key).collect(),
        indexes: Vec::new(),
        kind: TableKind::ReadModel,
    }
}

/// A table with a text as its key and a number.
pub(super) fn counts(name: &str) -> Table {
    table(name, &[("id", ColumnType::Text), ("number", ColumnType::Integer)], 1)
}

/// The same with an index of the number.
pub(super) fn indexed(name: &str, unique: bool) -> Table {
    Table { indexes: vec![Index { columns: vec![1], unique }], ..counts(name) }
}

/// A row of [`counts`].
pub(super) fn count(id: &str, number: i64) -> Row {
    Row(Box::new([Value::text(id), Value::Integer(number)]))
}

/// Rows of [`counts`].
pub(super) fn count_rows(rows: &[(&str, i64)]) -> Vec<Row> {
    rows.iter().map(|(id, number)| count(id, *number)).collect()
}

pub(super) fn key(id: &str) -> RowKey {
    RowKey::text(id)
}

/// Puts a row of [`counts`] into the first table.
pub(super) fn put(id: &str, number: i64) -> RowUpdate {
    RowUpdate { table: 0, key: key(id), row: Some(count(id, number)) }
}

/// Deletes a row of [`counts`] from the first table.
pub(super) fn delete(id: &str) -> RowUpdate {
    RowUpdate { table: 0, key: key(id), row: None }
}

/// A step between two positions, of as many events as lie between them.
pub(super) fn step(from: u64, to: u64, rows: Vec<RowUpdate>) -> Step {
    Step { from: Some(Position::new(from)), to: Position::new(to), events: to - from, rows, quarantined: Vec::new() }
}

pub(super) fn origin(fingerprint: &str) -> Origin {
    Origin {
        source: "file:/events \"ü\"".to_owned(),
        fingerprint: fingerprint.to_owned(),
        parts: vec![("fold".to_owned(), format!("{fingerprint}-1")), ("rules".to_owned(), "2".to_owned())],
    }
}

#[expect(clippy::expect_used, reason = "the suite's own times")]
pub(super) fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).expect("every time in the suite is in range") // written in the suite, never read from a store
}

#[expect(clippy::expect_used, reason = "the suite's own names")]
pub(super) fn stream(name: &str) -> StreamName {
    StreamName::new(name).expect("no name in the suite is empty") // written in the suite, never read from a store
}

/// The quarantined event at a position.
pub(super) fn quarantined(position: u64, held: Option<(usize, RowKey)>) -> Quarantined {
    Quarantined {
        held,
        id: EventId::uuid(Uuid::from_u128(u128::from(position))),
        stream: stream(&format!("order-'{position}'")),
        revision: Revision(position * 2),
        position: Position::new(position),
        reason: format!("\"total\" is null\nat {position}"),
    }
}
