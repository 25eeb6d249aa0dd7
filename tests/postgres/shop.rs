//! The shop against a server: one line of its eventlift.toml names it, and everything is what it is in SQLite.

use std::fs;
use std::path::Path;

use rusqlite::types::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row, ValueRef};
use tempfile::TempDir;

use super::database::Database;
use crate::command_line::eventlift;
use crate::shop::{copied, shop_folder};

/// The lines that are changed.
pub(crate) const TARGET: &str = "url = \"sqlite:shop.db\"";
pub(crate) const READ_MODELS: &str = "url = \"sqlite:read_models.db\"";

/// A shop with other lines.
pub(crate) fn with(changes: &[(&str, String)]) -> TempDir {
    let folder = copied();
    let file = folder.path().join("shop/eventlift.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    for (line, other) in changes {
        assert_eq!(text.lines().filter(|found| found == line).count(), 1, "{line}");
        text = text.replacen(line, other, 1);
    }
    fs::write(file, text).unwrap();
    folder
}

/// Runs every command that a user runs, and returns what they print.
fn go_through(folder: &Path) -> String {
    let commands: [&[&str]; 10] = [
        &["check"],
        &["plan"],
        &["migrate"],
        &["migrate"],
        &["verify"],
        &["status"],
        &["runs"],
        &["rebuild"],
        &["rebuild", "customers"],
        &["verify"],
    ];
    let mut said = String::new();
    for command in commands {
        let output = eventlift(folder, &[&command[..1], &["shop"], &command[1..]].concat());
        let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(0), "{command:?}: {stdout}{stderr}");
        said += &stdout;
    }
    said
}

/// The shop as everybody runs it, in SQLite.
fn in_sqlite() -> TempDir {
    let folder = copied();
    assert!(eventlift(folder.path(), &["migrate", "shop"]).status.success());
    folder
}

/// The rows of a query as text, NULL as nothing.
fn sqlite_rows(database: &Path, query: &str) -> Vec<Vec<Option<String>>> {
    let database = rusqlite::Connection::open(database).unwrap();
    let mut statement = database.prepare(query).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let cell = |column| {
            Ok(match row.get::<_, Value>(column)? {
                Value::Null => None,
                Value::Integer(number) => Some(number.to_string()),
                Value::Text(text) => Some(text),
                other => panic!("{query}: {other:?}"),
            })
        };
        (0..columns).map(cell).collect()
    });
    rows.unwrap().collect::<Result<_, _>>().unwrap()
}

async fn postgres_rows(connection: &mut PgConnection, query: &str) -> Vec<Vec<Option<String>>> {
    // Without parameters, whatever there is comes as text.
    let rows =
        sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(connection).await.unwrap_or_else(|e| panic!("{query}: {e}"));
    let cell = |row: &sqlx::postgres::PgRow, column| {
        let value = row.try_get_raw(column).unwrap();
        (!value.is_null()).then(|| value.as_str().unwrap().to_owned())
    };
    rows.iter().map(|row| (0..row.len()).map(|column| cell(row, column)).collect()).collect()
}

/// Every column of the events, in their order. `{time}` stands for microseconds.
const EVENTS: &str = "SELECT position, stream, revision, id, type, schema_version, {time}, data, metadata, data_type,
    metadata_type, attributes FROM events ORDER BY position";

async fn events(connection: &mut PgConnection) -> Vec<Vec<Option<String>>> {
    let time = "(extract(epoch FROM recorded_at) * 1000000)::bigint";
    postgres_rows(connection, &EVENTS.replace("{time}", time)).await
}

