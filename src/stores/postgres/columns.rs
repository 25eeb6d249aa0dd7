//! What a table of events is made of, as the catalog tells: ours, or one that a service made itself.

use std::collections::BTreeMap;

use eventlift_events::{Guarantees, StoreError, StoreErrorKind};
use sqlx::postgres::PgConnection;

use super::config::{PayloadColumn, PostgresConfig};
use super::failure::store_error;
use super::relation::{Quoted, Relation};
use crate::stores::table_reading::TableGuarantees;

/// A table that can be read.
#[derive(Clone, Debug)]
pub(super) struct EventTable {
    /// Its `pg_class.oid`.
    pub(super) oid: i64,
    pub(super) columns: Columns,
    pub(super) guarantees: Guarantees,
    /// Whether no constraint says that positions are unique and that each event has one: a view, or a table that is read
    /// as one. Every read has to look.
    pub(super) is_audited: bool,
}

/// Which columns there are, where they may differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    /// Whether ids are of type `uuid`; text if not.
    pub(super) uuid_ids: bool,
    pub(super) schema_version: bool,
    pub(super) attributes: bool,
    pub(super) data: PayloadColumns,
    /// None where the table has no metadata.
    pub(super) metadata: Option<PayloadColumns>,
}

/// The columns of a payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct PayloadColumns {
    pub(super) kind: PayloadColumn,
    /// Whether there is a column beside it for bytes that are no JSON.
    pub(super) bytes: bool,
    /// Whether there is a column for the content type.
    pub(super) content_type: bool,
}

/// A column as the catalog has it.
struct Found {
    /// The name of its type; of what a domain is made of.
    type_name: String,
    not_null: bool,
}

const INTEGERS: &[&str] = &["int8", "int4", "int2"];
const TEXTS: &[&str] = &["text", "varchar"];
const PAYLOADS: &[&str] = &["json", "jsonb", "bytea"];

/// The columns that every table of events has, and the types that they may have.
const REQUIRED: [(&str, &[&str]); 7] = [
    ("position", INTEGERS),
    ("stream", TEXTS),
    ("revision", INTEGERS),
    ("id", &["text", "varchar", "uuid"]),
    ("type", TEXTS),
    ("recorded_at", &["timestamptz"]),
    ("data", PAYLOADS),
];

/// The columns that a table may do without.
const OPTIONAL: [(&str, &[&str]); 7] = [
    ("schema_version", INTEGERS),
    ("metadata", PAYLOADS),
    ("data_bytes", &["bytea"]),
    ("metadata_bytes", &["bytea"]),
    ("data_type", TEXTS),
    ("metadata_type", TEXTS),
    ("attributes", TEXTS),
];

impl EventTable {
    /// Looks at the table of a configuration. Fails where it is missing, may not be read, holds something else than
    /// events, or is the target of a load that has not ended, unless it is empty.
    pub(super) async fn find(connection: &mut PgConnection, config: &PostgresConfig) -> Result<Self, StoreError> {
        let failed = |kind| StoreError::new("open", config, kind);
        let (oid, kind) = readable_table(connection, config).await?;
        let found = found_columns(connection, config, oid).await?;
        let problems = column_problems(&found);
        if !problems.is_empty() {
            let problem = format!("the table is no table of events: {}", problems.join(", "));
            return Err(failed(StoreErrorKind::Unexpected(problem))
                .hint("name another table with `schema` and `table` in eventlift.toml, or give it these columns"));
        }
        let columns = Columns::of(&found);
        let is_audited = match (kind, config.reading.guarantees) {
            (_, Some(TableGuarantees::Audited)) | (Kind::View, None) => true,
            (Kind::Table, None | Some(TableGuarantees::Constraints)) => false,
            (Kind::View, Some(TableGuarantees::Constraints)) => {
                return Err(failed(StoreErrorKind::Unexpected("it is a view, which has no constraints".to_owned()))
                    .hint("leave `guarantees` out, or say \"audited\""));
            }
        };
        if is_audited {
            return Ok(Self { oid, columns, guarantees: Guarantees::default(), is_audited });
        }
        let unique = unique_columns(connection, config, oid).await?;
        let is_unique = |wanted: &[&str]| unique.iter().any(|columns| columns == wanted);
        let guarantees = Guarantees {
            unique_ids: is_unique(&["id"]),
            unique_revisions: is_unique(&["revision", "stream"]),
            // Others may insert whatever revision they like, and no constraint says that none is left out.
            dense_revisions: false,
        };
        let table = Self { oid, columns, guarantees, is_audited };
        let loading = is_loading(connection, config).await?;
        if loading && is_empty(connection, config).await? {
            return Ok(Self {
                guarantees: Guarantees { unique_ids: true, unique_revisions: true, ..guarantees },
                ..table
            });
        }
        if loading {
            let unfinished = "a run into it has not ended, so it is not whole";
            return Err(failed(StoreErrorKind::Unexpected(unfinished.to_owned()))
                .hint("finish the run with `eventlift migrate` first"));
        }
        let relation = relation(config);
        if !is_unique(&["position"]) {
            let problem = "no unique index makes certain that each position is there once".to_owned();
            let hint = format!(
                "CREATE UNIQUE INDEX CONCURRENTLY ON {relation} (position); or set guarantees = \"audited\" where it is a \
                 source that is not followed"
            );
            return Err(failed(StoreErrorKind::Unexpected(problem)).hint(hint));
        }
        if !found.get("position").is_some_and(|position| position.not_null) {
            let problem = "its positions may be NULL, and such events have no place in the order".to_owned();
            let hint = format!("ALTER TABLE {relation} ALTER COLUMN position SET NOT NULL");
            return Err(failed(StoreErrorKind::Unexpected(problem)).hint(hint));
        }
        Ok(table)
    }
}

