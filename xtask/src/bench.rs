//! Speed and memory of SQLite → SQLite against sqlite3's own `INSERT INTO … SELECT`, both into the same indexed table.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::event_log;
use crate::process::{Taken, build_release, measure, run};

/// Each side is run this often, in turns; the medians count.
const ROUNDS: usize = 3;
/// What the ratio must reach, and the memory must not pass.
const RATIO: f64 = 0.9;
const PEAK_MIB: f64 = 128.0;

const RULE: &str = r#"
type = "UserCreated"
current = 2

[[upcast]]
from = 1
data = [{ join = ["/first_name", "/last_name"], with = " ", into = "/full_name" }]
"#;

/// Measures with this many events and prints what came out. Fails where a bound is not kept.
pub(crate) fn bench(events: usize) -> Result<(), String> {
    let eventlift = build_release()?;
    let folder = std::env::temp_dir().join(format!("eventlift-bench-{}", std::process::id()));
    let outcome = in_folder(&eventlift, &folder, events);
    let _ = fs::remove_dir_all(&folder);
    outcome
}

fn in_folder(eventlift: &Path, folder: &Path, events: usize) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("failed to write to {}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    println!("{events} events in 50,000 streams, 10 % of them upcast, medians of {ROUNDS} rounds");
    let log = folder.join("log.ndjson");
    event_log::write(&log, events).map_err(failed)?;
    let bytes = fs::metadata(&log).map_err(failed)?.len();
    println!("log: {} bytes a line", bytes / events as u64);
    let source = folder.join("source.db");
    project(&folder.join("load"), ("file", &log), ("sqlite", &source), None).map_err(failed)?;
    let loaded = migrate(eventlift, &folder.join("load"))?;
    fs::remove_file(&log).map_err(failed)?;
    println!(
        "file → SQLite: {:.2} s, {:.0} events a second, peak {:.0} MiB",
        loaded.seconds,
        rate(events, loaded),
        mib(loaded)
    );

    let target = folder.join("target.db");
    let lift = folder.join("lift");
    project(&lift, ("sqlite", &source), ("sqlite", &target), Some(RULE)).map_err(failed)?;
    let (mut copies, mut lifts) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        remove_database(&target);
        let copy = yardstick(&source, &target)?;
        remove_database(&target);
        let lifted = migrate(eventlift, &lift)?;
        println!("  sqlite3 {:.2} s, eventlift {:.2} s, peak {:.0} MiB", copy.seconds, lifted.seconds, mib(lifted));
        copies.push(copy);
        lifts.push(lifted);
    }
    let (copy, lifted) = (median(&mut copies), median(&mut lifts));
    let verified = measure(Command::new(eventlift).arg("verify").arg(&lift))?;
    let ratio = copy.seconds / lifted.seconds;
    let peak = lifts.iter().map(|taken| mib(*taken)).fold(0.0, f64::max);
    println!("sqlite3 INSERT … SELECT: {:.2} s, {:.0} events a second", copy.seconds, rate(events, copy));
    println!("eventlift migrate:       {:.2} s, {:.0} events a second", lifted.seconds, rate(events, lifted));
    println!("eventlift verify:        {:.2} s, peak {:.0} MiB", verified.seconds, mib(verified));
    println!("ratio {ratio:.2} (at least {RATIO}), peak memory {peak:.0} MiB (at most {PEAK_MIB:.0})");
    if ratio < RATIO || peak > PEAK_MIB {
        return Err("a bound is not kept".to_owned());
    }
    Ok(())
}

fn migrate(eventlift: &Path, project: &Path) -> Result<Taken, String> {
    measure(Command::new(eventlift).arg("migrate").arg(project))
}

/// sqlite3 copies all events between two files, into the table and the indexes that eventlift's own layout has.
fn yardstick(source: &Path, target: &Path) -> Result<Taken, String> {
    let schema = Command::new("sqlite3")
        .arg(source)
        .arg("SELECT sql || ';' FROM sqlite_schema WHERE tbl_name = 'events' AND sql IS NOT NULL")
        .output()
        .map_err(|error| format!("failed to start sqlite3: {error}"))?;
    let schema = String::from_utf8_lossy(&schema.stdout).into_owned();
    run(Command::new("sqlite3").arg(target).arg(schema))?;
    let copy = format!(
        "ATTACH '{}' AS source; INSERT INTO events SELECT * FROM source.events ORDER BY position;",
        source.display()
    );
    measure(Command::new("sqlite3").arg(target).arg(copy))
}

fn project(
    folder: &Path,
    source: (&str, &PathBuf),
    target: (&str, &PathBuf),
    rule: Option<&str>,
) -> std::io::Result<()> {
    fs::create_dir_all(folder.join("transformers"))?;
    let section = |name: &str, (store, path): (&str, &PathBuf)| {
        format!("[{name}]\nstore = \"{store}\"\npath = \"{}\"\n\n", path.display())
    };
    fs::write(folder.join("eventlift.toml"), section("source", source) + &section("target", target))?;
    match rule {
        Some(rule) => fs::write(folder.join("transformers/user_created.toml"), rule),
        None => Ok(()),
    }
}

fn remove_database(path: &Path) {
    for end in ["", "-journal", "-lock", "-wal", "-shm"] {
        // What is not there need not be removed.
        let _ = fs::remove_file(format!("{}{end}", path.display()));
    }
}

fn median(taken: &mut [Taken]) -> Taken {
    taken.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    taken[taken.len() / 2]
}

fn rate(events: usize, taken: Taken) -> f64 {
    events as f64 / taken.seconds
}

fn mib(taken: Taken) -> f64 {
    taken.peak_bytes as f64 / (1024.0 * 1024.0)
}
