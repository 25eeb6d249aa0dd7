//! Rebuilding aggregates in a service: one stream, a category, or all.

use std::num::NonZeroUsize;
use std::sync::Arc;

use eventlift_events::{EventReader, Position, Revision, Scope, StreamName};
use eventlift_projections::{
    Aggregate, Concern, FoldError, Projection, Snapshot, SnapshotStore, Snapshots, Value, snapshot_columns,
};
use eventlift_transformers::{Reason, Registry, Shape};
use futures_util::stream::{BoxStream, StreamExt};

use super::error::{RebuildError, RebuildRefusal};
use super::feed::{Feed, Reading};
use super::fold::Fold;
use super::options::FoldOptions;
use super::origin::origin;
use crate::pipeline::{Policies, Stop};

/// Folds the streams of a store into the states of an aggregate, lifting events on the way where there are rules, and
/// beginning with snapshots where there are any.
pub struct Rebuilder<A: Aggregate> {
    feed: Feed,
    snapshots: Arc<Snapshots<A>>,
    kept: Option<Arc<dyn SnapshotStore>>,
    options: FoldOptions,
}

/// The state of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rebuilt<S> {
    /// The stream.
    pub stream: StreamName,
    /// The last event that is in the state: that of the stream, unless the aggregate or the rules leave out what came
    /// last.
    pub revision: Revision,
    /// That event's position.
    pub position: Position,
    /// The state.
    pub state: S,
}

impl<A: Aggregate> Rebuilder<A> {
    /// Folds the events of a store as they are.
    pub fn new(reader: Arc<dyn EventReader>, aggregate: A) -> Self {
        let snapshots = Arc::new(Snapshots::of(aggregate));
        Self { feed: Feed::of(reader), snapshots, kept: None, options: FoldOptions::default() }
    }

    /// The same, each event lifted by rules first. Fails with rules that keep state between events.
    pub fn lifted_by(self, registry: Arc<Registry>, policies: Policies) -> Result<Self, RebuildRefusal> {
        Ok(Self { feed: self.feed.lifted_by(registry, policies)?, ..self })
    }

    /// The same, of a store that a run filled, where a rebuild's snapshots of it are to be gone on from.
    pub fn filled_by(self, run: Option<String>) -> Self {
        Self { feed: self.feed.filled_by(run), ..self }
    }

    /// The same, beginning with the snapshots that are kept. One that other rules or another version of the aggregate
    /// made is left alone.
    pub fn with_snapshots(self, kept: Arc<dyn SnapshotStore>) -> Self {
        Self { kept: Some(kept), ..self }
    }

    /// The same, folding many streams in this way.
    pub fn with_options(self, options: FoldOptions) -> Self {
        Self { options, ..self }
    }

    /// The state of one stream: its snapshot and what came after it. None for a stream without events. Fails with rules
    /// that move events to other streams.
    pub async fn state(&self, stream: &StreamName) -> Result<Option<Rebuilt<A::State>>, RebuildError> {
        prove_whole(&self.feed)?;
        let fingerprint = origin(&self.feed, &*self.snapshots).fingerprint;
        let mut rebuilt = self.snapshot(stream, &fingerprint).await?;
        let aggregate = self.snapshots.aggregate();
        let after = rebuilt.as_ref().map(|rebuilt| rebuilt.position);
        let feed = self.feed.clone().within(Scope::Stream(stream.clone()));
        let mut batches = feed.events(after, None, &Reading::default(), &Stop::never());
        while let Some(batch) = batches.next().await {
            for event in batch?.events {
                match aggregate.understood().concern(&event) {
                    Concern::Folded => {}
                    Concern::Ignored => continue,
                    Concern::UnknownType | Concern::UnknownVersion => {
                        return Err(RebuildRefusal::not_understood(aggregate.name(), &event).into());
                    }
                }
                let folded = rebuilt.get_or_insert_with(|| Rebuilt {
                    stream: stream.clone(),
                    revision: event.revision,
                    position: event.position,
                    state: A::State::default(),
                });
                let applied = aggregate.apply(&mut folded.state, &event);
                applied.map_err(|reason| Box::new(FoldError::new(aggregate.name(), &event, reason)))?;
                folded.revision = event.revision;
                folded.position = event.position;
            }
        }
        Ok(rebuilt)
    }

