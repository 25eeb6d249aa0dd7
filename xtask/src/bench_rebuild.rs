//! Read models: `eventlift rebuild` against one statement of SQL, three projections against one, upserts against a
//! fold, many keys, and new events.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use rusqlite::{Connection, params};

use crate::bench::{bound, line, median, mib, rate, remove_database};
use crate::payment_log;
use crate::process::{Taken, build_release, measure, root, run};

const EVENTS: usize = 1_000_000;
const CUSTOMERS: usize = 50_000;
const MANY: usize = 5_000_000;
const NEW: usize = 10_000;
/// All sides are run this often, in turns; the medians count.
const ROUNDS: usize = 5;
/// Each commit waits for the disk, so a part of the events is enough.
const COMMITTED: usize = 10_000;

/// How fast it must be beside the one statement; how long three projections may take, in the time of one; how much
/// faster than upserts that are committed one by one or in batches it must be; and what memory must not pass.
const RATIO: f64 = 1.0;
const THREE: f64 = 1.6;
const UPSERTS: f64 = 10.0;
const PEAK_MIB: f64 = 256.0;

/// What one statement of SQL computes from the payments.
const PAYMENTS: &str = r#"
[table.TABLE]
key = "customer"
columns = { customer = "text", payments = "integer", cents = "integer", largest = "integer", method = "text" }

[[on]]
event = "OrderPaid"
version = 1
key = "/customer/id"
add = { payments = 1, cents = "/payment/cents" }
max = { largest = "/payment/cents" }
last = { method = "/payment/method" }
"#;

/// The same in SQL. The last method is found behind the largest position: one pass, no join.
const TABLE: &str = "CREATE TABLE payments (customer TEXT NOT NULL, payments INTEGER, cents INTEGER, largest INTEGER, \
                     method TEXT, PRIMARY KEY (customer)) STRICT, WITHOUT ROWID;";
const STATEMENT: &str = "INSERT INTO payments
SELECT json_extract(data, '$.customer.id') AS customer, count(*), sum(json_extract(data, '$.payment.cents')),
       max(json_extract(data, '$.payment.cents')),
       substr(max((1000000000000 + position) || json_extract(data, '$.payment.method')), 14)
FROM source.events WHERE type = 'OrderPaid' AND schema_version = 1 GROUP BY 1;";

/// A fold by hand: what an event says is looked up in the row, and written back, for every event.
const UPSERT: &str = "INSERT INTO payments VALUES (?1, 1, ?2, ?2, ?3) ON CONFLICT (customer) DO UPDATE SET
payments = payments + 1, cents = cents + excluded.cents, largest = max(largest, excluded.largest), method = excluded.method";
const EXTRACTED: &str = "SELECT json_extract(data, '$.customer.id'), json_extract(data, '$.payment.cents'), \
                         json_extract(data, '$.payment.method') FROM source.events ORDER BY position LIMIT ?1";

struct Bench {
    eventlift: PathBuf,
    folder: PathBuf,
}

/// Measures and prints what came out. Fails where a bound is not kept.
pub(crate) fn bench_rebuild() -> Result<(), String> {
    let eventlift = build_release()?;
    let target = eventlift.ancestors().nth(2).map_or_else(|| root().join("target"), Path::to_owned);
    let folder = target.join(format!("bench-rebuild-{}", std::process::id()));
    let bench = Bench { eventlift, folder };
    let outcome = bench.all();
    let _ = fs::remove_dir_all(&bench.folder);
    let failed = outcome?;
    match failed.is_empty() {
        true => Ok(()),
        false => Err(failed.join("\n")),
    }
}

impl Bench {
    /// Everything; returns the bounds that were not kept.
    fn all(&self) -> Result<Vec<String>, String> {
        let mut failed = Vec::new();
        let source = self.load(EVENTS, CUSTOMERS)?;
        self.speed(&source, &mut failed)?;
        self.update(&source)?;
        remove_database(&source);
        let source = self.load(MANY, MANY)?;
        self.memory(&source, &mut failed)?;
        Ok(failed)
    }

