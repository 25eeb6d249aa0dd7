//! What a build is made of, and what has changed since.

use eventlift_projections::{Build, Origin, Projection};
use xxhash_rust::xxh3::xxh3_128;

use super::feed::Feed;

/// What a build of a projection from a feed is made of: the projection, the rules that lead to what it folds, the run
/// that filled the store, the part of the store, and how it is read.
pub fn origin(feed: &Feed, projection: &dyn Projection) -> Origin {
    let mut parts = vec![("the projection".to_owned(), projection.fingerprint().to_owned())];
    if let Some(rules) = feed.rules() {
        let folded = &projection.understood().folded;
        let wanted = |name: &_, version| folded.get(name).is_some_and(|versions| versions.contains(&version));
        parts.extend(rules.parts_towards(wanted));
    }
    if let Some(run) = feed.run() {
        parts.push(("the run that filled the store".to_owned(), run.to_owned()));
    }
    if let Some(part) = feed.part() {
        parts.push(("the part of the store".to_owned(), part));
    }
    let reading = feed.reader().reading();
    if !reading.is_empty() {
        parts.push(("how the store is read".to_owned(), reading));
    }
    let mut whole = String::new();
    for text in parts.iter().flat_map(|(name, fingerprint)| [name, fingerprint]) {
        // With its length, so that no two lists look alike.
        whole.push_str(&format!("{} {text}", text.len()));
    }
    let fingerprint = format!("{:032x}", xxh3_128(whole.as_bytes()));
    Origin { source: feed.reader().identity().key.clone(), fingerprint, parts }
}

/// Why a live build is not what would be built now, one reason an item; none where it is.
pub fn changes(live: Option<&Build>, now: &Origin) -> Vec<String> {
    let Some(live) = live else { return vec!["it has never been built".to_owned()] };
    if live.origin.source != now.source {
        return vec!["it was built from another store".to_owned()];
    }
    if live.origin.fingerprint == now.fingerprint {
        return Vec::new();
    }
    let find = |parts: &[(String, String)], name: &str| parts.iter().find(|(n, _)| n == name).map(|(_, f)| f.clone());
    let mut changes = Vec::new();
    for (name, fingerprint) in &now.parts {
        match find(&live.origin.parts, name) {
            None => changes.push(format!("{name} was added")),
            Some(known) if known != *fingerprint => changes.push(format!("{name} has changed")),
            Some(_) => {}
        }
    }
    let removed = live.origin.parts.iter().filter(|(name, _)| find(&now.parts, name).is_none());
    changes.extend(removed.map(|(name, _)| format!("{name} was removed")));
    if changes.is_empty() {
        changes.push("the order of the rules has changed".to_owned());
    }
    changes
}
