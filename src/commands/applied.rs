//! Whether the rules of a project are still those that its target was filled with.

use std::time::Duration;

use eventlift_events::{AppliedRule, RunRecord, RunState};
use eventlift_transformers::Registry;
use serde::Serialize;

use super::run_view::RuleChangeView;
use crate::config::Project;
use crate::pipeline::{RuleChange, applied_rules, rule_changes};

/// How long a look at the ledger may take, since the definitions can be checked without.
const PATIENCE: Duration = Duration::from_secs(3);

/// How the rules compare with those that were applied.
#[derive(Debug, Default, Serialize)]
pub(super) struct Applied {
    /// The last run into the target; none where there is none, or where it can't be told.
    pub(super) run: Option<String>,
    /// What was added, changed and removed since.
    pub(super) changed_rules: Vec<AppliedChange>,
    /// Why it can't be told.
    pub(super) note: Option<String>,
}

/// A rule that is not what was applied.
#[derive(Debug, Serialize)]
pub(super) struct AppliedChange {
    #[serde(flatten)]
    pub(super) change: RuleChangeView,
    /// Since when the one before was applied; none where it was not.
    pub(super) applied_since: Option<String>,
}

impl Applied {
    /// Looks at the ledger of a project's target, which nothing is changed in. A target that can't be looked at is a note.
    pub(super) async fn look(project: &Project, registry: &Registry) -> Self {
        match tokio::time::timeout(PATIENCE, last_run(project)).await {
            Ok(Ok(None)) => Self::default(),
            Ok(Ok(Some(run))) => Self::of(&run, registry),
            Ok(Err(error)) => Self { note: Some(format!("what was applied is not known: {error}")), ..Self::default() },
            Err(_) => {
                let note = format!("what was applied is not known: the target did not answer within {PATIENCE:?}");
                Self { note: Some(note), ..Self::default() }
            }
        }
    }

    fn of(run: &RunRecord, registry: &Registry) -> Self {
        let changes = changes_since(run, registry);
        let changed_rules = changes.iter().map(|change| AppliedChange {
            change: RuleChangeView::of(change),
            applied_since: change.before.as_ref().and_then(|rule| rule.since).map(|since| since.to_string()),
        });
        Self { run: Some(run.id.to_string()), changed_rules: changed_rules.collect(), note: None }
    }
}

async fn last_run(project: &Project) -> Result<Option<RunRecord>, eventlift_events::StoreError> {
    let Some(target) = &project.target else { return Ok(None) };
    let Some(ledger) = target.ledger().await? else { return Ok(None) };
    Ok(crate::pipeline::last_that_fills(ledger.runs().await?).filter(|run| run.state != RunState::RolledBack))
}

/// The rules that are not what a run applied.
pub(super) fn changes_since(run: &RunRecord, registry: &Registry) -> Vec<RuleChange> {
    let present = applied_rules(registry);
    if !run.details.rules.is_empty() || run.details.sessions.iter().any(|session| session.command == "migrate") {
        return rule_changes(&run.details.rules, &present);
    }
    // An older eventlift wrote it: of what is called the same, the fingerprint tells.
    let known = |name: &str| run.parts.iter().find(|(part, _)| part == name);
    let recorded: Vec<AppliedRule> = present
        .iter()
        .filter_map(|rule| known(&rule.name))
        .map(|(name, fingerprint)| AppliedRule {
            name: name.clone(),
            fingerprint: fingerprint.clone(),
            ..AppliedRule::default()
        })
        .collect();
    rule_changes(&recorded, &present)
}
