//! The canonical text of a definition, for fingerprints.

use toml::de::DeValue;

/// A value's text, the same for every way to write it in TOML: comments, white space, quotes and the order of a
/// table's keys make no difference. The order does count below `value` and `default`, which is the order in the JSON they
/// make.
pub fn canonical(value: &DeValue<'_>) -> String {
    let mut out = String::new();
    push(&mut out, value, false, &|digits| digits.to_owned());
    out
}

/// The same of a rule. Numbers that rules once rounded to doubles have a mark, so that a run that was begun then is not
/// gone on with as if nothing had changed.
pub fn canonical_of_rule(value: &DeValue<'_>) -> String {
    let mut out = String::new();
    push(&mut out, value, false, &|digits| {
        let exact = digits.strip_prefix('+').unwrap_or(digits);
        let rounded = digits.parse().ok().and_then(serde_json::Number::from_f64);
        let is_same = rounded.is_none_or(|rounded| rounded.to_string() == exact);
        if is_same { digits.to_owned() } else { format!("={digits}") }
    });
    out
}

fn push(out: &mut String, value: &DeValue<'_>, ordered: bool, float: &dyn Fn(&str) -> String) {
    match value {
        DeValue::String(text) => push_text(out, text),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => out.push_str(&number.to_string()),
            Err(_) => out.push_str(number.as_str()),
        },
        DeValue::Float(number) => out.push_str(&float(number.as_str())),
        DeValue::Boolean(yes) => out.push_str(if *yes { "true" } else { "false" }),
        DeValue::Datetime(moment) => out.push_str(&format!("@{moment}")),
        DeValue::Array(items) => {
            out.push('[');
            for item in items {
                push(out, item.get_ref(), ordered, float);
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
                push(out, value, ordered || matches!(key.as_ref(), "value" | "default"), float);
                out.push(',');
            }
            out.push('}');
        }
    }
}

fn push_text(out: &mut String, text: &str) {
    out.push_str(&format!("{text:?}"));
}
