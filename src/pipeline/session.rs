//! What a run's record says for people: what it was made of, and how each start of it went.

use eventlift_events::{AppliedRule, Counts, RunDetails, RunSession, SupersededRule, Timestamp};
use eventlift_transformers::Registry;

use super::error::PipelineError;
use super::migration::Outcome;
use crate::ledger::who;

/// How many characters of an error are.
const KEPT_TEXT: usize = 500;

/// Who starts a run, and with what: one start, however often it goes on by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionStart {
    /// What was started: `migrate` …
    pub command: String,
    /// Who: user and host.
    pub by: String,
    /// When.
    pub began_at: Timestamp,
}

impl SessionStart {
    /// A command that is started now, by whoever runs this process.
    pub fn now(command: impl Into<String>) -> Self {
        Self { command: command.into(), by: who(), began_at: Timestamp::now() }
    }
}

/// The session that is under way, within the details of a run.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// What was done in it by attempts before this one.
    before: Counts,
    /// The run's counts where this attempt began.
    base: Counts,
}

impl Session {
    /// Begins a session, or goes on with the last one where that is the same.
    pub(super) fn begin(details: &mut RunDetails, start: &SessionStart, base: Counts) -> Self {
        let same = |last: &&mut RunSession| {
            last.began_at == start.began_at && last.by == start.by && last.command == start.command
        };
        if let Some(last) = details.sessions.last_mut().filter(same) {
            last.ended_at = None;
            last.result.clear();
            return Self { before: last.counts, base };
        }
        details.add_session(RunSession {
            command: start.command.clone(),
            by: start.by.clone(),
            tool: env!("CARGO_PKG_VERSION").to_owned(),
            began_at: start.began_at,
            ended_at: None,
            counts: Counts::default(),
            millis: 0,
            result: String::new(),
        });
        Self { before: Counts::default(), base }
    }

    /// Says what was done up to now, where the run's counts are these.
    pub(super) fn update(&self, details: &mut RunDetails, counts: Counts) {
        if let Some(session) = details.sessions.last_mut() {
            session.counts = added(self.before, counts, self.base);
            session.millis = millis_since(session.began_at);
        }
    }

    /// The same, and that it has ended.
    pub(super) fn end(&self, details: &mut RunDetails, counts: Counts, result: String) {
        self.update(details, counts);
        if let Some(session) = details.sessions.last_mut() {
            session.ended_at = Some(Timestamp::now());
            session.result = result;
        }
    }
}

/// How an outcome is kept.
pub(super) fn result(outcome: &Result<Outcome, PipelineError>) -> String {
    match outcome {
        Ok(outcome) if outcome.done => "done".to_owned(),
        Ok(_) => "stopped".to_owned(),
        Err(error) => one_line(&error.to_string()),
    }
}

/// An error as it is kept: one line, and not a long one.
pub(crate) fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(KEPT_TEXT) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn millis_since(began: Timestamp) -> u64 {
    u64::try_from(Timestamp::now().micros().saturating_sub(began.micros()) / 1000).unwrap_or_default()
}

/// `before` and what came from `base` to `now`.
fn added(before: Counts, now: Counts, base: Counts) -> Counts {
    let sum = |before: u64, now: u64, base: u64| before.saturating_add(now.saturating_sub(base));
    Counts {
        read: sum(before.read, now.read, base.read),
        lifted: sum(before.lifted, now.lifted, base.lifted),
        dropped: sum(before.dropped, now.dropped, base.dropped),
        split: sum(before.split, now.split, base.split),
        written: sum(before.written, now.written, base.written),
    }
}

