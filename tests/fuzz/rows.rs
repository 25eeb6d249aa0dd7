//! Rows and keys that were put aside on disk, read back from any bytes.

use eventlift::projections::{Column, ColumnType, Row, RowKey, Table, TableKind};

use super::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "rows",
    dictionary: &[
        "\u{0}",
        "\u{1}",
        "\u{2}",
        "\u{7f}",
        "{\"a\":1}",
        "12.50",
        "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{1}",
    ],
    always: 20_000,
    run,
};

const TYPES: [ColumnType; 7] = [
    ColumnType::Text,
    ColumnType::Integer,
    ColumnType::Numeric,
    ColumnType::Boolean,
    ColumnType::Time,
    ColumnType::Uuid,
    ColumnType::Json,
];

/// The first byte says how many columns there are, and of which types.
fn run(input: &[u8]) -> Result<String, String> {
    let Some((first, bytes)) = input.split_first() else { return Ok("empty".to_owned()) };
    let types: Vec<ColumnType> = (0..1 + usize::from(first >> 3 & 3))
        .map(|place| TYPES[(usize::from(first & 7) + place) % TYPES.len()])
        .collect();
    let columns = types
        .iter()
        .enumerate()
        .map(|(place, column_type)| Column { name: format!("c{place}"), column_type: *column_type });
    let table = Table {
        name: "t".to_owned(),
        columns: columns.collect(),
        key: vec![0],
        indexes: vec![],
        kind: TableKind::ReadModel,
    };
    let row = match Row::decode(&table, bytes) {
        Ok(row) => row,
        Err(reason) => return Ok(format!("refused {}", reason.message)),
    };
    let mut again = Vec::new();
    row.encode(&mut again).map_err(|reason| format!("it can't be written again: {}", reason.message))?;
    let read = Row::decode(&table, &again).map_err(|reason| format!("it can't be read again: {}", reason.message))?;
    if read != row {
        return Err(format!("{row:?} came back as {read:?}"));
    }
    if let Ok(key) = RowKey::of(&row.0) {
        let values = key.values(&types).map_err(|reason| format!("its key can't be read: {}", reason.message))?;
        let same = RowKey::of(&values).map_err(|reason| format!("its key can't be made again: {}", reason.message))?;
        if same != key {
            return Err(format!("the key of {row:?} came back as another one"));
        }
    }
    Ok(format!("row {types:?}"))
}
