//! A database of a test's own on the server of the test run.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A database that is there as long as this is. Tests in one process and in several have names of their own.
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Makes one on the server that `EVENTLIFT_TEST_POSTGRES` names, the URL of a superuser.
    pub(crate) async fn create() -> Self {
        let server = std::env::var("EVENTLIFT_TEST_POSTGRES").expect("run these tests with `cargo xtask test`");
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        let database = Self { server, name };
        execute(&database.server, format!("CREATE DATABASE {}", database.name)).await;
        database
    }

    /// Its URL, as the superuser.
    pub(crate) fn url(&self) -> String {
        let (start, _) = self.server.rsplit_once('/').expect("the server's URL names a database");
        format!("{start}/{}", self.name)
    }

    /// Its name, which no other database of the server has.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A connection to it, as the superuser.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.expect("the test server answers")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (server, statement) = (self.server.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // A drop can't wait, and may happen on a runtime's thread; a thread of its own can have its own runtime.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(execute(&server, statement));
        });
        // What is left behind goes with the server.
        let _ = dropping.join();
    }
}

async fn execute(url: &str, statement: String) {
    let mut connection = PgConnection::connect(url).await.expect("the test server answers");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.expect("the test server obeys");
}
