//! Getting hold of a store that somebody writes to: who that is, asking them to let go of it, and what shows that they get on.
//!
//! Whoever writes to a store has its lock, and has written down who they are beside it. Whoever wants it asks by a second
//! lock. Both end with the process, or the connection, of who took them, so that nothing is left behind by one that was
//! killed.

use std::path::Path;
use std::time::Duration;

use eventlift_events::{EventWriter, StoreError};

use super::configured::StoreConfig;
#[cfg(feature = "file")]
use super::file::{FileConfig, FileWriter};
use super::holder::{Asking, Claim, Holder};
#[cfg(feature = "kurrentdb")]
use super::kurrentdb::{KurrentConfig, KurrentWriter};
use super::local_file;
#[cfg(feature = "postgres")]
use super::postgres::{self, PostgresConfig, PostgresWriter};
#[cfg(feature = "sqlite")]
use super::sqlite::SqliteWriter;

/// How often it is looked whether somebody asks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A request to let go of a store; it stands as long as this lives.
#[derive(Debug)]
pub struct Request {
    // Held, never read: it ends when they are dropped.
    _local: Option<local_file::Request>,
    #[cfg(feature = "postgres")]
    _postgres: Option<postgres::PostgresRequest>,
}

/// What can be seen from outside of the work on a store.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Activity {
    /// Says something else once there was work.
    pub sign: String,
    /// Whether a server is at work at this moment, for whoever has the store.
    pub is_working: bool,
}

/// What became of ending a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EndedSession {
    /// It was told to end.
    Ended,
    /// It had ended before.
    Gone,
    /// This user has no right to. An administrator may run this statement.
    NotAllowed {
        /// What to run.
        statement: String,
    },
}

impl StoreConfig {
    /// Opens the store for writing, and creates it where there is none, saying what for. Fails at once where another writer
    /// has it.
    pub async fn writer_as(&self, claim: &Claim) -> Result<Box<dyn EventWriter>, StoreError> {
        self.refuse_writing("write to")?;
        match self {
            #[cfg(feature = "file")]
            Self::File(config) => Ok(Box::new(FileWriter::open_as(FileConfig::clone(config), claim)?)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(config) => Ok(Box::new(SqliteWriter::open_as(config.clone(), claim)?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(config) => {
                Ok(Box::new(PostgresWriter::try_open_as(PostgresConfig::clone(config), claim).await?))
            }
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(config) => Ok(Box::new(KurrentWriter::open_as(KurrentConfig::clone(config), claim).await?)),
        }
    }

    /// Who has the store open for writing now; none where nobody has.
    pub async fn holder(&self) -> Result<Option<Holder>, StoreError> {
        #[cfg(feature = "postgres")]
        if let Self::Postgres(config) = self {
            return postgres::holder(config).await;
        }
        Ok(self.locked_file().and_then(|path| local_file::lock_holder(&local_file::lock_path(path))))
    }

    /// Whether a process writes to it now, as far as can be told. One that was killed does not, though a server may not have
    /// missed it yet.
    pub async fn is_being_written(&self) -> bool {
        matches!(self.holder().await, Ok(Some(holder)) if holder.is_alive() != Some(false))
    }

    /// Asks whoever writes to the store to let go of it, for as long as the request lives.
    pub async fn request(&self, asking: Asking) -> Result<Request, StoreError> {
        #[cfg(feature = "postgres")]
        if let Self::Postgres(config) = self {
            return Ok(Request { _local: None, _postgres: Some(postgres::request(config, asking).await?) });
        }
        let made = self.locked_file().map(|path| local_file::Request::make(path, asking)).transpose();
        let local = made.map_err(|error| StoreError::new("ask for", self, local_file::io_kind(error)))?;
        Ok(Request {
            _local: local,
            #[cfg(feature = "postgres")]
            _postgres: None,
        })
    }

    /// Whether somebody asks whoever writes to the store to let go of it; of several, whoever asks for more.
    pub async fn standing_request(&self) -> Result<Option<Asking>, StoreError> {
        #[cfg(feature = "postgres")]
        if let Self::Postgres(config) = self {
            return postgres::standing_request(config).await;
        }
        Ok(self.locked_file().and_then(local_file::Request::standing))
    }

    /// Returns once somebody asks whoever writes to the store to let go of it.
    pub async fn asked_for(&self) -> Asking {
        #[cfg(feature = "postgres")]
        if let Self::Postgres(config) = self {
            // A server that does not answer is for the run itself to notice.
            loop {
                match postgres::wait_until_asked(config, LOOK_EVERY).await {
                    Ok(asking) => return asking,
                    Err(_) => tokio::time::sleep(10 * LOOK_EVERY).await,
                }
            }
        }
        loop {
            match self.locked_file().and_then(local_file::Request::standing) {
                Some(asking) => return asking,
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// What can be seen of the work on the store, beside what its ledger says.
    pub async fn activity(&self) -> Result<Activity, StoreError> {
        #[cfg(feature = "postgres")]
        if let Self::Postgres(config) = self {
            return postgres::activity(config).await;
        }
        Ok(Activity { sign: self.locked_file().map(file_sign).unwrap_or_default(), is_working: false })
    }

    /// Ends the session at the server that keeps the lock of a holder. A local file has none.
    pub async fn end_session(&self, holder: &Holder) -> Result<EndedSession, StoreError> {
        #[cfg(feature = "postgres")]
        if let (Self::Postgres(config), Some(session)) = (self, holder.session) {
            return postgres::end_session(config, session).await;
        }
        let _ = holder;
        Ok(EndedSession::Gone)
    }

    /// The local file whose lock a writer has: the store, or the ledger of one on a server.
    fn locked_file(&self) -> Option<&Path> {
        #[cfg(feature = "kurrentdb")]
        if let Self::Kurrent(config) = self {
            return Some(&config.ledger);
        }
        self.local_file()
    }
}

/// What changes when a file, or what is beside it, is written to.
fn file_sign(path: &Path) -> String {
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        std::fs::metadata(name).ok().map(|found| (found.len(), found.modified().ok()))
    };
    format!("{:?}", ["", "-journal", "-wal", ".eventlift"].map(beside))
}
