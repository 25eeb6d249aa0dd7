//! Releasing what is in quarantine: held events are lifted in order, by the rules as they are now.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytestring::ByteString;
use eventlift_events::{CheckpointStore, Event, EventWriter, RunRecord, StoreError, StreamName};
use eventlift_transformers::{Registry, Shape};

use super::books::{Failed, HeldEvent, QuarantinedStream, held_events, quarantined_streams};
use super::holding::{Holding, QuarantineLimits};
use crate::pipeline::append::{append_once, refuse_attributes};
use crate::pipeline::error::{PipelineError, Refusal};
use crate::pipeline::policy::Policies;
use crate::pipeline::sequence::{Place, Sequencer};
use crate::pipeline::stop::Stop;
use crate::pipeline::transform::{LiftedBatch, Origins, lift_batch};

/// Held events that are released in one transaction at most.
const PAGE: NonZeroUsize = NonZeroUsize::new(250).unwrap(); // not zero, which the compiler checks
/// A transaction ends with the event that brings it to this many bytes.
const BYTES: usize = 8 << 20;

/// What was released.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Released {
    /// Streams that are in quarantine no more.
    pub streams: u64,
    /// Events that were held and are not any more.
    pub events: u64,
    /// Events of the target that they became.
    pub written: u64,
    /// The streams of those asked for that failed again, in the order of the source.
    pub failing: Vec<QuarantinedStream>,
    /// Whether it was asked to stop before all were tried.
    pub stopped: bool,
}

/// Lifts the held events of a run's streams, of these or, if none are named, of all, in the order of each stream, and
/// appends them.
///
/// Where the rules are one-to-one and the target takes them there, they go to the places that were left free for them,
/// and the target becomes what it would have been. Otherwise they go behind the target's last event, each stream in its
/// order, with the ids and revisions that they would have had.
///
/// Every transaction strikes out the notes of the events it appends, so that it can be ended anywhere and begun again.
/// A stream whose event fails again keeps what is left of it. `seen` hears how many events were released.
pub async fn release(
    target: &mut dyn EventWriter,
    registry: &Arc<Registry>,
    policies: Policies,
    run: &RunRecord,
    only: &[StreamName],
    stop: &Stop,
    mut seen: impl FnMut(u64),
) -> Result<Released, PipelineError> {
    let streams = wanted(&*target, run, only).await?;
    let mut sequencer = resume(&*target, registry, run).await?;
    let mut released = Released::default();
    for mut stream in streams {
        loop {
            if stop.is_asked() {
                released.stopped = true;
                return Ok(released);
            }
            let page = Page::read(&*target, run, &stream).await?;
            let lifted = lift(registry, policies, page.events()).await;
            let mut events = Vec::new();
            let place = place(&*target, &sequencer, registry, &page);
            let (count, error) = sequencer.release(lifted, place, &*target, &mut events).await?;
            let failed = match (&error, page.held.get(count)) {
                (Some(error), Some(held)) => Some(Failed::of(&held.event, error)),
                _ => page.next.as_ref().map(|next| not_tried(&stream, next)),
            };
            let left = failed.map(|failed| QuarantinedStream {
                failed,
                held: stream.held.saturating_sub(count as u64),
                ..stream.clone()
            });
            if left.as_ref() != Some(&stream) {
                sequencer.holding_mut().take_out(&stream, &page.keys(count), left.as_ref());
                refuse_attributes(target.capabilities().attributes, &events)?;
                commit(target, &mut sequencer, run, &events).await?;
            }
            released.events += count as u64;
            released.written += events.len() as u64;
            seen(released.events);
            match (left, error) {
                (None, _) => {
                    released.streams += 1;
                    break;
                }
                (Some(left), Some(_)) => {
                    released.failing.push(left);
                    break;
                }
                (Some(left), None) => stream = left,
            }
        }
    }
    Ok(released)
}

