//! A table or view of somebody else's, with columns of our names, that is read as events.
//!
//! Nothing is known of its constraints. So a read is one statement over one snapshot, in the order of the positions, and
//! each row is looked at: its position is an integer behind the one before. What else has to hold, the audit finds.

use std::collections::BTreeSet;

use eventlift_events::{Event, ReadRequest, StoreError, StoreErrorKind};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::mpsc;

use super::config::SqliteConfig;
use super::reader::{RawBatch, TypeNames, connect, signed};
use crate::ledger;
use crate::stores::table_reading::TableGuarantees;

/// A table or view that can be read.
#[derive(Clone, Debug)]
pub(super) struct ForeignTable {
    /// Its name, quoted.
    name: String,
    /// The columns in the order that the reader expects.
    columns: String,
    pub(super) has_attributes: bool,
}

/// The columns that it has to have, and what stands for the others where they are missing.
const REQUIRED: [&str; 7] = ["position", "stream", "revision", "id", "type", "recorded_at", "data"];

impl ForeignTable {
    /// Looks at the table or view of a configuration. Fails where it is missing, or lacks columns.
    pub(super) fn find(connection: &Connection, config: &SqliteConfig, name: &str) -> Result<Self, StoreError> {
        let failed = |error| ledger::store_error("open", config.display(), error);
        let wrong = |kind| StoreError::new("open", config.display(), kind);
        if config.reading.guarantees == Some(TableGuarantees::Constraints) {
            let problem = "the constraints of a table of somebody else's are not looked at".to_owned();
            return Err(wrong(StoreErrorKind::Unsupported(problem)).hint("leave `guarantees` out, or say \"audited\""));
        }
        let kind: Option<String> = connection
            .query_row(
                "SELECT type FROM sqlite_schema WHERE type IN ('table', 'view') AND name = ?1 COLLATE NOCASE",
                params![name],
                |row| row.get(0),
            )
            .optional()
            .map_err(failed)?;
        if kind.is_none() {
            let problem = format!("it has no table or view {name:?}");
            return Err(wrong(StoreErrorKind::Unexpected(problem)).hint("correct `table` in eventlift.toml"));
        }
        let columns: BTreeSet<String> = connection
            .prepare("SELECT lower(name) FROM pragma_table_info(?1)")
            .and_then(|mut found| found.query_map(params![name], |row| row.get(0))?.collect())
            .map_err(failed)?;
        let missing: Vec<&str> = REQUIRED.into_iter().filter(|name| !columns.contains(*name)).collect();
        if !missing.is_empty() {
            let problem = format!("{name} is no table of events: it lacks {}", missing.join(", "));
            return Err(wrong(StoreErrorKind::Unexpected(problem))
                .hint("CREATE VIEW gives columns these names, and `table` names the view: SELECT seq AS position, …"));
        }
        let optional = |name: &str, otherwise: &str| match columns.contains(name) {
            true => format!("coalesce({name}, {otherwise})"),
            false => otherwise.to_owned(),
        };
        let all = [
            "position".to_owned(),
            "CAST(stream AS TEXT)".to_owned(),
            "revision".to_owned(),
            "CAST(id AS TEXT)".to_owned(),
            "type".to_owned(),
            optional("schema_version", "1"),
            "recorded_at".to_owned(),
            "data".to_owned(),
            optional("metadata", "NULL"),
            optional("data_type", "NULL"),
            optional("metadata_type", "NULL"),
            optional("attributes", "NULL"),
        ];
        let name = format!("\"{}\"", name.replace('"', "\"\""));
        Ok(Self { name, columns: all.join(", "), has_attributes: columns.contains("attributes") })
    }

    /// The highest position.
    pub(super) fn head(&self, connection: &Connection) -> rusqlite::Result<Option<i64>> {
        connection.query_row(&format!("SELECT max(position) FROM {}", self.name), [], |row| row.get(0))
    }

    /// Sends all batches of the request, or returns the error that ended it.
    pub(super) fn read(
        &self,
        config: &SqliteConfig,
        request: &ReadRequest,
        batches: &mpsc::Sender<Result<Vec<Event>, StoreError>>,
    ) -> Result<(), StoreError> {
        let failed = |error| ledger::store_error("read", config.display(), error);
        let mut connection = connect(&config.path).map_err(failed)?;
        // One snapshot for all that is asked.
        let snapshot = connection.transaction().map_err(failed)?;
        self.refuse_without_position(&snapshot, config)?;
        let sql = format!(
            "SELECT {} FROM {} WHERE position > ?1 AND position <= ?2 ORDER BY position",
            self.columns, self.name
        );
        let (after, has_start) = request.after.map_or((i64::MIN, false), |after| (signed(after.major()), true));
        let until = request.until.map_or(i64::MAX, |until| signed(until.major()));
        let mut statement = snapshot.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query(params![after, until]).map_err(failed)?;
        let (mut names, mut batch) = (TypeNames::default(), RawBatch::default());
        let mut last = has_start.then_some(after);
        while let Some(row) = rows.next().map_err(failed)? {
            let position = batch.push_foreign(row, &mut names).map_err(|reason| reason.into_error(config))?;
            if last.replace(position) == Some(position) {
                let problem = "two rows have this position, so their order is not certain".to_owned();
                return Err(StoreError::new("read", config.display(), StoreErrorKind::BadInput(problem))
                    .at(format_args!("position {position}"))
                    .hint("let the view number its rows so that each has a position of its own"));
            }
            let is_full = batch.len() >= request.batch_events.get() || batch.size() >= request.batch_bytes.get();
            if is_full && !send(std::mem::take(&mut batch), config, request, batches)? {
                return Ok(());
            }
        }
        send(batch, config, request, batches).map(drop)
    }

    /// Rows whose position is no integer would be passed over.
    fn refuse_without_position(&self, connection: &Connection, config: &SqliteConfig) -> Result<(), StoreError> {
        let sql = format!("SELECT typeof(position) FROM {} WHERE typeof(position) <> 'integer' LIMIT 1", self.name);
        let found: Option<String> = connection
            .query_row(&sql, [], |row| row.get(0))
            .optional()
            .map_err(|error| ledger::store_error("read", config.display(), error))?;
        let Some(kind) = found else { return Ok(()) };
        let problem = format!("the position of a row is {kind}, not an integer, and so it has no place in the order");
        Err(StoreError::new("read", config.display(), StoreErrorKind::BadInput(problem))
            .hint("let the view give every row an integer, or leave the row out"))
    }
}

/// Sends what of a batch is asked for. False where nobody listens any more.
fn send(
    batch: RawBatch,
    config: &SqliteConfig,
    request: &ReadRequest,
    batches: &mpsc::Sender<Result<Vec<Event>, StoreError>>,
) -> Result<bool, StoreError> {
    let mut events = batch.into_events(config)?;
    events.retain(|event| request.scope.contains(event));
    Ok(events.is_empty() || batches.blocking_send(Ok(events)).is_ok())
}
