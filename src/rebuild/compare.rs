//! Verification of read models: what is live is compared with a fresh fold, row by row.

use std::cmp::Ordering;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::vec::IntoIter;

use eventlift_events::Position;
use eventlift_projections::{Projection, ReadModelStore, Row, RowKey, Side, Table};
use futures_util::StreamExt;

use super::error::RebuildError;
use super::feed::{Fed, Feed, Reading};
use super::fold::{Fold, Folded, Rows as FoldedRows};
use super::options::FoldOptions;
use super::rollup::RollingUp;
use super::stamp::stamp;
use crate::pipeline::Stop;

/// What a comparison of a projection's tables found.
#[derive(Clone, PartialEq, Debug)]
pub struct Comparison {
    /// The projection.
    pub projection: String,
    /// The last event that is in what was compared.
    pub checkpoint: Option<Position>,
    /// How many rows there should be.
    pub expected: u64,
    /// How many rows there are.
    pub found: u64,
    /// How many rows differ, are missing or should not be there.
    pub differing: u64,
    /// The first of them.
    pub first: Option<RowDifference>,
}

/// A row that is not the same on both sides; at least one side has it.
#[derive(Clone, PartialEq, Debug)]
pub struct RowDifference {
    /// The table.
    pub table: Table,
    /// The row that should be there; none where there is one too many.
    pub expected: Option<Row>,
    /// The row that is there; none where it is missing.
    pub found: Option<Row>,
}

impl Comparison {
    /// Whether every row is what it should be.
    pub fn agrees(&self) -> bool {
        self.differing == 0
    }

    fn of(projection: &dyn Projection, checkpoint: Option<Position>) -> Self {
        let projection = projection.name().to_owned();
        Self { projection, checkpoint, expected: 0, found: 0, differing: 0, first: None }
    }

    /// Walks both sides in the order of their keys.
    async fn compare(
        &mut self,
        table: &Table,
        mut expected: Rows<'_>,
        mut found: Rows<'_>,
    ) -> Result<(), RebuildError> {
        let (mut left, mut right) = (expected.next().await?, found.next().await?);
        loop {
            let order = match (&left, &right) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((one, _)), Some((other, _))) => one.cmp(other),
            };
            let row = |keyed: Option<Keyed>| keyed.map(|(_, row)| row);
            let one = if order.is_le() { row(std::mem::replace(&mut left, expected.next().await?)) } else { None };
            let other = if order.is_ge() { row(std::mem::replace(&mut right, found.next().await?)) } else { None };
            self.count(table, one, other);
        }
    }

    /// Counts a row that is on both sides, or on one.
    fn count(&mut self, table: &Table, expected: Option<Row>, found: Option<Row>) {
        self.expected += u64::from(expected.is_some());
        self.found += u64::from(found.is_some());
        if expected == found {
            return;
        }
        self.differing += 1;
        if self.first.is_none() {
            self.first = Some(RowDifference { table: table.clone(), expected, found });
        }
    }
}

/// Folds the events up to the live build's checkpoint anew and compares every row. None where there is no live build,
/// or where it was asked to stop.
pub async fn compare_live(
    feed: &Feed,
    store: &dyn ReadModelStore,
    projection: &Arc<dyn Projection>,
    options: &FoldOptions,
    stop: &Stop,
    seen: impl FnMut(u64),
) -> Result<Option<Comparison>, RebuildError> {
    let name = projection.name();
    let builds = store.builds(name).await.map_err(RebuildError::ReadModels)?;
    let Some(live) = builds.live else { return Ok(None) };
    let mut comparison = Comparison::of(&**projection, live.checkpoint);
    let batches = match live.checkpoint {
        Some(checkpoint) => {
            feed.to(std::slice::from_ref(projection)).events(None, Some(checkpoint), &Reading::default(), stop)
        }
        None => futures_util::stream::empty().boxed(),
    };
    let Some(folded) = fold_all(vec![Arc::clone(projection)], batches, options, stop, seen).await? else {
        return Ok(None);
    };
    for (number, table) in projection.tables().iter().enumerate() {
        let summed = summed_up(&folded, 0, number, projection, options).await?;
        let (folded, number_in) = summed.as_ref().map_or((&folded, number), |summed| (summed, 0));
        let expected = Rows::folded(folded, 0, number_in, table, Some(&live.origin.fingerprint));
        let found = Rows::Live { store, projection: name, number, table, chunk: Vec::new().into_iter(), last: None };
        comparison.compare(table, expected, found).await?;
    }
    Ok(Some(comparison))
}

