//! The ledger's tables.

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};

use super::super::relation::{Quoted, Relation};

/// `tables` and `parts` are JSON; times are microseconds since 1970. A generation's quarantine is numbered as it came.
/// `changed_by` is the transaction that changed the build last, `last_load` the hash of the rows that were loaded last.
/// Whoever takes a projection raises its `epoch`.
const TABLES: &str = r#"
CREATE TABLE IF NOT EXISTS {schema}.eventlift_projections (
    projection  text COLLATE "C" NOT NULL,
    side        text NOT NULL CHECK (side IN ('live', 'shadow', 'previous')),
    generation  bigint NOT NULL,
    source      text NOT NULL,
    fingerprint text NOT NULL,
    parts       text NOT NULL,
    tables      text NOT NULL,
    checkpoint  text,
    events      bigint NOT NULL,
    is_complete boolean NOT NULL,
    begun_at    bigint NOT NULL,
    updated_at  bigint NOT NULL,
    changed_by  xid8,
    last_load   bytea,
    PRIMARY KEY (projection, generation)
);
CREATE TABLE IF NOT EXISTS {schema}.eventlift_generations (
    projection text COLLATE "C" PRIMARY KEY,
    last       bigint NOT NULL,
    epoch      bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS {schema}.eventlift_quarantine (
    projection text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    number     bigint NOT NULL,
    held_table bigint,
    held_key   bytea,
    id         text NOT NULL,
    stream     text NOT NULL,
    revision   bigint NOT NULL,
    position   text NOT NULL,
    reason     text NOT NULL,
    PRIMARY KEY (projection, generation, number)
);
CREATE TABLE IF NOT EXISTS {schema}.eventlift_rebuilds (
    number     bigint PRIMARY KEY,
    projection text NOT NULL,
    action     text NOT NULL,
    reason     text NOT NULL,
    schedule   text,
    due_at     bigint,
    outcome    text NOT NULL,
    begun_at   bigint NOT NULL,
    updated_at bigint NOT NULL,
    events     bigint NOT NULL,
    rows       bigint NOT NULL
);
"#;

/// Makes one of those who create the tables at the same time wait for the other.
const CREATING: i64 = 0x6576_656e_746c_6966;

/// Creates the schema and the tables that are not there yet.
pub(super) async fn create(connection: &mut PgConnection, schema: &str) -> Result<(), sqlx::Error> {
    if exists(connection, schema).await? {
        return Ok(());
    }
    connection.execute("BEGIN").await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(CREATING).execute(&mut *connection).await?;
    // Asked first, for a role that may use the schema and not make one.
    let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)")
        .bind(schema)
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        let sql = format!("CREATE SCHEMA {}", Quoted(schema));
        connection.execute(AssertSqlSafe(sql)).await?;
    }
    let sql = TABLES.replace("{schema}", &Quoted(schema).to_string());
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await?;
    connection.execute("COMMIT").await?;
    Ok(())
}

/// Whether the schema has them. They are created all at once.
pub(super) async fn exists(connection: &mut PgConnection, schema: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = 'eventlift_rebuilds' AND c.relkind = 'r')",
    )
    .bind(schema)
    .fetch_one(connection)
    .await
}

/// A table of the ledger, as SQL takes it.
pub(super) fn ledger(schema: &str, name: &str) -> Relation {
    Relation::new(schema, format!("eventlift_{name}"))
}
