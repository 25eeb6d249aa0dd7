//! Read models in PostgreSQL against the suite that every store of them must pass, and what only PostgreSQL can break.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use eventlift::events::{Position, StoreError, StoreErrorKind};
use eventlift::projections::conformance::ReadModelsUnderTest;
use eventlift::projections::{
    ColumnType, Origin, ReadModelStore, Row, RowKey, RowUpdate, Side, SnapshotStore, Step, Table, Value,
};
use eventlift::stores::postgres::{PostgresReadModelConfig, PostgresReadModels};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::database::Database;

struct Postgres {
    database: Database,
}

impl Postgres {
    async fn new() -> Self {
        Self { database: Database::create().await }
    }

    fn config(&self) -> PostgresReadModelConfig {
        PostgresReadModelConfig {
            schema: "read models".to_owned(),
            ..PostgresReadModelConfig::new(self.database.url())
        }
    }

    async fn open(&self) -> PostgresReadModels {
        PostgresReadModels::open(self.config()).await.unwrap()
    }

    /// A connection as anybody has one.
    async fn psql(&self) -> PgConnection {
        let mut connection = self.database.connect().await;
        connection.execute("SET search_path = \"read models\", public").await.unwrap();
        connection
    }
}

#[async_trait]
impl ReadModelsUnderTest for Postgres {
    async fn read_models(&self) -> Result<Box<dyn ReadModelStore>, StoreError> {
        Ok(Box::new(PostgresReadModels::open(self.config()).await?))
    }

    async fn snapshots(&self) -> Result<Box<dyn SnapshotStore>, StoreError> {
        Ok(Box::new(PostgresReadModels::open(self.config()).await?))
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

eventlift::projections::read_model_conformance_tests!(
    store: Postgres::new().await,
    block_on: block_on,
    ignore: "needs a PostgreSQL server: cargo xtask test",
);

fn counts(name: &str) -> Table {
    Table::read_model(name, [("id", ColumnType::Integer), ("x", ColumnType::Integer)])
}

fn count(id: i64, x: i64) -> Row {
    Row(Box::new([Value::Integer(id), Value::Integer(x)]))
}

fn key(id: i64) -> RowKey {
    RowKey::of([&Value::Integer(id)]).unwrap()
}

fn origin() -> Origin {
    Origin { source: "s".to_owned(), fingerprint: "f".to_owned(), parts: vec![] }
}

/// Makes a complete shadow build of tables that all hold these rows.
async fn build(store: &PostgresReadModels, projection: &str, tables: &[Table], rows: &[Row]) {
    store.begin(projection, &origin(), tables).await.unwrap();
    for table in 0..tables.len() {
        store.load(projection, table, rows.to_vec()).await.unwrap();
    }
    store.complete(projection, Some(Position::new(1)), 1, &[]).await.unwrap();
}

async fn publish(store: &PostgresReadModels, projection: &str, tables: &[Table], rows: &[Row]) {
    build(store, projection, tables, rows).await;
    store.swap(&[projection]).await.unwrap();
}

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

async fn ask<T>(connection: &mut PgConnection, sql: &str) -> T
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap()
}

/// How often something is done that fails rarely, if at all: as often as `cargo xtask kill` says, or a few times.
fn times(few: u64) -> u64 {
    std::env::var("EVENTLIFT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(few).max(few)
}

/// Readers of two tables in one snapshot, through many swaps, see one generation in both, and all of it.
#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn readers_see_whole_generations_through_many_swaps() {
    block_on(async {
        let postgres = Postgres::new().await;
        let store = postgres.open().await;
        let tables = [counts("t"), counts("u")];
        publish(&store, "p", &tables, &[count(1, 0), count(2, 0)]).await;
        let is_over = Arc::new(AtomicBool::new(false));
        let mut readers = Vec::new();
        for _ in 0..2 {
            let mut reader = postgres.psql().await;
            let is_over = Arc::clone(&is_over);
            readers.push(tokio::spawn(async move {
                run(&mut reader, "SET lock_timeout = '5s'").await;
                let mut read = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    run(&mut reader, "BEGIN ISOLATION LEVEL REPEATABLE READ").await;
                    let of_t: Vec<i64> = sqlx::query_scalar("SELECT x FROM t").fetch_all(&mut reader).await.unwrap();
                    let of_u: Vec<i64> = sqlx::query_scalar("SELECT x FROM u").fetch_all(&mut reader).await.unwrap();
                    run(&mut reader, "COMMIT").await;
                    assert_eq!((of_t.len(), &of_t), (2, &of_u));
                    assert_eq!(of_t[0], of_t[1]);
                    read += 1;
                }
                read
            }));
        }
        for round in 1..=times(40) as i64 {
            build(&store, "p", &tables, &[count(1, round), count(2, round)]).await;
            match round % 5 {
                0 => {
                    store.swap(&["p"]).await.unwrap();
                    store.undo(&["p"]).await.unwrap();
                }
                _ => store.swap(&["p"]).await.unwrap(),
            }
        }
        is_over.store(true, Ordering::Relaxed);
        for reader in readers {
            assert!(reader.await.unwrap() > 0);
        }
    });
}

