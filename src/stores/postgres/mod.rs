//! Our own layout in a PostgreSQL database: one table of events that plain `psql` reads, the ledger beside it.
//!
//! ```sql
//! SELECT type, schema_version, count(*) FROM events GROUP BY 1, 2;
//! SELECT data ->> 'full_name' FROM events WHERE stream = 'user-1' ORDER BY revision;
//! ```

mod config;
mod connection;
mod failure;
mod privileges;
mod relation;
mod url;

pub use config::{InvalidPostgres, PayloadColumn, PostgresConfig, PostgresReadModelConfig, PostgresServer, Writers};
