//! One scan of a store that folds several projections.

use std::sync::Arc;

use eventlift_projections::Projection;
use futures_util::StreamExt;
use tokio::sync::watch;

use super::coverage::{prove_tables, prove_understood};
use super::error::RebuildError;
use super::feed::{Feed, Known, Reading};
use super::fold::{Fold, Folded};
use super::options::FoldOptions;
use super::progress::{Phase, RebuildProgress};
use crate::pipeline::Stop;

/// A scan of everything that a feed holds.
pub(super) struct Scan<'s> {
    pub(super) feed: &'s Feed,
    pub(super) reading: &'s Reading,
    pub(super) stop: &'s Stop,
    pub(super) progress: &'s watch::Sender<RebuildProgress>,
}

/// What folding a projection would come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rehearsed {
    /// The projection.
    pub projection: String,
    /// How many events were folded.
    pub events: u64,
    /// How many rows its tables would have, but for those that are summed up from others.
    pub rows: u64,
    /// How many events would be quarantined.
    pub quarantined: u64,
}

/// Folds everything and writes nothing. None if it was asked to stop.
pub async fn rehearse(
    feed: &Feed,
    projections: Vec<Arc<dyn Projection>>,
    options: &FoldOptions,
    reading: &Reading,
    stop: &Stop,
    progress: &watch::Sender<RebuildProgress>,
) -> Result<Option<Vec<Rehearsed>>, RebuildError> {
    prove_all(feed, &projections).await?;
    let options = FoldOptions { folder: None, ..options.clone() };
    let scan = Scan { feed, reading, stop, progress };
    let Some((folded, _)) = scan.fold(projections.clone(), "", &options).await? else { return Ok(None) };
    let rehearsed = projections.iter().enumerate().map(|(place, projection)| Rehearsed {
        projection: projection.name().to_owned(),
        events: folded.events,
        rows: folded.row_count(place),
        quarantined: folded.quarantined(place).len() as u64,
    });
    Ok(Some(rehearsed.collect()))
}

/// Refuses projections that make no sense, or don't understand what the store holds, where it can tell without being
/// read.
pub(super) async fn prove_all(feed: &Feed, projections: &[Arc<dyn Projection>]) -> Result<(), RebuildError> {
    for projection in projections {
        prove_tables(&**projection)?;
    }
    let Some(types) = feed.types().await? else { return Ok(()) };
    for projection in projections {
        prove_understood(&**projection, &types)?;
    }
    Ok(())
}

impl Scan<'_> {
    /// Folds everything, going on from what a killed fold has left. Returns none if it was asked to stop, and else how
    /// many events had been folded before.
    pub(super) async fn fold(
        &self,
        projections: Vec<Arc<dyn Projection>>,
        key: &str,
        options: &FoldOptions,
    ) -> Result<Option<(Folded, u64)>, RebuildError> {
        let fed = projections.clone();
        let mut fold = Fold::begin(projections.clone(), key, options)?;
        if let Some(end) = fold.resumed_at()
            && !self.feed.holds(end).await?
        {
            // Another store in the same place: nothing that was put aside is of use.
            let options = FoldOptions { folder: None, ..options.clone() };
            fold = Fold::begin(projections, key, &options)?;
        }
        let resumed = fold.events();
        self.progress.send_modify(|progress| (progress.phase, progress.events) = (Phase::Folding, resumed));
        // What came since the store was asked for its types is left to catching up, which looks at every event.
        let feed = self.feed.to(&fed);
        let is_whole = feed.part().is_none();
        let known = self.feed.known().await?.filter(|known| is_whole && known.head > fold.resumed_at());
        let mut batches = match known {
            Some(known) => feed.of_types(&fed, known).events(fold.resumed_at(), known.head, self.reading, self.stop),
            None => feed.events(fold.resumed_at(), None, self.reading, self.stop),
        };
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            fold.push(batch.events, batch.until).await?;
            self.progress.send_modify(|progress| progress.events += batch.read);
        }
        if self.stop.is_asked() {
            // So that the same command goes on from here.
            fold.suspend().await?;
            return Ok(None);
        }
        if let Some(Known { head: Some(head), events, .. }) = known {
            fold.pass_over(*head, *events).await?;
        }
        Ok(Some((fold.finish().await?, resumed)))
    }
}
