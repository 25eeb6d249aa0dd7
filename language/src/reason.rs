//! Why something can't be done with an event.

use std::fmt;

use crate::shown::of_bounded_length;

/// Why a rule, a condition or a filter can't take an event: what it found, and perhaps what to try.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Reason {
    /// What was wrong, lower case, with the field it is about.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

impl Reason {
    /// A reason without a hint. Of a message with more than 2,000 characters the middle is left out: it quotes something
    /// that nobody reads. Values in it are [`Shown`](crate::Shown).
    pub fn new(message: impl fmt::Display) -> Self {
        Self { message: of_bounded_length(message.to_string()), hint: None }
    }

    /// The same, with something to try.
    pub fn hint(self, hint: impl fmt::Display) -> Self {
        Self { hint: Some(hint.to_string()), ..self }
    }
}

impl From<String> for Reason {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<&str> for Reason {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<serde_json::Error> for Reason {
    fn from(error: serde_json::Error) -> Self {
        Self::new(format_args!("the data is not what the rule expects: {error}"))
    }
}
