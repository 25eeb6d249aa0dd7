//! Rebuilds that are killed at random instants, while somebody reads: the live tables are always one whole generation,
//! and the last run ends with what an undisturbed one makes.
//!
//! `EVENTLIFT_KILLS` says how often each kind of run is killed; `cargo xtask kill` uses it for the large number.
//! `EVENTLIFT_SEED` repeats what a failure printed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use eventlift::events::{Event, EventWriter};
use eventlift::projections::ReadModelStore;
use eventlift::stores::sqlite::{SqliteConfig, SqliteReadModels, SqliteWriter};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use crate::content::{self, assert_same};
use crate::project::Project;
use crate::rulebook;

const EVENTS: u64 = 8_000;
const KILLS: usize = 12;
/// A round kills up to this often before it lets a run come through.
const KILLS_A_ROUND: usize = 3;

/// Small enough that rows are put aside, and often.
const REBUILD: &str = r#"
[read_models]
store = "sqlite"
path = "models.db"

[rebuild]
workers = 2
memory = "1 MiB"
save_every = "20ms"
"#;

const FROM_SOURCE: &str = r#"
[source]
store = "sqlite"
path = "events.db"
"#;

const MIGRATED: &str = r#"
[source]
store = "sqlite"
path = "events.db"

[target]
store = "sqlite"
path = "target.db"
"#;

/// Two tables that are folded and one that sums up; every row says which version of the definition made it.
pub(crate) fn log_definition(version: u64) -> String {
    format!(
        r#"
projection = "log"
ignore = ["Ping"]

[table.seen]
key = "id"
columns = {{ id = "text", kind = "text", generation = "integer" }}
indexes = [["kind"]]

[table.streams]
key = "stream"
columns = {{ stream = "text", events = "integer", amount = "numeric", generation = "integer" }}

[table.kinds]
of = "seen"
key = ["generation", "kind"]
columns = {{ generation = "integer", kind = "text", events = "integer" }}
count = "events"

[[on]]
event = ["UserCreated", "FileRenamed", "FileDeleted", "FileAdded", "NoteAdded", "Untouched", "Repeated", "AmountPaid"]
version = 1
table = "seen"
key = {{ jq = '[.event.stream, .event.revision, .event.type] | map(tostring) | join(" ")' }}
set = {{ kind = {{ event = "type" }}, generation = {version} }}

[[on]]
event = ["UserCreated", "FileRenamed", "FileDeleted", "FileAdded", "NoteAdded", "Untouched", "Repeated", "AmountPaid"]
version = 1
table = "streams"
key = {{ event = "stream" }}
add = {{ events = 1, amount = {{ data = "/amount", default = 0 }} }}
set = {{ generation = {version} }}
"#
    )
}

/// Snapshots whose state says which version made it.
pub(crate) fn order_definition(version: u64) -> String {
    format!(
        r#"
aggregate = "order"
ignore = ["*"]
state = {{ generation = "integer", events = "integer", notes = "json" }}

[[on]]
event = ["AmountPaid", "NoteAdded"]
version = 1
set = {{ generation = {version} }}
add = {{ events = 1 }}
append = {{ notes = "/text" }}
"#
    )
}

const RULES: &str = r#"
[current]
FileDeleted = 1
FileAdded = 1
Ping = 1
UserCreated = 1

[[rule]]
name = "no pings"
match = { types = ["Ping"] }
drop = true
"#;

pub(crate) const SPLIT: &str = r#"
type = "FileRenamed"
retired = true

[[upcast]]
from = 1
split = [
  { type = "FileDeleted", version = 1, data = [{ remove = "/to" }] },
  { type = "FileAdded", version = 1, data = [{ remove = "/from" }] },
]
"#;

pub(crate) fn append(path: &Path, events: &[Event]) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut writer = SqliteWriter::open(SqliteConfig::new(path)).unwrap();
        writer.append(events, None).await.unwrap();
        writer.seal(true).await.unwrap();
    });
}

pub(crate) fn define(project: &Project, version: u64) {
    project.write("projections/log.toml", log_definition(version));
    project.write("projections/order.toml", order_definition(version));
}

