//! The tables of a build in the database.

use eventlift_projections::{Column, ColumnType, Index, Side, Table, Value};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::refusal::{Failure, Refusal};
use super::values::{read, sql_type};

/// What stands behind a table's name on each side.
const SUFFIXES: [(Side, &str); 3] = [(Side::Live, ""), (Side::Shadow, "__next"), (Side::Previous, "__previous")];

/// What to try where a unique index does not hold.
pub(super) const MAKE_UNIQUE: &str = "make the index not unique, or the key and the fold such that its values are";

/// The name of a table of a build in the database.
pub(super) fn name_on(side: Side, table: &str) -> String {
    let suffix = SUFFIXES.iter().find(|(of, _)| *of == side).map_or("", |(_, suffix)| suffix);
    format!("{table}{suffix}")
}

/// A name as SQL takes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The names of columns, quoted, with commas between them.
pub(super) fn column_list(table: &Table, places: &[usize]) -> String {
    let names: Vec<String> = places.iter().map(|place| quoted(&table.columns[*place].name)).collect();
    names.join(", ")
}

/// All columns of a table, likewise.
pub(super) fn all_columns(table: &Table) -> String {
    column_list(table, &(0..table.columns.len()).collect::<Vec<_>>())
}

/// Creates an empty table of a build, without its indexes.
pub(super) fn create(connection: &Connection, side: Side, table: &Table) -> Result<(), Failure> {
    let column = |(place, column): (usize, &Column)| {
        let null = if table.key.contains(&place) { " NOT NULL" } else { "" };
        format!("{} {}{null}", quoted(&column.name), sql_type(column.column_type))
    };
    let columns: Vec<String> = table.columns.iter().enumerate().map(column).collect();
    // Large rows make the tree of a key deep; beside it they don't.
    let has_json = table.columns.iter().any(|column| column.column_type == ColumnType::Json);
    let options = if has_json { "STRICT" } else { "STRICT, WITHOUT ROWID" };
    let sql = format!(
        "CREATE TABLE {} (\n    {},\n    PRIMARY KEY ({})\n) {options}",
        quoted(&name_on(side, &table.name)),
        columns.join(",\n    "),
        column_list(table, &table.key),
    );
    Ok(connection.execute_batch(&sql)?)
}

/// What there is of a name: `table`, `view`, `index`.
pub(super) fn kind_of(connection: &Connection, name: &str) -> Result<Option<String>, Failure> {
    let kind = connection
        .prepare_cached("SELECT type FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE AND type <> 'trigger'")?
        .query_row([name], |row| row.get(0))
        .optional()?;
    Ok(kind)
}

/// Drops a table that is ours, if it is there.
pub(super) fn drop(connection: &Connection, side: Side, table: &Table) -> Result<(), Failure> {
    let name = name_on(side, &table.name);
    Ok(connection.execute_batch(&format!("DROP TABLE IF EXISTS {}", quoted(&name)))?)
}

/// Renames a table.
pub(super) fn rename(connection: &Connection, from: &str, to: &str) -> Result<(), Failure> {
    Ok(connection.execute_batch(&format!("ALTER TABLE {} RENAME TO {}", quoted(from), quoted(to)))?)
}

/// Fails unless a table of a build is there with the columns and the key that it was made with.
pub(super) fn verify(connection: &Connection, side: Side, table: &Table) -> Result<(), Failure> {
    let name = name_on(side, &table.name);
    if let Some(kind) = kind_of(connection, &name)?.filter(|kind| kind != "table") {
        let message = format!("the table `{name}` was changed by something else: there is a {kind} in its place");
        return Err(Refusal::unexpected(message).hint(format_args!("drop the {kind}, then rebuild")).into());
    }
    let mut statement = connection.prepare_cached("SELECT name, type, pk FROM pragma_table_xinfo(?1)")?;
    let found = statement.query_map([&name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let found: Vec<(String, String, i64)> = found.collect::<Result<_, _>>()?;
    let Some(difference) = difference(table, &found) else { return Ok(()) };
    let message = format!("the table `{name}` was changed by something else: {difference}");
    Err(Refusal::unexpected(message).hint("`eventlift rebuild` builds it anew; what else writes to its tables?").into())
}

fn difference(table: &Table, found: &[(String, String, i64)]) -> Option<String> {
    if found.is_empty() {
        return Some("it is gone".to_owned());
    }
    for (place, column) in table.columns.iter().enumerate() {
        let Some((name, column_type, key)) = found.get(place) else {
            return Some(format!("the column `{}` is gone", column.name));
        };
        let (expected, in_key) = (sql_type(column.column_type), table.key.iter().position(|key| *key == place));
        if *name != column.name {
            return Some(format!("column {} is `{name}`, not `{}`", place + 1, column.name));
        }
        if column_type != expected {
            return Some(format!("the column `{name}` is {column_type}, not {expected}"));
        }
        if *key != in_key.map_or(0, |place| place as i64 + 1) {
            return Some(format!("the key is another one (column `{name}`)"));
        }
    }
    found.get(table.columns.len()).map(|(name, ..)| format!("the column `{name}` was added"))
}

/// The name of an index, which it keeps wherever its table goes.
fn index_name(table: &Table, generation: u64, number: usize) -> String {
    format!("eventlift_{}_{generation}_{}", table.name, number + 1)
}

/// The names of all indexes of a build's table.
pub(super) fn index_names(table: &Table, generation: u64) -> Vec<String> {
    (0..table.indexes.len()).map(|number| index_name(table, generation, number)).collect()
}

/// Builds the indexes of a shadow table. Fails with the values where rows are not unique.
pub(super) fn create_indexes(connection: &Connection, table: &Table, generation: u64) -> Result<(), Failure> {
    for (number, index) in table.indexes.iter().enumerate() {
        let sql = format!(
            "CREATE {}INDEX {} ON {} ({})",
            if index.unique { "UNIQUE " } else { "" },
            quoted(&index_name(table, generation, number)),
            quoted(&name_on(Side::Shadow, &table.name)),
            column_list(table, &index.columns),
        );
        match connection.execute_batch(&sql) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                let values = repeated(connection, table, index)?;
                let message = table.same_values(index, &values.iter().collect::<Vec<_>>());
                return Err(Refusal::bad_input(message)
                    .at(format_args!("table {}", table.name))
                    .hint(MAKE_UNIQUE)
                    .into());
            }
            other => other?,
        }
    }
    Ok(())
}

/// The first values that two rows of a shadow table have in an index.
fn repeated(connection: &Connection, table: &Table, index: &Index) -> Result<Vec<Value>, Failure> {
    let columns = column_list(table, &index.columns);
    let present: Vec<String> =
        index.columns.iter().map(|place| format!("{} IS NOT NULL", quoted(&table.columns[*place].name))).collect();
    let sql = format!(
        "SELECT {columns} FROM {} WHERE {} GROUP BY {columns} HAVING count(*) > 1 LIMIT 1",
        quoted(&name_on(Side::Shadow, &table.name)),
        present.join(" AND "),
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params![])?;
    let Some(row) = rows.next()? else { return Ok(Vec::new()) };
    let value = |(number, place): (usize, &usize)| read(&table.columns[*place], row.get_ref(number)?);
    index.columns.iter().enumerate().map(value).collect()
}
