//! Reads of streams and of `$all`, forwards and backwards.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::connections::ConnectionId;
use super::counters::add;
use super::database::{LogPosition, Readable, Record};
use super::exceptions::{invalid_position, stream_deleted};
use super::faults::ReadFate;
use super::filter::Filter;
use super::messages::{
    AllOption, CountOption, Empty, EventPosition, FilterOption, ReadContent, ReadEvent, ReadOptions, ReadReq, ReadResp,
    RecordedEvent, RevisionOption, StreamIdentifier, StreamNotFound, StreamOption, Uuid, UuidForm,
};
use super::service::Node;
use super::subscribe::{subscribe_to_all, subscribe_to_stream};

/// How many events one look into the log takes.
const PAGE: usize = 256;
/// How many events the real server takes at once: an empty first page tells where the stream begins.
const SERVER_PAGE: u64 = 32;
const BACKWARDS: i32 = 1;

/// The rest of a call is not sent: its client is gone, or a fault ended it.
pub(super) struct Over;

pub(super) async fn read(
    node: Arc<Node>,
    request: Request<ReadReq>,
) -> Result<Response<ReceiverStream<Result<ReadResp, Status>>>, Status> {
    let caller = node.admit(&request)?;
    let options = request.into_inner().options.ok_or_else(|| Status::unknown("Exception was thrown by handler."))?;
    if options.uuid_option.is_none() {
        return Err(Status::invalid_argument("'uuidOption' is a required argument of type UUIDOption"));
    }
    node.allow_read(&caller, &name(&options)?)?;
    let filter = match &options.filter_option {
        Some(FilterOption::Filter(filter)) => Some(Filter::read(filter)?),
        _ => None,
    };
    if filter.is_some() && matches!(options.stream_option, Some(StreamOption::Stream(_))) {
        return Err(Status::invalid_argument("The combination of (Stream, Filter) is invalid."));
    }
    add(&node.counters.reads, 1);
    let fate = node.faults.next_read();
    let (answers, receiver) = channel(64);
    let outlet = Outlet::new(Arc::clone(&node), answers, &options, fate, caller.connection);
    tokio::spawn(async move {
        tokio::time::sleep(node.faults.current_delay()).await;
        serve(outlet, &options, filter).await;
    });
    Ok(Response::new(ReceiverStream::new(receiver)))
}

async fn serve(mut outlet: Outlet, options: &ReadOptions, filter: Option<Filter>) {
    let is_subscription = matches!(options.count_option, Some(CountOption::Subscription(_)));
    let served = match (&options.stream_option, is_subscription) {
        (Some(StreamOption::All(_)), true) => subscribe_to_all(&mut outlet, options, filter).await,
        (Some(StreamOption::Stream(_)), true) => subscribe_to_stream(&mut outlet, options).await,
        (Some(StreamOption::All(_)), false) => read_all(&mut outlet, options, filter).await,
        _ => read_stream(&mut outlet, options).await,
    };
    // Whatever ended it early has been told, or there is nobody to tell.
    let _ = served;
}

/// The stream that is read, or `$all`.
pub(super) fn name(options: &ReadOptions) -> Result<String, Status> {
    match &options.stream_option {
        Some(StreamOption::All(_)) => Ok("$all".to_owned()),
        Some(StreamOption::Stream(stream)) => {
            let name = stream.stream_identifier.as_ref().map(StreamIdentifier::name).filter(|name| !name.is_empty());
            name.ok_or_else(|| Status::unknown("Exception was thrown by handler."))
        }
        None => Err(Status::invalid_argument("'None' is not a valid StreamOptionOneofCase")),
    }
}

/// Where `$all` is read from; nothing: its start.
pub(super) fn log_position(options: &ReadOptions) -> Option<LogPosition> {
    let Some(StreamOption::All(all)) = &options.stream_option else { return None };
    match all.all_option {
        Some(AllOption::Position(position)) => {
            Some(LogPosition { commit: position.commit_position, prepare: position.prepare_position })
        }
        Some(AllOption::End(_)) => Some(LogPosition::END),
        Some(AllOption::Start(_)) | None => None,
    }
}

