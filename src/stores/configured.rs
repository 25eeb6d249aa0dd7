//! Stores as configuration names them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use eventlift_events::{CheckpointStore, EventReader, EventWriter, StoreError};
use eventlift_projections::ReadModels;
use serde::Deserialize;

#[cfg(feature = "file")]
use super::file::{FileConfig, FileReader, FileWriter};
use super::local_file;
#[cfg(feature = "sqlite")]
use super::sqlite::{SqliteConfig, SqliteReadModels, SqliteReader, SqliteWriter};
use crate::ledger::LedgerDatabase;

/// A store of any kind that this program was built with.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreConfig {
    /// CloudEvents lines in a file.
    #[cfg(feature = "file")]
    File(Box<FileConfig>),
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
    /// A store that events can be in, but no read models.
    #[error("the store `{0}` can't hold read models (one of sqlite)")]
    NoReadModels(String),
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
                Ok(Self::File(Box::new(config)))
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
    pub async fn reader(&self) -> Result<Arc<dyn EventReader>, StoreError> {
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => Ok(Arc::new(FileReader::open_whole(FileConfig::clone(config))?)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => Ok(Arc::new(SqliteReader::open(config.clone())?)),
        }
    }

    /// Opens the store for writing, and creates it where there is none.
    pub async fn writer(&self) -> Result<Box<dyn EventWriter>, StoreError> {
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => Ok(Box::new(FileWriter::open(FileConfig::clone(config))?)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => Ok(Box::new(SqliteWriter::open(config.clone())?)),
        }
    }

    /// A store of the same kind in a folder, for a trial; none where that is no file.
    pub fn trial_in(&self, folder: &Path) -> Option<Self> {
        let mut trial = self.clone();
        match &mut trial {
            #[cfg(feature = "file")]
            Self::File(config) if config.is_standard_stream() => return None,
            #[cfg(feature = "file")]
            Self::File(config) => config.path = folder.join(config.path.file_name()?),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => config.path = folder.join(config.path.file_name()?),
        }
        Some(trial)
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

    /// Whether it is standard input or output.
    pub fn is_standard_stream(&self) -> bool {
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => config.is_standard_stream(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => false,
        }
    }

    /// The store's ledger, to look at while others write; none where nothing was ever written to it.
    pub async fn ledger(&self) -> Result<Option<Box<dyn CheckpointStore>>, StoreError> {
        let Some(path) = self.ledger_file() else { return Ok(None) };
        let ledger = LedgerDatabase::look_at(&path, self.to_string())?;
        Ok(ledger.map(|ledger| Box::new(ledger) as Box<dyn CheckpointStore>))
    }

    /// Whether a process writes to it now.
    pub async fn is_being_written(&self) -> bool {
        self.local_file().is_some_and(|path| local_file::is_locked(&local_file::lock_path(path)))
    }

    fn ledger_file(&self) -> Option<PathBuf> {
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => (!config.is_standard_stream()).then(|| super::file::ledger_path(&config.path)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => Some(config.path.clone()),
        }
    }

    /// Whether both are one store, as far as can be told without opening them.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self.local_file(), other.local_file()) {
            (Some(one), Some(other)) => one == other || local_file::is_same_file(one, other),
            // Standard input and standard output, or kinds that share nothing.
            _ => false,
        }
    }
}

impl fmt::Display for StoreConfig {
    /// As [`StoreIdentity`](eventlift_events::StoreIdentity) prints it once the store is open.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => write!(f, "file:{}", config.path.display()),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => write!(f, "sqlite:{}", config.path.display()),
        }
    }
}

/// A store of read models and snapshots of any kind that this program was built with.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ReadModelConfig {
    /// Tables in a SQLite database.
    #[cfg(feature = "sqlite")]
    Sqlite(SqliteConfig),
}

/// The kinds of stores for read models that this program was built with.
pub const READ_MODEL_KINDS: &[&str] = &[
    #[cfg(feature = "sqlite")]
    "sqlite",
];

impl ReadModelConfig {
    /// Reads the table of a store, as [`StoreConfig::from_table`] does.
    pub fn from_table(table: toml::Table, folder: &Path) -> Result<Self, InvalidStore> {
        match table.get("store").and_then(toml::Value::as_str) {
            Some(kind) if KINDS.contains(&kind) && !READ_MODEL_KINDS.contains(&kind) => {
                return Err(InvalidStore::NoReadModels(kind.to_owned()));
            }
            _ => {}
        }
        match StoreConfig::from_table(table, folder)? {
            #[cfg(feature = "sqlite")]
            StoreConfig::Sqlite(config) => Ok(Self::Sqlite(config)),
            #[cfg(feature = "file")]
            StoreConfig::File(_) => Err(InvalidStore::NoReadModels("file".to_owned())),
        }
    }

    /// Opens the store for building and reading, and creates it where there is none.
    pub async fn open(&self) -> Result<Arc<dyn ReadModels>, StoreError> {
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref config) => Ok(Arc::new(SqliteReadModels::open(config.clone())?)),
        }
    }

    /// Opens the store to look at it, without creating or changing anything; none where there is no store yet. What
    /// changes something fails as read-only.
    pub async fn look(&self) -> Result<Option<Arc<dyn ReadModels>>, StoreError> {
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref config) => {
                let store = SqliteReadModels::look(config.clone())?;
                Ok(store.map(|store| Arc::new(store) as Arc<dyn ReadModels>))
            }
        }
    }

    fn text(&self) -> String {
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref config) => format!("sqlite:{}", config.path.display()),
        }
    }

    /// The local file that holds the store, if one does.
    pub fn local_file(&self) -> Option<&Path> {
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref config) => Some(&config.path),
        }
    }
}

impl fmt::Display for ReadModelConfig {
    /// As [`StoreIdentity`](eventlift_events::StoreIdentity) prints it once the store is open.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

fn read<C: for<'de> Deserialize<'de>>(table: toml::Table) -> Result<C, InvalidStore> {
    table.try_into().map_err(|e: toml::de::Error| InvalidStore::Key(e.message().to_owned()))
}

fn absolute(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path)
}
