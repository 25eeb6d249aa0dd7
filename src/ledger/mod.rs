//! The ledger in SQLite: runs, checkpoints, state and the position map.
//!
//! The SQLite store keeps it in the database of the events, so that events and progress commit together. Stores that
//! have no tables of their own (files) keep it in a database beside them. All functions work on a connection that the
//! caller has opened, inside the caller's transaction if there is one.

mod database;
mod failure;
mod progress;
mod renewal;
mod runs;
mod schema;
mod who;

pub use database::LedgerDatabase;
pub(crate) use database::as_file;
#[cfg(feature = "sqlite")]
pub(crate) use database::open_to_read;
pub(crate) use database::temporary_database;
pub use failure::{backend, store_error};
pub use progress::{checkpoint, commit, forget, late_at, late_of, notes, position_at, positions, state, write_notes};
pub use runs::{record_run, runs};
pub use schema::{create, exists, is_current};
pub use who::who;
