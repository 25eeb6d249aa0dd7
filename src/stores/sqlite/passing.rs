//! How eventlift's own writer passes a fence that keeps everybody else out.
//!
//! SQLite's triggers can't tell who writes. What they can see is the fence's row, with what the transaction they run in
//! has changed of it: so a transaction of eventlift's opens the fence first, and shuts it before it commits. Others
//! wait for its lock meanwhile, and never see the fence open.

use rusqlite::{Connection, Result};

/// A transaction that passes the fence, where there is one.
#[must_use = "the fence has to be shut before the transaction ends"]
pub(super) struct Passing {
    is_fenced: bool,
}

/// Opens the fence for the caller's transaction.
pub(super) fn begin(transaction: &Connection) -> Result<Passing> {
    let is_fenced: bool = transaction
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'eventlift_fence')",
        )?
        .query_row([], |row| row.get(0))?;
    if is_fenced {
        transaction.execute("UPDATE eventlift_fence SET passing = 1", [])?;
    }
    Ok(Passing { is_fenced })
}

impl Passing {
    /// Shuts the fence again.
    pub(super) fn end(self, transaction: &Connection) -> Result<()> {
        if self.is_fenced {
            transaction.execute("UPDATE eventlift_fence SET passing = 0", [])?;
        }
        Ok(())
    }
}
