//! Laws that hold for any log and any rules.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use eventlift::events::{
    CheckpointStore, Event, EventId, EventReader, EventType, EventWriter, MemoryLimits, MemoryStore, Payload, Position,
    PositionRange, Revision, SchemaVersion, StreamName,
};
use eventlift::pipeline::{Migration, MigrationOptions, Outcome, Rehearsing, Stop, Verification, verify};
use eventlift::stores::Prospect;
use eventlift::stores::sqlite::{SqliteConfig, SqliteReader, SqliteWriter};
use eventlift::transformers::{Reason, Registry, Rule, StatefulTransformer};
use proptest::prelude::*;

use crate::content::{self, assert_same};
use crate::rulebook;

const TYPES: [&str; 4] = ["A", "B", "C", "D"];
const OWNERS: [&str; 4] = ["next revision", "shift", "rule counted", "rule counted again"];

/// A rule over one of the types. The number decides which events of the type it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Change,
    Drop,
    Split(usize),
    Rename,
    Move,
}

/// A stateful rule: what it does depends on how many events the stream had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remembers {
    /// One-to-one: writes the number into the data.
    Counts,
    /// Drops every third.
    DropsThird,
    /// Splits every second.
    SplitsSecond,
    /// Renames the type to one that another stateful rule observes.
    Renames,
}

#[derive(Clone, Debug)]
struct Rules {
    pure: Vec<(usize, Does, u64)>,
    stateful: Vec<(usize, Remembers)>,
}

fn any_rules() -> impl Strategy<Value = Rules> {
    let does = prop_oneof![
        3 => Just(Does::Change),
        2 => Just(Does::Drop),
        2 => (2..4_usize).prop_map(Does::Split),
        1 => Just(Does::Rename),
        1 => Just(Does::Move),
    ];
    let remembers = prop_oneof![
        Just(Remembers::Counts),
        Just(Remembers::DropsThird),
        Just(Remembers::SplitsSecond),
        Just(Remembers::Renames),
    ];
    let pure = prop::collection::vec((0..TYPES.len(), does, 1..4_u64), 0..4);
    let stateful = prop::collection::vec((0..TYPES.len(), remembers), 0..3);
    (pure, stateful).prop_map(|(pure, stateful)| Rules { pure, stateful })
}

/// A log as (type, stream, gap before it in the store's numbers), and the number of the first event.
fn any_log() -> impl Strategy<Value = Vec<Event>> {
    let events =
        prop::collection::vec((0..TYPES.len(), 0..4_usize, prop_oneof![4 => Just(1_u64), 1 => 2..5_u64]), 0..60);
    (0..3_u64, events).prop_map(|(first, events)| log(first, &events))
}

fn log(first: u64, events: &[(usize, usize, u64)]) -> Vec<Event> {
    let mut revisions = [0; 4];
    let mut next = first;
    events
        .iter()
        .map(|(event_type, stream, gap)| {
            let position = next;
            next += gap;
            revisions[*stream] += 1;
            let data = format!("{{ \"n\" : {position}.10 ,\"wide\":9007199254740993}}");
            rulebook::event(position, TYPES[*event_type], &format!("s-{stream}"), revisions[*stream] - 1, data)
        })
        .collect()
}

impl Rules {
    fn registry(&self) -> Arc<Registry> {
        let mut builder = Registry::builder();
        for (index, (event_type, does, every)) in self.pure.iter().enumerate() {
            let rule = rule(format!("rule {index}"), *does).types([TYPES[*event_type]]);
            let every = *every;
            builder = builder.rule(rule.when(move |event| Ok(event.revision.0 % every == 0)));
        }
        for (index, (event_type, remembers)) in self.stateful.iter().enumerate() {
            let name = ["counted", "counted again"][index];
            builder = builder.stateful(Arc::new(Counted { name, event_type: *event_type, remembers: *remembers }));
        }
        Arc::new(builder.build().unwrap())
    }

    /// The types that some rule may have touched.
    fn touches(&self, event: &Event) -> bool {
        let of_type = |index: usize| event.event_type.as_str() == TYPES[index];
        self.pure.iter().any(|(event_type, ..)| of_type(*event_type))
            || self.stateful.iter().any(|(event_type, _)| of_type(*event_type))
    }
}

