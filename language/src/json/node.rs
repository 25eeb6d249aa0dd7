//! A value that is text until it is opened.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::json::pointer::{Key, Segment, push_key};
use crate::json::scan;
use crate::json::text::{Kind, bytes_of, kind_of};
use crate::reason::Reason;

/// A JSON value of a document that lives for `'a`.
#[derive(Debug, Clone)]
pub enum Node<'a> {
    /// Nothing. Only a whole document can be absent.
    Absent,
    /// Valid JSON text without white space around it.
    Text(Cow<'a, str>),
    /// An opened object, in the order of its keys.
    Object(Vec<Member<'a>>),
    /// An opened array.
    Array(Vec<Node<'a>>),
}

/// A member of an opened object.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// The key as JSON text, with quotes and escapes.
    pub key: Cow<'a, str>,
    /// Its value.
    pub value: Node<'a>,
}

impl<'a> Member<'a> {
    /// Whether its key says this.
    pub fn is(&self, key: &Key) -> bool {
        key_says(&self.key, key)
    }
}

/// Whether a key's JSON text says the same as `key`, however it is escaped.
fn key_says(json: &str, key: &Key) -> bool {
    // Only an escape can make two texts of one key, and none is shorter than `key.json`.
    json == key.json || json.len() >= key.json.len() && json.contains('\\') && *bytes_of(json) == *key.text.as_bytes()
}

/// Whether two keys' JSON texts say the same.
pub fn same_key(json: &str, other: &str) -> bool {
    json == other || (json.contains('\\') || other.contains('\\')) && bytes_of(json) == bytes_of(other)
}

impl<'a> Node<'a> {
    /// A value from its text, which has to be valid JSON without white space around it.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Node::Text(text.into())
    }

    /// Reads one strict JSON value and opens it, if it is an object or an array.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        let first = text.bytes().find(|b| !b.is_ascii_whitespace());
        let opened = match first {
            Some(b'{') => scan::members(text).map(Node::Object),
            Some(b'[') => scan::items(text).map(Node::Array),
            _ => None,
        };
        opened.map_or_else(|| Self::parse_by_serde(text), Ok)
    }

    /// The same, by serde_json alone.
    pub(super) fn parse_by_serde(text: &'a str) -> Result<Self, serde_json::Error> {
        let first = text.bytes().find(|b| !b.is_ascii_whitespace());
        match first {
            Some(b'{') => serde_json::from_str::<Members<'a>>(text).map(|members| Node::Object(members.0)),
            Some(b'[') => serde_json::from_str::<Items<'a>>(text).map(|items| Node::Array(items.0)),
            _ => serde_json::from_str::<&RawValue>(text).map(|raw| Node::text(raw.get())),
        }
    }

    /// What it is; `None` when it is absent.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Node::Absent => None,
            Node::Text(text) => Some(kind_of(text)),
            Node::Object(_) => Some(Kind::Object),
            Node::Array(_) => Some(Kind::Array),
        }
    }

    /// Whether it is `null`; an absent document is not.
    pub fn is_null(&self) -> bool {
        matches!(self, Node::Text(text) if text == "null")
    }

    /// Opens an object or array that is still text; leaves anything else as it is.
    pub fn open(&mut self) -> Result<(), Reason> {
        let Node::Text(text) = self else { return Ok(()) };
        if !matches!(kind_of(text), Kind::Object | Kind::Array) {
            return Ok(());
        }
        let opened = match text {
            Cow::Borrowed(text) => Node::parse(text),
            Cow::Owned(text) => Node::parse(text).map(Node::into_owned),
        };
        // The text is valid already, so this does not fail; if it did, the event would be refused, not harmed.
        *self = opened.map_err(|error| Reason::new(format_args!("the data is not valid JSON: {error}")))?;
        Ok(())
    }

    fn into_owned(self) -> Node<'static> {
        match self {
            Node::Absent => Node::Absent,
            Node::Text(text) => Node::Text(Cow::Owned(text.into_owned())),
            Node::Object(members) => Node::Object(
                members
                    .into_iter()
                    .map(|member| Member { key: Cow::Owned(member.key.into_owned()), value: member.value.into_owned() })
                    .collect(),
            ),
            Node::Array(items) => Node::Array(items.into_iter().map(Node::into_owned).collect()),
        }
    }

    /// The value as JSON text.
    pub fn json(&self) -> Cow<'_, str> {
        match self {
            Node::Text(text) => Cow::Borrowed(text),
            opened => {
                let mut out = String::with_capacity(opened.length());
                opened.write(&mut out);
                Cow::Owned(out)
            }
        }
    }

    /// How many bytes [`write`](Node::write) appends.
    pub fn length(&self) -> usize {
        match self {
            Node::Absent => 0,
            Node::Text(text) => text.len(),
            Node::Object(members) => {
                let content: usize = members.iter().map(|member| member.key.len() + 1 + member.value.length()).sum();
                content + members.len().saturating_sub(1) + 2
            }
            Node::Array(items) => {
                let content: usize = items.iter().map(Node::length).sum();
                content + items.len().saturating_sub(1) + 2
            }
        }
    }

    /// Appends the value as JSON text. Opened values are as deep as pointers are, so this does not overflow the stack.
    pub fn write(&self, out: &mut String) {
        match self {
            Node::Absent => {}
            Node::Text(text) => out.push_str(text),
            Node::Object(members) => {
                out.push('{');
                for (index, member) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    out.push_str(&member.key);
                    out.push(':');
                    member.value.write(out);
                }
                out.push('}');
            }
            Node::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write(out);
                }
                out.push(']');
            }
        }
    }

    /// The value a path leads to, opening what is on the way. `None` where a key, an item or what it would be in is
    /// missing or null; an error where the path goes through text or a number, or through a key that is there twice.
    pub fn get<'n>(&'n mut self, path: &[Segment], place: &Place<'_>) -> Result<Option<&'n mut Self>, Reason> {
        let Some((first, rest)) = path.split_first() else {
            return Ok(if matches!(self, Node::Absent) { None } else { Some(self) });
        };
        match self.child(first, place)? {
            Some(child) => child.get(rest, &place.at(first)),
            None => Ok(None),
        }
    }

    /// One step of [`get`](Node::get).
    fn child<'n>(&'n mut self, segment: &Segment, place: &Place<'_>) -> Result<Option<&'n mut Self>, Reason> {
        let Segment::Key(key) = segment else { return Err(wildcard_inside(place)) };
        self.open()?;
        match self {
            Node::Object(members) => {
                let index = only(members, key, place)?;
                Ok(index.map(|index| &mut members[index].value))
            }
            Node::Array(items) => {
                let index = array_index(key, place)?;
                Ok(index.and_then(|index| items.get_mut(index)))
            }
            Node::Absent => Ok(None),
            other if other.is_null() => Ok(None),
            other => Err(place.no_child(key, other)),
        }
    }

    /// Takes the value a path leads to out of its object or array. `None` where [`get`](Node::get) finds none. The
    /// path has at least one segment.
    pub fn take(&mut self, path: &[Segment], place: &Place<'_>) -> Result<Option<Self>, Reason> {
        Ok(self.take_at(path, place)?.map(|(_, value)| value))
    }

    /// The same, with the index it had among the members or items.
    pub fn take_at(&mut self, path: &[Segment], place: &Place<'_>) -> Result<Option<(usize, Self)>, Reason> {
        let Some((Segment::Key(key), parent)) = path.split_last() else { return Err(wildcard_inside(place)) };
        let Some(container) = self.get(parent, place)? else { return Ok(None) };
        container.open()?;
        match container {
            Node::Object(members) => {
                let index = only(members, key, &place.within(parent))?;
                Ok(index.map(|index| (index, members.remove(index).value)))
            }
            Node::Array(items) => {
                let index = array_index(key, &place.within(parent))?.filter(|index| *index < items.len());
                Ok(index.map(|index| (index, items.remove(index))))
            }
            other if other.is_null() => Ok(None),
            other => Err(place.within(parent).no_child(key, other)),
        }
    }

    /// Puts a value where a path leads: in the place of what is there, or behind the last key of its object, or
    /// behind the last item for a last segment `-`. Objects that are missing on the way are made, an array where `-`
    /// comes next. Unless `replace`, what is there already is an error.
    pub fn put(
        &mut self,
        path: &'a [Segment],
        value: Node<'a>,
        replace: bool,
        place: &Place<'_>,
    ) -> Result<(), Reason> {
        let Some((first, rest)) = path.split_first() else {
            if !replace && !matches!(self, Node::Absent) {
                return Err(place.taken());
            }
            *self = value;
            return Ok(());
        };
        let Segment::Key(key) = first else { return Err(wildcard_inside(place)) };
        self.open()?;
        if matches!(self, Node::Absent) {
            *self = if key.is_end() { Node::Array(Vec::new()) } else { Node::Object(Vec::new()) };
        }
        match self {
            Node::Object(members) => match only(members, key, place)? {
                Some(index) => members[index].value.put(rest, value, replace, &place.at(first)),
                None => {
                    let mut made = Node::Absent;
                    made.put(rest, value, replace, &place.at(first))?;
                    members.push(Member { key: Cow::Borrowed(&key.json), value: made });
                    Ok(())
                }
            },
            Node::Array(items) if key.is_end() => {
                let mut made = Node::Absent;
                made.put(rest, value, replace, &place.at(first))?;
                items.push(made);
                Ok(())
            }
            Node::Array(items) => {
                let found = array_index(key, place)?.and_then(|index| items.get_mut(index));
                match found {
                    Some(item) => item.put(rest, value, replace, &place.at(first)),
                    None => Err(Reason::new(format_args!("{} is not an item of its array", place.at(first)))
                        .hint("a last segment `-` appends to an array")),
                }
            }
            other => Err(place.no_child(key, other)),
        }
    }
}

