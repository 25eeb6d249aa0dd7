//! What definition files are written in.
//!
//! - [`json`]: strict, lazy editing of JSON text, with [`Pointer`](json::Pointer)s and exact numbers.
//! - [`Condition`]: when something is about an event.
//! - [`JqFilter`]: filters in jq (feature `jq`).
//! - [`Literal`]: constants, with the digits they are written with.
//! - [`Reader`]: TOML, read key by key, with every mistake noted at its file, line and column.
//! - [`Given`] and [`TestResult`]: the test cases that definitions carry.
//! - [`Fingerprint`] over the [`canonical`] text of a definition: whether it changed.
//!
//! Nothing here does I/O.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod canonical;
pub mod condition;
mod filter;
mod fingerprint;
mod given;
#[cfg(feature = "jq")]
pub mod jq;
pub mod json;
mod literal;
mod numeric;
pub mod problem;
mod reader;
mod reason;
mod shown;
mod test_result;

pub use canonical::{canonical, canonical_of_rule};
pub use condition::{CompiledCondition, Condition, Subject};
pub use filter::{JqError, JqFilter, JqInput};
pub use fingerprint::Fingerprint;
pub use given::Given;
#[cfg(feature = "jq")]
pub use jq::JqLimits;
pub use literal::Literal;
pub use numeric::{InvalidNumeric, Numeric};
pub use problem::{Place, Problem};
pub use reader::{Reader, Table, Value};
pub use reason::Reason;
pub use shown::{Short, Shown, has_hidden_values, hides_values, show_values, showing_values, values_are_shown};
pub use test_result::{TestResult, difference};
