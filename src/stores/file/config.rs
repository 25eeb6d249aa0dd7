//! How a file store is configured.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::stores::attribute::Attribute;

/// A file of CloudEvents, one JSON object a line.
///
/// A configuration with nothing but `path` reads files whose attributes have the default names of [`Attributes`].
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// The file; `-` is standard input, and for a writer standard output.
    pub path: PathBuf,
    /// How the file is compressed.
    #[serde(default)]
    pub compression: Compression,
    /// Which attribute holds what.
    #[serde(default)]
    pub attributes: Attributes,
    /// Whether the revisions of a stream may have gaps. Not set: `dense`, except for a file that eventlift wrote (it
    /// has a `.eventlift` file beside it), which may hold gaps where a part of a store was copied.
    #[serde(default)]
    pub revisions: Option<Revisions>,
    /// The longest line that is read, in bytes, so that a file that is no JSON lines can't fill the memory.
    #[serde(default = "default_max_line_bytes")]
    pub max_line_bytes: usize,
}

const fn default_max_line_bytes() -> usize {
    256 << 20
}

impl FileConfig {
    /// A file with the default attributes, its compression found out.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            compression: Compression::default(),
            attributes: Attributes::default(),
            revisions: None,
            max_line_bytes: default_max_line_bytes(),
        }
    }

    /// Whether the path stands for standard input or output.
    pub fn is_standard_stream(&self) -> bool {
        self.path == Path::new("-")
    }
}

/// How a file is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Reading: by the first bytes. Writing: by the name's end (`.gz`, `.zst`), otherwise none.
    #[default]
    Auto,
    /// Plain text.
    None,
    /// Gzip, of any number of members.
    Gzip,
    /// Zstandard, of any number of frames.
    Zstd,
}

/// Which gaps the revisions of a stream may have while the file is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Revisions {
    /// None: they count up from the first by ones.
    Dense,
    /// Any, but they ascend.
    Sparse,
}

/// Which attribute of a line holds what. Everything else in the line is carried in
/// [`Event::attributes`](eventlift_events::Event::attributes).
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attributes {
    /// The event's id: text. Default `id`.
    pub id: String,
    /// The event's type: text. Default `type`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When the event was recorded: RFC 3339 text. Default `time`.
    pub time: String,
    /// The stream: text. Default `subject`.
    pub stream: String,
    /// The revision in the stream: a whole number, or text of digits. Default `streamrevision`. With `none` the
    /// events of a stream are numbered in the order they come in, which takes 30 bytes of memory per stream and is
    /// refused beyond 900,000 streams.
    pub revision: Attribute,
    /// The revision of a stream's first event in the file: 0 or 1. Default 0.
    pub revision_base: u64,
    /// The schema version. Default `dataschema`. Events without it have version 1.
    pub version: Attribute,
    /// How the version is written in its attribute, with `{version}` and perhaps `{type}` in it. Default
    /// `urn:schema:{type}:{version}` for `dataschema`, and `{version}` (a number) for any other attribute. With
    /// `version = "type"` it is needed and splits the type itself, as in `{type}.v{version}`; a type that doesn't
    /// follow it then has version 1.
    pub version_pattern: Option<String>,
    /// The global order: a whole number, or text of digits, ascending. Default `sequence`. With `none` the line
    /// number is the position, counted from 1.
    pub order: Attribute,
    /// The metadata: any JSON value. Default `metadata`. Metadata that is no JSON goes to attributes of the same
    /// name followed by `base64` and `contenttype`.
    pub metadata: Attribute,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            id: "id".to_owned(),
            event_type: "type".to_owned(),
            time: "time".to_owned(),
            stream: "subject".to_owned(),
            revision: Attribute::named("streamrevision"),
            revision_base: 0,
            version: Attribute::named("dataschema"),
            version_pattern: None,
            order: Attribute::named("sequence"),
            metadata: Attribute::named("metadata"),
        }
    }
}
