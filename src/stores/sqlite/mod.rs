//! Our own layout in a SQLite database: one table of events that plain `sqlite3` reads, the ledger beside it.
//!
//! ```sql
//! SELECT type, schema_version, count(*) FROM events GROUP BY 1, 2;
//! SELECT data ->> '$.full_name' FROM events WHERE stream = 'user-1' ORDER BY revision;
//! ```
//!
//! And read models and snapshots, in the same database or another: [`SqliteReadModels`].

mod checkpoints;
mod config;
mod fence;
mod foreign;
mod layout;
mod passing;
mod prospect;
mod read_models;
mod reader;
mod removal;
mod rewriter;
mod statement;
mod writer;

pub(in crate::stores) use checkpoints::{change_checkpoints, checkpoint_rows};
pub use config::SqliteConfig;
pub use fence::SqliteFence;
pub use read_models::SqliteReadModels;
pub use reader::SqliteReader;
pub(in crate::stores) use statement::execute;
pub use writer::SqliteWriter;
