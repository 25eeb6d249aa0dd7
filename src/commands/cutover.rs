//! `cutover`: fence, drain, verify, switch.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use eventlift_events::{CheckpointStore, RunId, RunRecord, RunState, StoreIdentity, Timestamp};
use serde::Serialize;

use super::arguments::CutOverArguments;
use super::error::{CommandError, ExitCode};
use super::migrate::{migration_options, stop_on_signals};
use super::output::{Format, Report, command};
use super::progress_line::ProgressLine;
use super::rules::registry;
use super::stand_by::StandBy;
use super::take_over::Taking;
use crate::checks;
use crate::config::Project;
use crate::cutover::Attendant;
use crate::cutover::{
    CutOver, CutOverError, CutOverOptions, CutOverOutcome, CutOverParts, CutOverStep, FenceBy, Moment, WritersUse,
    cut_over, finish_switch,
};
use crate::pipeline::quarantine::{Apart, quarantined_streams};
use crate::pipeline::{GrowingVerification, Migration, SessionStart, last_that_fills};
use crate::stores::{Claim, StoreConfig};

/// How a cut-over went.
#[derive(Debug, Serialize)]
pub(super) struct CutOverReport {
    run: String,
    source: String,
    target: String,
    step: CutOverStep,
    /// Whether it was over before.
    was_done: bool,
    /// For how long writers were refused, in milliseconds; none where they were fenced by others, or before.
    pause_ms: Option<f64>,
    /// How long each step took, in milliseconds.
    steps: Vec<StepView>,
    drained: u64,
    verified: u64,
    switched_at: Option<Timestamp>,
    #[serde(skip)]
    project: String,
}

#[derive(Debug, Serialize)]
struct StepView {
    step: CutOverStep,
    ms: f64,
}

