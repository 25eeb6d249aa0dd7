//! An event as it is shown: one field a line. Values are left out, unless they are to be shown.

use std::fmt;

use eventlift_events::{ContentType, Event, Payload};
use eventlift_language::{Shown, values_are_shown};
use serde::{Serialize, Serializer};
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
    #[serde(serialize_with = "for_machines")]
    data: String,
    /// What JSON is labelled where that is not `application/json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_type: Option<String>,
    #[serde(serialize_with = "for_machines")]
    metadata: String,
    /// Likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata_type: Option<String>,
    #[serde(serialize_with = "for_machines")]
    attributes: String,
}

/// A line of a view.
struct Line {
    /// The line, with the value whole.
    whole: String,
    /// The line as it is printed.
    printed: String,
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

impl EventView {
    fn lines(&self) -> Vec<Line> {
        let plain = |line: String| Line { printed: line.clone(), whole: line };
        let mut lines = vec![
            plain(format!("stream      {}", self.stream)),
            plain(format!("revision    {}", self.revision)),
            plain(format!("position    {}", self.position)),
            plain(format!("id          {}", self.id)),
            plain(format!("type        {} version {}", self.event_type, self.version)),
            plain(format!("recorded at {}", self.recorded_at)),
        ];
        lines.extend(self.data_type.iter().map(|label| plain(format!("data type   {label}"))));
        lines.extend(lines_of("data       ", &self.data));
        if !self.metadata.is_empty() {
            lines.extend(self.metadata_type.iter().map(|label| plain(format!("metadata type {label}"))));
            lines.extend(lines_of("metadata   ", &self.metadata));
        }
        if !self.attributes.is_empty() {
            lines.extend(lines_of("attributes ", &self.attributes));
        }
        lines
    }
}

impl fmt::Display for EventView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().iter().try_for_each(|line| writeln!(f, "{}", line.printed))
    }
}

/// The lines of two events, the ones only in the first marked `-`, the ones only in the second `+`. Without one of them, the
/// lines of the other.
pub(super) fn event_diff(before: Option<&EventView>, after: Option<&EventView>) -> String {
    let lines = |view: Option<&EventView>| view.map(EventView::lines).unwrap_or_default();
    let (before, after) = (lines(before), lines(after));
    let whole = |lines: &'_ [Line]| lines.iter().map(|line| line.whole.clone()).collect::<Vec<_>>();
    let (whole_before, whole_after) = (whole(&before), whole(&after));
    let changes = TextDiff::from_slices(
        &whole_before.iter().map(String::as_str).collect::<Vec<_>>(),
        &whole_after.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let mut text = String::new();
    for change in changes.iter_all_changes() {
        let printed = match (change.old_index(), change.new_index()) {
            (Some(index), _) => before.get(index),
            (None, Some(index)) => after.get(index),
            (None, None) => None,
        };
        text.extend([sign_of(change.tag()), " ", printed.map_or("", |line| &line.printed), "\n"]);
    }
    text
}

/// The top-level members of a JSON object on lines of their own, so that a diff shows the one that changed.
fn lines_of(name: &str, text: &str) -> Vec<Line> {
    let line = |start: &str, value: &str| Line {
        whole: format!("{start}{value}"),
        printed: format!("{start}{}", printed(value)),
    };
    let members: Option<indexed::Members<'_>> = serde_json::from_str(text).ok();
    let Some(members) = members else { return vec![line(&format!("{name} "), text)] };
    let name = name.trim_end().to_owned();
    let members = members.0.into_iter().map(|(key, value)| line(&format!("  {key}: "), value.get()));
    std::iter::once(Line { printed: name.clone(), whole: name }).chain(members).collect()
}

/// A value as people see it.
fn printed(value: &str) -> String {
    /// Longer values are cut: this is for looking, and `--json` has them whole.
    const SHOWN: usize = 300;
    if values_are_shown() { cut(value, SHOWN) } else { Shown(value).to_string() }
}

/// A payload as machines get it: whole, or an object that tells of each member what kind of value it has.
fn for_machines<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    if text.is_empty() || values_are_shown() {
        return serializer.serialize_str(text);
    }
    let members: Option<indexed::Members<'_>> = serde_json::from_str(text).ok();
    let Some(members) = members else { return serializer.serialize_str(&Shown(text).to_string()) };
    let members = members.0.into_iter().map(|(key, value)| (key, Shown(value.get()).to_string().into()));
    let kinds: serde_json::Map<String, serde_json::Value> = members.collect();
    serializer.serialize_str(&serde_json::Value::Object(kinds).to_string())
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
        text.extend([sign_of(change.tag()), " ", change.value()]);
    }
    text
}

fn sign_of(tag: ChangeTag) -> &'static str {
    match tag {
        ChangeTag::Delete => "-",
        ChangeTag::Insert => "+",
        ChangeTag::Equal => " ",
    }
}
