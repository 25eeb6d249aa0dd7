//! Declarative operations on JSON payloads: what a definition file says, and what is made of it.
//!
//! One file per family. An operation is a TOML table whose keyword (`rename`, `set`, …) says which it is; every one
//! may carry a condition (`when = {…}`). What all of them share:
//!
//! - A path is a [`Pointer`](crate::json::Pointer). In an operation with several paths, all of them have the same
//!   part up to the last `*`, and the operation happens once for every item or member that part leads to.
//! - A field that an operation reads and that is missing fails the event, unless `optional = true` skips it.
//! - A field that an operation would create and that is there already fails the event, unless `replace = true`.
//! - Objects missing on the way to a created field are made. A path through text or a number fails the event.
//! - Several paths into one array mean its items as they were before the operation. What is put there is put after the
//!   sources are gone, as JSON Patch does it, so indexes in `to` and `into` count what is left.
//! - A payload without bytes has no fields. `set` and `default` then start from an empty object.

mod constant;
mod date;
mod effects;
mod extract;
mod fields;
mod format;
mod hash;
mod inverse;
mod join;
mod keys;
mod map;
mod operation;
mod parse;
mod place;
mod redact;
mod set;
mod split;
mod standing;
mod step;
mod wrap;

pub use keys::Keys;
pub use operation::Operation;
pub use step::{OperationError, Operations};
