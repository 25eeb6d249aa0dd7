//! `serve`, the program: what is due is built once, by one process, from the project as it is then.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eventlift::projections::ReadModelStore;
use eventlift::stores::sqlite::{SqliteConfig, SqliteReadModels};
use serde_json::Value;

use crate::project::{Output, Project};

/// Read models of a source, without a target.
const PROJECT: &str = r#"
[source]
store = "file"
path = "events.ndjson"

[read_models]
store = "sqlite"
path = "read_models.db"

[schedule.yearly]
cron = "0 0 1 1 *"
"#;

const CUSTOMERS: &str = r#"
projection = "customers"

[table.customers]
key = "id"
columns = { id = "integer", name = "text" }

[[on]]
event = "Joined"
version = 1
key = "/id"
set = { name = "/name" }
"#;

const COUNTS: &str = r#"
projection = "counts"

[table.counts]
key = "name"
columns = { name = "text", joined = "integer" }

[[on]]
event = "Joined"
version = 1
key = "/name"
add = { joined = 1 }
"#;

fn joined(number: u64) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"e-{number}\",\"source\":\"urn:test\",\"type\":\"Joined\",\"subject\":\"user-{number}\",\
         \"time\":\"2024-05-01T12:00:00Z\",\"sequence\":{number},\"streamrevision\":0,\
         \"data\":{{\"id\":{number},\"name\":\"n{}\"}}}}\n",
        number % 7
    )
}

/// A project whose only time was missed, with this task and so many events.
fn project(task: &str, events: u64) -> Project {
    let project = Project::new(&format!("{PROJECT}{task}\n"));
    project.write("projections/customers.toml", CUSTOMERS).write("projections/counts.toml", COUNTS);
    project.write("events.ndjson", (1..=events).map(joined).collect::<String>());
    miss(&project);
    project
}

/// Has `serve` believe that it has known the schedule for long, and never run it.
fn miss(project: &Project) {
    let seen = r#"{"yearly":{"times":"0 0 1 1 * UTC","since":"2020-01-01T00:00:00Z","done":null}}"#;
    project.write(".eventlift/schedules.json", seen);
}

fn once(project: &Project) -> Output {
    project.run("serve", ["--once"])
}

const ALL: &str = "rebuild = [\"customers\", \"counts\"]";

/// The runs in the ledger: projection and how it went.
fn runs(project: &Project) -> Vec<(String, String)> {
    let report: Value = serde_json::from_str(&project.run("runs", ["--json"]).succeeds()).unwrap();
    let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    let lines = report["rebuilds"].as_array().unwrap().iter();
    lines.map(|line| (text(line, "projection"), text(line, "outcome"))).collect()
}

fn done(names: &[&str]) -> Vec<(String, String)> {
    names.iter().map(|name| ((*name).to_owned(), "done".to_owned())).collect()
}

fn count(project: &Project, query: &str) -> i64 {
    let database = rusqlite::Connection::open(project.path("read_models.db")).unwrap();
    database.query_row(query, [], |row| row.get(0)).unwrap()
}

fn hold(project: &Project, name: &str) -> Box<dyn eventlift::projections::Hold> {
    let store = SqliteReadModels::open(SqliteConfig::new(project.path("read_models.db"))).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(store.hold(name)).unwrap()
}

#[test]
fn a_missed_time_is_made_up_for_once() {
    let project = project(ALL, 70);
    let said = once(&project).succeeds();
    assert!(said.contains("done: counts (70 events, 7 rows), customers (70 events, 70 rows)"), "{said}");
    assert!(said.ends_with("1 tasks done, 0 failed\n"), "{said}");
    assert_eq!(once(&project).succeeds(), "nothing is due\n");
    assert_eq!(runs(&project), done(&["counts", "customers"]));
    // Nor where what it remembers is set back: the ledger knows.
    miss(&project);
    assert_eq!(once(&project).succeeds(), "nothing is due\n");
    let text = project.run("runs", [] as [&str; 0]).succeeds();
    assert!(text.contains("schedule yearly, due by yearly at ") && text.contains("-01-01T00:00:00Z"), "{text}");
}

#[test]
fn what_has_not_changed_is_not_built() {
    let project = project("rebuild = \"changed\"", 7);
    project.run("rebuild", ["--all"]).succeeds();
    let said = once(&project).succeeds();
    assert!(said.contains("done: nothing had changed ("), "{said}");
    project.write("projections/counts.toml", COUNTS.replace("joined = 1", "joined = 2"));
    miss(&project);
    let said = once(&project).succeeds();
    assert!(said.contains("done: counts (7 events, 7 rows) ("), "{said}");
    assert_eq!(count(&project, "SELECT joined FROM counts WHERE name = 'n1'"), 2);
    let text = project.run("runs", [] as [&str; 0]).succeeds();
    assert!(text.contains("the projection has changed, due by yearly at "), "{text}");
}

