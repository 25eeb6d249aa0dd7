//! A command that changes a run without being one: the run's record says that it was started, by whom, and how it ended.

use std::time::Instant;

use eventlift_events::{CheckpointStore, Counts, RunRecord, RunSession, StoreError, Timestamp};

use crate::pipeline::{SessionStart, one_line};

/// The session of a command in a run's record, once it is written there.
pub(super) struct Recorded {
    begun: Instant,
}

impl Recorded {
    /// Adds a session to a run.
    pub(super) async fn begin(
        ledger: &mut dyn CheckpointStore,
        run: &mut RunRecord,
        start: &SessionStart,
    ) -> Result<Self, StoreError> {
        run.details.add_session(RunSession {
            command: start.command.clone(),
            by: start.by.clone(),
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            began_at: start.began_at,
            ended_at: None,
            counts: Counts::default(),
            millis: 0,
            result: String::new(),
        });
        run.updated_at = Timestamp::now();
        ledger.record_run(run).await?;
        Ok(Self { begun: Instant::now() })
    }

    /// Says how it ended, and what was done.
    pub(super) async fn end(self, ledger: &mut dyn CheckpointStore, run: &mut RunRecord, counts: Counts, result: &str) {
        let Some(session) = run.details.sessions.last_mut() else { return };
        session.ended_at = Some(Timestamp::now());
        session.counts = counts;
        session.millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        session.result = one_line(result);
        run.updated_at = Timestamp::now();
        // Nothing is decided by it: a session whose end can't be recorded was broken off.
        let _ = ledger.record_run(run).await;
    }
}
