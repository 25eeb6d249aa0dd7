//! What a query is expected to yield.

use std::cmp::Ordering;
use std::fmt;

use eventlift_language::json::Decimal;

use crate::stores::Answer;

/// What a query is expected to yield.
#[derive(Clone, PartialEq, Debug)]
pub enum Expectation {
    /// One row whose first column is a number in these bounds, both included. Compared to the last digit.
    Number {
        /// The lower bound.
        at_least: Option<Bound>,
        /// The upper bound.
        at_most: Option<Bound>,
    },
    /// No row.
    Empty,
}

/// A number to compare with.
#[derive(Clone, Debug)]
pub struct Bound {
    digits: String,
    value: Decimal,
}

impl Bound {
    /// Takes a number as JSON writes it; none for other text.
    pub fn parse(digits: &str) -> Option<Self> {
        Some(Self { digits: digits.to_owned(), value: Decimal::parse(digits)? })
    }
}

impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

/// By value: `1.0` is `1`.
impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits)
    }
}

impl Expectation {
    /// Exactly this number.
    pub fn equals(number: Bound) -> Self {
        Self::Number { at_least: Some(number.clone()), at_most: Some(number) }
    }

    /// Fails with what was found in place of what was expected.
    pub fn compare(&self, answer: &Answer) -> Result<(), String> {
        match self {
            Self::Empty => match &answer.first {
                None => Ok(()),
                Some(row) => {
                    let row: Vec<String> = row.iter().map(|(name, cell)| format!("{name} = {cell}")).collect();
                    let more = if answer.has_more { ", and more rows" } else { "" };
                    Err(format!("the query yielded {}{more}, where no row is expected", row.join(", ")))
                }
            },
            Self::Number { at_least, at_most } => {
                let found = answer.digits().map_err(|problem| format!("the query is no answer: {problem}"))?;
                let order = |bound: &Bound| Decimal::parse(found).map(|found| found.cmp(&bound.value));
                let is_high_enough = at_least.as_ref().is_none_or(|bound| order(bound).is_some_and(Ordering::is_ge));
                let is_low_enough = at_most.as_ref().is_none_or(|bound| order(bound).is_some_and(Ordering::is_le));
                // What is infinite is neither.
                match is_high_enough && is_low_enough {
                    true => Ok(()),
                    false => Err(format!("the query yielded {found}, where {self} is expected")),
                }
            }
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no row"),
            Self::Number { at_least: Some(low), at_most: Some(high) } if low == high => low.fmt(f),
            Self::Number { at_least: Some(low), at_most: Some(high) } => write!(f, "{low} to {high}"),
            Self::Number { at_least: Some(low), at_most: None } => write!(f, "at least {low}"),
            Self::Number { at_least: None, at_most: Some(high) } => write!(f, "at most {high}"),
            Self::Number { at_least: None, at_most: None } => f.write_str("a number"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::Cell;

    #[test]
    fn numbers_are_compared_to_the_last_digit() {
        let answer = |digits: &str| {
            let first = vec![("n".to_owned(), Cell::Number(digits.to_owned()))];
            Answer { first: Some(first), has_more: false }
        };
        let expected = |digits: &str| Expectation::equals(Bound::parse(digits).unwrap());
        for (bound, found, holds) in [
            ("9007199254740993", "9007199254740993", true),
            ("9007199254740993", "9007199254740992", false),
            ("10.1", "10.10", true),
            ("12345678901234567.89", "12345678901234567.88", false),
            ("0", "-0", true),
            ("0", "inf", false),
        ] {
            assert_eq!(expected(bound).compare(&answer(found)).is_ok(), holds, "{bound} {found}");
        }
        let at_most = Expectation::Number { at_least: None, at_most: Bound::parse("9007199254740992") };
        let said = at_most.compare(&answer("9007199254740993")).unwrap_err();
        assert_eq!(said, "the query yielded 9007199254740993, where at most 9007199254740992 is expected");
    }
}
