//! What `plan` says is what `migrate` then does.

mod laws;
pub(crate) mod scene;
mod silent;
