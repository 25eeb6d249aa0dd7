//! A projection as a definition describes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use eventlift_events::{Event, EventType, Needed, SchemaVersion};
use eventlift_language::{Place, Reason};

use super::clause::Clause;
use super::source::Inputs;
use crate::aggregate::snapshot_row;
use crate::projection::{Changes, Projection};
use crate::rollup::Rollup;
use crate::row::RowKey;
use crate::table::Table;
use crate::understood::Understood;
use crate::view::EventView;

/// A projection, or an aggregate as the projection into its snapshots.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) name: String,
    /// Where its name is, or the file begins.
    pub(super) place: Place,
    pub(super) fingerprint: String,
    pub(super) understood: Understood,
    pub(super) tables: Vec<Table>,
    pub(super) rollups: Vec<Rollup>,
    /// The fields of an aggregate's state.
    pub(super) state: Option<Arc<Table>>,
    pub(super) clauses: Clauses,
}

/// Clauses by type and version, each list in the order of the file.
#[derive(Debug, Default)]
pub(super) struct Clauses(BTreeMap<String, Vec<OfVersion>>);

type OfVersion = (SchemaVersion, Vec<Arc<Clause>>);

impl Clauses {
    pub(super) fn add(&mut self, event_type: &EventType, version: SchemaVersion, clause: Arc<Clause>) {
        let versions = self.0.entry(event_type.as_str().to_owned()).or_default();
        match versions.iter_mut().find(|(other, _)| *other == version) {
            Some((_, clauses)) => clauses.push(clause),
            None => versions.push((version, vec![clause])),
        }
    }

    fn of(&self, event: &Event) -> &[Arc<Clause>] {
        let versions = self.0.get(event.event_type.as_str()).map_or(&[][..], Vec::as_slice);
        versions.iter().find(|(version, _)| *version == event.version).map_or(&[], |(_, clauses)| clauses)
    }
}

impl Projection for Fold {
    fn name(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    fn understood(&self) -> &Understood {
        &self.understood
    }

    fn needed(&self) -> Needed {
        self.clauses
            .0
            .values()
            .flatten()
            .flat_map(|(_, clauses)| clauses)
            .fold(Needed::ENVELOPE, |needed, clause| needed.and(clause.needed()))
    }

    fn tables(&self) -> &[Table] {
        &self.tables
    }

    fn rollups(&self) -> &[Rollup] {
        &self.rollups
    }

    fn moves_rows(&self, table: usize) -> bool {
        let mut clauses = self.clauses.0.values().flatten().flat_map(|(_, clauses)| clauses);
        clauses.any(|clause| clause.target == table && clause.moves.is_some())
    }

    fn project(&self, event: &mut EventView<'_>, changes: &mut Changes) -> Result<(), Reason> {
        let before = changes.len();
        let mut inputs = Inputs { view: event, item: None };
        for clause in self.clauses.of(inputs.view.event()) {
            if let Err(reason) = clause.project(&mut inputs, changes) {
                changes.truncate(before);
                return Err(reason);
            }
        }
        if self.state.is_some() && changes.len() == before {
            keep_up(inputs.view.event(), changes);
        }
        Ok(())
    }
}

/// A snapshot is as of the last event that was folded, also where that changed nothing.
fn keep_up(event: &Event, changes: &mut Changes) {
    changes.change(0, RowKey::text(event.stream.as_str()), |event, snapshot| {
        if snapshot.is_some() {
            snapshot_row(snapshot, event)?;
        }
        Ok(())
    });
}
