//! Reading a server.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use eventlift_events::{
    Capabilities, Census, Event, EventReader, EventStream, Guarantees, LeftOut, Payload, Position, ReadRequest, Scope,
    StoreError, StoreErrorKind, StoreIdentity,
};
use eventstore::{Client, Error, ReadAllOptions, ReadStream, ReadStreamOptions, ResolvedEvent, StreamPosition};
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;

use super::config::{KurrentConfig, Order, StreamMetadata};
use super::connection::connect;
use super::decode::{self, Decoder};
use super::failure::store_error;
use super::filter::{self, exact, of_everything, of_scope, of_stream};
use super::news;
use super::originals::{Originals, carried_as};
use super::seen::{Last, Seen};
use super::truncation::without_revision;

/// How many batches are read ahead.
const READ_AHEAD: usize = 2;

/// So many new events are looked through for the last one, before it is looked for from the end.
const FEW: usize = 200;

/// Reads a KurrentDB server: all of it, a category or types by filters of the server's, a stream by itself.
///
/// A stream that was deleted is empty when it is read by itself; all of the store still has its events until the server is
/// cleaned up. Reads end at the end of the store as it was when they began.
pub struct KurrentReader {
    source: Arc<Source>,
}

struct Source {
    identity: StoreIdentity,
    config: KurrentConfig,
    reading: String,
    client: Client,
    decoder: Decoder,
    seen: Mutex<Seen>,
}

impl KurrentReader {
    /// Opens a server for reading. Fails at once where nobody answers, where the user is not let in, and where one side
    /// encrypts and the other does not.
    pub async fn open(config: KurrentConfig) -> Result<Self, StoreError> {
        let invalid = |problem| {
            StoreError::new(
                "open",
                &config,
                StoreErrorKind::Unexpected(format!("its configuration is wrong: {problem}")),
            )
        };
        let originals = Originals::new(&config.metadata).map_err(invalid)?;
        let reading = carried_as(&config).map_err(invalid)?;
        let client = connect(&config.server, &config).await?;
        let identity = StoreIdentity { display: config.to_string(), key: config.server.key() };
        let carries = config.stream_metadata == Some(StreamMetadata::Carry);
        let decoder = Decoder::new(originals, carries, identity.display.clone());
        let source = Source { identity, config, reading, client, decoder, seen: Mutex::default() };
        Ok(Self { source: Arc::new(source) })
    }
}

/// What a server can do.
pub(super) fn capabilities(order: Option<Order>) -> Capabilities {
    Capabilities {
        transactions: false,
        global_order: order != Some(Order::Stream),
        explicit_positions: false,
        sets_time: false,
        attributes: true,
        exact_data: true,
        exact_metadata: true,
        max_append_bytes: None,
        refuses_taken_ids: false,
        guarantees: Guarantees { unique_ids: false, unique_revisions: true, dense_revisions: false },
    }
}

#[async_trait]
impl EventReader for KurrentReader {
    fn identity(&self) -> &StoreIdentity {
        &self.source.identity
    }

    fn capabilities(&self) -> Capabilities {
        capabilities(self.source.config.order)
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let source = Arc::clone(&self.source);
        Box::pin(async_stream::stream! {
            let (sender, mut receiver) = mpsc::channel(READ_AHEAD);
            // On a task of its own, which reads ahead, and in which the client may panic on what it does not know.
            let reading = tokio::spawn(deliver(Arc::clone(&source), request.clone(), sender));
            while let Some(batch) = receiver.recv().await {
                yield Ok(batch);
            }
            match reading.await {
                Ok(Ok(ended)) => source.completed(&request, ended),
                Ok(Err(error)) => yield Err(error),
                Err(_) => {
                    let problem = "the client's library does not understand what the server sent".to_owned();
                    yield Err(StoreError::new("read", &source.identity, StoreErrorKind::Unexpected(problem))
                        .hint("is the server newer than version 25? please report it, with its version"));
                }
            }
        })
    }

