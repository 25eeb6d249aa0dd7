//! What does the work that is due.

use async_trait::async_trait;

use super::due::Due;
use crate::pipeline::Stop;
use crate::rebuild::RebuildError;

/// Does the work that is due, for several schedules at the same time.
///
/// It takes the hold of each projection that it builds, and records a run of each with the schedule's name and the
/// time that was due. It leaves out the projections in [`Due::answered`].
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Does the work. Ends early, and so that it can go on later, when it is asked to stop.
    async fn run(&self, due: &Due, stop: &Stop) -> Result<JobOutcome, JobFailure>;
}

/// How it went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JobOutcome {
    /// All of it is done; the text says what, in a line.
    Done(String),
    /// It was asked to stop before all of it was done.
    Stopped,
    /// Other processes hold these projections; the others are done.
    Held(Vec<String>),
}

/// Why it failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct JobFailure {
    /// What went wrong, and where.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

impl From<RebuildError> for JobFailure {
    fn from(error: RebuildError) -> Self {
        Self { message: error.to_string(), hint: error.hint() }
    }
}
