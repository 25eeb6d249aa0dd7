//! Faults: each does what it says, once, and no more.

use std::time::Duration;

use eventstore::{
    AppendToStreamOptions, BatchAppendOptions, Client, Error, ReadAllOptions, ReadStream, StreamState,
    SubscribeToAllOptions, SubscriptionEvent,
};

use super::talk::{append, client, event, places, read_all, server};
use crate::kurrentdb::server::{Fate, KurrentServer, ReadFate};

/// A client that does not take long to give up. It needs two attempts to connect at all.
fn quick_client(server: &KurrentServer) -> Client {
    client(&format!("{}&maxDiscoverAttempts=2", server.url()))
}

async fn count_until_error(mut stream: ReadStream) -> (u64, Error) {
    let mut events = 0;
    loop {
        match stream.next().await {
            Ok(Some(_)) => events += 1,
            Ok(None) => panic!("it ended well"),
            Err(error) => return (events, error),
        }
    }
}

#[tokio::test]
async fn an_append_that_fails_is_not_done() {
    let (server, client) = server();
    server.faults().fail_next_appends(2);
    for _ in 0..2 {
        let failed = append(&client, "s", StreamState::NoStream, vec![event(1)]).await;
        assert!(matches!(failed, Err(Error::ServerError(_))));
    }
    assert!(server.database().records().is_empty());
    append(&client, "s", StreamState::NoStream, vec![event(1)]).await.unwrap();
}

#[tokio::test]
async fn an_append_that_loses_its_answer_is_done() {
    let (server, client) = server();
    server.faults().script_appends([Fate::Answer, Fate::Lose]);
    append(&client, "s", StreamState::NoStream, vec![event(1)]).await.unwrap();
    append(&client, "s", StreamState::StreamRevision(0), vec![event(2)]).await.unwrap_err();
    assert_eq!((server.database().records().len(), server.counters().lost_answers), (2, 1));
    let again = append(&client, "s", StreamState::StreamRevision(0), vec![event(2)]).await.unwrap();
    assert_eq!((again.next_expected_version, server.database().records().len()), (1, 2));
}

#[tokio::test]
async fn a_batch_session_breaks_with_its_answer() {
    let (server, client) = server();
    server.faults().script_appends([Fate::Answer, Fate::Lose]);
    let session = client.batch_append(&BatchAppendOptions::default()).await.unwrap();
    session.append_to_stream("s", StreamState::NoStream, vec![event(1)]).await.unwrap();
    session.append_to_stream("s", StreamState::StreamRevision(0), vec![event(2)]).await.unwrap_err();
    assert_eq!(server.database().records().len(), 2);
    let session = client.batch_append(&BatchAppendOptions::default()).await.unwrap();
    session.append_to_stream("s", StreamState::StreamRevision(0), vec![event(2)]).await.unwrap();
    assert_eq!(server.database().records().len(), 2);
}

#[tokio::test]
async fn answers_are_lost_at_random_as_the_seed_says() {
    let lost = async |seed: u64| {
        let (server, _) = server();
        let client = quick_client(&server);
        server.faults().lose_answers_at_random(0.3, seed);
        let mut lost = Vec::new();
        let mut session = client.batch_append(&BatchAppendOptions::default()).await.unwrap();
        for number in 0..12 {
            if session.append_to_stream("s", StreamState::Any, vec![event(number)]).await.is_err() {
                lost.push(number);
                session = client.batch_append(&BatchAppendOptions::default()).await.unwrap();
            }
        }
        assert_eq!(server.database().records().len(), 12);
        assert_eq!(server.counters().lost_answers, lost.len() as u64);
        lost
    };
    let first = lost(3).await;
    assert!(!first.is_empty() && first.len() < 10);
    assert_eq!(lost(3).await, first);
    assert_ne!(lost(5).await, first);
}

#[tokio::test]
async fn an_append_that_times_out_is_done() {
    let (server, client) = server();
    server.faults().script_appends([Fate::TimeOut, Fate::TimeOut]);
    let error = append(&client, "s", StreamState::NoStream, vec![event(1)]).await.unwrap_err();
    assert!(matches!(error, Error::Grpc { code: tonic::Code::Aborted, .. }));
    let session = client.batch_append(&BatchAppendOptions::default()).await.unwrap();
    let error = session.append_to_stream("s", StreamState::Any, vec![event(2)]).await.unwrap_err();
    assert!(matches!(error, Error::Grpc { code: tonic::Code::DeadlineExceeded, .. }));
    assert_eq!(server.database().records().len(), 2);
}

