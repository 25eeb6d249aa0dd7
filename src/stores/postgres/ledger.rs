//! The ledger in PostgreSQL: runs, checkpoints, state, the position map, the ranges of a load, and the epoch of the
//! store. All functions work on a connection of the caller's, inside its transaction if there is one.

use std::collections::{BTreeMap, HashMap};

use eventlift_events::{
    ByteString, Bytes, Checkpoint, Counts, LateEvents, LatePosition, LoadRange, NoteChange, Position, PositionRange,
    Progress, RunId, RunRecord, StateKey, Timestamp,
};
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Error, Result};

use super::encode;
use super::relation::Relation;
use crate::stores::Holder;

/// The ledger's rows of one table of events.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    schema: String,
    store: String,
}

/// What the store's own row says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct StoreRow {
    /// Raised by every writer that opens the store.
    pub(super) epoch: i64,
    /// Indexed and checked, as opposed to loading.
    pub(super) is_sealed: bool,
    /// Revisions may have gaps.
    pub(super) is_sparse: bool,
}

/// What a commit may take for granted of the ranges of positions that it brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ranges {
    /// All but the first are new: that one may have grown. Where that is not so, the commit fails with a violation of
    /// their key.
    MostlyNew,
    /// Nothing.
    Any,
}

/// Fewer ranges than this are not worth the way to the server that COPY takes more.
const WORTH_COPYING: usize = 32;

/// The numbers of a row of ranges: source major, minor and length, then the target's.
type RangeRow = [i64; 6];

/// Stands for "no second number" in a column that is part of a key.
const NO_MINOR: i64 = -1;

impl Ledger {
    pub(super) fn of(table: &Relation) -> Self {
        Self { schema: table.schema.clone(), store: table.name.clone() }
    }

    /// The name under which the rows of this store are kept.
    pub(super) fn store(&self) -> &str {
        &self.store
    }

    /// One of the ledger's tables.
    pub(super) fn table(&self, name: &str) -> Relation {
        Relation::new(&self.schema, format!("eventlift_{name}"))
    }

