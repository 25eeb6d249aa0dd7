//! The tables of a build in the database.

use eventlift_projections::{Column, Index, Side, Table};
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use super::super::failure::reported;
use super::super::relation::{Quoted, Relation};
use super::super::said;
use super::refusal::{Failure, Refusal};
use super::values::sql_type;

/// What to try where a unique index does not hold.
pub(super) const MAKE_UNIQUE: &str = "make the index not unique, or the key and the fold such that its values are";
/// The longest name that PostgreSQL keeps whole, in bytes.
const LONGEST: usize = 63;
/// Columns that every table has already.
const SYSTEM_COLUMNS: [&str; 6] = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// A name with something behind it. One that gets too long is cut and gets a part of its hash.
fn suffixed(name: &str, suffix: &str) -> String {
    if name.len() + suffix.len() <= LONGEST {
        return format!("{name}{suffix}");
    }
    let hash: String = Sha256::digest(name).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    // Names of tables are ASCII: every byte ends a character.
    let kept = LONGEST - suffix.len() - hash.len() - 1;
    format!("{}_{hash}{suffix}", &name[..kept.min(name.len())])
}

/// The name of a table of a build in the database.
pub(super) fn name_on(side: Side, table: &str) -> String {
    match side {
        Side::Live => table.to_owned(),
        Side::Shadow => suffixed(table, "__next"),
        Side::Previous => suffixed(table, "__previous"),
    }
}

/// A table of a build, as SQL takes it.
pub(super) fn relation(schema: &str, side: Side, table: &Table) -> Relation {
    Relation::new(schema, name_on(side, &table.name))
}

/// The name of an index, which it keeps wherever its table goes.
pub(super) fn index_name(table: &Table, generation: u64, number: usize) -> String {
    suffixed(&format!("eventlift_{}", table.name), &format!("_{generation}_{}", number + 1))
}

/// The name of a table's primary key.
pub(super) fn key_name(table: &Table, generation: u64) -> String {
    suffixed(&format!("eventlift_{}", table.name), &format!("_{generation}_key"))
}

/// The names of everything we make on a build's table.
pub(super) fn own_names(table: &Table, generation: u64) -> Vec<String> {
    let indexes = (0..table.indexes.len()).map(|number| index_name(table, generation, number));
    indexes.chain([key_name(table, generation)]).collect()
}

/// The names of columns, quoted, with commas between them.
pub(super) fn column_list(table: &Table, places: &[usize]) -> String {
    let names: Vec<String> = places.iter().map(|place| Quoted(&table.columns[*place].name).to_string()).collect();
    names.join(", ")
}

/// All columns of a table, likewise.
pub(super) fn all_columns(table: &Table) -> String {
    column_list(table, &(0..table.columns.len()).collect::<Vec<_>>())
}

/// Fails where PostgreSQL can't have such a table.
pub(super) fn check(table: &Table) -> Result<(), Failure> {
    let taken = table.columns.iter().find(|column| SYSTEM_COLUMNS.contains(&&*column.name));
    let Some(column) = taken else { return Ok(()) };
    Err(Refusal::unsupported(format_args!("PostgreSQL keeps the column name `{}` for itself", column.name))
        .at(format_args!("table {}", table.name))
        .hint("give the column another name")
        .into())
}

/// Creates the empty table of a shadow build, without its key and indexes.
pub(super) async fn create(connection: &mut PgConnection, schema: &str, table: &Table) -> Result<(), Failure> {
    let column = |(place, column): (usize, &Column)| {
        let in_key = table.key.contains(&place);
        let collation = if in_key && sql_type(column.column_type) == "text" { " COLLATE \"C\"" } else { "" };
        let null = if in_key { " NOT NULL" } else { "" };
        format!("{} {}{collation}{null}", Quoted(&column.name), sql_type(column.column_type))
    };
    let columns: Vec<String> = table.columns.iter().enumerate().map(column).collect();
    let name = relation(schema, Side::Shadow, table);
    execute(connection, format!("CREATE TABLE {name} (\n    {}\n)", columns.join(",\n    "))).await
}

