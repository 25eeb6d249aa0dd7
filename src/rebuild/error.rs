//! What can go wrong with a rebuild.

use std::path::PathBuf;

use eventlift_events::{Event, Position, StoreError};
use eventlift_projections::FoldError;
use eventlift_transformers::Reason;

use crate::pipeline::PipelineError;

/// A rebuild could not go on. The live tables are what they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The events could not be read.
    #[error(transparent)]
    Source(StoreError),
    /// A rule failed on an event, or nothing covers it.
    #[error(transparent)]
    Lift(PipelineError),
    /// A fold can't take an event.
    #[error(transparent)]
    Fold(#[from] Box<FoldError>),
    /// The read models could not be read or written.
    #[error(transparent)]
    ReadModels(StoreError),
    /// Rows could not be put aside, or read back.
    #[error("failed to put rows aside in {}: {source}", .folder.display())]
    PutAside {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A row is not what the projection's tables hold.
    #[error("failed to read a row of {table}: {reason}")]
    Unreadable {
        /// The table.
        table: String,
        /// Why.
        reason: Reason,
    },
    /// The rows of a table can't be summed up.
    #[error("failed to sum up {table}: {reason}")]
    SumUp {
        /// The table that is made.
        table: String,
        /// Why.
        reason: Reason,
    },
    /// It would mix things up, or make something that is wrong.
    #[error("refused: {0}")]
    Refused(#[from] RebuildRefusal),
}

/// Why a rebuild is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildRefusal {
    /// The store holds events that a fold neither understands nor leaves out.
    #[error("{projection} does not understand what the store holds: {}", .events.join(", "))]
    NotUnderstood {
        /// The projection.
        projection: String,
        /// Types, versions and numbers of events.
        events: Vec<String>,
    },
    /// Rules that keep state between events can't lift on the fly.
    #[error("the rule {rule} keeps state between the events of a stream, so it can't lift them on the fly")]
    StatefulRule {
        /// The rule.
        rule: String,
    },
    /// Rules that move events to other streams leave it open where a stream's events are.
    #[error("the rules may move events to other streams, so a part of the store can't be folded alone")]
    MovingRules,
    /// The tables that a projection declares are none.
    #[error("the tables of {projection} can't be made: {problem}")]
    BadTables {
        /// The projection.
        projection: String,
        /// What is wrong.
        problem: String,
    },
    /// The live tables were not built by the projection as it is now.
    #[error("the live tables of {projection} are not what it would build now: {}", .changes.join("; "))]
    Changed {
        /// The projection.
        projection: String,
        /// What is different.
        changes: Vec<String>,
    },
    /// The event that the build ended at is not in the store any more.
    #[error("{store} holds no event at position {end}, where {projection} ended")]
    OtherContent {
        /// The projection.
        projection: String,
        /// The store of events.
        store: String,
        /// The checkpoint.
        end: Position,
    },
    /// More events can't be folded than anybody would look at.
    #[error("more than {limit} events can't be folded, or wait for one that can't be")]
    TooManyQuarantined {
        /// How many are allowed.
        limit: u64,
    },
    /// A row does not have the key it was made under.
    #[error("{projection} makes a row of the table `{table}` whose key is not the one that it named")]
    OtherKey {
        /// The projection.
        projection: String,
        /// The table.
        table: String,
    },
    /// Somebody else puts rows aside in the folder.
    #[error("the folder {folder} is used by another fold")]
    FolderInUse {
        /// The folder.
        folder: String,
    },
    /// The fold has failed before, or its caller has given it up.
    #[error("the fold has ended with an error before")]
    Ended,
}

impl RebuildRefusal {
    /// An event is of a type or version that a projection neither folds nor leaves out.
    pub fn not_understood(projection: &str, event: &Event) -> Self {
        let Event { event_type, version, stream, revision, .. } = event;
        let events = vec![format!("{event_type} version {version} (stream {stream}, revision {revision})")];
        Self::NotUnderstood { projection: projection.to_owned(), events }
    }
}

impl RebuildError {
    /// What to try.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Source(error) | Self::ReadModels(error) => error.hint.clone(),
            Self::Lift(error) => error.hint(),
            Self::Fold(error) => Some(go_on(&error.reason)),
            Self::Unreadable { .. } => {
                Some("something else has written to the table: `eventlift rebuild --all` builds it anew".to_owned())
            }
            Self::SumUp { reason, .. } => {
                let hint = reason.hint.clone();
                Some(hint.unwrap_or_else(|| {
                    "declare the column as numeric, there and in the table that is summed up; what is live stays whole"
                        .to_owned()
                }))
            }
            Self::PutAside { .. } => Some(
                "is there room, and may this user write there? `folder` under [rebuild] in eventlift.toml names \
                 another place"
                    .to_owned(),
            ),
            Self::Refused(refusal) => Some(refusal.hint().to_owned()),
        }
    }
}

/// What to do about an event that can't be folded.
fn go_on(reason: &Reason) -> String {
    let ways = "correct the definition, or set on_failure = \"quarantine\" under [rebuild] in eventlift.toml to put \
                such events on record and go on; what is live stays whole";
    match &reason.hint {
        Some(hint) => format!("{hint}; or {ways}"),
        None => ways.to_owned(),
    }
}

impl RebuildRefusal {
    fn hint(&self) -> &'static str {
        match self {
            Self::NotUnderstood { .. } => {
                "fold them with an [[on]], leave them out by `ignore`, or add upcasters for them"
            }
            Self::StatefulRule { .. } => "migrate first, and rebuild from the target",
            Self::MovingRules => "fold the whole store, or migrate first",
            Self::BadTables { .. } => "correct the projection",
            Self::Changed { .. } => "`eventlift rebuild` without --since builds it anew, beside what is live",
            Self::OtherContent { .. } => {
                "is it the same store, and all of it? if so, `eventlift rebuild --all` builds anew from what it holds now"
            }
            Self::TooManyQuarantined { .. } => {
                "with on_failure = \"stop\" under [rebuild] in eventlift.toml the error names the first of them"
            }
            Self::OtherKey { .. } => "a change of a row leaves the columns of its key what they are",
            Self::FolderInUse { .. } => "wait until it has ended, or give this one another folder",
            Self::Ended => "its first error says why",
        }
    }
}
