//! One line to one event.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use bytestring::ByteString;
use eventlift_events::{
    ContentType, Event, EventId, EventType, InvalidTimestamp, Payload, Position, Revision, SchemaVersion, StreamName,
    Timestamp,
};
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::mapping::{Mapping, NO_SOURCE, ROLES, Role, VersionSource};
use super::noticed::{Form, Noticed};
use super::unsaid::Unsaid;
use crate::stores::version_pattern::Mismatch;
use crate::stores::written_time::{FinerTimes, NoTime, TimeUnit, read_time};

/// What is wrong with a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct LineError {
    /// The byte in the line, from 1, where it is known.
    pub(super) column: Option<usize>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl LineError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { column: None, message: message.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// A line's attributes, each a slice of the line.
pub(super) struct Fields<'a> {
    line: &'a str,
    by_role: [Option<&'a RawValue>; ROLES],
    others: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// Finds the attributes of a line.
pub(super) fn fields<'a>(mapping: &Mapping, line: &'a str) -> Result<Fields<'a>, LineError> {
    let mut deserializer = serde_json::Deserializer::from_str(line);
    let fields = FieldsSeed { mapping, line }.deserialize(&mut deserializer).and_then(|fields| {
        deserializer.end()?;
        Ok(fields)
    });
    fields.map_err(|error| json_error(line, &error))
}

fn json_error(line: &str, error: &serde_json::Error) -> LineError {
    let text = error.to_string();
    // serde_json ends its messages with a place that is relative to the line.
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    let column = Some(error.column()).filter(|column| *column > 0);
    let hint = if line.trim_start().starts_with('[') {
        Some("a JSON array is not JSON lines: write one object a line, for example with `jq -c '.[]'`")
    } else if error.is_data() && line.trim_start().starts_with('{') {
        None
    } else {
        Some("every line must hold one whole JSON object; repair or remove this one")
    };
    let message = if error.is_data() { message } else { format!("the line is broken JSON: {message}") };
    LineError { column, message, hint: hint.map(str::to_owned) }
}

struct FieldsSeed<'m, 'a> {
    mapping: &'m Mapping,
    line: &'a str,
}

impl<'a> DeserializeSeed<'a> for FieldsSeed<'_, 'a> {
    type Value = Fields<'a>;
    fn deserialize<D: de::Deserializer<'a>>(self, deserializer: D) -> Result<Fields<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for FieldsSeed<'_, 'a> {
    type Value = Fields<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object with an event's attributes")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Fields<'a>, A::Error> {
        let mut fields = Fields { line: self.line, by_role: [None; ROLES], others: Vec::new() };
        while let Some(Name(name)) = map.next_key()? {
            let role = self.mapping.role(&name);
            let is_repeated = match role {
                Some(role) => fields.by_role[role].is_some(),
                None => fields.others.iter().any(|(other, _)| *other == name),
            };
            if is_repeated {
                return Err(de::Error::custom(format_args!("the attribute `{name}` is there twice")));
            }
            let value: &'a RawValue = map.next_value()?;
            match role {
                Some(role) => fields.by_role[role] = Some(value),
                None => fields.others.push((name, value)),
            }
        }
        Ok(fields)
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// What to try where a number is no time that can be told.
const UNIT_HINT: &str =
    "set time_unit under [source.attributes] to what it counts since 1970: \"s\", \"ms\", \"us\" or \"ns\"";

/// Turns fields into events. Keeps the last attributes, which are mostly the same on every line.
pub(super) struct Decoder<'m> {
    mapping: &'m Mapping,
    noticed: &'m Noticed,
    scratch: Vec<u8>,
    last_attributes: Bytes,
    /// What times counted so far that are numbers.
    unit: Option<TimeUnit>,
    unsaid: Unsaid,
}

impl<'m> Decoder<'m> {
    pub(super) fn new(mapping: &'m Mapping, noticed: &'m Noticed) -> Self {
        let unsaid = Unsaid::new(mapping.absent_version);
        Self { mapping, noticed, scratch: Vec::new(), last_attributes: Bytes::new(), unit: None, unsaid }
    }

