//! A fence around a table: a trigger that refuses every change of the events, by a function that says why and until when.
//!
//! **No write is under way once it stands.** Making the trigger locks the table in SHARE ROW EXCLUSIVE mode, which
//! excludes the lock that whoever inserts, updates, deletes or truncates holds to the end of the transaction. So when the
//! lock is there, every earlier writer has committed or rolled back: prepared transactions hold their locks until they
//! end, and what is rolled back to a savepoint lets go of its locks together with its rows. The lock is held until the trigger
//! is committed, and whoever writes after that looks the trigger up once it has the table's lock, whatever its snapshot.
//!
//! **Nobody waits for long.** Whoever comes after us in the queue for the lock waits as well. So each attempt waits for
//! a moment only, and the next one comes a little later. Readers are never in the way: their lock is not excluded.
//!
//! **It falls by itself.** The function compares the server's clock with when the fence expires; it needs no right on any
//! table. Lifting it is replacing the function by one that refuses nothing, which takes no lock on the table; after that
//! the trigger is dropped where that is possible within moments, since it excludes readers.
//!
//! The notice is the comment on the function. eventlift's own connections pass by a setting of their session.

use std::time::Duration;

use async_trait::async_trait;
use eventlift_events::{Fence, FenceNotice, RunId, StoreError, StoreErrorKind, Timestamp};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::config::PostgresConfig;
use super::connection::connect;
use super::failure::{Place, reported, store_error};
use super::layout::cut;
use super::relation::{Relation, lock_key};
use super::session::roll_back;

/// The SQLSTATE that a write into a fenced table fails with.
pub const FENCED: &str = "EL001";

/// Lets a session pass the fence.
pub(super) const PASS: &str = "SET eventlift.passes = 'on'";

const TRIGGER: &str = "eventlift_fence";

/// How long an attempt waits for the table, and keeps others waiting behind it.
const ATTEMPT: Duration = Duration::from_millis(150);
/// How long one waits that only maintenance is in the way of: autovacuum gives way to whoever waits for it longer than
/// `deadlock_timeout`, a second by default.
const LONG_ATTEMPT: Duration = Duration::from_millis(1_500);
/// How long after an attempt the next one comes; each time longer.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// How often the trigger of a fence that was lifted is tried to be dropped.
const DROPS: u32 = 4;

/// The first version in which a trigger can be replaced.
const REPLACES_TRIGGERS: i32 = 140_000;

/// The table and what inherits from it: its partitions.
const TABLES: &str = "
WITH RECURSIVE tables (oid) AS (
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
    UNION
    SELECT i.inhrelid FROM pg_inherits i JOIN tables ON i.inhparent = tables.oid
)";

/// Keeps everybody but eventlift from changing a table of events and its partitions.
///
/// Each write that it refuses fails with SQLSTATE [`FENCED`]. eventlift's own writer
/// ([`PostgresWriter`](super::PostgresWriter)) passes, as does every session in which `eventlift.passes` is `on`. What
/// logical replication brings passes as well, and so does a partition that is attached later.
pub struct PostgresFence {
    config: PostgresConfig,
    display: Place,
    function: Relation,
    // None after a call was dropped, or its connection was lost.
    connection: Mutex<Option<PgConnection>>,
}

/// One of the tables that the fence is around.
struct Fenced {
    relation: Relation,
    has_trigger: bool,
}

/// What stands around the events.
struct Standing {
    notice: FenceNotice,
    is_expired: bool,
}

