//! All of it, one after the other, on one server.

use super::{latency, overhead, pause, rate};
use crate::event_log;
use crate::stage::Stage;

/// Measures with this many events and prints what came out. Fails where a bound is not kept.
pub(crate) fn bench_trust(events: usize) -> Result<(), String> {
    let stage = Stage::set("bench-trust")?;
    let mut failed = Vec::new();
    println!("\n{events} events in 50,000 streams, 10 % of them upcast, payloads as json");
    stage.load("old", events, "json", |log| event_log::write(log, events))?;
    overhead::overhead(&stage, events, &mut failed)?;
    latency::latency(&stage, &mut failed)?;
    rate::rates(&stage, events, &mut failed)?;
    pause::pauses(&stage, events, &mut failed)?;
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}
