//! What the service says while it is at work.

use std::fmt;

use eventlift_events::Timestamp;
use serde::{Serialize, Serializer};

/// Something that happened. Prints as one line, and serializes as one object with an `event`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ServeLine {
    /// When.
    #[serde(serialize_with = "as_text")]
    pub at: Timestamp,
    /// The schedule it is about.
    pub schedule: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub event: ServeEvent,
}

/// What happened.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServeEvent {
    /// A schedule is being watched from now on.
    Watching {
        /// What it asks for.
        task: String,
        /// Its cron line and time zone.
        times: String,
        /// When it is due next.
        #[serde(serialize_with = "as_text_or_null")]
        next: Option<Timestamp>,
    },
    /// A task was begun.
    Started {
        /// What is being done.
        task: String,
        /// The time that it stands for.
        #[serde(serialize_with = "as_text")]
        due: Timestamp,
    },
    /// A task is done.
    Done {
        /// The time that it stands for.
        #[serde(serialize_with = "as_text")]
        due: Timestamp,
        /// What was done.
        summary: String,
        /// How long it took.
        seconds: f64,
    },
    /// A task failed; its next time is the next try.
    Failed {
        /// The time that it stands for.
        #[serde(serialize_with = "as_text")]
        due: Timestamp,
        /// Why.
        message: String,
        /// What to try.
        hint: Option<String>,
        /// How long it took.
        seconds: f64,
    },
    /// A task was asked to stop; it goes on when the service is started again.
    Stopped {
        /// The time that it stands for.
        #[serde(serialize_with = "as_text")]
        due: Timestamp,
    },
    /// Another process holds projections of a task; it is tried again until its next time.
    Skipped {
        /// The time that it stands for.
        #[serde(serialize_with = "as_text")]
        due: Timestamp,
        /// The projections.
        projections: Vec<String>,
    },
    /// The clock was set back behind what is recorded, so that nothing is due.
    ClockBehind {
        /// When it has caught up.
        #[serde(serialize_with = "as_text")]
        until: Timestamp,
    },
    /// The clock has caught up.
    ClockCaughtUp,
    /// The ledger can't be read; that is tried again.
    LedgerUnreadable {
        /// Why.
        message: String,
        /// What to try.
        hint: Option<String>,
    },
    /// What is done could not be remembered in the project's folder.
    NotRemembered {
        /// Why.
        message: String,
    },
    /// It was asked to stop, and waits for what is running.
    Stopping {
        /// How many tasks are running.
        running: usize,
    },
}

impl fmt::Display for ServeLine {
    /// One line: time, schedule, what happened.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", whole_seconds(self.at))?;
        if let Some(schedule) = &self.schedule {
            write!(f, " {schedule}:")?;
        }
        write!(f, " ")?;
        match &self.event {
            ServeEvent::Watching { task, times, next: Some(next) } => write!(f, "{task} at {times}, next at {next}"),
            ServeEvent::Watching { task, times, next: None } => write!(f, "{task} at {times}, never again"),
            ServeEvent::Started { task, due } if is_late(*due, self.at) => write!(f, "{task}, which was due at {due}"),
            ServeEvent::Started { task, .. } => write!(f, "{task}"),
            ServeEvent::Done { summary, seconds, .. } => write!(f, "done: {summary} ({seconds:.1} s)"),
            ServeEvent::Failed { message, hint, .. } => {
                write!(f, "failed: {}", on_one_line(message))?;
                hint.iter().try_for_each(|hint| write!(f, " (hint: {})", on_one_line(hint)))
            }
            ServeEvent::Stopped { .. } => write!(f, "stopped; it goes on when `serve` is started again"),
            ServeEvent::Skipped { projections, .. } => {
                write!(f, "skipped for now: another process builds {}", projections.join(", "))
            }
            ServeEvent::ClockBehind { until } => {
                write!(f, "warning: the clock is behind what was recorded; nothing is run until it shows {until}")
            }
            ServeEvent::ClockCaughtUp => write!(f, "the clock has caught up"),
            ServeEvent::LedgerUnreadable { message, hint } => {
                write!(f, "warning: the runs can't be read, which is tried again: {}", on_one_line(message))?;
                hint.iter().try_for_each(|hint| write!(f, " (hint: {})", on_one_line(hint)))
            }
            ServeEvent::NotRemembered { message } => write!(f, "warning: {}", on_one_line(message)),
            ServeEvent::Stopping { running: 0 } => write!(f, "stopping"),
            ServeEvent::Stopping { running } => {
                write!(f, "stopping, when {running} running tasks have saved their work")
            }
        }
    }
}

/// Whether what begins now was due more than a minute ago.
fn is_late(due: Timestamp, now: Timestamp) -> bool {
    now.micros().saturating_sub(due.micros()) > 60_000_000
}

fn on_one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.micros() - at.micros().rem_euclid(1_000_000)).unwrap_or(at)
}

fn as_text<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn as_text_or_null<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serializer.collect_str(at),
        None => serializer.serialize_none(),
    }
}
