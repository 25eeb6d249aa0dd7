//! The user's own checks, and what is done about those that fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use eventlift_events::{Event, EventType};
use eventlift_language::{JqError, JqFilter, JqInput};
use serde::{Deserialize, Serialize};

use super::expectation::Expectation;

/// When checks are made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Before a new run writes anything.
    Before,
    /// Once everything is in.
    After,
    /// When writers are about to be switched; those behind a migration are made then as well.
    Cutover,
}

impl When {
    /// Its name as it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
            Self::Cutover => "cutover",
        }
    }

    /// Whether checks of `when` are made at this time.
    pub fn takes(self, when: Self) -> bool {
        self == when || (self == Self::Cutover && when == Self::After)
    }
}

/// What a check looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The store that events are read from.
    Source,
    /// The store that they are written to.
    Target,
    /// The read models.
    ReadModels,
}

/// What a check that does not pass means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It has failed.
    #[default]
    Fail,
    /// It is only said.
    Warn,
}

/// What is done where a check behind a migration has failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is said, and nothing else.
    Stop,
    /// What the run wrote is taken out again.
    RollBack,
    /// The events stay, and there is no cut-over until the checks pass.
    #[default]
    Hold,
}

/// A check of the user's own.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its name, unique among all checks.
    pub name: String,
    /// When it is made.
    pub when: When,
    /// What it looks at.
    pub subject: Subject,
    /// What it means where it does not pass.
    pub severity: Severity,
    /// What is tested.
    pub test: Test,
}

/// What a check tests.
#[derive(Clone, Debug)]
pub enum Test {
    /// A query, and what it is to yield.
    Sql {
        /// The query: one, which reads.
        sql: String,
        /// What it is to yield.
        expect: Expectation,
    },
    /// A filter in jq, which is to yield `true` for every event.
    Jq(JqCheck),
}

/// A filter over events, and the events that it is about.
#[derive(Clone, Debug)]
pub struct JqCheck {
    filter: Arc<JqFilter>,
    types: Option<BTreeSet<EventType>>,
}

impl JqCheck {
    /// Compiles a filter over events of some types, or of all. Its input is the event, as rules in jq see it. Fails where
    /// it is no jq, or uses what a rule must not.
    pub fn new(source: &str, types: Option<BTreeSet<EventType>>) -> Result<Self, JqError> {
        // By itself first: what is wrong with it is at its own lines then.
        JqFilter::compile(source)?;
        let filter = JqFilter::compile(&format!(".event | (\n{source}\n)"))?;
        Ok(Self { filter: Arc::new(filter), types })
    }

    /// The types that it is about; none for all.
    pub fn types(&self) -> Option<&BTreeSet<EventType>> {
        self.types.as_ref()
    }

    /// Fails with why an event does not pass. One of another type passes.
    pub fn test(&self, event: &Event) -> Result<(), String> {
        if self.types.as_ref().is_some_and(|types| !types.contains(&event.event_type)) {
            return Ok(());
        }
        match self.filter.evaluate(&[("event", JqInput::Event(event))], 1) {
            Ok(outputs) => match &outputs[..] {
                [output] if output == "true" => Ok(()),
                [output] => Err(format!("the filter yielded {}, and not true", shortened(output))),
                _ => Err("the filter yielded nothing, and not true".to_owned()),
            },
            Err(reason) => Err(reason.to_string()),
        }
    }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Everything that is configured about checks.
#[derive(Clone, Debug)]
pub struct CheckSettings {
    /// What is done where one behind a migration has failed.
    pub on_failure: OnFailure,
    /// How long a query may take.
    pub statement_timeout: Duration,
    /// The types that the first event of a stream may have, by category. A stream that begins otherwise is an orphan.
    pub first_types: BTreeMap<String, BTreeSet<EventType>>,
    /// The user's own checks, in the order of `eventlift.toml`.
    pub checks: Vec<Check>,
}

impl Default for CheckSettings {
    fn default() -> Self {
        Self {
            on_failure: OnFailure::default(),
            statement_timeout: Duration::from_secs(30),
            first_types: BTreeMap::new(),
            checks: Vec::new(),
        }
    }
}

impl CheckSettings {
    /// The user's own checks that are made at a time.
    pub fn at(&self, when: When) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| when.takes(check.when))
    }
}
