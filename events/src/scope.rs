//! Which events of a store a read is about.

use std::collections::BTreeSet;

use crate::event::{Event, EventType};
use crate::stream::StreamName;

/// A part of a store.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Scope {
    /// Every event.
    #[default]
    All,
    /// The events of the streams of one category.
    Category(String),
    /// The events of one stream.
    Stream(StreamName),
    /// The events of these types, in every version.
    Types(BTreeSet<EventType>),
}

impl Scope {
    /// Whether the event is part of it.
    pub fn contains(&self, event: &Event) -> bool {
        match self {
            Self::All => true,
            Self::Category(category) => event.stream.category() == category,
            Self::Stream(stream) => event.stream == *stream,
            Self::Types(types) => types.contains(&event.event_type),
        }
    }

    /// Whether a stream that has events in it has all of them in it, so that revisions in it have no gaps.
    pub fn holds_whole_streams(&self) -> bool {
        !matches!(self, Self::Types(_))
    }
}
