//! Integration tests, in one binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod content;
#[cfg(feature = "sqlite")]
mod faults;
#[cfg(feature = "file")]
mod file_store;
#[cfg(all(feature = "sqlite", feature = "file", unix))]
mod resume;
mod rulebook;
#[cfg(feature = "sqlite")]
mod sqlite_store;