fn rule(name: String, does: Does) -> Rule {
    let changed = |mut event: Event| {
        event.data = Payload::json([b"[", event.data.bytes().as_ref(), b"]"].concat());
        event
    };
    match does {
        Does::Change => Rule::new(name, "1", move |event| Ok(changed(event))),
        Does::Drop => Rule::new(name, "1", |_| Ok(None::<Event>)),
        Does::Split(parts) => Rule::new(name, "1", move |event| Ok(vec![event; parts])),
        Does::Rename => Rule::new(name, "1", |event| Ok(renamed(event, "E"))),
        Does::Move => Rule::new(name, "1", |mut event| {
            event.stream = StreamName::new("elsewhere").unwrap();
            Ok(event)
        })
        .moves_streams(),
    }
}

fn renamed(mut event: Event, event_type: &str) -> Event {
    event.event_type = EventType::new(event_type.to_owned()).unwrap();
    event
}

struct Counted {
    name: &'static str,
    event_type: usize,
    remembers: Remembers,
}

impl StatefulTransformer for Counted {
    fn name(&self) -> &str {
        self.name
    }

    fn fingerprint(&self) -> &str {
        "1"
    }

    fn observes(&self, event_type: &EventType, _version: SchemaVersion) -> bool {
        event_type.as_str() == TYPES[self.event_type]
    }

    fn is_one_to_one(&self) -> bool {
        matches!(self.remembers, Remembers::Counts | Remembers::Renames)
    }

    fn transform(&self, state: &mut Vec<u8>, mut event: Event, out: &mut Vec<Event>) -> Result<(), Reason> {
        let before: u64 = std::str::from_utf8(state).unwrap().parse().unwrap_or(0);
        *state = (before + 1).to_string().into_bytes();
        match self.remembers {
            Remembers::Counts => {
                event.data = Payload::json(before.to_string());
                out.push(event);
            }
            Remembers::DropsThird if before % 3 == 2 => {}
            Remembers::SplitsSecond if before % 2 == 1 => out.extend([event.clone(), event]),
            Remembers::Renames => out.push(renamed(event, TYPES[(self.event_type + 1) % TYPES.len()])),
            Remembers::DropsThird | Remembers::SplitsSecond => out.push(event),
        }
        Ok(())
    }
}

fn options(batch: usize, workers: usize, transaction: usize) -> MigrationOptions {
    MigrationOptions {
        batch_events: NonZeroUsize::new(batch).unwrap(),
        workers: NonZeroUsize::new(workers).unwrap(),
        transaction_events: NonZeroUsize::new(transaction).unwrap(),
        ..MigrationOptions::default()
    }
}

async fn fill(store: &MemoryStore, events: &[Event]) {
    store.writer().unwrap().append(events, None).await.unwrap();
}

async fn migrate(
    source: &MemoryStore,
    target: Box<dyn EventWriter>,
    registry: &Arc<Registry>,
    options: MigrationOptions,
) -> Outcome {
    let outcome = Migration::new(Arc::new(source.reader()), target, Arc::clone(registry), options).run().await.unwrap();
    assert!(outcome.done);
    outcome
}

/// A migration of the events into a new store in memory.
async fn migrated(
    events: &[Event],
    registry: &Arc<Registry>,
    options: MigrationOptions,
) -> (MemoryStore, MemoryStore, Outcome) {
    let (source, target) = (MemoryStore::new(), MemoryStore::new());
    fill(&source, events).await;
    let outcome = migrate(&source, Box::new(target.writer().unwrap()), registry, options).await;
    (source, target, outcome)
}

