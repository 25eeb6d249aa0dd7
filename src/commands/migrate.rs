//! `migrate`: upcasts and appends, and goes on where it ended.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use eventlift_events::{Counts, RunState, Scope};
use serde::Serialize;

use super::arguments::MigrationArguments;
use super::error::{CommandError, ExitCode};
use super::fed::Fed;
use super::output::{ErrorView, Format, Report, command};
use super::progress_line::ProgressLine;
use super::rebuild::ProjectionLine;
use super::rules::registry;
use crate::config::Project;
use crate::pipeline::{Migration, MigrationOptions, PipelineError, Refusal, Stop, StopHandle, SurveyOptions, survey};
use crate::stores::StoreConfig;

/// What a migration did.
#[derive(Debug, Serialize)]
pub(super) struct MigrateReport {
    run: String,
    state: &'static str,
    resumed: bool,
    source: String,
    target: String,
    source_position: Option<String>,
    #[serde(flatten)]
    counts: Counts,
    /// Events read and written since the command was started.
    read_now: u64,
    written_now: u64,
    seconds: f64,
    /// What became of the read models and snapshots.
    read_models: Vec<ProjectionLine>,
    /// Why they are not what they should be, though the events are in.
    read_models_error: Option<ErrorView>,
    #[serde(skip)]
    exit_code: ExitCode,
    project: String,
    #[serde(skip)]
    to_standard_output: bool,
    /// Whether both sides can be read again.
    #[serde(skip)]
    can_be_verified: bool,
    /// The arguments that say which part of the source.
    #[serde(skip)]
    scope: String,
}

/// Migrates a project.
pub(super) async fn migrate(arguments: &MigrationArguments, format: Format) -> Result<MigrateReport, CommandError> {
    let project = Project::load(&arguments.project.project)?;
    let target = project.require_target()?;
    let migrated = migrate_project(&project, target, arguments, format).await;
    match target.is_standard_stream() {
        true => migrated.map_err(|error| CommandError::BesideEvents(Box::new(error))),
        false => migrated,
    }
}

async fn migrate_project(
    project: &Project,
    target_config: &StoreConfig,
    arguments: &MigrationArguments,
    format: Format,
) -> Result<MigrateReport, CommandError> {
    let registry = Arc::new(registry(project)?);
    let options = migration_options(arguments, project);
    if project.source.is_same(target_config) {
        let store = project.source.reader().await?.identity().to_string();
        return Err(PipelineError::from(Refusal::SameStore { store }).into());
    }
    let source = project.source.reader().await?;
    let target = target_config.writer().await?;
    let (source_name, target_name) = (source.identity().to_string(), target.identity().to_string());
    let can_be_verified =
        source.is_rereadable() && target.capabilities().explicit_positions && !target_config.is_standard_stream();
    let stop = stop_on_signals();

    let begun = Instant::now();
    let migration =
        Migration::new(Arc::clone(&source), target, Arc::clone(&registry), options.clone()).stop_on(stop.clone());
    let start = migration.starting_point().await?;
    let done_before = start.map(|checkpoint| checkpoint.counts).unwrap_or_default();

    let (mut total, mut surveyed) = (None, None);
    if source.is_rereadable() {
        let mut proving = ProgressLine::new(format, "proving", None, 0);
        let survey_options = SurveyOptions {
            scope: options.scope.clone(),
            after: start.map(|checkpoint| checkpoint.source),
            samples: 0,
            limit: None,
            policies: options.policies,
        };
        let proof = survey(&*source, &registry, &survey_options, &stop, |read| proving.set(read)).await;
        proving.end();
        let proof = proof?;
        if proof.complete {
            proof.prove(&source_name, options.policies)?;
            // A misspelt name would pass for a migration that is done.
            if proof.events() == 0 && start.is_none() && options.scope != Scope::All {
                let scope = arguments.scope.to_string();
                return Err(CommandError::NothingInScope { source_name, scope });
            }
            total = Some(proof.events() + proof.after.map_or(0, |_| done_before.read));
            surveyed = Some(proof);
        }
    }

    let mut fed = match arguments.events_only {
        true => Fed::None,
        false => {
            let proof = surveyed.as_ref().map(|survey| (survey, &*registry));
            Fed::begin(project, target_config, start.is_none(), proof).await?
        }
    };

    let mut line = ProgressLine::new(format, "migrating", total, done_before.read);
    let mut progress = migration.progress();
    let outcome = {
        let mut running = std::pin::pin!(fed.run(migration));
        loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                Ok(()) = progress.changed() => {
                    let now = *progress.borrow_and_update();
                    line.set(now.counts.read);
                    if now.state == RunState::Sealing {
                        line.now("indexing");
                    }
                }
            }
        }
    };
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            line.end();
            // The error of the migration is the one that counts.
            let _ = fed.finish(project, false, &stop).await;
            return Err(error.into());
        }
    };
    line.now("read models");
    let built = fed.finish(project, outcome.done, &stop).await;
    line.end();
    let (read_models, failed, exit_code) = match built {
        Ok(Some(lines)) if outcome.done => (lines, None, ExitCode::Done),
        Ok(_) => (Vec::new(), None, ExitCode::Stopped),
        Err(error) => {
            let code = error.exit_code();
            (Vec::new(), Some(error), code)
        }
    };
    Ok(MigrateReport {
        run: outcome.run.to_string(),
        state: if outcome.done { "done" } else { "stopped" },
        resumed: outcome.resumed,
        source: source_name,
        target: target_name,
        source_position: outcome.source.map(|position| position.to_string()),
        counts: outcome.counts,
        read_now: outcome.counts.read - done_before.read,
        written_now: outcome.counts.written - done_before.written,
        seconds: begun.elapsed().as_secs_f64(),
        read_models,
        read_models_error: failed.as_ref().map(ErrorView::of),
        exit_code,
        project: arguments.project.project.display().to_string(),
        to_standard_output: target_config.is_standard_stream(),
        can_be_verified,
        scope: arguments.scope.to_string(),
    })
}

