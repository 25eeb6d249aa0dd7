//! Merges: several events of a stream become one.

use std::time::Duration;

use eventlift_events::{Event, EventId, EventType, Payload, Position, SchemaVersion, StreamName, Timestamp};
use eventlift_language::Reason;
use eventlift_language::json::{Document, Node, Place as JsonPlace, Pointer, encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::transformer::{Merged, StatefulTransformer};

/// The most that one window may hold, in bytes of data.
const MOST_BYTES: usize = 4 << 20;

/// A rule that collects events of a stream and makes one of them, once their window closes.
///
/// The window of a stream opens with the first event of one of the types, and closes with an event of the type
/// `until`, with the event that makes it hold `count` events, before an event that is recorded more than `longest`
/// after the first one, or at the source's end. The merged event stands where the window closes: in the place of the
/// event that closes it, or before it. What comes between keeps its place, so nothing is held back for it.
pub struct Merge {
    pub(crate) name: String,
    pub(crate) fingerprint: String,
    pub(crate) events: Vec<EventType>,
    pub(crate) until: Option<(EventType, bool)>,
    pub(crate) count: Option<usize>,
    pub(crate) longest: Option<Duration>,
    pub(crate) most: usize,
    pub(crate) at_end: AtEnd,
    pub(crate) into: (EventType, SchemaVersion),
    pub(crate) fields: Vec<MergedField>,
}

/// What becomes of windows that are open where the source ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AtEnd {
    /// They are closed: the run has all there is.
    #[default]
    Close,
    /// They stay open for what is still to come.
    Wait,
}

/// A field of the merged event's data, made of fields of what was collected.
#[derive(Debug)]
pub(crate) struct MergedField {
    pub(crate) take: Take,
    /// Where it is in what is collected.
    pub(crate) from: Pointer,
    pub(crate) into: Pointer,
    pub(crate) optional: bool,
}

/// How one value is made of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    /// All of them, as an array.
    Collect,
    /// The first one that is there.
    First,
    /// The last one that is there.
    Last,
    /// How many events there are.
    Count,
}

/// An open window, as it is kept between events: JSON.
#[derive(Serialize, Deserialize)]
struct Window {
    id: String,
    stream: String,
    metadata: String,
    attributes: Vec<u8>,
    first_at: Timestamp,
    last_at: Timestamp,
    sources: Vec<Position>,
    data: Vec<Box<RawValue>>,
}

impl Window {
    fn open(event: &Event) -> Result<Self, Reason> {
        if !event.metadata.is_empty() && !event.metadata.is_json() {
            return Err(Reason::new(format_args!("its metadata is {}, not JSON", event.metadata.content_type())));
        }
        let metadata = String::from_utf8(event.metadata.bytes().to_vec());
        Ok(Self {
            id: event.id.to_string(),
            stream: event.stream.to_string(),
            metadata: metadata.map_err(|_| Reason::new("its metadata is not UTF-8"))?,
            attributes: event.attributes.to_vec(),
            first_at: event.recorded_at,
            last_at: event.recorded_at,
            sources: Vec::new(),
            data: Vec::new(),
        })
    }

    fn read(state: &[u8]) -> Result<Option<Self>, Reason> {
        if state.is_empty() {
            return Ok(None);
        }
        let window = serde_json::from_slice(state);
        window.map(Some).map_err(|error| Reason::new(format_args!("its open window can't be read: {error}")))
    }

    fn write(&self, state: &mut Vec<u8>) -> Result<(), Reason> {
        *state = serde_json::to_vec(self)
            .map_err(|error| Reason::new(format_args!("its open window can't be written: {error}")))?;
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.data.iter().map(|data| data.get().len()).sum()
    }
}

impl Merge {
    fn add(&self, window: &mut Window, event: &Event) -> Result<(), Reason> {
        if !event.data.is_json() {
            return Err(Reason::new(format_args!("its data is {}, not JSON", event.data.content_type())));
        }
        let data: Box<RawValue> = serde_json::from_slice(event.data.bytes())
            .map_err(|error| Reason::new(format_args!("its data is not JSON: {error}")))?;
        for field in self.fields.iter().filter(|field| field.take != Take::Count && !field.optional) {
            if value_of(&data, &field.from)?.is_none() {
                return Err(Reason::new(format_args!("{} is missing", field.from))
                    .hint("`optional = true` leaves the event out of that field"));
            }
        }
        window.data.push(data);
        window.last_at = event.recorded_at;
        if window.sources.last() != Some(&event.position) {
            window.sources.push(event.position);
        }
        let held = window.data.len();
        if held > self.most || window.bytes() > MOST_BYTES {
            let since = window.sources.first().map(Position::to_string).unwrap_or_default();
            return Err(Reason::new(format_args!(
                "the window of stream {} holds {held} events since position {since} and has not closed; at most {} events and 4 MiB are kept",
                window.stream, self.most
            ))
            .hint("raise `most`, or close it sooner with `until`, `count` or `seconds`"));
        }
        Ok(())
    }

