//! A migration that has caught up, held open: what comes to its source is carried over on call.

use std::sync::Arc;
use std::time::Duration;

use eventlift_events::{Checkpoint, EventReader, EventWriter, Position, RunId, RunState};

use tokio::time::Instant;

use super::append::Gathered;
use super::error::PipelineError;
use super::follow::refuse_unfollowable;
use super::migration::{Migration, Outcome};
use super::sequence::Sequencer;

/// How often, at most, it is committed that a source has nothing more up to some place.
const BETWEEN_PASSES: Duration = Duration::from_secs(10);

/// A migration whose bulk is in and sealed, with its target still open.
pub struct Tail {
    migration: Migration,
    sequencer: Sequencer,
    outcome: Outcome,
    /// When it was committed last that the source has nothing more up to some place.
    passed: Option<Instant>,
}

impl Migration {
    /// Runs until everything is in and sealed, and holds the target open. Where it was asked to stop before, the tail's
    /// outcome is not done, and it carries nothing over.
    pub async fn into_tail(mut self) -> Result<Tail, PipelineError> {
        refuse_unfollowable(&*self.source)?;
        let outcome = match self.run_stages(None).await {
            Ok(outcome) => outcome,
            failed => self.end_session(failed).await?,
        };
        let sequencer = self.resume_sequencer(outcome.run).await?;
        self.following = true;
        Ok(Tail { migration: self, sequencer, outcome, passed: None })
    }
}

impl Tail {
    /// How the migration stands now.
    pub fn outcome(&self) -> Outcome {
        let quarantined = self.sequencer.held().quarantined();
        Outcome { counts: self.sequencer.counts(), source: self.sequencer.source(), quarantined, ..self.outcome }
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.outcome.run
    }

    /// How far it is; none where the source has never held an event.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        let source = self.sequencer.source()?;
        Some(Checkpoint { source, target: self.sequencer.target(), counts: self.sequencer.counts() })
    }

    /// Where it reads.
    pub fn source(&self) -> &Arc<dyn EventReader> {
        self.migration.source()
    }

    /// Where it writes, for whoever keeps notes beside it.
    pub fn target_mut(&mut self) -> &mut dyn EventWriter {
        &mut *self.migration.target
    }

    /// Closes the windows of all merges, also of those that wait for more: the source has ended for good, and the run can't
    /// go on then. Returns whether there were any. Can be repeated.
    pub async fn close_windows(&mut self) -> Result<bool, PipelineError> {
        let before = self.checkpoint();
        self.migration.close_open_windows(&mut self.sequencer, true, &mut None).await?;
        Ok(self.checkpoint() != before)
    }

    /// Ends the session, with what it failed with if it has.
    pub async fn close(mut self, failed: Option<PipelineError>) -> Result<Outcome, PipelineError> {
        let outcome = failed.map_or(Ok(self.outcome()), Err);
        self.migration.end_session(outcome).await
    }

    /// Ends the session of whoever goes on holding the target, with what they failed with if they have.
    pub async fn end(&mut self, failed: Option<&str>) {
        let counts = self.sequencer.counts();
        self.migration.record_end(counts, failed.unwrap_or("done")).await;
    }

    /// Carries over what the source holds behind the last event, if it has come to rest up to there, and commits it. Returns
    /// whether anything has come.
    pub async fn carry_over(&mut self) -> Result<bool, PipelineError> {
        let before = self.sequencer.source();
        let head = self.migration.source.head().await.map_err(PipelineError::Source)?;
        self.migration.head = head.or(self.migration.head);
        // A store that can't tell where it ends is read to find out.
        if may_have_more(head, self.sequencer.source()) {
            self.migration.stream(&mut self.sequencer, &mut None).await?;
        }
        self.pass_over().await?;
        let quarantined = self.sequencer.held().quarantined();
        self.migration.report(RunState::Done, self.sequencer.counts(), self.sequencer.source(), quarantined);
        Ok(self.sequencer.source() > before)
    }
}

impl Tail {
    /// Commits that the source was seen to hold nothing more up to some place behind its last event, now and then: what
    /// goes on from there need not look through all of that again.
    async fn pass_over(&mut self) -> Result<(), PipelineError> {
        let Some(seen) = self.migration.source.seen_through().filter(|seen| self.sequencer.source() < Some(*seen))
        else {
            return Ok(());
        };
        if self.passed.is_some_and(|passed| passed.elapsed() < BETWEEN_PASSES) {
            return Ok(());
        }
        self.passed = Some(Instant::now());
        self.sequencer.pass_to(seen);
        self.migration.append(&mut self.sequencer, &mut Gathered::default(), &mut None).await
    }
}

fn may_have_more(head: Option<Position>, done: Option<Position>) -> bool {
    head.is_none_or(|head| done.is_none_or(|done| head > done))
}
