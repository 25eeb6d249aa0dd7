//! Decides when a transaction may be committed, and how large it is to be, without a clock of its own.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::latency::LatencyKeeper;
use super::load::LoadKeeper;
use super::settings::{Limits, ThrottleSettings};
use crate::pipeline::control::Wish;

/// About what a limit lets through in this time is one transaction.
const SLICE: Duration = Duration::from_millis(200);
/// What was not used up is kept for no longer than this, beside what the next transaction needs.
const KEPT: Duration = Duration::from_millis(50);
/// No transaction is saved up for longer than this; what is larger is paid for afterwards.
const SAVED: Duration = Duration::from_secs(1);
/// The longest wait after which everything is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// No wait is shorter: timers are no finer, and what comes too late is made up for.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);
/// What is lost by rounding, in seconds.
const NOTHING: f64 = 1e-6;
/// Bytes in a megabyte.
const MEGABYTE: f64 = 1e6;

/// A moment, by both clocks.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Moment {
    /// Since the run began; never goes back.
    pub elapsed: Duration,
    /// By the clock on the wall.
    pub clock: Timestamp,
}

/// How large a transaction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Size {
    /// Events, read or written, whichever are more.
    pub events: u64,
    /// Their bytes, likewise.
    pub bytes: u64,
}

/// What a run is limited to, and why.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ThrottleState {
    /// The limit that holds now.
    pub events_per_second: Option<f64>,
    /// The limit that holds now, in millions of bytes.
    pub megabytes_per_second: Option<f64>,
    /// How many events a transaction is to hold at most, where that is limited.
    pub transaction_events: Option<u64>,
    /// About how long appends of transactions take, once there were some.
    pub append_millis: Option<f64>,
    /// Whether nothing is committed now.
    pub paused: bool,
    /// Why it is paused, or slower than it could be; none where it is not.
    pub why: Option<String>,
}

/// Decides when a transaction may be committed.
#[derive(Clone, Debug)]
pub struct Controller {
    settings: ThrottleSettings,
    wish: Wish,
    latency: Option<LatencyKeeper>,
    load: Option<LoadKeeper>,
    /// Events and bytes that may be committed; below 0 where more were.
    credit: [f64; 2],
    credited_at: Duration,
    not_before: Duration,
    /// About how long an append takes, in seconds.
    average: Option<f64>,
}

impl Controller {
    /// A controller of a run that begins now.
    pub fn new(settings: ThrottleSettings) -> Self {
        let latency = settings.target_latency.map(LatencyKeeper::new);
        let load = settings.query.as_ref().map(|query| LoadKeeper::new(query.at_most));
        Self {
            settings,
            wish: Wish::default(),
            latency,
            load,
            credit: [0.0; 2],
            credited_at: Duration::ZERO,
            not_before: Duration::ZERO,
            average: None,
        }
    }

    /// What is wished for from now on.
    pub fn wish(&mut self, wish: Wish) {
        self.wish = wish;
    }

    /// The query's answer, or why there was none.
    pub fn answered(&mut self, answer: Result<f64, String>) {
        if let Some(load) = &mut self.load {
            load.answered(answer);
        }
    }

    /// Asks to commit a transaction. None: it is committed now, and paid for. Otherwise how long to wait before asking
    /// again; a second at most, since other limits may hold by then.
    pub fn ask(&mut self, now: Moment, size: Size) -> Option<Duration> {
        if self.wish.paused {
            return Some(LOOK_AGAIN);
        }
        if self.wish.off {
            (self.credit, self.credited_at) = ([0.0; 2], now.elapsed);
            return None;
        }
        let (limits, _) = self.limits(now.clock);
        if limits.is_pause() || self.share() == 0.0 {
            (self.credit, self.credited_at) = ([0.0; 2], now.elapsed);
            return Some(LOOK_AGAIN);
        }
        let passed = now.elapsed.saturating_sub(self.credited_at).as_secs_f64();
        self.credited_at = now.elapsed;
        let costs = [size.events as f64, size.bytes as f64];
        let rates = [limits.events_per_second, limits.bytes_per_second];
        let mut wait = self.not_before.saturating_sub(now.elapsed).as_secs_f64();
        for ((credit, rate), cost) in self.credit.iter_mut().zip(rates).zip(costs) {
            let Some(rate) = rate else {
                *credit = 0.0;
                continue;
            };
            let needed = cost.min(rate * SAVED.as_secs_f64());
            *credit = (*credit + rate * passed).min(needed + rate * KEPT.as_secs_f64());
            wait = wait.max((needed - *credit) / rate);
        }
        if wait > NOTHING {
            return Some(Duration::from_secs_f64(wait).clamp(SHORTEST_WAIT, LOOK_AGAIN));
        }
        for ((credit, rate), cost) in self.credit.iter_mut().zip(rates).zip(costs) {
            *credit -= if rate.is_some() { cost } else { 0.0 };
        }
        None
    }

