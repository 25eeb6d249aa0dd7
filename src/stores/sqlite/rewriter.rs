//! Rewriting events where they are. What they were goes into `eventlift_undo`, in the same transaction.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use bytes::Bytes;
use eventlift_events::{
    ContentType, Event, EventId, EventRewriter, EventType, Original, Payload, Position, Progress, Rewritten, RunId,
    SchemaVersion, StoreError, StoreErrorKind, Undone,
};
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Result, Row, TransactionBehavior, params};
use xxhash_rust::xxh3::Xxh3;

use super::layout::{PayloadColumn, RowNumbers, type_column};
use super::passing;
use super::writer::{Database, SqliteWriter};
use crate::ledger;

const REWRITE: &str = "rewrite events in";
const UNDO: &str = "put events back in";

/// Everything of an event that may be rewritten, as the row had it. `made` is a hash of what the run made of the row.
const TABLE: &str = "
CREATE TABLE IF NOT EXISTS eventlift_undo (
    run            TEXT NOT NULL,
    position       INTEGER NOT NULL,
    id             TEXT NOT NULL,
    type           TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    data           ANY,
    metadata       ANY,
    data_type      TEXT,
    metadata_type  TEXT,
    made           BLOB NOT NULL,
    PRIMARY KEY (run, position)
) STRICT";

const ROW: &str =
    "SELECT id, type, schema_version, data, metadata, data_type, metadata_type FROM events WHERE position = ?1";

const KEEP: &str = "INSERT INTO eventlift_undo
    SELECT ?2, position, id, type, schema_version, data, metadata, data_type, metadata_type, x'' FROM events WHERE position = ?1";

const CHANGE: &str =
    "UPDATE events SET type = ?2, schema_version = ?3, data = ?4, metadata = ?5, data_type = ?6, metadata_type = ?7
    WHERE position = ?1";

const PUT_BACK: &str = "UPDATE events SET (type, schema_version, data, metadata, data_type, metadata_type) =
    (SELECT u.type, u.schema_version, u.data, u.metadata, u.data_type, u.metadata_type FROM eventlift_undo u
     WHERE u.run = ?2 AND u.position = ?1) WHERE position = ?1";

#[async_trait]
impl EventRewriter for SqliteWriter {
    async fn check_rewritable(&mut self) -> std::result::Result<(), StoreError> {
        self.with(|database| database.try_rewriting()).await
    }

    async fn rewrite(&mut self, changes: &[Rewritten], progress: &Progress) -> std::result::Result<(), StoreError> {
        let (changes, progress) = (changes.to_vec(), progress.clone());
        self.with(move |database| database.rewrite(&changes, &progress)).await
    }

    async fn originals(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: NonZeroUsize,
    ) -> std::result::Result<Vec<Original>, StoreError> {
        self.query(move |connection| originals(connection, run, after, limit)).await
    }

    async fn undo(
        &mut self,
        run: RunId,
        before: Option<Position>,
        limit: NonZeroUsize,
    ) -> std::result::Result<Undone, StoreError> {
        self.with(move |database| database.undo(run, before, limit)).await
    }

    async fn drop_originals(&mut self, run: RunId) -> std::result::Result<u64, StoreError> {
        self.query(move |connection| {
            if !has_log(connection)? {
                return Ok(0);
            }
            let dropped = connection.execute("DELETE FROM eventlift_undo WHERE run = ?1", [run.to_string()])?;
            Ok(dropped as u64)
        })
        .await
    }
}

impl Database {
    fn check_rewritable(&self) -> std::result::Result<(), StoreError> {
        if self.sealed {
            return Ok(());
        }
        let loading = StoreErrorKind::Unsupported("it is loading: it has no indexes, and is not whole".to_owned());
        Err(StoreError::new(REWRITE, &self.display, loading).hint("let the run into it end first"))
    }

