//! Single JSON values as text: what they are, and strings' content.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{self, Visitor};
use serde_json::value::RawValue;

/// What a JSON value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// Digits, perhaps with a sign, a fraction and an exponent.
    Number,
    /// `true` or `false`
    Boolean,
    /// `null`
    Null,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 6] = [Kind::Object, Kind::Array, Kind::String, Kind::Number, Kind::Boolean, Kind::Null];

    /// Its name in definitions: `string`, `number` …
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Object => "object",
            Kind::Array => "array",
            Kind::String => "string",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::Null => "null",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Object => "an object",
            Kind::Array => "an array",
            Kind::String => "a string",
            Kind::Number => "a number",
            Kind::Boolean => "a boolean",
            Kind::Null => "null",
        })
    }
}

/// What a value is, by its first byte. The text is valid JSON without white space around it.
pub(crate) fn kind_of(json: &str) -> Kind {
    match json.as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'n') => Kind::Null,
        _ => Kind::Number,
    }
}

/// The text as one strict JSON value, without the white space around it. Any depth.
pub fn strict(text: &str) -> Result<&str, serde_json::Error> {
    serde_json::from_str::<&RawValue>(text).map(RawValue::get)
}

/// A string's content. `None` when it holds an unpaired surrogate, which no Rust text can.
pub fn decode(json: &str) -> Option<Cow<'_, str>> {
    if let Some(plain) = plain(json) {
        return Some(Cow::Borrowed(plain));
    }
    serde_json::from_str::<String>(json).ok().map(Cow::Owned)
}

/// The text between the quotes, where it has no escapes.
fn plain(json: &str) -> Option<&str> {
    let inner = inner(json);
    if inner.bytes().any(|b| b == b'\\') { None } else { Some(inner) }
}

/// The text between the quotes, escapes and all.
pub fn inner(json: &str) -> &str {
    json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(json)
}

/// A string's content as bytes: UTF-8, with unpaired surrogates as three bytes each (WTF-8).
pub fn bytes_of(json: &str) -> Cow<'_, [u8]> {
    if let Some(plain) = plain(json) {
        return Cow::Borrowed(plain.as_bytes());
    }
    let mut deserializer = serde_json::Deserializer::from_str(json);
    match deserializer.deserialize_bytes(OwnedBytes) {
        Ok(bytes) => Cow::Owned(bytes),
        // Cannot be for a valid JSON string: reading one as bytes takes every escape.
        Err(_) => Cow::Borrowed(json.as_bytes()),
    }
}

struct OwnedBytes;

impl Visitor<'_> for OwnedBytes {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<u8>, E> {
        Ok(text.as_bytes().to_vec())
    }
}

/// Valid JSON without the white space between its tokens.
pub fn compact(json: &str) -> Cow<'_, str> {
    if !json.bytes().any(|b| b.is_ascii_whitespace()) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for character in json.chars() {
        if in_string || !character.is_ascii_whitespace() {
            out.push(character);
        }
        match (in_string, escaped, character) {
            (true, true, _) => escaped = false,
            (true, false, '\\') => escaped = true,
            (_, _, '"') => in_string = !in_string,
            _ => {}
        }
    }
    Cow::Owned(out)
}

/// Text as a JSON string, with quotes; escapes only what must be.
pub fn encode(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_decoded() {
        assert_eq!(decode(r#""a\u00e9\n""#).unwrap(), "aé\n");
        assert_eq!(decode(r#""\ud83d\ude00""#).unwrap(), "😀");
        assert_eq!(decode(r#""\ud800""#), None);
        assert_eq!(&*bytes_of(r#""a\ud800""#), b"a\xed\xa0\x80");
        assert_eq!(&*bytes_of(r#""a\u00e9""#), "aé".as_bytes());
    }

    #[test]
    fn white_space_goes_only_from_between_tokens() {
        assert_eq!(compact("{ \"a b\\\" \" :\n[1 ,\t2] }"), "{\"a b\\\" \":[1,2]}");
        assert_eq!(compact("1.0"), "1.0");
    }

    #[test]
    fn encoding_and_decoding_are_inverse() {
        for text in ["", "\"", "\\", "\u{0}\u{1f}", "ü😀", "\u{2028}"] {
            assert_eq!(decode(&encode(text)).unwrap(), text);
        }
    }
}
