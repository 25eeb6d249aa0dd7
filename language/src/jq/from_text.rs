//! `fromjson`: reads what jq reads, where that is JSON or its numbers are written otherwise.

use bytes::Bytes;
use jaq_core::{Error, ValR};

use super::budget;
use super::read;
use super::text;
use super::value::Value;

/// The value that text is. Ends the evaluation at text that jq reads as what eventlift can't hold.
pub(super) fn value(text: &Bytes) -> ValR<Value> {
    let read = match read::json(text, None, budget::MAX_DEPTH, "the text") {
        Ok(read) => read,
        Err(reason) => {
            let strict = str::from_utf8(text).ok().map(strict).transpose()?;
            let again = strict.map(|strict| read::json(&Bytes::from(strict), None, budget::MAX_DEPTH, "the text"));
            again.and_then(Result::ok).ok_or_else(|| refused(text, reason))?
        }
    };
    if has_duplicates(&read) {
        return Err(budget::refuse(
            "a key occurs twice in an object of the text: jq keeps the last, eventlift loses none",
        ));
    }
    Ok(read)
}

/// Why text is not read; jq reads values that are nested deeper.
fn refused(text: &Bytes, reason: crate::Reason) -> Error<Value> {
    let is_json = serde_json::from_slice::<&serde_json::value::RawValue>(text).is_ok();
    if is_json { budget::refuse(reason) } else { Error::str(reason.message) }
}

/// The text with its numbers as JSON has them, without what jq reads over.
fn strict(text: &str) -> Result<String, Error<Value>> {
    if text.contains('\0') {
        return Err(budget::refuse("jq reads text up to a nul character, eventlift has not what it reads"));
    }
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' => string_len(rest),
            _ if is_of_word(first) => rest.find(|char| !is_of_word(char)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (word, after) = rest.split_at(len);
        if text::is_not_finite(word) {
            return Err(budget::refuse(format!("jq has the number {word} in json text, eventlift has not")));
        }
        match text::number(word) {
            Some(number) => out.push_str(&number.to_string()),
            None => out.push_str(word),
        }
        rest = after;
    }
    Ok(out)
}

fn is_of_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '+' | '-' | '.')
}

/// How long the text in quotes is that something begins with.
fn string_len(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether a key occurs twice in an object anywhere inside, of which jq keeps the last.
fn has_duplicates(value: &Value) -> bool {
    match value {
        Value::Arr(array) => array.items().iter().any(has_duplicates),
        Value::Obj(object) => object.has_duplicates() || object.map().values().any(has_duplicates),
        _ => false,
    }
}
