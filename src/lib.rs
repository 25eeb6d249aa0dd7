//! eventlift.

pub mod stores;