impl Columns {
    fn of(found: &BTreeMap<String, Found>) -> Self {
        let is = |name: &str, type_name: &str| found.get(name).is_some_and(|column| column.type_name == type_name);
        let payload = |name: &str| PayloadColumns {
            kind: if is(name, "jsonb") {
                PayloadColumn::Jsonb
            } else if is(name, "bytea") {
                PayloadColumn::Bytea
            } else {
                PayloadColumn::Json
            },
            bytes: !is(name, "bytea") && found.contains_key(&format!("{name}_bytes")),
            content_type: found.contains_key(&format!("{name}_type")),
        };
        Self {
            uuid_ids: is("id", "uuid"),
            schema_version: found.contains_key("schema_version"),
            attributes: found.contains_key("attributes"),
            data: payload("data"),
            metadata: found.contains_key("metadata").then(|| payload("metadata")),
        }
    }
}

/// Everything about the columns that keeps the table from being read.
fn column_problems(found: &BTreeMap<String, Found>) -> Vec<String> {
    let wrong = |name: &str, types: &[&str]| {
        let column = found.get(name)?;
        // Whoever numbers events means ids all the same; they are read as the text of the number.
        let is_numbered = name == "id" && INTEGERS.contains(&&*column.type_name);
        let is_right = is_numbered || types.contains(&&*column.type_name);
        (!is_right).then(|| format!("column {name} is of type {}, not {}", column.type_name, types.join(" or ")))
    };
    let mut problems = Vec::new();
    for (name, types) in REQUIRED {
        match found.contains_key(name) {
            true => problems.extend(wrong(name, types)),
            false => problems.push(format!("column {name} ({}) is missing", types.join(" or "))),
        }
    }
    for (name, types) in OPTIONAL {
        problems.extend(wrong(name, types));
    }
    problems
}

/// What can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Table,
    View,
}

