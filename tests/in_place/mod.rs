//! Rewriting events where they are.

mod commands;
mod killed;
mod laws;
pub(crate) mod scene;