/// The streams of a run that are asked for, in the order in which they came to quarantine.
pub(super) async fn wanted(
    ledger: &dyn EventWriter,
    run: &RunRecord,
    only: &[StreamName],
) -> Result<Vec<QuarantinedStream>, PipelineError> {
    if !ledger.load_ranges(run.id).await.map_err(PipelineError::Target)?.is_empty() {
        let problem = format!("run {} loads its ranges still: let it end first with `eventlift migrate`", run.id);
        return Err(Refusal::NothingInQuarantine(problem).into());
    }
    let mut streams =
        quarantined_streams(ledger as &dyn CheckpointStore, run.id).await.map_err(PipelineError::Target)?;
    if let Some(missing) = only.iter().find(|name| !streams.iter().any(|stream| stream.stream == name.as_str())) {
        return Err(Refusal::NothingInQuarantine(format!("stream {missing} is not in quarantine")).into());
    }
    streams.retain(|stream| only.is_empty() || only.iter().any(|name| name.as_str() == stream.stream));
    streams.sort_by_key(|stream| stream.first);
    Ok(streams)
}

/// The run's numbering, behind its checkpoint.
pub(super) async fn resume(
    target: &dyn EventWriter,
    registry: &Arc<Registry>,
    run: &RunRecord,
) -> Result<Sequencer, PipelineError> {
    let checkpoint = target.checkpoint(run.id).await.map_err(PipelineError::Target)?;
    let holding = Holding::load(target as &dyn CheckpointStore, run.id, false, QuarantineLimits::default())
        .await
        .map_err(PipelineError::Target)?;
    let sequencer = Sequencer::resume(Arc::clone(registry), run.id, checkpoint, target as &dyn CheckpointStore).await?;
    Ok(sequencer.holding(holding))
}

/// Commits events with the notes that go with them, exactly once.
pub(super) async fn commit(
    target: &mut dyn EventWriter,
    sequencer: &mut Sequencer,
    run: &RunRecord,
    events: &[Event],
) -> Result<(), PipelineError> {
    match sequencer.progress() {
        Some(progress) => {
            append_once(target, events, &progress).await.map_err(PipelineError::Target)?;
            sequencer.committed(&progress);
        }
        // Nothing was counted: only the reason has changed.
        None => {
            let notes = sequencer.held().notes();
            target.write_notes(run.id, &notes).await.map_err(PipelineError::Target)?;
            sequencer.holding_mut().committed();
        }
    }
    Ok(())
}

/// The failure of an event that comes next and was not tried yet.
pub(super) fn not_tried(stream: &QuarantinedStream, next: &Event) -> Failed {
    Failed { reason: "the events before it were taken out; it was not tried yet".to_owned(), ..stream.failed.at(next) }
}

fn place(target: &dyn EventWriter, sequencer: &Sequencer, registry: &Registry, page: &Page) -> Place {
    // Behind what was released to the end, everything has moved, and so have the places that were left free.
    let keeps_places = sequencer.held().numbering.at_the_end == 0
        && registry.shape() == Shape::OneToOne
        && target.capabilities().explicit_positions
        && target.takes_earlier_positions()
        && page.held.iter().all(|held| held.event.position.minor().is_none());
    if keeps_places { Place::Their } else { Place::Last }
}

async fn lift(registry: &Arc<Registry>, policies: Policies, events: Vec<Event>) -> LiftedBatch {
    let registry = Arc::clone(registry);
    let lifted = tokio::task::spawn_blocking(move || lift_batch(&registry, policies, Origins::WithSources, events));
    match lifted.await {
        Ok(lifted) => lifted,
        // A rule's own code panicked: that is the caller's bug, and the caller hears of it.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// The first held events of a stream.
pub(super) struct Page {
    pub(super) held: Vec<HeldEvent>,
    /// The event behind them.
    pub(super) next: Option<Event>,
}

impl Page {
    pub(super) async fn read(
        target: &dyn EventWriter,
        run: &RunRecord,
        stream: &QuarantinedStream,
    ) -> Result<Self, PipelineError> {
        let ledger: &dyn CheckpointStore = target;
        let held: Result<_, StoreError> = held_events(ledger, run.id, stream, None, PAGE.get() + 1).await;
        let mut held = held.map_err(PipelineError::Target)?;
        let mut bytes = 0;
        let fitting = held.iter().take_while(|held| {
            let fits = bytes < BYTES;
            bytes += held.event.size();
            fits
        });
        let count = fitting.count().min(PAGE.get());
        let next = held.drain(count..).next().map(|held| held.event);
        Ok(Self { held, next })
    }

    fn events(&self) -> Vec<Event> {
        self.held.iter().map(|held| held.event.clone()).collect()
    }

    pub(super) fn keys(&self, count: usize) -> Vec<ByteString> {
        self.held.iter().take(count).map(|held| held.key.clone()).collect()
    }
}
