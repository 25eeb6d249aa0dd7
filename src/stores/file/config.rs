//! How a file store is configured.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::stores::attribute::Attribute;
use crate::stores::distinct_ids::Ids;
use crate::stores::written_time::{FinerTimes, TimeUnit};

/// A file of CloudEvents: one JSON object a line, or arrays of them.
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
    /// Where the ids are unique that are read.
    #[serde(skip)]
    pub ids: Ids,
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
            ids: Ids::default(),
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
    /// The event's id: text, or a whole number, which becomes the text it is written as. Default `id`.
    pub id: String,
    /// The event's type: text. Default `type`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When the event was recorded: RFC 3339 text, or a number since 1970. Default `time`.
    pub time: String,
    /// What a time counts that is a number. Where it is not said, each is taken in the unit that makes it a moment
    /// between 1990 and 2100, and all have to be of the same one. A writer writes numbers where it is said.
    pub time_unit: Option<TimeUnit>,
    /// What becomes of the digits of a second beyond the sixth. Default `keep`.
    pub finer_times: FinerTimes,
    /// The stream: text, or a whole number, which becomes the text it is written as. Default `subject`.
    pub stream: String,
    /// The revision in the stream: a whole number, or text of digits. Default `streamrevision`. With `none` the
    /// events of a stream are numbered in the order they come in, which takes 30 bytes of memory per stream and is
    /// refused beyond 900,000 streams.
    pub revision: Attribute,
    /// The revision of a stream's first event in the file: 0 or 1. Default 0.
    pub revision_base: u64,
    /// The schema version. Default `dataschema`. What an event without it has, `absent_version` says.
    pub version: Attribute,
    /// How the version is written in its attribute, with `{version}` and perhaps `{type}` in it. Default
    /// `urn:schema:{type}:{version}` for `dataschema`, and `{version}` (a number) for any other attribute. With
    /// `version = "type"` it is needed and splits the type itself, as in `{type}.v{version}`; a type that doesn't
    /// follow it then says no version.
    pub version_pattern: Option<String>,
    /// Texts that stand for versions, where `{version}` is in the pattern: `"2.0.1" = 3`. Every other is a number.
    pub versions: BTreeMap<String, u32>,
    /// The version of events that don't say one: the attribute is missing or empty, or the type doesn't follow the
    /// pattern. Not set: 1, unless other events of the same type say that they have version 1.
    pub absent_version: Option<u32>,
    /// The global order: a whole number, or text of digits, ascending. Default `sequence`. With `none` the line
    /// number is the position, counted from 1.
    pub order: Attribute,
    /// The metadata: any JSON value. Default `metadata`. Metadata that is no JSON goes to attributes of the same
    /// name followed by `base64` and `contenttype`.
    pub metadata: Attribute,
    /// The data: any JSON value. Default `data`. Data that is no JSON goes to an attribute of the same name followed by
    /// `_base64`.
    pub data: String,
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            id: "id".to_owned(),
            event_type: "type".to_owned(),
            time: "time".to_owned(),
            time_unit: None,
            finer_times: FinerTimes::default(),
            stream: "subject".to_owned(),
            revision: Attribute::named("streamrevision"),
            revision_base: 0,
            version: Attribute::named("dataschema"),
            version_pattern: None,
            versions: BTreeMap::new(),
            absent_version: None,
            order: Attribute::named("sequence"),
            metadata: Attribute::named("metadata"),
            data: "data".to_owned(),
        }
    }
}
