//! Tables, ledgers and locks that a target can't have.

use sqlx::Connection;

use super::bench::{BETWEEN, Bench, GOOD, INTO, SERVICE, good, log};

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn tables_of_another_kind() {
    let mut bench = Bench::new(INTO).await;
    bench.write("events.ndjson", good());
    let kinds = [
        ("other columns", "CREATE TABLE public.events (id int PRIMARY KEY, body text, tenant text NOT NULL)", "TABLE"),
        (
            "one column is of another type",
            "CREATE TABLE public.events (position bigint, stream text, revision integer, id uuid, type text,
             schema_version bigint, recorded_at timestamptz, data text, metadata json, metadata_bytes bytea,
             data_type text, metadata_type text, attributes text)",
            "TABLE",
        ),
        ("a view", "CREATE VIEW public.events AS SELECT 1 AS position", "VIEW"),
        ("a materialized view", "CREATE MATERIALIZED VIEW public.events AS SELECT 1 AS position", "MATERIALIZED VIEW"),
        ("a table without columns", "CREATE TABLE public.events ()", "TABLE"),
        ("a sequence", "CREATE SEQUENCE public.events", "SEQUENCE"),
        ("an index", "CREATE TABLE public.t (a int); CREATE INDEX events ON public.t (a)", "INDEX"),
        (
            "partitioned, and ids can't be unique",
            "CREATE TABLE public.events (position bigint, stream text, revision bigint, id text, type text,
             schema_version bigint, recorded_at timestamptz, data json, data_bytes bytea, metadata json,
             metadata_bytes bytea, data_type text, metadata_type text, attributes text)
             PARTITION BY RANGE (recorded_at)",
            "TABLE",
        ),
    ];
    for (what, sql, kind) in kinds {
        bench.sql(sql).await;
        bench.about(what).fails(5, "migrate p");
        bench.sql(&format!("DROP {kind} public.events")).await;
    }
    bench.works("migrate p").works("verify p").is("tables");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn events_of_somebody_else() {
    let mut bench = Bench::new(INTO).await;
    bench.write("events.ndjson", good());
    bench.sql(SERVICE).await;
    bench
        .sql(
            "ALTER TABLE public.events ADD data_bytes bytea, ADD metadata_bytes bytea, ADD data_type text,
         ADD metadata_type text, ADD attributes text",
        )
        .await;
    bench.fails(5, "migrate p");
    assert_eq!(bench.ask("SELECT count(*) FROM public.events").await, "3");
    bench.sql("TRUNCATE public.events").await;
    bench.works("migrate p").works("verify p");
    bench.about("another source").write("events.ndjson", log(&[GOOD[2], GOOD[1]])).fails(5, "migrate p");
    bench.is("somebody_else");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_target_that_another_run_holds() {
    let mut bench = Bench::new(INTO).await;
    bench.write("events.ndjson", good()).works("migrate p");
    let config = eventlift::stores::postgres::PostgresConfig::new(bench.url());
    let held = eventlift::stores::postgres::PostgresWriter::open(config).await.unwrap();
    bench.fails(5, "migrate p").says("status p");
    drop(held);
    bench.works("migrate p").is("held");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn ledgers_of_other_versions() {
    let mut bench = Bench::new(INTO).await;
    bench.write("events.ndjson", good()).works("migrate p");
    bench.sql("INSERT INTO public.eventlift_schema VALUES ('events', 99, 'later', 'x')").await;
    bench.about("newer").fails(5, "migrate p").fails(5, "status p").fails(5, "verify p");
    bench.sql("DELETE FROM public.eventlift_schema WHERE version = 99").await;
    bench.sql("UPDATE public.eventlift_schema SET checksum = reverse(checksum)").await;
    bench.about("changed").fails(5, "migrate p");
    bench.sql("UPDATE public.eventlift_schema SET checksum = reverse(checksum)").await;
    bench.works("migrate p").works("verify p").is("ledgers");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn ledgers_of_read_models_of_other_versions() {
    let mut bench = Bench::new(super::bench::READ_MODELS).await;
    bench.write("events.ndjson", good()).write("projections/accounts.toml", super::bench::ACCOUNTS).works("rebuild p");
    bench.sql("INSERT INTO read.eventlift_schema VALUES ('read_models', 99, 'later', 'x')").await;
    bench.about("newer").fails(5, "rebuild p --all").fails(5, "status p");
    bench.sql("DELETE FROM read.eventlift_schema WHERE version = 99").await;
    bench.sql("UPDATE read.eventlift_schema SET checksum = reverse(checksum)").await;
    bench.about("changed").fails(5, "rebuild p --all");
    bench.sql("UPDATE read.eventlift_schema SET checksum = reverse(checksum)").await;
    bench.works("rebuild p --all").is("read_model_ledgers");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn tables_that_are_locked() {
    let mut bench = Bench::new(BETWEEN).await;
    bench.configure(&format!(
        "{}\n[retry]\ngive_up_after = \"0s\"\n",
        BETWEEN.replace("\"URL\"", "\"URL\"\nlock_timeout = \"100ms\"")
    ));
    bench.sql(SERVICE).await;
    let mut other = bench.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE public.events IN ACCESS EXCLUSIVE MODE").execute(&mut other).await.unwrap();
    bench.shows("migrate p");
    other.close().await.unwrap();
    bench.works("migrate p").works("verify p").is("locked");
}
