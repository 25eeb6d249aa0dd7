//! How a store comes to refuse writes.

use std::time::Duration;

use eventlift_events::{Fence, FenceNotice, RunId};

use super::attendant::{Attendant, Failure, Moment};
use super::error::CutOverError;

/// How a store comes to refuse writes.
pub enum FenceBy {
    /// The store's own fence.
    Store(Box<dyn Fence>),
    /// Hooks of the user's.
    Hooks,
    /// It is fenced already: all writers were stopped.
    Already,
}

impl FenceBy {
    /// Fences the store; when it returns, nobody else can write to it.
    pub(super) async fn set(
        &mut self,
        attendant: &mut dyn Attendant,
        notice: &FenceNotice,
        patience: Duration,
    ) -> Result<(), CutOverError> {
        match self {
            Self::Store(fence) => Ok(fence.set(notice, patience).await?),
            Self::Hooks => hooks(attendant, Moment::Fence).await,
            Self::Already => Ok(()),
        }
    }

    /// Makes the fence stand for good.
    pub(super) async fn confirm(&mut self, run: RunId) -> Result<(), CutOverError> {
        match self {
            Self::Store(fence) => Ok(fence.confirm(run).await?),
            Self::Hooks | Self::Already => Ok(()),
        }
    }

    /// Lets others write again. Repeatable.
    pub(super) async fn lift(&mut self, attendant: &mut dyn Attendant, run: RunId) -> Result<(), CutOverError> {
        match self {
            Self::Store(fence) => Ok(fence.lift(run).await?),
            Self::Hooks => hooks(attendant, Moment::Lift).await,
            Self::Already => Ok(()),
        }
    }

    /// Fails where the fence of another run stands.
    pub(super) async fn refuse_other(&self, run: RunId, store: &str) -> Result<(), CutOverError> {
        let Self::Store(fence) = self else { return Ok(()) };
        match fence.standing().await? {
            Some(notice) if notice.run != run => Err(CutOverError::OtherFence { store: store.to_owned(), notice }),
            _ => Ok(()),
        }
    }
}

pub(super) async fn hooks(attendant: &mut dyn Attendant, moment: Moment) -> Result<(), CutOverError> {
    let failed = |failure: Failure| CutOverError::Hook { moment, failure };
    attendant.hooks(moment).await.map_err(failed)
}
