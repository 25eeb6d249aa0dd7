//! What `plan` says of a server as the target is what `migrate` then does there.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::runtime::Runtime;

use super::database::Database;
use crate::planned::scene::{any_scene, compare};
use crate::project::Project;

fn types(runtime: &Runtime, database: &Database) -> BTreeMap<(String, u32), u64> {
    runtime.block_on(async {
        let mut connection = database.connect().await;
        let (is_there,): (bool,) =
            sqlx::query_as("SELECT to_regclass('public.events') IS NOT NULL").fetch_one(&mut connection).await.unwrap();
        if !is_there {
            return BTreeMap::new();
        }
        let rows: Vec<(String, i64, i64)> =
            sqlx::query_as("SELECT type, schema_version, count(*) FROM public.events GROUP BY 1, 2")
                .fetch_all(&mut connection)
                .await
                .unwrap();
        rows.into_iter().map(|(name, version, events)| ((name, version as u32), events as u64)).collect()
    })
}

#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn a_plan_says_what_a_migration_into_columns_of_each_kind_then_does() {
    let runtime = Runtime::new().unwrap();
    for columns in ["", "data = \"jsonb\"\n", "data = \"bytea\"\nmetadata = \"jsonb\"\n"] {
        let config = ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() };
        let run = TestRunner::new(config).run(&any_scene(), |scene| {
            let database = runtime.block_on(Database::create());
            let project = scene.project(&format!("url = \"{}\"\n{columns}", database.url()));
            let done = compare(&scene, &project, 0, || types(&runtime, &database));
            let held = done.json["quarantined"]["events"].as_u64().unwrap_or(0);
            scene.write_log(&project, scene.log.len());
            compare(&scene, &project, held, || types(&runtime, &database));
            Ok(())
        });
        run.unwrap_or_else(|error| panic!("{columns}: {error}"));
    }
}

/// JSON, and whether `jsonb` takes it.
fn payloads() -> Vec<(String, bool)> {
    let digits = |whole: usize, decimals: usize| format!("{}.{}", "7".repeat(whole), "7".repeat(decimals));
    [
        (r#""\u0000""#, false),
        (r#"{"\u0000":1}"#, false),
        (r#""\\u0000""#, true),
        (r#""\ud83d\ude00""#, true),
        (r#""\ud83d""#, false),
        (r#""\ude00""#, false),
        (r#""\ud83dx""#, false),
        (r#""\ud83d\ud83d""#, false),
        ("1e131071", true),
        ("1e131072", false),
        ("0.01e131073", true),
        ("1e-16383", true),
        ("1e-16384", false),
        ("0e-16384", false),
        ("0e131072", true),
        ("1e99999999999", false),
    ]
    .into_iter()
    .map(|(json, is_taken)| (json.to_owned(), is_taken))
    .chain([(digits(131_072, 16_383), true), (digits(131_073, 1), false), (digits(1, 16_384), false)])
    .collect()
}

#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn what_jsonb_takes_is_what_the_server_says() {
    let runtime = Runtime::new().unwrap();
    let database = runtime.block_on(Database::create());
    for (number, (json, is_taken)) in payloads().into_iter().enumerate() {
        let asked = runtime.block_on(async {
            let mut connection = database.connect().await;
            sqlx::query("SELECT $1::jsonb").bind(json.clone()).execute(&mut connection).await.is_ok()
        });
        let shown = &json[..json.len().min(40)];
        assert_eq!(asked, is_taken, "the server on {shown}");
        let project = Project::new(&format!(
            "[source]\nstore = \"file\"\npath = \"events.ndjson\"\n[target]\nurl = \"{}\"\ntable = \"t{number}\"\ndata = \"jsonb\"\n",
            database.url()
        ));
        let line = format!(
            "{{\"specversion\":\"1.0\",\"id\":\"e-1\",\"source\":\"urn:test\",\"type\":\"A\",\"subject\":\"a-1\",\
             \"time\":\"2024-05-01T12:00:00Z\",\"sequence\":1,\"streamrevision\":0,\"data\":{{\"x\":{json}}}}}\n"
        );
        project.write("events.ndjson", line);
        let planned = project.run("plan", ["--show", "0"]);
        let done = project.migrate();
        assert_eq!(
            (planned.code == Some(0), done.code == Some(0)),
            (is_taken, is_taken),
            "{shown}: {planned:?} {done:?}"
        );
        if !is_taken {
            assert_eq!(planned.code, done.code, "{shown}");
            assert!(planned.stdout.contains("can't hold 1 event") && planned.stdout.contains("e-1"), "{planned:?}");
            assert!(planned.stdout.contains("make the target with `data = \"json\"`"), "{planned:?}");
        }
    }
}
