//! A store in which several streams have events of one id, read so that each event has an id of its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use eventlift_events::{
    Capabilities, Census, Event, EventId, EventReader, EventStream, LeftOut, Needed, NeededPart, Position, ReadRequest,
    Scope, StoreError, StoreErrorKind, StoreIdentity,
};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use rusqlite::{Connection, params};
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_128;

use crate::ledger::temporary_database;

/// Where the ids of a source are unique.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ids {
    /// In the whole of it.
    #[default]
    Unique,
    /// In each stream. An event that has the id of an earlier one of another stream gets an id of its own.
    PerStream,
}

/// Reads a store whose ids are unique in each stream only. The first event of an id, in the order of the store, keeps it;
/// one of another stream gets [`EventId::in_stream`], the same on every run. Two events of one stream with one id stay two
/// with one id, which is a contradiction.
///
/// All ids are kept in a temporary database, so that memory is bounded. A read that does not begin at the start goes over
/// what comes before it first, once.
pub struct DistinctIds {
    inner: Arc<dyn EventReader>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// None: nothing was read yet.
    seen: Mutex<Option<Seen>>,
    has_given: AtomicBool,
}

/// The first event of each id, up to a position.
struct Seen {
    connection: Connection,
    through: Option<Position>,
}

impl DistinctIds {
    /// The store itself where its ids are unique, or its constraints make certain that they are.
    pub fn over(inner: Arc<dyn EventReader>, ids: Ids) -> Arc<dyn EventReader> {
        match ids {
            Ids::PerStream if !inner.capabilities().guarantees.unique_ids => {
                Arc::new(Self { inner, shared: Arc::default() })
            }
            _ => inner,
        }
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the ids of events that stand behind all that was noted, or among it; gives anew those that are taken.
    fn take(&self, events: &mut [Event], gives: bool) -> rusqlite::Result<()> {
        let mut guard = self.seen();
        let seen = match guard.as_mut() {
            Some(seen) => seen,
            None => guard.insert(Seen::new()?),
        };
        let Seen { connection, through } = seen;
        let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO seen VALUES (?1, ?2, ?3)")?;
        let mut find = connection.prepare_cached("SELECT stream, place FROM seen WHERE id = ?1")?;
        for event in events {
            let id = id_key(&event.id);
            let stream = xxh3_128(event.stream.as_str().as_bytes()).to_be_bytes();
            let place = place(event.position);
            if insert.execute(params![id, stream, place])? == 0 {
                let (first_stream, first): ([u8; 16], [u8; 16]) =
                    find.query_row(params![id], |row| Ok((row.get(0)?, row.get(1)?)))?;
                if gives && first < place && first_stream != stream {
                    event.id = event.id.in_stream(&event.stream);
                    self.has_given.store(true, Ordering::Relaxed);
                }
            }
            *through = (*through).max(Some(event.position));
        }
        Ok(())
    }

    fn through(&self) -> Option<Position> {
        self.seen().as_ref().and_then(|seen| seen.through)
    }

    /// Notes the ids of everything up to a position; of the whole store where it is none.
    async fn note_up_to(&self, inner: &dyn EventReader, until: Option<Position>) -> Result<(), StoreError> {
        let through = self.through();
        if until.is_some() && through >= until {
            return Ok(());
        }
        let nothing = || NeededPart::Keys(Default::default());
        let needed = Needed { data: nothing(), metadata: nothing(), attributes: false, ..Needed::ALL };
        let mut batches = inner.read(ReadRequest::new(Scope::All).after(through).until(until).needing(needed));
        while let Some(batch) = batches.next().await {
            self.take(&mut batch?, false).map_err(|error| failed(inner, error))?;
        }
        Ok(())
    }
}

impl Seen {
    fn new() -> rusqlite::Result<Self> {
        let connection = temporary_database()?;
        connection.execute_batch(
            "CREATE TABLE seen (id BLOB PRIMARY KEY, stream BLOB NOT NULL, place BLOB NOT NULL) WITHOUT ROWID; BEGIN",
        )?;
        Ok(Self { connection, through: None })
    }
}

fn id_key(id: &EventId) -> [u8; 16] {
    match id.as_uuid() {
        Some(uuid) => *uuid.as_bytes(),
        None => xxh3_128(id.to_string().as_bytes()).to_be_bytes(),
    }
}

/// A position as bytes in the same order.
fn place(position: Position) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&position.major().to_be_bytes());
    bytes[8..].copy_from_slice(&position.minor().unwrap_or(0).to_be_bytes());
    bytes
}

fn failed(inner: &dyn EventReader, error: rusqlite::Error) -> StoreError {
    StoreError::new("tell the ids apart of", inner.identity(), StoreErrorKind::Backend(Box::new(error)))
        .hint("they are kept in temporary files; TMPDIR says where")
}

#[async_trait]
impl EventReader for DistinctIds {
    fn identity(&self) -> &StoreIdentity {
        self.inner.identity()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let (inner, shared) = (Arc::clone(&self.inner), Arc::clone(&self.shared));
        // Such a read notes what it passes, so that the store is read once only.
        let notes_all = request.scope == Scope::All && request.after.is_none() && request.needed.types.is_none();
        Box::pin(async_stream::stream! {
            if !notes_all && let Err(error) = shared.note_up_to(&*inner, request.until).await {
                yield Err(error);
                return;
            }
            let mut batches = inner.read(request);
            while let Some(batch) = batches.next().await {
                let mut events = match batch {
                    Ok(events) => events,
                    Err(error) => {
                        yield Err(error);
                        return;
                    }
                };
                if !notes_all {
                    // Some may have come since they were noted.
                    let last = events.last().map(|event| event.position);
                    if let Err(error) = shared.note_up_to(&*inner, last).await {
                        yield Err(error);
                        return;
                    }
                }
                if let Err(error) = shared.take(&mut events, true) {
                    yield Err(failed(&*inner, error));
                    return;
                }
                yield Ok(events);
            }
        })
    }

