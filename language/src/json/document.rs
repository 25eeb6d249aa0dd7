//! A whole JSON document, edited in place.

use std::borrow::Cow;
use std::ops::ControlFlow;

use eventlift_events::Bytes;

use crate::json::node::{Member, Node, Place};
use crate::json::pointer::{Pointer, Segment};
use crate::json::text::strict;
use crate::reason::Reason;

/// A JSON document, opened as far as it was looked into.
///
/// Values that nobody looked into are written back byte for byte. Documents of any depth are fine: only what pointers
/// lead through is opened, and pointers are short.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    /// The whole value; [`Node::Absent`] where there is no document.
    pub root: Node<'a>,
}

impl<'a> Document<'a> {
    /// Reads a document: exactly one JSON value, in UTF-8, strictly by RFC 8259. No bytes at all are an absent
    /// document, in which every field is missing.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Reason> {
        if bytes.is_empty() {
            return Ok(Self { root: Node::Absent });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            Reason::new(format_args!("the data is not UTF-8 at byte {}, so it is not JSON", error.valid_up_to()))
        })?;
        let root =
            Node::parse(text).map_err(|error| Reason::new(format_args!("the data is not valid JSON: {error}")))?;
        Ok(Self { root })
    }

    /// The JSON text of the value a pointer leads to; the first such value for a pointer with wildcards. `None` where
    /// it is missing. Fails where the pointer leads through a scalar or a key that is there twice.
    pub fn get(&mut self, pointer: &Pointer) -> Result<Option<Cow<'_, str>>, Reason> {
        if !pointer.has_wildcard() {
            return Ok(self.root.get(pointer.segments(), &Place::ROOT)?.map(|node| node.json()));
        }
        let mut found = None;
        self.find(pointer.segments(), &mut |node| {
            found = Some(node.json().into_owned());
            ControlFlow::Break(())
        })?;
        Ok(found.map(Cow::Owned))
    }

    /// Puts a value, given as JSON text, where a pointer without wildcards leads: in the place of the one that is
    /// there, or behind the last key or, for `/-`, the last item. Missing objects on the way are made.
    pub fn set(&mut self, pointer: &'a Pointer, json: &'a str) -> Result<(), Reason> {
        let value = strict(json).map_err(|error| Reason::new(format_args!("{json} is not JSON: {error}")))?;
        self.root.put(pointer.segments(), Node::text(value), true, &Place::ROOT)
    }

    /// Takes a value out of its object or array and returns its JSON text. `None` where it is missing.
    pub fn remove(&mut self, pointer: &Pointer) -> Result<Option<String>, Reason> {
        let taken = self.root.take(pointer.segments(), &Place::ROOT)?;
        Ok(taken.map(|node| node.json().into_owned()))
    }

    /// The document as JSON text. Opened objects and arrays are written without white space.
    pub fn write(&self) -> Bytes {
        let mut out = String::with_capacity(self.root.length());
        self.root.write(&mut out);
        Bytes::from(out.into_bytes())
    }

    /// Shows every value a path with wildcards leads to, until told to stop.
    pub fn find(&mut self, path: &[Segment], show: &mut dyn FnMut(&Node<'a>) -> ControlFlow<()>) -> Result<(), Reason> {
        find_in(&mut self.root, path, &Place::ROOT, &|_| Ok(()), show).map(|_| ())
    }

    /// The same. Fails where what the path leads through, or to, is missing, or null where it goes through all items of it.
    pub fn find_all(
        &mut self,
        path: &[Segment],
        show: &mut dyn FnMut(&Node<'a>) -> ControlFlow<()>,
    ) -> Result<(), Reason> {
        find_in(&mut self.root, path, &Place::ROOT, &|place| Err(place.missing()), show).map(|_| ())
    }
}

fn find_in<'a>(
    node: &mut Node<'a>,
    path: &[Segment],
    place: &Place<'_>,
    missing: &dyn Fn(&Place<'_>) -> Result<(), Reason>,
    show: &mut dyn FnMut(&Node<'a>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, Reason> {
    let straight = path.iter().position(|segment| *segment == Segment::Every).unwrap_or(path.len());
    let (before, rest) = path.split_at(straight);
    let Some(node) = node.get(before, place)? else {
        missing(&place.within(before))?;
        return Ok(ControlFlow::Continue(()));
    };
    let Some((_, rest)) = rest.split_first() else { return Ok(show(node)) };
    let place = place.within(before);
    node.open()?;
    match node {
        Node::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                if find_in(item, rest, &place.item(index), missing, show)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Node::Object(members) => {
            for Member { key, value } in members {
                if find_in(value, rest, &place.member(key), missing, show)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        other if other.is_null() => missing(&place)?,
        other => return Err(place.not(other, "an array or object")),
    }
    Ok(ControlFlow::Continue(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_edited_by_pointers() {
        let [first, new, all, deep] = ["/a/0", "/n/x", "/a/*", "/s/x"].map(|text| Pointer::parse(text).unwrap());
        let mut document = Document::parse(br#"{"a": [ 1.0 , {"b":  2}], "s": "t"}"#).unwrap();
        assert_eq!(document.get(&first).unwrap().as_deref(), Some("1.0"));
        document.set(&new, " 1e400 ").unwrap();
        assert!(document.set(&new, "01").is_err());
        assert_eq!(document.remove(&first).unwrap().as_deref(), Some("1.0"));
        assert_eq!(document.get(&all).unwrap().as_deref(), Some(r#"{"b":  2}"#));
        assert!(document.get(&deep).is_err());
        assert_eq!(&document.write()[..], br#"{"a":[{"b":  2}],"s":"t","n":{"x":1e400}}"#);
    }
}
