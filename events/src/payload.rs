//! The bytes an event carries, and what they are.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;
use serde::de::IgnoredAny;

/// Data or metadata: shared bytes with a content type. Cloning shares the bytes.
///
/// The bytes are kept exactly as they were read. Nothing here parses them, so bytes labelled JSON may be broken JSON:
/// whoever needs the JSON finds out. No bytes at all means that the event has none, which is not the same as `null`;
/// a store need not keep the content type of no bytes.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload {
    bytes: Bytes,
    content_type: ContentType,
}

impl Payload {
    /// No bytes, labelled JSON.
    pub const fn empty() -> Self {
        Self { bytes: Bytes::new(), content_type: ContentType::Json }
    }

    /// Bytes of the given type.
    pub fn new(bytes: impl Into<Bytes>, content_type: ContentType) -> Self {
        Self { bytes: bytes.into(), content_type }
    }

    /// JSON text, unparsed.
    pub fn json(text: impl Into<Bytes>) -> Self {
        Self::new(text, ContentType::Json)
    }

    /// Bytes without a format.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::new(bytes, ContentType::Binary)
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What the bytes are.
    pub fn content_type(&self) -> &ContentType {
        &self.content_type
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether the bytes are labelled JSON, as [`ContentType::is_json`] has it.
    pub fn is_json(&self) -> bool {
        self.content_type.is_json()
    }

    /// Whether the bytes are labelled JSON and are: one JSON value in UTF-8, as the RFC wants it whatever charset a label
    /// names. This is what a store shows to SQL as JSON; it reads all the bytes.
    pub fn holds_json(&self) -> bool {
        self.is_json()
            && std::str::from_utf8(&self.bytes).is_ok()
            && serde_json::from_slice::<IgnoredAny>(&self.bytes).is_ok()
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 200;
        let shown = String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(SHOWN)]);
        let more = if self.bytes.len() > SHOWN { "…" } else { "" };
        write!(f, "{}({shown:?}{more})", self.content_type)
    }
}

/// What a payload's bytes are. `application/json` and `application/octet-stream` have names of their own here; any
/// other media type is kept as it is written.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub enum ContentType {
    /// `application/json`.
    #[default]
    Json,
    /// `application/octet-stream`.
    Binary,
    /// Any other media type, kept to the letter. Build it with [`ContentType::parse`].
    Other(ByteString),
}

impl ContentType {
    /// Reads a media type.
    pub fn parse(text: impl Into<ByteString>) -> Self {
        let text = text.into();
        match &*text {
            "application/json" => Self::Json,
            "application/octet-stream" => Self::Binary,
            _ => Self::Other(text),
        }
    }

    /// Whether it says JSON: the subtype is `json` or ends in `+json`, in whatever case and with whatever parameters, as
    /// CloudEvents has it. Every store, rule and fold goes by this. `application/json-seq` and the like are none: they
    /// hold several values.
    pub fn is_json(&self) -> bool {
        const SUFFIX: &str = "+json";
        let Self::Other(text) = self else { return *self == Self::Json };
        let essence = text.split(';').next().unwrap_or_default().trim();
        let Some((kind, subtype)) = essence.split_once('/') else { return false };
        let ends_in_suffix = || {
            let start = subtype.len().checked_sub(SUFFIX.len()).filter(|start| *start > 0);
            start.and_then(|start| subtype.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(SUFFIX))
        };
        !kind.is_empty() && (subtype.eq_ignore_ascii_case("json") || ends_in_suffix())
    }

    /// The media type's text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Json => "application/json",
            Self::Binary => "application/octet-stream",
            Self::Other(text) => text,
        }
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_of_json_are_known() {
        let json = [
            "application/json",
            "application/JSON; charset=utf-8",
            "application/json;charset=UTF-8",
            " application/json ; profile=\"a;b/c+xml\"",
            "application/vnd.shop.order+json",
            "application/vnd.shop.order+JSON;v=1",
            "application/cloudevents+json; charset=\"utf-8\"",
            "application/json; charset=utf-16",
            "text/json",
            "model/gltf+json",
        ];
        for text in json {
            assert!(ContentType::parse(text).is_json(), "{text}");
        }
        let others = [
            "",
            "json",
            "+json",
            "/json",
            "application/",
            "application/+json",
            "application/jsonl",
            "application/json-seq",
            "application/x-ndjson",
            "application/octet-stream",
            "application/xml; a=application/json",
            "text/plain; x=\"y+json\"",
            "image/png",
            "a/ü+json5",
            "a/ü+jso",
        ];
        for text in others {
            assert!(!ContentType::parse(text).is_json(), "{text}");
        }
    }

    #[test]
    fn what_claims_to_be_json_is_looked_at() {
        let labelled =
            |bytes: &'static [u8]| Payload::new(bytes, ContentType::parse("application/x+json; charset=utf-16"));
        for bytes in [&b"{\"a\":1e400}"[..], b" [ ] \n", b"null", b"\"\\ud800\"", "\"ü\"".as_bytes()] {
            assert!(labelled(bytes).holds_json(), "{bytes:?}");
        }
        let utf16 = b"{\0}\0";
        for bytes in [&b""[..], b"{", b"{} {}", b"\"\xfc\"", b"\xef\xbb\xbf{}", b"\"\0\"", b"NaN", utf16] {
            assert!(!labelled(bytes).holds_json(), "{bytes:?}");
        }
        assert!(!Payload::binary("{}").holds_json());
    }
}
