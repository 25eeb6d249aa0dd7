//! The transform stage: batches are lifted in parallel, off the async threads, and come out in the order they went in.

use std::sync::Arc;

use eventlift_events::{Event, EventStream, Position, Revision, StreamName};
use eventlift_transformers::{Lift, Registry, Took, Uncovered};
use futures_util::stream::{BoxStream, StreamExt};

use super::error::PipelineError;
use super::policy::{Policies, Unknown};
use super::stop::Stop;

/// A batch after the pure rules.
#[derive(Debug)]
pub(crate) struct LiftedBatch {
    /// What the events became, in order.
    pub(crate) events: Vec<Event>,
    /// Which of them each source event became; empty where every event became exactly one.
    pub(super) origins: Vec<Origin>,
    /// How many source events there were.
    pub(crate) read: u64,
    /// The sum of their sizes.
    pub(super) read_bytes: usize,
    /// How many of them a rule changed, split or dropped.
    pub(super) lifted: u64,
    /// The position of the last source event.
    pub(crate) source: Position,
    /// The error that the event behind the last one met, if it met one. Nothing comes after it.
    pub(crate) failed: Option<PipelineError>,
    /// The source events as they were read, where they are asked for.
    pub(super) sources: Vec<Event>,
    /// The errors that some of those met, each with the place of its event among them. Such an event became none.
    pub(super) failures: Vec<(usize, PipelineError)>,
    /// How many of the events each rule took.
    pub(super) took: Took,
}

/// A source event and how many events took its place.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(super) stream: StreamName,
    pub(super) revision: Revision,
    pub(super) position: Position,
    pub(super) parts: usize,
    /// Whether a rule changed, split or dropped it.
    pub(super) lifted: bool,
}

/// Which batches keep their origins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origins {
    /// None: every rule is one-to-one, so each event is its own origin.
    Implied,
    /// All.
    Kept,
    /// All, together with the events as they were read. An event that fails does not end its batch.
    WithSources,
}

/// More batches than this are never lifted, and held in memory, at the same time.
pub(super) const MOST_WORKERS: usize = 256;

/// Lifts batches by `workers` at a time, or by [`MOST_WORKERS`]. The stream ends after the first error, or, once asked to stop, after the
/// batches that were already read.
pub(crate) fn lift_batches(
    batches: EventStream,
    registry: Arc<Registry>,
    policies: Policies,
    origins: Origins,
    workers: usize,
    stop: Stop,
) -> BoxStream<'static, Result<LiftedBatch, PipelineError>> {
    batches
        .take_until(stop.asked())
        .map(move |batch| {
            let registry = Arc::clone(&registry);
            async move {
                let batch = batch.map_err(PipelineError::Source)?;
                let lifted = tokio::task::spawn_blocking(move || lift_batch(&registry, policies, origins, batch)).await;
                match lifted {
                    Ok(lifted) => Ok(lifted),
                    // A rule's own code panicked: that is the caller's bug, and the caller hears of it.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
        })
        .buffered(workers.min(MOST_WORKERS))
        .boxed()
}

/// Lifts the events of a batch up to the first that fails.
pub(super) fn lift_batch(registry: &Registry, policies: Policies, keep: Origins, batch: Vec<Event>) -> LiftedBatch {
    let mut lifted = LiftedBatch {
        events: Vec::with_capacity(batch.len()),
        origins: Vec::new(),
        read: 0,
        read_bytes: 0,
        lifted: 0,
        source: Position::new(0),
        failed: None,
        sources: Vec::new(),
        failures: Vec::new(),
        took: Took::default(),
    };
    for event in batch {
        let (position, size) = (event.position, event.size());
        let origin = (keep != Origins::Implied).then(|| (event.stream.clone(), event.revision));
        if keep == Origins::WithSources {
            lifted.sources.push(event.clone());
        }
        let before = lifted.events.len();
        let mut changed = false;
        match lift(registry, policies, event, &mut lifted.events, &mut lifted.took) {
            Ok(Lift::Untouched | Lift::Uncovered(_)) => {}
            Ok(Lift::Lifted) => changed = true,
            Err(error) => {
                lifted.events.truncate(before);
                if keep != Origins::WithSources {
                    lifted.failed = Some(error);
                    return lifted;
                }
                lifted.failures.push((lifted.sources.len() - 1, error));
            }
        }
        lifted.read += 1;
        lifted.read_bytes += size;
        lifted.lifted += u64::from(changed);
        lifted.source = position;
        if let Some((stream, revision)) = origin {
            let parts = lifted.events.len() - before;
            lifted.origins.push(Origin { stream, revision, position, parts, lifted: changed });
        }
    }
    lifted
}

fn lift(
    registry: &Registry,
    policies: Policies,
    event: Event,
    lifted: &mut Vec<Event>,
    took: &mut Took,
) -> Result<Lift, PipelineError> {
    // Asked before it is lifted: rules may drop or change it, covered or not.
    if let Some(error) = refuse(registry, policies, &event) {
        return Err(error);
    }
    registry.lift_counting(event, lifted, took).map_err(|error| PipelineError::Transform(Box::new(error)))
}

/// What the policies say about an event that nothing covers.
fn refuse(registry: &Registry, policies: Policies, event: &Event) -> Option<PipelineError> {
    if (policies.unknown_types.0, policies.unknown_versions.0) == (Unknown::Pass, Unknown::Pass) {
        return None;
    }
    let uncovered = registry.uncovered(&event.event_type, event.version)?;
    let policy = match uncovered {
        Uncovered::UnknownType => policies.unknown_types.0,
        Uncovered::UnknownVersion { .. } => policies.unknown_versions.0,
    };
    if policy == Unknown::Pass {
        return None;
    }
    Some(PipelineError::Uncovered {
        id: Box::new(event.id.clone()),
        stream: Box::new(event.stream.clone()),
        revision: event.revision,
        position: event.position,
        event_type: Box::new(event.event_type.clone()),
        version: event.version,
        uncovered,
    })
}
