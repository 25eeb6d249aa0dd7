//! An event's place in the global order of its store.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A place in a store's global order.
///
/// Opaque outside its own store: it can be compared with positions of the same store, printed, parsed back and
/// handed to a read, and nothing else. Most stores number their events; some order by two numbers (KurrentDB by
/// commit and prepare, Emmett by transaction and sequence). It prints as `7` or `7/3` and parses back to itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Position {
    major: u64,
    minor: Option<u64>,
}

impl Position {
    /// A position of a store that orders by one number.
    pub const fn new(number: u64) -> Self {
        Self { major: number, minor: None }
    }

    /// A position of a store that orders by two numbers, the first one weighing more.
    pub const fn pair(major: u64, minor: u64) -> Self {
        Self { major, minor: Some(minor) }
    }

    /// The number, or the first of the two.
    pub const fn major(self) -> u64 {
        self.major
    }

    /// The second number, of stores that have one.
    pub const fn minor(self) -> Option<u64> {
        self.minor
    }

    /// A position behind which this one is the first that a store can have; none where it is the first of all.
    pub const fn just_before(self) -> Option<Self> {
        match (self.major.checked_sub(1), self.minor) {
            (_, Some(minor)) if minor > 0 => Some(Self { major: self.major, minor: Some(minor - 1) }),
            (Some(major), Some(_)) => Some(Self::pair(major, u64::MAX)),
            (Some(major), None) => Some(Self::new(major)),
            (None, _) => None,
        }
    }

    /// Whether this is the number right after `earlier`, in a store that orders by one number.
    pub fn follows(self, earlier: Position) -> bool {
        self.minor.is_none() && earlier.minor.is_none() && earlier.major.checked_add(1) == Some(self.major)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.minor {
            None => write!(f, "{}", self.major),
            Some(minor) => write!(f, "{}/{minor}", self.major),
        }
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.to_string()
    }
}

impl TryFrom<String> for Position {
    type Error = InvalidPosition;
    fn try_from(text: String) -> Result<Self, InvalidPosition> {
        text.parse()
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;
    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let invalid = || InvalidPosition(text.to_owned());
        let number = |part: &str| -> Result<u64, InvalidPosition> {
            if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(invalid());
            }
            part.parse().map_err(|_| invalid())
        };
        match text.split_once('/') {
            None => Ok(Self::new(number(text)?)),
            Some((major, minor)) => Ok(Self::pair(number(major)?, number(minor)?)),
        }
    }
}

/// Text that is no position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a position (expected a number such as 7, or two such as 7/3)")]
pub struct InvalidPosition(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_print_and_parse_back() {
        for position in [Position::new(0), Position::new(u64::MAX), Position::pair(7, 3)] {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for text in ["", "-1", "+1", "1/", "/1", "1/2/3", "99999999999999999999999", "x"] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }

    #[test]
    fn positions_order_by_the_first_number_and_then_the_second() {
        assert!(Position::pair(1, 9) < Position::pair(2, 0));
        assert!(Position::pair(2, 0) < Position::pair(2, 1));
        assert_eq!(Position::new(8).just_before(), Some(Position::new(7)));
        assert_eq!(Position::pair(2, 1).just_before(), Some(Position::pair(2, 0)));
        assert_eq!(Position::pair(2, 0).just_before(), Some(Position::pair(1, u64::MAX)));
        assert_eq!((Position::new(0).just_before(), Position::pair(0, 0).just_before()), (None, None));
        assert!(Position::new(8).follows(Position::new(7)));
        assert!(!Position::new(9).follows(Position::new(7)));
    }
}
