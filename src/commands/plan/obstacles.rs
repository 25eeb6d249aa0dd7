//! What speaks against a migration, in the order in which one would meet it.

use eventlift_events::StoreError;

use crate::commands::error::{CommandError, ExitCode};
use crate::pipeline::{Policies, Rehearsal, Survey};

/// What speaks against it, the first first.
#[derive(Debug, Default)]
pub(super) struct Obstacles {
    found: Vec<(String, ExitCode)>,
}

impl Obstacles {
    pub(super) fn add(&mut self, text: impl Into<String>, code: ExitCode) {
        self.found.push((text.into(), code));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn add_any(&mut self, text: Option<String>, code: ExitCode) {
        self.found.extend(text.map(|text| (text, code)));
    }

    pub(super) fn refusal(&mut self, error: impl Into<CommandError>) {
        let error = error.into();
        self.add(error.to_string(), error.exit_code());
    }

    /// A store that can't be told about, with what to try.
    pub(super) fn store(&mut self, error: StoreError) {
        let error = CommandError::from(error);
        let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        self.add(format!("{error}{hint}"), error.exit_code());
    }

    /// What the proof before a run refuses.
    pub(super) fn proof(&mut self, survey: &Survey, source: &str, policies: Policies) {
        if let Err(error) = survey.prove(source, policies) {
            self.refusal(error);
        }
    }

    /// What would end a run under way. `stops`: whether an event that fails does.
    pub(super) fn under_way(&mut self, rehearsal: &mut Rehearsal, target: &str, stops: bool) {
        let failing: u64 = rehearsal.failures.by_rule.values().map(|(_, events)| events).sum();
        let failed = rehearsal.failures.first().filter(|_| stops && failing > 0);
        let fails_first = match (failed, &rehearsal.refused) {
            (Some(failed), Some(refused)) => failed <= refused.position,
            (failed, _) => failed.is_some(),
        };
        let fails = failed.map(|_| (format!("rules fail on {failing} events"), ExitCode::Rule));
        let refused = rehearsal.refused.take().map(|refused| {
            let error = CommandError::from(refused.error);
            let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
            let events = if refused.events == 1 { "event" } else { "events" };
            (format!("{target} can't hold {} {events}; the first: {error}{hint}", refused.events), error.exit_code())
        });
        match fails_first {
            true => self.found.extend(fails.into_iter().chain(refused)),
            false => self.found.extend(refused.into_iter().chain(fails)),
        }
        if let Some(stopped) = rehearsal.stopped.take() {
            self.refusal(stopped);
        }
    }

    /// The exit code of a plan with these, and what they say.
    pub(super) fn into_parts(self) -> (ExitCode, Vec<String>) {
        let code = self.found.first().map_or(ExitCode::Done, |(_, code)| *code);
        let mut texts: Vec<String> = Vec::new();
        for (text, _) in self.found {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        (code, texts)
    }
}
