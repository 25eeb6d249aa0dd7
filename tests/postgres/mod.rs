//! PostgreSQL. Every test here needs a server and is ignored without one: `cargo xtask test` installs and starts it.

mod database;
mod read_models;
