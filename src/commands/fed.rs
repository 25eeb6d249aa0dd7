//! The read models that a migration feeds: in the same pass where it begins with the first event, and else behind it.

use std::sync::Arc;

use eventlift_projections::Projection;

use super::error::CommandError;
use super::read_models::{ReadModels, feed, read_models, wanted};
use super::rebuild::{Done, ProjectionLine, changes_of};
use crate::config::Project;
use crate::pipeline::{Migration, Outcome, PipelineError, Stop, Survey, keep_places};
use crate::rebuild::{Beside, Built, Rebuild, RebuildError, Wanted, prove_understood, reaching};
use crate::stores::StoreConfig;

/// How the read models come about.
pub(super) enum Fed {
    /// There are none, or they are to be left alone.
    None,
    /// In the same pass.
    Beside(Box<Beside>),
    /// Behind the migration, from the target: it goes on with a run that was begun before, loads ranges at the same
    /// time, or writes to the very database of the read models.
    Behind(ReadModels),
}

impl Fed {
    /// Finds out, takes hold of what is fed in the same pass, and refuses projections that don't understand what would
    /// reach them.
    pub(super) async fn begin(
        project: &Project,
        target: &StoreConfig,
        from_the_start: bool,
        proof: Option<(&Survey, &eventlift_transformers::Registry)>,
    ) -> Result<Self, CommandError> {
        let Some(models) = read_models(project, None)? else { return Ok(Self::None) };
        if target.is_standard_stream() {
            return Err(CommandError::TargetIsStream);
        }
        if let Some((survey, registry)) = proof {
            prove(&models.projections, survey, registry)?;
        }
        // Ranges at the same time, and a scan behind them, are faster than one pass in order.
        let in_ranges = project.source.takes_ranges()
            && target.takes_ranges()
            && proof.is_some_and(|(_, registry)| keep_places(registry));
        if !from_the_start || in_ranges || !models.config.is_apart_from(target) {
            return Ok(Self::Behind(models));
        }
        let wanted = wanted(&models.projections, "migrate");
        let beside = Beside::begin(models.open().await?, &wanted, project.rebuild.fold_options()).await?;
        Ok(Self::Beside(Box::new(beside)))
    }

    /// Runs the migration, and hands what it appends on.
    pub(super) async fn run(&mut self, migration: Migration) -> Result<Outcome, PipelineError> {
        match self {
            Self::Beside(beside) => migration.run_beside(&mut **beside).await,
            Self::None | Self::Behind(_) => migration.run().await,
        }
    }

    /// Builds what was fed, or brings it up to date, once the migration is done. One that is not leaves the read models
    /// as they are. None where it was asked to stop before all of it was done.
    pub(super) async fn finish(
        self,
        project: &Project,
        done: bool,
        stop: &Stop,
    ) -> Result<Option<Vec<ProjectionLine>>, CommandError> {
        match self {
            Self::None => Ok(Some(Vec::new())),
            Self::Beside(beside) if !done => {
                beside.abandon().await?;
                Ok(None)
            }
            Self::Beside(beside) => {
                let built = beside.finish(&feed(project, None).await?, stop).await?;
                Ok(built.map(|built| lines(built, Done::BuiltInTheSamePass, &[])))
            }
            Self::Behind(_) if !done => Ok(None),
            Self::Behind(models) => behind(project, &models, stop).await,
        }
    }
}

/// Refuses projections that don't understand what reaches them.
fn prove(
    projections: &[Arc<dyn Projection>],
    survey: &Survey,
    registry: &eventlift_transformers::Registry,
) -> Result<(), CommandError> {
    let types = survey.types.iter().map(|covered| (covered.event_type.clone(), covered.version, covered.tally.events));
    let Some(types) = reaching(registry, types) else { return Ok(()) };
    for projection in projections {
        prove_understood(&**projection, &types).map_err(RebuildError::from)?;
    }
    Ok(())
}

/// Builds anew what has changed, and applies the new events to the rest.
async fn behind(
    project: &Project,
    models: &ReadModels,
    stop: &Stop,
) -> Result<Option<Vec<ProjectionLine>>, CommandError> {
    let (feed, store) = (feed(project, None).await?, models.open().await?);
    let (mut changed, mut unchanged) = (Vec::new(), Vec::new());
    for projection in &models.projections {
        let why = changes_of(&*store, &feed, &**projection).await?;
        let projection = Arc::clone(projection);
        match why.is_empty() {
            true => unchanged.push(Wanted { projection, reason: "migrate".to_owned() }),
            false => changed.push(Wanted { projection, reason: why.join("; ") }),
        }
    }
    let reasons: Vec<(String, String)> =
        changed.iter().map(|w| (w.projection.name().to_owned(), w.reason.clone())).collect();
    let options = project.rebuild.fold_options();
    let mut built = Vec::new();
    if !changed.is_empty() {
        let rebuild = Rebuild::new(feed.clone(), Arc::clone(&store), changed, options.clone()).stop_on(stop.clone());
        let outcome = rebuild.run().await?;
        if !outcome.done {
            return Ok(None);
        }
        built.extend(lines(outcome.built, Done::Rebuilt, &reasons));
    }
    if !unchanged.is_empty() {
        let outcome = Rebuild::new(feed, store, unchanged, options).stop_on(stop.clone()).update().await?;
        if !outcome.done {
            return Ok(None);
        }
        built.extend(lines(outcome.built, Done::BroughtUpToDate, &[]));
    }
    built.sort_by(|one, other| one.projection.cmp(&other.projection));
    Ok(Some(built))
}

fn lines(built: Vec<Built>, action: Done, reasons: &[(String, String)]) -> Vec<ProjectionLine> {
    built.into_iter().map(|built| ProjectionLine::of(built, action, reasons)).collect()
}
