//! The jq filters of definitions. In builds without feature `jq` there are none, and definitions that hold one don't
//! compile.

use eventlift_events::Event;

#[cfg(not(feature = "jq"))]
pub use self::absent::{JqError, JqFilter};
#[cfg(feature = "jq")]
pub use crate::jq::{JqError, JqFilter};
use crate::reader::{Reader, Table};

/// One value of the object that [`JqFilter::evaluate`] shows to a filter.
#[derive(Debug, Clone, Copy)]
pub enum JqInput<'a> {
    /// JSON text: exactly one value, read strictly.
    Json(&'a str),
    /// An event, as the object that [`JqFilter::apply_event`] shows.
    Event(&'a Event),
}

impl<'i> Reader<'i> {
    /// The filter in a key's text; one that does not compile is noted at its place inside the text.
    pub fn jq(&mut self, table: &mut Table<'i>, key: &str) -> Option<JqFilter> {
        let (source, span): (String, _) = self.get_spanned(table, key)?;
        match JqFilter::compile(&source) {
            Ok(filter) => Some(filter),
            Err(error) => {
                let at = jq_offset(self.source(&span), &error);
                let span = span.start + at..span.end;
                self.note(&span, format!("`{key}`: {}", error.message), error.hint);
                None
            }
        }
    }
}

/// Where in the TOML literal an error of the filter is: exact for text of several lines, whose characters stand for
/// themselves; otherwise the beginning.
fn jq_offset(literal: &str, error: &JqError) -> usize {
    let Some(inner) = literal.strip_prefix("'''") else { return 0 };
    let inner = inner.strip_prefix('\n').or_else(|| inner.strip_prefix("\r\n")).unwrap_or(inner);
    let skipped = literal.len() - inner.len();
    let lines: usize = inner.split_inclusive('\n').take(error.line.saturating_sub(1)).map(str::len).sum();
    let line = inner.get(lines..).unwrap_or_default();
    let column: usize = line.chars().take(error.column.saturating_sub(1)).map(char::len_utf8).sum();
    skipped + lines + column
}

#[cfg(not(feature = "jq"))]
mod absent {
    use eventlift_events::{Event, Payload};

    use super::JqInput;
    use crate::reason::Reason;

    /// A filter that can't be made: this build has no feature `jq`.
    #[derive(Debug)]
    pub enum JqFilter {}

    /// Why there is no filter.
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

    impl JqFilter {
        /// Fails in builds without feature `jq`.
        pub fn compile(_: &str) -> Result<Self, JqError> {
            let message = "this build has no jq".to_owned();
            Err(JqError { line: 1, column: 1, message, hint: Some("build with feature `jq`".to_owned()) })
        }

        /// Makes other data from data.
        pub fn apply_data(&self, _: &Payload) -> Result<Payload, Reason> {
            match *self {}
        }

        /// Makes any number of events from an event.
        pub fn apply_event(&self, _: &Event) -> Result<Vec<Event>, Reason> {
            match *self {}
        }

        /// Makes JSON texts from an object of inputs.
        pub fn evaluate(&self, _: &[(&str, JqInput<'_>)], _: usize) -> Result<Vec<String>, Reason> {
            match *self {}
        }
    }
}
