//! Which rules took how many events, and those that took none: a redaction that takes nothing is refused.

use std::collections::BTreeMap;

use eventlift_events::Scope;
use eventlift_transformers::{Registry, TakesNothing};
use serde::Serialize;

/// A rule, and how many events it took.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RuleLine {
    pub(super) rule: String,
    place: String,
    pub(super) events: u64,
    #[serde(skip)]
    takes_nothing: TakesNothing,
}

/// Every rule of a project, with how many events of the run it took.
pub(super) fn rule_lines(registry: &Registry, took: &BTreeMap<String, u64>) -> Vec<RuleLine> {
    let line = |taker: eventlift_transformers::Taker<'_>| RuleLine {
        rule: taker.name.to_owned(),
        place: taker.place.to_string(),
        events: took.get(taker.name).copied().unwrap_or(0),
        takes_nothing: taker.takes_nothing,
    };
    registry.takers().map(line).collect()
}

/// What is said of rules that took no event; those that are meant to take none are left out.
pub(super) fn silent(rules: &[RuleLine]) -> Vec<String> {
    let silent = rules.iter().filter(|line| line.events == 0 && line.takes_nothing != TakesNothing::Meant);
    silent.map(|RuleLine { rule, place, .. }| format!("{rule} ({place}) took no event")).collect()
}

/// Why a run is refused that has read all of a source that holds something: rules that redact, and took nothing.
pub(super) fn refused(rules: &[RuleLine], scope: &Scope) -> Option<String> {
    // What they are to redact may be in another part.
    if *scope != Scope::All {
        return None;
    }
    let refused = rules.iter().filter(|line| line.events == 0 && line.takes_nothing == TakesNothing::Refused);
    let refused: Vec<String> = refused.map(|line| format!("{} ({})", line.rule, line.place)).collect();
    let redact = if refused.len() == 1 { "redacts" } else { "redact" };
    (!refused.is_empty()).then(|| {
        format!(
            "{} {redact}, and took no event: correct what is matched, or say `may_match_nothing = true`",
            refused.join(", ")
        )
    })
}
