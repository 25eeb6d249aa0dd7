//! The canonical text of a definition, for fingerprints.

use toml::de::DeValue;

/// A value's text, the same for every way to write it in TOML: comments, white space, quotes and the order of a
/// table's keys make no difference. The order does count below `value` and `default`, which is the order in the JSON they
/// make.
pub fn canonical(value: &DeValue<'_>) -> String {
    let mut out = String::new();
    push(&mut out, value, false);
    out
}

fn push(out: &mut String, value: &DeValue<'_>, ordered: bool) {
    match value {
        DeValue::String(text) => push_text(out, text),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => out.push_str(&number.to_string()),
            Err(_) => out.push_str(number.as_str()),
        },
        DeValue::Float(number) => out.push_str(number.as_str()),
        DeValue::Boolean(yes) => out.push_str(if *yes { "true" } else { "false" }),
        DeValue::Datetime(moment) => out.push_str(&format!("@{moment}")),
        DeValue::Array(items) => {
            out.push('[');
            for item in items {
                push(out, item.get_ref(), ordered);
                out.push(',');
            }
            out.push(']');
        }
        DeValue::Table(table) => {
            let mut entries: Vec<_> = table.iter().map(|(key, value)| (key.get_ref(), value.get_ref())).collect();
            if !ordered {
                entries.sort_by_key(|(key, _)| *key);
            }
            out.push('{');
            for (key, value) in entries {
                push_text(out, key);
                out.push(':');
                push(out, value, ordered || matches!(key.as_ref(), "value" | "default"));
                out.push(',');
            }
            out.push('}');
        }
    }
}

fn push_text(out: &mut String, text: &str) {
    out.push_str(&format!("{text:?}"));
}
