//! Runs that are killed at random instants and started again end with the target of an undisturbed run.
//!
//! `EVENTLIFT_KILLS` says how often each target is killed; `cargo xtask kill` uses it for the large number.
//! `EVENTLIFT_SEED` repeats what a failure printed.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventlift::events::{EventReader, EventWriter, RunState};
use eventlift::pipeline::{Migration, MigrationOptions};
use eventlift::stores::StoreConfig;
use eventlift::stores::file::{FileConfig, FileWriter};
use eventlift::stores::sqlite::{SqliteConfig, SqliteReader, SqliteWriter};

use crate::content::{self, assert_same};
use crate::rulebook;

/// Events of the source. With the transactions below a run takes a few hundred milliseconds.
const EVENTS: u64 = 6_000;
const BATCH: usize = 100;
const TRANSACTION: usize = 250;
const KILLS: usize = 12;

/// A target that is killed: what it is called, and its file.
#[derive(Clone, Copy)]
enum Kind {
    Sqlite,
    File(&'static str),
}

impl Kind {
    fn file_name(self) -> &'static str {
        match self {
            Self::Sqlite => "target.db",
            Self::File(name) => name,
        }
    }

    fn config(self, folder: &Path) -> StoreConfig {
        let path = folder.join(self.file_name());
        match self {
            Self::Sqlite => StoreConfig::Sqlite(SqliteConfig::new(path)),
            Self::File(_) => StoreConfig::File(Box::new(FileConfig::new(path))),
        }
    }

    async fn content(self, folder: &Path) -> Vec<String> {
        let path = folder.join(self.file_name());
        match self {
            Self::Sqlite => content::of_sqlite(&path),
            Self::File(_) => content::of_file(&path).await,
        }
    }
}

/// Writes the source of all runs once, beside the folders of the targets.
async fn write_source(path: &Path) {
    let mut writer = SqliteWriter::open(SqliteConfig::new(path)).unwrap();
    writer.append(&rulebook::log(EVENTS, 11), None).await.unwrap();
    writer.seal(true).await.unwrap();
}

/// Migrates the source into a target in a process of its own, so that it can be killed.
fn start(source: &Path, target: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "resume::child_migrates"])
        .env("EVENTLIFT_CHILD_SOURCE", source)
        .env("EVENTLIFT_CHILD_TARGET", target)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs in a process that is started by another test"]
async fn child_migrates() {
    let path = |name| PathBuf::from(std::env::var_os(name).unwrap());
    let source: Arc<dyn EventReader> =
        Arc::new(SqliteReader::open(SqliteConfig::new(path("EVENTLIFT_CHILD_SOURCE"))).unwrap());
    let target = path("EVENTLIFT_CHILD_TARGET");
    let target: Box<dyn EventWriter> = if target.extension().is_some_and(|extension| extension == "db") {
        Box::new(SqliteWriter::open(SqliteConfig::new(target)).unwrap())
    } else {
        Box::new(FileWriter::open(FileConfig::new(target)).unwrap())
    };
    let options = MigrationOptions {
        workers: NonZeroUsize::new(2).unwrap(),
        batch_events: NonZeroUsize::new(BATCH).unwrap(),
        transaction_events: NonZeroUsize::new(TRANSACTION).unwrap(),
        ..MigrationOptions::default()
    };
    let outcome = Migration::new(source, target, Arc::new(rulebook::general()), options).run().await.unwrap();
    assert!(outcome.done);
}

/// What the killing came to.
#[derive(Default)]
struct Figures {
    runs: usize,
    kills: usize,
    /// Kills after which something was committed, and more was to come.
    in_the_middle: usize,
    resumed: usize,
}