    /// The event's position; `None` where the file has no order attribute.
    pub(super) fn position(&self, fields: &Fields<'_>) -> Result<Option<Position>, LineError> {
        if self.mapping.name(Role::Order).is_none() {
            return Ok(None);
        }
        let hint = "set attributes.order to the attribute that holds the global order, or to \"none\" to go by line";
        let raw = self.required(fields, Role::Order, hint)?;
        let text = if raw.get().starts_with('"') { self.text(fields, Role::Order, raw)? } else { Cow::from(raw.get()) };
        match text.parse() {
            Ok(position) => Ok(Some(position)),
            Err(_) => {
                let message = format!("`{}` is {}, which is no place in an order", self.named(Role::Order), raw.get());
                Err(self.at(fields, raw, message).hint(hint))
            }
        }
    }

    /// The stream's name. `chunk` is what the line is a slice of.
    pub(super) fn stream(&self, fields: &Fields<'_>, chunk: &ByteString) -> Result<StreamName, LineError> {
        let hint = "set attributes.stream to the attribute that holds the stream's name";
        let raw = self.required(fields, Role::Stream, hint)?;
        let text = shared(chunk, self.text_or_number(fields, Role::Stream, raw, Form::NumericStreams)?);
        StreamName::new(text).map_err(|_| self.empty(fields, Role::Stream, raw))
    }

    /// The revision, from 0; `None` where the file has no revision attribute.
    pub(super) fn revision(&self, fields: &Fields<'_>) -> Result<Option<Revision>, LineError> {
        if self.mapping.name(Role::Revision).is_none() {
            return Ok(None);
        }
        let hint = "set attributes.revision to the attribute that holds the place in the stream, or to \"none\" to \
                    number the events of each stream as they come";
        let raw = self.required(fields, Role::Revision, hint)?;
        let number = self.whole_number(fields, Role::Revision, raw)?;
        match number.checked_sub(self.mapping.revision_base) {
            Some(revision) => Ok(Some(Revision(revision))),
            None => {
                let message = format!("`{}` is 0, but revision_base is 1", self.named(Role::Revision));
                Err(self.at(fields, raw, message).hint("take revision_base = 1 out of [source.attributes]"))
            }
        }
    }

    /// The event. `chunk` is what the line is a slice of; payloads and names share its memory.
    pub(super) fn event(
        &mut self,
        fields: &Fields<'_>,
        chunk: &ByteString,
        stream: StreamName,
        revision: Revision,
        position: Position,
    ) -> Result<Event, LineError> {
        self.check_specification(fields)?;
        let (event_type, version) = self.type_and_version(fields, chunk)?;
        let (recorded_at, finer) = self.time(fields)?;
        Ok(Event {
            id: self.id(fields, chunk)?,
            stream,
            revision,
            position,
            event_type,
            version,
            data: self.payload(fields, chunk, Role::Data, Role::DataBase64, Role::ContentType)?,
            metadata: self.payload(fields, chunk, Role::Metadata, Role::MetadataBase64, Role::MetadataContentType)?,
            recorded_at,
            attributes: self.attributes(fields, finer)?,
        })
    }

    fn check_specification(&self, fields: &Fields<'_>) -> Result<(), LineError> {
        let Some(raw) = present(fields, Role::SpecVersion) else { return Ok(()) };
        let text = self.text(fields, Role::SpecVersion, raw)?;
        if text == "1.0" {
            return Ok(());
        }
        Err(self.at(fields, raw, format!("`specversion` is {text:?}, and only CloudEvents 1.0 is read")))
    }

    fn id(&self, fields: &Fields<'_>, chunk: &ByteString) -> Result<EventId, LineError> {
        let raw = self.required(fields, Role::Id, "set attributes.id to the attribute that holds the event's id")?;
        let text = shared(chunk, self.text_or_number(fields, Role::Id, raw, Form::NumericIds)?);
        EventId::text(text).map_err(|_| self.empty(fields, Role::Id, raw))
    }

