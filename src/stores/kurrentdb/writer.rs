//! Appending to a server.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use eventlift_events::{
    ByteString, Capabilities, Checkpoint, CheckpointStore, Event, EventWriter, Guarantees, LateEvents, LatePosition,
    NoteChange, Position, PositionRange, Progress, Revision, RunId, RunRecord, StateKey, StoreError, StoreErrorKind,
    StoreIdentity, StreamName,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use rusqlite::Connection;

use super::append::{Appender, Known};
use super::config::{KurrentConfig, Order, StreamMetadata};
use super::connection::connect;
use super::courier::Courier;
use super::entry::json_goes_out_as_it_is;
use super::ledger::{Books, Findings};
use super::look::{End, Look};
use super::originals::{Originals, carried_as};
use super::plan::{Plan, Planner, tombstone_of};
use super::reader::capabilities;
use crate::ledger;
use crate::stores::Claim;

/// How long an answer may take where the URL's `defaultDeadline` says nothing else.
const PATIENCE: Duration = Duration::from_secs(20);

/// Appends to a KurrentDB server; the only writer that works with its ledger while it lives.
///
/// Events go out stream by stream, several streams at the same time, each append with the revision it expects. Progress
/// is committed in the ledger, a SQLite database beside the project, once all events of an append are acknowledged: the
/// server has no transaction that both could be in. Whatever is appended again is found to be there, whichever
/// way it is cut, so a killed writer loses nothing and doubles nothing. A ledger that is lost is begun anew: the run
/// starts from the first event, and finds out what is there.
///
/// While the store is loading, a stream that is deleted for good on the server is taken for one whose tombstone is yet
/// to come: its events are passed over, and sealing fails unless the tombstone came.
pub struct KurrentWriter {
    identity: StoreIdentity,
    config: KurrentConfig,
    writing: String,
    originals: Originals,
    appender: Arc<Appender>,
    // Locked for the length of one call, off the async threads.
    books: Arc<Mutex<Books>>,
}

impl KurrentWriter {
    /// Opens a server for appending, and its ledger, which is created where there is none. Fails where nobody answers,
    /// where another writer has the ledger, where the ledger is another server's, and where the server holds less than the
    /// ledger says it did.
    pub async fn open(config: KurrentConfig) -> Result<Self, StoreError> {
        Self::open_as(config, &Claim::default()).await
    }

    /// The same, saying what for.
    pub async fn open_as(config: KurrentConfig, claim: &Claim) -> Result<Self, StoreError> {
        let identity = StoreIdentity { display: config.to_string(), key: config.server.key() };
        let unexpected = |problem: String| StoreError::new("open", &identity, StoreErrorKind::Unexpected(problem));
        let originals = Originals::new(&config.metadata).map_err(|problem| unexpected(problem.to_string()))?;
        let writing = carried_as(&config).map_err(|problem| unexpected(problem.to_string()))?;
        if !json_goes_out_as_it_is() {
            return Err(unexpected("this build would change JSON on its way to the client".to_owned()));
        }
        let (path, key, display) = (config.ledger.clone(), identity.key.clone(), identity.display.clone());
        let claim = claim.clone();
        let books = blocking(&identity.display, move || Books::open(&path, &key, &display, &claim)).await?;
        let (limit, commit) = (books.limit()?, books.commit_at()?);
        let client = connect(&config.server, &config).await?;
        let patience = config.server.deadline().unwrap_or(PATIENCE);
        let courier = Courier::new(client, identity.display.clone(), patience);
        let revision_key = config.metadata.revision.name().map(str::to_owned);
        let appender = Arc::new(Appender::new(courier, limit, revision_key));
        let books = Arc::new(Mutex::new(books));
        let writer = Self { identity, config, writing, originals, appender, books };
        writer.still_holds(commit).await?;
        Ok(writer)
    }

    /// Fails where the log ends before what was committed: it is another server by the same name, or a copy of before.
    async fn still_holds(&self, commit: Option<u64>) -> Result<(), StoreError> {
        let Some(commit) = commit else { return Ok(()) };
        let end = self.look().end_of_log().await?;
        if end.is_none_or(|end| end >= commit) {
            return Ok(());
        }
        let problem = format!(
            "the server holds less than was appended to it (its log ends at {}, and was at {commit}): it was replaced, or \
             restored from a copy",
            end.unwrap_or_default()
        );
        let hint = format!(
            "remove the ledger {} to begin anew; what the server still holds is found and not doubled",
            self.config.ledger.display()
        );
        Err(StoreError::new("open", &self.identity, StoreErrorKind::Unexpected(problem)).hint(hint))
    }

