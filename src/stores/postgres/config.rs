//! Where the database is, which tables in it, and how payloads are kept.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::failure::Place;
use super::url::ServerUrl;
use crate::stores::table_reading::TableReading;

/// A PostgreSQL server, and how it is spoken to. Prints without its password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresServer {
    /// `postgres://user@host:5432/database?sslmode=verify-full`. What it leaves out is taken from `PGHOST`, `PGUSER`,
    /// `PGPASSWORD` and so on, and from `~/.pgpass`, as `psql` does.
    pub url: String,
    /// A file that holds the password, and nothing else. Refused where others than its owner may read it.
    pub password_file: Option<PathBuf>,
    /// The environment variable that holds the password.
    pub password_env: Option<String>,
    /// How long a statement may take, as PostgreSQL writes it: `10min`. None: as long as the server lets it. Building
    /// and checking indexes takes as long as it takes, whatever is set here or at the server.
    pub statement_timeout: Option<String>,
    /// How long a lock is waited for each time. 5 s if none.
    pub lock_timeout: Option<String>,
}

/// A table of events in our own layout.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PostgresConfig {
    /// The server and database.
    pub server: PostgresServer,
    /// The schema of the tables.
    pub schema: String,
    /// The table of events. The ledger's tables are in the same schema.
    pub table: String,
    /// The column type of data, where the table is made; a table that is there keeps its own.
    pub data: PayloadColumn,
    /// The column type of metadata.
    pub metadata: PayloadColumn,
    /// Whether others write to the table while it is read.
    pub writers: Writers,
    /// How the table is read, where it is a source.
    pub reading: TableReading,
}

/// Read models and snapshots in a schema.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PostgresReadModelConfig {
    /// The server and database.
    pub server: PostgresServer,
    /// The schema of the tables.
    pub schema: String,
}

/// How a payload is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PayloadColumn {
    /// As JSON text: to the byte, and SQL can look into it.
    #[default]
    Json,
    /// As parsed JSON: indexable, but normalised. Key order, repeated keys and white space are lost, and `\u0000` is
    /// refused.
    Jsonb,
    /// As bytes: whatever it is, to the byte; SQL can't look into it.
    Bytea,
}

impl PayloadColumn {
    /// The name of the column's type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Jsonb => "jsonb",
            Self::Bytea => "bytea",
        }
    }

    /// What becomes of JSON in it, in words.
    pub const fn effect(self) -> &'static str {
        match self {
            Self::Json => "to the byte",
            Self::Jsonb => {
                "parsed: key order, repeated keys and white space are lost, and what jsonb can't hold (\\u0000) is refused"
            }
            Self::Bytea => "to the byte, and SQL can't look into it",
        }
    }

    /// Whether JSON comes back to the byte.
    pub const fn is_exact(self) -> bool {
        !matches!(self, Self::Jsonb)
    }
}

/// Whether others append to a table while it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Writers {
    /// They may: a gap in the positions is crossed only once no transaction is left that could fill it.
    #[default]
    Live,
    /// They don't: gaps are crossed as they come. For sources that can't tell who writes, such as a standby server.
    Stopped,
}

/// Why a table of configuration is no PostgreSQL store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPostgres {
    /// The URL is none. The text holds no password.
    #[error("`url` is no PostgreSQL URL ({0})")]
    Url(String),
    /// The URL has a parameter that would be ignored, or none of its values.
    #[error("`url` has a parameter that can't be used: {0}")]
    Parameter(String),
    /// No duration as PostgreSQL writes it.
    #[error("`{key}` is {value:?}, which is no duration such as 30s, 10min or 500ms")]
    Duration {
        /// The key.
        key: &'static str,
        /// What is written.
        value: String,
    },
    /// Two places for one password.
    #[error("`password_file` and `password_env` exclude one another, and a password in the URL")]
    TwoPasswords,
    /// A name that PostgreSQL would cut or refuse.
    #[error("`{key}` must be a name of 1 to 63 bytes without NUL")]
    Name {
        /// The key.
        key: &'static str,
    },
    /// A key is wrong; the text is the parser's.
    #[error("{0}")]
    Key(String),
}

/// The keys of an events store, as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEvents {
    url: String,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    statement_timeout: Option<String>,
    lock_timeout: Option<String>,
    #[serde(default = "default_schema")]
    schema: String,
    #[serde(default = "default_table")]
    table: String,
    #[serde(default)]
    data: PayloadColumn,
    #[serde(default)]
    metadata: PayloadColumn,
    #[serde(default)]
    writers: Writers,
}

