//! Integration tests, in one binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[cfg(feature = "file")]
mod file_store;
#[cfg(feature = "sqlite")]
mod sqlite_store;
