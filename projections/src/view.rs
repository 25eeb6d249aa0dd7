//! An event as folds look at it.

use std::borrow::Cow;
use std::ops::Range;

use eventlift_events::{Event, Payload};
use eventlift_language::Reason;
use eventlift_language::json::{Document, Node, Place};
use serde::de::DeserializeOwned;
use smallvec::SmallVec;

use crate::path::Path;

/// An event, and its payloads parsed at most once for all the folds that look at it.
#[derive(Debug)]
pub struct EventView<'e> {
    event: &'e Event,
    data: Option<Document<'e>>,
    metadata: Option<Document<'e>>,
    /// What was found in the data already, by path: several folds, or several clauses of one, ask for the same.
    found: SmallVec<[(u32, Option<&'e str>); 8]>,
}

impl<'e> EventView<'e> {
    /// A view that has parsed nothing yet.
    pub fn new(event: &'e Event) -> Self {
        Self { event, data: None, metadata: None, found: SmallVec::new() }
    }

    /// The event.
    pub fn event(&self) -> &'e Event {
        self.event
    }

    /// The data as JSON, opened where paths lead; an absent document where the event has none. Fails where it is not
    /// JSON.
    pub fn data(&mut self) -> Result<&mut Document<'e>, Reason> {
        opened(&mut self.data, &self.event.data, "data")
    }

    /// The metadata, likewise.
    pub fn metadata(&mut self) -> Result<&mut Document<'e>, Reason> {
        opened(&mut self.metadata, &self.event.metadata, "metadata")
    }

    /// The JSON text of the value in the data that a path leads to, looked for once.
    pub(crate) fn in_data(&mut self, path: &Path) -> Result<Option<Cow<'_, str>>, Reason> {
        if let Some((_, found)) = self.found.iter().find(|(number, _)| *number == path.number()) {
            return Ok(found.map(Cow::Borrowed));
        }
        let document = opened(&mut self.data, &self.event.data, "data")?;
        match document.root.get(path.pointer().segments(), &Place::ROOT)? {
            None => self.found.push((path.number(), None)),
            Some(Node::Text(Cow::Borrowed(text))) => {
                let text: &'e str = text;
                self.found.push((path.number(), Some(text)));
                return Ok(Some(Cow::Borrowed(text)));
            }
            // Opened, and so not one slice of the payload any more.
            Some(node) => return Ok(Some(node.json())),
        }
        Ok(None)
    }

    /// Where in the data's bytes the text that a path leads to stands, without its quotes; none where it is no text, has
    /// escapes, or can't be told.
    pub(crate) fn text_in_data(&mut self, path: &Path) -> Option<Range<u32>> {
        let data: &[u8] = self.event.data.bytes();
        let found = self.in_data(path).ok()??;
        let text = found.strip_prefix('"')?.strip_suffix('"')?;
        if text.contains('\\') {
            return None;
        }
        let start = (text.as_ptr() as usize).checked_sub(data.as_ptr() as usize)?;
        let end = start + text.len();
        // What was found elsewhere is not in the data.
        (end <= data.len()).then_some(u32::try_from(start).ok()?..u32::try_from(end).ok()?)
    }

    /// The data as a Rust type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Reason> {
        serde_json::from_slice(self.event.data.bytes()).map_err(Reason::from)
    }
}

fn opened<'d, 'e>(
    document: &'d mut Option<Document<'e>>,
    payload: &'e Payload,
    what: &str,
) -> Result<&'d mut Document<'e>, Reason> {
    if document.is_none() {
        if !payload.is_empty() && !payload.is_json() {
            let found = payload.content_type();
            return Err(Reason::new(format_args!("the {what} is {found}, but the fold needs JSON")));
        }
        *document = Some(Document::parse(payload.bytes())?);
    }
    document.as_mut().ok_or_else(|| Reason::new(format_args!("the {what} is not parsed")))
}
