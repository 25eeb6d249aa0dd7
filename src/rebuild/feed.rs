//! Where the events of a rebuild come from: a store, and the rules that they go through on the fly.

use std::num::NonZeroUsize;
use std::sync::Arc;

use eventlift_events::{Census, Event, EventReader, EventType, Needed, Position, ReadRequest, SchemaVersion, Scope};
use eventlift_projections::Projection;
use eventlift_transformers::{Outcome, Registry, Schema};
use futures_util::stream::{BoxStream, StreamExt};
use tokio::sync::OnceCell;

use super::error::{RebuildError, RebuildRefusal};
use crate::pipeline::{Origins, Policies, Stop, lift_batches};

/// The events of a store, lifted on the fly where there are rules.
///
/// Lifted events keep the revision and the position of the event they came from, since that is what the store knows
/// them by; the parts of a split share both.
#[derive(Clone)]
pub struct Feed {
    reader: Arc<dyn EventReader>,
    rules: Option<(Arc<Registry>, Policies)>,
    scope: Scope,
    filled_by: Option<String>,
    needed: Needed,
    known: Arc<OnceCell<Option<Known>>>,
}

/// What a store held when it was asked.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// The last event; none if there was none.
    pub(super) head: Option<Position>,
    /// How many events there are up to it, where the store can tell that.
    pub(super) events: Option<u64>,
    /// What there is up to it at least.
    census: Census,
}

/// Some events, in order.
#[derive(Debug)]
pub struct FedBatch {
    /// What is to be folded.
    pub events: Vec<Event>,
    /// The position of the last event that was read for it.
    pub until: Position,
    /// How many events were read for it.
    pub read: u64,
}

/// Batches in order, until the store ends, the first error, or a request to stop.
pub type Fed = BoxStream<'static, Result<FedBatch, RebuildError>>;

impl Feed {
    /// The events of a store as they are.
    pub fn of(reader: Arc<dyn EventReader>) -> Self {
        let known = Arc::new(OnceCell::new());
        Self { reader, rules: None, scope: Scope::All, filled_by: None, needed: Needed::ALL, known }
    }

    /// The same, each event lifted by rules. Fails with rules that keep state between the events of a stream: what
    /// they make of an event depends on where the reading begins.
    pub fn lifted_by(self, registry: Arc<Registry>, policies: Policies) -> Result<Self, RebuildRefusal> {
        if let Some(rule) = registry.stateful().first() {
            return Err(RebuildRefusal::StatefulRule { rule: rule.name().to_owned() });
        }
        let rules = (!registry.is_empty()).then_some((registry, policies));
        Ok(Self { rules, ..self })
    }

    /// The same, of a part of the store.
    pub fn within(self, scope: Scope) -> Self {
        Self { scope, known: Arc::new(OnceCell::new()), ..self }
    }

    /// The same, where these projections alone are fed: the store may leave out what none of them looks into. Rules may
    /// look into anything.
    pub(super) fn to(&self, projections: &[Arc<dyn Projection>]) -> Self {
        let mut needs = projections.iter().map(|projection| projection.needed());
        let needed = match (&self.rules, needs.next()) {
            (None, Some(first)) => needs.fold(first, Needed::and),
            _ => Needed::ALL,
        };
        Self { needed, ..self.clone() }
    }

    /// The same, where also events of types that none of the projections folds may be left out, if there are any. Only
    /// for events that are [known](Self::known), whose types were found to be understood.
    pub(super) fn of_types(self, projections: &[Arc<dyn Projection>], known: &Known) -> Self {
        let folded = || projections.iter().flat_map(|projection| projection.understood().folded.keys());
        let is_folded = |event_type: &EventType| folded().any(|folded| folded == event_type);
        let all_are = known.census.keys().all(|(event_type, _)| is_folded(event_type));
        let types = (self.rules.is_none() && !all_are).then(|| folded().cloned().collect());
        Self { needed: Needed { types, ..self.needed }, ..self }
    }

    /// The same, of a store that a migration filled: its run is part of what read models are made of, so that they are
    /// built again when the store is filled again.
    pub fn filled_by(self, run: Option<String>) -> Self {
        Self { filled_by: run, ..self }
    }

    /// The store.
    pub fn reader(&self) -> &dyn EventReader {
        &*self.reader
    }

    /// The rules that events go through, if there are any.
    pub fn rules(&self) -> Option<&Registry> {
        self.rules.as_ref().map(|(registry, _)| &**registry)
    }

    /// The run that filled the store, if a migration did.
    pub fn run(&self) -> Option<&str> {
        self.filled_by.as_deref()
    }

