//! A service with eight connections that writes a thousand events a second, to whichever store is the one to write to.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use crate::stage::connect;

pub(super) const CONNECTIONS: u64 = 8;
pub(super) const PER_SECOND: f64 = 1000.0;
/// What the fence says to them.
pub(super) const MESSAGE: &str = "events are written to the new store";
/// Each writer has so many streams of its own.
const STREAMS: u64 = 50;
/// How long a writer waits before it tries again.
const AGAIN: Duration = Duration::from_millis(2);

/// The service.
pub(super) struct Writers {
    signals: Arc<Signals>,
    thread: JoinHandle<Result<Vec<Wrote>, String>>,
}

#[derive(Default)]
struct Signals {
    stop: AtomicBool,
    /// Whether the cut-over has begun.
    is_cut_over: AtomicBool,
    written: AtomicU64,
}

/// What a writer, or all of them, wrote.
#[derive(Default)]
pub(super) struct Wrote {
    /// The ids of events that the old store accepted.
    pub(super) to_old: Vec<String>,
    /// The ids of events that the new store accepted.
    pub(super) to_new: Vec<String>,
    /// How often the fence refused one.
    pub(super) refused: u64,
    /// The longest time from the first try of a write to its success, before the cut-over was asked for.
    pub(super) longest_before: Duration,
    /// The same since then.
    pub(super) longest: Duration,
}

impl Writers {
    /// Starts to write to the schema `old`, and once refused and `switched` is there to `lifted`.
    pub(super) fn start(url: String, switched: PathBuf) -> Self {
        let signals = Arc::new(Signals::default());
        let theirs = Arc::clone(&signals);
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
            let writers = (0..CONNECTIONS).map(|writer| write(&url, &switched, writer, &theirs));
            runtime.block_on(try_join_all(writers)).map_err(|error| format!("failed to write: {error}"))
        });
        Self { signals, thread }
    }

    /// How many events were accepted so far.
    pub(super) fn written(&self) -> u64 {
        self.signals.written.load(Ordering::Relaxed)
    }

    /// From now on it is the cut-over that writers wait for.
    pub(super) fn cut_over_begins(&self) {
        self.signals.is_cut_over.store(true, Ordering::Relaxed);
    }

    /// Ends it: what all of them wrote.
    pub(super) fn end(self) -> Result<Wrote, String> {
        self.signals.stop.store(true, Ordering::Relaxed);
        let writers = self.thread.join().map_err(|_| "the writers ended badly".to_owned())??;
        Ok(writers.into_iter().fold(Wrote::default(), Wrote::and))
    }
}

impl Wrote {
    fn and(mut self, other: Self) -> Self {
        self.to_old.extend(other.to_old);
        self.to_new.extend(other.to_new);
        self.refused += other.refused;
        self.longest_before = self.longest_before.max(other.longest_before);
        self.longest = self.longest.max(other.longest);
        self
    }
}

async fn write(url: &str, switched: &Path, writer: u64, signals: &Signals) -> Result<Wrote, tokio_postgres::Error> {
    let mut wrote = Wrote::default();
    let mut store = Store::open(url, "old").await?;
    // A tick that comes late is made up for, as requests don't wait either.
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(CONNECTIONS as f64 / PER_SECOND));
    for count in 0_u64.. {
        ticks.tick().await;
        // One that has begun is accepted in the end: revisions have no gaps.
        if signals.stop.load(Ordering::Relaxed) {
            break;
        }
        // Anywhere in the index of ids, as random ones are, and unique.
        let id = Uuid::from_u64_pair((count ^ writer << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15), writer << 32 | count);
        let (id, begun) = (id.to_string(), Instant::now());
        while let Err(error) = store.insert(writer, count, &id).await {
            if error.as_db_error().is_none_or(|error| error.message() != MESSAGE) {
                return Err(error);
            }
            wrote.refused += 1;
            tokio::time::sleep(AGAIN).await;
            if store.schema == "old" && switched.exists() {
                store = Store::open(url, "lifted").await?;
            }
        }
        let longest = match signals.is_cut_over.load(Ordering::Relaxed) {
            true => &mut wrote.longest,
            false => &mut wrote.longest_before,
        };
        *longest = begun.elapsed().max(*longest);
        signals.written.fetch_add(1, Ordering::Relaxed);
        if store.schema == "old" { wrote.to_old.push(id) } else { wrote.to_new.push(id) }
    }
    Ok(wrote)
}

/// A connection to a store.
struct Store {
    client: Client,
    insert: Statement,
    schema: &'static str,
}

impl Store {
    async fn open(url: &str, schema: &'static str) -> Result<Self, tokio_postgres::Error> {
        let client = connect(url).await?;
        let insert = format!(
            "INSERT INTO {schema}.events (stream, revision, id, type, schema_version, data, metadata)
             VALUES ($1, $2, $3, 'OrderPlaced', 1, $4::text::json, '{{\"by\":\"bench\"}}')"
        );
        let insert = client.prepare(&insert).await?;
        Ok(Self { client, insert, schema })
    }

    /// One event in a transaction of its own.
    async fn insert(&self, writer: u64, count: u64, id: &str) -> Result<(), tokio_postgres::Error> {
        let (stream, revision) = (format!("writer-{writer}-{}", count % STREAMS), (count / STREAMS) as i64);
        let data = format!(
            "{{\"order_id\":{count},\"amount\":12.50,\"currency\":\"EUR\",\"lines\":[{{\"sku\":\"{id}\",\"quantity\":2}}],\
             \"state\":\"placed\",\"note\":\"the quick brown fox jumps over the lazy dog and goes home\"}}"
        );
        self.client.execute(&self.insert, &[&stream, &revision, &id, &data]).await.map(drop)
    }
}
