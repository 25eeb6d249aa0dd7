//! Keeping the latency of appends: smaller transactions, and then rarer ones.

use std::time::Duration;

/// A run begins with transactions of this many events.
const FIRST_SIZE: f64 = 500.0;
/// Transactions get no smaller than this; from there on they get rarer.
const SMALLEST_SIZE: f64 = 10.0;
/// And no larger.
const LARGEST_SIZE: f64 = 1_000_000.0;
/// What is aimed at, of what is to be kept, so that about half of the appends are not above it.
const AIM: f64 = 0.9;
/// What a new measurement counts in the average.
const WEIGHT: f64 = 0.3;
/// Where breaks are longer than this, measurements are rare, and each counts more.
const RARE: f64 = 1.0;
const RARE_WEIGHT: f64 = 0.8;
/// The longest break between two transactions.
const LONGEST_BREAK: f64 = 10.0;
/// A break shorter than this is none.
const SHORTEST_BREAK: f64 = 0.001;

/// Fits transactions to a latency, in seconds.
#[derive(Clone, Debug)]
pub(super) struct LatencyKeeper {
    pub(super) target: f64,
    size: f64,
    pause: f64,
    average: Option<f64>,
    /// When transactions were made smaller last: appends that were under way then say nothing about the new size.
    shrunk_at: Duration,
}

impl LatencyKeeper {
    pub(super) fn new(target: Duration) -> Self {
        let size = FIRST_SIZE;
        Self { target: target.as_secs_f64(), size, pause: 0.0, average: None, shrunk_at: Duration::ZERO }
    }

    /// How many events a transaction is to hold.
    pub(super) fn events(&self) -> f64 {
        self.size
    }

    /// The break after a transaction.
    pub(super) fn pause(&self) -> Duration {
        Duration::from_secs_f64(self.pause)
    }

    /// Whether the smallest transactions take too long already.
    pub(super) fn is_at_its_end(&self) -> bool {
        self.pause > 0.0
    }

    /// Learns how long an append took that ended now.
    pub(super) fn measured(&mut self, now: Duration, took: Duration, events: f64) {
        let began = now.saturating_sub(took);
        if began < self.shrunk_at {
            return;
        }
        let took = took.as_secs_f64();
        let weight = if self.pause > RARE { RARE_WEIGHT } else { WEIGHT };
        let average = self.average.map_or(took, |average| average + weight * (took - average));
        self.average = Some(average);
        let ratio = self.target * AIM / average.max(f64::EPSILON);
        if ratio < 1.0 {
            self.slower(now, ratio, average);
        } else {
            // What was small because there was no more says nothing about larger ones.
            self.faster(ratio, average, events >= self.size / 2.0);
        }
    }

    fn slower(&mut self, now: Duration, ratio: f64, average: f64) {
        let smaller = self.size * ratio.sqrt().max(0.5);
        if smaller < SMALLEST_SIZE {
            let longer = self.pause.max(average / 2.0) * 1.5;
            self.pause = longer.min(LONGEST_BREAK);
        }
        self.resize(smaller.max(SMALLEST_SIZE), average);
        self.shrunk_at = now;
    }

    /// Changes the size, and with it what the appends up to now say about the next ones: otherwise a size would go on
    /// growing until the average has caught up with it, and past what is to be kept.
    fn resize(&mut self, size: f64, average: f64) {
        self.average = Some(average * size / self.size);
        self.size = size;
    }

    fn faster(&mut self, ratio: f64, average: f64, was_full: bool) {
        if self.pause > 0.0 {
            self.pause *= ratio.sqrt().recip().max(0.5);
            if self.pause < SHORTEST_BREAK {
                self.pause = 0.0;
            }
        } else if was_full {
            self.resize((self.size * ratio.sqrt().min(1.25)).min(LARGEST_SIZE), average);
        }
    }
}
