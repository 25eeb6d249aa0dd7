//! KurrentDB, which was EventStoreDB: read from `$all`, a stream or a category, appended to stream by stream.

mod config;
mod connection;
mod failure;
mod originals;
mod reader;
mod writer;

pub(crate) use config::SCHEMES;
pub use config::{InvalidKurrent, KurrentConfig, KurrentServer, MetadataKeys, Order, StreamMetadata};
pub use reader::KurrentReader;
pub use writer::KurrentWriter;