/// Why an attempt did not succeed. Its transaction is still to be rolled back.
enum Failed {
    /// Somebody has the table.
    Busy,
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl PostgresFence {
    /// Connects to fence a table. Nothing is changed yet. Fails where there is no such table, where it is none that events
    /// can be inserted into, and on a standby server.
    pub async fn open(config: PostgresConfig) -> Result<Self, StoreError> {
        let display = config.place().written();
        let failed = |e| store_error("fence", &display, e);
        let mut connection = connect(&config.server, &display).await?;
        let (kind, is_standby): (Option<String>, bool) = sqlx::query_as(
            "SELECT (SELECT c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE n.nspname = $1 AND c.relname = $2), pg_is_in_recovery()",
        )
        .bind(&config.schema)
        .bind(&config.table)
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
        let refused = |kind| StoreError::new("fence", &display, kind);
        match kind.as_deref() {
            None => {
                return Err(refused(StoreErrorKind::Missing).hint("name its `table` and `schema` in eventlift.toml"));
            }
            Some("r" | "p") => {}
            Some(_) => {
                let problem =
                    "it is a view or a table of another server, which has no triggers to refuse a write".to_owned();
                return Err(
                    refused(StoreErrorKind::Unsupported(problem)).hint("stop its writers, and say so with --fenced")
                );
            }
        }
        if is_standby {
            return Err(refused(StoreErrorKind::ReadOnly).hint("this is a standby: name the primary server"));
        }
        let function = Relation::new(&config.schema, cut(&format!("eventlift_fence_{}", config.table)));
        Ok(Self { config, display, function, connection: Mutex::new(Some(connection)) })
    }

    /// The connection for the length of one call; made again where the last one was lost.
    async fn take(&self) -> Result<PgConnection, StoreError> {
        match self.connection.lock().await.take() {
            Some(connection) => Ok(connection),
            None => connect(&self.config.server, &self.display).await,
        }
    }

    /// Ends a call: the connection stays for the next one, unless it is of no use any more.
    async fn settle<T>(&self, mut connection: PgConnection, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_ok() || roll_back(&mut connection).await {
            *self.connection.lock().await = Some(connection);
        }
        result
    }

    fn failed(&self, action: &'static str, error: sqlx::Error) -> Failed {
        let code = reported(&error).map(|said| said.code());
        // The lock was not to be had in time, or having it would have meant a deadlock.
        if matches!(code, Some("55P03" | "40P01")) {
            return Failed::Busy;
        }
        Failed::Store(store_error(action, &self.display, error))
    }

    /// Does something while nobody else writes to the table, in attempts of one transaction each. `patience`: how long
    /// others are waited for.
    async fn attempts(
        &self,
        connection: &mut PgConnection,
        action: &'static str,
        patience: Duration,
        step: Step<'_>,
    ) -> Result<(), StoreError> {
        let began = Instant::now();
        let (mut pause, mut wait, mut was_long) = (FIRST_PAUSE, ATTEMPT, false);
        loop {
            match self.attempt(connection, action, wait, step).await {
                Ok(()) => return Ok(()),
                Err(Failed::Store(error)) => return Err(error),
                Err(Failed::Busy) => {}
            }
            if !roll_back(connection).await {
                let gone = std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "the connection ended");
                return Err(store_error(action, &self.display, sqlx::Error::Io(gone)));
            }
            let holders = self.holders(connection, action).await?;
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Err(self.out_of_patience(action, patience, &holders));
            }
            let is_maintenance = !holders.is_empty() && holders.iter().all(|holder| holder.is_maintenance);
            wait = if is_maintenance && !was_long { LONG_ATTEMPT.min(left.max(ATTEMPT)) } else { ATTEMPT };
            was_long |= is_maintenance;
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn attempt(
        &self,
        connection: &mut PgConnection,
        action: &'static str,
        wait: Duration,
        step: Step<'_>,
    ) -> Result<(), Failed> {
        self.begin(connection, action, wait).await?;
        match step {
            Step::Set(notice) => self.set_now(connection, action, notice).await?,
            Step::Confirm(run) => self.confirm_now(connection, action, run).await?,
            Step::Lift(run) => self.lift_now(connection, action, run).await?,
        }
        self.execute(connection, action, "COMMIT").await
    }

    /// Begins a transaction that is the only one of those that set, confirm and lift this fence.
    async fn begin(&self, connection: &mut PgConnection, action: &'static str, wait: Duration) -> Result<(), Failed> {
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {}", wait.as_millis());
        self.execute(connection, action, &begin).await?;
        let locked = sqlx::query("SELECT pg_advisory_xact_lock($1)")
            .bind(lock_key("fence", &self.config.schema, &self.config.table))
            .execute(connection)
            .await;
        locked.map(|_| ()).map_err(|e| self.failed(action, e))
    }

    async fn execute(&self, connection: &mut PgConnection, action: &'static str, sql: &str) -> Result<(), Failed> {
        let executed = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await;
        executed.map(|_| ()).map_err(|e| self.failed(action, e))
    }

    async fn set_now(
        &self,
        connection: &mut PgConnection,
        action: &'static str,
        notice: &FenceNotice,
    ) -> Result<(), Failed> {
        if let Some(found) = self.found(connection, action).await?
            && !found.is_expired
            && found.notice.run != notice.run
        {
            return Err(self.another(action, &found.notice).into());
        }
        self.replace_function(connection, action, Some(notice)).await?;
        self.lock_out(connection, action).await?;
        let Some(end) = notice.expires_at else { return Ok(()) };
        let (now,): (i64,) = sqlx::query_as(NOW).fetch_one(connection).await.map_err(|e| self.failed(action, e))?;
        if now < end.micros() {
            return Ok(());
        }
        let clock = Timestamp::from_micros(now).map(|now| now.to_string()).unwrap_or_default();
        let problem = format!("it would have expired at {end}, and by the server's clock it is {clock}");
        let error = StoreError::new(action, &self.display, StoreErrorKind::Unexpected(problem));
        Err(error.hint("give it more time, or set the clocks of both machines").into())
    }

    async fn confirm_now(&self, connection: &mut PgConnection, action: &'static str, run: RunId) -> Result<(), Failed> {
        let gone = |problem: String| {
            let error = StoreError::new(action, &self.display, StoreErrorKind::Unexpected(problem));
            Failed::Store(error.hint("events may have been written since: set it again, and carry them over"))
        };
        let Some(_) = self.found(connection, action).await? else {
            return Err(gone("no fence stands any more".to_owned()));
        };
        // From here to the end nobody writes: if it stands now, it has stood all the time, and will.
        self.lock_out(connection, action).await?;
        let Some(found) = self.found(connection, action).await? else {
            return Err(gone("no fence stands any more".to_owned()));
        };
        if found.is_expired {
            let end = found.notice.expires_at.map(|end| end.to_string()).unwrap_or_default();
            return Err(gone(format!("the fence expired at {end}")));
        }
        if found.notice.run != run {
            return Err(self.another(action, &found.notice).into());
        }
        let notice = FenceNotice { expires_at: None, ..found.notice };
        self.replace_function(connection, action, Some(&notice)).await
    }

    async fn lift_now(&self, connection: &mut PgConnection, action: &'static str, run: RunId) -> Result<(), Failed> {
        match self.found(connection, action).await? {
            Some(found) if !found.is_expired && found.notice.run != run => {
                Err(self.another(action, &found.notice).into())
            }
            _ if self.has_function(connection, action).await? => self.replace_function(connection, action, None).await,
            _ => Ok(()),
        }
    }

    /// Makes the function refuse everything with a notice, or nothing without one. Takes no lock on the table.
    async fn replace_function(
        &self,
        connection: &mut PgConnection,
        action: &'static str,
        notice: Option<&FenceNotice>,
    ) -> Result<(), Failed> {
        let function = &self.function;
        let (body, comment) = match notice {
            None => ("BEGIN RETURN NULL; END".to_owned(), "NULL".to_owned()),
            Some(notice) => {
                let json =
                    serde_json::to_string(notice).map_err(|e| self.failed(action, sqlx::Error::Encode(Box::new(e))))?;
                (refusal(notice), literal(&json))
            }
        };
        let statement = format!(
            "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql
             SET search_path = pg_catalog, pg_temp AS {};
             COMMENT ON FUNCTION {function}() IS {comment}",
            literal(&body)
        );
        self.execute(connection, action, &statement).await
    }

    /// Puts the trigger in place where it is missing, and in any case waits until nobody else writes, and keeps everybody
    /// from it until the transaction ends.
    async fn lock_out(&self, connection: &mut PgConnection, action: &'static str) -> Result<(), Failed> {
        let failed = |e| self.failed(action, e);
        let (version,): (i32,) = sqlx::query_as("SELECT current_setting('server_version_num')::int4")
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        for Fenced { relation, has_trigger } in self.tables(connection, action).await? {
            let statement = match has_trigger {
                true if version < REPLACES_TRIGGERS => {
                    format!("LOCK TABLE ONLY {relation} IN SHARE ROW EXCLUSIVE MODE")
                }
                _ => {
                    let replace = if version < REPLACES_TRIGGERS { "" } else { "OR REPLACE " };
                    format!(
                        "CREATE {replace}TRIGGER {TRIGGER} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {relation}
                         FOR EACH STATEMENT EXECUTE FUNCTION {}()",
                        self.function
                    )
                }
            };
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await.map_err(failed)?;
            // Only its owner may say that it fires whatever `session_replication_role` is, which superusers alone can set.
            let always = format!("ALTER TABLE ONLY {relation} ENABLE ALWAYS TRIGGER {TRIGGER}");
            sqlx::raw_sql("SAVEPOINT always").execute(&mut *connection).await.map_err(failed)?;
            let enabled = sqlx::raw_sql(AssertSqlSafe(always)).execute(&mut *connection).await;
            match enabled {
                Ok(_) => {}
                Err(error) if reported(&error).is_some_and(|said| said.code() == "42501") => {
                    sqlx::raw_sql("ROLLBACK TO always").execute(&mut *connection).await.map_err(failed)?;
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(())
    }

    /// The tables that it is around, each partition after what it is a part of.
    async fn tables(&self, connection: &mut PgConnection, action: &'static str) -> Result<Vec<Fenced>, Failed> {
        let select = format!(
            "{TABLES} SELECT n.nspname::text, c.relname::text,
                    EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = $3)
             FROM tables JOIN pg_class c ON c.oid = tables.oid JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p') ORDER BY c.oid"
        );
        let rows: Vec<(String, String, bool)> = sqlx::query_as(AssertSqlSafe(select))
            .bind(&self.config.schema)
            .bind(&self.config.table)
            .bind(TRIGGER)
            .fetch_all(connection)
            .await
            .map_err(|e| self.failed(action, e))?;
        let fenced = |(schema, name, has_trigger)| Fenced { relation: Relation::new(schema, name), has_trigger };
        Ok(rows.into_iter().map(fenced).collect())
    }

    async fn has_function(&self, connection: &mut PgConnection, action: &'static str) -> Result<bool, Failed> {
        let (has_function,): (bool,) = sqlx::query_as(
            "SELECT EXISTS (SELECT 1 FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                            WHERE n.nspname = $1 AND p.proname = $2 AND p.pronargs = 0)",
        )
        .bind(&self.function.schema)
        .bind(&self.function.name)
        .fetch_one(connection)
        .await
        .map_err(|e| self.failed(action, e))?;
        Ok(has_function)
    }

    /// The fence that is there, expired or not; none where its trigger is gone or turned off.
    async fn found(&self, connection: &mut PgConnection, action: &'static str) -> Result<Option<Standing>, Failed> {
        let row = sqlx::query(
            "SELECT obj_description(p.oid, 'pg_proc'), (extract(epoch FROM clock_timestamp()) * 1000000)::int8
             FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
             WHERE n.nspname = $1 AND p.proname = $2 AND p.pronargs = 0 AND EXISTS (
                 SELECT 1 FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace s ON s.oid = c.relnamespace
                 WHERE s.nspname = $3 AND c.relname = $4 AND t.tgname = $5 AND t.tgfoid = p.oid AND t.tgenabled <> 'D')",
        )
        .bind(&self.function.schema)
        .bind(&self.function.name)
        .bind(&self.config.schema)
        .bind(&self.config.table)
        .bind(TRIGGER)
        .fetch_optional(connection)
        .await
        .map_err(|e| self.failed(action, e))?;
        let Some(row) = row else { return Ok(None) };
        let read = |e| self.failed(action, e);
        let (notice, now): (Option<String>, i64) = (row.try_get(0).map_err(read)?, row.try_get(1).map_err(read)?);
        // Lifted, and its trigger could not be dropped.
        let Some(notice) = notice else { return Ok(None) };
        let notice: FenceNotice = serde_json::from_str(&notice).map_err(|problem| {
            let problem = format!("the comment on {} is no notice of a fence ({problem})", self.function);
            let error = StoreError::new(action, &self.display, StoreErrorKind::Unexpected(problem));
            Failed::Store(error.hint("use the eventlift that set it, or a newer one"))
        })?;
        let is_expired = notice.expires_at.is_some_and(|end| end.micros() <= now);
        Ok(Some(Standing { notice, is_expired }))
    }

    /// Drops the triggers and the function of a fence that was lifted. Where readers are in the way, or rights are
    /// missing, they stay, and refuse nothing.
    async fn drop_lifted(&self, connection: &mut PgConnection, action: &'static str) -> Result<(), StoreError> {
        for number in 0..DROPS {
            sleep(FIRST_PAUSE * number).await;
            let dropped = self.drop_now(connection, action).await;
            if dropped.is_ok() {
                return Ok(());
            }
            if !roll_back(connection).await {
                let gone = std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "the connection ended");
                return Err(store_error(action, &self.display, sqlx::Error::Io(gone)));
            }
        }
        Ok(())
    }

    async fn drop_now(&self, connection: &mut PgConnection, action: &'static str) -> Result<(), Failed> {
        self.begin(connection, action, ATTEMPT).await?;
        // Another run may have set it again in between.
        let stands = self.found(connection, action).await?.is_some_and(|found| !found.is_expired);
        if !stands {
            for Fenced { relation, has_trigger } in self.tables(connection, action).await? {
                if has_trigger {
                    self.execute(connection, action, &format!("DROP TRIGGER {TRIGGER} ON {relation}")).await?;
                }
            }
            self.execute(connection, action, &format!("DROP FUNCTION IF EXISTS {}()", self.function)).await?;
        }
        self.execute(connection, action, "COMMIT").await
    }

    fn another(&self, action: &'static str, notice: &FenceNotice) -> StoreError {
        let holder = format!("run {} has fenced it since {}", notice.run, notice.set_at);
        StoreError::new(action, &self.display, StoreErrorKind::Locked(holder))
            .hint("end that run's cut-over, or roll it back, first")
    }

    /// Who holds a lock that keeps the fence from being set, the oldest transaction first.
    async fn holders(&self, connection: &mut PgConnection, action: &'static str) -> Result<Vec<Holder>, StoreError> {
        let select = format!(
            "{TABLES} SELECT l.pid, a.application_name, a.xact_start::text, bool_and(l.mode = 'ShareUpdateExclusiveLock')
             FROM tables JOIN pg_locks l ON l.relation = tables.oid
             LEFT JOIN pg_stat_activity a ON a.pid = l.pid
             WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
             GROUP BY 1, 2, 3, a.xact_start ORDER BY a.xact_start NULLS FIRST, l.pid"
        );
        let rows: Vec<HolderRow> = sqlx::query_as(AssertSqlSafe(select))
            .bind(&self.config.schema)
            .bind(&self.config.table)
            .fetch_all(connection)
            .await
            .map_err(|e| store_error(action, &self.display, e))?;
        let holder =
            |(process, application, since, is_maintenance)| Holder { process, application, since, is_maintenance };
        Ok(rows.into_iter().map(holder).collect())
    }

    fn out_of_patience(&self, action: &'static str, patience: Duration, holders: &[Holder]) -> StoreError {
        let who = match holders {
            [] => "transactions that came and went".to_owned(),
            [one] => one.to_string(),
            [first, others @ ..] => format!("{first}, and {} more", others.len()),
        };
        let problem = format!("after {} ms it is still being written to by {who}", patience.as_millis());
        let problem = std::io::Error::new(std::io::ErrorKind::TimedOut, problem);
        StoreError::new(action, &self.display, StoreErrorKind::Unavailable(Box::new(problem)))
            .hint("end that transaction (see pg_stat_activity and pg_prepared_xacts), and try again")
    }
}

/// What is done while nobody else writes.
#[derive(Clone, Copy)]
enum Step<'a> {
    Set(&'a FenceNotice),
    Confirm(RunId),
    Lift(RunId),
}

const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8";

/// Process, application, since when its transaction runs, whether it is maintenance.
type HolderRow = (Option<i32>, Option<String>, Option<String>, bool);

/// Somebody who writes to the table, or keeps it from being changed.
struct Holder {
    /// None: its transaction is prepared.
    process: Option<i32>,
    application: Option<String>,
    since: Option<String>,
    /// VACUUM, ANALYZE, an index that is built concurrently.
    is_maintenance: bool,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(process) = self.process else { return f.write_str("a prepared transaction") };
        write!(f, "process {process} of the server")?;
        if let Some(application) = self.application.as_ref().filter(|name| !name.is_empty()) {
            write!(f, " ({application})")?;
        }
        match &self.since {
            Some(since) => write!(f, ", in a transaction since {since}"),
            None => Ok(()),
        }
    }
}

/// The body of a function that refuses everything until the notice expires.
fn refusal(notice: &FenceNotice) -> String {
    let stands = match notice.expires_at {
        None => String::new(),
        Some(end) => {
            format!(" AND clock_timestamp() < timestamptz 'epoch' + interval '1 microsecond' * {}", end.micros())
        }
    };
    let message = literal(&notice.message);
    let detail = literal(&format!("Fenced by eventlift for run {} since {}.", notice.run, notice.set_at));
    let hint = literal("Nothing was written. Try again later, and where the message says.");
    format!(
        "BEGIN
             IF current_setting('eventlift.passes', true) IS DISTINCT FROM 'on'{stands} THEN
                 RAISE EXCEPTION USING ERRCODE = '{FENCED}', MESSAGE = {message}, DETAIL = {detail}, HINT = {hint};
             END IF;
             RETURN NULL;
         END"
    )
}

/// Text as a literal that means the same whatever `standard_conforming_strings` is where it is read.
fn literal(text: &str) -> String {
    // No text of the server's holds a NUL.
    let text = text.replace('\0', "\u{fffd}").replace('\\', "\\\\").replace('\'', "''");
    format!("E'{text}'")
}

#[async_trait]
impl Fence for PostgresFence {
    async fn set(&mut self, notice: &FenceNotice, patience: Duration) -> Result<(), StoreError> {
        let mut connection = self.take().await?;
        let result = self.attempts(&mut connection, "fence", patience, Step::Set(notice)).await;
        self.settle(connection, result).await
    }

