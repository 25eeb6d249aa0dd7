//! Going back to the builds before, and dropping them.

use std::sync::Arc;

use eventlift_projections::{ReadModelStore, RebuildAction, RebuildOutcome};
use tokio::sync::watch;

use super::error::RebuildError;
use super::progress::RebuildProgress;
use super::session::{Built, Session, Wanted};

/// Makes the previous builds of these projections the live ones, and the live ones the previous ones, all in one
/// transaction. Fails, and changes nothing, where one of them has no previous build.
pub async fn undo(store: &Arc<dyn ReadModelStore>, wanted: &[Wanted]) -> Result<Vec<Built>, RebuildError> {
    let session = open(store, wanted, RebuildAction::Undo).await?;
    let names: Vec<&str> = wanted.iter().map(|wanted| wanted.projection.name()).collect();
    match store.undo(&names).await {
        Ok(()) => session.end(RebuildOutcome::Done).await,
        Err(error) => {
            let error = RebuildError::ReadModels(error);
            session.fail(&error).await;
            Err(error)
        }
    }
}

/// Drops the previous builds of these projections, of those that have one.
pub async fn drop_old(store: &Arc<dyn ReadModelStore>, wanted: &[Wanted]) -> Result<Vec<Built>, RebuildError> {
    let session = open(store, wanted, RebuildAction::DropOld).await?;
    for Wanted { projection, .. } in wanted {
        if let Err(error) = store.drop_previous(projection.name()).await {
            let error = RebuildError::ReadModels(error);
            session.fail(&error).await;
            return Err(error);
        }
    }
    session.end(RebuildOutcome::Done).await
}

async fn open(
    store: &Arc<dyn ReadModelStore>,
    wanted: &[Wanted],
    action: RebuildAction,
) -> Result<Session, RebuildError> {
    let progress = watch::Sender::new(RebuildProgress::default());
    Session::open(Arc::clone(store), wanted, action, progress).await
}
