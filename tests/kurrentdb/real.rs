//! The suite that every store must pass against a server of `EVENTLIFT_TEST_KURRENTDB`, which may be in use: each check has
//! streams of its own, told from the others by what their categories end with. What is written stays on the server.

use std::sync::Arc;

use async_trait::async_trait;
use eventlift::events::conformance::{StoreUnderTest, checks};
use eventlift::events::{
    ByteString, Bytes, Capabilities, Census, Checkpoint, CheckpointStore, Event, EventReader, EventStream, EventWriter,
    LateEvents, LatePosition, NoteChange, Position, PositionRange, Progress, ReadRequest, Revision, RunId, RunRecord,
    Scope, StateKey, StoreError, StoreErrorKind, StoreIdentity, StreamName,
};
use eventlift::stores::kurrentdb::{KurrentConfig, KurrentReader, KurrentWriter, Order};
use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::server::{Expected, KurrentServer, NewEvent, ServerOptions};

/// The part of a server that belongs to one check.
struct Part {
    url: String,
    mark: Mark,
    folder: TempDir,
    reader: OnceCell<Arc<KurrentReader>>,
}

/// What the categories of a part's streams end with.
#[derive(Clone)]
struct Mark(String);

impl Mark {
    fn put(&self, stream: &StreamName) -> StreamName {
        let name = stream.as_str();
        let (category, rest) = name.split_at(name.find('-').unwrap_or(name.len()));
        StreamName::new(format!("{category}{}{rest}", self.0)).unwrap()
    }

    fn take(&self, stream: &StreamName) -> Option<StreamName> {
        let name = stream.as_str();
        let (category, rest) = name.split_at(name.find('-').unwrap_or(name.len()));
        StreamName::new(format!("{}{rest}", category.strip_suffix(&self.0)?)).ok()
    }

    fn scope(&self, scope: &Scope) -> Scope {
        match scope {
            Scope::Category(category) => Scope::Category(format!("{category}{}", self.0)),
            Scope::Stream(stream) => Scope::Stream(self.put(stream)),
            other => other.clone(),
        }
    }

    fn taken_from(&self, error: StoreError) -> StoreError {
        let kind = match error.kind {
            StoreErrorKind::RevisionConflict { stream, revision, id, found } => {
                let stream = self.take(&stream).unwrap_or(stream);
                StoreErrorKind::RevisionConflict { stream, revision, id, found }
            }
            kind => kind,
        };
        StoreError { kind, ..error }
    }
}

impl Part {
    fn of(url: String) -> Self {
        let mark = Mark(format!("x{}", Uuid::new_v4().simple()));
        Self { url, mark, folder: tempfile::tempdir().unwrap(), reader: OnceCell::new() }
    }

    fn from_environment() -> Self {
        let url = std::env::var("EVENTLIFT_TEST_KURRENTDB");
        Self::of(url.expect("EVENTLIFT_TEST_KURRENTDB has the URL of a server"))
    }

    fn config(&self) -> KurrentConfig {
        let ledger = self.folder.path().join("ledger");
        KurrentConfig { order: Some(Order::Stream), ..KurrentConfig::new(self.url.clone(), ledger) }
    }

    async fn open(&self) -> Result<MarkedReader, StoreError> {
        let open = async || KurrentReader::open(self.config()).await.map(Arc::new);
        let reader = Arc::clone(self.reader.get_or_try_init(open).await?);
        Ok(MarkedReader { reader, mark: self.mark.clone() })
    }
}

#[async_trait]
impl StoreUnderTest for Part {
    async fn writer(&self) -> Result<Box<dyn EventWriter>, StoreError> {
        let writer = KurrentWriter::open(self.config()).await?;
        Ok(Box::new(MarkedWriter { writer, reader: self.open().await? }))
    }

    async fn reader(&self) -> Result<Box<dyn EventReader>, StoreError> {
        Ok(Box::new(self.open().await?))
    }
}

struct MarkedReader {
    reader: Arc<KurrentReader>,
    mark: Mark,
}

impl MarkedReader {
    async fn last(&self) -> Result<Option<Position>, StoreError> {
        let mut batches = self.read(ReadRequest::new(Scope::All));
        let mut last = None;
        while let Some(batch) = batches.next().await {
            last = batch?.last().map(|event| event.position);
        }
        Ok(last)
    }
}

#[async_trait]
impl EventReader for MarkedReader {
    fn identity(&self) -> &StoreIdentity {
        self.reader.identity()
    }

