//! How far a table can be read that others write to at the same time.
//!
//! A transaction takes a number, and another one that took a higher number commits first. Who reads up to the higher
//! number and goes on from there never sees the lower one. So a gap in the positions is crossed only when no
//! transaction is left that could still fill it:
//!
//! 1. `H`, the highest position to be seen, is looked up.
//! 2. After that, the transactions are looked up that hold a lock with which rows are inserted, or numbers taken: on
//!    the table, on one of its partitions, on the sequences that positions are taken from. `nextval` locks its
//!    sequence until the end of the transaction, also where it is called before any INSERT, and where the savepoint it
//!    was called behind is rolled back. A lock is held before the number is taken, and let go after the commit can be
//!    seen.
//! 3. Whoever took a number below `H` did so before `H` was taken, hence before 2; so it has ended, or it is among
//!    these. Once all of these have ended, every snapshot taken from then on shows everything up to `H` that will ever
//!    be there. Until then, only what follows without a gap is certain.
//!
//! That a transaction is prepared does not end it. All prepared ones that hold such a lock are waited for, whether they
//! were seen as running before or not.
//!
//! Numbers that are taken in no order (a sequence that caches, runs downwards or around) can't be read like that.
//! Positions that a service takes from elsewhere than a sequence have to become visible in their order, as they do
//! where they are taken under a lock that is held to the end of the transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use eventlift_events::{StoreError, StoreErrorKind};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use tokio::time::Instant;

use super::config::Writers;
use super::failure::{Place, store_error};
use super::relation::Relation;

/// How long a transaction is waited for before what follows without a gap is looked for: most end sooner.
pub(super) const SHORTLY: Duration = Duration::from_millis(100);
/// How long a read to the end of the store waits before it ends in front of a gap.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// How long a read waits that was told where to end, before it fails: it must not end earlier.
pub(super) const LONG_PATIENCE: Duration = Duration::from_secs(60);

const FIRST_POLL: Duration = Duration::from_millis(5);
const LAST_POLL: Duration = Duration::from_millis(200);

/// Positions that are counted at once.
const COUNTED: i64 = 100_000;

/// The table and its partitions, or what a view is made of; and the sequences that their positions are taken from.
const RELATIONS: &str = "
WITH RECURSIVE tables (oid) AS (
    SELECT $1::oid
    UNION
    SELECT beneath.oid FROM tables CROSS JOIN LATERAL (
        SELECT i.inhrelid AS oid FROM pg_inherits i WHERE i.inhparent = tables.oid
        UNION ALL
        SELECT d.refobjid FROM pg_rewrite r
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
        WHERE r.ev_class = tables.oid AND r.ev_type = '1'
    ) beneath
), positions AS (
    SELECT a.attrelid, a.attnum FROM pg_attribute a JOIN tables ON a.attrelid = tables.oid
    -- Which column a view takes its positions from is not known.
    WHERE a.attname = 'position' OR EXISTS (SELECT 1 FROM pg_class v WHERE v.oid = $1::oid AND v.relkind IN ('v', 'm'))
), sequences (oid) AS (
    SELECT d.objid FROM pg_depend d JOIN positions p ON d.refobjid = p.attrelid AND d.refobjsubid = p.attnum
    WHERE d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    UNION
    SELECT d.refobjid FROM pg_depend d
    JOIN pg_attrdef v ON d.classid = 'pg_attrdef'::regclass AND d.objid = v.oid
    JOIN positions p ON v.adrelid = p.attrelid AND v.adnum = p.attnum
    JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid AND c.relkind = 'S'
)";

/// What is known about how far a table is settled. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    table: i64,
    relation: Relation,
    display: Place,
    rule: Rule,
    /// No sequence gives a lower number.
    first: i64,
    /// Everything up to here is settled; -1 where nothing is known.
    known: Arc<AtomicI64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rule {
    /// Nobody writes: everything is settled.
    Stopped,
    /// The locks of whoever writes can be seen.
    Locks,
    /// They can't: only what follows without a gap is settled.
    Standby,
}

/// What was there when it was looked.
pub(super) struct Look {
    /// The highest position; -1 where there is none.
    pub(super) head: i64,
    /// The transactions that could still write below it.
    open: Vec<Holder>,
}

/// A transaction that holds a lock.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Holder {
    transaction: String,
    /// None: it is prepared.
    process: Option<i32>,
}

