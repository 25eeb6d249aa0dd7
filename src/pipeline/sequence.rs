//! The sequence stage: applies the stateful rules in order, and gives each event its target revision and position.

use std::collections::BTreeMap;
use std::num::TryFromIntError;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use eventlift_events::{
    Checkpoint, CheckpointStore, Counts, Event, EventOrigin, EventWriter, NoteChange, Position, Progress, Revision,
    RunId, StateKey, StreamName,
};
use eventlift_transformers::{Merged, Reason, Registry, Shape, StatefulTransformer, TransformError};

use super::error::{PipelineError, Refusal};
use super::onto::Beginning;
use super::overlooked::Overlooked;
use super::position_recorder::PositionRecorder;
use super::quarantine::Holding;
use super::rule_counts::{self, RuleCounts};
use super::state::StreamState;
use super::transform::{LiftedBatch, Origin, Origins};
use super::windows;

/// How target revisions come about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Numbering {
    /// Every rule is one-to-one: revisions stay.
    Kept,
    /// Splits and drops shift what follows in their stream. Only streams that have a shift need remembering.
    Shifted,
    /// Events change streams, so a stream's events are counted as they arrive.
    Counted,
    /// Every stream goes on behind the last event that the target held of it, and is counted from there.
    Continued,
}

/// Gives events their place in the target, one batch after the other, in order.
pub(super) struct Sequencer {
    registry: Arc<Registry>,
    run: RunId,
    numbering: Numbering,
    state: StreamState,
    counts: Counts,
    source: Option<Position>,
    target: Option<Position>,
    map: PositionRecorder,
    /// Notes that have changed since the last commit, by book and key.
    notes: BTreeMap<(ByteString, ByteString), Option<Bytes>>,
    /// Where the source had ended when windows were closed for that.
    closed_at: Option<Position>,
    /// Where the events came from that were numbered since the last commit, for a target that keeps that.
    origins: Option<Vec<EventOrigin>>,
    committed: Option<Checkpoint>,
    /// What waits in quarantine, and what was given up.
    holding: Holding,
    /// What fails and ends nothing, in a rehearsal.
    overlooked: Option<Overlooked>,
    /// How many events each rule took.
    took: RuleCounts,
}

/// The events that took the place of one source event.
struct Group {
    origin: Origin,
    events: Vec<Event>,
    /// The event as it was read, where batches come with those.
    source: Option<Event>,
    /// What it failed with.
    failed: Option<PipelineError>,
    /// What was made of earlier events, and comes before the others.
    merged: Vec<Merged>,
    /// Whether the event before it waits in quarantine.
    is_behind_held: bool,
}

/// Where events go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// To the place that comes next.
    Next,
    /// Once released, to the place that was left free for them.
    Their,
    /// Once released, behind the last event of the target.
    Last,
}

impl Sequencer {
    /// Starts a run, or goes on behind a checkpoint.
    pub(super) async fn resume(
        registry: Arc<Registry>,
        run: RunId,
        checkpoint: Option<Checkpoint>,
        store: &dyn CheckpointStore,
    ) -> Result<Self, PipelineError> {
        let numbering = match registry.shape() {
            Shape::OneToOne => Numbering::Kept,
            Shape::Splitting | Shape::Shifting => Numbering::Shifted,
            Shape::Moving => Numbering::Counted,
        };
        let map = PositionRecorder::resume(run, checkpoint, store).await.map_err(PipelineError::Target)?;
        let closed_at = match registry.stateful().iter().any(|rule| rule.keeps_back()) && checkpoint.is_some() {
            true => windows::closed_at(run, store).await?,
            false => None,
        };
        Ok(Self {
            registry,
            run,
            numbering,
            state: StreamState::new(run, checkpoint.is_none()),
            counts: checkpoint.map(|c| c.counts).unwrap_or_default(),
            source: checkpoint.map(|c| c.source),
            target: checkpoint.and_then(|c| c.target),
            map,
            notes: BTreeMap::new(),
            closed_at,
            origins: None,
            committed: checkpoint,
            holding: Holding::default(),
            overlooked: None,
            took: match checkpoint {
                Some(_) => RuleCounts::load(store, run).await.map_err(PipelineError::Target)?,
                None => RuleCounts::default(),
            },
        })
    }

