//! Integration tests, in one binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[cfg(all(feature = "cli", feature = "jq", feature = "schema"))]
mod command_line;
#[cfg(all(feature = "cli", feature = "jq", feature = "schema"))]
mod docs;
#[cfg(feature = "file")]
mod file_store;
#[cfg(all(feature = "cli", feature = "jq", feature = "schema"))]
mod shop;
#[cfg(feature = "sqlite")]
mod sqlite_store;
#[cfg(all(feature = "cli", feature = "jq", feature = "schema"))]
mod starter;
