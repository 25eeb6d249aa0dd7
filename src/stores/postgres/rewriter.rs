//! Rewriting events where they are. What they were goes into `eventlift_undo`, in the same transaction.

use std::collections::HashSet;
use std::num::NonZeroUsize;

use async_trait::async_trait;
use eventlift_events::{
    Bytes, ContentType, EventId, EventRewriter, EventType, Original, Payload, Position, Progress, Rewritten, RunId,
    SchemaVersion, StoreError, StoreErrorKind, Undone,
};
use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::config::{PayloadColumn, PostgresConfig};
use super::connection::connect;
use super::encode;
use super::failure::{Place, reported, store_error};
use super::layout::{self, EventsTable};
use super::ledger::{Ranges, StoreRow};
use super::privileges::REWRITE;
use super::relation::Relation;
use super::said;
use super::session::Fence;
use super::writer::PostgresWriter;

const UNDO: &str = "put events back in";

/// Rows that a policy hides are an error, not passed over.
const WHOLE: &str = "SET LOCAL row_security = off";

#[async_trait]
impl EventRewriter for PostgresWriter {
    async fn check_rewritable(&mut self) -> Result<(), StoreError> {
        let mut held = self.held().await?;
        let rewriting = Rewriting::new(held.open.session.fence(), held.open.session.table.clone());
        let result = rewriting.check(&mut held.open.session.connection).await;
        held.settle(result).await
    }

    async fn rewrite(&mut self, changes: &[Rewritten], progress: &Progress) -> Result<(), StoreError> {
        let mut held = self.held().await?;
        let rewriting = Rewriting::new(held.open.session.fence(), held.open.session.table.clone());
        let result = rewriting.rewrite(&mut held.open.session.connection, changes, progress).await;
        held.settle(result).await
    }

    async fn originals(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: NonZeroUsize,
    ) -> Result<Vec<Original>, StoreError> {
        let mut held = self.held().await?;
        let rewriting = Rewriting::new(held.open.session.fence(), held.open.session.table.clone());
        let result = rewriting.originals(&mut held.open.session.connection, run, after, limit).await;
        held.settle(result).await
    }

    async fn undo(&mut self, run: RunId, before: Option<Position>, limit: NonZeroUsize) -> Result<Undone, StoreError> {
        let mut held = self.held().await?;
        let rewriting = Rewriting::new(held.open.session.fence(), held.open.session.table.clone());
        let result = rewriting.undo(&mut held.open.session.connection, run, before, limit).await;
        held.settle(result).await
    }

    async fn drop_originals(&mut self, run: RunId) -> Result<u64, StoreError> {
        let mut held = self.held().await?;
        let rewriting = Rewriting::new(held.open.session.fence(), held.open.session.table.clone());
        let result = rewriting.drop_originals(&mut held.open.session.connection, run).await;
        held.settle(result).await
    }
}

/// Fails where a table has another layout than ours, or no writer of eventlift's has ever opened it: it would pass for one
/// that is loading from then on. Changes nothing.
pub(in crate::stores) async fn refuse_unknown(config: &PostgresConfig) -> Result<(), StoreError> {
    let display = config.place().written();
    let failed = |e| store_error("open", &display, e);
    layout::kept_columns(config).await?;
    let mut connection = connect(&config.server, &display).await?;
    let stores = Relation::new(&config.schema, "eventlift_stores");
    let has_ledger: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(stores.to_string())
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    let select = format!("SELECT EXISTS (SELECT 1 FROM {stores} WHERE store = $1)");
    if has_ledger
        && sqlx::query_scalar(AssertSqlSafe(select))
            .bind(&config.table)
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?
    {
        return Ok(());
    }
    let problem = "a service made the table, and no run of eventlift has filled it".to_owned();
    Err(StoreError::new(REWRITE, &display, StoreErrorKind::Unsupported(problem))
        .hint("migrate into a new target instead, with `eventlift migrate`"))
}

/// A table whose events are rewritten, and its undo log. After an error a transaction is still to be rolled back.
struct Rewriting {
    fence: Fence,
    events: EventsTable,
    table: Relation,
    undo: Relation,
    store: String,
}