    /// What the store's row says now; nobody else can raise the epoch until the transaction ends. None where there is
    /// no row.
    pub(super) async fn hold(&self, connection: &mut PgConnection) -> Result<Option<StoreRow>> {
        let stores = self.table("stores");
        let row: Option<(i64, String, String)> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT epoch, state, revisions FROM {stores} WHERE store = $1 FOR SHARE"
        )))
        .bind(&self.store)
        .fetch_optional(connection)
        .await?;
        Ok(row.map(|(epoch, state, revisions)| StoreRow {
            epoch,
            is_sealed: state == "sealed",
            is_sparse: revisions == "sparse",
        }))
    }

    /// Raises the epoch, so that no earlier writer can commit any more. Waits for what one of them is committing.
    /// Remembers who it is.
    pub(super) async fn raise_epoch(&self, connection: &mut PgConnection, holder: &Holder) -> Result<StoreRow> {
        let stores = self.table("stores");
        let (epoch, state, revisions): (i64, String, String) = sqlx::query_as(AssertSqlSafe(format!(
            "INSERT INTO {stores} AS s (store, epoch, holder) VALUES ($1, 1, $2)
             ON CONFLICT (store) DO UPDATE SET epoch = s.epoch + 1, holder = $2 RETURNING epoch, state, revisions"
        )))
        .bind(&self.store)
        .bind(holder.written())
        .fetch_one(connection)
        .await?;
        Ok(StoreRow { epoch, is_sealed: state == "sealed", is_sparse: revisions == "sparse" })
    }

    /// Remembers that the store is sealed.
    pub(super) async fn seal(&self, connection: &mut PgConnection, is_sparse: bool) -> Result<()> {
        let stores = self.table("stores");
        sqlx::query(AssertSqlSafe(format!(
            "UPDATE {stores} SET state = 'sealed', revisions = $2, sealed_at = now() WHERE store = $1"
        )))
        .bind(&self.store)
        .bind(if is_sparse { "sparse" } else { "dense" })
        .execute(connection)
        .await
        .map(|_| ())
    }

    /// Remembers that the store is loading again, as a new one is.
    pub(super) async fn unseal(&self, connection: &mut PgConnection) -> Result<()> {
        let stores = self.table("stores");
        sqlx::query(AssertSqlSafe(format!(
            "UPDATE {stores} SET state = 'loading', revisions = 'dense', sealed_at = NULL WHERE store = $1"
        )))
        .bind(&self.store)
        .execute(connection)
        .await
        .map(|_| ())
    }

    /// Forgets a run's progress: its checkpoint, state, positions and ranges. Its record and its notes stay.
    pub(super) async fn forget(&self, connection: &mut PgConnection, run: RunId) -> Result<()> {
        for name in ["checkpoints", "state", "positions", "late", "ranges"] {
            let delete = format!("DELETE FROM {} WHERE store = $1 AND run = $2", self.table(name));
            let query = sqlx::query(AssertSqlSafe(delete)).bind(&self.store).bind(run.to_string());
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// All runs, the latest last.
    pub(super) async fn runs(&self, connection: &mut PgConnection) -> Result<Vec<RunRecord>> {
        let runs = self.table("runs");
        let rows: Vec<WrittenRun> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT id, state, source, fingerprint, parts, started_at, updated_at, tool, details FROM {runs}
             WHERE store = $1 ORDER BY number"
        )))
        .bind(&self.store)
        .fetch_all(connection)
        .await?;
        rows.into_iter().map(run_record).collect()
    }

    /// Stores a run's record in place of the one with the same id.
    pub(super) async fn record_run(&self, connection: &mut PgConnection, run: &RunRecord) -> Result<()> {
        let runs = self.table("runs");
        let parts = serde_json::to_string(&run.parts).map_err(|e| Error::Encode(e.into()))?;
        let details = serde_json::to_string(&run.details).map_err(|e| Error::Encode(e.into()))?;
        sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO {runs} (store, id, state, source, fingerprint, parts, started_at, updated_at, tool, details)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (store, id) DO UPDATE SET state = $3, source = $4, fingerprint = $5, parts = $6,
                                                   started_at = $7, updated_at = $8, tool = $9,
                                                   details = $10"
        )))
        .bind(&self.store)
        .bind(run.id.to_string())
        .bind(run.state.as_str())
        .bind(&run.source)
        .bind(&run.fingerprint)
        .bind(parts)
        .bind(run.started_at.micros())
        .bind(run.updated_at.micros())
        .bind(&run.tool)
        .bind(details)
        .execute(connection)
        .await
        .map(|_| ())
    }

    /// Stores a run's progress.
    pub(super) async fn commit(
        &self,
        connection: &mut PgConnection,
        progress: &Progress,
        ranges: Ranges,
    ) -> Result<()> {
        self.set_checkpoint(connection, progress).await?;
        self.set_state(connection, progress).await?;
        self.set_positions(connection, progress, ranges).await?;
        self.add_late(connection, progress.run, &progress.late).await?;
        self.write_notes(connection, progress.run, &progress.notes).await
    }

    async fn set_checkpoint(&self, connection: &mut PgConnection, progress: &Progress) -> Result<()> {
        let checkpoints = self.table("checkpoints");
        let Checkpoint { source, target, counts } = progress.checkpoint;
        let statement = format!(
            "INSERT INTO {checkpoints} (store, run, source, target, read, lifted, dropped, split, written)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (store, run) DO UPDATE SET source = $3, target = $4, read = $5, lifted = $6, dropped = $7,
                                                    split = $8, written = $9"
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(&self.store)
            .bind(progress.run.to_string())
            .bind(source.to_string())
            .bind(target.map(|position| position.to_string()))
            .bind(integer(counts.read)?)
            .bind(integer(counts.lifted)?)
            .bind(integer(counts.dropped)?)
            .bind(integer(counts.split)?)
            .bind(integer(counts.written)?)
            .execute(connection)
            .await
            .map(|_| ())
    }

    async fn set_state(&self, connection: &mut PgConnection, progress: &Progress) -> Result<()> {
        let state = self.table("state");
        let run = progress.run.to_string();
        let (mut keys, mut owners, mut streams, mut values) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut forgotten = Vec::new();
        for change in &progress.state {
            let Some(value) = &change.value else {
                forgotten.push(hashed(&change.key));
                continue;
            };
            keys.push(hashed(&change.key));
            owners.push(&*change.key.owner);
            streams.push(&*change.key.stream);
            values.push(&value[..]);
        }
        if !keys.is_empty() {
            sqlx::query(AssertSqlSafe(format!(
                "INSERT INTO {state} (store, run, key, owner, stream, value)
                 SELECT $1, $2, * FROM unnest($3::bytea[], $4::text[], $5::text[], $6::bytea[])
                 ON CONFLICT (store, run, key) DO UPDATE SET value = excluded.value"
            )))
            .bind(&self.store)
            .bind(&run)
            .bind(keys)
            .bind(owners)
            .bind(streams)
            .bind(values)
            .execute(&mut *connection)
            .await?;
        }
        if !forgotten.is_empty() {
            sqlx::query(AssertSqlSafe(format!("DELETE FROM {state} WHERE store = $1 AND run = $2 AND key = ANY($3)")))
                .bind(&self.store)
                .bind(&run)
                .bind(forgotten)
                .execute(connection)
                .await?;
        }
        Ok(())
    }

    async fn set_positions(&self, connection: &mut PgConnection, progress: &Progress, ranges: Ranges) -> Result<()> {
        // One statement can't set a row twice; the last one counts.
        let by_source: BTreeMap<Position, &PositionRange> = progress.positions.iter().map(|r| (r.source, r)).collect();
        let (gone, by_source): (Vec<&PositionRange>, Vec<&PositionRange>) =
            by_source.into_values().partition(|range| range.source_length == 0);
        self.delete_ranges(connection, progress.run, &gone).await?;
        let rows = by_source.into_iter().map(range_row).collect::<Result<Vec<_>>>()?;
        match rows.split_first() {
            Some((first, new)) if ranges == Ranges::MostlyNew && new.len() >= WORTH_COPYING => {
                self.upsert_ranges(connection, progress.run, std::slice::from_ref(first)).await?;
                self.copy_ranges(connection, progress.run, new).await
            }
            Some(_) => self.upsert_ranges(connection, progress.run, &rows).await,
            None => Ok(()),
        }
    }

    /// Sends ranges that are not there yet.
    async fn copy_ranges(&self, connection: &mut PgConnection, run: RunId, rows: &[RangeRow]) -> Result<()> {
        let run = run.to_string();
        let mut bytes = encode::HEADER.to_vec();
        for row in rows {
            bytes.extend_from_slice(&8_i16.to_be_bytes());
            encode::field(&mut bytes, self.store.as_bytes());
            encode::field(&mut bytes, run.as_bytes());
            row.iter().for_each(|number| encode::bigint(&mut bytes, *number));
        }
        bytes.extend_from_slice(encode::TRAILER);
        let positions = self.table("positions");
        let statement = format!(
            "COPY {positions} (store, run, source_major, source_minor, source_length, target_major, target_minor,
                               target_length) FROM STDIN (FORMAT binary)"
        );
        let mut copy = connection.copy_in_raw(&statement).await?;
        copy.send(bytes).await?;
        copy.finish().await.map(|_| ())
    }

    async fn upsert_ranges(&self, connection: &mut PgConnection, run: RunId, rows: &[RangeRow]) -> Result<()> {
        let mut columns: [Vec<i64>; 6] = Default::default();
        for row in rows {
            columns.iter_mut().zip(row).for_each(|(column, number)| column.push(*number));
        }
        let positions = self.table("positions");
        let statement = format!(
            "INSERT INTO {positions} (store, run, source_major, source_minor, source_length, target_major, target_minor,
                                      target_length)
             SELECT $1, $2, * FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
             ON CONFLICT (store, run, source_major, source_minor)
             DO UPDATE SET source_length = excluded.source_length, target_major = excluded.target_major,
                           target_minor = excluded.target_minor, target_length = excluded.target_length"
        );
        let mut query = sqlx::query(AssertSqlSafe(statement)).bind(&self.store).bind(run.to_string());
        for column in columns {
            query = query.bind(column);
        }
        query.execute(connection).await.map(|_| ())
    }

    async fn delete_ranges(&self, connection: &mut PgConnection, run: RunId, ranges: &[&PositionRange]) -> Result<()> {
        if ranges.is_empty() {
            return Ok(());
        }
        let (majors, minors): (Vec<i64>, Vec<i64>) = ranges.iter().map(|range| bounded_columns(range.source)).unzip();
        let statement = format!(
            "DELETE FROM {} WHERE store = $1 AND run = $2
             AND (source_major, source_minor) IN (SELECT * FROM unnest($3::bigint[], $4::bigint[]))",
            self.table("positions")
        );
        let query = sqlx::query(AssertSqlSafe(statement)).bind(&self.store).bind(run.to_string());
        query.bind(majors).bind(minors).execute(connection).await.map(|_| ())
    }

    async fn add_late(&self, connection: &mut PgConnection, run: RunId, late: &[LatePosition]) -> Result<()> {
        if late.is_empty() {
            return Ok(());
        }
        // One statement can't set a row twice; the last one counts.
        let by_place: BTreeMap<(Position, Position), u64> =
            late.iter().map(|late| ((late.source, late.target), late.target_length)).collect();
        let mut columns: [Vec<i64>; 5] = Default::default();
        for ((source, target), length) in by_place {
            let ((source_major, source_minor), (target_major, target_minor)) =
                (position_columns(source)?, position_columns(target)?);
            let row = [source_major, source_minor, target_major, target_minor, integer(length)?];
            columns.iter_mut().zip(row).for_each(|(column, number)| column.push(number));
        }
        let statement = format!(
            "INSERT INTO {} (store, run, source_major, source_minor, target_major, target_minor, target_length)
             SELECT $1, $2, * FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
             ON CONFLICT (store, run, source_major, source_minor, target_major, target_minor)
             DO UPDATE SET target_length = excluded.target_length",
            self.table("late")
        );
        let mut query = sqlx::query(AssertSqlSafe(statement)).bind(&self.store).bind(run.to_string());
        for column in columns {
            query = query.bind(column);
        }
        query.execute(connection).await.map(|_| ())
    }

    /// The last committed checkpoint of a run.
    pub(super) async fn checkpoint(&self, connection: &mut PgConnection, run: RunId) -> Result<Option<Checkpoint>> {
        let checkpoints = self.table("checkpoints");
        let row: Option<WrittenCheckpoint> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT source, target, read, lifted, dropped, split, written FROM {checkpoints}
             WHERE store = $1 AND run = $2"
        )))
        .bind(&self.store)
        .bind(run.to_string())
        .fetch_optional(connection)
        .await?;
        row.map(|(source, target, read, lifted, dropped, split, written)| {
            Ok(Checkpoint {
                source: source.parse().map_err(unreadable)?,
                target: target.map(|text| text.parse()).transpose().map_err(unreadable)?,
                counts: counts([read, lifted, dropped, split, written])?,
            })
        })
        .transpose()
    }

    /// The committed values of state entries, in the order of the keys.
    pub(super) async fn state(
        &self,
        connection: &mut PgConnection,
        run: RunId,
        keys: &[StateKey],
    ) -> Result<Vec<Option<Bytes>>> {
        let hashes: Vec<Vec<u8>> = keys.iter().map(hashed).collect();
        let state = self.table("state");
        let found: Vec<(Vec<u8>, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT key, value FROM {state} WHERE store = $1 AND run = $2 AND key = ANY($3)"
        )))
        .bind(&self.store)
        .bind(run.to_string())
        .bind(&hashes)
        .fetch_all(connection)
        .await?;
        let found: HashMap<Vec<u8>, Bytes> = found.into_iter().map(|(key, value)| (key, value.into())).collect();
        Ok(hashes.iter().map(|key| found.get(key).cloned()).collect())
    }

    /// The notes of a book behind a key, in order, at most `limit`.
    pub(super) async fn notes(
        &self,
        connection: &mut PgConnection,
        run: RunId,
        book: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>> {
        let notes = self.table("notes");
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT key, value FROM {notes} WHERE store = $1 AND run = $2 AND book = $3 AND ($4 IS NULL OR key > $4)
             ORDER BY key LIMIT $5"
        )))
        .bind(&self.store)
        .bind(run.to_string())
        .bind(book)
        .bind(after)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
        Ok(rows.into_iter().map(|(key, value)| (key.into(), value.into())).collect())
    }

    /// Changes notes of a run.
    pub(super) async fn write_notes(
        &self,
        connection: &mut PgConnection,
        run: RunId,
        changes: &[NoteChange],
    ) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let notes = self.table("notes");
        // One statement can't set a row twice; the last change counts.
        let changes: BTreeMap<(&str, &str), Option<&[u8]>> =
            changes.iter().map(|note| ((&*note.book, &*note.key), note.value.as_deref())).collect();
        let (mut set, mut struck) = ((Vec::new(), Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        for ((book, key), value) in changes {
            match value {
                Some(value) => {
                    set.0.push(book);
                    set.1.push(key);
                    set.2.push(value);
                }
                None => {
                    struck.0.push(book);
                    struck.1.push(key);
                }
            }
        }
        if !set.0.is_empty() {
            let statement = format!(
                "INSERT INTO {notes} (store, run, book, key, value)
                 SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::bytea[])
                 ON CONFLICT (store, run, book, key) DO UPDATE SET value = excluded.value"
            );
            let query = sqlx::query(AssertSqlSafe(statement)).bind(&self.store).bind(run.to_string());
            query.bind(set.0).bind(set.1).bind(set.2).execute(&mut *connection).await?;
        }
        if !struck.0.is_empty() {
            let statement = format!(
                "DELETE FROM {notes} WHERE store = $1 AND run = $2
                 AND (book, key) IN (SELECT * FROM unnest($3::text[], $4::text[]))"
            );
            let query = sqlx::query(AssertSqlSafe(statement)).bind(&self.store).bind(run.to_string());
            query.bind(struck.0).bind(struck.1).execute(connection).await?;
        }
        Ok(())
    }

    /// The ranges that start behind a source position, in order, at most `limit`.
    pub(super) async fn positions(
        &self,
        connection: &mut PgConnection,
        run: RunId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<PositionRange>> {
        let (major, minor) = after.map_or((-1, NO_MINOR), bounded_columns);
        let statement = self.select_ranges("> ($3, $4) ORDER BY source_major, source_minor LIMIT $5");
        let rows: Vec<WrittenPositions> = sqlx::query_as(AssertSqlSafe(statement))
            .bind(&self.store)
            .bind(run.to_string())
            .bind(major)
            .bind(minor)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(connection)
            .await?;
        rows.into_iter().map(position_range).collect()
    }

    /// The last range that starts at or before a source position.
    pub(super) async fn position_at(
        &self,
        connection: &mut PgConnection,
        run: RunId,
        source: Position,
    ) -> Result<Option<PositionRange>> {
        let (major, minor) = bounded_columns(source);
        let statement = self.select_ranges("<= ($3, $4) ORDER BY source_major DESC, source_minor DESC LIMIT 1");
        let row: Option<WrittenPositions> = sqlx::query_as(AssertSqlSafe(statement))
            .bind(&self.store)
            .bind(run.to_string())
            .bind(major)
            .bind(minor)
            .fetch_optional(connection)
            .await?;
        row.map(position_range).transpose()
    }

    /// The late positions that a source position became, in the order of the target.
    pub(super) async fn late_of(
        &self,
        connection: &mut PgConnection,
        run: RunId,
        source: Position,
    ) -> Result<Vec<LatePosition>> {
        let (major, minor) = bounded_columns(source);
        let rows: Vec<(i64, i64, i64)> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT target_major, target_minor, target_length FROM {}
             WHERE store = $1 AND run = $2 AND source_major = $3 AND source_minor = $4
             ORDER BY target_major, target_minor",
            self.table("late")
        )))
        .bind(&self.store)
        .bind(run.to_string())
        .bind(major)
        .bind(minor)
        .fetch_all(connection)
        .await?;
        rows.into_iter()
            .map(|(major, minor, length)| {
                Ok(LatePosition { source, target: position(major, minor)?, target_length: count(length)? })
            })
            .collect()
    }

    /// The last late events that begin at or before a target position.
    pub(super) async fn late_at(
        &self,
        connection: &mut PgConnection,
        run: RunId,
        target: Position,
    ) -> Result<Option<LateEvents>> {
        let (major, minor) = bounded_columns(target);
        let late = self.table("late");
        let rows: Vec<(i64, i64, i64, i64, i64)> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT source_major, source_minor, target_major, target_minor, target_length FROM {late}
             WHERE store = $1 AND run = $2 AND (target_major, target_minor) = (
                 SELECT target_major, target_minor FROM {late}
                 WHERE store = $1 AND run = $2 AND (target_major, target_minor) <= ($3, $4)
                 ORDER BY target_major DESC, target_minor DESC LIMIT 1)
             ORDER BY source_major, source_minor"
        )))
        .bind(&self.store)
        .bind(run.to_string())
        .bind(major)
        .bind(minor)
        .fetch_all(connection)
        .await?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(None) };
        Ok(Some(LateEvents {
            target: position(first.2, first.3)?,
            target_length: count(first.4)?,
            first_source: position(first.0, first.1)?,
            last_source: position(last.0, last.1)?,
        }))
    }

    fn select_ranges(&self, which: &str) -> String {
        format!(
            "SELECT source_major, source_minor, source_length, target_major, target_minor, target_length FROM {}
             WHERE store = $1 AND run = $2 AND (source_major, source_minor) {which}",
            self.table("positions")
        )
    }

    /// The ranges that a run is loaded in, in order.
    pub(super) async fn load_ranges(&self, connection: &mut PgConnection, run: RunId) -> Result<Vec<LoadRange>> {
        let ranges = self.table("ranges");
        let rows: Vec<WrittenRange> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT number, after, until, done, read, lifted, dropped, split, written, complete FROM {ranges}
             WHERE store = $1 AND run = $2 ORDER BY number"
        )))
        .bind(&self.store)
        .bind(run.to_string())
        .fetch_all(connection)
        .await?;
        rows.into_iter().map(load_range).collect()
    }

    /// Remembers the ranges of a run in place of those it has.
    pub(super) async fn plan_ranges(
        &self,
        connection: &mut PgConnection,
        run: RunId,
        ranges: &[LoadRange],
    ) -> Result<()> {
        let table = self.table("ranges");
        sqlx::query(AssertSqlSafe(format!("DELETE FROM {table} WHERE store = $1 AND run = $2")))
            .bind(&self.store)
            .bind(run.to_string())
            .execute(&mut *connection)
            .await?;
        for range in ranges {
            let statement = format!(
                "INSERT INTO {table} (store, run, number, done, read, lifted, dropped, split, written, complete, after, until)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
            );
            self.range_query(statement, run, range)?
                .bind(range.after.map(|position| position.to_string()))
                .bind(range.until.to_string())
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }

    /// Stores how far a range is. False where it was not planned.
    pub(super) async fn commit_range(
        &self,
        connection: &mut PgConnection,
        run: RunId,
        range: &LoadRange,
    ) -> Result<bool> {
        let statement = format!(
            "UPDATE {} SET done = $4, read = $5, lifted = $6, dropped = $7, split = $8, written = $9, complete = $10
             WHERE store = $1 AND run = $2 AND number = $3",
            self.table("ranges")
        );
        Ok(self.range_query(statement, run, range)?.execute(connection).await?.rows_affected() == 1)
    }

    fn range_query(
        &self,
        statement: String,
        run: RunId,
        range: &LoadRange,
    ) -> Result<sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments>> {
        Ok(sqlx::query(AssertSqlSafe(statement))
            .bind(&self.store)
            .bind(run.to_string())
            .bind(i64::from(range.index))
            .bind(range.done.map(|position| position.to_string()))
            .bind(integer(range.counts.read)?)
            .bind(integer(range.counts.lifted)?)
            .bind(integer(range.counts.dropped)?)
            .bind(integer(range.counts.split)?)
            .bind(integer(range.counts.written)?)
            .bind(range.is_complete))
    }
}

