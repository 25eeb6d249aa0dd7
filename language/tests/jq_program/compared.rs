//! When two results count as the same.

use serde_json::{Map, Value};

/// Whether eventlift agrees with jq: the same values, or both fail, or eventlift fails with a reason that is known.
pub(super) fn agree(form: &str, jq: &Value, eventlift: &Result<Value, String>) -> bool {
    match (jq.get("v"), eventlift) {
        (Some(expected), Ok(found)) => same(expected, found),
        (None, Err(_)) => true,
        (None, Ok(_)) => false,
        (Some(_), Err(reason)) => is_named(form, reason),
    }
}

/// What eventlift refuses, although jq yields something.
fn is_named(_form: &str, reason: &str) -> bool {
    // JSON can't hold it; jq writes null, or the largest number there is.
    const REASONS: [&str; 3] =
        ["not a number (nan)", "is infinite, which json can't hold", "the result has text that is not utf-8"];
    reason.contains("eventlift has") || REASONS.iter().any(|known| reason.contains(known))
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => same_number(a.as_f64(), b.as_f64()),
        (Value::String(a), Value::String(b)) => a == b || same_text(a, b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| at_key(b, key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// What is at a key, which may have been made of a number.
fn at_key<'o>(object: &'o Map<String, Value>, key: &str) -> Option<&'o Value> {
    let alike = || object.iter().find(|(other, _)| same_text(other, key)).map(|(_, value)| value);
    object.get(key).or_else(alike)
}

/// jq holds numbers as floats, eventlift holds integers exactly, and libraries differ in the last digit.
fn same_number(a: Option<f64>, b: Option<f64>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a == b || (a - b).abs() <= a.abs().max(b.abs()) * 4e-15,
        _ => false,
    }
}

/// The same text, but for numbers inside, which keep their digits in eventlift; also where the text is encoded.
fn same_text(a: &str, b: &str) -> bool {
    let decoded = |decode: fn(&str) -> Option<String>| {
        let (a, b) = (decode(a), decode(b));
        a.zip(b).is_some_and(|(a, b)| same_plain_text(&a, &b))
    };
    same_plain_text(a, b) || decoded(percent_decoded) || decoded(base64_decoded)
}

fn same_plain_text(a: &str, b: &str) -> bool {
    let (a, b) = (parts(a), parts(b));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a == b || same_number(a.parse().ok(), b.parse().ok()))
}

/// What `@uri` made text of.
fn percent_decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        bytes.push(u8::from_str_radix(piece.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// What `@base64` made text of.
fn base64_decoded(text: &str) -> Option<String> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut held, mut count) = (Vec::new(), 0, 0);
    for byte in text.trim_end_matches('=').bytes() {
        held = held << 6 | DIGITS.iter().position(|digit| *digit == byte)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((held >> count & 0xFF) as u8);
        }
        held &= (1 << count) - 1;
    }
    String::from_utf8(bytes).ok()
}

/// Text cut into what may be a number and what is not.
fn parts(text: &str) -> Vec<&str> {
    let is_number = |char: char| char.is_ascii_digit() || matches!(char, '.' | '-' | '+' | 'e' | 'E');
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|char| is_number(char) != is_number(first)).unwrap_or(rest.len());
        parts.push(&rest[..end]);
        rest = &rest[end..];
    }
    parts
}