/// A project whose source holds these events.
pub(crate) fn project(events: &[Event]) -> Project {
    let project = Project::new(&format!("{FROM_SOURCE}{REBUILD}"));
    append(&project.path("events.db"), events);
    project
}

pub(crate) fn look(project: &Project) -> Connection {
    let connection = Connection::open_with_flags(project.path("models.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    connection
}

fn lines(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let value = |column| match row.get_ref(column).unwrap() {
            ValueRef::Null => "NULL".to_owned(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => format!("real {number}"),
            ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text)),
            ValueRef::Blob(bytes) => format!("{bytes:?}"),
        };
        lines.push((0..columns).map(value).collect::<Vec<_>>().join(" | "));
    }
    lines
}

const TABLES: [(&str, &str); 4] = [("log", "seen"), ("log", "streams"), ("log", "kinds"), ("order", "order_snapshots")];

/// Every row of a projection's live tables, and what the ledger says of the build. Fingerprints may hold the ids of
/// runs, so only that snapshots have that of their build is kept of them.
fn content_of(connection: &Connection, projection: &str) -> Vec<String> {
    connection.execute_batch("BEGIN").unwrap();
    let of_build = |columns: &str| {
        lines(
            connection,
            &format!("SELECT {columns} FROM eventlift_projections WHERE projection = '{projection}' AND side = 'live'"),
        )
    };
    let mut all = of_build("projection, tables, checkpoint, events, is_complete");
    let fingerprint = of_build("fingerprint").pop().unwrap_or_default();
    for (_, table) in TABLES.iter().filter(|(of, _)| *of == projection) {
        let rows = lines(connection, &format!("SELECT '{table}', * FROM {table} ORDER BY 2, 3"));
        all.extend(rows.into_iter().map(|row| row.replace(&fingerprint, "FINGERPRINT")));
    }
    connection.execute_batch("COMMIT").unwrap();
    all
}

fn content(connection: &Connection) -> Vec<String> {
    [content_of(connection, "log"), content_of(connection, "order")].concat()
}

/// What a reader sees of all tables in one transaction: of every table how many rows, of how many events, and the
/// generations.
type Seen = BTreeMap<&'static str, (u64, u64, Vec<u64>)>;

fn see(connection: &Connection) -> Seen {
    const SELECTS: [(&str, &str); 4] = [
        ("seen", "SELECT count(*), count(*), group_concat(DISTINCT generation) FROM seen"),
        ("streams", "SELECT count(*), sum(events), group_concat(DISTINCT generation) FROM streams"),
        ("kinds", "SELECT count(*), sum(events), group_concat(DISTINCT generation) FROM kinds"),
        (
            "snapshots",
            "SELECT count(*), sum(state ->> '$.events'), group_concat(DISTINCT state ->> '$.generation')
             FROM order_snapshots",
        ),
    ];
    connection.execute_batch("BEGIN").unwrap();
    let mut seen = Seen::new();
    for (table, sql) in SELECTS {
        let row = connection.query_row(sql, [], |row| {
            let generations: Option<String> = row.get(2)?;
            Ok((row.get(0)?, row.get::<_, Option<u64>>(1)?.unwrap_or(0), generations.unwrap_or_default()))
        });
        let (rows, events, generations) = row.unwrap();
        let mut generations: Vec<u64> = generations.split(',').map(|text| text.parse().unwrap()).collect();
        generations.sort_unstable();
        seen.insert(table, (rows, events, generations));
    }
    connection.execute_batch("COMMIT").unwrap();
    seen
}