/// Source, target, the five counts.
type WrittenCheckpoint = (String, Option<String>, i64, i64, i64, i64, i64);

/// Id, state, source, fingerprint, parts, when started and updated, tool, details.
type WrittenRun = (String, String, String, String, String, i64, i64, String, String);

fn run_record(row: WrittenRun) -> Result<RunRecord> {
    let (id, state, source, fingerprint, parts, started_at, updated_at, tool, details) = row;
    Ok(RunRecord {
        id: id.parse().map_err(unreadable)?,
        state: state.parse().map_err(unreadable)?,
        source,
        fingerprint,
        parts: serde_json::from_str(&parts).map_err(unreadable)?,
        started_at: Timestamp::from_micros(started_at).map_err(unreadable)?,
        updated_at: Timestamp::from_micros(updated_at).map_err(unreadable)?,
        tool,
        details: serde_json::from_str(&details).map_err(unreadable)?,
    })
}

/// Number, after, until, done, the five counts, whether it is complete.
type WrittenRange = (i64, Option<String>, String, Option<String>, i64, i64, i64, i64, i64, bool);

fn load_range(row: WrittenRange) -> Result<LoadRange> {
    let (number, after, until, done, read, lifted, dropped, split, written, is_complete) = row;
    let position = |text: Option<String>| text.map(|text| text.parse()).transpose().map_err(unreadable);
    Ok(LoadRange {
        index: u32::try_from(number).map_err(unreadable)?,
        after: position(after)?,
        until: until.parse().map_err(unreadable)?,
        done: position(done)?,
        counts: counts([read, lifted, dropped, split, written])?,
        is_complete,
    })
}

