//! Rows, their keys, and both as bytes.

use std::fmt;

use eventlift_events::Timestamp;
use eventlift_language::{Numeric, Reason, Shown};
use smallvec::SmallVec;
use uuid::Uuid;

use crate::table::Table;
use crate::value::{ColumnType, Value};

/// A row: the values of a table's columns, in their order, those of the key among them.
#[derive(Clone, PartialEq, Debug)]
pub struct Row(pub Box<[Value]>);

impl Row {
    /// A row of a table with its key's values and null everywhere else.
    pub fn with_key(table: &Table, key: &RowKey) -> Result<Self, Reason> {
        let mut values = vec![Value::Null; table.columns.len()];
        for (place, value) in table.key.iter().zip(key.values(&table.key_types())?) {
            values[*place] = value;
        }
        Ok(Self(values.into()))
    }

    /// The key of a row of a table. Fails where a part of it is null.
    pub fn key(&self, table: &Table) -> Result<RowKey, Reason> {
        if let Some(place) = table.key.iter().find(|place| self.0[**place].is_null()) {
            return Err(Reason::new(format_args!("the key column `{}` is null", table.columns[*place].name)));
        }
        RowKey::of(table.key.iter().map(|place| &self.0[*place]))
    }

    /// About how many bytes it occupies.
    pub fn size(&self) -> usize {
        let places = self.0.len() * size_of::<Value>();
        places + self.0.iter().map(Value::size).sum::<usize>()
    }

    /// The row as bytes, to be put aside and read back with [`Row::decode`].
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), Reason> {
        self.0.iter().try_for_each(|value| encode(value, out))
    }

    /// The row that [`Row::encode`] wrote.
    pub fn decode(table: &Table, bytes: &[u8]) -> Result<Self, Reason> {
        decode(table.columns.iter().map(|column| column.column_type), bytes).map(|values| Self(values.into()))
    }
}

/// The key of a row, as bytes that compare as the values do: nulls first, numbers by value, text by its UTF-8, false
/// before true.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey(KeyBytes);

/// Usual keys stand in here whole: without an allocation, and copied without one.
type KeyBytes = SmallVec<[u8; 24]>;