/// Reads all the time, in a connection of its own, until it is dropped; fails the test with what it should not see.
struct Reader {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Reader {
    fn start(project: &Project, check: impl Fn(&Seen) + Send + 'static) -> Self {
        let (stop, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let connection = look(project);
        let (stopped, looked) = (Arc::clone(&stop), Arc::clone(&looks));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                check(&see(&connection));
                looked.fetch_add(1, Ordering::Relaxed);
                // Of two cores one is for what is read.
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { stop, looks, thread: Some(thread) }
    }

    /// How often it looked.
    fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.looks.load(Ordering::Relaxed)
    }
}

/// What the killing came to.
#[derive(Default)]
struct Figures {
    kills: usize,
    /// Kills of a run that was in the ledger and had not ended.
    in_the_middle: usize,
    /// Kills that left something beside the live tables.
    with_shadow: usize,
}

/// How often, and by what chance.
struct Plan {
    kills: usize,
    seed: u64,
    random: Random,
}

impl Plan {
    fn new() -> Self {
        let seed: u64 = std::env::var("EVENTLIFT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos().into()
        });
        let kills = std::env::var("EVENTLIFT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
        Self { kills, seed, random: Random(seed | 1) }
    }
}

/// xorshift64*.
struct Random(u64);

impl Random {
    /// Between 0 and 1.
    fn fraction(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Runs the program and kills it somewhere in this time. Returns whether it was killed before it ended.
fn kill(project: &Project, command: &str, arguments: &[&str], duration: Duration, plan: &mut Plan) -> bool {
    let mut child = project
        .command(command)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let delay = duration.mul_f64(plan.random.fraction());
    while begun.elapsed() < delay && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1).min(delay.saturating_sub(begun.elapsed())));
    }
    // Also sent where it has ended already; then it does nothing.
    child.kill().unwrap();
    let exit = child.wait().unwrap();
    assert!(exit.success() || exit.code().is_none(), "EVENTLIFT_SEED={}: it failed by itself: {exit}", plan.seed);
    exit.code().is_none()
}

impl Figures {
    /// Counts a kill, by what it left behind the runs up to a number.
    fn count(&mut self, connection: &Connection, runs_before: u64) {
        self.kills += 1;
        let running =
            format!("SELECT 1 FROM eventlift_rebuilds WHERE number > {runs_before} AND outcome LIKE '%running%'");
        let shadows = "SELECT 1 FROM eventlift_projections WHERE side = 'shadow'";
        self.in_the_middle += usize::from(!lines(connection, &running).is_empty());
        self.with_shadow += usize::from(!lines(connection, shadows).is_empty());
    }

    fn print(&self, what: &str, duration: Duration, more: &str) {
        let Self { kills, in_the_middle, with_shadow } = self;
        println!(
            "{what}: {kills} kills spread over {} ms, {in_the_middle} of them in the middle, {with_shadow} with a shadow \
             left{more}; every table identical",
            duration.as_millis()
        );
    }
}

fn runs(connection: &Connection) -> u64 {
    lines(connection, "SELECT ifnull(max(number), 0) FROM eventlift_rebuilds").pop().unwrap().parse().unwrap()
}

/// Nothing is left beside the live tables but one build before, no rows put aside, nobody's hold, and a sound file.
fn assert_tidy(project: &Project, context: &str) {
    let connection = look(project);
    let tables =
        lines(&connection, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'eventlift_%'");
    let known = |name: &str| TABLES.iter().any(|(_, table)| name == *table || name == format!("{table}__previous"));
    for name in &tables {
        assert!(known(name.trim_matches('\'')), "{context}: the table {name} is left");
    }
    assert_eq!(lines(&connection, "SELECT * FROM eventlift_projections WHERE side = 'shadow'"), [""; 0], "{context}");
    let put_aside = project.path(".eventlift/rebuild");
    for folder in std::fs::read_dir(put_aside).into_iter().flatten() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let name = file.unwrap().file_name();
            assert_eq!(name, "lock", "{context}: it is left where rows are put aside");
        }
    }
    let store = SqliteReadModels::look(SqliteConfig::new(project.path("models.db"))).unwrap().unwrap();
    for name in ["log", "order"] {
        let held = tokio::runtime::Runtime::new().unwrap().block_on(store.is_held(name)).unwrap();
        assert!(!held, "{context}: {name} is held");
    }
    assert_eq!(lines(&connection, "PRAGMA integrity_check"), ["'ok'"], "{context}");
}

pub(crate) fn timed(project: &Project, command: &str, arguments: &[&str]) -> Duration {
    let begun = Instant::now();
    project.run(command, arguments).succeeds();
    begun.elapsed()
}

