//! Whether a schedule is due.

use eventlift_events::Timestamp;
use eventlift_projections::{RebuildOutcome, RebuildRun};

use super::schedule::{Schedule, Task};
use super::seen::Seen;

/// How far a clock may be behind a time that was recorded before it counts as set back.
const TOLERANCE_MICROS: i64 = 1_000_000;

/// A task that is due.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Due {
    /// The schedule's name.
    pub schedule: String,
    /// What it asks for.
    pub task: Task,
    /// The time that it stands for, the last one until now; what was missed before it is not made up for.
    pub at: Timestamp,
    /// Projections that are done, or have failed, for this time, in the order of their names. They are to be left out.
    pub answered: Vec<String>,
}

/// What is to be done about a schedule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It is to be run.
    Due(Due),
    /// Nothing until this time; none if there is no next one.
    Wait {
        /// The next time that it is due.
        until: Option<Timestamp>,
    },
    /// Nothing: the clock shows a time before one at which something was recorded.
    ClockBehind {
        /// When it has caught up.
        until: Timestamp,
    },
}

/// Decides about a schedule, from what is remembered of it and the runs in the ledger (those of other schedules and of
/// people don't matter).
///
/// However the clock is set, no time is due again once it was remembered as done or every projection that the task
/// names is done or has failed for it. Of the times since it was seen first, or done last, the latest until `now` is
/// due and the others never are again. Runs that were stopped or have not ended leave their time due: whether another
/// process is still at work is for the holds of the projections to say.
pub fn decide(schedule: &Schedule, seen: &Seen, runs: &[RebuildRun], now: Timestamp) -> Decision {
    let runs: Vec<(&RebuildRun, Timestamp)> = runs.iter().filter_map(|run| due_time(run, schedule.name())).collect();
    let last_due = runs.iter().map(|(_, due)| *due).max();
    let recorded = runs.iter().flat_map(|(run, _)| [run.begun_at, run.updated_at]).chain(last_due).chain(seen.done);
    if let Some(latest) = recorded.max()
        && now.micros().saturating_add(TOLERANCE_MICROS) < latest.micros()
    {
        return Decision::ClockBehind { until: latest };
    }
    let wait = Decision::Wait { until: schedule.next_after(now) };
    let Some(at) = schedule.last_until(now) else { return wait };
    if at <= seen.since || seen.done.is_some_and(|done| at <= done) || last_due.is_some_and(|last| at < last) {
        return wait;
    }
    let answered = answered(&runs, at);
    if schedule.task().names().is_some_and(|names| names.iter().all(|name| answered.contains(name))) {
        return wait;
    }
    Decision::Due(Due { schedule: schedule.name().to_owned(), task: schedule.task().clone(), at, answered })
}

/// A run with the time that it stands for, if it is one of a schedule.
fn due_time<'a>(run: &'a RebuildRun, schedule: &str) -> Option<(&'a RebuildRun, Timestamp)> {
    let (name, due) = run.schedule.as_ref()?;
    (name == schedule).then_some((run, *due))
}

fn answered(runs: &[(&RebuildRun, Timestamp)], at: Timestamp) -> Vec<String> {
    let has_ended = |run: &RebuildRun| matches!(run.outcome, RebuildOutcome::Done | RebuildOutcome::Failed(_));
    let ended = runs.iter().filter(|(run, due)| *due == at && has_ended(run));
    let mut names: Vec<String> = ended.map(|(run, _)| run.projection.clone()).collect();
    names.sort();
    names.dedup();
    names
}
