//! `serve`: builds read models when they are due.

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use clap::Args;
use eventlift_projections::ReadModelStore;
use serde::Serialize;

use super::arguments::ProjectArguments;
use super::error::{CommandError, ExitCode};
use super::migrate::stop_on_signals;
use super::output::{Format, Report};
use crate::config::Project;
use crate::serve::{Jobs, SeenSchedules, Serve, ServeError, ServeLine, ServeOutcome, SystemClock};

/// Which project's schedules, and for how long.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  eventlift serve shop           build what [schedule.NAME] in eventlift.toml says, when it says so, until stopped
  eventlift serve shop --once    build what is due now and end; for cron or a systemd timer
  eventlift serve shop --json    a JSON object a line for everything that happens

A time that was missed while nothing ran is made up for once. SIGINT or SIGTERM (Ctrl-C) saves what is being done and
ends; a second one ends at once.")]
pub(super) struct ServeArguments {
    /// Which project.
    #[command(flatten)]
    pub(super) project: ProjectArguments,
    /// Run what is due now, and end.
    #[arg(long)]
    pub(super) once: bool,
}

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
pub(super) async fn serve(
    arguments: &ServeArguments,
    format: Format,
    project: &Project,
    store: Arc<dyn ReadModelStore>,
    jobs: Arc<dyn Jobs>,
) -> Result<ServeReport, CommandError> {
    let schedules = project.require_schedules()?.to_vec();
    let path = project.seen_schedules_file();
    let seen = SeenSchedules::load(&path).map_err(|source| ServeError::Seen { path, source })?;
    let service = Serve::new(schedules, store, jobs, Arc::new(SystemClock), stop_on_signals())
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
