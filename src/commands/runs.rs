//! `runs`: every run into the target, and every one that built read models. `status` shows where they stand.

use std::fmt;
use std::time::Duration;

use eventlift_events::{CheckpointStore, Counts, RunRecord};
use eventlift_projections::{RebuildAction, RebuildOutcome, RebuildRun};
use serde::Serialize;

use super::arguments::ProjectArguments;
use super::error::CommandError;
use super::output::Report;
use crate::config::Project;
use crate::stores::{ReadModelConfig, StoreConfig};

/// Every run into a target and into read models, the latest last.
#[derive(Debug, Serialize)]
pub(super) struct RunsReport {
    /// None in a project without one.
    target: Option<String>,
    runs: Vec<RunLine>,
    /// None in a project without any.
    read_models: Option<String>,
    rebuilds: Vec<RebuildLine>,
}

/// One run.
#[derive(Debug, Serialize)]
pub(super) struct RunLine {
    pub(super) run: String,
    pub(super) state: &'static str,
    /// Whether its last start was broken off: it has no end, and no process is at work on the target.
    pub(super) broken_off: bool,
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

/// One run that did something to a projection's read models.
#[derive(Debug, Serialize)]
pub(super) struct RebuildLine {
    number: u64,
    projection: String,
    action: RebuildAction,
    reason: String,
    schedule: Option<String>,
    due: Option<String>,
    outcome: OutcomeName,
    error: Option<String>,
    started_at: String,
    updated_at: String,
    events: u64,
    rows: u64,
    seconds: f64,
}

/// How a run of a rebuild went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum OutcomeName {
    Running,
    /// Its process ended before it could say how it went.
    BrokenOff,
    Done,
    Stopped,
    Failed,
}

/// Lists the runs into a project's target and its read models.
pub(super) async fn runs(arguments: &ProjectArguments) -> Result<RunsReport, CommandError> {
    let project = Project::load(&arguments.project)?;
    if project.read_models.is_none() {
        project.require_target()?;
    }
    let runs = match &project.target {
        Some(target) => run_lines(target).await?,
        None => Vec::new(),
    };
    let rebuilds = match &project.read_models {
        Some(read_models) => rebuild_lines(read_models).await?,
        None => Vec::new(),
    };
    Ok(RunsReport {
        target: project.target.as_ref().map(ToString::to_string),
        runs,
        read_models: project.read_models.as_ref().map(ToString::to_string),
        rebuilds,
    })
}

/// The runs that built read models, the latest last; none where they are not there yet.
pub(super) async fn rebuild_lines(read_models: &ReadModelConfig) -> Result<Vec<RebuildLine>, CommandError> {
    let Some(store) = read_models.look().await? else { return Ok(Vec::new()) };
    let runs = store.runs().await?;
    let mut lines = Vec::new();
    for (place, run) in runs.iter().enumerate() {
        // Whoever holds a projection is at its last run.
        let is_last = || !runs[place + 1..].iter().any(|later| later.projection == run.projection);
        let is_broken_off =
            run.outcome == RebuildOutcome::Running && !(is_last() && store.is_held(&run.projection).await?);
        lines.push(RebuildLine::of(run, is_broken_off));
    }
    Ok(lines)
}

impl RebuildLine {
    fn of(run: &RebuildRun, is_broken_off: bool) -> Self {
        let (outcome, error) = match &run.outcome {
            RebuildOutcome::Running if is_broken_off => (OutcomeName::BrokenOff, None),
            RebuildOutcome::Running => (OutcomeName::Running, None),
            RebuildOutcome::Done => (OutcomeName::Done, None),
            RebuildOutcome::Stopped => (OutcomeName::Stopped, None),
            RebuildOutcome::Failed(error) => (OutcomeName::Failed, Some(error.clone())),
        };
        let micros = run.updated_at.micros().saturating_sub(run.begun_at.micros());
        Self {
            number: run.number,
            projection: run.projection.clone(),
            action: run.action,
            reason: run.reason.clone(),
            schedule: run.schedule.as_ref().map(|(name, _)| name.clone()),
            due: run.schedule.as_ref().map(|(_, due)| due.to_string()),
            outcome,
            error,
            started_at: run.begun_at.to_string(),
            updated_at: run.updated_at.to_string(),
            events: run.events,
            rows: run.rows,
            seconds: Duration::from_micros(u64::try_from(micros).unwrap_or_default()).as_secs_f64(),
        }
    }
}

/// The runs into a target, the latest last; none where it is not there yet.
pub(super) async fn run_lines(target: &StoreConfig) -> Result<Vec<RunLine>, CommandError> {
    let Some(ledger) = target.ledger().await? else { return Ok(Vec::new()) };
    let is_written = target.is_being_written().await;
    // Read after that: whoever has ended meanwhile has said so.
    let records = ledger.runs().await?;
    let last = records.last().map(|record| record.id);
    let mut lines = Vec::new();
    for record in records {
        let is_at_work = is_written && last == Some(record.id);
        lines.push(run_line(record, is_at_work, &*ledger).await?);
    }
    Ok(lines)
}

/// What a ledger says of a run. Only the last run of a target can be at work.
pub(super) async fn run_line(
    record: RunRecord,
    is_at_work: bool,
    ledger: &dyn CheckpointStore,
) -> Result<RunLine, CommandError> {
    let checkpoint = ledger.checkpoint(record.id).await?;
    let has_no_end = record.details.sessions.last().is_some_and(|session| session.ended_at.is_none());
    Ok(RunLine {
        broken_off: has_no_end && !is_at_work,
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
        if let Some(target) = &self.target {
            match self.runs.is_empty() {
                true => writeln!(f, "{target}: no run yet")?,
                false => writeln!(f, "{target}")?,
            }
            for run in &self.runs {
                writeln!(f, "{run}")?;
            }
        }
        // Of a project that migrates, read models that were never built are not worth a line.
        let Some(read_models) =
            self.read_models.as_ref().filter(|_| !self.rebuilds.is_empty() || self.target.is_none())
        else {
            return Ok(());
        };
        match self.rebuilds.is_empty() {
            true => writeln!(f, "{read_models}: no run yet")?,
            false => writeln!(f, "{read_models}")?,
        }
        let width = self.rebuilds.iter().map(|line| line.projection.len()).max().unwrap_or(0);
        for line in &self.rebuilds {
            write!(f, "{:>4}  {:width$}  ", line.number, line.projection)?;
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

impl fmt::Display for RebuildLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = match self.action {
            RebuildAction::Rebuild => "rebuild",
            RebuildAction::Update => "update",
            RebuildAction::Undo => "undo",
            RebuildAction::DropOld => "drop old",
        };
        let outcome = match self.outcome {
            OutcomeName::Running => "running",
            OutcomeName::BrokenOff => "broken off",
            OutcomeName::Done => "done",
            OutcomeName::Stopped => "stopped",
            OutcomeName::Failed => "failed",
        };
        write!(f, "{action:<8}  {outcome:<10}  started {}  ", self.started_at)?;
        write!(f, "{} events, {} rows ({:.1} s)  {}", self.events, self.rows, self.seconds, self.reason)?;
        if let (Some(schedule), Some(due)) = (&self.schedule, &self.due) {
            write!(f, ", due by {schedule} at {due}")?;
        }
        self.error.iter().try_for_each(|error| write!(f, ": {error}"))
    }
}

impl fmt::Display for RunLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { read, written, .. } = self.counts;
        let state = if self.broken_off && self.state != "done" { "broken off" } else { self.state };
        write!(f, "{}  {state:<8} started {}  read {read}, written {written}", self.run, self.started_at)
    }
}
