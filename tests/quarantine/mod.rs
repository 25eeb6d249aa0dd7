//! Quarantine: an event that fails stops its stream, and once the rule is repaired nothing shows that it ever did.

mod commands;
mod killed;
mod laws;
mod limits;
pub(crate) mod poison;
pub(crate) mod scene;
