//! Following a source: what comes is carried over, in its order, exactly once.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use eventlift::events::faults::{Call, Fault, Faulty, Script};
use eventlift::events::{Event, EventWriter, MemoryStore};
use eventlift::pipeline::{Following, Migration, MigrationOptions, Progress, StopHandle};
use eventlift::stores::sqlite::{SqliteConfig, SqliteReader, SqliteWriter};

use crate::content::{self, assert_same};
use crate::project::Project;
use crate::rulebook;

const OWNERS: [&str; 4] = ["next revision", "shift", "rule running total", "rule without repeats"];

async fn until_read(progress: &mut tokio::sync::watch::Receiver<Progress>, events: u64) {
    let read = progress.wait_for(|progress| progress.counts.read >= events);
    // Long enough for any machine; only a follower that misses something waits for it.
    tokio::time::timeout(Duration::from_secs(60), read).await.expect("nothing more came").unwrap();
}

async fn in_one_run(events: &[Event]) -> Vec<String> {
    let (source, target) = (MemoryStore::new(), MemoryStore::new());
    source.writer().unwrap().append(events, None).await.unwrap();
    let (writer, rules) = (Box::new(target.writer().unwrap()), Arc::new(rulebook::general()));
    Migration::new(Arc::new(source.reader()), writer, rules, MigrationOptions::default()).run().await.unwrap();
    content::of_memory(&target, events, &OWNERS).await
}

#[tokio::test]
async fn news_are_carried_over_as_they_come() {
    let events = rulebook::log(400, 7);
    let (source, target) = (MemoryStore::new(), MemoryStore::new());
    let mut writer = source.writer().unwrap();
    writer.append(&events[..100], None).await.unwrap();
    let (handle, stop) = StopHandle::new();
    let (out, rules) = (Box::new(target.writer().unwrap()), Arc::new(rulebook::general()));
    let migration = Migration::new(Arc::new(source.reader()), out, rules, MigrationOptions::default()).stop_on(stop);
    let mut progress = migration.progress();
    // It would not look by itself before the test has given up.
    let hours = Duration::from_secs(3600);
    let following = Following { shortest_wait: hours, longest_wait: hours };
    let follower = tokio::spawn(migration.follow(following));
    until_read(&mut progress, 100).await;
    for (number, portion) in events[100..].chunks(7).enumerate() {
        writer.append(portion, None).await.unwrap();
        until_read(&mut progress, (100 + (number * 7) + portion.len()) as u64).await;
    }
    progress.wait_for(|progress| progress.lag() == Some(0)).await.unwrap();
    handle.stop();
    let outcome = follower.await.unwrap().unwrap();
    assert_eq!((outcome.done, outcome.counts.read), (true, 400));
    assert_same(&in_one_run(&events).await, &content::of_memory(&target, &events, &OWNERS).await, "followed");
}

#[tokio::test]
async fn a_follower_that_fails_goes_on_where_it_was() {
    let events = rulebook::log(200, 7);
    let (source, target) = (MemoryStore::new(), MemoryStore::new());
    source.writer().unwrap().append(&events[..100], None).await.unwrap();
    for done in [100, 150] {
        let writing = Script::new();
        writing.on(Call::Append, 2, Fault::LoseAfterSuccess);
        let out = Box::new(Faulty::new(target.writer().unwrap(), writing));
        let rules = Arc::new(rulebook::general());
        let migration = Migration::new(Arc::new(source.reader()), out, rules, MigrationOptions::default());
        let mut progress = migration.progress();
        let follower = tokio::spawn(migration.follow(Following::default()));
        until_read(&mut progress, done).await;
        source.writer().unwrap().append(&events[done as usize..done as usize + 50], None).await.unwrap();
        // An append whose answer is lost is found out: the follower does not even notice.
        until_read(&mut progress, done + 50).await;
        follower.abort();
        assert!(follower.await.unwrap_err().is_cancelled());
    }
    assert_same(&in_one_run(&events).await, &content::of_memory(&target, &events, &OWNERS).await, "gone on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_news_is_looked_at_from_time_to_time() {
    let events = rulebook::log(300, 5);
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(folder.path().join("source.db"));
    let mut writer = SqliteWriter::open(config.clone()).unwrap();
    writer.append(&events[..50], None).await.unwrap();
    writer.seal(true).await.unwrap();
    let target = MemoryStore::new();
    let (handle, stop) = StopHandle::new();
    let source = Arc::new(SqliteReader::open(config).unwrap());
    let (out, rules) = (Box::new(target.writer().unwrap()), Arc::new(rulebook::general()));
    let migration = Migration::new(source, out, rules, MigrationOptions::default()).stop_on(stop);
    let mut progress = migration.progress();
    let follower = tokio::spawn(migration.follow(Following::default()));
    for portion in [50..51, 51..120, 120..300] {
        until_read(&mut progress, portion.start as u64).await;
        writer.append(&events[portion], None).await.unwrap();
    }
    until_read(&mut progress, 300).await;
    handle.stop();
    assert!(follower.await.unwrap().unwrap().done);
    assert_same(&in_one_run(&events).await, &content::of_memory(&target, &events, &OWNERS).await, "SQLite");
}

const PROJECT: &str = r#"
[source]
store = "sqlite"
path = "source.db"

[target]
store = "sqlite"
path = "target.db"

[retry]
give_up_after = "30s"
"#;

#[test]
fn the_program_follows_until_it_is_asked_to_stop() {
    let project = Project::new(PROJECT);
    let events = rulebook::log(3_000, 5);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut writer = SqliteWriter::open(SqliteConfig::new(project.path("source.db"))).unwrap();
    runtime.block_on(async {
        writer.append(&events[..1_000], None).await.unwrap();
        writer.seal(true).await.unwrap();
    });
    let mut command = project.command("migrate");
    let child = command.args(["--follow", "--json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let target = project.path("target.db");
    let count = || -> u64 {
        let Ok(target) = rusqlite::Connection::open(&target) else { return 0 };
        target.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).unwrap_or(0)
    };
    let until = |events: u64| {
        let begun = std::time::Instant::now();
        while count() < events {
            assert!(begun.elapsed() < Duration::from_secs(60), "{} of {events} events came", count());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until(1_000);
    for portion in [1_000..1_001, 1_001..2_000, 2_000..3_000] {
        let end = portion.end as u64;
        runtime.block_on(writer.append(&events[portion], None)).unwrap();
        until(end);
    }
    Command::new("sh").args(["-c", &format!("kill -s TERM {}", child.id())]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for part in [r#""state":"done""#, r#""read":3000"#, r#""written_now":3000"#, r#""retries":0"#] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    drop(writer);
    project.verify().succeeds();
}
