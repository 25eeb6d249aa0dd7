//! A fence around a table, of eventlift's own and of a service's.

use std::time::Duration;

use async_trait::async_trait;
use eventlift::events::conformance::{FenceUnderTest, Write};
use eventlift::events::{EventWriter, Fence, FenceNotice, RunId, StoreError, Timestamp};
use eventlift::stores::postgres::{FENCED, PostgresConfig, PostgresFence, PostgresWriter};
use sqlx::postgres::PgDatabaseError;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::database::Database;

struct Fenced {
    database: Database,
}

impl Fenced {
    async fn new() -> Self {
        let fenced = Self { database: Database::create().await };
        PostgresWriter::open(fenced.config()).await.unwrap().seal(true).await.unwrap();
        fenced
    }

    fn config(&self) -> PostgresConfig {
        PostgresConfig::new(self.database.url())
    }
}

struct ServiceWrite(PgConnection);

#[async_trait]
impl Write for ServiceWrite {
    async fn commit(mut self: Box<Self>) -> Result<(), String> {
        sqlx::raw_sql("COMMIT").execute(&mut self.0).await.map(|_| ()).map_err(|e| e.to_string())
    }

    async fn roll_back(mut self: Box<Self>) {
        sqlx::raw_sql("ROLLBACK").execute(&mut self.0).await.unwrap();
    }
}

fn insert(number: u64) -> String {
    format!(
        "INSERT INTO public.events (position, stream, revision, id, type)
         VALUES (1000 + {number}, 'service-{number}', 0, 'service-{number}', 'T')"
    )
}

async fn execute(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.map(|_| ())
}

/// What the server says to a statement that it must refuse: code, message, detail, hint.
async fn refused(connection: &mut PgConnection, sql: &str) -> [String; 4] {
    let error = execute(connection, sql).await.expect_err(sql);
    let said = error.as_database_error().unwrap().downcast_ref::<PgDatabaseError>();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    [said.code().to_owned(), said.message().to_owned(), text(said.detail()), text(said.hint())]
}

async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(connection).await.unwrap()
}

#[async_trait]
impl FenceUnderTest for Fenced {
    async fn fence(&self) -> Result<Box<dyn Fence>, StoreError> {
        Ok(Box::new(PostgresFence::open(self.config()).await?))
    }

    async fn writer(&self) -> Result<Box<dyn EventWriter>, StoreError> {
        Ok(Box::new(PostgresWriter::open(self.config()).await?))
    }

    async fn begin(&self, number: u64) -> Result<Box<dyn Write>, String> {
        let mut connection = self.database.connect().await;
        execute(&mut connection, "BEGIN").await.unwrap();
        execute(&mut connection, &insert(number)).await.map_err(|e| e.to_string())?;
        Ok(Box::new(ServiceWrite(connection)))
    }

