//! Schedules: when they are due, and that each time is run once, whatever the clock, the processes and the tasks do.

mod clock;
mod due;
mod ledger;
mod service;
mod times;
