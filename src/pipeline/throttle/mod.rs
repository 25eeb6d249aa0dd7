//! How fast a run may be: limits on events and bytes a second, a latency that the target is to keep, a number that a
//! query yields, times of the day, and what is asked for while it runs.
//!
//! [`Controller`] decides, without a clock; [`Throttle`] waits, where transactions are committed. What is being read and
//! lifted is never looked at, so that a run without limits costs nothing more.

mod controller;
mod latency;
mod load;
mod settings;
mod waiting;

pub use controller::{Controller, Moment, Size, ThrottleState};
pub use settings::{Limits, LoadQuery, StoreSide, ThrottleSettings, Window};
pub use waiting::Throttle;
