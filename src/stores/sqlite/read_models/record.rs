//! The record of the builds.

use eventlift_events::{Position, StoreErrorKind, Timestamp};
use eventlift_projections::{Build, Builds, Origin, Side, Table};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::refusal::{Failure, Refusal};
use super::{schema, tables};

const COLUMNS: &str =
    "generation, source, fingerprint, parts, tables, checkpoint, events, is_complete, begun_at, updated_at";

/// The builds of a projection.
pub(super) fn builds(connection: &Connection, projection: &str) -> Result<Builds, Failure> {
    if !schema::exists(connection)? {
        return Ok(Builds::default());
    }
    let sql = format!("SELECT {COLUMNS} FROM eventlift_projections WHERE projection = ?1 AND side = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut of = |side: Side| -> Result<Option<Build>, Failure> {
        let found = statement.query_row(params![projection, side.as_str()], build_of).optional()?;
        found.map(|build| with_its_form(connection, side, build)).transpose()
    };
    Ok(Builds { live: of(Side::Live)?, shadow: of(Side::Shadow)?, previous: of(Side::Previous)? })
}

/// What a build is made of beside its origin, where it has the tables of an earlier version.
const NUMBERS_AS_TEXT: &str = "keeping exact numbers as text";

/// A build with tables as an earlier version made them has another origin than one that would be made now, so that it is
/// built anew wherever one would be.
fn with_its_form(connection: &Connection, side: Side, mut build: Build) -> Result<Build, Failure> {
    for table in &build.tables {
        let is_known = build.origin.parts.iter().any(|(name, _)| name == NUMBERS_AS_TEXT);
        if !is_known && tables::has_numbers_as_text(connection, side, table)? {
            build.origin.parts.push((NUMBERS_AS_TEXT.to_owned(), "1".to_owned()));
            build.origin.fingerprint.push_str(" numbers as text");
        }
    }
    Ok(build)
}

/// A build that must be there.
pub(super) fn build(connection: &Connection, projection: &str, side: Side) -> Result<Build, Failure> {
    let found = builds(connection, projection)?.side(side).cloned();
    let missing = || Refusal::new(StoreErrorKind::Missing).at(place(projection, side));
    Ok(found.ok_or_else(missing)?)
}

/// A build that must be there and be complete.
pub(super) fn complete_build(connection: &Connection, projection: &str, side: Side) -> Result<Build, Failure> {
    let build = build(connection, projection, side)?;
    if !build.is_complete {
        return Err(Refusal::unexpected("it is not complete").at(place(projection, side)).into());
    }
    Ok(build)
}

/// How messages call a build.
pub(super) fn place(projection: &str, side: Side) -> String {
    format!("the {side} build of {projection}")
}

/// The projections with builds, in the order of their names.
pub(super) fn projections(connection: &Connection) -> Result<Vec<String>, Failure> {
    if !schema::exists(connection)? {
        return Ok(Vec::new());
    }
    let mut statement =
        connection.prepare_cached("SELECT DISTINCT projection FROM eventlift_projections ORDER BY projection")?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// The next number of a build, which is never given again.
pub(super) fn next_generation(connection: &Connection, projection: &str) -> Result<u64, Failure> {
    let generation: i64 = connection
        .prepare_cached(
            "INSERT INTO eventlift_generations VALUES (?1, 1) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last",
        )?
        .query_row([projection], |row| row.get(0))?;
    Ok(generation.unsigned_abs())
}

/// Records a build in place of the one of its side.
pub(super) fn put(connection: &Connection, projection: &str, side: Side, build: &Build) -> Result<(), Failure> {
    let json = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
    connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO eventlift_projections (projection, side, {COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
        ))?
        .execute(params![
            projection,
            side.as_str(),
            integer(build.generation)?,
            build.origin.source,
            build.origin.fingerprint,
            serde_json::to_string(&build.origin.parts).map_err(json)?,
            serde_json::to_string(&build.tables).map_err(json)?,
            build.checkpoint.map(|position| position.to_string()),
            integer(build.events)?,
            build.is_complete,
            build.begun_at.micros(),
            build.updated_at.micros(),
        ])?;
    Ok(())
}

/// Forgets a build and what was quarantined in it.
pub(super) fn forget(connection: &Connection, projection: &str, side: Side, generation: u64) -> Result<(), Failure> {
    forget_side(connection, projection, side)?;
    connection
        .prepare_cached("DELETE FROM eventlift_quarantine WHERE projection = ?1 AND generation = ?2")?
        .execute(params![projection, integer(generation)?])?;
    Ok(())
}

/// Forgets that a build is on a side; it goes on on another.
pub(super) fn forget_side(connection: &Connection, projection: &str, side: Side) -> Result<(), Failure> {
    connection
        .prepare_cached("DELETE FROM eventlift_projections WHERE projection = ?1 AND side = ?2")?
        .execute(params![projection, side.as_str()])?;
    Ok(())
}

fn build_of(row: &Row<'_>) -> rusqlite::Result<Build> {
    let parts: String = row.get(3)?;
    let tables: String = row.get(4)?;
    let checkpoint: Option<String> = row.get(5)?;
    Ok(Build {
        generation: count(row, 0)?,
        origin: Origin {
            source: row.get(1)?,
            fingerprint: row.get(2)?,
            parts: serde_json::from_str(&parts).map_err(|e| unreadable(3, e))?,
        },
        tables: serde_json::from_str::<Vec<Table>>(&tables).map_err(|e| unreadable(4, e))?,
        checkpoint: checkpoint.map(|text| text.parse::<Position>()).transpose().map_err(|e| unreadable(5, e))?,
        events: count(row, 6)?,
        is_complete: row.get(7)?,
        begun_at: time(row, 8)?,
        updated_at: time(row, 9)?,
    })
}

/// SQLite's integers are signed; no count of a real store reaches the sign.
pub(super) fn integer(value: u64) -> Result<i64, Failure> {
    let refused = |_| Refusal::unsupported(format_args!("{value} is larger than SQLite's integers")).into();
    i64::try_from(value).map_err(refused)
}

pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

pub(super) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_micros(row.get(column)?).map_err(|e| unreadable(column, e))
}

/// A stored value that a newer or damaged record left.
pub(super) fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
