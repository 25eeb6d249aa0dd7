//! The position map as it is written: what each event of the source became, in ranges that ascend on both sides, and what is
//! late beside them.
//!
//! While every event stays where it was, nothing is written. With the first one that does not, a range says that all
//! before it have stayed; from then on the map says everything, and a position that it does not have became nothing.

use eventlift_events::{
    Checkpoint, CheckpointStore, LatePosition, Position, PositionRange, Progress, RunId, StoreError,
};

/// No length is more than what stores can keep.
const LONGEST: u64 = i64::MAX as u64;

/// Writes down what became of positions.
pub(super) struct PositionRecorder {
    run: RunId,
    /// Whether nothing is written, since every event has stayed.
    is_implicit: bool,
    /// Up to where events have stayed, while nothing is written.
    stayed: Option<Position>,
    /// The last source position of all ranges.
    end: Option<Position>,
    /// The last range, while it may grow.
    growing: Option<PositionRange>,
    /// Ranges that are new or have changed since the last commit.
    ranges: Vec<PositionRange>,
    /// What is late and new since then.
    late: Vec<LatePosition>,
}

impl PositionRecorder {
    /// Goes on with the map of a run behind a checkpoint, or begins one.
    pub(super) async fn resume(
        run: RunId,
        checkpoint: Option<Checkpoint>,
        store: &dyn CheckpointStore,
    ) -> Result<Self, StoreError> {
        let last = match checkpoint {
            Some(checkpoint) => store.position_at(run, checkpoint.source).await?,
            None => None,
        };
        let stayed = match (last, checkpoint) {
            // What was written and has no range has stayed.
            (None, Some(Checkpoint { target, counts, .. })) if counts.written > 0 => target,
            _ => None,
        };
        // Behind an event that left nothing, a range does not go on.
        let growing = last.filter(|range| checkpoint.is_some_and(|checkpoint| last_of(range) == checkpoint.source));
        // What was given up before anything was written has not stayed, so from there on the map says everything.
        let is_gone =
            checkpoint.is_some_and(|checkpoint| checkpoint.counts.written == 0 && checkpoint.counts.dropped > 0);
        Ok(Self {
            run,
            is_implicit: last.is_none() && !is_gone,
            stayed,
            end: last.map(|range| last_of(&range)).or(stayed),
            growing,
            ranges: Vec::new(),
            late: Vec::new(),
        })
    }

    /// Whether nothing is written as long as events stay.
    pub(super) fn is_implicit(&self) -> bool {
        self.is_implicit
    }

    /// Events up to this one have stayed where they were, and nothing was written yet.
    pub(super) fn stayed(&mut self, position: Position) {
        self.stayed = self.stayed.max(Some(position));
        self.end = self.stayed;
    }

    /// The next event became these. What it became stands behind everything that is written.
    pub(super) fn became(&mut self, source: Position, target: Position, target_length: u64) {
        self.say_what_stayed();
        if self.end.is_some_and(|end| source <= end) {
            self.late.push(LatePosition { source, target, target_length });
            return;
        }
        self.end = Some(source);
        let range = match self.growing {
            Some(range) if target_length == 1 && follows(&range, source, target) => {
                let length = source.major() - range.source.major() + 1;
                PositionRange { source_length: length, target_length: length, ..range }
            }
            _ => PositionRange { source, source_length: 1, target, target_length },
        };
        self.growing = Some(range);
        match self.ranges.last_mut() {
            Some(last) if last.source == range.source => *last = range,
            _ => self.ranges.push(range),
        }
    }

    /// Several events became one, which stands behind everything that is written. `sources` ascend.
    pub(super) fn merged(&mut self, sources: &[Position], target: Position) {
        self.say_what_stayed();
        let Some((last, others)) = sources.split_last() else { return };
        self.late.extend(others.iter().map(|source| LatePosition { source: *source, target, target_length: 1 }));
        self.became(*last, target, 1);
    }

    /// An event became nothing by itself. What was merged in its place is what it became, and a range goes on behind that.
    pub(super) fn left_nothing(&mut self, source: Position) {
        self.say_what_stayed();
        if self.end != Some(source) {
            self.interrupt();
        }
    }

