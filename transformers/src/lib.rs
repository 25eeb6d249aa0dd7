//! Pure and synchronous transformers over events.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod fingerprint;
mod problem;
mod registry;
mod rule;
mod schema;
mod transformer;
mod upcaster;

pub use problem::{Place, Problem};
pub use registry::{Coverage, Lift, Outcome, Registry, RegistryBuilder, RegistryErrors, Step, Uncovered};
pub use rule::Rule;
pub use schema::JsonSchema;
pub use transformer::{Reason, Shape, StatefulTransformer, TransformError, Transformer};
pub use upcaster::{Schema, Upcaster, Yielded};
