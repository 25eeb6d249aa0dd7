//! Inputs that nobody thought of.

use std::process::Command;

use crate::process::{root, run};

/// Tries made inputs on every target (`tests/fuzz/`) for so many minutes in all, and prints how many each of them got. Fails
/// where one panics, hangs or differs from its reference; the input is kept under `target/tmp/fuzz`. It is the tests'
/// own binary, so that nothing is built twice.
pub(crate) fn fuzz(minutes: u64) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--package", "eventlift", "--all-features", "--test", "main", "--"]);
    command.args(["--ignored", "--exact", "fuzz::fuzz_for_a_while", "--nocapture"]);
    command.env("EVENTLIFT_FUZZ_SECONDS", (minutes * 60).to_string());
    run(command.current_dir(root()))
}