impl Settled {
    /// Finds out what can be known about a table. Fails where it can't be read while others write.
    pub(super) async fn new(
        connection: &mut PgConnection,
        table: i64,
        relation: Relation,
        writers: Writers,
        display: Place,
    ) -> Result<Self, StoreError> {
        let failed = |e| store_error("open", &display, e);
        let known = Arc::new(AtomicI64::new(-1));
        let settled = |rule, first| Self { table, relation, display: display.clone(), rule, first, known };
        if writers == Writers::Stopped {
            return Ok(settled(Rule::Stopped, 0));
        }
        let (is_standby,): (bool,) =
            sqlx::query_as("SELECT pg_is_in_recovery()").fetch_one(&mut *connection).await.map_err(failed)?;
        let sql = format!(
            "{RELATIONS} SELECT n.nspname::text, c.relname::text, q.seqcache, q.seqincrement, q.seqcycle, q.seqmin
             FROM sequences s JOIN pg_sequence q ON q.seqrelid = s.oid JOIN pg_class c ON c.oid = s.oid
             JOIN pg_namespace n ON n.oid = c.relnamespace"
        );
        let sequences: Vec<(String, String, i64, i64, bool, i64)> =
            sqlx::query_as(AssertSqlSafe(sql)).bind(table).fetch_all(&mut *connection).await.map_err(failed)?;
        let mut first = sequences.iter().map(|sequence| sequence.5).min().unwrap_or(0);
        first = first.max(0);
        for (schema, name, cache, increment, cycles, _) in sequences {
            let sequence = Relation::new(schema, name);
            let stopped = "or set `writers = \"stopped\"` while nobody writes";
            let unordered = |problem: String, hint: String| {
                Err(StoreError::new("open", &display, StoreErrorKind::Unexpected(problem)).hint(hint))
            };
            if cache > 1 {
                let problem = format!(
                    "its positions come from sequence {sequence}, which hands out {cache} at a time: a low one may be \
                     used long after a high one, so no reader can tell whether something is still to come"
                );
                return unordered(problem, format!("ALTER SEQUENCE {sequence} CACHE 1, {stopped}"));
            }
            if increment < 0 || cycles {
                let problem = format!("its positions come from sequence {sequence}, which does not only ascend");
                return unordered(problem, format!("ALTER SEQUENCE {sequence} INCREMENT 1 NO CYCLE, {stopped}"));
            }
        }
        if is_standby {
            return Ok(settled(Rule::Standby, first));
        }
        let foreign = format!(
            "{RELATIONS} SELECT EXISTS (SELECT 1 FROM pg_class c JOIN tables t ON c.oid = t.oid WHERE c.relkind = 'f')"
        );
        let (foreign,): (bool,) =
            sqlx::query_as(AssertSqlSafe(foreign)).bind(table).fetch_one(connection).await.map_err(failed)?;
        if foreign {
            let problem = "one of its partitions is on another server, whose writers can't be seen".to_owned();
            let hint = "set `writers = \"stopped\"` while nobody writes";
            return Err(StoreError::new("open", &display, StoreErrorKind::Unexpected(problem)).hint(hint));
        }
        Ok(settled(Rule::Locks, first))
    }

    /// The last position that is known to be settled without looking; -1 if none is.
    pub(super) fn known(&self) -> i64 {
        self.known.load(Ordering::Acquire)
    }

    /// Looks at where the table ends and at who writes.
    pub(super) async fn look(&self, connection: &mut PgConnection) -> Result<Look, StoreError> {
        // Two statements, so that the second one starts after the first one has its answer.
        let head = format!(
            "SELECT (SELECT max(position)::int8 FROM {}),
                    (SELECT c.oid::int8 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                     WHERE n.nspname = $1 AND c.relname = $2)",
            self.relation
        );
        let (head, table): (Option<i64>, Option<i64>) = sqlx::query_as(AssertSqlSafe(head))
            .bind(&self.relation.schema)
            .bind(&self.relation.name)
            .fetch_one(&mut *connection)
            .await
            .map_err(|e| self.failed(e))?;
        if table != Some(self.table) {
            let problem = "another table took the place of the one that was opened".to_owned();
            return Err(
                StoreError::new("read", &self.display, StoreErrorKind::Unexpected(problem)).hint("open it again")
            );
        }
        let head = head.unwrap_or(-1);
        let open = match self.rule {
            Rule::Locks if head > self.known() => self.holders(connection).await?,
            _ => Vec::new(),
        };
        let look = Look { head, open };
        self.note(&look);
        Ok(look)
    }

