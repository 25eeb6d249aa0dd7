//! Versions, ids and sizes.

use bytes::Bytes;
use eventstore::{BatchAppendOptions, CurrentRevision, Error, EventData, Position, StreamState};
use uuid::Uuid;

use super::talk::{append, client, event, read_stream, revisions, server, server_with};
use crate::kurrentdb::server::{Expected, KurrentServer, NewEvent, Refused, ServerOptions};

fn wrong_version(error: Error) -> (StreamState, CurrentRevision) {
    match error {
        Error::WrongExpectedVersion { expected, current } => (expected, current),
        other => panic!("{other}"),
    }
}

fn code_of(error: Error) -> (tonic::Code, String) {
    match error {
        Error::Grpc { code, message } => (code, message),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_append_says_its_revision_and_position_and_comes_back_as_it_was() {
    let (server, client) = server();
    let sent = EventData::json("Happened", &serde_json::json!({"n": 1})).unwrap();
    let sent = sent.id(Uuid::from_u128(7)).metadata(Bytes::from_static(b"not json"));
    let written = append(&client, "s", StreamState::NoStream, vec![sent]).await.unwrap();
    let octets = EventData::binary("Blob", Bytes::from_static(b"\0\xff"));
    let second = append(&client, "s", StreamState::StreamRevision(0), vec![octets]).await.unwrap();
    assert_eq!((written.next_expected_version, second.next_expected_version), (0, 1));

    let read = read_stream(&client, "s").await.unwrap();
    let first = read[0].get_original_event();
    assert_eq!((first.id, first.revision, first.is_json), (Uuid::from_u128(7), 0, true));
    assert_eq!((&first.data[..], &first.custom_metadata[..]), (&br#"{"n":1}"#[..], &b"not json"[..]));
    assert_eq!((first.event_type.as_str(), first.position), ("Happened", written.position));
    let second_read = read[1].get_original_event();
    assert_eq!((second_read.is_json, &second_read.data[..]), (false, &b"\0\xff"[..]));

    let records = server.database().records();
    assert_eq!(first.metadata["created"], records[0].created_ticks.to_string());
    let ordinary = |position: Position| position.commit == position.prepare;
    assert!(ordinary(written.position) && ordinary(second.position));
    assert!(second.position.commit > written.position.commit + 50, "positions are bytes");
}

#[tokio::test]
async fn a_wrong_version_is_refused_with_the_current_one() {
    let (_server, client) = server();
    let missing = append(&client, "s", StreamState::StreamRevision(3), vec![event(1)]).await.unwrap_err();
    assert_eq!(wrong_version(missing), (StreamState::StreamRevision(3), CurrentRevision::NoStream));
    let missing = append(&client, "s", StreamState::StreamExists, vec![event(1)]).await.unwrap_err();
    assert_eq!(wrong_version(missing), (StreamState::StreamExists, CurrentRevision::NoStream));

    append(&client, "s", StreamState::NoStream, vec![event(1), event(2)]).await.unwrap();
    let behind = append(&client, "s", StreamState::StreamRevision(0), vec![event(9)]).await.unwrap_err();
    assert_eq!(wrong_version(behind), (StreamState::StreamRevision(0), CurrentRevision::Current(1)));
    let taken = append(&client, "s", StreamState::NoStream, vec![event(9)]).await.unwrap_err();
    assert_eq!(wrong_version(taken), (StreamState::NoStream, CurrentRevision::Current(1)));
    append(&client, "s", StreamState::StreamExists, vec![event(3)]).await.unwrap();
}

#[tokio::test]
async fn the_same_ids_at_the_same_revisions_are_there_already() {
    let (server, client) = server();
    let events = || vec![event(1), event(2), event(3)];
    let first = append(&client, "s", StreamState::NoStream, events()).await.unwrap();
    let again = append(&client, "s", StreamState::NoStream, events()).await.unwrap();
    assert_eq!((again.next_expected_version, again.position), (2, first.position));
    let tail = append(&client, "s", StreamState::StreamRevision(0), vec![event(2)]).await.unwrap();
    assert_eq!(tail.next_expected_version, 1);
    assert_eq!(server.database().records().len(), 3);
    assert_eq!(server.counters().appended_events, 3);

    let longer = vec![event(1), event(2), event(3), event(4)];
    let partly = append(&client, "s", StreamState::NoStream, longer).await.unwrap_err();
    assert_eq!(wrong_version(partly), (StreamState::NoStream, CurrentRevision::Current(2)));
    let elsewhere = append(&client, "s", StreamState::StreamRevision(0), vec![event(3)]).await.unwrap_err();
    assert_eq!(wrong_version(elsewhere).1, CurrentRevision::Current(2));
}

#[tokio::test]
async fn any_version_knows_the_ids_of_recent_events() {
    let (server, client) = server();
    append(&client, "s", StreamState::Any, vec![event(1), event(2)]).await.unwrap();
    append(&client, "s", StreamState::Any, vec![event(3)]).await.unwrap();
    let again = append(&client, "s", StreamState::Any, vec![event(1), event(2)]).await.unwrap();
    assert_eq!(again.next_expected_version, 1);
    let partly = append(&client, "s", StreamState::Any, vec![event(2), event(9)]).await.unwrap_err();
    assert_eq!(wrong_version(partly), (StreamState::Any, CurrentRevision::Current(2)));
    append(&client, "other", StreamState::Any, vec![event(1)]).await.unwrap();
    assert_eq!(server.database().records().len(), 4);
}

#[tokio::test]
async fn an_append_of_nothing_writes_nothing() {
    let (server, client) = server();
    append(&client, "s", StreamState::NoStream, vec![event(1)]).await.unwrap();
    let nothing = append(&client, "s", StreamState::Any, Vec::new()).await.unwrap();
    assert_eq!(nothing.next_expected_version, 0);
    assert_eq!(server.database().records().len(), 1);
}

#[tokio::test]
async fn too_many_bytes_are_refused_and_nothing_is_written() {
    let (server, client) = server_with(ServerOptions { max_append_size: 100, ..ServerOptions::default() });
    // Two bytes for each of the type's four letters.
    let sized = |bytes: usize| EventData::binary("Blob", Bytes::from(vec![0; bytes - 8]));
    append(&client, "s", StreamState::Any, vec![sized(50), sized(50)]).await.unwrap();
    let refused = append(&client, "s", StreamState::Any, vec![sized(50), sized(51)]).await.unwrap_err();
    let text = "Maximum Append Size of 100 Exceeded.".to_owned();
    assert_eq!(code_of(refused), (tonic::Code::InvalidArgument, text));
    let session = client.batch_append(&BatchAppendOptions::default()).await.unwrap();
    let refused = session.append_to_stream("s", StreamState::Any, vec![sized(101)]).await.unwrap_err();
    assert_eq!(code_of(refused), (tonic::Code::InvalidArgument, "MaximumAppendSizeExceeded".to_owned()));
    assert_eq!(server.database().records().len(), 2);
}

#[tokio::test]
async fn no_event_is_larger_than_16_mib() {
    let options = ServerOptions { max_append_size: 64 * 1024 * 1024, ..ServerOptions::default() };
    let (server, client) = server_with(options);
    let large = || EventData::binary("", Bytes::from(vec![0; 16 * 1024 * 1024 + 1])).id(Uuid::from_u128(5));
    let (code, text) = code_of(append(&client, "s", StreamState::Any, vec![large()]).await.unwrap_err());
    assert_eq!(code, tonic::Code::InvalidArgument);
    assert!(text.ends_with("Size: 16777217, exceeds Maximum Append Event Size of 16777216."), "{text}");
    assert!(server.database().records().is_empty());
}

#[tokio::test]
async fn a_batch_session_answers_each_append_and_refuses_by_code() {
    let (server, client) = server();
    let session = client.batch_append(&BatchAppendOptions::default()).await.unwrap();
    let appends = (0..20_u128).map(|number| {
        let stream = format!("s-{}", number % 4);
        session.append_to_stream(stream, StreamState::Any, vec![event(number)])
    });
    let answers = futures_util::future::try_join_all(appends).await.unwrap();
    assert_eq!(answers[19].stream_name(), "s-3");
    assert_eq!(answers[19].current_revision(), Some(4));
    assert_eq!(
        answers[19].current_position().map(|at| at.commit),
        Some(server.database().records()[19].position.commit)
    );
    assert_eq!(server.counters().batch_messages, 20);

    let wrong = session.append_to_stream("s-0", StreamState::NoStream, vec![event(99)]).await.unwrap_err();
    assert_eq!(code_of(wrong), (tonic::Code::AlreadyExists, "WrongExpectedVersion".to_owned()));
    // The client ends a session at its first refusal.
    session.append_to_stream("s-0", StreamState::Any, vec![event(98)]).await.unwrap_err();

    server.database().tombstone("s-1", Expected::Any).unwrap();
    let session = client.batch_append(&BatchAppendOptions::default()).await.unwrap();
    let deleted = session.append_to_stream("s-1", StreamState::Any, vec![event(97)]).await.unwrap_err();
    assert_eq!(code_of(deleted), (tonic::Code::NotFound, "StreamDeleted".to_owned()));
}

#[tokio::test]
async fn explicit_transactions_commit_behind_their_events() {
    let (server, client) = server();
    let database = server.database();
    let transaction = database.start_transaction("slow", vec![NewEvent::json("A", "1"), NewEvent::json("B", "2")]);
    append(&client, "quick", StreamState::NoStream, vec![event(1)]).await.unwrap();
    let committed = database.commit(transaction).unwrap();
    let events = super::talk::read_all(&client).await.unwrap();
    assert_eq!(super::talk::places(&events), ["quick@0", "slow@0", "slow@1"]);
    let positions: Vec<_> = events.iter().map(|event| event.get_original_event().position).collect();
    assert!(positions[1].commit == positions[2].commit && positions[1].prepare < positions[2].prepare);
    assert!(positions[2].prepare < positions[0].commit && positions[0].commit < positions[2].commit);
    assert_eq!(committed.position.map(|at| (at.commit, at.prepare)), Some((positions[2].commit, positions[2].prepare)));
    // Reads of a stream do not know where others committed its events.
    let of_stream = read_stream(&client, "slow").await.unwrap();
    assert_eq!(of_stream[0].get_original_event().position, Position { commit: u64::MAX, prepare: u64::MAX });
}

#[tokio::test]
async fn every_nth_append_can_be_an_explicit_transaction() {
    let (server, client) = server_with(ServerOptions { transaction_every: 3, ..ServerOptions::default() });
    for number in 0..6 {
        append(&client, "s", StreamState::Any, vec![event(number)]).await.unwrap();
    }
    let ordinary: Vec<bool> =
        server.database().records().iter().map(|record| record.position.commit == record.position.prepare).collect();
    assert_eq!(ordinary, [true, true, false, true, true, false]);
}

#[tokio::test]
async fn servers_can_share_a_log() {
    let (server, client_of_first) = server();
    let second = KurrentServer::start_on(ServerOptions::default(), server.database());
    append(&client_of_first, "s", StreamState::NoStream, vec![event(1)]).await.unwrap();
    assert_eq!(revisions(&read_stream(&client(&second.url()), "s").await.unwrap()), [0]);
    let refused = second.database().append("s", Expected::NoStream, vec![NewEvent::octets("A", "1")]).unwrap_err();
    assert_eq!(refused, Refused::WrongVersion { current: 0 });
}
