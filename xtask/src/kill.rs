//! Migrations that are killed at random instants, a large number of times.

use std::process::Command;

use crate::process::{root, run};

/// Kills runs into every kind of target this often, and prints what came of it. Fails where a target differs.
pub(crate) fn kill(kills: usize) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo)
        .args(["test", "--package", "eventlift", "--test", "main", "resume::a_killed_run"])
        .args(["--", "--nocapture", "--test-threads=1"])
        .env("EVENTLIFT_KILLS", kills.to_string())
        .current_dir(root()))
}
