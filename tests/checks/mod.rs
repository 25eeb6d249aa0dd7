//! Checks before and behind a migration: what they find, and what they can't be made to do.

mod before;
mod behind;
mod configured;
