//! What a query is expected to yield.

use std::fmt;

use crate::stores::Answer;

/// What a query is expected to yield.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Expectation {
    /// One row whose first column is a number in these bounds, both included.
    Number {
        /// The lower bound.
        at_least: Option<f64>,
        /// The upper bound.
        at_most: Option<f64>,
    },
    /// No row.
    Empty,
}

impl Expectation {
    /// Exactly this number.
    pub const fn equals(number: f64) -> Self {
        Self::Number { at_least: Some(number), at_most: Some(number) }
    }

    /// Fails with what was found in place of what was expected.
    pub fn compare(&self, answer: &Answer) -> Result<(), String> {
        match *self {
            Self::Empty => match &answer.first {
                None => Ok(()),
                Some(row) => {
                    let row: Vec<String> = row.iter().map(|(name, cell)| format!("{name} = {cell}")).collect();
                    let more = if answer.has_more { ", and more rows" } else { "" };
                    Err(format!("the query yielded {}{more}, where no row is expected", row.join(", ")))
                }
            },
            Self::Number { at_least, at_most } => {
                let found = answer.number().map_err(|problem| format!("the query is no answer: {problem}"))?;
                let is_low = at_least.is_some_and(|bound| found < bound);
                let is_high = at_most.is_some_and(|bound| found > bound);
                // NaN is neither.
                match is_low || is_high || found.is_nan() {
                    true => Err(format!("the query yielded {found}, where {self} is expected")),
                    false => Ok(()),
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
