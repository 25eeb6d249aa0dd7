//! Statements of the user's own: hooks.

use eventlift_events::StoreError;
use sqlx::AssertSqlSafe;

use super::config::PostgresConfig;
use super::connection::connect;
use super::failure::store_error;

/// Runs statements in one transaction.
pub(in crate::stores) async fn execute(config: &PostgresConfig, sql: &str) -> Result<(), StoreError> {
    let place = config.place();
    let failed = |e| store_error("run a statement on", &place, e);
    let mut connection = connect(&config.server, &place).await?;
    sqlx::raw_sql("BEGIN").execute(&mut connection).await.map_err(failed)?;
    // The user's own file says it, as it says everything else.
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.map_err(failed)?;
    sqlx::raw_sql("COMMIT").execute(&mut connection).await.map_err(failed).map(|_| ())
}
