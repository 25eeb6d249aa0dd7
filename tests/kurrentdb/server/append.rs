//! Appends, deletions and tombstones, one call each.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::counters::add;
use super::database::{Appended, Expected, NewEvent, Refused};
use super::exceptions::{
    append_too_large, deletion_refused, event_too_large, missing_metadata, stream_deleted, timed_out,
};
use super::faults::Fate;
use super::messages::{
    AppendContent, AppendReq, AppendResp, AppendResult, AppendSuccess, CurrentRevision, DeletePosition, DeleteReq,
    DeleteResp, Empty, ExpectedRevision, NewCurrent, NewExpected, OldCurrent, OldExpected, Position, ProposedMessage,
    SuccessPosition, WriteOptions, WrongExpectedVersion,
};
use super::service::{Caller, Node};

/// No event may be larger, whatever the server is told.
pub(super) const MOST_EVENT_BYTES: usize = 16 * 1024 * 1024;

pub(super) async fn append(
    node: Arc<Node>,
    request: Request<Streaming<AppendReq>>,
) -> Result<Response<AppendResp>, Status> {
    let caller = node.admit(&request)?;
    let mut messages = request.into_inner();
    let Some(AppendContent::Options(options)) = messages.message().await?.and_then(|message| message.content) else {
        return Err(Status::unknown("Exception was thrown by handler."));
    };
    let (stream, expected) = target(Some(options))?;
    node.allow_write(&caller, &stream)?;
    let mut events = Vec::new();
    let mut size = 0;
    while let Some(message) = messages.message().await? {
        let Some(AppendContent::ProposedMessage(proposed)) = message.content else {
            return Err(Status::unknown("Exception was thrown by handler."));
        };
        let event = new_event(proposed)?;
        check_event(&event)?;
        size += event.size();
        if size > node.max_append_size {
            return Err(append_too_large(node.max_append_size));
        }
        events.push(event);
    }
    add(&node.counters.append_requests, 1);
    let _in_flight = node.counters.enter();
    let appended = perform(&node, &caller, &stream, expected, events).await?;
    let result = match appended {
        Ok(appended) => AppendResult::Success(success(&appended)),
        Err(Refused::Deleted) => return Err(stream_deleted(&stream)),
        Err(Refused::WrongVersion { current }) => AppendResult::WrongExpectedVersion(wrong(expected, current)),
    };
    Ok(Response::new(AppendResp { result: Some(result) }))
}

/// Appends, or does what the fate of this append is. The delay comes between the deed and the answer.
async fn perform(
    node: &Node,
    caller: &Caller,
    stream: &str,
    expected: Expected,
    events: Vec<NewEvent>,
) -> Result<Result<Appended, Refused>, Status> {
    let fate = node.faults.next_append();
    match fate {
        Fate::Fail => return Err(Status::unavailable("Server Is Not Ready")),
        Fate::Hang => return std::future::pending().await,
        Fate::Answer | Fate::TimeOut | Fate::Lose => {}
    }
    let appended = write(node, stream, expected, events);
    let delay = node.faults.current_delay();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    match fate {
        Fate::TimeOut => Err(timed_out()),
        Fate::Lose => {
            lose(node, caller);
            std::future::pending().await
        }
        Fate::Answer | Fate::Fail | Fate::Hang => Ok(appended),
    }
}

/// Breaks the connection that the append came over.
pub(super) fn lose(node: &Node, caller: &Caller) {
    add(&node.counters.lost_answers, 1);
    if let Some(connection) = caller.connection {
        node.connections.break_one(connection);
    }
}

/// Appends and counts.
pub(super) fn write(node: &Node, stream: &str, expected: Expected, events: Vec<NewEvent>) -> Result<Appended, Refused> {
    let bytes = events.iter().map(|event| event.data.len() + event.metadata.len()).sum();
    add(&node.counters.received_bytes, bytes);
    let appended = node.database.append(stream, expected, events)?;
    add(&node.counters.appended_events, appended.written);
    Ok(appended)
}

pub(super) async fn delete(node: Arc<Node>, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
    let caller = node.admit(&request)?;
    let (stream, expected) = target(request.into_inner().options)?;
    node.allow_write(&caller, &stream)?;
    let deleted = node.database.delete(&stream, expected);
    answer_deletion(&node, &stream, expected, deleted).await
}

