//! The suite that every store of read models and snapshots must pass, this project's and anybody else's.
//!
//! A store under test says how it is opened, in a [`ReadModelsUnderTest`], and one line stamps a test for every check:
//!
//! ```
//! use async_trait::async_trait;
//! use eventlift_events::StoreError;
//! use eventlift_projections::conformance::ReadModelsUnderTest;
//! use eventlift_projections::{MemoryReadModels, ReadModelStore, SnapshotStore};
//!
//! struct Memory(MemoryReadModels);
//!
//! #[async_trait]
//! impl ReadModelsUnderTest for Memory {
//!     async fn read_models(&self) -> Result<Box<dyn ReadModelStore>, StoreError> {
//!         Ok(Box::new(self.0.clone()))
//!     }
//!
//!     async fn snapshots(&self) -> Result<Box<dyn SnapshotStore>, StoreError> {
//!         Ok(Box::new(self.0.clone()))
//!     }
//! }
//!
//! # fn block_on<F: std::future::Future>(future: F) -> F::Output {
//! #     futures_util::FutureExt::now_or_never(future).expect("read models in memory never wait")
//! # }
//! eventlift_projections::read_model_conformance_tests!(
//!     store: Memory(MemoryReadModels::new()),
//!     block_on: block_on,
//! );
//! ```
//!
//! `store:` is evaluated once per test and may `.await`; it makes a new store without read models. `block_on:` runs a
//! future to its end, on whatever runtime the store needs: for tokio, `|check| Runtime::new().unwrap().block_on(check)`.
//! `ignore: "why"` marks the tests as ignored, for stores that need a server. Without the macro, [`run_all`] runs every check and names the failures.
//!
//! Rare content (a NUL in a text, times before the year 1) may be refused with
//! [`StoreErrorKind::Unsupported`](eventlift_events::StoreErrorKind::Unsupported), but never changed. What can't be
//! seen through the contract (what the tables look like in the database, foreign tables, what a kill leaves) is for
//! the store's own tests.

mod builds;
mod holds;
mod keys;
mod ledger;
mod observe;
mod readers;
mod sample;
mod snapshots;
mod steps;
mod subject;
mod suite;
mod swaps;
mod unique;
mod values;

pub use eventlift_events::conformance::{Failure, Verdict};
pub use subject::ReadModelsUnderTest;
pub use suite::{CHECKS, Check, Running, run_all};

/// One function for each promise, to run a single one. Every one expects a store without read models.
pub mod checks {
    pub use super::builds::*;
    pub use super::holds::*;
    pub use super::keys::*;
    pub use super::ledger::*;
    pub use super::readers::*;
    pub use super::snapshots::*;
    pub use super::steps::*;
    pub use super::swaps::*;
    pub use super::unique::*;
    pub use super::values::*;
}
