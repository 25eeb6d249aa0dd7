//! Reads JSON strictly, remembering which bytes every value is.

use std::rc::Rc;

use bytes::Bytes;
use jaq_json::Num;
use serde_json::value::RawValue;

use super::budget::MAX_DEPTH;
use super::value::{Array, Key, Map, Object, Span, Text, Value};
use crate::reason::Reason;

/// Integers with more digits are kept as text: reading them as integers takes a time of its own.
const MAX_INTEGER_DIGITS: usize = 100;

/// Reads one JSON value, which `what` names in reasons. Values remember their bytes where there is a source number.
pub(super) fn json(bytes: &Bytes, source: Option<usize>, max_depth: usize, what: &str) -> Result<Value, Reason> {
    let raw: &RawValue = serde_json::from_slice(bytes).map_err(|error| {
        Reason::new(format_args!("{what} is not valid json: {error}"))
            .hint("jq rules read json strictly, as in rfc 8259")
    })?;
    let start = raw.get().as_ptr() as usize - bytes.as_ptr() as usize;
    let mut reader = Reader { bytes, at: start, source, max_depth: max_depth.min(MAX_DEPTH), what };
    reader.value(0)
}

/// Walks text that is known to be valid JSON.
struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
    source: Option<usize>,
    max_depth: usize,
    what: &'a str,
}

impl Reader<'_> {
    /// The next byte that is not whitespace; it is not consumed.
    fn peek(&mut self) -> u8 {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn origin(&self, start: usize) -> Option<Span> {
        self.source.map(|source| Span { source, start, end: self.at })
    }

    fn value(&mut self, depth: usize) -> Result<Value, Reason> {
        match self.peek() {
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => Ok(Value::Str(self.text())),
            b't' => Ok(self.word(4, Value::Bool(true))),
            b'f' => Ok(self.word(5, Value::Bool(false))),
            b'n' => Ok(self.word(4, Value::Null)),
            _ => Ok(self.number()),
        }
    }

    fn word(&mut self, len: usize, value: Value) -> Value {
        self.at += len;
        value
    }

    fn number(&mut self) -> Value {
        let start = self.at;
        let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        self.at += self.bytes[start..].iter().take_while(|byte| is_part(byte)).count();
        let text = std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or("0"); // only ASCII was taken
        Value::Num(number(text))
    }

    fn text(&mut self) -> Rc<Text> {
        let start = self.at;
        self.at += 1;
        let mut has_escapes = false;
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
        let inside = self.bytes.slice(start + 1..self.at);
        self.at += 1;
        let bytes = if has_escapes { unescaped(&inside).into() } else { inside };
        Text::read(bytes, self.origin(start))
    }

    fn check_depth(&self, depth: usize) -> Result<(), Reason> {
        if depth <= self.max_depth {
            return Ok(());
        }
        Err(Reason::new(format_args!("{} is nested deeper than {} levels", self.what, self.max_depth))
            .hint("operations such as rename and remove take any depth, jq rules do not"))
    }

    fn array(&mut self, depth: usize) -> Result<Value, Reason> {
        self.check_depth(depth)?;
        let start = self.at;
        self.at += 1;
        let mut items = Vec::new();
        while self.peek() != b']' {
            items.push(self.value(depth)?);
            if self.peek() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Ok(Value::Arr(Array::read(items, self.origin(start))))
    }

    fn object(&mut self, depth: usize) -> Result<Value, Reason> {
        self.check_depth(depth)?;
        let start = self.at;
        self.at += 1;
        let mut map = Map::default();
        let mut has_duplicates = false;
        while self.peek() != b'}' {
            let key = self.text();
            self.peek();
            self.at += 1; // the colon
            let value = self.value(depth)?;
            has_duplicates |= map.insert(Key(key), value).is_some();
            if self.peek() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        Ok(Value::Obj(Object::read(map, self.origin(start), has_duplicates)))
    }
}

/// The bytes that valid JSON text stands for; unpaired surrogates as WTF-8.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if byte != b'\\' {
            out.push(byte);
            at += 1;
            continue;
        }
        let escape = text.get(at + 1).copied().unwrap_or(b'\\');
        at += 2;
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'u' => {
                let unit = code_unit(text, at);
                at += 4;
                let low = (text.get(at..at + 2) == Some(b"\\u")).then(|| code_unit(text, at + 2));
                match (unit, low) {
                    (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) => {
                        at += 6;
                        push_code_point(&mut out, 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00));
                    }
                    _ => push_code_point(&mut out, unit),
                }
            }
            other => out.push(other),
        }
    }
    out
}

fn code_unit(text: &[u8], at: usize) -> u32 {
    let digits = text.get(at..at + 4).unwrap_or_default();
    digits.iter().fold(0, |unit, digit| unit * 16 + char::from(*digit).to_digit(16).unwrap_or(0))
}

fn push_code_point(out: &mut Vec<u8>, code: u32) {
    match char::from_u32(code) {
        Some(char) => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        // A surrogate, which is always three bytes.
        None => out.extend([0xE0 | (code >> 12) as u8, 0x80 | (code >> 6 & 0x3F) as u8, 0x80 | (code & 0x3F) as u8]),
    }
}

/// A number that prints as the text it was read from.
pub(super) fn number(text: &str) -> Num {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_integer
        && digits.len() <= MAX_INTEGER_DIGITS
        && text != "-0"
        && let Some(integer) = Num::from_str_radix(text, 10)
    {
        return integer;
    }
    Num::Dec(Rc::new(text.to_owned()))
}

/// Whether text is a number as JSON has them.
pub(super) fn is_json_number(text: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    let integer = digits(rest);
    if integer == 0 || (integer > 1 && rest.starts_with('0')) {
        return false;
    }
    rest = &rest[integer..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let len = digits(fraction);
        if len == 0 {
            return false;
        }
        rest = &fraction[len..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let len = digits(exponent);
        if len == 0 {
            return false;
        }
        rest = &exponent[len..];
    }
    rest.is_empty()
}