/// While a long reader keeps a swap waiting, others read; once it ends, the swap is done.
#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn a_long_reader_delays_the_swap_and_nobody_else() {
    block_on(async {
        let postgres = Postgres::new().await;
        let store = postgres.open().await;
        publish(&store, "p", &[counts("t")], &[count(1, 1)]).await;
        build(&store, "p", &[counts("t")], &[count(1, 2)]).await;
        let mut long = postgres.psql().await;
        run(&mut long, "BEGIN; SELECT * FROM t").await;
        let swapping = tokio::spawn({
            let store = store.clone();
            async move { store.swap(&["p"]).await }
        });
        let mut other = postgres.psql().await;
        run(&mut other, "SET lock_timeout = '5s'").await;
        for _ in 0..20 {
            assert_eq!(ask::<i64>(&mut other, "SELECT x FROM t").await, 1);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(!swapping.is_finished());
        run(&mut long, "COMMIT").await;
        swapping.await.unwrap().unwrap();
        assert_eq!(ask::<i64>(&mut other, "SELECT x FROM t").await, 2);
    });
}

/// A swap that gives up names who is in its way, and has changed nothing.
#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn a_swap_that_gives_up_names_the_holder() {
    block_on(async {
        let postgres = Postgres::new().await;
        let store = postgres.open().await.with_patience(Duration::from_secs(1));
        publish(&store, "p", &[counts("t")], &[count(1, 1)]).await;
        build(&store, "p", &[counts("t")], &[count(1, 2)]).await;
        let before = store.builds("p").await.unwrap();
        let mut long = postgres.psql().await;
        run(&mut long, "SET application_name = 'monthly report'; BEGIN; SELECT 'of t' FROM t").await;
        let pid: i32 = ask(&mut long, "SELECT pg_backend_pid()").await;
        let error = store.swap(&["p"]).await.unwrap_err();
        let message = error.to_string();
        assert!(matches!(error.kind, StoreErrorKind::Locked(_)), "{message}");
        for part in ["monthly report", &pid.to_string(), "idle in transaction", "pg_backend_pid"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(error.hint.unwrap().contains("pg_terminate_backend"));
        assert_eq!(store.builds("p").await.unwrap(), before);
        run(&mut long, "COMMIT").await;
        store.swap(&["p"]).await.unwrap();
    });
}

/// A snapshot from before the build would see its tables empty: the swap waits for it, and says so.
#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn a_swap_waits_for_snapshots_that_are_older_than_the_build() {
    block_on(async {
        let postgres = Postgres::new().await;
        let store = postgres.open().await.with_patience(Duration::from_millis(500));
        publish(&store, "p", &[counts("t")], &[count(1, 1)]).await;
        let mut old = postgres.psql().await;
        run(&mut old, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").await;
        build(&store, "p", &[counts("t")], &[count(1, 2)]).await;
        let message = store.swap(&["p"]).await.unwrap_err().to_string();
        assert!(message.contains("half filled"), "{message}");
        assert_eq!(ask::<i64>(&mut old, "SELECT x FROM t").await, 1);
        run(&mut old, "COMMIT").await;
        store.swap(&["p"]).await.unwrap();
        assert_eq!(ask::<i64>(&mut old, "SELECT x FROM t").await, 2);
    });
}

