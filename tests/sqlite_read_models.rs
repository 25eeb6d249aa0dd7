//! Read models in SQLite against the suite that every store of them must pass, and what only SQLite can break.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use eventlift::events::{EventReader, EventWriter, Position, StoreError, StoreErrorKind, Timestamp};
use eventlift::projections::conformance::ReadModelsUnderTest;
use eventlift::projections::{
    Column, ColumnType, Index, Origin, ReadModelStore, Row, RowKey, RowUpdate, Side, SnapshotStore, Step, Table,
    TableKind, Value,
};
use eventlift::rebuild::changes;
use eventlift::stores::ReadModelConfig;
use eventlift::stores::sqlite::{SqliteConfig, SqliteReadModels, SqliteReader, SqliteWriter};
use rusqlite::Connection;
use tempfile::TempDir;

struct Sqlite {
    folder: TempDir,
}

impl Sqlite {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("models.db")
    }

    fn open(&self) -> SqliteReadModels {
        SqliteReadModels::open(SqliteConfig::new(self.path())).unwrap()
    }

    /// A connection as anybody has one.
    fn sqlite3(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(Duration::from_secs(30)).unwrap();
        connection
    }
}

#[async_trait]
impl ReadModelsUnderTest for Sqlite {
    async fn read_models(&self) -> Result<Box<dyn ReadModelStore>, StoreError> {
        Ok(Box::new(SqliteReadModels::open(SqliteConfig::new(self.path()))?))
    }

