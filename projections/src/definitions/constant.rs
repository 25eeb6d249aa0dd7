//! Constants of a definition file, as JSON.

use eventlift_language::{Reason, json};
use toml::de::DeValue;

use crate::value::{ColumnType, Value};

/// The value that a TOML constant stands for in a column of a type; numbers keep their digits.
pub(super) fn constant(value: &DeValue<'_>, column_type: ColumnType) -> Result<Value, Reason> {
    Value::from_json(column_type, &json_of(value)?)
}

/// A TOML value as JSON text without white space: numbers with their digits, dates and times as text.
pub(super) fn json_of(value: &DeValue<'_>) -> Result<String, Reason> {
    let mut out = String::new();
    push(&mut out, value)?;
    Ok(out)
}

fn push(out: &mut String, value: &DeValue<'_>) -> Result<(), Reason> {
    match value {
        DeValue::String(text) => out.push_str(&json::encode(text)),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => out.push_str(&number.to_string()),
            Err(_) if number.radix() == 10 => out.push_str(number.as_str().trim_start_matches('+')),
            Err(_) => return Err(Reason::new(format_args!("{} is too large a number", number.as_str()))),
        },
        DeValue::Float(number) => {
            let text = number.as_str().strip_prefix('+').unwrap_or(number.as_str());
            if !json::is_number(text) {
                return Err(Reason::new(format_args!("{text} is not a number in JSON")));
            }
            out.push_str(text);
        }
        DeValue::Boolean(yes) => out.push_str(if *yes { "true" } else { "false" }),
        DeValue::Datetime(moment) => out.push_str(&json::encode(&moment.to_string())),
        DeValue::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                push(out, item.get_ref())?;
            }
            out.push(']');
        }
        DeValue::Table(table) => {
            out.push('{');
            for (index, (key, value)) in table.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                out.push_str(&json::encode(key.get_ref()));
                out.push(':');
                push(out, value.get_ref())?;
            }
            out.push('}');
        }
    }
    Ok(())
}