    fn close(&self, window: Window) -> Result<Merged, Reason> {
        let data = self.data_of(&window)?;
        let metadata = if window.metadata.is_empty() { Payload::empty() } else { Payload::json(window.metadata) };
        let event = Event {
            id: EventId::text(window.id).map_err(Reason::new)?,
            stream: StreamName::new(window.stream).map_err(Reason::new)?,
            revision: eventlift_events::Revision(0),
            position: window.sources.first().copied().unwrap_or(Position::new(0)),
            event_type: self.into.0.clone(),
            version: self.into.1,
            data: Payload::json(data),
            metadata,
            recorded_at: window.last_at,
            attributes: window.attributes.into(),
        };
        Ok(Merged { event, sources: window.sources })
    }

    fn data_of(&self, window: &Window) -> Result<Vec<u8>, Reason> {
        let mut made = Document::parse(b"")?;
        if self.fields.is_empty() {
            return Ok(b"{}".to_vec());
        }
        for field in &self.fields {
            let mut values = Vec::new();
            if field.take != Take::Count {
                for data in &window.data {
                    values.extend(value_of(data, &field.from)?);
                }
            }
            let value = match field.take {
                Take::Collect => format!("[{}]", values.join(",")),
                Take::Count => window.data.len().to_string(),
                Take::First => match values.into_iter().next() {
                    Some(value) => value,
                    None => continue,
                },
                Take::Last => match values.pop() {
                    Some(value) => value,
                    None => continue,
                },
            };
            made.root.put(field.into.segments(), Node::text(value), false, &JsonPlace::ROOT)?;
        }
        let written = made.write();
        Ok(if written.is_empty() { b"{}".to_vec() } else { written.to_vec() })
    }

    /// The types it looks at, with whether it takes them in.
    pub(crate) fn types(&self) -> impl Iterator<Item = (&EventType, bool)> {
        let until = self.until.iter().map(|(event_type, includes)| (event_type, *includes));
        self.events.iter().map(|event_type| (event_type, true)).chain(until)
    }
}

fn value_of(data: &RawValue, from: &Pointer) -> Result<Option<String>, Reason> {
    let mut document = Document::parse(data.get().as_bytes())?;
    Ok(document.get(from)?.map(|value| value.into_owned()))
}

impl StatefulTransformer for Merge {
    fn name(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn observes(&self, event_type: &EventType, _: SchemaVersion) -> bool {
        self.types().any(|(observed, _)| observed == event_type)
    }

    fn is_one_to_one(&self) -> bool {
        false
    }

    fn transform(&self, _: &mut Vec<u8>, event: Event, _: &mut Vec<Event>) -> Result<(), Reason> {
        Err(Reason::new(format_args!("event {} is collected, not transformed", event.id)))
    }

    fn collect(
        &self,
        state: &mut Vec<u8>,
        event: Event,
        closed: &mut Vec<Merged>,
        out: &mut Vec<Event>,
    ) -> Result<(), Reason> {
        let mut window = Window::read(state)?;
        let is_late = |window: &Window, longest: &Duration| {
            let micros = event.recorded_at.micros().saturating_sub(window.first_at.micros());
            u128::try_from(micros).is_ok_and(|micros| micros > longest.as_micros())
        };
        if let (Some(open), Some(longest)) = (&window, &self.longest)
            && is_late(open, longest)
        {
            closed.extend(window.take().map(|window| self.close(window)).transpose()?);
        }
        let closes = self.until.as_ref().filter(|(until, _)| *until == event.event_type);
        if closes.is_some_and(|(_, includes)| !includes) {
            closed.extend(window.map(|window| self.close(window)).transpose()?);
            state.clear();
            out.push(event);
            return Ok(());
        }
        let mut open = match window {
            Some(window) => window,
            None => Window::open(&event)?,
        };
        self.add(&mut open, &event)?;
        if closes.is_some() || self.count.is_some_and(|count| open.data.len() >= count) {
            closed.push(self.close(open)?);
            state.clear();
            return Ok(());
        }
        open.write(state)
    }

    fn keeps_back(&self) -> bool {
        true
    }

    fn ends_with_source(&self) -> bool {
        self.at_end == AtEnd::Close
    }

    fn finish(&self, state: &mut Vec<u8>, _: &StreamName) -> Result<Option<Merged>, Reason> {
        let merged = Window::read(state)?.map(|window| self.close(window)).transpose()?;
        state.clear();
        Ok(merged)
    }
}

impl std::fmt::Debug for Merge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Merge({})", encode(&self.name))
    }
}
