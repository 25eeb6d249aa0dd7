//! Who is let in, how the way there is protected, and what is said where it ends.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use eventlift::events::StoreErrorKind;
use eventlift::stores::postgres::PostgresServer;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::certificates::Certificates;
use crate::postgres_child::reach;

use super::database::Database;
use super::server::{Server, settings};

const PASSWORD: &str = "s3cret word/?#@:é";
const ENCODED: &str = "s3cret%20word%2F%3F%23%40%3A%C3%A9";

/// What connecting came to: `reached`, or the error, and its hint behind a bar. Never with the password.
async fn tried(server: PostgresServer) -> String {
    let said = match server.reach().await {
        Ok(()) => "reached".to_owned(),
        Err(error) => {
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
            format!("{error} | {}", error.hint.as_deref().unwrap_or_default())
        }
    };
    assert!(!said.contains("s3cret"), "{said}");
    said
}

async fn tried_url(url: impl Into<String>) -> String {
    tried(PostgresServer::new(url)).await
}

fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
}

/// A server that asks `anna` for her password and wants to know nothing of `bert`.
async fn guarded() -> Server {
    let settings = settings().access("host all anna 127.0.0.1/32 scram-sha-256").access("host all bert all reject");
    let server = Server::start(&settings).unwrap();
    execute(&server.url(), &format!("CREATE ROLE anna LOGIN PASSWORD '{PASSWORD}'; CREATE ROLE bert LOGIN")).await;
    server
}

async fn execute(url: &str, statements: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.unwrap();
}

