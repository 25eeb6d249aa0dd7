//! Checks of stores in PostgreSQL: queries that can't write, privileges, and queries that slow a run down.

use std::time::Duration;

use eventlift::stores::StoreConfig;
use eventlift::stores::postgres::PostgresConfig;
use sqlx::Connection;

use super::database::Database;
use crate::project::Project;

async fn store(database: &Database) -> StoreConfig {
    let mut connection = database.connect().await;
    sqlx::raw_sql(
        "CREATE SCHEMA shop; CREATE TABLE shop.stock (name text, count numeric, since timestamptz);
         INSERT INTO shop.stock VALUES ('cup', 3, now()), ('pot', 4.5, NULL); CREATE SEQUENCE shop.numbers;
         CREATE FUNCTION shop.take() RETURNS int LANGUAGE sql AS 'DELETE FROM shop.stock RETURNING 1'",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();
    StoreConfig::Postgres(Box::new(PostgresConfig { schema: "shop".to_owned(), ..PostgresConfig::new(database.url()) }))
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn queries_read_or_fail_and_never_write() {
    let database = Database::create().await;
    let store = store(&database).await;
    let patience = Duration::from_secs(2);
    let number = |sql: &'static str| {
        let store = store.clone();
        async move { store.ask(sql, patience).await.unwrap().number() }
    };
    assert_eq!(number("SELECT count(*) FROM stock;").await, Ok(2.0));
    assert_eq!(number("SELECT sum(count) FROM shop.stock -- all").await, Ok(7.5));
    assert_eq!(number("SELECT extract(epoch FROM interval '90 s')").await, Ok(90.0));
    assert_eq!(number("SELECT count AS z, name AS a FROM stock WHERE name = 'cup'").await, Ok(3.0));
    let text = number("SELECT name FROM stock WHERE name = 'cup'").await.unwrap_err();
    assert_eq!(text, "it yielded \"cup\", where a number is expected");
    assert!(number("SELECT since FROM stock WHERE since IS NULL").await.unwrap_err().contains("NULL"));
    assert!(number("SELECT 1 WHERE false").await.unwrap_err().contains("no row"));
    for (sql, problem) in [
        ("DELETE FROM stock", "syntax error"),
        ("SELECT take()", "it is read-only"),
        ("SELECT nextval('shop.numbers')", "it is read-only"),
        ("SELECT 1) AS a; COMMIT; DELETE FROM shop.stock; SELECT (1", "cannot insert multiple commands"),
        ("SELECT 1) AS a; COMMIT; DELETE FROM shop.stock; --", "syntax error"),
        ("WITH gone AS (DELETE FROM stock RETURNING 1) SELECT * FROM gone", "data-modifying"),
        ("SELECT count(*) FROM nothing", "nothing"),
        ("SELECT pg_sleep(60)", "the query took longer than 2 s"),
    ] {
        let error = store.ask(sql, patience).await.unwrap_err().to_string();
        assert!(error.contains(problem), "{sql}: {error}");
    }
    assert_eq!(number("SELECT count(*) FROM stock").await, Ok(2.0));
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn room_clock_and_missing_grants_are_known_before() {
    let database = Database::create().await;
    let owner = store(&database).await;
    assert!(owner.room().await.unwrap().used.unwrap() > 0);
    let clock = owner.clock().await.unwrap().unwrap().micros();
    assert!((clock - eventlift::Timestamp::now().micros()).abs() < 60_000_000);
    assert_eq!(owner.missing_privileges(true).await.unwrap(), []);

    let role = format!("guest_{}", database.name());
    let mut connection = database.connect().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE ROLE {role} LOGIN"))).execute(&mut connection).await.unwrap();
    let url = database.url().replacen("postgres@", &format!("{role}@"), 1);
    let guest = PostgresConfig { schema: "shop".to_owned(), table: "stock".to_owned(), ..PostgresConfig::new(url) };
    let guest = StoreConfig::Postgres(Box::new(guest));
    let hints = |found: Vec<(String, String)>| -> Vec<String> {
        found.into_iter().map(|(_, todo)| todo.rsplit_once("run: ").unwrap().1.to_owned()).collect()
    };
    assert_eq!(
        hints(guest.missing_privileges(false).await.unwrap()),
        [
            format!("GRANT USAGE ON SCHEMA \"shop\" TO \"{role}\""),
            format!("GRANT SELECT ON TABLE \"shop\".\"stock\" TO \"{role}\"")
        ]
    );
    assert_eq!(
        hints(guest.missing_privileges(true).await.unwrap()),
        [
            format!("GRANT USAGE, CREATE ON SCHEMA \"shop\" TO \"{role}\""),
            format!("GRANT SELECT, INSERT ON TABLE \"shop\".\"stock\" TO \"{role}\"")
        ]
    );
    // Each says what to do so that it is missing no more.
    for statement in hints(guest.missing_privileges(true).await.unwrap()) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    assert_eq!(guest.missing_privileges(true).await.unwrap(), []);
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP OWNED BY {role}; DROP ROLE {role}")))
        .execute(&mut connection)
        .await
        .unwrap();
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_project_on_postgresql_is_checked_before_and_behind() {
    let database = Database::create().await;
    let url = database.url();
    let check =
        "[[check]]\nname = \"all in\"\nwhen = \"after\"\non = \"target\"\nsql = \"SELECT count(*) FROM events\"\n";
    let project = Project::new(&format!(
        "[source]\nstore = \"file\"\npath = \"events.ndjson\"\n[target]\nurl = \"{url}\"\nschema = \"lifted\"\n\
         [checks]\non_failure = \"roll_back\"\n{check}expect = 2\n"
    ));
    let shop = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/shop/events.ndjson");
    let one = std::fs::read_to_string(shop).unwrap().lines().next().unwrap().to_owned();
    project.write("events.ndjson", one + "\n");
    let output = project.migrate();
    assert_eq!(output.code, Some(5), "{}", output.stderr);
    assert!(output.stdout.contains("FAILED  all in: the query yielded 1, where 2 is expected"), "{}", output.stdout);
    let mut connection = database.connect().await;
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM lifted.events").fetch_one(&mut connection).await.unwrap();
    assert_eq!(left, 0);
    let toml = String::from_utf8(project.read("eventlift.toml")).unwrap().replace("expect = 2", "expect = 1");
    project.write("eventlift.toml", toml);
    project.migrate().succeeds();
    project.verify().succeeds();
}
