//! Whose the builds of a projection are: no project replaces, swaps back, drops or updates what another one made in the
//! same database.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use eventlift_events::{Position, StoreError, StoreErrorKind, StoreIdentity};
use eventlift_projections::{
    Build, Builds, Hold, Origin, Quarantined, ReadModelStore, RebuildRun, Row, RowKey, Side, Step, Table,
};
use uuid::Uuid;

use super::read_models::{From, feed};
use crate::config::{FILE_NAME, Project};

/// The part of a build's origin that says whose it is. It decides no rows, so it is in no fingerprint, and nobody who
/// compares builds sees it.
const PART: &str = "the project";

/// A project, as others in the same database know it.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Owner {
    /// By the name that `eventlift.toml` gives it.
    Named(String),
    /// By a number of its own, and the folder that it was in.
    Numbered { number: Uuid, folder: PathBuf },
}

/// A project among those that keep read models in one database.
#[derive(Clone, Debug)]
pub(super) struct Ownership {
    project: Arc<Project>,
    owner: Option<Owner>,
    /// Whether it takes what another project made.
    takes_over: bool,
}

impl Ownership {
    /// Of a project. One without a name gets a number where its folder can be written.
    pub(super) fn of(project: &Project) -> Self {
        Self { project: Arc::new(project.clone()), owner: None, takes_over: false }
    }

    /// The same; it takes what another project made.
    pub(super) fn taking_over(self, takes_over: bool) -> Self {
        Self { takes_over, ..self }
    }

    /// A store that keeps what is others' from it, for changes.
    pub(super) fn keep(mut self, store: Arc<dyn ReadModelStore>) -> Arc<dyn ReadModelStore> {
        self.owner = owner(&self.project, true);
        Arc::new(Kept { store, ownership: self })
    }

    /// The same, to look at it only: nothing is written, also not a number.
    pub(super) fn look(mut self, store: Arc<dyn ReadModelStore>) -> Arc<dyn ReadModelStore> {
        self.owner = owner(&self.project, false);
        Arc::new(Kept { store, ownership: self })
    }

    /// Why a build is another project's; none where it is ours.
    async fn refusal(&self, projection: &str, builds: &Builds) -> Option<String> {
        let build = builds.live.as_ref().or(builds.shadow.as_ref()).or(builds.previous.as_ref())?;
        let maker = maker(build);
        if self.takes_over || self.made(maker.as_ref()) {
            return None;
        }
        // A project that was cloned, or got a name since, is known by its store, unless two names tell them apart.
        let both_named = matches!((&self.owner, &maker), (Some(Owner::Named(_)), Some(Owner::Named(_))));
        if !both_named && self.reads(&build.origin.source).await {
            return None;
        }
        let source = &build.origin.source;
        let whose = match maker {
            Some(Owner::Named(name)) => format!("another project, {name:?}"),
            Some(Owner::Numbered { folder, .. }) => format!("another project, the one in {}", folder.display()),
            None => "another project".to_owned(),
        };
        Some(format!("the tables of {projection} belong to {whose}: they are built from another store, {source}"))
    }

    fn made(&self, maker: Option<&Owner>) -> bool {
        match (&self.owner, maker) {
            (Some(Owner::Named(ours)), Some(Owner::Named(theirs))) => ours == theirs,
            (Some(Owner::Numbered { number, folder }), Some(Owner::Numbered { number: theirs, folder: before })) => {
                // A folder that still has the number was copied, not moved.
                let is_copy = folder != before && number_in(before) == Some(*number);
                number == theirs && !is_copy
            }
            _ => false,
        }
    }

    /// Whether a store is one that the project folds from.
    async fn reads(&self, source: &str) -> bool {
        for from in [None, Some(From::Source)] {
            let found = feed(&self.project, from).await;
            if found.is_ok_and(|feed| feed.reader().identity().key == source) {
                return true;
            }
        }
        false
    }
}

/// Who made a build, where it says so.
fn maker(build: &Build) -> Option<Owner> {
    let (_, text) = build.origin.parts.iter().find(|(name, _)| name == PART)?;
    Owner::read(text)
}

impl Owner {
    fn write(&self) -> String {
        match self {
            Self::Named(name) => format!("named {name}"),
            Self::Numbered { number, folder } => format!("{number} in {}", folder.display()),
        }
    }

    fn read(text: &str) -> Option<Self> {
        if let Some(name) = text.strip_prefix("named ") {
            return Some(Self::Named(name.to_owned()));
        }
        let (number, folder) = text.split_once(" in ")?;
        Some(Self::Numbered { number: number.parse().ok()?, folder: folder.into() })
    }
}

/// The project's name, or its number; a number is made where there is none and it may be.
fn owner(project: &Project, may_write: bool) -> Option<Owner> {
    if let Some(name) = &project.name {
        return Some(Owner::Named(name.clone()));
    }
    let folder = project.folder.canonicalize().ok()?;
    let number = match number_in(&folder) {
        Some(number) => number,
        None if may_write => new_number(&folder)?,
        None => return None,
    };
    Some(Owner::Numbered { number, folder })
}

fn number_path(folder: &Path) -> PathBuf {
    folder.join(".eventlift").join("project")
}

