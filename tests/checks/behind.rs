//! Checks behind a migration: those that fail hold the cut-over, or take back what was written.

use eventlift::checks::{When, held, kept_reports};
use eventlift::commands::{CheckOptions, run_checks};
use eventlift::config::Project as Loaded;

use crate::project::{FILE_TO_FILE, FILE_TO_SQLITE, Project};

const EVENTS: &str = r#"{"specversion":"1.0","id":"1","source":"s","type":"UserCreated","subject":"user-1","time":"2026-01-01T00:00:00Z","streamrevision":0,"sequence":1,"data":{"name":"Ada"}}
"#;

fn check(expect: u32) -> String {
    format!(
        "[[check]]\nname = \"as many\"\nwhen = \"after\"\non = \"target\"\nsql = \"SELECT count(*) FROM events\"\nexpect = {expect}\n"
    )
}

fn project(checks: &str) -> Project {
    let project = Project::new(&format!("{FILE_TO_SQLITE}\n{checks}"));
    project.write("events.ndjson", EVENTS);
    project
}

async fn is_held(project: &Project) -> Option<Vec<String>> {
    let ledger = Loaded::load(project.folder()).unwrap().target.unwrap().ledger().await.unwrap().unwrap();
    let run = ledger.runs().await.unwrap().pop().unwrap();
    held(&*ledger, run.id).await.unwrap().map(|hold| hold.checks)
}

async fn reports(project: &Project) -> Vec<When> {
    let ledger = Loaded::load(project.folder()).unwrap().target.unwrap().ledger().await.unwrap().unwrap();
    let run = ledger.runs().await.unwrap().pop().unwrap();
    kept_reports(&*ledger, run.id).await.unwrap().iter().map(|report| report.when).collect()
}

#[tokio::test]
async fn one_that_fails_holds_the_cut_over_until_it_passes() {
    let project = project(&check(2));
    let output = project.migrate();
    assert_eq!(output.code, Some(5), "{}", output.stderr);
    assert!(output.stdout.contains("FAILED  as many: the query yielded 1, where 2 is expected"), "{}", output.stdout);
    assert_eq!(is_held(&project).await, Some(vec!["as many".to_owned()]));
    assert_eq!(reports(&project).await, [When::Before, When::After]);
    let loaded = Loaded::load(project.folder()).unwrap();
    let report = run_checks(&loaded, When::Cutover, CheckOptions::default()).await.unwrap();
    assert_eq!(report.failed(), ["as many"]);

    project.write("eventlift.toml", format!("{FILE_TO_SQLITE}\n{}", check(1)));
    project.migrate().succeeds();
    assert_eq!(is_held(&project).await, None);
    assert_eq!(reports(&project).await, [When::Before, When::After, When::After]);
}

#[tokio::test]
async fn one_that_is_skipped_holds_nothing_and_is_recorded() {
    let project = project(&check(2));
    let said = project.run("migrate", ["--skip-check", "as many"]).succeeds();
    assert!(said.contains("skipped as many: skipped with --skip-check"), "{said}");
    assert_eq!(is_held(&project).await, None);
    assert_eq!(reports(&project).await, [When::Before, When::After]);
}

#[tokio::test]
async fn what_was_written_is_taken_back_where_that_is_wanted() {
    let project = project(&format!("[checks]\non_failure = \"roll_back\"\n{}", check(2)));
    let output = project.migrate();
    assert_eq!(output.code, Some(5), "{}", output.stderr);
    assert!(output.stdout.contains("what the run wrote was taken out of the target again"), "{}", output.stdout);
    let ledger = Loaded::load(project.folder()).unwrap().target.unwrap().ledger().await.unwrap().unwrap();
    let run = ledger.runs().await.unwrap().pop().unwrap();
    assert_eq!(run.state.as_str(), "rolled_back");
    assert_eq!(ledger.checkpoint(run.id).await.unwrap(), None);
    drop(ledger);
    let count: i64 = rusqlite::Connection::open(project.path("target.db"))
        .unwrap()
        .query_row("SELECT count(*) FROM events", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 0);
    // The next one is a new run.
    project.write("eventlift.toml", format!("{FILE_TO_SQLITE}[checks]\non_failure = \"roll_back\"\n{}", check(1)));
    project.migrate().succeeds();
    project.verify().succeeds();
    // One that was done before is never taken back.
    project.write("eventlift.toml", format!("{FILE_TO_SQLITE}[checks]\non_failure = \"roll_back\"\n{}", check(7)));
    assert_eq!(project.migrate().code, Some(5));
    assert_eq!(is_held(&project).await, Some(vec!["as many".to_owned()]));
    project.verify().succeeds();
}

#[tokio::test]
async fn events_of_the_target_are_looked_at() {
    let jq = "[[check]]\nname = \"named\"\nwhen = \"after\"\non = \"target\"\njq = '.data.name == \"Bo\"'\ntypes = [\"UserCreated\"]\n";
    let project = Project::new(&format!("{FILE_TO_FILE}\n[checks]\non_failure = \"stop\"\n{jq}"));
    project.write("events.ndjson", EVENTS);
    let output = project.migrate();
    assert_eq!(output.code, Some(5), "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("FAILED  named: 1 event; the first is event 1"), "{}", output.stdout);
    assert!(output.stdout.contains("the events are in all the same"), "{}", output.stdout);
    assert_eq!(is_held(&project).await, None);
}