    /// A sealed database of payments, loaded from a log.
    fn load(&self, events: usize, customers: usize) -> Result<PathBuf, String> {
        let failed = |error: std::io::Error| format!("failed to write to {}: {error}", self.folder.display());
        let load = self.folder.join("load");
        fs::create_dir_all(&load).map_err(failed)?;
        let (log, source) = (self.folder.join("log.ndjson"), self.folder.join("source.db"));
        payment_log::write(&log, events, customers).map_err(failed)?;
        let settings = format!(
            "[source]\nstore = \"file\"\npath = \"{}\"\n\n[target]\nstore = \"sqlite\"\npath = \"{}\"\n",
            log.display(),
            source.display()
        );
        fs::write(load.join("eventlift.toml"), settings).map_err(failed)?;
        let loaded = measure(Command::new(&self.eventlift).arg("migrate").arg(&load))?;
        fs::remove_file(&log).map_err(failed)?;
        println!("{events} payments of {customers} customers (loaded in {:.1} s)", loaded.seconds);
        Ok(source)
    }

    /// A project of this many equal projections.
    fn project(&self, source: &Path, projections: usize) -> Result<Project, String> {
        let folder = self.folder.join(format!("project-{projections}"));
        let failed = |error: std::io::Error| format!("failed to write to {}: {error}", folder.display());
        fs::create_dir_all(folder.join("projections")).map_err(failed)?;
        let settings = format!(
            "[source]\nstore = \"sqlite\"\npath = \"{}\"\n\n[read_models]\nstore = \"sqlite\"\npath = \"read_models.db\"\n",
            source.display()
        );
        fs::write(folder.join("eventlift.toml"), settings).map_err(failed)?;
        for number in 0..projections {
            let name = if number == 0 { "payments".to_owned() } else { format!("payments_{number}") };
            let definition = PAYMENTS.replace("TABLE", &name);
            fs::write(folder.join("projections").join(format!("{name}.toml")), definition).map_err(failed)?;
        }
        Ok(Project { read_models: folder.join("read_models.db"), folder })
    }

    /// Builds the read models of a project from nothing.
    fn rebuild(&self, project: &Project) -> Result<Taken, String> {
        remove_database(&project.read_models);
        measure(Command::new(&self.eventlift).args(["rebuild", "--all"]).arg(&project.folder))
    }

    fn speed(&self, source: &Path, failed: &mut Vec<String>) -> Result<(), String> {
        let (one, three) = (self.project(source, 1)?, self.project(source, 3)?);
        let (by_sql, by_hand) = (self.folder.join("sql.db"), self.folder.join("upserts.db"));
        let [mut statements, mut ones, mut threes, mut upserts, mut batches] = [const { Vec::new() }; 5];
        for _ in 0..ROUNDS {
            statements.push(statement(source, &by_sql)?);
            ones.push(self.rebuild(&one)?);
            threes.push(self.rebuild(&three)?);
            upserts.push(upsert(source, &by_hand, EVENTS, EVENTS)?);
            same(&one.read_models, &by_hand)?;
            batches.push(upsert(source, &by_hand, EVENTS, 1_000)?);
        }
        same(&one.read_models, &by_sql)?;
        same(&one.read_models, &three.read_models)?;
        let commits = upsert(source, &by_hand, COMMITTED, 1)?;

        let [statement, one, three] = [&mut statements, &mut ones, &mut threes].map(|taken| median(taken));
        let [upserts, batches] = [&mut upserts, &mut batches].map(|taken| median(taken));
        println!("medians of {ROUNDS} rounds in turns, from the start of each program to its end");
        line("sqlite3: one statement, json_extract and GROUP BY", EVENTS, statement);
        line("eventlift rebuild, one projection", EVENTS, one);
        line("eventlift rebuild, three projections in one scan", EVENTS, three);
        line("SQLite: an upsert per event, one transaction", EVENTS, upserts);
        line("SQLite: an upsert per event, transactions of 1,000", EVENTS, batches);
        line(&format!("SQLite: an upsert per event, each committed ({COMMITTED} events)"), COMMITTED, commits);
        let ratio = statement.seconds / one.seconds;
        bound(failed, "faster than the one statement", ratio, ratio >= RATIO, &format!("at least {RATIO}"));
        let factor = three.seconds / one.seconds;
        bound(failed, "three projections in the time of one", factor, factor <= THREE, &format!("at most {THREE}"));
        println!("faster than upserts in one transaction: {:.2}", upserts.seconds / one.seconds);
        println!("faster than upserts in transactions of 1,000: {:.2}", batches.seconds / one.seconds);
        let faster = rate(EVENTS, one) / rate(COMMITTED, commits);
        let at_least = format!("at least {UPSERTS}");
        bound(failed, "faster than upserts, each committed", faster, faster >= UPSERTS, &at_least);
        Ok(())
    }

