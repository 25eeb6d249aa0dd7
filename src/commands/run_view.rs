//! A run with everything that its ledger says about it.

use std::fmt;

use eventlift_events::{AppliedRule, CheckpointStore, Counts, RunRecord, RunSession, SupersededRule};
use serde::Serialize;

use super::error::CommandError;
use super::event_view::diff;
use super::runs::{RunLine, run_line};
use crate::config::Project;
use crate::cutover::CutOver;
use crate::pipeline::RuleChange;

/// The runs of a target.
pub(super) struct TargetRuns {
    pub(super) target: String,
    ledger: Box<dyn CheckpointStore>,
    runs: Vec<RunRecord>,
    is_being_written: bool,
}

/// A run with all of its details.
#[derive(Debug, Serialize)]
pub(super) struct RunView {
    #[serde(flatten)]
    pub(super) line: RunLine,
    /// The stores, for people.
    pub(super) read_from: String,
    pub(super) written_to: String,
    /// The rules as they were applied last.
    pub(super) rules: Vec<AppliedRule>,
    /// Rules that were applied before those.
    pub(super) superseded: Vec<SupersededRule>,
    /// Everything that decides the result, by name, with its fingerprint.
    pub(super) parts: Vec<(String, String)>,
    pub(super) sessions: Vec<SessionView>,
    pub(super) cut_over: Option<CutOver>,
}

/// One start of a run.
#[derive(Debug, Serialize)]
pub(super) struct SessionView {
    #[serde(flatten)]
    session: RunSession,
    /// `running`, `broken off`, or how it ended.
    state: String,
}

/// A rule that is not what it was.
#[derive(Debug, Serialize)]
pub(super) struct RuleChangeView {
    pub(super) rule: String,
    /// `added`, `removed` or `changed`.
    pub(super) change: &'static str,
    pub(super) file: Option<String>,
    /// The lines of its text, `-` before those that were, `+` before those that are; none where no text is known.
    pub(super) diff: Option<String>,
}

impl TargetRuns {
    /// The runs into a project's target, which are at least one.
    pub(super) async fn of(project: &Project) -> Result<Self, CommandError> {
        let target = project.require_target()?;
        let none = || CommandError::NoRun { target: target.to_string() };
        let ledger = target.ledger().await?.ok_or_else(none)?;
        let is_being_written = target.is_being_written().await;
        // Read after that: whoever has ended meanwhile has said so.
        let runs = ledger.runs().await?;
        if runs.is_empty() {
            return Err(none());
        }
        Ok(Self { target: target.to_string(), ledger, runs, is_being_written })
    }

    /// The run of this name: `latest`, or its id, or the start of it that no other has.
    pub(super) fn choose(&self, name: &str) -> Result<&RunRecord, CommandError> {
        if name == "latest" {
            return self.runs.last().ok_or_else(|| CommandError::NoRun { target: self.target.clone() });
        }
        let found: Vec<&RunRecord> = self.runs.iter().filter(|run| run.id.to_string().starts_with(name)).collect();
        match found[..] {
            [run] if !name.is_empty() => Ok(run),
            _ => Err(CommandError::UnknownRun {
                name: name.to_owned(),
                target: self.target.clone(),
                known: self.runs.iter().rev().take(5).map(|run| run.id.to_string()).collect(),
            }),
        }
    }

    /// All of them, the latest last.
    pub(super) fn all(&self) -> &[RunRecord] {
        &self.runs
    }

    pub(super) fn ledger(&self) -> &dyn CheckpointStore {
        &*self.ledger
    }

    /// A run with all of its details.
    pub(super) async fn view(&self, run: &RunRecord) -> Result<RunView, CommandError> {
        let is_last = self.runs.last().is_some_and(|last| last.id == run.id);
        let details = run.details.clone();
        let last_session = details.sessions.len().saturating_sub(1);
        let sessions = details.sessions.into_iter().enumerate().map(|(index, session)| {
            let may_run = is_last && index == last_session && self.is_being_written;
            let state = match (session.ended_at, may_run) {
                (Some(_), _) => session.result.clone(),
                (None, true) => "running".to_owned(),
                (None, false) => "broken off".to_owned(),
            };
            SessionView { session, state }
        });
        Ok(RunView {
            line: run_line(run.clone(), is_last && self.is_being_written, &*self.ledger).await?,
            read_from: details.source,
            written_to: details.target,
            rules: details.rules,
            superseded: details.superseded,
            parts: run.parts.clone(),
            sessions: sessions.collect(),
            cut_over: CutOver::of(&*self.ledger, run.id).await?,
        })
    }
}

