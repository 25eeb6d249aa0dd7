//! A ledger over another one: what is committed stays above, in a temporary file, and what lies beneath is only read.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use eventlift_events::{
    ByteString, Bytes, Checkpoint, CheckpointStore, LateEvents, LatePosition, LoadRange, NoteChange, Position,
    PositionRange, Progress, RunId, RunRecord, StateChange, StateKey, StoreError,
};

use crate::ledger::LedgerDatabase;

/// In front of what is kept above: it has a value, or it has none any more.
const THERE: u8 = 1;
const GONE: u8 = 0;

/// Both ledgers. Memory stays bounded, whatever they hold.
pub(super) struct Overlay {
    above: LedgerDatabase,
    beneath: Option<Arc<dyn CheckpointStore>>,
}

impl Overlay {
    pub(super) fn over(beneath: Option<Arc<dyn CheckpointStore>>) -> Result<Self, StoreError> {
        Ok(Self { above: LedgerDatabase::temporary()?, beneath })
    }

    /// Keeps a run's progress above.
    pub(super) fn commit(&self, progress: &Progress) -> Result<(), StoreError> {
        let state = progress.state.iter();
        let state =
            state.map(|change| StateChange { key: change.key.clone(), value: Some(kept(change.value.as_deref())) });
        self.above.commit(&Progress {
            run: progress.run,
            checkpoint: progress.checkpoint,
            state: state.collect(),
            positions: progress.positions.clone(),
            late: progress.late.clone(),
            notes: kept_notes(&progress.notes),
            origins: Vec::new(),
        })
    }
}

fn kept(value: Option<&[u8]>) -> Bytes {
    let mark = if value.is_some() { THERE } else { GONE };
    Bytes::from([&[mark], value.unwrap_or_default()].concat())
}

fn kept_notes(notes: &[NoteChange]) -> Vec<NoteChange> {
    let note = |NoteChange { book, key, value }: &NoteChange| NoteChange {
        book: book.clone(),
        key: key.clone(),
        value: Some(kept(value.as_deref())),
    };
    notes.iter().map(note).collect()
}

/// The value that was kept; none where it is gone.
fn value_of(kept: &Bytes) -> Option<Bytes> {
    kept.first().filter(|mark| **mark == THERE).map(|_| kept.slice(1..))
}

