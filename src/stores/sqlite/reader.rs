//! Reading events in our own layout.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use eventlift_events::{
    Capabilities, Census, ContentType, Event, EventId, EventReader, EventStream, EventType, Guarantees, Payload,
    Position, ReadRequest, Revision, SchemaVersion, Scope, StoreError, StoreErrorKind, StoreIdentity, StreamName,
    Tally, Timestamp,
};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};
use tokio::sync::mpsc;

use super::config::SqliteConfig;
use super::foreign::ForeignTable;
use super::layout::{self, COLUMNS, Content};
use crate::ledger;
use crate::stores::written_time::read_time;

/// Batches that are read ahead of the one in use.
const READ_AHEAD: usize = 2;

/// Reads a database in our own layout, or a table or view with columns of the same names that the configuration names.
/// The database is opened read-only.
#[derive(Clone, Debug)]
pub struct SqliteReader {
    config: SqliteConfig,
    /// None: our own layout.
    foreign: Option<ForeignTable>,
    identity: StoreIdentity,
    capabilities: Capabilities,
}

impl SqliteReader {
    /// Opens a database. Fails where there is none, where it holds something else, and where a load into it has not
    /// ended: such a database is not whole.
    pub fn open(config: SqliteConfig) -> Result<Self, StoreError> {
        let failed = |kind| StoreError::new("open", config.display(), kind);
        config.existing().map_err(|e| match e.kind {
            StoreErrorKind::Missing => e.hint("check the path in eventlift.toml"),
            _ => e,
        })?;
        let connection = connect(&config.path).map_err(|e| ledger::store_error("open", config.display(), e))?;
        if let Some(name) = &config.table {
            let foreign = ForeignTable::find(&connection, &config, name)?;
            let identity = config.identity()?;
            let capabilities = Capabilities {
                attributes: foreign.has_attributes,
                guarantees: Guarantees::default(),
                ..capabilities(false)
            };
            return Ok(Self { config, foreign: Some(foreign), identity, capabilities });
        }
        let content = layout::content(&connection).map_err(|e| ledger::store_error("open", config.display(), e))?;
        match content {
            Content::Sealed => {}
            Content::Loading
                if is_empty(&connection).map_err(|e| ledger::store_error("open", config.display(), e))? => {}
            Content::Loading => {
                let unfinished = "a run into it has not ended, so it is not whole";
                return Err(failed(StoreErrorKind::Unexpected(unfinished.to_owned()))
                    .hint("finish the run with `eventlift migrate` first"));
            }
            Content::OtherVersion(version) => {
                let other = format!("its layout has version {version}, this program knows {}", layout::LAYOUT_VERSION);
                return Err(
                    failed(StoreErrorKind::Unexpected(other)).hint("use the eventlift that wrote it, or a newer one")
                );
            }
            Content::Nothing | Content::Foreign => {
                let foreign = "it is a SQLite database, but holds no events in eventlift's layout";
                return Err(failed(StoreErrorKind::Unexpected(foreign.to_owned())).hint(
                    "check the path in eventlift.toml; or name a table or view of it with `table` whose columns have \
                         the names of that layout",
                ));
            }
        }
        let sparse = layout::is_sparse(&connection).map_err(|e| ledger::store_error("open", config.display(), e))?;
        let identity = config.identity()?;
        Ok(Self { config, foreign: None, identity, capabilities: capabilities(!sparse) })
    }

    async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let config = self.config.clone();
        blocking(move || {
            connect(&config.path)
                .and_then(|connection| query(&connection))
                .map_err(|e| ledger::store_error("read", config.display(), e))
        })
        .await
    }
}

/// What a database in our layout can do; `dense`: whether its revisions are known to have no gaps.
pub(super) fn capabilities(dense: bool) -> Capabilities {
    Capabilities {
        transactions: true,
        global_order: true,
        explicit_positions: true,
        sets_time: true,
        attributes: true,
        exact_data: true,
        exact_metadata: true,
        max_append_bytes: None,
        refuses_taken_ids: true,
        guarantees: Guarantees { unique_ids: true, unique_revisions: true, dense_revisions: dense },
    }
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM events)", [], |row| row.get(0))
}

/// Runs a query off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    ledger::open_to_read(path, std::time::Duration::from_secs(30))
}

