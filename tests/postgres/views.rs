//! Views and tables without constraints as sources: each read looks whether what it yields can be trusted.

use eventlift::stores::postgres::{PostgresConfig, PostgresReader};
use eventlift::stores::{TableGuarantees, TableReading};
use eventlift::{Event, EventReader, ReadRequest, Scope, StoreError};
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, PgConnection};

use super::database::Database;
use crate::project::Project;

/// The table of another program, and a view of it with our names.
const THEIRS: &str = "
    CREATE TABLE mt_events (seq_id bigserial PRIMARY KEY, id uuid NOT NULL DEFAULT gen_random_uuid(), stream_id uuid,
        version bigint, data jsonb NOT NULL DEFAULT '{\"a\":1}', type varchar(500) NOT NULL DEFAULT 'user_created',
        timestamp timestamptz DEFAULT '2024-05-01T12:00:00.123456Z', tenant_id varchar DEFAULT '*DEFAULT*',
        UNIQUE (stream_id, version));
    CREATE VIEW as_events AS SELECT seq_id AS position, stream_id::text AS stream, version - 1 AS revision, id, type,
        timestamp AS recorded_at, data, json_build_object('tenant', tenant_id)::text AS attributes FROM mt_events;
    INSERT INTO mt_events (stream_id, version) SELECT ('00000000-0000-4000-8000-00000000000' || s)::uuid, v
        FROM generate_series(1, 40) v, generate_series(1, 5) s;";

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

fn config(database: &Database, table: &str) -> PostgresConfig {
    PostgresConfig { table: table.to_owned(), ..PostgresConfig::new(database.url()) }
}

async fn read(reader: &PostgresReader, request: ReadRequest) -> Result<Vec<Event>, StoreError> {
    let batches: Vec<Vec<Event>> = reader.read(request).try_collect().await?;
    Ok(batches.concat())
}

