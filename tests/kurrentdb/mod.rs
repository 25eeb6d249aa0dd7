//! KurrentDB, for which a server of our own stands.

mod conformance;
mod reading;
pub(crate) mod server;
mod server_tests;
mod writing;