/// The oid of the table or view, once it is certain that it is one and may be read.
async fn readable_table(connection: &mut PgConnection, config: &PostgresConfig) -> Result<(i64, Kind), StoreError> {
    let failed = |kind| StoreError::new("open", config, kind);
    let sql = "SELECT c.oid::int8, c.relkind::text, has_schema_privilege(n.oid, 'USAGE'),
                      has_table_privilege(c.oid, 'SELECT'), current_user::text,
                      EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhparent = c.oid), row_security_active(c.oid)
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = $1 AND c.relname = $2";
    type Row = (i64, String, bool, bool, String, bool, bool);
    let row: Option<Row> = sqlx::query_as(sql)
        .bind(&config.schema)
        .bind(&config.table)
        .fetch_optional(connection)
        .await
        .map_err(|e| store_error("open", &config.place(), e))?;
    let Some((oid, kind, sees_schema, may_read, user, has_children, leaves_out_rows)) = row else {
        return Err(failed(StoreErrorKind::Missing).hint("check `schema` and `table` in eventlift.toml"));
    };
    let unexpected = |problem: &str| failed(StoreErrorKind::Unexpected(problem.to_owned()));
    let kind = match (&*kind, has_children) {
        ("r", true) => {
            return Err(unexpected("other tables inherit from it, and its indexes say nothing about their rows")
                .hint("only declarative partitions can be read"));
        }
        ("r" | "p", _) => Kind::Table,
        ("v" | "m", _) => Kind::View,
        _ => return Err(unexpected("it is no table and no view").hint("name a table of this server, or a view of one")),
    };
    let user = Quoted(&user).to_string();
    if !sees_schema {
        let schema = Quoted(&config.schema).to_string();
        let denied = StoreErrorKind::Denied(format!("{user} may not look into schema {schema}"));
        return Err(failed(denied).hint(format!("GRANT USAGE ON SCHEMA {schema} TO {user}")));
    }
    if !may_read {
        let denied = StoreErrorKind::Denied(format!("{user} may not read the table"));
        return Err(failed(denied).hint(format!("GRANT SELECT ON {} TO {user}", relation(config))));
    }
    if leaves_out_rows {
        let denied = StoreErrorKind::Denied(format!("{user} may see some rows only, by the table's row security"));
        return Err(failed(denied).hint(format!("ALTER ROLE {user} BYPASSRLS")));
    }
    Ok((oid, kind))
}

async fn found_columns(
    connection: &mut PgConnection,
    config: &PostgresConfig,
    table: i64,
) -> Result<BTreeMap<String, Found>, StoreError> {
    let sql = "SELECT a.attname::text, base.typname::text, a.attnotnull
               FROM pg_attribute a
               JOIN pg_type t ON t.oid = a.atttypid
               JOIN pg_type base ON base.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END
               WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped";
    let rows: Vec<(String, String, bool)> = sqlx::query_as(sql)
        .bind(table)
        .fetch_all(connection)
        .await
        .map_err(|e| store_error("open", &config.place(), e))?;
    Ok(rows.into_iter().map(|(name, type_name, not_null)| (name, Found { type_name, not_null })).collect())
}

/// The columns of each index that makes certain that they are unique, by name.
async fn unique_columns(
    connection: &mut PgConnection,
    config: &PostgresConfig,
    table: i64,
) -> Result<Vec<Vec<String>>, StoreError> {
    let sql = "SELECT ARRAY(SELECT a.attname::text
                            FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS k(number)
                            JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
                            ORDER BY a.attname::text COLLATE \"C\")
               FROM pg_index i
               WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid
                 AND i.indpred IS NULL AND i.indexprs IS NULL";
    let rows: Vec<(Vec<String>,)> = sqlx::query_as(sql)
        .bind(table)
        .fetch_all(connection)
        .await
        .map_err(|e| store_error("open", &config.place(), e))?;
    Ok(rows.into_iter().map(|(columns,)| columns).collect())
}

/// Whether the table is the target of a load of ours that has not ended.
async fn is_loading(connection: &mut PgConnection, config: &PostgresConfig) -> Result<bool, StoreError> {
    let failed = |e| store_error("open", &config.place(), e);
    let stores = Relation::new(&config.schema, "eventlift_stores");
    let there: (bool,) = sqlx::query_as(
        "SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                        WHERE n.nspname = $1 AND c.relname = $2)",
    )
    .bind(&stores.schema)
    .bind(&stores.name)
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    if !there.0 {
        return Ok(false);
    }
    let state = sqlx::AssertSqlSafe(format!("SELECT state::text FROM {stores} WHERE store = $1"));
    let state: Option<(String,)> =
        sqlx::query_as(state).bind(&config.table).fetch_optional(connection).await.map_err(failed)?;
    Ok(state.is_some_and(|(state,)| state == "loading"))
}

async fn is_empty(connection: &mut PgConnection, config: &PostgresConfig) -> Result<bool, StoreError> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT NOT EXISTS (SELECT 1 FROM {})", relation(config)));
    let (empty,) =
        sqlx::query_as(sql).fetch_one(connection).await.map_err(|e| store_error("open", &config.place(), e))?;
    Ok(empty)
}

/// The table of a configuration.
pub(super) fn relation(config: &PostgresConfig) -> Relation {
    Relation::new(&config.schema, &config.table)
}