    async fn snapshots(&self) -> Result<Box<dyn SnapshotStore>, StoreError> {
        Ok(Box::new(SqliteReadModels::open(SqliteConfig::new(self.path()))?))
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

eventlift::projections::read_model_conformance_tests!(store: Sqlite::new(), block_on: block_on);

fn table(name: &str, columns: &[(&str, ColumnType)]) -> Table {
    let column =
        |(name, column_type): &(&str, ColumnType)| Column { name: (*name).to_owned(), column_type: *column_type };
    Table {
        name: name.to_owned(),
        columns: columns.iter().map(column).collect(),
        key: vec![0],
        indexes: vec![],
        kind: TableKind::ReadModel,
    }
}

fn counts(name: &str) -> Table {
    table(name, &[("id", ColumnType::Integer), ("x", ColumnType::Integer)])
}

fn count(id: i64, x: i64) -> Row {
    Row(Box::new([Value::Integer(id), Value::Integer(x)]))
}

fn origin() -> Origin {
    Origin { source: "s".to_owned(), fingerprint: "f".to_owned(), parts: vec![] }
}

fn put(id: i64, x: i64) -> RowUpdate {
    RowUpdate { table: 0, key: RowKey::of(&[Value::Integer(id)]).unwrap(), row: Some(count(id, x)) }
}

fn step(from: u64, to: u64, rows: Vec<RowUpdate>) -> Step {
    Step { from: Some(Position::new(from)), to: Position::new(to), events: 1, rows, quarantined: vec![] }
}

async fn build(store: &dyn ReadModelStore, projection: &str, table: Table, rows: Vec<Row>) {
    store.begin(projection, &origin(), &[table]).await.unwrap();
    store.load(projection, 0, rows).await.unwrap();
    store.complete(projection, Some(Position::new(1)), 1, &[]).await.unwrap();
}

async fn publish(store: &dyn ReadModelStore, projection: &str, table: Table, rows: Vec<Row>) {
    build(store, projection, table, rows).await;
    store.swap(&[projection]).await.unwrap();
}

fn text_of(connection: &Connection, sql: &str) -> String {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut text = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let value = |column| match row.get::<_, rusqlite::types::Value>(column).unwrap() {
            rusqlite::types::Value::Null => "NULL".to_owned(),
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Real(number) => format!("real {number}"),
            rusqlite::types::Value::Text(text) => format!("'{text}'"),
            rusqlite::types::Value::Blob(bytes) => format!("{} bytes", bytes.len()),
        };
        text.push((0..columns).map(value).collect::<Vec<_>>().join(" "));
    }
    text.join("\n")
}

fn numbers(texts: &[&str]) -> (Table, Vec<Row>) {
    let columns = [("id", ColumnType::Text), ("total", ColumnType::Numeric), ("other", ColumnType::Numeric)];
    let row = |(number, text): (usize, &&str)| {
        let total = Value::numeric(text.parse().unwrap());
        Row(Box::new([Value::text(format!("r{number:02}")), total, Value::Null]))
    };
    (table("totals", &columns), texts.iter().enumerate().map(row).collect())
}

/// Whole and not, negative, of any number of digits, in ascending order.
const ASCENDING: [&str; 21] = [
    "-99999999999999999999999999999999999999",
    "-9223372036854775808",
    "-9007199254740993.5",
    "-9007199254740993",
    "-100",
    "-20.5",
    "-9.50",
    "0.00",
    "0.00000000000000000000000000000000000001",
    "9.50",
    "9.6",
    "20",
    "27.70",
    "100",
    "120.50",
    "1178.76",
    "9007199254740992",
    "9007199254740993",
    "9007199254740994.25",
    "9223372036854775807",
    "99999999999999999999999999999999999999",
];

#[tokio::test]
async fn exact_numbers_sort_and_compare_as_numbers_in_plain_sqlite() {
    let sqlite = Sqlite::new();
    let (totals, rows) = numbers(&ASCENDING);
    let mixed: Vec<&str> = (0..ASCENDING.len()).map(|place| ASCENDING[place * 8 % ASCENDING.len()]).collect();
    for index in
        [Vec::new(), vec![Index { columns: vec![1], unique: false }], vec![Index { columns: vec![1], unique: true }]]
    {
        let store = sqlite.open();
        let totals = Table { indexes: index.clone(), ..totals.clone() };
        publish(&store, "p", totals.clone(), numbers(&mixed).1).await;
        let connection = sqlite.sqlite3();
        let ask = |sql: &str| text_of(&connection, sql).replace('\'', "");
        let sorted = |texts: &[&str]| texts.join("\n");
        assert_eq!(ask("SELECT total__exact FROM totals ORDER BY total"), sorted(&ASCENDING), "{index:?}");
        let behind = ASCENDING.iter().position(|text| *text == "100").unwrap();
        assert_eq!(
            ask("SELECT total__exact FROM totals WHERE total > 90 ORDER BY total"),
            sorted(&ASCENDING[behind..])
        );
        assert_eq!(
            ask("SELECT id FROM totals WHERE total = 120.5"),
            ask("SELECT id FROM totals WHERE total__exact = '120.50'")
        );
        assert_eq!(ask("SELECT count(*) FROM totals WHERE total BETWEEN 9.5 AND 27.7"), "4");
        assert_eq!(
            ask("SELECT max(total), min(total) FROM totals WHERE total BETWEEN -2000 AND 2000"),
            "real 1178.76 -100"
        );
        assert_eq!(ask("SELECT total FROM totals WHERE total__exact = '9007199254740993'"), "9007199254740993");
        assert_eq!(ask("SELECT sum(total) FROM totals WHERE total IN (20, 100, 120.5)"), "real 240.5");
        if let [Index { unique: false, .. }] = index[..] {
            assert!(ask("EXPLAIN QUERY PLAN SELECT id FROM totals WHERE total > 90").contains("eventlift_totals_"));
        }
        assert_eq!(store.scan(Side::Live, "p", 0, None, 100).await.unwrap(), numbers(&mixed).1);
    }
    assert_eq!(rows.len(), ASCENDING.len());
}

#[tokio::test]
async fn a_changed_number_is_found_wherever_it_was_changed() {
    let sqlite = Sqlite::new();
    let store = sqlite.open();
    let (totals, rows) = numbers(&["10.10", "7"]);
    for change in
        ["total = 10.2", "total = 10", "total = NULL", "total = '10.1'", "total__exact = '10.2'", "total__exact = NULL"]
    {
        publish(&store, "p", totals.clone(), rows.clone()).await;
        assert_eq!(store.scan(Side::Live, "p", 0, None, 9).await.unwrap(), rows);
        sqlite.sqlite3().execute(&format!("UPDATE totals SET {change} WHERE id = 'r00'"), []).unwrap();
        let error = store.scan(Side::Live, "p", 0, None, 9).await.unwrap_err();
        assert!(matches!(error.kind, StoreErrorKind::Unexpected(_)), "{change}: {error}");
        assert!(error.to_string().contains("different numbers"), "{change}: {error}");
    }
}

#[tokio::test]
async fn the_names_of_digits_are_taken() {
    let sqlite = Sqlite::new();
    let columns = [("id", ColumnType::Text), ("total", ColumnType::Numeric), ("TOTAL__exact", ColumnType::Text)];
    let error = sqlite.open().begin("p", &origin(), &[table("t", &columns)]).await.unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::Unsupported(_)), "{error}");
    assert!(error.to_string().contains("`total__exact`"), "{error}");
}

