//! Appending events in our own layout.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use eventlift_events::{
    ByteString, Bytes, Capabilities, Checkpoint, CheckpointStore, Event, EventWriter, LateEvents, LatePosition,
    LoadRange, NoteChange, Position, PositionRange, Progress, RangeWriter, Revision, RunId, RunRecord, StateKey,
    StoreError, StoreErrorKind, StoreIdentity, StreamName,
};
use sqlx::AssertSqlSafe;

use super::append::{Along, Appender};
use super::config::PostgresConfig;
use super::failure::store_error;
use super::layout::{self, EventsTable};
use super::ledger::{Ledger, Ranges};
use super::proof::Proof;
use super::range_writer::PostgresRangeWriter;
use super::removal;
use super::seal;
use super::session::{Session, Taking, roll_back};
use crate::stores::Claim;

/// Appends to a table in our own layout; the only writer of it while it lives, though services may insert into a sealed
/// one at the same time.
///
/// A new table is loading: it has no indexes until it is sealed. A connection that is lost is made again by the next
/// call; what the lost one left behind can't commit any more.
pub struct PostgresWriter {
    config: PostgresConfig,
    /// As what it was opened.
    claim: Claim,
    /// The number of the server's process of the session that was opened last.
    number: AtomicI32,
    identity: StoreIdentity,
    table: EventsTable,
    is_sparse: AtomicBool,
    // One call at a time. None after a connection was lost, or a call was dropped in the middle.
    session: tokio::sync::Mutex<Option<Open>>,
    loaded: Arc<Mutex<Loaded>>,
}

/// An open table, and what appends to it.
pub(super) struct Open {
    pub(super) session: Session,
    appender: Appender,
}

/// What is known of the events of a store that is loading.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) proof: Proof,
    /// The last position, where it is known: without an index it takes a scan.
    pub(super) last: Option<Option<Position>>,
}

impl Loaded {
    /// Of a table just opened.
    fn of(session: &Session) -> Self {
        if session.was_empty { Self::empty() } else { Self::unknown() }
    }

    /// Of a table without events.
    fn empty() -> Self {
        Self { proof: Proof::default(), last: Some(None) }
    }

    pub(super) fn unknown() -> Self {
        Self { proof: Proof::lost(), last: None }
    }

    /// Events were appended.
    pub(super) fn reached(&mut self, events: &[Event]) {
        let last = events.iter().map(|event| event.position).max();
        self.last = self.last.map(|before| before.max(last));
    }
}

/// What is known can't be half written: each change is made at once.
pub(super) fn lock(loaded: &Mutex<Loaded>) -> MutexGuard<'_, Loaded> {
    loaded.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Open {
    async fn new(config: &PostgresConfig, taking: Taking<'_>) -> Result<Self, StoreError> {
        let session = Session::open(config, taking).await?;
        let appender = Appender::new(session.fence(), session.table.clone(), session.sequence.clone());
        Ok(Self { session, appender })
    }
}

/// The session for the length of one call. Dropped with the call, it ends the connection and so its transaction.
pub(super) struct Held<'a> {
    slot: tokio::sync::MutexGuard<'a, Option<Open>>,
    pub(super) open: Open,
}

impl Held<'_> {
    /// Ends the call: the session stays for the next one, unless its connection is of no use any more.
    pub(super) async fn settle<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        let is_usable = match &result {
            Ok(_) => true,
            Err(error) => !error.may_pass() && roll_back(&mut self.open.session.connection).await,
        };
        if is_usable {
            *self.slot = Some(self.open);
        }
        result
    }
}

impl PostgresWriter {
    /// Opens a table for writing; makes it, its schema and the ledger's tables where there are none. Fails where
    /// another writer has it, also after [`Claim::patience`]; where the table has other columns, where the
    /// ledger is a newer version's, and where rights are missing.
    pub async fn open(config: PostgresConfig) -> Result<Self, StoreError> {
        Self::open_as(config, &Claim::default()).await
    }

