//! What can go wrong with a rebuild.

use std::path::PathBuf;

use eventlift_events::StoreError;
use eventlift_projections::FoldError;

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

impl RebuildError {
    /// What to try.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Source(error) | Self::ReadModels(error) => error.hint.clone(),
            Self::Lift(error) => error.hint(),
            Self::Fold(error) => error.reason.hint.clone(),
            Self::PutAside { .. } => Some("is there room and permission?".to_owned()),
            Self::Refused(RebuildRefusal::NotUnderstood { .. }) => {
                Some("fold them with an [[on]], leave them out by `ignore`, or add upcasters for them".to_owned())
            }
            Self::Refused(RebuildRefusal::TooManyQuarantined { .. }) => {
                Some("rebuild with the policy `stop`: its error names the first of them".to_owned())
            }
            Self::Refused(RebuildRefusal::OtherKey { .. }) => {
                Some("a change of a row leaves the columns of its key what they are".to_owned())
            }
            Self::Refused(RebuildRefusal::FolderInUse { .. }) => {
                Some("wait until it has ended, or give this one another folder".to_owned())
            }
            Self::Refused(RebuildRefusal::Ended) => None,
        }
    }
}
