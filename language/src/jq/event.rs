//! Events as a filter sees them, and back.

use std::rc::Rc;

use eventlift_events::{Event, EventType, Payload, SchemaVersion, StreamName};
use jaq_json::Num;

use super::value::{Key, Map, Text, Value};
use super::write;
use crate::reason::Reason;
use crate::shown::Shown;

/// The keys in the order in which a filter sees them.
const KEYS: [&str; 9] =
    ["type", "version", "stream", "id", "revision", "recorded_at", "attributes", "data", "metadata"];

/// A part of an event that is JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Part {
    Data,
    Metadata,
    Attributes,
}

/// What was read of the parts; none of those that the event does not have.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) data: Option<Value>,
    pub(super) metadata: Option<Value>,
    pub(super) attributes: Option<Value>,
}

impl Parts {
    pub(super) fn get(&self, part: Part) -> Option<&Value> {
        match part {
            Part::Data => self.data.as_ref(),
            Part::Metadata => self.metadata.as_ref(),
            Part::Attributes => self.attributes.as_ref(),
        }
    }
}

/// Text that is part of the input, though not of JSON that was read.
pub(super) fn plain(text: &str) -> Rc<Text> {
    Text::read(bytes::Bytes::copy_from_slice(text.as_bytes()), None)
}

fn text(text: &str) -> Value {
    Value::Str(plain(text))
}

/// The object that a filter sees.
pub(super) fn input(event: &Event, parts: &Parts) -> Value {
    let mut map = Map::default();
    let mut put = |key: &'static str, value: Value| {
        map.insert(Key(Text::read(bytes::Bytes::from_static(key.as_bytes()), None)), value);
    };
    put("type", text(event.event_type.as_str()));
    put("version", Value::from(event.version.number() as usize));
    put("stream", text(event.stream.as_str()));
    put("id", text(&event.id.to_string()));
    put("revision", Value::Num(Num::from_integral(event.revision.0)));
    put("recorded_at", text(&event.recorded_at.to_string()));
    for (key, part) in [("attributes", Part::Attributes), ("data", Part::Data), ("metadata", Part::Metadata)] {
        if let Some(value) = parts.get(part) {
            put(key, value.clone());
        }
    }
    Value::object(map)
}

/// The event that an output stands for. `payload` writes a part.
pub(super) fn output(
    output: &Value,
    event: &Event,
    payload: impl Fn(&Value, Part) -> Result<Payload, Reason>,
) -> Result<Event, Reason> {
    let Value::Obj(object) = output else {
        return Err(Reason::new(format_args!("the jq filter yielded {} where it must yield events", article(output)))
            .hint("yield objects such as {type: \"…\", data: .data}; `.` is the event itself"));
    };
    let mut result = event.clone();
    for (key, value) in object.map() {
        match &key.0.bytes[..] {
            b"type" => result.event_type = EventType::new(name(value, "type")?).map_err(Reason::new)?,
            b"stream" => result.stream = stream(value)?,
            b"version" => result.version = version(value)?,
            b"data" => result.data = payload(value, Part::Data)?,
            b"metadata" => result.metadata = payload(value, Part::Metadata)?,
            b"attributes" => result.attributes = attributes(value, &payload)?,
            b"id" => read_only("id", value, &text(&event.id.to_string()))?,
            b"revision" => read_only("revision", value, &Value::Num(Num::from_integral(event.revision.0)))?,
            b"recorded_at" => read_only("recorded_at", value, &text(&event.recorded_at.to_string()))?,
            other => {
                return Err(Reason::new(format_args!(
                    "the jq filter yielded an event with the key {:?}, which events don't have",
                    String::from_utf8_lossy(other)
                ))
                .hint(format_args!("the keys are {}", KEYS.join(", "))));
            }
        }
    }
    Ok(result)
}

/// The attributes that a value stands for; an empty object is none.
fn attributes(
    value: &Value,
    payload: &impl Fn(&Value, Part) -> Result<Payload, Reason>,
) -> Result<bytes::Bytes, Reason> {
    match value {
        Value::Null => Ok(bytes::Bytes::new()),
        Value::Obj(object) if object.map().is_empty() => Ok(bytes::Bytes::new()),
        Value::Obj(_) => Ok(payload(value, Part::Attributes)?.bytes().clone()),
        other => {
            Err(Reason::new(format_args!("the jq filter yielded an event whose attributes are {}", article(other)))
                .hint("attributes are an object"))
        }
    }
}

fn article(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Arr(_) | Value::Obj(_) => format!("an {}", value.type_name()),
        _ => format!("a {}", value.type_name()),
    }
}

fn name(value: &Value, field: &str) -> Result<String, Reason> {
    let wrong =
        || Reason::new(format_args!("the jq filter yielded an event whose {field} is {}", Shown(write::shown(value))));
    match value {
        Value::Str(text) => String::from_utf8(text.bytes.to_vec()).map_err(|_| wrong()),
        _ => Err(wrong().hint(format_args!("{field} is text"))),
    }
}

fn stream(value: &Value) -> Result<StreamName, Reason> {
    name(value, "stream")?.parse().map_err(|error| Reason::new(format_args!("the jq filter yielded a stream: {error}")))
}

fn version(value: &Value) -> Result<SchemaVersion, Reason> {
    let number = match value {
        Value::Num(Num::Float(float)) if float.fract() == 0.0 => Some(*float as i64),
        Value::Num(num) => num.as_isize().map(|int| int as i64),
        _ => None,
    };
    number.and_then(|number| SchemaVersion::new(u32::try_from(number).ok()?)).ok_or_else(|| {
        Reason::new(format_args!("the jq filter yielded an event whose version is {}", Shown(write::shown(value))))
            .hint("versions are numbers from 1")
    })
}

fn read_only(key: &str, value: &Value, before: &Value) -> Result<(), Reason> {
    if value == before {
        return Ok(());
    }
    Err(Reason::new(format_args!(
        "the jq filter changed {key} to {}, which a rule can't change",
        Shown(write::shown(value))
    ))
    .hint(format_args!("leave {key} out; ids and revisions are given where events are numbered")))
}
