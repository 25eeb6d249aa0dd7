//! Pure and synchronous transformers over events.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod definitions;
mod merge;
mod operations;
mod registry;
mod rule;
mod schema;
mod transformer;
mod upcaster;
mod way_back;

pub mod json {
    //! Strict, lazy editing of JSON text.

    pub use eventlift_language::json::{Document, Pointer, PointerError};
}

pub use definitions::{DefinitionErrors, Definitions};
#[cfg(feature = "jq")]
pub use eventlift_language::jq;
pub use eventlift_language::{CompiledCondition, Condition, Place, Problem, Reason, TestResult};
#[cfg(feature = "jq")]
pub use eventlift_language::{JqError, JqFilter, JqLimits};
pub use merge::Merge;
pub use operations::{Keys, Operation, OperationError, Operations};
pub use registry::{
    Coverage, Lift, MergedInto, NoWayBack, NotInvertible, Outcome, Registry, RegistryBuilder, RegistryErrors, RuleText,
    Step, Taker, TakesNothing, Took, Uncovered,
};
pub use rule::Rule;
pub use schema::JsonSchema;
pub use transformer::{Merged, Shape, StatefulTransformer, TransformError, Transformer};
pub use upcaster::{Schema, Upcaster, Yielded};
