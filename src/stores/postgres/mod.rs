//! Our own layout in a PostgreSQL database: one table of events that plain `psql` reads, the ledger beside it.
//!
//! ```sql
//! SELECT type, schema_version, count(*) FROM events GROUP BY 1, 2;
//! SELECT data ->> 'full_name' FROM events WHERE stream = 'user-1' ORDER BY revision;
//! ```

mod config;
mod connection;
mod failure;
mod read_models;
mod relation;

pub use config::{InvalidPostgres, PayloadColumn, PostgresConfig, PostgresReadModelConfig, PostgresServer, Writers};
pub use read_models::PostgresReadModels;