/// What the arguments and the project say about a run.
pub(super) fn migration_options(arguments: &MigrationArguments, project: &Project) -> MigrationOptions {
    let defaults = MigrationOptions::default();
    MigrationOptions {
        scope: arguments.scope.scope(),
        policies: project.policies,
        workers: arguments.workers.unwrap_or(defaults.workers),
        batch_events: arguments.batch,
        accept_changes: arguments.accept_changes,
        ..defaults
    }
}

/// Asks to stop at the first SIGINT or SIGTERM and ends the program at the second.
pub(super) fn stop_on_signals() -> Stop {
    let (handle, stop) = StopHandle::new();
    tokio::spawn(async move {
        // Without handlers a signal ends the program, which a run survives as well.
        let Ok(mut signals) = Signals::listen() else { return };
        signals.next().await;
        handle.stop();
        signals.next().await;
        std::process::exit(i32::from(ExitCode::Stopped as u8));
    });
    stop
}

/// The signals that ask a program to end. It listens all the time, so that none is missed between two.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Report for MigrateReport {
    fn exit_code(&self) -> ExitCode {
        self.exit_code
    }

    fn leaves_standard_output(&self) -> bool {
        self.to_standard_output
    }
}

impl fmt::Display for MigrateReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { read, lifted, dropped, split, written } = self.counts;
        let rate = self.written_now as f64 / self.seconds.max(0.001);
        writeln!(f, "{} → {}", self.source, self.target)?;
        writeln!(f, "read {read}, written {written}: {lifted} lifted, {split} of them split, {dropped} dropped")?;
        if self.resumed && self.read_now == 0 {
            writeln!(f, "nothing was left to do: all of it was done before")?;
        } else {
            if self.resumed {
                writeln!(f, "{} of them written now, behind where the run ended", self.written_now)?;
            }
            writeln!(f, "{:.1} s, {rate:.0} events a second", self.seconds)?;
        }
        let width = self.read_models.iter().map(|line| line.projection.len()).max().unwrap_or(0);
        for line in &self.read_models {
            writeln!(f, "  {:width$}  {line}", line.projection)?;
        }
        if let Some(error) = &self.read_models_error {
            writeln!(f, "the events are in, but the read models are not: {error}")?;
        }
        if self.state == "done" && self.exit_code == ExitCode::Stopped {
            writeln!(f, "the events are in; the read models are what they were, the same command goes on")?;
        }
        if self.state == "done" && !self.can_be_verified {
            write!(f, "done")
        } else if self.state == "done" {
            write!(f, "done; compare both sides with `{}{}`", command("verify", &self.project), self.scope)
        } else {
            match &self.source_position {
                Some(position) => write!(f, "stopped behind position {position}; go on with the same command"),
                None => write!(f, "stopped before anything was written; go on with the same command"),
            }
        }
    }
}
