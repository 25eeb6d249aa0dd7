//! A service's aggregates: with snapshots or without, lifted or not, one by one or all at once, a state is what the
//! events of its stream fold into, each once.

use std::num::NonZeroUsize;
use std::sync::Arc;

use eventlift::events::{MemoryStore, StreamName};
use eventlift::pipeline::Policies;
use eventlift::projections::{Aggregate, MemoryReadModels, Snapshot, SnapshotStore, Snapshots, Understood};
use eventlift::rebuild::{Feed, FoldOptions, Rebuild, RebuildError, RebuildRefusal, Rebuilder, Rebuilt, Wanted};
use eventlift::{
    Bytes, Event, EventId, EventType, EventWriter, Payload, Position, Reason, Registry, Revision, SchemaVersion, Scope,
    StatefulTransformer, Timestamp, Upcaster,
};
use futures_util::TryStreamExt;

/// The steps of a stream, in order: whatever is lost, doubled or in disorder shows.
#[derive(Clone)]
struct Trail {
    fingerprint: &'static str,
    understood: Understood,
}

#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Steps {
    steps: Vec<i64>,
}

/// It can't be folded.
const BAD: i64 = 13;

fn trail() -> Trail {
    let (moved, noted) = (EventType::new("Moved").unwrap(), EventType::new("Noted").unwrap());
    let mut understood = Understood { categories: ["thing".to_owned()].into(), ..Understood::default() };
    understood.ignored.insert(noted, [].into());
    Trail { fingerprint: "1", understood: understood.folding(moved, SchemaVersion::FIRST) }
}

impl Aggregate for Trail {
    type State = Steps;

    fn name(&self) -> &str {
        "trail"
    }

    fn fingerprint(&self) -> &str {
        self.fingerprint
    }

    fn understood(&self) -> &Understood {
        &self.understood
    }

    fn apply(&self, state: &mut Steps, event: &Event) -> Result<(), Reason> {
        let step: i64 = serde_json::from_slice(event.data.bytes())?;
        state.steps.push(step);
        if step == BAD { Err(Reason::new("a bad step")) } else { Ok(()) }
    }
}

fn event(position: u64, stream: &str, revision: u64, event_type: &'static str, version: u32, step: i64) -> Event {
    Event {
        id: EventId::text(format!("event-{position}")).unwrap(),
        stream: StreamName::new(stream.to_owned()).unwrap(),
        revision: Revision(revision),
        position: Position::new(position),
        event_type: EventType::new(event_type).unwrap(),
        version: SchemaVersion::new(version).unwrap(),
        data: Payload::json(step.to_string()),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Bytes::new(),
    }
}

fn moved(position: u64, stream: &str, revision: u64, step: i64) -> Event {
    event(position, stream, revision, "Moved", 1, step)
}

async fn append(store: &MemoryStore, events: &[Event]) {
    store.writer().unwrap().append(events, None).await.unwrap();
}

fn of(store: &MemoryStore) -> Rebuilder<Trail> {
    Rebuilder::new(Arc::new(store.reader()), trail())
}

fn name(stream: &str) -> StreamName {
    StreamName::new(stream.to_owned()).unwrap()
}

fn steps(rebuilt: &Rebuilt<Steps>) -> &[i64] {
    &rebuilt.state.steps
}

/// Builds the snapshots of every stream, or brings them up to date.
async fn snapshots(feed: Feed, models: &MemoryReadModels, is_update: bool) {
    let wanted = Wanted { projection: Arc::new(Snapshots::of(trail())), reason: "test".to_owned() };
    let rebuild = Rebuild::new(feed, Arc::new(models.clone()), vec![wanted], FoldOptions::default());
    let outcome = if is_update { rebuild.update().await } else { rebuild.run().await };
    assert!(outcome.unwrap().done);
}

fn feed(store: &MemoryStore) -> Feed {
    Feed::of(Arc::new(store.reader()))
}

#[tokio::test]
async fn a_state_is_the_fold_of_its_stream() {
    let store = MemoryStore::new();
    let events = [
        moved(1, "thing-1", 0, 1),
        moved(2, "thing-2", 0, 2),
        moved(3, "thing-1", 1, 3),
        event(4, "other-1", 0, "Strange", 9, 4),
        event(5, "thing-1", 2, "Noted", 7, 5),
    ];
    append(&store, &events).await;
    let state = of(&store).state(&name("thing-1")).await.unwrap().unwrap();
    let state_of = |steps: &[i64]| Steps { steps: steps.to_vec() };
    let expected = Rebuilt {
        stream: name("thing-1"),
        revision: Revision(1),
        position: Position::new(3),
        state: state_of(&[1, 3]),
    };
    assert_eq!(state, expected);
    // Of a stream without events, and of one that is none of its business, there is no state.
    assert_eq!(of(&store).state(&name("thing-3")).await.unwrap(), None);
    assert_eq!(of(&store).state(&name("other-1")).await.unwrap(), None);
}

