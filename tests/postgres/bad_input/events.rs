//! Events that PostgreSQL can't hold, by the way that loads them at once and by the way that goes in order.

use super::bench::{BETWEEN, Bench, GOOD, INTO, SERVICE, SPLIT, line_at, log};

fn into(keys: &str) -> String {
    format!("{INTO}{keys}\n")
}

/// One bad event among good ones: both ways fail and name it, and both go on into a target that holds it.
async fn bad_data(name: &str, bad: &str, column: &str, mended: Option<&str>) {
    let mut bench = Bench::new(&into(&format!("data = \"{column}\""))).await;
    let data = [GOOD[0], GOOD[1], bad, GOOD[2]];
    bench.write("events.ndjson", log(&data));
    bench.about("several ranges at the same time").fails(5, "migrate p");
    bench.sql("DROP SCHEMA IF EXISTS public CASCADE; CREATE SCHEMA public").await;
    bench.write("transformers/both.toml", SPLIT).about("in order").fails(5, "migrate p");
    match mended {
        Some(column) => {
            bench.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
            bench.configure(&into(&format!("data = \"{column}\"")));
        }
        None => drop(bench.write("events.ndjson", log(&[GOOD[0], GOOD[1], GOOD[2], GOOD[2]]))),
    }
    bench.works("migrate p").works("verify p");
    assert_eq!(bench.ask("SELECT count(*) FROM public.events").await, "4");
    bench.is(name);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_nul_in_jsonb() {
    bad_data("nul", r#"{"id":"a","note":"\u0000"}"#, "jsonb", Some("json")).await;
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_lone_surrogate_in_jsonb() {
    bad_data("surrogate", r#"{"id":"a","note":"\ud800"}"#, "jsonb", Some("json")).await;
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_number_that_is_too_large_for_jsonb() {
    bad_data("number", r#"{"id":"a","amount":1e999999}"#, "jsonb", Some("bytea")).await;
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn json_that_is_nested_deeper_than_the_server_likes() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut bench = Bench::new(&into("data = \"jsonb\"")).await;
    bench.write("events.ndjson", log(&[GOOD[0], &deep]));
    bench.shows("migrate p").is("deep");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn metadata_that_jsonb_can_not_hold() {
    let mut bench = Bench::new(&BETWEEN.replace("\"lifted\"", "\"lifted\"\nmetadata = \"jsonb\"")).await;
    bench.sql(SERVICE).await;
    bench.sql("UPDATE public.events SET metadata = '{\"by\":\"\\u0000\"}' WHERE id = 'e-1'").await;
    bench.fails(5, "migrate p");
    bench.sql("DROP SCHEMA lifted CASCADE").await;
    bench.configure(BETWEEN).works("migrate p").works("verify p").is("metadata");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn times_out_of_range() {
    let mut bench = Bench::new(INTO).await;
    let late = |time| [log(&GOOD), line_at(4, time, GOOD[0])].concat();
    bench.write("events.ndjson", late("9999-12-31T23:59:59Z")).works("migrate p").works("verify p");
    bench.write("events.ndjson", late("-9999-01-01T00:00:00Z"));
    bench.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    bench.shows("migrate p").is("times");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn an_infinite_time_in_a_source() {
    let mut bench = Bench::new(BETWEEN).await;
    bench.sql(SERVICE).await;
    for time in ["infinity", "-infinity"] {
        bench.sql(&format!("UPDATE public.events SET recorded_at = '{time}' WHERE id = 'e-1'")).await;
        bench.about(time).fails(4, "plan p").fails(4, "migrate p");
    }
    bench.sql("UPDATE public.events SET recorded_at = '290000-01-01' WHERE id = 'e-1'").await;
    bench.about("the year 290000").shows("migrate p");
    bench.sql("UPDATE public.events SET recorded_at = '2024-05-01' WHERE id = 'e-1'").await;
    bench.works("migrate p").works("verify p").is("infinity");
}
