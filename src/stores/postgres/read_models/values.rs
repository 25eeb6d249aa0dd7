//! Values as PostgreSQL's binary protocol has them, and back.

use eventlift_events::Timestamp;
use eventlift_projections::{Column, ColumnType, Numeric, Row, Table, Value};
use sqlx::encode::IsNull;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgRow, PgTypeInfo, PgValueFormat};
use sqlx::{Encode, Postgres, Row as _, Type, ValueRef};
use uuid::Uuid;

use super::refusal::{Failure, Refusal};

/// What PostgreSQL counts times from, 2000-01-01, in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;
/// PostgreSQL's first moment, 4714-11-24 BC, in its own count.
const FIRST: i64 = -211_813_488_000_000_000;

/// The type of a column.
pub(super) fn sql_type(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Text => "text",
        ColumnType::Integer => "bigint",
        ColumnType::Numeric => "numeric",
        ColumnType::Boolean => "boolean",
        ColumnType::Time => "timestamp with time zone",
        ColumnType::Uuid => "uuid",
        ColumnType::Json => "json",
    }
}

/// The numbers of a type and of its array type, which are the same in every database.
const fn oids(column_type: ColumnType) -> (u32, u32) {
    match column_type {
        ColumnType::Text => (25, 1009),
        ColumnType::Integer => (20, 1016),
        ColumnType::Numeric => (1700, 1231),
        ColumnType::Boolean => (16, 1000),
        ColumnType::Time => (1184, 1185),
        ColumnType::Uuid => (2950, 2951),
        ColumnType::Json => (114, 199),
    }
}

/// Fails unless a row is one of the table's and has a key.
pub(super) fn check_row(table: &Table, row: &Row) -> Result<(), Failure> {
    let place = || format!("table {}", table.name);
    if let Some(misfit) = table.misfit(row) {
        return Err(Refusal::bad_input(misfit).at(place()).into());
    }
    if let Some(null) = table.key.iter().find(|place| row.0[**place].is_null()) {
        let message = format!("the key column `{}` is null", table.columns[*null].name);
        return Err(Refusal::bad_input(message).at(place()).into());
    }
    Ok(())
}

/// Appends a value, its length before it.
pub(super) fn encode(table: &Table, column: &Column, value: &Value, out: &mut Vec<u8>) -> Result<(), Failure> {
    let start = out.len();
    out.extend_from_slice(&(-1_i32).to_be_bytes());
    match value {
        Value::Null => return Ok(()),
        Value::Text(text) => {
            if text.contains('\0') {
                let message = format!("the column `{}` would hold a NUL, which PostgreSQL's text can't", column.name);
                return Err(Refusal::unsupported(message)
                    .at(format_args!("table {}", table.name))
                    .hint("remove it in the fold, or make the column one of json")
                    .into());
            }
            out.extend_from_slice(text.as_bytes());
        }
        Value::Json(text) => out.extend_from_slice(text.as_bytes()),
        Value::Kept(kept) => {
            let json = kept.json().map_err(|reason| Refusal::bad_input(reason.message))?;
            out.extend_from_slice(json.as_bytes());
        }
        Value::Integer(number) => out.extend_from_slice(&number.to_be_bytes()),
        Value::Boolean(yes) => out.push(u8::from(*yes)),
        Value::Uuid(uuid) => out.extend_from_slice(uuid.as_bytes()),
        Value::Time(moment) => {
            let since = moment.micros().checked_sub(EPOCH).filter(|since| *since >= FIRST);
            let refused = || {
                let message = format!("the column `{}` would hold {moment}, before PostgreSQL's times", column.name);
                Refusal::unsupported(message).at(format_args!("table {}", table.name))
            };
            out.extend_from_slice(&since.ok_or_else(refused)?.to_be_bytes());
        }
        Value::Numeric(number) => encode_numeric(&number.to_string(), out),
    }
    let too_long = |_| Refusal::unsupported("a value is longer than 2 GiB");
    let length = i32::try_from(out.len() - start - 4).map_err(too_long)?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// A number in groups of four digits, the decimals it is written with beside them.
fn encode_numeric(text: &str, out: &mut Vec<u8>) {
    let (sign, unsigned) = text.strip_prefix('-').map_or((0_u16, text), |rest| (0x4000, rest));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let padded = whole.len().next_multiple_of(4);
    let digits = format!("{whole:0>padded$}{fraction:0<width$}", width = fraction.len().next_multiple_of(4));
    let group = |four: &[u8]| four.iter().fold(0_i16, |sum, digit| sum * 10 + i16::from(digit - b'0'));
    let groups: Vec<i16> = digits.as_bytes().chunks(4).map(group).collect();
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups[leading..].iter().rev().take_while(|group| **group == 0).count();
    let kept = &groups[leading..groups.len() - trailing];
    // 38 digits at most: none of these numbers leaves its range.
    let weight = if kept.is_empty() { 0 } else { (padded / 4) as i16 - 1 - leading as i16 };
    let sign = if kept.is_empty() { 0 } else { sign };
    out.extend_from_slice(&(kept.len() as i16).to_be_bytes());
    out.extend_from_slice(&weight.to_be_bytes());
    out.extend_from_slice(&sign.to_be_bytes());
    out.extend_from_slice(&(fraction.len() as i16).to_be_bytes());
    kept.iter().for_each(|group| out.extend_from_slice(&group.to_be_bytes()));
}

/// The rows as `COPY … (FORMAT binary)` takes them.
pub(super) fn copied(table: &Table, rows: &[Row]) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::with_capacity(rows.len() * table.columns.len() * 16 + 32);
    out.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
    let fields =
        i16::try_from(table.columns.len()).map_err(|_| Refusal::unsupported("a table has too many columns"))?;
    for row in rows {
        check_row(table, row)?;
        out.extend_from_slice(&fields.to_be_bytes());
        table.columns.iter().zip(&row.0).try_for_each(|(column, value)| encode(table, column, value, &mut out))?;
    }
    out.extend_from_slice(&(-1_i16).to_be_bytes());
    Ok(out)
}

