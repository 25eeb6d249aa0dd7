//! Positions in a table of somebody else's.

use eventlift_events::{RunId, StoreError, StoreErrorKind};
use sqlx::{AssertSqlSafe, Connection};

use super::config::PostgresServer;
use super::connection::connect;
use super::failure::{Place, store_error};
use super::relation::{Quoted, Relation};
use crate::stores::checkpoint_table::{
    CheckpointChange, CheckpointRow, CheckpointRows, CheckpointTable, TRANSLATED, no_key, not_one,
};

const ACTION: &str = "translate positions in";

/// The rows of a table.
pub(in crate::stores) async fn checkpoint_rows(
    server: &PostgresServer,
    table: &CheckpointTable,
    run: RunId,
) -> Result<CheckpointRows, StoreError> {
    let schema = table.schema_or("public");
    let display = Place::new(server, server, Some(schema));
    let failed = |error| store_error("read", &display, error);
    let mut connection = connect(server, &display).await?;
    let query = format!(
        "SELECT {key}::text, {column}::text FROM {table} ORDER BY {key}::text COLLATE \"C\"",
        key = Quoted(&table.key),
        column = Quoted(&table.column),
        table = Relation::new(schema, &table.table),
    );
    let rows: Vec<(Option<String>, Option<String>)> =
        sqlx::query_as(AssertSqlSafe(query)).fetch_all(&mut connection).await.map_err(failed)?;
    let rows: Option<Vec<CheckpointRow>> =
        rows.into_iter().map(|(key, position)| Some(CheckpointRow { key: key?, position })).collect();
    let rows = rows.ok_or_else(|| no_key(&display, table))?;

    let translated = Relation::new(schema, TRANSLATED);
    let is_there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(translated.to_string())
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    let keys: Vec<String> = match is_there {
        false => Vec::new(),
        true => {
            let query = format!("SELECT row_key FROM {translated} WHERE run = $1 AND column_name = $2");
            sqlx::query_scalar(AssertSqlSafe(query))
                .bind(run.to_string())
                .bind(table.column_name())
                .fetch_all(&mut connection)
                .await
                .map_err(failed)?
        }
    };
    Ok(CheckpointRows { rows, translated: keys.into_iter().collect() })
}

/// Changes rows, all or none.
pub(in crate::stores) async fn change_checkpoints(
    server: &PostgresServer,
    table: &CheckpointTable,
    run: RunId,
    changes: &[CheckpointChange],
) -> Result<(), StoreError> {
    let schema = table.schema_or("public");
    let display = Place::new(server, server, Some(schema)).written();
    let failed = |error| store_error(ACTION, &display, error);
    let mut connection = connect(server, &display).await?;
    let mut transaction = connection.begin().await.map_err(failed)?;
    let relation = Relation::new(schema, &table.table);
    let of_type: Option<String> = sqlx::query_scalar(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute
         WHERE attrelid = to_regclass($1) AND attname = $2 AND attnum > 0 AND NOT attisdropped",
    )
    .bind(relation.to_string())
    .bind(&table.column)
    .fetch_optional(&mut *transaction)
    .await
    .map_err(failed)?;
    let of_type = of_type.ok_or_else(|| {
        let problem = format!("table {relation} has no column {}", table.column);
        StoreError::new(ACTION, &display, StoreErrorKind::Unexpected(problem))
    })?;
    let translated = Relation::new(schema, TRANSLATED);
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {translated} (run text, column_name text, row_key text, was text, became text,
             translated_at timestamptz DEFAULT now(), PRIMARY KEY (run, column_name, row_key))"
    );
    sqlx::query(AssertSqlSafe(create)).execute(&mut *transaction).await.map_err(failed)?;
    // The type's name comes from the server, as it is to be written in SQL.
    let update = format!(
        "UPDATE {relation} SET {column} = $1::text::{of_type} WHERE {key}::text = $2 AND {column}::text = $3",
        column = Quoted(&table.column),
        key = Quoted(&table.key),
    );
    let note = format!("INSERT INTO {translated} (run, column_name, row_key, was, became) VALUES ($1, $2, $3, $4, $5)");
    for change in changes {
        let changed = sqlx::query(AssertSqlSafe(update.clone()))
            .bind(&change.to)
            .bind(&change.key)
            .bind(&change.from)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
        if changed.rows_affected() != 1 {
            return Err(not_one(&display, change, changed.rows_affected()));
        }
        sqlx::query(AssertSqlSafe(note.clone()))
            .bind(run.to_string())
            .bind(table.column_name())
            .bind(&change.key)
            .bind(&change.from)
            .bind(&change.to)
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}
