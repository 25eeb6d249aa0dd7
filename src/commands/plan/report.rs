//! What a plan says, as machines read it.

use serde::Serialize;

use crate::commands::error::ExitCode;
use crate::commands::event_view::EventView;
use crate::commands::took::RuleLine;
use crate::commands::verify::ByValueView;
use crate::pipeline::quarantine::Quarantined;

/// What a migration would do.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct PlanReport {
    pub(super) source: String,
    pub(super) target: Option<String>,
    /// Whether every event of the source was looked at.
    pub(super) complete: bool,
    /// The run that a migration would go on with; none where it would begin a new one. Everything else is about what is
    /// left to it then.
    pub(super) run: Option<RunLine>,
    pub(super) events: u64,
    pub(super) types: Vec<TypeLine>,
    /// How many events would fail and stop their streams; null where they would stop the run.
    pub(super) quarantined: Option<u64>,
    /// What speaks against a migration; it would start if this is empty.
    pub(super) obstacles: Vec<String>,
    /// That of the first obstacle, as a migration would meet them.
    #[serde(skip)]
    pub(super) exit_code: ExitCode,
    pub(super) numbering: &'static str,
    pub(super) lifted: u64,
    pub(super) dropped: u64,
    pub(super) split: u64,
    pub(super) written: u64,
    pub(super) written_bytes: u64,
    /// What would be written, by type and version.
    pub(super) target_types: Vec<TargetTypeLine>,
    /// Whether that can't be seen from what becomes of each type.
    #[serde(skip)]
    pub(super) shows_target_types: bool,
    /// How many events fail.
    #[serde(skip)]
    pub(super) failing: u64,
    /// What would be in quarantine at its end.
    pub(super) held: Quarantined,
    /// The first failure first.
    pub(super) failures: Vec<Failure>,
    pub(super) estimate: Option<Estimate>,
    /// How fast events go in, where the target can take several parts of the source at the same time.
    pub(super) loading: Option<&'static str>,
    /// How events are written, where the target takes them otherwise than one after the other.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) writing: Vec<String>,
    /// How what the source holds is taken, where it could be taken otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) taken_as: Vec<String>,
    /// What the source holds and no read yields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) left_out: Vec<LeftOutLine>,
    /// How the target keeps data and metadata, or would once it is made, where its configuration decides that.
    pub(super) target_keeps: Option<TargetKeeps>,
    /// What `verify` will compare by value, since a store keeps no more of it.
    pub(super) compared_by_value: Vec<ByValueView>,
    /// Every rule, with how many events it took.
    pub(super) rules: Vec<RuleLine>,
    /// What a plan like this one can't know, and what took nothing.
    pub(super) notes: Vec<String>,
    /// What of it reaches the read models and snapshots.
    pub(super) read_models: Vec<ReadModelLine>,
    pub(super) samples: Vec<SampleView>,
    /// Whether a reverse stream would be possible, where the project asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reverse: Option<ReverseView>,
    pub(super) project: String,
    /// The arguments that say which part of the source.
    #[serde(skip)]
    pub(super) scope: String,
}

/// A run that would go on.
#[derive(Debug, Serialize)]
pub(super) struct RunLine {
    pub(super) id: String,
    /// What it has done.
    pub(super) read: u64,
    pub(super) written: u64,
}

/// One type and version of what would be written.
#[derive(Debug, Serialize)]
pub(super) struct TargetTypeLine {
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) version: u32,
    pub(super) events: u64,
}

/// One type and version of the source.
#[derive(Debug, Serialize)]
pub(super) struct TypeLine {
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) version: u32,
    pub(super) events: u64,
    pub(super) bytes: Option<u64>,
    /// `current`, `lifted` or `uncovered`.
    pub(super) coverage: &'static str,
    /// What becomes of it, for people.
    pub(super) becomes: String,
    /// The upcasters on the way, then merges.
    pub(super) chain: Vec<String>,
    /// The general rules that may take it.
    pub(super) rules: Vec<String>,
}

/// A rule that fails on events of the source.
#[derive(Debug, Serialize)]
pub(super) struct Failure {
    pub(super) rule: String,
    pub(super) events: u64,
    pub(super) first: String,
    pub(super) hint: Option<String>,
}

/// Something of the source that is not carried over.
#[derive(Debug, Serialize)]
pub(super) struct LeftOutLine {
    pub(super) what: String,
    /// How many; null where nobody has counted.
    pub(super) events: Option<u64>,
}

/// A projection that a migration touches, or not.
#[derive(Debug, Serialize)]
pub(super) struct ReadModelLine {
    pub(super) projection: String,
    /// How many of the source's events may be folded into it.
    pub(super) events: u64,
    /// The types and versions that reach it lifted, and what they are then.
    pub(super) lifted: Vec<[String; 2]>,
}

/// The way back from the target to the source.
#[derive(Debug, Serialize)]
pub(super) struct ReverseView {
    pub(super) possible: bool,
    /// What stands in its way.
    pub(super) missing: Vec<NoWayBackLine>,
}

/// A step of a rule without a way back.
#[derive(Debug, Serialize)]
pub(super) struct NoWayBackLine {
    pub(super) rule: String,
    pub(super) place: String,
    pub(super) step: String,
    pub(super) why: String,
    pub(super) hint: Option<String>,
}

/// How a target keeps payloads.
#[derive(Debug, Serialize)]
pub(super) struct TargetKeeps {
    pub(super) data: KeptView,
    pub(super) metadata: KeptView,
}

/// How one of them is kept.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct KeptView {
    pub(super) column: &'static str,
    pub(super) exact: bool,
    pub(super) effect: &'static str,
}

/// About what a migration takes.
#[derive(Debug, Serialize)]
pub(super) struct Estimate {
    pub(super) seconds: f64,
    pub(super) bytes: u64,
}

/// An event before and after.
#[derive(Debug, Serialize)]
pub(super) struct SampleView {
    pub(super) before: EventView,
    pub(super) after: Vec<EventView>,
}
