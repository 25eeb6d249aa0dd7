//! A table of somebody else's, in which readers of events keep the positions that they have done.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use eventlift_events::{RunId, StoreError, StoreErrorKind};

use super::configured::{InvalidStore, ReadModelConfig, StoreConfig};
#[cfg(feature = "postgres")]
use super::postgres::PostgresServer;

/// The table, beside it and written with it in one transaction, that says which positions were translated: doing it twice
/// would translate what is translated already.
pub(super) const TRANSLATED: &str = "eventlift_translated_positions";

/// Which column of which table, and what names its rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckpointTable {
    /// Its schema; none for that of the connection (`public`, `main`).
    pub schema: Option<String>,
    /// Its name.
    pub table: String,
    /// The column of positions.
    pub column: String,
    /// The column whose value no other row has.
    pub key: String,
}

/// A row of such a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckpointRow {
    /// The value of the key, as text.
    pub key: String,
    /// The position, as text; none where there is none.
    pub position: Option<String>,
}

/// A row that is to be changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckpointChange {
    /// Which row.
    pub key: String,
    /// What it says now.
    pub from: String,
    /// What it is to say; none for no position.
    pub to: Option<String>,
}

/// The rows of a table, ordered by key, and which of them were translated for a run before.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckpointRows {
    /// The rows.
    pub rows: Vec<CheckpointRow>,
    /// The keys of those that were.
    pub translated: BTreeSet<String>,
}

/// A database with such a table.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CheckpointDatabase {
    /// A SQLite database.
    #[cfg(feature = "sqlite")]
    Sqlite(super::sqlite::SqliteConfig),
    /// A PostgreSQL database.
    #[cfg(feature = "postgres")]
    Postgres(PostgresServer),
}

impl CheckpointDatabase {
    /// The database that a store of events is in; none where it is in none.
    pub fn of_store(store: &StoreConfig) -> Option<Self> {
        match store {
            #[cfg(feature = "file")]
            StoreConfig::File(_) => None,
            #[cfg(feature = "kurrentdb")]
            StoreConfig::Kurrent(_) => None,
            #[cfg(feature = "sqlite")]
            StoreConfig::Sqlite(config) => Some(Self::Sqlite(config.clone())),
            #[cfg(feature = "postgres")]
            StoreConfig::Postgres(config) => Some(Self::Postgres(config.server.clone())),
        }
    }

    /// The database that read models are in.
    pub fn of_read_models(store: &ReadModelConfig) -> Option<Self> {
        match *store {
            #[cfg(feature = "sqlite")]
            ReadModelConfig::Sqlite(ref config) => Some(Self::Sqlite(config.clone())),
            #[cfg(feature = "postgres")]
            ReadModelConfig::Postgres(ref config) => Some(Self::Postgres(config.server.clone())),
        }
    }

    /// The database of a URL (`postgres://…`, `sqlite:…`).
    pub fn of_url(url: &str) -> Result<Self, InvalidStore> {
        let table = toml::Table::from_iter([("url".to_owned(), toml::Value::String(url.to_owned()))]);
        let store = StoreConfig::from_table(table, Path::new(""))?;
        Self::of_store(&store).ok_or_else(|| InvalidStore::Key("a file of events holds no tables".to_owned()))
    }

    /// The rows of a table. Changes nothing.
    pub async fn rows(&self, table: &CheckpointTable, run: RunId) -> Result<CheckpointRows, StoreError> {
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref config) => super::sqlite::checkpoint_rows(config, table, run),
            #[cfg(feature = "postgres")]
            Self::Postgres(ref server) => super::postgres::checkpoint_rows(server, table, run).await,
        }
    }

    /// Changes rows in one transaction, in which it is also recorded that they were changed for the run. All or nothing:
    /// fails where a row does not say any more what it said, where a key is not the only one, or where it was changed for
    /// the run before.
    pub async fn change(
        &self,
        table: &CheckpointTable,
        run: RunId,
        changes: &[CheckpointChange],
    ) -> Result<(), StoreError> {
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref config) => super::sqlite::change_checkpoints(config, table, run, changes),
            #[cfg(feature = "postgres")]
            Self::Postgres(ref server) => super::postgres::change_checkpoints(server, table, run, changes).await,
        }
    }
}

impl fmt::Display for CheckpointDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref config) => write!(f, "sqlite:{}", config.path.display()),
            #[cfg(feature = "postgres")]
            Self::Postgres(ref server) => server.fmt(f),
        }
    }
}

impl CheckpointTable {
    /// The same in a schema where none is named.
    pub(super) fn schema_or<'t>(&'t self, schema: &'t str) -> &'t str {
        self.schema.as_deref().unwrap_or(schema)
    }

    /// What the table of translated positions calls this column.
    pub(super) fn column_name(&self) -> String {
        format!("{}.{}", self.table, self.column)
    }
}

/// A row that can't be changed, and why.
pub(super) fn not_one(store: impl fmt::Display, change: &CheckpointChange, changed: u64) -> StoreError {
    let problem = match changed {
        0 => format!("it does not say {} any more", change.from),
        changed => format!("{changed} rows have this key"),
    };
    StoreError::new("translate positions in", store, StoreErrorKind::Unexpected(problem))
        .at(format_args!("row {:?}", change.key))
        .hint("stop whoever moves it meanwhile, and name a --key that each row has for itself; nothing was changed")
}

/// A row without a key.
pub(super) fn no_key(store: impl fmt::Display, table: &CheckpointTable) -> StoreError {
    let problem = format!("a row of {} has no {}", table.table, table.key);
    StoreError::new("read", store, StoreErrorKind::Unexpected(problem)).hint("name a --key that each row has")
}
