//! Random operations on the in-memory store and on a plain list of events that follows the contract to the letter.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use eventlift_events::{
    Checkpoint, CheckpointStore, Counts, Event, EventId, EventReader, EventType, EventWriter, MemoryStore,
    MemoryWriter, Payload, Position, Progress, ReadRequest, Revision, RunId, SchemaVersion, Scope, StreamName,
    Timestamp,
};
use futures_util::{FutureExt, StreamExt};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A list of events in the order of their positions, and the rules of the contract, written down naively.
#[derive(Clone, Default)]
struct Model {
    events: Vec<Event>,
    is_sealed: bool,
    is_sparse: bool,
    checkpoint: Option<Checkpoint>,
}

impl Model {
    /// Whether the append is taken; if not, nothing of it is.
    fn append(&mut self, events: &[Event], checkpoint: Option<Checkpoint>) -> bool {
        let before = self.clone();
        for event in events {
            if self.events.iter().any(|held| held.id == event.id && place(held) == place(event)) {
                continue;
            }
            if !self.takes(event) {
                *self = before;
                return false;
            }
            self.events.push(event.clone());
            self.events.sort_by_key(|event| event.position);
        }
        self.checkpoint = checkpoint.or(self.checkpoint);
        true
    }

    fn takes(&self, event: &Event) -> bool {
        let is_taken =
            |held: &Event| held.id == event.id || place(held) == place(event) || held.position == event.position;
        if self.events.iter().any(is_taken) {
            return false;
        }
        let last_revision = self.stream(&event.stream).map(|held| held.revision.0).max();
        let next = last_revision.map_or(0, |last| last + 1);
        let is_next = event.revision.0 == next || (self.is_sparse && event.revision.0 > next);
        // Also before others: a place that was left free is filled later.
        !self.is_sealed || is_next
    }

    fn stream(&self, name: &StreamName) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.stream == *name)
    }

    fn seal(&mut self, dense: bool) -> bool {
        let is_sound = self.events.iter().all(|event| {
            let revisions: Vec<u64> = self.stream(&event.stream).map(|event| event.revision.0).collect();
            let ascends = revisions.windows(2).all(|pair| pair[0] < pair[1]);
            let is_dense = revisions.iter().copied().eq(0..revisions.len() as u64);
            ascends && (is_dense || !dense)
        });
        if !self.is_sealed && is_sound {
            self.is_sealed = true;
            self.is_sparse = !dense;
        }
        self.is_sealed
    }

    fn read(&self, request: &ReadRequest) -> Vec<Event> {
        let is_behind = |event: &Event| request.after.is_none_or(|after| event.position > after);
        let is_up_to = |event: &Event| request.until.is_none_or(|until| event.position <= until);
        let wanted = |event: &&Event| is_behind(event) && is_up_to(event) && request.scope.contains(event);
        self.events.iter().filter(wanted).cloned().collect()
    }
}

fn place(event: &Event) -> (&StreamName, Revision) {
    (&event.stream, event.revision)
}

#[derive(Clone, Debug)]
enum Operation {
    /// Any events at all.
    Append(Vec<Event>, Option<u64>),
    /// The next events of these streams, by index, as a well-behaved caller appends them.
    Continue(Vec<usize>, Option<u64>),
    /// What was appended last, once more.
    Repeat,
    Seal(bool),
    Reopen,
    Read(ReadRequest),
}

const STREAMS: [&str; 4] = ["user-1", "user-2", "username-1", "user"];

fn event(stream: usize, revision: u64, id: u64, position: u64) -> Event {
    Event {
        id: EventId::text(format!("id-{id}")).unwrap(),
        stream: StreamName::new(STREAMS[stream]).unwrap(),
        revision: Revision(revision),
        position: Position::new(position),
        event_type: EventType::new(["A", "B"][(id % 2) as usize]).unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::json("x".repeat((id % 5) as usize * 20)),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Default::default(),
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    (0..STREAMS.len(), 0..4_u64, 0..25_u64, 0..40_u64)
        .prop_map(|(stream, revision, id, position)| event(stream, revision, id, position))
}

fn any_scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::All),
        select(vec!["user", "username", "use"]).prop_map(|category| Scope::Category(category.to_owned())),
        select(STREAMS.to_vec()).prop_map(|name| Scope::Stream(StreamName::new(name).unwrap())),
        select(vec!["A", "B"]).prop_map(|name| Scope::Types([EventType::new(name).unwrap()].into())),
    ]
}