/// Runs a statement without parameters.
pub(super) async fn execute(connection: &mut PgConnection, sql: String) -> Result<(), Failure> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

/// What there is of a name: `table`, `view`, `index`, `type`.
pub(super) async fn kind_of(
    connection: &mut PgConnection,
    schema: &str,
    name: &str,
) -> Result<Option<String>, Failure> {
    let sql = "SELECT CASE relkind WHEN 'r' THEN 'table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                 WHEN 'i' THEN 'index' WHEN 'I' THEN 'partitioned index' WHEN 'S' THEN 'sequence'
                 WHEN 'p' THEN 'partitioned table' WHEN 'f' THEN 'foreign table' ELSE 'type' END
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
               UNION ALL
               SELECT 'type' FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
               WHERE n.nspname = $1 AND t.typname = $2 AND t.typrelid = 0 AND t.typelem = 0
               LIMIT 1";
    Ok(sqlx::query_scalar(sql).bind(schema).bind(name).fetch_optional(connection).await?)
}

/// The number of a table in the database's catalog, if it is there.
pub(super) async fn oid_of(connection: &mut PgConnection, name: &Relation) -> Result<Option<i64>, Failure> {
    let sql = "SELECT c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind = 'r'";
    Ok(sqlx::query_scalar(sql).bind(&name.schema).bind(&name.name).fetch_optional(connection).await?)
}

/// Drops a table that is ours, if it is there, and nothing with it.
pub(super) async fn drop(
    connection: &mut PgConnection,
    schema: &str,
    side: Side,
    table: &Table,
) -> Result<(), Failure> {
    let name = relation(schema, side, table);
    match execute(connection, format!("DROP TABLE IF EXISTS {name}")).await {
        Err(failure) if failure.code() == Some("2BP01") => {
            Err(Refusal::unexpected(format_args!("something else depends on {name}: {}", failure.said()))
                .at(format_args!("table {}", table.name))
                .hint("drop what depends on it, or make it speak of the live table")
                .into())
        }
        other => other,
    }
}

/// Renames a table.
pub(super) async fn rename(connection: &mut PgConnection, from: &Relation, to: &str) -> Result<(), Failure> {
    execute(connection, format!("ALTER TABLE {from} RENAME TO {}", Quoted(to))).await
}

/// Fails unless a table of a build is there with the columns that it was made with.
pub(super) async fn verify(
    connection: &mut PgConnection,
    schema: &str,
    side: Side,
    table: &Table,
) -> Result<(), Failure> {
    let name = name_on(side, &table.name);
    let sql = "SELECT c.relkind::text AS kind, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type,
                      (SELECT collname::text FROM pg_collation WHERE oid = a.attcollation) AS collation
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               WHERE n.nspname = $1 AND c.relname = $2 ORDER BY a.attnum";
    let rows = sqlx::query(sql).bind(schema).bind(&name).fetch_all(connection).await?;
    let kind: Option<String> = rows.first().map(|row| row.try_get("kind")).transpose()?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let column: Option<String> = row.try_get("name")?;
        let column_type: Option<String> = row.try_get("type")?;
        let collation: Option<String> = row.try_get("collation")?;
        found.extend(column.zip(column_type).map(|(name, of)| (name, of, collation)));
    }
    let difference = match kind.as_deref() {
        None => Some("it is gone".to_owned()),
        Some("r") => difference(table, &found),
        Some(_) => Some("something that is no table is in its place".to_owned()),
    };
    let Some(difference) = difference else { return Ok(()) };
    let message = format!("the table `{name}` was changed by something else: {difference}");
    Err(Refusal::unexpected(message).hint("`eventlift rebuild` builds it anew; what else writes to its tables?").into())
}

