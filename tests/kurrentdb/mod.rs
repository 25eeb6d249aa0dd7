//! KurrentDB, for which a server of our own stands.

mod reading;
pub(crate) mod server;
mod server_tests;
