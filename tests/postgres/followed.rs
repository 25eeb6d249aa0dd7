//! A live table that is migrated and followed while services write to it, and the target when services take over.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use eventlift::events::{Event, EventWriter, MemoryStore};
use eventlift::pipeline::{Following, Migration, MigrationOptions, StopHandle};
use eventlift::stores::postgres::{PostgresConfig, PostgresReader, PostgresWriter};
use eventlift::transformers::Registry;
use sqlx::PgConnection;

use super::database::Database;
use super::writers::{BusyWriters, Dice, create, number, run};
use crate::project::{Output, Project};
use crate::rulebook;

/// Events that are there before anything runs: enough for several ranges.
const BEFORE: i64 = 6_000;
/// Events that come while it is followed.
const MEANWHILE: i64 = 250;

const ONE_TO_ONE: &str = r#"
type = "Happened"
current = 2

[[upcast]]
from = 1
data = [{ set = "/lifted", value = true }]
"#;

const SPLIT: &str = r#"
[current]
Told = 1
Heard = 1

[[rule]]
name = "who is told is heard"
match = { types = ["Told"] }
split = [{ type = "Told" }, { type = "Heard", data = [{ set = "/lifted", value = true }] }]
"#;

/// What the target has to hold, said in SQL, without ids of later parts.
const LIFTED: &str = "
    SELECT position, stream, revision, id::text, type, CASE type WHEN 'Happened' THEN 2 ELSE 1 END::bigint AS version,
           recorded_at, CASE type WHEN 'Happened' THEN data || '{\"lifted\": true}' ELSE data END AS data
    FROM public.events";
const PARTED: &str = "
    SELECT position + before AS position, stream, revision + in_stream AS revision, id::text, type, 1::bigint AS version,
           recorded_at, data
    FROM counted
    UNION ALL
    SELECT position + before + 1, stream, revision + in_stream + 1, '', 'Heard', 1, recorded_at,
           data || '{\"lifted\": true}'
    FROM counted WHERE type = 'Told'";
const COUNTED: &str = "
    SELECT *, count(*) FILTER (WHERE type = 'Told') OVER (ORDER BY position) - (type = 'Told')::int AS before,
           count(*) FILTER (WHERE type = 'Told') OVER (PARTITION BY stream ORDER BY position) - (type = 'Told')::int
               AS in_stream
    FROM public.events";
const FOUND: &str = "
    SELECT position, stream, revision, CASE type WHEN 'Heard' THEN '' ELSE id END AS id, type, schema_version AS version,
           recorded_at, data::jsonb AS data
    FROM lifted.events";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    OneToOne,
    Split,
}

/// A live table and a project that lifts it into another schema.
struct Live {
    database: Database,
    connection: PgConnection,
    project: Project,
    rules: Rules,
}

impl Live {
    async fn new(rules: Rules) -> Self {
        let database = Database::create().await;
        let mut connection = database.connect().await;
        create(&mut connection, "events").await;
        // Content that differs from event to event, and two types.
        run(
            &mut connection,
            "ALTER TABLE events ALTER type SET DEFAULT CASE WHEN random() < 0.3 THEN 'Told' ELSE 'Happened' END,
                                ALTER data SET DEFAULT jsonb_build_object('dice', random(), 'at', clock_timestamp())",
        )
        .await;
        run(
            &mut connection,
            format!(
                "INSERT INTO events (stream, revision)
                 SELECT 'old-' || number % 50, number / 50 FROM generate_series(0, {BEFORE} - 1) AS number"
            ),
        )
        .await;
        let url = database.url();
        let project =
            Project::new(&format!("[source]\nurl = \"{url}\"\n\n[target]\nurl = \"{url}\"\nschema = \"lifted\"\n"));
        match rules {
            Rules::OneToOne => project.write("transformers/happened.toml", ONE_TO_ONE),
            Rules::Split => project.write("transformers/told.toml", SPLIT),
        };
        Self { database, connection, project, rules }
    }

