//! Cut-over: the source is fenced, what is left is carried over and proved, and writers are switched to the target.

mod record;

pub use record::{CUT_OVER_BOOK, CutOver, CutOverStep, WritersUse};