    fn type_and_version(
        &mut self,
        fields: &Fields<'_>,
        chunk: &ByteString,
    ) -> Result<(EventType, SchemaVersion), LineError> {
        let raw = self.required(fields, Role::Type, "set attributes.type to the attribute that holds the type")?;
        let text = shared(chunk, self.text(fields, Role::Type, raw)?);
        let whole = |text| EventType::new(text).map_err(|_| self.empty(fields, Role::Type, raw));
        let (event_type, said) = match &self.mapping.version {
            VersionSource::Nowhere => return Ok((whole(text)?, SchemaVersion::FIRST)),
            VersionSource::Attribute(_) => {
                let event_type = whole(text)?;
                let version = self.version(fields, &event_type)?;
                (event_type, version)
            }
            VersionSource::Type(pattern) => match pattern.split(&text) {
                Ok(None) => (whole(text)?, None),
                Ok(Some((name, version))) => {
                    (whole(text.slice_ref(name))?, Some(self.schema_version(fields, Role::Type, raw, version)?))
                }
                Err(_) => return Err(self.no_version(fields, Role::Type, raw)),
            },
        };
        if said.is_none() {
            self.noticed.notice(Form::NoVersion);
        }
        match self.unsaid.take(&event_type, said) {
            Some(version) => Ok((event_type, version)),
            None => Err(self.unclear_version(fields, raw, &event_type)),
        }
    }

    /// Some events of the type say that they have version 1, and others say none.
    fn unclear_version(&self, fields: &Fields<'_>, type_raw: &RawValue, event_type: &EventType) -> LineError {
        let role = match self.mapping.version {
            VersionSource::Type(_) => Role::Type,
            _ => Role::Version,
        };
        let raw = fields.by_role[role as usize].unwrap_or(type_raw);
        let message = format!(
            "events of type {event_type} say in `{}` that they have version 1, and others of them say no version",
            self.named(role)
        );
        self.at(fields, raw, message).hint(
            "set absent_version under [source.attributes] to the version of events that say none: 1 if they are the same",
        )
    }

    /// The version that an event says it has; none where it says none.
    fn version(&self, fields: &Fields<'_>, event_type: &EventType) -> Result<Option<SchemaVersion>, LineError> {
        let VersionSource::Attribute(pattern) = &self.mapping.version else { return Ok(None) };
        let Some(raw) = present(fields, Role::Version) else { return Ok(None) };
        if raw.get() == "\"\"" && !pattern.texts().contains_key("") {
            return Ok(None);
        }
        let text = match raw.get().as_bytes().first() {
            Some(b'0'..=b'9' | b'-') => Cow::from(raw.get()),
            _ => self.text(fields, Role::Version, raw)?,
        };
        match pattern.version(&text, event_type.as_str()) {
            Ok(version) => self.schema_version(fields, Role::Version, raw, version).map(Some),
            Err(Mismatch::Range) => Err(self.no_version(fields, Role::Version, raw)),
            Err(Mismatch::Shape) => {
                let name = self.named(Role::Version);
                let message = format!("`{name}` is {}, which doesn't follow the pattern {pattern}", raw.get());
                let message = match pattern.names_type() {
                    true => format!("{message} for the type {event_type}"),
                    false => message,
                };
                Err(self.at(fields, raw, message).hint(
                    "set attributes.version_pattern to how the version is written, say what single texts mean with \
                     attributes.versions = { \"2.0.1\" = 2 }, or set attributes.version to \"none\" to take every event \
                     as version 1",
                ))
            }
        }
    }

    fn schema_version(
        &self,
        fields: &Fields<'_>,
        role: Role,
        raw: &RawValue,
        number: u32,
    ) -> Result<SchemaVersion, LineError> {
        SchemaVersion::new(number).ok_or_else(|| self.no_version(fields, role, raw))
    }

    fn no_version(&self, fields: &Fields<'_>, role: Role, raw: &RawValue) -> LineError {
        let message = format!("`{}` is {}, but schema versions go from 1 to {}", self.named(role), raw.get(), u32::MAX);
        self.at(fields, raw, message)
            .hint("if that is how a version is written, say which it is: attributes.versions = { \"0\" = 1 }")
    }

