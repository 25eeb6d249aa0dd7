//! The checks of a project, made by `migrate`, `check --stores` and a cut-over.

use std::sync::Arc;

use eventlift_events::{RunState, Scope, Timestamp};

use super::error::CommandError;
use super::output::Format;
use super::rules::registry;
use super::take_over::Taking;
use crate::checks::{BUILT_IN, CheckReport, Checks, OnFailure, When, record};
use crate::config::Project;
use crate::cutover::CutOver;
use crate::pipeline::Stop;
use crate::stores::Claim;

/// How checks are made.
#[derive(Clone, Debug)]
pub struct CheckOptions {
    /// The names of those that are not made. They are in the report, as skipped.
    pub skip: Vec<String>,
    /// Which events are migrated.
    pub scope: Scope,
    /// Ends scans early; what they would have found is not found then.
    pub stop: Stop,
}

impl Default for CheckOptions {
    fn default() -> Self {
        Self { skip: Vec::new(), scope: Scope::All, stop: Stop::never() }
    }
}

/// Makes the checks of a project that are due at a time, and writes nothing. Before a migration, the source is scanned
/// once for all that look at its events; at a cut-over, those behind a migration are made as well.
///
/// A check that can't be made has failed, and says why. Fails itself only where the project is wrong, a name to skip is
/// none of a check, or a store can't be read or reached. [`record`] keeps the report.
pub async fn run_checks(project: &Project, when: When, options: CheckOptions) -> Result<CheckReport, CommandError> {
    refuse_unknown(project, &options.skip)?;
    let checks = Checks {
        settings: &project.checks,
        policies: project.policies,
        scope: options.scope,
        source: &project.source,
        target: project.target.as_ref(),
        read_models: project.read_models.as_ref(),
        registry: Arc::new(registry(project)?),
        skip: &options.skip,
        stop: &options.stop,
    };
    Ok(checks.run(when, None).await?)
}

/// Fails where a name to skip is none of a check: a misspelt one would pass for a check that was skipped.
pub(super) fn refuse_unknown(project: &Project, skip: &[String]) -> Result<(), CommandError> {
    let own = || project.checks.checks.iter().map(|check| &*check.name);
    let is_known = |name: &&String| BUILT_IN.contains(&&***name) || own().any(|known| known == &***name);
    match skip.iter().find(|name| !is_known(name)) {
        None => Ok(()),
        Some(name) => {
            let known = BUILT_IN.into_iter().chain(own()).map(str::to_owned).collect();
            Err(CommandError::UnknownCheck { name: name.clone(), known })
        }
    }
}

/// What became of a run whose checks failed once everything was in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Consequence {
    /// It is only said.
    Said,
    /// There is no cut-over until they pass.
    Held,
    /// What the run wrote was taken out again.
    RolledBack,
}

impl Consequence {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Said => "the events are in all the same",
            Self::Held => "the events are in; there is no cut-over until the checks pass",
            Self::RolledBack => "what the run wrote was taken out of the target again; read models stay as they are",
        }
    }
}

/// Keeps the report of the checks behind a migration, and does what is configured where some failed. A run that was done
/// before, or whose writers were switched, is never rolled back: others may rely on what is there.
pub(super) async fn conclude(
    project: &Project,
    report: &CheckReport,
    may_roll_back: bool,
    format: Format,
    stop: &Stop,
) -> Result<Option<Consequence>, CommandError> {
    let taking = Taking::beside(Claim::of("migrate"), project, format, stop);
    let mut target = taking.writer(project.require_target()?).await?;
    let Some(mut run) = crate::pipeline::last_that_fills(target.runs().await?) else { return Ok(None) };
    let on_failure = project.checks.on_failure;
    let is_cut_over = CutOver::of(&*target, run.id).await?.is_some();
    let rolls_back = on_failure == OnFailure::RollBack && may_roll_back && !is_cut_over && !report.passed();
    let holds = on_failure != OnFailure::Stop && !rolls_back;
    record(report, holds, &mut *target, run.id).await?;
    if report.passed() {
        return Ok(None);
    }
    if rolls_back {
        (run.state, run.updated_at) = (RunState::RolledBack, Timestamp::now());
        target.erase(None, &run).await?;
        return Ok(Some(Consequence::RolledBack));
    }
    Ok(Some(if holds { Consequence::Held } else { Consequence::Said }))
}
