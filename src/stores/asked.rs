//! A user's own query, asked of a store: it reads, or it fails.

use std::fmt;
#[cfg(feature = "sqlite")]
use std::path::Path;
#[cfg(feature = "sqlite")]
use std::time::Duration;

#[cfg(feature = "sqlite")]
use eventlift_events::{StoreError, StoreErrorKind};
#[cfg(feature = "sqlite")]
use rusqlite::types::ValueRef;

#[cfg(feature = "sqlite")]
use crate::ledger;

/// What a query yielded.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Answer {
    /// The first row, by column, in the order of the columns; none where it yielded none.
    pub first: Option<Vec<(String, Cell)>>,
    /// Whether there are more rows.
    pub has_more: bool,
}

/// A value in a row.
#[derive(Clone, PartialEq, Debug)]
pub enum Cell {
    /// None.
    Null,
    /// A number, with the digits that the database writes it with.
    Number(String),
    /// Anything else, as the database writes it.
    Text(String),
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Number(digits) => f.write_str(digits),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

impl Answer {
    /// The number that it is, as a double. Fails as [`digits`](Self::digits) does.
    pub fn number(&self) -> Result<f64, String> {
        let digits = self.digits()?;
        digits.parse().map_err(|_| format!("it yielded {digits}, where a number is expected"))
    }

    /// The digits of the number that it is. Fails with why it is none: no row, several rows, or something else in the
    /// first column.
    pub fn digits(&self) -> Result<&str, String> {
        let Some(row) = &self.first else { return Err("it yielded no row, where one number is expected".to_owned()) };
        if self.has_more {
            return Err("it yielded several rows, where one number is expected".to_owned());
        }
        match row.first() {
            Some((_, Cell::Number(digits))) => Ok(digits),
            Some((_, other)) => Err(format!("it yielded {other}, where a number is expected")),
            None => Err("it yielded a row without columns, where a number is expected".to_owned()),
        }
    }
}

#[cfg(feature = "sqlite")]
/// The query as what a FROM takes: nothing but a query can be there, and only one.
pub(super) fn as_table(sql: &str) -> String {
    let sql = sql.trim();
    let sql = sql.strip_suffix(';').unwrap_or(sql);
    // A comment at its end ends with its line.
    format!("(\n{sql}\n) AS asked")
}

#[cfg(feature = "sqlite")]
/// Asks a SQLite database, over a connection that can't write. Ended after `patience`.
pub(super) async fn ask_sqlite(
    path: &Path,
    display: String,
    sql: &str,
    patience: Duration,
) -> Result<Answer, StoreError> {
    if !path.exists() {
        return Err(StoreError::new("ask", display, StoreErrorKind::Missing));
    }
    let failed = {
        let display = display.clone();
        move |error| ledger::store_error("ask", &display, error)
    };
    let connection = ledger::open_to_read(path, Duration::from_secs(5)).map_err(&failed)?;
    connection.pragma_update(None, "query_only", true).map_err(&failed)?;
    let interrupt = connection.get_interrupt_handle();
    let sql = format!("SELECT * FROM {}", as_table(sql));
    let asking = tokio::task::spawn_blocking(move || answer(&connection, &sql));
    let mut asking = std::pin::pin!(asking);
    let joined = match tokio::time::timeout(patience, &mut asking).await {
        Ok(joined) => joined,
        Err(_) => {
            interrupt.interrupt();
            // It ends now, and frees the database.
            let _ = asking.await;
            return Err(too_long(display, patience));
        }
    };
    match joined {
        Ok(answered) => answered.map_err(failed),
        Err(error) => Err(StoreError::new("ask", display, StoreErrorKind::Backend(Box::new(error)))),
    }
}

#[cfg(feature = "sqlite")]
pub(super) fn too_long(display: impl fmt::Display, patience: Duration) -> StoreError {
    let problem = format!("the query took longer than {:.0} s", patience.as_secs_f64().ceil());
    StoreError::new("ask", display, StoreErrorKind::Unexpected(problem)).hint("let an index answer it, or ask for less")
}

#[cfg(feature = "sqlite")]
fn answer(connection: &rusqlite::Connection, sql: &str) -> rusqlite::Result<Answer> {
    let mut statement = connection.prepare(sql)?;
    let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else { return Ok(Answer::default()) };
    let mut first = Vec::new();
    for (index, name) in names.into_iter().enumerate() {
        let cell = match row.get_ref(index)? {
            ValueRef::Null => Cell::Null,
            ValueRef::Integer(number) => Cell::Number(number.to_string()),
            ValueRef::Real(number) => Cell::Number(number.to_string()),
            ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Cell::Text(format!("{} bytes", bytes.len())),
        };
        first.push((name, cell));
    }
    Ok(Answer { first: Some(first), has_more: rows.next()?.is_some() })
}
