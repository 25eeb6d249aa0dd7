//! The stores: one folder and one feature each, the same file names in each.

#[cfg(feature = "sqlite")]
pub mod sqlite;
