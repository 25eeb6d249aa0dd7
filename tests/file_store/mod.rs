//! The file store: what it reads, what it refuses, what it writes.

mod conformance;
mod forms;
mod killed;
mod reading;
mod writing;
