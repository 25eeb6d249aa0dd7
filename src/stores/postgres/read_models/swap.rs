//! Swapping builds: tables change their names, in one transaction with the record.

use std::time::Duration;

use eventlift_events::StoreErrorKind;
use eventlift_projections::{Build, Builds, Side, Table};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor, Row};
use tokio::time::Instant;

use super::super::relation::Relation;
use super::carried::{self, Place};
use super::record::{self, place};
use super::refusal::{Failure, Refusal};
use super::schema::ledger;
use super::tables::{self, execute, kind_of, oid_of, relation};

/// How long one attempt waits for locks: whoever comes behind it waits as long at most.
const ATTEMPT: Duration = Duration::from_millis(400);
/// The first pause between two attempts, which doubles up to the last.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// How long a swap tries, unless somebody says otherwise.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Which build becomes the live one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    /// The shadow.
    Forward,
    /// The previous one.
    Back,
}

impl Direction {
    fn from(self) -> Side {
        match self {
            Self::Forward => Side::Shadow,
            Self::Back => Side::Previous,
        }
    }
}

/// A projection whose builds change places.
struct Turn<'p> {
    projection: &'p str,
    builds: Builds,
    next: Build,
}

/// Makes other builds of these projections the live ones, all of them in the transaction that has begun.
pub(super) async fn turn(
    connection: &mut PgConnection,
    schema: &str,
    projections: &[(&str, Option<i64>)],
    direction: Direction,
    patience: Duration,
) -> Result<(), Failure> {
    for (number, (projection, _)) in projections.iter().enumerate() {
        if projections[..number].iter().any(|(other, _)| other == projection) {
            return Err(Refusal::unexpected(format!("{projection} is named twice")).into());
        }
    }
    // Always in the same order, so that two swaps of the same projections wait for one another and not crosswise.
    let mut ordered = projections.to_vec();
    ordered.sort_unstable();
    for (projection, _) in &ordered {
        let turn = read(connection, schema, projection, direction).await?;
        for table in &turn.next.tables {
            tables::verify(connection, schema, direction.from(), table).await?;
        }
    }
    let deadline = Instant::now() + patience;
    wait_for_snapshots(connection, schema, &ordered, direction, deadline).await?;
    for (projection, _) in &ordered {
        let turn = read(connection, schema, projection, direction).await?;
        for place in places(connection, schema, &turn, direction).await? {
            let next = turn.next.tables.iter().find(|table| table.name == place.name.name);
            if let Some(table) = next {
                carried::prepare_indexes(connection, &place, &relation(schema, direction.from(), table)).await?;
            }
        }
    }
    let mut pause = PAUSES[0];
    loop {
        connection.execute("SAVEPOINT attempt").await?;
        let failure = match attempt(connection, schema, &ordered, direction).await {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        // A lock that was not to be had in time, or two who waited for one another.
        if !matches!(failure.code(), Some("55P03" | "40P01")) {
            return Err(failure);
        }
        connection.execute("ROLLBACK TO SAVEPOINT attempt").await?;
        if Instant::now() + pause > deadline {
            return Err(held_up(connection, schema, &ordered, direction).await?);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES[1]);
    }
}

async fn read<'p>(
    connection: &mut PgConnection,
    schema: &str,
    projection: &'p str,
    direction: Direction,
) -> Result<Turn<'p>, Failure> {
    let builds = record::builds(connection, schema, projection).await?;
    let side = direction.from();
    let Some(next) = builds.side(side).cloned() else {
        let missing = Refusal::new(StoreErrorKind::Missing).at(place(projection, side));
        return Err(match direction {
            Direction::Forward => missing,
            Direction::Back => missing.hint("there is one only behind a swap, and until it is dropped"),
        }
        .into());
    };
    record::require_complete(&next, projection, side)?;
    Ok(Turn { projection, builds, next })
}

/// The live tables that the next build has, too.
async fn places(
    connection: &mut PgConnection,
    schema: &str,
    turn: &Turn<'_>,
    direction: Direction,
) -> Result<Vec<Place>, Failure> {
    let Some(live) = &turn.builds.live else { return Ok(Vec::new()) };
    let mut places = Vec::new();
    for table in &live.tables {
        let Some(next) = turn.next.tables.iter().find(|next| next.name == table.name) else { continue };
        let name = relation(schema, Side::Live, table);
        let live_oid = oid_of(connection, &name).await?;
        let next_oid = oid_of(connection, &relation(schema, direction.from(), next)).await?;
        let mut own = tables::own_names(table, live.generation);
        own.extend(tables::own_names(next, turn.next.generation));
        places.extend(live_oid.zip(next_oid).map(|(live, next)| Place { name, live, next, own }));
    }
    Ok(places)
}

