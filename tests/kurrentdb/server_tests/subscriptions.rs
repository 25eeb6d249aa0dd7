//! Subscriptions: what is there, then what comes.

use eventstore::{
    Error, Position, StreamPosition, StreamState, SubscribeToAllOptions, SubscribeToStreamOptions, Subscription,
    SubscriptionEvent, SubscriptionFilter,
};

use super::talk::{append, event, read_all, server};
use crate::kurrentdb::server::{Database, Expected, NewEvent};

/// What comes next, in a word.
async fn next(subscription: &mut Subscription) -> String {
    match subscription.next_subscription_event().await.unwrap() {
        SubscriptionEvent::Confirmed(_) => "confirmed".to_owned(),
        SubscriptionEvent::CaughtUp(_) => "caught up".to_owned(),
        SubscriptionEvent::Checkpoint(_) => "checkpoint".to_owned(),
        SubscriptionEvent::EventAppeared(event) => {
            let event = event.get_original_event();
            format!("{}@{}", event.stream_id(), event.revision)
        }
        _ => panic!("the server does not send it"),
    }
}

async fn expect(subscription: &mut Subscription, expected: &[&str]) {
    for expected in expected {
        assert_eq!(next(subscription).await, *expected);
    }
}

async fn next_checkpoint(subscription: &mut Subscription) -> Position {
    loop {
        if let SubscriptionEvent::Checkpoint(position) = subscription.next_subscription_event().await.unwrap() {
            return position;
        }
    }
}

fn write(database: &Database, stream: &str, events: usize) {
    for _ in 0..events {
        database.append(stream, Expected::Any, vec![NewEvent::json("A", "1")]).unwrap();
    }
}

#[tokio::test]
async fn all_comes_from_the_start_and_then_what_is_new() {
    let (server, client) = server();
    append(&client, "s", StreamState::Any, vec![event(1), event(2)]).await.unwrap();
    let mut all = client.subscribe_to_all(&SubscribeToAllOptions::default()).await;
    expect(&mut all, &["confirmed", "s@0", "s@1"]).await;
    let SubscriptionEvent::CaughtUp(Some(caught_up)) = all.next_subscription_event().await.unwrap() else { panic!() };
    let last = server.database().records()[1].position;
    assert_eq!(caught_up.position.map(|at| (at.commit, at.prepare)), Some((last.commit, last.prepare)));
    append(&client, "s", StreamState::Any, vec![event(3)]).await.unwrap();
    expect(&mut all, &["s@2"]).await;
}

#[tokio::test]
async fn a_subscription_begins_behind_its_position() {
    let (_server, client) = server();
    append(&client, "s", StreamState::Any, vec![event(1), event(2), event(3)]).await.unwrap();
    let events = read_all(&client).await.unwrap();
    let from = |position| SubscribeToAllOptions::default().position(position);
    let second = events[1].get_original_event().position;
    let mut behind = client.subscribe_to_all(&from(StreamPosition::Position(second))).await;
    expect(&mut behind, &["confirmed", "s@2", "caught up"]).await;
    let mut end = client.subscribe_to_all(&from(StreamPosition::End)).await;
    expect(&mut end, &["confirmed", "caught up"]).await;
    append(&client, "s", StreamState::Any, vec![event(4)]).await.unwrap();
    expect(&mut behind, &["s@3"]).await;
    expect(&mut end, &["s@3"]).await;
}

#[tokio::test]
async fn a_filtered_subscription_gets_a_checkpoint_each_window_that_is_looked_at() {
    let (server, client) = server();
    let database = server.database();
    write(&database, "no", 7);
    write(&database, "yes", 1);
    write(&database, "no", 7);
    let filter = SubscriptionFilter::on_stream_name().add_prefix("yes").max(4);
    let options = SubscribeToAllOptions::default().filter(filter);
    let mut yes = client.subscribe_to_all(&options).await;
    expect(&mut yes, &["confirmed", "checkpoint", "yes@0", "checkpoint", "checkpoint", "checkpoint", "caught up"])
        .await;
    write(&database, "no", 4);
    write(&database, "yes", 1);
    expect(&mut yes, &["checkpoint", "yes@1"]).await;
}

#[tokio::test]
async fn a_checkpoint_may_have_two_halves_that_differ() {
    let (server, client) = server();
    let database = server.database();
    write(&database, "no", 8);
    write(&database, "yes", 1);
    let filter = || SubscriptionFilter::on_stream_name().add_prefix("yes").max(8);
    let mut yes = client.subscribe_to_all(&SubscribeToAllOptions::default().filter(filter())).await;
    write(&database, "no", 20);
    expect(&mut yes, &["confirmed"]).await;
    let records = database.records();
    let mut checkpoints = Vec::new();
    while checkpoints.len() < 3 {
        checkpoints.push(next_checkpoint(&mut yes).await);
    }
    let halved = checkpoints.iter().find(|position| position.prepare == 0 && position.commit > 0);
    let halved = *halved.expect("a page without events of the reader ends between two events");
    let following = records.iter().find(|record| record.position.commit >= halved.commit).unwrap();
    assert_eq!(following.position.commit, halved.commit, "the commit is where the next event begins");
    // Whoever takes its first half for both misses that event.
    let everything = |position| SubscribeToAllOptions::default().position(StreamPosition::Position(position));
    let mut whole = client.subscribe_to_all(&everything(halved)).await;
    expect(&mut whole, &["confirmed"]).await;
    let first = format!("{}@{}", following.stream, following.revision);
    assert_eq!(next(&mut whole).await, first);
    let half = Position { commit: halved.commit, prepare: halved.commit };
    let mut halved = client.subscribe_to_all(&everything(half)).await;
    expect(&mut halved, &["confirmed"]).await;
    assert_ne!(next(&mut halved).await, first);
}

#[tokio::test]
async fn a_stream_is_followed_until_its_tombstone() {
    let (server, client) = server();
    append(&client, "s", StreamState::Any, vec![event(1), event(2)]).await.unwrap();
    let options = SubscribeToStreamOptions::default().start_from(StreamPosition::Position(0));
    let mut stream = client.subscribe_to_stream("s", &options).await;
    expect(&mut stream, &["confirmed", "s@1", "caught up"]).await;
    append(&client, "other", StreamState::Any, vec![event(3)]).await.unwrap();
    append(&client, "s", StreamState::Any, vec![event(4)]).await.unwrap();
    expect(&mut stream, &["s@2"]).await;
    server.database().tombstone("s", Expected::Any).unwrap();
    expect(&mut stream, &["s@9223372036854775807"]).await;
    assert!(matches!(stream.next_subscription_event().await, Err(Error::ResourceDeleted)));
}

#[tokio::test]
async fn a_stream_that_is_not_there_yet_can_be_followed() {
    let (_server, client) = server();
    let mut stream = client.subscribe_to_stream("s", &SubscribeToStreamOptions::default()).await;
    expect(&mut stream, &["confirmed", "caught up"]).await;
    append(&client, "s", StreamState::Any, vec![event(1)]).await.unwrap();
    expect(&mut stream, &["s@0"]).await;
}
