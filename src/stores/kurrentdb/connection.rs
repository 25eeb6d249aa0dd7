//! The way to the server.

use std::fmt;
use std::time::Duration;

use eventlift_events::{StoreError, StoreErrorKind};
use eventstore::Client;
use tokio::net::TcpStream;

use super::config::KurrentServer;
use super::failure::{store_error, unavailable};
use crate::stores::password;

/// How long one host may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connects to a server, and asks it what it can do. Fails at once where nobody answers on any of its hosts.
pub(super) async fn connect(server: &KurrentServer, display: &(dyn fmt::Display + Sync)) -> Result<Client, StoreError> {
    let password = password::read(server.password_file.as_deref(), server.password_env.as_deref(), display)?;
    let invalid = |problem: String| StoreError::new("open", display, StoreErrorKind::Unexpected(problem));
    let settings = server.settings(password.as_deref()).map_err(|problem| invalid(problem.to_string()))?;
    reach(server, display).await?;
    let client = Client::new(settings).map_err(|problem| invalid(problem.to_string()))?;
    client.server_info().await.map_err(|error| store_error("open", display, error))?;
    Ok(client)
}

/// Whether anybody answers on one of the hosts. The client's own errors don't say.
pub(super) async fn reach(server: &KurrentServer, display: &(dyn fmt::Display + Sync)) -> Result<(), StoreError> {
    let settings = server.settings(None);
    let settings = settings
        .map_err(|problem| StoreError::new("open", display, StoreErrorKind::Unexpected(problem.to_string())))?;
    let mut last = None;
    for host in settings.hosts() {
        let port = u16::try_from(host.port).unwrap_or(u16::MAX);
        match tokio::time::timeout(PATIENCE, TcpStream::connect((host.host.as_str(), port))).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => last = Some(StoreErrorKind::Unavailable(Box::new(error))),
            Err(_) => {
                last = Some(StoreErrorKind::Unavailable(Box::new(std::io::Error::from(std::io::ErrorKind::TimedOut))))
            }
        }
    }
    let kind = last.unwrap_or_else(|| unavailable("the URL names no host".to_owned()));
    Err(StoreError::new("open", display, kind)
        .hint("is the server up, and is this the port of its HTTP and gRPC side (2113)?"))
}