/// Values of a column as one parameter: an array.
pub(super) struct Array {
    column_type: ColumnType,
    count: i32,
    elements: Vec<u8>,
}

impl Array {
    pub(super) fn new(column_type: ColumnType) -> Self {
        Self { column_type, count: 0, elements: Vec::new() }
    }

    pub(super) fn push(&mut self, table: &Table, column: &Column, value: &Value) -> Result<(), Failure> {
        self.count += 1;
        encode(table, column, value, &mut self.elements)
    }
}

impl Type<Postgres> for Array {
    /// Only a stand-in: every array says itself what it is.
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(1009))
    }
}

impl Encode<'_, Postgres> for Array {
    fn encode_by_ref(&self, out: &mut PgArgumentBuffer) -> Result<IsNull, sqlx::error::BoxDynError> {
        let (element, _) = oids(self.column_type);
        let dimensions = i32::from(self.count > 0);
        // Dimensions, whether there may be nulls, the type; then how many, numbered from 1.
        out.extend_from_slice(&dimensions.to_be_bytes());
        out.extend_from_slice(&1_i32.to_be_bytes());
        out.extend_from_slice(&element.to_be_bytes());
        if self.count > 0 {
            out.extend_from_slice(&self.count.to_be_bytes());
            out.extend_from_slice(&1_i32.to_be_bytes());
            out.extend_from_slice(&self.elements);
        }
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(oids(self.column_type).1)))
    }
}

/// The row that a query answered with, the table's columns first; exact numbers as text.
pub(super) fn read_row(table: &Table, found: &PgRow) -> Result<Row, Failure> {
    let value = |(number, column): (usize, &Column)| read(column, found, number);
    table.columns.iter().enumerate().map(value).collect::<Result<Box<[Value]>, _>>().map(Row)
}

fn read(column: &Column, found: &PgRow, number: usize) -> Result<Value, Failure> {
    let raw = found.try_get_raw(number)?;
    if raw.is_null() {
        return Ok(Value::Null);
    }
    let changed = || {
        let message = format!("the column `{}` holds a value that is no {}", column.name, column.column_type);
        Refusal::unexpected(message).hint("something else has written to the table: rebuild the projection")
    };
    if raw.format() != PgValueFormat::Binary {
        return Err(changed().into());
    }
    let bytes = raw.as_bytes().map_err(sqlx::Error::Decode)?;
    let value = match column.column_type {
        ColumnType::Text => std::str::from_utf8(bytes).ok().map(Value::text),
        ColumnType::Json => std::str::from_utf8(bytes).ok().map(|text| Value::Json(text.into())),
        ColumnType::Numeric => {
            std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<Numeric>().ok()).map(Value::numeric)
        }
        ColumnType::Integer => bytes.try_into().ok().map(i64::from_be_bytes).map(Value::Integer),
        ColumnType::Boolean => bytes.first().map(|byte| Value::Boolean(*byte == 1)),
        ColumnType::Uuid => bytes.try_into().ok().map(Uuid::from_bytes).map(Value::Uuid),
        ColumnType::Time => {
            let since = bytes.try_into().ok().map(i64::from_be_bytes);
            let micros = since.and_then(|since| since.checked_add(EPOCH));
            micros.and_then(|micros| Timestamp::from_micros(micros).ok()).map(Value::Time)
        }
    };
    Ok(value.ok_or_else(changed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_groups_of_four_digits() {
        for (text, expected) in [
            ("0", vec![0, 0, 0, 0]),
            ("0.00", vec![0, 0, 0, 2]),
            ("10.10", vec![2, 0, 0, 2, 10, 1000]),
            ("-0.05", vec![1, -1, 0x4000, 2, 500]),
            // A group of zeros at the end is left out.
            ("120000", vec![1, 1, 0, 0, 12]),
        ] {
            let mut out = Vec::new();
            encode_numeric(text, &mut out);
            let found: Vec<i16> = out.chunks(2).map(|two| i16::from_be_bytes([two[0], two[1]])).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
