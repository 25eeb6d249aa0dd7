//! What may pass is tried again, with growing waits and a limit.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use eventlift::events::faults::{Call, Fault, Faulty, Script};
use eventlift::events::{EventWriter, MemoryStore, StoreError, StoreErrorKind};
use eventlift::pipeline::{
    Heartbeat, Migration, MigrationOptions, PipelineError, RetryPolicy, Stop, StopHandle, go_on,
};

use crate::content::{self, assert_same};
use crate::rulebook;

fn options() -> MigrationOptions {
    MigrationOptions {
        workers: NonZeroUsize::new(2).unwrap(),
        batch_events: NonZeroUsize::new(20).unwrap(),
        transaction_events: NonZeroUsize::new(50).unwrap(),
        ..MigrationOptions::default()
    }
}

fn unavailable() -> PipelineError {
    let gone = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    PipelineError::Source(StoreError::new("read", "the store", StoreErrorKind::Unavailable(Box::new(gone))))
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_stores_are_lost_again_and_again_ends_as_an_undisturbed_one() {
    let events = rulebook::log(600, 7);
    let (source, target, calm) = (MemoryStore::new(), MemoryStore::new(), MemoryStore::new());
    source.writer().unwrap().append(&events, None).await.unwrap();
    let registry = Arc::new(rulebook::general());
    let undisturbed = Box::new(calm.writer().unwrap());
    Migration::new(Arc::new(source.reader()), undisturbed, Arc::clone(&registry), options()).run().await.unwrap();

    let (reading, writing) = (Script::new(), Script::new());
    writing.on(Call::Append, 2, Fault::Lose).on(Call::Append, 5, Fault::LoseAfterSuccess);
    writing.on(Call::Checkpoint, 4, Fault::Lose).on(Call::Seal, 1, Fault::Lose).on(
        Call::Seal,
        2,
        Fault::LoseAfterSuccess,
    );
    reading.on(Call::Batch, 12, Fault::Lose);
    let attempt = |heartbeat: Heartbeat| {
        let reader = Arc::new(Faulty::new(source.reader(), reading.clone()));
        let writer = Box::new(Faulty::new(target.writer().unwrap(), writing.clone()));
        let migration = Migration::new(reader, writer, Arc::clone(&registry), options());
        async move {
            heartbeat.begun();
            migration.run().await
        }
    };
    let mut said = 0;
    let (outcome, retries) = go_on(&RetryPolicy::default(), &Stop::never(), attempt, |next| {
        said += 1;
        assert_eq!(next.retries, said);
        assert!(next.error.to_string().contains("was told to Lose"), "{}", next.error);
    })
    .await
    .unwrap();
    assert!(outcome.done);
    assert_eq!((retries, reading.outstanding(), writing.outstanding()), (said, 0, 0));
    assert!(retries >= 4, "{retries}");
    let owners = ["next revision", "shift", "rule running total", "rule without repeats"];
    let expected = content::of_memory(&calm, &events, &owners).await;
    assert_same(&expected, &content::of_memory(&target, &events, &owners).await, "gone on");
}

#[tokio::test(start_paused = true)]
async fn it_is_given_up_some_time_after_the_last_progress() {
    let begun = tokio::time::Instant::now();
    let attempts = AtomicU32::new(0);
    let mut waits = Vec::new();
    let attempt = |heartbeat: Heartbeat| {
        let nth = attempts.fetch_add(1, Ordering::Relaxed);
        async move {
            heartbeat.begun();
            // Progress up to the 50th, and from there on only what was done before.
            heartbeat.progressed(u64::from(nth.min(50)));
            Err::<(), _>(unavailable())
        }
    };
    let error =
        go_on(&RetryPolicy::default(), &Stop::never(), attempt, |next| waits.push(next.wait)).await.unwrap_err();
    assert_eq!(error.to_string(), "failed to read the store: connection reset");
    // While there is progress, each wait is the first one.
    assert!(waits[1..50].iter().all(|wait| *wait <= Duration::from_millis(100)), "{waits:?}");
    let since_progress: Duration = waits[50..].iter().sum();
    assert!((Duration::from_secs(299)..=Duration::from_secs(301)).contains(&since_progress), "{since_progress:?}");
    assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(10)), "{waits:?}");
    assert!((30..80).contains(&waits[50..].len()), "{}", waits.len());
    assert!(begun.elapsed() < Duration::from_secs(310));
}

