//! Appending events to a file.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use eventlift_events::{
    ByteString, Capabilities, Checkpoint, CheckpointStore, Event, EventWriter, Guarantees, LateEvents, LatePosition,
    NoteChange, Position, PositionRange, Progress, Revision, RunId, RunRecord, StateKey, StoreError, StoreErrorKind,
    StoreIdentity, StreamName,
};
use rusqlite::Connection;

use super::appender::Appender;
use super::config::FileConfig;
use crate::ledger;
use crate::stores::Claim;

/// Appends to a file, or to standard output; the only writer of the file while it lives.
///
/// How much of the file is committed stands in a SQLite database beside it, `<path>.eventlift`, together with the
/// ledger. Bytes behind that are of an append that never was; readers stop before them, and the next writer cuts them
/// off. So events and progress commit together.
///
/// Standard output takes a load from beginning to end: it can't be resumed, since its ledger ends with the process,
/// and what was written before an error stays written.
#[derive(Debug)]
pub struct FileWriter {
    identity: StoreIdentity,
    capabilities: Capabilities,
    writing: String,
    // Locked for the length of one call, off the async threads.
    appender: Arc<Mutex<Appender>>,
}

impl FileWriter {
    /// Opens a file for writing and creates it where there is none; cuts off what a killed writer did not commit.
    /// Fails where another writer has it, where it holds events that eventlift did not write, where it is not as it
    /// was left, and where it can't be written.
    pub fn open(config: FileConfig) -> Result<Self, StoreError> {
        Self::open_as(config, &Claim::default())
    }

    /// The same, saying what for.
    pub fn open_as(config: FileConfig, claim: &Claim) -> Result<Self, StoreError> {
        let is_file = !config.is_standard_stream();
        let appender = if is_file { Appender::open(config, claim)? } else { Appender::standard_output(config)? };
        let capabilities = capabilities(is_file, appender.keeps_positions());
        let identity = appender.identity().clone();
        let writing = appender.writing();
        Ok(Self { identity, capabilities, writing, appender: Arc::new(Mutex::new(appender)) })
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Appender) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let appender = Arc::clone(&self.appender);
        let done = tokio::task::spawn_blocking(move || work(&mut lock(&appender))).await;
        done.unwrap_or_else(|error| {
            let kind = StoreErrorKind::Unexpected(format!("the writing thread was ended: {error}"));
            Err(StoreError::new("append to", &self.identity.display, kind))
        })
    }

    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let display = self.identity.display.clone();
        self.with(move |appender| {
            query(appender.connection()).map_err(|error| ledger::store_error("read the ledger of", display, error))
        })
        .await
    }
}

/// What a file, or standard output, can do.
pub(super) fn capabilities(is_file: bool, keeps_positions: bool) -> Capabilities {
    Capabilities {
        transactions: is_file,
        global_order: true,
        explicit_positions: keeps_positions,
        sets_time: true,
        attributes: true,
        exact_data: true,
        exact_metadata: true,
        max_append_bytes: None,
        refuses_taken_ids: true,
        guarantees: Guarantees::default(),
    }
}

/// A panic inside a call leaves an append that was not committed, which the next call cuts off.
fn lock(appender: &Mutex<Appender>) -> MutexGuard<'_, Appender> {
    appender.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl EventWriter for FileWriter {
    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn writing(&self) -> String {
        self.writing.clone()
    }

    async fn append(&mut self, events: &[Event], progress: Option<&Progress>) -> Result<(), StoreError> {
        // Events share their bytes, so this copies handles only.
        let (events, progress) = (events.to_vec(), progress.cloned());
        self.with(move |appender| appender.append(&events, progress.as_ref())).await
    }

    async fn seal(&mut self, dense: bool) -> Result<(), StoreError> {
        self.with(move |appender| appender.seal(dense)).await
    }

    async fn heads(&self, streams: &[StreamName]) -> Result<Vec<Option<Revision>>, StoreError> {
        let streams = streams.to_vec();
        self.with(move |appender| appender.heads(&streams)).await
    }

    async fn withdraw(&mut self, _from: &[(StreamName, Revision)], _progress: &Progress) -> Result<(), StoreError> {
        let problem = "a file only grows at its end, so events can't be taken out of the middle of it".to_owned();
        let error = StoreError::new("take events out of", &self.identity.display, StoreErrorKind::Unsupported(problem));
        Err(error.hint("name a target that is a database, or one that is migrated anew"))
    }

    async fn erase(&mut self, after: Option<Position>, run: &RunRecord) -> Result<(), StoreError> {
        let run = run.clone();
        self.with(move |appender| appender.erase(after, &run)).await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        self.with(|appender| Ok(appender.state().lines == 0)).await
    }

    async fn last_position(&self) -> Result<Option<Position>, StoreError> {
        self.with(|appender| Ok(appender.state().last_position)).await
    }
}

#[async_trait]
impl CheckpointStore for FileWriter {
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.query(ledger::runs).await
    }

    async fn record_run(&mut self, run: &RunRecord) -> Result<(), StoreError> {
        let run = run.clone();
        let display = self.identity.display.clone();
        self.with(move |appender| {
            ledger::record_run(appender.connection(), &run)
                .map_err(|error| ledger::store_error("record a run in", display, error))
        })
        .await
    }

    async fn checkpoint(&self, run: RunId) -> Result<Option<Checkpoint>, StoreError> {
        self.query(move |connection| ledger::checkpoint(connection, run)).await
    }

    async fn state(&self, run: RunId, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let keys = keys.to_vec();
        self.query(move |connection| ledger::state(connection, run, &keys)).await
    }

    async fn positions(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<PositionRange>, StoreError> {
        self.query(move |connection| ledger::positions(connection, run, after, limit)).await
    }

    async fn position_at(&self, run: RunId, source: Position) -> Result<Option<PositionRange>, StoreError> {
        self.query(move |connection| ledger::position_at(connection, run, source)).await
    }

    async fn late_of(&self, run: RunId, source: Position) -> Result<Vec<LatePosition>, StoreError> {
        self.query(move |connection| ledger::late_of(connection, run, source)).await
    }

    async fn late_at(&self, run: RunId, target: Position) -> Result<Option<LateEvents>, StoreError> {
        self.query(move |connection| ledger::late_at(connection, run, target)).await
    }

    async fn notes(
        &self,
        run: RunId,
        book: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>, StoreError> {
        let (book, after) = (book.to_owned(), after.map(str::to_owned));
        self.query(move |connection| ledger::notes(connection, run, &book, after.as_deref(), limit)).await
    }

    async fn write_notes(&mut self, run: RunId, changes: &[NoteChange]) -> Result<(), StoreError> {
        let (changes, display) = (changes.to_vec(), self.identity.display.clone());
        self.with(move |appender| {
            let written = appender.connection().unchecked_transaction().and_then(|transaction| {
                ledger::write_notes(&transaction, run, &changes)?;
                transaction.commit()
            });
            written.map_err(|e| ledger::store_error("write notes in", display, e))
        })
        .await
    }
}
