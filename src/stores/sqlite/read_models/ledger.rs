//! What was quarantined, the runs, and the snapshots of services.

use eventlift_events::{EventId, Revision, StreamName};
use eventlift_projections::{Build, Quarantined, RebuildRun, RowKey, RowUpdate, Side, Snapshot, Table, TableKind};
use rusqlite::{Connection, Row, params};

use super::fill;
use super::record::{self, count, integer, place, time, unreadable};
use super::refusal::{Failure, Refusal};
use super::schema;

/// Adds to the quarantine of a build.
pub(super) fn quarantine(
    connection: &Connection,
    projection: &str,
    generation: u64,
    quarantined: &[Quarantined],
) -> Result<(), Failure> {
    let generation = integer(generation)?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO eventlift_quarantine SELECT ?1, ?2, ifnull(max(number), 0) + 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9
         FROM eventlift_quarantine WHERE projection = ?1 AND generation = ?2",
    )?;
    for event in quarantined {
        let table = event.held.as_ref().map(|(table, _)| integer(*table as u64)).transpose()?;
        insert.execute(params![
            projection,
            generation,
            table,
            event.held.as_ref().map(|(_, key)| key.as_bytes()),
            event.id.to_string(),
            event.stream.as_str(),
            integer(event.revision.0)?,
            event.position.to_string(),
            event.reason,
        ])?;
    }
    Ok(())
}

/// What was quarantined in a build, in the order of the positions.
pub(super) fn quarantined(connection: &Connection, side: Side, projection: &str) -> Result<Vec<Quarantined>, Failure> {
    let build = record::build(connection, projection, side)?;
    let mut statement = connection.prepare_cached(
        "SELECT held_table, held_key, id, stream, revision, position, reason FROM eventlift_quarantine
         WHERE projection = ?1 AND generation = ?2 ORDER BY number",
    )?;
    let found = statement.query_map(params![projection, integer(build.generation)?], quarantined_of)?;
    let mut found: Vec<Quarantined> = found.collect::<Result<_, _>>()?;
    found.sort_by_key(|event| event.position);
    Ok(found)
}

fn quarantined_of(row: &Row<'_>) -> rusqlite::Result<Quarantined> {
    let table = row.get::<_, Option<i64>>(0)?.map(i64::unsigned_abs);
    let key: Option<Vec<u8>> = row.get(1)?;
    Ok(Quarantined {
        held: table.map(|table| table as usize).zip(key.map(RowKey::from_bytes)),
        id: EventId::text(row.get::<_, String>(2)?).map_err(|e| unreadable(2, e))?,
        stream: row.get::<_, String>(3)?.parse().map_err(|e| unreadable(3, e))?,
        revision: Revision(count(row, 4)?),
        position: row.get::<_, String>(5)?.parse().map_err(|e| unreadable(5, e))?,
        reason: row.get(6)?,
    })
}

/// Stores the record of a run, and returns its number.
pub(super) fn record_run(connection: &Connection, run: &RebuildRun) -> Result<u64, Failure> {
    let json = |error: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
    let number: i64 = connection
        .prepare_cached(
            "INSERT OR REPLACE INTO eventlift_rebuilds
             (number, projection, action, reason, schedule, due_at, outcome, begun_at, updated_at, events, rows)
             VALUES (nullif(?1, 0), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) RETURNING number",
        )?
        .query_row(
            params![
                integer(run.number)?,
                run.projection,
                serde_json::to_string(&run.action).map_err(json)?,
                run.reason,
                run.schedule.as_ref().map(|(schedule, _)| schedule),
                run.schedule.as_ref().map(|(_, due)| due.micros()),
                serde_json::to_string(&run.outcome).map_err(json)?,
                run.begun_at.micros(),
                run.updated_at.micros(),
                integer(run.events)?,
                integer(run.rows)?,
            ],
            |row| row.get(0),
        )?;
    Ok(number.unsigned_abs())
}

