//! Whether projections make sense and understand what a store holds, before anything is folded.

use eventlift_events::{EventType, SchemaVersion};
use eventlift_projections::{Concern, Projection, Rollup, Table, TableKind};

use super::error::RebuildRefusal;

/// Refuses a projection that neither folds nor leaves out a type and version of the store. One that is about some
/// categories only is not judged here: which types they hold is known when they are read.
pub fn prove_understood(
    projection: &dyn Projection,
    types: &[(EventType, SchemaVersion, u64)],
) -> Result<(), RebuildRefusal> {
    let understood = projection.understood();
    if !understood.categories.is_empty() {
        return Ok(());
    }
    let is_strange = |event_type: &EventType, version| {
        matches!(understood.concern_of(event_type, version), Concern::UnknownType | Concern::UnknownVersion)
    };
    let strange: Vec<String> = types
        .iter()
        .filter(|(event_type, version, _)| is_strange(event_type, *version))
        .map(|(event_type, version, events)| {
            format!("{event_type} version {version} ({events} {})", if *events == 1 { "event" } else { "events" })
        })
        .collect();
    match strange.is_empty() {
        true => Ok(()),
        false => Err(RebuildRefusal::NotUnderstood { projection: projection.name().to_owned(), events: strange }),
    }
}

/// Refuses a projection whose tables, or the way some are summed up from others, can't be.
pub(super) fn prove_tables(projection: &dyn Projection) -> Result<(), RebuildRefusal> {
    let tables = projection.tables();
    let problem = Table::problem_of_all(tables)
        .or_else(|| Rollup::problem_of_all(projection.rollups(), tables))
        .or_else(|| problem_of_moves(projection));
    match problem {
        Some(problem) => Err(RebuildRefusal::BadTables { projection: projection.name().to_owned(), problem }),
        None => Ok(()),
    }
}

/// What is wrong with the tables whose rows move, if anything.
fn problem_of_moves(projection: &dyn Projection) -> Option<String> {
    let tables = projection.tables().iter().enumerate();
    for (number, table) in tables.filter(|(number, _)| projection.moves_rows(*number)) {
        if table.kind == TableKind::Snapshots {
            return Some(format!("table `{}`: the state of a stream can't move to another one", table.name));
        }
        if projection.rollups().iter().any(|rollup| rollup.table == number) {
            return Some(format!("table `{}` is summed up, so events can't move its rows", table.name));
        }
    }
    None
}
