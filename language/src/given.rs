//! The events that test cases of definitions are given.

use eventlift_events::{Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName, Timestamp};
use toml::de::DeValue;

use crate::reader::{Reader, Value};

const EVENT_KEYS: &[&str] = &["type", "version", "stream", "id", "data", "metadata", "attributes"];

/// What a given event is, where the test case does not say.
#[derive(Debug, Clone)]
pub struct Given {
    /// Its type; `None` where every test case has to say it.
    pub event_type: Option<String>,
    /// Its version, from 1.
    pub version: u32,
    /// Its stream's name.
    pub stream: String,
}

impl Given {
    /// An event of this type and version, in stream `test-1`.
    pub fn of(event_type: &str, version: u32) -> Self {
        Self { version, ..Self::untyped(Some(event_type.to_owned())) }
    }

    /// An event of version 1 in stream `test-1`, of this type if there is one.
    pub fn untyped(event_type: Option<String>) -> Self {
        Self { event_type, version: 1, stream: "test-1".to_owned() }
    }

    /// Reads the event that `given = …` describes: the data's exact text, or a table of `type`, `version`, `stream`,
    /// `id`, `data`, `metadata` and `attributes`, the last three as exact text. It has revision 0, position 0, the time 1970-01-01 and
    /// always the same id, unless `id` gives another. What is wrong is noted.
    pub fn read<'i>(&self, reader: &mut Reader<'i>, value: Value<'i>) -> Option<Event> {
        let span = value.span();
        let mut event = Event {
            id: EventId::text("00000000-0000-4000-8000-000000000001").ok()?,
            stream: StreamName::new(self.stream.clone()).ok()?,
            revision: Revision(0),
            position: Position::new(0),
            event_type: EventType::new("?").ok()?,
            version: SchemaVersion::new(self.version)?,
            data: Payload::empty(),
            metadata: Payload::empty(),
            recorded_at: Timestamp::EPOCH,
            attributes: Default::default(),
        };
        let mut event_type = self.event_type.clone();
        if let DeValue::String(data) = value.get_ref() {
            event.data = Payload::json(data.clone().into_owned());
        } else {
            let mut table = reader.table(value, "`given`")?;
            event_type = reader.text(&mut table, "type").or(event_type);
            if let Some(version) = reader.version(&mut table, "version").and_then(SchemaVersion::new) {
                event.version = version;
            }
            if let Some(stream) = reader.text(&mut table, "stream") {
                event.stream = StreamName::new(stream).ok()?;
            }
            if let Some(id) = reader.text(&mut table, "id") {
                event.id = EventId::text(id).ok()?;
            }
            event.data = Payload::json(reader.get::<String>(&mut table, "data").unwrap_or_default());
            event.metadata = Payload::json(reader.get::<String>(&mut table, "metadata").unwrap_or_default());
            event.attributes = reader.get::<String>(&mut table, "attributes").unwrap_or_default().into();
            reader.finish(table, "`given`", EVENT_KEYS);
        }
        let Some(event_type) = event_type else {
            let hint = "write given = { type = \"…\", data = '…' }";
            reader.note(&span, "`given` needs a `type`", Some(hint.to_owned()));
            return None;
        };
        event.event_type = EventType::new(event_type).ok()?;
        Some(event)
    }
}
