//! Deleted and truncated streams, and scavenges.

use std::time::{Duration, SystemTime};

use eventstore::{DeleteStreamOptions, Error, StreamState, TombstoneStreamOptions};
use serde_json::json;

use super::talk::{append, event, places, read_all, read_stream, revisions, server};
use crate::kurrentdb::server::{Expected, NewEvent};

const DELETED: i64 = i64::MAX;

#[tokio::test]
async fn a_soft_delete_hides_the_stream_and_its_events_stay_in_the_log() {
    let (server, client) = server();
    append(&client, "s", StreamState::Any, vec![event(1), event(2)]).await.unwrap();
    server.database().set_metadata("s", r#"{"$maxCount":5}"#).unwrap();
    client.delete_stream("s", &DeleteStreamOptions::default()).await.unwrap().unwrap();
    assert!(matches!(read_stream(&client, "s").await, Err(Error::ResourceNotFound)));
    // The deletion is the whole metadata: other keys are gone.
    assert_eq!(server.database().metadata("s"), Some(json!({"$tb": DELETED})));
    assert_eq!(places(&read_all(&client).await.unwrap()), ["s@0", "s@1", "$$s@0", "$$s@1"]);
    let exists = append(&client, "s", StreamState::StreamExists, vec![event(3)]).await;
    assert!(matches!(exists, Err(Error::ResourceDeleted)));
}

#[tokio::test]
async fn a_stream_that_was_deleted_softly_goes_on_counting() {
    for expected in [StreamState::Any, StreamState::NoStream, StreamState::StreamRevision(1)] {
        let (server, client) = server();
        append(&client, "s", StreamState::Any, vec![event(1), event(2)]).await.unwrap();
        client.delete_stream("s", &DeleteStreamOptions::default()).await.unwrap();
        let written = append(&client, "s", expected, vec![event(3), event(4)]).await.unwrap();
        assert_eq!(written.next_expected_version, 3, "{expected:?}");
        assert_eq!(revisions(&read_stream(&client, "s").await.unwrap()), [2, 3]);
        assert_eq!(server.database().metadata("s"), Some(json!({"$tb": 2})));
        assert_eq!(places(&read_all(&client).await.unwrap())[3..], ["s@2", "s@3", "$$s@1"]);
    }
}

#[tokio::test]
async fn a_deleted_stream_whose_first_event_is_the_same_is_there_already() {
    let (server, client) = server();
    append(&client, "s", StreamState::Any, vec![event(1), event(2)]).await.unwrap();
    client.delete_stream("s", &DeleteStreamOptions::default()).await.unwrap();
    let before = server.database().records().len();
    let again = append(&client, "s", StreamState::NoStream, vec![event(1)]).await.unwrap();
    // It is truncated: the server does not know its position any more, and the client makes the start of that.
    assert_eq!((again.next_expected_version, again.position.commit), (0, 0));
    assert_eq!(server.database().records().len(), before);
}

#[tokio::test]
async fn metadata_undelete_a_stream_that_was_deleted_softly() {
    let (server, client) = server();
    append(&client, "s", StreamState::Any, vec![event(1), event(2)]).await.unwrap();
    client.delete_stream("s", &DeleteStreamOptions::default()).await.unwrap();
    server.database().set_metadata("s", r#"{"$maxCount":7,"mine":"kept"}"#).unwrap();
    assert_eq!(server.database().metadata("s"), Some(json!({"$maxCount": 7, "mine": "kept", "$tb": 2})));
    assert!(read_stream(&client, "s").await.unwrap().is_empty());
    assert_eq!(revisions(&read_stream(&client, "$$s").await.unwrap()), [2], "metadata keep their newest event");
}

#[tokio::test]
async fn a_tombstone_is_for_good() {
    let (server, client) = server();
    append(&client, "s", StreamState::Any, vec![event(1)]).await.unwrap();
    let at = client.tombstone_stream("s", &TombstoneStreamOptions::default()).await.unwrap().unwrap();
    assert!(matches!(read_stream(&client, "s").await, Err(Error::ResourceDeleted)));
    for expected in [StreamState::Any, StreamState::NoStream, StreamState::StreamRevision(0)] {
        assert!(matches!(append(&client, "s", expected, vec![event(2)]).await, Err(Error::ResourceDeleted)));
    }
    assert!(matches!(append(&client, "$$s", StreamState::Any, vec![event(3)]).await, Err(Error::ResourceDeleted)));
    let tombstone = server.database().records().pop().unwrap();
    assert_eq!((&*tombstone.event_type, tombstone.revision, tombstone.is_json), ("$streamDeleted", DELETED, false));
    assert_eq!(tombstone.position.commit, at.commit);
    let all = read_all(&client).await.unwrap();
    assert_eq!(all[1].get_original_event().revision, DELETED.cast_unsigned());
}

#[tokio::test]
async fn deletions_are_refused_by_code() {
    let (_server, client) = server();
    let missing = client.delete_stream("s", &DeleteStreamOptions::default()).await.unwrap_err();
    let Error::Grpc { code, message } = missing else { panic!("{missing}") };
    assert_eq!(code, tonic::Code::FailedPrecondition);
    assert!(message.starts_with("Delete failed due to WrongExpectedVersion. Stream: s,"), "{message}");
    append(&client, "s", StreamState::Any, vec![event(1)]).await.unwrap();
    let options = TombstoneStreamOptions::default().stream_state(StreamState::StreamRevision(4));
    let wrong = client.tombstone_stream("s", &options).await.unwrap_err();
    assert!(matches!(wrong, Error::Grpc { code: tonic::Code::FailedPrecondition, .. }));
}

#[tokio::test]
async fn truncated_events_are_not_read_from_their_stream() {
    let (server, client) = server();
    append(&client, "s", StreamState::Any, (0..6).map(event).collect()).await.unwrap();
    server.database().set_metadata("s", r#"{"$tb":2}"#).unwrap();
    assert_eq!(revisions(&read_stream(&client, "s").await.unwrap()), [2, 3, 4, 5]);
    server.database().set_metadata("s", r#"{"$maxCount":2}"#).unwrap();
    assert_eq!(revisions(&read_stream(&client, "s").await.unwrap()), [4, 5]);
    server.database().set_metadata("s", r#"{"$maxCount":3,"$tb":5}"#).unwrap();
    assert_eq!(revisions(&read_stream(&client, "s").await.unwrap()), [5]);
    assert_eq!(read_all(&client).await.unwrap().len(), 9, "all of them are in the log");
}

#[tokio::test]
async fn old_events_are_not_read_from_their_stream() {
    let (server, client) = server();
    let database = server.database();
    let hours_ago = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
    for hours in [9, 5, 1] {
        database.append_at(hours_ago(hours), "s", Expected::Any, vec![NewEvent::json("A", "1")]).unwrap();
    }
    database.set_metadata("s", &format!(r#"{{"$maxAge":{}}}"#, 6 * 3600)).unwrap();
    let read = read_stream(&client, "s").await.unwrap();
    assert_eq!(revisions(&read), [1, 2]);
    let age = SystemTime::now().duration_since(database.records()[0].created()).unwrap();
    assert_eq!(age.as_secs() / 3600, 9);
}

#[tokio::test]
async fn a_scavenge_takes_what_no_stream_shows_and_moves_nothing() {
    let (server, client) = server();
    let database = server.database();
    for stream in ["cut", "gone", "dead", "kept"] {
        append(
            &client,
            stream,
            StreamState::Any,
            (0..3).map(|_| eventstore::EventData::json("A", &1).unwrap()).collect(),
        )
        .await
        .unwrap();
    }
    database.set_metadata("cut", r#"{"$maxCount":9}"#).unwrap();
    database.set_metadata("cut", r#"{"$tb":2}"#).unwrap();
    database.set_metadata("dead", r#"{"$maxCount":9}"#).unwrap();
    database.delete("gone", Expected::Any).unwrap();
    database.tombstone("dead", Expected::Any).unwrap();
    let before = database.records();
    let end = database.end();
    assert_eq!(database.scavenge(), 2 + 2 + 3 + 1 + 1);
    let left = places(&read_all(&client).await.unwrap());
    let tombstone = format!("dead@{DELETED}");
    // The last event of a deleted stream stays, for its number.
    let expected = ["cut@2", "gone@2", "kept@0", "kept@1", "kept@2", "$$cut@1", "$$gone@0", tombstone.as_str()];
    assert_eq!(left, expected);
    for record in database.records() {
        assert!(before.iter().any(|one| one.id == record.id && one.position == record.position));
    }
    assert_eq!((database.end(), database.scavenge()), (end, 0));
    let written = append(&client, "gone", StreamState::NoStream, vec![event(1)]).await.unwrap();
    assert_eq!(written.next_expected_version, 3);
}
