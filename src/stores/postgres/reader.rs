//! Reading events from a table in our own layout, or from one that a service made like it.
//!
//! A read is a sequence of COPY statements over a connection of its own. Each starts behind the last position of the
//! one before and yields a bounded number of events, so that no snapshot gets old and holds back the server's cleaning.

use async_trait::async_trait;
use eventlift_events::{
    Capabilities, Census, Event, EventReader, EventStream, EventType, Position, ReadRequest, SchemaVersion, Scope,
    StoreError, StoreErrorKind, StoreIdentity, Tally,
};
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use std::num::NonZeroUsize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::columns::{Columns, EventTable, relation};
use super::config::{PayloadColumn, PostgresConfig};
use super::connection::connect;
use super::decode::{BadRow, Decoder};
use super::failure::store_error;
use super::identity::identity;
use super::news;
use super::relation::Relation;
use super::selection::{Rows, Selection, scope_condition};
use super::settled::{LONG_PATIENCE, PATIENCE, SHORTLY, Settled};

/// Batches that are read ahead of the one in use.
const READ_AHEAD: usize = 2;

/// What one COPY is to yield, about: a fraction of a second's work.
const SLICE_BYTES: u64 = 64 << 20;
const FIRST_SLICE: u64 = 20_000;
const SLICES: std::ops::RangeInclusive<u64> = 1_000..=200_000;

/// Events, of all scopes, that one COPY looks through where it leaves some out.
const SEARCHED: u64 = 500_000;

/// Positions from which on reading two ranges at the same time is worth a connection more.
const WORTH_CUTTING: i128 = 200_000;

/// Row security would leave out rows without a word: with this it is an error.
const WHOLE: &str = "SET row_security = off";

/// Rows come along an index, never out of a sort of the whole table. What the planner thinks that this costs must not
/// make it compile the query.
const IN_ORDER: &str = "SET row_security = off; SET jit = off; SET enable_seqscan = off; SET enable_sort = off;
                        SET max_parallel_workers_per_gather = 0";
/// Streams are sorted, since that is faster.
const ONE_STREAM: &str = "SET row_security = off; SET jit = off; SET max_parallel_workers_per_gather = 0";

/// What is said of a source that no constraint says anything about.
const UNPROVED: &str = "no constraint says that its positions are unique and its events stay, so all of it is audited, it \
                        is read in one piece, and it is not followed";

/// Reads a table of events, or a view of one. Others may write to it at the same time: an event is yielded only once no other can come
/// before it any more. Columns of other names than those of the layout are not read.
///
/// With [`Writers::Live`](super::Writers::Live), what a read or [`head`](EventReader::head) sees of a store with
/// transactions that have not ended is what comes before the first gap that they may fill. A read without an end, and
/// `head`, wait some seconds for them; a read that was told where to end waits a minute, and then fails as
/// [`Unavailable`](StoreErrorKind::Unavailable). On a standby server, which does not tell who writes, no gap is crossed
/// at all; a read that can't yield anything because of that fails.
#[derive(Clone, Debug)]
pub struct PostgresReader {
    config: PostgresConfig,
    identity: StoreIdentity,
    relation: Relation,
    columns: Columns,
    capabilities: Capabilities,
    settled: Settled,
    /// Whether each read has to look whether positions are unique and all there.
    is_audited: bool,
}

impl PostgresReader {
    /// Opens a table. Fails where there is none, where it may not be read, where it holds something else than events,
    /// where a load into it has not ended, and where positions are given out in a way that keeps readers from telling
    /// what is still to come.
    pub async fn open(config: PostgresConfig) -> Result<Self, StoreError> {
        let display = config.place();
        let mut connection = connect(&config.server, &display).await?;
        let table = EventTable::find(&mut connection, &config).await?;
        let relation = relation(&config);
        let identity = identity(&mut connection, &config).await?;
        let settled = Settled::new(&mut connection, table.oid, relation.clone(), config.writers, display).await?;
        let is_exact = |kind: PayloadColumn| kind.is_exact();
        let capabilities = Capabilities {
            transactions: true,
            global_order: true,
            explicit_positions: true,
            sets_time: true,
            attributes: table.columns.attributes,
            exact_data: is_exact(table.columns.data.kind),
            exact_metadata: table.columns.metadata.is_none_or(|metadata| is_exact(metadata.kind)),
            max_append_bytes: None,
            refuses_taken_ids: true,
            guarantees: table.guarantees,
        };
        let is_audited = table.is_audited;
        Ok(Self { config, identity, relation, columns: table.columns, capabilities, settled, is_audited })
    }