    /// Has every stream, and the positions, go on behind what the target held at the beginning.
    pub(super) fn go_on_behind(&mut self, beginning: Beginning) {
        self.numbering = Numbering::Continued;
        if self.committed.is_none() {
            self.source = beginning.source;
            self.target = beginning.target;
        }
    }

    /// The same, remembering where each event came from until it is committed.
    pub(super) fn keeping_origins(self, keeps: bool) -> Self {
        Self { origins: keeps.then(Vec::new), ..self }
    }

    /// The same, where a source whose revisions may have gaps goes to a target that takes none: every stream is counted
    /// anew.
    pub(super) fn closing_gaps(self, closes: bool) -> Self {
        if closes { Self { numbering: Numbering::Counted, ..self } } else { self }
    }

    /// The same, of a run that holds this in quarantine.
    pub(super) fn holding(self, holding: Holding) -> Self {
        Self { holding, ..self }
    }

    /// The same, going on behind what fails as if it were not there, in a rehearsal. What goes to quarantine does so.
    pub(super) fn overlooking(self, overlooked: Option<Overlooked>) -> Self {
        Self { overlooked, ..self }
    }

    /// What is in quarantine.
    pub(super) fn held(&self) -> &Holding {
        &self.holding
    }

    pub(super) fn holding_mut(&mut self) -> &mut Holding {
        &mut self.holding
    }

    /// Whether batches must come with their origins.
    pub(super) fn origins(&self) -> Origins {
        if self.holding.needs_sources() || self.overlooked.is_some() {
            return Origins::WithSources;
        }
        if self.is_one_to_one() { Origins::Implied } else { Origins::Kept }
    }

    /// Whether each event keeps its revision, whatever came before it.
    fn is_one_to_one(&self) -> bool {
        self.numbering == Numbering::Kept && self.registry.stateful().is_empty()
    }

    /// Numbers the next batch. `target` is where streams are gone on with, for a sequencer that goes on. A rule that fails fails the batch from its event on: the events before it are in
    /// `events`, and the error comes back beside them.
    pub(super) async fn number(
        &mut self,
        batch: LiftedBatch,
        store: &dyn CheckpointStore,
        target: Option<&dyn EventWriter>,
        events: &mut Vec<Event>,
    ) -> Result<Option<PipelineError>, PipelineError> {
        self.took.add(&self.registry, &batch.took);
        if self.is_one_to_one() && batch.failures.is_empty() && !self.holding.is_uneven() {
            return self.number_one_to_one(batch, events);
        }
        if self.registry.stateful().is_empty() && batch.sources.is_empty() && !self.holding.needs_sources() {
            return self.number_stateless(batch, store, target, events).await;
        }
        let (groups, failed) = group(batch);
        if let (Some(closed), false) = (self.closed_at, groups.is_empty()) {
            return Err(PipelineError::Refused(Refusal::Unfit(windows::grown(closed))));
        }
        self.load_state(&groups, store).await?;
        let mut kept = Vec::with_capacity(groups.len());
        let (mut stopped, mut last, mut is_behind_held) = (None, self.source, false);
        for mut group in groups {
            let position = group.origin.position;
            match self.take(&mut group, store).await? {
                Ok(true) => {
                    group.is_behind_held = std::mem::take(&mut is_behind_held);
                    kept.push(group);
                }
                Ok(false) => is_behind_held = true,
                Err(error) => {
                    stopped = Some(error);
                    break;
                }
            }
            last = Some(position);
        }
        self.load_numbers_of(&kept, store).await?;
        if let Some(target) = target.filter(|_| self.numbering == Numbering::Continued) {
            self.load_heads(kept.iter().flat_map(|group| &group.events), target).await?;
        }
        for group in kept {
            if group.is_behind_held {
                self.map.interrupt();
            }
            self.number_group(group, Place::Next, events)?;
        }
        if is_behind_held {
            self.map.interrupt();
        }
        self.source = last;
        Ok(stopped.or(failed))
    }