    /// The next events are not consecutive with those before: what is between became nothing, or nothing yet.
    pub(super) fn interrupt(&mut self) {
        self.growing = None;
    }

    /// An event that was held, or given up, is not where the ranges leave a place for it.
    pub(super) async fn make_room(&mut self, source: Position, store: &dyn CheckpointStore) -> Result<(), StoreError> {
        self.say_what_stayed();
        self.growing = None;
        let Some(around) = self.range_around(source, store).await? else { return Ok(()) };
        let before = source.major() - around.source.major();
        self.put(PositionRange { source_length: before, target_length: before, ..around });
        let behind = around.source_length - before - 1;
        if behind > 0 {
            self.put(PositionRange {
                source: Position::new(source.major() + 1),
                source_length: behind,
                target: Position::new(around.target.major() + before + 1),
                target_length: behind,
            });
        }
        Ok(())
    }

    /// An event that was held has come to the place that was left free for it, which is the one that it had.
    pub(super) async fn came_to_its_place(
        &mut self,
        position: Position,
        store: &dyn CheckpointStore,
    ) -> Result<(), StoreError> {
        self.growing = None;
        if self.is_implicit {
            self.stayed(position);
            return Ok(());
        }
        if self.range_around(position, store).await?.is_none() {
            self.put(PositionRange { source: position, source_length: 1, target: position, target_length: 1 });
        }
        self.end = self.end.max(Some(position));
        Ok(())
    }

    /// What is to be committed with the events since the last commit.
    pub(super) fn fill(&self, progress: &mut Progress) {
        progress.positions.clone_from(&self.ranges);
        progress.late.clone_from(&self.late);
    }

    /// Says that it is committed.
    pub(super) fn committed(&mut self) {
        self.ranges.clear();
        self.late.clear();
    }

    /// From now on the map says everything.
    fn say_what_stayed(&mut self) {
        if !self.is_implicit {
            return;
        }
        self.is_implicit = false;
        let Some(until) = self.stayed.take() else { return };
        let (start, length) = (Position::new(0), until.major().saturating_add(1).min(LONGEST));
        let range = PositionRange { source: start, source_length: length, target: start, target_length: length };
        self.ranges.push(range);
        self.growing = Some(range);
    }

    /// The range that goes over a source position one by one.
    async fn range_around(
        &self,
        source: Position,
        store: &dyn CheckpointStore,
    ) -> Result<Option<PositionRange>, StoreError> {
        if source.minor().is_some() {
            return Ok(None);
        }
        let stored = store.position_at(self.run, source).await?;
        let changed = self.ranges.iter().filter(|range| range.source <= source).max_by_key(|range| range.source);
        // What was changed for this transaction counts, unless the stored one begins behind it.
        let around = match (changed, stored) {
            (Some(changed), Some(stored)) if stored.source > changed.source => Some(stored),
            (Some(changed), _) => Some(*changed),
            (None, stored) => stored,
        };
        Ok(around.filter(|around| {
            around.source_length == around.target_length
                && around.source.minor().is_none()
                && source.major().checked_sub(around.source.major()).is_some_and(|at| at < around.source_length)
        }))
    }

    fn put(&mut self, range: PositionRange) {
        match self.ranges.iter_mut().find(|known| known.source == range.source) {
            Some(known) => *known = range,
            None => self.ranges.push(range),
        }
    }
}

/// Whether a range that pairs positions one by one does so with these as well.
fn follows(range: &PositionRange, source: Position, target: Position) -> bool {
    let (from, to) = (range.source.major(), range.target.major());
    range.source_length == range.target_length
        && source.minor().is_none()
        && source.major().checked_sub(from).is_some_and(|offset| target.major().checked_sub(to) == Some(offset))
}

/// The last source position of a range.
fn last_of(range: &PositionRange) -> Position {
    match range.source.minor() {
        None => Position::new(range.source.major().saturating_add(range.source_length.saturating_sub(1))),
        Some(_) => range.source,
    }
}
