//! `repair`: records the present rules as the ones that were applied, once it is proved that they give the same.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use eventlift_events::{Counts, RunRecord, RunSession, RunState, Timestamp};
use eventlift_transformers::Registry;
use serde::Serialize;

use super::applied::changes_since;
use super::arguments::RepairArguments;
use super::error::{CommandError, ExitCode};
use super::event_view::{EventView, event_diff};
use super::migrate::{migration_options, stop_on_signals};
use super::output::{Format, Report, command};
use super::progress_line::ProgressLine;
use super::rules::registry;
use super::run_view::RuleChangeView;
use super::take_over::Taking;
use crate::config::Project;
use crate::pipeline::{self, Fingerprint, MigrationOptions, PipelineError, Refusal, SessionStart, Stop};
use crate::stores::{Claim, StoreConfig};

/// What was recorded.
#[derive(Debug, Serialize)]
pub(super) struct RepairReport {
    run: String,
    target: String,
    /// The rules that were recorded anew.
    rules: Vec<RuleChangeView>,
    /// Whether what decides the result has changed at all.
    changed: bool,
    /// Events of the target that come out the same; none without a proof.
    proved_by: Option<u64>,
    by: String,
    /// It was asked to stop before all was proved.
    stopped: bool,
    project: String,
}

/// Records the present rules of a project as the applied ones.
pub(super) async fn repair(arguments: &RepairArguments, format: Format) -> Result<RepairReport, CommandError> {
    let project = Project::load(&arguments.migration.project.project)?;
    let target = project.require_target()?;
    let registry = Arc::new(registry(&project)?);
    let options = migration_options(&arguments.migration, &project);
    let (stop, begun, start) = (stop_on_signals(), Instant::now(), SessionStart::now("repair"));
    let source = project.source.reader().await?;

    let (run, checkpoint) = last_run(target).await?;
    if run.source != source.identity().key {
        let (recorded, given) = (run.source.clone(), source.identity().key.clone());
        return Err(PipelineError::from(Refusal::OtherSource { target: target.to_string(), recorded, given }).into());
    }
    let changes = changes_since(&run, &registry);
    refuse_unchanged(arguments, &changes)?;
    let others: Vec<String> = changes
        .iter()
        .map(|change| change.name().to_owned())
        .filter(|name| !arguments.rules.is_empty() && !arguments.rules.contains(name))
        .collect();
    if !others.is_empty() {
        return Err(CommandError::RepairsTooLittle { others });
    }
    refuse_other_places(target, &run, checkpoint.is_some(), &registry, &options)?;
    let mut report = RepairReport {
        run: run.id.to_string(),
        target: target.to_string(),
        rules: changes.iter().map(RuleChangeView::of).collect(),
        changed: true,
        proved_by: None,
        by: start.by.clone(),
        stopped: false,
        project: arguments.migration.project.project.display().to_string(),
    };
    if !arguments.without_proof {
        match prove(&project, target, &registry, &options, &run, checkpoint, &stop, format).await? {
            Some(events) => report.proved_by = Some(events),
            None => return Ok(RepairReport { stopped: true, ..report }),
        }
    }

    // Only now, since a store that is held can't always be read.
    let taking = Taking::asking(Claim::of("repair"), &project, format, &stop);
    let mut writer = taking.writer(target).await?;
    let fingerprint =
        Fingerprint::of(&registry, &options.scope, &options.policies).of_stores(source.reading(), writer.writing());
    let runs = writer.runs().await?;
    let now = crate::pipeline::last_that_fills(runs).filter(|now| now.id == run.id);
    let checkpoint_now = writer.checkpoint(run.id).await?;
    let Some(record) = now.filter(|now| now.fingerprint == run.fingerprint && checkpoint_now == checkpoint) else {
        return Err(CommandError::RepairedBeside { run: run.id.to_string() });
    };
    if fingerprint.whole == record.fingerprint {
        return Ok(RepairReport { changed: false, ..report });
    }
    let session = session(&start, begun, report.proved_by);
    writer.record_run(&repaired(record, fingerprint, &registry, session)).await?;
    Ok(report)
}

/// Fails where a rule that is named is not among those that changed.
fn refuse_unchanged(arguments: &RepairArguments, changes: &[pipeline::RuleChange]) -> Result<(), CommandError> {
    let unchanged = arguments.rules.iter().find(|name| !changes.iter().any(|change| change.name() == *name));
    match unchanged {
        Some(name) => Err(CommandError::NothingToRepair {
            rule: name.clone(),
            changed: changes.iter().map(|change| change.name().to_owned()).collect(),
        }),
        None => Ok(()),
    }
}

/// Fails where the rules, or the scope, give events other places than those that are in the target.
fn refuse_other_places(
    target: &StoreConfig,
    run: &RunRecord,
    has_written: bool,
    registry: &Registry,
    options: &MigrationOptions,
) -> Result<(), PipelineError> {
    let fingerprint = Fingerprint::of(registry, &options.scope, &options.policies);
    if let Some((recorded, given)) = fingerprint.scope_change(run) {
        return Err(Refusal::OtherScope { run: run.id.to_string(), recorded, given }.into());
    }
    if has_written && !fingerprint.goes_on_numbering(run) {
        return Err(Refusal::Renumbering { target: target.to_string(), run: run.id.to_string() }.into());
    }
    Ok(())
}

