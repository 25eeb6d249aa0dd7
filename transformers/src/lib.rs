//! Pure and synchronous transformers over events.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod condition;
pub mod json;
mod operations;
mod transformer;

pub use condition::{CompiledCondition, Condition};
pub use operations::{Keys, Operation, OperationError, Operations};
pub use transformer::{Reason, StatefulTransformer, TransformError, Transformer};
