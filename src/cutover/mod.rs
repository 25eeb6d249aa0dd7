//! Cut-over: the source is fenced, what is left is carried over and proved, and writers are switched to the target; and
//! the way back.

mod attendant;
mod back;
mod error;
mod fencing;
mod forward;
mod record;

pub use attendant::{Attendant, Boundary, Failure, Moment};
pub use back::{BackOutcome, BackParts, go_back, take_out};
pub use error::CutOverError;
pub use fencing::FenceBy;
pub use forward::{CutOverOptions, CutOverOutcome, CutOverParts, cut_over, finish_switch};
pub use record::{CUT_OVER_BOOK, CutOver, CutOverStep, WritersUse};