/// Folds two streams of the same events, as they should be and as they are, and compares every row that comes of them:
/// that fold(upcast(old)) = fold(new). None where it was asked to stop.
pub async fn compare_folds(
    expected: Fed,
    found: Fed,
    projections: Vec<Arc<dyn Projection>>,
    options: &FoldOptions,
    stop: &Stop,
    mut seen: impl FnMut(u64),
) -> Result<Option<Vec<Comparison>>, RebuildError> {
    let Some(expected) = fold_all(projections.clone(), expected, options, stop, &mut seen).await? else {
        return Ok(None);
    };
    let Some(found) = fold_all(projections.clone(), found, options, stop, seen).await? else { return Ok(None) };
    let mut comparisons = Vec::new();
    for (place, projection) in projections.iter().enumerate() {
        let mut comparison = Comparison::of(&**projection, found.checkpoint);
        for (number, table) in projection.tables().iter().enumerate() {
            if projection.rollups().iter().any(|rollup| rollup.table == number) {
                // They are the same where what they sum up is.
                continue;
            }
            let expected = Rows::folded(&expected, place, number, table, None);
            let found = Rows::folded(&found, place, number, table, None);
            comparison.compare(table, expected, found).await?;
        }
        comparisons.push(comparison);
    }
    Ok(Some(comparisons))
}

/// The rows of a table that is summed up from another one; none for a table of another kind.
async fn summed_up(
    folded: &Folded,
    place: usize,
    number: usize,
    projection: &Arc<dyn Projection>,
    options: &FoldOptions,
) -> Result<Option<Folded>, RebuildError> {
    let Some(rollup) = projection.rollups().iter().find(|rollup| rollup.table == number) else { return Ok(None) };
    let mut rolling = RollingUp::begin(projection, rollup, options)?;
    let Some(mut rows) = folded.rows(place, rolling.of(), CHUNK) else { return Ok(None) };
    while let Some(chunk) = rows.next_chunk().await? {
        rolling.push(&chunk).await?;
    }
    rolling.finish().await.map(Some)
}

async fn fold_all(
    projections: Vec<Arc<dyn Projection>>,
    mut batches: Fed,
    options: &FoldOptions,
    stop: &Stop,
    mut seen: impl FnMut(u64),
) -> Result<Option<Folded>, RebuildError> {
    let options = FoldOptions { folder: None, ..options.clone() };
    let mut fold = Fold::begin(projections, "", &options)?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        fold.push(batch.events, batch.until).await?;
        seen(batch.read);
    }
    if stop.is_asked() {
        return Ok(None);
    }
    fold.finish().await.map(Some)
}

type Keyed = (RowKey, Row);

/// The rows of a table, in the order of their keys.
enum Rows<'r> {
    /// That were folded, with the fingerprint that is to be written into snapshots.
    Folded { rows: Option<FoldedRows>, table: &'r Table, fingerprint: Option<&'r str>, chunk: IntoIter<Row> },
    /// That are live.
    Live {
        store: &'r dyn ReadModelStore,
        projection: &'r str,
        number: usize,
        table: &'r Table,
        chunk: IntoIter<Row>,
        last: Option<RowKey>,
    },
}

impl<'r> Rows<'r> {
    fn folded(folded: &Folded, place: usize, number: usize, table: &'r Table, fingerprint: Option<&'r str>) -> Self {
        let rows = folded.rows(place, number, CHUNK);
        Self::Folded { rows, table, fingerprint, chunk: Vec::new().into_iter() }
    }

    async fn next(&mut self) -> Result<Option<Keyed>, RebuildError> {
        match self {
            Self::Folded { rows, table, fingerprint, chunk } => {
                if chunk.len() == 0 {
                    let Some(rows) = rows else { return Ok(None) };
                    *chunk = rows.next_chunk().await?.unwrap_or_default().into_iter();
                }
                let Some(mut row) = chunk.next() else { return Ok(None) };
                if let Some(fingerprint) = fingerprint {
                    stamp(table, Some(&mut row), fingerprint);
                }
                Ok(Some((key(&row, table)?, row)))
            }
            Self::Live { store, projection, number, table, chunk, last } => {
                if chunk.len() == 0 {
                    let rows = store.scan(Side::Live, projection, *number, last.as_ref(), CHUNK.get()).await;
                    *chunk = rows.map_err(RebuildError::ReadModels)?.into_iter();
                }
                let Some(row) = chunk.next() else { return Ok(None) };
                let key = key(&row, table)?;
                *last = Some(key.clone());
                Ok(Some((key, row)))
            }
        }
    }
}

/// Rows that are held in memory on each side.
const CHUNK: NonZeroUsize = NonZeroUsize::new(5_000).unwrap(); // not zero, which the compiler checks

fn key(row: &Row, table: &Table) -> Result<RowKey, RebuildError> {
    row.key(table).map_err(|reason| RebuildError::Unreadable { table: table.name.clone(), reason })
}