async fn kill(kind: Kind) {
    let seed: u64 = std::env::var("EVENTLIFT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos().into()
    });
    let kills = std::env::var("EVENTLIFT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let mut random = Random(seed | 1);
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.db");
    write_source(&source).await;
    let source_before = std::fs::read(&source).unwrap();

    let calm = folder.path().join("calm");
    std::fs::create_dir(&calm).unwrap();
    let begun = Instant::now();
    assert!(start(&source, &calm.join(kind.file_name())).wait().unwrap().success());
    let mut duration = begun.elapsed();
    let undisturbed = kind.content(&calm).await;
    assert!(undisturbed.len() > EVENTS as usize);

    let mut figures = Figures::default();
    let mut round = 0;
    while figures.kills < kills {
        round += 1;
        let disturbed = folder.path().join(format!("disturbed {round}"));
        std::fs::create_dir(&disturbed).unwrap();
        let context = format!("{}, round {round}, EVENTLIFT_SEED={seed}", kind.file_name());
        kill_until_done(kind, &source, &disturbed, &mut duration, &mut random, &mut figures, &context);
        assert_same(&undisturbed, &kind.content(&disturbed).await, &context);
        std::fs::remove_dir_all(&disturbed).unwrap();
    }
    assert!(source_before == std::fs::read(&source).unwrap(), "the source is only read");
    let Figures { runs, kills, in_the_middle, resumed } = figures;
    println!(
        "{}: {round} targets, {runs} processes, {kills} kills spread over {} ms, {in_the_middle} of them in the middle, \
         {resumed} resumed; every target identical",
        kind.file_name(),
        duration.as_millis()
    );
}

/// Starts the migration again and again, killing it each time, until it has come through.
fn kill_until_done(
    kind: Kind,
    source: &Path,
    folder: &Path,
    duration: &mut Duration,
    random: &mut Random,
    figures: &mut Figures,
    context: &str,
) {
    let config = kind.config(folder);
    let target = folder.join(kind.file_name());
    let mut committed = false;
    loop {
        let mut child = start(source, &target);
        figures.runs += 1;
        figures.resumed += usize::from(committed);
        let begun = Instant::now();
        let delay = duration.mul_f64(random.fraction());
        while begun.elapsed() < delay && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1).min(delay.saturating_sub(begun.elapsed())));
        }
        if !committed && child.try_wait().unwrap().is_some() {
            // The run that was measured was slower than others, and the kills came too late.
            *duration = begun.elapsed().min(*duration);
        }
        // Also sent where it has ended already; then it does nothing.
        child.kill().unwrap();
        let exit = child.wait().unwrap();
        if exit.success() {
            return;
        }
        assert_eq!(exit.code(), None, "{context}: the run failed by itself");
        figures.kills += 1;
        // Whoever looks at a target whose writer was killed sees what it committed.
        let ledger = block_on(config.ledger()).unwrap_or_else(|error| panic!("{context}: {error}"));
        let Some(ledger) = ledger else { continue };
        let (state, checkpoint) = block_on(async {
            let run = ledger.runs().await.unwrap().pop();
            match run {
                Some(run) => (Some(run.state), ledger.checkpoint(run.id).await.unwrap()),
                None => (None, None),
            }
        });
        committed |= checkpoint.is_some();
        figures.in_the_middle += usize::from(checkpoint.is_some() && state != Some(RunState::Done));
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_run_into_sqlite() {
    kill(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_run_into_a_plain_file() {
    kill(Kind::File("target.ndjson")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_killed_run_into_a_gzip_file() {
    kill(Kind::File("target.ndjson.gz")).await;
}

/// What a SIGKILL in the middle of a large transaction leaves: pages of it in the file, and a journal to undo them.
#[tokio::test]
async fn what_a_killed_writer_left_half_done_is_undone_by_whoever_looks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.db");
    write_source(&path).await;
    let events = content::events_of(&SqliteReader::open(SqliteConfig::new(&path)).unwrap()).await;
    let writing = rusqlite::Connection::open(&path).unwrap();
    writing.execute_batch("PRAGMA cache_size = 2; BEGIN IMMEDIATE; UPDATE events SET data = randomblob(500)").unwrap();

    let copies: Vec<PathBuf> = ["read.db", "looked at.db"].map(|name| folder.path().join(name)).to_vec();
    for copy in &copies {
        std::fs::copy(&path, copy).unwrap();
        let journal = |path: &Path| PathBuf::from(format!("{}-journal", path.display()));
        assert!(std::fs::copy(journal(&path), journal(copy)).unwrap() > 10_000);
    }
    drop(writing);

    let reader = SqliteReader::open(SqliteConfig::new(&copies[0])).unwrap();
    assert!(content::events_of(&reader).await == events);
    let ledger = StoreConfig::Sqlite(SqliteConfig::new(&copies[1])).ledger().await.unwrap().unwrap();
    assert!(ledger.runs().await.unwrap().is_empty());
}

/// xorshift64*.
struct Random(u64);

impl Random {
    /// Between 0 and 1.
    fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}
