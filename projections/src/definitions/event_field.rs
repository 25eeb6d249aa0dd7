//! What `{ event = "…" }` stands for.

use eventlift_events::Event;
use eventlift_language::{Reason, json};

use crate::value::{ColumnType, Value};

/// A part of an event beside its payloads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum EventField {
    Id,
    Stream,
    StreamId,
    Category,
    Type,
    Version,
    Revision,
    Position,
    RecordedAt,
}

impl EventField {
    pub(super) const ALL: [Self; 9] = [
        Self::Id,
        Self::Stream,
        Self::StreamId,
        Self::Category,
        Self::Type,
        Self::Version,
        Self::Revision,
        Self::Position,
        Self::RecordedAt,
    ];

    /// The name in definitions.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Stream => "stream",
            Self::StreamId => "stream_id",
            Self::Category => "category",
            Self::Type => "type",
            Self::Version => "version",
            Self::Revision => "revision",
            Self::Position => "position",
            Self::RecordedAt => "recorded_at",
        }
    }

    /// Whether a column of this type can hold it; a text that says the value, such as an id that is a number, counts.
    pub(super) fn fits(self, column_type: ColumnType) -> bool {
        let others: &[ColumnType] = match self {
            Self::Stream | Self::Category | Self::Type => &[ColumnType::Text],
            Self::Id => &[ColumnType::Text, ColumnType::Uuid],
            Self::StreamId => &[ColumnType::Text, ColumnType::Uuid, ColumnType::Integer],
            Self::Position => &[ColumnType::Text, ColumnType::Integer],
            Self::Version | Self::Revision => &[ColumnType::Integer, ColumnType::Numeric],
            Self::RecordedAt => &[ColumnType::Time],
        };
        column_type == ColumnType::Json || others.contains(&column_type)
    }

    /// Its value in a column of this type; null for the id of a stream that has none.
    pub(super) fn value(self, event: &Event, column_type: ColumnType) -> Result<Value, Reason> {
        match self {
            Self::Id => match event.id.as_uuid() {
                Some(uuid) if column_type == ColumnType::Uuid => Ok(Value::Uuid(uuid)),
                _ => of_text(&event.id.to_string(), column_type),
            },
            Self::Stream => of_text(event.stream.as_str(), column_type),
            Self::StreamId => event.stream.id().map_or(Ok(Value::Null), |id| of_text(id, column_type)),
            Self::Category => of_text(event.stream.category(), column_type),
            Self::Type => of_text(event.event_type.as_str(), column_type),
            Self::Position => of_text(&event.position.to_string(), column_type),
            Self::Version => Value::from_json(column_type, &event.version.to_string()),
            Self::Revision => Value::from_json(column_type, &event.revision.to_string()),
            Self::RecordedAt if column_type == ColumnType::Time => Ok(Value::Time(event.recorded_at)),
            Self::RecordedAt => of_text(&event.recorded_at.to_string(), column_type),
        }
    }
}

fn of_text(text: &str, column_type: ColumnType) -> Result<Value, Reason> {
    match column_type {
        ColumnType::Json => Ok(Value::Json(json::encode(text).into())),
        _ => Value::parse(column_type, text),
    }
}
