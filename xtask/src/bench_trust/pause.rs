//! How long writers can't write while they are switched, with the tail caught up, and whether anything of theirs is lost.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::progress::Running;
use super::writers::{CONNECTIONS, MESSAGE, PER_SECOND, Writers, Wrote};
use crate::bench::bound;
use crate::event_log::{self, UPCAST};
use crate::stage::Stage;

const ROUNDS: usize = 5;
/// The median of what writers see, in seconds.
const PAUSE: f64 = 1.0;
/// How much of what they try to write the service gets done, at least.
const WRITTEN: f64 = 0.95;
/// The tail has caught up when it is no more events behind.
const CAUGHT_UP: i64 = 500;
/// How long it may take for that.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long writers write before the cut-over, with the tail caught up, and behind it.
const BEFORE: Duration = Duration::from_secs(5);
const BEHIND: Duration = Duration::from_secs(2);

/// A cut-over.
struct Round {
    seen: f64,
    /// What eventlift says, in seconds.
    said: f64,
    per_second: f64,
}

/// Cuts over under load, several times, and counts.
pub(super) fn pauses(stage: &Stage, events: usize, failed: &mut Vec<String>) -> Result<(), String> {
    println!(
        "\ncut-over of {events} events under {PER_SECOND} writes a second on {CONNECTIONS} connections, {ROUNDS} rounds"
    );
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        stage.load("old", events, "json", |log| event_log::write(log, events))?;
        rounds.push(cut_over(stage, events)?);
    }
    let median = |figure: fn(&Round) -> f64| {
        let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    println!("eventlift says, in seconds: {:.3} (for information)", median(|round| round.said));
    let (seen, written) = (median(|round| round.seen), median(|round| round.per_second) / PER_SECOND);
    bound(failed, "what writers saw, in seconds", seen, seen < PAUSE, &format!("below {PAUSE:.1}"));
    bound(failed, "writes a second, of what is meant", written, written >= WRITTEN, &format!("at least {WRITTEN}"));
    Ok(())
}

fn cut_over(stage: &Stage, events: usize) -> Result<Round, String> {
    let switched = stage.folder.join("switched");
    // It is not there in the first round.
    let _ = fs::remove_file(&switched);
    let settings = format!(
        "[cutover]\nmessage = \"{MESSAGE}\"\nswitch = [{{ command = [\"touch\", \"{}\"] }}]\n",
        switched.display()
    );
    let project = stage.lift("json", "cutover", UPCAST, &settings)?;
    stage.migrate(&project, &[])?;
    let writers = Writers::start(stage.url(), switched);
    let outcome = under_writes(stage, &project, &writers);
    let wrote = writers.end();
    let ((said, per_second), wrote) = (outcome?, wrote?);
    nothing_is_lost(stage, events, &wrote)?;
    let round = Round { seen: wrote.longest.as_secs_f64(), said, per_second };
    println!(
        "  writers waited {:.3} s (before {:.3} s), eventlift says {said:.3} s; {} writes to the old store, {} to the new one, {} refused, none lost",
        round.seen,
        wrote.longest_before.as_secs_f64(),
        wrote.to_old.len(),
        wrote.to_new.len(),
        wrote.refused
    );
    Ok(round)
}

/// Follows and cuts over: the pause in seconds that eventlift prints, and how many writes a second there were before.
fn under_writes(stage: &Stage, project: &Path, writers: &Writers) -> Result<(f64, f64), String> {
    let follower = Running::start(stage, "migrate", project, &["--follow", "--json"])?;
    let begun = Instant::now();
    let behind = "SELECT (SELECT max(position) FROM old.events) - (SELECT max(position) FROM lifted.events)";
    while writers.written() == 0 || stage.number(behind)? > CAUGHT_UP {
        if begun.elapsed() > PATIENCE {
            return Err("the tail does not catch up".to_owned());
        }
        thread::sleep(Duration::from_millis(100));
    }
    let (written, steady) = (writers.written(), Instant::now());
    thread::sleep(BEFORE);
    let per_second = (writers.written() - written) as f64 / steady.elapsed().as_secs_f64();
    writers.cut_over_begins();
    let output = stage.command("cutover", project).arg("--json").output();
    let output = output.map_err(|error| format!("failed to start eventlift cutover: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let said = report["pause_ms"].as_f64().filter(|_| output.status.success());
    let said = said.ok_or_else(|| format!("the cut-over failed: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
    follower.ends()?;
    thread::sleep(BEHIND);
    Ok((said / 1e3, per_second))
}

/// Counts by SQL: every write that was accepted is where it belongs, once, and nothing else came.
fn nothing_is_lost(stage: &Stage, events: usize, wrote: &Wrote) -> Result<(), String> {
    if wrote.to_new.is_empty() {
        return Err("nobody wrote to the new store".to_owned());
    }
    let all: Vec<&str> = wrote.to_old.iter().chain(&wrote.to_new).map(String::as_str).collect();
    let old: Vec<&str> = wrote.to_old.iter().map(String::as_str).collect();
    for (schema, ids) in [("old", old), ("lifted", all)] {
        let found =
            stage.count_ids(&format!("SELECT count(DISTINCT id) FROM {schema}.events WHERE id = ANY($1)"), &ids)?;
        let rows = stage.number(&format!("SELECT count(*) FROM {schema}.events"))?;
        let (accepted, expected) = (ids.len() as i64, (events + ids.len()) as i64);
        if found != accepted || rows != expected {
            return Err(format!(
                "{schema} has {found} of {accepted} writes that were accepted, and {rows} events where {expected} are right"
            ));
        }
    }
    Ok(())
}
