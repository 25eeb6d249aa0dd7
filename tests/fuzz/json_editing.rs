//! Editing JSON over slices against editing its value: the first line is a pointer, the second what is put there.

use eventlift_language::json::{Document, Pointer};
use serde_json::Value;

use super::engine::Target;

pub(super) const TARGET: Target = Target {
    name: "json_editing",
    dictionary: &[
        "/a",
        "/b",
        "/0",
        "/-",
        "/~0",
        "/~1",
        "{\"a\":",
        "[1,2]",
        "null",
        "true",
        "\"\\u0061\"",
        "\"\\ud800\"",
        "1.0",
        "-0",
        "1e5",
        "{}",
        "[]",
        ",",
        "}",
        "]",
        " ",
        "\"a\"",
        "\n",
    ],
    always: 20_000,
    run,
};

fn run(input: &[u8]) -> Result<String, String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok("not text".to_owned()) };
    let mut lines = text.splitn(3, '\n');
    let (Some(pointer), Some(new), Some(json)) = (lines.next(), lines.next(), lines.next()) else {
        return Ok("too short".to_owned());
    };
    let Ok(pointer) = Pointer::parse(pointer) else { return Ok("no pointer".to_owned()) };
    let reference = serde_json::from_str::<Value>(json);
    let mut document = match (Document::parse(json.as_bytes()), &reference) {
        (Ok(_), _) if json.is_empty() => return Ok("absent".to_owned()),
        (Ok(document), _) => document,
        (Err(_), Err(_)) => return Ok("no json".to_owned()),
        // Numbers that no float holds, surrogates and depth are fine to one of the two.
        (Err(reason), Ok(_)) => return Err(format!("serde_json reads what Document refuses: {reason}")),
    };
    let Ok(reference) = reference else { return Ok("beyond the reference".to_owned()) };
    // White space between the parts of what was opened may go, nothing else.
    let untouched = document.write();
    if without_space(&untouched) != without_space(json.as_bytes()) {
        return Err(format!("untouched, it is written as {untouched:?}"));
    }
    let found = match document.get(&pointer) {
        Ok(found) => found.map(std::borrow::Cow::into_owned),
        Err(reason) => return Ok(reason.message),
    };
    let plain = !pointer.has_wildcard() && !pointer.as_str().contains("/-");
    if plain && has_no_twins(json) {
        let expected = reference.pointer(pointer.as_str());
        let read = found.as_deref().map(serde_json::from_str::<Value>).transpose();
        let read = read.map_err(|error| format!("what was found is not JSON: {error}: {found:?}"))?;
        if read.as_ref() != expected {
            return Err(format!("at {pointer:?} is {read:?}, and in the value {expected:?}"));
        }
    }
    if !plain || serde_json::from_str::<Value>(new).is_err() {
        return Ok("found".to_owned());
    }
    let mut changed = Document::parse(json.as_bytes()).map_err(|reason| reason.to_string())?;
    if let Err(reason) = changed.set(&pointer, new) {
        return Ok(reason.message);
    }
    let written = changed.write();
    let read: Value = serde_json::from_slice(&written).map_err(|error| format!("{error}: {written:?}"))?;
    if has_no_twins(json) && has_no_twins(new) {
        let expected: Value = serde_json::from_str(new).map_err(|error| error.to_string())?;
        if read.pointer(pointer.as_str()) != Some(&expected) {
            return Err(format!("put at {pointer:?}, it became {written:?}"));
        }
    }
    let mut removed = Document::parse(&written).map_err(|reason| reason.to_string())?;
    match removed.remove(&pointer) {
        Ok(taken) => {
            let left = removed.write();
            let is_json = left.is_empty() || serde_json::from_slice::<Value>(&left).is_ok();
            if taken.is_none() || !is_json {
                return Err(format!("taken from {pointer:?} is {taken:?}, which leaves {left:?}"));
            }
            Ok("put and taken".to_owned())
        }
        Err(reason) => Ok(reason.message),
    }
}

/// JSON without the white space that stands between its parts.
fn without_space(json: &[u8]) -> Vec<u8> {
    let (mut in_text, mut is_escaped) = (false, false);
    let mut kept = json.to_vec();
    kept.retain(|byte| {
        let is_quote = *byte == b'"' && !is_escaped;
        is_escaped = in_text && *byte == b'\\' && !is_escaped;
        in_text ^= is_quote;
        in_text || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
    });
    kept
}

/// Whether no object has a key twice: the reference keeps only the last one.
fn has_no_twins(json: &str) -> bool {
    let keys = json.matches("\":").count() + json.matches("\" ").count() + json.matches("\"\n").count();
    let kept = serde_json::from_str::<Value>(json).map_or(0, |value| members(&value));
    keys <= kept
}

fn members(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(members).sum(),
        Value::Object(map) => map.len() + map.values().map(members).sum::<usize>(),
        _ => 0,
    }
}
