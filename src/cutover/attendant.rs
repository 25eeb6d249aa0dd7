//! Who stands by a cut-over: has hooks run, hears of every step, and can end it there.

use std::fmt;
use std::ops::ControlFlow;

use async_trait::async_trait;

use super::record::CutOverStep;

/// When hooks of the user's run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// The source has to refuse writes from when they are done.
    Fence,
    /// The source takes writes again.
    Lift,
    /// Writers are switched to the target.
    Switch,
    /// Writers are switched back to the source.
    SwitchBack,
}

impl Moment {
    /// Its name in configuration files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fence => "fence",
            Self::Lift => "lift",
            Self::Switch => "switch",
            Self::SwitchBack => "switch_back",
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a hook or a check has failed: text for people, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// A place between two steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Boundary {
    /// What was just done.
    pub step: CutOverStep,
    /// Whether that is recorded already.
    pub recorded: bool,
}

/// Does what is the user's part of a cut-over, and watches it.
#[async_trait]
pub trait Attendant: Send {
    /// Runs the hooks of a moment, one after the other. They may be run again after a crash, so they must bear that.
    async fn hooks(&mut self, moment: Moment) -> Result<(), Failure>;

    /// Whether there is any hook for a moment.
    fn has_hooks(&self, moment: Moment) -> bool;

    /// Runs the checks that have to pass before writers are switched, while the source is fenced.
    async fn checks(&mut self) -> Result<(), Failure>;

    /// Hears of every boundary. `Break` ends it at once and leaves everything as it is, as a crash would; the next try
    /// goes on from there.
    fn reached(&mut self, boundary: Boundary) -> ControlFlow<()>;
}
