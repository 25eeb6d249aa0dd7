//! `[checks]` and `[[check]]`: what is checked before and behind a migration.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use eventlift_events::{EventType, StreamName};
use eventlift_language::Literal;
use serde::Deserialize;

use super::WrongValue;
use crate::checks::{
    BUILT_IN, Bound, Check, CheckSettings, Expectation, JqCheck, OnFailure, Severity, Subject, Test, When,
};

/// `[checks]` as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    on_failure: OnFailure,
    statement_timeout: Option<String>,
    first_types: BTreeMap<String, Vec<String>>,
}

/// `[[check]]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenCheck {
    name: String,
    when: When,
    on: Subject,
    sql: Option<String>,
    expect: Option<WrittenExpectation>,
    jq: Option<String>,
    types: Option<Vec<String>>,
    #[serde(default)]
    severity: Severity,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a number, or a table such as { at_least = 1 } or { empty = true }")]
enum WrittenExpectation {
    Number(WrittenBound),
    Table(WrittenBounds),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBounds {
    equals: Option<WrittenBound>,
    at_least: Option<WrittenBound>,
    at_most: Option<WrittenBound>,
    empty: Option<bool>,
}

/// A number with its digits; none where it is `nan` or `inf`, which nothing is compared with.
#[derive(Deserialize)]
#[serde(try_from = "Literal")]
struct WrittenBound(Option<Bound>);

impl TryFrom<Literal> for WrittenBound {
    type Error = String;

    fn try_from(literal: Literal) -> Result<Self, String> {
        match &literal {
            Literal::Number(digits) => Ok(Self(Bound::parse(digits))),
            Literal::NotFinite(_) => Ok(Self(None)),
            _ => Err(format!("expected a number, not a {}", literal.type_name())),
        }
    }
}

impl Written {
    pub(super) fn settings(self, checks: Vec<WrittenCheck>) -> Result<CheckSettings, WrongValue> {
        let mut names = BTreeSet::new();
        let mut read = Vec::new();
        for check in checks {
            let name = check.name.clone();
            if BUILT_IN.contains(&&*name) || !names.insert(name.clone()) {
                return Err(wrong(&name, "there is another check of that name", Some("names are unique")));
            }
            read.push(check.check()?);
        }
        let first_types = self.first_types.into_iter().map(|(category, types)| {
            let possible = StreamName::check_category(&category).map_err(|invalid| invalid.to_string());
            let types = possible.and_then(|()| event_types(&types)).map_err(|problem| WrongValue {
                keys: vec!["checks".to_owned(), "first_types".to_owned()],
                message: format!("[checks] first_types: {category}: {problem}"),
                hint: Some("such as first_types = { user = [\"UserCreated\"] }".to_owned()),
            })?;
            Ok((category, types))
        });
        let first_types = first_types.collect::<Result<_, WrongValue>>()?;
        let defaults = CheckSettings::default();
        let statement_timeout = match self.statement_timeout {
            None => defaults.statement_timeout,
            Some(text) => duration(&text)?,
        };
        Ok(CheckSettings { on_failure: self.on_failure, statement_timeout, first_types, checks: read })
    }
}

impl WrittenCheck {
    fn check(self) -> Result<Check, WrongValue> {
        let name = self.name.trim().to_owned();
        if name.is_empty() || name.len() > 200 {
            return Err(wrong(&self.name, "`name` is empty, or longer than 200 bytes", None));
        }
        let test = match (self.sql, self.jq) {
            (Some(sql), None) => {
                if self.types.is_some() {
                    return Err(wrong(&name, "`types` is for `jq`", Some("let the query's WHERE choose")));
                }
                let Some(expect) = self.expect else {
                    let hint = "such as expect = 0, expect = { at_least = 1 } or expect = { empty = true }";
                    return Err(wrong(&name, "`sql` needs an `expect`", Some(hint)));
                };
                if sql.trim().is_empty() {
                    return Err(wrong(&name, "`sql` is empty", None));
                }
                Test::Sql { sql, expect: expect.expectation(&name)? }
            }
            (None, Some(source)) => {
                if self.expect.is_some() {
                    return Err(wrong(&name, "`expect` is for `sql`", Some("`jq` is to yield true for every event")));
                }
                if self.on == Subject::ReadModels {
                    let hint = "read models are asked in `sql`";
                    return Err(wrong(&name, "`jq` looks at events, and read models have none", Some(hint)));
                }
                let types = self.types.as_deref().map(event_types).transpose();
                let types = types.map_err(|problem| wrong(&name, &format!("`types`: {problem}"), None))?;
                let jq = JqCheck::new(&source, types).map_err(|error| {
                    let problem = format!("`jq`, line {}, column {}: {}", error.line, error.column, error.message);
                    wrong(&name, &problem, error.hint.as_deref())
                })?;
                Test::Jq(jq)
            }
            _ => return Err(wrong(&name, "it needs either `sql` or `jq`", None)),
        };
        Ok(Check { name, when: self.when, subject: self.on, severity: self.severity, test })
    }
}

impl WrittenExpectation {
    fn expectation(self, name: &str) -> Result<Expectation, WrongValue> {
        let bounds = match self {
            Self::Number(WrittenBound(Some(number))) => return Ok(Expectation::equals(number)),
            Self::Number(WrittenBound(None)) => {
                return Err(wrong(name, "`expect`: no number equals nan or inf", None));
            }
            Self::Table(bounds) => bounds,
        };
        let hint = Some("one of equals = 0, empty = true, or at_least and at_most");
        let written = [&bounds.equals, &bounds.at_least, &bounds.at_most];
        if written.into_iter().any(|bound| matches!(bound, Some(WrittenBound(None)))) {
            return Err(wrong(name, "`expect`: no number compares with nan or inf", hint));
        }
        let bound = |written: Option<WrittenBound>| written.and_then(|WrittenBound(bound)| bound);
        match (bound(bounds.equals), bound(bounds.at_least), bound(bounds.at_most), bounds.empty) {
            (Some(number), None, None, None) => Ok(Expectation::equals(number)),
            (None, None, None, Some(true)) => Ok(Expectation::Empty),
            (_, Some(least), Some(most), _) if least > most => {
                Err(wrong(name, &format!("`expect`: no number is at least {least} and at most {most}"), hint))
            }
            (None, at_least, at_most, None) if at_least.is_some() || at_most.is_some() => {
                Ok(Expectation::Number { at_least, at_most })
            }
            _ => Err(wrong(name, "`expect` says nothing, or too much", hint)),
        }
    }
}

fn event_types(names: &[String]) -> Result<BTreeSet<EventType>, String> {
    if names.is_empty() {
        return Err("it names no type".to_owned());
    }
    names.iter().map(|name| EventType::new(name.clone()).map_err(|error| error.to_string())).collect()
}

fn duration(text: &str) -> Result<Duration, WrongValue> {
    let duration = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| WrongValue {
        keys: vec!["checks".to_owned(), "statement_timeout".to_owned()],
        message: format!("[checks] statement_timeout: {text:?} is no length of time"),
        hint: Some("a length of time is text such as \"30s\" or \"5min\"".to_owned()),
    })
}

fn wrong(name: &str, problem: &str, hint: Option<&str>) -> WrongValue {
    WrongValue {
        keys: vec!["check".to_owned()],
        message: format!("[[check]] {name:?}: {problem}"),
        hint: hint.map(str::to_owned),
    }
}
