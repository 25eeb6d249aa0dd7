//! Values written in a definition, as JSON text.

use eventlift_language::Reason;
use eventlift_language::json::{encode, strict};
use toml::Value;

/// The JSON text of `value = …` or `json = '…'`, exactly one of which is given.
pub(crate) fn constant(value: Option<Value>, json: Option<String>) -> Result<String, Reason> {
    match (value, json) {
        (Some(value), None) => to_json(&value),
        (None, Some(json)) => exact(&json),
        _ => Err(Reason::new("it needs either `value` or `json`")
            .hint("`value = …` takes any TOML value, `json = '…'` exact JSON text such as null or 10.10")),
    }
}

/// The JSON text as it is written, without white space around it.
pub(crate) fn exact(json: &str) -> Result<String, Reason> {
    match strict(json) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(Reason::new(format_args!("`json` is not JSON: {error}"))),
    }
}

/// A TOML value as JSON text: dates as strings; a float as the shortest number that is read as the same float.
pub(crate) fn to_json(value: &Value) -> Result<String, Reason> {
    let mut out = String::new();
    push(&mut out, value)?;
    Ok(out)
}

fn push(out: &mut String, value: &Value) -> Result<(), Reason> {
    match value {
        Value::String(text) => out.push_str(&encode(text)),
        Value::Integer(number) => out.push_str(&number.to_string()),
        Value::Float(number) => match serde_json::Number::from_f64(*number) {
            Some(number) => out.push_str(&number.to_string()),
            None => return Err(Reason::new(format_args!("JSON has no number {number}"))),
        },
        Value::Boolean(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Value::Datetime(moment) => out.push_str(&encode(&moment.to_string())),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                push(out, item)?;
            }
            out.push(']');
        }
        Value::Table(table) => {
            out.push('{');
            for (index, (key, item)) in table.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&encode(key));
                out.push(':');
                push(out, item)?;
            }
            out.push('}');
        }
    }
    Ok(())
}