    /// The events behind a position and up to another one.
    pub fn events(&self, after: Option<Position>, until: Option<Position>, reading: &Reading, stop: &Stop) -> Fed {
        let request = ReadRequest::new(self.scope.clone()).after(after).until(until).batch_events(reading.batch_events);
        let request = request.needing(self.needed.clone());
        let batches = self.reader.read(request);
        let Some((registry, policies)) = &self.rules else {
            let batches = batches.take_until(stop.clone().asked());
            return batches.filter_map(|batch| std::future::ready(as_read(batch))).boxed();
        };
        let lifted = lift_batches(
            batches,
            Arc::clone(registry),
            *policies,
            Origins::Implied,
            reading.workers.get(),
            stop.clone(),
        );
        let batches = lifted.flat_map(|batch| {
            let (batch, failed) = match batch {
                Ok(mut batch) => {
                    let failed = batch.failed.take().map(|error| Err(RebuildError::Lift(error)));
                    let fed = FedBatch { events: batch.events, until: batch.source, read: batch.read };
                    ((fed.read > 0).then_some(Ok(fed)), failed)
                }
                Err(error) => (None, Some(Err(RebuildError::Lift(error)))),
            };
            futures_util::stream::iter(batch.into_iter().chain(failed))
        });
        // Nothing comes behind an error.
        batches
            .scan(false, |failed, batch| {
                let ended = std::mem::replace(failed, batch.is_err());
                std::future::ready((!ended).then_some(batch))
            })
            .boxed()
    }

    /// Whether the store holds an event at a position: what was read up to there is still what is read up to there.
    pub async fn holds(&self, position: Position) -> Result<bool, RebuildError> {
        let request = ReadRequest::new(self.scope.clone()).after(position.just_before()).until(Some(position));
        let batch = self.reader.read(request).next().await.transpose().map_err(RebuildError::Source)?;
        Ok(batch.and_then(|batch| batch.last().map(|event| event.position)) == Some(position))
    }

    /// The part of the store, as text, where it is not all of it.
    pub(super) fn part(&self) -> Option<String> {
        (self.scope != Scope::All).then(|| format!("{:?}", self.scope))
    }

    /// What the store held when this, or a clone of it, was asked first, where the store can tell without being read.
    pub(super) async fn known(&self) -> Result<Option<&Known>, RebuildError> {
        let ask = || async {
            // The end first: every event up to there is counted.
            let head = self.reader.head().await?;
            if let Some(census) = self.reader.census(&self.scope, head).await? {
                let events = census.values().map(|tally| tally.events).sum();
                return Ok(Some(Known { head, events: Some(events), census }));
            }
            let census = self.reader.census(&self.scope, None).await?;
            Ok(census.map(|census| Known { head, events: None, census }))
        };
        self.known.get_or_try_init(ask).await.map(Option::as_ref).map_err(RebuildError::Source)
    }

    /// The types and versions that reach the folds, with how many events of the store each comes from, where the
    /// store can tell without being read; as of when this, or a clone of it, was asked first. What general rules make
    /// of types is not known.
    pub async fn types(&self) -> Result<Option<Vec<(EventType, SchemaVersion, u64)>>, RebuildError> {
        let Some(known) = self.known().await? else { return Ok(None) };
        let types = known.census.iter();
        let types = types.map(|((event_type, version), tally)| (event_type.clone(), *version, tally.events));
        match self.rules() {
            Some(registry) => Ok(reaching(registry, types)),
            None => Ok(Some(types.collect())),
        }
    }
}

/// What the types and versions of a store become, with how many events of the store each comes from; none with general
/// rules, since what those make of types is not known.
pub fn reaching(
    registry: &Registry,
    types: impl Iterator<Item = (EventType, SchemaVersion, u64)>,
) -> Option<Vec<(EventType, SchemaVersion, u64)>> {
    if registry.has_general_rules() {
        return None;
    }
    let reaching = types.flat_map(|(event_type, version, events)| {
        let ends = ends(registry, event_type, version);
        ends.into_iter().map(move |Schema { event_type, version }| (event_type, version, events))
    });
    Some(reaching.collect())
}

/// Where the chains of a type and version end, and what merges make of that.
pub fn ends(registry: &Registry, event_type: EventType, version: SchemaVersion) -> Vec<Schema> {
    let coverage = registry.coverage(&event_type, version);
    let steps = match coverage.outcome {
        Outcome::Lifted(steps) => steps,
        Outcome::Current | Outcome::Uncovered(_) => Vec::new(),
    };
    let targets: Vec<Schema> = match steps.is_empty() {
        true => vec![Schema { event_type, version }],
        false => steps.iter().flat_map(|step| step.to.clone()).collect(),
    };
    let mut ends: Vec<Schema> = Vec::new();
    for target in targets.into_iter().filter(|target| !steps.iter().any(|step| step.from == *target)) {
        let merged = coverage.merges.iter().find(|merge| merge.from == target).map(|merge| merge.into.clone());
        let end = merged.unwrap_or(target);
        if !ends.contains(&end) {
            ends.push(end);
        }
    }
    ends
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("store", self.reader.identity())
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// How events are read. Never changes the result.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Events a batch.
    pub batch_events: NonZeroUsize,
    /// Batches that are lifted at the same time.
    pub workers: NonZeroUsize,
}

impl Default for Reading {
    fn default() -> Self {
        const BATCH: NonZeroUsize = NonZeroUsize::new(1_000).unwrap(); // not zero, which the compiler checks
        Self { batch_events: BATCH, workers: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN) }
    }
}

fn as_read(batch: Result<Vec<Event>, eventlift_events::StoreError>) -> Option<Result<FedBatch, RebuildError>> {
    match batch {
        Ok(events) => {
            let (until, read) = (events.last()?.position, events.len() as u64);
            Some(Ok(FedBatch { events, until, read }))
        }
        Err(error) => Some(Err(RebuildError::Source(error))),
    }
}
