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
    let failed = |e| store_error("open", &config.place(), e);
    let (database, may_ask, address): (String, bool, String) = sqlx::query_as(
        "SELECT oid::text, has_function_privilege('pg_control_system()', 'EXECUTE'),
                coalesce(host(inet_server_addr()), 'local') || ':' || coalesce(inet_server_port(), 0)
         FROM pg_database WHERE datname = current_database()",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    // Some hosted servers keep the cluster's number for themselves.
    let cluster: String = match may_ask {
        true => {
            let sql = "SELECT system_identifier::text FROM pg_control_system()";
            sqlx::query_scalar(sql).fetch_one(connection).await.map_err(failed)?
        }
        false => address,
    };
    let key = format!("postgres:{cluster}/{database}/{}.{}", config.schema, config.table);
    Ok(StoreIdentity { display: config.to_string(), key })
}