fn difference(table: &Table, found: &[(String, String, Option<String>)]) -> Option<String> {
    for (place, column) in table.columns.iter().enumerate() {
        let Some((name, column_type, collation)) = found.get(place) else {
            return Some(format!("the column `{}` is gone", column.name));
        };
        let expected = sql_type(column.column_type);
        if *name != column.name {
            return Some(format!("column {} is `{name}`, not `{}`", place + 1, column.name));
        }
        if column_type != expected {
            return Some(format!("the column `{name}` is {column_type}, not {expected}"));
        }
        let sorts_by_bytes = expected != "text" || collation.as_deref() == Some("C");
        if table.key.contains(&place) && !sorts_by_bytes {
            return Some(format!("the column `{name}` of the key has another collation than \"C\""));
        }
    }
    found.get(table.columns.len()).map(|(name, ..)| format!("the column `{name}` was added"))
}

/// Builds key and indexes of a shadow table. Fails with the values where rows are not unique.
pub(super) async fn finish(
    connection: &mut PgConnection,
    schema: &str,
    table: &Table,
    generation: u64,
) -> Result<(), Failure> {
    let name = relation(schema, Side::Shadow, table);
    let key = key_name(table, generation);
    // Of a large table, an index takes longer than any query should.
    execute(connection, "SET LOCAL statement_timeout = 0".to_owned()).await?;
    let sql =
        format!("ALTER TABLE {name} ADD CONSTRAINT {} PRIMARY KEY ({})", Quoted(&key), column_list(table, &table.key));
    execute(connection, sql).await.map_err(|failure| not_unique(table, generation, failure))?;
    for (number, index) in table.indexes.iter().enumerate() {
        let sql = format!(
            "CREATE {}INDEX {} ON {name} ({})",
            if index.unique { "UNIQUE " } else { "" },
            Quoted(&index_name(table, generation, number)),
            column_list(table, &index.columns),
        );
        execute(connection, sql).await.map_err(|failure| not_unique(table, generation, failure))?;
    }
    execute(connection, format!("ANALYZE {name}")).await
}

/// Names the values that two rows have in a unique index or as their key.
pub(super) fn not_unique(table: &Table, generation: u64, failure: Failure) -> Failure {
    let Failure::Postgres(error) = &failure else { return failure };
    let Some(found) = reported(error) else { return failure };
    let place = format!("table {}", table.name);
    if found.code() == "23505" {
        let constraint = found.constraint().unwrap_or_default();
        let is_this = |(number, _): &(usize, &Index)| index_name(table, generation, *number) == constraint;
        let of = match table.indexes.iter().enumerate().find(is_this) {
            Some((_, index)) => format!("in the unique index of {}", columns_of(table, &index.columns)),
            None if constraint == key_name(table, generation) => "as their key".to_owned(),
            None => format!("in the unique index {constraint}"),
        };
        let values = said::detail(found).unwrap_or_default();
        let message = format!("two rows have the same values {of}: {values}");
        return Refusal::bad_input(message).at(place).hint(MAKE_UNIQUE).into();
    }
    // Constraints and triggers that others made, and values that a type can't hold.
    match found.code().get(..2) {
        Some("22" | "23") => Refusal::bad_input(failure.said()).at(place).into(),
        _ => failure,
    }
}

fn columns_of(table: &Table, places: &[usize]) -> String {
    let names: Vec<&str> = places.iter().map(|place| &*table.columns[*place].name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        let (one, other) = (format!("{}a", "x".repeat(62)), format!("{}b", "x".repeat(62)));
        for side in [Side::Shadow, Side::Previous] {
            let names = [&one, &other].map(|name| name_on(side, name));
            assert_eq!(names.each_ref().map(String::len), [63, 63]);
            assert_ne!(names[0], names[1]);
        }
        assert_eq!(name_on(Side::Previous, "t"), "t__previous");
    }
}
