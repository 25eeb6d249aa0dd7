//! Integration tests, in one binary.

#[cfg(feature = "file")]
mod file_store;
#[cfg(feature = "sqlite")]
mod sqlite_store;