pub(super) async fn tombstone(node: Arc<Node>, request: Request<DeleteReq>) -> Result<Response<DeleteResp>, Status> {
    let caller = node.admit(&request)?;
    let (stream, expected) = target(request.into_inner().options)?;
    node.allow_write(&caller, &stream)?;
    let deleted = node.database.tombstone(&stream, expected);
    answer_deletion(&node, &stream, expected, deleted).await
}

async fn answer_deletion(
    node: &Node,
    stream: &str,
    expected: Expected,
    deleted: Result<Appended, Refused>,
) -> Result<Response<DeleteResp>, Status> {
    tokio::time::sleep(node.faults.current_delay()).await;
    let deleted = deleted.map_err(|refused| deletion_refused(stream, expected, refused))?;
    let position = match deleted.position {
        Some(position) => {
            DeletePosition::Position(Position { commit_position: position.commit, prepare_position: position.prepare })
        }
        None => DeletePosition::NoPosition(Empty {}),
    };
    Ok(Response::new(DeleteResp { position: Some(position) }))
}

fn target(options: Option<WriteOptions>) -> Result<(String, Expected), Status> {
    let options = options.ok_or_else(|| Status::unknown("Exception was thrown by handler."))?;
    let stream = options.stream_identifier.map(|stream| stream.name()).filter(|name| !name.is_empty());
    let stream = stream.ok_or_else(|| Status::unknown("Exception was thrown by handler."))?;
    Ok((stream, expected(options.expected)?))
}

pub(super) fn expected(expected: Option<ExpectedRevision>) -> Result<Expected, Status> {
    match expected {
        Some(ExpectedRevision::Revision(revision)) => Ok(Expected::Revision(revision)),
        Some(ExpectedRevision::NoStream(_)) => Ok(Expected::NoStream),
        Some(ExpectedRevision::Any(_)) => Ok(Expected::Any),
        Some(ExpectedRevision::StreamExists(_)) => Ok(Expected::StreamExists),
        None => Err(Status::invalid_argument("'None' is not a valid ExpectedStreamRevisionOneofCase")),
    }
}

pub(super) fn new_event(proposed: ProposedMessage) -> Result<NewEvent, Status> {
    let mut headers = proposed.metadata;
    let event_type = headers.remove("type").ok_or_else(|| missing_metadata("type"))?;
    let content_type = headers.remove("content-type").ok_or_else(|| missing_metadata("content-type"))?;
    let id = proposed.id.as_ref().and_then(super::messages::Uuid::read);
    Ok(NewEvent {
        id: id.ok_or_else(|| Status::invalid_argument("an event needs a UUID"))?,
        event_type,
        is_json: content_type == "application/json",
        data: proposed.data,
        metadata: proposed.custom_metadata,
    })
}

fn check_event(event: &NewEvent) -> Result<(), Status> {
    if event.size() > MOST_EVENT_BYTES {
        return Err(event_too_large(&event.id.to_string(), event.size(), MOST_EVENT_BYTES));
    }
    Ok(())
}

pub(super) fn success(appended: &Appended) -> AppendSuccess {
    let revision = match u64::try_from(appended.revision) {
        Ok(revision) => CurrentRevision::Revision(revision),
        Err(_) => CurrentRevision::NoStream(Empty {}),
    };
    let position = match appended.position {
        Some(position) => {
            SuccessPosition::Position(Position { commit_position: position.commit, prepare_position: position.prepare })
        }
        None => SuccessPosition::NoPosition(Empty {}),
    };
    AppendSuccess { current_revision: Some(revision), position: Some(position) }
}

fn wrong(expected: Expected, current: i64) -> WrongExpectedVersion {
    let (old_expected, expected) = match expected {
        Expected::Any => (OldExpected::Any(Empty {}), NewExpected::Any(Empty {})),
        Expected::StreamExists => (OldExpected::StreamExists(Empty {}), NewExpected::StreamExists(Empty {})),
        Expected::NoStream => (OldExpected::Revision(u64::MAX), NewExpected::NoStream(Empty {})),
        Expected::Revision(revision) => (OldExpected::Revision(revision), NewExpected::Revision(revision)),
    };
    let (old_current, current) = match u64::try_from(current) {
        Ok(current) => (OldCurrent::Revision(current), NewCurrent::Revision(current)),
        Err(_) => (OldCurrent::NoStream(Empty {}), NewCurrent::NoStream(Empty {})),
    };
    WrongExpectedVersion {
        old_current: Some(old_current),
        old_expected: Some(old_expected),
        current: Some(current),
        expected: Some(expected),
    }
}
