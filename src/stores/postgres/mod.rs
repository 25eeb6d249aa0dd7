//! Our own layout in a PostgreSQL database: one table of events that plain `psql` reads, the ledger beside it.
//!
//! ```sql
//! SELECT type, schema_version, count(*) FROM events GROUP BY 1, 2;
//! SELECT data ->> 'full_name' FROM events WHERE stream = 'user-1' ORDER BY revision;
//! ```

mod append;
mod columns;
mod config;
mod connection;
mod decode;
mod encode;
mod failure;
mod identity;
mod layout;
mod ledger;
mod looked_at;
mod migrations;
mod news;
mod privileges;
mod proof;
mod range_writer;
mod read_models;
mod reader;
mod relation;
mod seal;
mod selection;
mod session;
mod settled;
mod url;
mod writer;

pub use config::{InvalidPostgres, PayloadColumn, PostgresConfig, PostgresReadModelConfig, PostgresServer, Writers};
pub(in crate::stores) use layout::kept_columns;
pub use looked_at::PostgresLedger;
pub(in crate::stores) use looked_at::is_being_written;
pub use read_models::PostgresReadModels;
pub use reader::PostgresReader;
pub use writer::PostgresWriter;