#[async_trait]
impl EventReader for SqliteReader {
    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let (batches, mut received) = mpsc::channel(READ_AHEAD);
        let (config, foreign) = (self.config.clone(), self.foreign.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let read = match foreign {
                Some(foreign) => foreign.read(&config, &request, &batches),
                None => read_batches(&config, request, &batches),
            };
            if let Err(error) = read {
                // Nobody listens any more: nobody is told.
                let _ = batches.blocking_send(Err(error));
            }
        });
        Box::pin(async_stream::stream! {
            while let Some(batch) = received.recv().await {
                yield batch;
            }
            // A panic must not pass for the end of the store.
            if let Err(error) = reading.await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        })
    }

    async fn census(&self, scope: &Scope, until: Option<Position>) -> Result<Option<Census>, StoreError> {
        // Only the types are indexed; within a stream or category, or up to a position, a read is as fast.
        let types = match (scope, until) {
            // Who counts a table of somebody else's does not look at it.
            _ if self.foreign.is_some() => return Ok(None),
            (Scope::All, None) => None,
            (Scope::Types(types), None) => Some(types.clone()),
            _ => return Ok(None),
        };
        let census = self
            .query(move |connection| {
                let mut statement = connection
                    .prepare("SELECT type, schema_version, count(*) FROM events GROUP BY type, schema_version")?;
                let rows = statement.query_map([], |row| {
                    let events: i64 = row.get(2)?;
                    let tally = Tally { events: events.unsigned_abs(), bytes: None };
                    Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?, tally))
                })?;
                rows.collect::<rusqlite::Result<Vec<_>>>()
            })
            .await?;
        let mut counted = Census::new();
        for (event_type, version, tally) in census {
            let damaged = |what| {
                StoreError::new("read", &self.identity, StoreErrorKind::BadInput(format!("an event has {what}")))
            };
            let event_type = EventType::new(event_type).map_err(|_| damaged("an empty type"))?;
            let version = SchemaVersion::new(version).ok_or_else(|| damaged("schema version 0"))?;
            if types.as_ref().is_none_or(|types| types.contains(&event_type)) {
                counted.insert((event_type, version), tally);
            }
        }
        Ok(Some(counted))
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        let foreign = self.foreign.clone();
        let head: Option<i64> = self
            .query(move |c| match foreign {
                Some(foreign) => foreign.head(c),
                None => c.query_row("SELECT max(position) FROM events", [], |row| row.get(0)),
            })
            .await?;
        Ok(head.map(|number| Position::new(number.unsigned_abs())))
    }

    fn reading(&self) -> String {
        self.config.table.as_ref().map(|table| format!("table {table:?}")).unwrap_or_default()
    }

    fn grows_at_its_end(&self) -> bool {
        self.foreign.is_none()
    }

    fn taken_as(&self) -> Vec<String> {
        let table = self.config.table.iter();
        table.map(|table| format!("{table} is read as it is: {UNPROVED}")).collect()
    }
}

