//! Text: what jq reads as a number, and its formats.

use bytes::Bytes;
use data_encoding::{BASE32, BASE32_NOPAD};
use jaq_core::{Error, ValR};
use jaq_json::Num;

use super::budget;
use super::decimal::number_text;
use super::read;
use super::value::{Value, num_as_f64};
use super::write;

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
    let text = str::from_utf8(&text.bytes).map_err(|_| refused())?;
    if is_not_finite(trimmed_space(text)) {
        return Err(budget::refuse("jq has numbers that are nan or infinite in text, eventlift has not"));
    }
    if let Some((before, _)) = text.split_once('\0')
        && number(trimmed_space(before)).is_some()
    {
        return Err(budget::refuse("jq reads text up to a nul character, eventlift has not what it reads"));
    }
    number(trimmed_space(text)).map(Value::Num).ok_or_else(refused)
}

fn trimmed_space(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r'])
}

/// The number that text is to jq: one of JSON, or `+1`, `01`, `.5`, `1.`.
pub(super) fn number(text: &str) -> Option<Num> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, rest) = digits.split_at(digits.bytes().take_while(u8::is_ascii_digit).count());
    let stripped = whole.trim_start_matches('0');
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count()),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let point = if fraction.is_empty() { "" } else { "." };
    let whole = if stripped.is_empty() { "0" } else { stripped };
    let number = format!("{sign}{whole}{point}{fraction}{rest}");
    read::is_json_number(&number).then(|| read::number(&number))
}

/// Whether text is what jq reads as a number that is none, or infinite. The versions disagree on a bare `nan`.
pub(super) fn is_not_finite(text: &str) -> bool {
    let word = text.trim_start_matches(['+', '-']);
    text != "nan" && ["nan", "inf", "infinity"].iter().any(|name| word.eq_ignore_ascii_case(name))
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
                None => {
                    return Err(budget::refuse(format!(
                        "jq writes nan and infinite in {name}, eventlift has not what it writes"
                    )));
                }
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

/// Text with each of these bytes written otherwise; a nul character becomes `\0` in all formats that escape anything.
fn push_escaped(line: &mut Vec<u8>, text: &[u8], escape: fn(u8) -> Option<&'static [u8]>) {
    for byte in text {
        match escape(*byte) {
            Some(escape) => line.extend_from_slice(escape),
            None if *byte == 0 => line.extend_from_slice(b"\\0"),
            None => line.push(*byte),
        }
    }
}

/// Text in double quotes, those inside doubled.
pub(super) fn csv_text(line: &mut Vec<u8>, text: &[u8]) {
    line.push(b'"');
    push_escaped(line, text, |byte| (byte == b'"').then_some(b"\"\""));
    line.push(b'"');
}

/// Text with tabs, line ends and backslashes escaped.
pub(super) fn tsv_text(line: &mut Vec<u8>, text: &[u8]) {
    push_escaped(line, text, |byte| match byte {
        b'\t' => Some(b"\\t"),
        b'\n' => Some(b"\\n"),
        b'\r' => Some(b"\\r"),
        b'\\' => Some(b"\\\\"),
        _ => None,
    });
}

/// `@html`: text with what is markup in HTML as entities.
pub(super) fn html(value: &Value) -> ValR<Value> {
    let mut out = Vec::new();
    push_escaped(&mut out, &text_of(value)?, |byte| match byte {
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'&' => Some(b"&amp;"),
        b'\'' => Some(b"&apos;"),
        b'"' => Some(b"&quot;"),
        _ => None,
    });
    new_text(out)
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
                push_escaped(&mut line, &text.bytes, |byte| (byte == b'\'').then_some(b"'\\''"));
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

/// `@base64`.
pub(super) fn base64(value: &Value) -> ValR<Value> {
    new_text(data_encoding::BASE64.encode(&text_of(value)?).into_bytes())
}

/// `@base64d`; padding may be missing.
pub(super) fn base64_decoded(value: &Value) -> ValR<Value> {
    let text = text_of(value)?;
    let refused = || Error::str(format_args!("{value} is not valid base64 data"));
    // What follows the padding does not count.
    let digits = &text[..text.iter().position(|byte| *byte == b'=').unwrap_or(text.len())];
    let mut out = Vec::with_capacity(digits.len() * 6 / 8);
    let (mut held, mut count) = (0_u32, 0);
    for byte in digits {
        let digit = BASE64.iter().position(|digit| digit == byte).ok_or_else(refused)?;
        held = held << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((held >> count) as u8);
        }
    }
    // A digit too many stands for nothing.
    if count >= 6 {
        return Err(refused());
    }
    new_text(out)
}

/// `@base32`.
pub(super) fn base32(value: &Value) -> ValR<Value> {
    new_text(BASE32.encode(&text_of(value)?).into_bytes())
}

/// `@base32d`; padding may be missing.
pub(super) fn base32_decoded(value: &Value) -> ValR<Value> {
    let text = text_of(value)?;
    let digits = &text[..text.iter().position(|byte| *byte == b'=').unwrap_or(text.len())];
    let bytes = BASE32_NOPAD.decode(digits);
    new_text(bytes.map_err(|_| Error::str(format_args!("{value} is not valid base32 data")))?)
}

/// `implode`: text of these code points. jq replaces what is none.
pub(super) fn imploded(value: &Value) -> ValR<Value> {
    let Value::Arr(array) = value else {
        return Err(Error::str(format_args!("{value} cannot be imploded, only an array of code points can be")));
    };
    let mut text = String::new();
    for item in array.items() {
        let Value::Num(num) = item else {
            return Err(Error::str(format_args!("{item} is not a code point, which are numbers")));
        };
        let code = num_as_f64(num);
        // The cast cuts off fractions and saturates, and no code point is that large.
        let char = if code > -1.0 { char::from_u32(code as u32) } else { None };
        let none = || budget::refuse("jq has a replacement for numbers that are no code points, eventlift has not");
        text.push(char.ok_or_else(none)?);
        if !budget::spend(1) || !budget::fits(text.len()) {
            return Err(budget::exhausted());
        }
    }
    new_text(text.into_bytes())
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
