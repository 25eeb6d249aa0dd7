//! Where two JSON texts say something else.

use std::borrow::Cow;
use std::fmt;

use crate::json::node::{Member, Node};
use crate::json::pointer::push_key;
use crate::json::text::{Kind, bytes_of, compact};

/// Deeper than this, two values are compared by their text without white space.
const MOST_LEVELS: usize = 64;

/// The first place at which a JSON text says something else than another one. Prints as `/lines/0/price has another
/// value, …`, without the values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path; empty for the whole text.
    pub path: String,
    /// What is other there.
    pub what: Differs,
}

/// What is other at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Differs {
    /// Only the one has something there.
    Gone,
    /// Only the other has something there.
    Added,
    /// Both have, but another kind of value.
    Kind(Kind, Kind),
    /// Both have the same kind of value, but another one.
    Value(Kind),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the whole value" } else { &self.path };
        match self.what {
            Differs::Gone => write!(f, "{path} is gone"),
            Differs::Added => write!(f, "{path} is there, and was not"),
            Differs::Kind(was, is) => write!(f, "{path} is {is}, and was {was}"),
            Differs::Value(Kind::Number) => write!(f, "{path} is another number, or is written in another way"),
            Differs::Value(kind) => {
                let kind = kind.to_string();
                let bare = kind.strip_prefix("an ").or(kind.strip_prefix("a ")).unwrap_or(&kind);
                write!(f, "{path} is another {bare}")
            }
        }
    }
}

/// Where `other` first differs from `one`; none where both say the same. White space, escapes and the order of keys
/// don't count; numbers are the same digit for digit only, so that `5.0` is not `5`. Of a key that is repeated, all
/// values count, in their order. No text at all says something else than any text.
pub fn first_difference(one: &str, other: &str) -> Option<Difference> {
    if one == other {
        return None;
    }
    let (Ok(mut one), Ok(mut other)) = (parsed(one), parsed(other)) else {
        return Some(Difference { path: String::new(), what: Differs::Value(Kind::String) });
    };
    let mut path = String::new();
    let what = differs(&mut one, &mut other, &mut path, 0)?;
    Some(Difference { path, what })
}

fn parsed(text: &str) -> Result<Node<'_>, serde_json::Error> {
    if text.is_empty() { Ok(Node::Absent) } else { Node::parse(text) }
}

/// What differs first, and in `path` where; `path` is what it was where nothing does.
fn differs(one: &mut Node<'_>, other: &mut Node<'_>, path: &mut String, level: usize) -> Option<Differs> {
    if let (Node::Text(one), Node::Text(other)) = (&*one, &*other)
        && one == other
    {
        return None;
    }
    let (was, is) = match (one.kind(), other.kind()) {
        (Some(was), Some(is)) => (was, is),
        (None, None) => return None,
        (Some(_), None) => return Some(Differs::Gone),
        (None, Some(_)) => return Some(Differs::Added),
    };
    if was != is {
        return Some(Differs::Kind(was, is));
    }
    if level >= MOST_LEVELS {
        let same = compact(&one.json()) == compact(&other.json());
        return (!same).then_some(Differs::Value(was));
    }
    if one.open().is_err() || other.open().is_err() {
        return Some(Differs::Value(was));
    }
    match (one, other) {
        (Node::Object(one), Node::Object(other)) => members_differ(one, other, path, level),
        (Node::Array(one), Node::Array(other)) => {
            for index in 0..one.len().max(other.len()) {
                let length = path.len();
                path.push_str(&format!("/{index}"));
                let what = match (one.get_mut(index), other.get_mut(index)) {
                    (Some(one), Some(other)) => differs(one, other, path, level + 1),
                    (Some(_), None) => Some(Differs::Gone),
                    (None, _) => Some(Differs::Added),
                };
                if what.is_some() {
                    return what;
                }
                path.truncate(length);
            }
            None
        }
        (Node::Text(one), Node::Text(other)) => {
            let same = was == Kind::String && bytes_of(one) == bytes_of(other);
            (!same).then_some(Differs::Value(was))
        }
        _ => Some(Differs::Value(was)),
    }
}

