//! The audit: whether ids are unique and revisions count up, for sources whose own constraints don't make it certain.

use std::fmt;

use eventlift_events::{Event, Position};
use rusqlite::{Connection, Result, params};
use xxhash_rust::xxh3::xxh3_128;

use crate::ledger::temporary_database;
use crate::stores::gap_hint::gap_hint;

/// Collects what identifies events, on disk, and finds contradictions at the end. 128-bit hashes stand for ids and
/// streams; memory is bounded.
#[derive(Debug)]
pub struct Audit {
    connection: Connection,
}

/// A contradiction in a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What is wrong.
    pub problem: Problem,
    /// The event that shows it.
    pub position: Position,
    /// The earlier event that it contradicts, if there is one.
    pub other: Option<Position>,
    /// The stream and id of the event, where the source could be read again to learn them.
    pub event: Option<(String, String)>,
}

/// What can be wrong with a source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Problem {
    /// Two events have the same id, of one stream or of two.
    DuplicateId {
        /// Whether they are of two streams.
        across_streams: bool,
    },
    /// Two events of a stream have this revision.
    RepeatedRevision(u64),
    /// The event has the revision `found` where its stream goes on with `expected`.
    Gap {
        /// The revision that is missing.
        expected: u64,
        /// The revision that is there.
        found: u64,
    },
    /// The event has a lower revision than an event of its stream before it.
    Disorder(u64),
}

impl Finding {
    /// What to try.
    pub fn hint(&self) -> &'static str {
        match self.problem {
            Problem::Gap { expected, found } => gap_hint(expected, found),
            Problem::DuplicateId { across_streams: true } => {
                "repair the source: one of the events is not what it claims to be; or, where events are copied to other \
                 streams with their ids, set `ids = \"per_stream\"` under [policy] in eventlift.toml: a copy gets an id of \
                 its own"
            }
            _ => "repair the source: one of the events is not what it claims to be",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.event {
            Some((stream, id)) => write!(f, "event {id} of stream {stream} at position {}", self.position)?,
            None => write!(f, "the event at position {}", self.position)?,
        }
        match self.problem {
            Problem::DuplicateId { .. } => write!(f, " has the id of another event")?,
            Problem::RepeatedRevision(revision) => {
                write!(f, " has revision {revision}, as another event of its stream")?
            }
            Problem::Gap { expected, found } => {
                write!(f, " has revision {found}, but its stream goes on with {expected}")?;
            }
            Problem::Disorder(revision) => write!(f, " has revision {revision}, less than an event before it")?,
        }
        match self.other {
            Some(other) => write!(f, " (position {other})"),
            None => Ok(()),
        }
    }
}

impl Audit {
    /// Nothing collected yet.
    pub fn new() -> Result<Self> {
        let connection = temporary_database()?;
        connection.execute_batch(
            "CREATE TABLE seen (stream BLOB, revision INTEGER, id BLOB, major INTEGER, minor INTEGER); BEGIN",
        )?;
        Ok(Self { connection })
    }

    /// Takes the next events, in the order of the source.
    pub fn add(&mut self, events: &[Event]) -> Result<()> {
        let mut insert = self.connection.prepare_cached("INSERT INTO seen VALUES (?1, ?2, ?3, ?4, ?5)")?;
        for event in events {
            let stream = xxh3_128(event.stream.as_str().as_bytes()).to_be_bytes();
            let id = match event.id.as_uuid() {
                Some(uuid) => *uuid.as_bytes(),
                None => xxh3_128(event.id.to_string().as_bytes()).to_be_bytes(),
            };
            let minor = event.position.minor().map(ordered);
            insert.execute(params![stream, ordered(event.revision.0), id, ordered(event.position.major()), minor])?;
        }
        Ok(())
    }

    /// Looks for contradictions and returns the first one in the order of the source. `dense`: gaps in revisions count.
    pub fn finish(self, dense: bool) -> Result<Option<Finding>> {
        let revisions = self.first_bad_revision(dense)?;
        let ids = self.first_duplicate_id()?;
        Ok([revisions, ids].into_iter().flatten().min_by_key(|finding| finding.position))
    }

    fn first_bad_revision(&self, dense: bool) -> Result<Option<Finding>> {
        let mut statement = self
            .connection
            .prepare("SELECT stream, revision, major, minor FROM seen ORDER BY stream, revision, major, minor")?;
        let mut rows = statement.query([])?;
        let mut first: Option<Finding> = None;
        let mut before: Option<([u8; 16], u64, Position)> = None;
        while let Some(row) = rows.next()? {
            let stream: [u8; 16] = row.get(0)?;
            let revision = unordered(row.get(1)?);
            let position = position(row.get(2)?, row.get(3)?);
            let previous = before.filter(|(known, _, _)| *known == stream);
            let expected = previous.map_or(0, |(_, revision, _)| revision.saturating_add(1));
            let problem = match previous {
                Some((_, last, _)) if revision == last => Some(Problem::RepeatedRevision(revision)),
                _ if dense && revision != expected => Some(Problem::Gap { expected, found: revision }),
                Some((_, _, earlier)) if position < earlier => Some(Problem::Disorder(revision)),
                _ => None,
            };
            if let Some(problem) = problem {
                let other = previous.map(|(_, _, position)| position);
                keep_first(&mut first, Finding { problem, position, other, event: None });
            }
            before = Some((stream, revision, position));
        }
        Ok(first)
    }

    fn first_duplicate_id(&self) -> Result<Option<Finding>> {
        let mut statement =
            self.connection.prepare("SELECT id, major, minor, stream FROM seen ORDER BY id, major, minor")?;
        let mut rows = statement.query([])?;
        let mut first: Option<Finding> = None;
        let mut before: Option<([u8; 16], Position, [u8; 16])> = None;
        while let Some(row) = rows.next()? {
            let id: [u8; 16] = row.get(0)?;
            let position = position(row.get(1)?, row.get(2)?);
            let stream: [u8; 16] = row.get(3)?;
            if let Some((_, other, other_stream)) = before.filter(|(known, ..)| *known == id) {
                let problem = Problem::DuplicateId { across_streams: stream != other_stream };
                keep_first(&mut first, Finding { problem, position, other: Some(other), event: None });
            }
            before = Some((id, position, stream));
        }
        Ok(first)
    }
}

fn keep_first(first: &mut Option<Finding>, found: Finding) {
    if first.as_ref().is_none_or(|first| found.position < first.position) {
        *first = Some(found);
    }
}

fn position(major: i64, minor: Option<i64>) -> Position {
    match minor {
        None => Position::new(unordered(major)),
        Some(minor) => Position::pair(unordered(major), unordered(minor)),
    }
}

/// Numbers in SQLite's signed integers, in the same order.
fn ordered(number: u64) -> i64 {
    (number ^ (1 << 63)).cast_signed()
}

fn unordered(number: i64) -> u64 {
    number.cast_unsigned() ^ (1 << 63)
}
