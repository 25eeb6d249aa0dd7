//! Sessions of many appends, several of them in flight: done in the order they come, each answered by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::Message;
use prost_types::Any;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use super::append::{MOST_EVENT_BYTES, expected, lose, new_event, success, write};
use super::counters::{InFlight, add};
use super::database::{Appended, Expected, NewEvent, Refused};
use super::faults::Fate;
use super::messages::{
    BatchAppendReq, BatchAppendResp, BatchOptions, BatchResult, CurrentRevision, Deadline, DetailExpected, Empty,
    MaximumSizeDetail, RpcStatus, StreamDeletedDetail, StreamIdentifier, Uuid, WrongVersionDetail,
};
use super::service::{Caller, Node};

type Answers = UnboundedSender<Result<BatchAppendResp, Status>>;

pub(super) async fn batch_append(
    node: Arc<Node>,
    request: Request<Streaming<BatchAppendReq>>,
) -> Result<Response<UnboundedReceiverStream<Result<BatchAppendResp, Status>>>, Status> {
    let caller = node.admit(&request)?;
    let (answers, receiver) = unbounded_channel();
    let mut session = Session { node, caller, answers, pending: HashMap::new() };
    let mut messages = request.into_inner();
    tokio::spawn(async move {
        // An error is a connection that broke: nobody is left to tell.
        while let Ok(Some(message)) = messages.message().await {
            if !session.take(message) {
                return;
            }
        }
    });
    Ok(Response::new(UnboundedReceiverStream::new(receiver)))
}

struct Session {
    node: Arc<Node>,
    caller: Caller,
    answers: Answers,
    /// Appends that come in several messages and are not complete, by what correlates them.
    pending: HashMap<uuid::Uuid, Pending>,
}

struct Pending {
    stream: String,
    expected: Expected,
    events: Vec<NewEvent>,
    size: usize,
}

impl Session {
    /// False when the session is over.
    fn take(&mut self, message: BatchAppendReq) -> bool {
        let BatchAppendReq { correlation_id, options, proposed_messages, is_final } = message;
        let Some(id) = correlation_id.as_ref().and_then(Uuid::read) else { return true };
        let stream = options.as_ref().and_then(|options| options.stream_identifier.clone());
        if let Some(options) = options
            && let Err(error) = self.open(id, options)
        {
            return self.refuse(correlation_id, stream, error);
        }
        let Some(pending) = self.pending.get_mut(&id) else { return true };
        let stream = Some(StreamIdentifier::of(&pending.stream));
        if let Err(error) = pending.add(proposed_messages, self.node.max_append_size) {
            self.pending.remove(&id);
            return self.refuse(correlation_id, stream, error);
        }
        if !is_final {
            return true;
        }
        let Some(pending) = self.pending.remove(&id) else { return true };
        self.perform(correlation_id, stream, pending)
    }

    fn open(&mut self, id: uuid::Uuid, options: BatchOptions) -> Result<(), RpcStatus> {
        let Some(stream) = options.stream_identifier.map(|stream| stream.name()).filter(|name| !name.is_empty()) else {
            return Err(bad_request());
        };
        if self.node.allow_write(&self.caller, &stream).is_err() {
            return Err(failure(Code::PermissionDenied, "AccessDenied", &Empty {}));
        }
        if options.deadline.is_some_and(is_over) {
            return Err(timeout());
        }
        let expected = expected(options.expected).map_err(|_| bad_request())?;
        self.pending.entry(id).or_insert(Pending { stream, expected, events: Vec::new(), size: 0 });
        Ok(())
    }

    fn perform(&self, id: Option<Uuid>, stream: Option<StreamIdentifier>, append: Pending) -> bool {
        let node = &self.node;
        add(&node.counters.batch_messages, 1);
        let in_flight = node.counters.enter();
        let fate = node.faults.next_append();
        match fate {
            Fate::Fail => {
                let _ = self.answers.send(Err(Status::unavailable("Server Is Not Ready")));
                return false;
            }
            Fate::Hang => {
                hang(self.answers.clone(), in_flight);
                return true;
            }
            Fate::Answer | Fate::TimeOut | Fate::Lose => {}
        }
        let appended = write(node, &append.stream, append.expected, append.events);
        if fate == Fate::Lose {
            lose(node, &self.caller);
            return false;
        }
        let result = match appended {
            _ if fate == Fate::TimeOut => BatchResult::Error(timeout()),
            Ok(appended) => batch_success(&appended),
            Err(refused) => BatchResult::Error(refusal(refused, append.expected, stream.clone())),
        };
        let answer = BatchAppendResp { correlation_id: id, result: Some(result), stream_identifier: stream };
        send(self.answers.clone(), answer, node.faults.current_delay(), in_flight);
        true
    }

