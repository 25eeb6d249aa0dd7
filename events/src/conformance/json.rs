//! Whether two JSON texts have the same value, numbers compared exactly.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// Whether both are JSON, of the same value: white space, the order of keys and the notation of numbers and text don't
/// matter, and of a key that is repeated the last one counts.
pub(super) fn same_value(left: &[u8], right: &[u8]) -> bool {
    let (Ok(left), Ok(right)) = (std::str::from_utf8(left), std::str::from_utf8(right)) else { return false };
    same_text(left.trim(), right.trim())
}

fn same_text(left: &str, right: &str) -> bool {
    if left == right {
        return serde_json::from_str::<&RawValue>(left).is_ok();
    }
    match (left.as_bytes().first(), right.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) => {
            let object = |text| serde_json::from_str::<BTreeMap<String, &RawValue>>(text);
            let (Ok(left), Ok(right)) = (object(left), object(right)) else { return false };
            left.len() == right.len()
                && left
                    .iter()
                    .zip(&right)
                    .all(|((key, value), (other_key, other))| key == other_key && same_text(value.get(), other.get()))
        }
        (Some(b'['), Some(b'[')) => {
            let array = |text| serde_json::from_str::<Vec<&RawValue>>(text);
            let (Ok(left), Ok(right)) = (array(left), array(right)) else { return false };
            left.len() == right.len()
                && left.iter().zip(&right).all(|(value, other)| same_text(value.get(), other.get()))
        }
        (Some(b'"'), Some(b'"')) => {
            let text = |text| serde_json::from_str::<String>(text);
            matches!((text(left), text(right)), (Ok(left), Ok(right)) if left == right)
        }
        _ => matches!((number(left), number(right)), (Some(left), Some(right)) if left == right),
    }
}

/// A number as its sign, its digits without zeros at either end, and the power of ten of the last one.
fn number(text: &str) -> Option<(bool, String, i64)> {
    serde_json::from_str::<&RawValue>(text).ok()?;
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let kept = digits.trim_end_matches('0');
    let power = exponent.parse::<i64>().ok()? - fraction.len() as i64 + (digits.len() - kept.len()) as i64;
    let kept = kept.trim_start_matches('0');
    // Zero has neither sign nor power.
    Some(if kept.is_empty() { (false, String::new(), 0) } else { (is_negative, kept.to_owned(), power) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_not_texts() {
        let same = |left: &str, right: &str| same_value(left.as_bytes(), right.as_bytes());
        assert!(same(r#" { "b" : 1 ,  "a":2 } "#, r#"{"a": 2, "b": 1}"#));
        assert!(same(r#"{"a":1,"a":2}"#, r#"{"a":2}"#));
        assert!(same(r#"["\u0041","\/"]"#, r#"["A","/"]"#));
        assert!(same("[1E+2,10.10,-0,0.001,1e-400]", &format!("[100,10.1,0,1e-3,0.{}1]", "0".repeat(399))));
        assert!(!same("9007199254740993", "9007199254740992"));
        assert!(!same("1", "-1"));
        assert!(!same(r#"{"a":1}"#, r#"{"a":1,"b":1}"#));
        assert!(!same("[1,2]", "[2,1]"));
        assert!(!same("null", "false"));
        assert!(!same("{", "{"));
    }
}
