//! How test cases of definitions went.

use std::fmt;

use crate::problem::Place;

/// How a test case went. Prints as one line, and below it what differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// The test case's name.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// What was expected and what came, over several lines; none if it passed.
    pub failure: Option<String>,
}

impl TestResult {
    /// Whether it passed.
    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }
}

impl fmt::Display for TestResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            None => write!(f, "{}: {}: passed", self.place, self.name),
            Some(failure) => write!(f, "{}: {}: failed\n{failure}", self.place, self.name),
        }
    }
}

/// How `what` differs from what is expected of it, byte by byte, as three indented lines for [`TestResult::failure`].
/// `None` where it does not.
pub fn difference(what: &str, expected: &str, actual: &[u8]) -> Option<String> {
    if expected.as_bytes() == actual {
        return None;
    }
    let actual = String::from_utf8_lossy(actual);
    Some(format!("    {what}\n      expected {expected}\n      actual   {actual}"))
}
