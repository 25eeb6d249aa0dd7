//! Reading while others write: numbers are taken in one order and become visible in another.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use eventlift::stores::postgres::{PostgresConfig, PostgresReader, Writers};
use eventlift::{Event, EventReader, Position, ReadRequest, Scope};
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, PgConnection};

use super::database::Database;
use super::writers::{Dice, ISOLATION, create, number, run, transact};

async fn open(database: &Database, table: &str, writers: Writers) -> PostgresReader {
    let config = PostgresConfig { table: table.to_owned(), writers, ..PostgresConfig::new(database.url()) };
    PostgresReader::open(config).await.unwrap()
}

async fn read(reader: &PostgresReader, after: Option<i64>) -> Vec<Event> {
    let after = after.map(|after| Position::new(after.unsigned_abs()));
    let batches: Vec<Vec<Event>> = reader.read(ReadRequest::new(Scope::All).after(after)).try_collect().await.unwrap();
    batches.concat()
}

fn positions(events: &[Event]) -> Vec<i64> {
    events.iter().map(|event| i64::try_from(event.position.major()).unwrap()).collect()
}

/// What a reader does that knows nothing of gaps.
async fn read_naively(connection: &mut PgConnection, table: &str, after: i64) -> Vec<i64> {
    let sql = format!("SELECT position FROM {table} WHERE position > {after} ORDER BY position");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(connection).await.expect("the test server obeys")
}

/// Ways to take a number of `{t}`, and perhaps to use it, in a transaction that has begun. `{n}` is taken already.
const TAKING: [&str; 6] = [
    "INSERT INTO {t} (stream, revision) VALUES ('late', 0)",
    "SELECT nextval('{t}_position_seq')",
    "SAVEPOINT s; SELECT nextval('{t}_position_seq'); ROLLBACK TO s",
    "SAVEPOINT s; INSERT INTO {t} (stream, revision) VALUES ('gone', 0); ROLLBACK TO s",
    "SAVEPOINT s; INSERT INTO {t} (stream, revision) VALUES ('late', 0); RELEASE s",
    "LOCK TABLE {t} IN ROW EXCLUSIVE MODE; SELECT nextval('{t}_position_seq')",
];

