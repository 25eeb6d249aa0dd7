//! Writes results by splicing: what is as it was read is written as the bytes it was read as.

use jaq_json::Num;

use super::budget::{self, Held};
use super::decimal::{number_text, same_value};
use super::value::{Object, Value};
use crate::reason::Reason;

/// The bytes that origins point into, by the numbers of the sources.
pub(super) type Sources<'a> = [&'a [u8]];

/// Writes a result as JSON. `before` is what was read in its place, if anything: it decides the order of keys, and
/// lends its bytes to equal values that were made anew.
pub(super) fn spliced(
    out: &mut Vec<u8>,
    value: &Value,
    before: Option<&Value>,
    sources: &Sources<'_>,
) -> Result<(), Reason> {
    if budget::opened_duplicates() {
        return Err(duplicates());
    }
    splice(out, value, before, sources)
}

/// Writes several results. What was written counts as held until all are.
pub(super) fn texts(values: &[Value], sources: &Sources<'_>) -> Result<Vec<String>, Reason> {
    let mut held = Held::nothing();
    let mut total = 0;
    let mut texts = Vec::with_capacity(values.len());
    for value in values {
        let mut out = Vec::new();
        spliced(&mut out, value, None, sources)?;
        total += out.len();
        held.set(total);
        if !budget::spend(1) {
            return Err(Reason::new("the jq filter ran away"));
        }
        // Input is UTF-8, and text that is not is refused above.
        texts.push(String::from_utf8(out).map_err(Reason::new)?);
    }
    Ok(texts)
}

fn duplicates() -> Reason {
    Reason::new("a key occurs twice in an object that the filter changes, and one of the two would be lost")
        .hint("leave that object alone, or remove one of the two with an operation first")
}

fn splice(out: &mut Vec<u8>, value: &Value, before: Option<&Value>, sources: &Sources<'_>) -> Result<(), Reason> {
    if copy_origin(out, value, sources) {
        return affordable(out, sources);
    }
    if let Some(before) = before
        && same(value, before)
    {
        return match before {
            _ if copy_origin(out, before, sources) => affordable(out, sources),
            _ => splice(out, before, None, sources),
        };
    }
    // A small value that holds itself many times over can be huge when written.
    if !budget::spend(1) || !budget::fits(out.len()) {
        return Err(Reason::new("the jq filter ran away"));
    }
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Num(num) => out.extend_from_slice(number_text(num).ok_or_else(|| not_finite(num))?.as_bytes()),
        Value::Str(text) => write_text(out, &text.bytes, false)?,
        Value::Arr(array) => {
            let before = match before {
                Some(Value::Arr(before)) => before.items(),
                _ => &[],
            };
            out.push(b'[');
            for (i, item) in array.items().iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                splice(out, item, before.get(i), sources)?;
            }
            out.push(b']');
        }
        Value::Obj(object) => match before {
            Some(Value::Obj(before)) => splice_object(out, object, before, sources)?,
            _ => splice_object(out, object, &Object::default(), sources)?,
        },
    }
    Ok(())
}

fn copy_origin(out: &mut Vec<u8>, value: &Value, sources: &Sources<'_>) -> bool {
    let bytes = value.origin().and_then(|span| sources.get(span.source)?.get(span.start..span.end));
    if let Some(bytes) = bytes {
        out.extend_from_slice(bytes);
    }
    bytes.is_some()
}

/// Input may be written once for nothing, but a small value can hold it many times over.
fn affordable(out: &[u8], sources: &Sources<'_>) -> Result<(), Reason> {
    let input: usize = sources.iter().map(|source| source.len()).sum();
    if budget::fits(out.len().saturating_sub(input)) { Ok(()) } else { Err(Reason::new("the jq filter ran away")) }
}

/// Keys that were there keep their order, new ones follow.
fn splice_object(out: &mut Vec<u8>, object: &Object, before: &Object, sources: &Sources<'_>) -> Result<(), Reason> {
    if before.has_duplicates() {
        return Err(duplicates());
    }
    let kept = before.map().iter().filter_map(|(key, before)| {
        let value = object.map().get(key)?;
        Some((key, value, Some(before)))
    });
    let new = object.map().iter().filter(|(key, _)| !before.map().contains_key(*key));
    let new = new.map(|(key, value)| (key, value, None));
    out.push(b'{');
    for (i, (key, value, before)) in kept.chain(new).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        if !copy_origin(out, &Value::Str(key.0.clone()), sources) {
            write_text(out, &key.0.bytes, false)?;
        }
        out.push(b':');
        splice(out, value, before, sources)?;
    }
    out.push(b'}');
    Ok(())
}

/// Whether nothing changed: then even the whitespace around a value stays.
pub(super) fn is_unchanged(value: &Value, before: &Value) -> bool {
    !budget::opened_duplicates() && same(value, before)
}

