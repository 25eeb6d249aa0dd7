//! `migrate`: upcasts and appends, and goes on where it ended.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use eventlift_events::{Counts, RunState, Scope, StoreError};
use eventlift_transformers::{Registry, Shape};
use serde::Serialize;

use super::arguments::{MigrateArguments, MigrationArguments};
use super::checks::{Consequence, conclude, refuse_unknown};
use super::control::Listening;
use super::cutover::refuse_after_cut_over;
use super::error::{CommandError, ExitCode};
use super::fed::Fed;
use super::follow::follow;
use super::going_on::{going_on, went_on};
use super::output::{ErrorView, Format, Report, command};
use super::progress_line::ProgressLine;
use super::rebuild::ProjectionLine;
use super::rules::registry;
use super::take_over::Taking;
use super::took::{RuleLine, refused, rule_lines, silent};
use crate::checks::{CheckReport, CheckResult, Checks, Surveyed, Verdict, When, note_of};
use crate::config::Project;
use crate::pipeline::quarantine::Quarantined;
use crate::pipeline::{
    Heartbeat, MayPass, Migration, MigrationOptions, Outcome, PipelineError, Refusal, SessionStart, StartingPoint,
    Stop, StopHandle, Survey, SurveyOptions, refuse_unfollowable, rules_took,
};
use crate::stores::{Claim, StoreConfig};

/// What a migration did.
#[derive(Debug, Serialize)]
pub(super) struct MigrateReport {
    pub(super) run: String,
    state: &'static str,
    resumed: bool,
    source: String,
    target: String,
    pub(super) source_position: Option<String>,
    #[serde(flatten)]
    pub(super) counts: Counts,
    /// Events read and written since the command was started.
    pub(super) read_now: u64,
    pub(super) written_now: u64,
    /// What is in quarantine.
    pub(super) quarantined: Quarantined,
    pub(super) seconds: f64,
    /// How often it went on by itself after a store could not be reached.
    pub(super) retries: u32,
    /// What came of the checks before it, of a new run, and behind it, where some are configured: those that did not
    /// pass. The ledger keeps all of them.
    checks: Vec<CheckResult>,
    /// Every rule, with how many events of the run it took; empty where the target keeps no ledger.
    rules: Vec<RuleLine>,
    /// Why it is refused, though all is in: rules that redact took nothing.
    refused: Option<String>,
    /// What became of the run where checks behind it failed.
    #[serde(skip)]
    consequence: Option<Consequence>,
    /// Whether it ended because another command asked for its target.
    pub(super) handed_over: bool,
    /// What became of the read models and snapshots.
    pub(super) read_models: Vec<ProjectionLine>,
    /// Why they are not what they should be, though the events are in.
    pub(super) read_models_error: Option<ErrorView>,
    #[serde(skip)]
    pub(super) exit_code: ExitCode,
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
pub(super) async fn migrate(arguments: &MigrateArguments, format: Format) -> Result<MigrateReport, CommandError> {
    let project = Project::load(&arguments.migration.project.project)?;
    let target = project.require_target()?;
    let migrated = migrate_project(&project, target, arguments, format).await;
    match target.is_standard_stream() {
        true => migrated.map_err(|error| CommandError::BesideEvents(Box::new(error))),
        false => migrated,
    }
}

async fn migrate_project(
    project: &Project,
    target: &StoreConfig,
    arguments: &MigrateArguments,
    format: Format,
) -> Result<MigrateReport, CommandError> {
    refuse_unknown(project, &arguments.skip_check)?;
    let registry = Arc::new(registry(project)?);
    if project.source.is_same(target) {
        let store = project.source.reader().await?.identity().to_string();
        return Err(PipelineError::from(Refusal::SameStore { store }).into());
    }
    let stop = stop_on_signals();
    let work = Work {
        project,
        target,
        arguments: &arguments.migration,
        skip: &arguments.skip_check,
        follows: arguments.follow,
        format,
        registry,
        options: migration_options(&arguments.migration, project),
        stop,
        session: SessionStart::now("migrate"),
        listening: Listening::begin(project),
        begun: Instant::now(),
        start: OnceLock::new(),
        proof: OnceLock::new(),
        before: OnceLock::new(),
        was_done: OnceLock::new(),
    };
    let attempt = |heartbeat| work.attempt(heartbeat);
    let (mut report, retries) = going_on(&project.retry, format, &work.stop, attempt, || work.reach()).await?;
    report.retries = retries;
    work.count_rules(&mut report).await?;
    if report.state == "done" && !target.is_standard_stream() && project.checks.at(When::After).next().is_some() {
        work.check_behind(&mut report).await?;
    }
    if arguments.follow && report.state == "done" && report.exit_code == ExitCode::Done {
        follow(&work, &mut report).await?;
    }
    Ok(report)
}

/// What is migrated, and what attempts hand on to those after them.
pub(super) struct Work<'a> {
    pub(super) project: &'a Project,
    pub(super) target: &'a StoreConfig,
    pub(super) arguments: &'a MigrationArguments,
    /// The names of checks that are not made.
    skip: &'a [String],
    /// Whether the source is to be followed.
    follows: bool,
    pub(super) format: Format,
    registry: Arc<Registry>,
    options: MigrationOptions,
    pub(super) stop: Stop,
    session: SessionStart,
    listening: Listening,
    pub(super) begun: Instant,
    /// Where the first attempt began.
    pub(super) start: OnceLock<StartingPoint>,
    /// What the source was proved to hold, once it was.
    proof: OnceLock<Survey>,
    /// What came of the checks before a new run.
    before: OnceLock<CheckReport>,
    /// Whether the run was done before.
    was_done: OnceLock<bool>,
}

