//! Stores as configuration names them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use eventlift_events::{CheckpointStore, EventReader, EventRewriter, EventWriter, Fence, StoreError};
use eventlift_projections::ReadModels;
use serde::Deserialize;

use super::asked::Answer;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use super::counted_from::CountedFrom;
use super::distinct_ids::{DistinctIds, Ids};
#[cfg(feature = "file")]
use super::file::{FileConfig, FileReader, FileWriter};
use super::holder::Claim;
#[cfg(feature = "kurrentdb")]
use super::kurrentdb::{self, InvalidKurrent, KurrentConfig, KurrentReader, KurrentWriter, StreamMetadata};
use super::local_file;
#[cfg(feature = "postgres")]
use super::postgres::{
    self, InvalidPostgres, PayloadColumn, PostgresConfig, PostgresFence, PostgresLedger, PostgresReadModelConfig,
    PostgresReadModels, PostgresReader, PostgresWriter,
};
use super::prospect::Prospect;
#[cfg(feature = "sqlite")]
use super::sqlite::{SqliteConfig, SqliteFence, SqliteReadModels, SqliteReader, SqliteWriter};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use super::table_reading::TableReading;
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
    /// Our own layout in a PostgreSQL database.
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresConfig>),
    /// A KurrentDB server.
    #[cfg(feature = "kurrentdb")]
    Kurrent(Box<KurrentConfig>),
}

/// The kinds of stores that this program was built with.
pub const KINDS: &[&str] = &[
    #[cfg(feature = "file")]
    "file",
    #[cfg(feature = "kurrentdb")]
    "kurrentdb",
    #[cfg(feature = "postgres")]
    "postgres",
    #[cfg(feature = "sqlite")]
    "sqlite",
];

/// Why a table of configuration is no store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStore {
    /// Neither `store` nor `url` is there.
    #[error("the key `store` is missing (one of {}), or a `url`", KINDS.join(", "))]
    NoKind,
    /// The URL begins with the name of no store, or of one that this program was built without; or `store` says
    /// something else. The text is what is in front of the colon.
    #[error("`url` names the store `{0}`, which is not there or not what `store` says (one of {known})", known = KINDS.join(", "))]
    Scheme(String),
    /// The URL is one of KurrentDB, and this program was built without it.
    #[error(
        "`url` names a KurrentDB server, which this program was built without: build it with `--features kurrentdb`"
    )]
    WithoutKurrent,
    /// Two keys for one path.
    #[error("`url` and `path` exclude one another")]
    UrlAndPath,
    /// The URL does not begin with the name of a store. It is not shown: it may begin with a password.
    #[error("`url` begins with no store (one of {}), such as postgres://user@host:5432/database", KINDS.join(", "))]
    NoScheme,
    /// There is no such kind of store, or this program was built without it.
    #[error("there is no store `{0}` (one of {known})", known = KINDS.join(", "))]
    UnknownKind(String),
    /// A store that events can be in, but no read models.
    #[error("the store `{0}` can't hold read models (one of {known})", known = READ_MODEL_KINDS.join(", "))]
    NoReadModels(String),
    /// A key is wrong; the text is the parser's.
    #[error("{0}")]
    Key(String),
}

/// How a store keeps data, or metadata.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeptAs {
    /// The type of the column.
    pub column: &'static str,
    /// Whether JSON comes back to the byte.
    pub is_exact: bool,
    /// What becomes of JSON, in words that follow the column's type.
    pub effect: &'static str,
}

#[cfg(feature = "postgres")]
impl KeptAs {
    fn of(column: PayloadColumn) -> Self {
        Self { column: column.as_str(), is_exact: column.is_exact(), effect: column.effect() }
    }
}

