//! Quarantine: an event that fails stops its stream, and once the rule is repaired nothing shows that it ever did.

mod laws;
mod limits;
mod poison;
mod scene;