/// Source major, minor and length, then the target's.
type WrittenPositions = (i64, i64, i64, i64, i64, i64);

fn position_range(row: WrittenPositions) -> Result<PositionRange> {
    let (source_major, source_minor, source_length, target_major, target_minor, target_length) = row;
    Ok(PositionRange {
        source: position(source_major, source_minor)?,
        source_length: count(source_length)?,
        target: position(target_major, target_minor)?,
        target_length: count(target_length)?,
    })
}

fn range_row(range: &PositionRange) -> Result<RangeRow> {
    let (source_major, source_minor) = position_columns(range.source)?;
    let (target_major, target_minor) = position_columns(range.target)?;
    let (source_length, target_length) = (integer(range.source_length)?, integer(range.target_length)?);
    Ok([source_major, source_minor, source_length, target_major, target_minor, target_length])
}

fn position(major: i64, minor: i64) -> Result<Position> {
    Ok(match minor {
        NO_MINOR => Position::new(count(major)?),
        minor => Position::pair(count(major)?, count(minor)?),
    })
}

fn position_columns(position: Position) -> Result<(i64, i64)> {
    let minor = position.minor().map(integer).transpose()?;
    Ok((integer(position.major())?, minor.unwrap_or(NO_MINOR)))
}

/// The same for looking up: nothing that is stored lies past the largest.
fn bounded_columns(position: Position) -> (i64, i64) {
    let bounded = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    (bounded(position.major()), position.minor().map_or(NO_MINOR, bounded))
}

fn counts([read, lifted, dropped, split, written]: [i64; 5]) -> Result<Counts> {
    Ok(Counts {
        read: count(read)?,
        lifted: count(lifted)?,
        dropped: count(dropped)?,
        split: count(split)?,
        written: count(written)?,
    })
}

fn count(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(unreadable)
}

fn integer(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|e| Error::Encode(format!("{value} does not fit a bigint: {e}").into()))
}

/// A stored value that a newer or damaged ledger left.
fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Decode(Box::new(error))
}

fn hashed(key: &StateKey) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(key.owner.as_bytes());
    hash.update([0]);
    hash.update(key.stream.as_bytes());
    hash.finalize().to_vec()
}
