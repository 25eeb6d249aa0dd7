//! The position map against a reference that looks at every event.

use std::num::NonZeroUsize;
use std::sync::Arc;

use eventlift::events::{
    Checkpoint, CheckpointStore, Counts, Event, EventId, EventReader, EventType, EventWriter, MemoryStore, Payload,
    Position, PositionRange, Progress, ReadRequest, Revision, RunDetails, RunId, RunRecord, RunState, SchemaVersion,
    Scope, StreamName, Timestamp,
};
use eventlift::pipeline::{Mapped, MappedCheckpoint, Migration, MigrationOptions, PositionMap};
use eventlift::transformers::{Registry, Rule};
use futures_util::TryStreamExt;
use proptest::prelude::*;

/// An event at a position that is to become `parts` events.
fn event(position: u64, revision: u64, parts: usize) -> Event {
    Event {
        id: EventId::text(format!("event-{position}")).unwrap(),
        stream: StreamName::new("cart-1").unwrap(),
        revision: Revision(revision),
        position: Position::new(position),
        event_type: EventType::new(format!("Into{parts}")).unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::json(position.to_string()),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Default::default(),
    }
}

/// Events with these gaps before them, each with the number of events that it is to become.
fn log(first: u64, parts: &[(u64, usize)]) -> Vec<Event> {
    let mut position = first;
    let numbered = parts.iter().enumerate().map(|(revision, (gap, parts))| {
        position += gap;
        event(position, revision as u64, *parts)
    });
    numbered.collect()
}

fn registry() -> Arc<Registry> {
    let rule = Rule::new("parts", "1", |event: Event| {
        let parts = event.event_type.as_str().trim_start_matches("Into").parse().unwrap();
        Ok(vec![event; parts])
    });
    Arc::new(Registry::builder().rule(rule).build().unwrap())
}

fn identity() -> Arc<Registry> {
    Arc::new(Registry::builder().build().unwrap())
}

async fn migrate(old: &MemoryStore, new: &MemoryStore, registry: Arc<Registry>, transaction: usize) {
    let options = MigrationOptions {
        batch_events: NonZeroUsize::new(2).unwrap(),
        transaction_events: NonZeroUsize::new(transaction).unwrap(),
        accept_changes: true,
        ..MigrationOptions::default()
    };
    let migration = Migration::new(Arc::new(old.reader()), Box::new(new.writer().unwrap()), registry, options);
    migration.run().await.unwrap();
}

/// Where each event of the target came from: target position, source position.
async fn origins(new: &MemoryStore) -> Vec<(u64, u64)> {
    let batches: Vec<Vec<Event>> = new.reader().read(ReadRequest::new(Scope::All)).try_collect().await.unwrap();
    let origin = |event: &Event| std::str::from_utf8(event.data.bytes()).unwrap().parse().unwrap();
    batches.concat().iter().map(|event| (event.position.major(), origin(event))).collect()
}

pub(crate) fn run_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Compares every position up to `until` with what the events say. `of_event`: target position and all of its sources.
async fn compare(map: &PositionMap<'_>, events: &[(u64, Vec<u64>)], sources: &[u64], until: u64) {
    for position in 0..=until {
        let mapped = map.checkpoint(Position::new(position)).await.unwrap();
        // An event is done once everything that it is made of is.
        let is_done = |(_, made_of): &&(u64, Vec<u64>)| made_of.iter().all(|source| *source <= position);
        let done: Vec<u64> = events.iter().filter(is_done).map(|(target, _)| *target).collect();
        let stands_at = match mapped {
            MappedCheckpoint::At(at) => Some(at.major()),
            MappedCheckpoint::Nothing { before } => before.map(Position::major),
            MappedCheckpoint::Ahead => panic!("{position} is not ahead"),
        };
        let passed = |(target, _): &&(u64, Vec<u64>)| stands_at.is_some_and(|at| *target <= at);
        let passed: Vec<u64> = events.iter().filter(passed).map(|(target, _)| *target).collect();
        assert_eq!(passed, done, "a checkpoint at {position} became {mapped:?}");

        if !sources.contains(&position) {
            continue;
        }
        let of_it: Vec<u64> =
            events.iter().filter(|(_, made_of)| made_of.contains(&position)).map(|(target, _)| *target).collect();
        let mapped = map.position(Position::new(position)).await.unwrap();
        match (of_it.first(), of_it.last()) {
            (Some(first), Some(last)) => {
                let (first, last) = (Position::new(*first), Position::new(*last));
                assert_eq!(mapped, Mapped::Became { first, last }, "position {position}");
            }
            _ => {
                let before = events.iter().filter(|(_, made_of)| made_of.iter().all(|source| *source < position));
                let after = before.map(|(target, _)| Position::new(*target)).next_back();
                assert_eq!(mapped, Mapped::Dropped { after }, "position {position}");
            }
        }
    }
    assert_eq!(map.position(Position::new(until + 1)).await.unwrap(), Mapped::Ahead);
    assert_eq!(map.checkpoint(Position::new(until + 1)).await.unwrap(), MappedCheckpoint::Ahead);
    let targets: Vec<Position> = events.iter().map(|(target, _)| Position::new(*target)).collect();
    let back = map.sources(&targets).await.unwrap();
    for ((_, made_of), found) in events.iter().zip(back) {
        let (first, last) = (made_of.iter().min().unwrap(), made_of.iter().max().unwrap());
        assert_eq!(found, Some((Position::new(*first), Position::new(*last))));
    }
}

