//! An event as it goes to the server.

use bytes::Bytes;
use bytestring::ByteString;
use eventlift_events::{Event, EventId};
use eventstore::EventData;
use serde::Serialize;
use serde::ser::{Error as _, SerializeStruct, Serializer};
use uuid::Uuid;

/// An event as it goes to the server.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: Uuid,
    pub(super) revision: u64,
    pub(super) event_type: ByteString,
    pub(super) is_json: bool,
    pub(super) data: Bytes,
    pub(super) metadata: Bytes,
}

impl Entry {
    /// What the server counts against its limit.
    pub(super) fn size(&self) -> usize {
        self.data.len() + self.metadata.len() + 2 * self.event_type.encode_utf16().count()
    }

    pub(super) fn id(&self) -> EventId {
        EventId::uuid(self.id)
    }

    /// The same, for the client; fails where data labelled JSON is no text, which the client can't send.
    pub(super) fn message(&self) -> Result<EventData, serde_json::Error> {
        let data = match self.is_json {
            true => EventData::json(&self.event_type, &JsonText(&self.data))?,
            false => EventData::binary(&self.event_type, self.data.clone()),
        };
        Ok(data.id(self.id).metadata(self.metadata.clone()))
    }
}

/// The id as the server keeps it; an error says why it can't be kept.
pub(super) fn uuid_of(event: &Event) -> Result<Uuid, String> {
    match event.id.as_uuid() {
        Some(uuid) if uuid.is_nil() => Err(format!("event id {uuid} is the empty one, which the server refuses")),
        Some(uuid) => Ok(uuid),
        None => Err(format!("event id {:?} is no UUID, and the server keeps no others", event.id.to_string())),
    }
}

/// The name by which serde_json knows text that goes out as it is. The client has no other way in for JSON than through
/// serde, and a `RawValue` takes no white space around a value, and no broken JSON, which events may hold.
const AS_IT_IS: &str = "$serde_json::private::RawValue";

/// Bytes that go out as they are.
struct JsonText<'a>(&'a [u8]);

impl Serialize for JsonText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(self.0).map_err(S::Error::custom)?;
        let mut raw = serializer.serialize_struct(AS_IT_IS, 1)?;
        raw.serialize_field(AS_IT_IS, text)?;
        raw.end()
    }
}

/// Whether JSON goes out to the byte. It does with every serde_json that this was built with; a writer that finds another
/// one does not start.
pub(super) fn json_goes_out_as_it_is() -> bool {
    const ODD: &[u8] = b" {\"b\" :1.0, ";
    serde_json::to_vec(&JsonText(ODD)).is_ok_and(|written| written == ODD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_not_looked_into() {
        assert!(json_goes_out_as_it_is());
        for text in ["", " ", "{}", " { \"b\" : 1 } ", "{\"a\":", "\u{feff}{}", "{\"a\":\"\0\"}"] {
            assert_eq!(serde_json::to_vec(&JsonText(text.as_bytes())).unwrap(), text.as_bytes());
        }
        assert!(serde_json::to_vec(&JsonText(b"\xff")).is_err());
    }

    #[test]
    fn a_type_counts_twice_in_the_servers_units() {
        let entry = Entry {
            id: Uuid::max(),
            revision: 0,
            event_type: "a👍".into(),
            is_json: true,
            data: Bytes::from_static(b"12345"),
            metadata: Bytes::from_static(b"67"),
        };
        assert_eq!(entry.size(), 5 + 2 + 2 * 3);
    }
}