    async fn confirm(&mut self, run: RunId) -> Result<(), StoreError> {
        const ACTION: &str = "confirm the fence of";
        // It need not be waited for longer than it stands.
        let patience = match self.standing().await? {
            Some(FenceNotice { expires_at: Some(end), .. }) => {
                let left = end.micros().saturating_sub(Timestamp::now().micros());
                Duration::from_micros(left.max(0).unsigned_abs())
            }
            _ => Duration::from_secs(5),
        };
        let mut connection = self.take().await?;
        let result = self.attempts(&mut connection, ACTION, patience, Step::Confirm(run)).await;
        self.settle(connection, result).await
    }

    async fn lift(&mut self, run: RunId) -> Result<(), StoreError> {
        const ACTION: &str = "lift the fence of";
        let mut connection = self.take().await?;
        let mut result = self.attempts(&mut connection, ACTION, Duration::from_secs(10), Step::Lift(run)).await;
        if result.is_ok() {
            result = self.drop_lifted(&mut connection, ACTION).await;
        }
        self.settle(connection, result).await
    }

    async fn standing(&self) -> Result<Option<FenceNotice>, StoreError> {
        const ACTION: &str = "read the fence of";
        let mut connection = self.take().await?;
        let result = match self.found(&mut connection, ACTION).await {
            Ok(found) => Ok(found.filter(|found| !found.is_expired).map(|found| found.notice)),
            Err(Failed::Store(error)) => Err(error),
            Err(Failed::Busy) => {
                let busy = std::io::Error::new(std::io::ErrorKind::TimedOut, "the catalogue is locked");
                Err(StoreError::new(ACTION, &self.display, StoreErrorKind::Unavailable(Box::new(busy))))
            }
        };
        self.settle(connection, result).await
    }
}