async fn attempt(
    connection: &mut PgConnection,
    schema: &str,
    projections: &[(&str, Option<i64>)],
    direction: Direction,
) -> Result<(), Failure> {
    let until = Instant::now() + ATTEMPT;
    limit_wait(connection, until).await?;
    let mut turns = Vec::with_capacity(projections.len());
    for (projection, epoch) in projections {
        record::fence(connection, schema, projection, *epoch, true).await?;
        turns.push(read(connection, schema, projection, direction).await?);
    }
    let tables = tables_of(schema, &turns);
    lock(connection, schema, &tables, until).await?;
    limit_wait(connection, until).await?;

    let mut found = Vec::new();
    for turn in &turns {
        for place in places(connection, schema, turn, direction).await? {
            found.extend(carried::find(connection, &place).await?);
        }
    }
    let found = carried::in_order(found);
    carried::take_off(connection, &found).await?;
    let mut broken = Vec::new();
    for turn in &turns {
        if direction == Direction::Forward {
            drop_previous(connection, schema, turn.projection).await?;
        }
        broken.push(rename(connection, schema, turn, direction).await?);
    }
    carried::put_on(connection, &found).await?;
    for (turn, is_broken) in turns.iter().zip(broken) {
        record::bring_in(connection, schema, turn.projection, direction.from()).await?;
        if is_broken {
            drop_previous(connection, schema, turn.projection).await?;
        }
    }
    Ok(())
}

/// Every table that may be renamed or dropped.
fn tables_of(schema: &str, turns: &[Turn<'_>]) -> Vec<Relation> {
    let of = |builds: &Builds, side: Side| -> Vec<Relation> {
        let tables = builds.side(side).map(|build| build.tables.as_slice()).unwrap_or_default();
        tables.iter().map(|table| relation(schema, side, table)).collect()
    };
    turns.iter().flat_map(|turn| Side::ALL.into_iter().flat_map(|side| of(&turn.builds, side))).collect()
}

/// The relations that a swap of tables changes, views first, as those who read through them come the same way.
const CHANGED: &str = "
WITH ours AS (SELECT c.oid, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname = $1 AND c.relname::text = ANY ($2) AND c.relkind = 'r')
SELECT oid::bigint, oid::regclass::text AS name, is_view FROM (
    SELECT oid, false AS is_view FROM ours
    UNION
    SELECT v.oid, true FROM ours JOIN pg_depend d ON d.refobjid = ours.oid AND d.refclassid = 'pg_class'::regclass
    JOIN pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
    UNION
    SELECT k.conrelid, false FROM ours JOIN pg_constraint k ON k.contype = 'f' AND k.confrelid = ours.oid
    UNION
    SELECT k.confrelid, false FROM ours JOIN pg_constraint k ON k.contype = 'f' AND k.conrelid = ours.oid
) AS found ORDER BY is_view DESC, oid";

async fn changed(
    connection: &mut PgConnection,
    schema: &str,
    tables: &[Relation],
) -> Result<Vec<(i64, String)>, Failure> {
    let names: Vec<&str> = tables.iter().map(|table| &*table.name).collect();
    let rows = sqlx::query(CHANGED).bind(schema).bind(names).fetch_all(connection).await?;
    let pair = |row: &sqlx::postgres::PgRow| Ok((row.try_get("oid")?, row.try_get("name")?));
    rows.iter().map(pair).collect()
}

async fn lock(connection: &mut PgConnection, schema: &str, tables: &[Relation], until: Instant) -> Result<(), Failure> {
    for (_, name) in changed(connection, schema, tables).await? {
        limit_wait(connection, until).await?;
        execute(connection, format!("LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE")).await?;
    }
    Ok(())
}

/// Lets every lock be waited for until a moment at most.
async fn limit_wait(connection: &mut PgConnection, until: Instant) -> Result<(), Failure> {
    let left = until.saturating_duration_since(Instant::now()).as_millis().max(1);
    execute(connection, format!("SET LOCAL lock_timeout = {left}")).await
}

/// Gives the tables their new names. Returns whether somebody had taken tables from the live build, which makes it of
/// no use any more.
async fn rename(
    connection: &mut PgConnection,
    schema: &str,
    turn: &Turn<'_>,
    direction: Direction,
) -> Result<bool, Failure> {
    let from = direction.from();
    // Out of the way of the live tables, which take these names.
    let aside = |number: usize| format!("eventlift_aside_{}_{number}", turn.next.generation);
    for (number, table) in turn.next.tables.iter().enumerate() {
        tables::rename(connection, &relation(schema, from, table), &aside(number)).await?;
    }
    let mut is_broken = false;
    let live: &[Table] = turn.builds.live.as_ref().map(|live| live.tables.as_slice()).unwrap_or_default();
    for table in live {
        match kind_of(connection, schema, &table.name).await?.as_deref() {
            Some("table") => {
                let to = tables::name_on(Side::Previous, &table.name);
                refuse_taken(connection, schema, &to).await?;
                tables::rename(connection, &relation(schema, Side::Live, table), &to).await?;
            }
            None => is_broken = true,
            Some(kind) => return Err(taken(&table.name, kind)),
        }
    }
    for (number, table) in turn.next.tables.iter().enumerate() {
        refuse_taken(connection, schema, &table.name).await?;
        tables::rename(connection, &Relation::new(schema, aside(number)), &table.name).await?;
    }
    Ok(is_broken)
}

async fn refuse_taken(connection: &mut PgConnection, schema: &str, name: &str) -> Result<(), Failure> {
    match kind_of(connection, schema, name).await? {
        Some(kind) => Err(taken(name, &kind)),
        None => Ok(()),
    }
}

fn taken(name: &str, kind: &str) -> Failure {
    Refusal::unexpected(format_args!("there is a {kind} `{name}` that eventlift did not make"))
        .at(format_args!("table {name}"))
        .hint(format_args!("rename or drop the {kind} `{name}`"))
        .into()
}

/// Drops the previous build. Returns whether there was one.
pub(super) async fn drop_previous(
    connection: &mut PgConnection,
    schema: &str,
    projection: &str,
) -> Result<bool, Failure> {
    let Some(previous) = record::builds(connection, schema, projection).await?.previous else { return Ok(false) };
    for table in &previous.tables {
        tables::drop(connection, schema, Side::Previous, table).await?;
    }
    record::forget(connection, schema, projection, previous.generation).await?;
    Ok(true)
}

/// Waits until no snapshot is left to which the tables that come in look half filled.
async fn wait_for_snapshots(
    connection: &mut PgConnection,
    schema: &str,
    projections: &[(&str, Option<i64>)],
    direction: Direction,
    deadline: Instant,
) -> Result<(), Failure> {
    let names: Vec<&str> = projections.iter().map(|(projection, _)| *projection).collect();
    let sql = format!(
        "SELECT DISTINCT a.pid, a.xact_start::text, a.backend_xmin::text FROM pg_stat_activity a, {} p
         WHERE p.projection = ANY ($1) AND p.side = $2 AND p.changed_by IS NOT NULL AND a.backend_xmin IS NOT NULL
           AND a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
           AND age(a.backend_xmin) >= age(p.changed_by::xid)",
        ledger(schema, "projections")
    );
    // Only those of now: later snapshots see the change, even where something else that still runs keeps their horizon
    // behind it.
    let mut left: Option<Vec<Older>> = None;
    let mut pause = Duration::from_millis(5);
    loop {
        // A transaction goes on seeing the sessions as they were when it asked first.
        connection.execute("SELECT pg_stat_clear_snapshot()").await?;
        let older: Vec<Older> = sqlx::query_as(AssertSqlSafe(&*sql))
            .bind(&names)
            .bind(direction.from().as_str())
            .fetch_all(&mut *connection)
            .await?;
        let waited_for = match left {
            None => older,
            Some(before) => before.into_iter().filter(|one| older.contains(one)).collect(),
        };
        if waited_for.is_empty() {
            return Ok(());
        }
        if Instant::now() + pause > deadline {
            let pids: Vec<i32> = waited_for.iter().map(|(pid, ..)| *pid).collect();
            let holders = describe(connection, &pids).await?;
            return Err(busy("a transaction is older than the new tables and would see them half filled", &holders));
        }
        left = Some(waited_for);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES[1]);
    }
}

