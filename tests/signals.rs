//! SIGINT and SIGTERM: the run drains, commits, says how to go on, and the next one goes on.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eventlift::events::EventWriter;
use eventlift::stores::sqlite::{SqliteConfig, SqliteWriter};

use crate::content::{self, assert_same};
use crate::project::Project;
use crate::rulebook;

const PROJECT: &str = r#"
[source]
store = "sqlite"
path = "source.db"

[target]
store = "sqlite"
path = "target.db"
"#;

const RENAMED: &str = r#"
type = "FileRenamed"
retired = true

[[upcast]]
from = 1
split = [
  { type = "FileDeleted", version = 1, data = [{ remove = "/to" }] },
  { type = "FileAdded", version = 1, data = [{ remove = "/from" }] },
]
"#;

const OTHERS: &str = r#"
[current]
FileDeleted = 1
FileAdded = 1
Ping = 1
UserCreated = 1

[[rule]]
name = "no pings"
match = { types = ["Ping"] }
drop = true

[[rule]]
name = "full names"
match = { types = ["UserCreated"] }
jq = '.full = .first + " " + .last'
"#;

/// Two transactions and some, so that there is something to resume.
const EVENTS: u64 = 24_000;

fn project() -> Project {
    let project = Project::new(PROJECT);
    project.write("transformers/file_renamed.toml", RENAMED).write("transformers/others.toml", OTHERS);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut writer = SqliteWriter::open(SqliteConfig::new(project.path("source.db"))).unwrap();
        writer.append(&rulebook::log(EVENTS, 5), None).await.unwrap();
        writer.seal(true).await.unwrap();
    });
    project
}

fn remove_target(project: &Project) {
    std::fs::remove_file(project.path("target.db")).unwrap();
    // Where a transaction was cut off, this belongs to the database that is gone; otherwise it is not there.
    let _ = std::fs::remove_file(project.path("target.db-journal"));
}

fn start(project: &Project) -> Child {
    project.command("migrate").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits that long, or until the process ends.
fn wait(child: &mut Child, longest: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < longest && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn send(signal: &str, child: &Child) {
    // It fails where the process has ended by itself.
    let kill = format!("kill -s {signal} {}", child.id());
    Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().unwrap();
}

#[test]
fn a_run_that_is_asked_to_stop_commits_and_can_be_gone_on_with() {
    let project = project();
    let begun = Instant::now();
    project.migrate().succeeds();
    let duration = begun.elapsed();
    let target = project.path("target.db");
    let undisturbed = content::of_sqlite(&target);
    for signal in ["TERM", "INT"] {
        remove_target(&project);
        let mut stopped_by_itself = 0;
        // Always at the same share of the way, so that it comes to its end however slow the machine is.
        for share in [0.35, 0.55, 0.75, 5.0, 20.0, 20.0] {
            let mut child = start(&project);
            wait(&mut child, duration.mul_f64(share));
            send(signal, &child);
            let output = child.wait_with_output().unwrap();
            let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            match output.status.code() {
                Some(0) => break,
                Some(9) => {
                    stopped_by_itself += 1;
                    assert!(said.contains("stopped be") && said.contains("; go on with the same command"), "{said}");
                }
                // Too early for it to listen, which is as good as a kill.
                None => {}
                other => panic!("{other:?}: {said}{error}"),
            }
        }
        assert!(stopped_by_itself > 0, "{signal} never came in time");
        assert_same(&undisturbed, &content::of_sqlite(&target), signal);
        project.verify().succeeds();
    }
}

#[test]
fn a_run_that_was_stopped_says_where_it_stands() {
    let project = project();
    let begun = Instant::now();
    project.migrate().succeeds();
    let duration = begun.elapsed();
    for share in [0.5, 0.6, 0.4, 0.7, 0.3] {
        remove_target(&project);
        let mut child = start(&project);
        wait(&mut child, duration.mul_f64(share));
        send("TERM", &child);
        if child.wait_with_output().unwrap().status.code() != Some(9) {
            continue;
        }
        let status = project.run("status", [] as [&str; 0]).succeeds();
        assert!(status.contains("nothing is at work on it; go on with `eventlift migrate"), "{status}");
        return project.verify().fails(
            5,
            "error: failed to verify sqlite:PROJECT/target.db: its run has not ended\n\
         hint: run `eventlift migrate` first",
        );
    }
    panic!("no signal came in time");
}

#[test]
fn a_run_that_waits_for_standard_input_stops_too() {
    use std::io::Write;
    let project = Project::new(&PROJECT.replace("\"sqlite\"\npath = \"source.db\"", "\"file\"\npath = \"-\""));
    let line = |number: u64| {
        format!(
            "{{\"id\":\"e-{number}\",\"type\":\"A\",\"subject\":\"s\",\"time\":\"2024-05-01T12:00:00Z\",\
             \"sequence\":{number},\"streamrevision\":{number},\"data\":1}}\n"
        )
    };
    let log: String = (0..30).map(line).collect();
    let mut child = project.command("migrate").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(log.as_bytes()).unwrap();
    // Once there is a target the program listens.
    while !project.path("target.db").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    send("TERM", &child);
    wait(&mut child, Duration::from_secs(20));
    assert_eq!(child.try_wait().unwrap().and_then(|status| status.code()), Some(9));
    drop(input);
    project.run_with_input("migrate", log.as_bytes()).succeeds();
    let lines = content::of_sqlite(&project.path("target.db"));
    assert_eq!(lines.iter().filter(|line| line.starts_with("events:")).count(), 30);
}
