//! However the tables are built, they hold what the script says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use eventlift::projections::Definitions;

use super::log::log;
use super::script::{From, expected};
use super::tables::{assert_same, bytes, first_difference, rows};
use super::{eventlift_toml, project, text};
use crate::project::Project;

const EVENTS: usize = 5_000;
const NONE: [&str; 0] = [];

fn with_events(settings: &str, lines: &[String]) -> Project {
    let project = project(settings);
    project.write("events.ndjson", text(lines));
    project
}

fn database(project: &Project) -> PathBuf {
    project.path("read_models.db")
}

/// Fails unless the tables hold what the script makes of the project's log.
#[track_caller]
fn assert_as_expected(project: &Project, from: From) {
    assert_same(&rows(&database(project)), &expected(&project.path("events.ndjson"), from));
}

#[test]
fn the_projections_do_what_their_test_cases_say() {
    let files = eventlift::Project::load(project("").folder()).unwrap().projections().unwrap();
    let results = Definitions::load(files).unwrap().test();
    let failed: Vec<_> = results.iter().filter(|result| result.failure.is_some()).collect();
    assert!(failed.is_empty() && results.len() == 4, "{results:#?}");
}

/// `EVENTLIFT_HISTORY=LOG cargo test --release --test main history -- --nocapture` does it with a real log, plain or
/// compressed, and prints what it took.
#[test]
fn a_migration_builds_the_tables_in_the_same_pass() {
    let project = match std::env::var_os("EVENTLIFT_HISTORY") {
        Some(log) => {
            let project = project("");
            std::os::unix::fs::symlink(Path::new(&log).canonicalize().unwrap(), project.path("events.ndjson")).unwrap();
            project
        }
        None => with_events("", &log(EVENTS, 1)),
    };
    project.run("check", NONE).succeeds();
    let begun = Instant::now();
    let said = project.migrate().succeeds();
    let seconds = begun.elapsed().as_secs_f64();
    assert_as_expected(&project, From::Target);
    project.verify().succeeds();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (table, _) in rows(&database(&project)).into_keys() {
        *counts.entry(table).or_default() += 1;
    }
    println!("{said}\n{counts:?} in {seconds:.2} seconds");
}

#[test]
fn the_way_they_are_built_makes_no_difference() {
    // Where no row may stay in memory, every one is put aside.
    let project = with_events("[rebuild]\nmemory = \"0 B\"", &log(EVENTS, 2));
    project.migrate().succeeds();
    assert_as_expected(&project, From::Target);
    let mut built = BTreeMap::from([("target", bytes(&database(&project)))]);
    for memory in ["0 B", "64 KiB", "256 MiB"] {
        project.write("eventlift.toml", eventlift_toml(&format!("[rebuild]\nmemory = \"{memory}\"")));
        for (workers, batch) in [("1", "1000"), ("2", "7"), ("5", "333")] {
            for from in [From::Target, From::Source] {
                let ways = ["--all", "--from", from.name(), "--workers", workers, "--batch", batch];
                project.run("rebuild", ways).succeeds();
                assert_as_expected(&project, from);
                let now = bytes(&database(&project));
                let before = built.entry(from.name()).or_insert_with(|| now.clone());
                assert_eq!(first_difference(&now, before), None, "{memory} {ways:?}");
            }
        }
    }
}

/// Logs grow in the middle of a commit as well.
const GROWTH: [usize; 5] = [EVENTS * 6 / 10, EVENTS * 6 / 10 + 1, EVENTS * 7 / 10, EVENTS * 9 / 10, EVENTS];

#[test]
fn events_that_come_later_are_folded_in_by_the_next_migration() {
    let lines = log(EVENTS, 3);
    let project = with_events("", &lines[..1]);
    project.migrate().succeeds();
    for events in GROWTH {
        project.write("events.ndjson", text(&lines[..events]));
        project.migrate().succeeds();
        assert_as_expected(&project, From::Target);
    }
    let grown = bytes(&database(&project));
    project.run("rebuild", ["--all"]).succeeds();
    assert_eq!(first_difference(&bytes(&database(&project)), &grown), None);
}

#[test]
fn or_by_a_rebuild_since_the_last_one() {
    let lines = log(EVENTS, 4);
    let project = with_events("", &lines[..GROWTH[0]]);
    project.run("rebuild", ["--all", "--from", "source"]).succeeds();
    assert_as_expected(&project, From::Source);
    for events in &GROWTH[1..] {
        project.write("events.ndjson", text(&lines[..*events]));
        project.run("rebuild", ["--since", "--from", "source"]).succeeds();
        assert_as_expected(&project, From::Source);
    }
    let grown = bytes(&database(&project));
    project.run("rebuild", ["--all", "--from", "source"]).succeeds();
    assert_eq!(first_difference(&bytes(&database(&project)), &grown), None);
}
