//! Rebuilding read models and snapshots: one scan, folded by key in parallel, loaded beside the live tables and swapped
//! in.

mod error;
mod fold;
mod options;

pub use error::{RebuildError, RebuildRefusal};
pub use fold::{Fold, Folded, Rows};
pub use options::{FailurePolicy, FoldOptions};
