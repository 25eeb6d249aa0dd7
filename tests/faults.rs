//! Stores that fail on cue: whatever happens, the next run ends with the target of an undisturbed one.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use eventlift::events::faults::{Call, Fault, Faulty, Script};
use eventlift::events::{Event, EventReader, EventWriter, MemoryStore};
use eventlift::pipeline::{Migration, MigrationOptions, Outcome, PipelineError, StopHandle};
use eventlift::stores::file::{FileConfig, FileWriter};
use eventlift::stores::sqlite::{SqliteConfig, SqliteWriter};
use eventlift::transformers::Registry;

use crate::content::{self, assert_same};
use crate::rulebook;

const EVENTS: u64 = 600;
const BATCH: usize = 20;
/// Each transaction is this many events or a few more, so that there are some 13 of them.
const TRANSACTION: usize = 50;
const OWNERS: [&str; 4] = ["next revision", "shift", "rule running total", "rule without repeats"];

fn options() -> MigrationOptions {
    MigrationOptions {
        workers: NonZeroUsize::new(3).unwrap(),
        batch_events: NonZeroUsize::new(BATCH).unwrap(),
        transaction_events: NonZeroUsize::new(TRANSACTION).unwrap(),
        ..MigrationOptions::default()
    }
}

async fn filled(events: &[Event]) -> MemoryStore {
    let store = MemoryStore::new();
    let mut writer = store.writer().unwrap();
    writer.append(events, None).await.unwrap();
    writer.seal(true).await.unwrap();
    store
}

fn migration(source: Arc<dyn EventReader>, target: Box<dyn EventWriter>, rules: fn() -> Registry) -> Migration {
    Migration::new(source, target, Arc::new(rules()), options())
}

/// A source and a target that follow scripts, and how the target should look in the end.
struct Scene {
    events: Vec<Event>,
    source: MemoryStore,
    target: Target,
    reading: Script,
    writing: Script,
    rules: fn() -> Registry,
    undisturbed: Vec<String>,
}

enum Target {
    Memory(MemoryStore),
    Sqlite(tempfile::TempDir),
    File(tempfile::TempDir),
}

impl Target {
    fn writer(&self) -> Box<dyn EventWriter> {
        match self {
            Self::Memory(store) => Box::new(store.writer().unwrap()),
            Self::Sqlite(folder) => Box::new(SqliteWriter::open(sqlite_config(folder)).unwrap()),
            Self::File(folder) => Box::new(FileWriter::open(file_config(folder)).unwrap()),
        }
    }

    /// Another one of the same kind.
    fn another(&self) -> Self {
        match self {
            Self::Memory(_) => Self::Memory(MemoryStore::new()),
            Self::Sqlite(_) => Self::Sqlite(tempfile::tempdir().unwrap()),
            Self::File(_) => Self::File(tempfile::tempdir().unwrap()),
        }
    }

    fn faulty_writer(&self, script: &Script) -> Box<dyn EventWriter> {
        match self {
            Self::Memory(store) => Box::new(Faulty::new(store.writer().unwrap(), script.clone())),
            Self::Sqlite(folder) => {
                Box::new(Faulty::new(SqliteWriter::open(sqlite_config(folder)).unwrap(), script.clone()))
            }
            Self::File(folder) => Box::new(Faulty::new(FileWriter::open(file_config(folder)).unwrap(), script.clone())),
        }
    }

    async fn content(&self, source: &[Event]) -> Vec<String> {
        match self {
            Self::Memory(store) => content::of_memory(store, source, &OWNERS).await,
            Self::Sqlite(folder) => content::of_sqlite(&sqlite_config(folder).path),
            Self::File(folder) => content::of_file(&file_config(folder).path).await,
        }
    }
}

fn sqlite_config(folder: &tempfile::TempDir) -> SqliteConfig {
    SqliteConfig::new(folder.path().join("target.db"))
}

fn file_config(folder: &tempfile::TempDir) -> FileConfig {
    FileConfig::new(folder.path().join("target.ndjson.gz"))
}

/// Every kind of target with every kind of numbering.
async fn scenes() -> Vec<(&'static str, Scene)> {
    let memory = || Target::Memory(MemoryStore::new());
    let sqlite = || Target::Sqlite(tempfile::tempdir().unwrap());
    let file = || Target::File(tempfile::tempdir().unwrap());
    let no_rules = || Registry::builder().build().unwrap();
    vec![
        ("memory, general rules", Scene::new(memory, rulebook::general).await),
        ("memory, shifting rules", Scene::new(memory, rulebook::shifting).await),
        ("memory, no rules", Scene::new(memory, no_rules).await),
        ("SQLite, general rules", Scene::new(sqlite, rulebook::general).await),
        ("file, general rules", Scene::new(file, rulebook::general).await),
        ("SQLite, no rules", Scene::new(sqlite, no_rules).await),
    ]
}