    async fn census(&self, _scope: &Scope, _until: Option<Position>) -> Result<Option<Census>, StoreError> {
        Ok(None)
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.source.head().await
    }

    fn news(&self) -> Option<BoxStream<'static, ()>> {
        Some(news::news(self.source.client.clone()))
    }

    fn reading(&self) -> String {
        self.source.reading.clone()
    }

    fn may_lose_events(&self) -> bool {
        true
    }

    fn seen_through(&self) -> Option<Position> {
        self.source.seen(Seen::through)
    }

    fn compared(&self, events: &mut [Event]) {
        for event in events.iter_mut().filter(|event| event.stream.as_str().starts_with("$$")) {
            if let Some(data) = without_revision(event.data.bytes()) {
                event.data = Payload::new(data, event.data.content_type().clone());
            }
        }
    }

    fn left_out(&self) -> Vec<LeftOut> {
        self.source.decoder.left_out()
    }
}

/// How a read ended: at which end of the store, none where it had none, and with which event.
#[derive(Default)]
struct Ended {
    store: Option<Position>,
    last: Option<Position>,
}

/// Batches on their way to whoever reads.
struct Batches<'a> {
    request: &'a ReadRequest,
    sender: &'a mpsc::Sender<Vec<Event>>,
    batch: Vec<Event>,
    bytes: usize,
    last: Option<Position>,
}

impl Batches<'_> {
    async fn push(&mut self, event: Event) {
        self.bytes += event.size();
        self.last = Some(event.position);
        self.batch.push(event);
        if self.batch.len() >= self.request.batch_events.get() || self.bytes >= self.request.batch_bytes.get() {
            self.flush().await;
        }
    }

    async fn flush(&mut self) {
        self.bytes = 0;
        if !self.batch.is_empty() {
            // Where nobody takes it any more, the whole read is dropped.
            let _ = self.sender.send(std::mem::take(&mut self.batch)).await;
        }
    }
}

/// Reads until the end, or until nobody listens any more.
async fn deliver(
    source: Arc<Source>,
    request: ReadRequest,
    sender: mpsc::Sender<Vec<Event>>,
) -> Result<Ended, StoreError> {
    let read = async {
        let mut batches = Batches { request: &request, sender: &sender, batch: Vec::new(), bytes: 0, last: None };
        let read = source.read(&request, &mut batches).await;
        batches.flush().await;
        read.map(|store| Ended { store, last: batches.last })
    };
    tokio::select! {
        () = sender.closed() => Ok(Ended::default()),
        ended = read => ended,
    }
}

impl Source {
    /// Reads what is asked for, and says where the store ended, if all of it was read to its end.
    async fn read(&self, request: &ReadRequest, batches: &mut Batches<'_>) -> Result<Option<Position>, StoreError> {
        let Scope::Stream(stream) = &request.scope else {
            return self
                .read_all(of_scope(&request.scope, &request.needed, self.decoder.originals()), request, batches)
                .await;
        };
        if let Some(subject) = self.decoder.tombstone_of(stream.as_str()) {
            return self.read_all(of_stream(subject), request, batches).await;
        }
        if self.decoder.reads(stream.as_str()) {
            self.read_stream(stream.as_str(), request, batches).await?;
        }
        Ok(None)
    }

    async fn read_all(
        &self,
        filter: eventstore::SubscriptionFilter,
        request: &ReadRequest,
        batches: &mut Batches<'_>,
    ) -> Result<Option<Position>, StoreError> {
        let until = match request.until {
            // Of a single number, everything with that commit.
            Some(until) => Position::pair(until.major(), until.minor().unwrap_or(u64::MAX)),
            None => match self.end().await? {
                Some(end) => end,
                None => return Ok(None),
            },
        };
        let after = request.after.map(exact);
        let Some(start) = filter::start(request.after).filter(|_| after < Some(until)) else { return Ok(Some(until)) };
        let options = ReadAllOptions::default().position(start).filter(filter);
        let mut reached = after;
        let read = self.client.read_all(&options).await;
        let mut events = read.map_err(|error| self.failed(error, reached))?;
        while let Some(found) = next(&mut events).await.map_err(|error| self.failed(error, reached))? {
            let Some(position) = position(&found) else { continue };
            // The server yields what is at the place where it starts as well.
            if after >= Some(position) {
                continue;
            }
            if position > until {
                break;
            }
            reached = Some(position);
            if let Some(event) = self.decoder.take(found, &request.scope)? {
                batches.push(event).await;
            }
        }
        Ok(Some(until))
    }

