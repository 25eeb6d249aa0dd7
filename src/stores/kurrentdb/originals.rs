//! What the server has no place for: written at the end of an event's metadata, and taken out of it again.

use std::borrow::Cow;

use bytes::Bytes;
use bytestring::ByteString;
use eventlift_events::{ContentType, Event, EventOrigin, Payload, Position, SchemaVersion, Timestamp};
use eventlift_language::json::{Kind, Member, Node, decode, encode, same_key, strict};

use super::config::{InvalidKurrent, KurrentConfig, MetadataKeys, StreamMetadata};
use crate::stores::attribute::Attribute;
use crate::stores::version_pattern::VersionPattern;

/// Holds the media type of data that is not what the server's own flag says: `application/json`, or bytes without a format.
const CONTENT_TYPE: &str = "$contentType";

/// Holds the media type of metadata that is a JSON object, and labelled as something else.
const METADATA_CONTENT_TYPE: &str = "$metadataContentType";

/// Says that the metadata was an object without members, where it would otherwise read back as none.
const WAS_OBJECT: &str = "$wasObject";

/// What decides how events are written, and read back as they were: the same text for both sides of one configuration.
pub(super) fn carried_as(config: &KurrentConfig) -> Result<String, InvalidKurrent> {
    let originals = Originals::new(&config.metadata)?;
    let stream_metadata = match config.stream_metadata {
        Some(StreamMetadata::Carry) => "carried",
        Some(StreamMetadata::LeaveOut) | None => "left out",
    };
    Ok(format!("{}; metadata of streams: {stream_metadata}", originals.text()))
}

/// Text as a regex that matches it and nothing else.
pub(super) fn escaped(text: &str) -> String {
    let mut regex = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if r"\.+*?()|[]{}^$#".contains(character) {
            regex.push('\\');
        }
        regex.push(character);
    }
    regex
}

/// What a member of ours is about, in the order in which they are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Time,
    Revision,
    Position,
    Version,
    Attributes,
    ContentType,
    MetadataContentType,
    WasObject,
}

/// The number of roles.
const ROLES: usize = 8;

/// Writes down and takes out what the server has no place for.
#[derive(Clone, Debug)]
pub(super) struct Originals {
    /// The members that are in use, by their keys as JSON text, in the order in which they are written.
    keys: Vec<(Role, String)>,
    version_in_type: Option<VersionPattern>,
}

/// An event as the server takes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Written {
    /// The type's name, with the version in it where the configuration says so.
    pub(super) event_type: ByteString,
    /// Whether the server is told that the data is JSON: it is labelled so, and it is.
    pub(super) is_json: bool,
    /// The data, as it is.
    pub(super) data: Bytes,
    /// The metadata, with our members at its end.
    pub(super) metadata: Bytes,
}

/// What an event is, taken out of what the server holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Read {
    /// The type's name, without a version in it.
    pub(super) event_type: ByteString,
    /// The version, 1 where nothing says otherwise.
    pub(super) version: SchemaVersion,
    /// The data, as it is.
    pub(super) data: Payload,
    /// The metadata, without our members.
    pub(super) metadata: Payload,
    /// When it was recorded first, as far as that is known.
    pub(super) recorded_at: Timestamp,
    /// Attributes of other stores; empty where there are none.
    pub(super) attributes: Bytes,
}

/// What our members said.
#[derive(Default)]
struct Said {
    /// What the server's own flag says of the data.
    is_json: bool,
    time: Option<Timestamp>,
    version: Option<SchemaVersion>,
    attributes: Option<Bytes>,
    content_type: Option<ContentType>,
    metadata_content_type: Option<ContentType>,
    was_object: bool,
}