async fn verified(
    source: &MemoryStore,
    target: &MemoryStore,
    registry: &Arc<Registry>,
    until: Option<Position>,
) -> Verification {
    let (source, target): (Arc<dyn EventReader>, Arc<dyn EventReader>) =
        (Arc::new(source.reader()), Arc::new(target.reader()));
    verify(source, target, Arc::clone(registry), options(7, 2, 1), until, Stop::never(), |_| {}).await.unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// How many events of each type a store holds.
async fn types_of(store: &MemoryStore) -> BTreeMap<(EventType, SchemaVersion), u64> {
    let mut types = BTreeMap::new();
    for event in content::events_of(&store.reader()).await {
        *types.entry((event.event_type, event.version)).or_default() += 1;
    }
    types
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn a_rehearsal_says_what_a_migration_then_does(
        events in any_log(), rules in any_rules(), batch in 1..20_usize, workers in 1..5_usize, transaction in 1..30_usize,
        first in 0..60_usize,
    ) {
        block_on(async {
            let (registry, options) = (rules.registry(), options(batch, workers, transaction));
            let (before, after) = events.split_at(first.min(events.len()));
            let (source, target) = (MemoryStore::new(), MemoryStore::new());
            for part in [before, after] {
                fill(&source, part).await;
                let held = types_of(&target).await;
                let writer = target.writer().unwrap();
                let (is_empty, last) = (writer.is_empty().await.unwrap(), writer.last_position().await.unwrap());
                let prospect = Prospect::new(writer.identity().clone(), writer.capabilities()).holding(is_empty, last);
                let rehearsing = Rehearsing {
                    source: Arc::new(source.reader()),
                    target: prospect.recorded_in(Some(Box::new(writer))),
                    registry: Arc::clone(&registry),
                    options: options.clone(),
                    limit: None,
                    keep: 0,
                };
                let rehearsed = rehearsing.run(&Stop::never(), |_| {}).await.unwrap();
                assert!(rehearsed.complete && rehearsed.stopped.is_none(), "{rehearsed:?}");
                drop(rehearsing);
                assert_eq!(types_of(&target).await, held, "a rehearsal writes nothing");
                let outcome = migrate(&source, Box::new(target.writer().unwrap()), &registry, options.clone()).await;
                assert_eq!(rehearsed.counts, outcome.counts);
                let mut expected = held;
                for (schema, events) in rehearsed.types {
                    *expected.entry(schema).or_default() += events;
                }
                assert_eq!(expected, types_of(&target).await);
            }
        });
    }

    #[test]
    fn sizes_and_workers_never_change_the_result(
        events in any_log(), rules in any_rules(), batch in 1..20_usize, workers in 1..5_usize, transaction in 1..30_usize,
    ) {
        block_on(async {
            let registry = rules.registry();
            let (_, plain, _) = migrated(&events, &registry, options(1000, 1, 10_000)).await;
            let (_, other, _) = migrated(&events, &registry, options(batch, workers, transaction)).await;
            let mut expected = content::of_memory(&plain, &events, &OWNERS).await;
            let mut found = content::of_memory(&other, &events, &OWNERS).await;
            assert_same(&expected, &found, "memory");

            let folder = tempfile::tempdir().unwrap();
            let config = SqliteConfig::new(folder.path().join("target.db"));
            let source = MemoryStore::new();
            fill(&source, &events).await;
            let writer = SqliteWriter::open(config.clone()).unwrap();
            migrate(&source, Box::new(writer), &registry, options(batch, workers, transaction)).await;
            let reader = SqliteReader::open(config).unwrap();
            found = content::events_of(&reader).await.iter().map(content::event_line).collect();
            expected.truncate(found.len());
            assert_same(&expected, &found, "SQLite");
        });
    }

    #[test]
    fn targets_are_ordered_dense_and_unique(events in any_log(), rules in any_rules()) {
        block_on(async {
            let (_, target, outcome) = migrated(&events, &rules.registry(), options(7, 2, 5)).await;
            let found = content::events_of(&target.reader()).await;
            assert_eq!(found.len() as u64, outcome.counts.written);
            assert_eq!(events.len() as u64, outcome.counts.read);
            let mut next: BTreeMap<&StreamName, u64> = BTreeMap::new();
            let mut ids = HashSet::new();
            for (index, event) in found.iter().enumerate() {
                assert!(index == 0 || found[index - 1].position < event.position);
                let next = next.entry(&event.stream).or_default();
                assert_eq!(event.revision, Revision(*next), "{event:?}");
                *next += 1;
                assert!(ids.insert(&event.id), "{} is there twice", event.id);
            }
        });
    }

    #[test]
    fn untouched_events_keep_every_byte(events in any_log(), rules in any_rules()) {
        block_on(async {
            let (_, target, _) = migrated(&events, &rules.registry(), options(7, 2, 5)).await;
            let found = content::events_of(&target.reader()).await;
            let by_id: HashMap<&EventId, &Event> = found.iter().map(|event| (&event.id, event)).collect();
            for event in events.iter().filter(|event| !rules.touches(event)) {
                let found = by_id[&event.id];
                // Only its numbers may have shifted.
                let (position, revision) = (found.position, found.revision);
                assert_eq!(*found, Event { position, revision, ..event.clone() });
            }
        });
    }

    #[test]
    fn the_position_map_says_where_every_event_went(events in any_log(), rules in any_rules()) {
        block_on(async {
            let (_, target, _) = migrated(&events, &rules.registry(), options(3, 2, 4)).await;
            let found = content::events_of(&target.reader()).await;
            let ledger = target.writer().unwrap();
            let run = ledger.runs().await.unwrap().remove(0).id;
            // No rule touches the metadata, which tells where an event came from.
            let mut at: HashMap<&[u8], Vec<Position>> = HashMap::new();
            for event in &found {
                at.entry(&event.metadata.bytes()[..]).or_default().push(event.position);
            }
            let mut end = None;
            for event in &events {
                let parts = at.remove(&event.metadata.bytes()[..]).unwrap_or_default();
                let range = ledger.position_at(run, event.position).await.unwrap();
                let expected = match (&parts[..], range) {
                    ([], None) => None,
                    ([], Some(range)) => Some(Position::new(range.target.major() + range.target_length - 1)),
                    // No map at all means that positions stayed.
                    (_, None) => Some(event.position),
                    (_, Some(range)) => Some(translated(&range, event.position, parts.len())),
                };
                end = parts.last().copied().or(end);
                assert_eq!(expected, parts.first().copied().or(end), "{event:?} in {range:?}");
                assert!(parts.windows(2).all(|pair| pair[1].follows(pair[0])));
            }
        });
    }

    #[test]
    fn a_source_that_grows_ends_like_one_that_was_whole(
        events in any_log(), rules in any_rules(), cuts in prop::collection::vec(0..60_usize, 1..4),
    ) {
        block_on(async {
            let registry = rules.registry();
            let (_, whole, outcome) = migrated(&events, &registry, options(5, 2, 7)).await;
            let (source, target) = (MemoryStore::new(), MemoryStore::new());
            let mut cuts = cuts;
            cuts.sort_unstable();
            cuts.push(events.len());
            let mut done = 0;
            for cut in cuts {
                let cut = cut.clamp(done, events.len());
                fill(&source, &events[done..cut]).await;
                done = cut;
                let writer = Box::new(target.writer().unwrap());
                migrate(&source, writer, &registry, options(5, 2, 7)).await;
                let until = events[..done].last().map(|event| event.position);
                if until.is_some() {
                    let verification = verified(&source, &target, &registry, until).await;
                    assert!(verification.agrees(), "{verification:?}");
                }
            }
            let expected = content::of_memory(&whole, &events, &OWNERS).await;
            let found = content::of_memory(&target, &events, &OWNERS).await;
            assert_same(&expected, &found, "in several runs");
            let again = migrate(&source, Box::new(target.writer().unwrap()), &registry, options(5, 2, 7)).await;
            assert_eq!(again.counts, outcome.counts);
        });
    }

    #[test]
    fn verify_finds_any_single_change(
        events in any_log(), rules in any_rules(), at in any::<prop::sample::Index>(), change in 0..9_usize,
    ) {
        block_on(async {
            let registry = rules.registry();
            let (source, target, _) = migrated(&events, &registry, options(7, 2, 5)).await;
            let whole = content::events_of(&target.reader()).await;
            let until = events.last().map(|event| event.position);
            if whole.is_empty() {
                return;
            }
            assert!(verified(&source, &target, &registry, until).await.agrees());
            let index = at.index(whole.len());
            let Some((changed, position)) = changed(&whole, index, change) else { return };
            let tampered = MemoryStore::new();
            fill(&tampered, &changed).await;
            let verification = verified(&source, &tampered, &registry, until).await;
            assert!(verification.complete && !verification.agrees());
            let first = verification.first.unwrap();
            let named = first.expected.as_ref().or(first.found.as_ref()).unwrap();
            assert_eq!(named.position, position, "{first:?}");
            let at = |events: &[Event]| events.iter().find(|event| event.position == position).cloned();
            assert_eq!((first.expected, first.found), (at(&whole), at(&changed)));
        });
    }
}

#[test]
fn what_a_store_keeps_as_a_value_is_verified_by_value() {
    block_on(async {
        let events = log(1, &[(0, 0, 1), (1, 1, 1), (0, 0, 1)]);
        let values_only = || MemoryStore::with_limits(MemoryLimits { values_only: true, ..MemoryLimits::default() });
        let (source, target) = (MemoryStore::new(), values_only());
        fill(&source, &events).await;
        let registry = Arc::new(Registry::builder().build().unwrap());
        migrate(&source, Box::new(target.writer().unwrap()), &registry, options(7, 2, 5)).await;
        let found = content::events_of(&target.reader()).await;
        assert_ne!(found[0].data, events[0].data, "the text is not kept");
        let verification = verified(&source, &target, &registry, None).await;
        assert!(verification.agrees(), "{verification:?}");
        let said: Vec<String> = verification.by_value.iter().map(ToString::to_string).collect();
        let text = |part| format!("{part} is compared by value where it is JSON: memory does not keep its text");
        assert_eq!(said, [text("data"), text("metadata")]);

        // Another value is another event, and so is what is no JSON.
        for data in [r#"{"n":3.1,"wide":9007199254740992}"#, r#"{"n":3.1}"#, "{"] {
            let mut changed = events.clone();
            changed[2].data = Payload::json(data);
            let tampered = values_only();
            fill(&tampered, &changed).await;
            let verification = verified(&source, &tampered, &registry, None).await;
            assert_eq!(verification.first.unwrap().found.unwrap().position, changed[2].position, "{data}");
        }
        let mut renotated = events.clone();
        renotated[2].data = Payload::json(r#"{"wide":9007199254740993,"n":4.100}"#);
        let same = values_only();
        fill(&same, &renotated).await;
        let data = std::str::from_utf8(events[2].data.bytes()).unwrap();
        let is_same_value = data.contains("3.10");
        assert!(is_same_value, "{data}");
        assert!(!verified(&source, &same, &registry, None).await.agrees());
        renotated[2].data = Payload::json(r#"{"wide":9007199254740993,"n":31e-1}"#);
        let same = values_only();
        fill(&same, &renotated).await;
        assert!(verified(&source, &same, &registry, None).await.agrees());
    });
}

/// Where a range of the map puts a source position that became so many events.
fn translated(range: &PositionRange, source: Position, parts: usize) -> Position {
    if range.source_length == range.target_length {
        let offset = source.major() - range.source.major();
        assert!(offset < range.source_length, "the position is behind its range");
        assert_eq!(parts, 1);
        return Position::new(range.target.major() + offset);
    }
    assert_eq!((range.source, range.source_length, range.target_length), (source, 1, parts as u64));
    range.target
}

/// The events with one change at the event of that index, and the position of the first difference.
fn changed(whole: &[Event], index: usize, change: usize) -> Option<(Vec<Event>, Position)> {
    let mut events = whole.to_vec();
    let position = events[index].position;
    let event = &mut events[index];
    match change {
        0 => {
            let mut data = event.data.bytes().to_vec();
            let middle = data.len() / 2;
            data[middle] ^= 1;
            event.data = Payload::json(data);
        }
        1 => event.metadata = Payload::json("{}"),
        2 => event.recorded_at = eventlift::events::Timestamp::from_micros(event.recorded_at.micros() + 1).unwrap(),
        3 => event.event_type = EventType::new("Other").unwrap(),
        4 => event.version = SchemaVersion::new(2).unwrap(),
        5 => event.attributes = "{\"x\":1}".into(),
        6 => drop(events.remove(index)),
        7 => {
            let last = events.last()?.position;
            let id = EventId::text("added").unwrap();
            let added = Event { id, ..rulebook::event(last.major() + 1, "A", "added-1", 0, "{}") };
            let position = added.position;
            events.push(added);
            return Some((events, position));
        }
        _ => {
            let other = (index + 1) % events.len();
            if other == index {
                return None;
            }
            let (one, two) = (events[index].id.clone(), events[other].id.clone());
            events[index].id = two;
            events[other].id = one;
            return Some((events.clone(), events[index].position.min(events[other].position)));
        }
    }
    Some((events, position))
}

#[test]
fn a_stateful_rule_that_is_not_one_to_one_as_it_says_is_stopped() {
    struct Liar;
    impl StatefulTransformer for Liar {
        fn name(&self) -> &str {
            "liar"
        }
        fn fingerprint(&self) -> &str {
            "1"
        }
        fn observes(&self, event_type: &EventType, _version: SchemaVersion) -> bool {
            event_type.as_str() != "A"
        }
        fn is_one_to_one(&self) -> bool {
            true
        }
        fn transform(&self, _: &mut Vec<u8>, mut event: Event, out: &mut Vec<Event>) -> Result<(), Reason> {
            if event.event_type.as_str() == "C" {
                event.stream = StreamName::new("elsewhere").unwrap();
                out.push(event);
            }
            Ok(())
        }
    }
    for (event_type, message) in [
        (1, "it yields 0 events, but says that it is one-to-one"),
        (2, "it moves the event to stream elsewhere, but says that it is one-to-one"),
    ] {
        block_on(async {
            let registry = Arc::new(Registry::builder().stateful(Arc::new(Liar)).build().unwrap());
            let (source, target) = (MemoryStore::new(), MemoryStore::new());
            fill(&source, &log(1, &[(0, 0, 1), (event_type, 0, 1), (0, 0, 1)])).await;
            let writer = Box::new(target.writer().unwrap());
            let run = Migration::new(Arc::new(source.reader()), writer, registry, options(7, 2, 5)).run();
            let error = run.await.unwrap_err().to_string();
            assert!(error.ends_with(&format!("by liar: {message}")), "{error}");
            assert_eq!(content::events_of(&target.reader()).await.len(), 1, "what came before is in");
        });
    }
}
