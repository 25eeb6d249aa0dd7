//! Quarantine of a load in ranges: what failed in which range is noted with the range's events, and settled once all
//! ranges are in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytestring::ByteString;
use eventlift_events::{
    Checkpoint, CheckpointStore, Counts, Event, EventReader, EventWriter, LoadRange, NoteChange, Position, Progress,
    ReadRequest, Revision, RunId, Scope, StoreError, StreamName, Timestamp,
};
use eventlift_transformers::{Lift, Registry};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use super::books::{self, Failed, QuarantinedStream, held_note, position_key, stream_name};
use super::holding::{QuarantineLimits, Quarantined, reason};
use crate::pipeline::error::PipelineError;

/// The first event of a stream that failed in a range.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct RangeFailure {
    range: u32,
    stream: String,
    #[serde(flatten)]
    failed: Failed,
    since: Timestamp,
}

impl RangeFailure {
    fn key(&self) -> ByteString {
        format!("{:010}/{}", self.range, position_key(self.failed.position)).into()
    }
}

/// The streams that failed in ranges so far, committed or about to be.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct RangeFailures {
    opens: bool,
    limits: QuarantineLimits,
    streams_of: HashMap<u32, HashSet<StreamName>>,
    /// Every stream that failed in some range, with its first failure.
    streams: HashMap<StreamName, Failed>,
}

impl RangeFailures {
    /// What a run has noted.
    pub(in crate::pipeline) async fn load(
        ledger: &dyn CheckpointStore,
        run: RunId,
        opens: bool,
        limits: QuarantineLimits,
    ) -> Result<Self, StoreError> {
        let mut failures = Self { opens, limits, ..Self::default() };
        for failure in books::all::<RangeFailure>(ledger, run, books::RANGES).await? {
            let name = stream_name(&failure.stream)?;
            failures.streams_of.entry(failure.range).or_default().insert(name.clone());
            failures.streams.entry(name).or_insert(failure.failed);
        }
        Ok(failures)
    }

    /// Whether events must come with what they were before any rule.
    pub(in crate::pipeline) fn needs_sources(&self) -> bool {
        self.opens || !self.streams.is_empty()
    }

    pub(in crate::pipeline) fn streams(&self) -> u64 {
        self.streams.len() as u64
    }

    /// The streams that failed in a range.
    pub(in crate::pipeline) fn of_range(&self, range: u32) -> HashSet<StreamName> {
        self.streams_of.get(&range).cloned().unwrap_or_default()
    }

    /// Takes note that an event failed, or gives the error back where that ends the run.
    pub(in crate::pipeline) fn open(
        &mut self,
        range: u32,
        event: &Event,
        error: PipelineError,
    ) -> Result<NoteChange, PipelineError> {
        if !self.opens {
            return Err(error);
        }
        let failed = Failed::of(event, &error);
        let name = stream_name(event.stream.as_str()).map_err(PipelineError::Target)?;
        if !self.streams.contains_key(&name) && self.streams() >= self.limits.streams {
            let firsts = self.streams.iter().map(|(stream, failed)| (stream.as_str(), failed));
            let held = Quarantined { streams: self.streams(), events: self.streams() };
            return Err(full(held, self.limits, firsts.collect()));
        }
        self.streams.entry(name.clone()).or_insert_with(|| failed.clone());
        self.streams_of.entry(range).or_default().insert(name);
        let failure = RangeFailure { range, stream: event.stream.to_string(), failed, since: Timestamp::now() };
        Ok(books::note(books::RANGES, failure.key(), Some(books::json(&failure))))
    }
}

/// What a stream failed on, in all ranges together.
struct FailedStream {
    first: RangeFailure,
    /// Where it failed in each range.
    ranges: BTreeMap<u32, Position>,
}