#[async_trait]
impl CheckpointStore for Overlay {
    async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        let mut runs = match &self.beneath {
            Some(beneath) => beneath.runs().await?,
            None => Vec::new(),
        };
        for run in self.above.runs().await? {
            match runs.iter_mut().find(|known| known.id == run.id) {
                Some(known) => *known = run,
                None => runs.push(run),
            }
        }
        Ok(runs)
    }

    async fn record_run(&mut self, run: &RunRecord) -> Result<(), StoreError> {
        self.above.record_run(run).await
    }

    async fn checkpoint(&self, run: RunId) -> Result<Option<Checkpoint>, StoreError> {
        match (self.above.checkpoint(run).await?, &self.beneath) {
            (None, Some(beneath)) => beneath.checkpoint(run).await,
            (above, _) => Ok(above),
        }
    }

    async fn state(&self, run: RunId, keys: &[StateKey]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let above = self.above.state(run, keys).await?;
        let Some(beneath) = &self.beneath else {
            return Ok(above.into_iter().map(|kept| kept.as_ref().and_then(value_of)).collect());
        };
        let asked: Vec<StateKey> =
            keys.iter().zip(&above).filter(|(_, kept)| kept.is_none()).map(|(key, _)| key.clone()).collect();
        let mut found = beneath.state(run, &asked).await?.into_iter();
        let value = |kept: Option<Bytes>| match kept {
            Some(kept) => value_of(&kept),
            None => found.next().flatten(),
        };
        Ok(above.into_iter().map(value).collect())
    }

    async fn positions(
        &self,
        run: RunId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<PositionRange>, StoreError> {
        match &self.beneath {
            Some(beneath) => beneath.positions(run, after, limit).await,
            None => Ok(Vec::new()),
        }
    }

    async fn position_at(&self, run: RunId, source: Position) -> Result<Option<PositionRange>, StoreError> {
        let above = self.above.position_at(run, source).await?;
        let beneath = match &self.beneath {
            Some(beneath) => beneath.position_at(run, source).await?,
            None => None,
        };
        // A range that has grown stands above as well.
        Ok(match (above, beneath) {
            (Some(above), Some(beneath)) if beneath.source > above.source => Some(beneath),
            (above, beneath) => above.or(beneath),
        })
    }

    async fn late_of(&self, run: RunId, source: Position) -> Result<Vec<LatePosition>, StoreError> {
        let mut late = self.above.late_of(run, source).await?;
        if let Some(beneath) = &self.beneath {
            late.extend(beneath.late_of(run, source).await?);
            late.sort_by_key(|late| late.target);
            late.dedup();
        }
        Ok(late)
    }

    async fn late_at(&self, run: RunId, target: Position) -> Result<Option<LateEvents>, StoreError> {
        let above = self.above.late_at(run, target).await?;
        let beneath = match &self.beneath {
            Some(beneath) => beneath.late_at(run, target).await?,
            None => None,
        };
        Ok(match (above, beneath) {
            (Some(above), Some(beneath)) if beneath.target > above.target => Some(beneath),
            (above, beneath) => above.or(beneath),
        })
    }

    async fn notes(
        &self,
        run: RunId,
        book: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(ByteString, Bytes)>, StoreError> {
        let mut notes = Vec::new();
        let mut after = after.map(ByteString::from);
        while notes.len() < limit {
            let above = self.above.notes(run, book, after.as_deref(), limit).await?;
            let beneath = match &self.beneath {
                Some(beneath) => beneath.notes(run, book, after.as_deref(), limit).await?,
                None => Vec::new(),
            };
            // Behind the last key of a side that may have more, the other side's notes are not all there is.
            let ends = [&above, &beneath].map(|side| side.last().filter(|_| side.len() == limit));
            let end = ends.into_iter().flatten().map(|(key, _)| key.clone()).min();
            let mut page: BTreeMap<ByteString, Option<Bytes>> =
                beneath.into_iter().map(|(key, value)| (key, Some(value))).collect();
            page.extend(above.into_iter().map(|(key, kept)| (key, value_of(&kept))));
            let page = page.into_iter().filter(|(key, _)| end.as_ref().is_none_or(|end| key <= end));
            notes.extend(page.filter_map(|(key, value)| Some((key, value?))));
            match end {
                Some(end) => after = Some(end),
                None => break,
            }
        }
        notes.truncate(limit);
        Ok(notes)
    }

    async fn write_notes(&mut self, run: RunId, changes: &[NoteChange]) -> Result<(), StoreError> {
        self.above.write_notes(run, &kept_notes(changes)).await
    }

    async fn load_ranges(&self, run: RunId) -> Result<Vec<LoadRange>, StoreError> {
        match &self.beneath {
            Some(beneath) => beneath.load_ranges(run).await,
            None => Ok(Vec::new()),
        }
    }

    async fn plan_ranges(&mut self, _run: RunId, _ranges: &[LoadRange]) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use eventlift_events::MemoryStore;

    use super::*;

    fn note(key: usize, value: Option<&'static str>) -> NoteChange {
        let value = value.map(|value| Bytes::from_static(value.as_bytes()));
        NoteChange { book: "book".into(), key: format!("{key:03}").into(), value }
    }

    #[tokio::test]
    async fn what_is_above_covers_what_is_beneath_page_by_page() {
        let run = RunId::random();
        let mut beneath = MemoryStore::new().writer().unwrap();
        let notes: Vec<_> = (0..20).map(|key| note(key, Some("beneath"))).collect();
        beneath.write_notes(run, &notes).await.unwrap();
        let mut overlay = Overlay::over(Some(Arc::new(beneath))).unwrap();
        let changes: Vec<_> =
            (0..30).filter(|key| key % 3 != 0).map(|key| note(key, (key % 3 == 1).then_some("above"))).collect();
        overlay.write_notes(run, &changes).await.unwrap();
        let expected: Vec<(ByteString, Bytes)> = (0..30)
            .filter(|key| key % 3 == 1 || (key % 3 == 0 && *key < 20))
            .map(|key| (format!("{key:03}").into(), if key % 3 == 1 { "above" } else { "beneath" }.into()))
            .collect();
        for limit in [1, 2, 3, 7, 100] {
            let (mut found, mut after) = (Vec::new(), None::<ByteString>);
            loop {
                let page = overlay.notes(run, "book", after.as_deref(), limit).await.unwrap();
                assert!(page.len() <= limit);
                let Some((last, _)) = page.last() else { break };
                after = Some(last.clone());
                found.extend(page);
            }
            assert_eq!(found, expected, "{limit}");
        }
    }
}
