//! Which table this is, however it is connected to.

use eventlift_events::{StoreError, StoreIdentity};
use sqlx::postgres::PgConnection;

use super::config::PostgresConfig;
use super::failure::store_error;

/// The identity of a table of events: cluster, database and name, so that two ways to the same server are one store.
pub(super) async fn identity(
    connection: &mut PgConnection,
    config: &PostgresConfig,
) -> Result<StoreIdentity, StoreError> {
    let display = config.to_string();
    let found: (String, String) = sqlx::query_as(
        "SELECT (SELECT system_identifier::text FROM pg_control_system()), oid::text
         FROM pg_database WHERE datname = current_database()",
    )
    .fetch_one(connection)
    .await
    .map_err(|e| store_error("open", &display, e))?;
    let (cluster, database) = found;
    let key = format!("postgres:{cluster}/{database}/{}.{}", config.schema, config.table);
    Ok(StoreIdentity { display, key })
}
