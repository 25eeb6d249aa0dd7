//! What can be told about a table of events, its database and its server before anything is done with them.

use std::path::Path;

use eventlift_events::{StoreError, StoreErrorKind, Timestamp};
use sqlx::postgres::PgConnection;

use super::config::PostgresConfig;
use super::connection::connect;
use super::failure::store_error;
use super::relation::Quoted;
use crate::stores::fitness::{Room, free_at};

/// What there is, and what the user may do with it.
type Rights = (bool, bool, bool, bool, bool, bool, bool, bool);

impl PostgresConfig {
    async fn looked(&self) -> Result<PgConnection, StoreError> {
        connect(&self.server, &self.place()).await
    }

    /// The size of the table with its indexes, or of the database where the table's own is not known; and what is free at
    /// the server's data directory, where that is on this machine and may be known.
    pub(in crate::stores) async fn room(&self) -> Result<Room, StoreError> {
        let failed = |error| store_error("look at", &self.place(), error);
        let mut connection = self.looked().await?;
        let (table, database): (Option<i64>, i64) = sqlx::query_as(
            "SELECT pg_total_relation_size(to_regclass(quote_ident($1) || '.' || quote_ident($2))),
                    pg_database_size(current_database())",
        )
        .bind(&self.schema)
        .bind(&self.table)
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
        let folder: Option<String> = sqlx::query_scalar(
            "SELECT setting FROM pg_settings WHERE name = 'data_directory'
               AND (inet_server_addr() IS NULL OR inet_server_addr() = inet_client_addr())",
        )
        .fetch_optional(&mut connection)
        .await
        .map_err(failed)?;
        // The rows of a partitioned table are elsewhere.
        let used = table.filter(|bytes| *bytes > 0).unwrap_or(database);
        Ok(Room { used: u64::try_from(used).ok(), free: folder.and_then(|folder| free_at(Path::new(&folder))) })
    }

    pub(in crate::stores) async fn clock(&self) -> Result<Timestamp, StoreError> {
        let mut connection = self.looked().await?;
        let micros: i64 = sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8")
            .fetch_one(&mut connection)
            .await
            .map_err(|error| store_error("look at", &self.place(), error))?;
        Timestamp::from_micros(micros).map_err(|error| {
            StoreError::new("look at", self.place(), StoreErrorKind::Unexpected(format!("its clock is off: {error}")))
        })
    }

    pub(in crate::stores) async fn missing_privileges(
        &self,
        to_write: bool,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let mut connection = self.looked().await?;
        let rights: Rights = sqlx::query_as(
            "SELECT n.oid IS NOT NULL, c.oid IS NOT NULL, l.oid IS NOT NULL,
                    coalesce(has_schema_privilege(n.oid, 'USAGE'), false),
                    coalesce(has_schema_privilege(n.oid, 'CREATE'), false),
                    coalesce(has_table_privilege(c.oid, 'SELECT'), false),
                    coalesce(has_table_privilege(c.oid, 'INSERT'), false),
                    has_database_privilege(current_database(), 'CREATE')
             FROM (VALUES (1)) one
             LEFT JOIN pg_namespace n ON n.nspname = $1
             LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = $2
             LEFT JOIN pg_class l ON l.relnamespace = n.oid AND l.relname = 'eventlift_runs'",
        )
        .bind(&self.schema)
        .bind(&self.table)
        .fetch_one(&mut connection)
        .await
        .map_err(|error| store_error("look at", &self.place(), error))?;
        let database: String = sqlx::query_scalar("SELECT current_database()::text")
            .fetch_one(&mut connection)
            .await
            .map_err(|error| store_error("look at", &self.place(), error))?;
        Ok(self.missing(rights, &database, to_write))
    }

    fn missing(&self, rights: Rights, database: &str, to_write: bool) -> Vec<(String, String)> {
        let (has_schema, has_table, has_ledger, may_use, may_create, may_select, may_insert, may_create_schema) =
            rights;
        let (schema, user) = (Quoted(&self.schema), self.server.user());
        let user = Quoted(&user);
        let table = format!("{schema}.{}", Quoted(&self.table));
        let lacking = |privileges: &str, object: String| {
            let problem = format!("{user} lacks {privileges} on {object} of {}", self.server);
            (problem, format!("let the owner, or a superuser, run: GRANT {privileges} ON {object} TO {user}"))
        };
        let mut missing = Vec::new();
        if !has_schema {
            // Of a source that is not there, opening it says so.
            if to_write && !may_create_schema {
                missing.push(lacking("CREATE", format!("DATABASE {}", Quoted(database))));
            }
            return missing;
        }
        let makes_tables = to_write && !(has_table && has_ledger);
        match (may_use, may_create) {
            (false, false) if makes_tables => missing.push(lacking("USAGE, CREATE", format!("SCHEMA {schema}"))),
            (false, _) => missing.push(lacking("USAGE", format!("SCHEMA {schema}"))),
            (true, false) if makes_tables => missing.push(lacking("CREATE", format!("SCHEMA {schema}"))),
            _ => {}
        }
        if has_table && to_write && !(may_select && may_insert) {
            missing.push(lacking("SELECT, INSERT", format!("TABLE {table}")));
        } else if has_table && !may_select {
            missing.push(lacking("SELECT", format!("TABLE {table}")));
        }
        missing
    }
}