impl RowKey {
    /// The key of these values, in their order. Fails for values that can't be in a key.
    pub fn of<'v>(values: impl IntoIterator<Item = &'v Value>) -> Result<Self, Reason> {
        let mut bytes = KeyBytes::new();
        for value in values {
            bytes.reserve_exact(encoded_length(value));
            if value.column_type().is_some_and(|column_type| !column_type.can_be_key()) {
                return Err(Reason::new(format_args!("{} can't be a key", Shown(value))));
            }
            encode(value, &mut bytes)?;
        }
        Ok(Self(bytes))
    }

    /// The key that consists of one text.
    pub fn text(text: &str) -> Self {
        let mut bytes = KeyBytes::with_capacity(text.len() + 1 + END.len());
        encode_text(text, &mut bytes);
        Self(bytes)
    }

    /// A key whose bytes were put aside.
    pub fn from_bytes(bytes: impl AsRef<[u8]>) -> Self {
        Self(KeyBytes::from_slice(bytes.as_ref()))
    }

    /// How many bytes it occupies beside itself.
    pub fn size(&self) -> usize {
        if self.0.spilled() { self.0.capacity() } else { 0 }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its columns with their values, for messages.
    pub(crate) fn shown(&self, table: &Table) -> String {
        let values = self.values(&table.key_types()).unwrap_or_default();
        let parts = table.key.iter().zip(&values);
        let parts: Vec<String> =
            parts.map(|(place, value)| format!("{} {}", table.columns[*place].name, Shown(value))).collect();
        parts.join(", ")
    }

    /// The values that it was made of.
    pub fn values(&self, types: &[ColumnType]) -> Result<Vec<Value>, Reason> {
        decode(types.iter().copied(), &self.0)
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

const NULL: u8 = 0;
const PRESENT: u8 = 1;
/// Ends a text; a zero inside it is followed by [`ESCAPED`], so that longer texts come behind shorter ones.
const END: [u8; 2] = [0, 0];
const ESCAPED: u8 = 0xff;
/// Moves signed numbers so that their bytes compare as they do.
const SIGN: u64 = 1 << 63;

/// What bytes are written to.
trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Sink for KeyBytes {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

fn encode<S: Sink>(value: &Value, out: &mut S) -> Result<(), Reason> {
    let number = |number: i64, out: &mut S| {
        out.put(&[PRESENT]);
        out.put(&(number.cast_unsigned() ^ SIGN).to_be_bytes());
    };
    match value {
        Value::Null => out.put(&[NULL]),
        Value::Text(text) | Value::Json(text) => encode_text(text, out),
        Value::Integer(integer) => number(*integer, out),
        Value::Time(moment) => number(moment.micros(), out),
        Value::Boolean(yes) => out.put(&[PRESENT, u8::from(*yes)]),
        Value::Uuid(uuid) => {
            out.put(&[PRESENT]);
            out.put(uuid.as_bytes());
        }
        Value::Numeric(numeric) => encode_text(&numeric.to_string(), out),
        Value::Kept(kept) => encode_text(&kept.json()?, out),
    }
    Ok(())
}

/// How many bytes [`encode`] appends, or nearly so.
fn encoded_length(value: &Value) -> usize {
    match value {
        Value::Null => 1,
        Value::Boolean(_) => 2,
        Value::Integer(_) | Value::Time(_) => 9,
        Value::Uuid(_) => 17,
        Value::Text(text) | Value::Json(text) => text.len() + 1 + END.len(),
        Value::Numeric(_) | Value::Kept(_) => 48,
    }
}

fn encode_text(text: &str, out: &mut impl Sink) {
    out.put(&[PRESENT]);
    let mut pieces = text.as_bytes().split(|byte| *byte == 0);
    out.put(pieces.next().unwrap_or_default());
    for piece in pieces {
        out.put(&[0, ESCAPED]);
        out.put(piece);
    }
    out.put(&END);
}

fn decode(types: impl Iterator<Item = ColumnType>, bytes: &[u8]) -> Result<Vec<Value>, Reason> {
    let damaged = || Reason::new("a row that was put aside can't be read back");
    let mut rest = bytes;
    let mut values = Vec::new();
    for column_type in types {
        let (value, left) = decode_one(column_type, rest).ok_or_else(damaged)?;
        values.push(value);
        rest = left;
    }
    if rest.is_empty() { Ok(values) } else { Err(damaged()) }
}

fn decode_one(column_type: ColumnType, bytes: &[u8]) -> Option<(Value, &[u8])> {
    let (marker, bytes) = bytes.split_first()?;
    if *marker == NULL {
        return Some((Value::Null, bytes));
    }
    if *marker != PRESENT {
        return None;
    }
    let number = |bytes: &[u8; 8]| (u64::from_be_bytes(*bytes) ^ SIGN).cast_signed();
    Some(match column_type {
        ColumnType::Integer => {
            let (integer, rest) = bytes.split_first_chunk()?;
            (Value::Integer(number(integer)), rest)
        }
        ColumnType::Time => {
            let (micros, rest) = bytes.split_first_chunk()?;
            (Value::Time(Timestamp::from_micros(number(micros)).ok()?), rest)
        }
        ColumnType::Boolean => {
            let (yes, rest) = bytes.split_first()?;
            (Value::Boolean(*yes == 1), rest)
        }
        ColumnType::Uuid => {
            let (uuid, rest) = bytes.split_first_chunk()?;
            (Value::Uuid(Uuid::from_bytes(*uuid)), rest)
        }
        ColumnType::Text => decode_text(bytes).map(|(text, rest)| (Value::Text(text), rest))?,
        ColumnType::Json => decode_text(bytes).map(|(text, rest)| (Value::Json(text), rest))?,
        ColumnType::Numeric => {
            let (text, rest) = decode_text(bytes)?;
            (Value::numeric(text.parse::<Numeric>().ok()?), rest)
        }
    })
}

fn decode_text(bytes: &[u8]) -> Option<(Box<str>, &[u8])> {
    let mut text = Vec::new();
    let mut rest = bytes;
    loop {
        let zero = rest.iter().position(|b| *b == 0)?;
        text.extend_from_slice(&rest[..zero]);
        let after = *rest.get(zero + 1)?;
        rest = &rest[zero + 2..];
        if after != ESCAPED {
            return Some((String::from_utf8(text).ok()?.into(), rest));
        }
        text.push(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::table::Column;

    fn key_value() -> impl Strategy<Value = (String, i64, bool, i64, u128)> {
        let text = prop_oneof![Just(String::new()), "[a\u{0}\u{1}ü]{0,4}", ".*"];
        (text, any::<i64>(), any::<bool>(), -1_000_000_i64..1_000_000, any::<u128>())
    }

    fn values((text, integer, boolean, micros, uuid): &(String, i64, bool, i64, u128)) -> [Value; 5] {
        [
            Value::text(text.as_str()),
            Value::Integer(*integer),
            Value::Boolean(*boolean),
            Value::Time(Timestamp::from_micros(*micros).unwrap()),
            Value::Uuid(Uuid::from_u128(*uuid)),
        ]
    }

    const TYPES: [ColumnType; 5] =
        [ColumnType::Text, ColumnType::Integer, ColumnType::Boolean, ColumnType::Time, ColumnType::Uuid];

    proptest! {
        #[test]
        fn keys_compare_as_their_values_do(one in key_value(), other in key_value()) {
            let keys = [&one, &other].map(|parts| RowKey::of(&values(parts)).unwrap());
            prop_assert_eq!(keys[0].cmp(&keys[1]), one.cmp(&other));
            prop_assert_eq!(keys[0].values(&TYPES).unwrap(), values(&one));
        }
    }

    #[test]
    fn rows_are_read_back_as_they_were_put_aside() {
        let column = |column_type| Column { name: format!("{column_type}"), column_type };
        let table = Table {
            name: "t".to_owned(),
            columns: ColumnType::ALL.into_iter().map(column).collect(),
            key: vec![0],
            indexes: vec![],
            kind: crate::table::TableKind::ReadModel,
        };
        assert_eq!(table.problem(), None);
        let full = Row(Box::new([
            Value::text("a\0b"),
            Value::Integer(-3),
            Value::numeric("-10.10".parse().unwrap()),
            Value::Boolean(true),
            Value::Time(Timestamp::from_micros(-1).unwrap()),
            Value::Uuid(Uuid::max()),
            Value::Json("[1.0]".into()),
        ]));
        let key = full.key(&table).unwrap();
        for row in [full, Row::with_key(&table, &key).unwrap()] {
            let mut bytes = Vec::new();
            row.encode(&mut bytes).unwrap();
            assert_eq!(Row::decode(&table, &bytes).unwrap(), row);
            assert_eq!(row.key(&table).unwrap(), key);
            assert!(Row::decode(&table, &bytes[1..]).is_err());
        }
    }
}
