//! Slowing down by the answer of a query, such as a replica's lag.

/// The lowest share of the speed that is left before it is a pause.
const LOWEST_SHARE: f64 = 0.02;
/// What a pause is followed by, and what is left where nobody can tell.
const CAREFUL_SHARE: f64 = 0.05;
/// So many failures in a row are no accident.
const FAILURES: u32 = 3;

/// The share of the speed that the answers leave.
#[derive(Clone, Debug)]
pub(super) struct LoadKeeper {
    at_most: f64,
    share: f64,
    failures: u32,
    last: Option<f64>,
    problem: Option<String>,
}

impl LoadKeeper {
    pub(super) fn new(at_most: f64) -> Self {
        Self { at_most, share: 1.0, failures: 0, last: None, problem: None }
    }

    /// From 0, a pause, to 1, the whole speed.
    pub(super) fn share(&self) -> f64 {
        self.share
    }

    /// Learns an answer, or why there was none.
    pub(super) fn answered(&mut self, answer: Result<f64, String>) {
        match answer {
            Ok(value) if value.is_nan() => self.failed("it yielded NaN".to_owned()),
            Ok(value) => self.measured(value),
            Err(problem) => self.failed(problem),
        }
    }

    fn measured(&mut self, value: f64) {
        (self.failures, self.problem, self.last) = (0, None, Some(value));
        if value <= self.at_most {
            self.share = if self.share == 0.0 { CAREFUL_SHARE } else { (self.share * 1.5).min(1.0) };
            return;
        }
        let excess = if self.at_most > 0.0 { self.at_most / value } else { 0.0 };
        self.share *= excess.clamp(0.5, 0.9);
        if self.share < LOWEST_SHARE {
            self.share = 0.0;
        }
    }

    fn failed(&mut self, problem: String) {
        self.failures = self.failures.saturating_add(1);
        self.problem = Some(problem);
        if self.failures >= FAILURES {
            // A pause stays one: nothing says that it may end.
            self.share = self.share.min(CAREFUL_SHARE);
        }
    }

    /// Why less than the whole speed is left; none where it is not.
    pub(super) fn why(&self) -> Option<String> {
        if self.share >= 1.0 {
            return None;
        }
        if let Some(problem) = self.problem.as_ref().filter(|_| self.failures >= FAILURES) {
            return Some(format!("the query of [throttle] failed {} times: {problem}", self.failures));
        }
        let last = self.last.map_or_else(String::new, |value| format!(" {value}"));
        Some(format!("the query of [throttle] yielded{last}, and at most {} is wanted", self.at_most))
    }
}