    /// Learns that an append has ended now, and how long it took.
    pub fn appended(&mut self, now: Moment, took: Duration, size: Size) {
        let seconds = took.as_secs_f64();
        self.average = Some(self.average.map_or(seconds, |average| average + 0.3 * (seconds - average)));
        if self.wish.off {
            return;
        }
        let mut pause = Duration::ZERO;
        if let Some(latency) = &mut self.latency {
            latency.measured(now.elapsed, took, size.events as f64);
            pause = latency.pause();
        }
        let share = self.share();
        if share > 0.0 && share < 1.0 {
            pause = pause.max(took.mul_f64(1.0 / share - 1.0));
        }
        self.not_before = self.not_before.max(now.elapsed + pause);
    }

    /// How many events a transaction is to hold, at least 1; none where that is not limited.
    pub fn transaction_events(&self, clock: Timestamp) -> Option<u64> {
        if self.wish.off {
            return None;
        }
        // Where an append takes long by itself, a limit is only reached by larger ones.
        let slice = self.average.map_or(0.0, |average| 4.0 * average).clamp(SLICE.as_secs_f64(), SAVED.as_secs_f64());
        let by_rate = self.limits(clock).0.events_per_second.map(|limit| limit * slice);
        let by_latency = self.latency.as_ref().map(LatencyKeeper::events);
        let fewest = [by_rate, by_latency].into_iter().flatten().reduce(f64::min)?;
        Some((fewest as u64).max(1))
    }

    /// How many bytes a transaction is to hold; none where that is not limited.
    pub fn transaction_bytes(&self, clock: Timestamp) -> Option<u64> {
        let limit = self.limits(clock).0.bytes_per_second.filter(|_| !self.wish.off)?;
        Some(((limit * SLICE.as_secs_f64()) as u64).max(1))
    }

    /// What holds now, and why.
    pub fn state(&self, clock: Timestamp) -> ThrottleState {
        let (limits, of_window) = if self.wish.off { (Limits::default(), false) } else { self.limits(clock) };
        let share = if self.wish.off { 1.0 } else { self.share() };
        ThrottleState {
            events_per_second: limits.events_per_second,
            megabytes_per_second: limits.bytes_per_second.map(|bytes| bytes / MEGABYTE),
            transaction_events: self.transaction_events(clock),
            append_millis: self.average.map(|seconds| (seconds * 1e5).round() / 1e2),
            paused: self.wish.paused || limits.is_pause() || share == 0.0,
            why: self.why(limits, of_window),
        }
    }

    fn why(&self, limits: Limits, of_window: bool) -> Option<String> {
        if self.wish.paused {
            return Some("`eventlift throttle --pause`".to_owned());
        }
        if self.wish.off {
            return None;
        }
        let by_load = self.load.as_ref().and_then(LoadKeeper::why);
        let by_latency = self.latency.as_ref().filter(|latency| latency.is_at_its_end()).map(|latency| {
            let (target, average) = (latency.target * 1e3, self.average.unwrap_or_default() * 1e3);
            format!("even the smallest appends take {average:.0} ms, and {target:.0} ms are wanted")
        });
        let is_limited = limits != Limits::default();
        let by_limit = is_limited.then(|| match (self.wish.events_per_second, self.wish.megabytes_per_second) {
            (None, None) if of_window => "a window of [throttle]".to_owned(),
            (None, None) => "the limit of [throttle]".to_owned(),
            _ => "`eventlift throttle`".to_owned(),
        });
        let to_fit = self
            .latency
            .as_ref()
            .map(|latency| format!("transactions are fitted to a latency of {:.0} ms", latency.target * 1e3));
        by_load.or(by_latency).or(by_limit).or(to_fit)
    }

    fn share(&self) -> f64 {
        self.load.as_ref().map_or(1.0, LoadKeeper::share)
    }

    fn limits(&self, clock: Timestamp) -> (Limits, bool) {
        let (configured, of_window) = self.settings.limits_at(clock);
        let wished = Limits {
            events_per_second: self.wish.events_per_second,
            bytes_per_second: self.wish.megabytes_per_second.map(|megabytes| megabytes * MEGABYTE),
        };
        let share = self.share();
        let limits = wished.or(configured);
        (if share < 1.0 { limits.scaled(share) } else { limits }, of_window)
    }
}
