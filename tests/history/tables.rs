//! What the tables hold, read with plain SQL.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// The rows of tables: by table and key, the other columns as JSON.
pub(super) type Rows = BTreeMap<(String, String), Value>;

const AUTHORS: &str = "SELECT author, json_object('commits', commits, 'files', files, 'lines', lines) FROM authors";

/// Times have six decimals in a table; those of commits are whole seconds.
const COMMITS: &str = "SELECT sha, json_object('author', author, 'recorded_at', replace(recorded_at, '.000000Z', 'Z'),
    'files', files, 'lines', lines) FROM commits";

/// Without position and fingerprint, which are of one store and one set of rules.
const FILE_SNAPSHOTS: &str =
    "SELECT stream, json_object('revision', revision, 'state', json(state)) FROM file_snapshots";

const FILES: &str = "SELECT path, json_object('files', files, 'commits', commits, 'lines', lines) FROM files";

const HISTORIES: &str = "SELECT stream, json_object('path', path, 'commits', commits, 'lines', lines) FROM histories";

const TABLES: [(&str, &str); 5] = [
    ("authors", AUTHORS),
    ("commits", COMMITS),
    ("file_snapshots", FILE_SNAPSHOTS),
    ("files", FILES),
    ("histories", HISTORIES),
];

/// All rows of all tables of the project.
pub(super) fn rows(database: &Path) -> Rows {
    let database = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut rows = Rows::new();
    for (table, query) in TABLES {
        let mut statement = database.prepare(query).unwrap();
        let mut found = statement.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let (key, json): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
            let before = rows.insert((table.to_owned(), key), serde_json::from_str(&json).unwrap());
            assert!(before.is_none(), "{table} has a key twice: {before:?}");
        }
    }
    rows
}

/// Tables with every byte of every column, rows in the order of their keys.
pub(super) type Bytes = BTreeMap<String, Vec<String>>;

/// The tables as they are.
pub(super) fn bytes(database: &Path) -> Bytes {
    let database = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let of_table = |table: &str| {
        let mut statement = database.prepare(&format!("SELECT * FROM {table} ORDER BY 1")).unwrap();
        let columns = statement.column_count();
        let mut found = statement.query([]).unwrap();
        let mut rows = Vec::new();
        while let Some(row) = found.next().unwrap() {
            let values =
                (0..columns).map(|column| format!("{:?}", row.get::<_, rusqlite::types::Value>(column).unwrap()));
            rows.push(values.collect::<Vec<_>>().join(", "));
        }
        rows
    };
    TABLES.iter().map(|(table, _)| ((*table).to_owned(), of_table(table))).collect()
}

/// The first rows that differ, by their places in their tables.
pub(super) fn first_difference(found: &Bytes, expected: &Bytes) -> Option<String> {
    assert!(found.keys().eq(expected.keys()));
    for (table, rows) in found {
        let others = &expected[table];
        let differs = |place: &usize| rows.get(*place) != others.get(*place);
        if let Some(place) = (0..rows.len().max(others.len())).find(differs) {
            return Some(format!("{table}: {:?} is not {:?}", rows.get(place), others.get(place)));
        }
    }
    None
}

/// Fails unless both are the same, and names some rows that differ.
#[track_caller]
pub(super) fn assert_same(found: &Rows, expected: &Rows) {
    let missing = expected.iter().filter(|(key, row)| found.get(key) != Some(row));
    let missing = missing.map(|(key, row)| format!("expected {key:?} {row}\n   found {:?}", found.get(key)));
    let surplus = found.iter().filter(|(key, _)| !expected.contains_key(key));
    let surplus = surplus.map(|(key, row)| format!("   found {key:?} {row}, which is not expected"));
    let different: Vec<String> = missing.chain(surplus).collect();
    let some = &different[..different.len().min(10)];
    assert!(different.is_empty(), "{} rows differ, such as\n{}", different.len(), some.join("\n"));
}
