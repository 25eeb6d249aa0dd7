//! What has changed between two lists of applied rules.

use eventlift_events::AppliedRule;

/// A rule that is not the same on both sides; at least one side has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleChange {
    /// As it was; none where it was added.
    pub before: Option<AppliedRule>,
    /// As it is; none where it was removed.
    pub after: Option<AppliedRule>,
}

impl RuleChange {
    /// The rule's name.
    pub fn name(&self) -> &str {
        self.after.as_ref().or(self.before.as_ref()).map_or("", |rule| &rule.name)
    }

    /// `added`, `removed` or `changed`.
    pub fn kind(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, _) => "added",
            (_, None) => "removed",
            _ => "changed",
        }
    }
}

/// The rules that were added, changed, and removed, in this order, each in the order of its list. A rule is changed when
/// its fingerprint is: white space and test cases make no difference.
pub fn rule_changes(before: &[AppliedRule], after: &[AppliedRule]) -> Vec<RuleChange> {
    let find = |rules: &[AppliedRule], name: &str| rules.iter().find(|rule| rule.name == name).cloned();
    let changed = after.iter().filter_map(|rule| {
        let known = find(before, &rule.name);
        let is_same = known.as_ref().is_some_and(|known| known.fingerprint == rule.fingerprint);
        (!is_same).then(|| RuleChange { before: known, after: Some(rule.clone()) })
    });
    let removed = before.iter().filter(|rule| find(after, &rule.name).is_none());
    let removed = removed.map(|rule| RuleChange { before: Some(rule.clone()), after: None });
    let mut changes: Vec<RuleChange> = changed.chain(removed).collect();
    changes.sort_by_key(|change| change.kind());
    changes
}