fn password_file(folder: &Path, text: &str, mode: u32) -> PathBuf {
    let file = folder.join(format!("password-{mode:o}"));
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    file
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_password_comes_from_the_url_or_a_file() {
    let server = guarded().await;
    let (port, folder) = (server.port(), tempfile::tempdir().unwrap());
    let url = format!("postgres://anna@127.0.0.1:{port}/postgres");
    assert_eq!(tried_url(format!("postgres://anna:{ENCODED}@127.0.0.1:{port}/postgres")).await, "reached");
    assert_eq!(tried_url(format!("{url}?password={ENCODED}")).await, "reached");

    let from = |file: PathBuf| PostgresServer { password_file: Some(file), ..PostgresServer::new(url.clone()) };
    let closed = password_file(folder.path(), &format!("{PASSWORD}\n"), 0o600);
    assert_eq!(tried(from(closed)).await, "reached");
    for mode in [0o604, 0o640] {
        let open = password_file(folder.path(), PASSWORD, mode);
        assert_says(&tried(from(open)).await, &["can be read by others", "| chmod 600 "]);
    }
    assert_says(&tried(from(password_file(folder.path(), "\n", 0o400))).await, &["at its password", "is empty"]);
    assert_says(&tried(from(folder.path().join("gone"))).await, &["at its password", "gone: entity not found"]);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_password_comes_from_the_environment() {
    let server = guarded().await;
    let (port, folder) = (server.port(), tempfile::tempdir().unwrap());
    let url = format!("postgres://anna@127.0.0.1:{port}/postgres");
    assert_eq!(reach(&url, None, &[("PGPASSWORD", PASSWORD)]), "reached");
    assert_eq!(reach(&url, Some("ANNAS"), &[("ANNAS", PASSWORD), ("PGPASSWORD", "wrong")]), "reached");
    assert_says(&reach(&url, Some("ANNAS"), &[]), &["the environment variable ANNAS is not set"]);
    assert_says(&reach(&url, None, &[("PGSSLMODE", "verify_full")]), &["PGSSLMODE can't be \"verify_full\""]);

    let line = format!("127.0.0.1:{port}:*:anna:{}\n", PASSWORD.replace(':', "\\:"));
    let list = password_file(folder.path(), &line, 0o600);
    assert_eq!(reach(&url, None, &[("PGPASSFILE", list.to_str().unwrap())]), "reached");
    let open = password_file(folder.path(), &line, 0o644);
    let said = reach(&url, None, &[("PGPASSFILE", open.to_str().unwrap())]);
    assert_says(&said, &["password authentication failed", "is ignored as long as others can read it: chmod 600 "]);
    let nothing = [("PGPASSFILE", "/nonexistent")];
    assert_says(&reach(&url, None, &nothing), &["password authentication failed", "| give the password in PGPASSWORD"]);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn whoever_is_not_let_in_is_told_why() {
    let server = guarded().await;
    let port = server.port();
    let at = |start: &str, database: &str| format!("postgres://{start}@127.0.0.1:{port}/{database}");
    let wrong = tried_url(at("anna:s3cret-but-wrong", "postgres")).await;
    assert_says(
        &wrong,
        &[&format!("failed to open postgres://127.0.0.1:{port}/postgres: password authentication failed")],
    );
    let error = PostgresServer::new(at("anna:s3cret-but-wrong", "postgres")).reach().await.unwrap_err();
    assert!(matches!(error.kind, StoreErrorKind::Denied(_)) && !error.may_pass());

    let missing = PostgresServer::new(at("postgres:s3cret", "nowhere")).reach().await.unwrap_err();
    assert!(matches!(missing.kind, StoreErrorKind::Missing), "{missing}");
    assert_says(&tried_url(at("postgres:s3cret", "nowhere")).await, &["it does not exist | make the database with"]);
    assert_says(&tried_url(at("nobody:s3cret", "postgres")).await, &["role \"nobody\" does not exist | see whether"]);
    assert_says(&tried_url(at("bert:s3cret", "postgres")).await, &["pg_hba.conf"]);

    execute(&server.url(), "CREATE DATABASE closed").await;
    execute(&server.url(), "REVOKE CONNECT ON DATABASE closed FROM PUBLIC").await;
    let closed = tried_url(at(&format!("anna:{ENCODED}"), "closed")).await;
    assert_says(&closed, &["permission denied for database", "run: GRANT CONNECT ON DATABASE closed TO anna"]);

    let bad_setting = PostgresServer {
        // What the configuration file would not have let pass.
        statement_timeout: Some("soon".to_owned()),
        ..PostgresServer::new(at("postgres:s3cret", "postgres"))
    };
    assert_says(&tried(bad_setting).await, &["\"statement_timeout\": \"soon\"", "| write durations"]);
    assert_says(&tried_url(at("postgres:s3cret", "postgres?sslmod=require")).await, &["`sslmod` is none of sslmode"]);
    assert_says(&tried_url(format!("postgres://anna:12/s3cret@127.0.0.1:{port}/x")).await, &["%2F"]);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_server_that_is_away_may_come_back() {
    let mut server = Server::start(&settings()).unwrap();
    assert_eq!(tried_url(server.url()).await, "reached");
    server.stop_immediately().unwrap();
    let gone = PostgresServer::new(server.url()).reach().await.unwrap_err();
    assert!(gone.may_pass(), "{gone}");
    assert_says(&tried_url(server.url()).await, &["refused", "| see whether the server runs"]);
    server.start_again().unwrap();
    assert_eq!(tried_url(server.url()).await, "reached");

    // It takes the connection and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://anna:s3cret@127.0.0.1:{}/x?connect_timeout=1", silent.local_addr().unwrap().port());
    assert!(PostgresServer::new(url.clone()).reach().await.unwrap_err().may_pass());
    assert_says(&tried_url(url).await, &["no answer within 1 s"]);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_certificate_must_fit_where_it_is_asked_for() {
    let (certificates, other) = (Certificates::make(), Certificates::make());
    let server = Server::start(&settings().certificate(certificates.certificate(), certificates.key())).unwrap();
    let (port, authority, stranger) = (server.port(), certificates.authority(), other.authority());
    let (authority, stranger) = (authority.display(), stranger.display());
    let at = |host: &str, parameters: String| {
        tried_url(format!("postgres://postgres:s3cret@{host}:{port}/postgres?{parameters}"))
    };
    assert_eq!(at("localhost", format!("sslmode=verify-full&sslrootcert={authority}")).await, "reached");
    assert_eq!(at("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={authority}")).await, "reached");
    assert_eq!(at("127.0.0.1", "sslmode=require".to_owned()).await, "reached");

    let name = at("127.0.0.1", format!("sslmode=verify-full&sslrootcert={authority}")).await;
    assert_says(&name, &["TLS: invalid peer certificate", "not valid for name", "sslmode=verify-ca"]);
    let unknown = at("localhost", "sslmode=verify-full".to_owned()).await;
    assert_says(&unknown, &["TLS: invalid peer certificate: UnknownIssuer", "sslmode=verify-full&sslrootcert="]);
    // As in libpq, whoever names an authority wants it to have signed.
    for mode in ["require", "verify-ca", "verify-full"] {
        let foreign = at("localhost", format!("sslmode={mode}&sslrootcert={stranger}")).await;
        assert_says(&foreign, &["TLS: invalid peer certificate"]);
    }
    let gone = at("localhost", "sslmode=verify-full&sslrootcert=/nonexistent/ca.pem".to_owned()).await;
    assert_says(&gone, &["`sslrootcert` /nonexistent/ca.pem: entity not found"]);
    let no_pem = at("localhost", "sslmode=verify-full&sslrootcert=Cargo.toml".to_owned()).await;
    assert_says(&no_pem, &["`sslrootcert` Cargo.toml is no PEM file"]);

    let url = format!("postgres://postgres:s3cret@localhost:{port}/postgres?sslmode=verify-full");
    let refused = PostgresServer::new(url).reach().await.unwrap_err();
    assert!(!refused.may_pass(), "{refused}");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_server_without_tls_is_refused_where_it_is_asked_for() {
    let server = Server::start(&settings().set("ssl", "off")).unwrap();
    for mode in ["require", "verify-ca", "verify-full"] {
        let said = tried_url(format!("{}?sslmode={mode}", server.url())).await;
        assert_says(&said, &["server does not support TLS", "| turn on `ssl` at the server"]);
    }
    assert_eq!(tried_url(format!("{}?sslmode=prefer", server.url())).await, "reached");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_socket_needs_no_tls() {
    let folder = tempfile::tempdir().unwrap();
    // The server may run as another user.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let path = folder.path().to_str().unwrap();
    let server = Server::start(&settings().set("unix_socket_directories", path)).unwrap();
    let encoded = path.replace('/', "%2F");
    let url = format!("postgres://postgres@{encoded}:{}/postgres?sslmode=verify-full", server.port());
    assert_eq!(tried_url(url).await, "reached");
    let url = format!("postgres:///postgres?host={path}&user=postgres&port={}", server.port());
    assert_eq!(tried_url(url).await, "reached");
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn databases_that_are_not_utf8_are_refused() {
    let database = Database::create().await;
    let mut connection = database.connect().await;
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let make = format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut connection).await.unwrap();
        let url = database.url();
        let said = tried_url(format!("{}/{name}", url.rsplit_once('/').unwrap().0)).await;
        let remove = format!("DROP DATABASE {name} WITH (FORCE)");
        sqlx::raw_sql(AssertSqlSafe(remove)).execute(&mut connection).await.unwrap();
        assert_says(&said, &[&format!("the database is encoded as {encoding}"), "| copy it into a database"]);
    }
}

/// What the classification of errors relies on: what a standby answers to those who would write.
#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_standby_can_be_reached_and_refuses_to_write() {
    let server = Server::start(&settings()).unwrap();
    execute(&server.url(), "CREATE TABLE events (position bigserial)").await;
    let standby = server.standby().unwrap();
    assert_eq!(tried_url(standby.url()).await, "reached");
    let mut connection = PgConnection::connect(&standby.url()).await.unwrap();
    let there = "SELECT to_regclass('events') IS NOT NULL AND pg_is_in_recovery()";
    let there: bool = sqlx::query_scalar(there).fetch_one(&mut connection).await.unwrap();
    assert!(there);
    let refused = [
        ("INSERT INTO events DEFAULT VALUES", "25006", "read-only transaction"),
        ("SELECT nextval('events_position_seq')", "25006", "read-only transaction"),
        ("LISTEN events", "25006", "during recovery"),
        ("LOCK TABLE events IN EXCLUSIVE MODE", "25006", "during recovery"),
    ];
    for (statement, code, message) in refused {
        let error = sqlx::raw_sql(statement).execute(&mut connection).await.unwrap_err();
        let error = error.as_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some(code), "{statement}: {error}");
        assert!(error.message().contains(message), "{statement}: {error}");
    }
}
