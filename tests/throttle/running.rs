//! Runs that are throttled, paused and asked to hand over while they run.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventlift::commands::{HandedOver, ask_to_hand_over};
use eventlift::events::{EventWriter, MemoryStore};
use eventlift::pipeline::{
    Control, ControlHandle, Limits, Migration, MigrationOptions, StopHandle, Throttle, ThrottleSettings, Wish,
};
use eventlift::stores::sqlite::{SqliteConfig, SqliteReader, SqliteWriter};

use crate::project::Project;
use crate::rulebook;

fn per_second(events: f64) -> ThrottleSettings {
    let limits = Limits { events_per_second: Some(events), bytes_per_second: None };
    ThrottleSettings { limits, ..ThrottleSettings::default() }
}

/// A store in memory with this many events.
async fn source(events: usize) -> MemoryStore {
    let source = MemoryStore::new();
    source.writer().unwrap().append(&rulebook::log(events as u64, 3), None).await.unwrap();
    source
}

fn migration(source: &MemoryStore, target: Box<dyn EventWriter>, throttle: Throttle) -> Migration {
    let rules = Arc::new(rulebook::general());
    Migration::new(Arc::new(source.reader()), target, rules, MigrationOptions::default()).throttled(throttle)
}

/// The one thing that only the clock can tell: no faster than it may be. How close it gets is for the bench.
#[tokio::test]
async fn a_run_is_no_faster_than_its_limit() {
    const RATE: f64 = 3_000.0;
    let (source, folder) = (source(10_000).await, tempfile::tempdir().unwrap());
    let target = SqliteWriter::open(SqliteConfig::new(folder.path().join("target.db"))).unwrap();
    let throttle = Throttle::new(per_second(RATE), Control::none());
    let migration = migration(&source, Box::new(target), throttle);
    let mut progress = migration.progress();
    let begun = Instant::now();
    let running = tokio::spawn(migration.run());
    let mut measured = 0.0;
    while progress.changed().await.is_ok() {
        let read = progress.borrow_and_update().counts.read;
        let seconds = begun.elapsed().as_secs_f64();
        if seconds >= 3.0 {
            measured = read as f64 / seconds;
        }
    }
    assert_eq!(running.await.unwrap().unwrap().counts.read, 10_000);
    assert!(measured > 0.0 && measured <= RATE * 1.05, "{measured} events a second");
}

