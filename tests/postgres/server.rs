//! A server of a test's own, for tests that stop it or need it to be configured otherwise.

use std::path::Path;

use sqlx::{Connection, PgConnection};

#[path = "../../xtask/src/postgres.rs"]
mod postgres;

pub(crate) use postgres::{Server, Settings};

/// A server for tests that pull no power; its data is below the build's own temporary folder.
pub(crate) fn settings() -> Settings {
    Settings::new(Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgres"))
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_stopped_server_comes_back_with_its_data() {
    let mut server = Server::start(&settings()).unwrap();
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    sqlx::raw_sql("CREATE TABLE kept AS SELECT 7 AS number").execute(&mut connection).await.unwrap();
    server.stop_immediately().unwrap();
    assert!(sqlx::raw_sql("SELECT 1").execute(&mut connection).await.is_err());
    assert!(PgConnection::connect(&server.url()).await.is_err());
    let url = server.url();
    server.start_again().unwrap();
    assert_eq!(server.url(), url);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let number: i32 = sqlx::query_scalar("SELECT number FROM kept").fetch_one(&mut connection).await.unwrap();
    assert_eq!(number, 7);
    drop(server);
    assert!(PgConnection::connect(&url).await.is_err());
}
