//! Files of CloudEvents 1.0, one JSON object a line, or arrays of them: plain, gzip or zstd; a file, or standard input and
//! output.
//!
//! # What a line holds
//!
//! [`Attributes`] says which attribute is the stream, the revision, the schema version, the global order. Every
//! attribute that plays no such part is carried in [`Event::attributes`](eventlift_events::Event::attributes), in
//! order, with the bytes of its value.
//!
//! The payload keeps the bytes that stand in the line. `data` under a JSON content type (`application/json`, also
//! where none is given, `…/json`, `…+json`) is the value's text, untouched. Under any other content type `data` must
//! be a JSON string, and the payload is the text it spells; `data_base64` is the bytes it spells. No `data` at all is
//! an empty payload, `"data":null` is the payload `null`. Metadata is read in the same way.
//!
//! Times lose the offset they were written with, not their instant. Of a time finer than a microsecond, the event is
//! recorded in the microsecond it falls in, and what was written is carried among the attributes, under the name it had;
//! [`FinerTimes`] says otherwise. Times may be numbers since 1970, ids and streams whole numbers.
//!
//! # Reading
//!
//! Lines may end in LF or CR LF, the last one in nothing; blank lines are skipped, and so is a byte order mark.
//! Everything before a broken line, or before the point where a compressed file is cut off, is read; then comes an
//! error that names the line and the byte in it. From the start of the file on, it is also an error when a position
//! does not ascend or a revision does not follow the one before in its stream, for the first 900,000 streams.
//! Whether ids are unique only an audit of the whole file can tell.
//!
//! A file that begins with `[` is one JSON array, as in `application/cloudevents-batch+json`, or several one after the
//! other. Its elements are read one by one, as lines are: an event may be written over several lines, and its payload
//! keeps the bytes that it is written with.
//!
//! # Writing
//!
//! Every append becomes a gzip member or a zstd frame of its own, so that a file can be cut off at the end of any of
//! them. A line is written so that it is read back as the same event, to the byte. JSON stands in `data` as it is,
//! unless it holds a line feed, has space around it or is broken: then it goes to `data_base64` under its own content
//! type, and so do binary data and text that is not UTF-8. Carried attributes that could not be told from mapped ones,
//! or that are spelt in another way than this store would spell them, go as one text to `eventliftattributes`. An
//! event without a source gets the source `urn:eventlift`, which is left out when the line is read.

mod appender;
mod arrays;
mod chunks;
mod committed;
mod compression;
mod config;
mod continuity;
mod cut;
mod decode;
mod encode;
mod mapping;
mod noticed;
mod proposal;
mod prospect;
mod reader;
mod sidecar;
mod unsaid;
mod writer;

pub use super::attribute::Attribute;
pub use super::written_time::{FinerTimes, TimeUnit};
pub use config::{Attributes, Compression, FileConfig, Revisions};
pub use proposal::{Proposal, propose};
pub use reader::FileReader;
pub(crate) use sidecar::path as ledger_path;
pub use writer::FileWriter;