    /// Runs the stateful rules over a group, unless it waits in quarantine or goes there: then it is none of the
    /// target's, and false is returned. The inner error is the event's own, with which the run stops.
    async fn take(
        &mut self,
        group: &mut Group,
        store: &dyn CheckpointStore,
    ) -> Result<Result<bool, PipelineError>, PipelineError> {
        if let Some(source) = &group.source
            && self.holding.holds(&source.stream)
        {
            if let (Some(failed), Some(overlooked)) = (&group.failed, &self.overlooked) {
                overlooked.add(failed);
            }
            return Ok(self.holding.wait(source).map(|()| false));
        }
        let failed = match group.failed.take() {
            Some(failed) => Some(failed),
            None => self.apply_rules(group, store).await?.err(),
        };
        if let (Some(failed), Some(overlooked)) = (&failed, &self.overlooked) {
            overlooked.add(failed);
            if !self.holding.opens() {
                return Ok(Ok(false));
            }
        }
        Ok(match (failed, &group.source) {
            (None, _) => Ok(true),
            (Some(error), Some(source)) => self.holding.open(source, error).map(|()| false),
            (Some(error), None) => Err(error),
        })
    }

    /// Numbers lifted events that were held until now, up to the first that fails. Returns how many of the batch's events
    /// were numbered, and with what the one behind them failed.
    pub(super) async fn release(
        &mut self,
        batch: LiftedBatch,
        place: Place,
        store: &dyn CheckpointStore,
        events: &mut Vec<Event>,
    ) -> Result<(usize, Option<PipelineError>), PipelineError> {
        self.took.add(&self.registry, &batch.took);
        let (groups, _) = group(batch);
        self.load_state(&groups, store).await?;
        let mut kept = Vec::with_capacity(groups.len());
        let mut failed = None;
        for mut group in groups {
            let error = match group.failed.take() {
                Some(failed) => Some(failed),
                None => self.apply_rules(&mut group, store).await?.err(),
            };
            if error.is_some() {
                failed = error;
                break;
            }
            kept.push(group);
        }
        let released = kept.len();
        self.load_numbers_of(&kept, store).await?;
        for group in kept {
            self.number_released(group, place, store, events).await?;
        }
        Ok((released, failed))
    }

    async fn number_released(
        &mut self,
        group: Group,
        place: Place,
        store: &dyn CheckpointStore,
        events: &mut Vec<Event>,
    ) -> Result<(), PipelineError> {
        let (source, last, until) = (group.origin.position, self.target, self.source);
        // The first event that is written needs no earlier places.
        let is_first = last.is_none() && self.numbering == Numbering::Kept && self.target_position(source)? == source;
        let place = if is_first { Place::Their } else { place };
        let mapped = match place {
            Place::Their => self.map.came_to_its_place(source, store).await,
            Place::Last | Place::Next => self.map.make_room(source, store).await,
        };
        mapped.map_err(PipelineError::Target)?;
        self.number_group(group, place, events)?;
        // The run is as far as it was.
        self.source = until;
        self.target = self.target.max(last);
        let numbering = &mut self.holding.numbering;
        if place == Place::Last {
            numbering.at_the_end += 1;
            // Its own place stays free, though it is read now.
            numbering.free += u64::from(source.minor().is_none());
        } else {
            numbering.to_their_places += 1;
        }
        Ok(())
    }

    /// Counts an event that was held as one that became none, for good.
    pub(super) async fn give_up(
        &mut self,
        position: Position,
        store: &dyn CheckpointStore,
    ) -> Result<(), PipelineError> {
        self.map.make_room(position, store).await.map_err(PipelineError::Target)?;
        self.counts.read += 1;
        self.counts.dropped += 1;
        self.holding.numbering.free += u64::from(position.minor().is_none());
        Ok(())
    }

    fn number_one_to_one(
        &mut self,
        batch: LiftedBatch,
        events: &mut Vec<Event>,
    ) -> Result<Option<PipelineError>, PipelineError> {
        for mut event in batch.events {
            let source = event.position;
            self.came_from(event.revision, source);
            event.position = self.target_position(source)?;
            self.map_kept(source, event.position);
            self.source = Some(source);
            self.target = Some(event.position);
            self.counts.read += 1;
            self.counts.written += 1;
            events.push(event);
        }
        self.counts.lifted += batch.lifted;
        Ok(batch.failed)
    }