/// Read models that a version before has built, with exact numbers as nothing but text.
#[tokio::test]
async fn a_build_with_numbers_as_text_is_another_one_and_is_not_mixed_with_numbers() {
    let sqlite = Sqlite::new();
    let store = sqlite.open();
    let (totals, rows) = numbers(&["10.10", "7"]);
    publish(&store, "p", totals.clone(), rows.clone()).await;
    let made_now = store.builds("p").await.unwrap().live.unwrap();
    let connection = sqlite.sqlite3();
    connection
        .execute_batch(
            "CREATE TABLE old (id TEXT NOT NULL, total TEXT, other TEXT, PRIMARY KEY (id)) STRICT, WITHOUT ROWID;
             INSERT INTO old SELECT id, total__exact, other__exact FROM totals;
             DROP TABLE totals;
             ALTER TABLE old RENAME TO totals;",
        )
        .unwrap();
    // What is recorded of it is no longer what would be recorded now.
    let as_text = store.builds("p").await.unwrap().live.unwrap();
    assert_ne!(as_text.origin, made_now.origin);
    assert_eq!(changes(Some(&as_text), &made_now.origin), ["keeping exact numbers as text was removed"]);
    let update = RowUpdate { table: 0, key: RowKey::text("r00"), row: Some(rows[0].clone()) };
    let refused = [
        store.scan(Side::Live, "p", 0, None, 9).await.unwrap_err(),
        store.rows(Side::Live, "p", 0, &[RowKey::text("r00")]).await.unwrap_err(),
        store.step(Side::Live, "p", &step(1, 2, vec![update])).await.unwrap_err(),
    ];
    for error in refused {
        assert!(matches!(error.kind, StoreErrorKind::Unsupported(_)), "{error}");
        assert!(error.to_string().contains("exact numbers are text"), "{error}");
        assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("eventlift rebuild")), "{error:?}");
    }
    // A new build takes its place, and it can still be swapped back.
    publish(&store, "p", totals.clone(), rows.clone()).await;
    assert_eq!(store.scan(Side::Live, "p", 0, None, 9).await.unwrap(), rows);
    assert_eq!(store.builds("p").await.unwrap().live.unwrap().origin, made_now.origin);
    store.undo(&["p"]).await.unwrap();
    assert_eq!(store.builds("p").await.unwrap().live.unwrap().origin, as_text.origin);
    assert_eq!(text_of(&connection, "SELECT total FROM totals ORDER BY id"), "'10.10'\n'7'");
    store.undo(&["p"]).await.unwrap();
    assert_eq!(store.builds("p").await.unwrap().live.unwrap().origin, made_now.origin);
}

