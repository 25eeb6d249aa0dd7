//! What a rehearsal goes on behind: events that a rule fails on, or that may not pass.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use eventlift_events::Position;
use eventlift_transformers::TransformError;

use super::error::PipelineError;

/// Collects what failed. Cheap to clone; every clone is the same collection.
#[derive(Clone, Debug, Default)]
pub(super) struct Overlooked(Arc<Mutex<Failures>>);

/// What failed.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    /// By rule: the first failure, and how many there are.
    pub by_rule: BTreeMap<String, (TransformError, u64)>,
    /// Events that nothing covers, under a policy that doesn't let them pass: the position of the first, and how many
    /// there are.
    pub uncovered: Option<(Position, u64)>,
}

impl Failures {
    /// How many events failed.
    pub fn events(&self) -> u64 {
        self.by_rule.values().map(|(_, events)| events).sum::<u64>() + self.uncovered.map_or(0, |(_, events)| events)
    }

    /// The source position of the event that failed first.
    pub fn first(&self) -> Option<Position> {
        let by_rule = self.by_rule.values().map(|(error, _)| error.event.position);
        by_rule.chain(self.uncovered.map(|(position, _)| position)).min()
    }

    fn add(&mut self, error: &PipelineError) {
        match error {
            PipelineError::Transform(error) => match self.by_rule.get_mut(&error.rule) {
                Some((_, events)) => *events += 1,
                None => {
                    self.by_rule.insert(error.rule.clone(), ((**error).clone(), 1));
                }
            },
            PipelineError::Uncovered { position, .. } => {
                self.uncovered = Some(self.uncovered.map_or((*position, 1), |(first, events)| (first, events + 1)));
            }
            _ => {}
        }
    }
}

impl Overlooked {
    pub(super) fn add(&self, error: &PipelineError) {
        self.lock().add(error);
    }

    pub(super) fn events(&self) -> u64 {
        self.lock().events()
    }

    pub(super) fn failures(&self) -> Failures {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Failures> {
        // A panic elsewhere leaves whole counts.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
