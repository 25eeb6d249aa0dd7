//! What it costs to be careful: checks, ledger and quarantine; `verify`; the pause of a cut-over; the throttle.

mod latency;
mod load;
mod measured;
mod overhead;
mod pause;
mod progress;
mod rate;
mod writers;

pub(crate) use measured::bench_trust;