/// What somebody with `sqlite3` sees.
#[tokio::test]
async fn plain_sqlite_reads_the_tables() {
    let sqlite = Sqlite::new();
    let store = sqlite.open();
    let columns: Vec<_> = ColumnType::ALL.map(|column_type| (column_type.as_str(), column_type)).into();
    let full = |name: &str, moment: i64| {
        Row(Box::new([
            Value::text(name),
            Value::Integer(7),
            Value::numeric("10.10".parse().unwrap()),
            Value::Boolean(true),
            Value::Time(Timestamp::from_micros(moment).unwrap()),
            Value::Uuid(uuid::Uuid::from_u128(10)),
            Value::Json(r#"{"a": [1.0]}"#.into()),
        ]))
    };
    let rows = vec![full("Ada", 1_714_564_800_000_000), full("Bob", -1)];
    let all = Table { indexes: vec![Index { columns: vec![1, 4], unique: true }], ..table("everything", &columns) };
    publish(&store, "p", all.clone(), rows.clone()).await;
    let connection = sqlite.sqlite3();
    assert_eq!(
        text_of(&connection, "SELECT * FROM everything ORDER BY time DESC"),
        "'Ada' 7 real 10.1 1 '2024-05-01T12:00:00.000000Z' '00000000-0000-0000-0000-00000000000a' '{\"a\": [1.0]}' '10.10'\n\
         'Bob' 7 real 10.1 1 '1969-12-31T23:59:59.999999Z' '00000000-0000-0000-0000-00000000000a' '{\"a\": [1.0]}' '10.10'"
    );
    assert_eq!(text_of(&connection, "SELECT json ->> '$.a[0]' FROM everything LIMIT 1"), "real 1");
    assert_eq!(
        text_of(&connection, "SELECT name, type FROM pragma_table_xinfo('everything')"),
        "'text' 'TEXT'\n'integer' 'INTEGER'\n'numeric' 'ANY'\n'boolean' 'INTEGER'\n'time' 'TEXT'\n'uuid' 'TEXT'\n'json' 'TEXT'\n\
         'numeric__exact' 'TEXT'"
    );
    let lists = |name| text_of(&connection, &format!("SELECT wr, strict FROM pragma_table_list('{name}')"));
    assert_eq!(lists("everything"), "0 1");
    publish(&store, "q", counts("plain"), vec![count(1, 2)]).await;
    assert_eq!(lists("plain"), "1 1");
    assert_eq!(text_of(&connection, "PRAGMA journal_mode"), "'wal'");
    // Built again, it is the same, and its indexes have names of their own.
    publish(&store, "p", all, rows).await;
    assert_eq!(
        text_of(
            &connection,
            "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1"
        ),
        "'eventlift_everything_1_1' 'everything__previous'\n'eventlift_everything_2_1' 'everything'"
    );
    assert_eq!(
        text_of(&connection, "SELECT projection, side, generation, checkpoint, is_complete FROM eventlift_projections"),
        "'p' 'live' 2 '1' 1\n'p' 'previous' 1 '1' 1\n'q' 'live' 1 '1' 1"
    );
    assert_eq!(text_of(&connection, "PRAGMA integrity_check"), "'ok'");
}

/// Views, triggers, indexes and foreign keys that others made speak of the live table, whichever that is.
#[tokio::test]
async fn what_others_made_goes_along_with_the_name() {
    let sqlite = Sqlite::new();
    let store = sqlite.open();
    publish(&store, "p", counts("totals"), vec![count(1, 10)]).await;
    let connection = sqlite.sqlite3();
    connection
        .execute_batch(
            "CREATE TABLE changes (id INTEGER, x INTEGER);
             CREATE TABLE notes (total INTEGER REFERENCES totals (id), note TEXT);
             CREATE VIEW doubled AS SELECT id, x * 2 AS x FROM totals;
             CREATE INDEX \"by x\" ON totals (x) WHERE x > 0;
             CREATE TRIGGER changed AFTER UPDATE ON totals BEGIN INSERT INTO changes SELECT id, x FROM totals WHERE id = new.id; END;",
        )
        .unwrap();
    let made = || {
        text_of(
            &connection,
            "SELECT type, name, tbl_name, sql FROM sqlite_schema
             WHERE name IN ('doubled', 'by x', 'changed', 'notes') ORDER BY name",
        )
    };
    let before = made();
    for round in 2..=4 {
        publish(&store, "p", counts("totals"), vec![count(1, round * 10)]).await;
        assert_eq!(text_of(&connection, "SELECT * FROM doubled"), format!("1 {}", round * 20));
        store.step(Side::Live, "p", &step(1, 2, vec![put(1, round)])).await.unwrap();
        assert_eq!(text_of(&connection, "SELECT * FROM changes ORDER BY rowid DESC LIMIT 1"), format!("1 {round}"));
        assert_eq!(before, made());
    }
    store.undo(&["p"]).await.unwrap();
    store.step(Side::Live, "p", &step(2, 3, vec![put(1, 99)])).await.unwrap();
    assert_eq!(text_of(&connection, "SELECT count(*), max(x) FROM changes"), "4 99");
    assert_eq!(text_of(&connection, "SELECT * FROM doubled"), "1 198");
    assert_eq!(before, made());
    // A step on a shadow fires nothing.
    build(&store, "p", counts("totals"), vec![count(1, 1)]).await;
    store.step(Side::Shadow, "p", &step(1, 2, vec![put(1, 5)])).await.unwrap();
    assert_eq!(text_of(&connection, "SELECT count(*) FROM changes"), "4");
}

/// An index of others that the new table can't have stops the swap, by its name.
#[tokio::test]
async fn an_index_that_does_not_fit_the_new_table_stops_the_swap() {
    let sqlite = Sqlite::new();
    let store = sqlite.open();
    publish(&store, "p", counts("totals"), vec![count(1, 10)]).await;
    let connection = sqlite.sqlite3();
    connection.execute_batch("CREATE INDEX mine ON totals (\"x\")").unwrap();
    let renamed = table("totals", &[("id", ColumnType::Integer), ("y", ColumnType::Integer)]);
    build(&store, "p", renamed, vec![count(1, 20)]).await;
    let error = store.swap(&["p"]).await.unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::Unexpected(_)), "{error}");
    assert!(error.to_string().contains("the index `mine`, which eventlift did not make"), "{error}");
    assert!(error.hint.unwrap().contains("drop the index `mine`"));
    assert_eq!(text_of(&connection, "SELECT x FROM totals INDEXED BY mine"), "10");
    connection.execute_batch("DROP INDEX mine").unwrap();
    store.swap(&["p"]).await.unwrap();
    assert_eq!(text_of(&connection, "SELECT y FROM totals"), "20");
    connection.execute_batch("CREATE UNIQUE INDEX mine ON totals (y)").unwrap();
    let error = store.step(Side::Live, "p", &step(1, 2, vec![put(2, 20)])).await.unwrap_err();
    assert!(error.to_string().contains('y'), "{error}");
}

