//! Speed and memory of SQLite → SQLite against sqlite3's own `INSERT INTO … SELECT`, both into the same indexed table.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::event_log;
use crate::process::{Taken, build_release, measure, root, run};

/// Each side is run this often, in turns; the medians count.
const ROUNDS: usize = 3;
/// What the ratio must reach, and what memory must not pass.
const RATIO: f64 = 0.9;
const PEAK_MIB: f64 = 128.0;
/// With this many times the events, memory may grow by that factor.
const MORE_EVENTS: usize = 5;
const GROWTH: f64 = 1.1;

/// Where the databases of a measurement are.
struct Bench {
    eventlift: PathBuf,
    folder: PathBuf,
}

/// Measures with this many events and prints what came out. Fails where a bound is not kept.
pub(crate) fn bench(events: usize) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("eventlift-bench-{}", std::process::id()));
    let bench = Bench { eventlift: build_release()?, folder };
    let outcome = bench.speed(events).and_then(|peak| bench.memory(events, peak));
    let _ = fs::remove_dir_all(&bench.folder);
    outcome?;
    operations()
}

impl Bench {
    /// Compares with sqlite3's copy, and returns eventlift's median peak memory in MiB.
    fn speed(&self, events: usize) -> Result<f64, String> {
        println!("{events} events in 50,000 streams, 10 % of them upcast, medians of {ROUNDS} rounds");
        let (source, target) = (self.load(events)?, self.folder.join("target.db"));
        let lift = self.lift(&source, &target)?;
        let (mut copies, mut lifts) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            remove_database(&target);
            let copy = yardstick(&source, &target)?;
            remove_database(&target);
            let lifted = migrate(&self.eventlift, &lift)?;
            println!("  sqlite3 {:.2} s, eventlift {:.2} s, peak {:.0} MiB", copy.seconds, lifted.seconds, mib(lifted));
            copies.push(copy);
            lifts.push(lifted);
        }
        let verified = measure(Command::new(&self.eventlift).arg("verify").arg(&lift))?;
        let (copy, lifted) = (median(&mut copies), median(&mut lifts));
        let ratio = copy.seconds / lifted.seconds;
        println!("sqlite3 INSERT … SELECT: {:.2} s, {:.0} events a second", copy.seconds, rate(events, copy));
        println!("eventlift migrate:       {:.2} s, {:.0} events a second", lifted.seconds, rate(events, lifted));
        println!("eventlift verify:        {:.2} s, peak {:.0} MiB", verified.seconds, mib(verified));
        println!("ratio {ratio:.2} (at least {RATIO})");
        if ratio < RATIO {
            return Err("eventlift is too slow".to_owned());
        }
        lifts.sort_by_key(|taken| taken.peak_bytes);
        Ok(mib(lifts[ROUNDS / 2]))
    }

    /// Compares the peak memory with that of many more events.
    fn memory(&self, events: usize, peak: f64) -> Result<(), String> {
        let (source, target) = (self.load(events * MORE_EVENTS)?, self.folder.join("target.db"));
        remove_database(&target);
        let more = mib(migrate(&self.eventlift, &self.lift(&source, &target)?)?);
        let growth = more / peak;
        println!("peak memory {peak:.0} MiB (at most {PEAK_MIB:.0}), with {MORE_EVENTS} × the events {more:.0} MiB");
        println!("growth {growth:.2} (at most {GROWTH})");
        if peak > PEAK_MIB || growth > GROWTH {
            return Err("eventlift takes too much memory".to_owned());
        }
        Ok(())
    }

    /// A source database with this many events, loaded from a log.
    fn load(&self, events: usize) -> Result<PathBuf, String> {
        let failed = |error: std::io::Error| format!("failed to write to {}: {error}", self.folder.display());
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let (log, source) = (self.folder.join("log.ndjson"), self.folder.join("source.db"));
        remove_database(&source);
        event_log::write(&log, events).map_err(failed)?;
        let load = self.folder.join("load");
        project(&load, ("file", &log), ("sqlite", &source), None).map_err(failed)?;
        let loaded = migrate(&self.eventlift, &load)?;
        fs::remove_file(&log).map_err(failed)?;
        println!(
            "file → SQLite: {:.2} s, {:.0} events a second, peak {:.0} MiB",
            loaded.seconds,
            rate(events, loaded),
            mib(loaded)
        );
        Ok(source)
    }

    fn lift(&self, source: &PathBuf, target: &PathBuf) -> Result<PathBuf, String> {
        let lift = self.folder.join("lift");
        project(&lift, ("sqlite", source), ("sqlite", target), Some(event_log::UPCAST))
            .map_err(|error| format!("failed to write {}: {error}", lift.display()))?;
        Ok(lift)
    }
}

/// What one operation costs beside a splice by hand.
fn operations() -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["bench", "--package", "eventlift-transformers", "--bench", "operations"];
    run(Command::new(cargo).args(arguments).current_dir(root()))
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

pub(crate) fn remove_database(path: &Path) {
    for end in ["", "-journal", "-lock", "-wal", "-shm"] {
        // What is not there need not be removed.
        let _ = fs::remove_file(format!("{}{end}", path.display()));
    }
}

pub(crate) fn median(taken: &mut [Taken]) -> Taken {
    taken.sort_by(|a, b| a.seconds.total_cmp(&b.seconds));
    taken[taken.len() / 2]
}

pub(crate) fn rate(events: usize, taken: Taken) -> f64 {
    events as f64 / taken.seconds
}

pub(crate) fn mib(taken: Taken) -> f64 {
    taken.peak_bytes as f64 / (1024.0 * 1024.0)
}

/// Prints what was measured.
pub(crate) fn line(what: &str, events: usize, taken: Taken) {
    let peak = if taken.peak_bytes == 0 { String::new() } else { format!(", peak {:.0} MiB", mib(taken)) };
    println!("{what:62} {:7.2} s {:9.0} events a second{peak}", taken.seconds, rate(events, taken));
}

/// Prints a figure beside its bound, and notes where it is not kept.
pub(crate) fn bound(failed: &mut Vec<String>, what: &str, found: f64, is_kept: bool, wanted: &str) {
    println!("{what}: {found:.2} ({wanted})");
    if !is_kept {
        failed.push(format!("{what}: {found:.2}, but it must be {wanted}"));
    }
}