impl Originals {
    /// Works out which members there are. Fails where the keys contradict one another.
    pub(super) fn new(keys: &MetadataKeys) -> Result<Self, InvalidKurrent> {
        let version_in_type = keys.version_in_type()?;
        let in_type = version_in_type.is_some();
        let version = if in_type { &Attribute::NONE } else { &keys.version };
        let configured = [
            (Role::Time, &keys.time),
            (Role::Revision, &keys.revision),
            (Role::Position, &keys.position),
            (Role::Version, version),
            (Role::Attributes, &keys.attributes),
        ];
        let mut used: Vec<(Role, String)> =
            configured.into_iter().filter_map(|(role, key)| Some((role, encode(key.name()?)))).collect();
        if !used.is_empty() {
            let fixed = [
                (Role::ContentType, CONTENT_TYPE),
                (Role::MetadataContentType, METADATA_CONTENT_TYPE),
                (Role::WasObject, WAS_OBJECT),
            ];
            used.extend(fixed.map(|(role, name)| (role, encode(name))));
        }
        for (index, (_, key)) in used.iter().enumerate() {
            if used[..index].iter().any(|(_, other)| other == key) {
                return Err(InvalidKurrent::Metadata(format!("the key {key} is to hold two things")));
            }
        }
        Ok(Self { keys: used, version_in_type })
    }

    /// All of it as text, different for what is written differently.
    fn text(&self) -> String {
        let keys: Vec<String> = self.keys.iter().map(|(role, key)| format!("{role:?} {key}")).collect();
        let pattern = self.version_in_type.as_ref().map_or("none".to_owned(), ToString::to_string);
        format!("{}; version in the type: {pattern}", keys.join(", "))
    }

    /// How these types are written, for those whose version is in the name: a regex of the server's for each.
    pub(super) fn written_types(&self, event_type: &str) -> Vec<String> {
        let mut types = vec![escaped(event_type)];
        if let Some(pattern) = &self.version_in_type {
            // Digits that stand for any: where a name has the same, too much is matched, and nothing missed.
            const ANY: u32 = 4_242_424_242;
            types.push(escaped(&pattern.write(event_type, ANY)).replace(&ANY.to_string(), "[0-9]+"));
        }
        types
    }

    /// The event as the server takes it. Reading it back yields the same event, except that the time is lost where
    /// nothing of ours can be written: in metadata that is neither a JSON object nor empty. Fails, with the reason, where
    /// more than that would be lost.
    pub(super) fn written(&self, event: &Event, origin: Option<&EventOrigin>) -> Result<Written, String> {
        let metadata = &event.metadata;
        let is_json = self.is_json(event);
        let members = self.members(event, origin, is_json)?;
        let event_type = match &self.version_in_type {
            Some(pattern) if !is_of_the_system(pattern, event) => {
                pattern.write(event.event_type.as_str(), event.version.number()).into()
            }
            _ => event.event_type.text().clone(),
        };
        let written = |metadata: Bytes| Written {
            event_type: event_type.clone(),
            is_json,
            data: event.data.bytes().clone(),
            metadata,
        };
        if metadata.is_empty() {
            return Ok(written(spliced("{", &members, false, "}")));
        }
        let text = std::str::from_utf8(metadata.bytes()).ok();
        let parsed = text.and_then(|text| Some((text, Node::parse(text).ok()?)));
        let Some((text, Node::Object(own))) = parsed else {
            refuse_other(metadata.content_type(), parsed.is_some())?;
            let needed = members.iter().find(|(role, _)| role.is_needed());
            return match needed {
                None => Ok(written(metadata.bytes().clone())),
                Some((role, _)) => Err(format!(
                    "its metadata is no JSON object, so there is no place for its {}: make it an object, or empty",
                    role.says()
                )),
            };
        };
        if let Some((_, key)) = self.keys.iter().find(|(_, key)| own.iter().any(|member| same_key(&member.key, key))) {
            return Err(format!(
                "its metadata has a key {key} of its own already: rename what is added in [target.metadata], or take it out first"
            ));
        }
        if *metadata.content_type() != ContentType::Json && self.keys.is_empty() {
            return Err(
                "its metadata is a JSON object that is not labelled JSON, and no key may be added to say so".to_owned()
            );
        }
        let end = text.rfind('}').unwrap_or(text.len());
        let (before, after) = text.split_at(end);
        let mut members = members;
        if own.is_empty() && !members.is_empty() {
            members.extend(self.member(Role::WasObject, "true".to_owned()));
        }
        Ok(written(if members.is_empty() {
            metadata.bytes().clone()
        } else {
            spliced(before, &members, !own.is_empty(), after)
        }))
    }