/// Everything that others can make on a table.
const MADE_BY_OTHERS: &str = r#"
CREATE TABLE audited (id bigint);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO audited VALUES (NEW.id); RETURN NEW; END';
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TRIGGER asleep AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION audit();
ALTER TABLE t DISABLE TRIGGER asleep;
COMMENT ON TRIGGER audit ON t IS 'who''s who';
CREATE INDEX "by x" ON t (x DESC) WHERE x > 0;
COMMENT ON INDEX "by x" IS 'for the report';
CREATE UNIQUE INDEX by_both ON t (x, id);
ALTER TABLE t ADD CONSTRAINT positive CHECK (x >= 0);
ALTER TABLE t ADD CONSTRAINT own_key UNIQUE (id, x);
COMMENT ON TABLE t IS 'the ''table''';
COMMENT ON COLUMN t.x IS 'how many';
ALTER TABLE t SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE t ALTER x SET STATISTICS 500;
CREATE STATISTICS correlated ON id, x FROM t;
ALTER TABLE t REPLICA IDENTITY FULL;
CREATE PUBLICATION "{name}" FOR TABLE t WHERE (x > 1);
CREATE POLICY few ON t FOR SELECT TO "{name}" USING (x < 100);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON t TO "{name}";
GRANT UPDATE (x) ON t TO "{name}" WITH GRANT OPTION;
CREATE VIEW doubled WITH (security_barrier = true) AS SELECT id, x * 2 AS twice FROM t;
CREATE VIEW quadrupled AS SELECT d.id, d.twice * 2 AS fourfold, t.x FROM doubled d JOIN t USING (id);
GRANT SELECT ON quadrupled TO "{name}";
COMMENT ON VIEW doubled IS 'two times';
CREATE FUNCTION total() RETURNS numeric LANGUAGE sql BEGIN ATOMIC SELECT sum(x) FROM t; END;
CREATE TABLE orders (id bigint PRIMARY KEY, t bigint REFERENCES t (id) ON DELETE CASCADE);
INSERT INTO orders VALUES (1, 1);
CREATE TABLE notes (id bigint);
CREATE RULE noted AS ON INSERT TO notes DO ALSO UPDATE t SET x = x WHERE id = NEW.id;
CREATE POLICY known ON notes USING (EXISTS (SELECT FROM t WHERE t.id = notes.id));
"#;

/// All of it, as the catalog shows it.
async fn what_others_made(psql: &mut PgConnection) -> Vec<String> {
    let queries = [
        "SELECT indexdef FROM pg_indexes WHERE tablename = 't' AND indexname NOT LIKE 'eventlift%' ORDER BY 1",
        "SELECT conname || pg_get_constraintdef(oid) || conrelid::regclass || confrelid::regclass FROM pg_constraint
         WHERE contype <> 'p' AND 't'::regclass IN (conrelid, confrelid) ORDER BY 1",
        "SELECT pg_get_triggerdef(oid) || tgenabled::text || coalesce(obj_description(oid, 'pg_trigger'), '') FROM pg_trigger
         WHERE tgrelid = 't'::regclass AND NOT tgisinternal ORDER BY 1",
        "SELECT relacl::text || relowner || coalesce(array_to_string(reloptions, ','), '') || relreplident::text
           || relrowsecurity || relforcerowsecurity || obj_description(oid) FROM pg_class WHERE oid = 't'::regclass",
        "SELECT coalesce(attacl::text, '') || attstattarget || coalesce(col_description(attrelid, attnum), '')
         FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0 ORDER BY attnum",
        "SELECT pg_get_statisticsobjdef(oid) FROM pg_statistic_ext WHERE stxrelid = 't'::regclass",
        "SELECT p::text FROM pg_publication_tables p WHERE tablename LIKE 't%'",
        "SELECT p::text FROM pg_policies p ORDER BY 1",
        "SELECT relname || pg_get_viewdef(oid) || coalesce(reloptions::text, '') || coalesce(relacl::text, '')
           || coalesce(obj_description(oid), '') || oid FROM pg_class WHERE relname IN ('doubled', 'quadrupled') ORDER BY 1",
        "SELECT pg_get_ruledef(oid) FROM pg_rewrite WHERE rulename = 'noted'",
        "SELECT pg_get_functiondef('total'::regproc)",
        "SELECT obj_description('\"by x\"'::regclass)",
    ];
    let mut found = Vec::new();
    for query in queries {
        let rows: Vec<Option<String>> = sqlx::query_scalar(query).fetch_all(&mut *psql).await.unwrap();
        found.push(format!("{rows:#?}"));
    }
    found
}