impl Work<'_> {
    /// Whether somebody answers where both stores are.
    pub(super) async fn reach(&self) -> Result<(), StoreError> {
        self.project.source.reach().await?;
        self.target.reach().await
    }

    /// Opens both stores. The migration is stopped by `stop`.
    pub(super) async fn open(&self, claim: Claim, stop: Stop) -> Result<Migration, CommandError> {
        let source = self.project.source.reader().await?;
        let taking = Taking::beside(claim, self.project, self.format, &self.stop);
        let target = taking.writer(self.target).await?;
        let migration = Migration::new(source, target, Arc::clone(&self.registry), self.options.clone());
        let migration = migration.stop_on(stop).throttled(self.listening.throttle.clone());
        Ok(migration.started(self.session.clone()))
    }

    /// Adds what was done since to the report of what came before.
    pub(super) fn add(&self, report: &mut MigrateReport, outcome: &Outcome) {
        let done_before = self.start.get().map(|start| start.counts()).unwrap_or_default();
        report.read_now = outcome.counts.read - done_before.read;
        report.written_now = outcome.counts.written - done_before.written;
        report.counts = outcome.counts;
        report.quarantined = outcome.quarantined;
        report.source_position = outcome.source.map(|position| position.to_string());
        report.seconds = self.begun.elapsed().as_secs_f64();
    }

    /// Migrates what is left, and builds the read models.
    async fn attempt(&self, heartbeat: Heartbeat) -> Result<MigrateReport, CommandError> {
        let migration = self.open(Claim::of("migrate"), self.stop.clone()).await?;
        if self.follows {
            refuse_unfollowable(&**migration.source())?;
        }
        heartbeat.begun();
        refuse_after_cut_over(migration.target(), migration.target().identity()).await?;
        let start = migration.starting_point().await?;
        let first_start = *self.start.get_or_init(|| start);
        let done_before = first_start.counts();
        if self.was_done.get().is_none() {
            let last = crate::pipeline::last_that_fills(migration.target().runs().await?);
            // Only one attempt runs at a time, so that there is none yet.
            let _ = self.was_done.set(last.is_some_and(|run| run.state == RunState::Done));
        }
        self.prove(&migration, start).await?;
        let migration = match (self.before.get(), start.is_first_event()) {
            (Some(report), true) => migration.noting(vec![note_of(report)?]),
            _ => migration,
        };
        let proof = self.proof.get();
        let total = proof.map(|proof| proof.events() + proof.after.map_or(0, |_| done_before.read));
        let source = migration.source();
        let (source_name, target_name) = (source.identity().to_string(), migration.target().identity().to_string());
        let can_be_verified = source.is_rereadable()
            && migration.target().capabilities().explicit_positions
            && !self.target.is_standard_stream();
        let mut fed = match self.arguments.events_only {
            true => Fed::None,
            false => {
                let proof = proof.map(|survey| (survey, &*self.registry));
                Fed::begin(self.project, self.target, start.is_first_event(), proof).await?
            }
        };

        let mut line = ProgressLine::new(self.format, "migrating", total, start.counts().read);
        let mut progress = migration.progress();
        let outcome = {
            let mut running = std::pin::pin!(fed.run(migration));
            loop {
                tokio::select! {
                    outcome = &mut running => break outcome,
                    Ok(()) = progress.changed() => {
                        let now = *progress.borrow_and_update();
                        heartbeat.progressed(now.counts.read);
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
                let _ = fed.finish(self.project, false, &self.stop).await;
                return Err(error.into());
            }
        };
        line.now("read models");
        let built = fed.finish(self.project, outcome.done, &self.stop).await;
        line.end();
        let (read_models, failed, exit_code) = match built {
            Ok(Some(lines)) if outcome.done => (lines, None, ExitCode::Done),
            Ok(_) => (Vec::new(), None, ExitCode::Stopped),
            // The events are in: the next attempt finds nothing to do but the read models.
            Err(error) if error.may_pass() => return Err(error),
            Err(error) => {
                let code = error.exit_code();
                (Vec::new(), Some(error), code)
            }
        };
        let is_first_attempt = start == first_start;
        Ok(MigrateReport {
            run: outcome.run.to_string(),
            state: if outcome.done { "done" } else { "stopped" },
            resumed: if is_first_attempt { outcome.resumed } else { !first_start.is_first_event() },
            source: source_name,
            target: target_name,
            source_position: outcome.source.map(|position| position.to_string()),
            counts: outcome.counts,
            read_now: outcome.counts.read - done_before.read,
            written_now: outcome.counts.written - done_before.written,
            quarantined: outcome.quarantined,
            seconds: self.begun.elapsed().as_secs_f64(),
            retries: 0,
            checks: self.before.get().map(not_passed).unwrap_or_default(),
            rules: Vec::new(),
            refused: None,
            consequence: None,
            handed_over: false,
            read_models,
            read_models_error: failed.as_ref().map(ErrorView::of),
            exit_code,
            project: self.arguments.project.project.display().to_string(),
            to_standard_output: self.target.is_standard_stream(),
            can_be_verified,
            scope: self.arguments.scope.to_string(),
        })
    }

    /// Proves once what the run will do, where the source can be read for that.
    async fn prove(&self, migration: &Migration, start: StartingPoint) -> Result<(), CommandError> {
        let (source, options) = (migration.source(), &self.options);
        if self.proof.get().is_some() {
            return Ok(());
        }
        let checks = self.checks();
        if !source.is_rereadable() {
            return self.check_before(&checks, None, start).await;
        }
        let mut proving = ProgressLine::new(self.format, "proving", None, 0);
        let survey_options = SurveyOptions {
            scope: options.scope.clone(),
            after: start.source(),
            samples: 0,
            limit: None,
            policies: options.policies,
            gaps_are_found_later: self.registry.shape() <= Shape::Splitting && self.registry.stateful().is_empty(),
        };
        let surveyed = checks.survey(&**source, &survey_options, |read| proving.set(read)).await;
        proving.end();
        let Surveyed { survey: proof, looks } = surveyed?;
        if !proof.complete {
            return Ok(());
        }
        let source_name = source.identity().to_string();
        proof.prove(&source_name, options.policies)?;
        // A misspelt name would pass for a migration that is done.
        if proof.events() == 0 && start.is_first_event() && options.scope != Scope::All {
            let scope = self.arguments.scope.to_string();
            return Err(CommandError::NothingInScope { source_name, scope });
        }
        let surveyed = Surveyed { survey: proof.clone(), looks };
        self.check_before(&checks, Some(surveyed), start).await?;
        // Only one attempt runs at a time, so that there is none yet.
        let _ = self.proof.set(proof);
        Ok(())
    }

    /// How many events each rule took; none where the target has no ledger, or no run.
    async fn took(&self) -> Result<Option<Vec<RuleLine>>, CommandError> {
        let Some(ledger) = self.target.ledger().await? else { return Ok(None) };
        let Some(run) = crate::pipeline::last_that_fills(ledger.runs().await?) else { return Ok(None) };
        Ok(Some(rule_lines(&self.registry, &rules_took(&*ledger, run.id).await?)))
    }

    /// Says which rules took how many events, once all is in, and refuses where one took nothing that should have.
    async fn count_rules(&self, report: &mut MigrateReport) -> Result<(), CommandError> {
        if report.state != "done" {
            return Ok(());
        }
        let attempt = |heartbeat: Heartbeat| {
            // The target was there a moment ago.
            heartbeat.begun();
            self.took()
        };
        let (lines, retries) = going_on(&self.project.retry, self.format, &self.stop, attempt, || self.reach()).await?;
        report.retries += retries;
        let Some(lines) = lines else { return Ok(()) };
        report.rules = lines;
        if report.counts.read > 0 && report.exit_code == ExitCode::Done {
            report.refused = refused(&report.rules, &self.options.scope);
            if report.refused.is_some() {
                report.exit_code = ExitCode::Rule;
            }
        }
        Ok(())
    }

    fn checks(&self) -> Checks<'_> {
        Checks {
            settings: &self.project.checks,
            policies: self.project.policies,
            scope: self.options.scope.clone(),
            source: &self.project.source,
            target: Some(self.target),
            read_models: self.project.read_models.as_ref(),
            registry: Arc::clone(&self.registry),
            skip: self.skip,
            stop: &self.stop,
        }
    }

    /// Makes the checks before a new run, and refuses it where some fail. A run that goes on has passed them.
    async fn check_before(
        &self,
        checks: &Checks<'_>,
        surveyed: Option<Surveyed>,
        start: StartingPoint,
    ) -> Result<(), CommandError> {
        if !start.is_first_event() || self.before.get().is_some() {
            return Ok(());
        }
        let report = checks.run(When::Before, surveyed).await?;
        if !report.passed() {
            return Err(CommandError::ChecksFailed(report));
        }
        // As above.
        let _ = self.before.set(report);
        Ok(())
    }

    /// Makes the checks behind the run, and does what is configured where some fail.
    async fn check_behind(&self, report: &mut MigrateReport) -> Result<(), CommandError> {
        let checks = self.checks().run(When::After, None).await?;
        let was_done = self.was_done.get().copied().unwrap_or(true);
        report.consequence = conclude(self.project, &checks, !was_done, self.format, &self.stop).await?;
        match report.consequence {
            None => {}
            Some(Consequence::RolledBack) => (report.state, report.exit_code) = ("rolled_back", ExitCode::Refused),
            Some(_) => report.exit_code = ExitCode::Refused,
        }
        report.checks.extend(not_passed(&checks));
        Ok(())
    }
}

