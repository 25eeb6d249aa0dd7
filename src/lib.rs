//! Lifts event stores to new schemas and new stores.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(feature = "cli")]
pub mod commands;
#[cfg(any(feature = "sqlite", feature = "file"))]
pub mod config;
pub mod ledger;
pub mod pipeline;
pub mod stores;

pub use eventlift_events as events;
pub use eventlift_transformers as transformers;
