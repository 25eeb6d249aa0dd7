//! Position maps of earlier versions in the form of today.
//!
//! They had one table, in which events that stood behind later ones were rows like the others. So rows did not ascend in
//! the target, and where positions were kept and only what had moved had a row, what had stayed looked dropped.

use rusqlite::{Connection, Result};

use super::schema;

/// Brings the maps of all runs in `eventlift_positions` to today's form. The table of late positions is empty.
const RENEW: &str = r#"
-- Where positions were kept, only what has moved has a row: everything before it in the target has stayed.
WITH kept (run, until) AS (
    SELECT run, min(target_major) FROM eventlift_positions
    WHERE run IN (SELECT id FROM eventlift_runs WHERE parts LIKE '%["the numbering of events","kept"]%')
    GROUP BY run
), moved (run, position) AS (
    SELECT run, source_major FROM eventlift_positions JOIN kept USING (run) WHERE source_major < until
    UNION SELECT run, until FROM kept
), stayed (run, first, length) AS (
    SELECT run, lag(position, 1, -1) OVER earlier + 1, position - lag(position, 1, -1) OVER earlier - 1 FROM moved
    WINDOW earlier AS (PARTITION BY run ORDER BY position)
)
INSERT OR IGNORE INTO eventlift_positions SELECT run, first, -1, length, first, -1, length FROM stayed WHERE length > 0;

-- What came out of quarantine behind the others, at the very place that it had, has no row either: between the rows of the
-- target, and behind the last one, everything has stayed that has not become something else.
WITH kept (run) AS (
    SELECT id FROM eventlift_runs WHERE parts LIKE '%["the numbering of events","kept"]%'
), ranges (run, source, target, length) AS (
    SELECT run, source_major, target_major, target_length FROM eventlift_positions JOIN kept USING (run)
    WHERE source_minor = -1
), covered (run, first, last) AS (
    SELECT run, target, target + length - 1 FROM ranges
    UNION ALL SELECT run, CAST(target AS INTEGER) + 1, CAST(target AS INTEGER) + 1
    FROM eventlift_checkpoints JOIN kept USING (run) WHERE target IS NOT NULL
), gaps (run, first, last) AS (
    SELECT run, before + 1, first - 1 FROM (
        SELECT run, first, max(last) OVER (
            PARTITION BY run ORDER BY first ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS before
        FROM covered
    ) WHERE before + 1 < first
), moved (run, gap, first, last) AS (
    SELECT gaps.run, gaps.first, source, source + length - 1 FROM gaps JOIN ranges
    ON ranges.run = gaps.run AND source <= gaps.last AND source + length > gaps.first
    UNION ALL SELECT run, first, last + 1, last + 1 FROM gaps
), stayed (run, first, last) AS (
    SELECT run, max(gap, coalesce(lag(last) OVER (PARTITION BY run, gap ORDER BY first) + 1, gap)), first - 1 FROM moved
)
INSERT OR IGNORE INTO eventlift_positions
SELECT run, first, -1, last - first + 1, first, -1, last - first + 1 FROM stayed WHERE first <= last;

-- Late is what stands behind something that became of a later event.
INSERT INTO eventlift_late
SELECT run, source_major, source_minor, target_major, target_minor, target_length FROM (
    SELECT *, min(target_major) OVER (
        PARTITION BY run ORDER BY source_major DESC, source_minor DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ) AS before
    FROM eventlift_positions
) WHERE before <= target_major AND source_length = 1;
DELETE FROM eventlift_positions
WHERE (run, source_major, source_minor) IN (SELECT run, source_major, source_minor FROM eventlift_late);
"#;

/// Renews the maps of a ledger that may be written to, in the caller's transaction.
pub(super) fn renew(connection: &Connection) -> Result<()> {
    connection.execute_batch(RENEW)
}

/// Has a connection that may only look at a ledger see its maps in today's form: in temporary tables that stand before
/// those of the file. Does nothing where the ledger is in that form.
pub(super) fn see_renewed(connection: &Connection) -> Result<()> {
    if schema::has_late_positions(connection)? {
        return Ok(());
    }
    connection.execute_batch(&format!(
        "BEGIN; {positions}; INSERT INTO temp.eventlift_positions SELECT * FROM main.eventlift_positions; {late}; {RENEW}; COMMIT",
        positions = schema::POSITIONS.replace(schema::CREATE, "CREATE TEMP TABLE "),
        late = schema::LATE.replace(schema::CREATE, "CREATE TEMP TABLE ").replace(schema::INDEX, schema::TEMPORARY_INDEX),
    ))
}
