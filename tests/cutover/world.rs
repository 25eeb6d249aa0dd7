//! Two stores that services write to with SQL of their own, and a project that moves events from one to the other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection as Database;
use uuid::Uuid;

/// Which store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Source,
    Target,
}

/// An event as plain SQL reads it, in the order of the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub(crate) stream: String,
    pub(crate) revision: i64,
    pub(crate) id: String,
    pub(crate) event_type: String,
    pub(crate) version: i64,
    pub(crate) data: String,
}

/// What a service is about to write; the store gives it the next revision of its stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct New {
    pub(crate) stream: String,
    pub(crate) id: String,
    pub(crate) event_type: &'static str,
    pub(crate) version: i64,
    pub(crate) data: String,
}

/// Two stores of one kind.
pub(crate) trait World: Clone + Send + 'static {
    /// `[source]` and `[target]` of eventlift.toml.
    fn toml(&self) -> String;

    /// A service's connection.
    fn open(&self, side: Side) -> Box<dyn Connection>;
}

/// A service's connection to one of the stores.
pub(crate) trait Connection {
    /// Writes one event in a transaction of its own. The error is what the store says.
    fn write(&mut self, event: &New) -> Result<(), String>;

    /// Every event.
    fn rows(&mut self) -> Vec<Row>;
}

/// Two SQLite databases in a folder that is deleted at the end.
#[derive(Clone)]
pub(crate) struct Sqlite {
    folder: Arc<tempfile::TempDir>,
}

impl Sqlite {
    /// The source is there, in our layout and empty.
    pub(crate) fn new() -> Self {
        use eventlift::events::EventWriter;
        use eventlift::stores::sqlite::{SqliteConfig, SqliteWriter};
        let world = Self { folder: Arc::new(tempfile::tempdir().unwrap()) };
        let config = SqliteConfig::new(world.path(Side::Source));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { SqliteWriter::open(config).unwrap().seal(true).await.unwrap() });
        world
    }

    pub(crate) fn path(&self, side: Side) -> PathBuf {
        self.folder.path().join(if side == Side::Source { "old.db" } else { "new.db" })
    }
}

impl World for Sqlite {
    fn toml(&self) -> String {
        let section = |name, side| format!("[{name}]\nstore = \"sqlite\"\npath = {:?}\n", self.path(side));
        section("source", Side::Source) + &section("target", Side::Target)
    }

    fn open(&self, side: Side) -> Box<dyn Connection> {
        let database = Database::open(self.path(side)).unwrap();
        database.busy_timeout(Duration::from_secs(30)).unwrap();
        Box::new(database)
    }
}

impl Connection for Database {
    fn write(&mut self, event: &New) -> Result<(), String> {
        let New { stream, id, event_type, version, data } = event;
        let insert = "INSERT INTO events (stream, revision, id, type, schema_version, recorded_at, data, metadata)
                      SELECT ?1, coalesce(max(revision) + 1, 0), ?2, ?3, ?4, 1714564800000000, ?5, '{\"by\":\"test\"}'
                      FROM events WHERE stream = ?1";
        let inserted = self.execute(insert, rusqlite::params![stream, id, event_type, version, data]);
        inserted.map(|rows| assert_eq!(rows, 1)).map_err(|error| error.to_string())
    }

    fn rows(&mut self) -> Vec<Row> {
        let select = "SELECT stream, revision, id, type, schema_version, data FROM events ORDER BY position";
        let mut statement = self.prepare(select).unwrap();
        let row = |row: &rusqlite::Row<'_>| {
            Ok(Row {
                stream: row.get(0)?,
                revision: row.get(1)?,
                id: row.get(2)?,
                event_type: row.get(3)?,
                version: row.get(4)?,
                data: row.get(5)?,
            })
        };
        statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
    }
}

/// Where services are to write: what the hooks of the cut-over write down.
pub(crate) fn active(file: &Path) -> Side {
    match std::fs::read_to_string(file).as_deref().map(str::trim) {
        Ok("target") => Side::Target,
        _ => Side::Source,
    }
}

/// A service: threads that write to streams of their own, to the store that is active, until they are told to stop.
pub(crate) struct Service {
    stop: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Wrote>>,
}

/// What threads of a service wrote, and where it was accepted: each stream's events in their order.
#[derive(Default)]
pub(crate) struct Wrote {
    pub(crate) streams: BTreeMap<String, Vec<(Side, New)>>,
    /// The longest time between two accepted writes of a thread during which some were refused.
    pub(crate) longest_pause: Duration,
}

impl Service {
    /// Starts `threads` threads, which go on after `rest` between two writes.
    pub(crate) fn start<W: World>(world: &W, active_file: &Path, threads: usize, rest: Duration) -> Self {
        let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..threads).map(|thread| {
            let (world, file) = (world.clone(), active_file.to_owned());
            let (stop, refused) = (Arc::clone(&stop), Arc::clone(&refused));
            std::thread::spawn(move || serve(&world, &file, thread, rest, &stop, &refused))
        });
        Self { threads: threads.collect(), stop, refused }
    }

    /// How many writes were refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Ends it: what was accepted.
    pub(crate) fn end(self) -> Wrote {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Wrote::default();
        for thread in self.threads {
            let wrote = thread.join().unwrap();
            all.streams.extend(wrote.streams);
            all.longest_pause = all.longest_pause.max(wrote.longest_pause);
        }
        all
    }
}

/// An event as the code before, or behind the cut-over writes it.
pub(crate) fn renamed(side: Side, stream: &str, name: &str) -> New {
    let (version, field) = if side == Side::Source { (1, "name") } else { (2, "full_name") };
    New {
        stream: stream.to_owned(),
        id: Uuid::new_v4().to_string(),
        event_type: "UserRenamed",
        version,
        data: format!("{{\"user\":\"{stream}\",\"{field}\":\"{name}\",\"n\":9007199254740993}}"),
    }
}

fn serve<W: World>(
    world: &W,
    file: &Path,
    thread: usize,
    rest: Duration,
    stop: &AtomicBool,
    refused: &AtomicU64,
) -> Wrote {
    const STREAMS: usize = 5;
    let mut wrote = Wrote::default();
    let mut side = active(file);
    let mut connection = world.open(side);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let stream = format!("user-{thread}-{}", count % STREAMS);
        let mut paused: Option<Instant> = None;
        loop {
            let event = renamed(side, &stream, &format!("N {count}"));
            match connection.write(&event) {
                Ok(()) => {
                    wrote.streams.entry(stream).or_default().push((side, event));
                    break;
                }
                Err(said) => {
                    assert!(said.contains("moved") || said.contains("cut-over"), "not the fence: {said}");
                    refused.fetch_add(1, Ordering::Relaxed);
                    paused.get_or_insert_with(Instant::now);
                }
            }
            std::thread::sleep(Duration::from_millis(2));
            let now = active(file);
            if now != side {
                side = now;
                connection = world.open(side);
            }
        }
        if let Some(paused) = paused {
            wrote.longest_pause = wrote.longest_pause.max(paused.elapsed());
        }
        count += 1;
        std::thread::sleep(rest);
    }
    wrote
}