    /// Numbers what rules without state have made, where nothing can be held: as it stands, without looking at each group
    /// by itself.
    async fn number_stateless(
        &mut self,
        batch: LiftedBatch,
        store: &dyn CheckpointStore,
        target: Option<&dyn EventWriter>,
        events: &mut Vec<Event>,
    ) -> Result<Option<PipelineError>, PipelineError> {
        let LiftedBatch { events: lifted, origins, failed, .. } = batch;
        self.load_numbers(origins.iter(), lifted.iter(), store).await?;
        if let Some(target) = target.filter(|_| self.numbering == Numbering::Continued) {
            self.load_heads(lifted.iter(), target).await?;
        }
        let mut lifted = lifted.into_iter();
        for origin in &origins {
            let start = self.target_position(origin.position)?;
            for (index, mut event) in lifted.by_ref().take(origin.parts).enumerate() {
                event.position = nth_behind(start, index)?;
                event.revision = self.target_revision(origin, &event, index)?;
                self.target = Some(event.position);
                self.came_from(origin.revision, origin.position);
                events.push(event);
            }
            self.shift(origin, origin.parts)?;
            self.map_own(origin, start, origin.parts);
            self.count(origin, origin.parts);
        }
        Ok(failed)
    }

    /// Remembers that a stream's next events are shifted by what one has become.
    fn shift(&mut self, origin: &Origin, count: usize) -> Result<(), PipelineError> {
        if self.numbering == Numbering::Shifted && count != 1 {
            let key = shift_key(&origin.stream);
            let shift = self.number_at(&key)? + as_signed(count)? - 1;
            self.state.set(&key, (shift != 0).then(|| number_bytes(shift)));
        }
        Ok(())
    }

    /// Maps an event's position to those of what it became by itself.
    fn map_own(&mut self, origin: &Origin, first_target: Position, own: usize) {
        match own {
            0 => self.map.left_nothing(origin.position),
            1 if self.numbering == Numbering::Kept => self.map_kept(origin.position, first_target),
            own => self.map.became(origin.position, first_target, own as u64),
        }
    }

    /// Maps the position of an event that keeps its revision, and its position as well where nothing has moved.
    fn map_kept(&mut self, source: Position, target: Position) {
        if source == target && self.map.is_implicit() {
            self.map.stayed(source);
        } else {
            self.map.became(source, target, 1);
        }
    }

    /// Counts an event that has become this many by itself.
    fn count(&mut self, origin: &Origin, own: usize) {
        self.source = Some(origin.position);
        self.counts.read += 1;
        self.counts.written += own as u64;
        self.counts.lifted += u64::from(origin.lifted);
        self.counts.dropped += u64::from(own == 0);
        self.counts.split += u64::from(own > 1);
    }

    /// Makes the state of the streams available that stateful rules will observe.
    async fn load_state(&mut self, groups: &[Group], store: &dyn CheckpointStore) -> Result<(), PipelineError> {
        let registry = Arc::clone(&self.registry);
        for rule in registry.stateful() {
            let observed = groups.iter().filter(|group| group.events.iter().any(|e| observes(&**rule, e)));
            let keys = observed.map(|group| state_key(&**rule, &group.origin.stream));
            self.state.load(keys, store).await.map_err(PipelineError::Target)?;
        }
        Ok(())
    }

    /// Applies the rules one after the other. State changes only once all of them have taken the event, since what
    /// came before a failing event is committed.
    async fn apply_rules(
        &mut self,
        group: &mut Group,
        store: &dyn CheckpointStore,
    ) -> Result<Result<(), PipelineError>, PipelineError> {
        let registry = Arc::clone(&self.registry);
        let (mut changes, mut windows_changed) = (Vec::new(), Vec::new());
        let mut taken = Vec::new();
        for rule in registry.stateful() {
            // One that only closes a window is none that the rule took.
            let takes = |event: &Event| !rule.keeps_back() || rule.makes_of(&event.event_type, event.version).is_some();
            if group.events.iter().any(|event| observes(&**rule, event) && takes(event)) {
                taken.push(rule);
            }
            if group.events.iter().any(|event| observes(&**rule, event)) {
                let key = state_key(&**rule, &group.origin.stream);
                // An earlier rule may have made it an event that this one observes.
                self.state.load(std::iter::once(key.clone()), store).await.map_err(PipelineError::Target)?;
                let mut state = self.state.get(&key).map(|value| value.to_vec()).unwrap_or_default();
                let was_open = !state.is_empty();
                if let Err(error) = apply_rule(&**rule, &mut state, group) {
                    return Ok(Err(PipelineError::Transform(Box::new(error))));
                }
                if rule.keeps_back() && was_open == state.is_empty() {
                    let window = windows::window_key(&**rule, &group.origin.stream);
                    self.state.load(std::iter::once(window.clone()), store).await.map_err(PipelineError::Target)?;
                    windows_changed.push((Arc::clone(rule), window, group.origin.clone(), !was_open));
                }
                changes.push((key, (!state.is_empty()).then(|| Bytes::from(state))));
            }
        }
        for (key, value) in changes {
            self.state.set(&key, value);
        }
        taken.into_iter().for_each(|rule| self.took.count(rule.name(), 1));
        for (rule, window, origin, opened) in windows_changed {
            self.window_changed(&*rule, &window, &origin, opened)?;
        }
        Ok(Ok(()))
    }

