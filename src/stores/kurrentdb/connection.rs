//! The way to the server.

use std::fmt;
use std::time::Duration;

use eventlift_events::{StoreError, StoreErrorKind};
use eventstore::{Client, ClientSettings, Error, ReadStreamOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::config::KurrentServer;
use super::failure::{store_error, unavailable};
use crate::stores::{encryption, password};

/// How long one host may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a node that does not lead is asked again, and after what wait at first.
const LEADERS: usize = 6;
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// What a client of HTTP/2 says first, with settings that change nothing.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A stream that nobody has, to find out whether the user is let in.
const NOBODYS: &str = "eventlift-looks-whether-it-may-read";

/// Connects to a server, asks it what it can do, and whether the user is let in. Fails at once where nobody answers on any
/// of its hosts, and where one side encrypts and the other does not.
pub(super) async fn connect(server: &KurrentServer, display: &(dyn fmt::Display + Sync)) -> Result<Client, StoreError> {
    let password = password::read(server.password_file.as_deref(), server.password_env.as_deref(), display)?;
    let invalid = |problem: String| StoreError::new("open", display, StoreErrorKind::Unexpected(problem));
    let settings = server.settings(password.as_deref()).map_err(|problem| invalid(problem.to_string()))?;
    reach(server, display).await?;
    encryption::choose();
    let client = || Client::new(settings.clone()).map_err(|problem| invalid(problem.to_string()));
    let first = client()?;
    let error = match look_in(&first).await {
        Ok(()) => return Ok(first),
        Err(error) => error,
    };
    let Some((problem, hint)) = otherwise_encrypted(&settings, &error).await else {
        return Err(store_error("open", display, error));
    };
    // A connection may also just have broken: then this one does not.
    let second = client()?;
    match look_in(&second).await {
        Ok(()) => Ok(second),
        Err(_) => Err(StoreError::new("open", display, StoreErrorKind::Denied(problem)).hint(hint)),
    }
}

/// Looks in, also where the URL names a node that does not lead: the client goes over to the leader by itself, and has to be
/// asked again.
async fn look_in(client: &Client) -> Result<(), Error> {
    let mut wait = FIRST_WAIT;
    for _ in 0..LEADERS {
        match look_once(client).await {
            Err(Error::NotLeaderException(_)) => tokio::time::sleep(wait).await,
            looked => return looked,
        }
        wait *= 2;
    }
    look_once(client).await
}

async fn look_once(client: &Client) -> Result<(), Error> {
    client.server_info().await?;
    let options = ReadStreamOptions::default().max_count(1);
    // Asking for what the server can do needs no password.
    let found = async { client.read_stream(NOBODYS, &options).await?.next().await };
    match found.await {
        Ok(_) | Err(Error::ResourceNotFound | Error::ResourceDeleted) => Ok(()),
        Err(error) => Err(error),
    }
}

/// What is wrong with the encryption, and what to try; none where nothing is. The client only says that it failed.
async fn otherwise_encrypted(settings: &ClientSettings, error: &Error) -> Option<(String, &'static str)> {
    if !matches!(error, Error::GrpcConnectionError(_) | Error::ConnectionClosed | Error::ServerError(_)) {
        return None;
    }
    for host in settings.hosts() {
        let port = u16::try_from(host.port).unwrap_or(u16::MAX);
        let asked = tokio::time::timeout(PATIENCE, is_encrypted(&host.host, port)).await;
        let Ok(Some(is_encrypted)) = asked else { continue };
        let place = format!("{}:{}", host.host, host.port);
        return match (is_encrypted, settings.is_secure_mode_enabled()) {
            (false, true) => Some((
                format!("{place} does not encrypt its connections"),
                "add ?tls=false to the URL, if the server was started with --insecure; is this the port of HTTP and gRPC?",
            )),
            (true, false) => Some((format!("{place} encrypts its connections"), "take tls=false out of the URL")),
            // The client was not even connected, where this was.
            (true, true) if error.to_string().contains("(Connect)") => Some((
                format!("the certificate of {place} is not trusted, or not made for that host"),
                "name its authority with tlsCaFile=…; is the host in the URL the one that it was made for?",
            )),
            _ => None,
        };
    }
    None
}

/// Whether the server takes a greeting without encryption for none: then it answers with an alert.
async fn is_encrypted(host: &str, port: u16) -> Option<bool> {
    const ALERT: u8 = 0x15;
    let mut connection = TcpStream::connect((host, port)).await.ok()?;
    connection.write_all(GREETING).await.ok()?;
    let mut first = [0_u8; 2];
    connection.read_exact(&mut first).await.ok()?;
    Some(first == [ALERT, 3])
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
