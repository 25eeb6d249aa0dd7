//! The end of a load: indexes, checks, and what a service that appends needs.

use eventlift_events::{StoreError, StoreErrorKind};
use futures_util::future::join;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::config::PostgresConfig;
use super::connection::connect;
use super::failure::{reported, store_error};
use super::layout::{self, INDEXES, Index};
use super::relation::{Quoted, Relation};
use super::session::{Fence, Session, number_on, roll_back};
use crate::stores::gap_hint::gap_hint;

/// Memory for the sort of an index that is built; two are built at a time.
const BUILD_MEMORY: &str = "256MB";
/// Of a large table, an index takes longer than any query should.
const UNTIMED: &str = "SET statement_timeout = 0";
/// The server estimates rows in single precision, which counts exactly up to here.
const EXACT_COUNT: u64 = 1 << 24;

/// Why a table can't be sealed.
enum Failed {
    Store(StoreError),
    /// Two rows have the same in these columns.
    Duplicate(Index),
}

/// Builds what is missing, checks the events, and remembers that the store is sealed. Each step can be repeated, and the
/// last one is one transaction. `proved`: how many events are known to be in order already, and without gaps if that is
/// asked for.
pub(super) async fn seal(
    config: &PostgresConfig,
    session: &mut Session,
    dense: bool,
    proved: Option<u64>,
) -> Result<(), StoreError> {
    let fence = session.fence();
    let failed = |e| store_error("seal", &fence.display, e);
    sqlx::raw_sql(UNTIMED).execute(&mut session.connection).await.map_err(failed)?;
    sealed(config, session, dense, proved).await?;
    sqlx::raw_sql("RESET statement_timeout").execute(&mut session.connection).await.map_err(failed).map(|_| ())
}

async fn sealed(
    config: &PostgresConfig,
    session: &mut Session,
    dense: bool,
    proved: Option<u64>,
) -> Result<(), StoreError> {
    let fence = session.fence();
    let table = session.table.relation.clone();
    let failed = |e| store_error("seal", &fence.display, e);
    let connection = &mut session.connection;

    let present = layout::present(connection, &table).await.map_err(failed)?;
    let missing = |index: &Index| !present.iter().any(|found| found.serves(*index));
    let missing: Vec<Index> = INDEXES.into_iter().filter(missing).collect();
    build(config, &fence, connection, &table, &missing).await?;

    let is_proved = match proved {
        Some(events) => holds_exactly(connection, &table, events).await.map_err(failed)?,
        None => false,
    };
    if !is_proved && let Some(error) = first_broken_stream(connection, &fence, &table, dense).await? {
        return Err(error);
    }
    // Of what is looked up by; statistics of payloads would cost more than they tell.
    let analyze = format!("ANALYZE {table} (position, stream, revision, id, type, schema_version, recorded_at)");
    sqlx::raw_sql(AssertSqlSafe(analyze)).execute(&mut *connection).await.map_err(failed)?;

    fence.begin(connection, "seal").await?;
    make_primary(connection, &table).await.map_err(failed)?;
    let last: Option<i64> = sqlx::query_scalar(AssertSqlSafe(format!("SELECT max(position) FROM {table}")))
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    number_on(connection, session.sequence.as_deref(), last.unwrap_or(0)).await.map_err(failed)?;
    notify_inserts(connection, &table).await.map_err(failed)?;
    fence.ledger.seal(connection, !dense).await.map_err(failed)?;
    fence.commit(connection, "seal").await
}

/// Builds indexes on two connections.
async fn build(
    config: &PostgresConfig,
    fence: &Fence,
    connection: &mut PgConnection,
    table: &Relation,
    missing: &[Index],
) -> Result<(), StoreError> {
    // As they are listed, the long and the short of them alternate.
    let here: Vec<Index> = missing.iter().copied().step_by(2).collect();
    let there: Vec<Index> = missing.iter().copied().skip(1).step_by(2).collect();
    let beside = async {
        if there.is_empty() {
            return Ok(());
        }
        let mut second = connect(&config.server, &fence.display).await.map_err(Failed::Store)?;
        let untimed = sqlx::raw_sql(UNTIMED).execute(&mut second).await;
        untimed.map_err(|e| Failed::Store(store_error("seal", &fence.display, e)))?;
        build_one_by_one(fence, &mut second, table, &there).await
    };
    let (here, beside) = join(build_one_by_one(fence, connection, table, &here), beside).await;
    for result in [here, beside] {
        match result {
            Ok(()) => {}
            Err(Failed::Store(error)) => return Err(error),
            Err(Failed::Duplicate(index)) => {
                // The transaction that failed is still there.
                roll_back(connection).await;
                return Err(duplicate(connection, fence, table, index).await?);
            }
        }
    }
    Ok(())
}

async fn build_one_by_one(
    fence: &Fence,
    connection: &mut PgConnection,
    table: &Relation,
    indexes: &[Index],
) -> Result<(), Failed> {
    let failed = |e| Failed::Store(store_error("seal", &fence.display, e));
    for index in indexes {
        // Held for the length of the build, so that a later writer waits for its end.
        fence.begin(connection, "seal").await.map_err(Failed::Store)?;
        let settings = format!("SET LOCAL maintenance_work_mem = '{BUILD_MEMORY}'");
        sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut *connection).await.map_err(failed)?;
        let built = sqlx::raw_sql(AssertSqlSafe(index.create(table))).execute(&mut *connection).await;
        if let Err(error) = built {
            let is_duplicate = reported(&error).is_some_and(|said| said.code() == "23505");
            return Err(if is_duplicate { Failed::Duplicate(*index) } else { failed(error) });
        }
        fence.commit(connection, "seal").await.map_err(Failed::Store)?;
    }
    Ok(())
}

