//! Positions in a table of somebody else's.

use eventlift::events::{RunId, StoreErrorKind};
use eventlift::stores::{CheckpointChange, CheckpointDatabase, CheckpointRow, CheckpointTable};
use sqlx::{AssertSqlSafe, PgConnection};

use super::database::Database;

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

async fn rows(connection: &mut PgConnection) -> Vec<(String, Option<String>)> {
    sqlx::query_as("SELECT name, position::text FROM \"my subs\".\"su\"\"bs\" ORDER BY name")
        .fetch_all(connection)
        .await
        .unwrap()
}

fn table() -> CheckpointTable {
    CheckpointTable {
        schema: Some("my subs".to_owned()),
        table: "su\"bs".to_owned(),
        column: "position".to_owned(),
        key: "name".to_owned(),
    }
}

fn change(key: &str, from: &str, to: &str) -> CheckpointChange {
    CheckpointChange { key: key.to_owned(), from: from.to_owned(), to: Some(to.to_owned()) }
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_table_is_changed_as_a_whole_and_once() {
    for of_type in ["bigint", "integer", "text", "varchar(20)", "numeric(20,0)"] {
        let database = Database::create().await;
        let mut connection = database.connect().await;
        let create = format!(
            "CREATE SCHEMA \"my subs\"; CREATE TABLE \"my subs\".\"su\"\"bs\" (name text PRIMARY KEY, position {of_type});
             INSERT INTO \"my subs\".\"su\"\"bs\" VALUES ('a', '5'), ('b', '7'), ('c', NULL)"
        );
        execute(&mut connection, &create).await;
        let (place, run) = (CheckpointDatabase::of_url(&database.url()).unwrap(), RunId::random());
        let before = place.rows(&table(), run).await.unwrap();
        let row = |key: &str, position: Option<&str>| CheckpointRow {
            key: key.to_owned(),
            position: position.map(str::to_owned),
        };
        assert_eq!(before.rows, [row("a", Some("5")), row("b", Some("7")), row("c", None)]);
        assert!(before.translated.is_empty());

        // One that does not say any more what it said.
        let moved = place.change(&table(), run, &[change("a", "5", "4"), change("b", "8", "6")]).await.unwrap_err();
        assert!(matches!(moved.kind, StoreErrorKind::Unexpected(_)), "{moved}");
        assert_eq!(rows(&mut connection).await[0].1.as_deref(), Some("5"));

        place.change(&table(), run, &[change("a", "5", "4"), change("b", "7", "6")]).await.unwrap();
        let after = place.rows(&table(), run).await.unwrap();
        assert_eq!(after.rows, [row("a", Some("4")), row("b", Some("6")), row("c", None)]);
        assert_eq!(after.translated.len(), 2);
        assert!(place.rows(&table(), RunId::random()).await.unwrap().translated.is_empty());

        let again = place.change(&table(), run, &[change("a", "4", "3")]).await.unwrap_err();
        assert!(again.to_string().contains("eventlift_translated_positions"), "{again}");
        assert_eq!(rows(&mut connection).await[0].1.as_deref(), Some("4"));
    }
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn what_is_no_such_table_is_named() {
    let database = Database::create().await;
    let mut connection = database.connect().await;
    let place = CheckpointDatabase::of_url(&database.url()).unwrap();
    let missing = place.rows(&table(), RunId::random()).await.unwrap_err();
    assert!(missing.to_string().contains("does not exist"), "{missing}");
    execute(
        &mut connection,
        "CREATE SCHEMA \"my subs\"; CREATE TABLE \"my subs\".\"su\"\"bs\" (name text, position bigint)",
    )
    .await;
    execute(&mut connection, "INSERT INTO \"my subs\".\"su\"\"bs\" VALUES ('a', 5), ('a', 5), (NULL, 5)").await;
    let no_key = place.rows(&table(), RunId::random()).await.unwrap_err();
    assert!(no_key.to_string().contains("has no name"), "{no_key}");
    let twice = place.change(&table(), RunId::random(), &[change("a", "5", "4")]).await.unwrap_err();
    assert!(twice.to_string().contains("2 rows have this key"), "{twice}");
    let word = place.change(&table(), RunId::random(), &[change("a", "5", "soon")]).await.unwrap_err();
    assert!(word.to_string().contains("invalid input syntax"), "{word}");
    assert!(CheckpointDatabase::of_url("file:events.ndjson").is_err());
}
