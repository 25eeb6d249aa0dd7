//! Read models and snapshots in a schema of a PostgreSQL database that plain `psql` reads.
//!
//! ```sql
//! SELECT name, total FROM customers ORDER BY total DESC LIMIT 10;
//! SELECT projection, side, generation, checkpoint FROM eventlift_projections;
//! ```
//!
//! The live tables have their own names; a build that is being made has `__next` behind them, the one before the last
//! swap `__previous` (a name that grows too long is cut and ends in its hash). Texts of a key have the collation `"C"`,
//! in which they sort by their bytes; exact numbers are `numeric` with all their decimals, times `timestamptz`. JSON is
//! `json`, not `jsonb`: a value comes back to the byte, with its order, its repeated keys and its `1.0`; SQL casts it.
//!
//! A swap renames the tables in one transaction. What others made on a live table is bound to the table, not to its
//! name, so it is moved along in that transaction: indexes, constraints, triggers, rules, policies, statistics and
//! publications are taken off the old table and put on the new one, owner, grants, comments and settings are copied,
//! and foreign keys of other tables are pointed to the new one, which checks them. Views, rules and SQL functions that
//! speak of the table are replaced in place (`CREATE OR REPLACE`) with the definition they had, which binds them to the
//! table that has the name now: they keep their identity, and with it their owner, grants, comments and whatever
//! depends on them in turn. Other techniques fall short: a view in front of the tables is no table to the users' own
//! foreign keys and triggers, and a partition that is exchanged below a parent fixes the key and every column's type
//! for good. What can't be moved is named and refused before anything is changed. Locks are waited for in short
//! attempts, so that a long reader delays the swap and never those who come behind it.
//!
//! A transaction whose snapshot is older than the last change of a build would see its tables half filled, as renames
//! are not versioned. A swap waits for such snapshots too, as far as its role may see them (`pg_read_all_stats`).

mod carried;
mod fill;
mod hold;
mod ledger;
mod pool;
mod record;
mod refusal;
mod schema;
mod store;
mod swap;
mod tables;
mod values;

pub use store::PostgresReadModels;
