//! Schedules, and the service that builds read models when they are due.

mod schedule;

pub use schedule::{InvalidSchedule, Schedule, Task};
