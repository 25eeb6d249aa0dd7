//! The event and the small types it is made of.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use bytes::Bytes;
use bytestring::ByteString;
use uuid::Uuid;

use crate::payload::Payload;
use crate::position::Position;
use crate::stream::{InvalidName, Revision, StreamName};
use crate::timestamp::Timestamp;

/// One event, as every store's reader yields it and every store's writer takes it.
///
/// Cloning shares all bytes and text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its identity, unique in its store.
    pub id: EventId,
    /// The stream it belongs to.
    pub stream: StreamName,
    /// Its place in the stream, from 0.
    pub revision: Revision,
    /// Its place in the store's global order.
    pub position: Position,
    /// What happened.
    pub event_type: EventType,
    /// Which version of the type's schema `data` follows, from 1.
    pub version: SchemaVersion,
    /// What happened, in detail.
    pub data: Payload,
    /// What was known about it: correlation, causation, user.
    pub metadata: Payload,
    /// When its store recorded it.
    pub recorded_at: Timestamp,
    /// Whatever else the envelope held, as one JSON object's text (CloudEvents extension attributes, extra columns).
    /// Empty when there is nothing else. Carried as it is, unless a rule names some of it.
    pub attributes: Bytes,
}

impl Event {
    /// A copy that shares no bytes, for keeping: sharing a slice keeps the whole batch's buffer.
    pub fn detached(&self) -> Self {
        let copy = |text: &str| ByteString::from(text.to_owned());
        let payload =
            |payload: &Payload| Payload::new(Bytes::copy_from_slice(payload.bytes()), payload.content_type().clone());
        Self {
            id: match &self.id.0 {
                Id::Uuid(_) => self.id.clone(),
                Id::Text(text) => EventId(Id::Text(copy(text))),
            },
            stream: self.stream.detached(),
            event_type: EventType(copy(&self.event_type.0)),
            data: payload(&self.data),
            metadata: payload(&self.metadata),
            attributes: Bytes::copy_from_slice(&self.attributes),
            ..*self
        }
    }

    /// About how many bytes the event occupies: payloads, attributes and names.
    pub fn size(&self) -> usize {
        self.data.len()
            + self.metadata.len()
            + self.attributes.len()
            + self.stream.as_str().len()
            + self.event_type.as_str().len()
            + 64
    }
}

/// An event's identity: a UUID, or any other text that is not empty.
///
/// Only the usual spelling of a UUID (lower case, hyphens) becomes the compact form, so that every id prints as the
/// text it was read from.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Id);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Id {
    Uuid(Uuid),
    Text(ByteString),
}

/// Namespace of ids derived from text ids; itself the version 5 UUID of `eventlift` under the URL namespace.
const DERIVED_IDS: Uuid = Uuid::from_u128(0x39b3_4224_93a4_5205_99bf_a3df_4a37_6782);

impl EventId {
    /// Takes a UUID.
    pub fn uuid(uuid: Uuid) -> Self {
        Self(Id::Uuid(uuid))
    }

    /// Takes any text. Fails when it is empty.
    pub fn text(text: impl Into<ByteString>) -> Result<Self, InvalidName> {
        let text = text.into();
        if text.is_empty() {
            return Err(InvalidName::Empty("event id"));
        }
        match canonical_uuid(&text) {
            Some(uuid) => Ok(Self::uuid(uuid)),
            None => Ok(Self(Id::Text(text))),
        }
    }

    /// The UUID, if the id is one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        match &self.0 {
            Id::Uuid(uuid) => Some(*uuid),
            Id::Text(_) => None,
        }
    }

    /// The id of the `index`-th event that this one was split into. The first part keeps the id, so that causation
    /// links still resolve; each later part gets a version 5 UUID of it. The same on every run.
    ///
    /// `split` says what was split, such as `OrderPlaced 1`: an event that keeps its id may be split again, as
    /// something else, and those parts must not get the ids of these.
    pub fn of_part(&self, index: usize, split: &str) -> EventId {
        if index == 0 {
            return self.clone();
        }
        Self::uuid(Uuid::new_v5(&self.namespace(), format!("part {index} of {split}").as_bytes()))
    }

    /// The id of an event that was read with this one, which an earlier event of another stream has as well: a version 5
    /// UUID of it and the event's own stream. The same on every run.
    pub fn in_stream(&self, stream: &StreamName) -> EventId {
        Self::uuid(Uuid::new_v5(&self.namespace(), format!("in stream {stream}").as_bytes()))
    }

    fn namespace(&self) -> Uuid {
        match &self.0 {
            Id::Uuid(uuid) => *uuid,
            Id::Text(text) => Uuid::new_v5(&DERIVED_IDS, text.as_bytes()),
        }
    }
}

fn canonical_uuid(text: &str) -> Option<Uuid> {
    if text.len() != 36 || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    Uuid::try_parse(text).ok()
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Id::Uuid(uuid) => uuid.hyphenated().fmt(f),
            Id::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for EventId {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        // Nothing is allocated for a UUID.
        match canonical_uuid(text) {
            Some(uuid) => Ok(Self::uuid(uuid)),
            None => Self::text(text),
        }
    }
}

/// The name of what happened. Never empty.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType(ByteString);

impl EventType {
    /// Takes a name. Fails when it is empty.
    pub fn new(name: impl Into<ByteString>) -> Result<Self, InvalidName> {
        let name = name.into();
        if name.is_empty() { Err(InvalidName::Empty("event type")) } else { Ok(Self(name)) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as shared text.
    pub fn text(&self) -> &ByteString {
        &self.0
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` honours widths, for tables.
        f.pad(&self.0)
    }
}

impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl FromStr for EventType {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

/// The version of an event type's schema, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SchemaVersion(NonZeroU32);

impl SchemaVersion {
    /// The version of events whose store does not say.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// Takes a number; there is no version 0.
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for SchemaVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_prints_as_it_was_read() {
        for text in ["cbe326da-5260-5f9d-88a8-a35a0b819073", "CBE326DA-5260-5F9D-88A8-A35A0B819073", "order-1", "ü"] {
            assert_eq!(EventId::text(text).unwrap().to_string(), text);
        }
        assert!(EventId::text("").is_err());
        assert!(EventId::text("cbe326da-5260-5f9d-88a8-a35a0b819073").unwrap().as_uuid().is_some());
    }

    #[test]
    fn parts_have_ids_of_their_own_and_always_the_same() {
        for text in ["cbe326da-5260-5f9d-88a8-a35a0b819073", "order-1"] {
            let id = EventId::text(text).unwrap();
            assert_eq!(id.of_part(0, "A 1"), id);
            assert_ne!(id.of_part(1, "A 1"), id.of_part(2, "A 1"));
            assert_ne!(id.of_part(1, "A 1"), id.of_part(1, "B 1"));
            assert_eq!(id.of_part(1, "A 1"), id.of_part(1, "A 1"));
        }
    }
}
