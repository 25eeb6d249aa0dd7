//! Appending behind what a store holds already: the reverse stream of a cut-over.

use eventlift_events::{EventWriter, Position, RunId, RunRecord};

use super::error::PipelineError;

/// Has a migration append behind what its target holds already, where a plain one fills an empty target.
///
/// Every stream goes on behind its last event, and positions behind the last one of the target. Others must not append
/// to it meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Onto {
    /// Only what the source holds behind this position is carried over; all of it where it is none.
    pub after: Option<Position>,
    /// The run that this one goes the other way of. The target keeps one run for each.
    pub of: RunId,
}

/// The names of the parts of a run's record that say what it was appended to.
const REVERSE_OF: &str = "the reverse of";
const BEGAN_AFTER: &str = "began behind the source's";
const BEGAN_AT: &str = "began behind the target's";
const IN_PLACE: &str = "rewritten in place";

/// Where a run that is appended to a store began, in source and target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Beginning {
    pub(super) source: Option<Position>,
    pub(super) target: Option<Position>,
}

impl Onto {
    /// Whether a run is this one.
    pub(super) fn is_run(self, record: &RunRecord) -> bool {
        part(record, REVERSE_OF) == Some(&*self.of.to_string())
    }

    /// What the record of the run says beside the parts that decide its result.
    pub(super) fn parts(self, beginning: Beginning) -> Vec<(String, String)> {
        let text = |position: Option<Position>| position.map(|position| position.to_string()).unwrap_or_default();
        [(REVERSE_OF, self.of.to_string()), (BEGAN_AFTER, text(beginning.source)), (BEGAN_AT, text(beginning.target))]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }
}

impl Beginning {
    /// Where a recorded run began.
    pub(super) fn of(record: &RunRecord) -> Self {
        let position = |name| part(record, name).and_then(|text| text.parse().ok());
        Self { source: position(BEGAN_AFTER), target: position(BEGAN_AT) }
    }

    /// Where one begins now.
    pub(super) async fn now(onto: Onto, target: &dyn EventWriter) -> Result<Self, PipelineError> {
        let last = target.last_position().await.map_err(PipelineError::Target)?;
        Ok(Self { source: onto.after, target: last })
    }
}

/// Whether a run is the reverse stream of another one.
pub fn is_reverse(record: &RunRecord) -> bool {
    part(record, REVERSE_OF).is_some()
}

/// Whether a run rewrote the store's own events where they are.
pub fn is_in_place(record: &RunRecord) -> bool {
    part(record, IN_PLACE).is_some()
}

/// Whether a run filled the store it is recorded in: not one that is the reverse of another, nor one that rewrote what
/// was there.
pub fn fills_the_store(record: &RunRecord) -> bool {
    !is_reverse(record) && !is_in_place(record)
}

/// The last run that filled the store, of all runs in their order.
pub fn last_that_fills(runs: Vec<RunRecord>) -> Option<RunRecord> {
    runs.into_iter().rfind(fills_the_store)
}

/// What the record of a run says that rewrites events where they are, from behind a position.
pub(super) fn in_place_parts(after: Option<Position>) -> Vec<(String, String)> {
    let after = after.map(|after| after.to_string()).unwrap_or_default();
    [(IN_PLACE, "yes".to_owned()), (BEGAN_AFTER, after)].map(|(name, value)| (name.to_owned(), value)).into()
}

/// The position behind which a run began.
pub(super) fn began_after(record: &RunRecord) -> Option<Position> {
    Beginning::of(record).source
}

/// Whether a part says where a run began, and not what decides its result.
pub(super) fn is_beginning(part: &str) -> bool {
    [REVERSE_OF, BEGAN_AFTER, BEGAN_AT, IN_PLACE].contains(&part)
}

fn part<'r>(record: &'r RunRecord, name: &str) -> Option<&'r str> {
    record.parts.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
}
