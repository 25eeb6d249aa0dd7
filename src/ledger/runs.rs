//! The runs of a target.

use eventlift_events::{RunRecord, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, Result, Row, params};

use super::schema;

/// All runs, the latest last.
pub fn runs(connection: &Connection) -> Result<Vec<RunRecord>> {
    // A ledger that is only looked at may be an earlier version's.
    let details = if schema::has_details(connection)? { "details" } else { "'{}'" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, state, source, fingerprint, parts, started_at, updated_at, tool, {details} FROM eventlift_runs
         ORDER BY number"
    ))?;
    let records = statement.query_map([], run_record)?;
    records.collect()
}

/// Stores a run's record in place of the one with the same id.
pub fn record_run(connection: &Connection, run: &RunRecord) -> Result<()> {
    let parts = serde_json::to_string(&run.parts).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
    let details = serde_json::to_string(&run.details).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
    connection
        .prepare_cached(
            "INSERT INTO eventlift_runs (id, state, source, fingerprint, parts, started_at, updated_at, tool, details)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (id) DO UPDATE SET state = ?2, source = ?3, fingerprint = ?4, parts = ?5, started_at = ?6,
                                            updated_at = ?7, tool = ?8, details = ?9",
        )?
        .execute(params![
            run.id.to_string(),
            run.state.as_str(),
            run.source,
            run.fingerprint,
            parts,
            run.started_at.micros(),
            run.updated_at.micros(),
            run.tool,
            details,
        ])?;
    Ok(())
}

fn run_record(row: &Row<'_>) -> Result<RunRecord> {
    let (parts, details): (String, String) = (row.get(4)?, row.get(8)?);
    Ok(RunRecord {
        id: row.get::<_, String>(0)?.parse().map_err(|e| unreadable(0, e))?,
        state: row.get::<_, String>(1)?.parse().map_err(|e| unreadable(1, e))?,
        source: row.get(2)?,
        fingerprint: row.get(3)?,
        parts: serde_json::from_str(&parts).map_err(|e| unreadable(4, e))?,
        started_at: Timestamp::from_micros(row.get(5)?).map_err(|e| unreadable(5, e))?,
        updated_at: Timestamp::from_micros(row.get(6)?).map_err(|e| unreadable(6, e))?,
        tool: row.get(7)?,
        details: serde_json::from_str(&details).map_err(|e| unreadable(8, e))?,
    })
}

/// A stored value that a newer or damaged ledger left.
pub(super) fn unreadable(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