fn events_of(folder: &Path) -> Vec<Vec<Option<String>>> {
    let rows = sqlite_rows(&folder.join("shop/shop.db"), &EVENTS.replace("{time}", "recorded_at"));
    assert_eq!(rows.len(), 315);
    rows
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn one_line_puts_the_target_on_a_server() {
    let database = Database::create().await;
    let folder = with(&[(TARGET, format!("url = \"{}\"", database.url()))]);
    let said = go_through(folder.path());
    assert!(!folder.path().join("shop/shop.db").exists());
    assert!(!said.contains("by value"), "{said}");
    let reference = in_sqlite();
    assert_eq!(events(&mut database.connect().await).await, events_of(reference.path()));
    // Read models are where they were, and are made of the same.
    compare_sqlite_read_models(folder.path(), reference.path());
}

fn compare_sqlite_read_models(one: &Path, other: &Path) {
    for table in TABLES {
        let query = format!("SELECT {} FROM {table}", columns(other, table).join(", "));
        let rows = |folder: &Path| sqlite_rows(&folder.join("shop/read_models.db"), &query);
        assert_eq!(rows(one), rows(other), "{table}");
    }
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn as_jsonb_the_events_are_the_same_values() {
    let database = Database::create().await;
    let lines = format!("url = \"{}\"\ndata = \"jsonb\"\nmetadata = \"jsonb\"", database.url());
    let folder = with(&[(TARGET, lines)]);
    let planned = String::from_utf8(eventlift(folder.path(), &["plan", "shop"]).stdout).unwrap();
    let store = format!("{}/public.events does not keep their text", database.url().replace("postgres@", ""));
    let line = format!("\ndata and metadata are compared by value where they are JSON: {store}\n");
    assert!(planned.contains(&line), "{planned}");
    let said = go_through(folder.path());
    assert!(said.contains("by value"), "{said}");
    let mut connection = database.connect().await;
    let reference = in_sqlite();
    let mut expected = events_of(reference.path());
    for row in &mut expected {
        for payload in &mut row[7..9] {
            // As the server itself reads the text.
            let value = sqlx::query_scalar("SELECT $1::jsonb::text").bind(&*payload);
            *payload = value.fetch_one(&mut connection).await.unwrap();
        }
    }
    assert_eq!(events(&mut connection).await, expected);
    assert_ne!(expected, events_of(reference.path()), "values whose text changes");
}

/// The columns of a read model's table, without the one that names the run; exact numbers as their digits.
fn columns(folder: &Path, table: &str) -> Vec<String> {
    let query = format!("SELECT name FROM pragma_table_info('{table}') WHERE name <> 'fingerprint'");
    let rows = sqlite_rows(&folder.join("shop/read_models.db"), &query);
    assert!(rows.len() > 2, "{table}");
    let names: Vec<String> = rows.into_iter().flatten().map(Option::unwrap).collect();
    let digits = |name: &String| format!("{name}__exact");
    let declared = names.iter().filter(|name| !name.ends_with("__exact"));
    declared.map(|name| if names.contains(&digits(name)) { digits(name) } else { name.clone() }).collect()
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_plan_says_that_the_target_is_out_of_reach() {
    let database = Database::create().await;
    let folder = with(&[(TARGET, format!("url = \"{}_not\"", database.url()))]);
    let output = eventlift(folder.path(), &["plan", "shop"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains("would not go through") && said.contains("createdb"), "{said}");
}

const TABLES: [&str; 5] = ["customers", "orders", "order_lines", "revenue", "product_snapshots"];

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn one_more_line_puts_the_read_models_there() {
    let database = Database::create().await;
    let line = format!("url = \"{}\"", database.url());
    let folder = with(&[(TARGET, line.clone()), (READ_MODELS, line)]);
    go_through(folder.path());
    let left: Vec<_> =
        fs::read_dir(folder.path().join("shop")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_str().unwrap().contains(".db")), "{left:?}");
    let mut connection = database.connect().await;
    let reference = in_sqlite();
    assert_eq!(events(&mut connection).await, events_of(reference.path()));

    for table in TABLES {
        let types = format!(
            "SELECT attname, atttypid::regtype FROM pg_attribute
             WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped
               AND attname <> 'fingerprint' ORDER BY attnum"
        );
        let here = columns(reference.path(), table);
        let mut there = Vec::new();
        for column in postgres_rows(&mut connection, &types).await {
            let (name, kind) = (column[0].as_deref().unwrap(), column[1].as_deref().unwrap());
            there.push(match kind {
                "timestamp with time zone" => {
                    format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
                }
                _ => name.to_owned(),
            });
        }
        let query = |columns: &[String]| format!("SELECT {} FROM {table}", columns.join(", "));
        let mut expected = sqlite_rows(&reference.path().join("shop/read_models.db"), &query(&here));
        let mut found = postgres_rows(&mut connection, &query(&there)).await;
        expected.sort();
        found.sort();
        assert!(expected.len() > 2, "{table}");
        assert_eq!(found, expected, "{table}");
    }
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn the_queries_of_its_page_have_the_same_answers() {
    let database = Database::create().await;
    let line = format!("url = \"{}\"", database.url());
    let folder = with(&[(TARGET, line.clone()), (READ_MODELS, line)]);
    assert!(eventlift(folder.path(), &["migrate", "shop"]).status.success());
    let mut connection = database.connect().await;
    let readme = fs::read_to_string(shop_folder().join("README.md")).unwrap();
    let mut shown = readme.lines().peekable();
    let mut compared = 0;
    while let Some(line) = shown.next() {
        let Some(query) = line.strip_prefix("sqlite> ") else { continue };
        let mut expected = Vec::new();
        while let Some(row) = shown.next_if(|line| !line.starts_with("sqlite> ") && *line != "```") {
            expected.push(row.to_owned());
        }
        let rows = postgres_rows(&mut connection, query).await.into_iter();
        let mut found: Vec<String> =
            rows.map(|row| row.into_iter().map(Option::unwrap).collect::<Vec<_>>().join("|")).collect();
        // Where a query says nothing about the order, every order is right.
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{query}");
        compared += 1;
    }
    assert_eq!(compared, 8);
}
