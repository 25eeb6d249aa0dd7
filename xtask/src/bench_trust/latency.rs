//! Whether `target_latency` holds while others keep the server busy, and what becomes of the speed behind that.

use std::path::Path;
use std::time::{Duration, Instant};

use super::load::Load;
use super::progress::Progress;
use crate::bench::bound;
use crate::event_log::{self, UPCAST};
use crate::stage::Stage;

const TARGET_MILLIS: f64 = 40.0;
/// The mean may be above the target by this factor.
const ABOVE: f64 = 1.1;
/// As many as last for both phases, whatever the size of the rest is.
const EVENTS: usize = 2_500_000;
/// How long others keep the server busy, in seconds.
const LOADED: f64 = 10.0;
/// After a change of the load, this long is left to settle, in seconds.
const SETTLING: f64 = 3.0;
/// The load has to leave less than this part of the speed.
const SLOWER: f64 = 0.8;
/// And as many connections, at most, make it.
const CONNECTIONS: [usize; 4] = [16, 32, 64, 128];
/// A mean is of no fewer looks.
const FEWEST_LOOKS: usize = 4;
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What a phase was like.
struct Phase {
    append_millis: f64,
    looks: usize,
    events_per_second: f64,
}

/// Measures a run under load that ends half way, with more load until it slows the run down.
pub(super) fn latency(stage: &Stage, failed: &mut Vec<String>) -> Result<(), String> {
    println!("\ntarget_latency = {TARGET_MILLIS} ms, {EVENTS} events; others load the server for {LOADED} s");
    stage.load("old", EVENTS, "json", |log| event_log::write(log, EVENTS))?;
    for connections in CONNECTIONS {
        let Some((loaded, calm)) = phases(stage, connections)? else {
            println!("  the run was over too soon: more load");
            continue;
        };
        for (what, phase) in [("loaded", &loaded), ("calm", &calm)] {
            let Phase { append_millis, looks, events_per_second } = phase;
            println!(
                "  {what:6} an append takes {append_millis:5.1} ms ({looks} looks), {events_per_second:7.0} events a second"
            );
        }
        if loaded.events_per_second > SLOWER * calm.events_per_second {
            println!("  which is no load to speak of: more of it");
            continue;
        }
        for (what, phase) in [("under load", loaded), ("without it", calm)] {
            let ratio = phase.append_millis / TARGET_MILLIS;
            let what = format!("latency {what}, of the target");
            bound(failed, &what, ratio, ratio <= ABOVE, &format!("at most {ABOVE}"));
        }
        return Ok(());
    }
    Err("the server could not be slowed down".to_owned())
}

/// None where the run was over before there was enough to see of both.
fn phases(stage: &Stage, connections: usize) -> Result<Option<(Phase, Phase)>, String> {
    let throttle = format!("[throttle]\ntarget_latency = \"{TARGET_MILLIS}ms\"\n");
    let project = stage.lift("json", "adaptive", UPCAST, &throttle)?;
    let (mut load, mut load_ended) = (Some(Load::start(stage, connections)?), None);
    let (mut looks, mut looked) = (Vec::new(), Instant::now());
    let progress = Progress::of(stage, &project, |at| {
        if at >= LOADED
            && let Some(load) = load.take()
        {
            let transactions = load.end()?;
            println!("  {connections} connections committed {transactions} transactions of 200 rows");
            load_ended = Some(at);
        }
        if looked.elapsed() >= LOOK_EVERY {
            looked = Instant::now();
            looks.extend(append_millis(stage, &project)?.map(|millis| (at, millis)));
        }
        Ok(())
    });
    if let Some(load) = load {
        load.end()?;
    }
    let progress = progress?;
    let phase = |from: f64, until: f64| {
        let within: Vec<f64> = looks.iter().filter(|(at, _)| (from..until).contains(at)).map(|look| look.1).collect();
        let events_per_second = progress.rate(from, until).filter(|_| within.len() >= FEWEST_LOOKS)?;
        let append_millis = within.iter().sum::<f64>() / within.len() as f64;
        Some(Phase { append_millis, looks: within.len(), events_per_second })
    };
    let Some(ended) = load_ended else { return Ok(None) };
    let (loaded, calm) = (phase(progress.begin() + SETTLING, LOADED), phase(ended + SETTLING, progress.end()));
    Ok(loaded.zip(calm))
}

/// What `status` says about the appends, once the run has said so.
fn append_millis(stage: &Stage, project: &Path) -> Result<Option<f64>, String> {
    let output = stage.command("status", project).arg("--json").output();
    let output = output.map_err(|error| format!("failed to start eventlift status: {error}"))?;
    // While the run makes its tables, there is nothing to be said.
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Ok(status["throttle"]["append_millis"].as_f64())
}
