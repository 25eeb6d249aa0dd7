//! PostgreSQL. Every test here needs a server and is ignored without one: `cargo xtask test` installs and starts it.

mod bad_input;
mod certificates;
mod checkpoint_table;
mod checks;
mod connection;
mod cutover;
pub(crate) mod database;
mod disturbed;
mod docs;
mod events;
mod fence;
mod followed;
mod gone;
mod in_place;
#[cfg(all(feature = "kurrentdb", feature = "jq", feature = "schema"))]
mod kurrentdb;
mod live;
mod mapped;
mod numbers;
mod planned;
mod proxy;
mod quarantine;
mod read_models;
mod reading;
mod server;
mod shop;
mod take_over;
mod views;
mod writers;
mod writing;
