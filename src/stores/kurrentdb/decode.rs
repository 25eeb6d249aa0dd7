//! What the server sends, as events; and what it sends that is none of ours.

use std::sync::atomic::{AtomicU64, Ordering};

use eventlift_events::{
    Event, EventId, EventType, LeftOut, Payload, Position, Revision, SchemaVersion, Scope, StoreError, StoreErrorKind,
    StreamName, Timestamp,
};
use eventstore::{RecordedEvent, ResolvedEvent};
use uuid::Uuid;

use super::originals::Originals;

/// What the stream of a stream's metadata begins with.
const METADATA: &str = "$$";

/// What the stream begins with that an event of a deletion for good is read as.
pub(super) const TOMBSTONE: &str = "$tombstone-";

/// The type of an event that points to another one.
const LINK: &str = "$>";

/// The type of the event that ends a stream for good.
const DELETED: &str = "$streamDeleted";

/// What was passed over, and how often.
#[derive(Default, Debug)]
struct Counts {
    links: AtomicU64,
    metadata: AtomicU64,
    deletions: AtomicU64,
}

/// Makes events of what the server sends.
#[derive(Debug)]
pub(super) struct Decoder {
    originals: Originals,
    /// Whether metadata of streams and deletions are events as well.
    carries: bool,
    counts: Counts,
    store: String,
}

/// Whose stream it is, by its name.
enum Stream<'a> {
    User,
    /// The metadata of a user's stream.
    Metadata(&'a str),
    System,
}

impl<'a> Stream<'a> {
    fn of(name: &'a str) -> Self {
        match name.strip_prefix(METADATA) {
            Some(subject) if !subject.is_empty() && !subject.starts_with('$') => Self::Metadata(subject),
            None if !name.starts_with('$') => Self::User,
            _ => Self::System,
        }
    }
}

impl Decoder {
    pub(super) fn new(originals: Originals, carries: bool, store: String) -> Self {
        Self { originals, carries, counts: Counts::default(), store }
    }

    pub(super) fn originals(&self) -> &Originals {
        &self.originals
    }

    /// Whether events of a stream of this name are read from it.
    pub(super) fn reads(&self, stream: &str) -> bool {
        match Stream::of(stream) {
            Stream::User => true,
            Stream::Metadata(_) => self.carries,
            Stream::System => false,
        }
    }

    /// The stream whose deletion for good is read as an event of this one.
    pub(super) fn tombstone_of<'a>(&self, stream: &'a str) -> Option<&'a str> {
        let subject = stream.strip_prefix(TOMBSTONE).filter(|_| self.carries)?;
        matches!(Stream::of(subject), Stream::User).then_some(subject)
    }

    /// Whether a read of everything yields it; also of what it could only fail on. Nothing is counted.
    pub(super) fn yields(&self, found: &ResolvedEvent) -> bool {
        let Some(recorded) = found.link.as_ref().or(found.event.as_ref()) else { return false };
        let Ok(stream) = name(recorded) else { return true };
        match (Stream::of(stream), &*recorded.event_type) {
            (Stream::System, _) | (_, LINK) | (Stream::Metadata(_), DELETED) => false,
            (Stream::Metadata(_), _) | (Stream::User, DELETED) => self.carries,
            (Stream::User, _) => true,
        }
    }

    /// The event, if it is one of the scope. What is passed over is counted, unless it is the system's.
    pub(super) fn take(&self, found: ResolvedEvent, scope: &Scope) -> Result<Option<Event>, StoreError> {
        let ResolvedEvent { event, link, .. } = found;
        let Some(recorded) = link.or(event) else { return Ok(None) };
        let stream = name(&recorded).map_err(|problem| self.bad(&recorded, problem))?;
        let subject = match Stream::of(stream) {
            Stream::User => stream,
            Stream::Metadata(subject) => subject,
            Stream::System => return Ok(None),
        };
        if let Scope::Category(category) = scope
            && subject.split('-').next() != Some(category)
        {
            return Ok(None);
        }
        let is_metadata = subject.len() < stream.len();
        let passed = match &*recorded.event_type {
            LINK => Some(&self.counts.links),
            DELETED if !self.carries || is_metadata => Some(&self.counts.deletions),
            _ if is_metadata && !self.carries => Some(&self.counts.metadata),
            _ => None,
        };
        if let Some(count) = passed {
            count.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        let made = if recorded.event_type == DELETED {
            tombstone(&recorded, stream)
        } else {
            self.event(&recorded, stream, is_metadata)
        };
        let event = made.map_err(|problem| self.bad(&recorded, problem))?;
        // Of a category are also the streams that are about its own.
        let is_in = matches!(scope, Scope::Category(_)) || scope.contains(&event);
        Ok(is_in.then_some(event))
    }

    fn event(&self, recorded: &RecordedEvent, stream: &str, is_metadata: bool) -> Result<Event, String> {
        let revision = i64::try_from(recorded.revision).map_err(|_| "its revision is out of range")?.cast_unsigned();
        if recorded.event_type.is_empty() {
            return Err("it has no type".to_owned());
        }
        let (data, metadata) = (recorded.data.clone(), recorded.custom_metadata.clone());
        let read = self.originals.read(&recorded.event_type, recorded.is_json, data, metadata, created(recorded)?);
        // Servers write some of these by themselves, each with an id of its own.
        let id = if is_metadata { derived("metadata", stream, revision) } else { EventId::uuid(recorded.id) };
        Ok(Event {
            id,
            stream: StreamName::new(stream).map_err(|problem| problem.to_string())?,
            revision: Revision(revision),
            position: position(recorded),
            event_type: EventType::new(read.event_type).map_err(|problem| problem.to_string())?,
            version: read.version,
            data: read.data,
            metadata: read.metadata,
            recorded_at: read.recorded_at,
            attributes: read.attributes,
        })
    }

    fn bad(&self, recorded: &RecordedEvent, problem: impl Into<String>) -> StoreError {
        let shown = String::from_utf8_lossy(recorded.stream_id().as_bytes());
        let place = format!("position {}, stream {shown:?}, revision {}", position(recorded), recorded.revision);
        StoreError::new("read", &self.store, StoreErrorKind::BadInput(problem.into())).at(place)
    }

    /// What was passed over so far.
    pub(super) fn left_out(&self) -> Vec<LeftOut> {
        let counts = [
            ("links to other events", &self.counts.links),
            ("events with the metadata of streams", &self.counts.metadata),
            ("deletions of streams for good", &self.counts.deletions),
        ];
        let counted = counts.into_iter().map(|(what, count)| (what, Some(count.load(Ordering::Relaxed))));
        let found = counted.filter(|(_, events)| *events != Some(0));
        let system = ("events of system streams ($…)", None);
        found.chain([system]).map(|(what, events)| LeftOut { what: what.to_owned(), events }).collect()
    }
}

