//! Connections: how they are made, and what is set on each.

use std::io;
use std::path::PathBuf;

use eventlift_events::{StoreError, StoreErrorKind};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

use super::config::{InvalidPostgres, PostgresServer};
use super::failure::{Place, reported, store_error};
use super::url::ServerUrl;
use crate::stores::password;

/// How long a lock is waited for, unless the configuration says otherwise.
const LOCK_TIMEOUT: &str = "5s";

/// The oldest version that is spoken to: the first one that can tell what became of a transaction by its number
const OLDEST: i32 = 13;

/// Set on every connection, over whatever the server, the database or the role sets.
const SETTINGS: [(&str, &str); 8] = [
    // Nothing that is looked up by name depends on it.
    ("search_path", "pg_catalog,pg_temp"),
    ("timezone", "UTC"),
    ("standard_conforming_strings", "on"),
    ("default_transaction_isolation", "read committed"),
    ("idle_in_transaction_session_timeout", "0"),
    // Rows that a policy hides are an error, never missed.
    ("row_security", "off"),
    // The locks of a machine that is gone are released after a minute, not after hours.
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
];

/// Looks whether the server fits, and sets what not every version, or not every system, knows. Where the server is asked
/// to look for its client while it works, what a killed program had begun, and its locks, end with it.
const GREETING: &str = "SELECT current_setting('server_version_num')::int4, current_setting('server_encoding'), \
     (SELECT count(set_config(name, CASE name WHEN 'idle_session_timeout' THEN '0' ELSE '1s' END, false)) \
      FROM pg_settings WHERE name = 'idle_session_timeout' \
      OR name = 'client_connection_check_interval' AND version() LIKE '%linux%')";

impl PostgresServer {
    /// Connects and disconnects. Fails as opening a store does: where the server can't be reached, does not let the user
    /// in or is not one that can be used.
    pub async fn reach(&self) -> Result<(), StoreError> {
        let connection = connect(self, &Place::new(self, self, None)).await?;
        // It was reached; how it ends is of no interest.
        let _ = connection.close().await;
        Ok(())
    }
}

/// How connections are made. [`connect`] also looks whether the server fits, and waits no longer than the URL says.
pub(super) fn options(server: &PostgresServer, display: &Place) -> Result<PgConnectOptions, StoreError> {
    #[cfg(feature = "kurrentdb")]
    crate::stores::encryption::choose();
    let failed = |kind| StoreError::new("open", display, kind);
    let invalid = |problem: InvalidPostgres| failed(StoreErrorKind::Unexpected(problem.to_string()));
    let url = ServerUrl::parse(&server.url).map_err(invalid)?;
    let options = server.options().map_err(invalid)?;
    check_certificates(&url, &options).map_err(|problem| failed(StoreErrorKind::Unexpected(problem)))?;
    let password = password::read(server.password_file.as_deref(), server.password_env.as_deref(), display)?;
    let options = match password {
        Some(password) => options.password(&password),
        None => options,
    };
    Ok(with_settings(options, server))
}

/// Connects to a server. Nothing that is looked up by name depends on `search_path`, times are read and written in UTC.
pub(super) async fn connect(server: &PostgresServer, display: &Place) -> Result<PgConnection, StoreError> {
    let failed = |kind| StoreError::new("open", display, kind);
    let invalid = |problem: InvalidPostgres| failed(StoreErrorKind::Unexpected(problem.to_string()));
    let options = options(server, display)?;
    let wait = ServerUrl::parse(&server.url).and_then(|url| url.connect_timeout()).map_err(invalid)?;
    let connecting = greeted(&options);
    let connected = match wait {
        None => connecting.await,
        Some(wait) => tokio::time::timeout(wait, connecting).await.unwrap_or_else(|_| {
            let problem = format!("no answer within {} s", wait.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, problem).into())
        }),
    };
    let (connection, version, encoding) = connected.map_err(|error| refused(display, error))?;
    check_server(version, &encoding).map_err(|(kind, hint)| failed(kind).hint(hint))?;
    Ok(connection)
}

