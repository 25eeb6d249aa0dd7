//! Which projections a migration touches.

use std::collections::BTreeMap;

use eventlift_events::{EventType, SchemaVersion};
use eventlift_projections::{Concern, Projection};
use eventlift_transformers::{Outcome, Registry};

use super::feed::ends;

/// What of a source reaches a projection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Touched {
    /// The projection.
    pub projection: String,
    /// How many of the source's events may be folded: of types that lead to one that it folds.
    pub events: u64,
    /// The types and versions of the source that reach it lifted, with the version or type they reach it as.
    pub lifted: Vec<(String, String)>,
    /// Types and versions that would reach it, and that it neither folds nor leaves out, with their numbers of events.
    /// None are named for a projection of some categories only, since types are not known by category.
    pub strange: Vec<String>,
}

/// What of the types and versions of a source reaches a projection, as far as upcasters decide: what general rules make
/// of types is only known when they run.
pub fn touched(
    registry: &Registry,
    types: impl Iterator<Item = (EventType, SchemaVersion, u64)>,
    projection: &dyn Projection,
) -> Touched {
    let understood = projection.understood();
    let mut touched =
        Touched { projection: projection.name().to_owned(), events: 0, lifted: Vec::new(), strange: Vec::new() };
    let mut strange: BTreeMap<String, u64> = BTreeMap::new();
    for (event_type, version, events) in types {
        let is_lifted = matches!(registry.coverage(&event_type, version).outcome, Outcome::Lifted(_));
        let mut reached = Vec::new();
        for end in ends(registry, event_type.clone(), version) {
            match understood.concern_of(&end.event_type, end.version) {
                Concern::Folded => reached.push(format!("{} {}", end.event_type, end.version)),
                Concern::Ignored => {}
                Concern::UnknownType | Concern::UnknownVersion if !understood.categories.is_empty() => {}
                Concern::UnknownType | Concern::UnknownVersion => {
                    *strange.entry(format!("{} version {}", end.event_type, end.version)).or_default() += events;
                }
            }
        }
        if !reached.is_empty() {
            touched.events += events;
            if is_lifted {
                touched.lifted.push((format!("{event_type} {version}"), reached.join(" + ")));
            }
        }
    }
    if !registry.has_general_rules() {
        let named = |(name, events): (String, u64)| {
            format!("{name} ({events} {})", if events == 1 { "event" } else { "events" })
        };
        touched.strange = strange.into_iter().map(named).collect();
    }
    touched
}