    /// What the server is told. What is labelled `application/json` and is none is JSON to it all the same where there is
    /// no place for its label.
    fn is_json(&self, event: &Event) -> bool {
        let (data, metadata) = (&event.data, &event.metadata);
        if *data.content_type() != ContentType::Json {
            return !data.is_empty() && data.holds_json();
        }
        let has_place = || !self.keys.is_empty() && (metadata.is_empty() || is_object(metadata.bytes()));
        data.is_empty() || data.holds_json() || !has_place()
    }

    /// Our members, as far as they say something. Fails where one is needed whose key is not in use.
    fn members(
        &self,
        event: &Event,
        origin: Option<&EventOrigin>,
        is_json: bool,
    ) -> Result<Vec<(Role, String)>, String> {
        let mut members = Vec::with_capacity(ROLES);
        members.extend(self.member(Role::Time, encode(&event.recorded_at.to_string())));
        if let Some(origin) = origin {
            members.extend(self.member(Role::Revision, origin.revision.to_string()));
            members.extend(self.member(Role::Position, position_json(origin.position)));
        }
        if event.version != SchemaVersion::FIRST && self.version_in_type.is_none() {
            members.push(self.needed(Role::Version, event.version.to_string())?);
        }
        if !event.attributes.is_empty() {
            let text = std::str::from_utf8(&event.attributes).ok().filter(|text| is_bare_object(text));
            let text = text.ok_or("its attributes are no JSON object, and could not be read back")?;
            members.push(self.needed(Role::Attributes, text.to_owned())?);
        }
        let data_type = event.data.content_type();
        if !event.data.is_empty() && *data_type != flagged(is_json) {
            members.push(self.needed(Role::ContentType, encode(data_type.as_str()))?);
        }
        let metadata = &event.metadata;
        if *metadata.content_type() != ContentType::Json && is_object(metadata.bytes()) {
            members.push(self.needed(Role::MetadataContentType, encode(metadata.content_type().as_str()))?);
        }
        Ok(members)
    }

    /// A member of an object, `"key":value`, if its key is in use.
    fn member(&self, role: Role, value: String) -> Option<(Role, String)> {
        let (_, key) = self.keys.iter().find(|(used, _)| *used == role)?;
        Some((role, format!("{key}:{value}")))
    }

    fn needed(&self, role: Role, value: String) -> Result<(Role, String), String> {
        self.member(role, value).ok_or_else(|| {
            format!(
                "nothing may be added to its metadata that says its {}: name a key in [target.metadata]",
                role.says()
            )
        })
    }

    /// What an event is. Never fails: what is not as we write it is somebody else's, and stays where it is. Only a time
    /// or a version is found wherever it is among the members.
    pub(super) fn read(
        &self,
        event_type: &str,
        is_json: bool,
        data: Bytes,
        metadata: Bytes,
        created: Timestamp,
    ) -> Read {
        let mut said = Said { is_json, ..Said::default() };
        let metadata = self.read_metadata(metadata, &mut said);
        let (event_type, version) = match self.version_in_type.as_ref().map(|pattern| pattern.split(event_type)) {
            Some(Ok(Some((name, version)))) => (name, SchemaVersion::new(version)),
            _ => (event_type, said.version),
        };
        let data_type = said.content_type.filter(|_| !data.is_empty()).unwrap_or_else(|| flagged(is_json));
        Read {
            event_type: event_type.into(),
            version: version.unwrap_or(SchemaVersion::FIRST),
            data: Payload::new(data, data_type),
            metadata,
            recorded_at: said.time.unwrap_or(created),
            attributes: said.attributes.unwrap_or_default(),
        }
    }

    fn read_metadata(&self, metadata: Bytes, said: &mut Said) -> Payload {
        if metadata.is_empty() {
            return Payload::empty();
        }
        let Some(text) = std::str::from_utf8(&metadata).ok() else { return Payload::binary(metadata) };
        let members = match Node::parse(text) {
            Err(_) => return Payload::binary(metadata),
            Ok(Node::Object(members)) => members,
            Ok(_) => return Payload::json(metadata),
        };
        let (rest, kept) = self.take_added(text, &members, said);
        let is_added = kept < members.len();
        if is_added && kept == 0 && !said.was_object {
            return Payload::empty();
        }
        let rest = self.take_named(rest, &members[..kept], said);
        let content_type = said.metadata_content_type.take().unwrap_or(ContentType::Json);
        match rest {
            Cow::Owned(rest) => Payload::new(rest, content_type),
            Cow::Borrowed(_) => Payload::new(metadata.clone(), content_type),
        }
    }

