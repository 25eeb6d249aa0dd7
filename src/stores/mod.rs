//! The stores, one folder and one feature each.

#[cfg(feature = "file")]
pub mod file;
