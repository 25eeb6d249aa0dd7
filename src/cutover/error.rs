//! Why a cut-over, or the way back, ends before it is done.

use std::time::Duration;

use eventlift_events::{FenceNotice, StoreError};

use super::attendant::{Failure, Moment};
use super::record::CutOverStep;
use crate::pipeline::PipelineError;

/// Why a cut-over, or the way back, ended before it was done. Unless it says otherwise, writers use the store that they
/// used before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CutOverError {
    /// A store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Carrying events over, or comparing them, has failed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The target does not hold what the source does.
    #[error("failed to cut over: source and target differ in {buckets} of 4096 groups of streams")]
    Differs {
        /// How many of the buckets differ.
        buckets: usize,
    },
    /// What comes to the source comes faster than it is carried over.
    #[error("failed to cut over: after {passes} rounds, carrying over what had come still took {last:.1?}")]
    NeverCaughtUp {
        /// How often it was tried.
        passes: u32,
        /// How long the last round took.
        last: Duration,
    },
    /// The time budget was over before everything was ready.
    #[error("failed to cut over within {budget:?}: it was {} when the time was over", .reached.as_str())]
    OverBudget {
        /// The budget.
        budget: Duration,
        /// What had been done.
        reached: CutOverStep,
    },
    /// The store can't be fenced by eventlift, and nothing else was said.
    #[error("failed to fence {store}: such a store has no fence of its own")]
    NoFence {
        /// The store.
        store: String,
    },
    /// A store that somebody else was to fence still gets events.
    #[error("failed to cut over: {store} still gets events, so it is not fenced")]
    StillWritten {
        /// The store.
        store: String,
    },
    /// Somebody else wrote to the target meanwhile.
    #[error("failed to cut over: {target} holds events that the run did not write")]
    ForeignEvents {
        /// The target.
        target: String,
    },
    /// A fence of another run is in the way.
    #[error("failed to fence {store}: the fence of run {} stands there since {}", .notice.run, .notice.set_at)]
    OtherFence {
        /// The store.
        store: String,
        /// What that fence says.
        notice: FenceNotice,
    },
    /// A hook has failed.
    #[error("failed to run the hook of `{moment}`: {failure}")]
    Hook {
        /// Which.
        moment: Moment,
        /// Why.
        failure: Failure,
    },
    /// A hook has failed when it was too late to lift the fence: the target may hold events of others already.
    #[error("failed to switch writers: {failure}; the target has got events already, so the source stays fenced")]
    HalfSwitched {
        /// Why.
        failure: Failure,
    },
    /// A check has failed.
    #[error("failed to pass the checks before the switch: {0}")]
    Checks(Failure),
    /// It would mix things up.
    #[error("refused: {problem}")]
    Refused {
        /// Why.
        problem: String,
        /// What to try.
        hint: String,
    },
    /// The way back would lose what was written since, which can't be carried back.
    #[error(
        "refused: {events} events were written to {target} since the switch, and can't be carried back: {why}; the first of them: {}",
        .first.join(", ")
    )]
    CannotCarryBack {
        /// The target.
        target: String,
        /// How many events.
        events: u64,
        /// The first of them.
        first: Vec<String>,
        /// Why not.
        why: String,
    },
    /// Whoever stands by has ended it between two steps.
    #[error("stopped behind the step {}{}", .step.as_str(), if *.recorded { "" } else { ", before it was recorded" })]
    Ended {
        /// The step.
        step: CutOverStep,
        /// Whether it was recorded.
        recorded: bool,
    },
    /// The fence that a failed cut-over has left could not be lifted.
    #[error("{cause}; and the fence could not be lifted: {lifting}")]
    StillFenced {
        /// What had failed before.
        cause: Box<CutOverError>,
        /// Why it could not be lifted.
        lifting: Box<CutOverError>,
    },
}

impl CutOverError {
    /// What to try.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Store(error) => return error.hint.clone(),
            Self::Pipeline(error) => return error.hint(),
            Self::Differs { .. } => "`eventlift verify` shows the first event that differs",
            Self::NeverCaughtUp { .. } => "cut over when less is written, or let writers go slower",
            Self::OverBudget { .. } => {
                "writers use the source again; raise `budget` under [cutover], or cut over when less is written"
            }
            Self::NoFence { .. } => {
                "name hooks that fence it and lift the fence under [cutover], or stop all writers and add --fenced"
            }
            Self::StillWritten { .. } => "stop all writers first, then cut over with --fenced",
            Self::ForeignEvents { .. } => "find out who writes to the target; until the switch only eventlift may",
            Self::OtherFence { .. } => {
                "if that cut-over was given up, go back with `eventlift rollback` in its project"
            }
            Self::Hook { .. } => "correct the hook under [cutover] in eventlift.toml, and cut over again",
            Self::HalfSwitched { .. } => {
                "correct the hook and run `eventlift cutover` again, which goes on with the switch; or go back with \
                 `eventlift rollback`"
            }
            Self::Checks(_) => "writers use the source again; correct what the checks have found, and cut over again",
            Self::Refused { hint, .. } => return Some(hint.clone()),
            Self::CannotCarryBack { .. } => {
                "write `down` rules for them, as docs/definitions.md shows, or keep the target"
            }
            Self::Ended { .. } => "the same command goes on",
            Self::StillFenced { .. } => "the fence falls when its time is over; `eventlift rollback` lifts it as well",
        };
        Some(hint.to_owned())
    }
}