/// A record of a run that nothing but its map is asked of.
pub(crate) fn record(id: RunId) -> RunRecord {
    RunRecord {
        id,
        state: RunState::Done,
        source: "test".to_owned(),
        fingerprint: String::new(),
        parts: Vec::new(),
        started_at: Timestamp::EPOCH,
        updated_at: Timestamp::EPOCH,
        tool: String::new(),
        details: RunDetails::default(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_migrations_map_says_what_became_of_every_position(
        first in 0..3_u64,
        parts in prop::collection::vec((1..4_u64, 0..4_usize), 1..40),
        transaction in 1..20_usize,
        kept in 0..10_usize,
    ) {
        run_on(async {
            let (old, new) = (MemoryStore::new(), MemoryStore::new());
            let events = log(first, &parts);
            // The first ones before any rule moved anything.
            let kept = kept.min(events.len());
            old.writer().unwrap().append(&events[..kept], None).await.unwrap();
            if kept > 0 {
                migrate(&old, &new, identity(), transaction).await;
            }
            old.writer().unwrap().append(&events[kept..], None).await.unwrap();
            migrate(&old, &new, registry(), transaction).await;

            let until = events.last().unwrap().position.major();
            let target: Vec<(u64, Vec<u64>)> =
                origins(&new).await.into_iter().map(|(target, source)| (target, vec![source])).collect();
            let sources: Vec<u64> = events.iter().map(|event| event.position.major()).collect();
            let ledger = new.writer().unwrap();
            let record = ledger.runs().await.unwrap().pop().unwrap();
            let reader = new.reader();
            let needed = PositionMap::needs_target(&record).then_some(&reader as &dyn EventReader);
            let map = PositionMap::of(&ledger, &record, needed).await.unwrap().unwrap();
            compare(&map, &target, &sources, until).await;
        });
    }

    /// Each step: how many source positions become how many target positions.
    #[test]
    fn merged_events_are_never_skipped(
        steps in prop::collection::vec((1..3_u64, prop_oneof![
            3 => Just((1_u64, 1_u64)),
            1 => Just((1, 0)),
            1 => Just((1, 3)),
            2 => (2..5_u64).prop_map(|merged| (merged, 1)),
        ]), 1..40),
        every in 1..8_usize,
    ) {
        run_on(async {
            let new = MemoryStore::new();
            let mut ledger = new.writer().unwrap();
            let run = RunId::random();
            let (mut source, mut target) = (0, 0);
            let (mut events, mut sources, mut ranges) = (Vec::new(), Vec::new(), Vec::<PositionRange>::new());
            let mut changed = Vec::new();
            for (index, (gap, (from, to))) in steps.iter().enumerate() {
                let first = source + gap;
                source = first + from - 1;
                sources.extend(first..=source);
                for part in 1..=*to {
                    events.push((target + part, (first..=source).collect::<Vec<u64>>()));
                }
                if *to > 0 {
                    let grown = ranges.last().copied().filter(|last| {
                        (*from, *to) == (1, 1) && last.source_length == last.target_length
                            && last.source.major() + last.source_length == first
                            && last.target.major() + last.target_length == target + 1
                    });
                    let range = match grown {
                        // A range that grows replaces the one that is stored.
                        Some(last) => {
                            ranges.pop();
                            PositionRange {
                                source_length: last.source_length + 1, target_length: last.target_length + 1, ..last
                            }
                        }
                        None => PositionRange {
                            source: Position::new(first), source_length: *from,
                            target: Position::new(target + 1), target_length: *to,
                        },
                    };
                    ranges.push(range);
                    changed.retain(|other: &PositionRange| other.source != range.source);
                    changed.push(range);
                }
                target += to;
                if (index + 1) % every == 0 || index + 1 == steps.len() {
                    let counts = Counts { read: sources.len() as u64, written: target, ..Counts::default() };
                    let checkpoint = Checkpoint {
                        source: Position::new(source),
                        target: (target > 0).then(|| Position::new(target)),
                        counts,
                    };
                    let positions = std::mem::take(&mut changed);
                    let progress = Progress { run, checkpoint, state: vec![], positions, late: vec![], notes: vec![], origins: Vec::new() };
                    ledger.append(&[], Some(&progress)).await.unwrap();
                }
            }
            let map = PositionMap::of(&ledger, &record(run), None).await.unwrap().unwrap();
            compare(&map, &events, &sources, source).await;
        });
    }
}

#[tokio::test]
async fn a_run_that_committed_nothing_has_no_map() {
    let ledger = MemoryStore::new().writer().unwrap();
    assert!(PositionMap::of(&ledger, &record(RunId::random()), None).await.unwrap().is_none());
}

#[tokio::test]
async fn a_range_past_every_number_is_an_error() {
    let mut ledger = MemoryStore::new().writer().unwrap();
    let run = RunId::random();
    let far = Position::new(u64::MAX - 1);
    let range = PositionRange { source: Position::new(1), source_length: 1, target: far, target_length: 9 };
    let checkpoint = Checkpoint { source: Position::new(1), target: None, counts: Counts::default() };
    let progress = Progress {
        run,
        checkpoint,
        state: vec![],
        positions: vec![range],
        late: vec![],
        notes: vec![],
        origins: Vec::new(),
    };
    ledger.append(&[], Some(&progress)).await.unwrap();
    let map = PositionMap::of(&ledger, &record(run), None).await.unwrap().unwrap();
    assert!(map.position(Position::new(1)).await.is_err());
}
