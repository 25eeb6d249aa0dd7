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
        }
    }
}
