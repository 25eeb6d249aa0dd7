//! Getting hold of a store that somebody writes to: they answer late, never, or are killed while they are asked.

use std::process::{Child, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use eventlift::events::EventWriter;
use eventlift::stores::sqlite::{SqliteConfig, SqliteWriter};
use eventlift::stores::{Asking, Claim, StoreConfig};
use tokio::runtime::Runtime;

use crate::project::Project;
use crate::rulebook;

const TOML: &str = r#"
[source]
store = "sqlite"
path = "source.db"

[target]
store = "sqlite"
path = "target.db"

[take_over]
patience = "2s"
"#;

/// Waits for something that comes soon on any machine.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A project whose target holds what its source does.
fn migrated() -> Project {
    let project = Project::new(TOML);
    append(&project, 0, 300);
    project.run("migrate", [] as [&str; 0]).succeeds();
    project
}

/// Appends a part of a log to the source.
fn append(project: &Project, from: usize, to: usize) {
    let events = rulebook::log(400, 3);
    let mut source = SqliteWriter::open(SqliteConfig::new(project.path("source.db"))).unwrap();
    block_on(source.append(&events[from..to], None)).unwrap();
    block_on(source.seal(false)).unwrap();
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    // One for all: connections belong to the runtime that they were made on.
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let build = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    RUNTIME.get_or_init(build).block_on(future)
}

pub(crate) fn target(project: &Project) -> StoreConfig {
    eventlift::Project::load(project.folder()).unwrap().target.unwrap()
}

/// A command that runs beside the test.
pub(crate) fn spawn(project: &Project, command: &str, arguments: &[&str]) -> Child {
    let mut command = project.command(command);
    let command = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

pub(crate) fn signal(child: &Child, name: &str) {
    let number = child.id().to_string();
    assert!(std::process::Command::new("kill").args([name, &number]).status().unwrap().success());
}

#[track_caller]
pub(crate) fn assert_code(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let found = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{found}{said}");
    said
}

/// A `migrate --follow` that has the target and follows.
pub(crate) fn follower(project: &Project) -> Child {
    let follower = spawn(project, "migrate", &["--follow", "--json"]);
    let target = target(project);
    until(
        "it never followed",
        || matches!(block_on(target.holder()), Ok(Some(holder)) if holder.lets_go && holder.process == follower.id()),
    );
    follower
}

/// Whoever has the target lets go of it, but not at once.
pub(crate) fn late(project: &Project) {
    let target = target(project);
    let held = block_on(target.writer_as(&Claim::of("a test").letting_go())).unwrap();
    let rollback = spawn(project, "rollback", &["--yes"]);
    until("it never asked", || block_on(target.standing_request()).unwrap().is_some());
    std::thread::sleep(Duration::from_millis(500));
    drop(held);
    let output = rollback.wait_with_output().unwrap();
    let said = assert_code(&output, 0);
    assert!(said.contains(&format!("process {}, `a test` by ", std::process::id())), "{said}");
    assert!(said.contains("asked to let go"), "{said}");
    assert!(block_on(target.standing_request()).unwrap().is_none());
}

/// Whoever has the target never lets go of it, and does not get on.
pub(crate) fn never(project: &Project) {
    let target = target(project);
    let held = block_on(target.writer_as(&Claim::of("a test").letting_go())).unwrap();
    let rollback = spawn(project, "rollback", &["--yes"]);
    let said = assert_code(&rollback.wait_with_output().unwrap(), 5);
    assert!(said.contains("a process still writes to it"), "{said}");
    assert!(said.contains(&format!("process {}, `a test` by ", std::process::id())), "{said}");
    assert_eq!(block_on(target.standing_request()).unwrap(), None, "the request ends with who asked");
    drop(held);
}

/// Stops a process where it locks nobody out of its target: in the middle of a transaction, a file could not be read.
fn stop_between_transactions(project: &Project, child: &Child) {
    let target = target(project);
    let is_read = async || target.ledger().await?.expect("a run has filled it").runs().await;
    until("it was always in a transaction", || {
        signal(child, "-STOP");
        let is_free = block_on(is_read()).is_ok();
        if !is_free {
            signal(child, "-CONT");
        }
        is_free
    });
}

/// A follower that answers nothing, and is killed while it is asked.
pub(crate) fn killed(project: &Project) {
    let mut follower = follower(project);
    stop_between_transactions(project, &follower);
    let rollback = spawn(project, "rollback", &["--yes"]);
    until("it never asked", || block_on(target(project).standing_request()).unwrap().is_some());
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_code(&rollback.wait_with_output().unwrap(), 0);
}

/// A follower lets go for whoever needs the target for a while, and goes on afterwards.
pub(crate) fn for_a_while(project: &Project, more: impl FnOnce(), has_come: impl Fn() -> bool) {
    let follower = follower(project);
    let target = target(project);
    let request = block_on(target.request(Asking::ForAWhile)).unwrap();
    let mut held = None;
    until("it never let go", || {
        held = block_on(target.writer_as(&Claim::of("a test"))).ok();
        held.is_some()
    });
    drop(request);
    more();
    assert!(!has_come());
    drop(held);
    until("it never went on", has_come);
    signal(&follower, "-INT");
    let output = follower.wait_with_output().unwrap();
    assert_code(&output, 0);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["state"], &said["handed_over"]), (&"done".into(), &false.into()));
}

