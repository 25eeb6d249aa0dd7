//! PostgreSQL: `eventlift migrate` against psql's binary COPY | COPY into the same indexed table, and `eventlift rebuild`
//! against one statement of SQL and against pipelined upserts, on a server of the bench's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use futures_util::future::try_join_all;
use tokio_postgres::{Client, NoTls};

use crate::bench::{bound, line, median, mib, rate};
use crate::postgres::{Server, Settings};
use crate::process::{Taken, build_release, measure, target};
use crate::{event_log, payment_log};

const CUSTOMERS: usize = 50_000;
/// Both sides are run this often, in turns; the medians count.
const ROUNDS: usize = 5;
/// With this many times the events, memory may grow by that factor.
const MORE: usize = 3;
const GROWTH: f64 = 1.1;
/// Upserts in flight at once.
const PIPELINED: usize = 256;
/// Upserts are a steady stream: a part of the events is enough.
const UPSERTED: usize = 100_000;

/// What the ratios must reach.
const BULK: f64 = 1.8;
const GENERAL: f64 = 0.9;
const STATEMENT_RATIO: f64 = 0.8;
const UPSERTS: f64 = 10.0;

const UPCAST: &str = r#"
type = "UserCreated"
current = 2

[[upcast]]
from = 1
data = [{ join = ["/first_name", "/last_name"], with = " ", into = "/full_name" }]
"#;

const SPLIT: &str = r#"
type = "UserCreated"
current = 2

[[upcast]]
from = 1
data = [{ join = ["/first_name", "/last_name"], with = " ", into = "/full_name" }]
split = [
    { type = "UserCreated", version = 2 },
    { type = "UserCreated", version = 2, data = [{ remove = "/note" }, { remove = "/email" }] },
]
"#;

/// What one statement of SQL computes from the payments.
const PAYMENTS: &str = r#"
[table.payments]
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

/// The same in SQL, into a table with the same key. The last method is found behind the largest position: one pass.
const TABLE: &str = "DROP TABLE IF EXISTS by_sql; CREATE TABLE by_sql (customer text COLLATE \"C\" PRIMARY KEY, \
                     payments bigint, cents bigint, largest bigint, method text)";
const STATEMENT: &str = "INSERT INTO by_sql
SELECT data -> 'customer' ->> 'id', count(*), sum((data -> 'payment' ->> 'cents')::bigint),
       max((data -> 'payment' ->> 'cents')::bigint),
       substr(max((1000000000000 + position)::text || (data -> 'payment' ->> 'method')), 14)
FROM paid.events WHERE type = 'OrderPaid' AND schema_version = 1 GROUP BY 1";
const EXTRACTED: &str = "SELECT data -> 'customer' ->> 'id', (data -> 'payment' ->> 'cents')::bigint, \
                         data -> 'payment' ->> 'method' FROM paid.events ORDER BY position LIMIT ";
const UPSERT: &str = "INSERT INTO by_hand VALUES ($1, 1, $2, $2, $3) ON CONFLICT (customer) DO UPDATE SET
payments = by_hand.payments + 1, cents = by_hand.cents + excluded.cents,
largest = greatest(by_hand.largest, excluded.largest), method = excluded.method";

struct Bench {
    eventlift: PathBuf,
    folder: PathBuf,
    server: Server,
}

