//! The bytes an event carries, and what they are.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

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

    /// Whether the bytes are labelled JSON.
    pub fn is_json(&self) -> bool {
        self.content_type == ContentType::Json
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