    fn look(&self) -> &Look {
        self.appender.look()
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Books) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let books = Arc::clone(&self.books);
        blocking(&self.identity.display, move || work(&lock(&books))).await
    }

    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.with(move |books| {
            query(books.connection()).map_err(|error| ledger::store_error("read the ledger of", books.display(), error))
        })
        .await
    }

    /// What the ledger knows of the streams of a plan; and what has to be in it before the plan is carried out.
    async fn known(&self, plan: &Plan) -> Result<Known, StoreError> {
        let streams: BTreeSet<String> = plan.lanes.iter().map(|lane| lane.stream.clone()).collect();
        let mut ending = plan.ending.clone();
        let carries = self.config.stream_metadata() == StreamMetadata::Carry;
        self.with(move |books| {
            for stream in &ending {
                books.will_delete(stream)?;
            }
            ending.extend(books.ending(&streams)?);
            Ok(Known {
                deleted: books.deleted(&streams)?,
                shifted: books.shifted(&streams)?,
                ending,
                tombstones_may_come: carries && !books.is_sealed()?,
            })
        })
        .await
    }

    async fn end(&self, stream: &StreamName) -> Result<Option<Revision>, StoreError> {
        if let Some(of) = tombstone_of(stream) {
            let is_deleted = self.look().end(of).await? == End::Deleted;
            return Ok(is_deleted.then_some(Revision(0)));
        }
        match self.look().end(stream.as_str()).await? {
            End::At(last) => Ok(Some(Revision(last.revision))),
            End::Nothing | End::Deleted => Ok(None),
        }
    }
}

/// A panic inside a call leaves a transaction that is rolled back.
fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static>(
    display: &str,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let kind = StoreErrorKind::Unexpected(format!("the thread of the ledger was ended: {error}"));
        Err(StoreError::new("append to", display, kind))
    })
}

#[async_trait]
impl EventWriter for KurrentWriter {
    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    fn capabilities(&self) -> Capabilities {
        let can = capabilities(Some(self.config.order()));
        Capabilities { guarantees: Guarantees { dense_revisions: true, ..can.guarantees }, ..can }
    }

    fn writing(&self) -> String {
        self.writing.clone()
    }

    fn keeps_origins(&self) -> bool {
        true
    }

    async fn append(&mut self, events: &[Event], progress: Option<&Progress>) -> Result<(), StoreError> {
        let origins = progress.map(|progress| progress.origins.as_slice()).unwrap_or_default();
        let plan = {
            let planner = Planner {
                originals: &self.originals,
                order: self.config.order(),
                stream_metadata: self.config.stream_metadata(),
                display: &self.identity.display,
            };
            planner.plan(events, origins)?
        };
        let known = self.known(&plan).await?;
        let in_flight = match self.config.order() {
            Order::Stream => self.config.in_flight.get(),
            Order::Global => 1,
        };
        let learnt = self.appender.learnt();
        let appended = self.appender.append(plan, known, in_flight).await;
        let findings: Findings = match appended {
            Ok(findings) => findings,
            Err(error) => {
                // What the server takes is worth knowing, whatever else went wrong.
                if let Some(limit) = self.appender.learnt().filter(|limit| Some(*limit) != learnt) {
                    self.with(move |books| books.learn(limit)).await?;
                }
                return Err(error);
            }
        };
        let progress = progress.cloned();
        self.with(move |books| books.commit(&findings, progress.as_ref())).await
    }

    /// Nothing has to be built, and the server itself sees to it that revisions are unique and have no gaps, whatever is
    /// asked for.
    async fn seal(&mut self, _dense: bool) -> Result<(), StoreError> {
        let display = self.identity.display.clone();
        self.with(move |books| {
            if books.is_sealed()? {
                return Ok(());
            }
            let Some(stream) = books.left_over()? else { return books.seal() };
            let problem =
                "it was deleted for good on the server, and not in the source, so its events could not be appended";
            Err(StoreError::new("seal", display, StoreErrorKind::Unexpected(problem.to_owned()))
                .at(format_args!("stream {stream}"))
                .hint("rename the stream with a rule, or leave it out: a name that was deleted for good is never free again"))
        })
        .await
    }

    async fn heads(&self, streams: &[StreamName]) -> Result<Vec<Option<Revision>>, StoreError> {
        let asked = stream::iter(streams.to_vec()).map(|stream| async move { self.end(&stream).await });
        asked.buffered(self.config.in_flight.get()).try_collect().await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.last_position().await?.is_none())
    }

    async fn last_position(&self) -> Result<Option<Position>, StoreError> {
        self.look().last_position(self.config.stream_metadata() == StreamMetadata::Carry).await
    }
}

#[async_trait]
impl CheckpointStore for KurrentWriter {
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.query(ledger::runs).await
    }

    async fn record_run(&mut self, run: &RunRecord) -> Result<(), StoreError> {
        let run = run.clone();
        self.with(move |books| {
            ledger::record_run(books.connection(), &run)
                .map_err(|error| ledger::store_error("record a run in the ledger of", books.display(), error))
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
        let changes = changes.to_vec();
        self.with(move |books| books.write_notes(run, &changes)).await
    }
}
