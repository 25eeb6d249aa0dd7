//! What came of checks.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::check::When;

/// How a check went.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It was not made, since somebody said so.
    Skipped,
    /// Nothing is wrong.
    Pass,
    /// Something may be wrong.
    Warn,
    /// Something is.
    Fail,
}

/// What came of one check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheckResult {
    /// Its name.
    pub name: String,
    /// How it went.
    pub verdict: Verdict,
    /// What was found: of a check that passed what it looked at, where that says something.
    pub message: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// How many events, rows or privileges it is about, where that can be counted.
    pub count: Option<u64>,
}

/// What came of all checks of one time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheckReport {
    /// When they were made, of a run's life.
    pub when: When,
    /// When they were made, by the clock.
    pub at: String,
    /// One for each, those of eventlift first.
    pub results: Vec<CheckResult>,
}

impl CheckResult {
    /// Nothing is wrong.
    pub fn pass(name: impl Into<String>) -> Self {
        Self { name: name.into(), verdict: Verdict::Pass, message: None, hint: None, count: None }
    }

    /// Something is wrong.
    pub fn fail(name: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { verdict: Verdict::Fail, message: Some(message.to_string()), ..Self::pass(name) }
    }

    /// Something may be wrong.
    pub fn warn(name: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { verdict: Verdict::Warn, message: Some(message.to_string()), ..Self::pass(name) }
    }

    /// It was not made.
    pub fn skipped(name: impl Into<String>) -> Self {
        let message = Some("skipped with --skip-check".to_owned());
        Self { verdict: Verdict::Skipped, message, ..Self::pass(name) }
    }

    /// The same, with something to do.
    pub fn hint(self, hint: impl fmt::Display) -> Self {
        Self { hint: Some(hint.to_string()), ..self }
    }

    /// The same, of so many.
    pub fn of(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }

    /// The same, with what it looked at.
    pub fn saying(self, message: impl fmt::Display) -> Self {
        Self { message: Some(message.to_string()), ..self }
    }
}

impl CheckReport {
    /// The names of those that failed, in order.
    pub fn failed(&self) -> Vec<&str> {
        let failed = self.results.iter().filter(|result| result.verdict == Verdict::Fail);
        failed.map(|result| &*result.name).collect()
    }

    /// Whether none has failed.
    pub fn passed(&self) -> bool {
        self.failed().is_empty()
    }
}

impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Skipped => "skipped",
            Verdict::Pass => "ok",
            Verdict::Warn => "warning",
            Verdict::Fail => "FAILED",
        };
        write!(f, "  {verdict:<8}{}", self.name)?;
        self.message.iter().try_for_each(|message| write!(f, ": {message}"))?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n          hint: {hint}"))
    }
}

impl fmt::Display for CheckReport {
    /// A line for each check, and one more for each hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, result) in self.results.iter().enumerate() {
            let end = if index + 1 < self.results.len() { "\n" } else { "" };
            write!(f, "{result}{end}")?;
        }
        Ok(())
    }
}
