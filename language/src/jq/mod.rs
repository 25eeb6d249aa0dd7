//! Rules written in [jq](https://jqlang.org), evaluated by the jaq interpreter.
//!
//! The language is jq's, and yields what jq yields (`desugar.rs`, `definitions.jq`, `updates.rs`). What differs is what a
//! migration needs; docs/definitions.md lists all of it:
//!
//! - **Exact.** JSON is read strictly and numbers keep their text (`10.10`, integers past 2^53), also where they are
//!   moved to. What a filter leaves alone is written as the bytes it was read as, keys keep their order, and what is
//!   neither (NaN, infinite, an object opened although a key occurs twice in it) is a reason, never other JSON.
//! - **Pure.** What depends on the clock, the environment, the time zone or further input does not compile.
//! - **Bounded.** Steps, time, memory and depth of an evaluation are limited by [`JqLimits`]; a filter that runs away
//!   fails and says so, and can't catch that.
//!
//! Three filters more than jq has: `need(f)` is `f`, and fails with the path where that is null or nothing;
//! `dec_add(a; b)`, `dec_sub(a; b)` and `dec_mul(a; b)` calculate exactly on numbers or text that holds one, and keep
//! the scale (`10.10 + 0.20` is `10.30`). Arithmetic with `+`, `-` and `*` is exact for integers only, as in jq.

mod alternatives;
mod budget;
mod calendar;
mod compile;
mod decimal;
mod destructuring;
mod desugar;
mod error;
mod event;
mod filter;
mod from_text;
mod instrument;
mod message;
mod missing;
mod natives;
mod operators;
mod paths;
mod precedence;
mod read;
mod refused;
mod regex;
mod scaling;
mod sorting;
mod strftime;
mod strptime;
mod text;
mod time;
mod updates;
mod value;
mod value_traits;
mod write;

pub use budget::JqLimits;
pub use error::JqError;
pub use filter::JqFilter;
