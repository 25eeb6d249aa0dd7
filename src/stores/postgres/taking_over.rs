//! Who writes to a table, and asking them to let go of it: their lock says that somebody does, the ledger who, and a second
//! lock beside it that somebody asks. Both locks end with their sessions, so neither outlives who took it.

use std::time::Duration;

use eventlift_events::StoreError;
use sqlx::postgres::PgConnection;

use super::columns::relation;
use super::config::PostgresConfig;
use super::connection::connect;
use super::failure::{reported, store_error};
use super::ledger::Ledger;
use super::relation::lock_key;
use crate::stores::taking_over::{Activity, EndedSession};
use crate::stores::{Asking, Holder};

/// The lock of whoever writes to a table.
pub(super) fn lock_of(config: &PostgresConfig) -> i64 {
    lock_key("writer", &config.schema, &config.table)
}

/// The lock of whoever asks for it; several may ask.
fn request_of(config: &PostgresConfig, asking: Asking) -> i64 {
    let purpose = match asking {
        Asking::ForAWhile => "request",
        Asking::ForGood => "request for good",
    };
    lock_key(purpose, &config.schema, &config.table)
}

/// The rows of `pg_locks` that are about the lock `$1`.
const THE_LOCK: &str = "l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
     AND l.classid = (($1 >> 32) & 4294967295)::oid AND l.objid = ($1 & 4294967295)::oid";

/// A request; it stands as long as this lives.
#[derive(Debug)]
pub(in crate::stores) struct PostgresRequest {
    // Held, never read: the lock ends with it.
    _connection: PgConnection,
}

/// Asks whoever writes to the table to let go of it.
pub(in crate::stores) async fn request(config: &PostgresConfig, asking: Asking) -> Result<PostgresRequest, StoreError> {
    let display = config.place();
    let mut connection = connect(&config.server, &display).await?;
    let locked = sqlx::query("SELECT pg_advisory_lock_shared($1)").bind(request_of(config, asking));
    locked.execute(&mut connection).await.map_err(|e| store_error("ask for", &display, e))?;
    Ok(PostgresRequest { _connection: connection })
}

/// Whether somebody asks for the table; of several, whoever asks for more.
pub(in crate::stores) async fn standing_request(config: &PostgresConfig) -> Result<Option<Asking>, StoreError> {
    let display = config.place();
    let mut connection = connect(&config.server, &display).await?;
    asks(&mut connection, config).await.map_err(|e| store_error("look at", &display, e))
}

/// Looks every now and then until somebody asks for the table. Fails where the server can't be asked.
pub(in crate::stores) async fn wait_until_asked(
    config: &PostgresConfig,
    every: Duration,
) -> Result<Asking, StoreError> {
    let display = config.place();
    let failed = |e| store_error("look at", &display, e);
    let mut connection = connect(&config.server, &display).await?;
    loop {
        match asks(&mut connection, config).await.map_err(failed)? {
            Some(asking) => return Ok(asking),
            None => tokio::time::sleep(every).await,
        }
    }
}

async fn asks(connection: &mut PgConnection, config: &PostgresConfig) -> sqlx::Result<Option<Asking>> {
    for asking in [Asking::ForGood, Asking::ForAWhile] {
        let select = format!("SELECT EXISTS (SELECT 1 FROM pg_locks l WHERE {THE_LOCK})");
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(select)).bind(request_of(config, asking));
        let stands: bool = query.fetch_one(&mut *connection).await?;
        if stands {
            return Ok(Some(asking));
        }
    }
    Ok(None)
}

/// Who writes to the table.
pub(in crate::stores) async fn holder(config: &PostgresConfig) -> Result<Option<Holder>, StoreError> {
    let display = config.place();
    let mut connection = connect(&config.server, &display).await?;
    holder_of(&mut connection, config).await.map_err(|e| store_error("look at", &display, e))
}

