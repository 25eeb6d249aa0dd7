//! The record of the builds.

use eventlift_events::{Position, StoreErrorKind, Timestamp};
use eventlift_projections::{Build, Builds, Origin, Side, Table};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use super::refusal::{Failure, Refusal};
use super::schema::ledger;
use crate::stores::Holder;

const COLUMNS: &str =
    "generation, source, fingerprint, parts, tables, checkpoint, events, is_complete, begun_at, updated_at";

/// The builds of a projection.
pub(super) async fn builds(connection: &mut PgConnection, schema: &str, projection: &str) -> Result<Builds, Failure> {
    let sql = format!("SELECT side, {COLUMNS} FROM {} WHERE projection = $1", ledger(schema, "projections"));
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(projection).fetch_all(connection).await?;
    let mut builds = Builds::default();
    for row in rows {
        let side: String = row.try_get("side")?;
        let build = Some(build_of(&row)?);
        match side.as_str() {
            "live" => builds.live = build,
            "shadow" => builds.shadow = build,
            _ => builds.previous = build,
        }
    }
    Ok(builds)
}

/// A build that must be there.
pub(super) async fn build(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
    side: Side,
) -> Result<Build, Failure> {
    let found = builds(connection, schema, projection).await?;
    let missing = || Refusal::new(StoreErrorKind::Missing).at(place(projection, side));
    Ok(found.side(side).cloned().ok_or_else(missing)?)
}

/// A build that must be there and be complete.
pub(super) async fn complete_build(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
    side: Side,
) -> Result<Build, Failure> {
    let build = build(connection, schema, projection, side).await?;
    require_complete(&build, projection, side)?;
    Ok(build)
}

/// Fails unless a build is complete.
pub(super) fn require_complete(build: &Build, projection: &str, side: Side) -> Result<(), Failure> {
    match build.is_complete {
        true => Ok(()),
        false => Err(Refusal::unexpected("it is not complete").at(place(projection, side)).into()),
    }
}

/// How messages call a build.
pub(super) fn place(projection: &str, side: Side) -> String {
    format!("the {side} build of {projection}")
}

/// The projections with builds, in the order of their names.
pub(super) async fn projections(connection: &mut PgConnection, schema: &str) -> Result<Vec<String>, Failure> {
    let sql = format!("SELECT DISTINCT projection FROM {} ORDER BY projection", ledger(schema, "projections"));
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(connection).await?)
}

/// The next number of a build, which is never given again.
pub(super) async fn next_generation(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
) -> Result<u64, Failure> {
    let sql = format!(
        "INSERT INTO {} AS g VALUES ($1, 1, 0) ON CONFLICT (projection) DO UPDATE SET last = g.last + 1 RETURNING last",
        ledger(schema, "generations")
    );
    let generation: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).bind(projection).fetch_one(connection).await?;
    Ok(generation.unsigned_abs())
}

/// Takes the right to change a projection's builds until the transaction ends. Fails where another process has taken
/// the projection since this one did.
pub(super) async fn fence(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
    epoch: Option<i64>,
    alone: bool,
) -> Result<(), Failure> {
    let mode = if alone { "UPDATE" } else { "SHARE" };
    let sql = format!("SELECT epoch FROM {} WHERE projection = $1 FOR {mode}", ledger(schema, "generations"));
    let found: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql)).bind(projection).fetch_optional(connection).await?;
    match (epoch, found) {
        (Some(ours), Some(theirs)) if ours != theirs => {
            Err(Refusal::new(StoreErrorKind::Locked("it was taken over while this one was cut off".to_owned()))
                .at(format_args!("projection {projection}"))
                .hint("let the other run end, then run the same command again")
                .into())
        }
        _ => Ok(()),
    }
}

/// Raises a projection's epoch for a holder, who is remembered, and returns it.
pub(super) async fn next_epoch(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
    holder: &Holder,
) -> Result<i64, sqlx::Error> {
    let sql = format!(
        "INSERT INTO {} AS g (projection, last, epoch, holder) VALUES ($1, 0, 1, $2)
         ON CONFLICT (projection) DO UPDATE SET epoch = g.epoch + 1, holder = $2 RETURNING epoch",
        ledger(schema, "generations")
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).bind(projection).bind(holder.written()).fetch_one(connection).await
}

