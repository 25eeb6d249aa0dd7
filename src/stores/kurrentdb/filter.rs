//! Which events the server is asked for. What it sends is looked at again: a filter of its own is one regex.

use std::collections::BTreeSet;

use eventlift_events::{EventType, Needed, Position, Scope};
use eventstore::{StreamPosition, SubscriptionFilter};

use super::originals::{Originals, escaped};

/// How many events the server looks at, at most, before it looks up from its log.
const WINDOW: u32 = 1_000;

/// The streams of users, and those that hold their metadata.
const USERS: &str = r"^(?:\$\$)?[^$]";

/// What lets through the events of a scope, and their streams' metadata and deletions.
pub(super) fn of_scope(scope: &Scope, needed: &Needed, originals: &Originals) -> SubscriptionFilter {
    match (scope, &needed.types) {
        (Scope::Types(types), _) => of_types(types, originals),
        (Scope::All, Some(types)) => of_types(types, originals),
        (Scope::All, None) => of_streams(USERS),
        (Scope::Category(category), _) => of_streams(&format!(r"^(?:\$\$)?{}(?:-|\z)", escaped(category))),
        (Scope::Stream(stream), _) => of_stream(stream.as_str()),
    }
}

/// What lets through everything that a store is read as.
pub(super) fn of_everything() -> SubscriptionFilter {
    of_streams(USERS)
}

/// What lets through the events of one stream.
pub(super) fn of_stream(name: &str) -> SubscriptionFilter {
    of_streams(&format!(r"^{}\z", escaped(name)))
}

fn of_streams(regex: &str) -> SubscriptionFilter {
    SubscriptionFilter::on_stream_name().regex(regex).max(WINDOW)
}

fn of_types(types: &BTreeSet<EventType>, originals: &Originals) -> SubscriptionFilter {
    let types: Vec<String> = types.iter().flat_map(|name| originals.written_types(name.as_str())).collect();
    let regex = format!(r"^(?:{})\z", types.join("|"));
    SubscriptionFilter::on_event_type().regex(regex).max(WINDOW)
}

/// Where the server has to start so that it yields everything behind a position; what it yields there may have been read.
/// None where nothing can be behind it.
pub(super) fn start(after: Option<Position>) -> Option<StreamPosition<eventstore::Position>> {
    let Some(after) = after.map(exact) else { return Some(StreamPosition::Start) };
    let (commit, prepare) = (after.major(), after.minor().unwrap_or_default());
    // The server knows no place within an event, and nothing above the range of signed numbers.
    let (commit, prepare) = match prepare {
        u64::MAX => (commit.checked_add(1)?, 0),
        _ => (commit, prepare),
    };
    let is_in_range = i64::try_from(commit).is_ok() && i64::try_from(prepare).is_ok();
    is_in_range.then_some(StreamPosition::Position(eventstore::Position { commit, prepare }))
}

/// A position of the server's for one that may be a single number: an event whose commit and prepare are the same.
pub(super) fn exact(position: Position) -> Position {
    Position::pair(position.major(), position.minor().unwrap_or(position.major()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::kurrentdb::MetadataKeys;

    #[test]
    fn text_is_matched_as_it_is() {
        for text in ["a.b", "[x]+", "$ü-{1}\\", "^(a|b)?*#", "plain", "<a>", "a b"] {
            let regex = regex::Regex::new(&format!(r"^{}\z", escaped(text))).unwrap();
            assert!(regex.is_match(text), "{text}");
            assert!(!regex.is_match(&format!("{text}x")) && !regex.is_match(&format!("{text}\n")), "{text}");
        }
        assert!(!regex::Regex::new(&escaped("a.b")).unwrap().is_match("axb"));
    }

    #[test]
    fn streams_of_the_system_are_not_asked_for() {
        let users = regex::Regex::new(USERS).unwrap();
        for (name, is_in) in
            [("a", true), ("$$a", true), ("$a", false), ("$$$a", false), ("\u{fc}", true), ("$$", false)]
        {
            assert_eq!(users.is_match(name), is_in, "{name}");
        }
    }

    #[test]
    fn types_are_asked_for_in_every_version() {
        let keys = MetadataKeys {
            version: crate::stores::attribute::Attribute::named("type"),
            version_pattern: Some("{type}.v{version}".to_owned()),
            ..MetadataKeys::none()
        };
        let originals = Originals::new(&keys).unwrap();
        let regex = regex::Regex::new(&format!(r"^(?:{})\z", originals.written_types("A+B").join("|"))).unwrap();
        for (name, is_in) in [("A+B", true), ("A+B.v12", true), ("A+B.v", false), ("AAB", false), ("A+B.v1.v2", false)]
        {
            assert_eq!(regex.is_match(name), is_in, "{name}");
        }
    }

    #[test]
    fn reads_start_where_the_server_knows_a_place() {
        let at = |position: Position| match start(Some(position)) {
            Some(StreamPosition::Position(position)) => Some((position.commit, position.prepare)),
            _ => None,
        };
        assert_eq!(at(Position::pair(9, 7)), Some((9, 7)));
        assert_eq!(at(Position::new(9)), Some((9, 9)));
        assert_eq!(at(Position::pair(9, 0).just_before().unwrap()), Some((9, 0)));
        assert_eq!(at(Position::pair(u64::MAX, u64::MAX)), None);
        assert!(matches!(start(None), Some(StreamPosition::Start)));
    }
}
