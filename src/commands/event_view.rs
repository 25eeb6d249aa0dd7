//! An event as it is shown: one field a line.

use std::fmt;

use eventlift_events::{ContentType, Event, Payload};
use serde::Serialize;
use similar::{ChangeTag, TextDiff};

/// An event for people and machines. Payloads are text where they are UTF-8, otherwise only their length is told.
#[derive(Debug, Serialize)]
pub(super) struct EventView {
    pub(super) position: String,
    stream: String,
    revision: u64,
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    version: u32,
    recorded_at: String,
    data: String,
    /// What JSON is labelled where that is not `application/json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_type: Option<String>,
    metadata: String,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata_type: Option<String>,
    attributes: String,
}

impl EventView {
    pub(super) fn of(event: &Event) -> Self {
        Self {
            position: event.position.to_string(),
            stream: event.stream.to_string(),
            revision: event.revision.0,
            id: event.id.to_string(),
            event_type: event.event_type.to_string(),
            version: event.version.number(),
            recorded_at: event.recorded_at.to_string(),
            data: shown(&event.data),
            data_type: label(&event.data),
            metadata: shown(&event.metadata),
            metadata_type: label(&event.metadata),
            attributes: String::from_utf8_lossy(&event.attributes).into_owned(),
        }
    }
}

fn shown(payload: &Payload) -> String {
    match std::str::from_utf8(payload.bytes()) {
        Ok(text) if payload.holds_json() || *payload.content_type() == ContentType::Json => text.to_owned(),
        Ok(text) => format!("{} {text}", payload.content_type()),
        Err(_) => format!("{} of {} bytes", payload.content_type(), payload.len()),
    }
}

/// The label of JSON that another one has than `application/json`; anything else is shown with its own.
fn label(payload: &Payload) -> Option<String> {
    let is_special = payload.holds_json() && *payload.content_type() != ContentType::Json;
    is_special.then(|| payload.content_type().to_string())
}

impl fmt::Display for EventView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stream      {}", self.stream)?;
        writeln!(f, "revision    {}", self.revision)?;
        writeln!(f, "position    {}", self.position)?;
        writeln!(f, "id          {}", self.id)?;
        writeln!(f, "type        {} version {}", self.event_type, self.version)?;
        writeln!(f, "recorded at {}", self.recorded_at)?;
        if let Some(label) = &self.data_type {
            writeln!(f, "data type   {label}")?;
        }
        write_long(f, "data       ", &self.data)?;
        if !self.metadata.is_empty() {
            if let Some(label) = &self.metadata_type {
                writeln!(f, "metadata type {label}")?;
            }
            write_long(f, "metadata   ", &self.metadata)?;
        }
        if !self.attributes.is_empty() {
            write_long(f, "attributes ", &self.attributes)?;
        }
        Ok(())
    }
}

/// The top-level members of a JSON object on lines of their own, so that a diff shows the one that changed.
fn write_long(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    use serde_json::value::RawValue;
    /// Longer values are cut: this is for looking, and `--json` has them whole.
    const SHOWN: usize = 300;
    let members: Option<indexed::Members<'_>> = serde_json::from_str(text).ok();
    let Some(members) = members else { return writeln!(f, "{name} {}", cut(text, SHOWN)) };
    writeln!(f, "{}", name.trim_end())?;
    for (key, value) in members.0 {
        let value: &RawValue = value;
        writeln!(f, "  {key}: {}", cut(value.get(), SHOWN))?;
    }
    Ok(())
}

fn cut(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}

/// An object's members in their order, values unparsed.
mod indexed {
    use std::fmt;

    use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
    use serde_json::value::RawValue;

    pub(super) struct Members<'a>(pub(super) Vec<(String, &'a RawValue)>);

    impl<'de> Deserialize<'de> for Members<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Object;
            impl<'de> Visitor<'de> for Object {
                type Value = Members<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    let mut members = Vec::new();
                    while let Some(member) = map.next_entry()? {
                        members.push(member);
                    }
                    Ok(Members(members))
                }
            }
            deserializer.deserialize_map(Object)
        }
    }
}

/// The lines of two texts, the ones only in the first marked `-`, the ones only in the second `+`.
pub(super) fn diff(before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    let mut text = String::new();
    for change in diff.iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        text.push(sign);
        text.push(' ');
        text.push_str(change.value());
    }
    text
}