    /// Takes the members that were added at the end, exactly as they were added, and says how many are left.
    fn take_added<'a>(&self, text: &'a str, members: &[Member<'_>], said: &mut Said) -> (Cow<'a, str>, usize) {
        let end = text.rfind('}').unwrap_or(text.len());
        let mut start = end;
        let mut kept = members.len();
        let mut keys = self.keys.as_slice();
        while let Some(member) = kept.checked_sub(1).and_then(|last| members.get(last)) {
            let Some(found) = keys.iter().rposition(|(_, key)| *key == member.key) else { break };
            let value = member.value.json();
            let comma = if kept == 1 { "" } else { "," };
            let Some(before) = text[..start]
                .strip_suffix(&*value)
                .and_then(|before| before.strip_suffix(':'))
                .and_then(|before| before.strip_suffix(&*member.key))
                .and_then(|before| before.strip_suffix(comma))
            else {
                break;
            };
            if !said.take(keys[found].0, &value) {
                break;
            }
            (start, kept) = (before.len(), kept - 1);
            keys = &keys[..found];
        }
        if start == end {
            return (Cow::Borrowed(text), kept);
        }
        (Cow::Owned(format!("{}{}", &text[..start], &text[end..])), kept)
    }

    /// Takes the time and the version, wherever they are among the members, unless they were found at the end.
    fn take_named<'a>(&self, text: Cow<'a, str>, members: &[Member<'_>], said: &mut Said) -> Cow<'a, str> {
        let mut wanted = Vec::new();
        for (role, key) in &self.keys {
            let is_known = match role {
                Role::Time => said.time.is_some(),
                Role::Version => said.version.is_some(),
                _ => true,
            };
            if is_known {
                continue;
            }
            let mut found = members.iter().enumerate().filter(|(_, member)| same_key(&member.key, key));
            let (Some((index, member)), None) = (found.next(), found.next()) else { continue };
            if said.take(*role, &member.value.json()) {
                wanted.push(index);
            }
        }
        if wanted.is_empty() {
            return text;
        }
        let kept = members.iter().enumerate().filter(|(index, _)| !wanted.contains(index));
        let kept: Vec<String> = kept.map(|(_, member)| format!("{}:{}", member.key, member.value.json())).collect();
        Cow::Owned(format!("{{{}}}", kept.join(",")))
    }
}

impl Role {
    /// Whether an event without it would be another one.
    fn is_needed(self) -> bool {
        !matches!(self, Role::Time | Role::Revision | Role::Position)
    }

    /// What it says.
    fn says(self) -> &'static str {
        match self {
            Role::Time => "time",
            Role::Revision => "revision",
            Role::Position => "position",
            Role::Version => "version",
            Role::Attributes => "attributes",
            Role::ContentType => "data's media type",
            Role::MetadataContentType => "metadata's media type",
            Role::WasObject => "metadata's form",
        }
    }
}

impl Said {
    /// Takes what a member says; false where it has a form that nothing of ours has.
    fn take(&mut self, role: Role, value: &str) -> bool {
        match role {
            Role::Time => set(&mut self.time, string(value).and_then(|text| text.parse().ok())),
            Role::Revision => value.parse::<u64>().is_ok(),
            Role::Position => is_position(value),
            Role::Version => set(&mut self.version, value.parse().ok().and_then(SchemaVersion::new)),
            Role::Attributes => {
                let is_object = value.starts_with('{');
                set(&mut self.attributes, is_object.then(|| Bytes::copy_from_slice(value.as_bytes())))
            }
            Role::ContentType => {
                // JSON goes out as JSON, so a label of anything else beside the flag is somebody else's.
                let (is_json, flagged) = (self.is_json, flagged(self.is_json));
                let found = media_type(value).filter(|found| *found != flagged && (!is_json || found.is_json()));
                set(&mut self.content_type, found)
            }
            Role::MetadataContentType => {
                set(&mut self.metadata_content_type, media_type(value).filter(|found| *found != ContentType::Json))
            }
            Role::WasObject => {
                self.was_object = value == "true";
                self.was_object
            }
        }
    }
}

