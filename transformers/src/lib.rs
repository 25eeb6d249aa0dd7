//! Pure and synchronous transformers over events.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod transformer;

pub use transformer::{Reason, StatefulTransformer, TransformError, Transformer};
