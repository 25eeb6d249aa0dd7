//! A fence around a SQLite database.

use std::time::Duration;

use async_trait::async_trait;
use eventlift::events::conformance::{FenceUnderTest, Write};
use eventlift::events::{CheckpointStore, EventWriter, Fence, FenceNotice, RunId, StoreError, Timestamp};
use eventlift::ledger::LedgerDatabase;
use eventlift::stores::sqlite::{SqliteConfig, SqliteFence, SqliteReader, SqliteWriter};
use rusqlite::Connection;
use tempfile::TempDir;

struct Fenced {
    folder: TempDir,
}

impl Fenced {
    /// A sealed database, with a write-ahead log or without.
    async fn new(journal: &str) -> Self {
        let fenced = Self { folder: tempfile::tempdir().unwrap() };
        let mut writer = SqliteWriter::open(fenced.config()).unwrap();
        writer.seal(true).await.unwrap();
        drop(writer);
        fenced.connect().pragma_update_and_check(None, "journal_mode", journal, |_| Ok(())).unwrap();
        fenced
    }

    fn config(&self) -> SqliteConfig {
        SqliteConfig::new(self.folder.path().join("events.db"))
    }

    fn connect(&self) -> Connection {
        let connection = Connection::open(self.config().path).unwrap();
        connection.busy_timeout(Duration::from_secs(30)).unwrap();
        connection
    }
}

struct ServiceWrite(Connection);

#[async_trait]
impl Write for ServiceWrite {
    async fn commit(self: Box<Self>) -> Result<(), String> {
        self.0.execute_batch("COMMIT").map_err(|e| e.to_string())
    }

    async fn roll_back(self: Box<Self>) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

fn insert(number: u64) -> String {
    format!(
        "INSERT INTO events (position, stream, revision, id, type, schema_version, recorded_at)
         VALUES (1000 + {number}, 'service-{number}', 0, 'service-{number}', 'T', 1, 0)"
    )
}

#[async_trait]
impl FenceUnderTest for Fenced {
    async fn fence(&self) -> Result<Box<dyn Fence>, StoreError> {
        Ok(Box::new(SqliteFence::open(&self.config())?))
    }

    async fn writer(&self) -> Result<Box<dyn EventWriter>, StoreError> {
        Ok(Box::new(SqliteWriter::open(self.config())?))
    }

    async fn begin(&self, number: u64) -> Result<Box<dyn Write>, String> {
        let connection = self.connect();
        connection.execute_batch("BEGIN").unwrap();
        connection.execute_batch(&insert(number)).map_err(|e| e.to_string())?;
        Ok(Box::new(ServiceWrite(connection)))
    }

