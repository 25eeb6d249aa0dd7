//! A boxed store is a store, so that wrappers take either.

use std::num::NonZeroUsize;

use async_trait::async_trait;
use bytes::Bytes;
use bytestring::ByteString;
use futures_util::stream::BoxStream;

use crate::checkpoint::{
    Checkpoint, LateEvents, LatePosition, LoadRange, NoteChange, PositionRange, Progress, RunId, RunRecord, StateKey,
};
use crate::error::StoreError;
use crate::event::Event;
use crate::position::Position;
use crate::rewriting::{EventRewriter, Original, Rewritten, Undone};
use crate::scope::Scope;
use crate::store::{
    Capabilities, Census, CheckpointStore, EventReader, EventStream, EventWriter, LeftOut, RangeWriter, ReadRequest,
    StoreIdentity,
};
use crate::stream::{Revision, StreamName};

#[async_trait]
impl<S: EventReader + ?Sized> EventReader for Box<S> {
    fn identity(&self) -> &StoreIdentity {
        (**self).identity()
    }

    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn read(&self, request: ReadRequest) -> EventStream {
        (**self).read(request)
    }

    async fn census(&self, scope: &Scope, until: Option<Position>) -> Result<Option<Census>, StoreError> {
        (**self).census(scope, until).await
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        (**self).head().await
    }

    async fn cuts(
        &self,
        after: Option<Position>,
        until: Position,
        parts: NonZeroUsize,
    ) -> Result<Vec<Position>, StoreError> {
        (**self).cuts(after, until, parts).await
    }

    fn news(&self) -> Option<BoxStream<'static, ()>> {
        (**self).news()
    }

    fn reading(&self) -> String {
        (**self).reading()
    }

    fn is_rereadable(&self) -> bool {
        (**self).is_rereadable()
    }

    fn may_lose_events(&self) -> bool {
        (**self).may_lose_events()
    }

    fn grows_at_its_end(&self) -> bool {
        (**self).grows_at_its_end()
    }

    fn seen_through(&self) -> Option<Position> {
        (**self).seen_through()
    }

    fn compared(&self, events: &mut [Event]) {
        (**self).compared(events);
    }

    fn left_out(&self) -> Vec<LeftOut> {
        (**self).left_out()
    }

    fn taken_as(&self) -> Vec<String> {
        (**self).taken_as()
    }
}

#[async_trait]
impl<S: EventWriter + ?Sized> EventWriter for Box<S> {
    fn identity(&self) -> &StoreIdentity {
        (**self).identity()
    }

    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn writing(&self) -> String {
        (**self).writing()
    }

    async fn append(&mut self, events: &[Event], progress: Option<&Progress>) -> Result<(), StoreError> {
        (**self).append(events, progress).await
    }

    async fn seal(&mut self, dense: bool) -> Result<(), StoreError> {
        (**self).seal(dense).await
    }

    async fn range_writers(&mut self, count: NonZeroUsize) -> Result<Vec<Box<dyn RangeWriter>>, StoreError> {
        (**self).range_writers(count).await
    }

    async fn heads(&self, streams: &[StreamName]) -> Result<Vec<Option<Revision>>, StoreError> {
        (**self).heads(streams).await
    }

    async fn withdraw(&mut self, from: &[(StreamName, Revision)], progress: &Progress) -> Result<(), StoreError> {
        (**self).withdraw(from, progress).await
    }

    async fn erase(&mut self, after: Option<Position>, run: &RunRecord) -> Result<(), StoreError> {
        (**self).erase(after, run).await
    }

    fn keeps_origins(&self) -> bool {
        (**self).keeps_origins()
    }

    fn takes_earlier_positions(&self) -> bool {
        (**self).takes_earlier_positions()
    }

    async fn is_empty(&self) -> Result<bool, StoreError> {
        (**self).is_empty().await
    }

    async fn last_position(&self) -> Result<Option<Position>, StoreError> {
        (**self).last_position().await
    }
}

#[async_trait]
impl<S: CheckpointStore + ?Sized> CheckpointStore for Box<S> {
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        (**self).runs().await
    }

    async fn record_run(&mut self, run: &RunRecord) -> Result<(), StoreError> {
        (**self).record_run(run).await
    }

    async fn checkpoint(&self, run: RunId) -> Result<Option<Checkpoint>, StoreError> {
        (**self).checkpoint(run).await
    }

    async fn state(&self, run: RunId, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        (**self).state(run, keys).await
    }

    async fn positions(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<PositionRange>, StoreError> {
        (**self).positions(run, after, limit).await
    }

    async fn position_at(&self, run: RunId, source: Position) -> Result<Option<PositionRange>, StoreError> {
        (**self).position_at(run, source).await
    }

    async fn late_of(&self, run: RunId, source: Position) -> Result<Vec<LatePosition>, StoreError> {
        (**self).late_of(run, source).await
    }

    async fn late_at(&self, run: RunId, target: Position) -> Result<Option<LateEvents>, StoreError> {
        (**self).late_at(run, target).await
    }

    async fn notes(
        &self,
        run: RunId,
        book: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>, StoreError> {
        (**self).notes(run, book, after, limit).await
    }

    async fn write_notes(&mut self, run: RunId, changes: &[NoteChange]) -> Result<(), StoreError> {
        (**self).write_notes(run, changes).await
    }

    async fn load_ranges(&self, run: RunId) -> Result<Vec<LoadRange>, StoreError> {
        (**self).load_ranges(run).await
    }

    async fn plan_ranges(&mut self, run: RunId, ranges: &[LoadRange]) -> Result<(), StoreError> {
        (**self).plan_ranges(run, ranges).await
    }
}

#[async_trait]
impl<S: EventRewriter + ?Sized> EventRewriter for Box<S> {
    async fn check_rewritable(&mut self) -> Result<(), StoreError> {
        (**self).check_rewritable().await
    }

    async fn rewrite(&mut self, changes: &[Rewritten], progress: &Progress) -> Result<(), StoreError> {
        (**self).rewrite(changes, progress).await
    }

    async fn originals(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: NonZeroUsize,
    ) -> Result<Vec<Original>, StoreError> {
        (**self).originals(run, after, limit).await
    }

    async fn undo(&mut self, run: RunId, before: Option<Position>, limit: NonZeroUsize) -> Result<Undone, StoreError> {
        (**self).undo(run, before, limit).await
    }

    async fn drop_originals(&mut self, run: RunId) -> Result<u64, StoreError> {
        (**self).drop_originals(run).await
    }
}

#[async_trait]
impl<W: RangeWriter + ?Sized> RangeWriter for Box<W> {
    async fn append(
        &mut self,
        events: &[Event],
        run: RunId,
        range: &LoadRange,
        notes: &[NoteChange],
    ) -> Result<(), StoreError> {
        (**self).append(events, run, range, notes).await
    }
}
