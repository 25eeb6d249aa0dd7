//! Stores as configuration names them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use eventlift_events::{EventReader, EventWriter, StoreError};
use serde::Deserialize;

#[cfg(feature = "file")]
use super::file::{FileConfig, FileReader, FileWriter};
#[cfg(feature = "sqlite")]
use super::sqlite::{SqliteConfig, SqliteReader, SqliteWriter};

/// A store of any kind that this program was built with.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreConfig {
    /// CloudEvents lines in a file.
    #[cfg(feature = "file")]
    File(FileConfig),
    /// Our own layout in a SQLite database.
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteConfig),
}

/// The kinds of stores that this program was built with.
pub const KINDS: &[&str] = &[
    #[cfg(feature = "file")]
    "file",
    #[cfg(feature = "sqlite")]
    "sqlite",
];

/// Why a table of configuration is no store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStore {
    /// There is no `store` key.
    #[error("the key `store` is missing (one of {})", KINDS.join(", "))]
    NoKind,
    /// There is no such kind of store, or this program was built without it.
    #[error("there is no store `{0}` (one of {known})", known = KINDS.join(", "))]
    UnknownKind(String),
    /// A key is wrong; the text is the parser's.
    #[error("{0}")]
    Key(String),
}

impl StoreConfig {
    /// Reads the table of a store: `store` says which kind, the other keys are that kind's own. Relative paths start
    /// at `folder`.
    pub fn from_table(mut table: toml::Table, folder: &Path) -> Result<Self, InvalidStore> {
        let kind = match table.remove("store") {
            Some(toml::Value::String(kind)) => kind,
            Some(other) => return Err(InvalidStore::UnknownKind(other.to_string())),
            None => return Err(InvalidStore::NoKind),
        };
        match &*kind {
            #[cfg(feature = "file")]
            "file" => {
                let mut config: FileConfig = read(table)?;
                if !config.is_standard_stream() {
                    config.path = absolute(folder, &config.path);
                }
                Ok(Self::File(config))
            }
            #[cfg(feature = "sqlite")]
            "sqlite" => {
                let mut config: SqliteConfig = read(table)?;
                config.path = absolute(folder, &config.path);
                Ok(Self::Sqlite(config))
            }
            _ => Err(InvalidStore::UnknownKind(kind)),
        }
    }

    /// Opens the store for reading.
    pub fn reader(&self) -> Result<Arc<dyn EventReader>, StoreError> {
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => Ok(Arc::new(FileReader::open(config.clone())?)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => Ok(Arc::new(SqliteReader::open(config.clone())?)),
        }
    }

    /// Opens the store for writing, and creates it where there is none.
    pub fn writer(&self) -> Result<Box<dyn EventWriter>, StoreError> {
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => Ok(Box::new(FileWriter::open(config.clone())?)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => Ok(Box::new(SqliteWriter::open(config.clone())?)),
        }
    }

    /// The local file that holds the store, if one does.
    pub fn local_file(&self) -> Option<&Path> {
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => (!config.is_standard_stream()).then_some(&*config.path),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => Some(&config.path),
        }
    }

    /// Whether both are one store, as far as can be told without opening them.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self.local_file(), other.local_file()) {
            (Some(one), Some(other)) => one == other || super::local_file::is_same_file(one, other),
            _ => self == other,
        }
    }
}

fn read<C: for<'de> Deserialize<'de>>(table: toml::Table) -> Result<C, InvalidStore> {
    table.try_into().map_err(|e: toml::de::Error| InvalidStore::Key(e.message().to_owned()))
}

fn absolute(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path)
}
