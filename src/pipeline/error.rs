//! Why a run ends without being done.

use eventlift_events::{EventId, EventType, Position, Revision, SchemaVersion, StoreError, StreamName};
use eventlift_transformers::{TransformError, Uncovered};

use super::audit::Finding;
use super::quarantine::{QuarantineLimits, Quarantined};

/// Why a run ended before it was done. What was committed stays; started again, the run goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The source could not be read.
    #[error(transparent)]
    Source(StoreError),
    /// The target could not be written.
    #[error(transparent)]
    Target(StoreError),
    /// A rule failed on an event.
    #[error(transparent)]
    Transform(Box<TransformError>),
    /// An event that no rule covers, under a policy that doesn't let it pass.
    #[error(
        "failed to lift event {id} (stream {stream}, revision {revision}, position {position}): {event_type} version {version} {}",
        why(*.uncovered)
    )]
    Uncovered {
        /// The event.
        id: Box<EventId>,
        /// Its stream.
        stream: Box<StreamName>,
        /// Its revision.
        revision: Revision,
        /// Its position.
        position: Position,
        /// Its type.
        event_type: Box<EventType>,
        /// Its version.
        version: SchemaVersion,
        /// Why nothing covers it.
        uncovered: Uncovered,
    },
    /// The run must not be started.
    #[error("refused to run: {0}")]
    Refused(#[from] Refusal),
    /// The source contradicts itself.
    #[error("failed to prove {source_name}: {finding}")]
    Audit {
        /// Which store.
        source_name: String,
        /// What was found first.
        finding: Box<Finding>,
    },
    /// An event carries attributes that the target has no place for.
    #[error("failed to carry event {id}: the target has no place for its attributes {attributes}")]
    Attributes {
        /// The event.
        id: Box<EventId>,
        /// What would be lost.
        attributes: String,
    },
    /// More events failed than may be in quarantine.
    #[error(
        "failed to go on: {} events of {} streams are in quarantine, and {} events of {} streams may be; the first: {}",
        .held.events, .held.streams, .limits.events, .limits.streams, .reasons.join("; ")
    )]
    QuarantineFull {
        /// What is in quarantine.
        held: Quarantined,
        /// What may be.
        limits: QuarantineLimits,
        /// The first events that failed, and why.
        reasons: Vec<String>,
    },
}

pub(super) fn why(uncovered: Uncovered) -> String {
    match uncovered {
        Uncovered::UnknownType => "is named by no definition".to_owned(),
        Uncovered::UnknownVersion { current } => format!("has no chain to the current version {current}"),
    }
}

/// Why a run must not be started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Source and target are one store.
    #[error("{store} is both source and target")]
    SameStore {
        /// The store.
        store: String,
    },
    /// The target holds events that the run did not write.
    #[error("{target} holds events that {}", .run.as_deref().map_or_else(|| "no run of eventlift wrote".to_owned(), |run| format!("run {run} did not write")))]
    ForeignEvents {
        /// The target.
        target: String,
        /// The run that the target belongs to, if any.
        run: Option<String>,
    },
    /// The target belongs to a run from elsewhere.
    #[error("{target} was filled from {recorded}, not from {given}")]
    OtherSource {
        /// The target.
        target: String,
        /// The source that the ledger names.
        recorded: String,
        /// The source that is configured now.
        given: String,
    },
    /// The source has no event at the position where the run ended, so it is not what the run has read.
    #[error("{source_name} holds no event at position {end}, where run {run} ended")]
    OtherContent {
        /// The source.
        source_name: String,
        /// The run.
        run: String,
        /// The position of the run's checkpoint.
        end: Position,
    },
    /// The source holds another event than the run has read, so it is another one, or it was changed.
    #[error("{source_name} holds another event at position {at} than the one that run {run} has read there")]
    OtherEvent {
        /// The source.
        source_name: String,
        /// The run.
        run: String,
        /// Where.
        at: Position,
    },
    /// What decides the result has changed since the run was started.
    #[error("what decides the result has changed since run {run} was started: {}", .changes.join("; "))]
    Changed {
        /// The run.
        run: String,
        /// What was added, removed or changed.
        changes: Vec<String>,
    },
    /// The changed rules number events in another way than those that are in the target.
    #[error(
        "the rules have come to split, drop or move events, or ceased to, so what run {run} wrote to {target} has other revisions than they would give"
    )]
    Renumbering {
        /// The target.
        target: String,
        /// The run.
        run: String,
    },
    /// The run was begun in ranges of positions, and what has to be done now needs the order of the events.
    #[error("run {run} has loaded parts of {target} out of order, and {problem}")]
    OutOfOrder {
        /// The target.
        target: String,
        /// The run.
        run: String,
        /// What needs the order.
        problem: &'static str,
    },
    /// The run is about another part of the source; going on would leave out what its own scope has passed over.
    #[error("run {run} is about {recorded}, not {given}")]
    OtherScope {
        /// The run.
        run: String,
        /// The scope that the run was started with.
        recorded: String,
        /// The scope that is asked for now.
        given: String,
    },
    /// Rules that have changed would make something else of what is in the target.
    #[error("the changed rules would make something else of what run {run} has written: {problem}")]
    BreaksLifted {
        /// The run.
        run: String,
        /// The first event that would differ, and how.
        problem: String,
    },
    /// Rules that move events between streams leave nothing that could wait by itself.
    #[error(
        "the rules move events between streams, so a stream of the source that waits would let others that meet it in the target overtake it"
    )]
    QuarantineOfMoves,
    /// There is nothing to do it to.
    #[error("{0}")]
    NothingInQuarantine(String),
    /// The source holds events that the transformers don't cover.
    #[error("the source holds events that no chain covers: {}", .uncovered.join(", "))]
    Uncovered {
        /// Types, versions and numbers of events.
        uncovered: Vec<String>,
    },
    /// Events can't be rewritten where they are, or what was rewritten can't be treated like that.
    #[error("{problem}")]
    InPlace {
        /// Why not.
        problem: String,
        /// What to try.
        hint: &'static str,
    },
    /// The target can't hold what the source has.
    #[error("{0}")]
    Unfit(String),
}

