//! Whether a limit of `[throttle]` is what a run does.

use super::progress::Progress;
use crate::bench::bound;
use crate::event_log::{self, UPCAST};
use crate::stage::Stage;

const EVENTS_PER_SECOND: f64 = 20_000.0;
const MEGABYTES_PER_SECOND: f64 = 8.0;
/// Enough for 15 seconds.
const EVENTS: usize = 300_000;
/// How far a rate may be off its figure.
const OFF: f64 = 0.05;
/// The middle of a run is behind this part of it, and before the same part at its end.
const EDGE: f64 = 0.2;

/// The size of an event as the throttle counts it: payloads, attributes and names, and 64 bytes.
const SIZE: &str = "SELECT avg(octet_length(data::text) + octet_length(metadata::text) + octet_length(stream)
                    + octet_length(type) + coalesce(octet_length(attributes), 0) + 64)::float8 FROM old.events";

/// Measures both kinds of limits over the middle of a run.
pub(super) fn rates(stage: &Stage, events: usize, failed: &mut Vec<String>) -> Result<(), String> {
    let events = events.min(EVENTS);
    println!("\nthrottled, over the middle of a run of {events} events, by its ledger");
    stage.load("old", events, "json", |log| event_log::write(log, events))?;
    let found = throttled(stage, &format!("events_per_second = {EVENTS_PER_SECOND}"))?;
    within(failed, "events a second", found, EVENTS_PER_SECOND);
    let found = throttled(stage, &format!("megabytes_per_second = {MEGABYTES_PER_SECOND}"))? * size(stage)? / 1e6;
    within(failed, "megabytes a second", found, MEGABYTES_PER_SECOND);
    Ok(())
}

fn within(failed: &mut Vec<String>, what: &str, found: f64, limit: f64) {
    let ratio = found / limit;
    println!("{found:.1} {what}, limited to {limit}, which is {:.1} % of it", ratio * 100.0);
    let wanted = format!("within {:.0} % of 1", OFF * 100.0);
    bound(failed, &format!("{what}, of the limit"), ratio, (ratio - 1.0).abs() <= OFF, &wanted);
}

/// Events a second.
fn throttled(stage: &Stage, limit: &str) -> Result<f64, String> {
    let project = stage.lift("json", "throttled", UPCAST, &format!("[throttle]\n{limit}\n"))?;
    let progress = Progress::of(stage, &project, |_| Ok(()))?;
    let (begin, end) = (progress.begin(), progress.end());
    let edge = (end - begin) * EDGE;
    progress.rate(begin + edge, end - edge).ok_or_else(|| "the run was too short to measure its rate".to_owned())
}

fn size(stage: &Stage) -> Result<f64, String> {
    let output = stage.psql_command().args(["-At", "-c", SIZE]).output();
    let output = output.map_err(|error| format!("failed to start psql: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    text.parse().map_err(|_| format!("psql says {text:?} where a number is expected"))
}
