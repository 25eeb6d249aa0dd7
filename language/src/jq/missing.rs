//! The filters of jq that eventlift has not, beside those that a rule must not use (`refused.rs`).

/// A filter of jq that is not there, and what to do instead.
pub(super) const MISSING: &[(&str, &str)] = &[
    ("builtins", "docs/definitions.md lists what is not there"),
    ("get_jq_origin", "a rule is complete in its own file"),
    ("get_prog_origin", "a rule is complete in its own file"),
    ("jn", "its time grows with its argument; use j0 or j1"),
    ("yn", "its time grows with its argument; use y0 or y1"),
];

/// What to do where jq has a filter of this name, and eventlift has not.
pub(super) fn missing(name: &str) -> Option<&'static str> {
    MISSING.iter().find(|(missing, _)| *missing == name).map(|(_, instead)| *instead)
}
