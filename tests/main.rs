//! Integration tests, in one binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod bad_input;
mod content;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod disks;
#[cfg(feature = "sqlite")]
mod faults;
#[cfg(feature = "file")]
mod file_store;
#[cfg(feature = "sqlite")]
mod laws;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod project;
#[cfg(all(feature = "sqlite", feature = "file", unix))]
mod resume;
mod rulebook;
#[cfg(all(feature = "cli", feature = "sqlite", feature = "file", unix))]
mod signals;
#[cfg(feature = "sqlite")]
mod sqlite_store;