/// The runs, in the order of their numbers.
pub(super) fn runs(connection: &Connection) -> Result<Vec<RebuildRun>, Failure> {
    if !schema::exists(connection)? {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(
        "SELECT number, projection, action, reason, schedule, due_at, outcome, begun_at, updated_at, events, rows
         FROM eventlift_rebuilds ORDER BY number",
    )?;
    let runs = statement.query_map([], run_of)?;
    Ok(runs.collect::<Result<_, _>>()?)
}

fn run_of(row: &Row<'_>) -> rusqlite::Result<RebuildRun> {
    let schedule: Option<String> = row.get(4)?;
    Ok(RebuildRun {
        number: count(row, 0)?,
        projection: row.get(1)?,
        action: serde_json::from_str(&row.get::<_, String>(2)?).map_err(|e| unreadable(2, e))?,
        reason: row.get(3)?,
        schedule: schedule.map(|schedule| Ok::<_, rusqlite::Error>((schedule, time(row, 5)?))).transpose()?,
        outcome: serde_json::from_str(&row.get::<_, String>(6)?).map_err(|e| unreadable(6, e))?,
        begun_at: time(row, 7)?,
        updated_at: time(row, 8)?,
        events: count(row, 9)?,
        rows: count(row, 10)?,
    })
}

/// The place of a build's table of snapshots.
fn table_of_snapshots(build: &Build) -> Option<(usize, &Table)> {
    build.tables.iter().enumerate().find(|(_, table)| table.kind == TableKind::Snapshots)
}

/// The live snapshot of a stream.
pub(super) fn snapshot(
    connection: &Connection,
    aggregate: &str,
    stream: &StreamName,
) -> Result<Option<Snapshot>, Failure> {
    let Some(live) = record::builds(connection, aggregate)?.live else { return Ok(None) };
    let Some((number, _)) = table_of_snapshots(&live) else { return Ok(None) };
    snapshot_in(connection, aggregate, number, stream)
}

fn snapshot_in(
    connection: &Connection,
    aggregate: &str,
    number: usize,
    stream: &StreamName,
) -> Result<Option<Snapshot>, Failure> {
    let key = [RowKey::text(stream.as_str())];
    let row = fill::rows(connection, Side::Live, aggregate, number, &key)?.pop().flatten();
    let unreadable = |reason: eventlift_transformers::Reason| {
        Refusal::unexpected(reason.message).at(format_args!("the snapshot of {stream}"))
    };
    Ok(row.as_ref().map(Snapshot::from_row).transpose().map_err(unreadable)?)
}

/// Keeps a snapshot in the live table.
pub(super) fn save(connection: &Connection, aggregate: &str, snapshot: &Snapshot) -> Result<(), Failure> {
    let live = record::build(connection, aggregate, Side::Live).map_err(|failure| match failure {
        Failure::Refused(refusal) => refusal.hint("rebuild the aggregate's snapshots first").into(),
        other => other,
    })?;
    let Some((number, table)) = table_of_snapshots(&live) else {
        return Err(Refusal::unexpected("it has no table of snapshots").at(place(aggregate, Side::Live)).into());
    };
    if live.origin.fingerprint != snapshot.fingerprint {
        return Err(Refusal::unexpected("the live snapshots were made by other rules or another fold than this one")
            .at(place(aggregate, Side::Live))
            .hint("rebuild the aggregate's snapshots")
            .into());
    }
    let there = snapshot_in(connection, aggregate, number, &snapshot.stream)?;
    if there.is_some_and(|there| there.revision >= snapshot.revision && there.fingerprint == snapshot.fingerprint) {
        return Ok(());
    }
    let row = snapshot.to_row().map_err(|reason| Refusal::bad_input(reason.message))?;
    let update = RowUpdate { table: number, key: RowKey::text(snapshot.stream.as_str()), row: Some(row) };
    fill::update(connection, Side::Live, table, &[&update])
}