impl StoreConfig {
    /// Reads the table of a store: `store`, or what `url` begins with, says which kind, the other keys are that kind's
    /// own. Relative paths start at `folder`.
    pub fn from_table(mut table: toml::Table, folder: &Path) -> Result<Self, InvalidStore> {
        match &*kind(&mut table)? {
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
                let reading = TableReading::take(&mut table).map_err(InvalidStore::Key)?;
                let name = match table.remove("table") {
                    None => None,
                    Some(toml::Value::String(name)) if !name.is_empty() => Some(name),
                    Some(_) => return Err(InvalidStore::Key("`table` must be the name of a table or view".to_owned())),
                };
                let config: SqliteConfig = read(table)?;
                let path = absolute(folder, &config.path);
                Ok(Self::Sqlite(SqliteConfig { path, table: name, reading }))
            }
            #[cfg(feature = "postgres")]
            "postgres" => Ok(Self::Postgres(Box::new(PostgresConfig::from_table(table, folder)?))),
            #[cfg(feature = "kurrentdb")]
            "kurrentdb" => Ok(Self::Kurrent(Box::new(KurrentConfig::from_table(table, folder)?))),
            kind => Err(InvalidStore::UnknownKind(kind.to_owned())),
        }
    }

    /// Opens the store for reading.
    pub async fn reader(&self) -> Result<Arc<dyn EventReader>, StoreError> {
        Ok(DistinctIds::over(self.open_to_read().await?, self.ids()))
    }

    /// Where its ids are unique, as a source.
    fn ids(&self) -> Ids {
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => config.ids,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => config.reading.ids,
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => config.reading.ids,
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(config) => config.ids,
        }
    }

    /// As a source whose ids are unique there.
    pub(crate) fn set_ids(&mut self, ids: Ids) {
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => config.ids = ids,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => config.reading.ids = ids,
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => config.reading.ids = ids,
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(config) => config.ids = ids,
        }
    }

    async fn open_to_read(&self) -> Result<Arc<dyn EventReader>, StoreError> {
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => Ok(Arc::new(FileReader::open_whole(FileConfig::clone(config))?)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => {
                let reader = Arc::new(SqliteReader::open(config.clone())?);
                Ok(CountedFrom::over(reader, config.reading.columns.revision_base))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => {
                let reader = Arc::new(PostgresReader::open(PostgresConfig::clone(config)).await?);
                Ok(CountedFrom::over(reader, config.reading.columns.revision_base))
            }
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(config) => Ok(Arc::new(KurrentReader::open(KurrentConfig::clone(config)).await?)),
        }
    }

    /// The store as a target, as it is before anything is written to it. Changes nothing, and makes none where there is
    /// none. Fails where a writer would not open it, as far as that can be told.
    pub async fn prospect(&self) -> Result<Prospect, StoreError> {
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => config.prospect(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => config.prospect(),
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => config.prospect().await,
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(config) => config.prospect(),
        }
    }

    /// Whether somebody answers where the store is, without opening it. Always so for files.
    pub async fn reach(&self) -> Result<(), StoreError> {
        match self {
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => config.server.reach().await,
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(config) => config.reach().await,
            #[cfg(any(feature = "file", feature = "sqlite"))]
            _ => Ok(()),
        }
    }

    /// A key of it that only a source has.
    pub(crate) fn source_key(&self) -> Option<&'static str> {
        match self {
            #[cfg(feature = "file")]
            Self::File(_) => None,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(SqliteConfig { table: Some(_), .. }) => Some("table"),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => config.reading.key(),
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => config.reading.key(),
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(_) => None,
        }
    }

    /// Fails where the store is configured as one that is only read.
    pub(super) fn refuse_writing(&self, action: &'static str) -> Result<(), StoreError> {
        let Some(key) = self.source_key() else { return Ok(()) };
        let problem = format!("it is read as a table of somebody else's, with `{key}`, and so it is not written to");
        Err(StoreError::new(action, self, eventlift_events::StoreErrorKind::Unsupported(problem)))
    }

    /// Opens the store for writing, and creates it where there is none.
    pub async fn writer(&self) -> Result<Box<dyn EventWriter>, StoreError> {
        self.refuse_writing("write to")?;
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => Ok(Box::new(FileWriter::open(FileConfig::clone(config))?)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => Ok(Box::new(SqliteWriter::open(config.clone())?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => Ok(Box::new(PostgresWriter::open(PostgresConfig::clone(config)).await?)),
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(config) => Ok(Box::new(KurrentWriter::open(KurrentConfig::clone(config)).await?)),
        }
    }

    /// Fails where events of such a store can never be rewritten where they are: a file is only ever appended to.
    pub fn refuse_rewriting(&self) -> Result<(), StoreError> {
        self.refuse_writing("rewrite events in")?;
        match self {
            #[cfg(feature = "file")]
            Self::File(_) => Err(self.is_append_only()),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Ok(()),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Ok(()),
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(_) => Err(self.is_append_only()),
        }
    }

    #[cfg(any(feature = "file", feature = "kurrentdb"))]
    fn is_append_only(&self) -> StoreError {
        let problem = eventlift_events::StoreErrorKind::Unsupported("it is an append-only log".to_owned());
        StoreError::new("rewrite events in", self, problem)
            .hint("migrate into a new target instead, with `eventlift migrate`")
    }

    /// Opens the store, which must be there, to rewrite events where they are. Fails where
    /// [that can't be](Self::refuse_rewriting), and where the layout is another one than ours.
    pub async fn rewriter(&self) -> Result<Box<dyn EventRewriter>, StoreError> {
        self.rewriter_as(&Claim::default()).await
    }

    /// The same, saying what for. Fails at once where another writer has it.
    pub async fn rewriter_as(&self, claim: &Claim) -> Result<Box<dyn EventRewriter>, StoreError> {
        // Not every choice of stores has one that can be rewritten.
        let _ = claim;
        self.refuse_rewriting()?;
        match self {
            #[cfg(feature = "file")]
            Self::File(_) => Err(self.is_append_only()),
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(_) => Err(self.is_append_only()),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => {
                // A writer would make one.
                SqliteReader::open(config.clone())?;
                Ok(Box::new(SqliteWriter::open_as(config.clone(), claim)?))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => {
                PostgresReader::open(PostgresConfig::clone(config)).await?;
                postgres::refuse_unknown(config).await?;
                Ok(Box::new(PostgresWriter::try_open_as(PostgresConfig::clone(config), claim).await?))
            }
        }
    }

    /// A fence to be put around the store, which must be there; none where nothing can keep others from writing to it: a
    /// file, standard input. Nothing is changed before it is [set](Fence::set).
    pub async fn fence(&self) -> Result<Option<Box<dyn Fence>>, StoreError> {
        match self {
            #[cfg(feature = "file")]
            Self::File(_) => Ok(None),
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(_) => Ok(None),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => Ok(Some(Box::new(SqliteFence::open(config)?))),
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => Ok(Some(Box::new(PostgresFence::open(PostgresConfig::clone(config)).await?))),
        }
    }

    /// Runs statements of the user's own in one transaction. Fails where the store knows no SQL.
    pub async fn execute(&self, sql: &str) -> Result<(), StoreError> {
        match self {
            #[cfg(feature = "file")]
            Self::File(_) => Err(self.knows_no_sql(sql)),
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(_) => Err(self.knows_no_sql(sql)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => super::sqlite::execute(config, sql).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => super::postgres::execute(config, sql).await,
        }
    }

    #[cfg(any(feature = "file", feature = "kurrentdb"))]
    fn knows_no_sql(&self, sql: &str) -> StoreError {
        let no_sql = eventlift_events::StoreErrorKind::Unsupported(format!("it knows no SQL, and so not {sql:?}"));
        StoreError::new("run a statement on", self, no_sql)
    }

    /// How it keeps data, and metadata, or would keep them once it is made; none where that is no question of
    /// configuration, and everything is kept to the byte. Fails where it can't be told, since the store can't be
    /// reached or there is something else.
    pub async fn kept_as(&self) -> Result<Option<[KeptAs; 2]>, StoreError> {
        match self {
            #[cfg(feature = "file")]
            Self::File(_) => Ok(None),
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(_) => Ok(None),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Ok(None),
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => {
                let [data, metadata] = postgres::kept_columns(config).await?;
                Ok(Some([KeptAs::of(data), KeptAs::of(metadata)]))
            }
        }
    }

    /// Whether ranges of positions can be loaded into it at the same time while it is new.
    pub fn takes_ranges(&self) -> bool {
        match self {
            #[cfg(feature = "file")]
            Self::File(_) => false,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => false,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => true,
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(_) => false,
        }
    }

    /// How events are written to it, for people, where it takes them otherwise than one after the other.
    pub fn how_it_is_written(&self) -> Vec<String> {
        #[cfg(feature = "kurrentdb")]
        if let Self::Kurrent(config) = self {
            return config.how_it_is_written();
        }
        Vec::new()
    }

    /// Whether it takes no gaps in the revisions of a stream.
    pub fn takes_no_gaps(&self) -> bool {
        #[cfg(feature = "kurrentdb")]
        if let Self::Kurrent(_) = self {
            return true;
        }
        false
    }

    /// As a source whose streams may have gaps: a file that does not say so itself is read with them.
    #[allow(irrefutable_let_patterns, reason = "files may be the only stores there are")]
    pub(crate) fn allow_gaps(&mut self) {
        #[cfg(feature = "file")]
        if let Self::File(config) = self {
            config.revisions.get_or_insert(super::file::Revisions::Sparse);
        }
    }

    /// Whether gaps in its streams are read.
    #[cfg(test)]
    #[allow(irrefutable_let_patterns, reason = "files may be the only stores there are")]
    pub(crate) fn allows_gaps(&self) -> bool {
        #[cfg(feature = "file")]
        if let Self::File(config) = self {
            return config.revisions == Some(super::file::Revisions::Sparse);
        }
        false
    }

    /// As the source of a target, or a target: between two KurrentDB servers the metadata of streams is carried, unless it
    /// is said otherwise; from one to another store it is left out.
    pub(crate) fn beside(&mut self, other: Option<&Self>) {
        #[cfg(feature = "kurrentdb")]
        if let Self::Kurrent(config) = self {
            let both = matches!(other, Some(Self::Kurrent(_)));
            let by_default = if both { StreamMetadata::Carry } else { StreamMetadata::LeaveOut };
            config.stream_metadata.get_or_insert(by_default);
        }
        let _ = other;
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
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => return None,
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(_) => return None,
        }
        Some(trial)
    }

    /// Asks a query of the database that the store is in, which can't write, whatever it says. Of a store of events in
    /// PostgreSQL, tables without a schema are looked for in the schema of the events, then in `public`. Fails where
    /// the query is none, takes longer than `patience`, or there is no database or no SQL.
    pub async fn ask(&self, sql: &str, patience: Duration) -> Result<Answer, StoreError> {
        // Not every choice of stores knows SQL.
        let _ = (sql, patience);
        match self {
            #[cfg(feature = "file")]
            Self::File(_) => {
                let problem = eventlift_events::StoreErrorKind::Unsupported("there is no SQL in a file".to_owned());
                Err(StoreError::new("ask", self.to_string(), problem))
            }
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(_) => Err(self.knows_no_sql(sql)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => super::asked::ask_sqlite(&config.path, self.to_string(), sql, patience).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => config.ask(sql, patience).await,
        }
    }

    /// The local file that holds the store, if one does.
    pub fn local_file(&self) -> Option<&Path> {
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => (!config.is_standard_stream()).then_some(&*config.path),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => Some(&config.path),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => None,
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(_) => None,
        }
    }

    /// Whether it is standard input or output.
    pub fn is_standard_stream(&self) -> bool {
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => config.is_standard_stream(),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => false,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => false,
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(_) => false,
        }
    }

    /// The store's ledger, to look at while others write; none where nothing was ever written to it.
    pub async fn ledger(&self) -> Result<Option<Box<dyn CheckpointStore>>, StoreError> {
        #[cfg(feature = "postgres")]
        if let Self::Postgres(config) = self {
            let ledger = PostgresLedger::look_at(PostgresConfig::clone(config)).await?;
            return Ok(ledger.map(|ledger| Box::new(ledger) as Box<dyn CheckpointStore>));
        }
        let Some(path) = self.ledger_file() else { return Ok(None) };
        let ledger = LedgerDatabase::look_at(&path, self.to_string())?;
        Ok(ledger.map(|ledger| Box::new(ledger) as Box<dyn CheckpointStore>))
    }

    fn ledger_file(&self) -> Option<PathBuf> {
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => (!config.is_standard_stream()).then(|| super::file::ledger_path(&config.path)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => Some(config.path.clone()),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => None,
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(config) => config.ledger.exists().then(|| config.ledger.clone()),
        }
    }

    /// Whether both are one store, as far as can be told without opening them.
    pub fn is_same(&self, other: &Self) -> bool {
        #[cfg(feature = "postgres")]
        if let (Self::Postgres(one), Self::Postgres(other)) = (self, other) {
            return one.to_string() == other.to_string();
        }
        #[cfg(feature = "kurrentdb")]
        if let (Self::Kurrent(one), Self::Kurrent(other)) = (self, other) {
            return one.key() == other.key();
        }
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
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => config.fmt(f),
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(config) => config.fmt(f),
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
    /// Tables in a schema of a PostgreSQL database.
    #[cfg(feature = "postgres")]
    Postgres(Box<PostgresReadModelConfig>),
}

/// The kinds of stores for read models that this program was built with.
pub const READ_MODEL_KINDS: &[&str] = &[
    #[cfg(feature = "postgres")]
    "postgres",
    #[cfg(feature = "sqlite")]
    "sqlite",
];

impl ReadModelConfig {
    /// Whether somebody answers where the store is, without opening it. Always so for files.
    pub async fn reach(&self) -> Result<(), StoreError> {
        match *self {
            #[cfg(feature = "postgres")]
            Self::Postgres(ref config) => config.server.reach().await,
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Ok(()),
        }
    }

    /// Reads the table of a store, as [`StoreConfig::from_table`] does.
    pub fn from_table(mut table: toml::Table, folder: &Path) -> Result<Self, InvalidStore> {
        #[cfg(not(feature = "sqlite"))]
        let _ = folder;
        match &*kind(&mut table)? {
            #[cfg(feature = "sqlite")]
            "sqlite" => {
                let mut config: SqliteConfig = read(table)?;
                config.path = absolute(folder, &config.path);
                Ok(Self::Sqlite(config))
            }
            #[cfg(feature = "postgres")]
            "postgres" => Ok(Self::Postgres(Box::new(PostgresReadModelConfig::from_table(table, folder)?))),
            kind if KINDS.contains(&kind) => Err(InvalidStore::NoReadModels(kind.to_owned())),
            kind => Err(InvalidStore::UnknownKind(kind.to_owned())),
        }
    }

    /// Whether it can be filled while events are appended to a store: SQLite has one writer a file.
    pub fn is_apart_from(&self, events: &StoreConfig) -> bool {
        self.local_file().is_none_or(|file| events.local_file() != Some(file))
    }

    /// Opens the store for building and reading, and creates it where there is none.
    pub async fn open(&self) -> Result<Arc<dyn ReadModels>, StoreError> {
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref config) => Ok(Arc::new(SqliteReadModels::open(config.clone())?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(ref config) => {
                Ok(Arc::new(PostgresReadModels::open(PostgresReadModelConfig::clone(config)).await?))
            }
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
            #[cfg(feature = "postgres")]
            Self::Postgres(ref config) => {
                let store = PostgresReadModels::look(PostgresReadModelConfig::clone(config)).await?;
                Ok(store.map(|store| Arc::new(store) as Arc<dyn ReadModels>))
            }
        }
    }

    /// Asks a query of the database, as [`StoreConfig::ask`] does.
    pub async fn ask(&self, sql: &str, patience: Duration) -> Result<Answer, StoreError> {
        // Not every choice of stores knows SQL.
        let _ = (sql, patience);
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref config) => super::asked::ask_sqlite(&config.path, self.text(), sql, patience).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(ref config) => config.ask(sql, patience).await,
        }
    }

    fn text(&self) -> String {
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref config) => format!("sqlite:{}", config.path.display()),
            #[cfg(feature = "postgres")]
            Self::Postgres(ref config) => config.to_string(),
        }
    }

    /// The local file that holds the store, if one does.
    pub fn local_file(&self) -> Option<&Path> {
        match *self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(ref config) => Some(&config.path),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => None,
        }
    }
}

