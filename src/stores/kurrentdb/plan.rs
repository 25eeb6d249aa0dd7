//! Which events of an append belong together, and which the server can't take.

use std::collections::{BTreeSet, HashMap};

use eventlift_events::{Event, EventOrigin, StoreError, StoreErrorKind, StreamName};

use super::config::{Order, StreamMetadata};
use super::entry::{Entry, uuid_of};
use super::originals::Originals;

/// The type of events that are metadata of streams.
pub(super) const METADATA_TYPE: &str = "$metadata";

/// The type of events that say that a stream was deleted for good.
pub(super) const TOMBSTONE_TYPE: &str = "$streamDeleted";

const METADATA_PREFIX: &str = "$$";
const TOMBSTONE_PREFIX: &str = "$tombstone-";

/// A stream with its metadata and its tombstone: what has to be appended one after the other.
#[derive(Debug)]
pub(super) struct Lane {
    /// The stream's name.
    pub(super) stream: String,
    pub(super) steps: Vec<Step>,
}

/// A part of a lane.
#[derive(Debug)]
pub(super) enum Step {
    /// Events of the stream, each at the revision behind the one before.
    Events(Vec<Entry>),
    /// One event of its metadata.
    Metadata {
        entry: Entry,
        /// Whether it came from another store, whose revisions it speaks of.
        has_origin: bool,
        /// Whether the stream had revisions by then that are not those of the source, as far as this append tells.
        is_shifted: bool,
    },
    /// It was deleted for good.
    Tombstone,
}

/// An append, taken apart.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Independent of one another, unless the order is global: then one comes after the other.
    pub(super) lanes: Vec<Lane>,
    /// Streams whose tombstones are in it.
    pub(super) ending: BTreeSet<String>,
    /// Streams some of whose revisions are not those of the source.
    pub(super) shifted: BTreeSet<String>,
}

/// What an event is to the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Event,
    Metadata,
    Tombstone,
}

/// What decides how appends are taken apart.
pub(super) struct Planner<'a> {
    pub(super) originals: &'a Originals,
    pub(super) order: Order,
    pub(super) stream_metadata: StreamMetadata,
    pub(super) display: &'a str,
}

impl Planner<'_> {
    /// Takes an append apart. `origins` is empty, or has one for each event. Fails where an event is nothing that the server
    /// can keep.
    pub(super) fn plan(&self, events: &[Event], origins: &[EventOrigin]) -> Result<Plan, StoreError> {
        let mut plan = Plan::default();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (index, event) in events.iter().enumerate() {
            let origin = origins.get(index);
            let (kind, stream) = self.kind(event).map_err(|(problem, hint)| self.refused(event, problem, hint))?;
            let place = match (self.order, plan.lanes.last()) {
                (Order::Global, Some(last)) if last.stream == stream => plan.lanes.len() - 1,
                (Order::Global, _) => plan.lanes.len(),
                (Order::Stream, _) => *places.entry(stream.to_owned()).or_insert(plan.lanes.len()),
            };
            if place == plan.lanes.len() {
                plan.lanes.push(Lane { stream: stream.to_owned(), steps: Vec::new() });
            }
            let entry = self.entry(event, origin)?;
            if kind == Kind::Event && origin.is_some_and(|origin| origin.revision != event.revision) {
                plan.shifted.insert(stream.to_owned());
            }
            let lane = &mut plan.lanes[place];
            match kind {
                Kind::Event => lane.push(entry),
                Kind::Metadata => {
                    let is_shifted = plan.shifted.contains(stream);
                    lane.steps.push(Step::Metadata { entry, has_origin: origin.is_some(), is_shifted });
                }
                Kind::Tombstone => {
                    lane.steps.push(Step::Tombstone);
                    plan.ending.insert(stream.to_owned());
                }
            }
        }
        Ok(plan)
    }

    fn entry(&self, event: &Event, origin: Option<&EventOrigin>) -> Result<Entry, StoreError> {
        let id = uuid_of(event).map_err(|problem| {
            self.refused(event, problem, "give it a UUID with a rule; the version 5 UUID of its id is always the same")
        })?;
        let written = self.originals.written(event, origin).map_err(|problem| self.unsupported(event, problem))?;
        Ok(Entry {
            id,
            revision: event.revision.0,
            event_type: written.event_type,
            is_json: written.is_json,
            data: written.data,
            metadata: written.metadata,
        })
    }

    /// What an event is, and of which stream; or why it can't be kept, and what to try.
    fn kind<'e>(&self, event: &'e Event) -> Result<(Kind, &'e str), (String, &'static str)> {
        let (stream, event_type) = (event.stream.as_str(), event.event_type.as_str());
        let special = match (stream.strip_prefix(METADATA_PREFIX), stream.strip_prefix(TOMBSTONE_PREFIX)) {
            (Some(of), _) if event_type == METADATA_TYPE && !of.is_empty() => Some((Kind::Metadata, of)),
            (_, Some(of)) if event_type == TOMBSTONE_TYPE && !of.is_empty() => Some((Kind::Tombstone, of)),
            _ => None,
        };
        if let Some((_, of)) = special.filter(|(_, of)| of.starts_with('$')) {
            let problem = format!("it is about the stream {of}, which is the server's own");
            return Err((problem, "leave it out with a rule: the target makes its own"));
        }
        match (special, self.stream_metadata) {
            (Some(special), StreamMetadata::Carry) => Ok(special),
            (Some(_), StreamMetadata::LeaveOut) => {
                let problem = "it is metadata of a stream, which this target is told to leave out".to_owned();
                Err((problem, "say stream_metadata = \"carry\" for the target, or \"leave_out\" for the source"))
            }
            (None, _) if stream.starts_with('$') => {
                let problem = "streams whose names begin with $ are the server's own".to_owned();
                Err((problem, "rename the stream with a rule, or leave it out"))
            }
            (None, _) if event_type.starts_with('$') => {
                let problem = format!("the type {event_type} is the server's own, as all that begin with $ are");
                Err((problem, "rename the type with a rule, or leave the event out"))
            }
            (None, _) => Ok((Kind::Event, stream)),
        }
    }

    fn unsupported(&self, event: &Event, problem: String) -> StoreError {
        let place = format!("event {}, stream {}, revision {}", event.id, event.stream, event.revision);
        StoreError::new("append to", self.display, StoreErrorKind::Unsupported(problem)).at(place)
    }

    fn refused(&self, event: &Event, problem: String, hint: &str) -> StoreError {
        self.unsupported(event, problem).hint(hint)
    }
}

impl Lane {
    /// Adds an event to the last step, or to a new one where it does not follow.
    fn push(&mut self, entry: Entry) {
        if let Some(Step::Events(entries)) = self.steps.last_mut()
            && entries.last().is_some_and(|last| last.revision.checked_add(1) == Some(entry.revision))
        {
            entries.push(entry);
            return;
        }
        self.steps.push(Step::Events(vec![entry]));
    }
}

/// The stream that a name is about, where it is a tombstone's.
pub(super) fn tombstone_of(stream: &StreamName) -> Option<&str> {
    stream.as_str().strip_prefix(TOMBSTONE_PREFIX)
}