    async fn connect(&self, settings: &'static str) -> Result<PgConnection, StoreError> {
        let mut connection = connect(&self.config.server, &self.config.place()).await?;
        sqlx::raw_sql(settings).execute(&mut connection).await.map_err(|e| self.failed(e))?;
        Ok(connection)
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        store_error("read", &self.config.place(), error)
    }

    fn bad_row(&self, bad: BadRow) -> StoreError {
        let error = StoreError::new("read", &self.identity.display, StoreErrorKind::BadInput(bad.problem));
        match bad.position {
            Some(position) => error
                .at(format_args!("position {position}"))
                .hint(format_args!("correct that row: SELECT * FROM {} WHERE position = {position}", self.relation)),
            None => error,
        }
    }

    /// Sends all batches of the request, or returns the error that ended it.
    async fn read_all(&self, request: ReadRequest, batches: &Batches) -> Result<(), StoreError> {
        let after = match request.after.map(|after| i64::try_from(after.major())) {
            None => None,
            Some(Ok(after)) => Some(after),
            // Beyond PostgreSQL's integers, behind every event.
            Some(Err(_)) => return Ok(()),
        };
        let request = of_needed_types(request);
        let settings = match request.scope {
            // There may be no index to go along.
            _ if self.is_audited => WHOLE,
            Scope::Stream(_) => ONE_STREAM,
            _ => IN_ORDER,
        };
        let mut connection = self.connect(settings).await?;
        if self.is_audited {
            self.refuse_without_position(&mut connection).await?;
        }
        let selection = Selection::new(&self.columns, &request.needed);
        let asked_until = request.until.map(|until| i64::try_from(until.major()).unwrap_or(i64::MAX));
        let mut reading = Reading {
            reader: self,
            request: &request,
            selection: &selection,
            decoder: Decoder::new(&selection),
            batches,
            after,
            slice: FIRST_SLICE,
            last: after,
        };
        if let Some(until) = asked_until.filter(|until| *until <= self.settled.known()) {
            return reading.up_to(&mut connection, until).await.map(|_| ());
        }
        // A store is read up to where it ends when the read starts; what is appended meanwhile is another read's.
        let mut look = self.settled.look(&mut connection).await?;
        let goal = asked_until.map_or(look.head, |until| until.min(look.head));
        let mut is_settled = self.settled.wait(&mut connection, &mut look, Instant::now() + SHORTLY).await?;
        if !is_settled {
            let start = after.unwrap_or(-1);
            let end = self.settled.without_gap(&mut connection, start, goal).await?;
            if reading.up_to(&mut connection, end).await?.is_break() || end >= goal {
                return Ok(());
            }
            let patience = if asked_until.is_some() { LONG_PATIENCE } else { PATIENCE };
            is_settled = self.settled.wait(&mut connection, &mut look, Instant::now() + patience).await?;
            let must_go_on = asked_until.is_some() || self.settled.is_stuck(start, end);
            if !is_settled && must_go_on {
                return Err(self.settled.blocked(&look, end));
            }
        }
        if is_settled {
            return reading.up_to(&mut connection, goal).await.map(|_| ());
        }
        Ok(())
    }

    fn repeated(&self, position: Option<i64>) -> StoreError {
        let problem = "two rows have this position, so their order is not certain".to_owned();
        let position = position.unwrap_or_default();
        StoreError::new("read", &self.identity.display, StoreErrorKind::BadInput(problem))
            .at(format_args!("position {position}"))
            .hint(format_args!("find them with SELECT * FROM {} WHERE position = {position}", self.relation))
    }

