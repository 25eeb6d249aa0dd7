//! Rules in Rust that do everything a migration may have to survive, and a made-up log for them.

mod log;
mod rules;

pub(crate) use log::{event, log};
pub(crate) use rules::{general, shifting};