/// Behind a swap, behind undoing it, and behind a second one.
#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn what_others_made_on_a_live_table_stays_on_the_live_table() {
    block_on(async {
        let postgres = Postgres::new().await;
        let store = postgres.open().await;
        let mut psql = postgres.psql().await;
        publish(&store, "p", &[counts("t")], &[count(1, 1), count(2, 2)]).await;
        let name = format!("role_{}", uuid::Uuid::new_v4().simple());
        run(&mut psql, &format!("CREATE ROLE \"{name}\"")).await;
        run(&mut psql, &MADE_BY_OTHERS.replace("{name}", &name)).await;
        let before = what_others_made(&mut psql).await;
        let same = async |psql: &mut PgConnection, x: i64, when: &str| {
            for (before, now) in before.iter().zip(what_others_made(psql).await) {
                assert_eq!(*before, now, "{when}");
            }
            let shown: i64 = ask(psql, "SELECT fourfold FROM quadrupled WHERE id = 1").await;
            assert_eq!(shown, 4 * x, "{when}");
            let total: String = ask(psql, "SELECT total()::text").await;
            assert_eq!(total, (2 * x + 1).to_string(), "{when}");
        };
        same(&mut psql, 1, "before").await;
        build(&store, "p", &[counts("t")], &[count(1, 5), count(2, 6)]).await;
        store.swap(&["p"]).await.unwrap();
        same(&mut psql, 5, "behind a swap").await;
        store.undo(&["p"]).await.unwrap();
        same(&mut psql, 1, "behind undoing it").await;
        store.undo(&["p"]).await.unwrap();
        publish(&store, "p", &[counts("t")], &[count(1, 7), count(2, 8)]).await;
        same(&mut psql, 7, "behind a second swap").await;
        store.drop_previous("p").await.unwrap();
        same(&mut psql, 7, "once the previous build is dropped").await;
        // Its triggers fire with the path that they expect, and rows that stay are not deleted.
        let rows = vec![RowUpdate { table: 0, key: key(1), row: Some(count(1, 9)) }];
        let step = Step { from: Some(Position::new(1)), to: Position::new(2), events: 1, rows, quarantined: vec![] };
        store.step(Side::Live, "p", &step).await.unwrap();
        assert_eq!(ask::<i64>(&mut psql, "SELECT id FROM audited").await, 1);
        assert_eq!(ask::<i64>(&mut psql, "SELECT count(*) FROM orders").await, 1);
        // The foreign key holds on the table that is live now.
        assert!(psql.execute("INSERT INTO orders VALUES (2, 3)").await.is_err());
        run(&mut psql, &format!("DROP PUBLICATION \"{name}\"; DROP OWNED BY \"{name}\"; DROP ROLE \"{name}\"")).await;
    });
}

/// Rows that a foreign key of another table needs, a view of another shape, what can't be moved: each is named, and
/// nothing has changed.
#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn what_does_not_fit_the_new_table_is_named_and_nothing_changes() {
    block_on(async {
        let cases = [
            (
                "CREATE TABLE orders (t bigint REFERENCES t (id)); INSERT INTO orders VALUES (2)",
                "orders",
                "Key (t) is not present",
            ),
            ("CREATE VIEW seen AS SELECT x FROM t", "seen", "data type"),
            ("CREATE UNIQUE INDEX one_x ON t (x)", "one_x", "Key (x) is duplicated"),
            ("ALTER TABLE t ADD CONSTRAINT small CHECK (x::bigint < 10)", "small", "operator"),
            ("CREATE MATERIALIZED VIEW stale AS SELECT x FROM t", "stale", "materialized view"),
            ("CREATE FUNCTION all_t() RETURNS SETOF t LANGUAGE sql AS 'SELECT * FROM t'", "all_t", "can't be moved"),
            ("CREATE TABLE child () INHERITS (t)", "child", "inheritance"),
        ];
        for (made, named, said) in cases {
            let postgres = Postgres::new().await;
            let store = postgres.open().await;
            let mut psql = postgres.psql().await;
            publish(&store, "p", &[counts("t")], &[count(1, 1), count(2, 2)]).await;
            run(&mut psql, made).await;
            let other = Table::read_model("t", [("id", ColumnType::Integer), ("x", ColumnType::Text)]);
            let row = |id| Row(Box::new([Value::Integer(id), Value::text("a")]));
            build(&store, "p", &[other], &[row(1), row(3)]).await;
            let before = store.builds("p").await.unwrap();
            let message = store.swap(&["p"]).await.unwrap_err().to_string();
            assert!(message.contains(named) && message.contains(said), "{made}: {message}");
            assert_eq!(store.builds("p").await.unwrap(), before);
            assert_eq!(ask::<i64>(&mut psql, "SELECT sum(x)::bigint FROM t").await, 3);
        }
    });
}