impl fmt::Display for ReadModelConfig {
    /// As [`StoreIdentity`](eventlift_events::StoreIdentity) prints it once the store is open.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Which kind of store a table is about; takes what says it out of the table. A URL of a local store becomes its path.
fn kind(table: &mut toml::Table) -> Result<String, InvalidStore> {
    let named = match table.remove("store") {
        Some(toml::Value::String(kind)) => Some(kind),
        Some(other) => return Err(InvalidStore::UnknownKind(other.to_string())),
        None => None,
    };
    let Some(toml::Value::String(url)) = table.get("url") else { return named.ok_or(InvalidStore::NoKind) };
    let (scheme, rest) = url.split_once(':').unwrap_or_default();
    // `user:password@host` has a colon, too.
    let is_scheme = rest.starts_with("//") || KINDS.contains(&scheme);
    if scheme.is_empty() || !is_scheme {
        return Err(InvalidStore::NoScheme);
    }
    let kind = match scheme {
        "postgresql" => "postgres",
        #[cfg(feature = "kurrentdb")]
        scheme if kurrentdb::SCHEMES.contains(&scheme) => "kurrentdb",
        scheme => scheme,
    };
    #[cfg(not(feature = "kurrentdb"))]
    if ["esdb", "kurrentdb", "kurrent", "kdb"].contains(&kind.split('+').next().unwrap_or(kind)) {
        return Err(InvalidStore::WithoutKurrent);
    }
    if !KINDS.contains(&kind) || named.is_some_and(|named| named != kind) {
        return Err(InvalidStore::Scheme(scheme.to_owned()));
    }
    let kind = kind.to_owned();
    if !["kurrentdb", "postgres"].contains(&&*kind) {
        let path = toml::Value::String(rest.to_owned());
        table.remove("url");
        if table.insert("path".to_owned(), path).is_some() {
            return Err(InvalidStore::UrlAndPath);
        }
    } else if table.contains_key("path") {
        return Err(InvalidStore::UrlAndPath);
    }
    Ok(kind)
}

#[cfg(feature = "kurrentdb")]
impl From<InvalidKurrent> for InvalidStore {
    fn from(invalid: InvalidKurrent) -> Self {
        Self::Key(invalid.to_string())
    }
}

#[cfg(feature = "postgres")]
impl From<InvalidPostgres> for InvalidStore {
    fn from(invalid: InvalidPostgres) -> Self {
        Self::Key(invalid.to_string())
    }
}

fn read<C: for<'de> Deserialize<'de>>(table: toml::Table) -> Result<C, InvalidStore> {
    table.try_into().map_err(|e: toml::de::Error| InvalidStore::Key(e.message().to_owned()))
}

fn absolute(folder: &Path, path: &Path) -> PathBuf {
    folder.join(path)
}
