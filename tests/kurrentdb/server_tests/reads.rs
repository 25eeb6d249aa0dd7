//! Reads of streams and of `$all`.

use eventstore::{
    Error, Position, ReadAllOptions, ReadEvent, ReadStreamOptions, ResolvedEvent, StreamPosition, StreamState,
    SubscriptionFilter,
};

use super::talk::{all_of, append, event, places, read_all, revisions, server, server_with};
use crate::kurrentdb::server::{Expected, LogPosition, NewEvent, ServerOptions};

fn position(event: &ResolvedEvent) -> Position {
    event.get_original_event().position
}

#[tokio::test]
async fn a_missing_stream_is_not_found() {
    let (_server, client) = server();
    assert!(matches!(super::talk::read_stream(&client, "s").await, Err(Error::ResourceNotFound)));
}

#[tokio::test]
async fn a_stream_is_read_from_both_ends() {
    let (_server, client) = server();
    append(&client, "s", StreamState::Any, (0..5).map(event).collect()).await.unwrap();
    let read = async |options: &ReadStreamOptions| {
        revisions(&all_of(client.read_stream("s", options).await.unwrap()).await.unwrap())
    };
    let options = ReadStreamOptions::default;
    assert_eq!(read(&options().position(StreamPosition::Position(3))).await, [3, 4]);
    assert_eq!(read(&options().max_count(2)).await, [0, 1]);
    assert_eq!(read(&options().backwards().position(StreamPosition::End)).await, [4, 3, 2, 1, 0]);
    assert_eq!(read(&options().backwards().position(StreamPosition::Position(1))).await, [1, 0]);
    assert_eq!(read(&options().backwards().position(StreamPosition::End).max_count(1)).await, [4]);
    assert!(read(&options().position(StreamPosition::Position(5))).await.is_empty());
}