/// Tables, views and indexes that nobody recorded as ours are never touched, wherever they stand in the way.
#[tokio::test]
async fn what_is_not_ours_is_never_touched() {
    for name in ["t", "T__NEXT", "t__previous"] {
        for create in ["CREATE TABLE {} (mine)", "CREATE VIEW {} AS SELECT 1 AS mine", "CREATE INDEX {} ON other (a)"] {
            let sqlite = Sqlite::new();
            let connection = sqlite.sqlite3();
            connection.execute_batch("CREATE TABLE other (a)").unwrap();
            connection.execute_batch(&create.replace("{}", name)).unwrap();
            let before = text_of(&connection, "SELECT name, sql FROM sqlite_schema");
            let store = sqlite.open();
            let error = store.begin("p", &origin(), &[counts("t")]).await.unwrap_err();
            assert!(matches!(error.kind, StoreErrorKind::Unexpected(_)), "{error}");
            assert!(error.to_string().contains("that eventlift did not make"), "{error}");
            store.begin("p", &origin(), &[counts("u")]).await.unwrap();
            store.discard("p").await.unwrap();
            let theirs = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'eventlift%' AND tbl_name NOT LIKE 'eventlift%'";
            assert_eq!(before, text_of(&connection, theirs));
        }
    }
    // Two of a projection's own tables that would meet.
    let error = Sqlite::new().open().begin("p", &origin(), &[counts("a"), counts("a__next")]).await.unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::Unsupported(_)), "{error}");
}

/// What comes to stand in the way between a build's begin and its swap.
#[tokio::test]
async fn a_swap_onto_a_foreign_table_is_refused() {
    let sqlite = Sqlite::new();
    let store = sqlite.open();
    build(&store, "p", counts("t"), vec![count(1, 1)]).await;
    let connection = sqlite.sqlite3();
    connection.execute_batch("CREATE TABLE t (mine); INSERT INTO t VALUES (1)").unwrap();
    let error = store.swap(&["p"]).await.unwrap_err();
    assert!(error.to_string().contains("there is a table `t` that eventlift did not make"), "{error}");
    assert_eq!(text_of(&connection, "SELECT mine FROM t"), "1");
    connection.execute_batch("DROP TABLE t").unwrap();
    store.swap(&["p"]).await.unwrap();
    publish(&store, "p", counts("u"), vec![]).await;
    connection.execute_batch("CREATE TABLE t (mine)").unwrap();
    assert!(store.undo(&["p"]).await.unwrap_err().to_string().contains("`t`"));
    assert_eq!(text_of(&connection, "SELECT count(*) FROM u"), "0");
}

