//! Text: what jq reads as a number, and its formats.

use bytes::Bytes;
use jaq_core::{Error, ValR};

use super::budget;
use super::decimal::number_text;
use super::read;
use super::value::Value;
use super::write;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn text_of(value: &Value) -> Result<Vec<u8>, Error<Value>> {
    let text = match value {
        Value::Str(text) => text.bytes.to_vec(),
        value => write::interpolated(value).into_bytes(),
    };
    if budget::afford(text.len()) { Ok(text) } else { Err(budget::exhausted()) }
}

fn new_text(bytes: Vec<u8>) -> ValR<Value> {
    if budget::afford(bytes.len()) { Ok(Value::text(bytes)) } else { Err(budget::exhausted()) }
}

/// `tonumber`: a number as it is, or text that is one. Text keeps its digits where JSON can have them.
pub(super) fn to_number(value: &Value) -> ValR<Value> {
    let text = match value {
        Value::Num(_) => return Ok(value.clone()),
        Value::Str(text) => text,
        _ => return Err(Error::str(format_args!("{value} cannot be parsed as a number"))),
    };
    let refused = || Error::str(format_args!("{value} cannot be parsed as a number"));
    let text = str::from_utf8(&text.bytes).map_err(|_| refused())?.trim_matches([' ', '\t', '\n', '\r']);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    // What jq takes beside JSON: `+1`, `01`, `.5` and `1.`.
    let (whole, rest) = digits.split_at(digits.bytes().take_while(u8::is_ascii_digit).count());
    let stripped = whole.trim_start_matches('0');
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(refused());
    }
    let point = if fraction.is_empty() { "" } else { "." };
    let whole = if stripped.is_empty() { "0" } else { stripped };
    let number = format!("{sign}{whole}{point}{fraction}{rest}");
    if !read::is_json_number(&number) {
        return Err(refused());
    }
    Ok(Value::Num(read::number(&number)))
}

/// `@csv` and `@tsv`: an array of scalars as a line.
pub(super) fn line(value: &Value, name: &str, separator: u8, write_text: fn(&mut Vec<u8>, &[u8])) -> ValR<Value> {
    let Value::Arr(array) = value else {
        return Err(Error::str(format_args!("{value} cannot be {name}-formatted, only an array can be")));
    };
    let mut line = Vec::new();
    for (at, item) in array.items().iter().enumerate() {
        if at > 0 {
            line.push(separator);
        }
        match item {
            Value::Null => {}
            Value::Bool(bool) => line.extend_from_slice(if *bool { b"true" } else { b"false" }),
            Value::Num(num) => match number_text(num) {
                Some(text) => line.extend_from_slice(text.as_bytes()),
                None => return Err(Error::str(format_args!("{item} cannot be written in {name}"))),
            },
            Value::Str(text) => write_text(&mut line, &text.bytes),
            _ => return Err(Error::str(format_args!("{item} is not valid in a {name} row"))),
        }
        if !budget::spend(1) || !budget::fits(line.len()) {
            return Err(budget::exhausted());
        }
    }
    new_text(line)
}

/// Text in double quotes, those inside doubled.
pub(super) fn csv_text(line: &mut Vec<u8>, text: &[u8]) {
    line.push(b'"');
    for &byte in text {
        if byte == b'"' {
            line.push(b'"');
        }
        line.push(byte);
    }
    line.push(b'"');
}

/// Text with tabs, line ends and backslashes escaped.
pub(super) fn tsv_text(line: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        match byte {
            b'\t' => line.extend_from_slice(b"\\t"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\\' => line.extend_from_slice(b"\\\\"),
            byte => line.push(byte),
        }
    }
}

/// `@sh`: text in single quotes, the items of an array side by side.
pub(super) fn sh(value: &Value) -> ValR<Value> {
    let one = std::slice::from_ref(value);
    let items = if let Value::Arr(array) = value { array.items() } else { one };
    let mut line = Vec::new();
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            line.push(b' ');
        }
        match item {
            Value::Str(text) => {
                line.push(b'\'');
                for &byte in &text.bytes[..] {
                    match byte {
                        b'\'' => line.extend_from_slice(b"'\\''"),
                        byte => line.push(byte),
                    }
                }
                line.push(b'\'');
            }
            Value::Arr(_) | Value::Obj(_) => {
                return Err(Error::str(format_args!("{item} cannot be escaped for the shell")));
            }
            item => line.extend_from_slice(write::interpolated(item).as_bytes()),
        }
        if !budget::spend(1) || !budget::fits(line.len()) {
            return Err(budget::exhausted());
        }
    }
    new_text(line)
}

