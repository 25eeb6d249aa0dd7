//! Names made of parts of an event: `customer-{stream.id}`, `user-{/user/id}`.

use eventlift_events::{Event, Payload, StreamName};
use eventlift_language::json::{Document, Pointer, decode};
use eventlift_language::{Reason, Shown};

/// Text with places for parts of an event. `{{` and `}}` stand for braces.
#[derive(Debug)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug)]
enum Piece {
    Text(String),
    StreamName,
    StreamId,
    StreamCategory,
    Data(Pointer),
    Metadata(Pointer),
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, Reason> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from_brace) = rest.split_at(at);
            literal.push_str(before);
            if from_brace.starts_with("{{") || from_brace.starts_with("}}") {
                literal.push_str(&from_brace[..1]);
                rest = &from_brace[2..];
                continue;
            }
            let inner = from_brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let Some((inner, after)) = inner else {
                return Err(Reason::new(format_args!("the braces in {text:?} don't match"))
                    .hint("write {{ and }} for braces that are meant"));
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::parse(inner)?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }

    /// Why it can't name a stream, whatever the event is.
    pub(super) fn check_stream(&self) -> Result<(), Reason> {
        if self.0.is_empty() {
            return Err(Reason::new("it is empty, and no stream has an empty name"));
        }
        Ok(())
    }

    /// Why it can't name a category, whatever the event is.
    pub(super) fn check_category(&self) -> Result<(), Reason> {
        if self.0.is_empty() {
            return Err(Reason::new("it is empty, and no category has an empty name"));
        }
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => {
                    StreamName::check_category(text).map_err(|invalid| {
                        Reason::new(invalid)
                            .hint("`stream = \"…\"` names the whole stream, with its category before the first `-`")
                    })?;
                }
                Piece::StreamName => {
                    return Err(Reason::new(
                        "{stream} is the whole name, and what has an id holds a `-`, which ends a category",
                    )
                    .hint("{stream.category} is the category before"));
                }
                Piece::StreamId | Piece::StreamCategory | Piece::Data(_) | Piece::Metadata(_) => {}
            }
        }
        Ok(())
    }

    /// The text, where it is the same for every event.
    pub(super) fn literal(&self) -> Option<&str> {
        match &self.0[..] {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for an event. Fails where a part is missing, null, empty, or neither text nor a number nor a boolean.
    pub(super) fn render(&self, event: &Event) -> Result<String, Reason> {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::StreamName => out.push_str(event.stream.as_str()),
                Piece::StreamCategory => out.push_str(event.stream.category()),
                Piece::StreamId => {
                    let id = event.stream.id();
                    out.push_str(id.ok_or_else(|| Reason::new(format_args!("stream {} has no id", event.stream)))?);
                }
                Piece::Data(pointer) => out.push_str(&field(&event.data, pointer, "data")?),
                Piece::Metadata(pointer) => out.push_str(&field(&event.metadata, pointer, "metadata")?),
            }
        }
        Ok(out)
    }
}

impl Piece {
    fn parse(text: &str) -> Result<Self, Reason> {
        let pointer = |text: &str| {
            let pointer = Pointer::parse(text).map_err(Reason::new)?;
            if pointer.has_wildcard() {
                return Err(Reason::new(format_args!("the path {text} leads to many values")));
            }
            Ok(pointer)
        };
        match text {
            "stream" => Ok(Self::StreamName),
            "stream.id" => Ok(Self::StreamId),
            "stream.category" => Ok(Self::StreamCategory),
            _ if text.starts_with('/') => Ok(Self::Data(pointer(text)?)),
            _ => match text.strip_prefix("metadata:") {
                Some(path) => Ok(Self::Metadata(pointer(path)?)),
                None => Err(Reason::new(format_args!("unknown part {{{text}}}"))
                    .hint("parts are {stream}, {stream.id}, {stream.category}, {/path/in/data} and {metadata:/path}")),
            },
        }
    }
}

fn field(payload: &Payload, pointer: &Pointer, what: &str) -> Result<String, Reason> {
    let mut document = Document::parse(payload.bytes())?;
    let found = document.get(pointer)?;
    let missing = || Reason::new(format_args!("{} is missing in the {what}", pointer.as_str()));
    let json = found.ok_or_else(missing)?;
    let text = match json.as_bytes().first() {
        Some(b'"') => decode(&json).map(|text| text.into_owned()),
        Some(b'{' | b'[' | b'n') => None,
        _ => Some(json.to_string()),
    };
    let text =
        text.ok_or_else(|| Reason::new(format_args!("{} is {}, which is no name", pointer.as_str(), Shown(&json))))?;
    if text.is_empty() {
        return Err(Reason::new(format_args!("{} is empty", pointer.as_str())));
    }
    Ok(text)
}
