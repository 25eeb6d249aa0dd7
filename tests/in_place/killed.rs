//! Rewriting, and taking back, that is killed at random instants and started again ends as if it never had been.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventlift::events::EventWriter;
use eventlift::pipeline::InPlace;
use eventlift::stores::sqlite::{SqliteReader, SqliteWriter};

use super::scene::{config, lifted, log, options, rules};
use crate::content::events_of;

const EVENTS: u64 = 5_000;
const KILLS: u64 = 8;

fn start(folder: &Path, what: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "in_place::killed::child_rewrites"])
        .env("EVENTLIFT_CHILD_SOURCE", folder)
        .env("EVENTLIFT_CHILD_KIND", what)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs in a process that is started by another test"]
async fn child_rewrites() {
    let folder = PathBuf::from(std::env::var_os("EVENTLIFT_CHILD_SOURCE").unwrap());
    let store = Arc::new(SqliteReader::open(config(&folder)).unwrap());
    let rewriter = Box::new(SqliteWriter::open(config(&folder)).unwrap());
    let in_place = InPlace::new(store, rewriter, rules(), options(50, 200));
    match std::env::var("EVENTLIFT_CHILD_KIND").unwrap().as_str() {
        "undo" => assert!(in_place.undo().await.unwrap().done),
        _ => assert!(in_place.run().await.unwrap().done),
    }
}

/// Kills it until it has been killed often enough, and lets it end.
fn kill(folder: &Path, what: &str, duration: Duration) {
    let mut kills = 0;
    loop {
        let mut child = start(folder, what);
        let part = kills * 7 % 19 + 1;
        std::thread::sleep(duration.mul_f64(part as f64 / 20.0).max(Duration::from_millis(1)));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        let is_done = child.wait().unwrap().success();
        if is_done || kills >= KILLS {
            break;
        }
    }
    assert!(start(folder, what).wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let (rules, before) = (rules(), log(EVENTS));
    let mut writer = SqliteWriter::open(config(folder.path())).unwrap();
    writer.append(&before, None).await.unwrap();
    writer.seal(true).await.unwrap();
    drop(writer);
    let expected = lifted(&rules, &before);
    let events = || async { events_of(&SqliteReader::open(config(folder.path())).unwrap()).await };

    let begun = Instant::now();
    assert!(start(folder.path(), "rewrite").wait().unwrap().success());
    let duration = begun.elapsed();
    assert!(events().await == expected);
    for round in 0..2 {
        kill(folder.path(), "undo", duration);
        assert!(events().await == before, "round {round}");
        kill(folder.path(), "rewrite", duration);
        assert!(events().await == expected, "round {round}");
    }
}
