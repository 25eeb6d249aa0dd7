//! The tasks of schedules, done on a project as it is when they are due.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use eventlift_events::StoreError;
use eventlift_projections::{Projection, ReadModelStore};

use super::error::CommandError;
use super::going_on::going_on;
use super::output::Format;
use super::read_models::{feed, read_models};
use super::rebuild::changes_of;
use crate::config::Project;
use crate::pipeline::{Heartbeat, MayPass, RetryPolicy, Stop};
use crate::rebuild::{Built, Feed, FoldOptions, Outcome, Rebuild, Wanted};
use crate::serve::{Due, JobFailure, JobOutcome, Jobs, Task};
use crate::stores::ReadModelConfig;

/// Does the tasks of a project's schedules. Its definitions are read again for each, so that what was changed is built
/// without a restart.
pub(super) struct ProjectJobs {
    /// The folder of `eventlift.toml`.
    pub(super) folder: PathBuf,
    /// Where the read models were kept when the service was started, and their ledger still is.
    pub(super) kept_in: ReadModelConfig,
    pub(super) store: Arc<dyn ReadModelStore>,
    /// How long stores that can't be reached are waited for.
    pub(super) retry: RetryPolicy,
    /// For whom that is said.
    pub(super) format: Format,
}

/// Why a task failed: an error of each projection that did.
struct Failed(Vec<CommandError>);

impl MayPass for Failed {
    fn store_error(&self) -> Option<&StoreError> {
        // All of them must pass.
        let first = self.0.iter().find(|error| !error.may_pass()).or(self.0.first());
        first.and_then(CommandError::store_error)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<String> = self.0.iter().map(CommandError::to_string).collect();
        f.write_str(&messages.join("; "))
    }
}

impl From<CommandError> for Failed {
    fn from(error: CommandError) -> Self {
        Self(vec![error])
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        CommandError::from(error).into()
    }
}

impl From<Failed> for JobFailure {
    fn from(failed: Failed) -> Self {
        // The hints are those of their own errors: where there are several, the first one's would mislead.
        let hint = if let [error] = &failed.0[..] { error.hint() } else { None };
        Self { message: failed.to_string(), hint }
    }
}

/// What became of some projections of a task.
#[derive(Default)]
struct Progress {
    built: Vec<Built>,
    held: Vec<String>,
    failures: Vec<CommandError>,
    is_stopped: bool,
}

#[async_trait]
impl Jobs for ProjectJobs {
    async fn run(&self, due: &Due, stop: &Stop) -> Result<JobOutcome, JobFailure> {
        let attempt = |heartbeat| self.attempt(due, stop, heartbeat);
        let attempted = going_on(&self.retry, self.format, stop, attempt, || self.kept_in.reach()).await;
        Ok(attempted?.0)
    }
}

impl ProjectJobs {
    async fn attempt(&self, due: &Due, stop: &Stop, heartbeat: Heartbeat) -> Result<JobOutcome, Failed> {
        // A schedule is kept although a server is just being started.
        heartbeat.begun();
        let work = self.prepare(due).await?;
        if work.wanted.is_empty() {
            let is_nothing_changed = due.task == Task::RebuildChanged;
            let nothing = if is_nothing_changed { "nothing had changed" } else { "nothing was left to do" };
            return Ok(JobOutcome::Done(nothing.to_owned()));
        }
        let mut progress = Progress::default();
        match due.task {
            Task::Update(_) | Task::UpdateAll => {
                // Each by itself: one that can't be brought up to date keeps none of the others from it.
                for wanted in &work.wanted {
                    let rebuild = self.rebuild(&work, vec![wanted.clone()], due, stop);
                    progress.add(rebuild.update().await);
                    if stop.is_asked() {
                        progress.is_stopped = true;
                        break;
                    }
                }
            }
            Task::Rebuild(_) | Task::RebuildChanged | Task::RebuildAll => {
                progress.add(self.rebuild(&work, work.wanted.clone(), due, stop).run().await);
            }
        }
        progress.outcome()
    }
}

/// What is to be done.
struct Work {
    feed: Feed,
    wanted: Vec<Wanted>,
    options: FoldOptions,
}

impl ProjectJobs {
    /// Reads the project anew, and finds out which of its projections are to be built, and why.
    async fn prepare(&self, due: &Due) -> Result<Work, CommandError> {
        let project = Project::load(&self.folder)?;
        let models = read_models(&project, None)?
            .ok_or_else(|| CommandError::NoProjections { folder: project.projections.display().to_string() })?;
        if models.config != self.kept_in {
            return Err(CommandError::ReadModelsMoved {
                from: self.kept_in.to_string(),
                to: models.config.to_string(),
            });
        }
        let mut named = models.named(due.task.names().unwrap_or_default())?;
        named.retain(|projection| !due.answered.iter().any(|answered| answered == projection.name()));
        let feed = feed(&project, None).await?;
        let wanted = self.wanted(due, named, &feed).await?;
        Ok(Work { feed, wanted, options: project.rebuild.fold_options() })
    }

    async fn wanted(
        &self,
        due: &Due,
        named: Vec<Arc<dyn Projection>>,
        feed: &Feed,
    ) -> Result<Vec<Wanted>, CommandError> {
        if due.task != Task::RebuildChanged {
            let reason = format!("schedule {}", due.schedule);
            let wanted = |projection| Wanted { projection, reason: reason.clone() };
            return Ok(named.into_iter().map(wanted).collect());
        }
        let mut wanted = Vec::new();
        for projection in named {
            let changes = changes_of(&*self.store, feed, &*projection).await?;
            if !changes.is_empty() {
                wanted.push(Wanted { projection, reason: changes.join("; ") });
            }
        }
        Ok(wanted)
    }

    fn rebuild(&self, work: &Work, wanted: Vec<Wanted>, due: &Due, stop: &Stop) -> Rebuild {
        Rebuild::new(work.feed.clone(), Arc::clone(&self.store), wanted, work.options.clone())
            .scheduled(&due.schedule, due.at)
            .stop_on(stop.clone())
    }
}

impl Progress {
    fn add(&mut self, outcome: Result<Outcome, crate::rebuild::RebuildError>) {
        match outcome {
            Ok(outcome) => {
                self.is_stopped |= !outcome.done;
                self.built.extend(outcome.built);
                self.held.extend(outcome.held);
            }
            Err(error) => self.failures.push(error.into()),
        }
    }

    /// A failure counts most. What is left of a time for which something failed waits for the next one.
    fn outcome(self) -> Result<JobOutcome, Failed> {
        let Self { mut built, held, failures, is_stopped } = self;
        if !failures.is_empty() {
            return Err(Failed(failures));
        }
        if is_stopped {
            return Ok(JobOutcome::Stopped);
        }
        if !held.is_empty() {
            return Ok(JobOutcome::Held(held));
        }
        if built.is_empty() {
            return Ok(JobOutcome::Done("another process has done it".to_owned()));
        }
        built.sort_by(|one, other| one.projection.cmp(&other.projection));
        let lines: Vec<String> = built.iter().map(line).collect();
        Ok(JobOutcome::Done(lines.join(", ")))
    }
}

fn line(built: &Built) -> String {
    let Built { projection, events, rows, quarantined, .. } = built;
    let counts = format!("{projection} ({events} events, {rows} rows");
    match quarantined {
        0 => format!("{counts})"),
        events => format!("{counts}, {events} in quarantine)"),
    }
}
