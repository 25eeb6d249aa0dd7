//! How far a run is: its checkpoint, its state entries and its position map.

use std::fmt;

use eventlift_events::{
    ByteString, Bytes, Checkpoint, Counts, LateEvents, LatePosition, NoteChange, Position, PositionRange, Progress,
    RunId, StateKey,
};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::runs::unreadable;
use super::{renewal, schema};

/// Stores a run's progress. The caller's transaction makes it one with the events.
pub fn commit(connection: &Connection, progress: &Progress) -> Result<()> {
    let run = progress.run.to_string();
    let Checkpoint { source, target, counts } = progress.checkpoint;
    connection
        .prepare_cached("INSERT OR REPLACE INTO eventlift_checkpoints VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![
            run,
            source.to_string(),
            target.map(|t| t.to_string()),
            integer(counts.read)?,
            integer(counts.lifted)?,
            integer(counts.dropped)?,
            integer(counts.split)?,
            integer(counts.written)?,
        ])?;

    let mut set = connection.prepare_cached("INSERT OR REPLACE INTO eventlift_state VALUES (?1, ?2, ?3, ?4)")?;
    let mut forget =
        connection.prepare_cached("DELETE FROM eventlift_state WHERE run = ?1 AND owner = ?2 AND stream = ?3")?;
    for change in &progress.state {
        let (owner, stream) = (&*change.key.owner, &*change.key.stream);
        match &change.value {
            Some(value) => set.execute(params![run, owner, stream, &value[..]])?,
            None => forget.execute(params![run, owner, stream])?,
        };
    }

    write_notes(connection, progress.run, &progress.notes)?;

    write_ranges(connection, progress.run, &progress.positions)?;

    let mut late =
        connection.prepare_cached("INSERT OR REPLACE INTO eventlift_late VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for LatePosition { source, target, target_length } in &progress.late {
        let (source_major, source_minor) = position_columns(*source)?;
        let (target_major, target_minor) = position_columns(*target)?;
        late.execute(params![run, source_major, source_minor, target_major, target_minor, integer(*target_length)?])?;
    }
    Ok(())
}