/// A follower whose target is taken over for good ends.
pub(crate) fn for_good(project: &Project) {
    let follower = follower(project);
    let target = target(project);
    let request = block_on(target.request(Asking::ForGood)).unwrap();
    let mut held = None;
    until("it never let go", || {
        held = block_on(target.writer_as(&Claim::of("a test").taking_over())).ok();
        held.is_some()
    });
    drop(request);
    let output = follower.wait_with_output().unwrap();
    assert_code(&output, 0);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&said["state"], &said["handed_over"]), (&"done".into(), &true.into()));
    drop(held);
}

/// Whoever gets on is waited for beyond the patience.
pub(crate) fn as_long_as_it_gets_on(project: &Project, patience: Duration) {
    let target = target(project);
    let mut held = block_on(target.writer_as(&Claim::of("a test").letting_go())).unwrap();
    let rollback = spawn(project, "rollback", &["--yes"]);
    until("it never asked", || block_on(target.standing_request()).unwrap().is_some());
    let begun = Instant::now();
    while begun.elapsed() < 3 * patience {
        let mut run = block_on(held.runs()).unwrap().pop().unwrap();
        run.updated_at = eventlift::events::Timestamp::now();
        block_on(held.record_run(&run)).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(held);
    assert_code(&rollback.wait_with_output().unwrap(), 0);
}

#[test]
fn who_answers_late_is_waited_for() {
    late(&migrated());
}

#[test]
fn who_never_answers_is_given_up_on_and_named() {
    never(&migrated());
}

#[test]
fn who_is_killed_while_it_is_asked_has_let_go() {
    let project = migrated();
    // However slow the machine is, until it is killed.
    project.write("eventlift.toml", TOML.replace("2s", "5min"));
    killed(&project);
}

#[test]
fn who_gets_on_is_waited_for() {
    as_long_as_it_gets_on(&migrated(), Duration::from_secs(2));
}

#[test]
fn a_follower_comes_back_from_a_short_break() {
    let project = migrated();
    let count = || {
        let status: serde_json::Value = serde_json::from_str(&project.run("status", ["--json"]).succeeds()).unwrap();
        status["run"]["read"].as_u64().unwrap()
    };
    for_a_while(&project, || append(&project, 300, 400), || count() == 400);
}

#[test]
fn a_follower_ends_where_its_target_is_taken_over() {
    for_good(&migrated());
}

#[test]
fn who_takes_nothing_over_is_refused_at_once() {
    let project = migrated();
    // However long it would wait.
    project.write("eventlift.toml", TOML.replace("2s", "10h"));
    let _held = block_on(target(&project).writer_as(&Claim::of("a test").letting_go())).unwrap();
    let said = project.run("migrate", [] as [&str; 0]);
    assert_eq!(said.code, Some(5), "{}", said.stderr);
    assert!(said.stderr.contains("another run holds it"), "{}", said.stderr);
}

#[test]
fn a_run_that_was_killed_was_broken_off() {
    let project = Project::new(TOML);
    append(&project, 0, 300);
    project.run("throttle", ["--pause"]).succeeds();
    let mut migrate = spawn(&project, "migrate", &[]);
    until("it never began", || project.path(".eventlift/running.json").exists());
    let shown = project.run("runs", [] as [&str; 0]).succeeds();
    assert!(shown.contains("  loading  started"), "{shown}");
    migrate.kill().unwrap();
    migrate.wait().unwrap();
    let shown = project.run("runs", [] as [&str; 0]).succeeds();
    assert!(shown.contains("  broken off started"), "{shown}");
    let status = project.run("status", [] as [&str; 0]).succeeds();
    assert!(status.contains(" was broken off while loading, started"), "{status}");
    let status: serde_json::Value = serde_json::from_str(&project.run("status", ["--json"]).succeeds()).unwrap();
    assert_eq!((&status["run"]["broken_off"], &status["run"]["state"]), (&true.into(), &"loading".into()));
    project.run("throttle", ["--resume"]).succeeds();
    project.run("migrate", [] as [&str; 0]).succeeds();
    let status: serde_json::Value = serde_json::from_str(&project.run("status", ["--json"]).succeeds()).unwrap();
    assert_eq!((&status["run"]["broken_off"], &status["run"]["state"]), (&false.into(), &"done".into()));
}