    async fn change(&self, number: u64) -> [Result<(), String>; 2] {
        let mut connection = self.database.connect().await;
        let update = format!("UPDATE public.events SET data = '{{}}' WHERE stream = 'service-{number}'");
        let delete = format!("DELETE FROM public.events WHERE stream = 'service-{number}'");
        [
            execute(&mut connection, &update).await.map_err(|e| e.to_string()),
            execute(&mut connection, &delete).await.map_err(|e| e.to_string()),
        ]
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

eventlift::events::fence_conformance_tests!(
    store: Fenced::new().await,
    block_on: block_on,
    ignore: "needs a PostgreSQL server: cargo xtask test"
);

fn notice(message: &str) -> FenceNotice {
    FenceNotice { run: RunId::random(), message: message.to_owned(), set_at: Timestamp::EPOCH, expires_at: None }
}

async fn fence(config: &PostgresConfig) -> PostgresFence {
    PostgresFence::open(config.clone()).await.unwrap()
}

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn every_kind_of_write_is_refused_with_its_own_code() {
    let fenced = Fenced::new().await;
    let mut service = fenced.database.connect().await;
    execute(&mut service, &insert(1)).await.unwrap();
    let mut fence = fence(&fenced.config()).await;
    let notice = notice("moved: it's \\ 'E'' $$ % $body$ at https://new.example");
    fence.set(&notice, PATIENCE).await.unwrap();
    let detail = format!("Fenced by eventlift for run {} since {}.", notice.run, notice.set_at);
    let hint = "Nothing was written. Try again later, and where the message says.".to_owned();
    let expected = [FENCED.to_owned(), notice.message.clone(), detail, hint];
    let writes = [
        &*insert(2),
        "COPY public.events (position, stream, revision, id, type) FROM PROGRAM 'true'",
        "UPDATE public.events SET type = 'U' WHERE false",
        "DELETE FROM public.events",
        "TRUNCATE public.events",
        "SET session_replication_role = replica; DELETE FROM public.events",
        "SET standard_conforming_strings = off; DELETE FROM public.events",
        "BEGIN ISOLATION LEVEL SERIALIZABLE; DELETE FROM public.events",
    ];
    for write in writes {
        let mut service = fenced.database.connect().await;
        assert_eq!(refused(&mut service, write).await, expected, "{write}");
    }
    // Whoever has looked before, in a snapshot of then.
    let mut earlier = fenced.database.connect().await;
    fence.lift(notice.run).await.unwrap();
    execute(&mut earlier, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM public.events").await.unwrap();
    fence.set(&notice, PATIENCE).await.unwrap();
    assert_eq!(refused(&mut earlier, &insert(2)).await, expected);
    assert_eq!(number(&mut service, "SELECT count(*) FROM public.events").await, 1);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn prepared_transactions_and_savepoints_are_waited_for() {
    let fenced = Fenced::new().await;
    let mut fence = fence(&fenced.config()).await;
    let notice = notice("fenced");
    let mut service = fenced.database.connect().await;
    // What was rolled back to a savepoint has left no row, and the transaction may do what it likes elsewhere.
    execute(&mut service, "BEGIN; SAVEPOINT a").await.unwrap();
    execute(&mut service, &insert(1)).await.unwrap();
    execute(&mut service, "ROLLBACK TO a").await.unwrap();
    fence.set(&notice, Duration::from_millis(200)).await.unwrap();
    let [code, ..] = refused(&mut service, &insert(1)).await;
    assert_eq!(code, FENCED);
    execute(&mut service, "ROLLBACK").await.unwrap();
    fence.lift(notice.run).await.unwrap();

    // A savepoint that was kept is as good as the transaction.
    execute(&mut service, "BEGIN; SAVEPOINT a").await.unwrap();
    execute(&mut service, &insert(1)).await.unwrap();
    execute(&mut service, "RELEASE a").await.unwrap();
    assert!(fence.set(&notice, Duration::from_millis(200)).await.unwrap_err().may_pass());
    execute(&mut service, "COMMIT").await.unwrap();

    // Prepared transactions are there where the server allows them.
    if number(&mut service, "SELECT current_setting('max_prepared_transactions')::int8").await > 0 {
        // Nothing that notifies can be prepared.
        execute(&mut service, "DROP TRIGGER eventlift_notify ON public.events; BEGIN").await.unwrap();
        execute(&mut service, &insert(2)).await.unwrap();
        execute(&mut service, "PREPARE TRANSACTION 'held'").await.unwrap();
        let error = fence.set(&notice, Duration::from_millis(200)).await.unwrap_err();
        assert!(error.to_string().ends_with("still being written to by a prepared transaction"), "{error}");
        execute(&mut service, "COMMIT PREPARED 'held'").await.unwrap();
    }
    fence.set(&notice, PATIENCE).await.unwrap();
    fence.lift(notice.run).await.unwrap();
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_table_of_a_service_with_partitions_is_fenced_as_a_whole() {
    let database = Database::create().await;
    let mut service = database.connect().await;
    let table = "CREATE SCHEMA \"Shop's\";
        CREATE TABLE \"Shop's\".\"Log \"\"1\"\"\" (number bigint, body text) PARTITION BY RANGE (number);
        CREATE TABLE \"Shop's\".low PARTITION OF \"Shop's\".\"Log \"\"1\"\"\" FOR VALUES FROM (0) TO (10);
        CREATE TABLE \"Shop's\".high PARTITION OF \"Shop's\".\"Log \"\"1\"\"\" FOR VALUES FROM (10) TO (20)
            PARTITION BY RANGE (number);
        CREATE TABLE public.highest PARTITION OF \"Shop's\".high FOR VALUES FROM (10) TO (20);
        INSERT INTO \"Shop's\".\"Log \"\"1\"\"\" VALUES (1), (11)";
    execute(&mut service, table).await.unwrap();
    let config = PostgresConfig {
        schema: "Shop's".to_owned(),
        table: "Log \"1\"".to_owned(),
        ..PostgresConfig::new(database.url())
    };
    let (mut fence, notice) = (fence(&config).await, notice("fenced"));
    // A writer of a partition of a partition is waited for.
    let mut writer = database.connect().await;
    execute(&mut writer, "BEGIN; INSERT INTO public.highest VALUES (12)").await.unwrap();
    assert!(fence.set(&notice, Duration::from_millis(200)).await.unwrap_err().may_pass());
    execute(&mut writer, "COMMIT").await.unwrap();
    fence.set(&notice, PATIENCE).await.unwrap();
    for name in ["\"Shop's\".\"Log \"\"1\"\"\"", "\"Shop's\".low", "\"Shop's\".high", "public.highest"] {
        for write in
            [format!("DELETE FROM {name}"), format!("TRUNCATE {name}"), format!("INSERT INTO {name} VALUES (13)")]
        {
            let [code, ..] = refused(&mut service, &write).await;
            assert_eq!(code, FENCED, "{write}");
        }
    }
    assert_eq!(number(&mut service, "SELECT count(*) FROM \"Shop's\".\"Log \"\"1\"\"\"").await, 3);
    fence.lift(notice.run).await.unwrap();
    execute(&mut service, "INSERT INTO \"Shop's\".low VALUES (2)").await.unwrap();
    let left = "SELECT count(*) FROM (SELECT tgname FROM pg_trigger UNION ALL SELECT proname FROM pg_proc) t(n)
                WHERE n LIKE 'eventlift%'";
    assert_eq!(number(&mut service, left).await, 0);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn readers_are_not_in_the_way_and_are_not_held_up() {
    let fenced = Fenced::new().await;
    let (mut fence, notice) = (fence(&fenced.config()).await, notice("fenced"));
    let mut reader = fenced.database.connect().await;
    execute(&mut reader, "BEGIN; SELECT count(*) FROM public.events").await.unwrap();
    fence.set(&notice, Duration::ZERO).await.unwrap();
    fence.confirm(notice.run).await.unwrap();
    // Its trigger can't be dropped while somebody reads, and refuses nothing.
    fence.lift(notice.run).await.unwrap();
    assert_eq!(fence.standing().await.unwrap(), None);
    let mut service = fenced.database.connect().await;
    execute(&mut service, &insert(1)).await.unwrap();
    let triggers = "SELECT count(*) FROM pg_trigger WHERE tgname = 'eventlift_fence'";
    assert_eq!(number(&mut service, triggers).await, 1);
    // Set once more, it refuses again; and it goes once nobody reads.
    fence.set(&notice, Duration::ZERO).await.unwrap();
    assert_eq!(refused(&mut service, &insert(2)).await[0], FENCED);
    execute(&mut reader, "COMMIT").await.unwrap();
    fence.lift(notice.run).await.unwrap();
    assert_eq!(number(&mut service, triggers).await, 0);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn maintenance_by_hand_is_waited_for() {
    let fenced = Fenced::new().await;
    let (mut fence, notice) = (fence(&fenced.config()).await, notice("fenced"));
    // As VACUUM holds it; whoever runs one by hand is waited for.
    let mut vacuum = fenced.database.connect().await;
    execute(&mut vacuum, "BEGIN; LOCK TABLE public.events IN SHARE UPDATE EXCLUSIVE MODE").await.unwrap();
    let error = fence.set(&notice, Duration::from_secs(2)).await.unwrap_err();
    assert!(error.to_string().contains("after 2000 ms it is still being written to by process"), "{error}");
    execute(&mut vacuum, "COMMIT").await.unwrap();
    fence.set(&notice, Duration::ZERO).await.unwrap();
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn what_keeps_a_fence_from_being_set_is_named() {
    let fenced = Fenced::new().await;
    let mut admin = fenced.database.connect().await;
    let role = format!("{}_role", fenced.database.name());
    let shown = |error: StoreError| {
        let text = format!("{error}\n  {}", error.hint.as_deref().unwrap_or_default());
        text.replace(&role, "ROLE").replace(fenced.database.name(), "DATABASE")
    };
    let place = {
        let config = fenced.config();
        config.to_string().replace(fenced.database.name(), "DATABASE")
    };
    execute(&mut admin, &format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON public.events TO {role}")).await.unwrap();
    let url = fenced.database.url();
    let (_, rest) = url.split_once('@').unwrap();
    let low = PostgresConfig::new(format!("postgres://{role}@{rest}"));
    let low_place = low.to_string().replace(&role, "ROLE").replace(fenced.database.name(), "DATABASE");
    let (mut as_role, notice) = (fence(&low).await, notice("fenced"));

    let expected = format!(
        "failed to fence {low_place}: permission denied for schema public
  let the owner, or a superuser, run: GRANT USAGE, CREATE ON SCHEMA public TO ROLE"
    );
    assert_eq!(shown(as_role.set(&notice, PATIENCE).await.unwrap_err()), expected);
    execute(&mut admin, &format!("GRANT CREATE ON SCHEMA public TO {role}")).await.unwrap();
    let expected = format!(
        "failed to fence {low_place}: permission denied for table events
  let the owner, or a superuser, run: GRANT TRIGGER ON TABLE public.events TO ROLE"
    );
    assert_eq!(shown(as_role.set(&notice, PATIENCE).await.unwrap_err()), expected);
    assert_eq!(as_role.standing().await.unwrap(), None);
    execute(&mut admin, &insert(1)).await.unwrap();
    // That is enough to set, confirm and lift it; the trigger is the owner's to drop.
    execute(&mut admin, &format!("GRANT TRIGGER ON public.events TO {role}")).await.unwrap();
    as_role.set(&notice, PATIENCE).await.unwrap();
    as_role.confirm(notice.run).await.unwrap();
    assert_eq!(refused(&mut admin, &insert(2)).await[0], FENCED);
    as_role.lift(notice.run).await.unwrap();
    execute(&mut admin, &insert(2)).await.unwrap();

    let mut fence = fence(&fenced.config()).await;
    execute(&mut admin, "DROP TRIGGER eventlift_fence ON public.events; DROP FUNCTION public.eventlift_fence_events()")
        .await
        .unwrap();
    let mut writer = PgConnection::connect(&format!("{url}?application_name=shop")).await.unwrap();
    execute(&mut writer, "BEGIN").await.unwrap();
    execute(&mut writer, &insert(3)).await.unwrap();
    let process = number(&mut writer, "SELECT pg_backend_pid()::int8").await;
    let error = shown(fence.set(&notice, Duration::from_millis(300)).await.unwrap_err());
    let expected = format!(
        "failed to fence {place}: after 300 ms it is still being written to by process {process} of the server (shop), in a transaction since "
    );
    assert!(error.starts_with(&expected), "{error}");
    let hint = "\n  end that transaction (see pg_stat_activity and pg_prepared_xacts), and try again";
    assert!(error.ends_with(hint), "{error}");
    // Nobody is held up by the attempts: others write on.
    execute(&mut admin, &insert(4)).await.unwrap();
    execute(&mut writer, "COMMIT").await.unwrap();

    execute(&mut admin, "CREATE VIEW public.shown AS SELECT * FROM public.events").await.unwrap();
    let view = PostgresConfig { table: "shown".to_owned(), ..fenced.config() };
    let error = shown(PostgresFence::open(view).await.err().unwrap());
    assert!(
        error.ends_with(
            "it is a view or a table of another server, which has no triggers to refuse a write
  stop its writers, and say so with --fenced"
        ),
        "{error}"
    );
    let missing = PostgresConfig { table: "missing".to_owned(), ..fenced.config() };
    let error = shown(PostgresFence::open(missing).await.err().unwrap());
    assert!(error.ends_with("it does not exist\n  name its `table` and `schema` in eventlift.toml"), "{error}");
    execute(&mut admin, &format!("ALTER ROLE {role} SET default_transaction_read_only = on")).await.unwrap();
    let mut read_only = PostgresFence::open(low).await.unwrap();
    let expected = format!(
        "failed to fence {low_place}: it is read-only
  name the primary server, not a standby; or see what sets `default_transaction_read_only`"
    );
    assert_eq!(shown(read_only.set(&notice, PATIENCE).await.unwrap_err()), expected);
    drop((read_only, as_role));
    execute(&mut admin, &format!("DROP OWNED BY {role} CASCADE; DROP ROLE {role}")).await.unwrap();
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_connection_that_is_lost_is_made_again() {
    let fenced = Fenced::new().await;
    let (mut fence, notice) = (fence(&fenced.config()).await, notice("fenced"));
    fence.set(&notice, PATIENCE).await.unwrap();
    let mut admin = fenced.database.connect().await;
    let others = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()";
    number(&mut admin, others).await;
    assert!(fence.standing().await.unwrap_err().may_pass());
    assert_eq!(fence.standing().await.unwrap(), Some(notice.clone()));
    assert_eq!(refused(&mut admin, &insert(1)).await[0], FENCED);
    fence.lift(notice.run).await.unwrap();
}