/// The same over a connection.
pub(super) async fn holder_of(connection: &mut PgConnection, config: &PostgresConfig) -> sqlx::Result<Option<Holder>> {
    let select = format!(
        "SELECT l.pid, a.application_name, host(a.client_addr)
         FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid WHERE {THE_LOCK}"
    );
    let found: Option<(i32, Option<String>, Option<String>)> =
        sqlx::query_as(sqlx::AssertSqlSafe(select)).bind(lock_of(config)).fetch_optional(&mut *connection).await?;
    let Some((session, application, address)) = found else { return Ok(None) };
    let application = application.filter(|name| !name.is_empty()).unwrap_or_else(|| "a program".to_owned());
    let address = address.unwrap_or_else(|| "the server itself".to_owned());
    let server = format!("{application}, process {session} of the server, connected from {address}");
    // What the ledger says may be of a session before this one, or of a version that said nothing.
    let written = written(connection, config).await.map(|text| Holder::parse(&text));
    let known = written.filter(|written| written.session == Some(session)).unwrap_or_default();
    Ok(Some(Holder { session: Some(session), server, ..known }))
}

/// What the ledger has of whoever opened the table last, if it can be read.
async fn written(connection: &mut PgConnection, config: &PostgresConfig) -> Option<String> {
    let ledger = Ledger::of(&relation(config));
    // Through the row as a whole: an earlier version's has no such column.
    let select = format!("SELECT to_jsonb(s) ->> 'holder' FROM {} s WHERE store = $1", ledger.table("stores"));
    let query = sqlx::query_scalar(sqlx::AssertSqlSafe(select)).bind(ledger.store());
    query.fetch_optional(connection).await.ok().flatten().flatten()
}

/// What the server says of the work on the table: its session's, and of indexes that are built on it.
pub(in crate::stores) async fn activity(config: &PostgresConfig) -> Result<Activity, StoreError> {
    let display = config.place();
    let mut connection = connect(&config.server, &display).await?;
    let select = format!(
        "SELECT concat_ws(' ', a.pid, a.state, a.query_start, a.xact_start,
                          (SELECT string_agg(concat_ws(' ', p.pid, p.phase, p.blocks_done, p.tuples_done), ' ' ORDER BY p.pid)
                           FROM pg_stat_progress_create_index p WHERE p.relid = to_regclass($2))),
                coalesce(a.state = 'active' AND coalesce(a.wait_event_type, '') NOT IN ('Lock', 'Client'), false)
         FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid WHERE {THE_LOCK}"
    );
    let found: Option<(String, bool)> = sqlx::query_as(sqlx::AssertSqlSafe(select))
        .bind(lock_of(config))
        .bind(relation(config).to_string())
        .fetch_optional(&mut connection)
        .await
        .map_err(|e| store_error("look at", &display, e))?;
    let (sign, is_working) = found.unwrap_or_default();
    Ok(Activity { sign, is_working })
}

/// Ends the session that has the table's lock, where it is the one of this number still.
pub(in crate::stores) async fn end_session(config: &PostgresConfig, number: i32) -> Result<EndedSession, StoreError> {
    let display = config.place();
    let mut connection = connect(&config.server, &display).await?;
    end_locking(&mut connection, config, number).await.map_err(|e| store_error("end a session of", &display, e))
}

/// The same over a connection.
pub(super) async fn end_locking(
    connection: &mut PgConnection,
    config: &PostgresConfig,
    number: i32,
) -> sqlx::Result<EndedSession> {
    let select = format!(
        "SELECT coalesce(bool_or(pg_terminate_backend(l.pid)), false) FROM pg_locks l WHERE {THE_LOCK} AND l.pid = $2"
    );
    let query = sqlx::query_scalar(sqlx::AssertSqlSafe(select)).bind(lock_of(config)).bind(number);
    match query.fetch_one(connection).await {
        Ok(true) => Ok(EndedSession::Ended),
        Ok(false) => Ok(EndedSession::Gone),
        Err(error) if reported(&error).is_some_and(|said| said.code() == "42501") => {
            Ok(EndedSession::NotAllowed { statement: format!("SELECT pg_terminate_backend({number})") })
        }
        Err(error) => Err(error),
    }
}