async fn last_run(target: &StoreConfig) -> Result<(RunRecord, Option<eventlift_events::Checkpoint>), CommandError> {
    let none = || CommandError::NoRun { target: target.to_string() };
    let ledger = target.ledger().await?.ok_or_else(none)?;
    let run = crate::pipeline::last_that_fills(ledger.runs().await?)
        .filter(|run| run.state != RunState::RolledBack)
        .ok_or_else(none)?;
    let checkpoint = ledger.checkpoint(run.id).await?;
    Ok((run, checkpoint))
}

/// How many events of the target come out the same under the present rules, once all of them do; none where it was
/// stopped before. Fails with the first that does not.
#[expect(clippy::too_many_arguments, reason = "each is one thing that a proof needs")]
async fn prove(
    project: &Project,
    target: &StoreConfig,
    registry: &Arc<Registry>,
    options: &MigrationOptions,
    run: &RunRecord,
    checkpoint: Option<eventlift_events::Checkpoint>,
    stop: &Stop,
    format: Format,
) -> Result<Option<u64>, CommandError> {
    if run.state != RunState::Done {
        return Err(CommandError::NothingToProve { run: run.id.to_string(), state: run.state.as_str() });
    }
    let Some(checkpoint) = checkpoint else { return Ok(Some(0)) };
    let (source, target) = (project.source.reader().await?, target.reader().await?);
    let mut line = ProgressLine::new(format, "proving", Some(checkpoint.counts.written), 0);
    let until = Some(checkpoint.source);
    let verified =
        pipeline::verify(source, target, Arc::clone(registry), options.clone(), until, stop.clone(), |seen| {
            line.set(seen.expected.min(seen.found));
        })
        .await;
    line.end();
    let verified = match verified {
        // A rule that fails on an event that is in already does not give the same.
        Err(error @ (PipelineError::Transform(_) | PipelineError::Uncovered { .. })) => {
            return Err(CommandError::RepairBreaks { event: format!("{error}") });
        }
        verified => verified?,
    };
    if !verified.complete {
        return Ok(None);
    }
    match (verified.agrees(), verified.first) {
        (true, _) => Ok(Some(verified.found)),
        (false, Some(first)) => Err(CommandError::RepairBreaks { event: shown(&first) }),
        (false, None) => Err(CommandError::RepairBreaks { event: "the events differ".to_owned() }),
    }
}

/// An event that comes out in another way.
fn shown(difference: &pipeline::Difference) -> String {
    let view = |event: &Option<eventlift_events::Event>| event.as_ref().map(EventView::of);
    match (view(&difference.found), view(&difference.expected)) {
        (Some(found), Some(expected)) => {
            let lines = event_diff(Some(&found), Some(&expected));
            format!("at position {} (- as it is, + as it would be):\n{}", found.position, lines.trim_end())
        }
        (Some(found), None) => format!("this one would not be there:\n{}", found.to_string().trim_end()),
        (None, Some(expected)) => format!("this one is not there:\n{}", expected.to_string().trim_end()),
        (None, None) => String::new(),
    }
}

fn session(start: &SessionStart, begun: Instant, proved_by: Option<u64>) -> RunSession {
    RunSession {
        command: start.command.clone(),
        by: start.by.clone(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        began_at: start.began_at,
        ended_at: Some(Timestamp::now()),
        counts: Counts::default(),
        millis: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        result: match proved_by {
            Some(events) => format!("done, proved (events: {events})"),
            None => "done, without proof".to_owned(),
        },
    }
}

/// A run's record with the present rules as those that were applied.
fn repaired(record: RunRecord, fingerprint: Fingerprint, registry: &Registry, session: RunSession) -> RunRecord {
    let mut details = record.details;
    pipeline::supersede(&mut details, pipeline::applied_rules(registry), &session.by, Timestamp::now());
    details.add_session(session);
    RunRecord {
        fingerprint: fingerprint.whole,
        parts: fingerprint.parts,
        updated_at: Timestamp::now(),
        tool: env!("CARGO_PKG_VERSION").to_owned(),
        details,
        ..record
    }
}

impl Report for RepairReport {
    fn exit_code(&self) -> ExitCode {
        if self.stopped { ExitCode::Stopped } else { ExitCode::Done }
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.stopped {
            return write!(f, "stopped; nothing is proved, and nothing was recorded");
        }
        if !self.changed {
            return write!(f, "nothing to repair: the rules are those that run {} was filled with", self.run);
        }
        self.rules.iter().try_for_each(|rule| writeln!(f, "{rule}"))?;
        match self.proved_by {
            Some(events) => writeln!(f, "every event in {} comes out the same (events: {events})", self.target)?,
            None => writeln!(f, "nothing was proved; the ledger says so, and that it was {}", self.by)?,
        }
        let migrate = command("migrate", &self.project);
        write!(f, "recorded for run {}; `{migrate}` goes on with these rules", self.run)
    }
}
