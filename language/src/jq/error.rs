//! Why a filter does not compile.

use std::fmt;

/// A filter that does not compile.
///
/// Prints as `2:5: message (hint)`; line and column count from 1 inside the filter's source, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JqError {
    /// Line inside the source, from 1.
    pub line: usize,
    /// Column inside that line, from 1, in characters.
    pub column: usize,
    /// What is wrong, lower case.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

impl JqError {
    /// An error at a byte offset of the source.
    pub(super) fn at(source: &str, offset: usize, message: impl fmt::Display) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.to_string(),
            hint: None,
        }
    }

    /// The same, with something to try.
    pub(super) fn hint(self, hint: impl fmt::Display) -> Self {
        Self { hint: Some(hint.to_string()), ..self }
    }
}

impl fmt::Display for JqError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for JqError {}
