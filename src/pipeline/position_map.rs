//! The position map of a run, asked: what became of a position of the source, and where a position of the target came
//! from.

use std::collections::BTreeSet;

use eventlift_events::{
    Checkpoint, CheckpointStore, EventReader, Needed, Position, PositionRange, ReadRequest, RunId, RunRecord, Scope,
    StoreError, StoreErrorKind, Timestamp,
};
use futures_util::StreamExt;
use tokio::sync::OnceCell;

use super::quarantine::{discarded, held_positions};

/// The bits of a second number, and of there being none.
const PAIR_BITS: u32 = 65;

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
    /// What is not there, once it was asked for.
    absent: OnceCell<Absent>,
}

/// Positions of the source whose events are not in the target by themselves.
#[derive(Default)]
struct Absent {
    /// They wait in quarantine.
    held: BTreeSet<Position>,
    /// They were given up there.
    given_up: BTreeSet<Position>,
}

impl Absent {
    fn contains(&self, position: &Position) -> bool {
        self.held.contains(position) || self.given_up.contains(position)
    }
}

/// What became of the event at a position of the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mapped {
    /// It became the events from `first` to `last`, with no other between them.
    Became {
        /// The first, which has the event's id.
        first: Position,
        /// The last; the same where it became one event.
        last: Position,
    },
    /// It became the events from the first to the last of each of these, and others stand between them: a part of it was
    /// merged with other events.
    Scattered(Vec<(Position, Position)>),
    /// No event: it was dropped or given up, or the source has none there. What is before it ends at `after` in the
    /// target; none where nothing is.
    Dropped {
        /// Where a reader stands in the target that had done everything up to it.
        after: Option<Position>,
    },
    /// Nothing yet: it waits in quarantine.
    Held,
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

