//! `map checkpoints --table`: the checkpoints in a table of a database.

use std::fmt;

use eventlift_events::Position;
use serde::Serialize;

use super::super::arguments::CheckpointArguments;
use super::super::error::CommandError;
use super::super::output::Report;
use super::translated::{LastRun, Translated, translate};
use crate::config::Project;
use crate::stores::{CheckpointChange, CheckpointDatabase, CheckpointTable};

/// What was translated, or would be.
#[derive(Debug, Serialize)]
pub(in super::super) struct TableReport {
    database: String,
    table: String,
    rows: Vec<RowLine>,
    applied: bool,
}

/// A row.
#[derive(Debug, Serialize)]
struct RowLine {
    key: String,
    from: Option<String>,
    to: Option<Position>,
    /// `changed`, `same`, `nothing done`, or `translated before`.
    state: &'static str,
}

/// Translates the checkpoints of a table, or shows what that would change.
pub(in super::super) async fn checkpoint_table(
    project: &Project,
    table: &str,
    arguments: &CheckpointArguments,
) -> Result<TableReport, CommandError> {
    let (Some(column), Some(key)) = (&arguments.column, &arguments.key) else {
        return Err(CommandError::usage(
            "a table needs --column, which holds the positions, and --key, which names its rows",
        ));
    };
    let (schema, name) = match table.split_once('.') {
        Some((schema, name)) => (Some(schema.to_owned()), name),
        None => (None, table),
    };
    let table = CheckpointTable { schema, table: name.to_owned(), column: column.clone(), key: key.clone() };
    let database = database(project, arguments.store.as_deref().unwrap_or("target"))?;
    let run = LastRun::of(project).await?;
    let map = run.map().await?;

    let found = database.rows(&table, run.record.id).await?;
    let (mut rows, mut changes) = (Vec::new(), Vec::new());
    for row in found.rows {
        let mut line = RowLine { key: row.key, from: row.position, to: None, state: "nothing done" };
        if found.translated.contains(&line.key) {
            line.state = "translated before";
        } else if let Some(from) = &line.from {
            let place = || format!("row {:?} of {}", line.key, table.table);
            if let Translated::To(to) = translate(&map, from, place).await? {
                let text = to.map(|to| to.to_string());
                (line.to, line.state) = (to, if text.as_ref() == Some(from) { "same" } else { "changed" });
                // What stays is recorded as well, so that it is not taken for an old position later.
                changes.push(CheckpointChange { key: line.key.clone(), from: from.clone(), to: text });
            }
        }
        rows.push(line);
    }
    let applied = arguments.apply && !changes.is_empty();
    if applied {
        database.change(&table, run.record.id, &changes).await?;
    }
    Ok(TableReport { database: database.to_string(), table: table.table, rows, applied })
}

fn database(project: &Project, store: &str) -> Result<CheckpointDatabase, CommandError> {
    let found = match store {
        "target" => CheckpointDatabase::of_store(project.require_target()?),
        "read_models" => CheckpointDatabase::of_read_models(project.require_read_models()?),
        url => {
            let parsed = CheckpointDatabase::of_url(url);
            Some(parsed.map_err(|invalid| CommandError::usage(format!("--store: {invalid}")))?)
        }
    };
    found.ok_or_else(|| CommandError::usage(format!("--store: the {store} is a file, which holds no tables")))
}

impl Report for TableReport {}

impl fmt::Display for TableReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in {}", self.table, self.database)?;
        for RowLine { key, from, to, state } in &self.rows {
            let from = from.as_deref().unwrap_or("nothing");
            let to = to.map_or("nothing".to_owned(), |to| to.to_string());
            match *state {
                "changed" => writeln!(f, "  {key}: {from} → {to}")?,
                state => writeln!(f, "  {key}: {from} ({state})")?,
            }
        }
        let changed = self.rows.iter().filter(|row| row.state == "changed").count();
        match (self.applied, changed) {
            (true, _) => write!(f, "{changed} changed, in one transaction"),
            (false, 0) => write!(f, "nothing to change"),
            (false, _) => write!(f, "{changed} would change; nothing was written without --apply"),
        }
    }
}
