//! Progress for whoever watches: a bar with rate and ETA on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use eventlift_events::Timestamp;
use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

use super::output::{Format, say_error};
use crate::pipeline::Progress;

/// How often a line is printed where there is no terminal.
const LINES_EVERY: Duration = Duration::from_secs(10);

/// Shows how far something is, in events.
pub(super) enum ProgressLine {
    Bar(ProgressBar),
    Lines { what: &'static str, total: Option<u64>, start: u64, begun: Instant, last: Instant },
    Silent,
}

impl ProgressLine {
    /// A line for `what`, of `total` events where that is known, `start` of them done already.
    pub(super) fn new(format: Format, what: &'static str, total: Option<u64>, start: u64) -> Self {
        if format == Format::Json {
            return Self::Silent;
        }
        if !std::io::stderr().is_terminal() {
            let now = Instant::now();
            return Self::Lines { what, total, start, begun: now, last: now };
        }
        let template = match total {
            Some(_) => "{msg:>10} [{bar:30}] {human_pos} of {human_len} events, {rate}, {eta} left",
            None => "{msg:>10} {spinner} {human_pos} events, {rate}, {elapsed}",
        };
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        style(&bar, template);
        bar.set_message(what);
        bar.set_position(start);
        bar.reset_eta();
        Self::Bar(bar)
    }

    /// Says how many events are done.
    pub(super) fn set(&mut self, done: u64) {
        match self {
            Self::Bar(bar) => bar.set_position(done),
            Self::Lines { what, total, start, begun, last } => {
                if last.elapsed() < LINES_EVERY {
                    return;
                }
                *last = Instant::now();
                let rate = done.saturating_sub(*start) as f64 / begun.elapsed().as_secs_f64();
                match total.filter(|_| rate > 0.0) {
                    Some(total) => {
                        let left = Duration::from_secs_f64(total.saturating_sub(done) as f64 / rate);
                        let left = left.as_secs();
                        say_error(format_args!("{what}: {done} of {total} events, {rate:.0} a second, {left} s left"));
                    }
                    None => say_error(format_args!("{what}: {done} events, {rate:.0} a second")),
                }
            }
            Self::Silent => {}
        }
    }

    /// Says how many events are done, and how many are known to be there that are not.
    pub(super) fn following(&mut self, now: &Progress) {
        let done = now.counts.read;
        let seconds =
            now.lag_time(Timestamp::now()).map(|lag| format!(", {:.1} s", lag.as_secs_f64())).unwrap_or_default();
        match (&mut *self, now.lag()) {
            (Self::Bar(bar), Some(lag)) => {
                bar.set_message(format!("following, {}{seconds} behind:", HumanCount(lag)));
                bar.set_position(done);
            }
            (Self::Lines { last, .. }, Some(lag)) if last.elapsed() >= LINES_EVERY => {
                *last = Instant::now();
                say_error(format_args!("following: {done} events, {lag}{seconds} behind"));
            }
            (Self::Lines { .. }, Some(_)) => {}
            _ => self.set(done),
        }
    }

    /// Says that something else is being done now, whose length nobody knows.
    pub(super) fn now(&mut self, doing: &'static str) {
        match self {
            Self::Bar(bar) => {
                style(bar, "{msg:>10} {spinner} {human_pos} events, {elapsed}");
                bar.set_message(doing);
                bar.enable_steady_tick(Duration::from_millis(200));
            }
            Self::Lines { what, .. } => *what = doing,
            Self::Silent => {}
        }
    }

    /// Takes the line away.
    pub(super) fn end(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn style(bar: &ProgressBar, template: &str) {
    // A template that does not parse would be a mistake in this file; indicatif's own style serves as well then.
    let Ok(style) = ProgressStyle::with_template(template) else { return };
    bar.set_style(style.with_key("rate", |state: &ProgressState, line: &mut dyn std::fmt::Write| {
        // A line that can't be written is not shown, that is all.
        let _ = write!(line, "{}/s", HumanCount(state.per_sec() as u64));
    }));
}