    /// New events onto the model that is there.
    fn update(&self, source: &Path) -> Result<(), String> {
        let project = self.project(source, 1)?;
        let mut updates = Vec::new();
        for _ in 0..ROUNDS {
            grow(source)?;
            updates.push(measure(Command::new(&self.eventlift).args(["rebuild", "--since"]).arg(&project.folder))?);
        }
        statement(source, &self.folder.join("sql.db"))?;
        same(&project.read_models, &self.folder.join("sql.db"))?;
        line("eventlift rebuild --since, 10,000 new events", NEW, median(&mut updates));
        Ok(())
    }

    fn memory(&self, source: &Path, failed: &mut Vec<String>) -> Result<(), String> {
        let (project, by_sql) = (self.project(source, 1)?, self.folder.join("sql.db"));
        let rebuilt = self.rebuild(&project)?;
        let stated = statement(source, &by_sql)?;
        same(&project.read_models, &by_sql)?;
        line("sqlite3: one statement, as many keys as events", MANY, stated);
        line("eventlift rebuild, as many keys as events", MANY, rebuilt);
        println!("faster than the one statement: {:.2}", stated.seconds / rebuilt.seconds);
        let peak = mib(rebuilt);
        bound(failed, "peak memory in MiB", peak, peak <= PEAK_MIB, &format!("at most {PEAK_MIB}"));
        Ok(())
    }
}

struct Project {
    folder: PathBuf,
    read_models: PathBuf,
}

/// sqlite3 computes the table from the source.
fn statement(source: &Path, target: &Path) -> Result<Taken, String> {
    remove_database(target);
    let sql = format!("ATTACH '{}' AS source; {TABLE} {STATEMENT}", source.display());
    measure(Command::new("sqlite3").arg(target).arg(sql))
}

/// Upserts for every event, by a prepared statement, with a commit after so many.
fn upsert(source: &Path, target: &Path, events: usize, commit_after: usize) -> Result<Taken, String> {
    remove_database(target);
    let begun = Instant::now();
    upsert_events(source, target, events, commit_after).map_err(|error| format!("failed to upsert: {error}"))?;
    Ok(Taken { seconds: begun.elapsed().as_secs_f64(), peak_bytes: 0 })
}

fn upsert_events(source: &Path, target: &Path, events: usize, commit_after: usize) -> rusqlite::Result<()> {
    let connection = Connection::open(target)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.execute_batch(TABLE)?;
    let reader = Connection::open_in_memory()?;
    reader.execute("ATTACH ?1 AS source", params![source.to_string_lossy()])?;
    let mut select = reader.prepare(EXTRACTED)?;
    let mut rows = select.query(params![events as i64])?;
    let mut upsert = connection.prepare(UPSERT)?;
    let mut done = 0;
    while let Some(row) = rows.next()? {
        if done % commit_after == 0 {
            connection.execute_batch(if done == 0 { "BEGIN" } else { "COMMIT; BEGIN" })?;
        }
        let (customer, cents, method) = (row.get_ref(0)?.as_str()?, row.get::<_, i64>(1)?, row.get_ref(2)?.as_str()?);
        upsert.execute(params![customer, cents, method])?;
        done += 1;
    }
    connection.execute_batch("COMMIT")
}

/// Fails unless both tables hold the same rows.
fn same(one: &Path, other: &Path) -> Result<(), String> {
    let differing = || -> rusqlite::Result<i64> {
        let connection = Connection::open(one)?;
        connection.execute("ATTACH ?1 AS other", params![other.to_string_lossy()])?;
        let both = "(SELECT count(*) FROM (SELECT * FROM main.payments EXCEPT SELECT * FROM other.payments))
                  + (SELECT count(*) FROM (SELECT * FROM other.payments EXCEPT SELECT * FROM main.payments))";
        connection.query_row(&format!("SELECT {both}"), [], |row| row.get(0))
    };
    match differing() {
        Ok(0) => Ok(()),
        Ok(rows) => Err(format!("{} and {} differ in {rows} rows", one.display(), other.display())),
        Err(error) => Err(format!("failed to compare {} with {}: {error}", one.display(), other.display())),
    }
}

/// Appends copies of the first events to a source.
fn grow(source: &Path) -> Result<(), String> {
    let sql = format!(
        "INSERT INTO events SELECT position + (SELECT max(position) + 1 FROM events), stream, revision + 1000000000 + \
         (SELECT max(position) FROM events), lower(hex(randomblob(16))), type, schema_version, recorded_at, data, \
         metadata, data_type, metadata_type, attributes FROM events ORDER BY position LIMIT {NEW};"
    );
    run(Command::new("sqlite3").arg(source).arg(sql))
}