/// A session with a snapshot: its process, when its transaction began, and its horizon.
type Older = (i32, Option<String>, Option<String>);

/// Why no attempt got its locks: who has them.
async fn held_up(
    connection: &mut PgConnection,
    schema: &str,
    projections: &[(&str, Option<i64>)],
    direction: Direction,
) -> Result<Failure, Failure> {
    let mut turns = Vec::new();
    for (projection, _) in projections {
        turns.push(read(connection, schema, projection, direction).await?);
    }
    let relations = changed(connection, schema, &tables_of(schema, &turns)).await?;
    let oids: Vec<i64> = relations.iter().map(|(oid, _)| *oid).collect();
    let sql = "SELECT DISTINCT pid FROM pg_locks
               WHERE locktype = 'relation' AND granted AND pid <> pg_backend_pid() AND relation::bigint = ANY ($1)
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let pids: Vec<i32> = sqlx::query_scalar(sql).bind(oids).fetch_all(&mut *connection).await?;
    let holders = describe(connection, &pids).await?;
    Ok(busy("the live tables are in use", &holders))
}

fn busy(what: &str, holders: &[String]) -> Failure {
    let by = if holders.is_empty() { "somebody who has just ended".to_owned() } else { holders.join("; ") };
    Refusal::new(StoreErrorKind::Locked(format!("{what}, by {by}")))
        .hint("end that transaction (SELECT pg_terminate_backend(pid)), or wait until it ends; then run it again")
        .into()
}

/// Sessions for people.
async fn describe(connection: &mut PgConnection, pids: &[i32]) -> Result<Vec<String>, Failure> {
    connection.execute("SELECT pg_stat_clear_snapshot()").await?;
    let sql = "SELECT format('process %s (%s, %s) since %s: %s', pid, coalesce(nullif(application_name, ''), usename, 'unknown'),
                      coalesce(state, 'unknown state'), coalesce(to_char(xact_start, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), 'unknown'),
                      left(regexp_replace(coalesce(query, ''), '\\s+', ' ', 'g'), 120))
               FROM pg_stat_activity WHERE pid = ANY ($1) ORDER BY pid";
    Ok(sqlx::query_scalar(sql).bind(pids).fetch_all(connection).await?)
}