/// Where an event is in `$all`.
pub(super) fn position(recorded: &RecordedEvent) -> Position {
    Position::pair(recorded.position.commit, recorded.position.prepare)
}

/// The name of an event's stream, which the client takes to be UTF-8 without looking.
fn name(recorded: &RecordedEvent) -> Result<&str, String> {
    let name = std::str::from_utf8(recorded.stream_id().as_bytes());
    let name = name.map_err(|_| "the name of its stream is not UTF-8, which can't be read".to_owned())?;
    if name.is_empty() { Err("its stream has no name".to_owned()) } else { Ok(name) }
}

/// When the server recorded it, without the digit below microseconds. The client's own field has only seconds.
fn created(recorded: &RecordedEvent) -> Result<Timestamp, String> {
    let ticks = recorded.metadata.get("created").ok_or("the server does not say when it was recorded")?;
    let ticks: i64 = ticks.parse().map_err(|_| format!("it was recorded at {ticks:?}, which is no time"))?;
    Timestamp::from_micros(ticks.div_euclid(10)).map_err(|problem| problem.to_string())
}

/// The event that a deletion for good is read as.
fn tombstone(recorded: &RecordedEvent, stream: &str) -> Result<Event, String> {
    let name = format!("{TOMBSTONE}{stream}");
    Ok(Event {
        id: derived("deletion", stream, 0),
        stream: StreamName::new(name).map_err(|problem| problem.to_string())?,
        revision: Revision(0),
        position: position(recorded),
        event_type: EventType::new(DELETED).map_err(|problem| problem.to_string())?,
        version: SchemaVersion::FIRST,
        data: Payload::empty(),
        metadata: Payload::empty(),
        recorded_at: created(recorded)?,
        attributes: Default::default(),
    })
}

/// An id that is the same wherever and whenever it is read.
fn derived(what: &str, stream: &str, revision: u64) -> EventId {
    EventId::uuid(Uuid::new_v5(
        &Uuid::NAMESPACE_URL,
        format!("eventlift:kurrentdb:{what}:{revision}:{stream}").as_bytes(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_told_apart_by_their_names() {
        let kind = |name| match Stream::of(name) {
            Stream::User => "user",
            Stream::Metadata(subject) => subject,
            Stream::System => "system",
        };
        let names = ["a", "$$a", "$a", "$$$a", "$$", "$", "a$$b", "$$a$"].map(kind);
        assert_eq!(names, ["user", "a", "system", "system", "system", "system", "user", "a$"]);
    }

    #[test]
    fn derived_ids_stay_what_they_are() {
        let id = derived("metadata", "$$user-1", 0);
        assert_eq!(id, derived("metadata", "$$user-1", 0));
        let others = [
            derived("metadata", "$$user-1", 1),
            derived("metadata", "$$user-2", 0),
            derived("deletion", "$$user-1", 0),
        ];
        assert!(!others.contains(&id));
    }
}
