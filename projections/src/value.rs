//! The values of columns, and their types.

use std::any::Any;
use std::fmt;
use std::str::FromStr;

use eventlift_events::Timestamp;
use eventlift_language::{Reason, Shown, json};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use eventlift_language::Numeric;

/// The type of a column.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// Text in UTF-8.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// An exact decimal number of up to 38 digits.
    Numeric,
    /// True or false.
    Boolean,
    /// A moment, to the microsecond.
    Time,
    /// A UUID.
    Uuid,
    /// Any JSON value, as the text it was read as, without the white space between its tokens: how much of that is left
    /// would depend on who else has looked into the value.
    Json,
}

impl ColumnType {
    /// Every type.
    pub const ALL: [Self; 7] =
        [Self::Text, Self::Integer, Self::Numeric, Self::Boolean, Self::Time, Self::Uuid, Self::Json];

    /// The name in definitions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::Numeric => "numeric",
            Self::Boolean => "boolean",
            Self::Time => "time",
            Self::Uuid => "uuid",
            Self::Json => "json",
        }
    }

    /// Whether equal values of it are always written the same, so that it can be part of a key.
    pub const fn can_be_key(self) -> bool {
        !matches!(self, Self::Numeric | Self::Json)
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A value of a column.
#[derive(Clone, Debug, Default)]
pub enum Value {
    /// Nothing; a value of every type.
    #[default]
    Null,
    /// Of [`ColumnType::Text`].
    Text(Box<str>),
    /// Of [`ColumnType::Integer`].
    Integer(i64),
    /// Of [`ColumnType::Numeric`].
    Numeric(Box<Numeric>),
    /// Of [`ColumnType::Boolean`].
    Boolean(bool),
    /// Of [`ColumnType::Time`].
    Time(Timestamp),
    /// Of [`ColumnType::Uuid`].
    Uuid(Uuid),
    /// Of [`ColumnType::Json`]: one JSON value's text, strict.
    Json(Box<str>),
    /// Of [`ColumnType::Json`]: something that becomes JSON when it is written.
    Kept(Box<dyn KeptState>),
}

/// State that stays a Rust value while it is folded, and becomes JSON when it is written or spilled.
pub trait KeptState: Any + Send + Sync + fmt::Debug {
    /// Its JSON text. The same state always gives the same text.
    fn json(&self) -> Result<String, Reason>;

    /// A copy.
    fn copy(&self) -> Box<dyn KeptState>;

    /// About how many bytes it occupies.
    fn size(&self) -> usize;

    /// Itself, to be cast to what it is.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl Clone for Box<dyn KeptState> {
    fn clone(&self) -> Self {
        (**self).copy()
    }
}

/// Values are equal when they would be written the same: `10.10` and `10.1` differ.
impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::Integer(one), Self::Integer(other)) => one == other,
            (Self::Numeric(one), Self::Numeric(other)) => one == other,
            (Self::Boolean(one), Self::Boolean(other)) => one == other,
            (Self::Time(one), Self::Time(other)) => one == other,
            (Self::Uuid(one), Self::Uuid(other)) => one == other,
            (Self::Json(one), Self::Json(other)) => one == other,
            (Self::Kept(kept), other @ (Self::Kept(_) | Self::Json(_))) | (other @ Self::Json(_), Self::Kept(kept)) => {
                match (kept.json(), other.json()) {
                    (Ok(one), Ok(other)) => *one == *other,
                    _ => false,
                }
            }
            _ => false,
        }
    }
}

impl Value {
    /// Text.
    pub fn text(text: impl Into<Box<str>>) -> Self {
        Self::Text(text.into())
    }

    /// An exact number.
    pub fn numeric(number: Numeric) -> Self {
        Self::Numeric(Box::new(number))
    }