    fn capabilities(&self) -> Capabilities {
        self.reader.capabilities()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let mark = self.mark.clone();
        let request = ReadRequest { scope: mark.scope(&request.scope), ..request };
        let batches = self.reader.read(request).filter_map(move |batch| {
            let batch = batch.map(|events| {
                let unmarked = |event: Event| Some(Event { stream: mark.take(&event.stream)?, ..event });
                events.into_iter().filter_map(unmarked).collect::<Vec<_>>()
            });
            std::future::ready((!batch.as_ref().is_ok_and(Vec::is_empty)).then_some(batch))
        });
        batches.boxed()
    }

    async fn census(&self, _scope: &Scope, _until: Option<Position>) -> Result<Option<Census>, StoreError> {
        Ok(None)
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.last().await
    }

    fn reading(&self) -> String {
        self.reader.reading()
    }
}

struct MarkedWriter {
    writer: KurrentWriter,
    reader: MarkedReader,
}

#[async_trait]
impl EventWriter for MarkedWriter {
    fn identity(&self) -> &StoreIdentity {
        self.writer.identity()
    }

    fn capabilities(&self) -> Capabilities {
        self.writer.capabilities()
    }

    fn writing(&self) -> String {
        self.writer.writing()
    }

    async fn append(&mut self, events: &[Event], progress: Option<&Progress>) -> Result<(), StoreError> {
        let mark = &self.reader.mark;
        let marked = |event: &Event| Event { stream: mark.put(&event.stream), ..event.clone() };
        let events: Vec<Event> = events.iter().map(marked).collect();
        let appended = self.writer.append(&events, progress).await;
        appended.map_err(|error| mark.taken_from(error))
    }

    async fn seal(&mut self, dense: bool) -> Result<(), StoreError> {
        self.writer.seal(dense).await
    }

    async fn heads(&self, streams: &[StreamName]) -> Result<Vec<Option<Revision>>, StoreError> {
        let streams: Vec<StreamName> = streams.iter().map(|stream| self.reader.mark.put(stream)).collect();
        self.writer.heads(&streams).await
    }

    async fn withdraw(&mut self, from: &[(StreamName, Revision)], progress: &Progress) -> Result<(), StoreError> {
        self.writer.withdraw(from, progress).await
    }

    async fn erase(&mut self, after: Option<Position>, run: &RunRecord) -> Result<(), StoreError> {
        self.writer.erase(after, run).await
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.reader.last().await?.is_none())
    }

    async fn last_position(&self) -> Result<Option<Position>, StoreError> {
        self.reader.last().await
    }
}

#[async_trait]
impl CheckpointStore for MarkedWriter {
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        self.writer.runs().await
    }

    async fn record_run(&mut self, run: &RunRecord) -> Result<(), StoreError> {
        self.writer.record_run(run).await
    }

    async fn checkpoint(&self, run: RunId) -> Result<Option<Checkpoint>, StoreError> {
        self.writer.checkpoint(run).await
    }

    async fn state(&self, run: RunId, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.writer.state(run, keys).await
    }

    async fn positions(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<PositionRange>, StoreError> {
        self.writer.positions(run, after, limit).await
    }

    async fn position_at(&self, run: RunId, source: Position) -> Result<Option<PositionRange>, StoreError> {
        self.writer.position_at(run, source).await
    }

    async fn late_of(&self, run: RunId, source: Position) -> Result<Vec<LatePosition>, StoreError> {
        self.writer.late_of(run, source).await
    }

    async fn late_at(&self, run: RunId, target: Position) -> Result<Option<LateEvents>, StoreError> {
        self.writer.late_at(run, target).await
    }

    async fn notes(
        &self,
        run: RunId,
        book: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>, StoreError> {
        self.writer.notes(run, book, after, limit).await
    }

    async fn write_notes(&mut self, run: RunId, changes: &[NoteChange]) -> Result<(), StoreError> {
        self.writer.write_notes(run, changes).await
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

mod suite {
    eventlift::events::conformance_tests!(
        store: super::Part::from_environment(),
        block_on: super::block_on,
        ignore: "needs a KurrentDB server: EVENTLIFT_TEST_KURRENTDB",
    );
}

/// That checks can share a server which is in use is tried on the one that stands for it.
#[test]
fn a_server_in_use_can_be_tested() {
    let server = KurrentServer::start(ServerOptions { noise_every: 3, ..ServerOptions::default() });
    for number in 0..20 {
        let event = NewEvent::json("A", "{}");
        server.database().append(&format!("order-{number}"), Expected::NoStream, vec![event]).unwrap();
    }
    block_on(async {
        let part = || Part::of(server.url());
        checks::every_field_comes_back(&part()).await.unwrap();
        checks::scopes_select_exactly(&part()).await.unwrap();
        checks::a_missing_revision_is_a_conflict(&part()).await.unwrap();
        checks::a_refused_append_leaves_nothing(&part()).await.unwrap();
        checks::heads_are_the_last_revisions(&part()).await.unwrap();
        checks::a_loading_store_tells_its_end(&part()).await.unwrap();
    });
}