#[test]
fn what_another_process_builds_is_left_to_it() {
    let project = project(ALL, 70);
    let held = hold(&project, "customers");
    let output = once(&project);
    assert_eq!(output.code, Some(5), "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("skipped for now: another process builds customers\n"), "{}", output.stdout);
    assert_eq!(runs(&project), done(&["counts"]));
    let status = project.run("status", [] as [&str; 0]).succeeds();
    assert!(status.contains("\n  customers  not built yet; a process builds it now\n"), "{status}");
    drop(held);
    let said = once(&project).succeeds();
    assert!(said.contains("done: customers (70 events, 70 rows)"), "{said}");
    assert_eq!(runs(&project), done(&["counts", "customers"]));
}

#[test]
fn two_at_the_same_moment_build_everything_once() {
    let project = project(ALL, 3_000);
    for round in 1..=6 {
        let start = || project.command("serve").arg("--once").stdout(Stdio::piped()).spawn().unwrap();
        let (one, other) = (start(), start());
        let outputs = [one, other].map(|child| child.wait_with_output().unwrap());
        let codes = outputs.each_ref().map(|output| output.status.code());
        let said = outputs.map(|output| String::from_utf8(output.stdout).unwrap());
        assert!(codes.iter().all(|code| matches!(code, Some(0 | 5))), "round {round}: {codes:?} {said:#?}");
        // Where one was skipped for the other, what is left is built by the next.
        once(&project).succeeds();
        assert_eq!(runs(&project), done(&["counts", "customers"]), "round {round}: {said:#?}");
        let built = said.iter().flat_map(|said| said.lines()).filter(|line| line.contains(" events, ")).count();
        assert!(built >= 1, "{said:#?}");
        std::fs::remove_file(project.path("read_models.db")).unwrap();
        miss(&project);
    }
}

#[test]
fn an_update_that_fails_keeps_no_other_from_being_made() {
    let project = project("update = \"all\"", 7);
    project.run("rebuild", ["--all"]).succeeds();
    project.write("projections/counts.toml", COUNTS.replace("joined = 1", "joined = 2"));
    project.write("events.ndjson", (1..=9).map(joined).collect::<String>());
    let output = once(&project);
    assert_eq!(output.code, Some(7), "{}{}", output.stdout, output.stderr);
    let failed = "failed: refused: the live tables of counts are not what it would build now: \
                  the projection has changed (hint: `eventlift rebuild` without --since builds it anew, beside what is live)";
    assert!(output.stdout.contains(failed), "{}", output.stdout);
    assert_eq!(count(&project, "SELECT count(*) FROM customers"), 9);
    assert_eq!(count(&project, "SELECT sum(joined) FROM counts"), 7);
    // It is tried again at the next time.
    assert_eq!(once(&project).succeeds(), "nothing is due\n");
    let outcomes: Vec<_> = runs(&project).split_off(2);
    let of = |name: &str, outcome: &str| (name.to_owned(), outcome.to_owned());
    assert_eq!(outcomes, [of("counts", "failed"), of("customers", "done")]);
    let status = project.run("status", [] as [&str; 0]).succeeds();
    assert!(status.contains("; to be rebuilt: the projection has changed\n"), "{status}");
}

#[test]
fn an_event_that_is_not_understood_is_in_the_record() {
    let project = project(ALL, 7);
    let left = joined(8).replace("Joined", "Left");
    project.write("events.ndjson", (1..=7).map(joined).collect::<String>() + &left);
    let output = once(&project);
    assert_eq!(output.code, Some(7), "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("does not understand"), "{}", output.stdout);
    let failed = |name: &str| (name.to_owned(), "failed".to_owned());
    assert_eq!(runs(&project), [failed("counts"), failed("customers")]);
}

/// Reads lines until one has this in it.
fn wait_for(lines: &mut impl Iterator<Item = std::io::Result<String>>, text: &str) -> String {
    let mut said = Vec::new();
    for line in lines.map(Result::unwrap) {
        if line.contains(text) {
            return line;
        }
        said.push(line);
    }
    panic!("it never said {text:?}: {said:#?}");
}

fn terminate(child: &Child) {
    let kill = format!("kill -s TERM {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}

#[test]
fn asked_to_stop_it_leaves_whole_tables_and_goes_on_later() {
    const EVENTS: u64 = 30_000;
    let project = project(ALL, EVENTS);
    let begun = Instant::now();
    project.run("rebuild", ["--all"]).succeeds();
    let duration = begun.elapsed();
    project.write("projections/counts.toml", COUNTS.replace("joined = 1", "joined = 2"));
    let sum = || count(&project, "SELECT sum(joined) FROM counts");
    let mut stopped = false;
    for share in [0.4, 0.25, 0.55, 0.1] {
        let mut child = project.command("serve").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        wait_for(&mut lines, "yearly: rebuilding customers, counts, which was due at");
        std::thread::sleep(duration.mul_f64(share));
        terminate(&child);
        let said: Vec<String> = lines.map(Result::unwrap).collect();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{said:#?}");
        assert_eq!(count(&project, "SELECT count(*) FROM customers"), EVENTS.cast_signed());
        if said.iter().any(|line| line.contains("stopped; it goes on when `serve` is started again")) {
            assert!(said.iter().any(|line| line.contains("stopping, when 1 running tasks have saved")), "{said:#?}");
            assert_eq!(sum(), EVENTS.cast_signed(), "still the old ones: {said:#?}");
            stopped = true;
            break;
        }
        assert_eq!(sum(), 2 * EVENTS.cast_signed(), "{said:#?}");
        std::fs::remove_file(project.path("read_models.db")).unwrap();
        project.write("projections/counts.toml", COUNTS);
        project.run("rebuild", ["--all"]).succeeds();
        project.write("projections/counts.toml", COUNTS.replace("joined = 1", "joined = 2"));
        miss(&project);
    }
    assert!(stopped, "no signal came in time");
    let said = once(&project).succeeds();
    assert!(said.ends_with("1 tasks done, 0 failed\n"), "{said}");
    assert_eq!(sum(), 2 * EVENTS.cast_signed());
    assert_eq!(count(&project, "SELECT count(*) FROM customers"), EVENTS.cast_signed());
}

/// Gives a named pipe a text to read, once somebody reads it.
fn give(pipe: &Path, text: &str) {
    std::fs::OpenOptions::new().write(true).open(pipe).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_definition_that_was_broken_meanwhile_is_no_end() {
    let project = project(ALL, 7);
    // Each reading of a pipe gets another text: a whole definition at the start, a broken one when the time has come.
    let pipe = project.path("projections/counts.toml");
    std::fs::remove_file(&pipe).unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut child = project.command("serve").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    give(&pipe, COUNTS);
    wait_for(&mut lines, "yearly: rebuilding customers, counts, which was due at");
    give(&pipe, &COUNTS.replace("joined = 1", "joned = 1"));
    let failed = wait_for(&mut lines, "yearly: failed: ");
    assert!(failed.contains("projections/counts.toml:12") && failed.contains("joned"), "{failed}");
    std::thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none(), "it has ended");
    terminate(&child);
    let said: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!((child.wait().unwrap().code(), &*said[said.len() - 1]), (Some(0), "0 tasks done, 1 failed"));
}

#[test]
fn what_can_not_be_served_is_said_at_the_start() {
    let project = project("rebuild = [\"custmers\"]", 7);
    let message = "PROJECT/eventlift.toml:12: [schedule.yearly]: there is no projection \"custmers\"\n\
                   hint: did you mean `customers`?";
    once(&project).fails(3, &format!("error: failed to read {message}"));
    let check = project.run("check", [] as [&str; 0]);
    let expected = message.replace("PROJECT", project.folder().to_str().unwrap());
    assert!(check.stdout.ends_with(&format!("error: failed to read {expected}\n")), "{}", check.stdout);
    assert_eq!(check.code, Some(3));

    let none = Project::new(&format!("{PROJECT}rebuild = \"all\"\n"));
    none.write("events.ndjson", joined(1));
    let output = once(&none);
    assert_eq!(output.code, Some(3), "{}", output.stderr);
    assert!(output.stderr.contains("there are no projections in PROJECT/projections"), "{}", output.stderr);
    assert!(!none.path("read_models.db").exists(), "it was made for nothing");
}

#[test]
fn projections_need_somewhere_to_be_kept() {
    let project = Project::new("[source]\nstore = \"file\"\npath = \"events.ndjson\"\n");
    project.write("projections/counts.toml", COUNTS);
    let check = project.run("check", ["--json"]);
    assert_eq!(check.code, Some(3), "{}", check.stdout);
    let report: Value = serde_json::from_str(&check.stdout).unwrap();
    assert_eq!(report["projections"], 1);
    let problem = report["problems"][0]["message"].as_str().unwrap();
    assert!(problem.ends_with("eventlift.toml: there is no [read_models]"), "{problem}");
}

#[test]
fn looking_makes_nothing() {
    let project = project(ALL, 7);
    let status = project.run("status", [] as [&str; 0]).succeeds();
    let never =
        "read models in sqlite:PROJECT/read_models.db\n  counts     not built yet\n  customers  not built yet\n";
    assert!(status.ends_with(&never.replace("PROJECT", project.folder().to_str().unwrap())), "{status}");
    let said = project.run("runs", [] as [&str; 0]).succeeds();
    assert!(said.ends_with("read_models.db: no run yet\n"), "{said}");
    assert!(!project.path("read_models.db").exists());
    // A definition that is broken, and rules that are, are for `check` to find.
    project.run("rebuild", ["--all"]).succeeds();
    project.write("projections/counts.toml", "projection = 7\n");
    let status = project.run("status", [] as [&str; 0]).succeeds();
    assert!(status.contains("  counts     up to position 7, 7 events, updated "), "{status}");
    assert!(status.contains("whether they have changed can't be said: failed to read the projections"), "{status}");
    std::fs::remove_file(project.path("projections/counts.toml")).unwrap();
    let status = project.run("status", [] as [&str; 0]).succeeds();
    assert!(status.contains("; it has no definition any more\n"), "{status}");
}