impl Scene {
    async fn new(target: impl Fn() -> Target, rules: fn() -> Registry) -> Self {
        let events = rulebook::log(EVENTS, 7);
        let source = filled(&events).await;
        let calm = target();
        let outcome = migration(Arc::new(source.reader()), calm.writer(), rules).run().await.unwrap();
        assert_eq!((outcome.done, outcome.counts.read), (true, EVENTS));
        let undisturbed = calm.content(&events).await;
        assert!(undisturbed.len() > EVENTS as usize / 2);
        let (reading, writing) = (Script::new(), Script::new());
        Self { events, source, target: target(), reading, writing, rules, undisturbed }
    }

    /// One run, with faults where the scripts have some left.
    async fn run(&self) -> Result<Outcome, PipelineError> {
        let source = Arc::new(Faulty::new(self.source.reader(), self.reading.clone()));
        migration(source, self.target.faulty_writer(&self.writing), self.rules).run().await
    }

    /// Runs to the end, and compares.
    async fn finish(&self, context: &str) {
        let outcome = self.run().await.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert!(outcome.done, "{context}");
        self.compare(context).await;
    }

    async fn compare(&self, context: &str) {
        assert_eq!((self.reading.outstanding(), self.writing.outstanding()), (0, 0), "{context}: not every fault came");
        assert_same(&self.undisturbed, &self.target.content(&self.events).await, context);
    }
}