impl PipelineError {
    /// Whether it is a store that failed, and not an event.
    pub(super) fn is_of_store(&self) -> bool {
        matches!(self, Self::Source(_) | Self::Target(_))
    }

    /// What to try.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Source(error) | Self::Target(error) => return error.hint.clone(),
            Self::Transform(error) => {
                let how = error.reason.hint.as_deref().unwrap_or("correct the rule or guard it with `when`");
                return Some(format!(
                    "{how}; what came before the event is committed, so then add --accept-changes to go on, or start \
                     over with a new target"
                ));
            }
            Self::Uncovered { uncovered: Uncovered::UnknownType, .. } => {
                "add a definition for the type, or let it pass with `unknown_types = \"pass\"` under [policy]"
            }
            Self::Uncovered { .. } => {
                "add the missing upcasters, or let it pass with `unknown_versions = \"pass\"` under [policy]"
            }
            Self::Audit { finding, .. } => return Some(finding.hint().to_owned()),
            Self::Attributes { .. } => "use a target that keeps attributes, such as sqlite or file",
            Self::QuarantineFull { .. } => {
                "correct the rule and lift what waits with `eventlift quarantine retry`, or raise `streams` or `events` \
                 under [quarantine] in eventlift.toml"
            }
            Self::Refused(refusal) => match refusal {
                Refusal::SameStore { .. } => "name another target: the source is only ever read",
                Refusal::ForeignEvents { .. } => "name a target that is new, or the one that the run filled",
                Refusal::OtherSource { .. } => {
                    "name a new target; if it is the same log in another place, add --accept-changes"
                }
                Refusal::OtherContent { .. } => {
                    "is it the same store? if its old events were only taken away, add --accept-changes; otherwise \
                     migrate into a new target"
                }
                Refusal::OtherEvent { .. } => {
                    "is it the same store? if its events were changed on purpose, as by `eventlift rewrite`, add \
                     --accept-changes; otherwise migrate into a new target"
                }
                Refusal::Changed { .. } => {
                    "take the change back, or migrate into a new target; to go on all the same, add --accept-changes"
                }
                Refusal::Renumbering { .. } => "migrate into a new target",
                Refusal::OutOfOrder { .. } => "let the run end first as it was begun, or migrate into a new target",
                Refusal::OtherScope { .. } => {
                    "ask for the same --category, --stream or --type as the run, or migrate into a new target"
                }
                Refusal::BreaksLifted { .. } => {
                    "let the rule make of events before this one what it made of them, for example by guarding the \
                     change with `when`, or migrate into a new target"
                }
                Refusal::QuarantineOfMoves => {
                    "set failed_events = \"stop\" under [policy] in eventlift.toml, or take the rules apart that move events"
                }
                Refusal::NothingInQuarantine(_) => {
                    "once a run has filled the target, `eventlift quarantine list` shows what is in quarantine"
                }
                Refusal::Uncovered { .. } => {
                    "add definitions for them, or let them pass with `unknown_types` or `unknown_versions` under [policy]"
                }
                Refusal::InPlace { hint, .. } => hint,
                Refusal::Unfit(_) => return None,
            },
        };
        Some(hint.to_owned())
    }
}