/// Who took a projection last, as far as that can be read.
pub(super) async fn holder(connection: &mut PgConnection, schema: &str, projection: &str) -> Option<Holder> {
    // Through the row as a whole: an earlier version's has no such column.
    let sql = format!("SELECT to_jsonb(g) ->> 'holder' FROM {} g WHERE projection = $1", ledger(schema, "generations"));
    let written = sqlx::query_scalar(AssertSqlSafe(sql)).bind(projection).fetch_optional(connection).await;
    let written: Option<String> = written.ok().flatten().flatten();
    written.map(|text| Holder::parse(&text))
}

/// Records a build that was changed, in place of what was recorded of it.
pub(super) async fn put(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
    side: Side,
    build: &Build,
) -> Result<(), Failure> {
    let json = |error: serde_json::Error| Refusal::unexpected(error);
    let sql = format!(
        "INSERT INTO {} (projection, side, {COLUMNS}, changed_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, pg_current_xact_id())
         ON CONFLICT (projection, generation) DO UPDATE SET (side, {COLUMNS}, changed_by, last_load) =
         ROW ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, pg_current_xact_id(), NULL)",
        ledger(schema, "projections")
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(projection)
        .bind(side.as_str())
        .bind(integer(build.generation)?)
        .bind(&build.origin.source)
        .bind(&build.origin.fingerprint)
        .bind(serde_json::to_string(&build.origin.parts).map_err(json)?)
        .bind(serde_json::to_string(&build.tables).map_err(json)?)
        .bind(build.checkpoint.map(|position| position.to_string()))
        .bind(integer(build.events)?)
        .bind(build.is_complete)
        .bind(build.begun_at.micros())
        .bind(build.updated_at.micros())
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes the build of a side the live one, and the live one, if there is one, the previous one.
pub(super) async fn bring_in(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
    from: Side,
) -> Result<(), Failure> {
    let sql = format!(
        "UPDATE {} SET side = CASE side WHEN 'live' THEN 'previous' ELSE 'live' END
         WHERE projection = $1 AND side IN ('live', $2)",
        ledger(schema, "projections")
    );
    sqlx::query(AssertSqlSafe(sql)).bind(projection).bind(from.as_str()).execute(connection).await?;
    Ok(())
}

/// Forgets a build and what was quarantined in it.
pub(super) async fn forget(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
    generation: u64,
) -> Result<(), Failure> {
    for table in ["projections", "quarantine"] {
        let sql = format!("DELETE FROM {} WHERE projection = $1 AND generation = $2", ledger(schema, table));
        let delete = sqlx::query(AssertSqlSafe(sql)).bind(projection).bind(integer(generation)?);
        delete.execute(&mut *connection).await?;
    }
    Ok(())
}

fn build_of(row: &PgRow) -> Result<Build, Failure> {
    let parts: String = row.try_get("parts")?;
    let tables: String = row.try_get("tables")?;
    let checkpoint: Option<String> = row.try_get("checkpoint")?;
    Ok(Build {
        generation: count(row, "generation")?,
        origin: Origin {
            source: row.try_get("source")?,
            fingerprint: row.try_get("fingerprint")?,
            parts: serde_json::from_str(&parts).map_err(unreadable)?,
        },
        tables: serde_json::from_str::<Vec<Table>>(&tables).map_err(unreadable)?,
        checkpoint: checkpoint.map(|text| text.parse::<Position>()).transpose().map_err(unreadable)?,
        events: count(row, "events")?,
        is_complete: row.try_get("is_complete")?,
        begun_at: time(row, "begun_at")?,
        updated_at: time(row, "updated_at")?,
    })
}

/// PostgreSQL's integers are signed; no count of a real store reaches the sign.
pub(super) fn integer(value: u64) -> Result<i64, Failure> {
    let refused = |_| Refusal::unsupported(format_args!("{value} is larger than PostgreSQL's integers")).into();
    i64::try_from(value).map_err(refused)
}

pub(super) fn count(row: &PgRow, column: &str) -> Result<u64, Failure> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(unreadable)
}

pub(super) fn time(row: &PgRow, column: &str) -> Result<Timestamp, Failure> {
    Timestamp::from_micros(row.try_get(column)?).map_err(unreadable)
}

/// A stored value that a newer or damaged record left.
pub(super) fn unreadable(error: impl std::fmt::Display) -> Failure {
    Refusal::unexpected(format_args!("the ledger holds something that can't be read: {error}"))
        .hint("was it written by a newer version?")
        .into()
}
