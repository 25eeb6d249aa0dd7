//! `runs show`, `runs compare` and `runs export`.

use std::fmt;

use eventlift_events::Counts;
use serde::Serialize;

use super::arguments::{CompareArguments, ExportArguments, ExportFormat, ProjectArguments, ShowArguments};
use super::error::CommandError;
use super::output::Report;
use super::run_view::{RuleChangeView, RunView, TargetRuns};
use super::runs::{RebuildLine, RunLine, rebuild_lines};
use crate::config::Project;
use crate::pipeline::rule_changes;

/// One run.
#[derive(Debug, Serialize)]
pub(super) struct ShowReport {
    target: String,
    #[serde(flatten)]
    run: RunView,
    /// Whether the text of the rules is shown to people.
    #[serde(skip)]
    with_text: bool,
}

/// What two runs differ in.
#[derive(Debug, Serialize)]
pub(super) struct CompareReport {
    before: ComparedRun,
    after: ComparedRun,
    rules: Vec<RuleChangeView>,
    /// What else decides the result and is not the same: scope, policy, mappings.
    others: Vec<String>,
}

/// One side of a comparison.
#[derive(Debug, Serialize)]
struct ComparedRun {
    target: String,
    #[serde(flatten)]
    line: RunLine,
    /// Events read a second, over all sessions; none where nothing was read.
    events_per_second: Option<f64>,
}

/// Everything that the ledgers know, but for positions and state.
#[derive(Debug, Serialize)]
pub(super) struct ExportReport {
    eventlift: &'static str,
    target: Option<String>,
    runs: Vec<RunView>,
    read_models: Option<String>,
    rebuilds: Vec<RebuildLine>,
    #[serde(skip)]
    format: ExportFormat,
}

/// Shows a run.
pub(super) async fn show_run(
    project: &ProjectArguments,
    arguments: &ShowArguments,
) -> Result<ShowReport, CommandError> {
    let runs = TargetRuns::of(&Project::load(&project.project)?).await?;
    let run = runs.view(runs.choose(&arguments.run)?).await?;
    Ok(ShowReport { target: runs.target, run, with_text: arguments.text })
}

/// Compares two runs.
pub(super) async fn compare_runs(
    project: &ProjectArguments,
    arguments: &CompareArguments,
) -> Result<CompareReport, CommandError> {
    let runs = TargetRuns::of(&Project::load(&project.project)?).await?;
    let others = match &arguments.with {
        Some(other) => Some(TargetRuns::of(&Project::load(other)?).await?),
        None => None,
    };
    let (before, after) = match (&arguments.runs[..], &others) {
        ([before, after], _) => (&**before, &**after),
        ([before], Some(_)) => (&**before, "latest"),
        ([], Some(_)) => ("latest", "latest"),
        _ => {
            let problem = format!("two runs are compared, and {} named", counted(arguments.runs.len()));
            return Err(CommandError::usage(problem));
        }
    };
    let after_runs = others.as_ref().unwrap_or(&runs);
    let (before, after) = (runs.view(runs.choose(before)?).await?, after_runs.view(after_runs.choose(after)?).await?);
    let rules = rule_changes(&before.rules, &after.rules);
    Ok(CompareReport {
        rules: rules.iter().map(RuleChangeView::of).collect(),
        others: other_changes(&before, &after),
        before: ComparedRun::of(&runs, before),
        after: ComparedRun::of(after_runs, after),
    })
}

fn counted(number: usize) -> String {
    match number {
        0 => "none is".to_owned(),
        1 => "one is".to_owned(),
        number => format!("{number} are"),
    }
}

/// The parts beside the rules that are not the same.
fn other_changes(before: &RunView, after: &RunView) -> Vec<String> {
    let is_rule = |name: &str| before.rules.iter().chain(&after.rules).any(|rule| rule.name == name);
    let find = |view: &RunView, name: &str| {
        view.parts.iter().find(|(known, _)| known == name).map_or("nothing".to_owned(), |(_, part)| part.clone())
    };
    let mut names: Vec<&str> = before.parts.iter().chain(&after.parts).map(|(name, _)| &**name).collect();
    names.sort_unstable();
    names.dedup();
    let others = names.into_iter().filter(|name| !is_rule(name));
    let changed = others.map(|name| (name, find(before, name), find(after, name)));
    changed
        .filter(|(_, one, other)| one != other)
        .map(|(name, one, other)| format!("{name}: {one} → {other}"))
        .collect()
}

