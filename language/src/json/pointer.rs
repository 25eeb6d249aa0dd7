//! Where in a document: JSON Pointer, with a wildcard.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use crate::json::text::encode;

/// A place in a JSON document, as a JSON Pointer (RFC 6901): `/address/city`, `/lines/0`, and the empty pointer for
/// the whole document. `~1` stands for `/` and `~0` for `~` in a key.
///
/// Beyond the RFC, a segment `*` stands for every item of an array or every member of an object; a key that is
/// literally `*` is written `~2`. A last segment `-` is the place behind the last item of an array. In an object, `-`
/// and digits are ordinary keys. At most [`Pointer::MAX_DEPTH`] segments.
#[derive(Clone, PartialEq, Eq)]
pub struct Pointer {
    text: String,
    segments: Vec<Segment>,
}

/// One step of a pointer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Segment {
    /// A member of an object, or an item of an array where the key is an index.
    Key(Key),
    /// Every item or member.
    Every,
}

/// A key, ready to be compared and written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// What it says.
    pub text: String,
    /// The same as JSON text, with quotes.
    pub json: String,
    /// What it says as an array index: no sign, no leading zeros.
    pub index: Option<usize>,
}

impl Key {
    fn new(text: String) -> Self {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let leading_zero = text.len() > 1 && text.starts_with('0');
        let index = if digits && !leading_zero { text.parse().ok() } else { None };
        Self { json: encode(&text), text, index }
    }

    /// Whether it is the place behind the last item of an array.
    pub fn is_end(&self) -> bool {
        self.text == "-"
    }
}

impl Pointer {
    /// The most segments a pointer may have.
    pub const MAX_DEPTH: usize = 128;

    /// Reads a pointer. Fails with the byte at which it stops being one.
    pub fn parse(text: &str) -> Result<Self, PointerError> {
        let fail = |at: usize, what: &'static str| PointerError { pointer: text.to_owned(), at, what };
        let mut segments = Vec::new();
        if !text.is_empty() && !text.starts_with('/') {
            return Err(fail(0, "a path starts with `/`"));
        }
        let mut start = 1;
        for part in text.split('/').skip(1) {
            if segments.len() == Self::MAX_DEPTH {
                return Err(fail(start, "a path has at most 128 segments"));
            }
            segments.push(if part == "*" {
                Segment::Every
            } else {
                Segment::Key(Key::new(unescape(part).map_err(|(at, what)| fail(start + at, what))?))
            });
            start += part.len() + 1;
        }
        Ok(Self { text: text.to_owned(), segments })
    }

    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its segments, from the root; none for the whole document.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The member of the document's object that it leads into; none where it leads to the document itself, or to each of
    /// its members.
    pub fn first_key(&self) -> Option<&str> {
        match self.segments.first() {
            Some(Segment::Key(key)) => Some(&key.text),
            Some(Segment::Every) | None => None,
        }
    }

    /// Whether it has a segment `*`.
    pub fn has_wildcard(&self) -> bool {
        self.segments.contains(&Segment::Every)
    }
}

fn unescape(part: &str) -> Result<String, (usize, &'static str)> {
    let mut text = String::with_capacity(part.len());
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('~') {
        text.push_str(before);
        text.push(match after.bytes().next() {
            Some(b'0') => '~',
            Some(b'1') => '/',
            Some(b'2') => '*',
            _ => {
                let at = part.len() - after.len() - 1;
                return Err((at, "`~` is followed by 0 (for `~`), 1 (for `/`) or 2 (for `*`)"));
            }
        });
        rest = &after[1..];
    }
    text.push_str(rest);
    Ok(text)
}

/// The pointer text of some segments.
pub fn path_text(segments: &[Segment]) -> String {
    let mut text = String::new();
    for segment in segments {
        push_segment(&mut text, segment);
    }
    text
}

fn push_segment(text: &mut String, segment: &Segment) {
    match segment {
        Segment::Every => text.push_str("/*"),
        Segment::Key(key) => push_key(text, &key.text),
    }
}

/// Appends `/` and a key in a pointer's spelling.
pub(crate) fn push_key(text: &mut String, key: &str) {
    text.push('/');
    if key == "*" {
        text.push_str("~2");
        return;
    }
    for character in key.chars() {
        match character {
            '~' => text.push_str("~0"),
            '/' => text.push_str("~1"),
            other => text.push(other),
        }
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// Text that is no pointer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer:?} is not a path, at byte {at}: {what}")]
pub struct PointerError {
    /// The text.
    pub pointer: String,
    /// The byte at which it stops being a pointer, from 0.
    pub at: usize,
    /// What would be right.
    pub what: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_unescaped_and_written_back() {
        for text in ["", "/", "/a/b", "/a~1b/~0/~2", "/lines/*/price", "/tags/-", "/ü/0/01"] {
            assert_eq!(path_text(Pointer::parse(text).unwrap().segments()), text);
        }
        assert!(!Pointer::parse("/~2").unwrap().has_wildcard());
        assert!(Pointer::parse("/*").unwrap().has_wildcard());
    }

    #[test]
    fn errors_carry_their_place() {
        assert_eq!(Pointer::parse("first").unwrap_err().at, 0);
        assert_eq!(Pointer::parse("/a/b~3").unwrap_err().at, 4);
        assert_eq!(Pointer::parse("/a~").unwrap_err().at, 2);
        assert!(Pointer::parse(&"/a".repeat(129)).is_err());
    }
}