#[tokio::test(start_paused = true)]
async fn small_transactions_end_with_the_same_target() {
    let (source, target) = (source(3_000).await, MemoryStore::new());
    let throttle = Throttle::new(per_second(100.0), Control::none());
    let outcome = migration(&source, Box::new(target.writer().unwrap()), throttle.clone()).run().await.unwrap();
    assert!(outcome.done);
    assert_eq!(throttle.run(), Some(outcome.run));
    let plain = MemoryStore::new();
    migration(&source, Box::new(plain.writer().unwrap()), Throttle::off()).run().await.unwrap();
    let (one, other) = (crate::content::of_memory(&target, &rulebook::log(3_000, 3), &[]).await, plain);
    let other = crate::content::of_memory(&other, &rulebook::log(3_000, 3), &[]).await;
    assert_eq!(one, other);
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_until_it_is_taken_back_and_a_stop_ends_it() {
    for stops in [false, true] {
        let (source, target) = (source(5_000).await, MemoryStore::new());
        let (handle, control) = ControlHandle::new();
        handle.wish(Wish { paused: true, ..Wish::default() });
        let (stop_handle, stop) = StopHandle::new();
        let throttle = Throttle::new(ThrottleSettings::default(), control);
        let migration = migration(&source, Box::new(target.writer().unwrap()), throttle.clone()).stop_on(stop);
        let progress = migration.progress();
        let running = tokio::spawn(migration.run());
        tokio::time::sleep(Duration::from_secs(3600)).await;
        assert_eq!(progress.borrow().counts.read, 0);
        assert!(throttle.state().paused);
        if stops {
            stop_handle.stop()
        } else {
            handle.wish(Wish::default())
        }
        let outcome = running.await.unwrap().unwrap();
        assert_eq!(outcome.done, !stops);
        // What was read when it was stopped is committed.
        assert!(outcome.counts.read > 0);
    }
}

const FOLLOWED: &str = r#"
[source]
store = "sqlite"
path = "source.db"

[target]
store = "sqlite"
path = "target.db"
"#;

/// A project whose source holds some events.
fn followed() -> Project {
    let project = Project::new(FOLLOWED);
    let events = rulebook::log(300, 3);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut writer = SqliteWriter::open(SqliteConfig::new(project.path("source.db"))).unwrap();
    runtime.block_on(writer.append(&events, None)).unwrap();
    runtime.block_on(writer.seal(false)).unwrap();
    project
}

/// Waits for something that happens soon, unless it never does.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_run_that_follows_hands_over_its_target_and_stays_done() {
    let project = followed();
    let loaded = eventlift::Project::load(project.folder()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let nobody = runtime.block_on(ask_to_hand_over(&loaded, Duration::from_secs(1))).unwrap();
    assert_eq!(nobody, HandedOver::NobodyWrote);
    assert!(!project.path(".eventlift").exists());

    let mut command = project.command("migrate");
    let child = command.args(["--follow", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it never followed", || project.path(".eventlift/running.json").exists());
    let status = project.run("status", ["--json"]).succeeds();
    assert!(status.contains("\"throttle\":{"), "{status}");
    let ended = runtime.block_on(ask_to_hand_over(&loaded, Duration::from_secs(60))).unwrap();
    assert_eq!(ended, HandedOver::Ended);
    let output = child.wait_with_output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &said["state"], &said["handed_over"]), (Some(0), &"done".into(), &true.into(),));
    // The request is gone, and nothing says that a run is at work.
    assert_eq!(runtime.block_on(loaded.target.as_ref().unwrap().standing_request()).unwrap(), None);
    assert!(!project.path("target.db-lock-wanted-for-good").exists());
    assert!(!project.path(".eventlift/running.json").exists());
    // So the next one follows again.
    let reader = SqliteReader::open(SqliteConfig::new(project.path("target.db"))).unwrap();
    drop(reader);
    project.verify().succeeds();
}

#[test]
fn nobody_hands_over_who_does_not_follow() {
    let project = followed();
    let loaded = eventlift::Project::load(project.folder()).unwrap();
    // Somebody else has the target open.
    let _writer = SqliteWriter::open(SqliteConfig::new(project.path("target.db"))).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(ask_to_hand_over(&loaded, Duration::from_millis(300))).unwrap_err();
    assert!(error.to_string().contains("a process still writes to it"), "{error}");
    assert_eq!(runtime.block_on(loaded.target.as_ref().unwrap().standing_request()).unwrap(), None);
}

#[test]
fn a_run_is_paused_and_gone_on_with_by_command() {
    let project = followed();
    let said = project.run("throttle", ["--pause"]).succeeds();
    assert!(said.starts_with("paused; go on with"), "{said}");
    let mut command = project.command("migrate");
    let child = command.args(["--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it never said how it is", || project.path(".eventlift/running.json").exists());
    let shown = project.run("throttle", ["--show"]).succeeds();
    assert!(shown.contains("a run is at work: paused (`eventlift throttle --pause`)"), "{shown}");
    let said = project.run("throttle", ["--resume", "--events-per-second", "100000"]).succeeds();
    assert!(said.contains("at most 100000 events a second"), "{said}");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let said = project.run("throttle", ["--reset"]).succeeds();
    assert!(said.starts_with("as eventlift.toml says"), "{said}");
    project.run("throttle", ["--events-per-second", "-1"]);
}

#[test]
fn a_control_file_that_is_none_or_of_another_run_is_not_listened_to() {
    let project = followed();
    project.write(".eventlift/control.json", "{ \"wish\": { \"paused\": ");
    project.migrate().succeeds();
    project.run("throttle", ["--show"]).fails(
        8,
        "error: failed to read PROJECT/.eventlift/control.json: EOF while parsing a value at line 1 column 22",
    );
    let other = r#"{ "run": "6f0e5f4c-6f0e-4f4c-8f0e-6f0e5f4c6f0e", "wish": { "paused": true } }"#;
    project.write(".eventlift/control.json", other);
    project.migrate().succeeds();
}

#[test]
fn a_wrong_throttle_is_named_with_its_line() {
    for (text, problem) in [
        ("events_per_second = -1", "9: [throttle] events_per_second: it is no number of at least 0"),
        ("target_latency = \"fast\"", "9: [throttle] target_latency: \"fast\" is no length of time"),
        ("query = { sql = \" \", at_most = 1 }", "9: [throttle] query: `sql` is empty"),
        (
            "window = [{ from = \"8\", to = \"9:00\", events_per_second = 0 }]",
            "9: [[throttle.window]] 1 from: \"8\" is no time of the day",
        ),
        ("window = [{ from = \"08:00\", to = \"09:00\" }]", "9: [[throttle.window]] 1: it limits nothing"),
        (
            "window = [{ from = \"08:00\", to = \"09:00\", days = [\"mo\"], events_per_second = 0 }]",
            "9: [[throttle.window]] 1 days: \"mo\" is no day",
        ),
        (
            "window = [{ from = \"08:00\", to = \"09:00\", time_zone = \"Europe/Berlim\", events_per_second = 0 }]",
            "9: [[throttle.window]] 1: there is no time zone \"Europe/Berlim\"",
        ),
    ] {
        let text = format!("{}[throttle]\n{text}\n", FOLLOWED.trim_start());
        let error = eventlift::Project::parse(std::path::Path::new("shop"), &text).unwrap_err();
        assert_eq!(error.to_string(), format!("failed to read shop/eventlift.toml:{problem}"));
        assert!(error.hint.is_some());
    }
}
