//! Reading ahead: while a transaction is appended, the batches of the next one are read and lifted.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::pin::pin;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::append::BYTES;
use super::error::PipelineError;
use super::transform::LiftedBatch;

/// Lifted batches, in order, some of them read before they are asked for.
pub(super) struct ReadAhead {
    batches: BoxStream<'static, Result<LiftedBatch, PipelineError>>,
    ahead: VecDeque<Result<LiftedBatch, PipelineError>>,
    /// Events that a transaction holds: no more are read ahead, nor more bytes than it may hold.
    transaction_events: NonZeroUsize,
    read: u64,
    read_bytes: usize,
    has_ended: bool,
}

impl ReadAhead {
    pub(super) fn new(
        batches: BoxStream<'static, Result<LiftedBatch, PipelineError>>,
        transaction_events: NonZeroUsize,
    ) -> Self {
        Self { batches, ahead: VecDeque::new(), transaction_events, read: 0, read_bytes: 0, has_ended: false }
    }

    pub(super) async fn next(&mut self) -> Option<Result<LiftedBatch, PipelineError>> {
        if let Some(batch) = self.ahead.pop_front() {
            if let Ok(batch) = &batch {
                self.read -= batch.read;
                self.read_bytes -= batch.read_bytes;
            }
            return Some(batch);
        }
        if self.has_ended {
            return None;
        }
        let batch = self.batches.next().await;
        self.has_ended = batch.is_none();
        batch
    }

    /// Waits for the work, and reads on meanwhile as far as there is room.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                batch = self.batches.next(), if self.has_room() => self.keep(batch),
            }
        }
    }

    fn has_room(&self) -> bool {
        !self.has_ended && self.read < self.transaction_events.get() as u64 && self.read_bytes < BYTES
    }

    fn keep(&mut self, batch: Option<Result<LiftedBatch, PipelineError>>) {
        let Some(batch) = batch else {
            self.has_ended = true;
            return;
        };
        if let Ok(batch) = &batch {
            self.read += batch.read;
            self.read_bytes += batch.read_bytes;
        }
        self.ahead.push_back(batch);
    }
}
