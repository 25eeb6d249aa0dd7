//! `rollback`: before the cut-over, takes out what the run wrote; after it, goes back to the source.

use std::fmt;
use std::sync::Arc;

use eventlift_events::{RunRecord, RunState, Scope};
use serde::Serialize;

use super::arguments::RollbackArguments;
use super::cutover::{last_run, milliseconds};
use super::error::{CommandError, ExitCode};
use super::migrate::stop_on_signals;
use super::output::{Format, Report};
use super::reverse::{inverse, reverse_migration};
use super::rules::registry;
use super::stand_by::StandBy;
use super::take_over::Taking;
use crate::config::Project;
use crate::cutover::{Attendant, BackParts, CutOver, CutOverError, CutOverStep, FenceBy, Moment, go_back, take_out};
use crate::pipeline::{SessionStart, Tail};
use crate::stores::{Claim, StoreConfig};

/// What was taken back.
#[derive(Debug, Serialize)]
pub(super) struct RollbackReport {
    run: String,
    source: String,
    target: String,
    /// Events that were taken out of the target; none after a cut-over, which leaves the target as it is.
    taken_out: Option<u64>,
    /// Events that were carried back to the source while the target was fenced.
    carried_back: u64,
    /// For how long writers were refused, in milliseconds.
    pause_ms: Option<f64>,
    /// Whether it was done before.
    was_done: bool,
}

/// Rolls a project back.
pub(super) async fn rollback(arguments: &RollbackArguments, format: Format) -> Result<RollbackReport, CommandError> {
    let project = Project::load(&arguments.project.project)?;
    let target = project.require_target()?;
    let run = own_run(&project, target).await?;
    let record = match target.ledger().await? {
        Some(ledger) => CutOver::of(&*ledger, run.id).await?,
        None => None,
    };
    let is_switched = record.as_ref().is_some_and(|record| record.step >= CutOverStep::Confirmed);
    let mut attendant = StandBy::new(&project, target, Scope::All, run.id.to_string(), format);
    let source_fence = match project.source.fence().await? {
        _ if attendant.has_hooks(Moment::Lift) => FenceBy::Hooks,
        Some(fence) => FenceBy::Store(fence),
        None => FenceBy::Already,
    };
    let stop = stop_on_signals();
    let taking = Taking::asking(Claim::of("rollback").taking_over(), &project, format, &stop);
    match record.filter(|_| is_switched) {
        None => before(&project, target, &taking, run, source_fence, &mut attendant, arguments.yes).await,
        Some(record) => after(&project, target, &taking, (run, record), source_fence, &mut attendant, arguments).await,
    }
}

/// The target's run, if it is this project's.
async fn own_run(project: &Project, target: &StoreConfig) -> Result<RunRecord, CommandError> {
    let refused = |problem: String, hint: &str| CutOverError::Refused { problem, hint: hint.to_owned() };
    let run = last_run(target).await?;
    let run = run.ok_or_else(|| refused(format!("no run has filled {target}"), "there is nothing to take back"))?;
    let source = project.source.reader().await?;
    let source = source.identity();
    if run.source != source.key {
        let problem = format!("run {} has filled {target} from {}, not from {source}", run.id, run.source);
        return Err(refused(problem, "roll back in the project that the run belongs to").into());
    }
    Ok(run)
}

async fn before(
    project: &Project,
    target: &StoreConfig,
    taking: &Taking<'_>,
    run: RunRecord,
    mut source_fence: FenceBy,
    attendant: &mut StandBy<'_>,
    is_sure: bool,
) -> Result<RollbackReport, CommandError> {
    let mut report = RollbackReport {
        run: run.id.to_string(),
        source: project.source.to_string(),
        target: target.to_string(),
        taken_out: Some(0),
        carried_back: 0,
        pause_ms: None,
        was_done: run.state == RunState::RolledBack,
    };
    if report.was_done {
        return Ok(report);
    }
    let mut writer = taking.writer(target).await?;
    let written = match writer.checkpoint(run.id).await? {
        Some(checkpoint) => checkpoint.counts.written,
        None => writer.load_ranges(run.id).await?.iter().map(|range| range.counts.written).sum(),
    };
    if !is_sure {
        return Err(CutOverError::Refused {
            problem: format!("this takes {written} events out of {target}, all that run {} wrote", run.id),
            hint: "add --yes to have it done".to_owned(),
        }
        .into());
    }
    take_out(&mut *writer, &mut source_fence, attendant, &run).await?;
    report.taken_out = Some(written);
    Ok(report)
}

async fn after(
    project: &Project,
    target: &StoreConfig,
    taking: &Taking<'_>,
    (run, record): (RunRecord, CutOver),
    source_fence: FenceBy,
    attendant: &mut StandBy<'_>,
    arguments: &RollbackArguments,
) -> Result<RollbackReport, CommandError> {
    let target_fence = match (target.fence().await?, arguments.fenced) {
        (_, true) => FenceBy::Already,
        (Some(fence), false) => FenceBy::Store(fence),
        (None, false) => return Err(CutOverError::NoFence { store: target.to_string() }.into()),
    };
    let reverse = match record.step < CutOverStep::BackDrained {
        true => reverse_tail(project, target, taking, &run, &record).await?,
        false => Err("it is over already".to_owned()),
    };
    let parts = BackParts {
        target: taking.writer(target).await?,
        target_events: target.reader().await?,
        run: run.clone(),
        reverse,
        source_fence,
        target_fence,
        attendant,
        patience: project.cutover.patience,
    };
    let outcome = go_back(parts).await?;
    Ok(RollbackReport {
        run: run.id.to_string(),
        source: project.source.to_string(),
        target: target.to_string(),
        taken_out: None,
        carried_back: outcome.carried,
        pause_ms: outcome.pause.map(milliseconds),
        was_done: outcome.was_done,
    })
}

/// The reverse stream, caught up, or why there is none: then going back is refused if anything would be lost.
async fn reverse_tail(
    project: &Project,
    target: &StoreConfig,
    taking: &Taking<'_>,
    run: &RunRecord,
    record: &CutOver,
) -> Result<Result<Tail, String>, CommandError> {
    let registry = match inverse(&registry(project)?) {
        Ok(registry) => Arc::new(registry),
        Err(CommandError::NotInvertible(missing)) => return Ok(Err(missing.to_string())),
        Err(error) => return Err(error),
    };
    let stop = taking.stop();
    let migration = match reverse_migration(project, target, registry, (run, record), taking, stop).await {
        // A source that takes no events from here, such as a file of somebody else's: of no matter where none came since.
        Err(CommandError::Store(error)) if !error.may_pass() => return Ok(Err(error.to_string())),
        opened => opened?,
    };
    let migration = migration.started(SessionStart::now("rollback"));
    Ok(Ok(migration.into_tail().await?))
}

impl Report for RollbackReport {
    fn exit_code(&self) -> ExitCode {
        ExitCode::Done
    }
}

impl fmt::Display for RollbackReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ← {}", self.source, self.target)?;
        if self.was_done {
            return write!(f, "nothing was left to do: run {} was taken back before", self.run);
        }
        match (self.taken_out, self.pause_ms) {
            (Some(events), _) => {
                write!(f, "{events} events were taken out; the target is as it was before run {}", self.run)
            }
            (None, Some(pause)) => {
                writeln!(f, "{} events carried back while writers were refused, for {pause:.0} ms", self.carried_back)?;
                write!(f, "done; writers use the source")
            }
            (None, None) => write!(f, "{} events carried back; writers use the source", self.carried_back),
        }
    }
}
