//! What a target should hold: the source, transformed and numbered again, without writing.

use std::sync::Arc;

use eventlift_events::{Event, EventReader, EventStream, Position, ReadRequest, RunId};
use eventlift_transformers::Registry;
use futures_util::stream::{BoxStream, StreamExt};

use super::error::PipelineError;
use super::migration::MigrationOptions;
use super::quarantine::Apart;
use super::sequence::Sequencer;
use super::stop::Stop;
use super::transform::lift_batches;
use crate::ledger::LedgerDatabase;

/// Streams the events that a run over the source would append, up to a source position, in order. What the stages
/// remember is kept in a temporary file.
pub fn expected_events(
    source: Arc<dyn EventReader>,
    registry: Arc<Registry>,
    options: MigrationOptions,
    until: Option<Position>,
    stop: Stop,
) -> BoxStream<'static, Result<Vec<Event>, PipelineError>> {
    expected_events_apart(source, registry, options, until, Arc::default(), stop)
}

/// The same of a run that holds events in quarantine or has given some up: without what those would become. Where
/// events were released behind the target's last one, positions are not those of the target.
pub fn expected_events_apart(
    source: Arc<dyn EventReader>,
    registry: Arc<Registry>,
    options: MigrationOptions,
    until: Option<Position>,
    apart: Arc<Apart>,
    stop: Stop,
) -> BoxStream<'static, Result<Vec<Event>, PipelineError>> {
    let stream = async_stream::try_stream! {
        let ledger = LedgerDatabase::temporary().map_err(PipelineError::Source)?;
        let sequencer = Sequencer::resume(Arc::clone(&registry), RunId::random(), None, &ledger).await?;
        let mut sequencer = sequencer.closing_gaps(options.closes_gaps()).holding(apart.holding());
        let request =
            ReadRequest::new(options.scope.clone()).until(until).batch_events(options.batch_events);
        let at_end = stop.clone();
        let (origins, workers) = (sequencer.origins(), options.workers.get());
        let events = without(source.read(request), apart);
        let mut batches = lift_batches(events, registry, options.policies, origins, workers, stop);
        while let Some(batch) = batches.next().await {
            let mut events = Vec::new();
            let failed = sequencer.number(batch?, &ledger, None, &mut events).await?;
            if let Some(progress) = sequencer.progress() {
                ledger.commit(&progress).map_err(PipelineError::Source)?;
                sequencer.committed(&progress);
            }
            yield events;
            if let Some(error) = failed {
                Err(error)?;
            }
        }
        let mut after = None;
        if sequencer.closes_windows(options.close_windows) && !at_end.is_asked() {
            loop {
                let mut events = Vec::new();
                after = sequencer.close_windows(options.close_windows, after.as_deref(), &ledger, &mut events).await?;
                if let Some(progress) = sequencer.progress() {
                    ledger.commit(&progress).map_err(PipelineError::Source)?;
                    sequencer.committed(&progress);
                }
                yield events;
                if after.is_none() {
                    break;
                }
            }
        }
    };
    stream.boxed()
}

/// The batches without the events that a target lacks by intention.
pub(super) fn without(batches: EventStream, apart: Arc<Apart>) -> EventStream {
    if apart.is_empty() {
        return batches;
    }
    let left = batches.filter_map(move |batch| {
        let left = batch.map(|mut events| {
            events.retain(|event| !apart.leaves_out(event));
            events
        });
        std::future::ready((!left.as_ref().is_ok_and(Vec::is_empty)).then_some(left))
    });
    left.boxed()
}
