//! What is wrong with a set of rules, and where.

use std::fmt;
use std::panic::Location;

/// A place in a file: a definition's, or the Rust source that registered a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file's path as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1, where it is known.
    pub column: Option<u32>,
}

impl Place {
    /// Where the caller of the calling function is, if both are `#[track_caller]`.
    #[track_caller]
    pub fn of_caller() -> Self {
        let location = Location::caller();
        Self { file: location.file().to_owned(), line: location.line(), column: None }
    }

    /// A place to be filled in by whoever knows it.
    pub fn unknown() -> Self {
        Self { file: String::new(), line: 0, column: None }
    }

    /// Whether it is still to be filled in.
    pub fn is_unknown(&self) -> bool {
        self.line == 0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        match self.column {
            Some(column) => write!(f, ":{column}"),
            None => Ok(()),
        }
    }
}

/// One thing that is wrong with a rule or a definition. Prints as `<file>:<line>[:<column>]: <message>`, the hint on
/// a line of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, with the rule's name.
    pub message: String,
    /// What to try.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a hint.
    pub fn new(place: &Place, message: impl Into<String>) -> Self {
        Self { place: place.clone(), message: message.into(), hint: None }
    }

    /// The same, with something to try.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same, with something to try if there is anything.
    pub fn maybe_hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n    hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Writes problems one below the other, after a line that counts them and says `what` has them.
pub fn list(f: &mut fmt::Formatter<'_>, what: &str, problems: &[Problem]) -> fmt::Result {
    let plural = if problems.len() == 1 { "" } else { "s" };
    write!(f, "{} problem{plural} in {what}", problems.len())?;
    problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
}

/// The candidate closest to a misspelt word, as a hint, if any is close.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const CLOSE: f64 = 0.65;
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .filter(|candidate| *candidate != word)
        .map(|candidate| (similarity(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= CLOSE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

/// From 0 to 1. A word of three letters or more that another one begins with is close to it, too.
fn similarity(word: &str, candidate: &str) -> f64 {
    let is_beginning = word.len() >= 3 && candidate.starts_with(word);
    let edits = strsim::normalized_damerau_levenshtein(word, candidate);
    if is_beginning { edits.max(0.7) } else { edits }
}