    /// Changes the last row to what it is, and takes that back: whatever forbids it says so.
    fn try_rewriting(&mut self) -> std::result::Result<(), StoreError> {
        self.check_rewritable()?;
        let display = &self.display;
        let failed = |e| ledger::store_error(REWRITE, display, e);
        // Dropped without a commit.
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let _passing = passing::begin(&transaction).map_err(failed)?;
        let last: Option<i64> =
            transaction.query_row("SELECT max(position) FROM events", [], |row| row.get(0)).map_err(failed)?;
        let trial = "UPDATE events SET type = type, schema_version = schema_version, data = data, metadata = metadata,
                                       data_type = data_type, metadata_type = metadata_type WHERE position = ?1";
        let Some(last) = last else { return Ok(()) };
        let problem = match transaction.execute(trial, [last]) {
            Ok(1) => return Ok(()),
            Ok(_) => "it lets no row be changed".to_owned(),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => error.to_string(),
            Err(error) => return Err(failed(error)),
        };
        let triggers: Vec<String> = transaction
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'events' ORDER BY 1")
            .and_then(|mut select| select.query_map([], |row| row.get(0))?.collect())
            .map_err(failed)?;
        let own: Vec<&str> =
            triggers.iter().map(|name| &**name).filter(|name| !name.starts_with("eventlift")).collect();
        let refused = StoreError::new(REWRITE, display, StoreErrorKind::Unsupported(problem));
        Err(refused.hint(format_args!(
            "the table has a say in that itself (trigger {}); take it away for as long as events are rewritten",
            own.join(", ")
        )))
    }

    fn rewrite(&mut self, changes: &[Rewritten], progress: &Progress) -> std::result::Result<(), StoreError> {
        self.check_rewritable()?;
        let display = &self.display;
        let failed = |e| ledger::store_error(REWRITE, display, e);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let passing = passing::begin(&transaction).map_err(failed)?;
        transaction.execute_batch(TABLE).map_err(failed)?;
        let run = progress.run.to_string();
        for Rewritten { before, after } in changes {
            let place = || format!("position {}", before.position);
            // What has no row number is in no row.
            let same = match RowNumbers::of(before) {
                Some(numbers) => change(&transaction, &run, numbers.position, before, after),
                None => Ok(false),
            };
            if !same.map_err(|e| failed(e).at(place()))? {
                let changed = StoreErrorKind::Changed(before.id.clone());
                return Err(StoreError::new(REWRITE, display, changed).at(place()));
            }
        }
        ledger::commit(&transaction, progress).map_err(failed)?;
        passing.end(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    fn undo(
        &mut self,
        run: RunId,
        before: Option<Position>,
        limit: NonZeroUsize,
    ) -> std::result::Result<Undone, StoreError> {
        let display = &self.display;
        let failed = |e| ledger::store_error(UNDO, display, e);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        if !has_log(&transaction).map_err(failed)? {
            return Ok(Undone::default());
        }
        let passing = passing::begin(&transaction).map_err(failed)?;
        let undone = undo(&transaction, run, before, limit).map_err(failed)?;
        passing.end(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(undone)
    }
}

fn has_log(connection: &Connection) -> Result<bool> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'eventlift_undo')",
        [],
        |row| row.get(0),
    )
}

/// Rewrites one row. False, and nothing is changed, where it is not what it was.
fn change(connection: &Connection, run: &str, position: i64, before: &Event, after: &Event) -> Result<bool> {
    let is_same = connection
        .prepare_cached(ROW)?
        .query_row([position], |row| Ok(original(row, 0, before.position)? == Original::of(before)))
        .optional()?;
    if is_same != Some(true) {
        return Ok(false);
    }
    connection.prepare_cached(KEEP)?.execute(params![position, run])?;
    let changed = connection.prepare_cached(CHANGE)?.execute(params![
        position,
        after.event_type.as_str(),
        after.version.number(),
        PayloadColumn(&after.data),
        PayloadColumn(&after.metadata),
        type_column(&after.data),
        type_column(&after.metadata),
    ])?;
    // A trigger of somebody else's may have a say in it.
    let Some(made) = fingerprint(connection, position)?.filter(|_| changed == 1) else { return Ok(false) };
    connection
        .prepare_cached("UPDATE eventlift_undo SET made = ?3 WHERE run = ?2 AND position = ?1")?
        .execute(params![position, run, made])?;
    Ok(true)
}

