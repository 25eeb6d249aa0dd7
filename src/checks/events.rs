//! The checks that look at events, fed by one scan.

use std::sync::Arc;

use eventlift_events::{Event, Revision, Timestamp};
use eventlift_transformers::Registry;

use super::built_in::{FIRST_EVENTS, SCHEMAS, TIMES};
use super::check::{Check, CheckSettings, Severity, Subject, Test, When};
use super::report::CheckResult;
use crate::pipeline::Look;

/// How far ahead of this clock an event may be before it is of the future.
pub(super) const AHEAD: i64 = 60_000_000;

/// Looks at every event of a store, for all checks that want to see them.
pub struct EventLooks {
    settings: CheckSettings,
    registry: Option<Arc<Registry>>,
    checks: Vec<Check>,
    subject: Subject,
    now: Timestamp,
    seen: u64,
    schemas: Found,
    times: Found,
    first: Found,
    /// For each of the checks.
    own: Vec<Found>,
}

/// What was found, the first one in words.
#[derive(Clone, Default)]
struct Found {
    count: u64,
    first: Option<String>,
}

impl Found {
    fn add(&mut self, event: &Event, problem: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.is_none() {
            let Event { id, stream, revision, .. } = event;
            self.first = Some(format!("event {id} (stream {stream}, revision {revision}): {}", problem()));
        }
    }

    fn result(self, name: &str, severity: Severity, hint: Option<&str>) -> CheckResult {
        let Some(first) = self.first else { return CheckResult::pass(name) };
        let unit = if self.count == 1 { "event" } else { "events" };
        let message = format!("{} {unit}; the first is {first}", self.count);
        let result = match severity {
            Severity::Fail => CheckResult::fail(name, message),
            Severity::Warn => CheckResult::warn(name, message),
        };
        let result = result.of(self.count);
        hint.into_iter().fold(result, CheckResult::hint)
    }
}

impl EventLooks {
    /// What looks at the events of a store at a time; those of the source are also compared with the JSON Schemas of the
    /// registry, since what rules yield is while it is lifted.
    pub fn new(
        settings: &CheckSettings,
        when: When,
        subject: Subject,
        registry: Arc<Registry>,
        skip: &[String],
    ) -> Self {
        let is_own = |check: &&Check| check.subject == subject && matches!(check.test, Test::Jq(_));
        let checks: Vec<Check> =
            settings.at(when).filter(is_own).filter(|check| !skip.contains(&check.name)).cloned().collect();
        Self {
            settings: settings.clone(),
            registry: (subject == Subject::Source).then_some(registry),
            own: vec![Found::default(); checks.len()],
            checks,
            subject,
            now: Timestamp::now(),
            seen: 0,
            schemas: Found::default(),
            times: Found::default(),
            first: Found::default(),
        }
    }

    /// Whether something can only be told by looking at every event, so that a scan is worth it.
    pub fn need_a_scan(&self) -> bool {
        !self.checks.is_empty() || (self.subject == Subject::Source && !self.settings.first_types.is_empty())
    }

    /// Whether every event would be looked at for something.
    pub(super) fn needs_all_types(&self) -> bool {
        self.checks.iter().any(|check| matches!(&check.test, Test::Jq(jq) if jq.types().is_none()))
    }

    pub(super) fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// What came of it, once every event was looked at.
    pub(super) fn results(self) -> Vec<CheckResult> {
        let mut results = Vec::new();
        if self.subject == Subject::Source {
            let hint = "the rules get these events as they are: let a rule mend them, or repair the source";
            if self.registry.as_ref().is_some_and(|registry| registry.schema_count() > 0) {
                results.push(self.schemas.result(SCHEMAS, Severity::Fail, Some(hint)));
            }
            if !self.settings.first_types.is_empty() {
                let hint = "find the missing events, or add the type to `first_types` under [checks]";
                results.push(self.first.result(FIRST_EVENTS, Severity::Fail, Some(hint)));
            }
            let hint = "whoever wrote them had a clock that is ahead";
            results.push(self.times.result(TIMES, Severity::Warn, Some(hint)));
        }
        for (check, found) in self.checks.iter().zip(self.own) {
            results.push(found.result(&check.name, check.severity, None));
        }
        results
    }
}

impl Look for EventLooks {
    fn look(&mut self, event: &Event) {
        self.seen += 1;
        if let Some(reason) = self.registry.as_ref().and_then(|registry| registry.broken_schema(event)) {
            self.schemas.add(event, || reason.to_string());
        }
        if event.recorded_at.micros() > self.now.micros().saturating_add(AHEAD) {
            self.times.add(event, || format!("it was recorded at {}", event.recorded_at));
        }
        if event.revision == Revision(0)
            && let Some(types) = self.settings.first_types.get(event.stream.category())
            && !types.contains(&event.event_type)
        {
            self.first.add(event, || format!("the stream begins with {}", event.event_type));
        }
        for (check, found) in self.checks.iter().zip(&mut self.own) {
            if let Test::Jq(jq) = &check.test
                && let Err(problem) = jq.test(event)
            {
                found.add(event, || problem);
            }
        }
    }
}