/// The keys of read models, as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenReadModels {
    url: String,
    password_file: Option<PathBuf>,
    password_env: Option<String>,
    statement_timeout: Option<String>,
    lock_timeout: Option<String>,
    #[serde(default = "default_schema")]
    schema: String,
}

fn default_schema() -> String {
    "public".to_owned()
}

fn default_table() -> String {
    "events".to_owned()
}

impl PostgresServer {
    /// A server by its URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), password_file: None, password_env: None, statement_timeout: None, lock_timeout: None }
    }

    /// How to connect, without what is set once connected. Fails where the URL is none.
    pub(super) fn options(&self) -> Result<PgConnectOptions, InvalidPostgres> {
        let url = ServerUrl::parse(&self.url)?;
        let options = PgConnectOptions::from_str(&self.url)
            // The parser's message may hold a part of the URL, and that may hold the password.
            .map_err(|_| InvalidPostgres::Url("such as postgres://user@host:5432/database".to_owned()))?;
        // sqlx looks for a host that is called `[::1]`.
        let host = options.get_host().trim_matches(['[', ']']).to_owned();
        let options = options.host(&host);
        let on_socket = options.get_socket().is_some() || host.starts_with('/');
        let mode = match options.get_ssl_mode() {
            // Nothing is between the two ends of a socket, and the server speaks no TLS there.
            _ if on_socket => PgSslMode::Disable,
            // As libpq does: whoever names the authority wants it to have signed.
            PgSslMode::Require if url.file("sslrootcert").is_some() => PgSslMode::VerifyCa,
            mode => mode,
        };
        let database = options.get_database().unwrap_or(options.get_username()).to_owned();
        Ok(options.ssl_mode(mode).database(&database))
    }

    /// The role that it is connected to as.
    pub(super) fn user(&self) -> String {
        self.options().map_or_else(|_| "<user>".to_owned(), |options| options.get_username().to_owned())
    }

    /// The URL without a password, and whether there was one. Fails where it is no URL of a PostgreSQL server.
    pub fn url_without_password(&self) -> Result<(String, bool), InvalidPostgres> {
        let url = ServerUrl::parse(&self.url)?;
        Ok((url.without_password(), url.has_password()))
    }

    fn checked(self) -> Result<Self, InvalidPostgres> {
        self.options()?;
        let in_url = ServerUrl::parse(&self.url)?.has_password();
        for (key, value) in [("statement_timeout", &self.statement_timeout), ("lock_timeout", &self.lock_timeout)] {
            if let Some(value) = value
                && !is_duration(value)
            {
                return Err(InvalidPostgres::Duration { key, value: value.clone() });
            }
        }
        let places = [in_url, self.password_file.is_some(), self.password_env.is_some()];
        if places.into_iter().filter(|given| *given).count() > 1 {
            return Err(InvalidPostgres::TwoPasswords);
        }
        Ok(self)
    }

    /// The URL without its password and parameters.
    fn shown(&self) -> String {
        let Ok(options) = self.options() else { return "postgres://…".to_owned() };
        let host = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        format!("postgres://{host}/{}", options.get_database().unwrap_or(options.get_username()))
    }
}

/// Whether PostgreSQL takes it as a duration: a number, of milliseconds where there is no unit.
fn is_duration(text: &str) -> bool {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    number.parse::<f64>().is_ok() && ["", "us", "ms", "s", "min", "h", "d"].contains(&unit.trim_start())
}

impl fmt::Debug for PostgresServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresServer").field("url", &self.shown()).finish_non_exhaustive()
    }
}

impl fmt::Display for PostgresServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl PostgresConfig {
    /// What messages call it, and who uses it.
    pub(super) fn place(&self) -> Place {
        Place::new(self, &self.server, Some(&self.schema))
    }

    /// The table `public.events` of a database, payloads as JSON text.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            server: PostgresServer::new(url),
            schema: default_schema(),
            table: default_table(),
            data: PayloadColumn::default(),
            metadata: PayloadColumn::default(),
            writers: Writers::default(),
            reading: TableReading::default(),
        }
    }

    /// Reads the keys of a store; relative paths start at `folder`.
    pub(in crate::stores) fn from_table(mut table: toml::Table, folder: &Path) -> Result<Self, InvalidPostgres> {
        let reading = TableReading::take(&mut table).map_err(InvalidPostgres::Key)?;
        let written: WrittenEvents = read(table)?;
        let server = PostgresServer {
            url: written.url,
            password_file: written.password_file.map(|file| folder.join(file)),
            password_env: written.password_env,
            statement_timeout: written.statement_timeout,
            lock_timeout: written.lock_timeout,
        };
        let (schema, table) = (name("schema", written.schema)?, name("table", written.table)?);
        let (data, metadata) = (written.data, written.metadata);
        Ok(Self { server: server.checked()?, schema, table, data, metadata, writers: written.writers, reading })
    }
}

