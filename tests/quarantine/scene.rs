//! Rules that fail on some events, and runs of them.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use eventlift::events::faults::{Faulty, Script};
use eventlift::events::{
    CheckpointStore, Event, EventReader, EventType, EventWriter, MemoryLimits, MemoryStore, Payload, RunRecord,
    SchemaVersion,
};
use eventlift::pipeline::quarantine::{Apart, QuarantinedStream, Released, quarantined_streams, release};
use eventlift::pipeline::{
    FailedEvents, Migration, MigrationOptions, Outcome, PipelineError, Policies, Stop, Verification, verify_apart,
};
use eventlift::transformers::{Reason, Registry, Rule, StatefulTransformer};

use crate::content::{event_line, events_of};

/// What the rules do beside failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Every event stays where it is.
    OneToOne,
    /// Some are split, some dropped.
    Shifting,
    /// Every event stays, and what it becomes depends on those before it. It is the stateful rule that fails.
    Stateful,
}

/// The positions of the events that rules fail on.
pub(crate) type Poison = Arc<BTreeSet<u64>>;

/// The rules, which fail on these positions.
pub(crate) fn rules(kind: Kind, poison: &Poison) -> Arc<Registry> {
    let fails = {
        let poison = Arc::clone(poison);
        move |event: &Event| match kind != Kind::Stateful && poison.contains(&event.position.major()) {
            true => Err(Reason::new("it is poison")),
            false => Ok(()),
        }
    };
    let changed = |mut event: Event| {
        event.data = Payload::json([b"[", event.data.bytes().as_ref(), b"]"].concat());
        event
    };
    let builder = Registry::builder();
    let builder = match kind {
        Kind::OneToOne | Kind::Stateful => builder.rule(Rule::new("changes", "1", move |event: Event| {
            fails(&event)?;
            Ok(if event.revision.0.is_multiple_of(2) { changed(event) } else { event })
        })),
        Kind::Shifting => builder.rule(Rule::new("splits and drops", "1", move |event: Event| {
            fails(&event)?;
            Ok(match event.position.major() % 5 {
                0 => vec![],
                1 => vec![changed(event.clone()), event],
                _ => vec![event],
            })
        })),
    };
    let builder = match kind {
        Kind::Stateful => builder.stateful(Arc::new(Counts { poison: Arc::clone(poison) })),
        _ => builder,
    };
    Arc::new(builder.build().unwrap())
}

/// Writes into each event how many there were before it in its stream.
struct Counts {
    poison: Poison,
}

impl StatefulTransformer for Counts {
    fn name(&self) -> &str {
        "counts"
    }

    fn fingerprint(&self) -> &str {
        "1"
    }

    fn observes(&self, _: &EventType, _: SchemaVersion) -> bool {
        true
    }

    fn is_one_to_one(&self) -> bool {
        true
    }

    fn transform(&self, state: &mut Vec<u8>, mut event: Event, out: &mut Vec<Event>) -> Result<(), Reason> {
        let before: u64 = std::str::from_utf8(state).unwrap().parse().unwrap_or(0);
        *state = (before + 1).to_string().into_bytes();
        if self.poison.contains(&event.position.major()) {
            return Err(Reason::new("it is poison"));
        }
        event.data = Payload::json(before.to_string());
        out.push(event);
        Ok(())
    }
}

pub(crate) fn poison(positions: impl IntoIterator<Item = u64>) -> Poison {
    Arc::new(positions.into_iter().collect())
}

pub(crate) fn options(batch: usize, workers: usize, transaction: usize) -> MigrationOptions {
    MigrationOptions {
        batch_events: NonZeroUsize::new(batch).unwrap(),
        workers: NonZeroUsize::new(workers).unwrap(),
        transaction_events: NonZeroUsize::new(transaction).unwrap(),
        policies: Policies { failed_events: FailedEvents::Quarantine, ..Policies::default() },
        ..MigrationOptions::default()
    }
}

pub(crate) fn store(in_ranges: bool) -> MemoryStore {
    MemoryStore::with_limits(MemoryLimits { in_ranges, ..MemoryLimits::default() })
}

