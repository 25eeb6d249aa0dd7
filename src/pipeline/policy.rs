//! What a run does with events that no rule says anything about.

use serde::Deserialize;

use crate::stores::Ids;

/// What is allowed in the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policies {
    /// Events of a type that no definition names. They pass by default: nothing was said about them.
    pub unknown_types: PassUnlessTold,
    /// Events of a named type in a version from which no chain leads to the current one. They fail by default.
    pub unknown_versions: FailUnlessTold,
    /// Whether the revisions of a stream may have gaps.
    pub revisions: Revisions,
    /// What an event stops that a rule fails on, or that may not pass.
    pub failed_events: FailedEvents,
    /// Where the ids of the source are unique. It decides how the source is read, and is part of that.
    pub ids: Ids,
}

/// What an event stops that can't be lifted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailedEvents {
    /// The run.
    #[default]
    Stop,
    /// Its stream: it and what comes after it there wait in [quarantine](super::quarantine), and the rest goes on.
    Quarantine,
}

/// What to do with events that the transformers don't cover.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// Carry them as they are.
    Pass,
    /// Refuse to run, or stop the run that meets one.
    Fail,
}

impl Unknown {
    /// The name in configuration files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
        }
    }
}

/// [`Unknown::Pass`] where nothing is configured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(transparent)]
pub struct PassUnlessTold(pub Unknown);

impl Default for PassUnlessTold {
    fn default() -> Self {
        Self(Unknown::Pass)
    }
}

/// [`Unknown::Fail`] where nothing is configured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(transparent)]
pub struct FailUnlessTold(pub Unknown);

impl Default for FailUnlessTold {
    fn default() -> Self {
        Self(Unknown::Fail)
    }
}

/// What the revisions of a stream look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Revisions {
    /// They count up from 0 without a gap; a gap means that an event is missing.
    #[default]
    Dense,
    /// They ascend, with gaps: streams were truncated or compacted.
    Sparse,
}

impl Policies {
    /// The policies as text, for a run's fingerprint. What becomes of events that fail is no part of it: it decides
    /// when an event is written, and never what is. What is held is in the ledger, and is held under either.
    pub fn fingerprint(&self) -> String {
        let revisions = match self.revisions {
            Revisions::Dense => "dense",
            Revisions::Sparse => "sparse",
        };
        format!(
            "unknown_types={} unknown_versions={} revisions={revisions}",
            self.unknown_types.0.as_str(),
            self.unknown_versions.0.as_str()
        )
    }
}