/// Exports everything that the ledgers of a project know.
pub(super) async fn export_runs(
    project: &ProjectArguments,
    arguments: &ExportArguments,
) -> Result<ExportReport, CommandError> {
    let project = Project::load(&project.project)?;
    if project.read_models.is_none() {
        project.require_target()?;
    }
    let mut views = Vec::new();
    if project.target.is_some() {
        match TargetRuns::of(&project).await {
            Ok(runs) => {
                for run in runs.all() {
                    views.push(runs.view(run).await?);
                }
            }
            Err(CommandError::NoRun { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let rebuilds = match &project.read_models {
        Some(read_models) => rebuild_lines(read_models).await?,
        None => Vec::new(),
    };
    Ok(ExportReport {
        eventlift: env!("CARGO_PKG_VERSION"),
        target: project.target.as_ref().map(ToString::to_string),
        runs: views,
        read_models: project.read_models.as_ref().map(ToString::to_string),
        rebuilds,
        format: arguments.format,
    })
}

impl ComparedRun {
    fn of(runs: &TargetRuns, view: RunView) -> Self {
        Self { target: runs.target.clone(), events_per_second: view.speed(), line: view.line }
    }
}

impl Report for ShowReport {}

impl fmt::Display for ShowReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.run)?;
        if !self.with_text {
            return Ok(());
        }
        let old = self.run.superseded.iter().map(|old| (&old.rule, format!(", until {}", old.until)));
        let rules = self.run.rules.iter().map(|rule| (rule, String::new()));
        for (rule, until) in old.chain(rules) {
            writeln!(f, "\n# {}{until}", rule.name)?;
            writeln!(f, "{}", rule.text.as_deref().unwrap_or("# written in Rust, or no text of it is known"))?;
        }
        Ok(())
    }
}

impl Report for CompareReport {}

impl fmt::Display for CompareReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (sign, side) in [("-", &self.before), ("+", &self.after)] {
            writeln!(f, "{sign} {}  {}", side.line, side.target)?;
        }
        let [before, after] = [&self.before, &self.after].map(|side| numbers(&side.line.counts));
        for ((name, before), (_, after)) in before.into_iter().zip(after) {
            if before != after {
                writeln!(f, "{name}: {before} → {after}")?;
            }
        }
        if let (Some(before), Some(after)) = (self.before.events_per_second, self.after.events_per_second) {
            writeln!(f, "{before:.0} → {after:.0} events a second")?;
        }
        self.others.iter().try_for_each(|other| writeln!(f, "{other}"))?;
        if self.rules.is_empty() {
            return write!(f, "the same rules");
        }
        self.rules.iter().try_for_each(|change| writeln!(f, "{change}"))
    }
}

fn numbers(counts: &Counts) -> [(&'static str, u64); 5] {
    let Counts { read, lifted, dropped, split, written } = *counts;
    [("read", read), ("written", written), ("lifted", lifted), ("split", split), ("dropped", dropped)]
}

impl Report for ExportReport {}

impl fmt::Display for ExportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unwritable = |_| fmt::Error;
        match self.format {
            ExportFormat::Json => f.write_str(&serde_json::to_string_pretty(self).map_err(unwritable)?),
            ExportFormat::Ndjson => {
                for run in &self.runs {
                    let line = serde_json::json!({ "target": self.target, "run": run });
                    writeln!(f, "{line}")?;
                }
                for rebuild in &self.rebuilds {
                    let line = serde_json::json!({ "read_models": self.read_models, "rebuild": rebuild });
                    writeln!(f, "{line}")?;
                }
                Ok(())
            }
        }
    }
}