/// Changes ranges of a run's position map.
pub(super) fn write_ranges(connection: &Connection, run: RunId, ranges: &[PositionRange]) -> Result<()> {
    let run = run.to_string();
    let mut map =
        connection.prepare_cached("INSERT OR REPLACE INTO eventlift_positions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?;
    let mut unmap = connection
        .prepare_cached("DELETE FROM eventlift_positions WHERE run = ?1 AND source_major = ?2 AND source_minor = ?3")?;
    for range in ranges {
        let (source_major, source_minor) = position_columns(range.source)?;
        if range.source_length == 0 {
            unmap.execute(params![run, source_major, source_minor])?;
            continue;
        }
        let (target_major, target_minor) = position_columns(range.target)?;
        map.execute(params![
            run,
            source_major,
            source_minor,
            integer(range.source_length)?,
            target_major,
            target_minor,
            integer(range.target_length)?,
        ])?;
    }
    Ok(())
}

/// The last committed checkpoint of a run.
pub fn checkpoint(connection: &Connection, run: RunId) -> Result<Option<Checkpoint>> {
    connection
        .prepare_cached(
            "SELECT source, target, read, lifted, dropped, split, written FROM eventlift_checkpoints WHERE run = ?1",
        )?
        .query_row([run.to_string()], |row| {
            let target: Option<String> = row.get(1)?;
            Ok(Checkpoint {
                source: row.get::<_, String>(0)?.parse().map_err(|e| unreadable(0, e))?,
                target: target.map(|text| text.parse()).transpose().map_err(|e| unreadable(1, e))?,
                counts: Counts {
                    read: count(row, 2)?,
                    lifted: count(row, 3)?,
                    dropped: count(row, 4)?,
                    split: count(row, 5)?,
                    written: count(row, 6)?,
                },
            })
        })
        .optional()
}

/// The committed values of state entries, in the order of the keys.
pub fn state(connection: &Connection, run: RunId, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>> {
    let run = run.to_string();
    let mut statement =
        connection.prepare_cached("SELECT value FROM eventlift_state WHERE run = ?1 AND owner = ?2 AND stream = ?3")?;
    keys.iter()
        .map(|key| {
            let value: Option<Vec<u8>> =
                statement.query_row(params![run, &*key.owner, &*key.stream], |row| row.get(0)).optional()?;
            Ok(value.map(Bytes::from))
        })
        .collect()
}

/// The notes of a book behind a key, in order, at most `limit`.
pub fn notes(
    connection: &Connection,
    run: RunId,
    book: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(ByteString, Bytes)>> {
    // A ledger that is only looked at may be an earlier version's.
    if !schema::has_notes(connection)? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(
        "SELECT key, value FROM eventlift_notes WHERE run = ?1 AND book = ?2 AND (?3 IS NULL OR key > ?3)
         ORDER BY key LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let note = |row: &Row<'_>| {
        let (key, value): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        Ok((ByteString::from(key), Bytes::from(value)))
    };
    statement.query_map(params![run.to_string(), book, after, limit], note)?.collect()
}

/// Changes notes of a run.
pub fn write_notes(connection: &Connection, run: RunId, changes: &[NoteChange]) -> Result<()> {
    let run = run.to_string();
    let mut set = connection.prepare_cached("INSERT OR REPLACE INTO eventlift_notes VALUES (?1, ?2, ?3, ?4)")?;
    let mut strike =
        connection.prepare_cached("DELETE FROM eventlift_notes WHERE run = ?1 AND book = ?2 AND key = ?3")?;
    for NoteChange { book, key, value } in changes {
        match value {
            Some(value) => set.execute(params![run, &**book, &**key, &value[..]])?,
            None => strike.execute(params![run, &**book, &**key])?,
        };
    }
    Ok(())
}

/// Forgets a run's progress: its checkpoint, state and positions. Its record and its notes stay.
pub fn forget(connection: &Connection, run: RunId) -> Result<()> {
    for table in ["eventlift_checkpoints", "eventlift_state", "eventlift_positions", "eventlift_late"] {
        connection.execute(&format!("DELETE FROM {table} WHERE run = ?1"), [run.to_string()])?;
    }
    Ok(())
}

const RANGE: &str = "SELECT source_major, source_minor, source_length, target_major, target_minor, target_length FROM eventlift_positions";

/// The ranges that start behind a source position, in order, at most `limit`.
pub fn positions(
    connection: &Connection,
    run: RunId,
    after: Option<Position>,
    limit: usize,
) -> Result<Vec<PositionRange>> {
    renewal::see_renewed(connection)?;
    let (major, minor) = after.map_or((-1, NO_MINOR), bounded_columns);
    let mut statement = connection.prepare_cached(&format!(
        "{RANGE} WHERE run = ?1 AND (source_major, source_minor) > (?2, ?3) ORDER BY source_major, source_minor LIMIT ?4"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let ranges = statement.query_map(params![run.to_string(), major, minor, limit], position_range)?;
    ranges.collect()
}

/// The last range that starts at or before a source position.
pub fn position_at(connection: &Connection, run: RunId, source: Position) -> Result<Option<PositionRange>> {
    renewal::see_renewed(connection)?;
    let (major, minor) = bounded_columns(source);
    connection
        .prepare_cached(&format!(
            "{RANGE} WHERE run = ?1 AND (source_major, source_minor) <= (?2, ?3)
             ORDER BY source_major DESC, source_minor DESC LIMIT 1"
        ))?
        .query_row(params![run.to_string(), major, minor], position_range)
        .optional()
}

/// The late positions that a source position became, in the order of the target.
pub fn late_of(connection: &Connection, run: RunId, source: Position) -> Result<Vec<LatePosition>> {
    renewal::see_renewed(connection)?;
    let (major, minor) = bounded_columns(source);
    let mut statement = connection.prepare_cached(
        "SELECT source_major, source_minor, target_major, target_minor, target_length FROM eventlift_late
         WHERE run = ?1 AND source_major = ?2 AND source_minor = ?3 ORDER BY target_major, target_minor",
    )?;
    let late = |row: &Row<'_>| {
        Ok(LatePosition { source: position(row, 0)?, target: position(row, 2)?, target_length: count(row, 4)? })
    };
    statement.query_map(params![run.to_string(), major, minor], late)?.collect()
}

/// The last late events that begin at or before a target position.
pub fn late_at(connection: &Connection, run: RunId, target: Position) -> Result<Option<LateEvents>> {
    renewal::see_renewed(connection)?;
    let (major, minor) = bounded_columns(target);
    let run = run.to_string();
    let mut statement = connection.prepare_cached(
        "SELECT source_major, source_minor, target_major, target_minor, target_length FROM eventlift_late
         WHERE run = ?1 AND (target_major, target_minor) = (
             SELECT target_major, target_minor FROM eventlift_late
             WHERE run = ?1 AND (target_major, target_minor) <= (?2, ?3)
             ORDER BY target_major DESC, target_minor DESC LIMIT 1)
         ORDER BY source_major, source_minor",
    )?;
    let mut rows = statement.query(params![run, major, minor])?;
    let mut found: Option<LateEvents> = None;
    while let Some(row) = rows.next()? {
        let source = position(row, 0)?;
        found = Some(match found {
            Some(found) => LateEvents { last_source: source, ..found },
            None => LateEvents {
                target: position(row, 2)?,
                target_length: count(row, 4)?,
                first_source: source,
                last_source: source,
            },
        });
    }
    Ok(found)
}

/// Stands for "no second number" in a column that is part of a key.
const NO_MINOR: i64 = -1;

fn position_columns(position: Position) -> Result<(i64, i64)> {
    let minor = position.minor().map(integer).transpose()?;
    Ok((integer(position.major())?, minor.unwrap_or(NO_MINOR)))
}

/// The same for looking up: nothing that is stored lies past the largest.
fn bounded_columns(position: Position) -> (i64, i64) {
    let bounded = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    (bounded(position.major()), position.minor().map_or(NO_MINOR, bounded))
}

fn position_range(row: &Row<'_>) -> Result<PositionRange> {
    Ok(PositionRange {
        source: position(row, 0)?,
        source_length: count(row, 2)?,
        target: position(row, 3)?,
        target_length: count(row, 5)?,
    })
}

fn position(row: &Row<'_>, column: usize) -> Result<Position> {
    let major = count(row, column)?;
    if row.get::<_, i64>(column + 1)? == NO_MINOR {
        return Ok(Position::new(major));
    }
    Ok(Position::pair(major, count(row, column + 1)?))
}

fn count(row: &Row<'_>, column: usize) -> Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// SQLite's integers are signed; no count or position of a real store reaches the sign.
fn integer(value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| rusqlite::Error::ToSqlConversionFailure(Box::new(TooLarge(value))))
}

#[derive(Debug)]
struct TooLarge(u64);

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is larger than SQLite's integers", self.0)
    }
}

impl std::error::Error for TooLarge {}