fn not_passed(report: &CheckReport) -> Vec<CheckResult> {
    report.results.iter().filter(|result| result.verdict != Verdict::Pass).cloned().collect()
}

/// What the arguments and the project say about a run.
pub(super) fn migration_options(arguments: &MigrationArguments, project: &Project) -> MigrationOptions {
    let defaults = MigrationOptions::default();
    MigrationOptions {
        scope: arguments.scope.scope(),
        policies: project.policies,
        quarantine: project.quarantine,
        workers: arguments.workers.unwrap_or(defaults.workers),
        batch_events: arguments.batch,
        accept_changes: arguments.accept_changes,
        dense_target: project.target.as_ref().is_some_and(StoreConfig::takes_no_gaps),
        ..defaults
    }
}

/// Asks to stop at the first SIGINT or SIGTERM and ends the program at the second.
pub(super) fn stop_on_signals() -> Stop {
    let (handle, stop) = StopHandle::new();
    stop_by_signals(handle);
    stop
}

/// Asks to stop by a handle, in the same way.
pub(super) fn stop_by_signals(handle: StopHandle) {
    tokio::spawn(async move {
        // Without handlers a signal ends the program, which a run survives as well.
        let Ok(mut signals) = Signals::listen() else { return };
        signals.next().await;
        handle.stop();
        signals.next().await;
        std::process::exit(i32::from(ExitCode::Stopped as u8));
    });
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
        match self.exit_code {
            ExitCode::Done if self.quarantined.events > 0 => ExitCode::Quarantined,
            code => code,
        }
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
        if let Some(went_on) = went_on(self.retries) {
            writeln!(f, "{went_on}")?;
        }
        for line in &self.read_models {
            writeln!(f, "  {:width$}  {line}", line.projection)?;
        }
        if let Some(error) = &self.read_models_error {
            writeln!(f, "the events are in, but the read models are not: {error}")?;
        }
        if self.state == "done" && self.exit_code == ExitCode::Stopped {
            writeln!(f, "the events are in; the read models are what they were, the same command goes on")?;
        }
        for result in &self.checks {
            writeln!(f, "{result}")?;
        }
        if let Some(consequence) = self.consequence {
            return write!(f, "checks failed: {}", consequence.text());
        }
        if self.handed_over {
            writeln!(f, "handed over: another command asked for the target")?;
        }
        if self.counts.read > 0 {
            silent(&self.rules).iter().try_for_each(|line| writeln!(f, "note: {line}"))?;
        }
        if let Some(refused) = &self.refused {
            writeln!(f, "refused, though all of it is in: {refused}")?;
        }
        if self.quarantined.events > 0 {
            writeln!(f, "{}; `{}` says why", self.quarantined, command("quarantine list", &self.project))?;
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