fn number_in(folder: &Path) -> Option<Uuid> {
    fs::read_to_string(number_path(folder)).ok()?.trim().parse().ok()
}

/// None where the folder can't be written: such a project is known by its stores alone.
fn new_number(folder: &Path) -> Option<Uuid> {
    let path = number_path(folder);
    fs::create_dir_all(path.parent()?).ok()?;
    let number = Uuid::new_v4();
    match fs::File::create_new(&path) {
        Ok(mut file) => writeln!(file, "{number}").ok().map(|()| number),
        // Another command was first.
        Err(_) => number_in(folder),
    }
}

/// A store of read models in which others' builds are left alone.
struct Kept {
    store: Arc<dyn ReadModelStore>,
    ownership: Ownership,
}

/// A build as it is compared with others.
fn bare(mut build: Build) -> Build {
    build.origin.parts.retain(|(name, _)| name != PART);
    build
}

#[async_trait]
impl ReadModelStore for Kept {
    fn identity(&self) -> &StoreIdentity {
        self.store.identity()
    }

    /// All that changes builds is only called by their holder, so this is where others are refused.
    async fn hold(&self, projection: &str) -> Result<Box<dyn Hold>, StoreError> {
        let hold = self.store.hold(projection).await?;
        let builds = self.store.builds(projection).await?;
        match self.ownership.refusal(projection, &builds).await {
            None => Ok(hold),
            Some(problem) => {
                let error = StoreErrorKind::Unexpected(problem);
                Err(StoreError::new("build read models in", self.store.identity(), error).hint(format_args!(
                    "give the projection and its tables other names, or keep them in another database or schema; if both are \
                     one project, say so with project = \"NAME\" under [read_models] in {FILE_NAME}, and take what is \
                     there over once: eventlift rebuild --take-over {projection}"
                )))
            }
        }
    }

    async fn is_held(&self, projection: &str) -> Result<bool, StoreError> {
        self.store.is_held(projection).await
    }

    async fn projections(&self) -> Result<Vec<String>, StoreError> {
        let mut ours = Vec::new();
        for name in self.store.projections().await? {
            let builds = self.store.builds(&name).await?;
            if self.ownership.refusal(&name, &builds).await.is_none() {
                ours.push(name);
            }
        }
        Ok(ours)
    }

    async fn builds(&self, projection: &str) -> Result<Builds, StoreError> {
        let Builds { live, shadow, previous } = self.store.builds(projection).await?;
        Ok(Builds { live: live.map(bare), shadow: shadow.map(bare), previous: previous.map(bare) })
    }

    async fn begin(&self, projection: &str, origin: &Origin, tables: &[Table]) -> Result<Build, StoreError> {
        let mut origin = origin.clone();
        origin.parts.extend(self.ownership.owner.as_ref().map(|owner| (PART.to_owned(), owner.write())));
        self.store.begin(projection, &origin, tables).await.map(bare)
    }

    async fn load(&self, projection: &str, table: usize, rows: Vec<Row>) -> Result<(), StoreError> {
        self.store.load(projection, table, rows).await
    }

    async fn complete(
        &self,
        projection: &str,
        checkpoint: Option<Position>,
        events: u64,
        quarantined: &[Quarantined],
    ) -> Result<(), StoreError> {
        self.store.complete(projection, checkpoint, events, quarantined).await
    }

    async fn step(&self, side: Side, projection: &str, step: &Step) -> Result<(), StoreError> {
        self.store.step(side, projection, step).await
    }

    async fn rows(
        &self,
        side: Side,
        projection: &str,
        table: usize,
        keys: &[RowKey],
    ) -> Result<Vec<Option<Row>>, StoreError> {
        self.store.rows(side, projection, table, keys).await
    }

    async fn scan(
        &self,
        side: Side,
        projection: &str,
        table: usize,
        after: Option<&RowKey>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.store.scan(side, projection, table, after, limit).await
    }

    async fn swap(&self, projections: &[&str]) -> Result<(), StoreError> {
        self.store.swap(projections).await
    }

    async fn undo(&self, projections: &[&str]) -> Result<(), StoreError> {
        self.store.undo(projections).await
    }

    async fn drop_previous(&self, projection: &str) -> Result<bool, StoreError> {
        self.store.drop_previous(projection).await
    }

    async fn discard(&self, projection: &str) -> Result<(), StoreError> {
        self.store.discard(projection).await
    }

    async fn quarantined(&self, side: Side, projection: &str) -> Result<Vec<Quarantined>, StoreError> {
        self.store.quarantined(side, projection).await
    }

    async fn record_run(&self, run: &RebuildRun) -> Result<u64, StoreError> {
        self.store.record_run(run).await
    }

    async fn runs(&self) -> Result<Vec<RebuildRun>, StoreError> {
        self.store.runs().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_come_back_as_they_are_written() {
        let owners = [
            Owner::Named("shop in Paris".to_owned()),
            Owner::Numbered { number: Uuid::from_u128(7), folder: "/srv/shop in Paris".into() },
        ];
        for owner in owners {
            assert_eq!(Owner::read(&owner.write()), Some(owner));
        }
        assert_eq!(Owner::read("nobody"), None);
    }
}
