//! Upcasters: rules from one version of one event type to later schemas.

use std::fmt;

use eventlift_events::{Event, EventType, Payload, SchemaVersion};
use eventlift_language::{Fingerprint, Place, Reason};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::registry::TakesNothing;
use crate::rule::Matches;
use crate::transformer::Shape;
use crate::way_back::Down;

/// An event type in one of its versions. Prints as `UserCreated version 2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Schema {
    /// The type.
    pub event_type: EventType,
    /// The version.
    pub version: SchemaVersion,
}

impl Schema {
    /// The schema of an event.
    pub fn of(event: &Event) -> Self {
        Self { event_type: event.event_type.clone(), version: event.version }
    }

    pub(crate) fn is_of(&self, event: &Event) -> bool {
        self.version == event.version && self.event_type == event.event_type
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} version {}", self.event_type, self.version)
    }
}

/// What a closure may return in place of an event: an [`Event`], an `Option<Event>` (none drops it) or a
/// `Vec<Event>` (a split).
pub trait Yielded {
    /// What that may do to numbering.
    const SHAPE: Shape;

    /// Pushes the events in order.
    fn push_to(self, out: &mut Vec<Event>);
}

impl Yielded for Event {
    const SHAPE: Shape = Shape::OneToOne;
    fn push_to(self, out: &mut Vec<Event>) {
        out.push(self);
    }
}

impl Yielded for Option<Event> {
    const SHAPE: Shape = Shape::Shifting;
    fn push_to(self, out: &mut Vec<Event>) {
        out.extend(self);
    }
}

impl Yielded for Vec<Event> {
    const SHAPE: Shape = Shape::Shifting;
    fn push_to(self, out: &mut Vec<Event>) {
        out.extend(self);
    }
}

pub(crate) type Body = Box<dyn Fn(Event, &mut Vec<Event>) -> Result<(), Reason> + Send + Sync>;
pub(crate) type Guard = Box<dyn Fn(&Event) -> Result<bool, Reason> + Send + Sync>;

pub(crate) fn body<Y: Yielded>(function: impl Fn(Event) -> Result<Y, Reason> + Send + Sync + 'static) -> Body {
    Box::new(move |event, out| {
        keeping_attributes(event, out, |event, out| {
            function(event)?.push_to(out);
            Ok(())
        })
    })
}

/// Runs a rule in Rust: what it yields has the attributes of the event, since only definitions name what they change of
/// them.
pub(crate) fn keeping_attributes(
    event: Event,
    out: &mut Vec<Event>,
    rule: impl FnOnce(Event, &mut Vec<Event>) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let (attributes, start) = (event.attributes.clone(), out.len());
    rule(event, out)?;
    for yielded in &mut out[start..] {
        yielded.attributes = attributes.clone();
    }
    Ok(())
}

/// A rule from one version of one event type to one or more later schemas.
///
/// What is wrong with it (an empty type, a version 0) is reported when the registry is built.
pub struct Upcaster {
    pub(crate) name: Option<String>,
    pub(crate) place: Place,
    pub(crate) from: (String, u32),
    pub(crate) to: Vec<(String, u32)>,
    pub(crate) fingerprint: String,
    /// As it is written in a file of definitions.
    pub(crate) text: Option<String>,
    pub(crate) shape: Shape,
    pub(crate) guard: Option<Guard>,
    pub(crate) body: Body,
    pub(crate) down: Down,
    pub(crate) takes_nothing: TakesNothing,
}

impl Upcaster {
    /// An upcaster of a type, from a version to a later one.
    ///
    /// `fingerprint` is whatever the author changes when, and only when, the closure may yield something else. The
    /// closure returns an event, an `Option<Event>` or a `Vec<Event>`, and sets `data`, `metadata` and, where
    /// declared, type, version and stream. An event returned in the version it came in becomes one of the version
    /// `to`. Ids, revisions, positions, times and attributes are set afterwards, whatever the closure did to them.
    ///
    /// ```
    /// use eventlift_events::Payload;
    /// use eventlift_transformers::{Reason, Upcaster};
    ///
    /// Upcaster::new("UserCreated", 1, 2, "1", |mut event| {
    ///     event.data = Payload::json(r#"{"full_name":"Ada Lovelace"}"#);
    ///     Ok(event)
    /// });
    /// Upcaster::new("Ping", 1, 2, "1", |event| Ok((!event.data.is_empty()).then_some(event)));
    /// Upcaster::new("FileRenamed", 1, 2, "1", |event| {
    ///     if event.data.is_empty() {
    ///         return Err(Reason::new("the data is empty"));
    ///     }
    ///     Ok(vec![event.clone(), event])
    /// });
    /// ```
    #[track_caller]
    pub fn new<Y: Yielded>(
        event_type: impl Into<String>,
        from: u32,
        to: u32,
        fingerprint: impl Into<String>,
        function: impl Fn(Event) -> Result<Y, Reason> + Send + Sync + 'static,
    ) -> Self {
        let event_type = event_type.into();
        Self {
            name: None,
            place: Place::of_caller(),
            from: (event_type.clone(), from),
            to: vec![(event_type, to)],
            fingerprint: Fingerprint::of("rust").field(&fingerprint.into()).finish(),
            text: None,
            shape: Y::SHAPE,
            guard: None,
            body: body(function),
            down: Down::not_said(),
            takes_nothing: TakesNothing::default(),
        }
    }

