//! Values as columns, and back.

use std::fmt::Write;

use eventlift_language::Shown;
use eventlift_projections::{Column, ColumnType, Numeric, Table, Value};
use rusqlite::types::ValueRef;
use rusqlite::{Statement, ToSql};
use uuid::Uuid;

use super::numbers::{Compared, digits_name, numeric_columns};
use super::refusal::{Failure, Refusal};

/// The type of a column in a STRICT table.
pub(super) fn sql_type(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Integer | ColumnType::Boolean => "INTEGER",
        // An integer or a double.
        ColumnType::Numeric => "ANY",
        ColumnType::Text | ColumnType::Time | ColumnType::Uuid | ColumnType::Json => "TEXT",
    }
}

/// Binds the values of a row, all of its table's columns from parameter 1 on, and behind them the digits of its exact
/// numbers. `text` is room to write in.
pub(super) fn bind_row(
    statement: &mut Statement<'_>,
    table: &Table,
    values: &[Value],
    text: &mut String,
) -> Result<(), Failure> {
    if values.len() != table.columns.len() {
        let message = format!("a row has {} values, the table {} columns", values.len(), table.columns.len());
        return Err(Refusal::bad_input(message).at(format_args!("table {}", table.name)).into());
    }
    for (place, (column, value)) in table.columns.iter().zip(values).enumerate() {
        bind(statement, place + 1, column, value, text)?;
    }
    for (number, (place, column)) in numeric_columns(table).enumerate() {
        let parameter = table.columns.len() + number + 1;
        match &values[place] {
            Value::Numeric(digits) => bind_digits(statement, parameter, **digits, text)?,
            value => bind(statement, parameter, column, value, text)?,
        }
    }
    for place in &table.key {
        let (column, value) = (&table.columns[*place], &values[*place]);
        if value.is_null() {
            let refusal = Refusal::bad_input(format_args!("the key column `{}` is null", column.name));
            return Err(refusal.at(format_args!("table {}", table.name)).into());
        }
    }
    Ok(())
}

/// Binds all digits of an exact number.
pub(super) fn bind_digits(
    statement: &mut Statement<'_>,
    parameter: usize,
    number: Numeric,
    text: &mut String,
) -> Result<(), Failure> {
    text.clear();
    write!(text, "{number}").map_err(|_| Refusal::bad_input("a number can't be written"))?;
    Ok(statement.raw_bind_parameter(parameter, text.as_str())?)
}

/// 0000-01-01T00:00:00Z.
const YEAR_0: i64 = -62_167_219_200_000_000;

/// Binds one value of a column.
pub(super) fn bind(
    statement: &mut Statement<'_>,
    parameter: usize,
    column: &Column,
    value: &Value,
    text: &mut String,
) -> Result<(), Failure> {
    if value.column_type().is_some_and(|column_type| column_type != column.column_type) {
        let message =
            format!("the column `{}` is of the type {}, but {} is not", column.name, column.column_type, Shown(value));
        return Err(Refusal::bad_input(message).into());
    }
    let mut put = |value: &dyn ToSql| statement.raw_bind_parameter(parameter, value);
    match value {
        Value::Null => put(&rusqlite::types::Null)?,
        Value::Text(value) | Value::Json(value) => put(&&**value)?,
        Value::Integer(value) => put(value)?,
        Value::Boolean(value) => put(value)?,
        Value::Uuid(uuid) => put(&&*uuid.hyphenated().encode_lower(&mut [0; uuid::fmt::Hyphenated::LENGTH]))?,
        Value::Numeric(number) => match Compared::of(**number) {
            Compared::Integer(number) => put(&number)?,
            Compared::Real(number) => put(&number)?,
        },
        // Times as text sort as times do, down to the year 0.
        Value::Time(moment) if moment.micros() < YEAR_0 => {
            let message = format!("the column `{}` holds {moment}, before the year 0", column.name);
            return Err(Refusal::unsupported(message).into());
        }
        Value::Time(moment) => {
            text.clear();
            write!(text, "{moment}").map_err(|_| Refusal::bad_input("a time can't be written"))?;
            to_six_decimals(text);
            put(&text.as_str())?;
        }
        Value::Kept(kept) => {
            let json = kept.json().map_err(|reason| Refusal::bad_input(reason.message))?;
            put(&json)?;
        }
    }
    Ok(())
}