    fn refuse(&self, id: Option<Uuid>, stream: Option<StreamIdentifier>, error: RpcStatus) -> bool {
        let result = Some(BatchResult::Error(error));
        let answer = BatchAppendResp { correlation_id: id, result, stream_identifier: stream };
        self.answers.send(Ok(answer)).is_ok()
    }
}

impl Pending {
    fn add(&mut self, proposed: Vec<super::messages::ProposedMessage>, most: usize) -> Result<(), RpcStatus> {
        for message in proposed {
            let event = new_event(message).map_err(|_| bad_request())?;
            let size = event.size();
            if size > MOST_EVENT_BYTES {
                return Err(failure(Code::InvalidArgument, "MaximumAppendEventSizeExceeded", &Empty {}));
            }
            self.size += size;
            self.events.push(event);
        }
        if self.size > most {
            let detail = MaximumSizeDetail { max_append_size: u32::try_from(most).unwrap_or(u32::MAX) };
            return Err(failure(Code::InvalidArgument, "MaximumAppendSizeExceeded", &detail));
        }
        Ok(())
    }
}

fn send(answers: Answers, answer: BatchAppendResp, delay: Duration, in_flight: InFlight) {
    if delay.is_zero() {
        drop(in_flight);
        // Nobody listens where the client went.
        let _ = answers.send(Ok(answer));
        return;
    }
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        drop(in_flight);
        let _ = answers.send(Ok(answer));
    });
}

fn hang(answers: Answers, in_flight: InFlight) {
    tokio::spawn(async move {
        answers.closed().await;
        drop(in_flight);
    });
}

fn batch_success(appended: &Appended) -> BatchResult {
    BatchResult::Success(success(appended))
}

fn is_over(deadline: Deadline) -> bool {
    match deadline {
        Deadline::In(left) => left.seconds < 0 || (left.seconds == 0 && left.nanos <= 0),
        Deadline::At(time) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(time.seconds).map_or(true, |seconds| seconds < now.as_secs())
        }
    }
}

fn refusal(refused: Refused, expected: Expected, stream: Option<StreamIdentifier>) -> RpcStatus {
    let Refused::WrongVersion { current } = refused else {
        let detail = StreamDeletedDetail { stream_identifier: stream };
        return failure(Code::NotFound, "StreamDeleted", &detail);
    };
    let current = match u64::try_from(current) {
        Ok(revision) => CurrentRevision::Revision(revision),
        Err(_) => CurrentRevision::NoStream(Empty {}),
    };
    let expected = match expected {
        Expected::Any => DetailExpected::Any(Empty {}),
        Expected::StreamExists => DetailExpected::StreamExists(Empty {}),
        Expected::NoStream => DetailExpected::NoStream(Empty {}),
        Expected::Revision(revision) => DetailExpected::Revision(revision),
    };
    let detail = WrongVersionDetail { current: Some(current), expected: Some(expected) };
    failure(Code::AlreadyExists, "WrongExpectedVersion", &detail)
}

fn timeout() -> RpcStatus {
    failure(Code::DeadlineExceeded, "Timeout", &Empty {})
}

fn bad_request() -> RpcStatus {
    failure(Code::InvalidArgument, "BadRequest", &Empty {})
}

/// The message is the name of the detail.
fn failure(code: Code, name: &str, detail: &impl Message) -> RpcStatus {
    let details =
        Any { type_url: format!("type.googleapis.com/event_store.client.{name}"), value: detail.encode_to_vec() };
    RpcStatus { code: code as i32, message: name.to_owned(), details: Some(details) }
}
