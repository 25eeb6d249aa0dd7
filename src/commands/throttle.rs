//! `throttle`: makes a run slower or faster while it runs, or pauses it.

use std::fmt;

use serde::Serialize;

use super::arguments::ThrottleArguments;
use super::control::change;
use super::error::CommandError;
use super::output::{Report, command};
use crate::config::{ControlFile, Project, RunningFile};
use crate::pipeline::{ThrottleState, Wish};

/// What was asked for, and how the run is.
#[derive(Debug, Serialize)]
pub(super) struct ThrottleReport {
    /// What is asked for from now on.
    wish: Wish,
    /// Who asked for it last: user and host; none where nobody did.
    by: Option<String>,
    /// When.
    at: Option<String>,
    /// How the run is that is at work, as it said last; none where none is.
    running: Option<ThrottleState>,
    project: String,
}

/// Changes what is asked of a project's run, or only shows it.
pub(super) async fn throttle(arguments: &ThrottleArguments) -> Result<ThrottleReport, CommandError> {
    let project = Project::load(&arguments.project.project)?;
    project.require_target()?;
    for limit in [arguments.events_per_second, arguments.megabytes_per_second].into_iter().flatten() {
        if !limit.is_finite() || limit < 0.0 {
            return Err(CommandError::WrongLimit { limit });
        }
    }
    let is_show = arguments.show || !arguments.changes_something();
    let file = match is_show {
        true => read(&project)?,
        false => change(&project, |file| file.wish = wish(arguments, file.wish))?,
    };
    let written = ControlFile::read(&project).unwrap_or(file);
    let is_known = !written.by.is_empty();
    Ok(ThrottleReport {
        wish: written.wish,
        by: is_known.then_some(written.by),
        at: is_known.then_some(written.at),
        running: running(&project).await,
        project: arguments.project.project.display().to_string(),
    })
}

fn read(project: &Project) -> Result<ControlFile, CommandError> {
    let path = project.control_file().display().to_string();
    ControlFile::read(project).map_err(|source| CommandError::Read { path, source })
}

/// How the run is that is at work now; none where none is, or where it has not said so yet.
pub(super) async fn running(project: &Project) -> Option<ThrottleState> {
    let running = RunningFile::read(project).ok().flatten()?;
    // One whose process was killed has left its file.
    let is_running = project.target.as_ref()?.is_being_written().await;
    is_running.then_some(running.throttle)
}

fn wish(arguments: &ThrottleArguments, before: Wish) -> Wish {
    if arguments.reset {
        return Wish::default();
    }
    let sets_limit = arguments.events_per_second.is_some() || arguments.megabytes_per_second.is_some();
    Wish {
        events_per_second: if arguments.off { None } else { arguments.events_per_second.or(before.events_per_second) },
        megabytes_per_second: match arguments.off {
            true => None,
            false => arguments.megabytes_per_second.or(before.megabytes_per_second),
        },
        off: arguments.off || (before.off && !sets_limit),
        paused: arguments.pause || (before.paused && !arguments.resume),
    }
}

impl Report for ThrottleReport {}

impl fmt::Display for ThrottleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wish { events_per_second, megabytes_per_second, off, paused } = self.wish;
        if paused {
            writeln!(f, "paused; go on with `{} --resume`", command("throttle", &self.project))?;
        }
        if off {
            writeln!(f, "as fast as it goes, whatever eventlift.toml says")?;
        }
        if let Some(limit) = events_per_second {
            writeln!(f, "at most {limit} events a second")?;
        }
        if let Some(limit) = megabytes_per_second {
            writeln!(f, "at most {limit} MB a second")?;
        }
        if self.wish == Wish::default() {
            writeln!(f, "as eventlift.toml says")?;
        }
        match &self.running {
            Some(state) => write!(f, "a run is at work: {}", speed(state)),
            None => write!(f, "no run has said how it is; the next one hears of it"),
        }
    }
}

/// How fast a run may be, in words.
pub(super) fn speed(state: &ThrottleState) -> String {
    let why = state.why.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    if state.paused {
        return format!("paused{why}");
    }
    let mut parts = Vec::new();
    parts.extend(state.events_per_second.map(|limit| format!("at most {limit:.0} events a second")));
    parts.extend(state.megabytes_per_second.map(|limit| format!("at most {limit:.2} MB a second")));
    if state.events_per_second.is_none() {
        parts.extend(state.transaction_events.map(|events| format!("transactions of {events} events")));
    }
    if parts.is_empty() {
        parts.push("as fast as it goes".to_owned());
    }
    if let Some(millis) = state.append_millis {
        parts.push(format!("an append takes {millis:.1} ms"));
    }
    format!("{}{why}", parts.join(", "))
}
