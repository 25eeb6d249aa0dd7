//! Our own layout in a PostgreSQL database: one table of events that plain `psql` reads, the ledger beside it.
//!
//! ```sql
//! SELECT type, schema_version, count(*) FROM events GROUP BY 1, 2;
//! SELECT data ->> 'full_name' FROM events WHERE stream = 'user-1' ORDER BY revision;
//! ```
//!
//! **Reading** ([`PostgresReader`]) is a sequence of binary COPYs along the positions, of any table of events that has the
//! columns, by services that made it as well. Others may write to it: a gap in the positions is crossed only once no
//! transaction is left that could fill it, which their locks tell.
//!
//! **Writing** ([`PostgresWriter`]) is binary COPY, with the progress in the same transaction. A new table has no indexes
//! and takes several ranges at a time; sealing it builds and checks them, two at a time, sets the identity and makes the
//! trigger that tells followers of news. An advisory lock keeps a second writer out, and an epoch that every
//! transaction checks keeps out one that lost its connection and does not know.
//!
//! **Payloads** are `json` (to the byte), `jsonb` (by value) or `bytea` ([`PayloadColumn`]).
//!
//! **Read models and snapshots** ([`PostgresReadModels`]) are tables that are loaded beside the live ones and renamed in
//! one transaction, with everything that others made on them.
//!
//! Names are qualified and quoted, values are parameters, and no setting of the server, the database or the role is
//! relied on.

mod append;
mod asked;
mod checkpoints;
mod columns;
mod config;
mod connection;
mod decode;
mod encode;
mod failure;
mod fence;
mod fitness;
mod identity;
mod jsonb;
mod layout;
mod ledger;
mod looked_at;
mod migrations;
mod news;
mod privileges;
mod proof;
mod prospect;
mod range_writer;
mod read_models;
mod reader;
mod relation;
mod removal;
mod rewriter;
mod row_fitness;
mod said;
mod seal;
mod selection;
mod session;
mod settled;
mod statement;
mod taking_over;
mod url;
mod writer;

pub(in crate::stores) use checkpoints::{change_checkpoints, checkpoint_rows};
pub use config::{InvalidPostgres, PayloadColumn, PostgresConfig, PostgresReadModelConfig, PostgresServer, Writers};
pub use fence::{FENCED, PostgresFence};
pub(in crate::stores) use layout::kept_columns;
pub use looked_at::PostgresLedger;
pub use read_models::PostgresReadModels;
pub use reader::PostgresReader;
pub(in crate::stores) use rewriter::refuse_unknown;
pub(in crate::stores) use statement::execute;
pub(in crate::stores) use taking_over::{
    PostgresRequest, activity, end_session, holder, request, standing_request, wait_until_asked,
};
pub use writer::PostgresWriter;
