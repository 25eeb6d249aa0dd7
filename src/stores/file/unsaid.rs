//! Events that say no version, beside others of their type that say that they have the first.

use std::collections::HashMap;

use eventlift_events::{EventType, SchemaVersion};

/// How many types are remembered: nobody has as many.
const TYPES: usize = 100_000;

/// Finds out whether what is not said can be told. Where nothing is set, an event that says no version has version 1;
/// but where another event of its type says that it has version 1, they may be two, and nobody knows.
#[derive(Debug)]
pub(super) struct Unsaid {
    absent: Option<SchemaVersion>,
    /// Types of events that have version 1, and whether they say so.
    first: HashMap<EventType, bool>,
}

impl Unsaid {
    /// With what is set.
    pub(super) fn new(absent: Option<SchemaVersion>) -> Self {
        Self { absent, first: HashMap::new() }
    }

    /// The version of an event of a type that says this one, or none. `None` where that can't be told.
    pub(super) fn take(&mut self, event_type: &EventType, said: Option<SchemaVersion>) -> Option<SchemaVersion> {
        if let Some(absent) = self.absent {
            return Some(said.unwrap_or(absent));
        }
        let version = said.unwrap_or(SchemaVersion::FIRST);
        if version != SchemaVersion::FIRST {
            return Some(version);
        }
        let says_so = said.is_some();
        if let Some(before) = self.first.get(event_type) {
            return (*before == says_so).then_some(version);
        }
        if self.first.len() < TYPES {
            self.first.insert(detached(event_type), says_so);
        }
        Some(version)
    }
}

/// A copy that does not keep the buffer of its batch.
fn detached(event_type: &EventType) -> EventType {
    EventType::new(event_type.as_str().to_owned()).unwrap_or_else(|_| event_type.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_the_first_version_unless_others_say_so() {
        let [a, b] = ["A", "B"].map(|name| EventType::new(name).unwrap());
        let [first, second] = [1, 2].map(SchemaVersion::new);
        let mut unsaid = Unsaid::new(None);
        for (event_type, said, version) in [
            (&a, None, first),
            (&a, second, second),
            (&b, first, first),
            (&a, None, first),
            (&a, first, None),
            (&b, None, None),
        ] {
            assert_eq!(unsaid.take(event_type, said), version, "{event_type} {said:?}");
        }
        let mut told = Unsaid::new(second);
        assert_eq!((told.take(&a, None), told.take(&a, first)), (second, first));
    }
}