/// A live table that something else changed is not worked on; a rebuild repairs it.
#[tokio::test]
async fn a_table_changed_by_something_else_is_found() {
    for (change, difference) in [
        ("DROP TABLE t", "it is gone"),
        ("ALTER TABLE t ADD COLUMN y TEXT", "the column `y` was added"),
        ("ALTER TABLE t DROP COLUMN x", "the column `x` is gone"),
        ("ALTER TABLE t RENAME COLUMN x TO z", "column 2 is `z`, not `x`"),
        ("DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)", "the column `x` is TEXT, not INTEGER"),
        ("DROP TABLE t; CREATE TABLE t (id INTEGER, x INTEGER)", "the key is another one"),
    ] {
        let sqlite = Sqlite::new();
        let store = sqlite.open();
        publish(&store, "p", counts("t"), vec![count(1, 1)]).await;
        sqlite.sqlite3().execute_batch(change).unwrap();
        let key = RowKey::of(&[Value::Integer(1)]).unwrap();
        let errors = [
            store.step(Side::Live, "p", &step(1, 2, vec![put(1, 2)])).await.unwrap_err(),
            store.rows(Side::Live, "p", 0, &[key]).await.unwrap_err(),
            store.scan(Side::Live, "p", 0, None, 1).await.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error.kind, StoreErrorKind::Unexpected(_)), "{error}");
            assert!(error.to_string().contains(difference), "{error}");
            assert!(error.hint.unwrap().contains("rebuild"));
        }
        publish(&store, "p", counts("t"), vec![count(1, 3)]).await;
        assert_eq!(store.scan(Side::Live, "p", 0, None, 9).await.unwrap(), [count(1, 3)], "{change}");
        publish(&store, "p", counts("t"), vec![count(1, 4)]).await;
        store.undo(&["p"]).await.unwrap();
        assert_eq!(store.scan(Side::Live, "p", 0, None, 9).await.unwrap(), [count(1, 3)], "{change}");
    }
}

/// Readers with a connection of their own, through 200 rebuilds, see whole generations only, and never wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_their_own_see_whole_generations() {
    const ROWS: i64 = 200;
    let sqlite = Sqlite::new();
    let store = sqlite.open();
    let rows = |round: i64| (0..ROWS).map(|id| count(id, round)).collect::<Vec<_>>();
    let indexed = Table { indexes: vec![Index { columns: vec![1], unique: false }], ..counts("t") };
    publish(&store, "p", indexed.clone(), rows(0)).await;
    let done = Arc::new(AtomicBool::new(false));
    let (path, reading) = (sqlite.path(), Arc::clone(&done));
    let reader = std::thread::spawn(move || {
        // No patience: a reader that had to wait would fail.
        let connection = Connection::open(path).unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        let (mut seen, mut looks) = (-1, 0_u64);
        while !reading.load(Ordering::Relaxed) {
            let (count, sum): (i64, i64) = connection
                .prepare_cached("SELECT count(*), sum(x) FROM t")
                .unwrap()
                .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap();
            assert_eq!((count, sum % ROWS), (ROWS, 0), "part of a generation");
            assert!(sum / ROWS >= seen, "an older generation came back");
            seen = sum / ROWS;
            looks += 1;
        }
        (seen, looks)
    });
    for round in 1..=200 {
        store.begin("p", &origin(), std::slice::from_ref(&indexed)).await.unwrap();
        for part in rows(round).chunks(50) {
            store.load("p", 0, part.to_vec()).await.unwrap();
        }
        store.complete("p", Some(Position::new(1)), 1, &[]).await.unwrap();
        store.swap(&["p"]).await.unwrap();
        assert!(!reader.is_finished(), "the reader failed in round {round}");
    }
    done.store(true, Ordering::Relaxed);
    let (seen, looks) = reader.join().unwrap();
    assert!(seen > 100 && looks > 200, "the reader hardly read: {looks} times, up to {seen}");
}

#[tokio::test]
#[ignore = "runs in a process that is started by another test"]
async fn child_rebuilds() {
    let path = PathBuf::from(std::env::var_os("EVENTLIFT_CHILD_TARGET").unwrap());
    let store = SqliteReadModels::open(SqliteConfig::new(path)).unwrap();
    let _held = store.hold("p").await.unwrap();
    loop {
        let begun = store.begin("p", &origin(), &[counts("t"), counts("u")]).await.unwrap();
        let x = begun.generation.cast_signed();
        for part in 0..4 {
            for number in 0..2 {
                let rows = (part * 250..(part + 1) * 250).map(|id| count(id, x)).collect();
                store.load("p", number, rows).await.unwrap();
            }
        }
        store.complete("p", Some(Position::new(1)), 1, &[]).await.unwrap();
        store.swap(&["p"]).await.unwrap();
        let updates = (0..1_000).map(|id| put(id, -x));
        let both = updates.flat_map(|update| [update.clone(), RowUpdate { table: 1, ..update }]).collect();
        store.step(Side::Live, "p", &step(1, 2, both)).await.unwrap();
    }
}

