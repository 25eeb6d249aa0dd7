//! Folding in the same pass as a migration: the events that were just appended feed the folds.

use std::sync::Arc;

use async_trait::async_trait;
use eventlift_events::{Event, Position};
use eventlift_projections::{Origin, ReadModelStore, RebuildAction, RebuildOutcome};
use tokio::sync::watch;

use super::error::RebuildError;
use super::feed::{Feed, Reading};
use super::fold::Fold;
use super::options::FoldOptions;
use super::origin::origin;
use super::progress::RebuildProgress;
use super::session::{Built, Session, Wanted};
use crate::pipeline::{Appended, Stop};

/// Builds projections of the events that a migration appends, while it appends them.
///
/// It never stops the migration: where a fold fails, the events go on without it, and [`finish`](Self::finish) says
/// why.
pub struct Beside {
    session: Session,
    fold: Result<Fold, RebuildError>,
    options: FoldOptions,
}

impl Beside {
    /// Takes hold of the projections. The migration must begin with the first event.
    pub async fn begin(
        store: Arc<dyn ReadModelStore>,
        wanted: &[Wanted],
        options: FoldOptions,
    ) -> Result<Self, RebuildError> {
        let progress = watch::Sender::new(RebuildProgress::default());
        let session = Session::open(store, wanted, RebuildAction::Rebuild, progress).await?;
        // Nothing goes on from it: a migration that is gone on with does not append the first events again.
        let options = FoldOptions { folder: None, ..options };
        let fold = Fold::begin(session.projections(), "", &options);
        Ok(Self { session, fold, options })
    }

    /// How far it is, now and from now on.
    pub fn progress(&self) -> watch::Receiver<RebuildProgress> {
        self.session.progress.subscribe()
    }

    /// Loads what was folded beside the live tables, catches up with the target and swaps everything in at once.
    /// `target` reads what the migration has written, all of it.
    pub async fn finish(self, target: &Feed, stop: &Stop) -> Result<Option<Vec<Built>>, RebuildError> {
        let Self { mut session, fold, options } = self;
        match conclude(&mut session, fold, &options, target, stop).await {
            Ok(true) => session.end(RebuildOutcome::Done).await.map(Some),
            Ok(false) => session.end(RebuildOutcome::Stopped).await.map(|_| None),
            Err(error) => {
                session.fail(&error).await;
                Err(error)
            }
        }
    }

    /// Gives up: the migration did not come to its end.
    pub async fn abandon(self) -> Result<(), RebuildError> {
        self.session.end(RebuildOutcome::Stopped).await.map(|_| ())
    }
}

async fn conclude(
    session: &mut Session,
    fold: Result<Fold, RebuildError>,
    options: &FoldOptions,
    target: &Feed,
    stop: &Stop,
) -> Result<bool, RebuildError> {
    let folded = fold?.finish().await?;
    let projections = session.projections();
    let origins: Vec<Origin> = projections.iter().map(|projection| origin(target, &**projection)).collect();
    let places: Vec<usize> = (0..projections.len()).collect();
    session.load(&folded, &places, &origins, options).await?;
    session.catch_up(target, options.on_failure, &Reading::default(), stop).await?;
    if stop.is_asked() {
        return Ok(false);
    }
    session.swap().await?;
    folded.forget()?;
    Ok(true)
}

#[async_trait]
impl Appended for Beside {
    async fn appended(&mut self, events: Vec<Event>, until: Position) {
        let Ok(fold) = &mut self.fold else { return };
        let count = events.len() as u64;
        match fold.push(events, until).await {
            Ok(()) => self.session.progress.send_modify(|progress| progress.events += count),
            Err(error) => self.fold = Err(error),
        }
    }
}