fn members_differ(
    one: &mut [Member<'_>],
    other: &mut [Member<'_>],
    path: &mut String,
    level: usize,
) -> Option<Differs> {
    let (ones, others) = (by_key(one), by_key(other));
    let (mut at_one, mut at_other) = (0, 0);
    while at_one < ones.len() || at_other < others.len() {
        let length = path.len();
        let order = match (ones.get(at_one), others.get(at_other)) {
            (Some((key, _)), Some((other, _))) => key.cmp(other),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, _) => std::cmp::Ordering::Greater,
        };
        let (key, what) = match order {
            std::cmp::Ordering::Less => (&ones[at_one].0, Some(Differs::Gone)),
            std::cmp::Ordering::Greater => (&others[at_other].0, Some(Differs::Added)),
            std::cmp::Ordering::Equal => {
                let ((key, index), (_, other_index)) = (&ones[at_one], &others[at_other]);
                push_key(path, &String::from_utf8_lossy(key));
                let what = differs(&mut one[*index].value, &mut other[*other_index].value, path, level + 1);
                if what.is_some() {
                    return what;
                }
                path.truncate(length);
                (at_one, at_other) = (at_one + 1, at_other + 1);
                continue;
            }
        };
        push_key(path, &String::from_utf8_lossy(key));
        return what;
    }
    None
}

/// The members' keys, decoded and in order, with their indexes; those of one key as they stand.
fn by_key(members: &[Member<'_>]) -> Vec<(Vec<u8>, usize)> {
    let decoded = |key: &Cow<'_, str>| bytes_of(key).into_owned();
    let mut keys: Vec<_> = members.iter().enumerate().map(|(index, member)| (decoded(&member.key), index)).collect();
    keys.sort();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(one: &str, other: &str) -> Option<String> {
        first_difference(one, other).map(|difference| difference.to_string())
    }

    #[test]
    fn what_says_the_same_does_not_differ() {
        for (one, other) in [
            (r#"{"a":1,"b":[true,null]}"#, "{ \"b\" : [ true , null ],\n\t\"a\" : 1 }"),
            (r#"{"\u0061":"\u00e9"}"#, r#"{"a":"é"}"#),
            (r#"{"a":1,"b":0,"a":2}"#, r#"{"b":0,"a":1,"a":2}"#),
            (r#""\/\ud83d\ude00""#, r#""/😀""#),
            ("", ""),
        ] {
            assert_eq!(said(one, other), None, "{one} {other}");
        }
        let deep = |inner: &str| format!("{}{inner}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(said(&deep("1"), &deep(" 1")), None);
        assert!(said(&deep("1"), &deep("2")).is_some());
    }

    #[test]
    fn the_first_difference_is_named_without_its_values() {
        for (one, other, expected) in [
            ("5.0", "5", "the whole value is another number, or is written in another way"),
            (
                r#"{"a":{"b":[1,5.0]}}"#,
                r#"{"a":{"b":[1,5]}}"#,
                "/a/b/1 is another number, or is written in another way",
            ),
            (r#"{"a":"x"}"#, r#"{"a":"y"}"#, "/a is another string"),
            (r#"{"a":"1"}"#, r#"{"a":1}"#, "/a is a number, and was a string"),
            (r#"{"a":true}"#, r#"{"a":false}"#, "/a is another boolean"),
            (r#"{"last":"C"}"#, r#"{"first":"C"}"#, "/first is there, and was not"),
            (r#"{"a":1,"b":2}"#, r#"{"a":1}"#, "/b is gone"),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#, "/a is another number, or is written in another way"),
            ("[1,2]", "[1]", "/1 is gone"),
            ("[1]", "[1,2]", "/1 is there, and was not"),
            ("[1,2]", "[2,1]", "/0 is another number, or is written in another way"),
            ("", "{}", "the whole value is there, and was not"),
            ("{}", "", "the whole value is gone"),
            (r#"{"a/b~*":1}"#, "{}", "/a~1b~0* is gone"),
        ] {
            assert_eq!(said(one, other).as_deref(), Some(expected), "{one} {other}");
        }
    }
}
