//! A user's own query, asked of a database in a transaction that can't write.

use std::time::Duration;

use eventlift_events::{StoreError, StoreErrorKind};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use sqlx::AssertSqlSafe;

use super::config::{PostgresConfig, PostgresReadModelConfig, PostgresServer};
use super::connection::connect;
use super::failure::{Place, store_error};
use super::relation::Quoted;
use crate::stores::asked::{Answer, Cell, as_table, too_long};

impl PostgresConfig {
    /// Asks the database. Tables without a schema are looked for in that of the events, then in `public`. Ended after
    /// `patience`.
    pub(in crate::stores) async fn ask(&self, sql: &str, patience: Duration) -> Result<Answer, StoreError> {
        ask(&self.server, &self.place(), &self.schema, sql, patience).await
    }
}

impl PostgresReadModelConfig {
    /// The same, of read models.
    pub(in crate::stores) async fn ask(&self, sql: &str, patience: Duration) -> Result<Answer, StoreError> {
        ask(&self.server, &self.place(), &self.schema, sql, patience).await
    }
}

async fn ask(
    server: &PostgresServer,
    display: &Place,
    schema: &str,
    sql: &str,
    patience: Duration,
) -> Result<Answer, StoreError> {
    let asking = asked(server, display, schema, sql, patience);
    // The server ends it by itself; one that is gone does not.
    let ended = tokio::time::timeout(patience + Duration::from_secs(5), asking).await;
    ended.unwrap_or_else(|_| Err(too_long(display, patience)))
}

async fn asked(
    server: &PostgresServer,
    display: &Place,
    schema: &str,
    sql: &str,
    patience: Duration,
) -> Result<Answer, StoreError> {
    let failed = |error: sqlx::Error| match error.as_database_error().and_then(|error| error.code()).as_deref() {
        // query_canceled
        Some("57014") => too_long(display, patience),
        _ => store_error("ask", display, error),
    };
    let mut connection = connect(server, display).await?;
    sqlx::query("BEGIN READ ONLY").execute(&mut connection).await.map_err(failed)?;
    sqlx::query("SELECT set_config('search_path', $1, true), set_config('statement_timeout', $2, true)")
        .bind(format!("{}, public", Quoted(schema)))
        .bind(format!("{}ms", patience.as_millis().max(1)))
        .execute(&mut connection)
        .await
        .map_err(failed)?;
    // As text, whatever its columns are.
    let wrapped = format!("SELECT row_to_json(asked)::text FROM {} LIMIT 2", as_table(sql));
    let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(wrapped))
        .persistent(false)
        .fetch_all(&mut connection)
        .await
        .map_err(failed)?;
    // Its end is the end of the connection; there is nothing to keep.
    let first = rows.first().map(|row| cells(row)).transpose().map_err(|error| {
        StoreError::new("ask", display, StoreErrorKind::Unexpected(format!("its answer can't be read: {error}")))
    })?;
    Ok(Answer { first, has_more: rows.len() > 1 })
}

/// The members of an object, in their order.
fn cells(row: &str) -> Result<Vec<(String, Cell)>, serde_json::Error> {
    struct Cells;
    impl<'de> Visitor<'de> for Cells {
        type Value = Vec<(String, Cell)>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a row")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut cells = Vec::new();
            while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                cells.push((name, cell(value.get())));
            }
            Ok(cells)
        }
    }
    serde_json::Deserializer::from_str(row).deserialize_map(Cells)
}

fn cell(json: &str) -> Cell {
    match json.as_bytes().first() {
        Some(b'n') => Cell::Null,
        Some(b'-' | b'0'..=b'9') => Cell::Number(json.to_owned()),
        Some(b'"') => Cell::Text(serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())),
        _ => Cell::Text(json.to_owned()),
    }
}