impl Rewriting {
    fn new(fence: Fence, events: EventsTable) -> Self {
        let (undo, store) = (fence.ledger.table("undo"), fence.ledger.store().to_owned());
        Self { table: events.relation.clone(), undo, store, fence, events }
    }

    fn display(&self) -> &Place {
        &self.fence.display
    }

    fn failed(&self, action: &'static str) -> impl Fn(sqlx::Error) -> StoreError + '_ {
        move |error| store_error(action, self.display(), error)
    }

    fn refused(&self, problem: impl Into<String>) -> StoreError {
        StoreError::new(REWRITE, self.display(), StoreErrorKind::Unsupported(problem.into()))
    }

    async fn begin(&self, connection: &mut PgConnection, action: &'static str) -> Result<StoreRow, StoreError> {
        let row = self.fence.begin(connection, action).await?;
        sqlx::raw_sql(WHOLE).execute(connection).await.map_err(self.failed(action))?;
        Ok(row)
    }

    /// Changes the last row to what it is, and takes that back: whatever forbids it says so.
    async fn check(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let row = self.begin(connection, REWRITE).await?;
        self.refuse_loading(&row)?;
        let trial = format!(
            "UPDATE {0} e SET type = e.type, schema_version = e.schema_version, data = e.data, metadata = e.metadata,
                    data_type = e.data_type, metadata_type = e.metadata_type
             WHERE e.position = (SELECT max(position) FROM {0})",
            self.table
        );
        let changed =
            sqlx::query(AssertSqlSafe(trial)).execute(&mut *connection).await.map(|done| done.rows_affected());
        let is_unchanged = match changed {
            Ok(rows) => rows == 0 && self.holds_any(connection).await?,
            // Whoever lacks the right is told the GRANT.
            Err(error) if reported(&error).is_some_and(|said| said.code() == "42501") => {
                return Err(self.failed(REWRITE)(error));
            }
            Err(error) => {
                let said = reported(&error).map(said::message);
                let error = self.failed(REWRITE)(error);
                sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.map_err(self.failed(REWRITE))?;
                let guards = self.guards(connection).await?;
                return Err(match said {
                    Some(said) if !guards.is_empty() => self.refused(said).hint(guards_hint(&guards)),
                    _ => error,
                });
            }
        };
        sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.map_err(self.failed(REWRITE))?;
        if !is_unchanged {
            return Ok(());
        }
        let guards = self.guards(connection).await?;
        let error = self.refused("it lets no row be changed");
        Err(if guards.is_empty() { error } else { error.hint(guards_hint(&guards)) })
    }

    fn refuse_loading(&self, row: &StoreRow) -> Result<(), StoreError> {
        if row.is_sealed {
            return Ok(());
        }
        let error = self.refused("it is loading: it has no indexes, and is not whole");
        Err(error.hint("let the run into it end first"))
    }

    async fn holds_any(&self, connection: &mut PgConnection) -> Result<bool, StoreError> {
        let select = format!("SELECT EXISTS (SELECT 1 FROM {})", self.table);
        sqlx::query_scalar(AssertSqlSafe(select)).fetch_one(connection).await.map_err(self.failed(REWRITE))
    }

    /// The table's own triggers and rules that have a say in updates.
    async fn guards(&self, connection: &mut PgConnection) -> Result<Vec<String>, StoreError> {
        const UPDATES: i16 = 16;
        sqlx::query_scalar(
            "SELECT 'trigger ' || t.tgname FROM pg_trigger t
             WHERE t.tgrelid = $1::regclass AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & $2 <> 0
               AND t.tgname NOT LIKE 'eventlift%'
             UNION ALL SELECT 'rule ' || r.rulename FROM pg_rewrite r WHERE r.ev_class = $1::regclass AND r.ev_type = '2'
             ORDER BY 1",
        )
        .bind(self.table.to_string())
        .bind(UPDATES)
        .fetch_all(connection)
        .await
        .map_err(self.failed(REWRITE))
    }

    async fn rewrite(
        &self,
        connection: &mut PgConnection,
        changes: &[Rewritten],
        progress: &Progress,
    ) -> Result<(), StoreError> {
        for change in changes {
            encode::check(&change.after).map_err(|problem| self.refused(problem).at(place(change)))?;
        }
        self.begin(connection, REWRITE).await?;
        if !changes.is_empty() {
            self.lock(connection, changes).await?;
            self.change(connection, changes, progress.run).await?;
        }
        let committed = self.fence.ledger.commit(connection, progress, Ranges::Any).await;
        committed.map_err(self.failed(REWRITE))?;
        self.fence.commit(connection, REWRITE).await
    }

    /// Locks the rows, so that nobody else changes them before the commit. Fails with the first that is not what it was.
    async fn lock(&self, connection: &mut PgConnection, changes: &[Rewritten]) -> Result<(), StoreError> {
        let before = || changes.iter().map(|change| &change.before);
        let positions: Vec<i64> = changes.iter().map(position).collect();
        let digest = |payload: &Payload| Sha256::digest(payload.bytes()).to_vec();
        let statement = format!(
            "SELECT e.position FROM {} e
             JOIN unnest($1::int8[], $2::text[], $3::text[], $4::int8[], $5::bytea[], $6::text[], $7::bytea[], $8::text[])
                  b(position, id, type, version, data, data_type, metadata, metadata_type) ON e.position = b.position
             WHERE e.id = b.id AND e.type = b.type AND e.schema_version = b.version
               AND coalesce(e.data_type, 'application/json') = b.data_type AND sha256({}) = b.data
               AND coalesce(e.metadata_type, 'application/json') = b.metadata_type AND sha256({}) = b.metadata
             ORDER BY e.position FOR UPDATE OF e",
            self.table,
            self.seen("data"),
            self.seen("metadata"),
        );
        let same: HashSet<i64> = sqlx::query_scalar::<_, i64>(AssertSqlSafe(statement))
            .bind(&positions)
            .bind(before().map(|event| event.id.to_string()).collect::<Vec<_>>())
            .bind(before().map(|event| event.event_type.as_str()).collect::<Vec<_>>())
            .bind(before().map(|event| i64::from(event.version.number())).collect::<Vec<_>>())
            .bind(before().map(|event| digest(&event.data)).collect::<Vec<_>>())
            .bind(before().map(|event| event.data.content_type().as_str()).collect::<Vec<_>>())
            .bind(before().map(|event| digest(&event.metadata)).collect::<Vec<_>>())
            .bind(before().map(|event| event.metadata.content_type().as_str()).collect::<Vec<_>>())
            .fetch_all(connection)
            .await
            .map_err(self.failed(REWRITE))?
            .into_iter()
            .collect();
        match changes.iter().find(|change| !same.contains(&position(change))) {
            None => Ok(()),
            Some(change) => {
                let changed = StoreErrorKind::Changed(change.before.id.clone());
                Err(StoreError::new(REWRITE, self.display(), changed).at(place(change)))
            }
        }
    }

    /// Rewrites locked rows, and keeps what they were, in one statement: both see them as they were.
    async fn change(&self, connection: &mut PgConnection, changes: &[Rewritten], run: RunId) -> Result<(), StoreError> {
        let statement = format!(
            "WITH c AS (SELECT * FROM unnest($3::int8[], $4::text[], $5::int8[], $6::text[], $7::bytea[], $8::text[],
                                             $9::text[], $10::bytea[], $11::text[])
                        c(position, type, version, data, data_bytes, data_type, metadata, metadata_bytes, metadata_type)),
             kept AS (SELECT e.position, e.id, e.type, e.schema_version, {data} AS data, {data_bytes} AS data_bytes,
                             e.data_type, {metadata} AS metadata, {metadata_bytes} AS metadata_bytes, e.metadata_type
                      FROM {table} e JOIN c ON e.position = c.position),
             changed AS (UPDATE {table} e SET type = c.type, schema_version = c.version, {set}
                         FROM c WHERE e.position = c.position RETURNING e.position, {made} AS made)
             INSERT INTO {undo} (store, run, position, id, type, schema_version, data, data_bytes, data_type, metadata,
                                 metadata_bytes, metadata_type, made)
             SELECT $1, $2, kept.*, changed.made FROM kept JOIN changed ON changed.position = kept.position",
            data = self.text("data"),
            data_bytes = self.bytes("data"),
            metadata = self.text("metadata"),
            metadata_bytes = self.bytes("metadata"),
            table = self.table,
            set = self.set("c"),
            made = self.made(),
            undo = self.undo,
        );
        let after = || changes.iter().map(|change| &change.after);
        let (data, data_bytes) = columns(after().map(|event| &event.data), self.events.data);
        let (metadata, metadata_bytes) = columns(after().map(|event| &event.metadata), self.events.metadata);
        let changed = sqlx::query(AssertSqlSafe(statement))
            .bind(&self.store)
            .bind(run.to_string())
            .bind(changes.iter().map(position).collect::<Vec<_>>())
            .bind(after().map(|event| event.event_type.as_str()).collect::<Vec<_>>())
            .bind(after().map(|event| i64::from(event.version.number())).collect::<Vec<_>>())
            .bind(data)
            .bind(data_bytes)
            .bind(after().map(|event| type_column(&event.data)).collect::<Vec<_>>())
            .bind(metadata)
            .bind(metadata_bytes)
            .bind(after().map(|event| type_column(&event.metadata)).collect::<Vec<_>>())
            .execute(&mut *connection)
            .await;
        let changed = match changed {
            Ok(done) => done.rows_affected(),
            Err(error) => return Err(self.refused_content(connection, changes, error).await),
        };
        if changed == changes.len() as u64 {
            return Ok(());
        }
        let problem = format!("of {} rows only {changed} let themselves be changed", changes.len());
        Err(self.refused(problem).hint("a trigger or rule of the table keeps rows from being changed"))
    }

    /// Names the event whose content the server refuses, where it is that.
    async fn refused_content(
        &self,
        connection: &mut PgConnection,
        changes: &[Rewritten],
        error: sqlx::Error,
    ) -> StoreError {
        let is_content = reported(&error).is_some_and(|said| said.code().starts_with("22"));
        let error = self.failed(REWRITE)(error);
        if !is_content || sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.is_err() {
            return error;
        }
        for change in changes {
            for (payload, column) in
                [(&change.after.data, self.events.data), (&change.after.metadata, self.events.metadata)]
            {
                let (Some(text), PayloadColumn::Json | PayloadColumn::Jsonb) = (json_text(payload), column) else {
                    continue;
                };
                let select = format!("SELECT $1::text::{} IS NULL", column.as_str());
                let tried = sqlx::query(AssertSqlSafe(select)).bind(text).execute(&mut *connection).await;
                if let Err(refused) = tried {
                    let problem = reported(&refused).map_or_else(|| refused.to_string(), said::message);
                    return self
                        .refused(format!("PostgreSQL refuses what it would become ({problem})"))
                        .at(place(change));
                }
            }
        }
        error
    }

    async fn originals(
        &self,
        connection: &mut PgConnection,
        run: RunId,
        after: Option<Position>,
        limit: NonZeroUsize,
    ) -> Result<Vec<Original>, StoreError> {
        let select = format!(
            "SELECT position, id, type, schema_version, data, data_bytes, data_type, metadata, metadata_bytes, metadata_type
             FROM {} WHERE store = $1 AND run = $2 AND position > $3 ORDER BY position LIMIT $4",
            self.undo
        );
        let rows: Vec<LogRow> = sqlx::query_as(AssertSqlSafe(select))
            .bind(&self.store)
            .bind(run.to_string())
            .bind(after.map_or(-1, |after| i64::try_from(after.major()).unwrap_or(i64::MAX)))
            .bind(i64::try_from(limit.get()).unwrap_or(i64::MAX))
            .fetch_all(connection)
            .await
            .map_err(self.failed("read"))?;
        let original = |row: LogRow| {
            let position = row.0;
            original(row).ok_or_else(|| {
                let damaged = StoreErrorKind::BadInput("its undo log is damaged".to_owned());
                StoreError::new("read", self.display(), damaged).at(format_args!("position {position}"))
            })
        };
        rows.into_iter().map(original).collect()
    }

    async fn undo(
        &self,
        connection: &mut PgConnection,
        run: RunId,
        before: Option<Position>,
        limit: NonZeroUsize,
    ) -> Result<Undone, StoreError> {
        let failed = self.failed(UNDO);
        self.begin(connection, UNDO).await?;
        let select = format!(
            "SELECT position, id FROM {} WHERE store = $1 AND run = $2 AND ($3::int8 IS NULL OR position < $3)
             ORDER BY position DESC LIMIT $4",
            self.undo
        );
        let log: Vec<(i64, String)> = sqlx::query_as(AssertSqlSafe(select))
            .bind(&self.store)
            .bind(run.to_string())
            .bind(before.map(|before| i64::try_from(before.major()).unwrap_or(i64::MAX)))
            .bind(i64::try_from(limit.get()).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await
            .map_err(&failed)?;
        let next = log.last().filter(|_| log.len() == limit.get()).map(|(position, _)| at(*position));
        let positions: Vec<i64> = log.iter().map(|(position, _)| *position).collect();
        let of_log = "u.store = $1 AND u.run = $2 AND u.position = ANY($3)";
        let select = format!(
            "SELECT e.position FROM {} e JOIN {} u ON u.position = e.position
             WHERE {of_log} AND u.made = {} ORDER BY e.position FOR UPDATE OF e",
            self.table,
            self.undo,
            self.made()
        );
        let same: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(select))
            .bind(&self.store)
            .bind(run.to_string())
            .bind(&positions)
            .fetch_all(&mut *connection)
            .await
            .map_err(&failed)?;
        let put_back = format!(
            "UPDATE {} e SET type = u.type, schema_version = u.schema_version, {} FROM {} u
             WHERE e.position = u.position AND {of_log}",
            self.table,
            self.set("u"),
            self.undo
        );
        let strike = format!("DELETE FROM {} u WHERE {of_log}", self.undo);
        for statement in [put_back, strike] {
            let done = sqlx::query(AssertSqlSafe(statement))
                .bind(&self.store)
                .bind(run.to_string())
                .bind(&same)
                .execute(&mut *connection)
                .await
                .map_err(&failed)?;
            if done.rows_affected() != same.len() as u64 {
                let problem =
                    format!("of {} rows only {} let themselves be put back", same.len(), done.rows_affected());
                return Err(StoreError::new(UNDO, self.display(), StoreErrorKind::Unsupported(problem))
                    .hint("a trigger or rule of the table keeps rows from being changed"));
            }
        }
        self.fence.commit(connection, UNDO).await?;
        let same: HashSet<i64> = same.into_iter().collect();
        let mut undone = Undone { restored: same.len() as u64, kept: Vec::new(), next };
        for (position, id) in log.into_iter().filter(|(position, _)| !same.contains(position)) {
            if let Ok(id) = id.parse::<EventId>() {
                undone.kept.push((at(position), id));
            }
        }
        Ok(undone)
    }

    async fn drop_originals(&self, connection: &mut PgConnection, run: RunId) -> Result<u64, StoreError> {
        const ACTION: &str = "drop the undo log of";
        self.fence.begin(connection, ACTION).await?;
        let delete = format!("DELETE FROM {} WHERE store = $1 AND run = $2", self.undo);
        let dropped = sqlx::query(AssertSqlSafe(delete))
            .bind(&self.store)
            .bind(run.to_string())
            .execute(&mut *connection)
            .await
            .map_err(self.failed(ACTION))?;
        self.fence.commit(connection, ACTION).await?;
        Ok(dropped.rows_affected())
    }

    fn kind(&self, payload: &str) -> PayloadColumn {
        if payload == "data" { self.events.data } else { self.events.metadata }
    }

    /// The JSON of a payload as text; NULL where it is kept as bytes.
    fn text(&self, payload: &str) -> String {
        match self.kind(payload) {
            PayloadColumn::Bytea => "NULL::text".to_owned(),
            PayloadColumn::Json | PayloadColumn::Jsonb => format!("e.{payload}::text"),
        }
    }

    /// The bytes of a payload that is not kept as JSON.
    fn bytes(&self, payload: &str) -> String {
        match self.kind(payload) {
            PayloadColumn::Bytea => format!("e.{payload}"),
            PayloadColumn::Json | PayloadColumn::Jsonb => format!("e.{payload}_bytes"),
        }
    }

    /// The bytes of a payload, as a reader sees them.
    fn seen(&self, payload: &str) -> String {
        format!("coalesce(convert_to({}, 'UTF8'), {}, ''::bytea)", self.text(payload), self.bytes(payload))
    }

    /// Sets payloads to those of another row, which has text and bytes apart.
    fn set(&self, from: &str) -> String {
        let of_payload = |payload: &str| {
            let set = match self.kind(payload) {
                PayloadColumn::Bytea => format!("{payload} = {from}.{payload}_bytes"),
                kind => {
                    format!("{payload} = {from}.{payload}::{}, {payload}_bytes = {from}.{payload}_bytes", kind.as_str())
                }
            };
            format!("{set}, {payload}_type = {from}.{payload}_type")
        };
        format!("{}, {}", of_payload("data"), of_payload("metadata"))
    }

    /// A hash of everything of a row that may be rewritten, and of its id.
    fn made(&self) -> String {
        format!(
            "sha256(convert_to(ROW(e.id, e.type, e.schema_version, {}, encode(sha256({}), 'hex'), e.data_type,
                                   {}, encode(sha256({}), 'hex'), e.metadata_type)::text, 'UTF8'))",
            self.text("data"),
            self.bytes("data"),
            self.text("metadata"),
            self.bytes("metadata"),
        )
    }
}