fn everything() -> ReadRequest {
    ReadRequest::new(Scope::All)
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_view_is_read_in_its_order_from_anywhere() {
    let database = Database::create().await;
    run(&mut database.connect().await, THEIRS).await;
    let reader = PostgresReader::open(config(&database, "as_events")).await.unwrap();
    assert!(!reader.capabilities().guarantees.unique_ids && !reader.grows_at_its_end());
    assert_eq!(reader.taken_as().len(), 1);
    assert!(reader.census(&Scope::All, None).await.unwrap().is_none());
    let all = read(&reader, everything()).await.unwrap();
    assert_eq!(all.len(), 200);
    assert!(all.windows(2).all(|pair| pair[0].position < pair[1].position));
    assert_eq!(all[0].attributes, r#"{"tenant" : "*DEFAULT*"}"#);
    for index in [0, 17, 199] {
        let position = Some(all[index].position);
        assert_eq!(read(&reader, everything().after(position)).await.unwrap(), all[index + 1..]);
        assert_eq!(read(&reader, everything().until(position)).await.unwrap(), all[..=index]);
    }
    let stream = all[3].stream.clone();
    let of_stream: Vec<Event> = all.iter().filter(|event| event.stream == stream).cloned().collect();
    assert_eq!(read(&reader, ReadRequest::new(Scope::Stream(stream))).await.unwrap(), of_stream);
    run(&mut database.connect().await, "CREATE MATERIALIZED VIEW kept AS SELECT * FROM as_events").await;
    let kept = PostgresReader::open(config(&database, "kept")).await.unwrap();
    assert_eq!(read(&kept, everything()).await.unwrap(), all);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn what_no_constraint_keeps_out_is_found() {
    let database = Database::create().await;
    let mut connection = database.connect().await;
    run(&mut connection, THEIRS).await;
    for (name, position, problem) in [
        ("twice", "CASE position WHEN 150 THEN 149 ELSE position END", "two rows have this position"),
        ("absent", "nullif(position, 7)", "the position of a row is NULL"),
        ("negative", "position - 5", "column position holds no valid value"),
    ] {
        let view = format!(
            "CREATE VIEW {name} AS SELECT {position} AS position, stream, revision, id, type, recorded_at, data FROM as_events"
        );
        run(&mut connection, &view).await;
        let reader = PostgresReader::open(config(&database, name)).await.unwrap();
        let error = read(&reader, everything()).await.unwrap_err();
        assert!(error.to_string().contains(problem), "{name}: {error}");
    }
    // A table without a unique index is read in the same way where that is said.
    run(&mut connection, "CREATE TABLE bare AS SELECT * FROM as_events").await;
    let error = PostgresReader::open(config(&database, "bare")).await.unwrap_err();
    assert!(error.hint.unwrap().contains("guarantees = \"audited\""));
    let reading = TableReading { guarantees: Some(TableGuarantees::Audited), ..TableReading::default() };
    let audited = PostgresConfig { reading, ..config(&database, "bare") };
    let reader = PostgresReader::open(audited).await.unwrap();
    assert_eq!(read(&reader, everything()).await.unwrap().len(), 200);
    run(&mut connection, "INSERT INTO bare SELECT * FROM bare WHERE position = 100").await;
    let error = read(&reader, everything()).await.unwrap_err();
    assert!(error.to_string().contains("at position 100: two rows have this position"), "{error}");
    let reading = TableReading { guarantees: Some(TableGuarantees::Constraints), ..TableReading::default() };
    let error = PostgresReader::open(PostgresConfig { reading, ..config(&database, "as_events") }).await.unwrap_err();
    assert!(error.to_string().contains("it is a view, which has no constraints"), "{error}");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn writers_of_the_table_beneath_are_waited_for() {
    let database = Database::create().await;
    run(&mut database.connect().await, THEIRS).await;
    let reader = PostgresReader::open(config(&database, "as_events")).await.unwrap();
    let mut early = database.connect().await;
    run(&mut early, "BEGIN; INSERT INTO mt_events (stream_id, version) VALUES (gen_random_uuid(), 1)").await;
    run(&mut database.connect().await, "INSERT INTO mt_events (stream_id, version) VALUES (gen_random_uuid(), 1)")
        .await;
    // What is behind the gap that the open transaction may fill is not read.
    assert_eq!(read(&reader, everything()).await.unwrap().len(), 200);
    run(&mut early, "COMMIT").await;
    assert_eq!(read(&reader, everything()).await.unwrap().len(), 202);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_project_reads_a_view_and_streams_that_count_from_1() {
    let database = Database::create().await;
    let mut connection = database.connect().await;
    run(&mut connection, THEIRS).await;
    run(&mut connection, "CREATE VIEW from_1 AS SELECT position, stream, revision + 1 AS revision, id, type, recorded_at, data FROM as_events").await;
    let project = |table: &str, columns: &str| {
        let toml = format!(
            "[source]\nurl = \"{}\"\ntable = \"{table}\"\n{columns}\n[target]\nstore = \"sqlite\"\npath = \"target.db\"\n",
            database.url()
        );
        Project::new(&toml)
    };
    let plain = project("as_events", "");
    let plan = plain.run("plan", [] as [&str; 0]);
    assert!(
        plan.code == Some(0) && plan.stdout.contains("as_events is read as it is"),
        "{}{}",
        plan.stdout,
        plan.stderr
    );
    plain.migrate().succeeds();
    plain.verify().succeeds();
    assert!(plain.run("migrate", ["--follow"]).stderr.contains("can't be followed"));
    assert_ne!(plain.run("cutover", [] as [&str; 0]).code, Some(0));

    let refused = project("from_1", "").migrate();
    assert!(refused.stderr.contains("[source.columns] (a table)"), "{}", refused.stderr);
    let based = project("from_1", "[source.columns]\nrevision_base = 1\n");
    based.migrate().succeeds();
    based.verify().succeeds();
    let count = |project: &Project| {
        let target = rusqlite::Connection::open(project.path("target.db")).unwrap();
        target.query_row("SELECT sum(revision * position) FROM events", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(count(&based), count(&plain));
}
