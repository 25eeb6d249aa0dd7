//! Printing reports and errors, for people or for machines.

use std::fmt::{Display, Formatter};
use std::io::Write;

use serde::Serialize;

use super::error::{CommandError, ExitCode};
use super::shell;

/// Whom the output is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// People.
    Text,
    /// Machines: one JSON object.
    Json,
}

impl Format {
    /// The format that was asked for.
    pub fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }
}

/// What a command has to say when it ends.
pub trait Report: Serialize + Display {
    /// The exit code that goes with it.
    fn exit_code(&self) -> ExitCode {
        ExitCode::Done
    }

    /// Whether standard output is taken by events, so that the report has to go to standard error.
    fn leaves_standard_output(&self) -> bool {
        false
    }
}

/// An error for machines. Prints as people read it, the hint on a line of its own.
#[derive(Debug, Serialize)]
pub(super) struct ErrorView {
    message: String,
    hint: Option<String>,
    exit_code: u8,
}

impl ErrorView {
    pub(super) fn of(error: &CommandError) -> Self {
        Self { message: error.to_string(), hint: error.hint(), exit_code: error.exit_code() as u8 }
    }
}

impl Display for ErrorView {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match &self.hint {
            Some(hint) => write!(f, "{}\nhint: {hint}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// A command as it is typed for a project, for a shell; the folder one is in needs no name.
pub(super) fn command(name: &str, project: &str) -> String {
    if project == "." { format!("eventlift {name}") } else { format!("eventlift {name} {}", shell::path(project)) }
}

/// Prints a report on standard output, or beside events on standard error.
pub fn print_report(format: Format, report: &impl Report) -> ExitCode {
    let text = match format {
        Format::Text => report.to_string(),
        Format::Json => {
            serde_json::to_string(report).unwrap_or_else(|error| format!("{{\"error\":{:?}}}", error.to_string()))
        }
    };
    // A reader that has gone away (a closed pipe) is no reason to fail.
    let _ = match report.leaves_standard_output() {
        true => writeln!(std::io::stderr(), "{}", text.trim_end()),
        false => writeln!(std::io::stdout(), "{}", text.trim_end()),
    };
    report.exit_code()
}

/// Prints an error: for people on standard error, for machines on standard output, unless that is taken by events.
pub fn print_error(format: Format, error: &CommandError) -> ExitCode {
    let code = error.exit_code();
    match format {
        Format::Text => {
            say_error(format_args!("error: {error}"));
            if let Some(hint) = error.hint() {
                say_error(format_args!("hint: {hint}"));
            }
        }
        Format::Json => {
            let problem = serde_json::json!({ "error": ErrorView::of(error) });
            if matches!(error, CommandError::BesideEvents(_)) {
                say_error(problem);
                return code;
            }
            // As for a report: nobody there to read it changes nothing.
            let _ = writeln!(std::io::stdout(), "{problem}");
        }
    }
    code
}

/// Prints a line on standard error. One that can't be written is lost: the program, and its run, go on.
pub(super) fn say_error(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
