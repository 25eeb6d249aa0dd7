//! `status`: where the target's run stands.

use std::fmt;

use eventlift_events::{Counts, StoreErrorKind};
use serde::Serialize;

use super::arguments::ProjectArguments;
use super::error::CommandError;
use super::output::{Report, command};
use super::runs::{RunLine, run_lines};
use crate::config::Project;

/// Where the last run stands.
#[derive(Debug, Serialize)]
pub(super) struct StatusReport {
    source: String,
    target: String,
    /// Whether a process is at work on the target now.
    running: bool,
    run: Option<RunLine>,
    /// Whether that process has the ledger for itself now, as it does while it builds indexes.
    busy: bool,
    project: String,
}

/// Looks at the target of a project.
pub(super) async fn status(arguments: &ProjectArguments) -> Result<StatusReport, CommandError> {
    let project = Project::load(&arguments.project)?;
    let target = project.require_target()?;
    let (run, busy) = match run_lines(target).await {
        Ok(mut runs) => (runs.pop(), false),
        // Building indexes takes the database for itself.
        Err(CommandError::Store(error)) if matches!(error.kind, StoreErrorKind::Locked(_)) => (None, true),
        Err(error) => return Err(error),
    };
    Ok(StatusReport {
        source: project.source.to_string(),
        target: target.to_string(),
        running: target.is_being_written(),
        run,
        busy,
        project: arguments.project.display().to_string(),
    })
}

impl Report for StatusReport {}

impl fmt::Display for StatusReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} → {}", self.source, self.target)?;
        let Some(run) = &self.run else {
            if self.busy {
                return write!(f, "a process is building indexes or committing; ask again later");
            }
            return write!(f, "no run yet; start one with `{}`", command("migrate", &self.project));
        };
        let Counts { read, lifted, dropped, split, written } = run.counts;
        writeln!(f, "run {} is {}, started {}", run.run, run.state, run.started_at)?;
        writeln!(f, "read {read}, written {written}: {lifted} lifted, {split} of them split, {dropped} dropped")?;
        if let Some(position) = &run.source_position {
            writeln!(f, "done up to position {position} of the source")?;
        }
        match (self.running, run.state) {
            (true, _) => write!(f, "a process is at work on it now"),
            (false, "done") => write!(f, "nothing is at work on it"),
            (false, _) => write!(f, "nothing is at work on it; go on with `{}`", command("migrate", &self.project)),
        }
    }
}