/// Cuts a project over.
pub(super) async fn cutover(arguments: &CutOverArguments, format: Format) -> Result<CutOverReport, CommandError> {
    let folder = &arguments.migration.project.project;
    let project = Project::load(folder)?;
    let target_config = project.require_target()?;
    let run = require_done(target_config).await?;
    let registry = Arc::new(registry(&project)?);
    let mut attendant =
        StandBy::new(&project, target_config, arguments.migration.scope.scope(), run.id.to_string(), format);
    let options = migration_options(&arguments.migration, &project);
    let stop = stop_on_signals();
    let source = project.source.reader().await?;
    let taking = Taking::asking(Claim::of("cutover").taking_over(), &project, format, &stop);
    let mut target = taking.writer(target_config).await?;
    let (source_name, target_name) = (source.identity().to_string(), target.identity().to_string());
    let report = |outcome: CutOverOutcome| CutOverReport {
        run: run.id.to_string(),
        source: source_name.clone(),
        target: target_name.clone(),
        step: outcome.record.step,
        was_done: outcome.was_done,
        pause_ms: outcome.pause.map(milliseconds),
        steps: outcome.steps.iter().map(|(step, took)| StepView { step: *step, ms: milliseconds(*took) }).collect(),
        drained: outcome.drained,
        verified: outcome.verified,
        switched_at: outcome.record.switched_at,
        project: folder.display().to_string(),
    };
    if let Some(outcome) = finish_switch(&mut *target, run.id, &mut attendant).await? {
        return Ok(report(outcome));
    }
    let fence = source_fence(&project, &attendant, arguments.fenced).await?;
    let target_fence = target_config.fence().await?.map(FenceBy::Store);

    let migration = Migration::new(source, target, Arc::clone(&registry), options.clone()).stop_on(stop.clone());
    let migration = migration.started(SessionStart::now("cutover"));
    let line = ProgressLine::new(format, "catching up", None, 0);
    let tail = migration.into_tail().await;
    line.end();
    let mut tail = tail?;
    if let Err(refused) = refuse_unready(tail.target_mut(), run.id).await {
        tail.end(Some(&refused.to_string())).await;
        return Err(refused);
    }
    let readers = (project.source.reader().await?, target_config.reader().await?);
    let apart = Arc::new(Apart::of(tail.target_mut(), run.id).await?);
    let verification = GrowingVerification::new(readers.0, readers.1, registry, options, apart, stop).await?;

    let settings = &project.cutover;
    let message = settings.message.clone();
    let options = CutOverOptions {
        budget: arguments.budget.unwrap_or(settings.budget),
        patience: settings.patience,
        settled: settings.settled,
        by: crate::ledger::who(),
        message: message.unwrap_or_else(|| format!("the events of this store are moved to {target_name}; write there")),
        ..CutOverOptions::default()
    };
    let parts = CutOverParts { tail, verification, fence, target_fence, attendant: &mut attendant, options };
    Ok(report(cut_over(parts).await?))
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// How the source of a project is fenced. Fails where nothing says how.
pub(super) async fn source_fence(
    project: &Project,
    attendant: &StandBy<'_>,
    is_fenced: bool,
) -> Result<FenceBy, CommandError> {
    if is_fenced {
        return Ok(FenceBy::Already);
    }
    if attendant.has_hooks(Moment::Fence) {
        return Ok(FenceBy::Hooks);
    }
    match project.source.fence().await? {
        Some(fence) => Ok(FenceBy::Store(fence)),
        None => Err(CutOverError::NoFence { store: project.source.to_string() }.into()),
    }
}

/// The run of a target, as its ledger has it; reverse streams, and runs that rewrite in place, did not fill it.
pub(super) async fn last_run(target: &StoreConfig) -> Result<Option<RunRecord>, CommandError> {
    let Some(ledger) = target.ledger().await? else { return Ok(None) };
    Ok(last_that_fills(ledger.runs().await?))
}

/// The run of a target whose migration has ended once.
async fn require_done(target: &StoreConfig) -> Result<RunRecord, CommandError> {
    let bring_over = "bring everything over first: `eventlift migrate`, and `--follow` to stay close to the source";
    let (problem, hint) = match last_run(target).await? {
        Some(run) if run.state == RunState::Done => return Ok(run),
        Some(run) if run.state == RunState::RolledBack => {
            ("its run was taken back", "name a new target, and bring everything over with `eventlift migrate`")
        }
        Some(_) => ("its run has not ended yet", bring_over),
        None => ("no run has filled it yet", bring_over),
    };
    Err(CutOverError::Refused {
        problem: format!("{target} can't be cut over to, since {problem}"),
        hint: hint.to_owned(),
    }
    .into())
}

/// Refuses to cut over to a target that lacks something, or whose checks have failed.
async fn refuse_unready(target: &dyn eventlift_events::EventWriter, run: RunId) -> Result<(), CommandError> {
    refuse_quarantined(target, run).await?;
    refuse_held(target, run).await
}

/// Refuses to cut over while events are in quarantine: the target lacks them.
async fn refuse_quarantined(target: &dyn eventlift_events::EventWriter, run: RunId) -> Result<(), CommandError> {
    let streams = quarantined_streams(target, run).await?;
    let Some(first) = streams.first() else { return Ok(()) };
    Err(CutOverError::Refused {
        problem: match streams.len() {
            1 => format!("stream {} is in quarantine", first.stream),
            count => format!("{count} streams are in quarantine, the first is {}", first.stream),
        },
        hint:
            "`eventlift quarantine list` says why; correct the rule and `eventlift quarantine retry`, or discard them"
                .to_owned(),
    }
    .into())
}

/// Refuses to cut over where checks behind the migration have failed.
async fn refuse_held(target: &dyn eventlift_events::EventWriter, run: RunId) -> Result<(), CommandError> {
    let Some(hold) = checks::held(target, run).await? else { return Ok(()) };
    Err(CutOverError::Refused {
        problem: format!("checks behind the migration have failed at {}: {}", hold.at, hold.checks.join(", ")),
        hint: "`eventlift check --stores --when after` makes them again; `eventlift migrate` takes note of what comes of them"
            .to_owned(),
    }
    .into())
}

/// Refuses to migrate into a target that writers use by now.
pub(super) async fn refuse_after_cut_over(
    ledger: &dyn CheckpointStore,
    target: &StoreIdentity,
) -> Result<(), CommandError> {
    let Some(run) = last_that_fills(ledger.runs().await?) else { return Ok(()) };
    let Some(record) = CutOver::of(ledger, run.id).await? else { return Ok(()) };
    if run.state == RunState::RolledBack || record.writers_use(Timestamp::now()) != WritersUse::Target {
        return Ok(());
    }
    Err(CutOverError::Refused {
        problem: format!("{target} is what writers use since the cut-over"),
        hint: "`eventlift reverse` carries what is written there back to the source".to_owned(),
    }
    .into())
}

impl Report for CutOverReport {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Done
    }
}

impl fmt::Display for CutOverReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} → {}", self.source, self.target)?;
        if self.was_done {
            return write!(f, "nothing was left to do: writers use the target already");
        }
        writeln!(
            f,
            "{} events compared, {} of them carried over while the source was fenced",
            self.verified, self.drained
        )?;
        for StepView { step, ms } in &self.steps {
            writeln!(f, "  {:10} {ms:9.1} ms", step.as_str())?;
        }
        match self.pause_ms {
            Some(pause) => writeln!(f, "writers were refused for {pause:.0} ms")?,
            None => writeln!(f, "writers had been stopped before")?,
        }
        write!(f, "done; writers use the target. To keep the source usable: `{}`", command("reverse", &self.project))
    }
}
