//! Migrations and rebuilds that are disturbed at random instants, a large number of times.

use std::process::Command;

use crate::process::{root, run};
use crate::test::{server, tell};

/// Kills runs into every kind of target, and every kind of rebuild, this often, and prints what came of it; those on
/// PostgreSQL also lose their server, their backends and their connections as often, those between KurrentDB servers their
/// connections. Fails where a target or a table differs.
pub(crate) fn kill(kills: usize) -> Result<(), String> {
    let server = server()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let test = |tests: &[&str]| {
        let mut command = Command::new(&cargo);
        command.args(["test", "--package", "eventlift", "--all-features", "--test", "main", "--"]).args(tests);
        command.args(["--nocapture", "--test-threads=1"]).env("EVENTLIFT_KILLS", kills.to_string());
        tell(&mut command, &server);
        run(command.current_dir(root()))
    };
    test(&["resume::a_killed_run", "rebuild_kill::a_killed", "kurrentdb::disturbed"])?;
    test(&["--ignored", "postgres::disturbed", "through_many_swaps", "terminated_server_processes"])
}
