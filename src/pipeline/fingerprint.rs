//! The fingerprint of everything that decides what a run writes.

use eventlift_events::{RunRecord, Scope};
use eventlift_transformers::{Registry, Shape};

use super::onto::is_beginning;
use super::policy::Policies;

const SCOPE: &str = "the scope";

/// What decides the result of a run: its transformers, its scope, its policies, and how its stores are mapped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fingerprint {
    /// One text that changes when, and only when, some part does.
    pub whole: String,
    /// The name and fingerprint of every part.
    pub parts: Vec<(String, String)>,
}

impl Fingerprint {
    /// The fingerprint of a run with these transformers, over this scope, under these policies.
    pub fn of(registry: &Registry, scope: &Scope, policies: &Policies) -> Self {
        let policies = policies.fingerprint();
        let mut parts = registry.parts();
        parts.push((NUMBERING.to_owned(), numbering(registry).to_owned()));
        parts.push((SCOPE.to_owned(), scope_text(scope)));
        parts.push(("the policy".to_owned(), policies.clone()));
        Self { whole: format!("{} {} {policies}", registry.fingerprint(), scope_text(scope)), parts }
    }

    /// The same, of a source that is read and a target that is written like this: [`EventReader::reading`] of both, or
    /// [`EventWriter::writing`] of the target.
    ///
    /// [`EventReader::reading`]: eventlift_events::EventReader::reading
    /// [`EventWriter::writing`]: eventlift_events::EventWriter::writing
    pub fn of_stores(mut self, source: String, target: String) -> Self {
        for (name, how) in [("how the source is read", source), ("how the target is written", target)] {
            if !how.is_empty() {
                self.whole.push_str(&format!(" {name}: {how}"));
                self.parts.push((name.to_owned(), how));
            }
        }
        self
    }

    /// The scope that a run was recorded with and this one, if they differ.
    pub fn scope_change(&self, record: &RunRecord) -> Option<(String, String)> {
        let (recorded, given) = (find(&record.parts, SCOPE)?, find(&self.parts, SCOPE)?);
        (recorded != given).then(|| (recorded.to_owned(), given.to_owned()))
    }

    /// Which parts were added, removed or changed since a run was recorded; none if it is the same.
    pub fn changes_since(&self, record: &RunRecord) -> Option<Vec<String>> {
        if self.whole == record.fingerprint {
            return None;
        }
        let mut changes: Vec<String> = Vec::new();
        for (name, fingerprint) in &self.parts {
            match find(&record.parts, name) {
                None => changes.push(format!("{name} was added")),
                Some(known) if known != fingerprint => changes.push(format!("{name} was changed")),
                Some(_) => {}
            }
        }
        let is_removed = |name: &str| find(&self.parts, name).is_none() && !is_beginning(name);
        let removed = record.parts.iter().filter(|(name, _)| is_removed(name));
        changes.extend(removed.map(|(name, _)| format!("{name} was removed")));
        if changes.is_empty() {
            changes.push("the order of the rules, or a declared version".to_owned());
        }
        Some(changes)
    }

    /// Whether the revisions of a recorded run can be gone on with. Those that were kept up to here can be shifted from
    /// here; anything else would have to count what is in the target already in another way.
    pub fn goes_on_numbering(&self, record: &RunRecord) -> bool {
        match (find(&record.parts, NUMBERING), find(&self.parts, NUMBERING)) {
            (Some(KEPT), Some(SHIFTED)) => true,
            (before, after) => before == after,
        }
    }
}

/// The name of the part that says how events get their revisions.
const NUMBERING: &str = "the numbering of events";
const KEPT: &str = "kept";
const SHIFTED: &str = "shifted";
const COUNTED: &str = "counted";

fn numbering(registry: &Registry) -> &'static str {
    match registry.shape() {
        Shape::OneToOne => KEPT,
        Shape::Shifting => SHIFTED,
        Shape::Moving => COUNTED,
    }
}

/// A scope for people, different for different scopes: names are quoted.
fn scope_text(scope: &Scope) -> String {
    match scope {
        Scope::All => "everything".to_owned(),
        Scope::Category(category) => format!("category {category:?}"),
        Scope::Stream(stream) => format!("stream {:?}", stream.as_str()),
        Scope::Types(types) => {
            let names: Vec<String> = types.iter().map(|name| format!("{:?}", name.as_str())).collect();
            format!("type {}", names.join(", "))
        }
    }
}

fn find<'p>(parts: &'p [(String, String)], name: &str) -> Option<&'p str> {
    parts.iter().find(|(known, _)| known == name).map(|(_, fingerprint)| &**fingerprint)
}
