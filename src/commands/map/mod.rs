//! `map`: old positions and revisions to new ones, one by one, in files, in tables, and inside events.

mod checkpoint_file;
mod checkpoint_table;
mod lookup;
mod references;
mod translated;

pub(super) use checkpoint_file::checkpoint_file;
pub(super) use checkpoint_table::checkpoint_table;
pub(super) use lookup::{map_positions, map_revisions};
pub(super) use references::map_references;
