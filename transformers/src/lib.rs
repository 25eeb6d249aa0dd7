//! Pure and synchronous transformers over events.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(feature = "jq")]
pub mod jq;
mod transformer;

#[cfg(feature = "jq")]
pub use jq::{JqError, JqFilter, JqLimits};
pub use transformer::{Reason, StatefulTransformer, TransformError, Transformer};
