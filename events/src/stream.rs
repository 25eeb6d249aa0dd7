//! Where an event belongs: its stream and its place in it.

use std::fmt;
use std::str::FromStr;

use bytestring::ByteString;

/// The name of a stream: `category-id`, or a category alone.
///
/// The category ends at the first `-`, as in message-db, Eventuous and KurrentDB's `$ce-` projection. Stores that
/// separate the two in another way translate at their own edge. The name is never empty.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(ByteString);

impl StreamName {
    /// Takes a whole name. Fails when it is empty.
    pub fn new(name: impl Into<ByteString>) -> Result<Self, InvalidName> {
        let name = name.into();
        if name.is_empty() { Err(InvalidName::Empty("stream name")) } else { Ok(Self(name)) }
    }

    /// Joins a category and an id. Fails when the category is empty or holds a `-`, since the name would then be
    /// read back as another category.
    pub fn from_parts(category: &str, id: &str) -> Result<Self, InvalidName> {
        Self::check_category(category)?;
        Ok(Self(format!("{category}-{id}").into()))
    }

    /// Fails where no stream could be in a category of this name: it is empty, or holds a `-`.
    pub fn check_category(category: &str) -> Result<(), InvalidName> {
        if category.is_empty() {
            return Err(InvalidName::Empty("category"));
        }
        if category.contains('-') {
            return Err(InvalidName::Separator(category.to_owned()));
        }
        Ok(())
    }

    /// The text before the first `-`, or the whole name.
    pub fn category(&self) -> &str {
        self.0.split_once('-').map_or(&*self.0, |(category, _)| category)
    }

    /// The text after the first `-`, if there is one.
    pub fn id(&self) -> Option<&str> {
        self.0.split_once('-').map(|(_, id)| id)
    }

    /// A copy that shares no bytes.
    pub(crate) fn detached(&self) -> Self {
        Self(ByteString::from(self.as_str().to_owned()))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole name as shared text.
    pub fn text(&self) -> &ByteString {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl FromStr for StreamName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Self::new(text)
    }
}

/// An event's place in its stream. The first event has revision 0, whatever number its store counts from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A name that no store could hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The name has no characters; the text says which name.
    #[error("the {0} is empty")]
    Empty(&'static str),
    /// A category with the separator inside.
    #[error("the category {0:?} holds a `-`, which ends a category")]
    Separator(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_ends_at_the_first_separator() {
        let stream = StreamName::new("user-4-2").unwrap();
        assert_eq!((stream.category(), stream.id()), ("user", Some("4-2")));
        let alone = StreamName::new("audit").unwrap();
        assert_eq!((alone.category(), alone.id()), ("audit", None));
    }

    #[test]
    fn names_that_would_read_back_differently_are_refused() {
        assert!(StreamName::new("").is_err());
        assert!(StreamName::from_parts("", "1").is_err());
        assert!(StreamName::from_parts("a-b", "1").is_err());
        assert_eq!(StreamName::from_parts("user", "1-2").unwrap().as_str(), "user-1-2");
    }
}