    async fn load_numbers_of(&mut self, groups: &[Group], store: &dyn CheckpointStore) -> Result<(), PipelineError> {
        let merged = groups.iter().flat_map(|group| &group.merged).map(|merged| &merged.event);
        let events = groups.iter().flat_map(|group| &group.events).chain(merged);
        self.load_numbers(groups.iter().map(|group| &group.origin), events, store).await
    }

    async fn load_numbers(
        &mut self,
        origins: impl Iterator<Item = &Origin>,
        events: impl Iterator<Item = &Event>,
        store: &dyn CheckpointStore,
    ) -> Result<(), PipelineError> {
        let loaded = match self.numbering {
            Numbering::Kept => return Ok(()),
            Numbering::Shifted => self.state.load(origins.map(|origin| shift_key(&origin.stream)), store).await,
            Numbering::Counted | Numbering::Continued => {
                self.state.load(events.map(|event| next_key(&event.stream)), store).await
            }
        };
        loaded.map_err(PipelineError::Target)
    }

    /// The next revision of streams that nothing was appended to yet.
    async fn load_heads(
        &mut self,
        events: impl Iterator<Item = &Event>,
        target: &dyn EventWriter,
    ) -> Result<(), PipelineError> {
        let streams = events.map(|event| &event.stream);
        let mut new: Vec<StreamName> = streams.filter(|s| self.state.get(&next_key(s)).is_none()).cloned().collect();
        new.sort_unstable();
        new.dedup();
        if new.is_empty() {
            return Ok(());
        }
        let heads = target.heads(&new).await.map_err(PipelineError::Target)?;
        for (stream, head) in new.iter().zip(heads) {
            let next = head.map_or(Revision(0), Revision::next);
            let next = i64::try_from(next.0).map_err(|_: TryFromIntError| too_large())?;
            self.state.set(&next_key(stream), Some(number_bytes(next)));
        }
        Ok(())
    }

    fn number_group(&mut self, group: Group, place: Place, events: &mut Vec<Event>) -> Result<(), PipelineError> {
        let Group { origin, events: parts, merged, .. } = group;
        let (before, own) = (merged.len(), parts.len());
        let count = before + own;
        let mut collected = Vec::new();
        let mut all = Vec::with_capacity(count);
        for Merged { event, sources } in merged {
            collected.push(sources);
            all.push(event);
        }
        all.extend(parts);
        let start = match (place, self.target) {
            (Place::Last, Some(last)) => last.major().checked_add(1).map(Position::new).ok_or_else(too_large)?,
            (Place::Last, None) => self.place_behind(self.source.unwrap_or(origin.position))?,
            _ => self.target_position(origin.position)?,
        };
        let first_target = nth_behind(start, before)?;
        let mut targets = Vec::with_capacity(before);
        for (index, mut event) in all.into_iter().enumerate() {
            event.position = nth_behind(start, index)?;
            if index < before {
                targets.push(event.position);
            }
            event.revision = self.target_revision(&origin, &event, index)?;
            self.target = Some(event.position);
            self.came_from(origin.revision, origin.position);
            events.push(event);
        }
        self.shift(&origin, count)?;
        for (sources, target) in collected.iter().zip(targets) {
            self.map.merged(sources, target);
        }
        if place != Place::Their {
            self.map_own(&origin, first_target, own);
        }
        self.count(&origin, own);
        self.counts.written += before as u64;
        self.counts.dropped -= u64::from(own == 0 && before > 0);
        // Of what one event is made of, all but one are gone; the one that stands in the last one's place is not counted
        // as dropped in the first place.
        let stand_in = u64::from(before > 0 && own == 0);
        self.counts.dropped = self.counts.dropped.saturating_sub((before as u64).saturating_sub(stand_in));
        Ok(())
    }

