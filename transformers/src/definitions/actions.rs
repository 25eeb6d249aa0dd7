//! What a definition does to an event.

use eventlift_events::{Bytes, ContentType, Event, EventType, Payload, SchemaVersion, StreamName};
use eventlift_language::{CompiledCondition, JqFilter, Reason};

use super::template::Template;
use crate::operations::Operations;
use crate::transformer::Shape;

/// Everything a rule does, in this order: data operations, jq over the data, operations over metadata and attributes,
/// another stream, and the ending. Streams are named after the event as the rule got it.
pub(super) struct Actions {
    pub(super) changes: Changes,
    pub(super) ending: Ending,
}

/// What is changed in one event.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) data: Operations,
    pub(super) metadata: Operations,
    pub(super) attributes: Operations,
    pub(super) jq: Option<JqFilter>,
    pub(super) stream: Option<Destination>,
}

/// Where an event moves.
pub(super) enum Destination {
    Stream(Template),
    Category(Template),
}

/// How many events there are in the end.
pub(super) enum Ending {
    /// One, perhaps of another type.
    One(Option<EventType>),
    /// None.
    Drop,
    /// One for every part that takes it.
    Split(Vec<Part>),
    /// Whatever the filter yields.
    Jq(Box<JqFilter>, bool),
}

/// One part of a split.
pub(super) struct Part {
    pub(super) event_type: Option<EventType>,
    pub(super) version: Option<SchemaVersion>,
    pub(super) changes: Changes,
    pub(super) when: Option<CompiledCondition>,
}

impl Actions {
    pub(super) fn shape(&self) -> Shape {
        let moves = self.changes.stream.is_some();
        let ending = match &self.ending {
            Ending::One(_) => Shape::OneToOne,
            Ending::Drop => Shape::Shifting,
            Ending::Split(parts) if parts.iter().any(|part| part.changes.stream.is_some()) => Shape::Moving,
            Ending::Split(parts) if parts.iter().any(|part| part.when.is_none()) => Shape::Splitting,
            Ending::Split(_) => Shape::Shifting,
            Ending::Jq(_, moves) => {
                if *moves {
                    Shape::Moving
                } else {
                    Shape::Shifting
                }
            }
        };
        if moves { Shape::Moving } else { ending }
    }

    /// Whether it puts values out of sight.
    pub(super) fn redacts(&self) -> bool {
        let redacts = |changes: &Changes| changes.data.redact() || changes.metadata.redact();
        redacts(&self.changes)
            || matches!(&self.ending, Ending::Split(parts) if parts.iter().any(|part| redacts(&part.changes)))
    }

    pub(super) fn apply(&self, event: Event, out: &mut Vec<Event>) -> Result<(), Reason> {
        if let Ending::Drop = self.ending {
            return Ok(());
        }
        let mut event = self.changes.apply(event)?;
        match &self.ending {
            Ending::Drop => {}
            Ending::One(renamed) => {
                if let Some(event_type) = renamed {
                    event.event_type = event_type.clone();
                }
                out.push(event);
            }
            Ending::Split(parts) => split(event, parts, out)?,
            Ending::Jq(filter, _) => out.extend(filter.apply_event(&event)?),
        }
        Ok(())
    }
}

fn split(event: Event, parts: &[Part], out: &mut Vec<Event>) -> Result<(), Reason> {
    let start = out.len();
    for part in parts {
        if let Some(when) = &part.when
            && !when.holds(&event)?
        {
            continue;
        }
        let mut made = part.changes.apply(event.clone())?;
        if let Some(event_type) = &part.event_type {
            made.event_type = event_type.clone();
        }
        if let Some(version) = part.version {
            made.version = version;
        }
        out.push(made);
    }
    if out.len() == start {
        return Err(Reason::new("no part of the split takes it").hint("add a part without `when`, or `drop` with one"));
    }
    Ok(())
}

impl Changes {
    fn apply(&self, mut event: Event) -> Result<Event, Reason> {
        let stream = match &self.stream {
            Some(destination) => Some(destination.stream_of(&event)?),
            None => None,
        };
        let metadata = if self.metadata.is_empty() {
            None
        } else {
            Some(self.metadata.apply(&event.metadata, &event).map_err(in_metadata)?)
        };
        let attributes = if self.attributes.is_empty() {
            None
        } else {
            Some(changed_attributes(&self.attributes, &event.attributes, &event)?)
        };
        if !self.data.is_empty() {
            event.data = self.data.apply(&event.data, &event)?;
        }
        if let Some(jq) = &self.jq {
            event.data = jq.apply_data(&event.data)?;
        }
        if let Some(metadata) = metadata {
            event.metadata = metadata;
        }
        if let Some(attributes) = attributes {
            event.attributes = attributes;
        }
        if let Some(stream) = stream {
            event.stream = stream;
        }
        Ok(event)
    }
}

/// Attributes after operations on them. Where there are none, operations find an empty object, and one that is left is
/// none.
pub(super) fn changed_attributes(operations: &Operations, attributes: &Bytes, event: &Event) -> Result<Bytes, Reason> {
    let before = if attributes.is_empty() { Bytes::from_static(b"{}") } else { attributes.clone() };
    let in_attributes = |reason: Reason| Reason { message: format!("attributes: {}", reason.message), ..reason };
    let after = operations.apply(&Payload::new(before, ContentType::Json), event).map_err(in_attributes)?;
    let text = after.bytes().trim_ascii();
    if !text.starts_with(b"{") {
        return Err(Reason::new("attributes: what is left of them is no object").hint("change single attributes"));
    }
    let is_empty = text[1..].trim_ascii_start() == b"}";
    Ok(if is_empty { Bytes::new() } else { after.bytes().clone() })
}

pub(super) fn in_metadata(reason: Reason) -> Reason {
    Reason { message: format!("metadata: {}", reason.message), ..reason }
}

impl Destination {
    pub(super) fn stream_of(&self, event: &Event) -> Result<StreamName, Reason> {
        match self {
            Self::Stream(template) => StreamName::new(template.render(event)?),
            Self::Category(template) => {
                let id = event.stream.id().ok_or_else(|| {
                    Reason::new(format_args!("stream {} has no id to keep in the other category", event.stream))
                        .hint("name the whole stream with `stream`")
                })?;
                StreamName::from_parts(&template.render(event)?, id)
            }
        }
        .map_err(Reason::new)
    }
}
