//! Memory: measured in a process of its own, since other tests of this one allocate as well.

use std::process::Command;

/// Set in the process that measures.
const ALONE: &str = "EVENTLIFT_TEST_MEASURES_MEMORY";

/// The resident set of this process in bytes, where it is alone and the system tells.
pub(crate) fn resident_bytes() -> Option<u64> {
    std::env::var_os(ALONE)?;
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

#[test]
fn reading_takes_bounded_memory_in_every_store() {
    let stores = [
        #[cfg(feature = "sqlite")]
        "sqlite_store",
        #[cfg(feature = "file")]
        "file_store::conformance::plain",
        #[cfg(feature = "file")]
        "file_store::conformance::gzip",
        #[cfg(feature = "file")]
        "file_store::conformance::zstandard",
    ];
    for store in stores {
        let test = format!("{store}::reading_takes_bounded_memory");
        let program = std::env::current_exe().unwrap();
        let measured = Command::new(program).args([&*test, "--exact"]).env(ALONE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&measured.stdout);
        assert!(measured.status.success() && said.contains("1 passed"), "{test}: {said}");
    }
}