/// A hash of everything of a row that may be rewritten, and of its id; none where there is no such row.
fn fingerprint(connection: &Connection, position: i64) -> Result<Option<[u8; 16]>> {
    connection
        .prepare_cached(ROW)?
        .query_row([position], |row| {
            let mut hash = Xxh3::new();
            for column in 0..7 {
                let number;
                let (kind, bytes): (u8, &[u8]) = match row.get_ref(column)? {
                    ValueRef::Null => (0, &[]),
                    ValueRef::Text(text) => (1, text),
                    ValueRef::Blob(bytes) => (2, bytes),
                    ValueRef::Integer(integer) => {
                        number = integer.to_be_bytes();
                        (3, &number)
                    }
                    ValueRef::Real(real) => {
                        number = real.to_be_bytes();
                        (4, &number)
                    }
                };
                hash.update(&[kind]);
                hash.update(&(bytes.len() as u64).to_be_bytes());
                hash.update(bytes);
            }
            Ok(hash.digest128().to_be_bytes())
        })
        .optional()
}

fn undo(connection: &Connection, run: RunId, before: Option<Position>, limit: NonZeroUsize) -> Result<Undone> {
    let run = run.to_string();
    // Every row of the log has a position that fits.
    let before = before.map_or(i64::MAX, |before| i64::try_from(before.major()).unwrap_or(i64::MAX));
    let most = i64::try_from(limit.get()).unwrap_or(i64::MAX);
    let log: Vec<(i64, String, Vec<u8>)> = connection
        .prepare_cached(
            "SELECT position, id, made FROM eventlift_undo WHERE run = ?1 AND (position < ?2 OR ?2 = 9223372036854775807)
             ORDER BY position DESC LIMIT ?3",
        )?
        .query_map(params![run, before, most], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_>>()?;
    let next = log.last().filter(|_| log.len() == limit.get()).map(|(position, ..)| at(*position));
    let mut undone = Undone { next, ..Undone::default() };
    for (position, id, made) in log {
        if fingerprint(connection, position)?.is_none_or(|now| now[..] != made[..]) {
            undone.kept.push((at(position), id.parse().map_err(|e| unreadable(0, e))?));
            continue;
        }
        connection.prepare_cached(PUT_BACK)?.execute(params![position, run])?;
        connection
            .prepare_cached("DELETE FROM eventlift_undo WHERE run = ?2 AND position = ?1")?
            .execute(params![position, run])?;
        undone.restored += 1;
    }
    Ok(undone)
}

fn originals(
    connection: &Connection,
    run: RunId,
    after: Option<Position>,
    limit: NonZeroUsize,
) -> Result<Vec<Original>> {
    if !has_log(connection)? {
        return Ok(Vec::new());
    }
    let after = after.map_or(-1, |after| i64::try_from(after.major()).unwrap_or(i64::MAX));
    let limit = i64::try_from(limit.get()).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "SELECT position, id, type, schema_version, data, metadata, data_type, metadata_type FROM eventlift_undo
             WHERE run = ?1 AND position > ?2 ORDER BY position LIMIT ?3",
        )?
        .query_map(params![run.to_string(), after, limit], |row| original(row, 1, at(row.get(0)?)))?
        .collect()
}

fn at(position: i64) -> Position {
    Position::new(position.unsigned_abs())
}

/// What a row says of an event, from a column on.
fn original(row: &Row<'_>, first: usize, position: Position) -> Result<Original> {
    let text = |column: usize| row.get::<_, String>(first + column);
    let version: i64 = row.get(first + 2)?;
    Ok(Original {
        position,
        id: text(0)?.parse::<EventId>().map_err(|e| unreadable(first, e))?,
        event_type: text(1)?.parse::<EventType>().map_err(|e| unreadable(first + 1, e))?,
        version: u32::try_from(version)
            .ok()
            .and_then(SchemaVersion::new)
            .ok_or(rusqlite::Error::IntegralValueOutOfRange(first + 2, version))?,
        data: payload(row, first + 3, first + 5)?,
        metadata: payload(row, first + 4, first + 6)?,
    })
}

fn payload(row: &Row<'_>, column: usize, type_column: usize) -> Result<Payload> {
    let bytes = match row.get_ref(column)? {
        ValueRef::Null => Bytes::new(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Bytes::copy_from_slice(bytes),
        other => return Err(rusqlite::Error::InvalidColumnType(column, "payload".to_owned(), other.data_type())),
    };
    let content_type: Option<String> = row.get(type_column)?;
    Ok(Payload::new(bytes, content_type.map_or(ContentType::Json, ContentType::parse)))
}

fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