    /// The states of every stream of a scope, in the order of the streams' names, folded from their first events on.
    /// Memory is bounded by the options: what does not fit is put aside in files. Fails where rules move events to other
    /// streams and the scope is not everything.
    pub fn states(&self, scope: Scope) -> BoxStream<'static, Result<Rebuilt<A::State>, RebuildError>> {
        let whole = if scope == Scope::All { Ok(()) } else { prove_whole(&self.feed) };
        let feed = self.feed.clone().within(scope);
        let (snapshots, options) = (Arc::clone(&self.snapshots), self.options.clone());
        let states = async_stream::try_stream! {
            const CHUNK: NonZeroUsize = NonZeroUsize::new(1_000).unwrap(); // not zero, which the compiler checks
            whole?;
            let options = FoldOptions { folder: None, ..options };
            let mut fold = Fold::begin(vec![snapshots as Arc<dyn Projection>], "", &options)?;
            let mut batches = feed.events(None, None, &Reading::default(), &Stop::never());
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                fold.push(batch.events, batch.until).await?;
            }
            let folded = fold.finish().await?;
            let Some(mut rows) = folded.rows(0, 0, CHUNK) else { return };
            while let Some(chunk) = rows.next_chunk().await? {
                for mut row in chunk {
                    row.0[snapshot_columns::FINGERPRINT] = Value::text("");
                    let snapshot = Snapshot::from_row(&row).map_err(unreadable)?;
                    yield rebuilt::<A>(snapshot).map_err(unreadable)?;
                }
            }
        };
        states.boxed()
    }

    /// Keeps a state as the snapshot of its stream, for the next time. Does nothing without a store of snapshots.
    pub async fn keep(&self, rebuilt: &Rebuilt<A::State>) -> Result<(), RebuildError> {
        let Some(kept) = &self.kept else { return Ok(()) };
        let state = serde_json::to_string(&rebuilt.state).map_err(|error| unreadable(Reason::from(error)))?;
        let snapshot = Snapshot {
            stream: rebuilt.stream.clone(),
            revision: rebuilt.revision,
            position: rebuilt.position,
            fingerprint: origin(&self.feed, &*self.snapshots).fingerprint,
            state,
        };
        kept.save(self.snapshots.aggregate().name(), &snapshot).await.map_err(RebuildError::ReadModels)
    }

    async fn snapshot(
        &self,
        stream: &StreamName,
        fingerprint: &str,
    ) -> Result<Option<Rebuilt<A::State>>, RebuildError> {
        let Some(kept) = &self.kept else { return Ok(None) };
        let snapshot = kept.snapshot(self.snapshots.aggregate().name(), stream).await;
        let snapshot = snapshot.map_err(RebuildError::ReadModels)?.filter(|found| found.fingerprint == fingerprint);
        snapshot.map(|snapshot| rebuilt::<A>(snapshot).map_err(unreadable)).transpose()
    }
}

/// Refuses rules after which a stream's events may be anywhere in the store.
fn prove_whole(feed: &Feed) -> Result<(), RebuildRefusal> {
    match feed.rules().map(Registry::shape) {
        Some(Shape::Moving) => Err(RebuildRefusal::MovingRules),
        _ => Ok(()),
    }
}

fn rebuilt<A: Aggregate>(snapshot: Snapshot) -> Result<Rebuilt<A::State>, Reason> {
    let state = serde_json::from_str(&snapshot.state)?;
    let Snapshot { stream, revision, position, .. } = snapshot;
    Ok(Rebuilt { stream, revision, position, state })
}

fn unreadable(reason: Reason) -> RebuildError {
    RebuildError::Unreadable { table: "snapshots".to_owned(), reason }
}
