//! One event to one line, such that the line is read back as the same event.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use eventlift_events::{ContentType, Event, Payload, Position};
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::decode::{write_name, write_text};
use super::mapping::{Mapping, NO_SOURCE, Role, VersionSource};

/// Turns events into lines. Keeps what the last attributes became, which are mostly the same for every event.
#[derive(Debug)]
pub(super) struct Encoder {
    mapping: Mapping,
    last_attributes: Option<(Bytes, Vec<u8>)>,
}

impl Encoder {
    pub(super) fn new(mapping: Mapping) -> Self {
        Self { mapping, last_attributes: None }
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Appends the event's line, with its end. The error says what the file has no place for.
    pub(super) fn line(&mut self, event: &Event, position: Position, out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(br#"{"specversion":"1.0""#);
        self.text(out, Role::Id, &event.id.to_string());
        self.attributes(out, &event.attributes)?;
        self.event_type(out, event)?;
        self.text(out, Role::Stream, event.stream.as_str());
        self.time(out, event);
        self.version(out, event)?;
        if !event.data.is_empty() || *event.data.content_type() != ContentType::Json {
            self.text(out, Role::ContentType, event.data.content_type().as_str());
        }
        self.text(out, Role::Order, &order_text(position));
        self.revision(out, event)?;
        self.payload(out, &event.data, Role::Data, Role::DataBase64);
        self.metadata(out, &event.metadata)?;
        out.extend_from_slice(b"}\n");
        Ok(())
    }

    /// Writes `,"name":`, where the file has such an attribute.
    fn name(&self, out: &mut Vec<u8>, role: Role) -> bool {
        let Some(name) = self.mapping.name(role) else { return false };
        out.push(b',');
        write_name(out, name);
        true
    }

    fn text(&self, out: &mut Vec<u8>, role: Role, text: &str) {
        if self.name(out, role) {
            write_text(out, text);
        }
    }

    fn time(&self, out: &mut Vec<u8>, event: &Event) {
        match self.mapping.time_unit {
            None => self.text(out, Role::Time, &event.recorded_at.to_string()),
            Some(unit) => {
                self.name(out, Role::Time);
                out.extend_from_slice(unit.write(event.recorded_at).as_bytes());
            }
        }
    }

    fn event_type(&self, out: &mut Vec<u8>, event: &Event) -> Result<(), String> {
        let (name, version) = (event.event_type.as_str(), event.version.number());
        let VersionSource::Type(pattern) = &self.mapping.version else {
            self.text(out, Role::Type, name);
            return Ok(());
        };
        let text = pattern.write(name, version);
        if pattern.split(&text) != Ok(Some((name, version))) {
            return Err(format!("the type {name:?} can't be written as {pattern} and read back"));
        }
        self.text(out, Role::Type, &text);
        Ok(())
    }

    fn version(&self, out: &mut Vec<u8>, event: &Event) -> Result<(), String> {
        let version = event.version.number();
        match &self.mapping.version {
            VersionSource::Nowhere if version != 1 => {
                Err(format!("the event has version {version}, and attributes.version is \"none\""))
            }
            VersionSource::Nowhere | VersionSource::Type(_) => Ok(()),
            VersionSource::Attribute(pattern) => {
                let text = pattern.write(event.event_type.as_str(), version);
                if pattern.version(&text, event.event_type.as_str()) != Ok(version) {
                    return Err(format!(
                        "version {version} can't be written as {pattern}, where {text:?} is another one"
                    ));
                }
                self.name(out, Role::Version);
                let is_number = text.parse::<u32>().is_ok_and(|number| number.to_string() == text);
                if pattern.is_plain_number() && is_number {
                    out.extend_from_slice(text.as_bytes());
                } else {
                    write_text(out, &text);
                }
                Ok(())
            }
        }
    }

    fn revision(&self, out: &mut Vec<u8>, event: &Event) -> Result<(), String> {
        let number = event.revision.0.checked_add(self.mapping.revision_base);
        let Some(number) = number.filter(|number| i64::try_from(*number).is_ok()) else {
            return Err(format!("revision {} is too big", event.revision));
        };
        if self.name(out, Role::Revision) {
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Ok(())
    }

    fn metadata(&self, out: &mut Vec<u8>, metadata: &Payload) -> Result<(), String> {
        if self.mapping.name(Role::Metadata).is_none() {
            return match *metadata == Payload::empty() {
                true => Ok(()),
                false => Err("the event has metadata, and attributes.metadata is \"none\"".to_owned()),
            };
        }
        let is_plain = self.payload(out, metadata, Role::Metadata, Role::MetadataBase64);
        if !is_plain || *metadata.content_type() != ContentType::Json {
            self.text(out, Role::MetadataContentType, metadata.content_type().as_str());
        }
        Ok(())
    }

    /// Writes a payload, as a value where that is read back as the same bytes, otherwise in base64. Says whether it
    /// was not in base64.
    fn payload(&self, out: &mut Vec<u8>, payload: &Payload, value: Role, base64: Role) -> bool {
        if payload.is_empty() {
            return true;
        }
        match value_text(payload) {
            Some(Value::Json(text)) => {
                self.name(out, value);
                out.extend_from_slice(text.as_bytes());
                true
            }
            Some(Value::Text(text)) => {
                self.text(out, value, text);
                true
            }
            None => {
                self.text(out, base64, &BASE64.encode(payload.bytes()));
                false
            }
        }
    }

    fn attributes(&mut self, out: &mut Vec<u8>, attributes: &Bytes) -> Result<(), String> {
        if let Some((last, written)) = &self.last_attributes
            && last == attributes
        {
            out.extend_from_slice(written);
            return Ok(());
        }
        let start = out.len();
        let members = if attributes.is_empty() { Some(Vec::new()) } else { self.plain_members(attributes) };
        let has_source = members.iter().flatten().any(|(name, _)| name == "source");
        if !has_source && !self.mapping.maps_source {
            out.extend_from_slice(br#","source":"#);
            write_text(out, NO_SOURCE);
        }
        match members {
            Some(members) => {
                for (name, value) in &members {
                    out.push(b',');
                    write_name(out, name);
                    out.extend_from_slice(value.get().as_bytes());
                }
            }
            None => {
                let text = std::str::from_utf8(attributes).map_err(|_| "its attributes are not UTF-8".to_owned())?;
                self.text(out, Role::Carried, text);
            }
        }
        self.last_attributes = Some((attributes.clone(), out[start..].to_vec()));
        Ok(())
    }

    /// The members of the attributes, where they would be read back as the same text from attributes of the line.
    fn plain_members<'a>(&self, attributes: &'a [u8]) -> Option<Members<'a>> {
        if memchr::memchr(b'\n', attributes).is_some() {
            return None;
        }
        let mut deserializer = serde_json::Deserializer::from_slice(attributes);
        let members = deserializer.deserialize_map(MembersVisitor).ok()?;
        deserializer.end().ok()?;
        let mut same = vec![b'{'];
        for (index, (name, value)) in members.iter().enumerate() {
            let is_taken = self.mapping.role(name).is_some() || members[..index].iter().any(|(other, _)| other == name);
            let is_no_source = name == "source" && value.get().contains(NO_SOURCE);
            if is_taken || is_no_source {
                return None;
            }
            if index > 0 {
                same.push(b',');
            }
            write_name(&mut same, name);
            same.extend_from_slice(value.get().as_bytes());
        }
        same.push(b'}');
        (same == attributes && !members.is_empty()).then_some(members)
    }
}

type Members<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

struct MembersVisitor;

impl<'a> Visitor<'a> for MembersVisitor {
    type Value = Members<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Members<'a>, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            members.push((Cow::from(name), map.next_value()?));
        }
        Ok(members)
    }
}

enum Value<'a> {
    Json(&'a str),
    Text(&'a str),
}

/// How the payload stands in a line; `None` where only base64 keeps its bytes.
fn value_text(payload: &Payload) -> Option<Value<'_>> {
    let bytes = payload.bytes();
    if *payload.content_type() == ContentType::Binary {
        return None;
    }
    if !payload.is_json() {
        return std::str::from_utf8(bytes).ok().map(Value::Text);
    }
    if memchr::memchr(b'\n', bytes).is_some() {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let value: &RawValue = serde_json::from_str(text).ok()?;
    // A value is read back without the spaces around it.
    (value.get().len() == text.len()).then_some(Value::Json(text))
}

/// Twenty digits, so that positions sort as text too.
fn order_text(position: Position) -> String {
    match position.minor() {
        None => format!("{:020}", position.major()),
        Some(minor) => format!("{:020}/{minor:020}", position.major()),
    }
}