/// Dropping takes nothing of anybody's along.
#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn a_previous_build_that_something_depends_on_is_not_dropped() {
    block_on(async {
        let postgres = Postgres::new().await;
        let store = postgres.open().await;
        let mut psql = postgres.psql().await;
        publish(&store, "p", &[counts("t"), counts("gone")], &[count(1, 1)]).await;
        run(&mut psql, "CREATE VIEW of_gone AS SELECT x FROM gone").await;
        publish(&store, "p", &[counts("t")], &[count(1, 2)]).await;
        let before = store.builds("p").await.unwrap();
        let message = store.drop_previous("p").await.unwrap_err().to_string();
        assert!(message.contains("of_gone"), "{message}");
        assert_eq!(store.builds("p").await.unwrap(), before);
        store.undo(&["p"]).await.unwrap();
        assert_eq!(ask::<i64>(&mut psql, "SELECT x FROM of_gone").await, 1);
    });
}

/// Whatever is there under a name that a build needs.
#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn tables_of_others_are_refused() {
    block_on(async {
        let postgres = Postgres::new().await;
        let store = postgres.open().await;
        let mut psql = postgres.psql().await;
        let long = "x".repeat(63);
        for made in [
            "CREATE TABLE t ()".to_owned(),
            "CREATE VIEW t__next AS SELECT 1".to_owned(),
            "CREATE SEQUENCE t__previous".to_owned(),
            "CREATE TYPE t AS ENUM ()".to_owned(),
        ] {
            run(&mut psql, &made).await;
            let error = store.begin("p", &origin(), &[counts("t")]).await.unwrap_err();
            assert!(error.to_string().contains("did not make"), "{made}: {error}");
            run(&mut psql, "DROP TABLE IF EXISTS t; DROP VIEW IF EXISTS t__next; DROP SEQUENCE IF EXISTS t__previous")
                .await;
        }
        // Names of 63 bytes that differ in the last one.
        let other = format!("{}y", "x".repeat(62));
        let mut indexed = counts(&long).indexed_by(&["x"]);
        indexed.indexes[0].unique = true;
        let tables = [indexed, Table { name: other, ..counts("t").indexed_by(&["x"]) }];
        for round in 0..3 {
            publish(&store, "p", &tables, &[count(1, round), count(2, round + 1)]).await;
        }
        store.undo(&["p"]).await.unwrap();
        assert_eq!(store.scan(Side::Live, "p", 1, None, 9).await.unwrap(), [count(1, 1), count(2, 2)]);
        let system = Table::read_model("s", [("id", ColumnType::Integer), ("xmin", ColumnType::Integer)]);
        let error = store.begin("q", &origin(), &[system]).await.unwrap_err();
        assert!(matches!(error.kind, StoreErrorKind::Unsupported(_)), "{error}");
    });
}

/// The right that is missing is named, with the statement that gives it.
#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn missing_rights_are_named() {
    block_on(async {
        let postgres = Postgres::new().await;
        let mut psql = postgres.psql().await;
        let role = format!("role_{}", uuid::Uuid::new_v4().simple());
        run(&mut psql, &format!("CREATE ROLE {role} LOGIN; CREATE SCHEMA \"read models\"")).await;
        let url = postgres.database.url().replace("postgres@", &format!("{role}@"));
        let config = || PostgresReadModelConfig {
            schema: "read models".to_owned(),
            ..PostgresReadModelConfig::new(url.clone())
        };
        let error = PostgresReadModels::open(config()).await.unwrap_err();
        assert!(matches!(error.kind, StoreErrorKind::Denied(_)), "{error}");
        let grant = format!("GRANT USAGE, CREATE ON SCHEMA \"read models\" TO {role}");
        assert!(error.hint.as_ref().unwrap().contains(&grant), "{:?}", error.hint);
        run(&mut psql, &grant).await;
        let store = PostgresReadModels::open(config()).await.unwrap();
        publish(&store, "p", &[counts("t")], &[count(1, 1)]).await;
        // Its owner may swap it, and a view of somebody else's in its way is named.
        run(&mut psql, "CREATE VIEW theirs AS SELECT x FROM t").await;
        build(&store, "p", &[counts("t")], &[count(1, 2)]).await;
        let error = store.swap(&["p"]).await.unwrap_err();
        assert!(matches!(error.kind, StoreErrorKind::Denied(_)), "{error}");
        assert!(error.to_string().contains("theirs") && error.hint.unwrap().contains("GRANT"));
        run(&mut psql, &format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).await;
    });
}