/// How a transaction may end: what is done before the reader comes, and what after it.
const ENDS: [(&str, &str); 4] = [
    ("", "COMMIT"),
    ("", "ROLLBACK"),
    ("PREPARE TRANSACTION '{p}'", "COMMIT PREPARED '{p}'"),
    ("PREPARE TRANSACTION '{p}'", "ROLLBACK PREPARED '{p}'"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_reader_stops_before_a_number_that_is_held_and_goes_on_when_it_is_not() {
    let database = Arc::new(Database::create().await);
    let mut cases = tokio::task::JoinSet::new();
    for (way, taking) in TAKING.into_iter().enumerate() {
        let database = Arc::clone(&database);
        cases.spawn(async move {
            // One after the other: a server takes a few prepared transactions only.
            for (end, (before, after)) in ENDS.into_iter().enumerate() {
                let table = format!("t_{way}_{end}");
                let prepared = format!("{}_{table}", database.name());
                let fill = |sql: &str| sql.replace("{t}", &table).replace("{p}", &prepared);
                let (mut late, mut other) = (database.connect().await, database.connect().await);
                create(&mut other, &table).await;
                run(&mut other, format!("INSERT INTO {table} (stream, revision) VALUES ('a', 0)")).await;
                run(&mut late, format!("BEGIN ISOLATION LEVEL {}", ISOLATION[(way + end) % 3])).await;
                run(&mut late, fill(taking)).await;
                // What was not inserted with the number that was taken is inserted now, where it still may be.
                run(&mut other, format!("INSERT INTO {table} (stream, revision) VALUES ('a', 1)")).await;
                if !taking.contains("'late'") {
                    run(&mut late, format!("INSERT INTO {table} (position, stream, revision) VALUES (2, 'late', 0)"))
                        .await;
                }
                run(&mut late, fill(before)).await;

                let reader = open(&database, &table, Writers::Live).await;
                let first = read(&reader, None).await;
                assert_eq!(positions(&first), [1], "{taking}; {before}");
                assert_eq!(reader.head().await.unwrap(), Some(Position::new(1)), "{taking}; {before}");
                assert_eq!(read_naively(&mut other, &table, 0).await, [1, 3], "nothing was held back by {taking}");

                run(&mut late, fill(after)).await;
                let kept: &[i64] = if after.starts_with("COMMIT") { &[2, 3] } else { &[3] };
                assert_eq!(positions(&read(&reader, Some(1)).await), kept, "{taking}; {after}");
                assert_eq!(reader.head().await.unwrap(), Some(Position::new(3)));
                if kept.len() == 2 {
                    let naive = read_naively(&mut other, &table, 3).await;
                    assert!(naive.is_empty(), "a naive reader never sees position 2");
                }
            }
        });
    }
    while let Some(case) = cases.join_next().await {
        case.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_read_goes_on_in_order_once_the_number_is_used() {
    let database = Database::create().await;
    let (mut late, mut other) = (database.connect().await, database.connect().await);
    create(&mut other, "events").await;
    let reader = open(&database, "events", Writers::Live).await;
    run(&mut late, "BEGIN; INSERT INTO events (stream, revision) VALUES ('late', 0)").await;
    run(&mut other, "INSERT INTO events (stream, revision) VALUES ('a', 0)").await;
    let reading = {
        let reader = reader.clone();
        tokio::spawn(async move { read(&reader, None).await })
    };
    tokio::time::sleep(Duration::from_millis(400)).await;
    run(&mut late, "COMMIT").await;
    assert_eq!(positions(&reading.await.unwrap()), [1, 2]);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn gaps_that_nobody_can_fill_are_crossed_at_once_whatever_else_is_running() {
    let database = Database::create().await;
    let (mut other, mut bystander) = (database.connect().await, database.connect().await);
    create(&mut other, "events").await;
    create(&mut other, "elsewhere").await;
    run(&mut bystander, "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT count(*) FROM events").await;
    run(&mut bystander, "INSERT INTO elsewhere (stream, revision) VALUES ('a', 0)").await;
    run(&mut other, "BEGIN; INSERT INTO events (stream, revision) VALUES ('gone', 0); ROLLBACK").await;
    run(&mut other, "INSERT INTO events (stream, revision) VALUES ('a', 0)").await;
    let reader = open(&database, "events", Writers::Live).await;
    assert_eq!(positions(&read(&reader, None).await), [2]);
    run(&mut bystander, "COMMIT").await;
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_source_whose_writers_have_stopped_is_read_across_its_gaps() {
    let database = Database::create().await;
    let (mut late, mut other) = (database.connect().await, database.connect().await);
    create(&mut other, "events").await;
    run(&mut late, "BEGIN; INSERT INTO events (stream, revision) VALUES ('late', 0)").await;
    run(&mut other, "INSERT INTO events (stream, revision) VALUES ('a', 0)").await;
    let reader = open(&database, "events", Writers::Stopped).await;
    assert_eq!(positions(&read(&reader, None).await), [2]);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn sequences_that_hand_out_numbers_in_no_order_are_refused() {
    let database = Database::create().await;
    let mut other = database.connect().await;
    create(&mut other, "events").await;
    for (alter, hint) in
        [("CACHE 20", "CACHE 1"), ("CACHE 1 CYCLE", "NO CYCLE"), ("NO CYCLE INCREMENT -1 MINVALUE -9", "INCREMENT 1")]
    {
        run(&mut other, format!("ALTER SEQUENCE events_position_seq {alter}")).await;
        let config = PostgresConfig::new(database.url());
        let error = PostgresReader::open(config).await.unwrap_err();
        assert!(error.to_string().contains("events_position_seq"), "{error}");
        assert!(error.hint.as_deref().unwrap().contains(hint), "{alter}: {:?}", error.hint);
        open(&database, "events", Writers::Stopped).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn writers_of_a_partition_and_of_a_sequence_without_an_owner_are_waited_for() {
    let database = Database::create().await;
    let (mut late, mut other) = (database.connect().await, database.connect().await);
    let columns = "stream text NOT NULL, revision bigint NOT NULL, id text NOT NULL DEFAULT gen_random_uuid(),
                   type text NOT NULL DEFAULT 'T', recorded_at timestamptz NOT NULL DEFAULT now(), data json";
    run(
        &mut other,
        format!("CREATE TABLE parted (position bigint PRIMARY KEY, {columns}) PARTITION BY RANGE (position)"),
    )
    .await;
    run(&mut other, "CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (2)").await;
    run(&mut other, "CREATE TABLE high PARTITION OF parted FOR VALUES FROM (2) TO (100)").await;
    run(&mut other, format!("CREATE SEQUENCE numbers; CREATE TABLE free (position bigint PRIMARY KEY, {columns})"))
        .await;

    let parted = open(&database, "parted", Writers::Live).await;
    run(&mut late, "BEGIN; INSERT INTO low (position, stream, revision) VALUES (0, 'late', 0)").await;
    run(&mut other, "INSERT INTO parted (position, stream, revision) VALUES (2, 'a', 0)").await;
    assert_eq!(positions(&read(&parted, None).await), [0; 0]);
    run(&mut late, "COMMIT").await;
    assert_eq!(positions(&read(&parted, None).await), [0, 2]);

    let free = open(&database, "free", Writers::Live).await;
    run(&mut late, "BEGIN; SELECT nextval('numbers')").await;
    run(&mut other, "INSERT INTO free (position, stream, revision) VALUES (nextval('numbers'), 'a', 0)").await;
    assert_eq!(positions(&read(&free, None).await), [0; 0]);
    run(&mut late, "INSERT INTO free (position, stream, revision) VALUES (1, 'late', 0); COMMIT").await;
    assert_eq!(positions(&read(&free, None).await), [1, 2]);
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn news_come_when_events_do() {
    use futures_util::StreamExt;
    let database = Database::create().await;
    let mut other = database.connect().await;
    create(&mut other, "events").await;
    run(
        &mut other,
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN PERFORM pg_notify('eventlift:public.events', ''); RETURN NULL; END$$;
         CREATE TRIGGER tell AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION tell()",
    )
    .await;
    let reader = open(&database, "events", Writers::Live).await;
    let mut news = reader.news().unwrap();
    news.next().await.expect("it says that it listens");
    run(&mut other, "INSERT INTO events (stream, revision) VALUES ('a', 0)").await;
    let told = tokio::time::timeout(Duration::from_secs(30), news.next()).await;
    assert_eq!(told.expect("news within half a minute"), Some(()));
    // A lost connection is made anew, and what may have been missed is news.
    run(&mut other, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()").await;
    let told = tokio::time::timeout(Duration::from_secs(30), news.next()).await;
    assert_eq!(told.expect("news within half a minute"), Some(()));
}

#[tokio::test]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_table_that_takes_the_place_of_another_is_not_read_as_it() {
    let database = Database::create().await;
    let mut other = database.connect().await;
    create(&mut other, "events").await;
    create(&mut other, "new_events").await;
    let reader = open(&database, "events", Writers::Live).await;
    run(&mut other, "ALTER TABLE events RENAME TO old_events; ALTER TABLE new_events RENAME TO events").await;
    let error = reader.read(ReadRequest::new(Scope::All)).try_collect::<Vec<_>>().await.unwrap_err();
    assert!(error.to_string().contains("another table took the place"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn eight_writers_and_a_follower_that_misses_nothing() {
    const WRITERS: u64 = 8;
    const TRANSACTIONS: usize = 60;
    let database = Arc::new(Database::create().await);
    let mut main = database.connect().await;
    create(&mut main, "events").await;

    let stopped = Arc::new(AtomicBool::new(false));
    let follower = {
        let (reader, stopped) = (open(&database, "events", Writers::Live).await, Arc::clone(&stopped));
        tokio::spawn(async move {
            let (mut seen, mut reads) = (Vec::new(), 0);
            loop {
                let was_stopped = stopped.load(Ordering::SeqCst);
                let after = seen.last().map(|event: &Event| i64::try_from(event.position.major()).unwrap());
                let new = read(&reader, after).await;
                reads += 1;
                if new.is_empty() && was_stopped {
                    return (seen, reads);
                }
                seen.extend(new);
            }
        })
    };
    let naive = {
        let (mut connection, stopped) = (database.connect().await, Arc::clone(&stopped));
        tokio::spawn(async move {
            let mut seen = Vec::new();
            loop {
                let was_stopped = stopped.load(Ordering::SeqCst);
                let new = read_naively(&mut connection, "events", seen.last().copied().unwrap_or(0)).await;
                if new.is_empty() && was_stopped {
                    return seen;
                }
                seen.extend(new);
            }
        })
    };

    let prepared = format!("{}_late", database.name());
    run(&mut main, "BEGIN").await;
    let late = number(&mut main, "SELECT nextval('events_position_seq')").await;
    run(&mut main, format!("INSERT INTO events (position, stream, revision) VALUES ({late}, 'prepared', 0)")).await;
    run(&mut main, format!("PREPARE TRANSACTION '{prepared}'")).await;

    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let database = Arc::clone(&database);
        writers.spawn(async move {
            let (mut connection, mut dice) = (database.connect().await, Dice(0x9e37_79b9 + writer));
            let (stream, mut revision) = (format!("writer-{writer}"), 0);
            for _ in 0..TRANSACTIONS {
                revision += transact(&mut connection, &mut dice, &stream, revision).await;
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    run(&mut main, format!("COMMIT PREPARED '{prepared}'")).await;
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    stopped.store(true, Ordering::SeqCst);
    let ((seen, reads), naive) = (follower.await.unwrap(), naive.await.unwrap());

    let there = read_naively(&mut main, "events", 0).await;
    assert!(there.len() > 300, "only {} events were made", there.len());
    assert_eq!(positions(&seen), there, "nothing missed, nothing twice, in order");
    assert!(reads > 10, "it was followed, not read at the end: {reads} reads");
    let mut revisions = std::collections::BTreeMap::new();
    for event in &seen {
        let next: &mut u64 = revisions.entry(event.stream.as_str()).or_default();
        assert_eq!(event.revision.0, *next, "stream {}", event.stream);
        *next += 1;
    }
    // The schedule is one that breaks who looks at the highest position only.
    let naive: BTreeSet<i64> = naive.into_iter().collect();
    assert!(there.iter().any(|position| !naive.contains(position)), "a naive reader missed nothing");
}
