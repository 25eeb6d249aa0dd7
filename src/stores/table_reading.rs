//! How a table of events is read that may not be one of ours: settings that only a source has.

use serde::Deserialize;

use super::distinct_ids::Ids;

/// How the columns of a table are to be understood.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableColumns {
    /// The revision of a stream's first event in the table: 0 or 1. Default 0.
    pub revision_base: u64,
}

/// What makes certain that positions are unique and that each event has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TableGuarantees {
    /// The constraints of the table. One without them is refused.
    Constraints,
    /// Nothing: each read looks whether it is so, and who reads says that rows which are there stay, and that those
    /// which come later have higher positions. Such a source is audited whole and read in one piece, and is not followed.
    Audited,
}

/// The settings of a table that is read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TableReading {
    /// How its columns are understood.
    pub columns: TableColumns,
    /// What it guarantees. Where it is not said: its constraints, or nothing where it can have none, as a view.
    pub guarantees: Option<TableGuarantees>,
    /// Where its ids are unique.
    pub ids: Ids,
}

/// The keys, as they are written under `[source]`.
const COLUMNS: &str = "columns";
const GUARANTEES: &str = "guarantees";

impl TableReading {
    /// Takes its keys out of the table of a store. The error says what is wrong with one.
    pub(super) fn take(table: &mut toml::Table) -> Result<Self, String> {
        let mut reading = Self::default();
        let wrong = |key: &str, error: toml::de::Error| format!("`{key}`: {}", error.message());
        if let Some(columns) = table.remove(COLUMNS) {
            reading.columns = columns.try_into().map_err(|error| wrong(COLUMNS, error))?;
        }
        if let Some(guarantees) = table.remove(GUARANTEES) {
            reading.guarantees = Some(guarantees.try_into().map_err(|error| wrong(GUARANTEES, error))?);
        }
        let base = reading.columns.revision_base;
        if base > 1 {
            return Err(format!("`{COLUMNS}`: revision_base is {base}, but revisions count from 0 or 1"));
        }
        Ok(reading)
    }

    /// The first key that is set: none of them means anything where events are written.
    pub(super) fn key(&self) -> Option<&'static str> {
        match self {
            Self { columns, .. } if *columns != TableColumns::default() => Some(COLUMNS),
            Self { guarantees: Some(_), .. } => Some(GUARANTEES),
            _ => None,
        }
    }
}
