//! Where the database is.

use std::path::{Path, PathBuf};

use eventlift_events::{StoreError, StoreErrorKind, StoreIdentity};
use serde::Deserialize;

use crate::stores::table_reading::TableReading;

/// A SQLite database that holds events: in our own layout, or in a table or view that is only read.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqliteConfig {
    /// The database file. A writer creates it; its folder must be there.
    pub path: PathBuf,
    /// The table or view that is read; none: `events`, in our own layout.
    #[serde(skip)]
    pub table: Option<String>,
    /// How a table is read.
    #[serde(skip)]
    pub reading: TableReading,
}

impl SqliteConfig {
    /// A database file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), table: None, reading: TableReading::default() }
    }

    /// How the store is called in messages.
    pub(super) fn display(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    /// The identity of the database, once its file is there.
    pub(super) fn identity(&self) -> Result<StoreIdentity, StoreError> {
        let key = crate::stores::local_file::file_key(&self.path).map_err(|e| self.failed("open", e))?;
        Ok(StoreIdentity { display: self.display(), key })
    }

    /// What an error of the file system means for this store.
    pub(super) fn failed(&self, action: &'static str, error: std::io::Error) -> StoreError {
        StoreError::new(action, self.display(), crate::stores::local_file::io_kind(error))
    }

    /// The path, if there is a file.
    pub(super) fn existing(&self) -> Result<&Path, StoreError> {
        match std::fs::metadata(&self.path) {
            Ok(found) if found.is_dir() => Err(StoreError::new(
                "open",
                self.display(),
                StoreErrorKind::Unexpected("it is a folder, not a database file".to_owned()),
            )
            .hint("name a file in it")),
            Ok(_) => Ok(&self.path),
            Err(error) => Err(self.failed("open", error)),
        }
    }
}
