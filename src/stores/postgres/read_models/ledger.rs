//! What was quarantined, the runs, and the snapshots of services.

use eventlift_events::{EventId, Revision, StreamName};
use eventlift_projections::{Build, Quarantined, RebuildRun, RowKey, Side, Snapshot, Table, TableKind};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use super::fill;
use super::record::{self, count, integer, place, time, unreadable};
use super::refusal::{Failure, Refusal};
use super::schema::ledger;

/// Adds to the quarantine of a build.
pub(super) async fn quarantine(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
    generation: u64,
    quarantined: &[Quarantined],
) -> Result<(), Failure> {
    let generation = integer(generation)?;
    let table = ledger(schema, "quarantine");
    let sql = format!(
        "INSERT INTO {table} SELECT $1, $2, coalesce(max(number), 0) + 1, $3, $4, $5, $6, $7, $8, $9
         FROM {table} WHERE projection = $1 AND generation = $2"
    );
    for event in quarantined {
        let held = event.held.as_ref().map(|(table, _)| integer(*table as u64)).transpose()?;
        sqlx::query(AssertSqlSafe(&*sql))
            .bind(projection)
            .bind(generation)
            .bind(held)
            .bind(event.held.as_ref().map(|(_, key)| key.as_bytes().to_vec()))
            .bind(event.id.to_string())
            .bind(event.stream.as_str())
            .bind(integer(event.revision.0)?)
            .bind(event.position.to_string())
            // Text can't hold it, and a reason is for people.
            .bind(event.reason.replace('\0', "\u{fffd}"))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// What was quarantined in a build, in the order of the positions.
pub(super) async fn quarantined(
    connection: &mut PgConnection,
    schema: &str,
    side: Side,
    projection: &str,
) -> Result<Vec<Quarantined>, Failure> {
    let build = record::build(connection, schema, projection, side).await?;
    let sql = format!(
        "SELECT held_table, held_key, id, stream, revision, position, reason FROM {}
         WHERE projection = $1 AND generation = $2 ORDER BY number",
        ledger(schema, "quarantine")
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(projection).bind(integer(build.generation)?);
    let rows = query.fetch_all(connection).await?;
    let mut found = rows.iter().map(quarantined_of).collect::<Result<Vec<_>, _>>()?;
    found.sort_by_key(|event| event.position);
    Ok(found)
}

fn quarantined_of(row: &PgRow) -> Result<Quarantined, Failure> {
    let table: Option<i64> = row.try_get("held_table")?;
    let key: Option<Vec<u8>> = row.try_get("held_key")?;
    let table = table.map(usize::try_from).transpose().map_err(unreadable)?;
    Ok(Quarantined {
        held: table.zip(key.map(RowKey::from_bytes)),
        id: EventId::text(row.try_get::<String, _>("id")?).map_err(unreadable)?,
        stream: row.try_get::<String, _>("stream")?.parse().map_err(unreadable)?,
        revision: Revision(count(row, "revision")?),
        position: row.try_get::<String, _>("position")?.parse().map_err(unreadable)?,
        reason: row.try_get("reason")?,
    })
}

/// Stores the record of a run, and returns its number.
pub(super) async fn record_run(connection: &mut PgConnection, schema: &str, run: &RebuildRun) -> Result<u64, Failure> {
    let json = |error: serde_json::Error| Refusal::unexpected(error);
    let table = ledger(schema, "rebuilds");
    let number = match run.number {
        0 => {
            // Two runs that begin at the same time get two numbers.
            let lock = format!("LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE");
            sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *connection).await?;
            let sql = format!("SELECT coalesce(max(number), 0) + 1 FROM {table}");
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *connection).await?
        }
        number => integer(number)?,
    };
    let sql = format!(
        "INSERT INTO {table} VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (number) DO UPDATE SET
         (projection, action, reason, schedule, due_at, outcome, begun_at, updated_at, events, rows) =
         ROW ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(number)
        .bind(&run.projection)
        .bind(serde_json::to_string(&run.action).map_err(json)?)
        .bind(&run.reason)
        .bind(run.schedule.as_ref().map(|(schedule, _)| schedule))
        .bind(run.schedule.as_ref().map(|(_, due)| due.micros()))
        .bind(serde_json::to_string(&run.outcome).map_err(json)?)
        .bind(run.begun_at.micros())
        .bind(run.updated_at.micros())
        .bind(integer(run.events)?)
        .bind(integer(run.rows)?)
        .execute(connection)
        .await?;
    Ok(number.unsigned_abs())
}

/// The runs, in the order of their numbers.
pub(super) async fn runs(connection: &mut PgConnection, schema: &str) -> Result<Vec<RebuildRun>, Failure> {
    let sql = format!("SELECT * FROM {} ORDER BY number", ledger(schema, "rebuilds"));
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(connection).await?;
    rows.iter().map(run_of).collect()
}

fn run_of(row: &PgRow) -> Result<RebuildRun, Failure> {
    let schedule: Option<String> = row.try_get("schedule")?;
    Ok(RebuildRun {
        number: count(row, "number")?,
        projection: row.try_get("projection")?,
        action: serde_json::from_str(&row.try_get::<String, _>("action")?).map_err(unreadable)?,
        reason: row.try_get("reason")?,
        schedule: schedule.map(|schedule| Ok::<_, Failure>((schedule, time(row, "due_at")?))).transpose()?,
        outcome: serde_json::from_str(&row.try_get::<String, _>("outcome")?).map_err(unreadable)?,
        begun_at: time(row, "begun_at")?,
        updated_at: time(row, "updated_at")?,
        events: count(row, "events")?,
        rows: count(row, "rows")?,
    })
}

/// The place of a build's table of snapshots.
fn table_of_snapshots(build: &Build) -> Option<(usize, &Table)> {
    build.tables.iter().enumerate().find(|(_, table)| table.kind == TableKind::Snapshots)
}

/// The live snapshot of a stream.
pub(super) async fn snapshot(
    connection: &mut PgConnection,
    schema: &str,
    aggregate: &str,
    stream: &StreamName,
) -> Result<Option<Snapshot>, Failure> {
    let Some(live) = record::builds(connection, schema, aggregate).await?.live else { return Ok(None) };
    let Some((number, _)) = table_of_snapshots(&live) else { return Ok(None) };
    let key = [RowKey::text(stream.as_str())];
    let row = fill::rows(connection, schema, Side::Live, aggregate, number, &key).await?.pop().flatten();
    let unreadable = |reason: eventlift_language::Reason| {
        Refusal::unexpected(reason.message).at(format_args!("the snapshot of {stream}"))
    };
    Ok(row.as_ref().map(Snapshot::from_row).transpose().map_err(unreadable)?)
}

/// Keeps a snapshot in the live table. Services may save at the same time: the later revision stays.
pub(super) async fn save(
    connection: &mut PgConnection,
    schema: &str,
    aggregate: &str,
    snapshot: &Snapshot,
) -> Result<(), Failure> {
    let live = record::build(connection, schema, aggregate, Side::Live).await.map_err(|failure| match failure {
        Failure::Refused(refusal) => refusal.hint("rebuild the aggregate's snapshots first").into(),
        other => other,
    })?;
    let Some((_, table)) = table_of_snapshots(&live) else {
        return Err(Refusal::unexpected("it has no table of snapshots").at(place(aggregate, Side::Live)).into());
    };
    if live.origin.fingerprint != snapshot.fingerprint {
        return Err(Refusal::unexpected("the live snapshots were made by other rules or another fold than this one")
            .at(place(aggregate, Side::Live))
            .hint("rebuild the aggregate's snapshots")
            .into());
    }
    super::tables::verify(connection, schema, Side::Live, table).await?;
    let row = snapshot.to_row().map_err(|reason| Refusal::bad_input(reason.message))?;
    let is_older = "t.revision < excluded.revision OR t.fingerprint IS DISTINCT FROM excluded.fingerprint";
    fill::put_where(connection, schema, table, &row, is_older).await
}