/// Whether the table holds so many events: those that were seen, and no others. An index just built knows the number.
async fn holds_exactly(connection: &mut PgConnection, table: &Relation, events: u64) -> sqlx::Result<bool> {
    if events >= EXACT_COUNT {
        let statement = format!("SELECT count(*) FROM {table}");
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(statement)).fetch_one(connection).await?;
        return Ok(u64::try_from(count) == Ok(events));
    }
    let estimate: Option<f32> = sqlx::query_scalar(
        "SELECT c.reltuples FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE i.indrelid = $1::regclass AND i.indisunique AND i.indisvalid AND i.indpred IS NULL LIMIT 1",
    )
    .bind(table.to_string())
    .fetch_optional(connection)
    .await?;
    Ok(estimate.is_some_and(|estimate| f64::from(estimate) == events as f64))
}

/// Makes the index on positions the primary key, unless the table has one.
async fn make_primary(connection: &mut PgConnection, table: &Relation) -> sqlx::Result<()> {
    let present = layout::present(connection, table).await?;
    if present.iter().any(|index| index.is_primary) {
        return Ok(());
    }
    let positions = present.iter().find(|index| index.is_unique && index.columns == ["position"]);
    let Some(index) = positions else { return Ok(()) };
    let name = Quoted(&index.name);
    let alter = format!("ALTER TABLE {table} ADD CONSTRAINT {name} PRIMARY KEY USING INDEX {name}");
    sqlx::raw_sql(AssertSqlSafe(alter)).execute(connection).await.map(|_| ())
}

/// Has whoever waits for events told of each insert.
async fn notify_inserts(connection: &mut PgConnection, table: &Relation) -> sqlx::Result<()> {
    let channel: String =
        sqlx::query_scalar("SELECT quote_literal($1)").bind(layout::channel(table)).fetch_one(&mut *connection).await?;
    let function = Relation::new(&table.schema, "eventlift_notify");
    let statement = format!(
        "DROP TRIGGER IF EXISTS eventlift_notify ON {table};
         CREATE TRIGGER eventlift_notify AFTER INSERT ON {table}
         FOR EACH STATEMENT EXECUTE FUNCTION {function}({channel})"
    );
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(|_| ())
}

/// Finds what a unique index failed on. Slow, but the run has failed and a person wants to know.
async fn duplicate(
    connection: &mut PgConnection,
    fence: &Fence,
    table: &Relation,
    index: Index,
) -> Result<StoreError, StoreError> {
    let columns = index.columns.join(", ");
    let statement = format!(
        "SELECT min(position), max(position), count(*), min(id), min(stream), min(revision)
         FROM {table} GROUP BY {columns} HAVING count(*) > 1 ORDER BY min(position) LIMIT 1"
    );
    let (first, last, times, id, stream, revision): (i64, i64, i64, String, String, i64) =
        sqlx::query_as(AssertSqlSafe(statement))
            .fetch_one(connection)
            .await
            .map_err(|e| store_error("seal", &fence.display, e))?;
    let problem = match index.columns {
        ["id"] => format!("event id {id} occurs {times} times, at positions {first} and {last}"),
        ["position"] => format!("{times} events have position {first}, one of them revision {revision} of {stream}"),
        _ => format!("stream {stream} has revision {revision} {times} times, at positions {first} and {last}"),
    };
    Ok(StoreError::new("seal", &fence.display, StoreErrorKind::BadInput(problem))
        .hint("repair the source, then migrate into a new target; this one is not usable"))
}

/// Stream, revision, position, and the revision before it with its position.
type Broken = (String, i64, i64, Option<i64>, Option<i64>);

/// Describes the first stream whose revisions have a gap or don't ascend with the positions.
async fn first_broken_stream(
    connection: &mut PgConnection,
    fence: &Fence,
    table: &Relation,
    dense: bool,
) -> Result<Option<StoreError>, StoreError> {
    let is_gap = if dense { "revision <> coalesce(before + 1, 0) OR" } else { "" };
    let statement = format!(
        "SELECT stream, revision, position, before, place FROM (
             SELECT stream, revision, position, lag(revision) OVER w AS before, lag(position) OVER w AS place
             FROM {table} WINDOW w AS (PARTITION BY stream ORDER BY revision)) e
         WHERE {is_gap} place > position ORDER BY stream, revision LIMIT 1"
    );
    let broken: Option<Broken> = sqlx::query_as(AssertSqlSafe(statement))
        .fetch_optional(connection)
        .await
        .map_err(|e| store_error("seal", &fence.display, e))?;
    let Some((stream, revision, position, before, place)) = broken else { return Ok(None) };
    let expected = before.map_or(0, |before| before + 1);
    let bad = |problem| {
        StoreError::new("seal", &fence.display, StoreErrorKind::BadInput(problem))
            .at(format_args!("position {position}"))
    };
    if dense && revision != expected {
        let gap = format!("stream {stream} goes on with revision {revision} where {expected} should be");
        return Ok(Some(bad(gap).hint(gap_hint(expected.unsigned_abs(), revision.unsigned_abs()))));
    }
    let place = place.unwrap_or(position);
    let disorder = format!("stream {stream} has revision {revision} before lower ones (position {place})");
    Ok(Some(bad(disorder).hint("repair the source, then migrate into a new target; this one is not usable")))
}
