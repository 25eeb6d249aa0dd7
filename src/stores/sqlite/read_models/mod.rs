//! Read models and snapshots in a SQLite database that plain `sqlite3` reads.
//!
//! ```sql
//! SELECT name, total FROM customers WHERE total > 90 ORDER BY total DESC LIMIT 10;
//! SELECT total__exact FROM customers WHERE name = 'Ada';
//! SELECT projection, side, generation, checkpoint FROM eventlift_projections;
//! ```
//!
//! The live tables have their own names; a build that is being made has `__next` behind them, the one before the last
//! swap `__previous`. Tables are STRICT. Exact numbers are an INTEGER or REAL that sorts, and beside it TEXT with all
//! their digits (`numbers`); booleans are 0 and 1, times TEXT in RFC 3339, UTC, with six decimals, so that they sort;
//! UUIDs and JSON are TEXT. A swap renames the tables in one
//! transaction, and views, triggers and indexes that others made on the live ones stay on the live ones. The database
//! has a write-ahead log: readers never wait and never make a build wait.

mod fill;
mod ledger;
mod numbers;
mod objects;
mod record;
mod refusal;
mod schema;
mod store;
mod swap;
mod tables;
mod values;

pub use store::SqliteReadModels;
