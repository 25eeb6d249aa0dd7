//! KurrentDB, which was EventStoreDB: read from `$all`, a stream or a category, appended to stream by stream.

mod append;
mod chunk;
mod config;
mod connection;
mod courier;
mod decode;
mod entry;
mod failure;
mod filter;
mod ledger;
mod look;
mod news;
mod originals;
mod plan;
mod prospect;
mod reader;
mod seen;
mod truncation;
mod writer;

pub(crate) use config::SCHEMES;
pub use config::{InvalidKurrent, KurrentConfig, KurrentServer, MetadataKeys, Order, StreamMetadata};
pub use reader::KurrentReader;
pub use writer::KurrentWriter;
