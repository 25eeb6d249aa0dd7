//! Scripted faults happen when and how the script says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use eventlift_events::faults::{Call, Fault, Faulty, InjectedFault, Script};
use eventlift_events::{
    CheckpointStore, Event, EventId, EventReader, EventType, EventWriter, MemoryStore, MemoryWriter, Payload, Position,
    ReadRequest, Revision, RunId, SchemaVersion, Scope, StoreError, StoreErrorKind, StreamName, Timestamp,
};
use futures_util::{FutureExt, StreamExt};

fn event(number: u64) -> Event {
    Event {
        id: EventId::text(format!("event-{number}")).unwrap(),
        stream: StreamName::new("order-1").unwrap(),
        revision: Revision(number),
        position: Position::new(number),
        event_type: EventType::new("OrderPlaced").unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::json("{}"),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Default::default(),
    }
}

fn injected(error: &StoreError) -> InjectedFault {
    match &error.kind {
        StoreErrorKind::Backend(source) => *source.downcast_ref().unwrap(),
        other => panic!("{other:?} is no injected fault"),
    }
}

fn faulty() -> (MemoryStore, Script, Faulty<MemoryWriter>) {
    let (store, script) = (MemoryStore::new(), Script::new());
    let writer = Faulty::new(store.writer().unwrap(), script.clone());
    (store, script, writer)
}

async fn count(store: &MemoryStore) -> usize {
    store
        .reader()
        .read(ReadRequest::new(Scope::All))
        .map(|batch| batch.unwrap().len())
        .fold(0, async |a, b| a + b)
        .await
}

#[tokio::test]
async fn a_rejected_append_does_nothing_and_the_next_one_goes_through() {
    let (store, script, mut writer) = faulty();
    script.on(Call::Append, 2, Fault::Reject);
    writer.append(&[event(0)], None).await.unwrap();
    let error = writer.append(&[event(1)], None).await.unwrap_err();
    assert_eq!(injected(&error), InjectedFault { call: Call::Append, nth: 2, fault: Fault::Reject });
    assert_eq!(error.to_string(), "failed to append to memory: call 2 to Append was told to Reject");
    assert_eq!(count(&store).await, 1);
    assert_eq!((script.seen(Call::Append), script.outstanding()), (2, 0));
    writer.append(&[event(1)], None).await.unwrap();
    assert_eq!((count(&store).await, script.seen(Call::Append)), (2, 3));
}

#[tokio::test]
async fn a_lost_answer_comes_after_the_append() {
    let (store, script, mut writer) = faulty();
    script.on_next(Call::Append, Fault::FailAfterSuccess);
    assert!(writer.append(&[event(0)], None).await.is_err());
    assert_eq!(count(&store).await, 1);
}

#[tokio::test]
async fn an_error_of_the_store_is_not_covered_by_a_fault() {
    let (_, script, mut writer) = faulty();
    writer.append(&[event(0)], None).await.unwrap();
    script.on_next(Call::Append, Fault::FailAfterSuccess);
    let duplicate = Event { revision: Revision(1), position: Position::new(1), ..event(0) };
    let error = writer.append(&[duplicate], None).await.unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::DuplicateId(_)), "{error}");
}

#[tokio::test]
async fn a_held_append_waits_for_its_release() {
    let (store, script, mut writer) = faulty();
    script.on(Call::Append, 1, Fault::Hold);
    let append = tokio::spawn(async move { writer.append(&[event(0)], None).await.map(|()| writer) });
    script.until_held().await;
    assert_eq!((script.held(), script.seen(Call::Append), count(&store).await), (1, 1, 0));
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(count(&store).await, 0);
    script.release();
    append.await.unwrap().unwrap();
    assert_eq!((script.held(), count(&store).await), (0, 1));
}

#[tokio::test]
async fn a_held_append_that_is_dropped_is_not_held_any_more_and_did_nothing() {
    let (store, script, mut writer) = faulty();
    script.on(Call::Append, 1, Fault::Hold);
    let append = tokio::spawn(async move { writer.append(&[event(0)], None).await });
    script.until_held().await;
    append.abort();
    assert!(append.await.unwrap_err().is_cancelled());
    assert_eq!((script.held(), count(&store).await), (0, 0));
    store.writer().unwrap();
}

#[tokio::test]
async fn a_release_ahead_of_its_hold_lets_it_pass() {
    let (_, script, mut writer) = faulty();
    script.on(Call::Append, 1, Fault::Hold).release();
    writer.append(&[event(0)], None).now_or_never().unwrap().unwrap();
}

#[tokio::test]
async fn sealing_and_checkpoints_fail_on_cue() {
    let (_, script, mut writer) = faulty();
    script.on(Call::Seal, 1, Fault::Reject).on(Call::Seal, 2, Fault::FailAfterSuccess);
    script.on(Call::Checkpoint, 1, Fault::Reject).on(Call::Checkpoint, 2, Fault::FailAfterSuccess);
    for _ in 0..2 {
        assert!(writer.seal(true).await.is_err());
        assert!(writer.checkpoint(RunId::random()).await.is_err());
    }
    assert_eq!(writer.checkpoint(RunId::random()).await.unwrap(), None);
    // The second seal succeeded before it failed: a gap is refused now.
    assert!(writer.append(&[event(1)], None).await.is_err());
}

#[tokio::test]
async fn a_read_ends_with_the_batch_that_failed() {
    for fault in [Fault::Reject, Fault::FailAfterSuccess] {
        let (store, script, mut writer) = faulty();
        writer.append(&(0..6).map(event).collect::<Vec<_>>(), None).await.unwrap();
        let reader: Box<dyn EventReader> = Box::new(store.reader());
        let reader = Faulty::new(reader, script.clone());
        script.on(Call::Batch, 2, fault);
        let request = ReadRequest::new(Scope::All).batch_events(NonZeroUsize::new(2).unwrap());
        let batches: Vec<_> = reader.read(request.clone()).collect().await;
        assert_eq!(batches.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false]);
        assert_eq!(reader.read(request).collect::<Vec<_>>().await.len(), 3);
    }
}

#[tokio::test]
async fn one_script_counts_across_stores_and_threads() {
    let script = Script::new();
    let shared = Arc::new(script.clone());
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let script = (*shared).clone();
            tokio::spawn(async move {
                let mut writer = Faulty::new(MemoryStore::new().writer().unwrap(), script);
                for number in 0..10 {
                    writer.append(&[event(number)], None).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(script.seen(Call::Append), 80);
}
