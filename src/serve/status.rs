//! What the service is doing, for whoever shows it.

use eventlift_events::Timestamp;

/// Every schedule, as it stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServeStatus {
    /// In the order they were given in.
    pub schedules: Vec<ScheduleStatus>,
}

/// A schedule, as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScheduleStatus {
    /// Its name.
    pub name: String,
    /// What it asks for, as a line.
    pub task: String,
    /// Its cron line and time zone.
    pub times: String,
    /// What it does now.
    pub state: ScheduleState,
    /// How it went last, also before the service was started.
    pub last: Option<LastRun>,
}

/// What a schedule does now.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ScheduleState {
    /// It waits for its next time; none if there is none.
    Waiting(Option<Timestamp>),
    /// It is at work.
    Running {
        /// The time that it stands for.
        due: Timestamp,
        /// When it was begun.
        begun_at: Timestamp,
    },
    /// It waits for projections that another process holds.
    Held {
        /// The time that it stands for.
        due: Timestamp,
        /// The projections.
        projections: Vec<String>,
    },
    /// It waits for a clock that was set back, until this time.
    ClockBehind(Timestamp),
}

/// How a schedule went last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastRun {
    /// The time that it stood for.
    pub due: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// The error, if it failed.
    pub failure: Option<String>,
}
