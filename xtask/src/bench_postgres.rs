//! PostgreSQL: `eventlift migrate` against psql's binary COPY | COPY into the same indexed table, and `eventlift rebuild`
//! against one statement of SQL and against pipelined upserts, on a server of the bench's own.

use std::process::{Command, Stdio};
use std::time::Instant;

use futures_util::future::try_join_all;

use crate::bench::{bound, line, median, mib, rate};
use crate::process::{Taken, measure};
use crate::stage::Stage;
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
    stage: Stage,
}

/// Measures with this many events and prints what came out. Fails where a bound is not kept.
pub(crate) fn bench_postgres(events: usize) -> Result<(), String> {
    let failed = Bench { stage: Stage::set("bench-postgres")? }.all(events)?;
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

/// Only the read models.
pub(crate) fn bench_postgres_rebuild(events: usize) -> Result<(), String> {
    let mut failed = Vec::new();
    Bench { stage: Stage::set("bench-postgres")? }.read_models(events, &mut failed)?;
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
        self.stage.load("old", events, column, |log| event_log::write(log, events))?;
        let upcast = self.stage.lift(column, &format!("upcast-{column}"), event_log::UPCAST, "")?;
        let split = self.stage.lift(column, &format!("split-{column}"), event_log::SPLIT, "")?;
        let [mut copies, mut upcasts, mut splits] = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            copies.push(self.copy()?);
            upcasts.push(self.stage.migrate(&upcast, &[])?);
            splits.push(self.stage.migrate(&split, &[])?);
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
        self.stage.migrate(&upcast, &[])?;
        let verified = measure(Command::new(&self.stage.eventlift).arg("verify").arg(&upcast))?;
        line("eventlift verify", events, verified);
        if column == "json" {
            self.stage.load("old", events * MORE, column, |log| event_log::write(log, events * MORE))?;
            let more = self.stage.migrate(&upcast, &[])?;
            let growth = mib(more) / mib(upcast_taken);
            line(&format!("eventlift migrate, {MORE} × the events"), events * MORE, more);
            bound(failed, "growth of memory", growth, growth <= GROWTH, &format!("at most {GROWTH}"));
        }
        Ok(())
    }

    /// A rebuild, the one statement and the upserts in turns.
    fn read_models(&self, events: usize, failed: &mut Vec<String>) -> Result<(), String> {
        println!("\n{events} payments of {CUSTOMERS} customers, payloads as jsonb");
        self.stage.load("paid", events, "jsonb", |log| payment_log::write(log, events, CUSTOMERS))?;
        let project = self.stage.folder.join("payments");
        let settings = format!(
            "[source]\nurl = \"{url}\"\nschema = \"paid\"\n\n[read_models]\nurl = \"{url}\"\nschema = \"built\"\n",
            url = self.stage.url()
        );
        self.stage.project(&project, &settings, "projections/payments.toml", PAYMENTS)?;
        let [mut statements, mut rebuilds] = [const { Vec::new() }; 2];
        for _ in 0..ROUNDS {
            self.stage.psql(&[TABLE, "CHECKPOINT"])?;
            statements.push(measure(self.stage.psql_command().args(["-c", STATEMENT]))?);
            self.stage.psql(&["DROP SCHEMA IF EXISTS built CASCADE", "CHECKPOINT"])?;
            rebuilds.push(measure(Command::new(&self.stage.eventlift).args(["rebuild", "--all"]).arg(&project))?);
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

    /// psql copies all events into a table with the same columns and indexes.
    fn copy(&self) -> Result<Taken, String> {
        let table = "CREATE TABLE copied.events (LIKE old.events INCLUDING ALL)";
        self.stage.psql(&["DROP SCHEMA IF EXISTS copied CASCADE", "CREATE SCHEMA copied", table, "CHECKPOINT"])?;
        let begun = Instant::now();
        let mut out = self
            .stage
            .psql_command()
            .args(["-c", "COPY (SELECT * FROM old.events ORDER BY position) TO STDOUT (FORMAT binary)"])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("failed to start psql: {error}"))?;
        let piped = out.stdout.take().ok_or("psql has no output")?;
        let copied = self
            .stage
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
        self.stage.psql(&[&TABLE.replace("by_sql", "by_hand"), "CHECKPOINT"])?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        runtime.block_on(self.upsert_all(events)).map_err(|error| format!("failed to upsert: {error}"))
    }

    async fn upsert_all(&self, events: usize) -> Result<Taken, tokio_postgres::Error> {
        let (client, reader) = (self.stage.client().await?, self.stage.client().await?);
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

    /// Fails unless the rebuilt table holds what the statement computed.
    fn same(&self) -> Result<(), String> {
        let columns = "customer, payments, cents, largest, method";
        let both = format!(
            "SELECT 1 / (CASE WHEN EXISTS ((SELECT {columns} FROM built.payments EXCEPT SELECT * FROM by_sql) UNION ALL \
             (SELECT * FROM by_sql EXCEPT SELECT {columns} FROM built.payments)) THEN 0 ELSE 1 END)"
        );
        self.stage.psql(&[&both]).map_err(|_| "the rebuilt table and the statement's differ".to_owned())
    }
}