/// Whether a value is what was there before. Numbers that are text must be the same text; what was calculated must
/// have the same value, exactly.
fn same(value: &Value, before: &Value) -> bool {
    if let (Some(a), Some(b)) = (value.origin(), before.origin())
        && a == b
    {
        return true;
    }
    match (value, before) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Num(a), Value::Num(b)) => same_number(a, b),
        (Value::Str(a), Value::Str(b)) => a.bytes == b.bytes,
        (Value::Arr(a), Value::Arr(b)) => {
            a.items().len() == b.items().len() && a.items().iter().zip(b.items()).all(|(a, b)| same(a, b))
        }
        (Value::Obj(a), Value::Obj(b)) => {
            let same_entry = |(key, a)| b.map().get(key).is_some_and(|b| same(a, b));
            !b.has_duplicates() && a.map().len() == b.map().len() && a.map().iter().all(same_entry)
        }
        _ => false,
    }
}

fn same_number(value: &Num, before: &Num) -> bool {
    match (value, before) {
        (Num::Int(a), Num::Int(b)) => a == b,
        (Num::BigInt(a), Num::BigInt(b)) => a == b,
        (Num::Dec(a), Num::Dec(b)) => a == b,
        (Num::Float(_), Num::Dec(text)) => number_text(value).is_some_and(|value| same_value(&value, text)),
        _ => false,
    }
}

fn not_finite(num: &Num) -> Reason {
    let name = match num {
        Num::Float(float) if float.is_nan() => "not a number (nan)",
        _ => "infinite",
    };
    Reason::new(format_args!("the result has a number that is {name}, which json can't hold"))
        .hint("look for a division by zero, or a number too large for a float")
}

/// Writes text with as few escapes as there can be. Bytes that are neither UTF-8 nor a surrogate are refused, or
/// replaced where that is asked for.
fn write_text(out: &mut Vec<u8>, bytes: &[u8], replace: bool) -> Result<(), Reason> {
    out.push(b'"');
    let mut rest = bytes;
    loop {
        let valid = match std::str::from_utf8(rest) {
            Ok(_) => rest.len(),
            Err(error) => error.valid_up_to(),
        };
        write_valid(out, &rest[..valid]);
        rest = &rest[valid..];
        match rest {
            [] => break,
            [0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF, after @ ..] => {
                let unit = 0xD000 | u32::from(second & 0x3F) << 6 | u32::from(third & 0x3F);
                out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
                rest = after;
            }
            [_, after @ ..] if replace => {
                out.extend_from_slice("\u{FFFD}".as_bytes());
                rest = after;
            }
            _ => {
                return Err(Reason::new("the result has text that is not utf-8")
                    .hint("decoded base64 may be binary; json can't hold that"));
            }
        }
    }
    out.push(b'"');
    Ok(())
}

fn write_valid(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut copied = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            8 => b"\\b",
            12 => b"\\f",
            0..0x20 | 0x7F => b"",
            _ => continue,
        };
        out.extend_from_slice(&bytes[copied..at]);
        match escape {
            b"" => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.extend_from_slice(escape),
        }
        copied = at + 1;
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// A value as JSON text, for the filter itself. Fails where JSON can't hold it.
pub(super) fn json(value: &Value) -> Result<Vec<u8>, Reason> {
    let mut out = Vec::new();
    splice(&mut out, value, None, &[])?;
    Ok(out)
}

/// A value as text for people and string interpolation: as JSON, with `NaN` and `Infinity` where JSON has nothing.
pub(super) fn shown(value: &Value) -> String {
    let mut out = Vec::new();
    show(&mut out, value, NotFinite::ForPeople);
    budget::afford(out.len());
    String::from_utf8_lossy(&out).into_owned()
}

/// The same for a filter, which sees what jq shows it: `nan` as null, and the largest number for one that is infinite.
pub(super) fn interpolated(value: &Value) -> String {
    let mut out = Vec::new();
    show(&mut out, value, NotFinite::AsJq);
    budget::afford(out.len());
    String::from_utf8_lossy(&out).into_owned()
}

/// How numbers are shown that JSON can't hold.
#[derive(Debug, Clone, Copy)]
enum NotFinite {
    ForPeople,
    AsJq,
}

fn show(out: &mut Vec<u8>, value: &Value, not_finite: NotFinite) {
    if !budget::spend(1) || !budget::fits(out.len()) {
        return;
    }
    match value {
        Value::Num(num) => {
            let text = number_text(num).unwrap_or_else(|| match (not_finite, num) {
                (NotFinite::AsJq, Num::Float(float)) if float.is_nan() => "null".to_owned(),
                (NotFinite::AsJq, Num::Float(float)) => {
                    format!("{}1.7976931348623157e+308", if *float < 0.0 { "-" } else { "" })
                }
                _ => num.to_string(),
            });
            out.extend_from_slice(text.as_bytes());
        }
        Value::Str(text) => drop(write_text(out, &text.bytes, true)),
        Value::Arr(array) => {
            out.push(b'[');
            for (i, item) in array.items().iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                show(out, item, not_finite);
            }
            out.push(b']');
        }
        Value::Obj(object) => {
            out.push(b'{');
            for (i, (key, value)) in object.map().iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                drop(write_text(out, &key.0.bytes, true));
                out.push(b':');
                show(out, value, not_finite);
            }
            out.push(b'}');
        }
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(bool) => out.extend_from_slice(if *bool { b"true" } else { b"false" }),
    }
}
