//! The position map of a run, asked: what became of a position of the source, and where a position of the target came
//! from.

use eventlift_events::{
    Checkpoint, CheckpointStore, EventReader, Needed, Position, PositionRange, ReadRequest, RunId, RunRecord, Scope,
    StoreError, StoreErrorKind, Timestamp,
};
use futures_util::StreamExt;

/// How many ranges are looked at at a time.
const PAGE: usize = 10_000;

/// The position map of a run, as far as the run is.
///
/// Positions that the rules leave alone have no range; a run that has none at all has kept every position.
pub struct PositionMap<'l> {
    ledger: &'l dyn CheckpointStore,
    run: RunId,
    checkpoint: Checkpoint,
    /// The first range; none where there is none.
    first: Option<PositionRange>,
    /// The last position before the first range that was kept as it was; none where all before it were dropped.
    kept_until: Option<Position>,
}

/// What became of the event at a position of the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mapped {
    /// It became the events from `first` to `last`.
    Became {
        /// The first, which has the event's id.
        first: Position,
        /// The last; the same where it became one event.
        last: Position,
    },
    /// No event: it was dropped, or the source has none there. What is before it ends at `after` in the target; none
    /// where nothing is.
    Dropped {
        /// The last position of the target that is before it.
        after: Option<Position>,
    },
    /// The run has not come to it yet.
    Ahead,
}

/// Where a reader of the target stands that had done everything up to a position of the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MappedCheckpoint {
    /// It has done everything up to here, and nothing behind it.
    At(Position),
    /// It has done nothing. Any position before the target's first event says so, such as this one, where there is one.
    Nothing {
        /// A position that no event of the target is at or before.
        before: Option<Position>,
    },
    /// The run has not come to the position yet, so what its reader has done may be missing in the target.
    Ahead,
}

impl<'l> PositionMap<'l> {
    /// The map of a run; none where the run has committed nothing in order yet. `target` reads what the run has written:
    /// it is asked only where rules were changed under the run, since then the positions before the first range may have
    /// been kept.
    pub async fn of(
        ledger: &'l dyn CheckpointStore,
        record: &RunRecord,
        target: Option<&dyn EventReader>,
    ) -> Result<Option<Self>, StoreError> {
        let Some(checkpoint) = ledger.checkpoint(record.id).await? else { return Ok(None) };
        let first = ledger.positions(record.id, None, 1).await?.into_iter().next();
        let kept_until = match (first, target) {
            (Some(first), Some(target)) => last_before(target, first.target).await?,
            _ => None,
        };
        Ok(Some(Self { ledger, run: record.id, checkpoint, first, kept_until }))
    }

    /// Whether a reader of the target is needed to know what became of the first positions.
    pub fn needs_target(record: &RunRecord) -> bool {
        let is_later = |since: Option<Timestamp>| since.is_none_or(|since| since > record.started_at);
        let details = &record.details;
        !details.superseded.is_empty()
            || details.rules.is_empty()
            || details.rules.iter().any(|rule| is_later(rule.since))
    }

    /// The last source position that the run has done.
    pub fn until(&self) -> Position {
        self.checkpoint.source
    }

    /// What became of the event at a position of the source.
    pub async fn position(&self, source: Position) -> Result<Mapped, StoreError> {
        if source > self.checkpoint.source {
            return Ok(Mapped::Ahead);
        }
        let Some(range) = self.ledger.position_at(self.run, source).await? else { return self.before_first(source) };
        Ok(match place_in(&range, source)? {
            Within::Became(first, last) => Mapped::Became { first, last },
            Within::Behind => Mapped::Dropped { after: Some(end_of(&range)?) },
        })
    }

    /// Where a reader of the target stands that had done everything up to and including `source`: at the last event of
    /// the target of which every part of the source is at or before that position. So nothing that it has not done is
    /// skipped: within events that became one, it stands before that one, and does it again.
    pub async fn checkpoint(&self, source: Position) -> Result<MappedCheckpoint, StoreError> {
        if source > self.checkpoint.source {
            return Ok(MappedCheckpoint::Ahead);
        }
        let Some(range) = self.ledger.position_at(self.run, source).await? else {
            return Ok(match self.before_first(source)? {
                Mapped::Became { last, .. } => MappedCheckpoint::At(last),
                Mapped::Dropped { after: Some(after) } => MappedCheckpoint::At(after),
                _ => self.nothing(source),
            });
        };
        if is_merged(&range) && matches!(place_in(&range, source)?, Within::Became(..)) && !is_last(&range, source) {
            return match range.source.just_before() {
                Some(before) => Box::pin(self.checkpoint(before)).await,
                None => Ok(self.nothing(source)),
            };
        }
        Ok(MappedCheckpoint::At(match place_in(&range, source)? {
            Within::Became(_, last) => last,
            Within::Behind => end_of(&range)?,
        }))
    }

