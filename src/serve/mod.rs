//! Schedules, and the service that builds read models when they are due.
//!
//! [`Schedule`] says when a task is due; [`decide`] says, without a clock or a store, whether it is due now; [`Serve`]
//! waits, asks and has [`Jobs`] do it. Whoever wants to show what is going on takes [`Serve::status`].

mod due;
mod jobs;
mod line;
mod schedule;
mod seen;
mod service;
mod status;

pub use due::{Decision, Due, decide};
pub use jobs::{JobFailure, JobOutcome, Jobs};
pub use line::{ServeEvent, ServeLine};
pub use schedule::{InvalidSchedule, Schedule, Task};
pub use seen::{Seen, SeenSchedules};
pub use service::{Clock, Serve, ServeError, ServeOutcome, SystemClock};
pub use status::{LastRun, ScheduleState, ScheduleStatus, ServeStatus};
