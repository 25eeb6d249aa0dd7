//! Folds batches of events into the rows of all tables of several projections, in one pass.
//!
//! Batches are *mapped* several at a time: every projection names the rows that an event changes, and how. The changes
//! are then made by *workers*, one thread each. A hash of its key decides which worker a row belongs to, so that one
//! row's changes are made in the order of the events, and no two workers ever look at the same row.
//!
//! A worker that has more rows than its share of the memory puts all of them *aside*, in a SQLite file of its own, in
//! one transaction with its checkpoint: the file always holds exactly what the events up to there make. So putting
//! aside is also what a killed fold goes on from, and workers need not agree: each skips what it has already.
//!
//! An event is in all the rows of a projection that it changes, or, where one of the changes fails and events are
//! quarantined, in none. Where the rows are several workers', these *agree* on it, batch by batch.
//!
//! The result is the same bytes whatever the number of workers, the size of the batches, the memory, and however
//! often it was killed.

mod agreement;
mod aside;
mod batch;
mod engine;
mod failure;
mod filter;
mod folded;
mod folder;
mod map;
mod memory;
mod merge;
mod tables;
mod worker;

pub use engine::Fold;
pub use folded::{Folded, Rows};
pub(super) use worker::{fits, waits_for};