    /// Waits until the transactions of a look have ended, but not past a moment. Whether they have: then everything up
    /// to the look's head is settled.
    pub(super) async fn wait(
        &self,
        connection: &mut PgConnection,
        look: &mut Look,
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        let mut poll = FIRST_POLL;
        while !self.is_settled(look) {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(poll.min(deadline - Instant::now())).await;
            poll = (poll * 2).min(LAST_POLL);
            match self.rule {
                Rule::Stopped => {}
                Rule::Locks => {
                    let now = self.holders(connection).await?;
                    // One of them may have been prepared meanwhile, and be called otherwise now.
                    look.open = now
                        .into_iter()
                        .filter(|now| {
                            now.process.is_none() || look.open.iter().any(|then| then.transaction == now.transaction)
                        })
                        .collect();
                    self.note(look);
                }
                Rule::Standby => {
                    let known = self.known();
                    self.without_gap(connection, known, look.head).await?;
                }
            }
        }
        Ok(true)
    }

    /// Whether everything up to the head of a look is settled.
    pub(super) fn is_settled(&self, look: &Look) -> bool {
        look.head <= self.known()
    }

    fn note(&self, look: &Look) {
        let certain = self.rule != Rule::Standby && look.open.is_empty();
        if certain {
            self.known.fetch_max(look.head, Ordering::AcqRel);
        }
    }

    /// Up to where, at most `head`, positions follow one another without a gap behind `from`, which is settled.
    pub(super) async fn without_gap(
        &self,
        connection: &mut PgConnection,
        from: i64,
        head: i64,
    ) -> Result<i64, StoreError> {
        let known = self.known();
        let start = from.max(known).max(self.first - 1);
        let sql = format!(
            "SELECT count(*) FROM (SELECT position::int8, row_number() OVER (ORDER BY position) AS number FROM {}
             WHERE position > $1 AND position <= $2) AS numbered WHERE position = $1 + number",
            self.relation
        );
        let mut end = start;
        while end < head {
            let chunk = end.saturating_add(COUNTED).min(head);
            let (follow,): (i64,) = sqlx::query_as(AssertSqlSafe(sql.clone()))
                .bind(end)
                .bind(chunk)
                .fetch_one(&mut *connection)
                .await
                .map_err(|e| self.failed(e))?;
            let has_gap = follow < chunk - end;
            end += follow;
            if has_gap {
                break;
            }
        }
        // Behind a start that only the caller knows to be settled, nothing is known about what lies before it.
        if from <= known || start == self.first - 1 {
            self.known.fetch_max(end, Ordering::AcqRel);
        }
        Ok(end)
    }

    /// Whether a read from behind `after` that ended at `end` got nowhere, and nothing tells whether it ever will.
    pub(super) fn is_stuck(&self, after: i64, end: i64) -> bool {
        self.rule == Rule::Standby && end <= after.max(self.first - 1)
    }

    /// Why a read can't go on behind a position, where it must.
    pub(super) fn blocked(&self, look: &Look, end: i64) -> StoreError {
        let next = end.saturating_add(1);
        if self.rule == Rule::Standby {
            let problem =
                format!("position {next} is not there, and a standby server does not tell whether it is still to come");
            return StoreError::new("read", &self.display, StoreErrorKind::Unavailable(problem.into()))
                .hint("name the primary server, or set `writers = \"stopped\"` while nobody writes");
        }
        let processes: Vec<String> =
            look.open.iter().filter_map(|holder| holder.process).map(|p| p.to_string()).collect();
        let prepared = look.open.iter().any(|holder| holder.process.is_none());
        let who = match (processes.is_empty(), prepared) {
            (true, _) => "prepared transactions".to_owned(),
            (false, false) => format!("the transactions of processes {}", processes.join(", ")),
            (false, true) => format!("the transactions of processes {}, and prepared ones,", processes.join(", ")),
        };
        let problem = format!("{who} have not ended, and may still add events at position {next}");
        StoreError::new("read", &self.display, StoreErrorKind::Unavailable(problem.into()))
            .hint("see pg_stat_activity and pg_prepared_xacts; end what was forgotten there")
    }

    async fn holders(&self, connection: &mut PgConnection) -> Result<Vec<Holder>, StoreError> {
        // Where positions have no sequence that is known, whoever takes a number from any may put it here.
        let sql = format!(
            "{RELATIONS}, watched (oid) AS (
                 SELECT oid FROM tables
                 UNION ALL SELECT oid FROM sequences
                 UNION ALL SELECT oid FROM pg_class WHERE relkind = 'S' AND NOT EXISTS (SELECT 1 FROM sequences)
             )
             SELECT DISTINCT l.virtualtransaction, l.pid FROM pg_locks l
             WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
               AND l.relation IN (SELECT oid FROM watched)"
        );
        let rows: Vec<(String, Option<i32>)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(self.table)
            .fetch_all(connection)
            .await
            .map_err(|e| self.failed(e))?;
        Ok(rows.into_iter().map(|(transaction, process)| Holder { transaction, process }).collect())
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        store_error("read", &self.display, error)
    }
}