/// Wherever a builder is killed, what is live is one whole generation, and the next one builds on.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_builder_leaves_the_live_tables_whole() {
    let kills: u32 = std::env::var("EVENTLIFT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(12);
    let sqlite = Sqlite::new();
    let mut last = 0;
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "sqlite_read_models::child_rebuilds"])
            .env("EVENTLIFT_CHILD_TARGET", sqlite.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos();
        std::thread::sleep(Duration::from_micros(u64::from(nanos % 97) * 2_000 + 60_000));
        assert!(child.try_wait().unwrap().is_none(), "the builder failed by itself after {kill} kills");
        child.kill().unwrap();
        child.wait().unwrap();
        let store = sqlite.open();
        assert!(!store.is_held("p").await.unwrap(), "a killed process holds nothing");
        let Some(live) = store.builds("p").await.unwrap().live else { continue };
        let x = match live.checkpoint {
            Some(position) if position == Position::new(1) => live.generation.cast_signed(),
            _ => -live.generation.cast_signed(),
        };
        let connection = sqlite.sqlite3();
        for name in ["t", "u"] {
            let found = text_of(&connection, &format!("SELECT count(*), min(x), max(x) FROM {name}"));
            assert_eq!(found, format!("1000 {x} {x}"), "table {name} after {kill} kills");
        }
        assert_eq!(text_of(&connection, "PRAGMA integrity_check"), "'ok'");
        assert!(live.generation >= last);
        last = live.generation;
    }
    assert!(last > 2, "nothing was ever built");
}

/// Events and read models in one file, opened in either order, and both go on.
#[tokio::test]
async fn a_database_of_events_holds_read_models_too() {
    let sqlite = Sqlite::new();
    let mut writer = SqliteWriter::open(SqliteConfig::new(sqlite.path())).unwrap();
    let events = crate::rulebook::log(300, 3);
    writer.append(&events[..100], None).await.unwrap();
    let store = sqlite.open();
    build(&store, "p", counts("t"), vec![count(1, 1)]).await;
    writer.append(&events[100..200], None).await.unwrap();
    writer.seal(true).await.unwrap();
    store.swap(&["p"]).await.unwrap();
    drop(writer);
    let mut writer = SqliteWriter::open(SqliteConfig::new(sqlite.path())).unwrap();
    writer.append(&events[200..], None).await.unwrap();
    let reader = SqliteReader::open(SqliteConfig::new(sqlite.path())).unwrap();
    assert_eq!(reader.head().await.unwrap(), events.last().map(|event| event.position));
    store.step(Side::Live, "p", &step(1, 2, vec![put(2, 2)])).await.unwrap();
    assert_eq!(text_of(&sqlite.sqlite3(), "SELECT count(*), (SELECT count(*) FROM t) FROM events"), "300 2");
    assert_eq!(text_of(&sqlite.sqlite3(), "PRAGMA journal_mode"), "'wal'");
}

/// Looking creates nothing and changes nothing.
#[tokio::test]
async fn looking_changes_nothing() {
    let sqlite = Sqlite::new();
    let parsed: toml::Table = "store = 'sqlite'\npath = 'models.db'".parse().unwrap();
    let config = ReadModelConfig::from_table(parsed, sqlite.folder.path()).unwrap();
    assert_eq!(config.local_file(), Some(&*sqlite.path()));
    assert!(config.look().await.unwrap().is_none());
    assert_eq!(std::fs::read_dir(sqlite.folder.path()).unwrap().count(), 0);

    sqlite.sqlite3().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let before = std::fs::read(sqlite.path()).unwrap();
    let looked = config.look().await.unwrap().unwrap();
    assert_eq!(looked.projections().await.unwrap(), Vec::<String>::new());
    assert_eq!(looked.builds("p").await.unwrap(), Default::default());
    assert_eq!(looked.runs().await.unwrap(), []);
    let error = looked.begin("p", &origin(), &[counts("t")]).await.unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::ReadOnly), "{error}");
    assert!(matches!(looked.hold("p").await.unwrap_err().kind, StoreErrorKind::ReadOnly));
    assert_eq!(before, std::fs::read(sqlite.path()).unwrap());

    let store = config.open().await.unwrap();
    publish(&*store, "p", counts("t"), vec![count(1, 1)]).await;
    assert_eq!(looked.scan(Side::Live, "p", 0, None, 9).await.unwrap(), [count(1, 1)]);
    let file: toml::Table = "store = 'file'\npath = 'x'".parse().unwrap();
    let refused = ReadModelConfig::from_table(file, Path::new("")).unwrap_err();
    assert_eq!(refused.to_string(), "the store `file` can't hold read models (one of postgres, sqlite)");
}