    /// Its type; none for null, which is of every type.
    pub fn column_type(&self) -> Option<ColumnType> {
        match self {
            Self::Null => None,
            Self::Text(_) => Some(ColumnType::Text),
            Self::Integer(_) => Some(ColumnType::Integer),
            Self::Numeric(_) => Some(ColumnType::Numeric),
            Self::Boolean(_) => Some(ColumnType::Boolean),
            Self::Time(_) => Some(ColumnType::Time),
            Self::Uuid(_) => Some(ColumnType::Uuid),
            Self::Json(_) | Self::Kept(_) => Some(ColumnType::Json),
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value that a JSON value stands for in a column of a type. `null` is null, except in a column of JSON.
    /// Numbers, times and UUIDs may be written as text; nothing is rounded, cut or guessed.
    ///
    /// `value` is one strict JSON value without white space around it.
    pub fn from_json(column_type: ColumnType, value: &str) -> Result<Self, Reason> {
        if column_type == ColumnType::Json {
            return Ok(Self::Json(json::compact(value).into()));
        }
        if value == "null" {
            return Ok(Self::Null);
        }
        let text = match value.starts_with('"') {
            true => {
                json::decode(value).ok_or_else(|| Reason::new(format_args!("{} is no text in UTF-8", Shown(value))))?
            }
            false => value.into(),
        };
        let is_text = value.starts_with('"');
        match column_type {
            ColumnType::Text if is_text => Ok(Self::Text(text.into_owned().into())),
            ColumnType::Boolean if value == "true" || value == "false" => Ok(Self::Boolean(value == "true")),
            ColumnType::Text | ColumnType::Boolean => Err(not_of(value, column_type)),
            _ => Self::parse(column_type, &text).map_err(|reason| Reason {
                message: if is_text { reason.message } else { reason.message.replace('"', "") },
                ..reason
            }),
        }
    }

    /// The value that a text stands for in a column of a type.
    pub fn parse(column_type: ColumnType, text: &str) -> Result<Self, Reason> {
        match column_type {
            ColumnType::Text => Ok(Self::text(text)),
            ColumnType::Integer => integer(text).map(Self::Integer),
            ColumnType::Numeric => {
                Numeric::from_str(text).map(Self::numeric).map_err(|error| unfit(text, column_type, error))
            }
            ColumnType::Boolean => text.parse().map(Self::Boolean).map_err(|_| not_of(text, column_type)),
            ColumnType::Time => text.parse().map(Self::Time).map_err(|error| unfit(text, column_type, error)),
            ColumnType::Uuid => {
                Uuid::try_parse(text).map(Self::Uuid).map_err(|_| not_of(&format!("{text:?}"), column_type))
            }
            ColumnType::Json => match json::strict(text) {
                Ok(value) => Ok(Self::Json(value.into())),
                Err(error) => {
                    Err(Reason::new(format_args!("{} is not JSON: {error}", Shown(format_args!("{text:?}")))))
                }
            },
        }
    }

    /// The value as JSON text: an exact number as a number, times and UUIDs as text.
    pub fn json(&self) -> Result<Box<str>, Reason> {
        Ok(match self {
            Self::Null => "null".into(),
            Self::Text(text) => json::encode(text).into(),
            Self::Integer(number) => number.to_string().into(),
            Self::Numeric(number) => number.to_string().into(),
            Self::Boolean(yes) => if *yes { "true" } else { "false" }.into(),
            Self::Time(moment) => format!("\"{moment}\"").into(),
            Self::Uuid(uuid) => format!("\"{uuid}\"").into(),
            Self::Json(text) => text.clone(),
            Self::Kept(kept) => kept.json()?.into(),
        })
    }

    /// About how many bytes it occupies beside its place in a row.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.len() + 16,
            Self::Numeric(_) => 48,
            Self::Kept(kept) => kept.size() + 16,
            _ => 0,
        }
    }
}

/// Times as RFC 3339, text without quotes; null as `null`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Time(moment) => moment.fmt(f),
            Self::Uuid(uuid) => uuid.fmt(f),
            other => match other.json() {
                Ok(json) => f.write_str(&json),
                Err(reason) => write!(f, "({reason})"),
            },
        }
    }
}