    /// Notes that a window has opened or closed. Windows are noted by the position that opened them, and are closed in
    /// that order.
    fn window_changed(
        &mut self,
        rule: &dyn StatefulTransformer,
        window: &StateKey,
        origin: &Origin,
        opened: bool,
    ) -> Result<(), PipelineError> {
        if opened {
            let key = windows::note_key(rule, origin.position);
            let value = windows::note_value(rule, &origin.stream);
            self.state.set(window, Some(Bytes::copy_from_slice(key.as_bytes())));
            self.notes.insert((ByteString::from_static(windows::OPEN), key), Some(value));
            return Ok(());
        }
        let key = self.state.get(window).and_then(|key| std::str::from_utf8(key).ok()).map(ByteString::from);
        let key = key.ok_or_else(|| {
            let problem = format!("the target's ledger has no note of the open window of stream {}", window.stream);
            PipelineError::Refused(Refusal::Unfit(problem))
        })?;
        self.state.set(window, None);
        self.notes.insert((ByteString::from_static(windows::OPEN), key), None);
        Ok(())
    }

    /// Closes open windows behind a note, in the order in which they were opened, some at a time: all, or those that end
    /// with the source. Nothing that was numbered before may be uncommitted. The note to go on behind; none at the end.
    pub(super) async fn close_windows(
        &mut self,
        all: bool,
        after: Option<&str>,
        store: &dyn CheckpointStore,
        events: &mut Vec<Event>,
    ) -> Result<Option<ByteString>, PipelineError> {
        let Some(end) = self.source else { return Ok(None) };
        let notes =
            store.notes(self.run, windows::OPEN, after, windows::AT_ONCE).await.map_err(PipelineError::Target)?;
        let last = notes.last().map(|(key, _)| key.clone());
        let registry = Arc::clone(&self.registry);
        for (key, value) in notes {
            let (name, stream) = windows::read_note(&key, &value)?;
            let rule = registry.stateful().iter().find(|rule| rule.name() == name);
            let Some(rule) = rule.filter(|rule| all || rule.ends_with_source()) else { continue };
            let keys = [state_key(&**rule, &stream), windows::window_key(&**rule, &stream)];
            self.state.load(keys.iter().cloned(), store).await.map_err(PipelineError::Target)?;
            let mut state = self.state.get(&keys[0]).map(|value| value.to_vec()).unwrap_or_default();
            let failed =
                |reason: Reason| PipelineError::Refused(Refusal::Unfit(format!("{name}: stream {stream}: {reason}")));
            let merged = rule.finish(&mut state, &stream).map_err(failed)?;
            self.state.set(&keys[0], (!state.is_empty()).then(|| Bytes::from(state)));
            self.state.set(&keys[1], None);
            self.notes.insert((ByteString::from_static(windows::OPEN), key), None);
            let mark = windows::mark(end, all);
            self.notes
                .insert((ByteString::from_static(windows::CLOSED), ByteString::from_static(windows::AT)), Some(mark));
            self.closed_at = Some(end);
            if let Some(merged) = merged {
                self.number_at_end(merged, end, store, events).await?;
            }
        }
        Ok(last)
    }

    /// Whether there are rules whose windows are closed where the source ends; `all`: whether any has windows.
    pub(super) fn closes_windows(&self, all: bool) -> bool {
        self.registry.stateful().iter().any(|rule| rule.keeps_back() && (all || rule.ends_with_source()))
    }

    /// Gives an event the place behind everything that was numbered so far.
    async fn number_at_end(
        &mut self,
        merged: Merged,
        end: Position,
        store: &dyn CheckpointStore,
        events: &mut Vec<Event>,
    ) -> Result<(), PipelineError> {
        let Merged { mut event, sources } = merged;
        self.state.load(std::iter::once(next_key(&event.stream)), store).await.map_err(PipelineError::Target)?;
        event.position = self.place_behind(end)?;
        let (revision, position) = (event.revision, event.position);
        self.came_from(revision, sources.last().copied().unwrap_or(end));
        let (stream, parts) = (event.stream.clone(), 1);
        let origin = Origin { stream, revision, position, parts, lifted: true };
        event.revision = self.target_revision(&origin, &event, 0)?;
        self.target = Some(event.position);
        self.map.merged(&sources, event.position);
        self.counts.written += 1;
        self.counts.dropped = self.counts.dropped.saturating_sub(1);
        events.push(event);
        Ok(())
    }

