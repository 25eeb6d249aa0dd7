//! Where the read models of a project stand, as `status` shows it.

use std::fmt;
use std::sync::Arc;

use eventlift_projections::{Projection, ReadModelStore, Side};
use serde::Serialize;

use super::error::CommandError;
use super::ownership::Ownership;
use super::read_models::{feed, projections};
use crate::config::Project;
use crate::rebuild::{Feed, changes, origin};

/// Where the read models stand.
#[derive(Debug, Serialize)]
pub(super) struct ReadModelStatus {
    /// Where they are kept; none in a project without any.
    read_models: Option<String>,
    /// The projections that have a definition or a build, in the order of their names.
    projections: Vec<ProjectionStatus>,
    /// Why it can't be said what has changed since the builds were made.
    unknown_changes: Option<String>,
    /// Whether there are read models to speak of.
    #[serde(skip)]
    is_begun: bool,
}

/// Where a projection stands.
#[derive(Debug, Serialize)]
struct ProjectionStatus {
    projection: String,
    /// Whether a definition of it is there; none where the definitions can't be read.
    defined: Option<bool>,
    live: Option<LiveStatus>,
    /// Whether a process builds it now.
    held: bool,
    /// Whether the build that was live before is kept.
    previous: bool,
    /// Whether there is a build beside the live one, which is being made or was left over.
    shadow: bool,
    /// How what would be built now differs from the live build; none where that is not known.
    changes: Option<Vec<String>>,
}

/// The live build of a projection.
#[derive(Debug, Serialize)]
struct LiveStatus {
    generation: u64,
    checkpoint: Option<String>,
    events: u64,
    quarantined: u64,
    updated_at: String,
}

/// Looks at the read models of a project. Definitions that can't be read, and stores that can't be, are no error: only
/// what has changed is not known then.
pub(super) async fn read_model_status(project: &Project) -> Result<ReadModelStatus, CommandError> {
    let Some(config) = &project.read_models else {
        return Ok(ReadModelStatus {
            read_models: None,
            projections: Vec::new(),
            unknown_changes: None,
            is_begun: false,
        });
    };
    let store = config.look().await?.map(|store| Ownership::of(project).look(store));
    let built = match &store {
        Some(store) => store.projections().await?,
        None => Vec::new(),
    };
    let defined = projections(project).map(|definitions| definitions.projections());
    let mut names = built.clone();
    names.extend(defined.iter().flatten().map(|projection| projection.name().to_owned()));
    names.sort();
    names.dedup();

    let now = now(project, defined, !built.is_empty()).await;
    let mut lines = Vec::new();
    for name in names {
        lines.push(match &store {
            Some(store) => ProjectionStatus::of(&**store, name, &now).await?,
            None => ProjectionStatus::never_built(name),
        });
    }
    Ok(ReadModelStatus {
        read_models: Some(config.to_string()),
        projections: lines,
        unknown_changes: now.unknown,
        is_begun: !built.is_empty() || project.target.is_none(),
    })
}

/// What would be built now.
struct Now {
    /// None where the definitions can't be read.
    defined: Option<Vec<Arc<dyn Projection>>>,
    /// None where it is not known, or where nothing was built that it could be compared with.
    feed: Option<Feed>,
    /// Why not.
    unknown: Option<String>,
}

async fn now(project: &Project, defined: Result<Vec<Arc<dyn Projection>>, CommandError>, is_compared: bool) -> Now {
    let defined = match defined {
        Ok(defined) => defined,
        Err(error) => return Now { defined: None, feed: None, unknown: Some(error.to_string()) },
    };
    let is_stream = project.target.is_none() && project.source.is_standard_stream();
    if !is_compared || is_stream {
        return Now { defined: Some(defined), feed: None, unknown: None };
    }
    match feed(project, None).await {
        Ok(feed) => Now { defined: Some(defined), feed: Some(feed), unknown: None },
        Err(error) => Now { defined: Some(defined), feed: None, unknown: Some(error.to_string()) },
    }
}

impl ProjectionStatus {
    fn never_built(projection: String) -> Self {
        let changes = Some(changes_since_nothing());
        Self { projection, defined: Some(true), live: None, held: false, previous: false, shadow: false, changes }
    }

    async fn of(store: &dyn ReadModelStore, name: String, now: &Now) -> Result<Self, CommandError> {
        let builds = store.builds(&name).await?;
        let definition =
            now.defined.as_ref().map(|defined| defined.iter().find(|projection| projection.name() == name));
        let changes = match (definition.flatten(), &now.feed, &builds.live) {
            (Some(_), _, None) => Some(changes_since_nothing()),
            (Some(projection), Some(feed), Some(live)) => Some(changes(Some(live), &origin(feed, &**projection))),
            _ => None,
        };
        let quarantined = match builds.live {
            Some(_) => store.quarantined(Side::Live, &name).await?.len() as u64,
            None => 0,
        };
        let held = store.is_held(&name).await?;
        let live = builds.live.map(|live| LiveStatus {
            generation: live.generation,
            checkpoint: live.checkpoint.map(|position| position.to_string()),
            events: live.events,
            quarantined,
            updated_at: live.updated_at.to_string(),
        });
        Ok(Self {
            projection: name,
            defined: definition.map(|definition| definition.is_some()),
            live,
            held,
            previous: builds.previous.is_some(),
            shadow: builds.shadow.is_some(),
            changes,
        })
    }
}

fn changes_since_nothing() -> Vec<String> {
    vec!["it has never been built".to_owned()]
}

impl fmt::Display for ReadModelStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of a project that migrates, read models that were never built are not worth a line.
        let Some(read_models) = self.read_models.as_ref().filter(|_| self.is_begun) else { return Ok(()) };
        writeln!(f, "read models in {read_models}")?;
        let width = self.projections.iter().map(|line| line.projection.len()).max().unwrap_or(0);
        for line in &self.projections {
            writeln!(f, "  {:width$}  {line}", line.projection)?;
        }
        if self.projections.is_empty() {
            writeln!(f, "  there are no projections")?;
        }
        match &self.unknown_changes {
            Some(problem) => writeln!(f, "whether they have changed can't be said: {problem}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ProjectionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.live {
            Some(live) => write!(f, "{live}")?,
            None => write!(f, "not built yet")?,
        }
        match (self.held, self.shadow) {
            (true, _) => write!(f, "; a process builds it now")?,
            (false, true) => write!(f, "; a build that has not ended is left over")?,
            (false, false) => {}
        }
        if self.previous {
            write!(f, "; the build before is kept")?;
        }
        if self.defined == Some(false) {
            write!(f, "; it has no definition any more")?;
        }
        match (&self.changes, &self.live) {
            (Some(changes), Some(_)) if !changes.is_empty() => write!(f, "; to be rebuilt: {}", changes.join(", ")),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for LiveStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.checkpoint {
            Some(position) => write!(f, "up to position {position}, {} events", self.events)?,
            None => write!(f, "of no events")?,
        }
        match self.quarantined {
            0 => {}
            1 => write!(f, ", 1 of them in quarantine")?,
            events => write!(f, ", {events} of them in quarantine")?,
        }
        write!(f, ", updated {}", self.updated_at)
    }
}