/// What can't be opened says why.
#[test]
fn what_is_no_database_is_refused() {
    let sqlite = Sqlite::new();
    let open = |path: &Path| SqliteReadModels::open(SqliteConfig::new(path)).unwrap_err();
    std::fs::write(sqlite.path(), "this is no database, but long enough to be read as one ".repeat(40)).unwrap();
    assert!(open(&sqlite.path()).to_string().contains("it is not a SQLite database"));
    assert!(matches!(open(sqlite.folder.path()).kind, StoreErrorKind::Unexpected(_)));
    assert!(matches!(open(&sqlite.folder.path().join("no/such.db")).kind, StoreErrorKind::Missing));
}

/// Rows a second, and how far the log grows: `cargo test --release --test main -- --ignored --nocapture measure_`.
#[tokio::test]
#[ignore = "measures"]
async fn measure_loads_steps_and_reads() {
    const ROWS: i64 = 1_000_000;
    let sqlite = Sqlite::new();
    let store = sqlite.open();
    let columns = [
        ("id", ColumnType::Text),
        ("name", ColumnType::Text),
        ("orders", ColumnType::Integer),
        ("total", ColumnType::Numeric),
        ("active", ColumnType::Boolean),
    ];
    let row = |number: i64| {
        Row(Box::new([
            Value::text(format!("customer-{number:08}")),
            Value::text(format!("Name {number}")),
            Value::Integer(number),
            Value::numeric(format!("{number}.10").parse().unwrap()),
            Value::Boolean(number % 2 == 0),
        ]))
    };
    let rate = |what: &str, rows: i64, begun: Instant| {
        println!("{what}: {:.0} rows/s", rows as f64 / begun.elapsed().as_secs_f64());
    };
    for portion in [10_000, 50_000] {
        let batches: Vec<Vec<Row>> =
            (0..ROWS / portion).map(|b| (b * portion..(b + 1) * portion).map(row).collect()).collect();
        store.begin("p", &origin(), &[table("customers", &columns)]).await.unwrap();
        let begun = Instant::now();
        for batch in batches {
            store.load("p", 0, batch).await.unwrap();
        }
        rate(&format!("load, {portion} a call"), ROWS, begun);
        let log = std::fs::metadata(sqlite.folder.path().join("models.db-wal")).unwrap().len();
        println!("the log has {} MiB", log >> 20);
        assert!(log < 128 << 20);
        let begun = Instant::now();
        store.complete("p", Some(Position::new(1)), 1, &[]).await.unwrap();
        store.swap(&["p"]).await.unwrap();
        println!("complete and swap: {} ms", begun.elapsed().as_millis());
    }
    let update = |number: i64| {
        let row = row(number);
        RowUpdate { table: 0, key: row.key(&table("customers", &columns)).unwrap(), row: Some(row) }
    };
    let steps: Vec<Step> = (1..=50)
        .map(|s| step(s, s + 1, (0..2_000).map(|n| update((n * 497 + s.cast_signed() * 13) % ROWS)).collect()))
        .collect();
    let begun = Instant::now();
    for step in &steps {
        store.step(Side::Live, "p", step).await.unwrap();
    }
    rate("step, 2000 scattered rows a call", 100_000, begun);
    let keys: Vec<RowKey> = (0..100_000).map(|n| update(n * 9_973 % ROWS).key).collect();
    let begun = Instant::now();
    for keys in keys.chunks(1_000) {
        store.rows(Side::Live, "p", 0, keys).await.unwrap();
    }
    rate("rows, 1000 scattered keys a call", 100_000, begun);
    let (begun, mut after, mut found) = (Instant::now(), None::<RowKey>, 0);
    loop {
        let page = store.scan(Side::Live, "p", 0, after.as_ref(), 10_000).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key(&table("customers", &columns)).unwrap());
        found += page.len();
    }
    assert_eq!(found as i64, ROWS);
    rate("scan, 10000 a call", ROWS, begun);
}