    /// Rows without a position would be passed over.
    async fn refuse_without_position(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {} WHERE position IS NULL)", self.relation);
        let (some,): (bool,) =
            sqlx::query_as(AssertSqlSafe(sql)).fetch_one(connection).await.map_err(|e| self.failed(e))?;
        if !some {
            return Ok(());
        }
        let problem = "the position of a row is NULL, and so it has no place in the order".to_owned();
        Err(StoreError::new("read", &self.identity.display, StoreErrorKind::BadInput(problem))
            .hint(format_args!("find it with SELECT * FROM {} WHERE position IS NULL", self.relation)))
    }

    /// The highest position up to another.
    async fn last_up_to(&self, connection: &mut PgConnection, until: i64) -> Result<Option<Position>, StoreError> {
        let sql = format!("SELECT max(position)::int8 FROM {} WHERE position <= $1", self.relation);
        let (last,): (Option<i64>,) =
            sqlx::query_as(AssertSqlSafe(sql)).bind(until).fetch_one(connection).await.map_err(|e| self.failed(e))?;
        // One below 0 is found when it is read.
        Ok(last.map(|last| Position::new(u64::try_from(last).unwrap_or(0))))
    }
}

type Batches = mpsc::Sender<Result<Vec<Event>, StoreError>>;

/// Whether anybody still listens.
type Listening = std::ops::ControlFlow<()>;

/// A read that is going on.
struct Reading<'a> {
    reader: &'a PostgresReader,
    request: &'a ReadRequest,
    selection: &'a Selection,
    decoder: Decoder<'a>,
    batches: &'a Batches,
    /// Everything up to here was read; none at the very start.
    after: Option<i64>,
    /// How many events the next COPY is to yield.
    slice: u64,
    /// The position of the last row of all.
    last: Option<i64>,
}

impl Reading<'_> {
    /// Reads on, up to a settled position.
    async fn up_to(&mut self, connection: &mut PgConnection, until: i64) -> Result<Listening, StoreError> {
        while self.after.is_none_or(|after| after < until) {
            let listening = match self.request.scope {
                _ if self.reader.is_audited => self.whole(connection, until).await?,
                Scope::All | Scope::Stream(_) => self.limited(connection, until).await?,
                Scope::Category(_) | Scope::Types(_) => self.searched(connection, until).await?,
            };
            if listening.is_break() {
                return Ok(listening);
            }
        }
        self.send().await
    }

    /// Reads everything, in one statement: two rows of one position could stand on both sides of a cut.
    async fn whole(&mut self, connection: &mut PgConnection, until: i64) -> Result<Listening, StoreError> {
        let copied = self.copy(connection, until, None).await?;
        self.after = Some(until);
        Ok(copied.listening)
    }

    /// Reads a number of events.
    async fn limited(&mut self, connection: &mut PgConnection, until: i64) -> Result<Listening, StoreError> {
        let limit = Some(self.slice);
        let copied = self.copy(connection, until, limit).await?;
        self.after = match copied.last {
            Some(last) if copied.rows == self.slice => Some(last),
            _ => Some(until),
        };
        if let Some(size) = copied.bytes.checked_div(copied.rows) {
            self.slice = (SLICE_BYTES / size.max(1)).clamp(*SLICES.start(), *SLICES.end());
        }
        Ok(copied.listening)
    }

    /// Looks for events in a number of them.
    async fn searched(&mut self, connection: &mut PgConnection, until: i64) -> Result<Listening, StoreError> {
        let behind = self.after.map(|after| format!("position > {after} AND ")).unwrap_or_default();
        let bound = format!(
            "SELECT e.position::int8 FROM {} AS e WHERE {behind}position <= $1
             ORDER BY e.position OFFSET {SEARCHED} LIMIT 1",
            self.reader.relation
        );
        let bound: Option<(i64,)> = sqlx::query_as(AssertSqlSafe(bound))
            .bind(until)
            .fetch_optional(&mut *connection)
            .await
            .map_err(|e| self.reader.failed(e))?;
        let bound = bound.map_or(until, |(bound,)| bound);
        let copied = self.copy(connection, bound, None).await?;
        self.after = Some(bound);
        Ok(copied.listening)
    }

    /// Runs one COPY. What does not fill a batch stays for the next one.
    async fn copy(
        &mut self,
        connection: &mut PgConnection,
        until: i64,
        limit: Option<u64>,
    ) -> Result<Copied, StoreError> {
        let rows = Rows { scope: &self.request.scope, after: self.after, until, limit };
        let sql = self.selection.copy(&self.reader.relation, &rows);
        let reader = self.reader;
        self.decoder.restart();
        let mut copied = Copied { rows: 0, bytes: 0, last: None, listening: Listening::Continue(()) };
        let mut chunks = connection.copy_out_raw(&sql).await.map_err(|e| reader.failed(e))?;
        while let Some(chunk) = chunks.try_next().await.map_err(|e| reader.failed(e))? {
            copied.bytes += chunk.len() as u64;
            self.decoder.take(&chunk);
            while self.decoder.decode().map_err(|bad| reader.bad_row(bad))? {
                copied.rows += 1;
                copied.last = self.decoder.last();
                if reader.is_audited && self.last.is_some_and(|last| Some(last) >= copied.last) {
                    return Err(reader.repeated(copied.last));
                }
                self.last = copied.last;
                let full = self.decoder.len() >= self.request.batch_events.get()
                    || self.decoder.size() >= self.request.batch_bytes.get();
                if full && self.send().await?.is_break() {
                    copied.listening = Listening::Break(());
                    return Ok(copied);
                }
            }
        }
        if !self.decoder.has_ended() {
            let problem = "the server ended a COPY before its end";
            let kind = StoreErrorKind::Unavailable(problem.into());
            return Err(StoreError::new("read", &reader.identity.display, kind));
        }
        Ok(copied)
    }

    async fn send(&mut self) -> Result<Listening, StoreError> {
        let mut events = self.decoder.batch().map_err(|bad| self.reader.bad_row(bad))?;
        // A collation may call names equal that differ.
        if self.request.scope != Scope::All {
            events.retain(|event| self.request.scope.contains(event));
        }
        if events.is_empty() {
            return Ok(Listening::Continue(()));
        }
        match self.batches.send(Ok(events)).await {
            Ok(()) => Ok(Listening::Continue(())),
            Err(_) => Ok(Listening::Break(())),
        }
    }
}