/// Where a stream is read from; nothing: its start.
pub(super) fn revision(options: &ReadOptions) -> Option<i64> {
    let Some(StreamOption::Stream(stream)) = &options.stream_option else { return None };
    match stream.revision_option {
        Some(RevisionOption::Revision(revision)) => Some(i64::try_from(revision).unwrap_or(i64::MAX)),
        Some(RevisionOption::End(_)) => Some(i64::MAX),
        Some(RevisionOption::Start(_)) | None => None,
    }
}

fn count(options: &ReadOptions) -> u64 {
    match options.count_option {
        Some(CountOption::Count(count)) => count,
        _ => u64::MAX,
    }
}

async fn read_all(outlet: &mut Outlet, options: &ReadOptions, filter: Option<Filter>) -> Result<(), Over> {
    let is_backwards = options.read_direction == BACKWARDS;
    let mut from = log_position(options).unwrap_or(LogPosition::START);
    if outlet.node.database.is_within_a_record(from) {
        return outlet.fail(invalid_position()).await;
    }
    let mut left = count(options);
    while left > 0 {
        let page = match is_backwards {
            true => outlet.node.database.all_backwards(from, PAGE),
            false => outlet.node.database.all_forwards(from, PAGE),
        };
        let Some(last) = page.last() else { return Ok(()) };
        from = if is_backwards { before(last) } else { behind(last) };
        for record in page.iter().filter(|record| filter.as_ref().is_none_or(|filter| filter.allows(record))) {
            outlet.event(record, true).await?;
            left -= 1;
            if left == 0 {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Where the server goes on behind an event: its second half says how far it got within a transaction.
pub(super) fn behind(record: &Record) -> LogPosition {
    match record.is_self_committed() {
        true => LogPosition { commit: record.behind.commit, prepare: 0 },
        false => LogPosition { commit: record.position.commit, prepare: record.behind.prepare },
    }
}

fn before(record: &Record) -> LogPosition {
    match record.is_self_committed() {
        true => record.position,
        false => LogPosition { commit: record.behind.commit, prepare: record.position.prepare },
    }
}

async fn read_stream(outlet: &mut Outlet, options: &ReadOptions) -> Result<(), Over> {
    let Ok(stream) = name(options) else { return Err(Over) };
    let is_backwards = options.read_direction == BACKWARDS;
    let tells_ends = options.control_option.as_ref().is_some_and(|control| control.compatibility >= 1);
    let (first, last) = match outlet.node.database.readable(&stream) {
        Readable::Deleted => return outlet.fail(stream_deleted(&stream)).await,
        Readable::NoStream => {
            let missing = StreamNotFound { stream_identifier: Some(StreamIdentifier::of(&stream)) };
            return outlet.send(ReadContent::StreamNotFound(missing)).await;
        }
        Readable::Revisions { first, last } => (first, last),
    };
    let mut from = revision(options).unwrap_or(0);
    let mut left = count(options);
    if !is_backwards && tells_ends {
        let page_end = from.saturating_add_unsigned(left.min(SERVER_PAGE)).saturating_sub(1);
        let begins = if page_end < first { first } else { from.min(last + 1) };
        if begins != from {
            outlet.send(ReadContent::FirstStreamPosition(begins.cast_unsigned())).await?;
        }
    }
    while left > 0 {
        let page = match is_backwards {
            true => outlet.node.database.stream_backwards(&stream, from, PAGE),
            false => outlet.node.database.stream_forwards(&stream, from, PAGE),
        };
        let Some(reached) = page.last().map(|record| record.revision) else { break };
        for record in &page {
            outlet.event(record, false).await?;
            left -= 1;
            if left == 0 {
                break;
            }
        }
        from = if is_backwards { reached - 1 } else { reached + 1 };
    }
    if tells_ends {
        outlet.send(ReadContent::LastStreamPosition(last.cast_unsigned())).await?;
    }
    Ok(())
}

/// Where the answers of one read go, as its reader wants them and as its fate has them.
pub(super) struct Outlet {
    pub(super) node: Arc<Node>,
    answers: Sender<Result<ReadResp, Status>>,
    resolves_links: bool,
    ids_as_text: bool,
    fate: ReadFate,
    connection: Option<ConnectionId>,
    sent: u64,
}

impl Outlet {
    fn new(
        node: Arc<Node>,
        answers: Sender<Result<ReadResp, Status>>,
        options: &ReadOptions,
        fate: ReadFate,
        connection: Option<ConnectionId>,
    ) -> Self {
        let form = options.uuid_option.as_ref().and_then(|option| option.content.as_ref());
        let ids_as_text = matches!(form, Some(UuidForm::String(_)));
        Self { node, answers, resolves_links: options.resolve_links, ids_as_text, fate, connection, sent: 0 }
    }

    pub(super) async fn send(&mut self, content: ReadContent) -> Result<(), Over> {
        self.meet_fate().await?;
        self.answers.send(Ok(ReadResp { content: Some(content) })).await.map_err(|_| Over)
    }

    /// Ends the call with an error.
    pub(super) async fn fail(&mut self, status: Status) -> Result<(), Over> {
        let _ = self.answers.send(Err(status)).await;
        Err(Over)
    }

    /// Waits until the client is gone.
    pub(super) async fn closed(&self) {
        self.answers.closed().await;
    }

    /// An event, of `$all` or of its stream.
    pub(super) async fn event(&mut self, record: &Record, is_all: bool) -> Result<(), Over> {
        self.meet_fate().await?;
        let event = self.read_event(record, is_all);
        add(&self.node.counters.sent_bytes, record.data.len() + record.metadata.len());
        self.node.counters.sent_events.fetch_add(1, Ordering::SeqCst);
        self.sent += 1;
        let answer = ReadResp { content: Some(ReadContent::Event(event)) };
        self.answers.send(Ok(answer)).await.map_err(|_| Over)?;
        // Its end comes behind the last event, not before a next one that may never come.
        self.meet_fate().await
    }

    async fn meet_fate(&mut self) -> Result<(), Over> {
        match self.fate {
            ReadFate::FailAfter(events) if self.sent >= events => {
                self.fail(Status::unavailable("Server Is Not Ready")).await
            }
            ReadFate::BreakAfter(events) if self.sent >= events => {
                if let Some(connection) = self.connection {
                    self.node.connections.break_one(connection);
                }
                Err(Over)
            }
            ReadFate::HangAfter(events) if self.sent >= events => {
                self.closed().await;
                Err(Over)
            }
            _ => Ok(()),
        }
    }

    fn read_event(&self, record: &Record, is_all: bool) -> ReadEvent {
        let position = if is_all { Some(record.position) } else { own_position(record) };
        let recorded = self.recorded(record, position);
        let position = match position {
            Some(position) => EventPosition::CommitPosition(position.commit),
            None => EventPosition::NoPosition(Empty {}),
        };
        if !self.resolves_links || &*record.event_type != "$>" {
            return ReadEvent { event: Some(recorded), link: None, position: Some(position) };
        }
        let target = self.target(record);
        let event = target.map(|target| self.recorded(&target, own_position(&target)));
        ReadEvent { event, link: Some(recorded), position: Some(position) }
    }

    /// What a link's `revision@stream` names, where it may still be read.
    fn target(&self, link: &Record) -> Option<Arc<Record>> {
        let text = std::str::from_utf8(&link.data).ok()?;
        let (revision, stream) = text.split_once('@')?;
        let revision: i64 = revision.parse().ok()?;
        let found = self.node.database.stream_forwards(stream, revision, 1).pop()?;
        (found.revision == revision).then_some(found)
    }

    fn recorded(&self, record: &Record, position: Option<LogPosition>) -> RecordedEvent {
        let id = if self.ids_as_text { Uuid::text(record.id) } else { Uuid::structured(record.id) };
        let content_type = if record.is_json { "application/json" } else { "application/octet-stream" };
        let metadata = HashMap::from([
            ("type".to_owned(), record.event_type.to_string()),
            ("created".to_owned(), record.created_ticks.to_string()),
            ("content-type".to_owned(), content_type.to_owned()),
        ]);
        let position = position.unwrap_or(LogPosition::END);
        RecordedEvent {
            id: Some(id),
            stream_identifier: Some(StreamIdentifier::of(&record.stream)),
            stream_revision: record.revision.cast_unsigned(),
            prepare_position: position.prepare,
            commit_position: position.commit,
            metadata,
            custom_metadata: record.metadata.clone(),
            data: record.data.clone(),
        }
    }
}

/// Outside `$all`, the server knows only where events are that committed themselves.
fn own_position(record: &Record) -> Option<LogPosition> {
    record.is_self_committed().then_some(record.position)
}