fn with_settings(options: PgConnectOptions, server: &PostgresServer) -> PgConnectOptions {
    let given = |setting: &str| options.get_options().is_some_and(|options| options.contains(setting));
    let lock_timeout = match server.lock_timeout.as_deref() {
        Some(timeout) => Some(("lock_timeout", timeout)),
        None if given("lock_timeout") => None,
        None => Some(("lock_timeout", LOCK_TIMEOUT)),
    };
    let statement_timeout = server.statement_timeout.as_deref().map(|timeout| ("statement_timeout", timeout));
    let name = options.get_application_name().unwrap_or("eventlift").to_owned();
    let options = options.options(SETTINGS).options(lock_timeout).options(statement_timeout);
    options.application_name(&name).disable_statement_logging()
}

/// A connection, the server's version as a number and its encoding.
async fn greeted(options: &PgConnectOptions) -> Result<(PgConnection, i32, String), sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let (version, encoding, _) = sqlx::query_as::<_, (i32, String, i64)>(GREETING).fetch_one(&mut connection).await?;
    Ok((connection, version, encoding))
}

fn check_server(version: i32, encoding: &str) -> Result<(), (StoreErrorKind, String)> {
    let major = version / 10_000;
    if major < OLDEST {
        let problem = format!("the server is PostgreSQL {major}, and {OLDEST} is the oldest that is supported");
        return Err((
            StoreErrorKind::Unsupported(problem),
            "update the server, or copy the database to a newer one".into(),
        ));
    }
    if encoding != "UTF8" {
        let problem = format!("the database is encoded as {encoding}, and events are UTF-8");
        let hint = "copy it into a database made with: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0";
        return Err((StoreErrorKind::Unsupported(problem), hint.to_owned()));
    }
    Ok(())
}

/// An error of connecting, with what only this side knows.
fn refused(display: &Place, error: sqlx::Error) -> StoreError {
    let wrong_password = reported(&error).is_some_and(|reported| reported.code() == "28P01");
    let error = store_error("open", display, error);
    match open_password_list() {
        Some(file) if wrong_password => {
            error.hint(format!("{0} is ignored as long as others can read it: chmod 600 {0}", file.display()))
        }
        _ => error,
    }
}

/// Certificates are PEM files that are there: sqlx does not name those that aren't, nor see that there is none in one.
fn check_certificates(url: &ServerUrl, options: &PgConnectOptions) -> Result<(), String> {
    if options.get_socket().is_some() {
        return Ok(());
    }
    for parameter in ["sslrootcert", "sslcert", "sslkey"] {
        let Some(file) = url.file(parameter) else { continue };
        let text = std::fs::read(&file).map_err(|e| format!("`{parameter}` {}: {}", file.display(), e.kind()))?;
        if !String::from_utf8_lossy(&text).contains("-----BEGIN ") {
            return Err(format!("`{parameter}` {} is no PEM file", file.display()));
        }
    }
    Ok(())
}

/// The list of passwords that libpq and sqlx ignore, if there is one that others can read.
fn open_password_list() -> Option<PathBuf> {
    let named = std::env::var_os("PGPASSFILE").map(PathBuf::from);
    let file = named.or_else(|| std::env::home_dir().map(|home| home.join(".pgpass")))?;
    password::is_open_to_others(&file).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_can_not_be_used_are_refused() {
        assert!(check_server(150_018, "UTF8").is_ok());
        assert!(check_server(130_000, "UTF8").is_ok());
        let (old, _) = check_server(110_022, "UTF8").unwrap_err();
        assert_eq!(old.to_string(), "the server is PostgreSQL 11, and 13 is the oldest that is supported");
        let (foreign, _) = check_server(150_018, "SQL_ASCII").unwrap_err();
        assert_eq!(foreign.to_string(), "the database is encoded as SQL_ASCII, and events are UTF-8");
    }

    #[test]
    fn the_url_may_set_what_the_configuration_leaves_open() {
        let options = |url: &str, lock_timeout: Option<&str>| {
            let server =
                PostgresServer { lock_timeout: lock_timeout.map(str::to_owned), ..PostgresServer::new(url.to_owned()) };
            with_settings(server.options().unwrap(), &server).get_options().unwrap().to_owned()
        };
        let plain = options("postgres://anna@db/shop", None);
        assert!(plain.contains("-c search_path=pg_catalog,pg_temp") && plain.contains("-c lock_timeout=5s"), "{plain}");
        let in_url = options("postgres://anna@db/shop?options[lock_timeout]=7s", None);
        assert!(in_url.contains("lock_timeout=7s") && !in_url.contains("5s"), "{in_url}");
        let both = options("postgres://anna@db/shop?options[lock_timeout]=7s", Some("9s"));
        assert!(both.find("7s") < both.find("9s"), "{both}");
    }
}