/// `…:00Z` and `…:00.5Z` with six decimals.
fn to_six_decimals(text: &mut String) {
    if text.pop() != Some('Z') {
        return;
    }
    let decimals = text.rfind('.').map(|point| text.len() - point - 1);
    if decimals.is_none() {
        text.push('.');
    }
    for _ in decimals.unwrap_or(0)..6 {
        text.push('0');
    }
    text.push('Z');
}

/// The row that a query answered with: all of its table's columns, those of exact numbers as their digits, and behind
/// them what SQLite compares of these.
pub(super) fn read_row(table: &Table, row: &rusqlite::Row<'_>) -> Result<Box<[Value]>, Failure> {
    let value = |(number, column)| read(column, row.get_ref(number)?);
    let values: Box<[Value]> = table.columns.iter().enumerate().map(value).collect::<Result<_, Failure>>()?;
    for (number, (place, column)) in numeric_columns(table).enumerate() {
        let agrees = match (&values[place], row.get_ref(table.columns.len() + number)?) {
            (Value::Null, ValueRef::Null) => true,
            (Value::Numeric(number), ValueRef::Integer(found)) => Compared::of(**number) == Compared::Integer(found),
            (Value::Numeric(number), ValueRef::Real(found)) => Compared::of(**number) == Compared::Real(found),
            _ => false,
        };
        if !agrees {
            let message =
                format!("the columns `{}` and `{}` of a row hold different numbers", column.name, digits_name(column));
            let refusal = Refusal::unexpected(message).at(format_args!("table {}", table.name));
            return Err(refusal.hint("something else has written to the table: rebuild the projection").into());
        }
    }
    Ok(values)
}

/// The value in a column; of an exact number its digits.
pub(super) fn read(column: &Column, found: ValueRef<'_>) -> Result<Value, Failure> {
    let value = match (column.column_type, found) {
        (_, ValueRef::Null) => Some(Value::Null),
        (ColumnType::Integer, ValueRef::Integer(number)) => Some(Value::Integer(number)),
        (ColumnType::Boolean, ValueRef::Integer(number @ (0 | 1))) => Some(Value::Boolean(number == 1)),
        (column_type, ValueRef::Text(bytes)) => std::str::from_utf8(bytes).ok().and_then(|text| match column_type {
            ColumnType::Text => Some(Value::text(text)),
            ColumnType::Json => Some(Value::Json(text.into())),
            ColumnType::Numeric => text.parse::<Numeric>().ok().map(Value::numeric),
            ColumnType::Time => text.parse().ok().map(Value::Time),
            ColumnType::Uuid => Uuid::try_parse(text).ok().map(Value::Uuid),
            ColumnType::Integer | ColumnType::Boolean => None,
        }),
        _ => None,
    };
    let changed = || {
        let message =
            format!("the column `{}` holds a value that is not of the type {}", column.name, column.column_type);
        Refusal::unexpected(message).hint("something else has written to the table: rebuild the projection")
    };
    Ok(value.ok_or_else(changed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_six_decimals() {
        for (given, written) in [
            ("2024-05-01T12:00:00Z", "2024-05-01T12:00:00.000000Z"),
            ("2024-05-01T12:00:00.5Z", "2024-05-01T12:00:00.500000Z"),
            ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
        ] {
            let mut text = given.to_owned();
            to_six_decimals(&mut text);
            assert_eq!(text, written);
        }
    }
}
