//! The poison set on PostgreSQL: ranges, settled at their end, and a repair.

use std::sync::Arc;

use eventlift::events::{CheckpointStore, EventReader, EventWriter};
use eventlift::pipeline::quarantine::{Apart, release};
use eventlift::pipeline::{Migration, MigrationOptions, Stop, verify_apart};
use eventlift::stores::postgres::{PostgresConfig, PostgresReader, PostgresWriter};

use super::database::Database;
use crate::content::{assert_same, events_of};
use crate::quarantine::poison::{EVENTS, FAILING, bad, limits, log};
use crate::quarantine::scene::{Kind, Poison, clean, lines, options, poison, rules};

fn config(database: &Database) -> PostgresConfig {
    PostgresConfig::new(database.url())
}

fn migration_options() -> MigrationOptions {
    MigrationOptions { quarantine: limits(), ..options(1_000, 2, 10_000) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn one_in_a_hundred_fails() {
    let (events, bad) = (log(), bad());
    for kind in [Kind::OneToOne, Kind::Shifting] {
        let (from, into) = (Database::create().await, Database::create().await);
        let mut writer = PostgresWriter::open(config(&from)).await.unwrap();
        for events in events.chunks(10_000) {
            writer.append(events, None).await.unwrap();
        }
        writer.seal(true).await.unwrap();
        drop(writer);
        let undisturbed = clean(&events, kind).await;
        let outcome = migrate(&config(&from), &config(&into), kind, &bad).await;
        assert!(outcome.done);
        assert!(outcome.quarantined.streams > FAILING / 2 && outcome.quarantined.streams <= FAILING);
        assert_eq!(outcome.counts.read + outcome.quarantined.events, EVENTS);
        assert_verified(&config(&from), &config(&into), kind, &bad).await;

        let mut writer: Box<dyn EventWriter> = Box::new(PostgresWriter::open(config(&into)).await.unwrap());
        let run = writer.runs().await.unwrap().pop().unwrap();
        let (registry, policies) = (rules(kind, &poison([])), migration_options().policies);
        let released = release(&mut *writer, &registry, policies, &run, &[], &Stop::never(), |_| {}).await.unwrap();
        assert_eq!((released.failing.len(), released.events), (0, outcome.quarantined.events));
        drop(writer);
        let outcome = migrate(&config(&from), &config(&into), kind, &poison([])).await;
        assert_eq!((outcome.done, outcome.counts.read), (true, EVENTS));
        assert_verified(&config(&from), &config(&into), kind, &poison([])).await;
        let found = events_of(&PostgresReader::open(config(&into)).await.unwrap()).await;
        let places = kind == Kind::OneToOne;
        assert_same(&lines(&undisturbed, places), &lines(&found, places), "after the repair");
    }
}

async fn migrate(
    from: &PostgresConfig,
    into: &PostgresConfig,
    kind: Kind,
    poison: &Poison,
) -> eventlift::pipeline::Outcome {
    let reader: Arc<dyn EventReader> = Arc::new(PostgresReader::open(from.clone()).await.unwrap());
    let writer = Box::new(PostgresWriter::open(into.clone()).await.unwrap());
    Migration::new(reader, writer, rules(kind, poison), migration_options()).run().await.unwrap()
}

async fn assert_verified(from: &PostgresConfig, into: &PostgresConfig, kind: Kind, poison: &Poison) {
    let ledger = PostgresWriter::open(into.clone()).await.unwrap();
    let run = ledger.runs().await.unwrap().pop().unwrap().id;
    let apart = Arc::new(Apart::of(&ledger, run).await.unwrap());
    let until = ledger.checkpoint(run).await.unwrap().map(|checkpoint| checkpoint.source);
    drop(ledger);
    let (source, target): (Arc<dyn EventReader>, Arc<dyn EventReader>) = (
        Arc::new(PostgresReader::open(from.clone()).await.unwrap()),
        Arc::new(PostgresReader::open(into.clone()).await.unwrap()),
    );
    let (registry, options) = (rules(kind, poison), migration_options());
    let found = verify_apart(source, target, registry, options, until, apart, Stop::never(), |_| {}).await.unwrap();
    assert!(found.agrees(), "{found:?}");
}
