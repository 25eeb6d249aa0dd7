//! Where the elements of a JSON array begin and end, found out without reading all of it at once.

use std::ops::Range;

/// Goes over the bytes of one or several arrays, piece by piece. What is in an element is not looked at, beyond what it
/// takes to find its end.
#[derive(Debug)]
pub(super) struct Arrays {
    place: Place,
    /// So many bytes of the piece at hand were gone over.
    scanned: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// In no array.
    Outside,
    /// Behind `[`.
    Opened,
    /// Behind a comma.
    Continued,
    /// Behind an element.
    BehindElement,
    /// In an element that begins at this byte.
    In { start: usize, part: Part },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// An object or array, so many of them in one another.
    Nested { depth: usize },
    /// A string, in so many objects and arrays.
    Text { depth: usize, escaped: bool },
    /// A number, or a word.
    Bare,
}

impl Arrays {
    /// In front of the first one.
    pub(super) fn new() -> Self {
        Self { place: Place::Outside, scanned: 0 }
    }

    /// Goes over what is new in the piece, and adds the elements that end in it. The error says what is wrong between
    /// two elements.
    pub(super) fn scan(&mut self, bytes: &[u8], elements: &mut Vec<Range<usize>>) -> Result<(), &'static str> {
        while let Some(byte) = bytes.get(self.scanned) {
            self.place = step(self.place, self.scanned, *byte, elements)?;
            self.scanned += 1;
        }
        Ok(())
    }

    /// Forgets the piece up to a byte that is the end of an element.
    pub(super) fn forget(&mut self, cut: usize) {
        self.scanned -= cut;
        if let Place::In { start, .. } = &mut self.place {
            *start -= cut;
        }
    }

    /// The file ends here: whether that is in an array. A number or a word ends with it.
    pub(super) fn end(&self, length: usize, elements: &mut Vec<Range<usize>>) -> bool {
        if let Place::In { start, part: Part::Bare } = self.place {
            elements.push(start..length);
        }
        self.place != Place::Outside
    }
}

fn step(place: Place, at: usize, byte: u8, elements: &mut Vec<Range<usize>>) -> Result<Place, &'static str> {
    let nested = |start, depth| Place::In { start, part: Part::Nested { depth } };
    let text = |start, depth, escaped| Place::In { start, part: Part::Text { depth, escaped } };
    let mut ended = |start: usize, end: usize| {
        elements.push(start..end);
        Place::BehindElement
    };
    Ok(match (place, byte) {
        (Place::In { start, part: Part::Text { depth, escaped: true } }, _) => text(start, depth, false),
        (Place::In { start, part: Part::Text { depth, .. } }, b'\\') => text(start, depth, true),
        (Place::In { start, part: Part::Text { depth: 0, .. } }, b'"') => ended(start, at + 1),
        (Place::In { start, part: Part::Text { depth, .. } }, b'"') => nested(start, depth),
        (Place::In { part: Part::Text { .. }, .. }, _) => place,
        (Place::In { start, part: Part::Nested { depth } }, b'"') => text(start, depth, false),
        (Place::In { start, part: Part::Nested { depth } }, b'{' | b'[') => nested(start, depth + 1),
        (Place::In { start, part: Part::Nested { depth: 1 } }, b'}' | b']') => ended(start, at + 1),
        (Place::In { start, part: Part::Nested { depth } }, b'}' | b']') => nested(start, depth - 1),
        (Place::In { part: Part::Nested { .. }, .. }, _) => place,
        (Place::In { start, part: Part::Bare }, b',' | b']' | b' ' | b'\t' | b'\r' | b'\n') => {
            let behind = ended(start, at);
            return step(behind, at, byte, elements);
        }
        (Place::In { part: Part::Bare, .. }, b'}' | b'{' | b'[' | b'"') => return Err(BEHIND_ELEMENT),
        (Place::In { part: Part::Bare, .. }, _) => place,
        (_, b' ' | b'\t' | b'\r' | b'\n') => place,
        (Place::Outside, b'[') => Place::Opened,
        (Place::Outside, _) => return Err("an array begins with `[`"),
        (Place::Opened | Place::BehindElement, b']') => Place::Outside,
        (Place::BehindElement, b',') => Place::Continued,
        (Place::BehindElement, _) => return Err(BEHIND_ELEMENT),
        (Place::Opened | Place::Continued, b']' | b',' | b'}') => return Err("an event is missing between two commas"),
        (Place::Opened | Place::Continued, b'{' | b'[') => nested(at, 1),
        (Place::Opened | Place::Continued, b'"') => text(at, 0, false),
        (Place::Opened | Place::Continued, _) => Place::In { start: at, part: Part::Bare },
    })
}

const BEHIND_ELEMENT: &str = "an event is followed by `,` or `]`";
