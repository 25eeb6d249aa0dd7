//! What a transformer is: a pure, synchronous rule from one event to none, one or many.

use eventlift_events::{Event, EventType, Position, SchemaVersion, StreamName};
use eventlift_language::Reason;

use crate::upcaster::Schema;

/// What rules may do to the numbering of events, known before any runs. The later ones allow what the earlier ones do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Shape {
    /// One event for every event, in the same stream: revisions and positions stay what they were.
    #[default]
    OneToOne,
    /// One or more events for every event, in the same stream: what follows in the stream shifts, and nothing goes away.
    Splitting,
    /// Splits or drops, in the same stream: what follows in the stream shifts.
    Shifting,
    /// Events may change stream.
    Moving,
}

/// A rule over events that depends on nothing but the event.
///
/// What it yields belongs in the place of the event, in the order yielded. Ids, revisions and positions of what it
/// yields are not its business: the registry gives the parts of a split their ids, the pipeline numbers them.
pub trait Transformer: Send + Sync {
    /// Its name in plans, errors and ledgers, unique in a registry.
    fn name(&self) -> &str;

    /// Changes when, and only when, the rule may yield something else: a hash of the definition, or the version that
    /// the author of a closure declares.
    fn fingerprint(&self) -> &str;

    /// What it may do to numbering; an event that goes beyond it fails. Everything, unless it says otherwise.
    fn shape(&self) -> Shape {
        Shape::Moving
    }

    /// Yields the events that take the place of `event` by pushing them to `out`, or a reason why it can't. What was
    /// pushed before an error is discarded.
    fn transform(&self, event: Event, out: &mut Vec<Event>) -> Result<(), Reason>;
}

/// A rule over the events of a stream that also depends on what came before in the stream.
///
/// It sees the events of every stream in order, after all upcasters, and only those it [`observes`].
///
/// [`observes`]: StatefulTransformer::observes
pub trait StatefulTransformer: Send + Sync {
    /// Its name, unique in a registry: state is kept under it.
    fn name(&self) -> &str;

    /// As for [`Transformer::fingerprint`].
    fn fingerprint(&self) -> &str;

    /// Whether events of this type and version are its business.
    fn observes(&self, event_type: &EventType, version: SchemaVersion) -> bool;

    /// Whether it yields exactly one event, in the same stream, for every event.
    fn is_one_to_one(&self) -> bool;

    /// Yields the events that take the place of `event`. `state` is what it left there for the stream's previous
    /// event, empty at first; empty it to forget the stream. It is committed together with the events. The stream is
    /// the one that the event was read from, wherever a rule before this one moved it.
    fn transform(&self, state: &mut Vec<u8>, event: Event, out: &mut Vec<Event>) -> Result<(), Reason>;

    /// The same, for a rule that keeps events back and makes one of several: what is `closed` stands before `out`, in
    /// the place of `event`, and no other stateful rule sees it. Only [`transform`](Self::transform), unless overridden.
    fn collect(
        &self,
        state: &mut Vec<u8>,
        event: Event,
        closed: &mut Vec<Merged>,
        out: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        let _ = closed;
        self.transform(state, event, out)
    }

    /// Whether a state that is not empty holds events back, so that it has to be finished before the run is whole.
    fn keeps_back(&self) -> bool {
        false
    }

    /// What it makes of events of this type and version together with others; none where it leaves them what they are, or
    /// can't say. For plans.
    fn makes_of(&self, event_type: &EventType, version: SchemaVersion) -> Option<Schema> {
        let _ = (event_type, version);
        None
    }

    /// Whether it is meant to be so where it takes no event of a store.
    fn may_match_nothing(&self) -> bool {
        false
    }

    /// Whether what is kept back is given out where the source ends; otherwise it waits for what is still to come.
    fn ends_with_source(&self) -> bool {
        false
    }

    /// Gives out what it has kept back of a stream, and forgets it. Nothing, unless overridden.
    fn finish(&self, state: &mut Vec<u8>, stream: &StreamName) -> Result<Option<Merged>, Reason> {
        let _ = (state, stream);
        Ok(None)
    }
}

/// An event that takes the place of several. Its revision and position are given by the pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The event, with id, stream, time and attributes of its own.
    pub event: Event,
    /// The source positions of the events that it was made of, ascending.
    pub sources: Vec<Position>,
}

/// A rule failed on an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "failed to transform event {} ({} version {}, stream {}, revision {}) by {rule}: {reason}",
    event.id, event.event_type, event.version, event.stream, event.revision
)]
pub struct TransformError {
    /// The rule's name, and its file and line where it has one.
    pub rule: String,
    /// The event, as it was read.
    pub event: Box<Event>,
    /// Why.
    pub reason: Reason,
}

impl TransformError {
    /// The error of a rule on an event.
    pub fn new(rule: impl Into<String>, event: &Event, reason: Reason) -> Self {
        Self { rule: rule.into(), event: Box::new(event.clone()), reason }
    }
}