/// Sets what was found; false where nothing was.
fn set<T>(place: &mut Option<T>, found: Option<T>) -> bool {
    let is_found = found.is_some();
    if is_found {
        *place = found;
    }
    is_found
}

/// Whether the server gives the type a meaning, as it does to `$metadata`: then it is left as it is.
fn is_of_the_system(pattern: &VersionPattern, event: &Event) -> bool {
    let name = event.event_type.as_str();
    name.starts_with('$') && event.version == SchemaVersion::FIRST && pattern.split(name) == Ok(None)
}

fn string(json: &str) -> Option<Cow<'_, str>> {
    if json.starts_with('"') { decode(json) } else { None }
}

fn media_type(json: &str) -> Option<ContentType> {
    Some(ContentType::parse(string(json)?.into_owned()))
}

/// What data is as far as the server's own flag says.
fn flagged(is_json: bool) -> ContentType {
    if is_json { ContentType::Json } else { ContentType::Binary }
}

fn position_json(position: Position) -> String {
    match position.minor() {
        None => position.to_string(),
        Some(_) => encode(&position.to_string()),
    }
}

fn is_position(json: &str) -> bool {
    match string(json) {
        Some(text) => text.parse::<Position>().is_ok_and(|position| position.minor().is_some()),
        None => json.parse::<u64>().is_ok(),
    }
}

/// Whether the text is a JSON object, without white space around it.
fn is_bare_object(text: &str) -> bool {
    text.starts_with('{') && strict(text).is_ok_and(|stripped| stripped == text)
}

fn is_object(bytes: &[u8]) -> bool {
    let parsed = std::str::from_utf8(bytes).ok().and_then(|text| Node::parse(text).ok());
    parsed.is_some_and(|node| node.kind() == Some(Kind::Object))
}

/// Metadata that is no object reads back as what it looks like.
fn refuse_other(content_type: &ContentType, is_json: bool) -> Result<(), String> {
    match (content_type, is_json) {
        (ContentType::Json, true) | (ContentType::Binary, false) => Ok(()),
        (ContentType::Json, false) => {
            Err("its metadata is labelled JSON and is none, so it would read back as bytes".to_owned())
        }
        (ContentType::Binary, true) => {
            Err("its metadata is labelled as bytes and is JSON, so it would read back as JSON".to_owned())
        }
        (ContentType::Other(media_type), _) => {
            Err(format!("its metadata is labelled {media_type}, and there is no place for that"))
        }
    }
}

