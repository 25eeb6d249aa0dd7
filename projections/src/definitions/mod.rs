//! Definition files: projections and aggregates in TOML, with their test cases.
//!
//! A file is one projection (`[table.…]`, `[[on]]`) or one aggregate (`[state]`, `[[on]]`). Nothing here does I/O: the
//! caller reads the files.

mod array;
mod clause;
mod constant;
mod event_field;
mod fold;
mod load;
mod operation;
mod read_clause;
mod read_file;
mod read_rollup;
mod read_source;
mod source;
mod state;
mod test_case;

pub use load::{DefinitionErrors, Definitions};