impl RunView {
    /// Events read a second, over all of its sessions; none where nothing was read.
    pub(super) fn speed(&self) -> Option<f64> {
        let sum = |of: fn(&RunSession) -> u64| self.sessions.iter().map(|view| of(&view.session)).sum::<u64>();
        let (read, millis) = (sum(|session| session.counts.read), sum(|session| session.millis));
        (read > 0).then(|| read as f64 * 1000.0 / millis.max(1) as f64)
    }
}

impl RuleChangeView {
    pub(super) fn of(change: &RuleChange) -> Self {
        let text = |rule: &Option<AppliedRule>| rule.as_ref().and_then(|rule| rule.text.clone());
        let (before, after) = (text(&change.before), text(&change.after));
        // Without its old text, the new one would look as if all of it were new.
        let is_known = match change.kind() {
            "changed" => before.is_some() && after.is_some() && before != after,
            _ => before.is_some() || after.is_some(),
        };
        let lines = |text: Option<String>| text.map(|text| text + "\n").unwrap_or_default();
        Self {
            rule: change.name().to_owned(),
            change: change.kind(),
            file: change.after.as_ref().or(change.before.as_ref()).and_then(|rule| rule.file.clone()),
            diff: is_known.then(|| diff(&lines(before), &lines(after))),
        }
    }
}

impl fmt::Display for RuleChangeView {
    /// Without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {}", self.change, self.rule)?;
        self.file.iter().try_for_each(|file| write!(f, " ({file})"))?;
        let lines = self.diff.iter().flat_map(|diff| diff.lines());
        lines.map(str::trim_end).try_for_each(|line| write!(f, "\n    {line}"))
    }
}

impl fmt::Display for SessionView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RunSession { command, by, began_at, counts, millis, .. } = &self.session;
        let Counts { read, written, .. } = counts;
        let seconds = *millis as f64 / 1000.0;
        write!(
            f,
            "{command} started {began_at} by {by}, read {read}, written {written} ({seconds:.1} s): {}",
            self.state
        )
    }
}

impl fmt::Display for RunView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.line)?;
        if !self.read_from.is_empty() {
            writeln!(f, "{} → {}", self.read_from, self.written_to)?;
        }
        let Counts { lifted, dropped, split, .. } = self.line.counts;
        write!(f, "{lifted} lifted, {split} of them split, {dropped} dropped")?;
        let positions = (&self.line.source_position, &self.line.target_position);
        match positions {
            (Some(source), Some(target)) => {
                writeln!(f, "; done up to position {source}, which is {target} in the target")?
            }
            (Some(source), None) => writeln!(f, "; done up to position {source}, of which nothing is in the target")?,
            (None, _) => writeln!(f)?,
        }
        if let Some(cut_over) = &self.cut_over {
            writeln!(f, "cut-over {}, begun {} by {}", cut_over.step.as_str(), cut_over.began_at, cut_over.by)?;
        }
        if !self.rules.is_empty() {
            writeln!(f, "rules")?;
        }
        for rule in &self.rules {
            write!(f, "  {}", rule.name)?;
            rule.file.iter().try_for_each(|file| write!(f, " ({file})"))?;
            writeln!(f)?;
        }
        if !self.superseded.is_empty() {
            writeln!(f, "rules that were applied before")?;
        }
        for old in &self.superseded {
            writeln!(f, "  {} until {}, replaced by {}", old.rule.name, old.until, old.by)?;
        }
        if !self.sessions.is_empty() {
            writeln!(f, "sessions")?;
        }
        self.sessions.iter().try_for_each(|session| writeln!(f, "  {session}"))
    }
}
