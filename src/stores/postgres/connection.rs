//! Connections: how they are made, and what is set on each.

use eventlift_events::{StoreError, StoreErrorKind};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection};

use super::config::PostgresServer;
use super::failure::store_error;

/// How long a lock is waited for, unless the configuration says otherwise.
const LOCK_TIMEOUT: &str = "5s";

/// Connects to a server. Nothing that is looked up by name depends on `search_path`, times are read and written in UTC.
pub(super) async fn connect(server: &PostgresServer, display: &str) -> Result<PgConnection, StoreError> {
    let options = options(server, display)?;
    PgConnection::connect_with(&options).await.map_err(|e| store_error("open", display, e))
}

/// How connections are made.
pub(super) fn options(server: &PostgresServer, display: &str) -> Result<PgConnectOptions, StoreError> {
    let failed = |kind| StoreError::new("open", display, kind);
    let options = server.options().map_err(|e| failed(StoreErrorKind::Unexpected(e.to_string())))?;
    let options = match password(server).map_err(|kind| failed(kind).at("its password"))? {
        Some(password) => options.password(&password),
        None => options,
    };
    let settings = [
        ("search_path", "pg_catalog"),
        ("timezone", "UTC"),
        ("lock_timeout", server.lock_timeout.as_deref().unwrap_or(LOCK_TIMEOUT)),
        ("idle_in_transaction_session_timeout", "0"),
    ];
    let timeout = server.statement_timeout.as_deref().map(|timeout| ("statement_timeout", timeout));
    let name = options.get_application_name().unwrap_or("eventlift").to_owned();
    Ok(options.application_name(&name).options(settings).options(timeout).disable_statement_logging())
}

fn password(server: &PostgresServer) -> Result<Option<String>, StoreErrorKind> {
    if let Some(file) = &server.password_file {
        let text = std::fs::read_to_string(file)
            .map_err(|e| StoreErrorKind::Unexpected(format!("{}: {}", file.display(), e.kind())))?;
        return Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    let Some(variable) = &server.password_env else { return Ok(None) };
    match std::env::var(variable) {
        Ok(password) if !password.is_empty() => Ok(Some(password)),
        _ => Err(StoreErrorKind::Unexpected(format!("the environment variable {variable} is not set"))),
    }
}
