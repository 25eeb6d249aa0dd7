//! How a fold is run.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// How events are folded. Nothing here but the failure policy changes the result.
#[derive(Clone, Debug)]
pub struct FoldOptions {
    /// Threads that fold, each with the keys that fall to it.
    pub workers: NonZeroUsize,
    /// About how many bytes of rows are kept in memory, over all workers. What is more is put aside in files.
    pub memory_bytes: usize,
    /// What becomes of an event that a fold can't take.
    pub on_failure: FailurePolicy,
    /// The folder in which rows are put aside, so that a killed fold can go on from there; none for a temporary one
    /// that nothing goes on from. It belongs to one set of projections.
    pub folder: Option<PathBuf>,
    /// How often everything is put aside although it has room in memory, so that a killed fold need not begin anew.
    pub save_every: Duration,
}

/// What becomes of an event that a fold can't take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailurePolicy {
    /// The rebuild stops, and the live tables stay what they are.
    #[default]
    Stop,
    /// It is recorded and changes nothing in its projection, and the rows that it can't be folded into are held: an event
    /// that would change one of those later is recorded, and changes nothing either.
    Quarantine,
}

impl Default for FoldOptions {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            memory_bytes: 112 << 20,
            on_failure: FailurePolicy::default(),
            folder: None,
            save_every: Duration::from_secs(30),
        }
    }
}
