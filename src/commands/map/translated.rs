//! The last run's position map, and checkpoints as text.

use std::sync::Arc;

use eventlift_events::{EventReader, Position, RunRecord, RunState};

use super::super::error::CommandError;
use super::super::run_view::TargetRuns;
use crate::config::Project;
use crate::pipeline::{MappedCheckpoint, PositionMap, last_that_fills};
use crate::stores::StoreConfig;

/// The last run that filled a project's target, to be asked for its position map.
pub(super) struct LastRun {
    runs: TargetRuns,
    pub(super) record: RunRecord,
    target: String,
    reader: Option<Arc<dyn EventReader>>,
}

impl LastRun {
    pub(super) async fn of(project: &Project) -> Result<Self, CommandError> {
        let target = project.require_target()?;
        let runs = TargetRuns::of(project).await?;
        // Runs that rewrote events where they are, or carried them back, have numbered nothing here.
        let Some(record) = last_that_fills(runs.all().to_vec()) else {
            return Err(CommandError::NotMapped { target: target.to_string(), problem: "no run has filled it" });
        };
        if record.state == RunState::RolledBack {
            return Err(CommandError::NotMapped { target: target.to_string(), problem: "its run was taken back" });
        }
        // Of files it depends on the attributes whether they keep positions.
        let is_file = matches!(target, StoreConfig::File(_));
        let reader = match is_file || PositionMap::needs_target(&record) {
            true => Some(target.reader().await?),
            false => None,
        };
        if reader.as_ref().is_some_and(|reader| !reader.capabilities().explicit_positions) {
            let problem = "it numbers events by itself, so that the positions of its ledger are not its own";
            return Err(CommandError::NotMapped { target: target.to_string(), problem });
        }
        Ok(Self { runs, record, target: target.to_string(), reader })
    }

    /// Its position map.
    pub(super) async fn map(&self) -> Result<PositionMap<'_>, CommandError> {
        let reader = self.reader.as_deref().filter(|_| PositionMap::needs_target(&self.record));
        let map = PositionMap::of(self.runs.ledger(), &self.record, reader).await?;
        map.ok_or_else(|| CommandError::NotMapped {
            target: self.target.clone(),
            problem: "its run has not committed any event in order yet",
        })
    }
}

/// A checkpoint that is kept as text, translated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Translated {
    /// It stands for nothing done, and stays.
    Nothing,
    /// It stands somewhere else now; none where no position says that nothing is done.
    To(Option<Position>),
}

/// Translates what somebody keeps: a position, or nothing, or -1, which stand for nothing done.
pub(super) async fn translate(
    map: &PositionMap<'_>,
    text: &str,
    place: impl Fn() -> String,
) -> Result<Translated, CommandError> {
    if text.is_empty() || text == "-1" {
        return Ok(Translated::Nothing);
    }
    let position: Position = text.parse().map_err(|error: eventlift_events::InvalidPosition| {
        CommandError::Untranslatable { place: place(), problem: error.to_string() }
    })?;
    match map.checkpoint(position).await? {
        MappedCheckpoint::At(position) => Ok(Translated::To(Some(position))),
        MappedCheckpoint::Nothing { before } => Ok(Translated::To(before)),
        MappedCheckpoint::Ahead => Err(CommandError::Ahead { place: place(), position, until: map.until() }),
    }
}