impl fmt::Display for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}.{}", self.server, self.schema, self.table)
    }
}

impl PostgresReadModelConfig {
    /// What messages call it, and who uses it.
    pub(super) fn place(&self) -> Place {
        Place::new(self, &self.server, Some(&self.schema))
    }

    /// The schema `public` of a database.
    pub fn new(url: impl Into<String>) -> Self {
        Self { server: PostgresServer::new(url), schema: default_schema() }
    }

    /// Reads the keys of a store; relative paths start at `folder`.
    pub(in crate::stores) fn from_table(table: toml::Table, folder: &Path) -> Result<Self, InvalidPostgres> {
        let written: WrittenReadModels = read(table)?;
        let server = PostgresServer {
            url: written.url,
            password_file: written.password_file.map(|file| folder.join(file)),
            password_env: written.password_env,
            statement_timeout: written.statement_timeout,
            lock_timeout: written.lock_timeout,
        };
        Ok(Self { server: server.checked()?, schema: name("schema", written.schema)? })
    }
}

impl fmt::Display for PostgresReadModelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server, self.schema)
    }
}

fn name(key: &'static str, name: String) -> Result<String, InvalidPostgres> {
    // PostgreSQL cuts longer names, and two names would be one.
    match (1..=63).contains(&name.len()) && !name.contains('\0') {
        true => Ok(name),
        false => Err(InvalidPostgres::Name { key }),
    }
}

fn read<C: for<'de> Deserialize<'de>>(table: toml::Table) -> Result<C, InvalidPostgres> {
    table.try_into().map_err(|e: toml::de::Error| InvalidPostgres::Key(e.message().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_printed() {
        let config = PostgresConfig::new("postgres://anna:s3cret@db.example:5433/shop?sslmode=verify-full");
        assert_eq!(config.to_string(), "postgres://db.example:5433/shop/public.events");
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn durations_are_those_of_postgresql() {
        for good in ["0", "500", "500ms", "1.5 min", " 10min ", "2h", "1d", "30s", "7us"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["", "soon", "s", "10 minutes", "-1", "1e3s", "10m", "1..2s", "5s; DROP"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }

    #[test]
    fn a_bad_timeout_is_named() {
        let table = toml::toml! { url = "postgres://anna@db/shop"
        statement_timeout = "soon" };
        let problem = PostgresConfig::from_table(table, Path::new("")).unwrap_err().to_string();
        assert_eq!(problem, "`statement_timeout` is \"soon\", which is no duration such as 30s, 10min or 500ms");
    }

    #[test]
    fn one_password_has_one_place() {
        for url in ["postgres://anna:x@db/shop", "postgres://anna@db/shop?password=x"] {
            let table: toml::Table = [("url", url), ("password_env", "PASSWORD")]
                .into_iter()
                .map(|(key, value)| (key.to_owned(), toml::Value::from(value)))
                .collect();
            let problem = PostgresConfig::from_table(table, Path::new("")).unwrap_err();
            assert_eq!(problem, InvalidPostgres::TwoPasswords, "{url}");
        }
    }

    #[test]
    fn addresses_and_sockets_are_reached() {
        let options = |url: &str| PostgresServer::new(url).options().unwrap();
        assert_eq!(options("postgres://anna@[::1]:5433/shop").get_host(), "::1");
        assert!(matches!(
            options("postgres://anna@%2Ftmp/shop?sslmode=verify-full").get_ssl_mode(),
            PgSslMode::Disable
        ));
        assert!(matches!(
            options("postgres:///shop?user=anna&host=/tmp&sslmode=require").get_ssl_mode(),
            PgSslMode::Disable
        ));
        let require = "postgres://anna@db/shop?sslmode=require";
        assert!(matches!(options(require).get_ssl_mode(), PgSslMode::Require));
        assert!(matches!(options(&format!("{require}&sslrootcert=ca.pem")).get_ssl_mode(), PgSslMode::VerifyCa));
        assert_eq!(options("postgres://anna@db").get_database(), Some("anna"));
    }
}
