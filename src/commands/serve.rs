//! `serve`: builds read models when they are due.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use serde::Serialize;

use super::arguments::ServeArguments;
use super::error::{CommandError, ExitCode};
use super::jobs::ProjectJobs;
use super::migrate::stop_on_signals;
use super::output::{Format, Report};
use super::read_models::read_models;
use crate::config::Project;
use crate::serve::{SeenSchedules, Serve, ServeError, ServeLine, ServeOutcome, SystemClock};

/// What was served.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "ended")]
pub(super) struct ServeReport {
    #[serde(flatten)]
    outcome: ServeOutcome,
    #[serde(skip)]
    once: bool,
}

/// Serves the schedules of a project.
pub(super) async fn serve(arguments: &ServeArguments, format: Format) -> Result<ServeReport, CommandError> {
    let folder = arguments.project.project.clone();
    let project = Project::load(&folder)?;
    let schedules = project.require_schedules()?.to_vec();
    let models = read_models(&project, None)?
        .ok_or_else(|| CommandError::NoProjections { folder: project.projections.display().to_string() })?;
    if let Some(problem) = project.wrong_schedules(&models.names()).into_iter().next() {
        return Err(problem.into());
    }
    let path = project.seen_schedules_file();
    let seen = SeenSchedules::load(&path).map_err(|source| ServeError::Seen { path, source })?;
    let store = models.open().await?;
    let retry = project.retry;
    let jobs = ProjectJobs { folder, kept_in: models.config, store: Arc::clone(&store), retry, format };
    let service = Serve::new(schedules, store, Arc::new(jobs), Arc::new(SystemClock), stop_on_signals())
        .remember_in(seen)
        .say(move |line| print_line(format, line));
    let outcome = match arguments.once {
        true => service.run_once().await?,
        false => service.run().await?,
    };
    Ok(ServeReport { outcome, once: arguments.once })
}

/// Prints a line on standard output. Nobody there to read it is no reason to end.
fn print_line(format: Format, line: &ServeLine) {
    let text = match format {
        Format::Text => line.to_string(),
        Format::Json => {
            serde_json::to_string(line).unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string()))
        }
    };
    let _ = writeln!(std::io::stdout(), "{text}");
}

impl Report for ServeReport {
    /// That of a service which was asked to end is 0, whatever its tasks came to: they were reported when they ended.
    fn exit_code(&self) -> ExitCode {
        let ServeOutcome { failed, stopped, skipped, clock_behind, .. } = self.outcome;
        match self.once {
            true if failed > 0 => ExitCode::Rule,
            true if stopped > 0 => ExitCode::Stopped,
            true if skipped > 0 || clock_behind > 0 => ExitCode::Refused,
            _ => ExitCode::Done,
        }
    }
}

impl fmt::Display for ServeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServeOutcome { done, failed, stopped, skipped, clock_behind } = self.outcome;
        if self.once && [done, failed, stopped, skipped, clock_behind] == [0; 5] {
            return write!(f, "nothing is due");
        }
        write!(f, "{done} tasks done, {failed} failed")?;
        if stopped > 0 {
            write!(f, ", {stopped} stopped")?;
        }
        if self.once && skipped > 0 {
            write!(f, ", {skipped} skipped: another process was at work")?;
        }
        if clock_behind > 0 {
            write!(f, ", {clock_behind} wait for the clock to catch up")?;
        }
        Ok(())
    }
}