    /// The same, saying what for.
    pub async fn open_as(config: PostgresConfig, claim: &Claim) -> Result<Self, StoreError> {
        Self::taking(config, claim, claim.patience).await
    }

    /// The same, failing at once where another writer has it.
    pub async fn try_open_as(config: PostgresConfig, claim: &Claim) -> Result<Self, StoreError> {
        Self::taking(config, claim, Duration::ZERO).await
    }

    async fn taking(config: PostgresConfig, claim: &Claim, patience: Duration) -> Result<Self, StoreError> {
        let open = Open::new(&config, Taking { claim, patience, lost: None }).await?;
        let session = &open.session;
        Ok(Self {
            claim: claim.clone(),
            number: AtomicI32::new(session.number),
            identity: session.identity.clone(),
            table: session.table.clone(),
            is_sparse: AtomicBool::new(session.row.is_sparse),
            loaded: Arc::new(Mutex::new(Loaded::of(session))),
            session: tokio::sync::Mutex::new(Some(open)),
            config,
        })
    }

    /// The session, opened again where the last one was lost.
    pub(super) async fn held(&self) -> Result<Held<'_>, StoreError> {
        let mut slot = self.session.lock().await;
        if let Some(open) = slot.take() {
            return Ok(Held { slot, open });
        }
        // Whatever happened to the last call may have been committed, and others may have been here since.
        *lock(&self.loaded) = Loaded::unknown();
        let lost = Some(self.number.load(Ordering::Relaxed));
        let open = Open::new(&self.config, Taking { claim: &self.claim, patience: self.claim.patience, lost }).await?;
        self.number.store(open.session.number, Ordering::Relaxed);
        if open.session.identity != self.identity || open.session.table != self.table {
            let other = "it is another store now than when it was opened first".to_owned();
            return Err(StoreError::new("open", &self.identity, StoreErrorKind::Unexpected(other)));
        }
        Ok(Held { slot, open })
    }

    fn failed(&self, action: &'static str, error: sqlx::Error) -> StoreError {
        store_error(action, &self.config.place().written(), error)
    }

    fn ledger(&self) -> Ledger {
        Ledger::of(&self.table.relation)
    }
}

#[async_trait]
impl EventWriter for PostgresWriter {
    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    fn capabilities(&self) -> Capabilities {
        layout::capabilities(&self.table, !self.is_sparse.load(Ordering::Relaxed))
    }

    async fn append(&mut self, events: &[Event], progress: Option<&Progress>) -> Result<(), StoreError> {
        let mut held = self.held().await?;
        let Open { session, appender } = &mut held.open;
        let is_loading = !session.row.is_sealed;
        let result = appender.append(&mut session.connection, events, Along::Progress(progress)).await;
        match (&result, is_loading) {
            (_, false) => {}
            (Ok(()), true) => {
                let mut loaded = lock(&self.loaded);
                loaded.proof.appended(events);
                loaded.reached(events);
            }
            (Err(_), true) => *lock(&self.loaded) = Loaded::unknown(),
        }
        held.settle(result).await
    }

    async fn seal(&mut self, dense: bool) -> Result<(), StoreError> {
        let mut held = self.held().await?;
        if held.open.session.row.is_sealed {
            return held.settle(Ok(())).await;
        }
        let proved = lock(&self.loaded).proof.events(dense);
        let result = seal::seal(&self.config, &mut held.open.session, dense, proved).await;
        if result.is_ok() {
            held.open.session.row.is_sealed = true;
            held.open.session.row.is_sparse = !dense;
            self.is_sparse.store(!dense, Ordering::Relaxed);
            // Its memory is not needed any more.
            *lock(&self.loaded) = Loaded::unknown();
        }
        held.settle(result).await
    }

