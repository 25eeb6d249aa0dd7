//! Swapping builds: tables change their names, in one transaction with the record.

use eventlift_projections::{Build, Side, Table};
use rusqlite::Connection;

use super::objects::{self, Object};
use super::record::{self, complete_build};
use super::refusal::{Failure, Refusal};
use super::tables::{self, kind_of, name_on};

/// Makes the complete shadow builds the live ones.
pub(super) fn swap(connection: &Connection, projections: &[String]) -> Result<(), Failure> {
    projections.iter().try_for_each(|projection| swap_one(connection, projection))
}

fn swap_one(connection: &Connection, projection: &str) -> Result<(), Failure> {
    let shadow = complete_build(connection, projection, Side::Shadow)?;
    shadow.tables.iter().try_for_each(|table| tables::verify(connection, Side::Shadow, table))?;
    drop_previous(connection, projection)?;
    let objects = retire_live(connection, projection, &shadow)?;
    bring_in(connection, projection, Side::Shadow, &shadow)?;
    objects::put_on(connection, &objects)
}

/// Makes the previous builds the live ones, and the live ones the previous ones.
pub(super) fn undo(connection: &Connection, projections: &[String]) -> Result<(), Failure> {
    for (number, projection) in projections.iter().enumerate() {
        if projections[..number].contains(projection) {
            return Err(Refusal::unexpected(format!("{projection} is named twice")).into());
        }
        undo_one(connection, projection)?;
    }
    Ok(())
}

fn undo_one(connection: &Connection, projection: &str) -> Result<(), Failure> {
    let previous = record::build(connection, projection, Side::Previous).map_err(|failure| match failure {
        Failure::Refused(refusal) => refusal.hint("there is one only behind a swap, and until it is dropped").into(),
        other => other,
    })?;
    previous.tables.iter().try_for_each(|table| tables::verify_any(connection, Side::Previous, table))?;
    // Out of the way of the live build, which takes these names.
    for table in &previous.tables {
        tables::rename(connection, &name_on(Side::Previous, &table.name), &aside(table))?;
    }
    record::forget_side(connection, projection, Side::Previous)?;
    let objects = retire_live(connection, projection, &previous)?;
    for table in &previous.tables {
        refuse_taken(connection, &table.name)?;
        tables::rename(connection, &aside(table), &table.name)?;
    }
    record::put(connection, projection, Side::Live, &previous)?;
    objects::put_on(connection, &objects)
}

fn aside(table: &Table) -> String {
    format!("eventlift_aside_{}", table.name)
}

/// Makes the live build the previous one, whose place is free. Returns what others made on those of its tables that
/// the next live build has too. A live build that somebody took tables from is no use any more, and is dropped.
fn retire_live(connection: &Connection, projection: &str, next: &Build) -> Result<Vec<Object>, Failure> {
    let Some(live) = record::builds(connection, projection)?.live else { return Ok(Vec::new()) };
    let mut objects = Vec::new();
    let mut is_whole = true;
    for table in &live.tables {
        match kind_of(connection, &table.name)?.as_deref() {
            Some("table") => {}
            None => is_whole = false,
            Some(kind) => return Err(taken(&table.name, kind)),
        }
        if next.tables.iter().any(|other| other.name.eq_ignore_ascii_case(&table.name)) {
            objects.extend(objects::take_off(connection, table, live.generation)?);
        }
    }
    if !is_whole {
        live.tables.iter().try_for_each(|table| tables::drop(connection, Side::Live, table))?;
        record::forget(connection, projection, Side::Live, live.generation)?;
        return Ok(objects);
    }
    for table in &live.tables {
        let name = name_on(Side::Previous, &table.name);
        refuse_taken(connection, &name)?;
        tables::rename(connection, &table.name, &name)?;
    }
    record::forget_side(connection, projection, Side::Live)?;
    record::put(connection, projection, Side::Previous, &live)?;
    Ok(objects)
}

/// Gives a build's tables the live names, which are free.
fn bring_in(connection: &Connection, projection: &str, from: Side, build: &Build) -> Result<(), Failure> {
    for table in &build.tables {
        refuse_taken(connection, &table.name)?;
        tables::rename(connection, &name_on(from, &table.name), &table.name)?;
    }
    record::forget_side(connection, projection, from)?;
    record::put(connection, projection, Side::Live, build)
}

fn refuse_taken(connection: &Connection, name: &str) -> Result<(), Failure> {
    match kind_of(connection, name)? {
        Some(kind) => Err(taken(name, &kind)),
        None => Ok(()),
    }
}

fn taken(name: &str, kind: &str) -> Failure {
    Refusal::unexpected(format_args!("there is a {kind} `{name}` that eventlift did not make"))
        .at(format_args!("table {name}"))
        .hint(format_args!("rename or drop the {kind} `{name}`"))
        .into()
}

/// Drops the previous build. Returns whether there was one.
pub(super) fn drop_previous(connection: &Connection, projection: &str) -> Result<bool, Failure> {
    let Some(previous) = record::builds(connection, projection)?.previous else { return Ok(false) };
    previous.tables.iter().try_for_each(|table| tables::drop(connection, Side::Previous, table))?;
    record::forget(connection, projection, Side::Previous, previous.generation)?;
    Ok(true)
}