/// The index of the member with this key; an error if there are two.
pub fn only(members: &[Member<'_>], key: &Key, place: &Place<'_>) -> Result<Option<usize>, Reason> {
    let mut found = None;
    for (index, member) in members.iter().enumerate() {
        if !member.is(key) {
            continue;
        }
        if found.is_some() {
            return Err(place.twice(key));
        }
        found = Some(index);
    }
    Ok(found)
}

/// A key as the index of an item. `None` for `-`, which is no item yet.
fn array_index(key: &Key, place: &Place<'_>) -> Result<Option<usize>, Reason> {
    if key.is_end() {
        return Ok(None);
    }
    match key.index {
        Some(index) => Ok(Some(index)),
        None => Err(Reason::new(format_args!("{place} is an array, so it has no field {:?}", key.text))
            .hint("`*` stands for every item, a number for one of them, counted from 0")),
    }
}

/// Operations expand wildcards before they take single steps, so this names a mistake in this crate.
fn wildcard_inside(place: &Place<'_>) -> Reason {
    Reason::new(format_args!("a `*` below {place} can't be used here"))
}

/// Where an operation is in a document, kept on the stack and spelt only when something is wrong.
#[derive(Clone, Copy)]
pub struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Path(&'p [Segment]),
    /// An item that a wildcard stands for.
    Index(usize),
    /// A member that a wildcard stands for, its key as JSON text.
    Member(&'p str),
}

impl<'p> Place<'p> {
    /// The whole document.
    pub const ROOT: Place<'static> = Place { parent: None, step: Step::Root };

    /// One step below this place.
    pub fn at(&'p self, segment: &'p Segment) -> Place<'p> {
        self.within(std::slice::from_ref(segment))
    }

    /// Several steps below this place.
    pub fn within(&'p self, path: &'p [Segment]) -> Place<'p> {
        Place { parent: Some(self), step: Step::Path(path) }
    }

    /// The item with this index, from 0.
    pub fn item(&'p self, index: usize) -> Place<'p> {
        Place { parent: Some(self), step: Step::Index(index) }
    }

    /// The member with this key, which is JSON text with quotes.
    pub fn member(&'p self, key: &'p str) -> Place<'p> {
        Place { parent: Some(self), step: Step::Member(key) }
    }

    fn push_to(&self, text: &mut String) {
        if let Some(parent) = self.parent {
            parent.push_to(text);
        }
        match self.step {
            Step::Root => {}
            Step::Path(path) => text.push_str(&super::path_text(path)),
            Step::Index(index) => text.push_str(&format!("/{index}")),
            Step::Member(key) => push_key(text, &String::from_utf8_lossy(&bytes_of(key))),
        }
    }

    /// The reason that nothing is here.
    pub fn missing(&self) -> Reason {
        Reason::new(format_args!("{self} is missing"))
            .hint("`optional = true` skips the operation where the field is missing")
    }

    /// The reason that something is here already.
    pub fn taken(&self) -> Reason {
        Reason::new(format_args!("{self} exists already")).hint("`replace = true` overwrites it")
    }

    /// The reason that what is here is not `expected`, the kind of value that the operation is about.
    pub fn not(&self, found: &Node<'_>, expected: &str) -> Reason {
        match found.kind() {
            Some(kind) => Reason::new(format_args!("{self} is {kind}, not {expected}")),
            None => self.missing(),
        }
    }

    /// The reason that a key occurs twice in the object that is here.
    pub fn twice(&self, key: &Key) -> Reason {
        let mut path = self.to_path();
        push_key(&mut path, &key.text);
        Reason::new(format_args!("{path} occurs twice in its object, so it is not certain which is meant"))
    }

    fn no_child(&self, key: &Key, found: &Node<'_>) -> Reason {
        self.not(found, &format!("an object with a field {:?}", key.text))
    }

    fn to_path(self) -> String {
        let mut text = String::new();
        self.push_to(&mut text);
        text
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.to_path();
        f.write_str(if path.is_empty() { "the whole value" } else { &path })
    }
}

/// An object's members, their values unopened.
struct Members<'a>(Vec<Member<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<Member<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                const USUAL: usize = 12;
                let mut members = Vec::with_capacity(USUAL);
                while let Some((key, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
                    members.push(Member { key: Cow::Borrowed(key.get()), value: Node::text(value.get()) });
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Collect).map(Members)
    }
}

/// An array's items, unopened.
struct Items<'a>(Vec<Node<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Vec<Node<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<&'de RawValue>()? {
                    items.push(Node::text(item.get()));
                }
                Ok(items)
            }
        }
        deserializer.deserialize_seq(Collect).map(Items)
    }
}
