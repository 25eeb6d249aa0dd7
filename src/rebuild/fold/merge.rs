//! The rows of a table from all workers, merged by their keys.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use eventlift_projections::{Row, RowKey, Value};

use super::aside::{Aside, Problem};
use super::tables::Tables;
use super::worker::PartRows;

/// The rows of a worker, shared by those who read them.
pub(super) enum Source {
    Memory(Vec<Vec<(RowKey, Row)>>),
    Aside(Mutex<Aside>),
}

impl Source {
    pub(super) fn new(rows: PartRows) -> Self {
        match rows {
            PartRows::Memory(rows) => Self::Memory(rows),
            PartRows::Aside(aside) => Self::Aside(Mutex::new(aside)),
        }
    }
}

/// What is needed to read rows back.
pub(super) struct Sources {
    pub(super) tables: Arc<Tables>,
    pub(super) workers: Vec<Source>,
}

/// A place in each worker's rows of a slot.
pub(super) struct Merge {
    slot: usize,
    cursors: Vec<Cursor>,
}

/// A row that stands under another key than its own.
#[derive(Debug, thiserror::Error)]
#[error("a row stands under another key than its own")]
pub(super) struct Misplaced;

#[derive(Default)]
struct Cursor {
    /// Rows in memory that were handed out.
    taken: usize,
    /// Rows that were read from a file, and the last key of them.
    read: VecDeque<(RowKey, Row)>,
    last: Option<RowKey>,
    has_ended: bool,
}

/// Rows that are read from a file at once: few, since all workers' are in memory.
const READ: usize = 256;

impl Merge {
    pub(super) fn new(slot: usize, sources: &Sources) -> Self {
        Self { slot, cursors: sources.workers.iter().map(|_| Cursor::default()).collect() }
    }

    /// The next rows in ascending order of their keys, at most `limit`; none at the end.
    pub(super) fn next(&mut self, sources: &Arc<Sources>, limit: usize) -> Result<Vec<Row>, Problem> {
        let mut rows = Vec::new();
        while rows.len() < limit {
            match self.next_row(sources)? {
                Some(row) => rows.push(row),
                None => break,
            }
        }
        Ok(rows)
    }

    fn next_row(&mut self, sources: &Sources) -> Result<Option<Row>, Problem> {
        let table = sources.tables.table(self.slot);
        let mut first: Option<(usize, &RowKey)> = None;
        for (worker, (cursor, source)) in self.cursors.iter_mut().zip(&sources.workers).enumerate() {
            let key = match source {
                Source::Memory(slots) => slots[self.slot].get(cursor.taken).map(|(key, _)| key),
                Source::Aside(aside) => {
                    if cursor.read.is_empty() && !cursor.has_ended {
                        let aside = aside.lock().unwrap_or_else(PoisonError::into_inner);
                        cursor.read = aside.rows_behind(self.slot, table, cursor.last.as_ref(), READ)?.into();
                        cursor.has_ended = cursor.read.len() < READ;
                        cursor.last = cursor.read.back().map(|(key, _)| key.clone());
                    }
                    cursor.read.front().map(|(key, _)| key)
                }
            };
            if let Some(key) = key
                && first.is_none_or(|(_, first)| key < first)
            {
                first = Some((worker, key));
            }
        }
        let Some((worker, _)) = first else { return Ok(None) };
        let cursor = &mut self.cursors[worker];
        let found = match &sources.workers[worker] {
            Source::Memory(slots) => slots[self.slot].get(cursor.taken).map(|(key, row)| (key, written(row))),
            Source::Aside(_) => None,
        };
        cursor.taken += 1;
        let read;
        let (key, row) = match found {
            Some((key, row)) => (key, row?),
            None => {
                let Some((key, row)) = cursor.read.pop_front() else { return Ok(None) };
                read = key;
                (&read, row)
            }
        };
        if row.key(table)? != *key {
            return Err(Misplaced.into());
        }
        Ok(Some(row))
    }
}

/// A copy of a row, with JSON instead of what becomes it, as if it had been put aside.
fn written(row: &Row) -> Result<Row, Problem> {
    let values = row.0.iter().map(|value| match value {
        Value::Kept(kept) => kept.json().map(|json| Value::Json(json.into())),
        other => Ok(other.clone()),
    });
    Ok(Row(values.collect::<Result<_, _>>()?))
}