/// Measures with this many events and prints what came out. Fails where a bound is not kept.
pub(crate) fn bench_postgres(events: usize) -> Result<(), String> {
    let folder = target().join(format!("bench-postgres-{}", std::process::id()));
    // As a server of a machine of this size would be set up; what is committed is on the disk.
    let settings = Settings::new(target().join("postgres"))
        .set("fsync", "on")
        .set("shared_buffers", "2GB")
        .set("max_wal_size", "8GB")
        .set("checkpoint_timeout", "30min");
    let bench = Bench { eventlift: build_release()?, folder, server: Server::start(&settings)? };
    let outcome = bench.all(events);
    let _ = fs::remove_dir_all(&bench.folder);
    let failed = outcome?;
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

impl Bench {
    /// Everything; returns the bounds that were not kept.
    fn all(&self, events: usize) -> Result<Vec<String>, String> {
        let mut failed = Vec::new();
        for column in ["jsonb", "json"] {
            println!("\nevents with payloads as {column}: {events} in 50,000 streams, 10 % of them upcast");
            self.migrations(events, column, &mut failed)?;
        }
        self.read_models(events, &mut failed)?;
        Ok(failed)
    }

    /// Copies, lifts and splits in turns.
    fn migrations(&self, events: usize, column: &str, failed: &mut Vec<String>) -> Result<(), String> {
        self.load("old", events, column, |log| event_log::write(log, events))?;
        let (upcast, split) = (self.lift(column, "upcast", UPCAST)?, self.lift(column, "split", SPLIT)?);
        let [mut copies, mut upcasts, mut splits] = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            copies.push(self.copy()?);
            upcasts.push(self.migrate(&upcast)?);
            splits.push(self.migrate(&split)?);
        }
        let [copy, upcast_taken, split] = [&mut copies, &mut upcasts, &mut splits].map(|taken| median(taken));
        println!("medians of {ROUNDS} rounds in turns, from the start of each program to its end");
        line("psql: binary COPY | COPY into the same indexed table", events, copy);
        line("eventlift migrate, 10 % upcast", events, upcast_taken);
        line("eventlift migrate, 10 % split", events, split);
        let ratio = copy.seconds / upcast_taken.seconds;
        bound(failed, &format!("{column}: faster than COPY | COPY"), ratio, ratio >= BULK, &format!("at least {BULK}"));
        let ratio = copy.seconds / split.seconds;
        let at_least = format!("at least {GENERAL}");
        bound(failed, &format!("{column}: with a split, faster than COPY | COPY"), ratio, ratio >= GENERAL, &at_least);
        self.migrate(&upcast)?;
        let verified = measure(Command::new(&self.eventlift).arg("verify").arg(&upcast))?;
        line("eventlift verify", events, verified);
        if column == "json" {
            self.load("old", events * MORE, column, |log| event_log::write(log, events * MORE))?;
            let more = self.migrate(&upcast)?;
            let growth = mib(more) / mib(upcast_taken);
            line(&format!("eventlift migrate, {MORE} × the events"), events * MORE, more);
            bound(failed, "growth of memory", growth, growth <= GROWTH, &format!("at most {GROWTH}"));
        }
        Ok(())
    }

    /// A rebuild, the one statement and the upserts in turns.
    fn read_models(&self, events: usize, failed: &mut Vec<String>) -> Result<(), String> {
        println!("\n{events} payments of {CUSTOMERS} customers, payloads as jsonb");
        self.load("paid", events, "jsonb", |log| payment_log::write(log, events, CUSTOMERS))?;
        let project = self.folder.join("payments");
        let settings = format!(
            "[source]\nurl = \"{url}\"\nschema = \"paid\"\n\n[read_models]\nurl = \"{url}\"\nschema = \"built\"\n",
            url = self.server.url()
        );
        self.project(&project, &settings, "projections/payments.toml", PAYMENTS)?;
        let [mut statements, mut rebuilds] = [const { Vec::new() }; 2];
        for _ in 0..ROUNDS {
            self.psql(&[TABLE, "CHECKPOINT"])?;
            statements.push(measure(self.psql_command().args(["-c", STATEMENT]))?);
            self.psql(&["DROP SCHEMA IF EXISTS built CASCADE", "CHECKPOINT"])?;
            rebuilds.push(measure(Command::new(&self.eventlift).args(["rebuild", "--all"]).arg(&project))?);
            self.same()?;
        }
        let upserts = self.upserts(events.min(UPSERTED))?;
        let [statement, rebuild] = [&mut statements, &mut rebuilds].map(|taken| median(taken));
        line("one statement: INSERT … SELECT … GROUP BY", events, statement);
        line("eventlift rebuild", events, rebuild);
        line("an upsert per event, pipelined, one transaction", events.min(UPSERTED), upserts);
        let ratio = statement.seconds / rebuild.seconds;
        let at_least = format!("at least {STATEMENT_RATIO}");
        bound(failed, "faster than the one statement", ratio, ratio >= STATEMENT_RATIO, &at_least);
        let faster = rate(events, rebuild) / rate(events.min(UPSERTED), upserts);
        bound(failed, "faster than pipelined upserts", faster, faster >= UPSERTS, &format!("at least {UPSERTS}"));
        Ok(())
    }

    /// Fills the events of a schema from a log.
    fn load(
        &self,
        schema: &str,
        events: usize,
        column: &str,
        write: impl FnOnce(&Path) -> std::io::Result<()>,
    ) -> Result<(), String> {
        let log = self.folder.join("log.ndjson");
        let failed = |error: std::io::Error| format!("failed to write {}: {error}", log.display());
        fs::create_dir_all(&self.folder).map_err(failed)?;
        write(&log).map_err(failed)?;
        self.psql(&[&format!("DROP SCHEMA IF EXISTS {schema} CASCADE")])?;
        let project = self.folder.join("load");
        let settings = format!(
            "[source]\nstore = \"file\"\npath = \"{}\"\n\n[target]\nurl = \"{}\"\nschema = \"{schema}\"\ndata = \"{column}\"\nmetadata = \"{column}\"\n",
            log.display(),
            self.server.url()
        );
        self.project(&project, &settings, "transformers/none.md", "")?;
        let loaded = measure(Command::new(&self.eventlift).arg("migrate").arg(&project))?;
        fs::remove_file(&log).map_err(failed)?;
        line("file → PostgreSQL", events, loaded);
        self.psql(&[&format!("VACUUM (ANALYZE) {schema}.events"), "CHECKPOINT"])
    }

    /// A project that lifts the events of `old` into `lifted`.
    fn lift(&self, column: &str, name: &str, rule: &str) -> Result<PathBuf, String> {
        let project = self.folder.join(format!("{name}-{column}"));
        let url = self.server.url();
        let settings = format!(
            "[source]\nurl = \"{url}\"\nschema = \"old\"\n\n[target]\nurl = \"{url}\"\nschema = \"lifted\"\ndata = \"{column}\"\nmetadata = \"{column}\"\n"
        );
        self.project(&project, &settings, "transformers/user_created.toml", rule)?;
        Ok(project)
    }

    fn project(&self, folder: &Path, settings: &str, definition: &str, text: &str) -> Result<(), String> {
        let definition = folder.join(definition);
        let parent = definition.parent().unwrap_or(folder);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(folder.join("eventlift.toml"), settings))
            .and_then(|()| fs::write(&definition, text))
            .map_err(|error| format!("failed to write {}: {error}", folder.display()))
    }

    fn migrate(&self, project: &Path) -> Result<Taken, String> {
        self.psql(&["DROP SCHEMA IF EXISTS lifted CASCADE", "CHECKPOINT"])?;
        measure(Command::new(&self.eventlift).arg("migrate").arg(project))
    }

    /// psql copies all events into a table with the same columns and indexes.
    fn copy(&self) -> Result<Taken, String> {
        let table = "CREATE TABLE copied.events (LIKE old.events INCLUDING ALL)";
        self.psql(&["DROP SCHEMA IF EXISTS copied CASCADE", "CREATE SCHEMA copied", table, "CHECKPOINT"])?;
        let begun = Instant::now();
        let mut out = self
            .psql_command()
            .args(["-c", "COPY (SELECT * FROM old.events ORDER BY position) TO STDOUT (FORMAT binary)"])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("failed to start psql: {error}"))?;
        let piped = out.stdout.take().ok_or("psql has no output")?;
        let copied = self
            .psql_command()
            .args(["-c", "COPY copied.events FROM STDIN (FORMAT binary)"])
            .stdin(piped)
            .status()
            .map_err(|error| format!("failed to start psql: {error}"))?;
        let read = out.wait().map_err(|error| format!("failed to wait for psql: {error}"))?;
        match read.success() && copied.success() {
            true => Ok(Taken { seconds: begun.elapsed().as_secs_f64(), peak_bytes: 0 }),
            false => Err("psql failed to copy".to_owned()),
        }
    }

    /// Folds by hand: an upsert for every event, many in flight at once.
    fn upserts(&self, events: usize) -> Result<Taken, String> {
        self.psql(&[&TABLE.replace("by_sql", "by_hand"), "CHECKPOINT"])?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        runtime.block_on(self.upsert_all(events)).map_err(|error| format!("failed to upsert: {error}"))
    }

    async fn upsert_all(&self, events: usize) -> Result<Taken, tokio_postgres::Error> {
        let (client, reader) = (self.client().await?, self.client().await?);
        let upsert = client.prepare(UPSERT).await?;
        let begun = Instant::now();
        let rows = reader.query(&format!("{EXTRACTED}{events}"), &[]).await?;
        let rows: Vec<(String, i64, String)> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
        client.batch_execute("BEGIN").await?;
        for rows in rows.chunks(PIPELINED) {
            let upserts = rows
                .iter()
                .map(async |(customer, cents, method)| client.execute(&upsert, &[customer, cents, method]).await);
            try_join_all(upserts).await?;
        }
        client.batch_execute("COMMIT").await?;
        Ok(Taken { seconds: begun.elapsed().as_secs_f64(), peak_bytes: 0 })
    }

    async fn client(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.server.url(), NoTls).await?;
        // It ends with the client; what goes wrong is the client's to report.
        tokio::spawn(async move { drop(connection.await) });
        Ok(client)
    }

    /// Fails unless the rebuilt table holds what the statement computed.
    fn same(&self) -> Result<(), String> {
        let columns = "customer, payments, cents, largest, method";
        let both = format!(
            "SELECT 1 / (CASE WHEN EXISTS ((SELECT {columns} FROM built.payments EXCEPT SELECT * FROM by_sql) UNION ALL \
             (SELECT * FROM by_sql EXCEPT SELECT {columns} FROM built.payments)) THEN 0 ELSE 1 END)"
        );
        self.psql(&[&both]).map_err(|_| "the rebuilt table and the statement's differ".to_owned())
    }

    fn psql(&self, statements: &[&str]) -> Result<(), String> {
        for statement in statements {
            crate::process::run(self.psql_command().args(["-c", statement]).stdout(Stdio::null()))?;
        }
        Ok(())
    }

    fn psql_command(&self) -> Command {
        let mut psql = Command::new(self.server.bin().join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", &self.server.url()]);
        psql.env("PGOPTIONS", "--client_min_messages=warning");
        psql
    }
}
