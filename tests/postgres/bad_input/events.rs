//! Events that PostgreSQL can't hold, by the way that loads them at once and by the way that goes in order.

use super::bench::{BETWEEN, Bench, CURRENT, GOOD, INTO, SERVICE, SPLIT, line_at, log};

/// The key of a target.
fn between(key: &str) -> String {
    BETWEEN.replace("\"lifted\"", &format!("\"lifted\"\n{key}"))
}

/// One bad event far behind the good ones, so that there are ranges: both ways fail and name it, and both go on into a
/// target that can hold it.
async fn bad_data(name: &str, bad: &str, column: &str) {
    let mut bench = Bench::new(&between("data = \"jsonb\"")).await;
    bench.sql(SERVICE).await;
    let insert = format!(
        "INSERT INTO public.events (position, stream, revision, id, type, data)
         VALUES (200001, 'account-2', 0, 'e-8', 'Moved', '{{}}'), (400000, 'account-1', 3, 'e-9', 'Moved', '{bad}')"
    );
    bench.sql(&insert).await;
    bench.about("several ranges at the same time").fails(5, "migrate p");
    bench.sql("DROP SCHEMA lifted CASCADE").await;
    bench.write("transformers/both.toml", SPLIT).write("transformers/current.toml", CURRENT);
    bench.about("in order").fails(5, "migrate p");
    bench.sql("DROP SCHEMA lifted CASCADE").await;
    bench.configure(&between(&format!("data = \"{column}\""))).works("migrate p").works("verify p");
    assert_eq!(bench.ask("SELECT count(*) FROM lifted.events").await, "5");
    bench.is(name);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_nul_in_jsonb() {
    bad_data("nul", r#"{"id":"a","note":"\u0000"}"#, "json").await;
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_lone_surrogate_in_jsonb() {
    bad_data("surrogate", r#"{"id":"a","note":"\ud800"}"#, "json").await;
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_number_that_is_too_large_for_jsonb() {
    bad_data("number", r#"{"id":"a","amount":1e999999}"#, "json").await;
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn json_that_is_nested_deeper_than_the_server_likes() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let mut bench = Bench::new(&format!("{INTO}data = \"jsonb\"\n")).await;
    bench.write("events.ndjson", log(&[GOOD[0], &deep])).fails(5, "migrate p");
    bench.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    bench.configure(INTO).about("json").fails(5, "migrate p");
    bench.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    bench.configure(&format!("{INTO}data = \"bytea\"\n")).works("migrate p").works("verify p").is("deep");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn metadata_that_jsonb_can_not_hold() {
    let mut bench = Bench::new(&between("metadata = \"jsonb\"")).await;
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
    let with = |time| [log(&GOOD), line_at(4, time, GOOD[0])].concat();
    bench.write("events.ndjson", with("9999-12-29T12:00:00Z")).works("migrate p").works("verify p");
    for (what, time) in [("before PostgreSQL's calendar", "-009999-01-01T00:00:00Z"), ("no time", "yesterday")] {
        bench.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
        bench.write("events.ndjson", with(time)).about(what).shows("migrate p");
    }
    bench.write("events.ndjson", with("0001-01-01T00:00:00Z")).works("migrate p").works("verify p").is("times");
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