/// Brings streams that failed in ranges to quarantine, once all ranges are complete: their events from the first
/// failing one on are held, and those that other ranges have loaded are taken out of the target again. Commits the
/// run's first checkpoint with that. None where nothing failed. Repeatable, wherever it was ended.
pub(in crate::pipeline) async fn settle(
    source: &Arc<dyn EventReader>,
    target: &mut dyn EventWriter,
    registry: &Registry,
    scope: &Scope,
    run: RunId,
    ranges: &[LoadRange],
    limits: QuarantineLimits,
) -> Result<Option<Checkpoint>, PipelineError> {
    let ledger: &dyn CheckpointStore = &*target;
    let failures: Vec<RangeFailure> = books::all(ledger, run, books::RANGES).await.map_err(PipelineError::Target)?;
    let (Some(until), Some(last)) =
        (ranges.last().map(|range| range.until), crate::pipeline::ranges::last_done(ranges))
    else {
        return Ok(None);
    };
    if failures.is_empty() {
        return Ok(None);
    }
    let mut counts = crate::pipeline::ranges::sum(ranges);
    let mut streams = by_stream(&failures);
    streams.sort_by_key(|stream| stream.first.failed.position);
    let mut held = Quarantined::default();
    let mut from = Vec::with_capacity(streams.len());
    for stream in &streams {
        held.streams += 1;
        let name = stream_name(&stream.first.stream).map_err(PipelineError::Target)?;
        from.push((name.clone(), Revision(stream.first.failed.revision)));
        let first = stream.first.failed.position;
        let request = ReadRequest::new(Scope::Stream(name)).after(first.just_before()).until(Some(until));
        let mut batches = source.read(request);
        let mut events = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(PipelineError::Source)?;
            let mut notes = Vec::with_capacity(batch.len());
            for event in batch.iter().filter(|event| event.position >= first && scope.contains(event)) {
                events += 1;
                notes.push(held_note(first, event));
                if was_loaded(stream, ranges, event.position) {
                    take_back(registry, event, &mut counts);
                }
            }
            held.events += notes.len() as u64;
            if held.events > limits.events || held.streams > limits.streams {
                let firsts = streams.iter().map(|stream| (stream.first.stream.as_str(), &stream.first.failed));
                return Err(full(held, limits, firsts.collect()));
            }
            target.write_notes(run, &notes).await.map_err(PipelineError::Target)?;
        }
        let RangeFailure { stream, failed, since, .. } = stream.first.clone();
        let record = QuarantinedStream { stream, first, failed, since, held: events };
        target.write_notes(run, &[record.note()]).await.map_err(PipelineError::Target)?;
    }
    let notes = failures.iter().map(|failure| books::note(books::RANGES, failure.key(), None)).collect();
    let checkpoint = Checkpoint { source: last, target: Some(last), counts };
    let progress = Progress {
        run,
        checkpoint,
        state: Vec::new(),
        positions: Vec::new(),
        late: Vec::new(),
        notes,
        origins: Vec::new(),
    };
    withdraw_once(target, &from, &progress).await.map_err(PipelineError::Target)?;
    Ok(Some(checkpoint))
}

/// Takes events out, and finds out whether it happened where there is no answer.
async fn withdraw_once(
    target: &mut dyn EventWriter,
    from: &[(StreamName, Revision)],
    progress: &Progress,
) -> Result<(), StoreError> {
    let Err(error) = target.withdraw(from, progress).await else { return Ok(()) };
    match target.checkpoint(progress.run).await {
        Ok(committed) if committed == Some(progress.checkpoint) => Ok(()),
        _ => Err(error),
    }
}

fn by_stream(failures: &[RangeFailure]) -> Vec<FailedStream> {
    let mut streams: HashMap<&str, FailedStream> = HashMap::new();
    for failure in failures {
        let stream = streams
            .entry(&failure.stream)
            .or_insert_with(|| FailedStream { first: failure.clone(), ranges: BTreeMap::new() });
        if failure.failed.position < stream.first.failed.position {
            stream.first = failure.clone();
        }
        stream.ranges.insert(failure.range, failure.failed.position);
    }
    streams.into_values().collect()
}

/// Whether a range has loaded an event of a stream that is held: it was not behind one that failed there.
fn was_loaded(stream: &FailedStream, ranges: &[LoadRange], position: Position) -> bool {
    let range = ranges.partition_point(|range| range.until < position);
    let Some(range) = ranges.get(range) else { return false };
    stream.ranges.get(&range.index).is_none_or(|failed| position < *failed)
}

/// Counts an event that was loaded as one that is held.
fn take_back(registry: &Registry, event: &Event, counts: &mut Counts) {
    counts.read -= 1;
    counts.written -= 1;
    // It was lifted before, so it is again.
    let was_lifted = registry.lift(event.clone(), &mut Vec::new()).is_ok_and(|lift| lift == Lift::Lifted);
    counts.lifted -= u64::from(was_lifted);
}

fn full(held: Quarantined, limits: QuarantineLimits, mut firsts: Vec<(&str, &Failed)>) -> PipelineError {
    firsts.sort_by_key(|(_, failed)| failed.position);
    let reasons = firsts.iter().take(super::holding::NAMED).map(|(stream, failed)| reason(stream, failed)).collect();
    PipelineError::QuarantineFull { held, limits, reasons }
}