#[tokio::test]
async fn a_read_of_a_stream_tells_where_it_begins_and_ends() {
    let (server, client) = server();
    append(&client, "s", StreamState::Any, (0..50).map(event).collect()).await.unwrap();
    let told = async |position: StreamPosition<u64>| {
        let options = ReadStreamOptions::default().position(position);
        let mut stream = client.read_stream("s", &options).await.unwrap();
        let mut told = (None, 0, None);
        while let Some(read) = stream.next_read_event().await.unwrap() {
            match read {
                ReadEvent::FirstStreamPosition(first) => told.0 = Some(first),
                ReadEvent::LastStreamPosition(last) => told.2 = Some(last),
                ReadEvent::Event(_) => told.1 += 1,
                ReadEvent::LastAllStreamPosition(_) => panic!("not of a stream"),
            }
        }
        told
    };
    assert_eq!(told(StreamPosition::Start).await, (None, 50, Some(49)));
    assert_eq!(told(StreamPosition::Position(70)).await, (Some(50), 0, Some(49)));
    server.database().set_metadata("s", r#"{"$tb":40}"#).unwrap();
    // The server takes 32 events at a time: it tells the beginning where the first of them are all gone.
    assert_eq!(told(StreamPosition::Start).await, (Some(40), 10, Some(49)));
    assert_eq!(told(StreamPosition::Position(20)).await, (None, 10, Some(49)));
}

#[tokio::test]
async fn all_is_read_from_a_position_on_with_its_event() {
    let (_server, client) = server();
    for number in 0..5 {
        append(&client, &format!("s-{number}"), StreamState::Any, vec![event(number)]).await.unwrap();
    }
    let events = read_all(&client).await.unwrap();
    let from = position(&events[2]);
    let read = async |options: &ReadAllOptions| all_of(client.read_all(options).await.unwrap()).await;
    let at = || ReadAllOptions::default().position(StreamPosition::Position(from));
    assert_eq!(places(&read(&at()).await.unwrap()), ["s-2@0", "s-3@0", "s-4@0"]);
    assert_eq!(places(&read(&at().max_count(1)).await.unwrap()), ["s-2@0"]);
    assert_eq!(places(&read(&at().backwards()).await.unwrap()), ["s-1@0", "s-0@0"]);
    let newest = ReadAllOptions::default().backwards().position(StreamPosition::End).max_count(2);
    assert_eq!(places(&read(&newest).await.unwrap()), ["s-4@0", "s-3@0"]);
    // The client turns round for the end, unless it is told to go forwards after that.
    let end = ReadAllOptions::default().position(StreamPosition::End);
    assert_eq!(read(&end.clone().max_count(1)).await.unwrap().len(), 1);
    assert!(read(&end.forwards()).await.unwrap().is_empty());
    // No event begins there.
    let between = Position { commit: from.commit + 1, prepare: from.prepare + 1 };
    let refused = read(&ReadAllOptions::default().position(StreamPosition::Position(between))).await.unwrap_err();
    assert!(matches!(refused, Error::Grpc { code: tonic::Code::InvalidArgument, .. }));
}

#[tokio::test]
async fn half_a_position_is_not_enough_within_a_transaction() {
    let (server, client) = server();
    let database = server.database();
    let transaction = database.start_transaction("slow", (0..3).map(|_| NewEvent::json("A", "1")).collect());
    append(&client, "quick", StreamState::Any, vec![event(1)]).await.unwrap();
    database.commit(transaction).unwrap();
    append(&client, "quick", StreamState::Any, vec![event(2)]).await.unwrap();
    let events = read_all(&client).await.unwrap();
    assert_eq!(places(&events), ["quick@0", "slow@0", "slow@1", "slow@2", "quick@1"]);
    let read = async |position: Position, backwards: bool| {
        let options = ReadAllOptions::default().position(StreamPosition::Position(position));
        let options = if backwards { options.backwards() } else { options };
        places(&all_of(client.read_all(&options).await.unwrap()).await.unwrap())
    };
    let middle = position(&events[2]);
    assert_eq!(read(middle, false).await, ["slow@1", "slow@2", "quick@1"]);
    let first_half = Position { commit: middle.commit, prepare: middle.commit };
    assert_eq!(read(first_half, false).await, ["quick@1"], "events would be missing");
    let second_half = Position { commit: middle.prepare, prepare: middle.prepare };
    assert_eq!(read(second_half, false).await.len(), 5, "events would come twice");
    // Backwards, the server compares both halves with where an event ends: the one that ends at the commit is left out.
    assert!(read(middle, true).await.is_empty());
    assert_eq!(read(position(&events[4]), true).await, ["slow@2", "slow@1", "slow@0", "quick@0"]);
}

#[tokio::test]
async fn filters_choose_by_stream_and_by_type() {
    let (server, client) = server();
    let database = server.database();
    for (stream, kind) in [("order-1", "Placed"), ("cart-1", "Filled"), ("order-2", "Paid"), ("$mine", "$system")] {
        database.append(stream, Expected::Any, vec![NewEvent::json(kind, "1")]).unwrap();
    }
    let read = async |filter: SubscriptionFilter| {
        let options = ReadAllOptions::default().filter(filter);
        all_of(client.read_all(&options).await?).await.map(|events| places(&events))
    };
    let by_stream = SubscriptionFilter::on_stream_name;
    let by_type = SubscriptionFilter::on_event_type;
    assert_eq!(read(by_stream().add_prefix("order-")).await.unwrap(), ["order-1@0", "order-2@0"]);
    assert_eq!(read(by_stream().regex("-1$")).await.unwrap(), ["order-1@0", "cart-1@0"]);
    let either = by_type().add_prefix("Pla").add_prefix("Fill");
    assert_eq!(read(either).await.unwrap(), ["order-1@0", "cart-1@0"]);
    assert_eq!(read(by_type().exclude_system_events().max(1)).await.unwrap().len(), 3);
    assert!(read(by_stream().regex("(")).await.is_err());
}

#[tokio::test]
async fn the_system_writes_links_and_statistics_between() {
    let (server, client) = server_with(ServerOptions { noise_every: 2, ..ServerOptions::default() });
    append(&client, "order-1", StreamState::Any, vec![event(1), event(2)]).await.unwrap();
    let events = read_all(&client).await.unwrap();
    let expected = ["order-1@0", "order-1@1", "$et-Happened@0", "$ce-order@0", "$stats-127.0.0.1:2113@0"];
    assert_eq!(places(&events), expected);
    let link = events[3].get_original_event();
    assert_eq!((link.event_type.as_str(), link.is_json, &link.data[..]), ("$>", false, &b"1@order-1"[..]));

    let options = ReadStreamOptions::default().resolve_link_tos();
    let resolved = all_of(client.read_stream("$ce-order", &options).await.unwrap()).await.unwrap();
    let target = resolved[0].event.as_ref().unwrap();
    assert_eq!((target.stream_id(), target.revision), ("order-1", 1));
    assert_eq!(resolved[0].link.as_ref().unwrap().stream_id(), "$ce-order");
    server.database().delete("order-1", Expected::Any).unwrap();
    let resolved = all_of(client.read_stream("$ce-order", &options).await.unwrap()).await.unwrap();
    assert!(resolved[0].event.is_none() && resolved[0].link.is_some(), "links may lead nowhere");
}

#[tokio::test]
async fn reads_are_counted() {
    let (server, client) = server();
    append(&client, "s", StreamState::Any, vec![event(1), event(2)]).await.unwrap();
    read_all(&client).await.unwrap();
    let counts = server.counters();
    assert_eq!((counts.append_requests, counts.appended_events, counts.received_bytes), (1, 2, 6));
    assert_eq!((counts.reads, counts.sent_events, counts.sent_bytes), (1, 2, 6));
    assert_eq!((counts.connections, counts.peak_in_flight, counts.lost_answers), (1, 1, 0));
    assert!(LogPosition::START < server.database().records()[1].position);
}
