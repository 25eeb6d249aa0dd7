//! A store whose streams count from another revision than 0.

use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use eventlift_events::{
    Capabilities, Census, Event, EventReader, EventStream, Guarantees, LeftOut, Position, ReadRequest, Revision, Scope,
    StoreError, StoreErrorKind, StoreIdentity,
};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

/// Reads a store whose streams count from a revision above 0, so that they count from 0 behind it. What else the store
/// can do is as it is.
pub struct CountedFrom {
    inner: Arc<dyn EventReader>,
    base: u64,
}

impl CountedFrom {
    /// A store whose streams begin with this revision.
    pub fn over(inner: Arc<dyn EventReader>, base: u64) -> Arc<dyn EventReader> {
        if base == 0 { inner } else { Arc::new(Self { inner, base }) }
    }
}

#[async_trait]
impl EventReader for CountedFrom {
    fn identity(&self) -> &StoreIdentity {
        self.inner.identity()
    }

    fn capabilities(&self) -> Capabilities {
        let inner = self.inner.capabilities();
        // What makes certain that the store counts from 0 says nothing about what is read of it.
        Capabilities { guarantees: Guarantees { dense_revisions: false, ..inner.guarantees }, ..inner }
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let (base, store) = (self.base, self.inner.identity().display.clone());
        let batches = self.inner.read(request).scan(false, move |has_failed, batch| {
            let counted = (!*has_failed).then(|| batch.and_then(|events| counted(events, base, &store)));
            *has_failed |= counted.as_ref().is_some_and(Result::is_err);
            std::future::ready(counted)
        });
        batches.boxed()
    }

    async fn census(&self, scope: &Scope, until: Option<Position>) -> Result<Option<Census>, StoreError> {
        self.inner.census(scope, until).await
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.inner.head().await
    }

    async fn cuts(
        &self,
        after: Option<Position>,
        until: Position,
        parts: NonZeroUsize,
    ) -> Result<Vec<Position>, StoreError> {
        self.inner.cuts(after, until, parts).await
    }

    fn news(&self) -> Option<BoxStream<'static, ()>> {
        self.inner.news()
    }

    fn reading(&self) -> String {
        let inner = self.inner.reading();
        let separator = if inner.is_empty() { "" } else { ", " };
        format!("{inner}{separator}revisions from {}", self.base)
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
        lines.push(format!("streams count from {}, and from 0 behind it", self.base));
        lines
    }
}

fn counted(mut events: Vec<Event>, base: u64, store: &str) -> Result<Vec<Event>, StoreError> {
    for event in &mut events {
        let Some(revision) = event.revision.0.checked_sub(base) else {
            let problem = format!(
                "the event has revision {} in stream {}, but revision_base is {base}",
                event.revision, event.stream
            );
            let error = StoreError::new("read", store, StoreErrorKind::BadInput(problem));
            return Err(error
                .at(format_args!("position {}", event.position))
                .hint("take revision_base out of eventlift.toml: its streams count from 0"));
        };
        event.revision = Revision(revision);
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use eventlift_events::{
        EventId, EventType, EventWriter, MemoryStore, Payload, SchemaVersion, StreamName, Timestamp,
    };

    use super::*;

    fn event(number: u64, revision: u64) -> Event {
        Event {
            id: EventId::text(format!("e{number}")).unwrap(),
            stream: StreamName::new("a-1").unwrap(),
            revision: Revision(revision),
            position: Position::new(number),
            event_type: EventType::new("A").unwrap(),
            version: SchemaVersion::FIRST,
            data: Payload::empty(),
            metadata: Payload::empty(),
            recorded_at: Timestamp::EPOCH,
            attributes: Default::default(),
        }
    }

    async fn read(revisions: &[u64]) -> Vec<Result<Vec<u64>, String>> {
        let store = MemoryStore::new();
        let events: Vec<Event> = (1..).zip(revisions).map(|(number, revision)| event(number, *revision)).collect();
        store.writer().unwrap().append(&events, None).await.unwrap();
        let reader = CountedFrom::over(Arc::new(store.reader()), 1);
        assert!(reader.reading().ends_with("revisions from 1"));
        let request = ReadRequest::new(Scope::All).batch_events(NonZeroUsize::MIN);
        let batches = reader.read(request).map(|batch| {
            batch.map(|events| events.iter().map(|event| event.revision.0).collect()).map_err(|e| e.to_string())
        });
        batches.collect().await
    }

    #[tokio::test]
    async fn streams_count_from_0() {
        assert_eq!(read(&[1, 2, 3]).await, [Ok(vec![0]), Ok(vec![1]), Ok(vec![2])]);
    }

    #[tokio::test]
    async fn a_revision_below_the_first_one_ends_the_read() {
        let batches = read(&[0, 1]).await;
        let [Err(message)] = batches.as_slice() else { panic!("{batches:?}") };
        assert!(message.contains("the event has revision 0 in stream a-1, but revision_base is 1"), "{message}");
    }
}