impl MappedCheckpoint {
    /// The last position that is done; none where none is, or where that is not known yet.
    fn position(self) -> Option<Position> {
        match self {
            Self::At(position) => Some(position),
            Self::Nothing { .. } | Self::Ahead => None,
        }
    }
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
        Ok(Some(Self { ledger, run: record.id, checkpoint, first, kept_until, absent: OnceCell::new() }))
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
        let absent = self.absent().await?;
        if absent.held.contains(&source) {
            return Ok(Mapped::Held);
        }
        let mut spans = Vec::new();
        match self.ledger.position_at(self.run, source).await? {
            _ if absent.given_up.contains(&source) => {}
            Some(range) => spans.extend(place_in(&range, source)?),
            None => spans.extend(self.stayed(source).map(|same| (same, same))),
        }
        for late in self.ledger.late_of(self.run, source).await? {
            spans.push((late.target, plus(late.target, late.target_length.saturating_sub(1))?));
        }
        spans.sort_unstable();
        spans.dedup_by(|next, before| {
            let goes_on = next.0.follows(before.1);
            if goes_on {
                before.1 = next.1;
            }
            goes_on
        });
        Ok(match spans[..] {
            [] => Mapped::Dropped { after: self.checkpoint(source).await?.position() },
            [(first, last)] => Mapped::Became { first, last },
            _ => Mapped::Scattered(spans),
        })
    }

    /// Where a reader of the target stands that had done everything up to and including `source`: at the last event of
    /// the target before which, and at which, every event is made only of what the reader had. So nothing that it has
    /// not done is skipped. What stands behind an event that it has not done, it gets again: an event that became of
    /// several, some of which it had, or one that was released from quarantine.
    pub async fn checkpoint(&self, source: Position) -> Result<MappedCheckpoint, StoreError> {
        if source > self.checkpoint.source {
            return Ok(MappedCheckpoint::Ahead);
        }
        let end = match self.ledger.position_at(self.run, source).await? {
            None => match self.stayed(source) {
                Some(same) => return Ok(MappedCheckpoint::At(same)),
                None => self.stayed_until(),
            },
            Some(range) => match (place_in(&range, source)?, is_last(&range, source)) {
                // The next one of its range is the first that the reader has not done.
                (Some((_, last)), false) if is_paired(&range) => return Ok(MappedCheckpoint::At(last)),
                // It has not done all of what became this.
                (Some(_), false) => {
                    return match range.source.just_before() {
                        Some(before) => Box::pin(self.checkpoint(before)).await,
                        None => Ok(self.nothing(source)),
                    };
                }
                _ => Some(end_of(&range)?),
            },
        };
        // Ranges ascend on both sides: nothing before the next one in the target is made of anything behind `source`.
        let next = self.ledger.positions(self.run, Some(source), 1).await?.into_iter().next();
        let Some(next) = next else {
            return Ok(self.checkpoint.target.map_or_else(|| self.nothing(source), MappedCheckpoint::At));
        };
        let late = match next.target.just_before() {
            Some(before) => self.ledger.late_at(self.run, before).await?,
            None => None,
        };
        let late = late.map(|late| plus(late.target, late.target_length.saturating_sub(1))).transpose()?;
        Ok(end.max(late).map_or_else(|| self.nothing(source), MappedCheckpoint::At))
    }

    /// The positions of the source that became the event at each of these positions of the target, first and last, in
    /// their order; none where no event of the run is there.
    pub async fn sources(&self, targets: &[Position]) -> Result<Vec<Option<(Position, Position)>>, StoreError> {
        let mut found = Vec::with_capacity(targets.len());
        for target in targets {
            found.push(self.sources_of(*target).await?);
        }
        Ok(found)
    }

    async fn sources_of(&self, target: Position) -> Result<Option<(Position, Position)>, StoreError> {
        let late = self.ledger.late_at(self.run, target).await?;
        let late = late.filter(|late| offset(late.target, target).is_some_and(|offset| offset < late.target_length));
        let late = late.map(|late| (late.first_source, late.last_source));
        let in_order = match self.range_before(target).await? {
            Some(range) => source_in(&range, target)?,
            None => self.stayed(target).filter(|_| Some(target) <= self.checkpoint.target).map(|same| (same, same)),
        };
        // A range goes over the places that were left free for what is not there.
        let absent = self.absent().await?;
        let in_order = in_order.filter(|(first, last)| first != last || !absent.contains(first));
        Ok(match (late, in_order) {
            (Some((first, last)), Some((other_first, other_last))) => {
                Some((first.min(other_first), last.max(other_last)))
            }
            (late, in_order) => late.or(in_order),
        })
    }

    /// The last range that begins at or before a position of the target.
    async fn range_before(&self, target: Position) -> Result<Option<PositionRange>, StoreError> {
        // Ranges ascend on both sides, and are found by their source.
        let has_pairs = self.checkpoint.source.minor().is_some();
        let (mut low, mut high) = (0, number(self.checkpoint.source, has_pairs));
        let mut found = None;
        while low <= high {
            let middle = low + (high - low) / 2;
            match self.ledger.position_at(self.run, numbered(middle, has_pairs)).await? {
                Some(range) if range.target > target => match number(range.source, has_pairs).checked_sub(1) {
                    Some(before) => high = before,
                    None => break,
                },
                Some(range) => {
                    found = Some(range);
                    low = middle + 1;
                }
                None => low = middle + 1,
            }
        }
        Ok(found)
    }

    async fn absent(&self) -> Result<&Absent, StoreError> {
        let load = || async {
            let given_up = discarded(self.ledger, self.run).await?;
            Ok(Absent {
                held: held_positions(self.ledger, self.run).await?,
                given_up: given_up.into_iter().map(|event| event.failed.position).collect(),
            })
        };
        self.absent.get_or_try_init(load).await
    }

    /// Up to where events have stayed where they were before the first range; none where none have.
    fn stayed_until(&self) -> Option<Position> {
        // Without any range, nothing was moved: everything has stayed, or everything was dropped.
        if self.first.is_some() { self.kept_until } else { self.checkpoint.target }
    }

    /// A position before the first range that has stayed what it was.
    fn stayed(&self, position: Position) -> Option<Position> {
        self.stayed_until().filter(|until| position <= *until).map(|_| position)
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

/// Whether positions of a range are paired one by one; otherwise all of its target came of all of its source.
fn is_paired(range: &PositionRange) -> bool {
    range.source_length == range.target_length
}

fn is_last(range: &PositionRange, source: Position) -> bool {
    offset(range.source, source) == Some(range.source_length.saturating_sub(1))
}

/// What a source position became in the range that starts at or before it, first and last; none behind its end.
fn place_in(range: &PositionRange, source: Position) -> Result<Option<(Position, Position)>, StoreError> {
    let Some(offset) = offset(range.source, source).filter(|offset| *offset < range.source_length) else {
        return Ok(None);
    };
    if is_paired(range) {
        let target = plus(range.target, offset)?;
        return Ok(Some((target, target)));
    }
    Ok(Some((range.target, end_of(range)?)))
}

/// The position of the source that a position of the target came from, where a range has it.
fn source_in(range: &PositionRange, target: Position) -> Result<Option<(Position, Position)>, StoreError> {
    let Some(offset) = offset(range.target, target).filter(|offset| *offset < range.target_length) else {
        return Ok(None);
    };
    if is_paired(range) {
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

/// A source position as a number, in the order of positions; and back.
fn number(position: Position, has_pairs: bool) -> u128 {
    let (major, minor) = (u128::from(position.major()), position.minor().map_or(0, |minor| u128::from(minor) + 1));
    if has_pairs { (major << PAIR_BITS) + minor } else { major }
}

fn numbered(number: u128, has_pairs: bool) -> Position {
    // No number is made of more bits than a position has.
    let number_of = |bits: u128| u64::try_from(bits).unwrap_or(u64::MAX);
    if !has_pairs {
        return Position::new(number_of(number));
    }
    let major = number_of(number >> PAIR_BITS);
    match (number & ((1 << PAIR_BITS) - 1)).checked_sub(1) {
        Some(minor) => Position::pair(major, number_of(minor)),
        None => Position::new(major),
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