/// Looking creates nothing and changes nothing.
#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn looking_changes_nothing() {
    block_on(async {
        let postgres = Postgres::new().await;
        assert!(PostgresReadModels::look(postgres.config()).await.unwrap().is_none());
        let mut psql = postgres.psql().await;
        assert_eq!(ask::<i64>(&mut psql, "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'read%'").await, 0);
        let store = postgres.open().await;
        publish(&store, "p", &[counts("t")], &[count(1, 1)]).await;
        let looking = PostgresReadModels::look(postgres.config()).await.unwrap().unwrap();
        assert_eq!(looking.identity(), store.identity());
        assert_eq!(looking.scan(Side::Live, "p", 0, None, 9).await.unwrap(), [count(1, 1)]);
        let read_only = |error: StoreError| assert!(matches!(error.kind, StoreErrorKind::ReadOnly), "{error}");
        read_only(looking.begin("p", &origin(), &[counts("t")]).await.unwrap_err());
        read_only(looking.hold("p").await.unwrap_err());
        read_only(looking.drop_previous("p").await.unwrap_err());
    });
}

/// Who lost a projection to somebody else can't change it any more.
#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn a_holder_that_was_cut_off_is_fenced_off() {
    block_on(async {
        let postgres = Postgres::new().await;
        let (zombie, heir) = (postgres.open().await, postgres.open().await);
        let mut psql = postgres.psql().await;
        let lost = zombie.hold("p").await.unwrap();
        build(&zombie, "p", &[counts("t")], &[count(1, 1)]).await;
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        assert!(ask::<bool>(&mut psql, cut).await);
        let held = heir.hold("p").await.unwrap();
        let error = zombie.swap(&["p"]).await.unwrap_err();
        assert!(matches!(error.kind, StoreErrorKind::Locked(_)), "{error}");
        assert!(zombie.begin("p", &origin(), &[counts("t")]).await.is_err());
        heir.swap(&["p"]).await.unwrap();
        drop(lost);
        assert!(heir.is_held("p").await.unwrap());
        heir.undo(&["p"]).await.unwrap_err();
        drop(held);
        assert!(!heir.is_held("p").await.unwrap());
    });
}

/// A server process that ends at any moment: the same call again ends as it would have.
#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn terminated_server_processes_lose_and_double_nothing() {
    block_on(async {
        let postgres = Postgres::new().await;
        let store = postgres.open().await;
        let is_over = Arc::new(AtomicBool::new(false));
        let terminating = tokio::spawn({
            let (mut psql, is_over) = (postgres.psql().await, Arc::clone(&is_over));
            async move {
                let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                           WHERE datname = current_database() AND application_name = 'eventlift'";
                let (mut terminated, mut pause) = (0, 1_u64);
                while !is_over.load(Ordering::Relaxed) {
                    terminated += ask::<i64>(&mut psql, sql).await;
                    // Up to two thirds of a second, so that every call gets its turn to pass.
                    pause = pause * 7 % 661;
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
                terminated
            }
        });
        let passes = |error: StoreError| assert!(error.may_pass(), "{error}");
        let tables = [counts("t").indexed_by(&["x"]), counts("u")];
        for round in 1..=(times(40) / 13) as i64 {
            let generation = loop {
                match store.begin("p", &origin(), &tables).await {
                    Ok(build) => break build.generation,
                    Err(error) => passes(error),
                }
            };
            for portion in 0..3 {
                let rows: Vec<Row> = (portion * 100..portion * 100 + 100).map(|id| count(id, round)).collect();
                for table in 0..2 {
                    while let Err(error) = store.load("p", table, rows.clone()).await {
                        passes(error);
                    }
                }
            }
            while let Err(error) = store.complete("p", Some(Position::new(1)), 1, &[]).await {
                passes(error);
            }
            while let Err(error) = store.swap(&["p"]).await {
                passes(error);
            }
            let rows = vec![RowUpdate { table: 0, key: key(0), row: Some(count(0, -round)) }];
            let step =
                Step { from: Some(Position::new(1)), to: Position::new(2), events: 1, rows, quarantined: vec![] };
            while let Err(error) = store.step(Side::Live, "p", &step).await {
                passes(error);
            }
            let live = loop {
                match store.builds("p").await {
                    Ok(builds) => break builds.live.unwrap(),
                    Err(error) => passes(error),
                }
            };
            assert_eq!((live.generation, live.checkpoint, live.events), (generation, Some(Position::new(2)), 2));
            for (table, first) in [(0, -round), (1, round)] {
                let found = loop {
                    match store.scan(Side::Live, "p", table, None, 1_000).await {
                        Ok(rows) => break rows,
                        Err(error) => passes(error),
                    }
                };
                let mut expected: Vec<Row> = (0..300).map(|id| count(id, round)).collect();
                expected[0] = count(0, first);
                assert_eq!(found, expected);
            }
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(terminating.await.unwrap() > 0);
    });
}

/// Tables are logged from the start: what was loaded outlives the server.
#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn shadow_tables_are_logged() {
    block_on(async {
        let postgres = Postgres::new().await;
        let store = postgres.open().await;
        let mut psql = postgres.psql().await;
        store.begin("p", &origin(), &[counts("t")]).await.unwrap();
        let persistence = "SELECT relpersistence::text FROM pg_class WHERE relname = 't__next'";
        assert_eq!(ask::<String>(&mut psql, persistence).await, "p");
    });
}

