//! A `migrate` at work, and how far its ledger says it is.

use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::stage::Stage;

/// Events that are committed: of the ranges, and once those are all in, of the checkpoint.
const COMMITTED: &str = "SELECT greatest((SELECT coalesce(sum(read), 0) FROM lifted.eventlift_ranges),
                                         (SELECT coalesce(sum(read), 0) FROM lifted.eventlift_checkpoints))::bigint";
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A program that is killed if nobody waits for its end.
pub(super) struct Running(Child);

impl Running {
    /// Starts a command about a project.
    pub(super) fn start(stage: &Stage, command: &str, project: &Path, arguments: &[&str]) -> Result<Self, String> {
        let mut program = stage.command(command, project);
        program.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        program.spawn().map(Self).map_err(|error| format!("failed to start eventlift {command}: {error}"))
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>, String> {
        self.0.try_wait().map_err(|error| format!("failed to wait for eventlift: {error}"))
    }

    /// Waits for its end, which has to be a good one.
    pub(super) fn ends(mut self) -> Result<(), String> {
        let status = self.0.wait().map_err(|error| format!("failed to wait for eventlift: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("eventlift ended with {status}")) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended can't be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many events were committed when, in seconds since it was started, whenever that changed.
pub(super) struct Progress {
    pub(super) changes: Vec<(f64, f64)>,
}

impl Progress {
    /// Migrates a project to its end. `seen` is told the seconds since the start at every look.
    pub(super) fn of(
        stage: &Stage,
        project: &Path,
        seen: impl FnMut(f64) -> Result<(), String>,
    ) -> Result<Self, String> {
        stage.empty_target()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        runtime.block_on(Self::watch(stage, project, seen))
    }

    async fn watch(
        stage: &Stage,
        project: &Path,
        mut seen: impl FnMut(f64) -> Result<(), String>,
    ) -> Result<Self, String> {
        let client = stage.client().await.map_err(|error| format!("failed to connect: {error}"))?;
        let (begun, mut changes) = (Instant::now(), Vec::<(f64, f64)>::new());
        let mut running = Running::start(stage, "migrate", project, &["--json"])?;
        while running.ended()?.is_none() {
            let read = committed(&client).await;
            let at = begun.elapsed().as_secs_f64();
            if read > changes.last().map_or(0.0, |last| last.1) {
                changes.push((at, read));
            }
            seen(at)?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
        running.ends()?;
        Ok(Self { changes })
    }

    /// When the last events came in.
    pub(super) fn end(&self) -> f64 {
        self.changes.last().map_or(0.0, |last| last.0)
    }

    /// When the first events came in.
    pub(super) fn begin(&self) -> f64 {
        self.changes.first().map_or(0.0, |first| first.0)
    }

    /// Events a second between two moments: the slope of the line that fits best. None where too little happened.
    pub(super) fn rate(&self, from: f64, until: f64) -> Option<f64> {
        let within: Vec<_> = self.changes.iter().filter(|(at, _)| (from..until).contains(at)).collect();
        if within.len() < 5 {
            return None;
        }
        let count = within.len() as f64;
        let (at, read) = within.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0 / count, sum.1 + one.1 / count));
        let (both, square) = within
            .iter()
            .fold((0.0, 0.0), |sum, one| (sum.0 + (one.0 - at) * (one.1 - read), sum.1 + (one.0 - at).powi(2)));
        Some(both / square)
    }
}

/// How many events are committed; 0 where there is no ledger yet.
async fn committed(client: &Client) -> f64 {
    let read = client.query_one(COMMITTED, &[]).await.map_or(0_i64, |row| row.get(0));
    read as f64
}