/// `@uri`: everything but letters, digits and `-_.~` percent-encoded.
pub(super) fn uri(value: &Value) -> ValR<Value> {
    let mut out = Vec::new();
    for byte in text_of(value)? {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte),
            byte => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        }
    }
    new_text(out)
}

/// `@urid`: what is percent-encoded decoded.
pub(super) fn uri_decoded(value: &Value) -> ValR<Value> {
    let text = text_of(value)?;
    let refused = || Error::str(format_args!("{value} is not a valid uri encoding"));
    let digit = |at: usize| text.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if byte == b'%' {
            let (high, low) = digit(at + 1).zip(digit(at + 2)).ok_or_else(refused)?;
            out.push((high * 16 + low) as u8);
            at += 3;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    if str::from_utf8(&out).is_err() {
        return Err(refused());
    }
    new_text(out)
}

/// Bytes as digits of so many bits each, padded with `=` to groups.
fn encoded(bytes: &[u8], bits: usize, alphabet: &[u8], group: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 8 / bits + group);
    let (mut held, mut count) = (0_u32, 0);
    for &byte in bytes {
        held = held << 8 | u32::from(byte);
        count += 8;
        while count >= bits {
            count -= bits;
            out.push(alphabet[(held >> count) as usize & (alphabet.len() - 1)]);
        }
    }
    if count > 0 {
        out.push(alphabet[(held << (bits - count)) as usize & (alphabet.len() - 1)]);
    }
    while !out.len().is_multiple_of(group) {
        out.push(b'=');
    }
    out
}

/// The bytes that such digits stand for; padding may be missing.
fn decoded(value: &Value, name: &str, bits: usize, alphabet: &[u8]) -> ValR<Value> {
    let text = text_of(value)?;
    let refused = || Error::str(format_args!("{value} is not valid {name} data"));
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let digits = &text[..text.len() - padding];
    let mut out = Vec::with_capacity(digits.len() * bits / 8);
    let (mut held, mut count) = (0_u32, 0);
    for byte in digits {
        let digit = alphabet.iter().position(|digit| digit == byte).ok_or_else(refused)?;
        held = held << bits | digit as u32;
        count += bits;
        if count >= 8 {
            count -= 8;
            out.push((held >> count) as u8);
        }
    }
    // A digit too many stands for nothing.
    if count >= bits || digits.is_empty() && padding > 0 {
        return Err(refused());
    }
    new_text(out)
}

/// `@base32`.
pub(super) fn base32(value: &Value) -> ValR<Value> {
    new_text(encoded(&text_of(value)?, 5, BASE32, 8))
}

/// `@base32d`.
pub(super) fn base32_decoded(value: &Value) -> ValR<Value> {
    decoded(value, "base32", 5, BASE32)
}

/// `@base64`.
pub(super) fn base64(value: &Value) -> ValR<Value> {
    new_text(encoded(&text_of(value)?, 6, BASE64, 4))
}

/// `@base64d`.
pub(super) fn base64_decoded(value: &Value) -> ValR<Value> {
    decoded(value, "base64", 6, BASE64)
}

/// `ltrimstr`, `rtrimstr`: text without a part at one end; anything else as it is.
pub(super) fn trimmed(value: Value, part: &Value, at_start: bool) -> Value {
    let (Value::Str(text), Value::Str(part)) = (&value, part) else { return value };
    let rest =
        if at_start { text.bytes.strip_prefix(&part.bytes[..]) } else { text.bytes.strip_suffix(&part.bytes[..]) };
    match rest {
        Some(rest) if rest.len() < text.bytes.len() => {
            budget::afford(rest.len());
            Value::text(Bytes::copy_from_slice(rest))
        }
        _ => value,
    }
}