/// Whoever reads goes on while rows are loaded.
#[test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
fn reads_go_on_while_a_call_waits() {
    block_on(async {
        let postgres = Postgres::new().await;
        let store = postgres.open().await;
        publish(&store, "p", &[counts("t")], &[count(1, 1)]).await;
        store.begin("p", &origin(), &[counts("t")]).await.unwrap();
        let mut psql = postgres.psql().await;
        run(&mut psql, "BEGIN; LOCK TABLE t__next").await;
        let loading = tokio::spawn({
            let store = store.clone();
            async move { store.load("p", 0, vec![count(1, 2)]).await }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(store.rows(Side::Live, "p", 0, &[key(1)]).await.unwrap(), [Some(count(1, 1))]);
        assert!(!loading.is_finished());
        run(&mut psql, "COMMIT").await;
        loading.await.unwrap().unwrap();
        psql.close().await.unwrap();
    });
}

/// Prints rows a second; run by name.
#[test]
#[ignore = "measures, and proves nothing"]
fn measure_loading_and_swapping() {
    block_on(async {
        let postgres = Postgres::new().await;
        let store = postgres.open().await;
        let columns = [
            ("id", ColumnType::Text),
            ("name", ColumnType::Text),
            ("total", ColumnType::Numeric),
            ("orders", ColumnType::Integer),
            ("last", ColumnType::Time),
        ];
        let table = Table::read_model("customers", columns);
        for total in [50_000_usize, 1_000_000] {
            let begun = Instant::now();
            store.begin("p", &origin(), std::slice::from_ref(&table)).await.unwrap();
            let mut made = Duration::ZERO;
            for start in (0..total).step_by(10_000) {
                let making = Instant::now();
                let rows = (start..start + 10_000).map(|number| {
                    Row(Box::new([
                        Value::text(format!("customer-{number:09}")),
                        Value::text(format!("The name of number {number}")),
                        Value::numeric(format!("{number}.10").parse().unwrap()),
                        Value::Integer(number as i64),
                        Value::Time(eventlift::events::Timestamp::from_micros(number as i64 * 1_000_000).unwrap()),
                    ]))
                });
                let rows = rows.collect();
                made += making.elapsed();
                store.load("p", 0, rows).await.unwrap();
            }
            let loaded = begun.elapsed() - made;
            let completing = Instant::now();
            store.complete("p", Some(Position::new(1)), 1, &[]).await.unwrap();
            let completed = completing.elapsed();
            let swapping = Instant::now();
            store.swap(&["p"]).await.unwrap();
            println!(
                "{total} rows: load {:.0} rows/s, complete {completed:.2?}, both {:.0} rows/s, swap {:.2?}",
                total as f64 / loaded.as_secs_f64(),
                total as f64 / (loaded + completed).as_secs_f64(),
                swapping.elapsed()
            );
        }
    });
}
