//! Statements of the user's own: hooks.

use std::time::Duration;

use eventlift_events::StoreError;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::config::SqliteConfig;
use super::reader::blocking;
use crate::ledger;

/// How long others that hold the database are waited for.
const BUSY: Duration = Duration::from_secs(5);

/// Runs statements in one transaction. The database has to be there.
pub(in crate::stores) async fn execute(config: &SqliteConfig, sql: &str) -> Result<(), StoreError> {
    let (path, display, sql) = (ledger::as_file(&config.path), config.display(), sql.to_owned());
    blocking(move || {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let executed = Connection::open_with_flags(path, flags).and_then(|mut connection| {
            connection.busy_timeout(BUSY)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(&sql)?;
            transaction.commit()
        });
        executed.map_err(|e| ledger::store_error("run a statement on", &display, e))
    })
    .await
}