    fn follow(&self) -> Child {
        let mut command = self.project.command("migrate");
        command.args(["--follow", "--json", "--workers", "2"]).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Whether the run is sealed and done; the last position of the source that is in the target by then.
    async fn followed_to(&mut self) -> Option<i64> {
        if number(&mut self.connection, "SELECT count(*) FROM pg_tables WHERE schemaname = 'lifted'").await < 6 {
            return None;
        }
        let sql =
            "SELECT c.source::bigint FROM lifted.eventlift_runs r JOIN lifted.eventlift_checkpoints c ON c.run = r.id
                   WHERE r.state = 'done'";
        sqlx::query_scalar(sql).fetch_optional(&mut self.connection).await.unwrap()
    }

    /// Waits until it is followed up to a position at least. Returns up to which it is.
    async fn until(&mut self, child: &mut Child, position: i64) -> i64 {
        let begun = Instant::now();
        loop {
            let reached = self.followed_to().await;
            match reached {
                Some(reached) if reached >= position => return reached,
                _ if child.try_wait().unwrap().is_some() => panic!("it ended: {}", said(child)),
                _ => {}
            }
            // Long enough for any machine; only a follower that misses something waits for it.
            assert!(begun.elapsed() < Duration::from_secs(60), "{reached:?} of {position}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn last(&mut self) -> i64 {
        number(&mut self.connection, "SELECT max(position) FROM events").await
    }

    /// Compares both sides by SQL alone, and asks `verify`.
    async fn compare(&mut self) {
        let (expected, with) = match self.rules {
            Rules::OneToOne => (LIFTED, String::new()),
            Rules::Split => (PARTED, format!("WITH counted AS ({COUNTED}) ")),
        };
        let differences = format!(
            "{with}SELECT (SELECT count(*) FROM (({expected}) EXCEPT ALL ({FOUND})) missed)
                        + (SELECT count(*) FROM (({FOUND}) EXCEPT ALL ({expected})) doubled)"
        );
        assert_eq!(number(&mut self.connection, differences).await, 0, "events that are missed or too many");
        let count = format!("{with}SELECT count(*) FROM ({expected}) expected");
        let count = number(&mut self.connection, count).await;
        assert_eq!(number(&mut self.connection, "SELECT count(DISTINCT id) FROM lifted.events").await, count);
        let disorder =
            "SELECT count(*) FROM (SELECT revision - row_number() OVER (PARTITION BY stream ORDER BY position)
                        AS shift FROM lifted.events) o WHERE shift <> -1";
        assert_eq!(number(&mut self.connection, disorder).await, 0, "events out of the order of their stream");
        let verified = self.project.verify();
        assert_eq!(verified.code, Some(0), "{verified:?}");
    }
}

fn said(child: &mut Child) -> String {
    use std::io::Read;
    let mut text = String::new();
    child.stdout.as_mut().unwrap().read_to_string(&mut text).unwrap();
    child.stderr.as_mut().unwrap().read_to_string(&mut text).unwrap();
    text
}

fn terminate(child: Child) -> std::process::Output {
    Command::new("sh").args(["-c", &format!("kill -s TERM {}", child.id())]).status().unwrap();
    child.wait_with_output().unwrap()
}

/// Follows a table that eight services write to all the while, and is killed so many times.
async fn follow_writers(rules: Rules, kills: u64) {
    let mut live = Live::new(rules).await;
    let writers = BusyWriters::start(&live.database.url(), 8);
    let mut dice = Dice(0x2545_f491 + kills);
    let mut child = live.follow();
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(50 + dice.roll(600))).await;
        assert!(child.try_wait().unwrap().is_none(), "it ended: {}", said(&mut child));
        child.kill().unwrap();
        child.wait().unwrap();
        child = live.follow();
    }
    let done = live.until(&mut child, 1).await;
    live.until(&mut child, done + MEANWHILE).await;
    writers.stop().await;
    let last = live.last().await;
    live.until(&mut child, last).await;
    let output = terminate(child);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains(r#""state":"done""#) && report.contains(r#""retries":0"#), "{report}");
    let came = number(&mut live.connection, "SELECT count(*) FROM events WHERE stream NOT LIKE 'old-%'").await;
    assert!(came > MEANWHILE / 2, "only {came} events came");
    let gaps = number(&mut live.connection, "SELECT max(position) - count(*) FROM events").await;
    assert!(gaps > 0, "no number was taken in vain");
    live.compare().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_table_with_eight_writers_is_loaded_in_ranges_and_followed() {
    follow_writers(Rules::OneToOne, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_table_with_eight_writers_is_split_and_followed() {
    follow_writers(Rules::Split, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_follower_that_is_killed_misses_nothing() {
    follow_writers(Rules::OneToOne, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_follower_with_splits_that_is_killed_misses_nothing() {
    follow_writers(Rules::Split, 6).await;
}

/// Follows a table that is given ten events more, one at a time. It has the trigger or not.
async fn follow_news(has_trigger: bool, following: Following) {
    let database = Database::create().await;
    let config = PostgresConfig::new(database.url());
    let events = rulebook::log(60, 3);
    let (before, after): (&[Event], &[Event]) = events.split_at(50);
    let mut source = PostgresWriter::open(config.clone()).await.unwrap();
    source.append(before, None).await.unwrap();
    source.seal(true).await.unwrap();
    if !has_trigger {
        run(&mut database.connect().await, "DROP TRIGGER eventlift_notify ON events").await;
    }
    let target = MemoryStore::new();
    let (handle, stop) = StopHandle::new();
    let reader = Arc::new(PostgresReader::open(config).await.unwrap());
    let rules = Arc::new(Registry::builder().build().unwrap());
    let writer = Box::new(target.writer().unwrap());
    let migration = Migration::new(reader, writer, rules, MigrationOptions::default()).stop_on(stop);
    let mut progress = migration.progress();
    let follower = tokio::spawn(migration.follow(following));
    for (number, event) in (50..).zip(after.iter().map(Some).chain([None])) {
        let came = progress.wait_for(|progress| progress.counts.read == number);
        tokio::time::timeout(Duration::from_secs(60), came).await.expect("nothing more came").unwrap();
        if let Some(event) = event {
            source.append(std::slice::from_ref(event), None).await.unwrap();
        }
    }
    handle.stop();
    assert!(follower.await.unwrap().unwrap().done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn an_insert_wakes_the_follower() {
    // It would not look by itself before the test has given up.
    let hours = Duration::from_secs(3600);
    follow_news(true, Following { shortest_wait: hours, longest_wait: hours }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn without_its_trigger_a_table_is_looked_at_from_time_to_time() {
    follow_news(false, Following::default()).await;
}

const SERVICE: &str = "INSERT INTO lifted.events (stream, revision, id, type, data)
     VALUES ('service-1', 0, gen_random_uuid(), 'Served', '{\"n\": 1}') RETURNING position";

fn assert_refused(output: &Output, what: &str) {
    assert_eq!(output.code, Some(5), "{output:?}");
    assert!(output.stderr.contains(what), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_service_takes_over_the_target() {
    let mut live = Live::new(Rules::Split).await;
    // A number that is taken in vain at the end of the source is not one of the target.
    run(&mut live.connection, "BEGIN; INSERT INTO events (stream, revision) VALUES ('gone', 0); ROLLBACK").await;
    let migrated = live.project.migrate();
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let last = number(&mut live.connection, "SELECT max(position) FROM lifted.events").await;

    // What a service rolls back changes nothing: the run goes on, and its numbers stay those of the source.
    run(&mut live.connection, format!("BEGIN; {SERVICE}; ROLLBACK")).await;
    run(&mut live.connection, "INSERT INTO events (stream, revision) VALUES ('late', 0)").await;
    let migrated = live.project.migrate();
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    live.compare().await;
    let again = number(&mut live.connection, "SELECT max(position) FROM lifted.events").await;
    assert!(again > last);

    // It goes on behind the last event, with the column's defaults.
    let position = number(&mut live.connection, SERVICE).await;
    assert_eq!(position, again + 1);
    let kept = "SELECT count(*) FROM lifted.events WHERE stream = 'service-1' AND schema_version = 1
                AND recorded_at > now() - interval '1 hour'";
    assert_eq!(number(&mut live.connection, kept).await, 1);

    // From now on the target is more than the run made of it.
    assert_refused(&live.project.migrate(), "did not write");
    run(&mut live.connection, "INSERT INTO events (stream, revision) VALUES ('late', 1)").await;
    assert_refused(&live.project.migrate(), "did not write");
    let verified = live.project.verify();
    assert_eq!(verified.code, Some(6), "{verified:?}");
    assert_eq!(number(&mut live.connection, "SELECT max(position) FROM lifted.events").await, position);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a PostgreSQL server: cargo xtask test"]
async fn a_follower_ends_where_a_service_takes_its_place() {
    let mut live = Live::new(Rules::OneToOne).await;
    let mut child = live.follow();
    live.until(&mut child, BEFORE).await;
    run(&mut live.connection, "INSERT INTO events (stream, revision) VALUES ('late', 0)").await;
    live.until(&mut child, BEFORE + 1).await;
    let position = number(&mut live.connection, SERVICE).await;
    assert_eq!(position, BEFORE + 2);
    run(&mut live.connection, "INSERT INTO events (stream, revision) VALUES ('late', 1)").await;
    let output = child.wait_with_output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(4), "{report}");
    assert!(report.contains("position 6002 is taken") && report.contains("name another target"), "{report}");
    // The service's event is as it was, and nothing came behind it.
    let held = number(&mut live.connection, "SELECT count(*) FROM lifted.events WHERE position > 6001").await;
    assert_eq!(held, 1);
}
