//! Versioned changes to a schema, each applied once, and never changed after that.

use std::collections::BTreeMap;

use eventlift_events::{StoreError, StoreErrorKind};
use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::failure::{Place, store_error};
use super::relation::{Quoted, Relation};

/// Tables that are versioned together, apart from those of other components in the same schema.
pub(super) struct Component {
    pub(super) name: &'static str,
    /// In the order of their versions, from 1 without a gap.
    pub(super) migrations: &'static [Migration],
}

/// One step. `{schema}` in its text stands for the schema's quoted name.
pub(super) struct Migration {
    pub(super) version: i32,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

impl Migration {
    /// SHA-256 of the text, in hexadecimal.
    fn checksum(&self) -> String {
        Sha256::digest(self.sql.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A step that a schema has: its name and checksum.
type Applied = BTreeMap<i32, (String, String)>;

/// Brings a component's tables to the version that this program knows, and creates the schema where there is none.
/// All or nothing; two programs at a time wait for one another. Fails where the schema has steps that this program
/// does not know, or other ones than it knows.
pub(super) async fn migrate(
    connection: &mut PgConnection,
    schema: &str,
    component: &Component,
    display: &Place,
) -> Result<(), StoreError> {
    let failed = |e| store_error("prepare", display, e);
    // Whoever may only use the tables must not need the right to make some.
    if pending(component, &applied(connection, schema, component).await.map_err(failed)?, display)?.is_empty() {
        return Ok(());
    }
    // Bringing a large ledger up to date takes as long as it takes.
    sqlx::raw_sql("BEGIN; SET LOCAL statement_timeout = 0").execute(&mut *connection).await.map_err(failed)?;
    let done = apply(connection, schema, component, display).await;
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sqlx::raw_sql(end).execute(&mut *connection).await;
    done?;
    ended.map_err(failed).map(|_| ())
}

/// Whether a schema has a component's tables in a version from which on they can be read. For whoever only reads: fails as
/// [`migrate`] does, and changes nothing.
pub(super) async fn is_readable(
    connection: &mut PgConnection,
    schema: &str,
    component: &Component,
    from: i32,
    display: &Place,
) -> Result<bool, StoreError> {
    let applied = applied(connection, schema, component).await.map_err(|e| store_error("open", display, e))?;
    Ok(pending(component, &applied, display)?.iter().all(|migration| migration.version > from))
}

/// The version that a component's tables have in a schema; 0 where it has none. For whoever only reads, and can read earlier
/// ones: fails as [`migrate`] does, and changes nothing.
pub(super) async fn version(
    connection: &mut PgConnection,
    schema: &str,
    component: &Component,
    display: &Place,
) -> Result<i32, StoreError> {
    let applied = applied(connection, schema, component).await.map_err(|e| store_error("open", display, e))?;
    pending(component, &applied, display)?;
    Ok(applied.last_key_value().map_or(0, |(version, _)| *version))
}

async fn apply(
    connection: &mut PgConnection,
    schema: &str,
    component: &Component,
    display: &Place,
) -> Result<(), StoreError> {
    let failed = |e| store_error("prepare", display, e);
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(super::relation::lock_key("migrations", schema, ""))
        .execute(&mut *connection)
        .await
        .map_err(failed)?;
    create_schema(connection, schema, display).await?;
    let ledger = ledger(schema);
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {ledger} (
             component  text NOT NULL,
             version    integer NOT NULL,
             name       text NOT NULL,
             checksum   text NOT NULL,
             applied_at timestamptz NOT NULL DEFAULT now(),
             PRIMARY KEY (component, version)
         )"
    );
    // `IF NOT EXISTS` asks for the right to create even where the table is there.
    if !exists(connection, schema).await.map_err(failed)? {
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await.map_err(failed)?;
    }
    // Another program may have been here before the lock was.
    let applied = applied(connection, schema, component).await.map_err(failed)?;
    for migration in pending(component, &applied, display)? {
        let sql = migration.sql.replace("{schema}", &Quoted(schema).to_string());
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await.map_err(failed)?;
        let insert = format!("INSERT INTO {ledger} (component, version, name, checksum) VALUES ($1, $2, $3, $4)");
        sqlx::query(AssertSqlSafe(insert))
            .bind(component.name)
            .bind(migration.version)
            .bind(migration.name)
            .bind(migration.checksum())
            .execute(&mut *connection)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

fn ledger(schema: &str) -> Relation {
    Relation::new(schema, "eventlift_schema")
}

async fn create_schema(connection: &mut PgConnection, schema: &str, display: &Place) -> Result<(), StoreError> {
    let failed = |e| store_error("prepare", display, e);
    let is_there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)")
        .bind(schema)
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if is_there {
        return Ok(());
    }
    let create = format!("CREATE SCHEMA {}", Quoted(schema));
    sqlx::raw_sql(AssertSqlSafe(create)).execute(connection).await.map_err(failed).map(|_| ())
}

async fn exists(connection: &mut PgConnection, schema: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = $1 AND c.relname = 'eventlift_schema')",
    )
    .bind(schema)
    .fetch_one(connection)
    .await
}

async fn applied(connection: &mut PgConnection, schema: &str, component: &Component) -> sqlx::Result<Applied> {
    if !exists(connection, schema).await? {
        return Ok(Applied::new());
    }
    let select = format!("SELECT version, name, checksum FROM {} WHERE component = $1", ledger(schema));
    let rows: Vec<(i32, String, String)> =
        sqlx::query_as(AssertSqlSafe(select)).bind(component.name).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(version, name, checksum)| (version, (name, checksum))).collect())
}

/// What is still to be applied. Fails where what was applied is not what this program knows.
fn pending(component: &Component, applied: &Applied, display: &Place) -> Result<Vec<&'static Migration>, StoreError> {
    let unexpected = |problem| StoreError::new("open", display, StoreErrorKind::Unexpected(problem));
    let known = component.migrations.last().map_or(0, |last| last.version);
    if let Some((newest, (name, _))) = applied.last_key_value().filter(|(version, _)| **version > known) {
        let problem = format!(
            "its {} tables have version {newest} ({name}), and eventlift {} knows up to {known}",
            component.name,
            env!("CARGO_PKG_VERSION")
        );
        return Err(unexpected(problem).hint("use the eventlift that changed them, or a newer one"));
    }
    for migration in component.migrations {
        let Some((name, checksum)) = applied.get(&migration.version) else { continue };
        if *checksum == migration.checksum() {
            continue;
        }
        let problem = format!(
            "version {} ({name}) of its {} tables was made by another statement than the one that eventlift {} knows",
            migration.version,
            component.name,
            env!("CARGO_PKG_VERSION")
        );
        return Err(unexpected(problem).hint("use the eventlift that made them"));
    }
    Ok(component.migrations.iter().filter(|migration| !applied.contains_key(&migration.version)).collect())
}
