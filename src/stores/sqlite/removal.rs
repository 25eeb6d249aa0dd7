//! Taking events out again. All functions work inside a transaction of the caller's.

use std::collections::HashMap;

use eventlift_events::{Position, Revision, StreamName};
use rusqlite::{Connection, Result, params};

use super::layout::{self, INDEXES};
use super::writer::stream_head;

/// The last revision of each of these streams, in their order. With an index each stream is looked up by itself; without
/// one the table is read once.
pub(super) fn heads(connection: &Connection, streams: &[StreamName], is_sealed: bool) -> Result<Vec<Option<Revision>>> {
    if is_sealed {
        return streams.iter().map(|stream| stream_head(connection, stream)).collect();
    }
    let mut heads: HashMap<&[u8], Option<i64>> =
        streams.iter().map(|stream| (stream.as_str().as_bytes(), None)).collect();
    if !heads.is_empty() {
        let mut statement = connection.prepare("SELECT stream, revision FROM events")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let Some(head) = heads.get_mut(row.get_ref(0)?.as_bytes()?) else { continue };
            *head = (*head).max(Some(row.get(1)?));
        }
    }
    let head = |stream: &StreamName| heads.get(stream.as_str().as_bytes()).copied().flatten();
    Ok(streams.iter().map(|stream| head(stream).map(|revision| Revision(revision.unsigned_abs()))).collect())
}

/// Deletes the events of these streams from these revisions on.
pub(super) fn withdraw(connection: &Connection, from: &[(StreamName, Revision)], is_sealed: bool) -> Result<()> {
    // What a column can't hold is not there.
    let held = from.iter().filter_map(|(stream, first)| Some((stream, i64::try_from(first.0).ok()?)));
    if is_sealed {
        let mut delete = connection.prepare_cached("DELETE FROM events WHERE stream = ?1 AND revision >= ?2")?;
        for (stream, first) in held {
            delete.execute(params![stream.as_str(), first])?;
        }
        return Ok(());
    }
    // Without an index each look-up would read the whole table: all of them at once read it once.
    connection.execute_batch(
        "CREATE TEMP TABLE IF NOT EXISTS withdrawn (stream TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
         DELETE FROM temp.withdrawn",
    )?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO temp.withdrawn VALUES (?1, ?2)
         ON CONFLICT (stream) DO UPDATE SET revision = min(revision, excluded.revision)",
    )?;
    for (stream, first) in held {
        insert.execute(params![stream.as_str(), first])?;
    }
    connection.execute_batch(
        "DELETE FROM main.events WHERE EXISTS (SELECT 1 FROM temp.withdrawn w
             WHERE w.stream = events.stream AND events.revision >= w.revision);
         DELETE FROM temp.withdrawn",
    )
}

/// Deletes the events behind a position; says whether none is left. The store is loading again then, without the indexes
/// that sealing makes.
pub(super) fn erase(connection: &Connection, after: Option<Position>) -> Result<bool> {
    match after.map(|after| i64::try_from(after.major())) {
        None => connection.execute("DELETE FROM events", [])?,
        Some(Ok(after)) => connection.execute("DELETE FROM events WHERE position > ?1", [after])?,
        // No position lies behind it.
        Some(Err(_)) => 0,
    };
    let is_empty = connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM events)", [], |row| row.get(0))?;
    if is_empty {
        for (name, _) in INDEXES {
            connection.execute_batch(&format!("DROP INDEX IF EXISTS {name}"))?;
        }
        layout::set_dense(connection)?;
    }
    Ok(is_empty)
}
