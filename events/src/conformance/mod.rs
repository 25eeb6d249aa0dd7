//! The suite that every store must pass, this project's and anybody else's.
//!
//! A store under test says how it is opened, in a [`StoreUnderTest`], and one line stamps a test for every check:
//!
//! ```
//! use async_trait::async_trait;
//! use eventlift_events::conformance::StoreUnderTest;
//! use eventlift_events::{EventReader, EventWriter, MemoryStore, StoreError};
//!
//! struct Memory(MemoryStore);
//!
//! #[async_trait]
//! impl StoreUnderTest for Memory {
//!     async fn writer(&self) -> Result<Box<dyn EventWriter>, StoreError> {
//!         Ok(Box::new(self.0.writer()?))
//!     }
//!
//!     async fn reader(&self) -> Result<Box<dyn EventReader>, StoreError> {
//!         Ok(Box::new(self.0.reader()))
//!     }
//! }
//!
//! # fn block_on<F: std::future::Future>(future: F) -> F::Output {
//! #     futures_util::FutureExt::now_or_never(future).expect("the memory store never waits")
//! # }
//! eventlift_events::conformance_tests!(store: Memory(MemoryStore::new()), block_on: block_on);
//! ```
//!
//! `store:` is evaluated once per test and may `.await`; it makes a new, empty store. `block_on:` runs a future to its
//! end, on whatever runtime the store needs: for tokio, `|check| Runtime::new().unwrap().block_on(check)`. `ignore: "why"` marks the
//! tests as ignored, for stores that need a server. Without the macro, [`run_all`] runs every check and names the failures.
//!
//! JSON that a store keeps as a value only ([`exact_data`](crate::Capabilities::exact_data)) is compared by value.
//! What a store can't do, as its [`Capabilities`](crate::Capabilities) say, is not asked of it. Rare content (binary
//! metadata, a line break in JSON, names of 4,096 characters, positions past `i64::MAX`) may be refused with
//! [`StoreErrorKind::Unsupported`](crate::StoreErrorKind::Unsupported), but never changed. Of a payload without bytes
//! the content type need not be kept.

mod appends;
mod fences;
mod fields;
mod json;
mod loading;
mod notes;
mod observe;
mod progress;
mod reads;
mod removal;
mod rewriting;
mod runs;
mod sample;
mod scale;
mod subject;
mod suite;

pub use fences::{FENCE_CHECKS, FenceCheck, FenceUnderTest, Write};
pub use subject::{Failure, StoreUnderTest, Verdict};
pub use suite::{CHECKS, Check, Running, run_all};

/// One function for each promise, to run a single one. Every one expects an empty store.
pub mod checks {
    pub use super::appends::*;
    pub use super::fields::*;
    pub use super::loading::*;
    pub use super::notes::*;
    pub use super::progress::*;
    pub use super::reads::*;
    pub use super::removal::*;
    pub use super::rewriting::*;
    pub use super::runs::*;
    pub use super::scale::*;
}

/// One function for each promise of a fence, to run a single one. Every one expects a sealed store without events.
pub mod fence_checks {
    pub use super::fences::{
        a_fence_belongs_to_its_run, a_fence_expires_by_itself, a_fence_outlives_whoever_set_it,
        a_fence_refuses_writes_until_it_is_lifted, a_fence_takes_the_place_of_the_same_runs,
        a_fence_that_is_late_is_not_set, a_write_under_way_is_waited_for, eventlifts_own_writer_passes,
        only_a_fence_that_stands_is_confirmed,
    };
}
