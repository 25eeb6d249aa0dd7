//! The read models of a project: its projections, where they are kept, and what they are fed from.

use std::path::Path;
use std::sync::Arc;

use eventlift_events::{RunState, StoreErrorKind};
use eventlift_projections::{Definitions, Projection, ReadModelStore};
use eventlift_transformers::Registry;

use super::error::CommandError;
use super::ownership::Ownership;
use super::rules::registry;
use crate::config::Project;
use crate::pipeline::quarantine::Apart;
use crate::rebuild::{Feed, Wanted};
use crate::stores::ReadModelConfig;
use crate::stores::sqlite::SqliteConfig;

/// The projections of a project and where they are kept.
pub(super) struct ReadModels {
    pub(super) projections: Vec<Arc<dyn Projection>>,
    pub(super) config: ReadModelConfig,
    /// Whose builds it may change.
    pub(super) ownership: Ownership,
}

/// Which store events are folded from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum From {
    /// What a migration has written.
    Target,
    /// What a migration reads, each event lifted on the fly.
    Source,
}

/// Reads and compiles the projections of a project.
pub(super) fn projections(project: &Project) -> Result<Definitions, CommandError> {
    Ok(Definitions::load(project.projections()?)?)
}

/// The projections of a project, if it has any. Fails where nothing says where they are kept.
pub(super) fn read_models(project: &Project, into: Option<&Path>) -> Result<Option<ReadModels>, CommandError> {
    let projections = projections(project)?.projections();
    if projections.is_empty() {
        return Ok(None);
    }
    let config = match into {
        Some(path) => ReadModelConfig::Sqlite(SqliteConfig::new(path)),
        None => project.require_read_models()?.clone(),
    };
    Ok(Some(ReadModels { projections, config, ownership: Ownership::of(project) }))
}

impl ReadModels {
    /// Those of these names, in their order, or all where no names are given.
    pub(super) fn named(&self, names: &[String]) -> Result<Vec<Arc<dyn Projection>>, CommandError> {
        if names.is_empty() {
            return Ok(self.projections.clone());
        }
        let mut named: Vec<Arc<dyn Projection>> = Vec::new();
        for name in names {
            let found = self.projections.iter().find(|projection| projection.name() == name);
            let found = found.ok_or_else(|| CommandError::UnknownProjection {
                name: name.clone(),
                known: self.projections.iter().map(|projection| projection.name().to_owned()).collect(),
            })?;
            if !named.iter().any(|known| known.name() == name) {
                named.push(Arc::clone(found));
            }
        }
        Ok(named)
    }

    /// Their names, in the order of the files.
    pub(super) fn names(&self) -> Vec<&str> {
        self.projections.iter().map(|projection| projection.name()).collect()
    }

    /// Opens the database, and makes it where there is none. What is another project's is kept from it.
    pub(super) async fn open(&self) -> Result<Arc<dyn ReadModelStore>, CommandError> {
        Ok(self.ownership.clone().keep(self.config.open().await?))
    }

    /// Opens the database if it is there, and changes nothing.
    pub(super) async fn look(&self) -> Result<Option<Arc<dyn ReadModelStore>>, CommandError> {
        Ok(self.config.look().await?.map(|store| self.ownership.clone().look(store)))
    }
}

/// Where events are folded from: the target, where a project has one, and else the source, lifted by the rules.
pub(super) async fn feed(project: &Project, from: Option<From>) -> Result<Feed, CommandError> {
    let Some(target) = project.target.as_ref().filter(|_| from != Some(From::Source)) else {
        if from == Some(From::Target) {
            project.require_target()?;
        }
        return lifted_source(project, registry(project)?).await;
    };
    let (mut run, mut released) = (None, 0);
    if let Some(ledger) = target.ledger().await? {
        run = crate::pipeline::last_that_fills(ledger.runs().await?);
        if let Some(run) = &run {
            released = Apart::of(&*ledger, run.id).await?.released_between();
        }
    }
    match run {
        Some(run) if run.state == RunState::Done => {
            // Whoever has read past events that were released between others has missed them, and is built anew.
            let filled_by = match released {
                0 => run.id.to_string(),
                released => format!("{}, and {released} events released from quarantine", run.id),
            };
            Ok(Feed::of(target.reader().await?).filled_by(Some(filled_by)))
        }
        Some(_) => Err(CommandError::NotMigrated { target: target.to_string(), problem: "its run has not ended" }),
        // A store that was there before eventlift is as good.
        None => match target.reader().await {
            Ok(reader) => Ok(Feed::of(reader)),
            Err(error) if matches!(error.kind, StoreErrorKind::Missing) => {
                Err(CommandError::NotMigrated { target: target.to_string(), problem: "no run has filled it yet" })
            }
            Err(error) => Err(error.into()),
        },
    }
}

async fn lifted_source(project: &Project, registry: Registry) -> Result<Feed, CommandError> {
    let feed = Feed::of(project.source.reader().await?);
    let lifted = feed.lifted_by(Arc::new(registry), project.policies);
    Ok(lifted.map_err(crate::rebuild::RebuildError::from)?)
}

/// All of them, for one reason.
pub(super) fn wanted(projections: &[Arc<dyn Projection>], reason: &str) -> Vec<Wanted> {
    let wanted = |projection| Wanted { projection: Arc::clone(projection), reason: reason.to_owned() };
    projections.iter().map(wanted).collect()
}