    /// The moment, and the time as it is written where the event has to carry it as well.
    fn time<'a>(&mut self, fields: &Fields<'a>) -> Result<(Timestamp, Option<&'a RawValue>), LineError> {
        let hint = "set attributes.time to the attribute that holds when the event was recorded";
        let raw = self.required(fields, Role::Time, hint)?;
        let text = match raw.get().as_bytes().first() {
            Some(b'0'..=b'9' | b'-') => Cow::from(raw.get()),
            _ => self.text(fields, Role::Time, raw)?,
        };
        let name = self.named(Role::Time);
        let read = read_time(&text, self.mapping.time_unit).map_err(|error| {
            let hint = match error {
                NoTime::Text(InvalidTimestamp::LeapSecond(_)) => {
                    "write it as the last microsecond of the minute, …:59.999999, which keeps its place among the others"
                }
                NoTime::Text(_) => "a time is RFC 3339 text with its offset, such as 2024-05-01T12:00:00.123456Z",
                NoTime::Unit(_) | NoTime::Range(..) => UNIT_HINT,
            };
            self.at(fields, raw, format!("`{name}`: {error}")).hint(hint)
        })?;
        if let Some(unit) = read.unit {
            if let Some(other) = self.unit.replace(unit).filter(|other| *other != unit) {
                let (unit, other) = (unit.name(), other.name());
                let message = format!("`{name}` is {text}, which looks like {unit}, but those before it like {other}");
                return Err(self.at(fields, raw, message).hint(UNIT_HINT));
            }
            self.noticed.notice(Form::Numbers(unit));
        }
        if !read.is_finer {
            return Ok((read.moment, None));
        }
        if self.mapping.finer_times == FinerTimes::Refuse {
            let error = InvalidTimestamp::Precision(text.into_owned());
            return Err(self.at(fields, raw, format!("`{name}`: {error}")).hint(
                "set finer_times under [source.attributes] to \"truncate\", which cuts it off, or to \"keep\", which \
                 carries it among the attributes as well",
            ));
        }
        self.noticed.notice(Form::FinerTimes);
        Ok((read.moment, (self.mapping.finer_times == FinerTimes::Keep).then_some(raw)))
    }

    fn payload(
        &self,
        fields: &Fields<'_>,
        chunk: &ByteString,
        value: Role,
        base64: Role,
        content_type: Role,
    ) -> Result<Payload, LineError> {
        let declared = match present(fields, content_type) {
            None => None,
            Some(raw) => Some(ContentType::parse(shared(chunk, self.text(fields, content_type, raw)?))),
        };
        let value_raw = fields.by_role[value as usize];
        let Some(base64_raw) = present(fields, base64) else {
            return match value_raw {
                None => Ok(Payload::new(Bytes::new(), declared.unwrap_or_default())),
                Some(raw) => self.value_payload(fields, chunk, value, raw, declared.unwrap_or_default()),
            };
        };
        if value_raw.is_some() {
            let message = format!("`{}` and `{}` are both there", self.named(value), self.named(base64));
            return Err(self.at(fields, base64_raw, message));
        }
        let bytes = BASE64
            .decode(&*self.text(fields, base64, base64_raw)?)
            .map_err(|error| self.at(fields, base64_raw, format!("`{}` is not base64: {error}", self.named(base64))))?;
        Ok(Payload::new(bytes, declared.unwrap_or(ContentType::Binary)))
    }

    fn value_payload(
        &self,
        fields: &Fields<'_>,
        chunk: &ByteString,
        role: Role,
        raw: &RawValue,
        content_type: ContentType,
    ) -> Result<Payload, LineError> {
        if content_type.is_json() {
            return Ok(Payload::new(chunk.as_bytes().slice_ref(raw.get().as_bytes()), content_type));
        }
        if raw.get() == "null" {
            return Ok(Payload::new(Bytes::new(), content_type));
        }
        if raw.get().starts_with('"') {
            let text = shared(chunk, self.text(fields, role, raw)?);
            return Ok(Payload::new(text.into_bytes(), content_type));
        }
        let message =
            format!("`{}` is {}, but its content type {content_type} is not JSON", self.named(role), kind(raw));
        Err(self.at(fields, raw, message).hint("data of such a type is a text, or base64 in data_base64"))
    }

    /// What is carried: what plays no part, and a time that is `finer` than the event's own.
    fn attributes(&mut self, fields: &Fields<'_>, finer: Option<&RawValue>) -> Result<Bytes, LineError> {
        self.scratch.clear();
        let others = fields.others.iter().map(|(name, value)| (&**name, *value));
        let finer = finer.map(|raw| (self.mapping.name(Role::Time).unwrap_or(""), raw));
        for (name, value) in others.chain(finer) {
            if name == "source" && is_no_source(value) {
                continue;
            }
            self.scratch.push(if self.scratch.is_empty() { b'{' } else { b',' });
            write_name(&mut self.scratch, name);
            self.scratch.extend_from_slice(value.get().as_bytes());
        }
        if !self.scratch.is_empty() {
            self.scratch.push(b'}');
        }
        if let Some(raw) = present(fields, Role::Carried) {
            let text = self.text(fields, Role::Carried, raw)?;
            if !self.scratch.is_empty() {
                let message = format!("`{}` is there beside attributes that are not mapped", self.named(Role::Carried));
                return Err(self.at(fields, raw, message));
            }
            return Ok(Bytes::from(text.into_owned()));
        }
        if self.last_attributes != self.scratch {
            self.last_attributes = Bytes::copy_from_slice(&self.scratch);
        }
        Ok(self.last_attributes.clone())
    }