/// What one COPY yielded.
struct Copied {
    rows: u64,
    bytes: u64,
    last: Option<i64>,
    listening: Listening,
}

#[async_trait]
impl EventReader for PostgresReader {
    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let (batches, mut received) = mpsc::channel(READ_AHEAD);
        let reader = self.clone();
        // Who drops the stream ends the task.
        let mut reading = JoinSet::new();
        reading.spawn(async move {
            if let Err(error) = reader.read_all(request, &batches).await {
                // Nobody listens any more: nobody is told.
                let _ = batches.send(Err(error)).await;
            }
        });
        Box::pin(async_stream::stream! {
            while let Some(batch) = received.recv().await {
                yield batch;
            }
            // A panic must not pass for the end of the store.
            if let Some(Err(error)) = reading.join_next().await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        })
    }

    async fn census(&self, scope: &Scope, until: Option<Position>) -> Result<Option<Census>, StoreError> {
        // Who counts rows does not look at them.
        if self.is_audited {
            return Ok(None);
        }
        let mut connection = self.connect(WHOLE).await?;
        let until = until.map_or(i64::MAX, |until| i64::try_from(until.major()).unwrap_or(i64::MAX));
        let version = if self.columns.schema_version { "schema_version" } else { "1" };
        // All of them less the few behind the end: the index over the types alone answers the first part.
        let counted = |condition: String, sign: &str| {
            let condition = if condition.is_empty() { condition } else { format!(" WHERE {condition}") };
            format!(
                "SELECT type, {version} AS version, {sign}count(*) AS events FROM {}{condition} GROUP BY 1, 2",
                self.relation
            )
        };
        let scope_condition = scope_condition(scope);
        let all = counted(scope_condition.trim_start_matches(" AND ").to_owned(), "");
        let behind = counted(format!("position > $1{scope_condition}"), "-");
        let sql = format!(
            "SELECT type::text COLLATE \"C\", version::int8, sum(events)::int8 FROM ({all} UNION ALL {behind}) counted
             GROUP BY 1, 2 HAVING sum(events) > 0"
        );
        let rows: Vec<(Option<String>, Option<i64>, i64)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(until)
            .fetch_all(&mut connection)
            .await
            .map_err(|e| self.failed(e))?;
        let mut census = Census::new();
        for (event_type, version, events) in rows {
            let damaged = |what: &str| {
                let problem = format!("an event has {what}");
                StoreError::new("read", &self.identity, StoreErrorKind::BadInput(problem))
            };
            let event_type = EventType::new(event_type.unwrap_or_default()).map_err(|_| damaged("no type"))?;
            let number = version.and_then(|version| u32::try_from(version).ok()).and_then(SchemaVersion::new);
            let version = number.ok_or_else(|| damaged("no valid schema_version"))?;
            census.insert((event_type, version), Tally { events: events.unsigned_abs(), bytes: None });
        }
        if let Scope::Types(types) = scope {
            census.retain(|(event_type, _), _| types.contains(event_type));
        }
        Ok(Some(census))
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        let mut connection = self.connect(WHOLE).await?;
        let mut look = self.settled.look(&mut connection).await?;
        if self.settled.wait(&mut connection, &mut look, Instant::now() + PATIENCE).await? {
            return self.last_up_to(&mut connection, look.head).await;
        }
        let known = self.settled.known();
        let end = self.settled.without_gap(&mut connection, known, look.head).await?;
        self.last_up_to(&mut connection, end).await
    }

    async fn cuts(
        &self,
        after: Option<Position>,
        until: Position,
        parts: NonZeroUsize,
    ) -> Result<Vec<Position>, StoreError> {
        let after = after.map(|after| i64::try_from(after.major()).unwrap_or(i64::MAX));
        let until = i64::try_from(until.major()).unwrap_or(i64::MAX);
        if self.is_audited || parts.get() == 1 || i128::from(until) - i128::from(after.unwrap_or(-1)) < WORTH_CUTTING {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT min(position)::int8, max(position)::int8 FROM {} WHERE position > $1 AND position <= $2",
            self.relation
        );
        let mut connection = self.connect(WHOLE).await?;
        let (first, last): (Option<i64>, Option<i64>) = sqlx::query_as(AssertSqlSafe(sql))
            .bind(after.unwrap_or(-1))
            .bind(until)
            .fetch_one(&mut connection)
            .await
            .map_err(|e| self.failed(e))?;
        let (Some(first), Some(last)) = (first.map(i128::from), last.map(i128::from)) else { return Ok(Vec::new()) };
        Ok(equal_ranges(first, last, parts.get() as i128))
    }

    fn news(&self) -> Option<BoxStream<'static, ()>> {
        Some(news::news(self.config.clone()))
    }

    fn grows_at_its_end(&self) -> bool {
        !self.is_audited
    }

    fn taken_as(&self) -> Vec<String> {
        let name = &self.config.table;
        if self.is_audited { vec![format!("{name} is read as it is: {UNPROVED}")] } else { Vec::new() }
    }
}

