//! The ledger of runs into a server, which has no place for it: a database beside the project.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use eventlift_events::{NoteChange, Progress, RunId, StoreError, StoreErrorKind};
use rusqlite::{Connection, OptionalExtension, Result, params};

use crate::ledger;
use crate::stores::Claim;
use crate::stores::local_file::{self, WriterLock};

/// The version of these tables.
const FORMAT: i64 = 1;

const TABLES: &str = "
CREATE TABLE eventlift_kurrentdb (
    only         INTEGER PRIMARY KEY CHECK (only = 1),
    format       INTEGER NOT NULL,
    server       TEXT NOT NULL,
    sealed       INTEGER NOT NULL,
    append_limit INTEGER,
    commit_at    TEXT
) STRICT;
CREATE TABLE eventlift_deleted (
    stream TEXT PRIMARY KEY,
    seen   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE eventlift_shifted (
    stream TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
";

/// The ledger, and what the writer remembers beside it. Its writer is the only one of the server while it lives.
#[derive(Debug)]
pub(super) struct Books {
    connection: Connection,
    display: String,
    _lock: WriterLock,
}

/// What one append has found out, for the next ones.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Streams that are deleted for good on the server, whose tombstones are yet to come.
    pub(super) deleted: BTreeSet<String>,
    /// Streams whose tombstones came.
    pub(super) ended: BTreeSet<String>,
    /// Streams some of whose revisions are not those of the source.
    pub(super) shifted: BTreeSet<String>,
    /// The most bytes of one append, as the server said.
    pub(super) limit: Option<usize>,
    /// Where the log was, at least, when the last event was in it.
    pub(super) commit: Option<u64>,
}

impl Books {
    /// Opens the ledger of a server and creates it where there is none. Fails where another writer has it, and where it is
    /// another server's. `display` is the server, for people.
    pub(super) fn open(
        path: &Path,
        server: &str,
        display: &str,
        claim: &Claim,
    ) -> std::result::Result<Self, StoreError> {
        let path = local_file::behind_links(path);
        let display = format!("{display} with its ledger {}", path.display());
        let lock = local_file::lock_store(&path, &display, claim)?;
        let opened = prepare(&path).and_then(|connection| {
            let found = find(&connection)?;
            if matches!(found, Found::Nothing) {
                create(&connection, server)?;
            }
            Ok((connection, found))
        });
        let (connection, found) = opened.map_err(|error| ledger::store_error("open", &display, error))?;
        let refused = |problem: String, hint: &str| {
            Err(StoreError::new("open", &display, StoreErrorKind::Unexpected(problem)).hint(hint))
        };
        match found {
            Found::Nothing => {}
            Found::Server(known) if known == server => {
                ledger::create(&connection).map_err(|error| ledger::store_error("open", &display, error))?;
            }
            Found::Server(known) => {
                let problem = format!("the ledger is of another server, {known}");
                return refused(
                    problem,
                    "name another file in `ledger`, one for each server; or the server it was made for",
                );
            }
            Found::OtherFormat(format) => {
                let problem = format!("the ledger has format {format}, and this version knows {FORMAT}");
                return refused(problem, "use the version of eventlift that wrote it, or a newer one");
            }
            Found::Foreign => {
                return refused("the file is a database of something else".to_owned(), "name another file in `ledger`");
            }
        }
        Ok(Self { connection, display, _lock: lock })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn display(&self) -> &str {
        &self.display
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> std::result::Result<T, StoreError> {
        read(&self.connection).map_err(|error| ledger::store_error("read the ledger of", &self.display, error))
    }

    fn write<T>(&self, write: impl FnOnce(&Connection) -> Result<T>) -> std::result::Result<T, StoreError> {
        let written = self.connection.unchecked_transaction().and_then(|transaction| {
            let done = write(&transaction)?;
            transaction.commit()?;
            Ok(done)
        });
        written.map_err(|error| ledger::store_error("write the ledger of", &self.display, error))
    }

    /// Whether the first load was ended.
    pub(super) fn is_sealed(&self) -> std::result::Result<bool, StoreError> {
        self.read(|c| c.query_row("SELECT sealed FROM eventlift_kurrentdb", [], |row| row.get(0)))
    }

    /// The most bytes of one append, where the server said so.
    pub(super) fn limit(&self) -> std::result::Result<Option<usize>, StoreError> {
        let limit: Option<i64> =
            self.read(|c| c.query_row("SELECT append_limit FROM eventlift_kurrentdb", [], |row| row.get(0)))?;
        Ok(limit.and_then(|limit| usize::try_from(limit).ok()))
    }

    /// Where the log of the server was, at least, when something was committed last.
    pub(super) fn commit_at(&self) -> std::result::Result<Option<u64>, StoreError> {
        let at: Option<String> =
            self.read(|c| c.query_row("SELECT commit_at FROM eventlift_kurrentdb", [], |row| row.get(0)))?;
        Ok(at.and_then(|at| at.parse().ok()))
    }

    /// Which of these streams were seen to be deleted for good.
    pub(super) fn deleted(&self, streams: &BTreeSet<String>) -> std::result::Result<BTreeSet<String>, StoreError> {
        self.among("eventlift_deleted WHERE seen = 1", streams)
    }

    /// Which of these streams this writer may have deleted for good, in an append whose end is not known.
    pub(super) fn ending(&self, streams: &BTreeSet<String>) -> std::result::Result<BTreeSet<String>, StoreError> {
        self.among("eventlift_deleted WHERE seen = 0", streams)
    }

    /// Which of these streams have revisions that are not those of the source.
    pub(super) fn shifted(&self, streams: &BTreeSet<String>) -> std::result::Result<BTreeSet<String>, StoreError> {
        self.among("eventlift_shifted WHERE true", streams)
    }

    fn among(&self, rows: &str, streams: &BTreeSet<String>) -> std::result::Result<BTreeSet<String>, StoreError> {
        self.read(|connection| {
            let any: bool =
                connection.query_row(&format!("SELECT EXISTS (SELECT 1 FROM {rows})"), [], |row| row.get(0))?;
            if !any {
                return Ok(BTreeSet::new());
            }
            let sql = format!("SELECT EXISTS (SELECT 1 FROM {rows} AND stream = ?1)");
            let mut statement = connection.prepare_cached(&sql)?;
            let mut found = BTreeSet::new();
            for stream in streams {
                if statement.query_row([stream], |row| row.get(0))? {
                    found.insert(stream.clone());
                }
            }
            Ok(found)
        })
    }

    /// Remembers that a stream is about to be deleted for good by this writer, so that a repeat of what came before takes
    /// it for its own.
    pub(super) fn will_delete(&self, stream: &str) -> std::result::Result<(), StoreError> {
        self.write(|c| c.execute("INSERT OR IGNORE INTO eventlift_deleted VALUES (?1, 0)", [stream]).map(|_| ()))
    }

    /// The first stream that is deleted on the server, and not in what was appended.
    pub(super) fn left_over(&self) -> std::result::Result<Option<String>, StoreError> {
        let sql = "SELECT stream FROM eventlift_deleted ORDER BY stream LIMIT 1";
        self.read(|c| c.query_row(sql, [], |row| row.get(0)).optional())
    }

    /// Ends the first load.
    pub(super) fn seal(&self) -> std::result::Result<(), StoreError> {
        self.write(|c| c.execute("UPDATE eventlift_kurrentdb SET sealed = 1", []).map(|_| ()))
    }

    /// Stores what an append found out and the progress that it made, all or nothing.
    pub(super) fn commit(
        &self,
        findings: &Findings,
        progress: Option<&Progress>,
    ) -> std::result::Result<(), StoreError> {
        self.write(|connection| {
            let mut deleted = connection.prepare_cached("INSERT OR REPLACE INTO eventlift_deleted VALUES (?1, 1)")?;
            for stream in &findings.deleted {
                deleted.execute([stream])?;
            }
            let mut struck = connection.prepare_cached("DELETE FROM eventlift_deleted WHERE stream = ?1")?;
            for stream in &findings.ended {
                struck.execute([stream])?;
            }
            let mut shifted = connection.prepare_cached("INSERT OR IGNORE INTO eventlift_shifted VALUES (?1)")?;
            for stream in &findings.shifted {
                shifted.execute([stream])?;
            }
            if let Some(limit) = findings.limit {
                let limit = i64::try_from(limit).unwrap_or(i64::MAX);
                connection.execute("UPDATE eventlift_kurrentdb SET append_limit = ?1", [limit])?;
            }
            if let Some(commit) = findings.commit {
                connection.execute("UPDATE eventlift_kurrentdb SET commit_at = ?1", [commit.to_string()])?;
            }
            match progress {
                Some(progress) => ledger::commit(connection, progress),
                None => Ok(()),
            }
        })
    }

    /// Changes notes of a run, all or nothing.
    pub(super) fn write_notes(&self, run: RunId, changes: &[NoteChange]) -> std::result::Result<(), StoreError> {
        self.write(|connection| ledger::write_notes(connection, run, changes))
    }

    /// Remembers the limit alone.
    pub(super) fn learn(&self, limit: usize) -> std::result::Result<(), StoreError> {
        self.commit(&Findings { limit: Some(limit), ..Findings::default() }, None)
    }
}

enum Found {
    Nothing,
    Server(String),
    OtherFormat(i64),
    Foreign,
}

fn prepare(path: &Path) -> Result<Connection> {
    let connection = Connection::open(ledger::as_file(path))?;
    connection.busy_timeout(Duration::from_secs(30))?;
    connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

fn find(connection: &Connection) -> Result<Found> {
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(Found::Nothing);
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'eventlift_kurrentdb')";
    if !connection.query_row(sql, [], |row| row.get(0))? {
        return Ok(Found::Foreign);
    }
    let format: i64 = connection.query_row("SELECT format FROM eventlift_kurrentdb", [], |row| row.get(0))?;
    if format != FORMAT {
        return Ok(Found::OtherFormat(format));
    }
    connection.query_row("SELECT server FROM eventlift_kurrentdb", [], |row| row.get(0)).map(Found::Server)
}

fn create(connection: &Connection, server: &str) -> Result<()> {
    let transaction = connection.unchecked_transaction()?;
    transaction.execute_batch(TABLES)?;
    let sql = "INSERT INTO eventlift_kurrentdb VALUES (1, ?1, ?2, 0, NULL, NULL)";
    transaction.execute(sql, params![FORMAT, server])?;
    ledger::create(&transaction)?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_of_one_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        drop(Books::open(&path, "kurrentdb://a:1", "kurrentdb://a:1", &Claim::default()).unwrap());
        drop(Books::open(&path, "kurrentdb://a:1", "kurrentdb://a:1", &Claim::default()).unwrap());
        let refused = Books::open(&path, "kurrentdb://b:1", "kurrentdb://b:1", &Claim::default()).unwrap_err();
        assert!(refused.to_string().contains("of another server, kurrentdb://a:1"), "{refused}");
    }

    #[test]
    fn what_is_no_ledger_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE shops (id INTEGER)").unwrap();
        assert!(
            Books::open(&path, "s", "s", &Claim::default())
                .unwrap_err()
                .to_string()
                .contains("database of something else")
        );
        let path = folder.path().join("none/ledger");
        assert!(Books::open(&path, "s", "s", &Claim::default()).is_err());
    }

    #[test]
    fn a_stream_is_left_over_until_its_tombstone_came() {
        let folder = tempfile::tempdir().unwrap();
        let books = Books::open(&folder.path().join("ledger"), "s", "s", &Claim::default()).unwrap();
        let named = |name: &str| BTreeSet::from([name.to_owned()]);
        books.commit(&Findings { deleted: named("gone"), ..Findings::default() }, None).unwrap();
        books.will_delete("own").unwrap();
        let asked = BTreeSet::from(["a".to_owned(), "gone".to_owned(), "own".to_owned()]);
        assert_eq!(books.deleted(&asked).unwrap(), named("gone"));
        assert_eq!(books.ending(&asked).unwrap(), named("own"));
        assert_eq!(books.left_over().unwrap().as_deref(), Some("gone"));
        books.commit(&Findings { ended: named("gone"), ..Findings::default() }, None).unwrap();
        assert_eq!(books.left_over().unwrap().as_deref(), Some("own"));
        books.commit(&Findings { ended: named("own"), ..Findings::default() }, None).unwrap();
        assert_eq!(books.left_over().unwrap(), None);
    }
}
