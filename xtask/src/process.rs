//! Running programs: what they took in time and memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a program took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) seconds: f64,
    /// The most memory it had resident at once.
    pub(crate) peak_bytes: u64,
}

/// Runs a program to its end and measures it. Fails if the program fails.
pub(crate) fn measure(command: &mut Command) -> Result<Taken, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("failed to start {name}: {error}"))?;
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak_bytes = 0;
    loop {
        // The kernel keeps the high-water mark, so looking now and then misses only the last moment.
        peak_bytes = peak_bytes.max(high_water(&status));
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Ok(Some(exit)) if exit.success() => {
                return Ok(Taken { seconds: begun.elapsed().as_secs_f64(), peak_bytes });
            }
            Ok(Some(exit)) => return Err(format!("{name} ended with {exit}")),
            Err(error) => return Err(format!("failed to wait for {name}: {error}")),
        }
    }
}

fn high_water(status: &Path) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|number| number.trim().parse().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// Runs a program to its end. Fails if the program fails.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} ended with {status}")),
        Err(error) => Err(format!("failed to start {name}: {error}")),
    }
}

/// The project's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

/// The folder of what is built.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Builds the program as it is released, and says where it is.
pub(crate) fn build_release() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo).args(["build", "--release", "--bin", "eventlift"]).current_dir(root()))?;
    Ok(target().join("release/eventlift"))
}
