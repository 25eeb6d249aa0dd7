//! What `plan`, `check` and `init` say about servers.

use super::bench::{BETWEEN, Bench, CURRENT, INTO, SERVICE, SPLIT, good};

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn what_columns_do_to_payloads() {
    let mut bench = Bench::new(INTO).await;
    bench.write("events.ndjson", good());
    for keys in
        ["", "data = \"jsonb\"", "data = \"jsonb\"\nmetadata = \"jsonb\"", "data = \"bytea\"\nmetadata = \"jsonb\""]
    {
        bench.configure(&format!("{INTO}{keys}\n")).about(keys).says("plan p --show 0");
    }
    bench.configure(&format!("{INTO}data = \"jsonb\"\n")).says("plan p --show 0 --json").works("migrate p");
    bench.configure(INTO).about("the table keeps its own").says("plan p --show 0").works("check p");
    bench.is("plan");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn what_is_compared_by_value_and_what_is_loaded_in_order() {
    let mut bench =
        Bench::new(&BETWEEN.replace("\"lifted\"", "\"lifted\"\ndata = \"jsonb\"\nmetadata = \"jsonb\"")).await;
    bench.sql(SERVICE).await;
    bench.sql("ALTER TABLE public.events ALTER data TYPE jsonb, ALTER metadata TYPE jsonb").await;
    bench.about("small").says("plan p --show 0");
    let far =
        "INSERT INTO public.events (position, stream, revision, id, type) VALUES (400000, 'a', 0, 'far', 'Moved')";
    bench.sql(far).await;
    bench.about("large").says("plan p --show 0").about("with a split").write("transformers/current.toml", CURRENT);
    bench.write("transformers/both.toml", SPLIT).says("plan p --show 0");
    bench.remove("transformers/both.toml").works("migrate p").says("verify p").is("plan_by_value");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_target_that_is_none() {
    let mut bench = Bench::new(INTO).await;
    bench.write("events.ndjson", good());
    bench.sql("CREATE TABLE public.events (id int)").await;
    bench.shows("plan p --show 0").is("plan_no_target");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_project_from_a_server() {
    let mut bench = Bench::new(INTO).await;
    bench.sql(SERVICE).await;
    let url = bench.url().replacen("postgres@", "postgres:s3cret@", 1);
    bench.says(&format!("init q --from {url}"));
    let toml = bench.read("q/eventlift.toml");
    assert!(!toml.contains("s3cret"), "{toml}");
    bench.quotes(&toml).works("check q").says("plan q --show 0").works("migrate q").works("verify q");
    bench.about("no URL").shows("init r --from postgres://anna:s3cret@db:port/shop").is("init");
}
