//! Constants of definition files, with the digits they are written with.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;
use toml::{Spanned, Value as TomlValue};

use crate::json::{encode, is_number};
use crate::reader::Value;
use crate::reason::Reason;

/// A constant: any TOML value.
///
/// TOML's numbers are read as doubles by everything that reads TOML into Rust. A [`Reader`](crate::Reader) keeps their
/// digits for this type, so that `10.10` stays `10.10` and no digit behind the seventeenth is lost. Read in another way
/// (`toml::from_str`), a number has the digits of the shortest text that is read as the same double.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// Text.
    Text(String),
    /// A number, as JSON writes it.
    Number(String),
    /// What JSON has no number for: `inf` or `nan`.
    NotFinite(f64),
    /// True or false.
    Boolean(bool),
    /// A date, a time, or both.
    Moment(Datetime),
    /// A list.
    Array(Vec<Literal>),
    /// Values by their names, in the order they are written in.
    Table(Vec<(String, Literal)>),
}

impl Literal {
    /// The value as JSON text without white space: numbers with their digits, dates and times as text. Fails for `inf`
    /// and `nan`.
    pub fn json(&self) -> Result<String, Reason> {
        let mut out = String::new();
        self.push(&mut out)?;
        Ok(out)
    }

    fn push(&self, out: &mut String) -> Result<(), Reason> {
        match self {
            Self::Text(text) => out.push_str(&encode(text)),
            Self::Number(digits) => out.push_str(digits),
            Self::NotFinite(number) => return Err(Reason::new(format_args!("JSON has no number {number}"))),
            Self::Boolean(yes) => out.push_str(if *yes { "true" } else { "false" }),
            Self::Moment(moment) => out.push_str(&encode(&moment.to_string())),
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    item.push(out)?;
                }
                out.push(']');
            }
            Self::Table(entries) => {
                out.push('{');
                for (index, (key, item)) in entries.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    out.push_str(&encode(key));
                    out.push(':');
                    item.push(out)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }

    /// What TOML calls its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Number(digits) if digits.contains(['.', 'e', 'E']) => "float",
            Self::Number(_) => "integer",
            Self::NotFinite(_) => "float",
            Self::Boolean(_) => "boolean",
            Self::Moment(_) => "datetime",
            Self::Array(_) => "array",
            Self::Table(_) => "table",
        }
    }
}

/// The key of a table that stands for a number with its digits on the way through serde, as the crate `toml` does it
/// with its dates.
const DIGITS: &str = "$eventlift::digits";

impl From<TomlValue> for Literal {
    fn from(value: TomlValue) -> Self {
        match value {
            TomlValue::String(text) => Self::Text(text),
            TomlValue::Integer(number) => Self::Number(number.to_string()),
            TomlValue::Float(number) => match serde_json::Number::from_f64(number) {
                Some(number) => Self::Number(number.to_string()),
                None => Self::NotFinite(number),
            },
            TomlValue::Boolean(yes) => Self::Boolean(yes),
            TomlValue::Datetime(moment) => Self::Moment(moment),
            TomlValue::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            TomlValue::Table(table) => match table.get(DIGITS) {
                Some(TomlValue::String(digits)) if table.len() == 1 && is_number(digits) => {
                    Self::Number(digits.clone())
                }
                _ => Self::Table(table.into_iter().map(|(key, value)| (key, Self::from(value))).collect()),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        TomlValue::deserialize(deserializer).map(Self::from)
    }
}

/// A value in which every number that serde would round, or refuse for its size, is a table of its digits; none where
/// there is no such number.
pub(crate) fn with_digits<'i>(value: &Value<'i>) -> Option<Value<'i>> {
    if !has_digits(value.get_ref()) {
        return None;
    }
    let mut value = value.clone();
    keep_digits(&mut value);
    Some(value)
}

fn has_digits(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Array(items) => items.iter().any(|item| has_digits(item.get_ref())),
        DeValue::Table(table) => table.values().any(|value| has_digits(value.get_ref())),
        number => digits(number).is_some(),
    }
}

fn keep_digits(value: &mut Value<'_>) {
    let span = value.span();
    match value.get_mut() {
        DeValue::Array(items) => items.iter_mut().for_each(keep_digits),
        DeValue::Table(table) => table.iter_mut().for_each(|(_, value)| keep_digits(value)),
        number => {
            let Some(digits) = digits(number) else { return };
            let mut table = DeTable::new();
            let digits = DeValue::String(Cow::Owned(digits));
            table.insert(Spanned::new(span.clone(), Cow::Borrowed(DIGITS)), Spanned::new(span, digits));
            *number = DeValue::Table(table);
        }
    }
}

/// The digits of a number that Rust's own numbers may not hold: one with a fraction or an exponent, or of more than 64
/// bits.
fn digits(value: &DeValue<'_>) -> Option<String> {
    let text = match value {
        DeValue::Float(number) => number.as_str(),
        DeValue::Integer(number) if number.radix() == 10 && number.as_str().parse::<i64>().is_err() => number.as_str(),
        _ => return None,
    };
    let text = text.strip_prefix('+').unwrap_or(text);
    is_number(text).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::Reader;

    fn json(toml: &str) -> String {
        let text = format!("value = {toml}");
        let mut reader = Reader::new("a.toml".to_owned(), &text);
        let mut document = reader.document();
        let literal: Option<Literal> = reader.get(&mut document, "value");
        assert!(reader.problems.is_empty(), "{toml}: {:?}", reader.problems);
        literal.unwrap().json().unwrap()
    }

    #[test]
    fn numbers_keep_their_digits() {
        for (toml, expected) in [
            ("10.10", "10.10"),
            ("12345678901234567.89", "12345678901234567.89"),
            ("9007199254740993.0", "9007199254740993.0"),
            ("+1.50", "1.50"),
            ("-0.0", "-0.0"),
            ("1_000.000_1", "1000.0001"),
            ("5e+22", "5e+22"),
            ("1e400", "1e400"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "9223372036854775808"),
            ("-99999999999999999999999999999999999999", "-99999999999999999999999999999999999999"),
            ("1_00000000000000000000000000000000000000000000", "100000000000000000000000000000000000000000000"),
            ("0xff", "255"),
            ("[1.10, { a = 0.30, b = [2.00] }]", r#"[1.10,{"a":0.30,"b":[2.00]}]"#),
            ("{ z = 1.0, a = \"1.0\" }", r#"{"z":1.0,"a":"1.0"}"#),
            ("2024-05-01T12:00:00Z", r#""2024-05-01T12:00:00Z""#),
        ] {
            assert_eq!(json(toml), expected, "{toml}");
        }
        assert!(Literal::NotFinite(f64::INFINITY).json().is_err());
    }

    #[test]
    fn what_is_no_literal_is_read_and_refused_as_before() {
        let text = "number = 1.5\ntext = 1.5\nlarge = 99999999999999999999";
        let mut reader = Reader::new("a.toml".to_owned(), text);
        let mut document = reader.document();
        assert_eq!(reader.get::<f64>(&mut document, "number"), Some(1.5));
        assert_eq!(reader.get::<String>(&mut document, "text"), None);
        assert_eq!(reader.get::<i64>(&mut document, "large"), None);
        let messages: Vec<String> = reader.problems.iter().map(|problem| problem.message.clone()).collect();
        assert_eq!(messages[0], "`text`: invalid type: floating point `1.5`, expected a string");
        assert!(!messages[1].contains("map"), "{}", messages[1]);
    }
}
