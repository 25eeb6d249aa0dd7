//! Merges: several events of a stream become one.

use std::cmp::Ordering;
use std::time::Duration;

use eventlift_events::{
    ContentType, Event, EventId, EventType, Payload, Position, SchemaVersion, StreamName, Timestamp,
};
use eventlift_language::json::{Decimal, Document, Node, Place as JsonPlace, Pointer, encode};
use eventlift_language::{InvalidNumeric, Numeric, Reason};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::transformer::{Merged, StatefulTransformer};
use crate::upcaster::Schema;

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
    pub(crate) may_match_nothing: bool,
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
    /// The sum of numbers, exact.
    Sum,
    /// The least of numbers, or of texts.
    Min,
    /// The greatest of them.
    Max,
}

impl Take {
    /// Its key in definitions.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Collect => "collect",
            Self::First => "first",
            Self::Last => "last",
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
        }
    }

    /// Whether it is worked out event by event, so that an event that it can't be worked out with is the one that fails.
    fn runs_along(self) -> bool {
        matches!(self, Self::Sum | Self::Min | Self::Max)
    }
}

/// An open window, as it is kept between events: JSON.
#[derive(Serialize, Deserialize)]
struct Window {
    id: String,
    stream: String,
    metadata: String,
    /// What the metadata is labelled; windows that were opened by older versions have none.
    #[serde(default)]
    metadata_type: Option<String>,
    attributes: Vec<u8>,
    first_at: Timestamp,
    last_at: Timestamp,
    sources: Vec<Position>,
    data: Vec<Box<RawValue>>,
    /// What fields that run along have come to, in the order of those.
    #[serde(default)]
    running: Vec<Option<Box<RawValue>>>,
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
            metadata_type: Some(event.metadata.content_type().as_str().to_owned()),
            attributes: event.attributes.to_vec(),
            first_at: event.recorded_at,
            last_at: event.recorded_at,
            sources: Vec::new(),
            data: Vec::new(),
            running: Vec::new(),
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
        self.run_along(window, &data)?;
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

    /// Works an event into sums, and into least and greatest values.
    fn run_along(&self, window: &mut Window, data: &RawValue) -> Result<(), Reason> {
        let fields = self.fields.iter().filter(|field| field.take.runs_along());
        for (index, field) in fields.enumerate() {
            if window.running.len() == index {
                window.running.push(None);
            }
            let Some(value) = value_of(data, &field.from)?.filter(|value| !(field.optional && value == "null")) else {
                continue;
            };
            let held = &mut window.running[index];
            let next = running(field.take, held.as_deref().map(RawValue::get), &value)
                .map_err(|reason| Reason { message: format!("{}: {}", field.from, reason.message), ..reason })?;
            if let Some(next) = next {
                *held = Some(RawValue::from_string(next)?);
            }
        }
        Ok(())
    }

    fn close(&self, window: Window) -> Result<Merged, Reason> {
        let data = self.data_of(&window)?;
        let metadata_type = window.metadata_type.map_or(ContentType::Json, ContentType::parse);
        let metadata = match window.metadata.is_empty() {
            true => Payload::empty(),
            false => Payload::new(window.metadata, metadata_type),
        };
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
        let mut running = window.running.iter();
        for field in &self.fields {
            let mut values = Vec::new();
            if field.take != Take::Count && !field.take.runs_along() {
                for data in &window.data {
                    values.extend(value_of(data, &field.from)?);
                }
            }
            let value = match field.take {
                Take::Collect => format!("[{}]", values.join(",")),
                Take::Count => window.data.len().to_string(),
                Take::Sum | Take::Min | Take::Max => match running.next().and_then(Option::as_ref) {
                    Some(value) => value.get().to_owned(),
                    None if field.take == Take::Sum => Numeric::ZERO.to_string(),
                    None => continue,
                },
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

/// What a field that runs along comes to with one value more; none where it stays what it is.
fn running(take: Take, held: Option<&str>, value: &str) -> Result<Option<String>, Reason> {
    if take == Take::Sum {
        let number = exact(value)?;
        let Some(held) = held else { return Ok(Some(number.to_string())) };
        let sum = exact(held)?.checked_add(number);
        let sum = sum.ok_or_else(|| Reason::new("the sum takes more than the 38 digits of an exact number"))?;
        return Ok(Some(sum.to_string()));
    }
    let value_is = Ordered::of(value)?;
    let Some(held) = held else { return Ok(Some(value.to_owned())) };
    let order = value_is.compare(&Ordered::of(held)?).ok_or_else(|| {
        Reason::new(format_args!("numbers and texts have no order, so there is no `{}` of both", take.key()))
    })?;
    let replaces = if take == Take::Min { Ordering::Less } else { Ordering::Greater };
    Ok((order == replaces).then(|| value.to_owned()))
}

fn exact(value: &str) -> Result<Numeric, Reason> {
    value.parse().map_err(|error| match error {
        InvalidNumeric::Text(_) => Reason::new("it is not a number"),
        InvalidNumeric::TooLong(_) => Reason::new("it has more than the 38 digits of an exact number"),
    })
}

/// A value that has an order among its like.
enum Ordered {
    Number(Decimal),
    Text(String),
}

impl Ordered {
    fn of(value: &str) -> Result<Self, Reason> {
        if let Some(number) = Decimal::parse(value) {
            return Ok(Self::Number(number));
        }
        match serde_json::from_str(value) {
            Ok(text) => Ok(Self::Text(text)),
            Err(_) => Err(Reason::new("it is neither a number nor a text, so it has no order")),
        }
    }

    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => Some(one.cmp(other)),
            (Self::Text(one), Self::Text(other)) => Some(one.cmp(other)),
            _ => None,
        }
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

    fn may_match_nothing(&self) -> bool {
        self.may_match_nothing
    }

    fn makes_of(&self, event_type: &EventType, _: SchemaVersion) -> Option<Schema> {
        let (made, version) = &self.into;
        let is_taken = self.types().any(|(observed, is_taken)| is_taken && observed == event_type);
        is_taken.then(|| Schema { event_type: made.clone(), version: *version })
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
