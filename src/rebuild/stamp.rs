//! Snapshots say which rules and which fold made them.

use eventlift_projections::{Row, Table, TableKind, Value, snapshot_columns};

/// Writes a fingerprint into a row of snapshots; other rows stay as they are.
pub(super) fn stamp(table: &Table, row: Option<&mut Row>, fingerprint: &str) {
    let Some(row) = row.filter(|_| table.kind == TableKind::Snapshots) else { return };
    row.0[snapshot_columns::FINGERPRINT] = Value::text(fingerprint);
}