#[tokio::test]
async fn what_a_state_can_t_be_folded_from_is_an_error() {
    let store = MemoryStore::new();
    let events = [event(1, "thing-1", 0, "Moved", 2, 1), event(2, "thing-2", 0, "Strange", 1, 1)];
    append(&store, &events).await;
    append(&store, &[moved(3, "thing-3", 0, 1), moved(4, "thing-3", 1, BAD), moved(5, "thing-4", 0, 1)]).await;
    for stream in ["thing-1", "thing-2"] {
        let failed = of(&store).state(&name(stream)).await.unwrap_err();
        assert!(matches!(&failed, RebuildError::Refused(RebuildRefusal::NotUnderstood { .. })), "{failed}");
        assert!(failed.to_string().contains(stream), "{failed}");
    }
    let failed = of(&store).state(&name("thing-3")).await.unwrap_err();
    assert!(failed.to_string().contains("event-4") && failed.to_string().contains("a bad step"), "{failed}");
    assert_eq!(steps(&of(&store).state(&name("thing-4")).await.unwrap().unwrap()), [1]);
    let all: Result<Vec<_>, _> = of(&store).states(Scope::All).try_collect().await;
    assert!(matches!(all, Err(RebuildError::Refused(RebuildRefusal::NotUnderstood { .. }))));
}