#[test]
fn a_killed_rebuild() {
    let mut plan = Plan::new();
    let project = project(&rulebook::log(EVENTS, 5));
    let mut whole = Vec::new();
    let mut duration = Duration::MAX;
    for version in [1, 2] {
        define(&project, version);
        duration = duration.min(timed(&project, "rebuild", &["--all"]));
        whole.push((content(&look(&project)), see(&look(&project))));
    }
    assert!(whole[0].0.len() > EVENTS as usize && whole[0] != whole[1]);
    let expected: Vec<Seen> = whole.iter().map(|(_, seen)| seen.clone()).collect();
    let reader = Reader::start(&project, move |seen| assert!(expected.contains(seen), "a reader saw {seen:?}"));

    let mut figures = Figures::default();
    let mut live = 1;
    let mut round = 0;
    while figures.kills < plan.kills {
        round += 1;
        let next = 1 - live;
        define(&project, next as u64 + 1);
        let context = format!("round {round}, EVENTLIFT_SEED={}", plan.seed);
        for _ in 0..KILLS_A_ROUND {
            let connection = look(&project);
            let before = runs(&connection);
            let was_killed = kill(&project, "rebuild", &["--all"], duration, &mut plan);
            if was_killed {
                figures.count(&connection, before);
            }
            let found = content(&connection);
            let is_new = found == whole[next].0;
            assert!(
                is_new || (was_killed && found == whole[live].0),
                "{context}: neither the old nor the new one is live"
            );
            if is_new {
                break;
            }
        }
        project.run("rebuild", ["--all"]).succeeds();
        assert_same(&whole[next].0, &content(&look(&project)), &context);
        assert_tidy(&project, &context);
        live = next;
    }
    let looks = reader.end();
    assert!(looks > 10);
    figures.print("rebuild --all", duration, &format!(", {looks} looks of a reader"));
    assert!(figures.in_the_middle > 0, "no kill met a rebuild at work");
}

#[test]
fn a_killed_update() {
    const BASE: usize = 3_000;
    let mut plan = Plan::new();
    let events = rulebook::log(EVENTS + 4_000, 6);
    let project = project(&events[..BASE]);
    define(&project, 1);
    project.run("rebuild", ["--all"]).succeeds();
    let base = project.path("base.db");
    look(&project).execute("VACUUM INTO ?1", [base.to_str().unwrap()]).unwrap();
    append(&project.path("events.db"), &events[BASE..]);

    let duration = timed(&project, "rebuild", &["--since"]);
    let undisturbed = content(&look(&project));
    project.run("rebuild", ["--all"]).succeeds();
    assert_same(&content(&look(&project)), &undisturbed, "an update is as good as a rebuild");

    let mut figures = Figures::default();
    let mut round = 0;
    let mut looks = 0;
    while figures.kills < plan.kills {
        round += 1;
        let context = format!("round {round}, EVENTLIFT_SEED={}", plan.seed);
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(project.path(&format!("models.db{end}")));
        }
        std::fs::copy(&base, project.path("models.db")).unwrap();
        // What makes the roll-up readable is in the file from the first look on.
        let reader = Reader::start(&project, |seen| {
            let events = |table: &str| seen[table].1;
            assert_eq!((events("streams"), events("kinds")), (events("seen"), events("seen")), "{seen:?}");
            assert!(seen.values().all(|(_, _, generations)| *generations == [1]), "{seen:?}");
        });
        let mut killed = 0;
        loop {
            let connection = look(&project);
            let before = runs(&connection);
            let was_killed = killed < 2 * KILLS_A_ROUND && kill(&project, "rebuild", &["--since"], duration, &mut plan);
            if !was_killed {
                break;
            }
            killed += 1;
            figures.count(&connection, before);
        }
        project.run("rebuild", ["--since"]).succeeds();
        looks += reader.end();
        assert_same(&undisturbed, &content(&look(&project)), &context);
        assert_tidy(&project, &context);
    }
    figures.print("rebuild --since", duration, &format!(", {looks} looks of a reader"));
    assert!(figures.in_the_middle > 0, "no kill met an update at work");
}