pub(crate) async fn fill(store: &MemoryStore, events: &[Event]) {
    store.writer().unwrap().append(events, None).await.unwrap();
}

/// A source and a target, what decides how they are run, and the faults that are still to come.
pub(crate) struct Scene {
    pub(crate) source: MemoryStore,
    pub(crate) target: MemoryStore,
    pub(crate) kind: Kind,
    pub(crate) options: MigrationOptions,
    pub(crate) writing: Script,
}

impl Scene {
    pub(crate) async fn new(events: &[Event], kind: Kind, in_ranges: bool, options: MigrationOptions) -> Self {
        let (source, target) = (store(in_ranges), store(in_ranges));
        fill(&source, events).await;
        Self { source, target, kind, options, writing: Script::new() }
    }

    pub(crate) async fn run(&self, poison: &Poison) -> Result<Outcome, PipelineError> {
        let writer = Box::new(Faulty::new(self.target.writer().unwrap(), self.writing.clone()));
        let source = Arc::new(self.source.reader());
        Migration::new(source, writer, rules(self.kind, poison), self.options.clone()).run().await
    }

    /// Runs again and again until it comes through.
    pub(crate) async fn run_through(&self, poison: &Poison) -> Outcome {
        for _ in 0..20 {
            match self.run(poison).await {
                Ok(outcome) => return outcome,
                Err(PipelineError::Target(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        panic!("it does not come through");
    }

    pub(crate) async fn release(&self, poison: &Poison) -> Result<Released, PipelineError> {
        let mut writer = Faulty::new(self.target.writer().unwrap(), self.writing.clone());
        let (run, registry) = (self.record(&writer).await, rules(self.kind, poison));
        release(&mut writer, &registry, self.options.policies, &run, &[], &Stop::never(), |_| {}).await
    }

    pub(crate) async fn release_through(&self, poison: &Poison) -> Released {
        for _ in 0..20 {
            match self.release(poison).await {
                Ok(released) => return released,
                Err(PipelineError::Target(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        panic!("it does not come through");
    }

    pub(crate) async fn record(&self, ledger: &impl CheckpointStore) -> RunRecord {
        ledger.runs().await.unwrap().pop().unwrap()
    }

    pub(crate) async fn held(&self) -> Vec<QuarantinedStream> {
        let ledger = self.target.writer().unwrap();
        let run = self.record(&ledger).await.id;
        quarantined_streams(&ledger, run).await.unwrap()
    }

    pub(crate) async fn events(&self) -> Vec<Event> {
        events_of(&self.target.reader()).await
    }

    pub(crate) async fn verified(&self, poison: &Poison) -> Verification {
        let ledger = self.target.writer().unwrap();
        let run = self.record(&ledger).await.id;
        let apart = Arc::new(Apart::of(&ledger, run).await.unwrap());
        let until = ledger.checkpoint(run).await.unwrap().map(|checkpoint| checkpoint.source);
        let (source, target): (Arc<dyn EventReader>, Arc<dyn EventReader>) =
            (Arc::new(self.source.reader()), Arc::new(self.target.reader()));
        let (registry, options) = (rules(self.kind, poison), self.options.clone());
        verify_apart(source, target, registry, options, until, apart, Stop::never(), |_| {}).await.unwrap()
    }
}

/// What a target becomes on which nothing ever fails.
pub(crate) async fn clean(events: &[Event], kind: Kind) -> Vec<Event> {
    let scene = Scene::new(events, kind, false, options(1_000, 1, 10_000)).await;
    assert!(scene.run(&poison([])).await.unwrap().done);
    scene.events().await
}

/// Lines of the events, in the order of the store where their places are to be equal, and else by stream and without
/// positions.
pub(crate) fn lines(events: &[Event], places: bool) -> Vec<String> {
    let mut events = events.to_vec();
    if !places {
        events.sort_by(|a, b| (&a.stream, a.revision).cmp(&(&b.stream, b.revision)));
        events.iter_mut().for_each(|event| event.position = eventlift::Position::new(0));
    }
    events.iter().map(event_line).collect()
}
