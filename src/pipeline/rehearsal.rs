//! The rehearsal: every event is lifted, nothing is written, and what would fail is counted instead of stopping.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use eventlift_events::{Event, EventReader, ReadRequest, Scope};
use eventlift_transformers::{Lift, Registry, TransformError};
use futures_util::StreamExt;

use super::error::PipelineError;
use super::stop::Stop;
use super::transform::MOST_WORKERS;

/// What a run would do, but for the stateful rules, which need the events of a whole stream in order.
#[derive(Clone, Debug, Default)]
pub struct Rehearsal {
    /// Events that were lifted, or failed.
    pub read: u64,
    /// Events that a rule changed, split or dropped.
    pub lifted: u64,
    /// Events that became none.
    pub dropped: u64,
    /// Events that became more than one.
    pub split: u64,
    /// Events that would be appended.
    pub written: u64,
    /// The payload bytes of those.
    pub written_bytes: u64,
    /// What failed, by rule: the first failure, and how many there are.
    pub failures: BTreeMap<String, (TransformError, u64)>,
    /// The first events that would be appended, up to the number asked for, and to some 32 MiB read.
    pub first: Vec<Event>,
    /// The bytes of the batches that `first` came from, which it holds in memory.
    kept_bytes: usize,
    read_bytes: usize,
}

/// No more batches than these bytes are kept events of.
const KEPT_BYTES: usize = 32 << 20;

/// What to rehearse.
#[derive(Clone, Debug)]
pub struct RehearsalOptions {
    /// Which events.
    pub scope: Scope,
    /// Only this many of them.
    pub limit: Option<u64>,
    /// How many of the events that would be appended to keep.
    pub keep: usize,
    /// Batches that are lifted at the same time.
    pub workers: NonZeroUsize,
}

/// Lifts events in parallel. `seen` hears how many are done.
pub async fn rehearse(
    reader: &dyn EventReader,
    registry: Arc<Registry>,
    options: RehearsalOptions,
    stop: &Stop,
    mut seen: impl FnMut(u64),
) -> Result<Rehearsal, PipelineError> {
    let RehearsalOptions { scope, limit, keep, workers } = options;
    let lift = |batch: Result<Vec<Event>, _>| {
        let registry = Arc::clone(&registry);
        async move {
            let batch = batch.map_err(PipelineError::Source)?;
            match tokio::task::spawn_blocking(move || lift_batch(&registry, batch)).await {
                Ok(lifted) => Ok::<_, PipelineError>(lifted),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
    };
    let mut left = limit;
    let batches = reader.read(ReadRequest::new(scope)).take_until(stop.clone().asked());
    let limited = batches.map(move |batch| {
        let mut batch = batch?;
        if let Some(left) = &mut left {
            batch.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= batch.len() as u64;
        }
        Ok(batch)
    });
    let mut lifted = std::pin::pin!(
        limited
            .take_while(|batch| std::future::ready(batch.as_ref().map_or(true, |b| !b.is_empty())))
            .map(lift)
            .buffered(workers.get().min(MOST_WORKERS))
    );
    let mut whole = Rehearsal::default();
    while let Some(part) = lifted.next().await {
        whole.add(part?, keep);
        seen(whole.read);
    }
    Ok(whole)
}

impl Rehearsal {
    fn add(&mut self, part: Rehearsal, keep: usize) {
        self.read += part.read;
        self.lifted += part.lifted;
        self.dropped += part.dropped;
        self.split += part.split;
        self.written += part.written;
        self.written_bytes += part.written_bytes;
        let room = if self.kept_bytes < KEPT_BYTES { keep.saturating_sub(self.first.len()) } else { 0 };
        if room > 0 && !part.first.is_empty() {
            self.kept_bytes += part.read_bytes;
            self.first.extend(part.first.into_iter().take(room));
        }
        for (rule, (error, times)) in part.failures {
            self.failures.entry(rule).or_insert((error, 0)).1 += times;
        }
    }
}

fn lift_batch(registry: &Registry, batch: Vec<Event>) -> Rehearsal {
    let mut part = Rehearsal::default();
    for event in batch {
        part.read += 1;
        part.read_bytes += event.size();
        let before = part.first.len();
        match registry.lift(event, &mut part.first) {
            Ok(outcome) => {
                let parts = &part.first[before..];
                part.lifted += u64::from(outcome == Lift::Lifted);
                part.dropped += u64::from(parts.is_empty());
                part.split += u64::from(parts.len() > 1);
                part.written += parts.len() as u64;
                part.written_bytes += parts.iter().map(|e| (e.data.len() + e.metadata.len()) as u64).sum::<u64>();
            }
            Err(error) => part.failures.entry(error.rule.clone()).or_insert((error, 0)).1 += 1,
        }
    }
    part
}
