//! `status`: where the target's run and the read models stand.

use std::fmt;

use eventlift_events::{Counts, StoreErrorKind};
use serde::Serialize;

use super::arguments::ProjectArguments;
use super::error::CommandError;
use super::output::{Report, command};
use super::read_model_status::{ReadModelStatus, read_model_status};
use super::runs::{RunLine, run_lines};
use super::throttle;
use crate::config::Project;
use crate::pipeline::ThrottleState;
use crate::pipeline::quarantine::{Quarantined, quarantined_streams};

/// Where the last run stands.
#[derive(Debug, Serialize)]
pub(super) struct StatusReport {
    source: String,
    /// None in a project without one.
    target: Option<String>,
    /// Whether a process is at work on the target now.
    running: bool,
    run: Option<RunLine>,
    /// How fast that process may be, and why; none where it has not said so.
    throttle: Option<ThrottleState>,
    /// What of it is in quarantine.
    quarantined: Quarantined,
    /// Whether that process has the ledger for itself now, as it does while it builds indexes.
    busy: bool,
    #[serde(flatten)]
    read_models: ReadModelStatus,
    project: String,
}

/// Looks at the target and the read models of a project.
pub(super) async fn status(arguments: &ProjectArguments) -> Result<StatusReport, CommandError> {
    let project = Project::load(&arguments.project)?;
    if project.read_models.is_none() {
        project.require_target()?;
    }
    let (run, busy) = last_run(&project).await?;
    let quarantined = if busy { Quarantined::default() } else { quarantined(&project).await? };
    let running = match &project.target {
        Some(target) => target.is_being_written().await,
        None => false,
    };
    Ok(StatusReport {
        source: project.source.to_string(),
        target: project.target.as_ref().map(ToString::to_string),
        running,
        run,
        throttle: if running { throttle::running(&project).await } else { None },
        quarantined,
        busy,
        read_models: read_model_status(&project).await?,
        project: arguments.project.display().to_string(),
    })
}

/// The last run into the target, and whether a process has the ledger for itself now.
async fn last_run(project: &Project) -> Result<(Option<RunLine>, bool), CommandError> {
    let Some(target) = &project.target else { return Ok((None, false)) };
    match run_lines(target).await {
        Ok(mut runs) => Ok((runs.pop(), false)),
        // Building indexes takes the database for itself.
        Err(CommandError::Store(error)) if matches!(error.kind, StoreErrorKind::Locked(_)) => Ok((None, true)),
        Err(error) => Err(error),
    }
}

/// What the last run into the target has in quarantine.
async fn quarantined(project: &Project) -> Result<Quarantined, CommandError> {
    let Some(target) = &project.target else { return Ok(Quarantined::default()) };
    let Some(ledger) = target.ledger().await? else { return Ok(Quarantined::default()) };
    let Some(run) = crate::pipeline::last_that_fills(ledger.runs().await?) else { return Ok(Quarantined::default()) };
    let streams = quarantined_streams(&*ledger, run.id).await?;
    Ok(Quarantined { streams: streams.len() as u64, events: streams.iter().map(|stream| stream.held).sum() })
}

impl Report for StatusReport {}

impl fmt::Display for StatusReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Some(target) => {
                writeln!(f, "{} → {target}", self.source)?;
                self.write_run(f)?;
            }
            None => writeln!(f, "{}", self.source)?,
        }
        write!(f, "{}", self.read_models)
    }
}

impl StatusReport {
    fn write_run(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(run) = &self.run else {
            if self.busy {
                return writeln!(f, "a process is building indexes or committing; ask again later");
            }
            return writeln!(f, "no run yet; start one with `{}`", command("migrate", &self.project));
        };
        let Counts { read, lifted, dropped, split, written } = run.counts;
        match run.broken_off && run.state != "done" {
            true => writeln!(f, "run {} was broken off while {}, started {}", run.run, run.state, run.started_at)?,
            false => writeln!(f, "run {} is {}, started {}", run.run, run.state, run.started_at)?,
        }
        writeln!(f, "read {read}, written {written}: {lifted} lifted, {split} of them split, {dropped} dropped")?;
        if let Some(position) = &run.source_position {
            writeln!(f, "done up to position {position} of the source")?;
        }
        if self.quarantined.events > 0 {
            writeln!(f, "{}; `{}` says why", self.quarantined, command("quarantine list", &self.project))?;
        }
        match (self.running, run.state) {
            (true, _) => match &self.throttle {
                Some(state) => writeln!(f, "a process is at work on it now: {}", throttle::speed(state)),
                None => writeln!(f, "a process is at work on it now"),
            },
            (false, "done") => writeln!(f, "nothing is at work on it"),
            (false, _) => writeln!(f, "nothing is at work on it; go on with `{}`", command("migrate", &self.project)),
        }
    }
}