    /// An upcaster between two serde types: the event's data is read as the one and written as the other, in JSON.
    /// Fields that the first type does not name are lost, so let it refuse unknown fields.
    #[track_caller]
    pub fn typed<Old, New>(
        event_type: impl Into<String>,
        from: u32,
        to: u32,
        fingerprint: impl Into<String>,
        function: impl Fn(Old) -> Result<New, Reason> + Send + Sync + 'static,
    ) -> Self
    where
        Old: DeserializeOwned,
        New: Serialize,
    {
        Self::new(event_type, from, to, fingerprint, move |mut event: Event| {
            if !event.data.is_json() {
                return Err(Reason::new(format_args!("the data is {}, not JSON", event.data.content_type())));
            }
            let new = function(serde_json::from_slice(event.data.bytes())?)?;
            let text = serde_json::to_vec(&new)
                .map_err(|error| Reason::new(format_args!("the result can't be written as JSON: {error}")))?;
            event.data = Payload::new(text, event.data.content_type().clone());
            Ok(event)
        })
    }

    /// Declares which schemas it yields instead of the later version of its own type: a rename, or a split into other
    /// types. The closure sets type and version of what it returns, unless there is only one.
    pub fn into_schemas<T: Into<String>>(mut self, schemas: impl IntoIterator<Item = (T, u32)>) -> Self {
        self.to = schemas.into_iter().map(|(event_type, version)| (event_type.into(), version)).collect();
        self
    }

    /// Declares that it may change the stream.
    pub fn moves_streams(mut self) -> Self {
        self.shape = Shape::Moving;
        self
    }

    /// Takes only the events for which this holds. Several guarded upcasters of one version are tried in the order of
    /// registration; the one without a guard, which has to be there, comes last.
    pub fn when(mut self, guard: impl Fn(&Event) -> Result<bool, Reason> + Send + Sync + 'static) -> Self {
        self.guard = Some(Box::new(guard));
        self
    }

    /// Gives it a way back: `function` gets an event in a schema that this upcaster yields and makes of it the one it
    /// starts from, for the [`inverse`](crate::Registry::inverse) of a registry. Of an upcaster that yields several
    /// schemas it gets the events of each, and decides which carries the event back by dropping the others. Type and
    /// version are set afterwards. `fingerprint` as for [`new`](Self::new).
    ///
    /// What goes back is lifted again, and fails where that does not give the event, unless it is declared to be
    /// [lossy](Self::lossy_down).
    ///
    /// ```
    /// use eventlift_transformers::Upcaster;
    ///
    /// Upcaster::new("UserCreated", 1, 2, "1", |event| Ok(event)).with_down("1", |event| Ok(event));
    /// ```
    pub fn with_down<Y: Yielded>(
        mut self,
        fingerprint: impl Into<String>,
        function: impl Fn(Event) -> Result<Y, Reason> + Send + Sync + 'static,
    ) -> Self {
        self.down = Down::function(fingerprint.into(), self.shape, Matches::default(), function);
        self
    }

    /// Declares that the way back may lose something: what went back may be lifted to something else than it was.
    /// Without a way back it says nothing.
    pub fn lossy_down(mut self) -> Self {
        self.down.lose();
        self
    }

    /// Declares that no event goes back through it: another rule leads back from what it yields, or none is written.
    pub fn without_down(mut self) -> Self {
        self.down = Down::Never;
        self
    }

    /// Gives it a name other than its type and versions.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The name it has when none is given: `UserCreated 1 → 2`, `FileRenamed 1 → FileDeleted 1 + FileAdded 1`.
    pub(crate) fn default_name(&self) -> String {
        let (event_type, from) = &self.from;
        let targets: Vec<String> = self
            .to
            .iter()
            .map(
                |(target, version)| {
                    if target == event_type { version.to_string() } else { format!("{target} {version}") }
                },
            )
            .collect();
        let targets = if targets.is_empty() { "nothing".to_owned() } else { targets.join(" + ") };
        format!("{event_type} {from} → {targets}")
    }
}

impl fmt::Debug for Upcaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upcaster({} at {})", self.name.clone().unwrap_or_else(|| self.default_name()), self.place)
    }
}