fn not_of(value: &str, column_type: ColumnType) -> Reason {
    Reason::new(format_args!("{} is not of the type {column_type}", Shown(value)))
}

/// What an error says of a value that it names first.
fn unfit(value: &str, column_type: ColumnType, error: impl fmt::Display) -> Reason {
    let (said, quoted) = (error.to_string(), format!("{value:?}"));
    if let Some(rest) = said.strip_prefix(&quoted) {
        return Reason::new(format_args!("{}{rest}", Shown(quoted)));
    }
    match said.strip_prefix(value) {
        Some(rest) => Reason::new(format_args!("{}{rest}", Shown(value))),
        None => not_of(&quoted, column_type),
    }
}

/// A whole number, also when it is written with zeros behind the point.
fn integer(text: &str) -> Result<i64, Reason> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let out_of_range = || {
        Reason::new(format_args!("{} does not fit into an integer of 64 bits", Shown(text)))
            .hint("a column of the type numeric holds 38 digits")
    };
    let number: Numeric = match text.parse() {
        Ok(number) => number,
        Err(eventlift_language::InvalidNumeric::TooLong(_)) => return Err(out_of_range()),
        Err(error) => return Err(unfit(text, ColumnType::Integer, error)),
    };
    let written = number.to_string();
    match written.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') => whole.parse().map_err(|_| out_of_range()),
        Some(_) => Err(Reason::new(format_args!("{} is not a whole number", Shown(text)))
            .hint("a column of the type numeric holds decimals")),
        None => written.parse().map_err(|_| out_of_range()),
    }
}

#[cfg(test)]
mod tests {
    use eventlift_language::showing_values;

    use super::*;

    #[test]
    fn json_becomes_values_and_back_exactly() {
        for (column_type, given, back) in [
            (ColumnType::Text, r#""a\u00fc""#, r#""aü""#),
            (ColumnType::Integer, "9007199254740993", "9007199254740993"),
            (ColumnType::Integer, "\"12\"", "12"),
            (ColumnType::Integer, "3.00", "3"),
            (ColumnType::Numeric, "10.10", "10.10"),
            (ColumnType::Numeric, "\"10.10\"", "10.10"),
            (ColumnType::Boolean, "true", "true"),
            (ColumnType::Time, "\"2024-05-01T14:00:00+02:00\"", "\"2024-05-01T12:00:00Z\""),
            (ColumnType::Json, "{\"a\" :\n[1.0, \"b  c\"]}", r#"{"a":[1.0,"b  c"]}"#),
            (ColumnType::Json, "null", "null"),
            (ColumnType::Text, "null", "null"),
        ] {
            assert_eq!(&*Value::from_json(column_type, given).unwrap().json().unwrap(), back, "{given}");
        }
        assert!(Value::from_json(ColumnType::Text, "null").unwrap().is_null());
    }

    #[test]
    fn nothing_is_rounded_or_guessed() {
        for (column_type, given, message) in [
            (ColumnType::Integer, "1.5", "1.5 is not a whole number"),
            (ColumnType::Integer, "9223372036854775808", "9223372036854775808 does not fit into an integer of 64 bits"),
            (ColumnType::Integer, "1e40", "1e40 does not fit into an integer of 64 bits"),
            (ColumnType::Integer, "true", "true is not a number"),
            (ColumnType::Text, "1", "1 is not of the type text"),
            (ColumnType::Boolean, "1", "1 is not of the type boolean"),
            (ColumnType::Uuid, "\"x\"", "\"x\" is not of the type uuid"),
            (ColumnType::Time, "\"x\"", "\"x\" is not a time such as 2024-05-01T12:00:00Z"),
        ] {
            let refused = showing_values(|| Value::from_json(column_type, given).unwrap_err());
            assert_eq!(refused.to_string(), message);
        }
    }
}