fn refused() -> PipelineError {
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    PipelineError::Source(StoreError::new("open", "the store", StoreErrorKind::Unavailable(Box::new(refused))))
}

fn held() -> PipelineError {
    PipelineError::Target(StoreError::new("open", "it", StoreErrorKind::Locked("another".to_owned())))
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_or_was_never_reached_is_not_tried_again() {
    let begun = tokio::time::Instant::now();
    let never = |_: Heartbeat| async { Err::<(), _>(refused()) };
    go_on(&RetryPolicy::default(), &Stop::never(), never, |_| panic!("it never began")).await.unwrap_err();
    for has_begun in [true, false] {
        let locked = |heartbeat: Heartbeat| async move {
            if has_begun {
                heartbeat.begun();
            }
            Err::<(), _>(held())
        };
        go_on(&RetryPolicy::default(), &Stop::never(), locked, |_| panic!("it does not pass")).await.unwrap_err();
    }
    let told_never = RetryPolicy { give_up_after: Duration::ZERO, ..RetryPolicy::default() };
    let lost = |heartbeat: Heartbeat| async move {
        heartbeat.begun();
        Err::<(), _>(unavailable())
    };
    go_on(&told_never, &Stop::never(), lost, |_| panic!("nothing is to be tried again")).await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

/// Attempts that end like this, one after the other: an error, or progress and an error. Returns how often it was tried
/// again.
async fn attempts(mut ends: Vec<(Option<u64>, Option<PipelineError>)>) -> Result<u32, PipelineError> {
    ends.reverse();
    let attempt = |heartbeat: Heartbeat| {
        let (progress, error) = ends.pop().unwrap();
        async move {
            if let Some(done) = progress {
                heartbeat.begun();
                // Time passes for whoever works.
                tokio::time::sleep(Duration::from_millis(1)).await;
                heartbeat.progressed(done);
            }
            error.map_or(Ok(()), Err)
        }
    };
    go_on(&RetryPolicy::default(), &Stop::never(), attempt, |_| {}).await.map(|((), retries)| retries)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_is_waited_for_from_the_start() {
    let starting = || (None, Some(unavailable()));
    assert_eq!(attempts(vec![starting(), starting(), (Some(1), None)]).await.unwrap(), 2);
    assert_eq!(attempts(vec![starting(), (None, Some(refused())), (Some(1), None)]).await.unwrap(), 2);
    // One that was reached may be started anew.
    assert_eq!(
        attempts(vec![(Some(1), Some(unavailable())), (None, Some(refused())), (Some(1), None)]).await.unwrap(),
        2
    );
    // It is given up all the same.
    let never = |_: Heartbeat| async { Err::<(), _>(unavailable()) };
    let begun = tokio::time::Instant::now();
    go_on(&RetryPolicy::default(), &Stop::never(), never, |_| {}).await.unwrap_err();
    assert!((300..=301).contains(&begun.elapsed().as_secs()));
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_the_lost_session_may_still_hold_is_waited_for() {
    let (lost, locked) = (|done| (Some(done), Some(unavailable())), || (None, Some(held())));
    assert_eq!(attempts(vec![lost(1), locked(), locked(), (Some(2), None)]).await.unwrap(), 3);
    // Whoever took it since is another one.
    let taken = attempts(vec![lost(1), (Some(2), Some(held())), (Some(2), None)]).await.unwrap_err();
    assert!(matches!(taken, PipelineError::Target(_)));
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_wait() {
    let (handle, stop) = StopHandle::new();
    let lost = |heartbeat: Heartbeat| async move {
        heartbeat.begun();
        Err::<(), _>(unavailable())
    };
    let begun = tokio::time::Instant::now();
    let error = go_on(&RetryPolicy::default(), &stop, lost, |_| handle.stop()).await.unwrap_err();
    assert!(matches!(error, PipelineError::Source(_)));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}