#[tokio::test]
async fn an_append_that_is_rejected_once_is_tried_again() {
    for (name, scene) in scenes().await {
        scene.writing.on(Call::Append, 1, Fault::Reject).on(Call::Append, 6, Fault::Reject);
        scene.finish(name).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_that_is_rejected_again_and_again_ends_the_run_which_goes_on_later() {
    // Without SQLite, whose threads a paused clock does not wait for.
    for (name, scene) in scenes().await.into_iter().filter(|(name, _)| name.starts_with("memory")) {
        (4..8).for_each(|nth| {
            scene.writing.on(Call::Append, nth, Fault::Reject);
        });
        let error = scene.run().await.unwrap_err();
        let expected = "failed to append to memory: call 7 to Append was told to Reject";
        assert_eq!(error.to_string(), expected, "{name}");
        scene.finish(name).await;
    }
}

#[tokio::test]
async fn an_append_whose_answer_is_lost_is_not_repeated_and_the_run_goes_on() {
    for (name, scene) in scenes().await {
        let calls = [1, 2, 7];
        calls.iter().for_each(|nth| {
            scene.writing.on(Call::Append, *nth, Fault::FailAfterSuccess);
        });
        scene.finish(name).await;
    }
}

#[tokio::test]
async fn an_append_whose_answer_is_lost_with_that_of_the_checkpoint_is_repeated_without_doubling() {
    for (name, scene) in scenes().await {
        scene.writing.on(Call::Append, 3, Fault::FailAfterSuccess);
        // Nothing was there to read a checkpoint of when the run was opened, so this is the call that asks.
        scene.writing.on(Call::Checkpoint, 1, Fault::Reject);
        scene.finish(name).await;
    }
}

#[tokio::test]
async fn the_last_append_can_lose_its_answer_too() {
    for (name, scene) in scenes().await {
        let counting = Script::new();
        let calm = scene.target.another();
        migration(Arc::new(scene.source.reader()), calm.faulty_writer(&counting), scene.rules).run().await.unwrap();
        scene.writing.on(Call::Append, counting.seen(Call::Append), Fault::FailAfterSuccess);
        scene.finish(name).await;
    }
}

#[tokio::test]
async fn a_reader_that_fails_in_the_middle_ends_the_run_behind_what_it_read() {
    for (name, scene) in scenes().await {
        for (nth, fault) in [(1, Fault::Reject), (9, Fault::FailAfterSuccess), (25, Fault::Reject)] {
            scene.reading.on(Call::Batch, nth, fault);
            let error = scene.run().await.unwrap_err();
            let expected = format!("failed to read memory: call {nth} to Batch was told to {fault:?}");
            assert_eq!(error.to_string(), expected, "{name}");
        }
        let committed = scene.target.writer();
        let run = committed.runs().await.unwrap().remove(0).id;
        let checkpoint = committed.checkpoint(run).await.unwrap().unwrap();
        // Calls 2 to 8 and 13 to 24 were batches that came through; 10 to 12 were looks at the events that the run
        // remembers of its source.
        assert_eq!(checkpoint.counts.read, (7 + 12) * BATCH as u64, "{name}");
        drop(committed);
        scene.finish(name).await;
    }
}

#[tokio::test]
async fn every_single_batch_may_fail() {
    let scene = Scene::new(|| Target::Memory(MemoryStore::new()), rulebook::general).await;
    let mut runs = 0;
    loop {
        runs += 1;
        assert!(runs <= EVENTS as usize / BATCH + 1, "each run commits the batch it got");
        // One batch comes through, and the next one does not. A run that is gone on with looks first where it ended, and at
        // the first and the last event that it remembers.
        let looks = if runs > 1 { 3 } else { 0 };
        let next = scene.reading.seen(Call::Batch) + looks + 2;
        scene.reading.on(Call::Batch, next, Fault::Reject);
        match scene.run().await {
            Ok(outcome) => {
                assert!(outcome.done);
                break;
            }
            Err(error) => assert!(error.to_string().contains("was told to Reject"), "{error}"),
        }
    }
    assert_eq!(runs, EVENTS as usize / BATCH + 1, "each run commits the batch it got");
    let found = scene.target.content(&scene.events).await;
    assert_same(&scene.undisturbed, &found, "one batch a run");
}

#[tokio::test]
async fn a_seal_that_fails_before_or_after_it_is_done_is_done_by_the_next_run() {
    for fault in [Fault::Reject, Fault::FailAfterSuccess] {
        for (name, scene) in scenes().await {
            scene.writing.on(Call::Seal, 1, fault);
            let error = scene.run().await.unwrap_err();
            assert!(error.to_string().contains("call 1 to Seal"), "{name}: {error}");
            scene.finish(&format!("{name}, {fault:?}")).await;
        }
    }
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_read_starts_nothing() {
    for (name, scene) in scenes().await {
        scene.reading.on(Call::Batch, 10, Fault::Reject);
        scene.run().await.unwrap_err();
        let before = scene.target.content(&scene.events).await;
        for fault in [Fault::Reject, Fault::FailAfterSuccess] {
            scene.writing.on_next(Call::Checkpoint, fault);
            let error = scene.run().await.unwrap_err();
            assert!(error.to_string().starts_with("failed to read the checkpoint of"), "{name}: {error}");
            assert_same(&before, &scene.target.content(&scene.events).await, name);
        }
        scene.finish(name).await;
    }
}

#[tokio::test]
async fn a_held_append_holds_the_reader_too() {
    for (name, scene) in scenes().await {
        scene.writing.on(Call::Append, 1, Fault::Hold);
        let source = Arc::new(Faulty::new(scene.source.reader(), scene.reading.clone()));
        let target = scene.target.faulty_writer(&scene.writing);
        let run = tokio::spawn(migration(source, target, scene.rules).run());
        scene.writing.until_held().await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        let read = scene.reading.seen(Call::Batch);
        // A transaction is three batches, the next one waits, and each of the three workers has one more.
        assert!(read <= 3 + 3 + 3 + 1, "{name}: {read} batches were read while the first append was held");
        scene.writing.release();
        assert!(run.await.unwrap().unwrap().done);
        scene.compare(name).await;
    }
}

#[tokio::test]
async fn a_run_that_is_stopped_while_an_append_is_held_drains_and_goes_on_later() {
    for (name, scene) in scenes().await {
        scene.writing.on(Call::Append, 2, Fault::Hold);
        let source = Arc::new(Faulty::new(scene.source.reader(), scene.reading.clone()));
        let target = scene.target.faulty_writer(&scene.writing);
        let (handle, stop) = StopHandle::new();
        let run = tokio::spawn(migration(source, target, scene.rules).stop_on(stop).run());
        scene.writing.until_held().await;
        handle.stop();
        scene.writing.release();
        let outcome = run.await.unwrap().unwrap();
        assert!(!outcome.done, "{name}");
        let read = outcome.counts.read;
        assert!((100..EVENTS).contains(&read), "{name}: {read} events were done when it stopped");
        scene.finish(name).await;
    }
}

#[tokio::test]
async fn a_run_that_is_dropped_anywhere_goes_on_later() {
    for (name, scene) in scenes().await {
        for nth in [1, 3, 4] {
            let nth = scene.writing.seen(Call::Append) + nth;
            scene.writing.on(Call::Append, nth, Fault::Hold);
            let source = Arc::new(Faulty::new(scene.source.reader(), scene.reading.clone()));
            let target = scene.target.faulty_writer(&scene.writing);
            let run = tokio::spawn(migration(source, target, scene.rules).run());
            scene.writing.until_held().await;
            run.abort();
            assert!(run.await.unwrap_err().is_cancelled());
        }
        scene.finish(name).await;
    }
}
