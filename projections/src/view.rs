//! An event as folds look at it.

use eventlift_events::{ContentType, Event, Payload};
use eventlift_language::Reason;
use eventlift_language::json::{Document, is_json};
use serde::de::DeserializeOwned;

/// An event, and its payloads parsed at most once for all the folds that look at it.
#[derive(Debug)]
pub struct EventView<'e> {
    event: &'e Event,
    data: Option<Document<'e>>,
    metadata: Option<Document<'e>>,
}

impl<'e> EventView<'e> {
    /// A view that has parsed nothing yet.
    pub fn new(event: &'e Event) -> Self {
        Self { event, data: None, metadata: None }
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
        if !payload.is_empty() && !is_json(payload.content_type()) {
            let found: &ContentType = payload.content_type();
            return Err(Reason::new(format_args!("the {what} is {found}, but the fold needs JSON")));
        }
        *document = Some(Document::parse(payload.bytes())?);
    }
    document.as_mut().ok_or_else(|| Reason::new(format_args!("the {what} is not parsed")))
}
