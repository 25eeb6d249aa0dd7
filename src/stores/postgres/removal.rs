//! Taking events out again. All functions work inside a transaction of the caller's.

use eventlift_events::{Position, Revision, RunRecord, StoreError, StreamName};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Result};

use super::failure::{reported, store_error};
use super::layout::{self, INDEXES};
use super::relation::{Quoted, Relation};
use super::session::{Fence, Session};

/// The last revision of each of these streams, in their order. With an index each stream is looked up by itself; without
/// one the table is read once.
pub(super) async fn heads(
    connection: &mut PgConnection,
    table: &Relation,
    streams: &[StreamName],
    is_sealed: bool,
) -> Result<Vec<Option<Revision>>> {
    let statement = match is_sealed {
        true => format!(
            "SELECT (SELECT max(e.revision) FROM {table} e WHERE e.stream = s.stream)
             FROM unnest($1::text[]) WITH ORDINALITY s(stream, n) ORDER BY s.n"
        ),
        false => format!(
            "SELECT h.revision FROM unnest($1::text[]) WITH ORDINALITY s(stream, n)
             LEFT JOIN (SELECT stream, max(revision) AS revision FROM {table} WHERE stream = ANY($1) GROUP BY stream) h
                    ON h.stream = s.stream
             ORDER BY s.n"
        ),
    };
    // A name that no text holds can be looked up under no name at all: no stream has the empty one.
    let names: Vec<&str> = streams.iter().map(|stream| storable(stream).unwrap_or("")).collect();
    let heads: Vec<Option<i64>> =
        sqlx::query_scalar(AssertSqlSafe(statement)).bind(names).fetch_all(connection).await?;
    Ok(heads.into_iter().map(|head| head.map(|revision| Revision(revision.unsigned_abs()))).collect())
}

/// Deletes the events of these streams from these revisions on.
pub(super) async fn withdraw(
    connection: &mut PgConnection,
    table: &Relation,
    from: &[(StreamName, Revision)],
) -> Result<()> {
    // What a column can't hold is not there.
    let held = from.iter().filter_map(|(stream, first)| Some((storable(stream)?, i64::try_from(first.0).ok()?)));
    let (streams, revisions): (Vec<&str>, Vec<i64>) = held.unzip();
    if streams.is_empty() {
        return Ok(());
    }
    let statement = format!(
        "DELETE FROM {table} e USING unnest($1::text[], $2::bigint[]) w(stream, revision)
         WHERE e.stream = w.stream AND e.revision >= w.revision"
    );
    sqlx::query(AssertSqlSafe(statement)).bind(streams).bind(revisions).execute(connection).await.map(|_| ())
}

fn storable(stream: &StreamName) -> Option<&str> {
    Some(stream.as_str()).filter(|name| !name.contains('\0'))
}

/// What became of the table.
pub(super) struct Erased {
    /// No event is left: the table is loading again.
    pub(super) is_empty: bool,
}

/// Deletes the events behind a position and what the ledger knows of a run's progress, in one transaction; stores its
/// record. A table that is empty then has no indexes of ours any more.
pub(super) async fn erase(
    session: &mut Session,
    after: Option<Position>,
    run: &RunRecord,
) -> std::result::Result<Erased, StoreError> {
    const ACTION: &str = "take events out of";
    let fence = session.fence();
    let failed = |e| store_error(ACTION, &fence.display, e);
    let (table, sequence) = (session.table.relation.clone(), session.sequence.clone());
    let connection = &mut session.connection;
    let row = fence.begin(connection, ACTION).await?;
    delete_behind(connection, &table, after).await.map_err(failed)?;
    let (last,): (Option<i64>,) = sqlx::query_as(AssertSqlSafe(format!("SELECT max(position)::int8 FROM {table}")))
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if last.is_none() && row.is_sealed {
        unseal(connection, &fence, &table).await.map_err(failed)?;
    }
    number_back(connection, sequence.as_deref(), last.unwrap_or(0)).await.map_err(failed)?;
    fence.ledger.forget(connection, run.id).await.map_err(failed)?;
    fence.ledger.record_run(connection, run).await.map_err(failed)?;
    fence.commit(connection, ACTION).await?;
    Ok(Erased { is_empty: last.is_none() })
}

async fn delete_behind(connection: &mut PgConnection, table: &Relation, after: Option<Position>) -> Result<()> {
    let Some(after) = after else {
        // Gives the room back at once; not allowed where something refers to the table, or without the right to.
        if attempt(connection, &format!("TRUNCATE {table}")).await? {
            return Ok(());
        }
        return sqlx::query(AssertSqlSafe(format!("DELETE FROM {table}"))).execute(connection).await.map(|_| ());
    };
    let Ok(after) = i64::try_from(after.major()) else { return Ok(()) };
    let delete = format!("DELETE FROM {table} WHERE position > $1");
    sqlx::query(AssertSqlSafe(delete)).bind(after).execute(connection).await.map(|_| ())
}

/// Makes the store loading again, without the indexes and the trigger that sealing makes.
async fn unseal(connection: &mut PgConnection, fence: &Fence, table: &Relation) -> Result<()> {
    fence.ledger.unseal(connection).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("DROP TRIGGER IF EXISTS eventlift_notify ON {table}")))
        .execute(&mut *connection)
        .await?;
    let present = layout::present(connection, table).await?;
    for index in INDEXES {
        let relation = index.relation(table);
        // An index of somebody else's, or one that something refers to, stays: loading only takes longer.
        let Some(found) = present.iter().find(|found| found.name == relation.name && found.serves(index)) else {
            continue;
        };
        let drop = match found.is_primary {
            true => format!("ALTER TABLE {table} DROP CONSTRAINT {}", Quoted(&found.name)),
            false => format!("DROP INDEX {relation}"),
        };
        attempt(connection, &drop).await?;
    }
    Ok(())
}

/// Has the sequence of the table's own go on behind a position, as part of the transaction: `setval` would not be undone
/// with it. One that eventlift may not change goes on where it is, and leaves a gap.
async fn number_back(connection: &mut PgConnection, sequence: Option<&str>, last: i64) -> Result<()> {
    let Some(sequence) = sequence else { return Ok(()) };
    let statement = format!("ALTER SEQUENCE {sequence} RESTART WITH {}", last.saturating_add(1).max(1));
    attempt(connection, &statement).await.map(|_| ())
}

/// Runs a statement that may be refused by what others own or refer to; says whether it was not.
async fn attempt(connection: &mut PgConnection, statement: &str) -> Result<bool> {
    sqlx::raw_sql("SAVEPOINT attempt").execute(&mut *connection).await?;
    let result = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut *connection).await;
    let (is_done, end) = match result {
        Ok(_) => (true, "RELEASE attempt"),
        Err(error) if is_refused(&error) => (false, "ROLLBACK TO attempt; RELEASE attempt"),
        Err(error) => return Err(error),
    };
    sqlx::raw_sql(end).execute(connection).await.map(|_| is_done)
}

/// No right, something depends on it, referred to by a foreign key, not possible for such an object.
fn is_refused(error: &sqlx::Error) -> bool {
    reported(error).is_some_and(|said| ["42501", "2BP01", "0A000", "55000", "42809"].contains(&said.code()))
}