#[test]
fn a_killed_undo() {
    let mut plan = Plan::new();
    let project = project(&rulebook::log(4_000, 7));
    let mut whole: Vec<BTreeMap<&str, Vec<String>>> = Vec::new();
    let mut expected = Vec::new();
    for version in [1, 2] {
        define(&project, version);
        project.run("rebuild", ["--all"]).succeeds();
        let connection = look(&project);
        whole.push(["log", "order"].map(|name| (name, content_of(&connection, name))).into());
        expected.push(see(&connection));
    }
    let duration = timed(&project, "rebuild", &["--undo"]);
    // Each projection is swapped back by itself.
    let reader = Reader::start(&project, move |seen| {
        let of_log = |seen: &Seen| ["seen", "streams", "kinds"].map(|table| seen[table].clone());
        assert!(expected.iter().any(|known| of_log(known) == of_log(seen)), "{seen:?}");
        assert!(expected.iter().any(|known| known["snapshots"] == seen["snapshots"]), "{seen:?}");
    });
    let mut figures = Figures::default();
    let mut live = 0;
    while figures.kills < plan.kills {
        let next = 1 - live;
        let context = format!("EVENTLIFT_SEED={}", plan.seed);
        let connection = look(&project);
        let before = runs(&connection);
        if kill(&project, "rebuild", &["--undo"], duration, &mut plan) {
            figures.count(&connection, before);
        }
        // Who comes back to it names what is not undone yet: undoing twice is none.
        for name in ["log", "order"] {
            let found = content_of(&connection, name);
            if found == whole[live][name] {
                project.run("rebuild", [name, "--undo"]).succeeds();
            }
            assert_same(&whole[next][name], &content_of(&connection, name), &context);
        }
        assert_tidy(&project, &context);
        live = next;
    }
    let looks = reader.end();
    figures.print("rebuild --undo", duration, &format!(", {looks} looks of a reader"));
}

#[test]
fn a_killed_migration_that_feeds() {
    let mut plan = Plan::new();
    let events = rulebook::log(EVENTS / 2, 8);
    let project = Project::new(&format!("{MIGRATED}{REBUILD}"));
    append(&project.path("events.db"), &events);
    project.write("transformers/rules.toml", RULES).write("transformers/file_renamed.toml", SPLIT);
    define(&project, 1);
    let duration = timed(&project, "migrate", &[]);
    let undisturbed = content(&look(&project));
    let target = content::of_sqlite(&project.path("target.db"));
    assert!(undisturbed.len() > events.len() / 2);

    let mut figures = Figures::default();
    let mut round = 0;
    while figures.kills < plan.kills {
        round += 1;
        let context = format!("round {round}, EVENTLIFT_SEED={}", plan.seed);
        for file in std::fs::read_dir(project.folder()).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match name.as_str() {
                ".eventlift" => std::fs::remove_dir_all(&path).unwrap(),
                _ if name.starts_with("target") || name.starts_with("models") => std::fs::remove_file(&path).unwrap(),
                _ => {}
            }
        }
        for _ in 0..KILLS_A_ROUND {
            if !kill(&project, "migrate", &[], duration, &mut plan) {
                break;
            }
            if !project.path("models.db").exists() {
                figures.kills += 1;
                continue;
            }
            let connection = look(&project);
            let has_ledger = "SELECT 1 FROM sqlite_schema WHERE name = 'eventlift_rebuilds'";
            if lines(&connection, has_ledger).is_empty() {
                figures.kills += 1;
                continue;
            }
            figures.count(&connection, 0);
            if !lines(&connection, "SELECT 1 FROM eventlift_projections WHERE side = 'live'").is_empty() {
                assert_same(&undisturbed, &content(&connection), &context);
            }
        }
        project.run("migrate", [] as [&str; 0]).succeeds();
        assert_same(&target, &content::of_sqlite(&project.path("target.db")), &context);
        assert_same(&undisturbed, &content(&look(&project)), &context);
        assert_tidy(&project, &context);
    }
    figures.print("migrate", duration, "");
    assert!(figures.in_the_middle > 0, "no kill met a migration at work");
}