    async fn range_writers(&mut self, count: NonZeroUsize) -> Result<Vec<Box<dyn RangeWriter>>, StoreError> {
        let held = self.held().await?;
        let mut writers: Vec<Box<dyn RangeWriter>> = Vec::new();
        if held.open.session.row.is_sealed {
            return held.settle(Ok(writers)).await;
        }
        for _ in 0..count.get() {
            match PostgresRangeWriter::open(&self.config, &held.open.session, Arc::clone(&self.loaded)).await {
                Ok(writer) => writers.push(Box::new(writer)),
                // Fewer connections than asked for are still faster than one.
                Err(_) if !writers.is_empty() => break,
                Err(error) => return held.settle(Err(error)).await,
            }
        }
        held.settle(Ok(writers)).await
    }

    fn takes_earlier_positions(&self) -> bool {
        true
    }

    async fn heads(&self, streams: &[StreamName]) -> Result<Vec<Option<Revision>>, StoreError> {
        let mut held = self.held().await?;
        let Session { connection, row, .. } = &mut held.open.session;
        let result = removal::heads(connection, &self.table.relation, streams, row.is_sealed).await;
        held.settle(result.map_err(|e| self.failed("read", e))).await
    }

    async fn withdraw(&mut self, from: &[(StreamName, Revision)], progress: &Progress) -> Result<(), StoreError> {
        const ACTION: &str = "take events out of";
        let mut held = self.held().await?;
        // What was seen of them while they were loaded proves nothing any more.
        *lock(&self.loaded) = Loaded::unknown();
        let fence = held.open.session.fence();
        let connection = &mut held.open.session.connection;
        let result = async {
            fence.begin(connection, ACTION).await?;
            removal::withdraw(connection, &self.table.relation, from).await.map_err(|e| self.failed(ACTION, e))?;
            fence.ledger.commit(connection, progress, Ranges::Any).await.map_err(|e| self.failed(ACTION, e))?;
            fence.commit(connection, ACTION).await
        };
        let result = result.await;
        held.settle(result).await
    }

    async fn erase(&mut self, after: Option<Position>, run: &RunRecord) -> Result<(), StoreError> {
        let mut held = self.held().await?;
        *lock(&self.loaded) = Loaded::unknown();
        let result = removal::erase(&mut held.open.session, after, run).await;
        if let Ok(erased) = &result
            && erased.is_empty
        {
            held.open.session.row.is_sealed = false;
            held.open.session.row.is_sparse = false;
            self.is_sparse.store(false, Ordering::Relaxed);
            *lock(&self.loaded) = Loaded::empty();
        }
        held.settle(result.map(|_| ())).await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        let mut held = self.held().await?;
        let statement = format!("SELECT NOT EXISTS (SELECT 1 FROM {})", self.table.relation);
        let query = sqlx::query_scalar(AssertSqlSafe(statement));
        let result = query.fetch_one(&mut held.open.session.connection).await.map_err(|e| self.failed("read", e));
        held.settle(result).await
    }

    async fn last_position(&self) -> Result<Option<Position>, StoreError> {
        let mut held = self.held().await?;
        let is_sealed = held.open.session.row.is_sealed;
        // Others insert into a sealed store, and there an index knows.
        let known = lock(&self.loaded).last.filter(|_| !is_sealed);
        if let Some(last) = known {
            return held.settle(Ok(last)).await;
        }
        let statement = format!("SELECT max(position) FROM {}", self.table.relation);
        let query = sqlx::query_scalar::<_, Option<i64>>(AssertSqlSafe(statement));
        let result = query.fetch_one(&mut held.open.session.connection).await.map_err(|e| self.failed("read", e));
        let result = result.map(|last| last.map(|number| Position::new(number.unsigned_abs())));
        if let Ok(last) = &result {
            lock(&self.loaded).last = Some(*last);
        }
        held.settle(result).await
    }
}

