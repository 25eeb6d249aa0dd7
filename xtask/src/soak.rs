//! The tests that need PostgreSQL, again and again on a machine that is busy with something else: what is decided by a clock
//! shows.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::process::{root, run, target};
use crate::test::{server, tell};

/// As many as `cargo xtask test` runs at once.
const THREADS: &str = "--test-threads=4";

/// Runs the tests so often, those whose names hold one of `filters`, or all, and prints how each time went. Fails where a
/// test has failed; what such a one said is kept.
pub(crate) fn soak(times: usize, filters: &[&str]) -> Result<(), String> {
    let server = server()?;
    let tests = built()?;
    let kept = target().join("soak");
    let wanted: Vec<String> = match filters {
        [] => vec!["postgres::".to_owned()],
        filters => filters.iter().map(|filter| (*filter).to_owned()).collect(),
    };
    let _busy = Busy::begin();
    let mut failures = 0;
    for time in 1..=times {
        let begun = Instant::now();
        let mut command = Command::new(&tests);
        command.args(["--ignored", THREADS, "--skip", "measure_"]).args(&wanted).current_dir(root());
        tell(&mut command, &server);
        let output = command.env("INSTA_UPDATE", "no").stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("failed to start {}: {error}", tests.display()))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = failed(&said);
        let seconds = begun.elapsed().as_secs_f64();
        if output.status.success() {
            println!("{time:>4} of {times}  passed in {seconds:.1} s");
            continue;
        }
        failures += 1;
        let file = kept.join(format!("{time}.txt"));
        keep(&file, &said, &String::from_utf8_lossy(&output.stderr))?;
        let names = if failed.is_empty() { output.status.to_string() } else { failed.join(", ") };
        println!("{time:>4} of {times}  FAILED in {seconds:.1} s: {names}; see {}", file.display());
    }
    match failures {
        0 => Ok(()),
        failures => Err(format!("{failures} of {times} times some test has failed")),
    }
}

/// Builds the tests, and says where they are.
fn built() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["test", "--package", "eventlift", "--all-features", "--test", "main", "--no-run"];
    run(Command::new(&cargo).args(arguments).current_dir(root()))?;
    // Nothing is left to build, so this only says what there is.
    let listed = Command::new(&cargo).args(arguments).arg("--message-format=json").current_dir(root()).output();
    let listed = listed.map_err(|error| format!("failed to start cargo: {error}"))?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let found = listed.lines().filter(|line| line.contains("\"name\":\"main\"")).find_map(executable);
    found.ok_or_else(|| "cargo names no program of the tests".to_owned())
}

/// The program that a message of cargo's names.
fn executable(message: &str) -> Option<PathBuf> {
    let (_, rest) = message.split_once("\"executable\":\"")?;
    rest.split_once('"').map(|(path, _)| PathBuf::from(path))
}

/// The names of the tests that failed.
fn failed(said: &str) -> Vec<String> {
    let name = |line: &str| line.strip_prefix("test ")?.strip_suffix(" ... FAILED").map(str::to_owned);
    said.lines().filter_map(name).collect()
}

fn keep(file: &Path, said: &str, errors: &str) -> Result<(), String> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(file, format!("{said}\n{errors}")));
    written.map_err(|error| format!("failed to write {}: {error}", file.display()))
}

/// Keeps one core busy as long as it lives.
struct Busy {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Busy {
    fn begin() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                std::hint::black_box((0..1_000_000_u64).sum::<u64>());
            }
        });
        Self { ends, thread: Some(thread) }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // It ends within a moment.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_and_where_the_tests_are_is_found() {
        let said =
            "running 2 tests\ntest postgres::a ... ok\ntest postgres::b ... FAILED\n\nfailures:\n    postgres::b\n";
        assert_eq!(failed(said), ["postgres::b"]);
        let message = r#"{"reason":"compiler-artifact","target":{"name":"main"},"executable":"/t/debug/deps/main-1"}"#;
        assert_eq!(executable(message), Some(PathBuf::from("/t/debug/deps/main-1")));
        assert_eq!(executable(r#"{"executable":null}"#), None);
    }
}