#[tokio::test]
async fn a_snapshot_is_gone_on_from_and_kept() {
    let (store, models) = (MemoryStore::new(), MemoryReadModels::new());
    append(&store, &[moved(1, "thing-1", 0, 1), moved(2, "thing-2", 0, 2), moved(3, "thing-1", 1, 3)]).await;
    snapshots(feed(&store), &models, false).await;
    let with = || of(&store).with_snapshots(Arc::new(models.clone()));
    let stream = name("thing-1");
    let whole = of(&store).state(&stream).await.unwrap().unwrap();
    assert_eq!(with().state(&stream).await.unwrap().unwrap(), whole);

    // That it begins with the snapshot shows where that says something else.
    let kept = models.snapshot("trail", &stream).await.unwrap().unwrap();
    let marked =
        Snapshot { revision: Revision(2), position: Position::new(4), state: r#"{"steps":[7]}"#.into(), ..kept };
    models.save("trail", &marked).await.unwrap();
    append(&store, &[moved(4, "thing-1", 2, 4), moved(5, "thing-1", 3, 5)]).await;
    let state = with().state(&stream).await.unwrap().unwrap();
    assert_eq!((steps(&state), state.revision), (&[7, 5][..], Revision(3)));
    with().keep(&state).await.unwrap();
    let kept = models.snapshot("trail", &stream).await.unwrap().unwrap();
    assert_eq!((kept.revision, kept.position, &*kept.state), (Revision(3), Position::new(5), r#"{"steps":[7,5]}"#));
    append(&store, &[moved(6, "thing-1", 4, 6)]).await;
    assert_eq!(steps(&with().state(&stream).await.unwrap().unwrap()), [7, 5, 6]);
    // Without a store of snapshots, keeping does nothing.
    of(&store).keep(&state).await.unwrap();

    // Another version of the aggregate leaves it alone, and can't overwrite it.
    let other = || Trail { fingerprint: "2", ..trail() };
    let other = Rebuilder::new(Arc::new(store.reader()), other()).with_snapshots(Arc::new(models.clone()));
    let whole = other.state(&stream).await.unwrap().unwrap();
    assert_eq!(steps(&whole), [1, 3, 4, 5, 6]);
    assert!(other.keep(&whole).await.is_err());
    assert_eq!(models.snapshot("trail", &stream).await.unwrap().unwrap().state, kept.state);
}

/// A service saves a snapshot that is further than the table's checkpoint: the update that comes later leaves out what
/// is in it, and folds what is not.
#[tokio::test]
async fn an_update_does_not_fold_twice_what_a_service_has_saved() {
    let (store, models) = (MemoryStore::new(), MemoryReadModels::new());
    append(&store, &[moved(1, "thing-1", 0, 1), moved(2, "thing-2", 0, 2)]).await;
    snapshots(feed(&store), &models, false).await;
    append(&store, &[moved(3, "thing-1", 1, 3), moved(4, "thing-2", 1, 4), moved(5, "thing-1", 2, 5)]).await;
    append(&store, &[moved(6, "thing-3", 0, 6)]).await;
    let service = of(&store).with_snapshots(Arc::new(models.clone()));
    for stream in ["thing-1", "thing-3"] {
        let state = service.state(&name(stream)).await.unwrap().unwrap();
        service.keep(&state).await.unwrap();
    }
    append(&store, &[moved(7, "thing-1", 3, 7), moved(8, "thing-3", 1, 8)]).await;
    for _ in 0..2 {
        snapshots(feed(&store), &models, true).await;
        for (stream, expected) in [("thing-1", vec![1, 3, 5, 7]), ("thing-2", vec![2, 4]), ("thing-3", vec![6, 8])] {
            let kept = models.snapshot("trail", &name(stream)).await.unwrap().unwrap();
            assert_eq!(serde_json::from_str::<Steps>(&kept.state).unwrap().steps, expected, "{stream}");
            assert_eq!(of(&store).state(&name(stream)).await.unwrap().unwrap().position, kept.position);
        }
    }
}

/// `Pair` 1 becomes two events, `Dropped` 1 none, and `Moved` 1 is what both lead to.
fn registry() -> Arc<Registry> {
    let split = Upcaster::new("Pair", 1, 2, "1", |event: Event| {
        let step: i64 = serde_json::from_slice(event.data.bytes())?;
        let part = |step: i64| Event {
            event_type: EventType::new("Moved").unwrap(),
            version: SchemaVersion::FIRST,
            data: Payload::json(step.to_string()),
            ..event.clone()
        };
        Ok(vec![part(step), part(step + 1)])
    });
    let drop_all = Upcaster::new("Dropped", 1, 2, "1", |_| Ok(None::<Event>));
    let registry = Registry::builder()
        .current("Moved", 1)
        .current("Noted", 1)
        .retired("Pair")
        .current("Dropped", 2)
        .upcaster(split.into_schemas([("Moved", 1)]))
        .upcaster(drop_all);
    Arc::new(registry.build().unwrap_or_else(|errors| panic!("{errors}")))
}

/// Some streams of events to be lifted, and others.
fn history() -> Vec<Event> {
    let mut events = Vec::new();
    let mut revisions = [0_u64; 40];
    for number in 0..400_u64 {
        let stream = ((number * number + number / 7) % 40) as usize;
        let event_type = ["Moved", "Pair", "Moved", "Noted", "Dropped"][(number % 5) as usize];
        let step = 100 * number as i64;
        events.push(event(number + 1, &format!("thing-{stream}"), revisions[stream], event_type, 1, step));
        revisions[stream] += 1;
    }
    events
}

/// What a stream's events come to, trivially.
fn expected(events: &[Event], stream: &StreamName) -> Option<Rebuilt<Steps>> {
    let mut rebuilt: Option<Rebuilt<Steps>> = None;
    for event in events.iter().filter(|event| event.stream == *stream) {
        let step: i64 = serde_json::from_slice(event.data.bytes()).unwrap();
        let folded = match event.event_type.as_str() {
            "Moved" => vec![step],
            "Pair" => vec![step, step + 1],
            _ => continue,
        };
        let (revision, position) = (event.revision, event.position);
        let before = rebuilt.map(|rebuilt| rebuilt.state.steps).unwrap_or_default();
        let state = Steps { steps: [before, folded].concat() };
        rebuilt = Some(Rebuilt { stream: stream.clone(), revision, position, state });
    }
    rebuilt
}

/// The parts of a split share the revision and the position of the event they came from, wherever a snapshot was made.
#[tokio::test]
async fn events_are_lifted_on_the_way() {
    let (store, models) = (MemoryStore::new(), MemoryReadModels::new());
    let events = history();
    append(&store, &events[..150]).await;
    let lifted = || of(&store).lifted_by(registry(), Policies::default()).unwrap();
    let fed = || feed(&store).lifted_by(registry(), Policies::default()).unwrap();
    snapshots(fed(), &models, false).await;
    let with = || lifted().with_snapshots(Arc::new(models.clone()));
    append(&store, &events[150..]).await;
    let mut streams: Vec<StreamName> = events.iter().map(|event| event.stream.clone()).collect();
    streams.sort();
    streams.dedup();
    for (number, stream) in streams.iter().enumerate() {
        let expected = expected(&events, stream);
        assert_eq!(lifted().state(stream).await.unwrap(), expected);
        let state = with().state(stream).await.unwrap();
        assert_eq!(state, expected);
        if let Some(state) = state.filter(|_| number % 3 == 0) {
            with().keep(&state).await.unwrap();
        }
    }
    snapshots(fed(), &models, true).await;
    for stream in &streams {
        let kept = models.snapshot("trail", stream).await.unwrap().map(|snapshot| snapshot.state);
        let expected = expected(&events, stream).map(|state| serde_json::to_string(&state.state).unwrap());
        assert_eq!(kept, expected);
    }
    // Without the rules, snapshots that were made with them are left alone, and what they lift is not understood.
    let unlifted = of(&store).with_snapshots(Arc::new(models.clone())).state(&streams[0]).await;
    assert!(matches!(unlifted, Err(RebuildError::Refused(RebuildRefusal::NotUnderstood { .. }))));
}

#[tokio::test]
async fn all_states_are_those_of_each_stream() {
    let store = MemoryStore::new();
    let mut events = history();
    events.push(event(401, "other-1", 0, "Moved", 1, 1));
    append(&store, &events).await;
    let mut streams: Vec<StreamName> = events.iter().map(|event| event.stream.clone()).collect();
    streams.sort();
    streams.dedup();
    streams.retain(|stream| stream.category() == "thing");
    let each: Vec<_> = streams.iter().filter_map(|stream| expected(&events, stream)).collect();
    assert!(each.len() > 20);
    for (workers, memory_bytes) in [(1, 1), (3, 1), (3, 4_000), (4, 1 << 26)] {
        let workers = NonZeroUsize::new(workers).unwrap();
        let options = FoldOptions { workers, memory_bytes, ..FoldOptions::default() };
        let lifted = of(&store).lifted_by(registry(), Policies::default()).unwrap().with_options(options);
        for scope in [Scope::All, Scope::Category("thing".to_owned())] {
            let states: Vec<_> = lifted.states(scope).try_collect().await.unwrap();
            assert_eq!(states, each, "{workers} workers, {memory_bytes} bytes");
        }
        let one: Vec<_> = lifted.states(Scope::Stream(streams[3].clone())).try_collect().await.unwrap();
        assert_eq!(one.first(), expected(&events, &streams[3]).as_ref());
        let none: Vec<_> = lifted.states(Scope::Category("nothing".to_owned())).try_collect().await.unwrap();
        assert!(none.is_empty());
    }
}

struct Counting;

impl StatefulTransformer for Counting {
    fn name(&self) -> &str {
        "counting"
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

    fn transform(&self, state: &mut Vec<u8>, event: Event, out: &mut Vec<Event>) -> Result<(), Reason> {
        state.push(1);
        out.push(event);
        Ok(())
    }
}

#[tokio::test]
async fn rules_that_look_beyond_the_event_or_its_stream_are_refused() {
    let store = MemoryStore::new();
    append(&store, &[event(1, "thing-1", 0, "Moved", 1, 1), event(2, "thing-2", 0, "Moved", 1, 2)]).await;
    let stateful = Registry::builder().stateful(Arc::new(Counting)).build().unwrap();
    let refused = of(&store).lifted_by(Arc::new(stateful), Policies::default()).map(|_| ()).unwrap_err();
    assert_eq!(refused, RebuildRefusal::StatefulRule { rule: "counting".to_owned() });

    // What lies in the stream 2 belongs to 1: the streams' events can only be told from all of them.
    let moving = Upcaster::new("Moved", 1, 2, "1", |event: Event| {
        Ok(Event { stream: StreamName::new("thing-1").unwrap(), ..event })
    });
    let moving = Registry::builder().current("Moved", 2).upcaster(moving.moves_streams()).build().unwrap();
    let mut two = trail();
    two.understood = two.understood.folding(EventType::new("Moved").unwrap(), SchemaVersion::new(2).unwrap());
    let lifted =
        Rebuilder::new(Arc::new(store.reader()), two).lifted_by(Arc::new(moving), Policies::default()).unwrap();
    let refused = lifted.state(&name("thing-1")).await.unwrap_err();
    assert!(matches!(refused, RebuildError::Refused(RebuildRefusal::MovingRules)), "{refused}");
    let part: Result<Vec<_>, _> = lifted.states(Scope::Category("thing".to_owned())).try_collect().await;
    assert!(matches!(part, Err(RebuildError::Refused(RebuildRefusal::MovingRules))));
    let all: Vec<_> = lifted.states(Scope::All).try_collect().await.unwrap();
    assert_eq!(
        all.iter().map(|state| (state.stream.as_str(), steps(state))).collect::<Vec<_>>(),
        [("thing-1", &[1, 2][..])]
    );
}
