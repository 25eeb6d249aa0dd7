//! Pure and synchronous transformers over events.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod condition;
mod definitions;
mod fingerprint;
#[cfg(feature = "jq")]
pub mod jq;
pub mod json;
mod operations;
mod problem;
mod registry;
mod rule;
mod schema;
mod transformer;
mod upcaster;

pub use condition::{CompiledCondition, Condition};
pub use definitions::{DefinitionErrors, Definitions, TestResult};
#[cfg(feature = "jq")]
pub use jq::{JqError, JqFilter, JqLimits};
pub use operations::{Keys, Operation, OperationError, Operations};
pub use problem::{Place, Problem};
pub use registry::{Coverage, Lift, Outcome, Registry, RegistryBuilder, RegistryErrors, Step, Uncovered};
pub use rule::Rule;
pub use schema::JsonSchema;
pub use transformer::{Reason, Shape, StatefulTransformer, TransformError, Transformer};
pub use upcaster::{Schema, Upcaster, Yielded};
