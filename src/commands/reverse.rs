//! `reverse`: carries what is written to the target since the cut-over back to the source.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use eventlift_events::{Counts, RunRecord};
use eventlift_transformers::{NotInvertible, Registry};
use serde::Serialize;

use super::arguments::ReverseArguments;
use super::cutover::last_run;
use super::error::{CommandError, ExitCode};
use super::going_on::going_on;
use super::migrate::stop_on_signals;
use super::output::{Format, Report, command};
use super::progress_line::ProgressLine;
use super::rules::registry;
use super::take_over::Taking;
use crate::config::Project;
use crate::cutover::{CutOver, CutOverError, CutOverStep};
use crate::pipeline::{
    FailedEvents, Following, Heartbeat, Migration, MigrationOptions, Onto, Outcome, Policies, SessionStart, Stop,
    StopHandle,
};
use crate::stores::{Claim, StoreConfig};

/// What was carried back.
#[derive(Debug, Serialize)]
pub(super) struct ReverseReport {
    run: String,
    /// From where: the target of the project.
    from: String,
    /// To where: its source.
    to: String,
    #[serde(flatten)]
    counts: Counts,
    seconds: f64,
    retries: u32,
    done: bool,
    #[serde(skip)]
    project: String,
}

/// Carries events back, until everything is there or, following, until it is stopped.
pub(super) async fn reverse(arguments: &ReverseArguments, format: Format) -> Result<ReverseReport, CommandError> {
    let folder = &arguments.project.project;
    let project = Project::load(folder)?;
    let target = project.require_target()?;
    let begun = Instant::now();
    let registry = Arc::new(inverse(&registry(&project)?)?);
    let (run, record) = switched(target).await?;
    let stop = stop_on_signals();
    let attempt =
        |heartbeat| attempt(&project, target, &registry, (&run, &record), arguments.follow, format, &stop, heartbeat);
    let reach = || async {
        project.source.reach().await?;
        target.reach().await
    };
    let (outcome, retries) = going_on(&project.retry, format, &stop, attempt, reach).await?;
    Ok(ReverseReport {
        run: outcome.run.to_string(),
        from: target.to_string(),
        to: project.source.to_string(),
        counts: outcome.counts,
        seconds: begun.elapsed().as_secs_f64(),
        retries,
        done: outcome.done,
        project: folder.display().to_string(),
    })
}

#[expect(clippy::too_many_arguments, reason = "what every attempt begins with")]
async fn attempt(
    project: &Project,
    target: &StoreConfig,
    registry: &Arc<Registry>,
    (run, record): (&RunRecord, &CutOver),
    follow: bool,
    format: Format,
    stop: &Stop,
    heartbeat: Heartbeat,
) -> Result<Outcome, CommandError> {
    let claim = match follow {
        true => Claim::of("reverse --follow").letting_go(),
        false => Claim::of("reverse"),
    };
    let taking = Taking::beside(claim, project, format, stop);
    let (letting_go, until_let_go) = StopHandle::new();
    let migration =
        reverse_migration(project, target, Arc::clone(registry), (run, record), &taking, &until_let_go).await?;
    let migration = migration.started(SessionStart::now("reverse"));
    heartbeat.begun();
    let mut progress = migration.progress();
    let mut line = ProgressLine::new(format, "carrying back", None, 0);
    let outcome = {
        let running = async {
            match follow {
                true => migration.follow(Following::default()).await,
                false => migration.run().await,
            }
        };
        let mut running = std::pin::pin!(running);
        let mut asked = std::pin::pin!(async {
            tokio::select! {
                _ = project.source.asked_for(), if follow => {}
                () = stop.clone().asked() => {}
            }
        });
        let mut is_stopping = false;
        loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                () = &mut asked, if !is_stopping => {
                    is_stopping = true;
                    letting_go.stop();
                }
                Ok(()) = progress.changed() => {
                    let now = *progress.borrow_and_update();
                    heartbeat.progressed(now.counts.read);
                    line.following(&now);
                }
            }
        }
    };
    line.end();
    Ok(outcome?)
}

/// The rules of a project the other way round. Fails with everything that has no inverse.
pub(super) fn inverse(registry: &Registry) -> Result<Registry, CommandError> {
    registry.inverse().map_err(|missing: NotInvertible| CommandError::NotInvertible(Box::new(missing)))
}

/// The run and the cut-over of a target that writers use. Fails where there was none.
pub(super) async fn switched(target: &StoreConfig) -> Result<(RunRecord, CutOver), CommandError> {
    let refused = |problem: String| CutOverError::Refused {
        problem,
        hint: "the reverse stream begins with the cut-over: `eventlift cutover`".to_owned(),
    };
    let run = last_run(target).await?.ok_or_else(|| refused(format!("no run has filled {target} yet")))?;
    let record = match target.ledger().await? {
        Some(ledger) => CutOver::of(&*ledger, run.id).await?,
        None => None,
    };
    match record {
        Some(record) if record.step >= CutOverStep::Confirmed => Ok((run, record)),
        _ => Err(refused(format!("writers have not been switched to {target}")).into()),
    }
}

/// The migration from the target to the source, behind what the cut-over had carried over.
pub(super) async fn reverse_migration(
    project: &Project,
    target: &StoreConfig,
    registry: Arc<Registry>,
    (run, record): (&RunRecord, &CutOver),
    taking: &Taking<'_>,
    stop: &Stop,
) -> Result<Migration, CommandError> {
    let options = MigrationOptions {
        // What fails on the way back has no second try there: it stops the stream.
        policies: Policies { failed_events: FailedEvents::Stop, ..project.policies },
        onto: Some(Onto { after: record.target_end, of: run.id }),
        ..MigrationOptions::default()
    };
    let (from, to) = (target.reader().await?, taking.writer(&project.source).await?);
    Ok(Migration::new(from, to, registry, options).stop_on(stop.clone()))
}

impl Report for ReverseReport {
    fn exit_code(&self) -> ExitCode {
        if self.done { ExitCode::Done } else { ExitCode::Stopped }
    }
}

impl fmt::Display for ReverseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { read, written, .. } = self.counts;
        writeln!(f, "{} → {}", self.from, self.to)?;
        writeln!(f, "{read} events were written since the switch, {written} carried back in {:.1} s", self.seconds)?;
        match self.done {
            true => write!(f, "done; to go back to the source: `{}`", command("rollback", &self.project)),
            false => write!(f, "stopped; go on with the same command"),
        }
    }
}
