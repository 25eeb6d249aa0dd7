//! A fence around a store: while it stands, nobody else writes events.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::checkpoint::RunId;
use crate::error::StoreError;
use crate::timestamp::Timestamp;

/// What a fence says to those it keeps out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FenceNotice {
    /// The run that the fence was set for.
    pub run: RunId,
    /// Where events are written now, or why not here, for whoever reads the error that their write fails with.
    pub message: String,
    /// When it was set.
    pub set_at: Timestamp,
    /// When it ceases to keep anybody out, by the store's own clock, though nobody lifts it: whoever set it may have been
    /// killed. None for a fence that stands for good.
    pub expires_at: Option<Timestamp>,
}

/// Keeps everybody but eventlift from writing events to a store. Reading goes on.
///
/// A fence outlives the connection and the process that set it. Each write that it refuses fails with an error that
/// carries the notice's message, and changes nothing.
#[async_trait]
pub trait Fence: Send + Sync {
    /// Sets the fence, in place of one of the same run. When it returns, no write of others is under way any more, and
    /// none can begin: what the store holds now is all that it gets. Waits for writes under way up to `patience`, in short
    /// attempts that hold nobody up for long, and fails where some are still under way then, or where the fence is
    /// another run's. After an error it stands, or it does not; [`standing`](Fence::standing) tells.
    async fn set(&mut self, notice: &FenceNotice, patience: Duration) -> Result<(), StoreError>;

    /// Makes the run's fence stand for good. Fails where it does not stand any more, since writes may have come through.
    async fn confirm(&mut self, run: RunId) -> Result<(), StoreError>;

    /// Lifts the run's fence. Repeatable: does nothing where none stands. Fails where it is another run's.
    async fn lift(&mut self, run: RunId) -> Result<(), StoreError>;

    /// The fence that stands now, if one does; none where it has expired.
    async fn standing(&self) -> Result<Option<FenceNotice>, StoreError>;
}
