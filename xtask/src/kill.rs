//! Migrations and rebuilds that are killed at random instants, a large number of times.

use std::process::Command;

use crate::process::{root, run};

/// Kills runs into every kind of target, and every kind of rebuild, this often, and prints what came of it. Fails where
/// a target or a table differs.
pub(crate) fn kill(kills: usize) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo)
        .args(["test", "--package", "eventlift", "--test", "main"])
        .args(["--", "resume::a_killed_run", "rebuild_kill::a_killed", "--nocapture", "--test-threads=1"])
        .env("EVENTLIFT_KILLS", kills.to_string())
        .current_dir(root()))
}
