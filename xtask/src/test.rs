//! The test suite, and what it needs from the machine.

use std::process::{Command, Stdio};

use crate::process::{root, run};

/// Programs that tests call, and the Debian packages they come in.
const PROGRAMS: [(&str, &str); 2] = [("sqlite3", "sqlite3"), ("python3", "python3")];

/// Installs what is missing and runs every test.
pub(crate) fn test() -> Result<(), String> {
    let missing: Vec<_> = PROGRAMS.iter().filter(|(program, _)| !is_there(program)).collect();
    if !missing.is_empty() {
        let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
        install(&packages)?;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo)
        .args(["test", "--workspace", "--all-features"])
        .env("INSTA_UPDATE", "no")
        .current_dir(root()))
}

fn is_there(program: &str) -> bool {
    let look = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    look.is_ok_and(|status| status.success())
}

/// Installs Debian packages; elsewhere says what to install.
fn install(packages: &[&str]) -> Result<(), String> {
    let by_hand = format!("install {} and run the tests again", packages.join(", "));
    if !is_there("apt-get") {
        return Err(by_hand);
    }
    // Containers run as root and often have no sudo.
    let apt = |arguments: &[&str]| {
        let mut command = if is_there("sudo") { Command::new("sudo") } else { Command::new("env") };
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments);
        run(&mut command).map_err(|problem| format!("{problem}; {by_hand}"))
    };
    apt(&["update", "--quiet"])?;
    let install: Vec<&str> = ["install", "--yes", "--quiet"].into_iter().chain(packages.iter().copied()).collect();
    apt(&install)
}