fn any_request() -> impl Strategy<Value = ReadRequest> {
    let position = || proptest::option::of((0..60_u64).prop_map(Position::new));
    (any_scope(), position(), position(), 1..6_usize, 1..600_usize).prop_map(|(scope, after, until, events, bytes)| {
        let request = ReadRequest::new(scope).after(after).until(until);
        ReadRequest {
            batch_events: NonZeroUsize::new(events).unwrap(),
            batch_bytes: NonZeroUsize::new(bytes).unwrap(),
            ..request
        }
    })
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let source = || proptest::option::of(0..1_000_u64);
    prop_oneof![
        3 => (vec(any_event(), 0..4), source()).prop_map(|(events, source)| Operation::Append(events, source)),
        4 => (vec(0..STREAMS.len(), 0..5), source()).prop_map(|(streams, source)| Operation::Continue(streams, source)),
        1 => Just(Operation::Repeat),
        1 => any::<bool>().prop_map(Operation::Seal),
        1 => Just(Operation::Reopen),
        3 => any_request().prop_map(Operation::Read),
    ]
}

/// The events a well-behaved caller appends next to these streams. Their ids are new.
fn next_events(model: &Model, streams: &[usize]) -> Vec<Event> {
    let mut next: BTreeMap<usize, u64> = BTreeMap::new();
    let last = model.events.last().map_or(0, |event| event.position.major());
    let numbered = streams.iter().zip(last + 1..);
    numbered
        .map(|(stream, position)| {
            let name = StreamName::new(STREAMS[*stream]).unwrap();
            let held = model.stream(&name).map(|event| event.revision.0 + 1).max().unwrap_or(0);
            let revision = next.entry(*stream).or_insert(held);
            *revision += 1;
            event(*stream, *revision - 1, 1_000 + position, position)
        })
        .collect()
}

/// The memory store never waits.
fn now<F: Future>(future: F) -> F::Output {
    future.now_or_never().unwrap()
}

fn append(writer: &mut MemoryWriter, run: RunId, events: &[Event], checkpoint: Option<Checkpoint>) -> bool {
    let with = |checkpoint| Progress {
        run,
        checkpoint,
        state: Vec::new(),
        positions: Vec::new(),
        late: Vec::new(),
        notes: Vec::new(),
        origins: Vec::new(),
    };
    now(writer.append(events, checkpoint.map(with).as_ref())).is_ok()
}

fn checkpoint(source: u64) -> Checkpoint {
    Checkpoint { source: Position::new(source), target: None, counts: Counts::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn the_memory_store_does_as_the_model_does(operations in vec(any_operation(), 1..30)) {
        let store = MemoryStore::new();
        let mut writer = store.writer().unwrap();
        let mut model = Model::default();
        let run = RunId::random();
        let mut last: (Vec<Event>, Option<Checkpoint>) = Default::default();
        for operation in operations {
            let to_append = match &operation {
                Operation::Append(events, source) => Some((events.clone(), source.map(checkpoint))),
                Operation::Continue(streams, source) => Some((next_events(&model, streams), source.map(checkpoint))),
                Operation::Repeat => Some(last.clone()),
                _ => None,
            };
            if let Some((events, checkpoint)) = to_append {
                let is_taken = append(&mut writer, run, &events, checkpoint);
                prop_assert_eq!(is_taken, model.append(&events, checkpoint), "{:?}", operation);
                last = (events, checkpoint);
            }
            match operation {
                Operation::Seal(dense) => prop_assert_eq!(now(writer.seal(dense)).is_ok(), model.seal(dense)),
                Operation::Reopen => {
                    prop_assert!(store.writer().is_err());
                    drop(writer);
                    writer = store.writer().unwrap();
                }
                Operation::Read(request) => {
                    let batches: Vec<_> = now(store.reader().read(request.clone()).collect());
                    let found: Vec<Event> = batches.into_iter().flat_map(Result::unwrap).collect();
                    prop_assert_eq!(found, model.read(&request));
                }
                _ => {}
            }
            let batches: Vec<_> = now(store.reader().read(ReadRequest::new(Scope::All)).collect());
            let found: Vec<Event> = batches.into_iter().flat_map(Result::unwrap).collect();
            prop_assert_eq!(&found, &model.events);
            prop_assert_eq!(now(writer.checkpoint(run)).unwrap(), model.checkpoint);
            prop_assert_eq!(now(writer.last_position()).unwrap(), model.events.last().map(|event| event.position));
        }
    }

    #[test]
    fn a_well_behaved_caller_is_never_refused(streams in vec(vec(0..STREAMS.len(), 0..6), 1..10), sealed_after in 0..10_usize) {
        let store = MemoryStore::new();
        let mut writer = store.writer().unwrap();
        let mut model = Model::default();
        for (index, streams) in streams.iter().enumerate() {
            if index == sealed_after {
                now(writer.seal(true)).unwrap();
            }
            let events = next_events(&model, streams);
            now(writer.append(&events, None)).unwrap();
            prop_assert!(model.append(&events, None));
        }
    }
}