    async fn read_stream(
        &self,
        stream: &str,
        request: &ReadRequest,
        batches: &mut Batches<'_>,
    ) -> Result<(), StoreError> {
        let after = request.after.map(exact);
        let Some((last, last_position)) = self.edge(stream, StreamPosition::End).await? else { return Ok(()) };
        let first = match after {
            None => 0,
            Some(after) if last_position <= after => return Ok(()),
            Some(after) => self.first_behind(stream, after, last).await?,
        };
        let until = request.until.map(|until| Position::pair(until.major(), until.minor().unwrap_or(u64::MAX)));
        let options = ReadStreamOptions::default().position(StreamPosition::Position(first));
        let Some(mut events) = self.stream_events(stream, &options).await? else { return Ok(()) };
        while let Some(found) = self.next_of_stream(stream, &mut events).await? {
            let Some((revision, position)) = place(&found) else { continue };
            if revision > last || until.is_some_and(|until| position > until) {
                break;
            }
            if after >= Some(position) {
                continue;
            }
            if let Some(event) = self.decoder.take(found, &request.scope)? {
                batches.push(event).await;
            }
        }
        Ok(())
    }

    /// The revision at which to start so that everything behind a position is read: some event up to `last` is.
    async fn first_behind(&self, stream: &str, after: Position, last: u64) -> Result<u64, StoreError> {
        let (mut low, mut high) = (0, last);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.edge(stream, StreamPosition::Position(middle)).await? {
                Some((revision, position)) if position <= after => low = revision.saturating_add(1),
                Some(_) | None => high = middle,
            }
        }
        Ok(low)
    }

    /// Revision and position of the last event of a stream, or of the first one from a revision on.
    async fn edge(&self, stream: &str, at: StreamPosition<u64>) -> Result<Option<(u64, Position)>, StoreError> {
        let options = ReadStreamOptions::default().position(at).max_count(1);
        let Some(mut events) = self.stream_events(stream, &options).await? else { return Ok(None) };
        let Some(found) = self.next_of_stream(stream, &mut events).await? else { return Ok(None) };
        let Some((revision, position)) = place(&found) else { return Ok(None) };
        if position.major() == u64::MAX {
            let problem = "the server does not say where in the store the events of a stream are".to_owned();
            return Err(StoreError::new("read", &self.identity, StoreErrorKind::Unsupported(problem))
                .at(format_args!("stream {stream}"))
                .hint("EventStoreDB 22.10, KurrentDB or newer; or read all of the store"));
        }
        Ok(Some((revision, position)))
    }

    /// A stream's events; none where it is deleted, or was never there.
    async fn stream_events(&self, stream: &str, options: &ReadStreamOptions) -> Result<Option<ReadStream>, StoreError> {
        match self.client.read_stream(stream, options).await {
            Ok(events) => Ok(Some(events)),
            Err(Error::ResourceNotFound | Error::ResourceDeleted) => Ok(None),
            Err(error) => Err(store_error("read", &self.identity, error).at(format_args!("stream {stream}"))),
        }
    }

    async fn next_of_stream(&self, stream: &str, events: &mut ReadStream) -> Result<Option<ResolvedEvent>, StoreError> {
        match next(events).await {
            Ok(found) => Ok(found),
            Err(Error::ResourceNotFound | Error::ResourceDeleted) => Ok(None),
            Err(error) => Err(store_error("read", &self.identity, error).at(format_args!("stream {stream}"))),
        }
    }

    /// The position of the last event of all, whosever it is.
    async fn end(&self) -> Result<Option<Position>, StoreError> {
        let options = ReadAllOptions::default().position(StreamPosition::End).max_count(1);
        let read = self.client.read_all(&options).await;
        let mut events = read.map_err(|error| self.failed(error, None))?;
        let found = next(&mut events).await.map_err(|error| self.failed(error, None))?;
        Ok(found.as_ref().and_then(position))
    }

    /// The last event of ours. Only what came since it was looked up before is looked through, if that is little.
    async fn head(&self) -> Result<Option<Position>, StoreError> {
        let Some(end) = self.end().await? else { return Ok(None) };
        let known = self.seen(|seen| seen.last());
        let newer = match known {
            Some(known) if known.through >= end => return Ok(known.event),
            Some(known) => self.last_behind(known, end).await?,
            None => None,
        };
        let last = match newer {
            Some(last) => last,
            None => self.last_before(end).await?,
        };
        self.seen(|seen| seen.found(Last { event: last, through: end }));
        Ok(last)
    }

    /// The last event of ours up to `end`, looked for from what is known; none where there are too many.
    async fn last_behind(&self, known: Last, end: Position) -> Result<Option<Option<Position>>, StoreError> {
        let Some(start) = filter::start(Some(known.through)) else { return Ok(Some(known.event)) };
        let mut last = known.event;
        let mut events = self.everything(ReadAllOptions::default().position(start)).await?;
        let mut looked_at = 0;
        while let Some((position, is_ours)) = self.next_place(&mut events).await? {
            if position > end {
                break;
            }
            if position <= known.through {
                continue;
            }
            looked_at += 1;
            if looked_at > FEW {
                return Ok(None);
            }
            if is_ours {
                last = Some(position);
            }
        }
        Ok(Some(last))
    }

    /// The last event of ours up to `end`, looked for from the end.
    async fn last_before(&self, end: Position) -> Result<Option<Position>, StoreError> {
        let mut events = self.everything(ReadAllOptions::default().position(StreamPosition::End)).await?;
        while let Some((position, is_ours)) = self.next_place(&mut events).await? {
            if is_ours && position <= end {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    async fn everything(&self, options: ReadAllOptions) -> Result<ReadStream, StoreError> {
        let options = options.filter(of_everything());
        self.client.read_all(&options).await.map_err(|error| self.failed(error, None))
    }

    /// Where the next event is, and whether reads yield it. It is not counted.
    async fn next_place(&self, events: &mut ReadStream) -> Result<Option<(Position, bool)>, StoreError> {
        loop {
            let Some(found) = next(events).await.map_err(|error| self.failed(error, None))? else { return Ok(None) };
            if let Some(position) = position(&found) {
                return Ok(Some((position, self.decoder.yields(&found))));
            }
        }
    }

    /// A read came to its end, and all of it was taken.
    fn completed(&self, request: &ReadRequest, ended: Ended) {
        let is_everything = request.scope == Scope::All && request.until.is_none() && request.needed.types.is_none();
        if let (Some(end), true) = (ended.store, is_everything) {
            self.seen(|seen| seen.completed(request.after.map(exact), ended.last, end));
        }
    }

    fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn failed(&self, error: Error, reached: Option<Position>) -> StoreError {
        let failed = store_error("read", &self.identity, error);
        match reached {
            Some(position) => failed.at(format_args!("what follows position {position}")),
            None => failed,
        }
    }
}

async fn next(events: &mut ReadStream) -> Result<Option<ResolvedEvent>, Error> {
    events.next().await
}

/// Where in `$all` it is; none of what has neither event nor link.
fn position(found: &ResolvedEvent) -> Option<Position> {
    found.link.as_ref().or(found.event.as_ref()).map(decode::position)
}

fn place(found: &ResolvedEvent) -> Option<(u64, Position)> {
    found.link.as_ref().or(found.event.as_ref()).map(|recorded| (recorded.revision, decode::position(recorded)))
}