    async fn census(&self, scope: &Scope, until: Option<Position>) -> Result<Option<Census>, StoreError> {
        self.inner.census(scope, until).await
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.inner.head().await
    }

    fn news(&self) -> Option<BoxStream<'static, ()>> {
        self.inner.news()
    }

    fn reading(&self) -> String {
        let inner = self.inner.reading();
        let separator = if inner.is_empty() { "" } else { ", " };
        format!("{inner}{separator}ids unique per stream")
    }

    fn is_rereadable(&self) -> bool {
        self.inner.is_rereadable()
    }

    fn may_lose_events(&self) -> bool {
        self.inner.may_lose_events()
    }

    fn grows_at_its_end(&self) -> bool {
        self.inner.grows_at_its_end()
    }

    fn seen_through(&self) -> Option<Position> {
        self.inner.seen_through()
    }

    fn compared(&self, events: &mut [Event]) {
        self.inner.compared(events);
    }

    fn left_out(&self) -> Vec<LeftOut> {
        self.inner.left_out()
    }

    fn taken_as(&self) -> Vec<String> {
        let mut lines = self.inner.taken_as();
        if self.shared.has_given.load(Ordering::Relaxed) {
            lines.push(
                "events have the id of an earlier event of another stream: each gets an id of its own, a version 5 UUID of \
                 id and stream, the same on every run"
                    .to_owned(),
            );
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use eventlift_events::{
        EventType, EventWriter, MemoryStore, Payload, Revision, SchemaVersion, StreamName, Timestamp,
    };
    use futures_util::TryStreamExt;
    use proptest::prelude::*;

    use super::*;

    /// The same store, except that its ids are those of other events: a store in memory refuses an id that is taken.
    struct Copied(Arc<dyn EventReader>, Vec<EventId>);

    #[async_trait]
    impl EventReader for Copied {
        fn identity(&self) -> &StoreIdentity {
            self.0.identity()
        }
        fn capabilities(&self) -> Capabilities {
            Capabilities { guarantees: Default::default(), ..self.0.capabilities() }
        }
        fn read(&self, request: ReadRequest) -> EventStream {
            let ids = self.1.clone();
            let batches = self.0.read(request).map_ok(move |mut events| {
                for event in &mut events {
                    event.id = ids[event.position.major() as usize].clone();
                }
                events
            });
            batches.boxed()
        }
        async fn census(&self, scope: &Scope, until: Option<Position>) -> Result<Option<Census>, StoreError> {
            self.0.census(scope, until).await
        }
        async fn head(&self) -> Result<Option<Position>, StoreError> {
            self.0.head().await
        }
    }

    fn event(number: usize, stream: u8, revision: u64) -> Event {
        Event {
            id: EventId::text(format!("own-{number}")).unwrap(),
            stream: StreamName::new(format!("s-{stream}")).unwrap(),
            revision: Revision(revision),
            position: Position::new(number as u64),
            event_type: EventType::new("A").unwrap(),
            version: SchemaVersion::FIRST,
            data: Payload::empty(),
            metadata: Payload::empty(),
            recorded_at: Timestamp::EPOCH,
            attributes: Default::default(),
        }
    }

    async fn ids(reader: &dyn EventReader, request: ReadRequest) -> Vec<(u64, EventId)> {
        let batches: Vec<Vec<Event>> =
            reader.read(request.batch_events(NonZeroUsize::MIN)).try_collect().await.unwrap();
        batches.into_iter().flatten().map(|event| (event.position.major(), event.id)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn every_read_gives_the_same_ids_and_none_twice_in_two_streams(places in prop::collection::vec((0u8..4, 0u8..5), 1..30), at in 0usize..30) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let store = MemoryStore::new();
                let mut revisions = [0u64; 4];
                let mut events = Vec::new();
                for (number, (stream, _)) in places.iter().enumerate() {
                    events.push(event(number, *stream, revisions[usize::from(*stream)]));
                    revisions[usize::from(*stream)] += 1;
                }
                store.writer().unwrap().append(&events, None).await.unwrap();
                let given: Vec<EventId> =
                    places.iter().map(|(_, id)| EventId::text(format!("id-{id}")).unwrap()).collect();
                let open = || {
                    let copied = Arc::new(Copied(Arc::new(store.reader()), given.clone()));
                    DistinctIds::over(copied, Ids::PerStream)
                };
                let all = ids(&*open(), ReadRequest::new(Scope::All)).await;
                for (index, (_, id)) in all.iter().enumerate() {
                    let first = given.iter().position(|other| *other == given[index]).unwrap();
                    let keeps = places[first].0 == places[index].0;
                    assert_eq!(*id == given[index], keeps, "{places:?} {index}");
                    for (other, (_, other_id)) in all.iter().enumerate().take(index) {
                        assert!(id != other_id || places[other].0 == places[index].0);
                    }
                }
                let reader = open();
                let after = at.min(places.len() - 1);
                let behind = ReadRequest::new(Scope::All).after(Some(Position::new(after as u64)));
                assert_eq!(ids(&*reader, behind).await, all[after + 1..]);
                assert_eq!(ids(&*reader, ReadRequest::new(Scope::All)).await, all);
                let scope = Scope::Stream(StreamName::new("s-1").unwrap());
                let of_stream: Vec<_> =
                    all.iter().filter(|(number, _)| places[*number as usize].0 == 1).cloned().collect();
                assert_eq!(ids(&*open(), ReadRequest::new(scope)).await, of_stream);
            });
        }
    }
}