/// Members between what was there before and behind them.
fn spliced(before: &str, members: &[(Role, String)], has_others: bool, after: &str) -> Bytes {
    if members.is_empty() {
        return Bytes::new();
    }
    let length: usize = members.iter().map(|(_, member)| member.len() + 1).sum();
    let mut text = String::with_capacity(before.len() + length + after.len());
    text.push_str(before);
    for (index, (_, member)) in members.iter().enumerate() {
        if index > 0 || has_others {
            text.push(',');
        }
        text.push_str(member);
    }
    text.push_str(after);
    Bytes::from(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use eventlift_events::{EventId, EventType, Revision, StreamName};
    use proptest::prelude::*;

    use super::*;

    const CREATED: &str = "2024-05-01T12:00:00Z";

    fn event() -> Event {
        Event {
            id: EventId::text("cbe326da-5260-5f9d-88a8-a35a0b819073").unwrap(),
            stream: StreamName::new("user-1").unwrap(),
            revision: Revision(3),
            position: Position::new(9),
            event_type: EventType::new("Named").unwrap(),
            version: SchemaVersion::FIRST,
            data: Payload::json("{}"),
            metadata: Payload::empty(),
            recorded_at: "2021-02-03T04:05:06.000007Z".parse().unwrap(),
            attributes: Bytes::new(),
        }
    }

    fn origin() -> EventOrigin {
        EventOrigin { revision: Revision(7), position: Position::pair(7, 3) }
    }

    fn by_default() -> Originals {
        Originals::new(&MetadataKeys::default()).unwrap()
    }

    fn nothing() -> Originals {
        Originals::new(&MetadataKeys::none()).unwrap()
    }

    fn in_type() -> Originals {
        let keys = MetadataKeys {
            version: Attribute::named("type"),
            version_pattern: Some("{type}.v{version}".to_owned()),
            ..MetadataKeys::none()
        };
        Originals::new(&keys).unwrap()
    }

    fn read(originals: &Originals, written: &Written) -> Read {
        let Written { event_type, is_json, data, metadata } = written.clone();
        originals.read(&event_type, is_json, data, metadata, CREATED.parse().unwrap())
    }

    /// What reading an event back has to yield.
    fn expected(event: &Event, recorded_at: Timestamp) -> Read {
        let relabelled = |payload: &Payload| match (payload.is_empty(), payload.content_type()) {
            (true, ContentType::Other(_)) => Payload::binary(Bytes::new()),
            _ => payload.clone(),
        };
        Read {
            event_type: event.event_type.text().clone(),
            version: event.version,
            data: relabelled(&event.data),
            metadata: if event.metadata.is_empty() { Payload::empty() } else { event.metadata.clone() },
            recorded_at,
            attributes: event.attributes.clone(),
        }
    }

    fn metadata(originals: &Originals, event: &Event) -> String {
        let written = originals.written(event, Some(&origin())).unwrap();
        String::from_utf8(written.metadata.to_vec()).unwrap()
    }

    #[test]
    fn members_are_added_at_the_end_and_taken_out_again() {
        let ours =
            "\"$originalTime\":\"2021-02-03T04:05:06.000007Z\",\"$originalRevision\":7,\"$originalPosition\":\"7/3\"";
        let cases = [
            ("", format!("{{{ours}}}")),
            ("{}", format!("{{{ours},\"$wasObject\":true}}")),
            (" { }\n", format!(" {{ {ours},\"$wasObject\":true}}\n")),
            ("{\"a\": 1.0 }", format!("{{\"a\": 1.0 ,{ours}}}")),
            ("\t{\"}\":\"}\"} ", format!("\t{{\"}}\":\"}}\",{ours}}} ")),
            ("[1]", "[1]".to_owned()),
            ("null", "null".to_owned()),
        ];
        for (own, expected_text) in cases {
            let event = Event { metadata: Payload::json(own.to_owned()), ..event() };
            assert_eq!(metadata(&by_default(), &event), expected_text);
            let back = read(&by_default(), &by_default().written(&event, Some(&origin())).unwrap());
            assert_eq!(back.metadata, event.metadata, "{own}");
        }
    }

    #[test]
    fn versions_attributes_and_media_types_come_back() {
        let event = Event {
            version: SchemaVersion::new(4).unwrap(),
            data: Payload::new("a,b", ContentType::parse("text/csv")),
            metadata: Payload::binary("{\"a\":1}"),
            attributes: Bytes::from_static(b"{\"region\": \"eu\"}"),
            ..event()
        };
        let written = by_default().written(&event, None).unwrap();
        assert!(!written.is_json);
        assert_eq!(read(&by_default(), &written), expected(&event, event.recorded_at));
        for refused in [&nothing(), &in_type()] {
            assert!(refused.written(&event, None).unwrap_err().contains("[target.metadata]"));
        }
        let no_object = Event { metadata: Payload::json("1"), ..event };
        assert!(by_default().written(&no_object, None).unwrap_err().contains("no JSON object"));
    }

    #[test]
    fn what_is_json_goes_out_as_json_and_keeps_its_label() {
        let with =
            |data: &'static str, label: &str| Event { data: Payload::new(data, ContentType::parse(label)), ..event() };
        let cases = [
            (with("{}", "application/json"), true),
            (with("{}", "application/json; charset=utf-8"), true),
            (with("{}", "application/vnd.shop.order+json"), true),
            (with("{}", "Application/JSON"), true),
            (with("{", "application/json"), false),
            (with("{", "application/x+json"), false),
            (with("{}", "text/plain"), false),
            (with("{}", "application/octet-stream"), false),
        ];
        for (event, is_json) in cases {
            let written = by_default().written(&event, None).unwrap();
            assert_eq!(written.is_json, is_json, "{:?}", event.data);
            assert_eq!(read(&by_default(), &written), expected(&event, event.recorded_at));
        }
        // Without a place for the label the flag alone has to say it.
        let written = nothing().written(&with("{", "application/json"), None).unwrap();
        assert!(written.is_json);
        assert!(nothing().written(&with("{}", "application/x+json"), None).unwrap_err().contains("[target.metadata]"));
    }

    #[test]
    fn a_version_can_be_part_of_the_type() {
        let event = Event { version: SchemaVersion::new(2).unwrap(), ..event() };
        let written = in_type().written(&event, Some(&origin())).unwrap();
        assert_eq!((&*written.event_type, written.metadata.is_empty()), ("Named.v2", true));
        assert_eq!(read(&in_type(), &written), expected(&event, CREATED.parse().unwrap()));
        let system = Event { event_type: EventType::new("$metadata").unwrap(), ..event.clone() };
        let system = Event { version: SchemaVersion::FIRST, ..system };
        assert_eq!(&*in_type().written(&system, None).unwrap().event_type, "$metadata");
        let foreign = Written { event_type: "Named.v0".into(), ..written };
        assert_eq!(&*read(&in_type(), &foreign).event_type, "Named.v0");
    }

    #[test]
    fn what_is_there_already_is_refused() {
        let own = [
            "{\"$originalTime\":1}",
            "{\"a\":1,\"\\u0024schemaVersion\":\"x\"}",
            "{\"$contentType\":\"text/csv\",\"b\":2}",
            "{\"$wasObject\":true}",
        ];
        for own in own {
            let event = Event { metadata: Payload::json(own), ..event() };
            assert!(by_default().written(&event, None).unwrap_err().contains("rename"), "{own}");
            assert_eq!(nothing().written(&event, None).unwrap().metadata, own);
        }
    }

    #[test]
    fn what_is_not_as_we_write_it_stays_where_it_is() {
        let foreign = [
            "{\"$originalTime\":1}",
            "{\"$originalTime\":\"yesterday\"}",
            "{\"$schemaVersion\":0}",
            "{\"$schemaVersion\":4294967296}",
            "{\"$schemaVersion\":\"2\"}",
            "{\"a\":1,\"$attributes\":[]}",
            "{\"$attributes\":{},\"a\":1}",
            "{\"a\":1, \"$originalRevision\":1}",
            "{\"a\":1,\"$originalPosition\":\"7\"}",
            "{\"$originalRevision\":1,\"a\":1}",
            "{\"$schemaVersion\":2,\"$schemaVersion\":2,\"a\":1}",
            "{\"a\":1,\"$contentType\":\"application/json\"}",
            "{\"$originalTime\":\"2021-01-01T00:00:00.1234567Z\"}",
            "{\"$originalTime\":\"\\ud800\"}",
        ];
        for text in foreign {
            let found =
                by_default().read("A", true, Bytes::new(), Bytes::from_static(text.as_bytes()), Timestamp::EPOCH);
            assert_eq!(found.metadata, Payload::json(text), "{text}");
            assert_eq!((found.version, found.recorded_at), (SchemaVersion::FIRST, Timestamp::EPOCH), "{text}");
        }
    }

    #[test]
    fn a_version_that_others_wrote_is_found_wherever_it_is() {
        let keys = MetadataKeys { version: Attribute::named("v"), ..MetadataKeys::none() };
        let originals = Originals::new(&keys).unwrap();
        for (text, rest) in
            [("{\"v\":2, \"a\": 1}", "{\"a\":1}"), ("{\"a\":1,\"v\":2}", "{\"a\":1}"), ("{ \"v\": 2 }", "{}")]
        {
            let found = originals.read("A", true, Bytes::new(), Bytes::from_static(text.as_bytes()), Timestamp::EPOCH);
            assert_eq!((found.version.number(), found.metadata), (2, Payload::json(rest)), "{text}");
        }
    }

    #[test]
    fn labels_that_would_be_lost_are_refused() {
        let refused = [
            Payload::json("no JSON"),
            Payload::binary("1"),
            Payload::new("text", ContentType::parse("text/plain")),
            Payload::new("[]", ContentType::parse("text/plain")),
        ];
        for metadata in refused {
            let event = Event { metadata, ..event() };
            assert!(by_default().written(&event, None).is_err(), "{:?}", event.metadata);
        }
        let labelled = Event { metadata: Payload::binary("{}"), ..event() };
        assert!(nothing().written(&labelled, None).is_err());
        let no_object = Event { attributes: Bytes::from_static(b" {}"), ..event() };
        assert!(by_default().written(&no_object, None).is_err());
    }

    #[test]
    fn keys_that_hold_two_things_are_refused() {
        let keys = MetadataKeys { time: Attribute::named("$contentType"), ..MetadataKeys::default() };
        assert!(Originals::new(&keys).unwrap_err().to_string().contains("two things"));
    }

    fn payload() -> impl Strategy<Value = Payload> {
        let text = prop_oneof![
            Just(String::new()),
            Just("{}".to_owned()),
            "[ \n]{0,2}\\{[ \t]{0,2}\\}[ \n]{0,2}",
            "\\{\"[a-c]{0,2}\":[ ]?(1|\"\\}\"|\\{\\}|null) ?(, ?\"\\$(originalTime|schemaVersion|attributes|wasObject|contentType|x)\": ?(1|2|true|\\{\\}|\"2024-05-01T12:00:00Z\"|\"a/b\"))?\\} ?",
            "[a-z{}\":,0-9 ]{0,8}",
            "[0-9]{1,3}",
        ];
        let label = prop_oneof![
            4 => Just(ContentType::Json),
            2 => Just(ContentType::Binary),
            1 => Just(ContentType::parse("text/csv")),
            1 => Just(ContentType::parse("application/x+json; charset=utf-8")),
            1 => Just(ContentType::parse("")),
        ];
        (prop_oneof![6 => text.prop_map(String::into_bytes), 1 => prop::collection::vec(any::<u8>(), 0..6)], label)
            .prop_map(|(bytes, label)| Payload::new(bytes, label))
    }

    fn any_event() -> impl Strategy<Value = Event> {
        let attributes = prop_oneof![4 => Just(""), 1 => Just("{}"), 1 => Just("{\"a\": [1]}"), 1 => Just("[]")];
        let micros = -300_000_000_000_000_000_i64..250_000_000_000_000_000;
        (payload(), payload(), 1..5_u32, attributes, micros, "\\$?[A-C]{1,2}(\\.v[0-2])?").prop_map(
            |(data, metadata, version, attributes, micros, event_type)| Event {
                event_type: EventType::new(event_type).unwrap(),
                version: SchemaVersion::new(version).unwrap(),
                data,
                metadata,
                recorded_at: Timestamp::from_micros(micros).unwrap(),
                attributes: Bytes::from_static(attributes.as_bytes()),
                ..event()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_is_written_reads_back_or_is_refused(event in any_event(), has_origin in any::<bool>(), which in 0..3_usize) {
            let originals = [by_default(), nothing(), in_type()][which].clone();
            let origin = origin();
            let Ok(written) = originals.written(&event, has_origin.then_some(&origin)) else { return Ok(()) };
            let back = read(&originals, &written);
            let holds_time = which == 0 && (event.metadata.is_empty() || is_object(event.metadata.bytes()));
            let time = if holds_time { event.recorded_at } else { CREATED.parse().unwrap() };
            prop_assert_eq!(back, expected(&event, time), "{:?}", written);
            if which > 0 {
                prop_assert_eq!(&written.metadata, event.metadata.bytes());
            }
        }

        #[test]
        fn foreign_metadata_without_our_keys_is_never_changed(bytes in prop::collection::vec(any::<u8>(), 0..30), text in "[ ]?\\{(\"a\":[0-9]{1,3}[ ]?)?\\}|.{0,10}") {
            for bytes in [bytes, text.into_bytes()] {
                let bytes = Bytes::from(bytes);
                let found = by_default().read("A", false, bytes.clone(), bytes.clone(), Timestamp::EPOCH);
                prop_assert_eq!(found.metadata.bytes(), &bytes);
                prop_assert_eq!(found.data.bytes(), &bytes);
            }
        }
    }
}