    /// Remembers where the event came from that is pushed next.
    fn came_from(&mut self, revision: Revision, position: Position) {
        if let Some(origins) = &mut self.origins {
            origins.push(EventOrigin { revision, position });
        }
    }

    /// Goes on behind a position up to which the source has nothing more.
    pub(super) fn pass_to(&mut self, position: Position) {
        self.source = self.source.max(Some(position));
    }

    fn target_revision(&mut self, origin: &Origin, event: &Event, index: usize) -> Result<Revision, PipelineError> {
        match self.numbering {
            Numbering::Kept => {
                let given_up = self.holding.given_up_before(&origin.stream, origin.position);
                origin.revision.0.checked_sub(given_up).map(Revision).ok_or_else(too_large)
            }
            Numbering::Shifted => {
                let given_up = self.holding.given_up_before(&origin.stream, origin.position).cast_signed();
                let shift = self.number_at(&shift_key(&origin.stream))? + as_signed(index)? - given_up;
                origin.revision.0.checked_add_signed(shift).map(Revision).ok_or_else(too_large)
            }
            Numbering::Counted | Numbering::Continued => {
                let key = next_key(&event.stream);
                let next = self.number_at(&key)?;
                self.state.set(&key, Some(number_bytes(next + 1)));
                u64::try_from(next).map(Revision).map_err(|_| too_large())
            }
        }
    }

    /// The target position of the event that is read next, or of its first part. Splits and drops shift everything behind them,
    /// gaps in the source stay. Positions of two numbers are counted anew.
    fn target_position(&self, source: Position) -> Result<Position, PipelineError> {
        if self.numbering == Numbering::Continued {
            let next = self.target.map_or(Some(0), |last| last.major().checked_add(1));
            return next.map(Position::new).ok_or_else(too_large);
        }
        let Counts { read, written, .. } = self.counts;
        let added = written + self.holding.numbering.free;
        let start = match source.minor() {
            None if added >= read => source.major().checked_add(added - read),
            None => source.major().checked_sub(read - added),
            Some(_) => Some(written),
        };
        start.map(Position::new).ok_or_else(too_large)
    }

    /// The target position behind everything that was made of the source up to its end.
    fn place_behind(&self, end: Position) -> Result<Position, PipelineError> {
        let Counts { read, written, .. } = self.counts;
        let added = written + self.holding.numbering.free;
        let behind = match end.minor() {
            None => end.major().checked_add(1).and_then(|next| next.checked_add(added)?.checked_sub(read)),
            Some(_) => Some(written),
        };
        behind.map(Position::new).ok_or_else(too_large)
    }

    fn number_at(&self, key: &StateKey) -> Result<i64, PipelineError> {
        let Some(value) = self.state.get(key) else { return Ok(0) };
        let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        number.ok_or_else(|| {
            let problem = format!("the target's ledger holds no number for {} of stream {}", key.owner, key.stream);
            PipelineError::Refused(Refusal::Unfit(problem))
        })
    }

    /// What was done so far, committed or not.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// The last source position that was numbered.
    pub(super) fn source(&self) -> Option<Position> {
        self.source
    }

    /// The last target position that was given out.
    pub(super) fn target(&self) -> Option<Position> {
        self.target
    }

    /// What to commit with the events numbered since the last commit; none if there were none.
    pub(super) fn progress(&self) -> Option<Progress> {
        let source = self.source?;
        let checkpoint = Checkpoint { source, target: self.target, counts: self.counts };
        if self.committed == Some(checkpoint) {
            return None;
        }
        let mut progress = Progress {
            run: self.run,
            checkpoint,
            state: self.state.changes(),
            positions: Vec::new(),
            late: Vec::new(),
            notes: self
                .notes
                .iter()
                .map(note_change)
                .chain(self.holding.notes())
                .chain(self.took.note(rule_counts::IN_ORDER))
                .collect(),
            origins: self.origins.clone().unwrap_or_default(),
        };
        self.map.fill(&mut progress);
        Some(progress)
    }