    fn named(&self, role: Role) -> &'m str {
        self.mapping.name(role).unwrap_or("")
    }

    fn required<'a>(&self, fields: &Fields<'a>, role: Role, hint: &str) -> Result<&'a RawValue, LineError> {
        present(fields, role)
            .ok_or_else(|| LineError::new(format!("the attribute `{}` is missing", self.named(role))).hint(hint))
    }

    fn text<'a>(&self, fields: &Fields<'_>, role: Role, raw: &'a RawValue) -> Result<Cow<'a, str>, LineError> {
        let Some(inner) = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return Err(self.at(fields, raw, format!("`{}` is {}, not a text", self.named(role), kind(raw))));
        };
        if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
            return Ok(Cow::Borrowed(inner));
        }
        serde_json::from_str(raw.get()).map(Cow::Owned).map_err(|error| {
            let text = error.to_string();
            let reason = text.split(" at line ").next().unwrap_or(&text);
            self.at(fields, raw, format!("`{}` is no text that can be kept: {reason}", self.named(role)))
        })
    }

    /// A text, or a whole number as it is written.
    fn text_or_number<'a>(
        &self,
        fields: &Fields<'_>,
        role: Role,
        raw: &'a RawValue,
        form: Form,
    ) -> Result<Cow<'a, str>, LineError> {
        let digits = raw.get().strip_prefix('-').unwrap_or(raw.get());
        if digits.bytes().all(|b| b.is_ascii_digit()) {
            self.noticed.notice(form);
            return Ok(Cow::Borrowed(raw.get()));
        }
        self.text(fields, role, raw)
    }

    fn whole_number(&self, fields: &Fields<'_>, role: Role, raw: &RawValue) -> Result<u64, LineError> {
        /// What 64-bit databases can count to.
        const MOST: u64 = i64::MAX as u64;
        let text = raw.get();
        let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        let wrong = |what: &str| self.at(fields, raw, format!("`{}` is {text}, {what}", self.named(role)));
        if digits.starts_with('-') && digits.len() > 1 {
            return Err(wrong("which is negative"));
        }
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong("not a whole number"));
        }
        match digits.parse() {
            Ok(number) if number <= MOST => Ok(number),
            _ => Err(wrong("which is too big")),
        }
    }

    fn empty(&self, fields: &Fields<'_>, role: Role, raw: &RawValue) -> LineError {
        self.at(fields, raw, format!("`{}` is empty", self.named(role)))
    }

    fn at(&self, fields: &Fields<'_>, raw: &RawValue, message: impl Into<String>) -> LineError {
        let offset = (raw.get().as_ptr() as usize).checked_sub(fields.line.as_ptr() as usize);
        LineError { column: offset.map(|offset| offset + 1), message: message.into(), hint: None }
    }
}

/// The value of an attribute; CloudEvents takes null for an attribute that is not there.
fn present<'a>(fields: &Fields<'a>, role: Role) -> Option<&'a RawValue> {
    fields.by_role[role as usize].filter(|raw| raw.get() != "null")
}

fn shared(chunk: &ByteString, text: Cow<'_, str>) -> ByteString {
    match text {
        Cow::Borrowed(text) => chunk.slice_ref(text),
        Cow::Owned(text) => text.into(),
    }
}

fn kind(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn is_no_source(value: &RawValue) -> bool {
    value.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) == Some(NO_SOURCE)
}

/// Writes `"name":`.
pub(super) fn write_name(out: &mut Vec<u8>, name: &str) {
    write_text(out, name);
    out.push(b':');
}

/// Writes a JSON string.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    // Writing a string to memory can't fail; and if it ever did, the line would not read back.
    let _ = serde_json::to_writer(out, text);
}
