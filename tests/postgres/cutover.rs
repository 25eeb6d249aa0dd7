//! The story of tests/cutover, and its crashes, between two tables of PostgreSQL, which services write to with SQL.

use std::sync::Arc;

use eventlift::events::EventWriter;
use eventlift::stores::postgres::{PostgresConfig, PostgresWriter};
use sqlx::{PgConnection, Row as _};
use tokio::runtime::Runtime;

use super::database::Database;
use crate::cutover::boundaries;
use crate::cutover::story;
use crate::cutover::world::{Connection, New, Row, Side, World};

/// Two schemas of a database: `old.events` and `new.events`.
#[derive(Clone)]
struct Postgres {
    database: Arc<Database>,
}

fn schema(side: Side) -> &'static str {
    match side {
        Side::Source => "old",
        Side::Target => "new",
    }
}

impl Postgres {
    /// The source is there, sealed and empty.
    async fn create() -> Self {
        let database = Database::create().await;
        let config = PostgresConfig { schema: schema(Side::Source).to_owned(), ..PostgresConfig::new(database.url()) };
        PostgresWriter::open(config).await.unwrap().seal(true).await.unwrap();
        Self { database: Arc::new(database) }
    }
}

impl World for Postgres {
    fn toml(&self) -> String {
        let section =
            |name, side| format!("[{name}]\nurl = {:?}\nschema = \"{}\"\n", self.database.url(), schema(side));
        section("source", Side::Source) + &section("target", Side::Target)
    }

    fn open(&self, side: Side) -> Box<dyn Connection> {
        let database = Arc::clone(&self.database);
        // Services are no part of the test's runtime, on whose threads nothing may block.
        let opened = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let connection = runtime.block_on(database.connect());
            Service { runtime: Some(runtime), connection: Some(connection), schema: schema(side) }
        });
        Box::new(opened.join().unwrap())
    }
}

struct Service {
    runtime: Option<Runtime>,
    connection: Option<PgConnection>,
    schema: &'static str,
}

impl Service {
    fn on_its_thread<T: Send>(&mut self, work: impl AsyncFnOnce(&mut PgConnection) -> T + Send) -> T {
        let (runtime, connection) = (self.runtime.as_ref().unwrap(), self.connection.as_mut().unwrap());
        std::thread::scope(|scope| scope.spawn(move || runtime.block_on(work(connection))).join().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let (runtime, connection) = (self.runtime.take(), self.connection.take());
        // A runtime can't end on a thread of another one.
        let ended = std::thread::spawn(move || {
            drop(connection);
            drop(runtime);
        });
        ended.join().unwrap();
    }
}

impl Connection for Service {
    fn write(&mut self, event: &New) -> Result<(), String> {
        let sql = format!(
            "INSERT INTO {0}.events (stream, revision, id, type, schema_version, recorded_at, data, metadata)
             SELECT $1, coalesce(max(revision) + 1, 0), $2, $3, $4, now(), $5::json, '{{\"by\":\"test\"}}'::json
             FROM {0}.events WHERE stream = $1",
            self.schema
        );
        let event = event.clone();
        self.on_its_thread(async move |connection: &mut PgConnection| {
            let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(event.stream).bind(event.id).bind(event.event_type);
            let inserted = query.bind(event.version).bind(event.data).execute(connection).await;
            inserted.map(|done| assert_eq!(done.rows_affected(), 1)).map_err(|error| error.to_string())
        })
    }

    fn rows(&mut self) -> Vec<Row> {
        let sql = format!(
            "SELECT stream, revision, id::text AS id, type, schema_version::bigint AS version, data::text AS data
             FROM {}.events ORDER BY position",
            self.schema
        );
        self.on_its_thread(async move |connection: &mut PgConnection| {
            let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(connection).await.unwrap();
            rows.iter()
                .map(|row| Row {
                    stream: row.get("stream"),
                    revision: row.get("revision"),
                    id: row.get("id"),
                    event_type: row.get("type"),
                    version: row.get("version"),
                    data: row.get("data"),
                })
                .collect()
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn the_whole_story() {
    let world = Postgres::create().await;
    tokio::task::spawn_blocking(move || story::tell(&world)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_crash_at_every_boundary_of_a_cut_over() {
    boundaries::cut_over_at_every_boundary(Postgres::create).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_crash_at_every_boundary_of_the_way_back() {
    boundaries::go_back_at_every_boundary(Postgres::create).await;
}