fn guards_hint(guards: &[String]) -> String {
    format!(
        "the table has a say in that itself ({}); take it away for as long as events are rewritten",
        guards.join(", ")
    )
}

fn place(change: &Rewritten) -> String {
    let Rewritten { before, .. } = change;
    format!("stream {}, revision {}, position {}", before.stream, before.revision, before.position)
}

/// What a position that is no number of a row's becomes is no row's.
fn position(change: &Rewritten) -> i64 {
    match change.before.position.minor() {
        None => i64::try_from(change.before.position.major()).unwrap_or(-1),
        Some(_) => -1,
    }
}

fn at(position: i64) -> Position {
    Position::new(position.unsigned_abs())
}

fn type_column(payload: &Payload) -> Option<&str> {
    match payload.content_type() {
        ContentType::Json => None,
        other => Some(other.as_str()),
    }
}

/// The text of a payload that is JSON.
fn json_text(payload: &Payload) -> Option<&str> {
    std::str::from_utf8(payload.bytes()).ok().filter(|_| payload.holds_json())
}

/// Payloads as text, and as bytes where they are not kept as text.
fn columns<'p>(
    payloads: impl Iterator<Item = &'p Payload>,
    column: PayloadColumn,
) -> (Vec<Option<&'p str>>, Vec<Option<&'p [u8]>>) {
    payloads
        .map(|payload| {
            let text = json_text(payload).filter(|_| column != PayloadColumn::Bytea);
            let bytes = Some(&payload.bytes()[..]).filter(|bytes| text.is_none() && !bytes.is_empty());
            (text, bytes)
        })
        .unzip()
}

/// Position, id, type, version; text, bytes and content type of data, then of metadata.
type LogRow = (
    i64,
    String,
    String,
    i64,
    Option<String>,
    Option<Vec<u8>>,
    Option<String>,
    Option<String>,
    Option<Vec<u8>>,
    Option<String>,
);

fn original(row: LogRow) -> Option<Original> {
    let (position, id, event_type, version, data, data_bytes, data_type, metadata, metadata_bytes, metadata_type) = row;
    let payload = |text: Option<String>, bytes: Option<Vec<u8>>, content_type: Option<String>| {
        let bytes = text.map(Bytes::from).or(bytes.map(Bytes::from)).unwrap_or_default();
        Payload::new(bytes, content_type.map_or(ContentType::Json, ContentType::parse))
    };
    Some(Original {
        position: at(position),
        id: id.parse().ok()?,
        event_type: EventType::new(event_type).ok()?,
        version: SchemaVersion::new(u32::try_from(version).ok()?)?,
        data: payload(data, data_bytes, data_type),
        metadata: payload(metadata, metadata_bytes, metadata_type),
    })
}