    /// Says that this progress is committed.
    pub(super) fn committed(&mut self, progress: &Progress) {
        self.committed = Some(progress.checkpoint);
        self.state.committed();
        self.map.committed();
        self.notes.clear();
        if let Some(origins) = &mut self.origins {
            origins.clear();
        }
        self.holding.committed();
        self.took.committed();
    }
}

fn note_change(((book, key), value): (&(ByteString, ByteString), &Option<Bytes>)) -> NoteChange {
    NoteChange { book: book.clone(), key: key.clone(), value: value.clone() }
}

/// The position that is so many behind this one.
fn nth_behind(start: Position, index: usize) -> Result<Position, PipelineError> {
    start.major().checked_add(index as u64).map(Position::new).ok_or_else(too_large)
}

/// The groups of a batch, and the error that the event behind the last one met.
fn group(batch: LiftedBatch) -> (Vec<Group>, Option<PipelineError>) {
    let LiftedBatch { events, origins, sources, failures, failed, .. } = batch;
    let (mut events, mut sources, mut failures) =
        (events.into_iter(), sources.into_iter(), failures.into_iter().peekable());
    let groups = origins.into_iter().enumerate().map(|(index, origin)| {
        let events = events.by_ref().take(origin.parts).collect();
        let failed = failures.next_if(|(failed, _)| *failed == index).map(|(_, error)| error);
        Group { origin, events, merged: Vec::new(), source: sources.next(), failed, is_behind_held: false }
    });
    (groups.collect(), failed)
}

/// Lets a rule replace the events of a group that it observes.
fn apply_rule(rule: &dyn StatefulTransformer, state: &mut Vec<u8>, group: &mut Group) -> Result<(), TransformError> {
    let mut after = Vec::with_capacity(group.events.len());
    for event in std::mem::take(&mut group.events) {
        if !observes(rule, &event) {
            after.push(event);
            continue;
        }
        let before = event.clone();
        let mut parts = Vec::with_capacity(1);
        rule.collect(state, event, &mut group.merged, &mut parts)
            .and_then(|()| check_shape(rule, &before, &parts))
            .map_err(|reason| TransformError::new(rule.name(), &before, reason))?;
        restore_envelopes(rule, &before, &mut parts);
        group.origin.lifted |= parts.len() != 1 || parts[0] != before;
        after.append(&mut parts);
    }
    group.origin.parts = after.len();
    group.events = after;
    Ok(())
}

/// Whether a rule that says it is one-to-one is.
fn check_shape(rule: &dyn StatefulTransformer, before: &Event, parts: &[Event]) -> Result<(), Reason> {
    if !rule.is_one_to_one() {
        return Ok(());
    }
    match parts {
        [part] if part.stream == before.stream => Ok(()),
        [part] => {
            let stream = &part.stream;
            Err(Reason::new(format_args!("it moves the event to stream {stream}, but says that it is one-to-one")))
        }
        parts => {
            let yielded = parts.len();
            Err(Reason::new(format_args!("it yields {yielded} events, but says that it is one-to-one")))
        }
    }
}

/// Gives what an event became the identity of the event, as lifting does.
fn restore_envelopes(rule: &dyn StatefulTransformer, before: &Event, parts: &mut [Event]) {
    for (index, part) in parts.iter_mut().enumerate() {
        part.id = before.id.of_part(index, rule.name());
        part.recorded_at = before.recorded_at;
        part.attributes = before.attributes.clone();
    }
}

fn observes(rule: &dyn StatefulTransformer, event: &Event) -> bool {
    rule.observes(&event.event_type, event.version)
}

fn state_key(rule: &dyn StatefulTransformer, stream: &StreamName) -> StateKey {
    StateKey { owner: ByteString::from(format!("rule {}", rule.name())), stream: stream.text().clone() }
}

fn shift_key(stream: &StreamName) -> StateKey {
    StateKey { owner: ByteString::from_static("shift"), stream: stream.text().clone() }
}

fn next_key(stream: &StreamName) -> StateKey {
    StateKey { owner: ByteString::from_static("next revision"), stream: stream.text().clone() }
}

fn number_bytes(number: i64) -> Bytes {
    Bytes::from(number.to_string())
}

fn as_signed(number: usize) -> Result<i64, PipelineError> {
    i64::try_from(number).map_err(|_: TryFromIntError| too_large())
}

fn too_large() -> PipelineError {
    PipelineError::Refused(Refusal::Unfit("a revision or position is out of range".to_owned()))
}
