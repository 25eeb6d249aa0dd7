//! The first events of a source, and no more of it.

use std::sync::Arc;

use async_trait::async_trait;
use eventlift_events::{
    Capabilities, Census, Event, EventReader, EventStream, LeftOut, Position, ReadRequest, Scope, StoreError,
    StoreIdentity,
};
use futures_util::StreamExt;

/// A source that ends behind so many events of what is asked of it.
pub(super) struct Limited {
    source: Arc<dyn EventReader>,
    limit: u64,
}

impl Limited {
    pub(super) fn new(source: Arc<dyn EventReader>, limit: u64) -> Self {
        Self { source, limit }
    }
}

#[async_trait]
impl EventReader for Limited {
    fn identity(&self) -> &StoreIdentity {
        self.source.identity()
    }

    fn capabilities(&self) -> Capabilities {
        self.source.capabilities()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        let mut left = self.limit;
        let limited = self.source.read(request).map(move |batch| {
            let mut batch = batch?;
            batch.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= batch.len() as u64;
            Ok(batch)
        });
        limited.take_while(|batch| std::future::ready(batch.as_ref().map_or(true, |batch| !batch.is_empty()))).boxed()
    }

    async fn census(&self, _scope: &Scope, _until: Option<Position>) -> Result<Option<Census>, StoreError> {
        Ok(None)
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.source.head().await
    }

    fn reading(&self) -> String {
        self.source.reading()
    }

    fn is_rereadable(&self) -> bool {
        self.source.is_rereadable()
    }

    fn may_lose_events(&self) -> bool {
        self.source.may_lose_events()
    }

    fn compared(&self, events: &mut [Event]) {
        self.source.compared(events);
    }

    fn grows_at_its_end(&self) -> bool {
        self.source.grows_at_its_end()
    }

    fn taken_as(&self) -> Vec<String> {
        self.source.taken_as()
    }

    fn left_out(&self) -> Vec<LeftOut> {
        self.source.left_out()
    }
}
