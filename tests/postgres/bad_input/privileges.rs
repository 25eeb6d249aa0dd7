//! Roles that lack one privilege: it is named, with the statement that grants it, and that statement is enough.

use super::bench::{ACCOUNTS, BETWEEN, Bench, INTO, READ_MODELS, SERVICE, good};

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn to_connect_to_the_database() {
    let mut bench = Bench::as_role(INTO).await;
    bench.write("events.ndjson", good());
    let database = bench.ask("current_database()").await;
    bench.sql("GRANT ALL ON SCHEMA public TO GRANTEE").await;
    bench.sql(&format!("REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")).await;
    bench.fails(8, "migrate p").obeys().await;
    bench.works("migrate p").works("verify p").is("connect");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn to_make_a_schema_and_tables() {
    let mut bench = Bench::as_role(&INTO.replace("\"URL\"", "\"URL\"\nschema = \"shop\"")).await;
    bench.write("events.ndjson", good()).about("no schema").fails(8, "migrate p");
    bench.sql("CREATE SCHEMA shop").await;
    bench.about("no USAGE").fails(8, "migrate p");
    bench.sql("GRANT USAGE ON SCHEMA shop TO GRANTEE").await;
    bench.about("no CREATE").fails(8, "migrate p").obeys().await;
    bench.works("migrate p").works("verify p").is("create");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn to_read_a_source() {
    let mut bench = Bench::as_role(BETWEEN).await;
    bench.sql(SERVICE).await;
    bench
        .sql("CREATE SCHEMA lifted; GRANT ALL ON SCHEMA lifted TO GRANTEE; REVOKE ALL ON SCHEMA public FROM PUBLIC")
        .await;
    bench.about("no USAGE").fails(8, "plan p").fails(8, "migrate p").obeys().await;
    bench.about("no SELECT").fails(8, "plan p").fails(8, "migrate p").obeys().await;
    bench.sql("ALTER TABLE public.events ENABLE ROW LEVEL SECURITY").await;
    bench.about("rows are hidden").fails(8, "migrate p");
    bench.sql("ALTER TABLE public.events DISABLE ROW LEVEL SECURITY").await;
    bench.works("migrate p").works("verify p").is("read");
}

/// The tables are somebody else's, and the role may do all but one thing.
#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn to_use_tables_that_are_somebody_elses() {
    let mut bench = Bench::as_role(INTO).await;
    let superuser = bench.ask("'postgres'").await;
    bench.write("events.ndjson", good());
    bench.sql("GRANT ALL ON SCHEMA public TO GRANTEE").await;
    bench.works("migrate p");
    let all =
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO GRANTEE; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO GRANTEE";
    bench.sql(&format!("REASSIGN OWNED BY GRANTEE TO {superuser}; {all}")).await;
    let tables = ["schema", "stores", "runs", "checkpoints", "positions", "state", "ranges"];
    let tables = tables.map(|table| format!("TABLE public.eventlift_{table}")).into_iter();
    let others = ["TABLE public.events", "SEQUENCE public.events_position_seq"].map(str::to_owned);
    let mut log = good();
    for (number, on) in (4..).zip(tables.chain(others)) {
        log.push_str(&super::bench::line(number, "{}"));
        bench.sql(&format!("REVOKE ALL ON {on} FROM GRANTEE")).await;
        bench.write("events.ndjson", &log).about(&format!("nothing on {on}")).works_when_obeyed("migrate p").await;
    }
    bench.works("verify p");
    assert_eq!(bench.ask("SELECT count(*) FROM public.events").await, "12");
    bench.is("tables_of_others");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn to_seal_a_table_that_is_somebody_elses() {
    let mut bench = Bench::as_role(INTO).await;
    bench.write("events.ndjson", good());
    bench.sql("GRANT ALL ON SCHEMA public TO GRANTEE").await;
    bench
        .sql(
            "CREATE TABLE public.events (position bigint, stream text, revision bigint, id text, type text,
         schema_version bigint, recorded_at timestamptz, data json, data_bytes bytea, metadata json,
         metadata_bytes bytea, data_type text, metadata_type text, attributes text);
         GRANT ALL ON public.events TO GRANTEE",
        )
        .await;
    bench.fails(8, "migrate p").obeys().await;
    bench.works("migrate p").works("verify p").is("seal");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn to_rewrite_events_where_they_are() {
    let mut bench = Bench::as_role(INTO).await;
    let superuser = bench.ask("'postgres'").await;
    bench.write("events.ndjson", good());
    bench.sql("GRANT ALL ON SCHEMA public TO GRANTEE").await;
    bench.works("migrate p");
    bench
        .sql(&format!(
            "REASSIGN OWNED BY GRANTEE TO {superuser}; GRANT ALL ON ALL TABLES IN SCHEMA public TO GRANTEE;
             REVOKE ALL ON public.events FROM GRANTEE; GRANT SELECT ON public.events TO GRANTEE"
        ))
        .await;
    bench.configure("[source]\nstore = \"postgres\"\nurl = \"URL\"\n");
    let rule = "type = \"Moved\"\ncurrent = 2\n\n[[upcast]]\nfrom = 1\ndata = [{ remove = \"/id\" }]\n";
    bench.write("transformers/moved.toml", rule);
    let rewritten = "SELECT count(*) FROM public.events WHERE schema_version = 2 AND data ->> 'id' IS NULL";
    bench.about("no UPDATE").fails(8, "rewrite p --yes").obeys().await;
    bench.works("rewrite p --yes").works("rewrite p --verify");
    assert_eq!(bench.ask(rewritten).await, "3");
    bench.works("rewrite p --undo --yes");
    assert_eq!(bench.ask(rewritten).await, "0");
    bench.is("rewrite");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn to_build_read_models() {
    let mut bench = Bench::as_role(READ_MODELS).await;
    bench.write("events.ndjson", good()).write("projections/accounts.toml", ACCOUNTS);
    bench.about("no schema").fails(8, "rebuild p");
    bench.sql("CREATE SCHEMA read; GRANT USAGE ON SCHEMA read TO GRANTEE").await;
    bench.about("no CREATE").fails(8, "rebuild p").obeys().await;
    bench.works("rebuild p");
    bench.sql("REVOKE CREATE ON SCHEMA read FROM GRANTEE").await;
    bench.about("no CREATE any more").fails(8, "rebuild p --all").obeys().await;
    bench.sql("ALTER TABLE read.accounts OWNER TO postgres").await;
    bench.sql("GRANT ALL ON read.accounts TO GRANTEE").await;
    bench.about("the live table is somebody else's").fails(8, "rebuild p --all").obeys().await;
    bench.works("rebuild p --all");
    for table in ["eventlift_projections", "eventlift_generations", "eventlift_rebuilds"] {
        bench
            .sql(&format!("ALTER TABLE read.{table} OWNER TO postgres; GRANT SELECT ON read.{table} TO GRANTEE"))
            .await;
        bench.about(&format!("{table} can only be read")).fails(8, "rebuild p --all").obeys().await;
        bench.works("rebuild p --all");
    }
    bench.is("read_models");
}
