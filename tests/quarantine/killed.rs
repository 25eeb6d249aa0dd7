//! Runs, and releases, that are killed at random instants and started again end as if they never had been.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventlift::events::{CheckpointStore, EventReader, EventWriter};
use eventlift::pipeline::quarantine::release;
use eventlift::pipeline::{Migration, Stop};
use eventlift::stores::sqlite::{SqliteConfig, SqliteReader, SqliteWriter};

use super::scene::{Kind, clean, lines, options, poison, rules};
use crate::content::{assert_same, events_of};
use crate::rulebook;

const EVENTS: u64 = 6_000;
const KILLS: u64 = 12;

fn log() -> Vec<eventlift::Event> {
    (0..EVENTS)
        .map(|n| rulebook::event(n + 1, "A", &format!("s-{}", n % 50), n / 50, format!("{{\"n\": {n}}}")))
        .collect()
}

/// Some event of every third stream, early ones and late ones.
fn bad() -> super::scene::Poison {
    poison((0..50).step_by(3).map(|stream| stream * 2_400 / 50 * 50 + stream + 1))
}

fn start(source: &Path, target: &Path, kind: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "quarantine::killed::child_migrates_and_releases"])
        .env("EVENTLIFT_CHILD_SOURCE", source)
        .env("EVENTLIFT_CHILD_TARGET", target)
        .env("EVENTLIFT_CHILD_KIND", kind)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs in a process that is started by another test"]
async fn child_migrates_and_releases() {
    let path = |name| PathBuf::from(std::env::var_os(name).unwrap());
    let kind = match std::env::var("EVENTLIFT_CHILD_KIND").unwrap().as_str() {
        "shifting" => Kind::Shifting,
        _ => Kind::Stateful,
    };
    let source: Arc<dyn EventReader> =
        Arc::new(SqliteReader::open(SqliteConfig::new(path("EVENTLIFT_CHILD_SOURCE"))).unwrap());
    let open = || -> Box<dyn EventWriter> {
        Box::new(SqliteWriter::open(SqliteConfig::new(path("EVENTLIFT_CHILD_TARGET"))).unwrap())
    };
    let options = options(50, 2, 250);
    let outcome = Migration::new(source, open(), rules(kind, &bad()), options.clone()).run().await.unwrap();
    assert!(outcome.done);
    let mut target = open();
    let run = target.runs().await.unwrap().pop().unwrap();
    let registry = rules(kind, &poison([]));
    let released = release(&mut *target, &registry, options.policies, &run, &[], &Stop::never(), |_| {}).await.unwrap();
    assert_eq!(released.failing, []);
}

async fn kill(kind: Kind, name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.db");
    let mut writer = SqliteWriter::open(SqliteConfig::new(&source)).unwrap();
    writer.append(&log(), None).await.unwrap();
    writer.seal(true).await.unwrap();
    drop(writer);
    let undisturbed = clean(&log(), kind).await;

    let calm = folder.path().join("calm.db");
    let begun = Instant::now();
    assert!(start(&source, &calm, name).wait().unwrap().success());
    let duration = begun.elapsed();
    let (mut kills, mut round) = (0, 0);
    while kills < KILLS {
        round += 1;
        let target = folder.path().join(format!("target {round}.db"));
        loop {
            let mut child = start(&source, &target, name);
            // Spread over the whole of it: every instant comes up sooner or later.
            let part = (kills * 7 + round * 3) % 19 + 1;
            std::thread::sleep(duration.mul_f64(part as f64 / 20.0).max(Duration::from_millis(1)));
            match child.try_wait().unwrap() {
                Some(status) => {
                    assert!(status.success(), "{name}, round {round}, after {kills} kills");
                    break;
                }
                None => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    kills += 1;
                }
            }
            if kills >= KILLS {
                assert!(start(&source, &target, name).wait().unwrap().success());
                break;
            }
        }
        let found = events_of(&SqliteReader::open(SqliteConfig::new(&target)).unwrap()).await;
        let places = kind != Kind::Shifting;
        assert_same(&lines(&undisturbed, places), &lines(&found, places), &format!("{name}, round {round}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_with_rules_that_keep_state() {
    kill(Kind::Stateful, "stateful").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_with_rules_that_split_and_drop() {
    kill(Kind::Shifting, "shifting").await;
}
