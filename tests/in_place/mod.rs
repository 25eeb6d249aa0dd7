//! Rewriting events where they are.

mod commands;
mod killed;
mod laws;
mod scene;