/// The rules of a registry as a ledger keeps them: name, fingerprint, and where they are written in files, the text.
pub fn applied_rules(registry: &Registry) -> Vec<AppliedRule> {
    let texts: std::collections::HashMap<&str, _> = registry.rule_texts().map(|text| (text.name, text)).collect();
    let rule = |(name, fingerprint): (String, String)| {
        let text = texts.get(&*name);
        AppliedRule {
            file: text.map(|text| text.file.to_owned()),
            text: text.map(|text| text.text.to_owned()),
            name,
            fingerprint,
            since: None,
        }
    };
    registry.parts().into_iter().map(rule).collect()
}

/// Puts rules in place of those that a run applied up to now. Those that changed, or are gone, are kept as superseded.
pub fn supersede(details: &mut RunDetails, mut rules: Vec<AppliedRule>, by: &str, now: Timestamp) {
    for rule in &mut rules {
        rule.since = Some(now);
    }
    for old in std::mem::take(&mut details.rules) {
        let same = rules.iter_mut().find(|rule| rule.name == old.name && rule.fingerprint == old.fingerprint);
        match same {
            Some(same) => same.since = old.since,
            None => details.superseded.push(SupersededRule { rule: old, until: now, by: by.to_owned() }),
        }
    }
    details.rules = rules;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(micros: i64) -> SessionStart {
        let began_at = Timestamp::from_micros(micros).unwrap();
        SessionStart { command: "migrate".to_owned(), by: "anna@db1".to_owned(), began_at }
    }

    fn rule(name: &str, fingerprint: &str) -> AppliedRule {
        AppliedRule { name: name.to_owned(), fingerprint: fingerprint.to_owned(), ..AppliedRule::default() }
    }

    fn read(read: u64) -> Counts {
        Counts { read, ..Counts::default() }
    }

    #[test]
    fn attempts_of_one_start_are_one_session() {
        let mut details = RunDetails::default();
        Session::begin(&mut details, &start(1), read(0)).end(&mut details, read(10), "lost".to_owned());
        Session::begin(&mut details, &start(1), read(10)).end(&mut details, read(15), "done".to_owned());
        Session::begin(&mut details, &start(2), read(15)).end(&mut details, read(15), "done".to_owned());
        let counts: Vec<u64> = details.sessions.iter().map(|session| session.counts.read).collect();
        assert_eq!(counts, [15, 0]);
        assert_eq!(details.sessions[0].result, "done");
    }

    #[test]
    fn the_latest_sessions_are_kept() {
        let mut details = RunDetails::default();
        for micros in 0..250 {
            Session::begin(&mut details, &start(micros), read(0));
        }
        assert_eq!(details.sessions.len(), RunDetails::KEPT_SESSIONS);
        assert_eq!(details.sessions.last().unwrap().began_at, Timestamp::from_micros(249).unwrap());
        assert!(details.sessions.iter().all(|session| session.ended_at.is_none()));
    }

    #[test]
    fn what_was_applied_is_kept_when_it_changes() {
        let mut details = RunDetails::default();
        let at = |micros| Timestamp::from_micros(micros).unwrap();
        supersede(&mut details, vec![rule("a", "1"), rule("b", "1")], "anna@db1", at(1));
        supersede(&mut details, vec![rule("a", "2"), rule("b", "1")], "ben@db1", at(2));
        let since: Vec<_> = details.rules.iter().map(|rule| rule.since).collect();
        assert_eq!(since, [Some(at(2)), Some(at(1))]);
        supersede(&mut details, vec![rule("a", "2")], "ben@db1", at(3));
        let old: Vec<(&str, &str)> =
            details.superseded.iter().map(|old| (&*old.rule.name, &*old.rule.fingerprint)).collect();
        assert_eq!(old, [("a", "1"), ("b", "1")]);
        assert_eq!(details.rules, [AppliedRule { since: Some(at(2)), ..rule("a", "2") }]);
    }

    #[test]
    fn an_error_is_one_line() {
        assert_eq!(one_line("failed:\n  x\n"), "failed: x");
        assert_eq!(one_line(&"ä".repeat(600)).chars().count(), KEPT_TEXT + 1);
    }
}