#[tokio::test]
async fn an_append_that_hangs_is_never_answered_and_not_done() {
    let (server, client) = server();
    server.faults().hang_next_append();
    let options = AppendToStreamOptions::default().deadline(Duration::from_millis(50));
    let hung = client.append_to_stream("s", &options, event(1)).await;
    assert!(matches!(hung, Err(Error::DeadlineExceeded)));
    server.faults().hang_next_append();
    let session = client.batch_append(&BatchAppendOptions::default()).await.unwrap();
    let hung = session.append_to_stream("s", StreamState::Any, vec![event(2)]);
    let done = session.append_to_stream("s", StreamState::Any, vec![event(3)]);
    let mut hung = std::pin::pin!(hung);
    tokio::select! {
        biased;
        _ = &mut hung => panic!("it is answered"),
        done = done => assert_eq!(done.unwrap().current_revision(), Some(0)),
    }
    assert_eq!(server.database().records().len(), 1);
}

#[tokio::test]
async fn appends_of_a_session_wait_for_their_answers_together() {
    let (server, client) = server();
    server.faults().delay(Duration::from_millis(100));
    let session = client.batch_append(&BatchAppendOptions::default()).await.unwrap();
    let appends = (0..10_u128).map(|number| session.append_to_stream("s", StreamState::Any, vec![event(number)]));
    futures_util::future::try_join_all(appends).await.unwrap();
    assert_eq!(server.counters().peak_in_flight, 10);
    server.faults().clear();
    append(&client, "s", StreamState::Any, vec![event(99)]).await.unwrap();
}

#[tokio::test]
async fn reads_end_where_their_fate_says() {
    let (server, client) = server();
    append(&client, "s", StreamState::Any, (0..300).map(event).collect()).await.unwrap();
    server.faults().script_reads([
        ReadFate::FailAfter(17),
        ReadFate::BreakAfter(100),
        ReadFate::HangAfter(3),
        ReadFate::FailAfter(0),
        ReadFate::Serve,
    ]);
    let failed = client.read_all(&ReadAllOptions::default()).await.unwrap();
    assert!(matches!(count_until_error(failed).await, (17, Error::ServerError(_))));
    let broken = client.read_all(&ReadAllOptions::default()).await.unwrap();
    assert!(count_until_error(broken).await.0 <= 100);
    let mut hung = client.read_all(&ReadAllOptions::default()).await.unwrap();
    for _ in 0..3 {
        hung.next().await.unwrap().unwrap();
    }
    tokio::time::timeout(Duration::from_millis(50), hung.next()).await.unwrap_err();
    let failed = client.read_all(&ReadAllOptions::default()).await.unwrap();
    assert_eq!(count_until_error(failed).await.0, 0);
    assert_eq!(read_all(&client).await.unwrap().len(), 300);
}

#[tokio::test]
async fn connections_that_drop_end_subscriptions_and_new_ones_are_accepted() {
    let (server, client) = server();
    append(&client, "s", StreamState::Any, vec![event(1)]).await.unwrap();
    let mut all = client.subscribe_to_all(&SubscribeToAllOptions::default()).await;
    while !matches!(all.next_subscription_event().await.unwrap(), SubscriptionEvent::CaughtUp(_)) {}
    server.drop_connections();
    all.next_subscription_event().await.err().unwrap();
    assert_eq!(places(&read_all(&client).await.unwrap()), ["s@0"]);
    assert_eq!(server.counters().connections, 2);
}

#[tokio::test]
async fn a_server_that_stopped_comes_back_with_its_log() {
    let (server, _) = server();
    let client = quick_client(&server);
    append(&client, "s", StreamState::Any, vec![event(1)]).await.unwrap();
    server.stop();
    append(&client, "s", StreamState::Any, vec![event(2)]).await.unwrap_err();
    let late = quick_client(&server);
    assert!(matches!(append(&late, "s", StreamState::Any, vec![event(2)]).await, Err(Error::GrpcConnectionError(_))));
    server.start_again();
    let client = quick_client(&server);
    append(&client, "s", StreamState::StreamRevision(0), vec![event(2)]).await.unwrap();
    assert_eq!(places(&read_all(&client).await.unwrap()), ["s@0", "s@1"]);
}