/// Sends all batches of the request, or returns the error that ended it. Each batch is a query of its own, so that a
/// long read never holds back a writer.
fn read_batches(
    config: &SqliteConfig,
    request: ReadRequest,
    batches: &mpsc::Sender<Result<Vec<Event>, StoreError>>,
) -> Result<(), StoreError> {
    let failed = |e| ledger::store_error("read", config.display(), e);
    let connection = connect(&config.path).map_err(failed)?;
    let (sql, scope_values) = batch_query(&request.scope);
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let mut names = TypeNames::default();
    // A store is read up to where it ends when the read starts; what is appended meanwhile is another read's.
    let head: Option<i64> =
        connection.query_row("SELECT max(position) FROM events", [], |row| row.get(0)).map_err(failed)?;
    let Some(head) = head else { return Ok(()) };
    let until = request.until.map_or(head, |until| signed(until.major()).min(head));
    // From the very first row on: one before position 0 is damage that must not be passed over.
    let mut next = match request.after {
        None => Some(i64::MIN),
        Some(after) => signed(after.major()).checked_add(1),
    };
    let limit = signed(request.batch_events.get() as u64);
    // As much as the batch before needed: grown buffers are up to half empty.
    let mut room = (0, 0);

    while let Some(first) = next.filter(|first| *first <= until) {
        let mut values = vec![Value::Integer(first), Value::Integer(until), Value::Integer(limit)];
        values.extend(scope_values.iter().cloned());
        let mut rows = statement.query(params_from_iter(values)).map_err(failed)?;
        let mut batch = RawBatch::with_room(room);
        while let Some(row) = rows.next().map_err(failed)? {
            batch.push(row, &mut names).map_err(|reason| reason.into_error(config))?;
            if batch.size >= request.batch_bytes.get() {
                break;
            }
        }
        drop(rows);
        let Some(last) = batch.rows.last() else { return Ok(()) };
        next = last.position.checked_add(1);
        room = (batch.rows.len(), batch.buffer.len());
        if batches.blocking_send(batch.into_events(config)).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Positions beyond SQLite's integers are behind every event.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The query of one batch: ?1 is the position to start at, ?2 the last one, ?3 the limit, then the scope's values.
/// Streams are short and indexed; everything else is a walk along the primary key, which needs no sorting.
fn batch_query(scope: &Scope) -> (String, Vec<Value>) {
    let (condition, values) = match scope {
        Scope::All => (String::new(), vec![]),
        // A category ends at the first `-`, so none has one in it.
        Scope::Category(category) if category.contains('-') => (" AND 0".to_owned(), vec![]),
        Scope::Category(category) => (
            " AND (+stream = ?4 OR (+stream > ?4 || '-' AND +stream < ?4 || '.') OR +stream = ?4 || '-')".to_owned(),
            vec![Value::Text(category.clone())],
        ),
        Scope::Stream(stream) => (" AND stream = ?4".to_owned(), vec![Value::Text(stream.to_string())]),
        Scope::Types(types) => {
            let places: Vec<String> = (4..4 + types.len()).map(|n| format!("?{n}")).collect();
            let condition = format!(" AND +type IN ({})", places.join(", "));
            (condition, types.iter().map(|t| Value::Text(t.to_string())).collect())
        }
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM events WHERE position >= ?1 AND position <= ?2{condition} ORDER BY position LIMIT ?3"
    );
    (sql, values)
}

/// The few names that repeat on most rows, shared instead of copied.
#[derive(Default)]
pub(super) struct TypeNames {
    types: HashMap<Vec<u8>, EventType>,
    content: HashMap<Vec<u8>, ContentType>,
}

/// More names than this are no "few" any more; then they are forgotten and collected anew.
const NAMES_KEPT: usize = 10_000;

impl TypeNames {
    fn event_type(&mut self, name: &[u8]) -> Option<EventType> {
        if let Some(known) = self.types.get(name) {
            return Some(known.clone());
        }
        let new = EventType::new(std::str::from_utf8(name).ok()?).ok()?;
        if self.types.len() >= NAMES_KEPT {
            self.types.clear();
        }
        self.types.insert(name.to_vec(), new.clone());
        Some(new)
    }

    fn content_type(&mut self, name: &[u8]) -> Option<ContentType> {
        if let Some(known) = self.content.get(name) {
            return Some(known.clone());
        }
        let new = ContentType::parse(std::str::from_utf8(name).ok()?);
        if self.content.len() >= NAMES_KEPT {
            self.content.clear();
        }
        self.content.insert(name.to_vec(), new.clone());
        Some(new)
    }
}

/// What is said of a source that no constraint of ours says anything about.
const UNPROVED: &str = "no constraint of it says that positions are unique and events stay, so all of it is audited, it is \
                        read in one piece, and it is not followed";

/// Reads a column as a moment; none where it is no time.
type TimeOf = fn(ValueRef<'_>) -> Option<Timestamp>;

fn our_time(value: ValueRef<'_>) -> Option<Timestamp> {
    Timestamp::from_micros(value.as_i64().ok()?).ok()
}

/// Text of RFC 3339, or a number since 1970 that tells its unit. Nothing is cut off.
fn their_time(value: ValueRef<'_>) -> Option<Timestamp> {
    let text = match value {
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok()?.to_owned(),
        ValueRef::Null | ValueRef::Blob(_) => return None,
    };
    read_time(&text, None).ok().filter(|read| !read.is_finer).map(|read| read.moment)
}

/// The rows of a batch, their text and payloads in one buffer that all events of the batch share.
#[derive(Default)]
pub(super) struct RawBatch {
    buffer: BytesMut,
    rows: Vec<RawRow>,
    size: usize,
}

struct RawRow {
    position: i64,
    revision: i64,
    id: EventId,
    stream: Range<usize>,
    event_type: EventType,
    version: SchemaVersion,
    recorded_at: Timestamp,
    data: Range<usize>,
    metadata: Range<usize>,
    data_type: ContentType,
    metadata_type: ContentType,
    attributes: Range<usize>,
}

/// Why a row is no event.
pub(super) struct BadRow {
    position: i64,
    problem: BadColumn,
}

enum BadColumn {
    Sqlite(rusqlite::Error),
    Column(&'static str),
}

impl BadRow {
    pub(super) fn into_error(self, config: &SqliteConfig) -> StoreError {
        let error = match self.problem {
            BadColumn::Sqlite(error) => ledger::store_error("read", config.display(), error),
            BadColumn::Column(column) => {
                let problem = format!("column {column} holds no valid value");
                StoreError::new("read", config.display(), StoreErrorKind::BadInput(problem))
            }
        };
        error.at(format_args!("position {}", self.position))
    }
}

impl RawBatch {
    /// Room for a number of rows, and a little more than a number of bytes.
    fn with_room((rows, bytes): (usize, usize)) -> Self {
        Self { buffer: BytesMut::with_capacity(bytes + bytes / 16), rows: Vec::with_capacity(rows), size: 0 }
    }

    /// How many rows it has.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// What [`Event::size`] says of them.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    fn push(&mut self, row: &Row<'_>, names: &mut TypeNames) -> Result<(), BadRow> {
        self.push_timed(row, names, our_time).map(drop)
    }

    /// Takes a row of somebody else's, and returns its position.
    pub(super) fn push_foreign(&mut self, row: &Row<'_>, names: &mut TypeNames) -> Result<i64, BadRow> {
        self.push_timed(row, names, their_time)
    }

    fn push_timed(&mut self, row: &Row<'_>, names: &mut TypeNames, time: TimeOf) -> Result<i64, BadRow> {
        let position = row.get(0).unwrap_or(-1);
        let from = self.buffer.len();
        let raw = self.raw_row(row, names, time).map_err(|problem| BadRow { position, problem })?;
        // What `Event::size` will say.
        self.size += self.buffer.len() - from + raw.event_type.as_str().len() + 64;
        self.rows.push(raw);
        Ok(position)
    }

    fn raw_row(&mut self, row: &Row<'_>, names: &mut TypeNames, time: TimeOf) -> Result<RawRow, BadColumn> {
        let bytes = |column: usize| -> Result<Option<&[u8]>, BadColumn> {
            match row.get_ref(column).map_err(BadColumn::Sqlite)? {
                ValueRef::Null => Ok(None),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Some(bytes)),
                ValueRef::Integer(_) | ValueRef::Real(_) => Err(BadColumn::Column("of text")),
            }
        };
        let integer = |column: usize| row.get::<_, i64>(column).map_err(BadColumn::Sqlite);
        let id = bytes(3)?.and_then(|id| std::str::from_utf8(id).ok()).and_then(|id| id.parse::<EventId>().ok());
        let content_type = |names: &mut TypeNames, column: usize, name| match bytes(column)? {
            None => Ok(ContentType::Json),
            Some(text) => names.content_type(text).ok_or(BadColumn::Column(name)),
        };
        let version = u32::try_from(integer(5)?).ok().and_then(SchemaVersion::new);
        Ok(RawRow {
            position: integer(0)?,
            stream: self.keep(bytes(1)?),
            revision: integer(2)?,
            id: id.ok_or(BadColumn::Column("id"))?,
            event_type: bytes(4)?.and_then(|name| names.event_type(name)).ok_or(BadColumn::Column("type"))?,
            version: version.ok_or(BadColumn::Column("schema_version"))?,
            recorded_at: time(row.get_ref(6).map_err(BadColumn::Sqlite)?).ok_or(BadColumn::Column("recorded_at"))?,
            data: self.keep(bytes(7)?),
            metadata: self.keep(bytes(8)?),
            data_type: content_type(names, 9, "data_type")?,
            metadata_type: content_type(names, 10, "metadata_type")?,
            attributes: self.keep(bytes(11)?),
        })
    }

    fn keep(&mut self, bytes: Option<&[u8]>) -> Range<usize> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(bytes.unwrap_or_default());
        start..self.buffer.len()
    }

    pub(super) fn into_events(self, config: &SqliteConfig) -> Result<Vec<Event>, StoreError> {
        let buffer = self.buffer.freeze();
        let events = self.rows.into_iter().map(|row| {
            let position = row.position;
            row.into_event(&buffer).map_err(|problem| BadRow { position, problem }.into_error(config))
        });
        events.collect()
    }
}

impl RawRow {
    fn into_event(self, buffer: &Bytes) -> Result<Event, BadColumn> {
        let slice = |range: Range<usize>| if range.is_empty() { Bytes::new() } else { buffer.slice(range) };
        let stream = ByteString::try_from(slice(self.stream)).map_err(|_| BadColumn::Column("stream"))?;
        let position = u64::try_from(self.position).map_err(|_| BadColumn::Column("position"))?;
        let revision = u64::try_from(self.revision).map_err(|_| BadColumn::Column("revision"))?;
        Ok(Event {
            id: self.id,
            stream: StreamName::new(stream).map_err(|_| BadColumn::Column("stream"))?,
            revision: Revision(revision),
            position: Position::new(position),
            event_type: self.event_type,
            version: self.version,
            data: Payload::new(slice(self.data), self.data_type),
            metadata: Payload::new(slice(self.metadata), self.metadata_type),
            recorded_at: self.recorded_at,
            attributes: slice(self.attributes),
        })
    }
}
