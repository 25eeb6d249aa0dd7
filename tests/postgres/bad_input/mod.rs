//! What people do wrong with PostgreSQL, as they meet it: the program run on projects, what it says, and that the same
//! command works once it is mended.

mod bench;
mod configuration;
mod events;
mod plan;
mod privileges;
mod servers;
mod tables;
