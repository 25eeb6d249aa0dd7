//! What a user can do wrong with read models: a clear message, the documented exit code, live tables that are what they
//! were, nothing left behind, and a corrected run that goes through.

mod bench;
mod builds;
mod definitions;
mod disks;
mod events;
mod quarantine;
mod stores;
