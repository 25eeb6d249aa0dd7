//! The tables of a build in the database.

use eventlift_projections::{Column, ColumnType, Index, Side, Table, Value};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::numbers::{digits_name, numeric_columns, value_of_digits};
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

/// The names of all columns that a table has in the database: those that it declares, and the digits of exact numbers.
pub(super) fn stored_columns(table: &Table) -> Vec<String> {
    let declared = table.columns.iter().map(|column| column.name.clone());
    declared.chain(numeric_columns(table).map(|(_, column)| digits_name(column))).collect()
}

/// What is selected to read rows: all columns that a table declares, exact numbers as their digits; then what SQLite
/// compares of those.
pub(super) fn read_columns(table: &Table) -> String {
    let declared = table.columns.iter().map(|column| match column.column_type {
        ColumnType::Numeric => digits_name(column),
        _ => column.name.clone(),
    });
    let names = declared.chain(numeric_columns(table).map(|(_, column)| column.name.clone()));
    names.map(|name| quoted(&name)).collect::<Vec<_>>().join(", ")
}

/// Creates an empty table of a build, without its indexes.
pub(super) fn create(connection: &Connection, side: Side, table: &Table) -> Result<(), Failure> {
    let column = |(place, column): (usize, &Column)| {
        let null = if table.key.contains(&place) { " NOT NULL" } else { "" };
        format!("{} {}{null}", quoted(&column.name), sql_type(column.column_type))
    };
    let digits = numeric_columns(table).map(|(_, column)| format!("{} TEXT", quoted(&digits_name(column))));
    let columns: Vec<String> = table.columns.iter().enumerate().map(column).chain(digits).collect();
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

/// Fails unless a table of a build is there with the columns and the key that it was made with, as they are made now.
pub(super) fn verify(connection: &Connection, side: Side, table: &Table) -> Result<(), Failure> {
    if has_numbers_as_text(connection, side, table)? {
        let message = "its exact numbers are text, which sorts as text: an earlier version of eventlift has built it";
        let refusal = Refusal::unsupported(message).at(format_args!("table {}", name_on(side, &table.name)));
        return Err(refusal.hint("`eventlift rebuild` builds it anew, with numbers").into());
    }
    verify_any(connection, side, table)
}

/// The same of a table that may be made as it was made once.
pub(super) fn verify_any(connection: &Connection, side: Side, table: &Table) -> Result<(), Failure> {
    let name = name_on(side, &table.name);
    if let Some(kind) = kind_of(connection, &name)?.filter(|kind| kind != "table") {
        let message = format!("the table `{name}` was changed by something else: there is a {kind} in its place");
        return Err(Refusal::unexpected(message).hint(format_args!("drop the {kind}, then rebuild")).into());
    }
    let found = columns_of(connection, &name)?;
    let as_text = has_numbers_as_text(connection, side, table)?;
    let Some(difference) = difference(table, &found, as_text) else { return Ok(()) };
    let message = format!("the table `{name}` was changed by something else: {difference}");
    Err(Refusal::unexpected(message).hint("`eventlift rebuild` builds it anew; what else writes to its tables?").into())
}

/// Whether a table was built when exact numbers were kept as nothing but text.
pub(super) fn has_numbers_as_text(connection: &Connection, side: Side, table: &Table) -> Result<bool, Failure> {
    let Some((place, column)) = numeric_columns(table).next() else { return Ok(false) };
    let found = columns_of(connection, &name_on(side, &table.name))?;
    let is_text = found.get(place).is_some_and(|(name, column_type, _)| *name == column.name && column_type == "TEXT");
    Ok(is_text && found.len() == table.columns.len())
}

/// The columns of a table: name, type, place in the key from 1.
fn columns_of(connection: &Connection, name: &str) -> Result<Vec<(String, String, i64)>, Failure> {
    let mut statement = connection.prepare_cached("SELECT name, type, pk FROM pragma_table_xinfo(?1)")?;
    let found = statement.query_map([name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn difference(table: &Table, found: &[(String, String, i64)], numbers_as_text: bool) -> Option<String> {
    if found.is_empty() {
        return Some("it is gone".to_owned());
    }
    let digits = numeric_columns(table).filter(|_| !numbers_as_text).map(|(_, column)| digits_name(column));
    let digits: Vec<String> = digits.collect();
    let (found_digits, found): (Vec<_>, Vec<_>) = found.iter().partition(|(name, ..)| digits.contains(name));
    for (place, column) in table.columns.iter().enumerate() {
        let Some((name, column_type, key)) = found.get(place) else {
            return Some(format!("the column `{}` is gone", column.name));
        };
        let is_text = numbers_as_text && column.column_type == ColumnType::Numeric;
        let expected = if is_text { "TEXT" } else { sql_type(column.column_type) };
        let in_key = table.key.iter().position(|key| *key == place);
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
    for expected in &digits {
        match found_digits.iter().find(|(name, ..)| name == expected) {
            Some((_, column_type, 0)) if column_type == "TEXT" => {}
            _ => return Some(format!("the column `{expected}` is gone, or another one")),
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
            indexed(table, index),
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

/// What an index is of. Two exact numbers are the same in a unique index when all their digits are.
fn indexed(table: &Table, index: &Index) -> String {
    let mut parts: Vec<String> = index.columns.iter().map(|place| quoted(&table.columns[*place].name)).collect();
    if index.unique {
        let exact = index.columns.iter().map(|place| &table.columns[*place]);
        let exact = exact.filter(|column| column.column_type == ColumnType::Numeric);
        parts.extend(exact.map(value_of_digits));
    }
    parts.join(", ")
}

/// The first values that two rows of a shadow table have in an index.
fn repeated(connection: &Connection, table: &Table, index: &Index) -> Result<Vec<Value>, Failure> {
    let columns = index.columns.iter().map(|place| &table.columns[*place]);
    let shown = columns.clone().map(|column| match column.column_type {
        ColumnType::Numeric => format!("min({})", quoted(&digits_name(column))),
        _ => quoted(&column.name),
    });
    let compared = columns.clone().map(|column| match column.column_type {
        ColumnType::Numeric => value_of_digits(column),
        _ => quoted(&column.name),
    });
    let present = columns.map(|column| format!("{} IS NOT NULL", quoted(&column.name)));
    let sql = format!(
        "SELECT {} FROM {} WHERE {} GROUP BY {} HAVING count(*) > 1 LIMIT 1",
        shown.collect::<Vec<_>>().join(", "),
        quoted(&name_on(Side::Shadow, &table.name)),
        present.collect::<Vec<_>>().join(" AND "),
        compared.collect::<Vec<_>>().join(", "),
    );
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query(params![])?;
    let Some(row) = rows.next()? else { return Ok(Vec::new()) };
    let value = |(number, place): (usize, &usize)| read(&table.columns[*place], row.get_ref(number)?);
    index.columns.iter().enumerate().map(value).collect()
}