    /// The positions of the source that became the event at each of these positions of the target, first and last, in
    /// their order; none where no event of the run is there. Reads the whole map, in bounded memory.
    pub async fn sources(&self, targets: &[Position]) -> Result<Vec<Option<(Position, Position)>>, StoreError> {
        let mut found: Vec<Option<(Position, Position)>> = targets.iter().map(|target| self.kept(*target)).collect();
        let mut after = None;
        loop {
            let page = self.ledger.positions(self.run, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.source);
            for (target, found) in targets.iter().zip(&mut found) {
                let index = page.partition_point(|range| range.target <= *target);
                let Some(range) = index.checked_sub(1).and_then(|index| page.get(index)) else { continue };
                if let Some(source) = source_in(range, *target)? {
                    *found = Some(source);
                }
            }
        }
    }

    /// Where a position of the target was the same in the source.
    fn kept(&self, target: Position) -> Option<(Position, Position)> {
        let is_kept = match self.first {
            Some(_) => self.kept_until.is_some_and(|until| target <= until),
            None => self.checkpoint.target.is_some_and(|until| target <= until),
        };
        is_kept.then_some((target, target))
    }

    /// What became of a position that no range is at or before.
    fn before_first(&self, source: Position) -> Result<Mapped, StoreError> {
        // Without any range, nothing was moved: everything was kept, or everything was dropped.
        let until = if self.first.is_some() { self.kept_until } else { self.checkpoint.target };
        Ok(match until {
            Some(until) if source <= until => Mapped::Became { first: source, last: source },
            until => Mapped::Dropped { after: until },
        })
    }

    fn nothing(&self, source: Position) -> MappedCheckpoint {
        let before = match self.first {
            Some(first) => first.target.just_before(),
            // Everything was dropped: what comes is shifted by all that was read.
            None if source.minor().is_none() => {
                let read = self.checkpoint.counts.read;
                self.checkpoint.source.major().checked_sub(read).map(Position::new)
            }
            None => None,
        };
        MappedCheckpoint::Nothing { before: before.map(|before| before.min(source)) }
    }
}

/// The last position of a store that is before another one; none where none is.
async fn last_before(target: &dyn EventReader, position: Position) -> Result<Option<Position>, StoreError> {
    let Some(until) = position.just_before() else { return Ok(None) };
    let request = ReadRequest::new(Scope::All).until(Some(until)).needing(Needed::ENVELOPE);
    let mut batches = target.read(request);
    let mut last = None;
    while let Some(batch) = batches.next().await {
        last = batch?.last().map(|event| event.position).or(last);
    }
    Ok(last)
}

/// Where a position is that a range starts at or before.
enum Within {
    /// In it: it became these.
    Became(Position, Position),
    /// Behind its end.
    Behind,
}

/// Several positions of the source that became fewer of the target.
fn is_merged(range: &PositionRange) -> bool {
    range.source_length > 1 && range.source_length != range.target_length
}

fn is_last(range: &PositionRange, source: Position) -> bool {
    offset(range.source, source) == Some(range.source_length - 1)
}

fn place_in(range: &PositionRange, source: Position) -> Result<Within, StoreError> {
    let Some(offset) = offset(range.source, source).filter(|offset| *offset < range.source_length) else {
        return Ok(Within::Behind);
    };
    if range.source_length == range.target_length {
        let target = plus(range.target, offset)?;
        return Ok(Within::Became(target, target));
    }
    Ok(Within::Became(range.target, end_of(range)?))
}

/// The position of the source that a position of the target came from, where a range has it.
fn source_in(range: &PositionRange, target: Position) -> Result<Option<(Position, Position)>, StoreError> {
    let Some(offset) = offset(range.target, target).filter(|offset| *offset < range.target_length) else {
        return Ok(None);
    };
    if range.source_length == range.target_length {
        let source = plus(range.source, offset)?;
        return Ok(Some((source, source)));
    }
    Ok(Some((range.source, plus(range.source, range.source_length.saturating_sub(1))?)))
}

/// The last target position of a range.
fn end_of(range: &PositionRange) -> Result<Position, StoreError> {
    plus(range.target, range.target_length.saturating_sub(1))
}

/// How far behind the start a position is; positions of two numbers have no distance but none at all.
fn offset(start: Position, position: Position) -> Option<u64> {
    match (start.minor(), position.minor()) {
        (None, None) => position.major().checked_sub(start.major()),
        _ => (start == position).then_some(0),
    }
}

fn plus(start: Position, offset: u64) -> Result<Position, StoreError> {
    if offset == 0 {
        return Ok(start);
    }
    let number = start.major().checked_add(offset).filter(|_| start.minor().is_none());
    number.map(Position::new).ok_or_else(|| {
        let problem = format!("the position map goes {offset} positions past {start}, which no store has");
        StoreError::new("read", "the ledger", StoreErrorKind::BadInput(problem))
    })
}
