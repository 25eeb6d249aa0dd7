//! Definition files: rules in TOML, with their test cases.
//!
//! A file is about one event type (`type`, `current`, `[[upcast]]`), or about many (`[[rule]]`, `[current]`). Nothing
//! here does I/O: the caller reads the files.

mod actions;
mod down;
mod load;
mod merge;
mod merge_test;
mod read_actions;
mod rule;
mod template;
mod test_case;

pub use load::{DefinitionErrors, Definitions};
