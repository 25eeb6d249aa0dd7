//! Which events a fold understands.

use std::collections::{BTreeMap, BTreeSet};

use eventlift_events::{Event, EventType, SchemaVersion};

/// Which streams and which types and versions of events a fold understands, and which of the others it leaves out.
///
/// What it neither understands nor leaves out is refused: a read model that silently lacks what a newer event says is
/// wrong.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Understood {
    /// The categories whose events are its business; every one if it is empty.
    pub categories: BTreeSet<String>,
    /// The types it folds, each with its versions.
    pub folded: BTreeMap<EventType, BTreeSet<SchemaVersion>>,
    /// Types that it leaves out, in these versions; in every version where the set is empty.
    pub ignored: BTreeMap<EventType, BTreeSet<SchemaVersion>>,
    /// Whether types that are named nowhere are left out.
    pub ignores_other_types: bool,
}

/// What an event is to a fold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Concern {
    /// It is folded.
    Folded,
    /// It is none of its business, or left out by name.
    Ignored,
    /// Its type is named nowhere.
    UnknownType,
    /// Its type is, in other versions.
    UnknownVersion,
}

impl Understood {
    /// The same, folding a type in a version.
    pub fn folding(mut self, event_type: EventType, version: SchemaVersion) -> Self {
        self.folded.entry(event_type).or_default().insert(version);
        self
    }

    /// Whether the events of a category are its business.
    pub fn covers(&self, category: &str) -> bool {
        self.categories.is_empty() || self.categories.contains(category)
    }

    /// What an event is to the fold.
    pub fn concern(&self, event: &Event) -> Concern {
        if !self.categories.is_empty() && !self.covers(event.stream.category()) {
            return Concern::Ignored;
        }
        self.concern_of(&event.event_type, event.version)
    }

    /// What the events of a type and version are, in the streams that are its business.
    pub fn concern_of(&self, event_type: &EventType, version: SchemaVersion) -> Concern {
        if self.folded.get(event_type).is_some_and(|versions| versions.contains(&version)) {
            return Concern::Folded;
        }
        match self.ignored.get(event_type) {
            Some(versions) if versions.is_empty() || versions.contains(&version) => Concern::Ignored,
            Some(_) => Concern::UnknownVersion,
            None if self.folded.contains_key(event_type) => Concern::UnknownVersion,
            None if self.ignores_other_types => Concern::Ignored,
            None => Concern::UnknownType,
        }
    }
}
