//! PostgreSQL. Every test here needs a server and is ignored without one: `cargo xtask test` installs and starts it.

mod bad_input;
mod certificates;
mod connection;
mod database;
mod disturbed;
mod events;
mod live;
mod proxy;
mod read_models;
mod reading;
mod server;
mod writing;
