//! The law, over made-up logs, rules, policies and targets, for new runs and for those that go on.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::scene::{Scene, any_scene, compare};

fn in_sqlite(path: &Path) -> BTreeMap<(String, u32), u64> {
    if !path.exists() {
        return BTreeMap::new();
    }
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT type, schema_version, count(*) FROM events GROUP BY 1, 2").unwrap();
    let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get::<_, i64>(2)? as u64))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn in_file(path: &Path) -> BTreeMap<(String, u32), u64> {
    let mut types = BTreeMap::new();
    for line in std::fs::read_to_string(path).unwrap_or_default().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let version = event["dataschema"].as_str().and_then(|schema| schema.rsplit(':').next()?.parse().ok());
        *types.entry((event["type"].as_str().unwrap().to_owned(), version.unwrap_or(1))).or_default() += 1;
    }
    types
}

/// Compares at the first events, and again at all of them.
fn go_through(scene: &Scene, target: &str, types: fn(&Path) -> BTreeMap<(String, u32), u64>) {
    let project = scene.project(target);
    let path = project.path("target");
    let done = compare(scene, &project, 0, || types(&path));
    let held = done.json["quarantined"]["events"].as_u64().unwrap_or(0);
    scene.write_log(&project, scene.log.len());
    compare(scene, &project, held, || types(&path));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_plan_says_what_a_migration_into_sqlite_then_does(scene in any_scene()) {
        go_through(&scene, "store = \"sqlite\"\npath = \"target\"\n", in_sqlite);
    }

    #[test]
    fn a_plan_says_what_a_migration_into_a_file_then_does(scene in any_scene(), most in prop_oneof![Just(800), Just(9000)]) {
        go_through(&scene, &format!("store = \"file\"\npath = \"target\"\nmax_line_bytes = {most}\n"), in_file);
    }
}