#[async_trait]
impl CheckpointStore for PostgresWriter {
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        let mut held = self.held().await?;
        let result = self.ledger().runs(&mut held.open.session.connection).await;
        held.settle(result.map_err(|e| self.failed("read", e))).await
    }

    async fn record_run(&mut self, run: &RunRecord) -> Result<(), StoreError> {
        const ACTION: &str = "record a run in";
        let mut held = self.held().await?;
        let fence = held.open.session.fence();
        let connection = &mut held.open.session.connection;
        let result = async {
            fence.begin(connection, ACTION).await?;
            fence.ledger.record_run(connection, run).await.map_err(|e| self.failed(ACTION, e))?;
            fence.commit(connection, ACTION).await
        };
        let result = result.await;
        held.settle(result).await
    }

    async fn checkpoint(&self, run: RunId) -> Result<Option<Checkpoint>, StoreError> {
        let mut held = self.held().await?;
        let result = self.ledger().checkpoint(&mut held.open.session.connection, run).await;
        held.settle(result.map_err(|e| self.failed("read", e))).await
    }

    async fn state(&self, run: RunId, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let mut held = self.held().await?;
        let result = self.ledger().state(&mut held.open.session.connection, run, keys).await;
        held.settle(result.map_err(|e| self.failed("read", e))).await
    }

    async fn positions(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<PositionRange>, StoreError> {
        let mut held = self.held().await?;
        let result = self.ledger().positions(&mut held.open.session.connection, run, after, limit).await;
        held.settle(result.map_err(|e| self.failed("read", e))).await
    }

    async fn position_at(&self, run: RunId, source: Position) -> Result<Option<PositionRange>, StoreError> {
        let mut held = self.held().await?;
        let result = self.ledger().position_at(&mut held.open.session.connection, run, source).await;
        held.settle(result.map_err(|e| self.failed("read", e))).await
    }

    async fn late_of(&self, run: RunId, source: Position) -> Result<Vec<LatePosition>, StoreError> {
        let mut held = self.held().await?;
        let result = self.ledger().late_of(&mut held.open.session.connection, run, source).await;
        held.settle(result.map_err(|e| self.failed("read", e))).await
    }

    async fn late_at(&self, run: RunId, target: Position) -> Result<Option<LateEvents>, StoreError> {
        let mut held = self.held().await?;
        let result = self.ledger().late_at(&mut held.open.session.connection, run, target).await;
        held.settle(result.map_err(|e| self.failed("read", e))).await
    }

    async fn notes(
        &self,
        run: RunId,
        book: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>, StoreError> {
        let mut held = self.held().await?;
        let result = self.ledger().notes(&mut held.open.session.connection, run, book, after, limit).await;
        held.settle(result.map_err(|e| self.failed("read", e))).await
    }

    async fn write_notes(&mut self, run: RunId, changes: &[NoteChange]) -> Result<(), StoreError> {
        const ACTION: &str = "write notes in";
        let mut held = self.held().await?;
        let fence = held.open.session.fence();
        let connection = &mut held.open.session.connection;
        let result = async {
            fence.begin(connection, ACTION).await?;
            fence.ledger.write_notes(connection, run, changes).await.map_err(|e| self.failed(ACTION, e))?;
            fence.commit(connection, ACTION).await
        };
        let result = result.await;
        held.settle(result).await
    }

    async fn load_ranges(&self, run: RunId) -> Result<Vec<LoadRange>, StoreError> {
        let mut held = self.held().await?;
        let result = self.ledger().load_ranges(&mut held.open.session.connection, run).await;
        held.settle(result.map_err(|e| self.failed("read", e))).await
    }

    async fn plan_ranges(&mut self, run: RunId, ranges: &[LoadRange]) -> Result<(), StoreError> {
        const ACTION: &str = "plan a load of";
        let mut held = self.held().await?;
        let fence = held.open.session.fence();
        let connection = &mut held.open.session.connection;
        let result = async {
            fence.begin(connection, ACTION).await?;
            fence.ledger.plan_ranges(connection, run, ranges).await.map_err(|e| self.failed(ACTION, e))?;
            fence.commit(connection, ACTION).await
        };
        let result = result.await;
        held.settle(result).await
    }
}
