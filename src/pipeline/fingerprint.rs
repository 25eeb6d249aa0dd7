//! The fingerprint of everything that decides what a run writes.

use eventlift_events::{EventType, RunRecord, Scope, StreamName};
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

    /// The scope that a run was recorded with; none where its ledger does not say it, or not as this version does.
    pub fn scope_of(record: &RunRecord) -> Option<Scope> {
        scope_from(find(&record.parts, SCOPE)?)
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
        Shape::Splitting | Shape::Shifting => SHIFTED,
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

/// The scope that a text is of.
fn scope_from(text: &str) -> Option<Scope> {
    if text == "everything" {
        return Some(Scope::All);
    }
    let (kind, names) = text.split_once(' ')?;
    let names = quoted_names(names)?;
    match (kind, &names[..]) {
        ("category", [category]) => Some(Scope::Category(category.clone())),
        ("stream", [stream]) => Some(Scope::Stream(StreamName::new(stream.clone()).ok()?)),
        ("type", _) => Some(Scope::Types(names.into_iter().map(EventType::new).collect::<Result<_, _>>().ok()?)),
        _ => None,
    }
}

/// The names of a list such as `"a", "b \"c\""`, quoted as Rust does.
fn quoted_names(mut text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    loop {
        text = text.strip_prefix('"')?;
        let mut name = String::new();
        loop {
            let next = text.chars().next()?;
            text = &text[next.len_utf8()..];
            match next {
                '"' => break,
                '\\' => name.push(escaped(&mut text)?),
                plain => name.push(plain),
            }
        }
        names.push(name);
        match text.strip_prefix(", ") {
            Some(rest) => text = rest,
            None => return text.is_empty().then_some(names),
        }
    }
}

/// What stands behind a backslash.
fn escaped(text: &mut &str) -> Option<char> {
    let next = text.chars().next()?;
    *text = &text[next.len_utf8()..];
    match next {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        '0' => Some('\0'),
        '\\' | '"' | '\'' => Some(next),
        'u' => {
            let (code, rest) = text.strip_prefix('{')?.split_once('}')?;
            *text = rest;
            char::from_u32(u32::from_str_radix(code, 16).ok()?)
        }
        _ => None,
    }
}

fn find<'p>(parts: &'p [(String, String)], name: &str) -> Option<&'p str> {
    parts.iter().find(|(known, _)| known == name).map(|(_, fingerprint)| &**fingerprint)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn scopes_are_read_back(names in prop::collection::btree_set("(.|[\"\\\\, \n\u{7f}é]){1,6}", 1..4)) {
            let first = names.first().unwrap().clone();
            let types = names.iter().map(|name| EventType::new(name.clone()).unwrap()).collect();
            let stream = StreamName::new(first.clone()).unwrap();
            for scope in [Scope::All, Scope::Category(first), Scope::Stream(stream), Scope::Types(types)] {
                prop_assert_eq!(scope_from(&scope_text(&scope)), Some(scope));
            }
        }
    }
}
