//! The poison set: one event in a hundred fails, in 300 streams of 50,000 events.

use std::sync::Arc;

use eventlift::events::{EventWriter, MemoryStore};
use eventlift::pipeline::quarantine::{QuarantineLimits, release};
use eventlift::pipeline::{Migration, MigrationOptions, Stop};
use eventlift::stores::sqlite::{SqliteConfig, SqliteReader, SqliteWriter};
use eventlift::{Event, EventReader};

use super::scene::{Kind, Scene, clean, lines, options, poison, rules};
use crate::content::{assert_same, events_of};
use crate::rulebook;

pub(crate) const EVENTS: u64 = 50_000;
pub(crate) const STREAMS: u64 = 1_500;
/// Streams in which events fail.
pub(crate) const FAILING: u64 = 300;

/// 1,500 streams that take turns; in every fifth one some event fails, one in a hundred of all.
pub(crate) fn log() -> Vec<Event> {
    (0..EVENTS)
        .map(|n| {
            let stream = format!("s-{}", n % STREAMS);
            rulebook::event(n + 1, "A", &stream, n / STREAMS, format!("{{\"n\": {n}, \"text\": \"é\"}}"))
        })
        .collect()
}

/// Every hundredth event, all in the same 300 streams.
pub(crate) fn bad() -> super::scene::Poison {
    let in_failing = (0..EVENTS).filter(|n| (n % STREAMS).is_multiple_of(STREAMS / FAILING));
    // A fifth of the events are in those streams, so a twentieth of these is a hundredth of all.
    poison(
        in_failing.enumerate().filter(|(index, _)| index % 20 == (index / FAILING as usize) % 20).map(|(_, n)| n + 1),
    )
}

pub(crate) fn limits() -> QuarantineLimits {
    QuarantineLimits { streams: 1_000, events: 100_000 }
}

fn migration_options() -> MigrationOptions {
    MigrationOptions { quarantine: limits(), ..options(1_000, 2, 10_000) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_in_a_hundred_fails_in_memory_in_ranges() {
    let (events, bad) = (log(), bad());
    assert_eq!(bad.len() as u64, EVENTS / 100);
    let undisturbed = clean(&events, Kind::OneToOne).await;
    let scene = Scene::new(&events, Kind::OneToOne, true, migration_options()).await;
    let outcome = scene.run(&bad).await.unwrap();
    assert!(outcome.done);
    assert!(outcome.quarantined.streams > FAILING / 2 && outcome.quarantined.streams <= FAILING);
    assert_eq!(outcome.counts.read + outcome.quarantined.events, EVENTS);
    let verification = scene.verified(&bad).await;
    assert!(verification.agrees(), "{verification:?}");
    let released = scene.release(&poison([])).await.unwrap();
    assert_eq!((released.failing.len(), released.events), (0, outcome.quarantined.events));
    assert_same(&lines(&undisturbed, true), &lines(&scene.events().await, true), "after the repair");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_in_a_hundred_fails_in_sqlite() {
    let (events, bad) = (log(), bad());
    for kind in [Kind::OneToOne, Kind::Shifting, Kind::Stateful] {
        let undisturbed = clean(&events, kind).await;
        let source = MemoryStore::new();
        super::scene::fill(&source, &events).await;
        let folder = tempfile::tempdir().unwrap();
        let config = SqliteConfig::new(folder.path().join("target.db"));
        let open = || SqliteWriter::open(config.clone()).unwrap();
        let migrate = async |poison: &super::scene::Poison| {
            let reader: Arc<dyn EventReader> = Arc::new(source.reader());
            Migration::new(reader, Box::new(open()), rules(kind, poison), migration_options()).run().await.unwrap()
        };
        let outcome = migrate(&bad).await;
        assert!(outcome.done && outcome.quarantined.streams > FAILING / 2);
        let mut writer: Box<dyn EventWriter> = Box::new(open());
        let run = writer.runs().await.unwrap().pop().unwrap();
        let (registry, policies) = (rules(kind, &poison([])), migration_options().policies);
        let released = release(&mut *writer, &registry, policies, &run, &[], &Stop::never(), |_| {}).await.unwrap();
        assert_eq!(released.failing, []);
        drop(writer);
        assert_eq!(migrate(&poison([])).await.counts.read, EVENTS);
        let found = events_of(&SqliteReader::open(config.clone()).unwrap()).await;
        let places = kind != Kind::Shifting;
        assert_same(&lines(&undisturbed, places), &lines(&found, places), "after the repair");
    }
}
