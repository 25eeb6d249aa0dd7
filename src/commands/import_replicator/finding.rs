//! What became of each setting, and how that is shown.

use std::fmt;

use serde::Serialize;

use super::project::Project;
use crate::commands::error::ExitCode;
use crate::commands::output::{Report, command};

/// What became of a setting.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    /// Its full name, such as `sink.partitionCount`.
    pub(super) setting: String,
    /// The line that it is in; none where it is not there and its default is meant.
    pub(super) line: Option<usize>,
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// The kinds, in the order in which they are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The project cannot be run before somebody has decided it.
    Undecided,
    /// It is in the project, and means the same.
    Became,
    /// eventlift does something else, which is said.
    Differs,
    /// Nothing in eventlift stands for it, and nothing has to.
    NoCounterpart,
    /// The Replicator does not read it.
    Unknown,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Undecided, Self::Became, Self::Differs, Self::NoCounterpart, Self::Unknown];

    fn title(self) -> &'static str {
        match self {
            Self::Undecided => "to be decided, before anything can be migrated",
            Self::Became => "in the project",
            Self::Differs => "different in eventlift",
            Self::NoCounterpart => "without a counterpart",
            Self::Unknown => "not read by the Replicator",
        }
    }
}

/// What was made.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct ImportReport {
    imported: String,
    folder: String,
    files: Vec<String>,
    /// Whether everything has been decided, so that the project can be run.
    complete: bool,
    findings: Vec<Finding>,
    /// What to do next, in order.
    next: Vec<String>,
}

impl ImportReport {
    /// The report of a project that was written to these files.
    pub(super) fn new(imported: String, folder: String, files: Vec<String>, project: Project) -> Self {
        let complete = project.findings.iter().all(|finding| finding.kind != Kind::Undecided);
        let mut next: Vec<String> =
            project.password_variables().map(|name| format!("export {name}=…   # the password")).collect();
        let check = command("check", &folder);
        let follow = if project.runs_continuously { " --follow" } else { "" };
        next.push(if complete { check } else { format!("{check}   # says what is to be decided") });
        next.push(command("plan", &folder));
        next.push(format!("{}{follow}", command("migrate", &folder)));
        next.push(command("verify", &folder));
        Self { imported, folder, files, complete, findings: project.findings, next }
    }
}

impl Report for ImportReport {
    fn exit_code(&self) -> ExitCode {
        if self.complete { ExitCode::Done } else { ExitCode::Project }
    }
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            writeln!(f, "created {file}")?;
        }
        for kind in Kind::ALL {
            let findings: Vec<&Finding> = self.findings.iter().filter(|finding| finding.kind == kind).collect();
            if findings.is_empty() {
                continue;
            }
            writeln!(f, "\n{}:", kind.title())?;
            for Finding { setting, line, text, .. } in findings {
                match line {
                    Some(line) => writeln!(f, "  {setting} (line {line}): {text}")?,
                    None => writeln!(f, "  {setting} (not set): {text}")?,
                }
            }
        }
        writeln!(f, "\nnext:")?;
        self.next.iter().try_for_each(|step| writeln!(f, "  {step}"))
    }
}
