//! KurrentDB, for which a server of our own stands.

mod bad_input;
mod complaints;
mod conformance;
mod disturbed;
mod reading;
mod real;
pub(crate) mod server;
mod server_tests;
mod shop;
pub(crate) mod world;
mod writing;
