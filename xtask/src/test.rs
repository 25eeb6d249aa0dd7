//! The test suite, and what it needs from the machine.

use std::process::{Command, Stdio};

use crate::postgres::{Server, Settings, installed};
use crate::process::{root, run, target};

/// Programs that tests call, and the Debian packages they come in.
const PROGRAMS: [(&str, &str); 4] =
    [("sqlite3", "sqlite3"), ("python3", "python3"), ("openssl", "openssl"), ("jq", "jq")];

/// Installs what is missing, and starts the server that tests need.
pub(crate) fn server() -> Result<Server, String> {
    let mut packages: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect();
    if installed().is_none() {
        packages.push("postgresql");
    }
    if !packages.is_empty() {
        install(&packages)?;
    }
    Server::start(&Settings::new(target().join("postgres")))
}

/// Tells a program where the server is.
pub(crate) fn tell(command: &mut Command, server: &Server) {
    command.env("EVENTLIFT_TEST_POSTGRES", server.url()).env("EVENTLIFT_TEST_POSTGRES_BIN", server.bin());
}

/// The tests that need PostgreSQL wait for it most of the time: more of them at once than there are cores.
const THREADS: &str = "--test-threads=4";

/// Installs what is missing and runs every test, those that need PostgreSQL with a server of their own.
pub(crate) fn test() -> Result<(), String> {
    let server = server()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let test = |arguments: &[&str]| {
        let mut command = Command::new(&cargo);
        command.arg("test").args(arguments).current_dir(root());
        command.env("INSTA_UPDATE", "no");
        tell(&mut command, &server);
        let outcome = run(&mut command);
        outcome.map_err(|problem| format!("{problem}: cargo test {}", arguments.join(" ")))
    };
    let suites = [
        test(&["--workspace", "--all-features"]),
        // Ignored without a server.
        test(&[
            "--package",
            "eventlift",
            "--all-features",
            "--test",
            "main",
            "--",
            "--ignored",
            THREADS,
            "--skip",
            "measure_",
            "postgres::",
        ]),
    ];
    let failed: Vec<String> = suites.into_iter().filter_map(Result::err).collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn is_there(program: &str) -> bool {
    let version = if program == "openssl" { "version" } else { "--version" };
    let look = Command::new(program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
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