    async fn change(&self, number: u64) -> [Result<(), String>; 2] {
        let change = |sql: &str| self.connect().execute_batch(sql).map_err(|e| e.to_string());
        [
            change(&format!("UPDATE events SET data = '{{}}' WHERE stream = 'service-{number}'")),
            change(&format!("DELETE FROM events WHERE stream = 'service-{number}'")),
        ]
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

mod with_a_rollback_journal {
    use super::*;
    eventlift::events::fence_conformance_tests!(store: Fenced::new("DELETE").await, block_on: block_on);
}

mod with_a_write_ahead_log {
    use super::*;
    eventlift::events::fence_conformance_tests!(store: Fenced::new("WAL").await, block_on: block_on);
}

fn notice() -> FenceNotice {
    let message = "the events are elsewhere".to_owned();
    FenceNotice { run: RunId::random(), message, set_at: Timestamp::EPOCH, expires_at: None }
}

fn whole(error: &StoreError) -> String {
    format!("{error}\n  {}", error.hint.as_deref().unwrap_or_default())
}

#[tokio::test]
async fn a_fence_that_can_not_be_set_says_why() {
    let fenced = Fenced::new("DELETE").await;
    let (path, notice) = (fenced.config().path, notice());
    let shown = |error: &StoreError| whole(error).replace(&*fenced.folder.path().to_string_lossy(), "…");
    let mut fence = SqliteFence::open(&fenced.config()).unwrap();

    // Somebody writes, and does not end.
    let writer = fenced.connect();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = fence.set(&notice, Duration::from_millis(200)).await.unwrap_err();
    let expected = "failed to fence sqlite:…/events.db: another connection has had the database locked for 200 ms
  end long transactions of whoever writes to it or reads from it, and try again";
    assert_eq!(shown(&error), expected);
    writer.execute_batch("ROLLBACK").unwrap();

    // Somebody reads, and does not end: others are let in between the attempts.
    let reader = fenced.connect();
    reader.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();
    let error = fence.set(&notice, Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(shown(&error), expected);
    SqliteReader::open(fenced.config()).unwrap();
    reader.execute_batch("ROLLBACK").unwrap();
    assert_eq!(fence.standing().await.unwrap(), None);

    let read_only = |is_so| {
        let mut permissions = std::fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(is_so);
        std::fs::set_permissions(&path, permissions).unwrap();
    };
    read_only(true);
    let expected = "failed to fence sqlite:…/events.db: it is read-only
  make the file and its folder writable for this user, or stop its writers and say --fenced";
    assert_eq!(shown(&SqliteFence::open(&fenced.config()).unwrap_err()), expected);
    assert_eq!(shown(&fence.set(&notice, Duration::ZERO).await.unwrap_err()), expected);
    read_only(false);
    fence.set(&notice, Duration::ZERO).await.unwrap();

    let missing = SqliteConfig::new(fenced.folder.path().join("missing.db"));
    let error = SqliteFence::open(&missing).unwrap_err();
    assert_eq!(
        error.to_string().replace(&*fenced.folder.path().to_string_lossy(), "…"),
        "failed to open sqlite:…/missing.db: it does not exist"
    );
    let foreign = SqliteConfig::new(fenced.folder.path().join("foreign.db"));
    Connection::open(&foreign.path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    let expected = "failed to fence sqlite:…/foreign.db: it holds no events in eventlift's layout
  name the database that the events are in";
    assert_eq!(shown(&SqliteFence::open(&foreign).unwrap_err()), expected);
}

#[tokio::test]
async fn a_fence_that_lost_a_part_does_not_stand_and_can_be_set_again() {
    let fenced = Fenced::new("DELETE").await;
    let notice = notice();
    let mut fence = SqliteFence::open(&fenced.config()).unwrap();
    fence.set(&notice, Duration::ZERO).await.unwrap();
    fenced.connect().execute_batch("DROP TRIGGER eventlift_fence_update").unwrap();
    assert_eq!(fence.standing().await.unwrap(), None);
    assert!(fence.confirm(notice.run).await.is_err());
    fence.set(&notice, Duration::ZERO).await.unwrap();
    assert_eq!(fence.standing().await.unwrap(), Some(notice.clone()));
    fenced.connect().execute_batch("DROP TRIGGER eventlift_fence_update").unwrap();
    fence.lift(notice.run).await.unwrap();
    let left: i64 = fenced
        .connect()
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'eventlift_fence%'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
    fenced.connect().execute_batch(&insert(1)).unwrap();
}

#[tokio::test]
async fn a_ledger_of_an_earlier_version_is_brought_up_to_date() {
    let fenced = Fenced::new("DELETE").await;
    let earlier = "DROP TABLE eventlift_notes; ALTER TABLE eventlift_runs DROP COLUMN details";
    fenced.connect().execute_batch(earlier).unwrap();
    let looked_at = LedgerDatabase::look_at(&fenced.config().path, "looked at").unwrap().unwrap();
    assert_eq!(looked_at.runs().await.unwrap(), []);
    assert_eq!(looked_at.notes(RunId::random(), "b", None, 1).await.unwrap(), []);
    let mut writer = SqliteWriter::open(fenced.config()).unwrap();
    assert_eq!(writer.runs().await.unwrap(), []);
    writer.write_notes(RunId::random(), &[]).await.unwrap();
}
