//! `runs`: every run into the target. `status` shows the last one.

use std::fmt;

use eventlift_events::{CheckpointStore, Counts, RunRecord};
use serde::Serialize;

use super::arguments::ProjectArguments;
use super::error::CommandError;
use super::output::Report;
use crate::config::Project;
use crate::stores::StoreConfig;

/// Every run into a target, the latest last.
#[derive(Debug, Serialize)]
pub(super) struct RunsReport {
    target: String,
    runs: Vec<RunLine>,
}

/// One run.
#[derive(Debug, Serialize)]
pub(super) struct RunLine {
    pub(super) run: String,
    pub(super) state: &'static str,
    pub(super) source: String,
    pub(super) started_at: String,
    pub(super) updated_at: String,
    pub(super) eventlift: String,
    pub(super) fingerprint: String,
    pub(super) source_position: Option<String>,
    pub(super) target_position: Option<String>,
    #[serde(flatten)]
    pub(super) counts: Counts,
}

/// Lists the runs into a project's target.
pub(super) async fn runs(arguments: &ProjectArguments) -> Result<RunsReport, CommandError> {
    let project = Project::load(&arguments.project)?;
    let target = project.require_target()?;
    Ok(RunsReport { target: target.to_string(), runs: run_lines(target).await? })
}

/// The runs into a target, the latest last; none where it is not there yet.
pub(super) async fn run_lines(target: &StoreConfig) -> Result<Vec<RunLine>, CommandError> {
    let Some(ledger) = target.ledger()? else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    for record in ledger.runs().await? {
        lines.push(run_line(record, &*ledger).await?);
    }
    Ok(lines)
}

async fn run_line(record: RunRecord, ledger: &dyn CheckpointStore) -> Result<RunLine, CommandError> {
    let checkpoint = ledger.checkpoint(record.id).await?;
    Ok(RunLine {
        run: record.id.to_string(),
        state: record.state.as_str(),
        source: record.source,
        started_at: record.started_at.to_string(),
        updated_at: record.updated_at.to_string(),
        eventlift: record.tool,
        fingerprint: record.fingerprint,
        source_position: checkpoint.map(|c| c.source.to_string()),
        target_position: checkpoint.and_then(|c| c.target).map(|position| position.to_string()),
        counts: checkpoint.map(|c| c.counts).unwrap_or_default(),
    })
}

impl Report for RunsReport {}

impl fmt::Display for RunsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.runs.is_empty() {
            return write!(f, "{}: no run yet", self.target);
        }
        writeln!(f, "{}", self.target)?;
        for run in &self.runs {
            writeln!(f, "{run}")?;
        }
        Ok(())
    }
}

impl fmt::Display for RunLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { read, written, .. } = self.counts;
        write!(f, "{}  {:<8} started {}  read {read}, written {written}", self.run, self.state, self.started_at)
    }
}