/// The same request of the types only that are needed, where the server can select by them. Streams are short, and what
/// else is in a category is yielded as well.
fn of_needed_types(request: ReadRequest) -> ReadRequest {
    let scope = match (&request.scope, &request.needed.types) {
        (Scope::All, Some(needed)) => Scope::Types(needed.clone()),
        (Scope::Types(types), Some(needed)) => Scope::Types(types.intersection(needed).cloned().collect()),
        _ => return request,
    };
    ReadRequest { scope, ..request }
}

/// The ends of all but the last one of some equal ranges.
fn equal_ranges(first: i128, last: i128, parts: i128) -> Vec<Position> {
    let positions = last - first + 1;
    if positions < WORTH_CUTTING {
        return Vec::new();
    }
    let ends = (1..parts).map(|part| first + positions * part / parts - 1);
    ends.filter_map(|end| u64::try_from(end).ok()).map(Position::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_equal_and_cover_everything() {
        let ends = |first, last, parts| -> Vec<u64> {
            equal_ranges(first, last, parts).into_iter().map(|position| position.major()).collect()
        };
        assert_eq!(ends(1, 1_000_000, 4), [250_000, 500_000, 750_000]);
        assert_eq!(ends(0, 199_998, 2), Vec::<u64>::new());
        let last = i128::from(i64::MAX);
        assert_eq!(ends(0, last, 2), [(1 << 62) - 1]);
    }
}
