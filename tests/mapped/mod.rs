//! The position map against an oracle that knows what every event of the target was made of, over whatever a run may go
//! through: events that are split, dropped, merged, moved, held, released, given up; in whatever order and into whatever
//! store.

pub(crate) mod laws;
pub(crate) mod older;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use eventlift::events::{
    CheckpointStore, Event, EventReader, EventWriter, MemoryLimits, MemoryStore, Position, StreamName,
};
use eventlift::pipeline::quarantine::{Discard, discard, held_events, quarantined_streams, release};
use eventlift::pipeline::{
    FailedEvents, Mapped, MappedCheckpoint, Migration, MigrationOptions, Policies, PositionMap, Stop, last_that_fills,
};
use eventlift::stores::file::{FileConfig, FileReader, FileWriter};
use eventlift::stores::sqlite::{SqliteConfig, SqliteReader, SqliteWriter};
use eventlift::transformers::{Definitions, Keys, Reason, Registry, Rule};
use tempfile::TempDir;

use crate::content::events_of;
use crate::rulebook;

/// What the rules do beside failing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing.
    Kept,
    /// `Into0` to `Into3` become so many events.
    Shifting,
    /// The same, and lines are merged; `Both` becomes a line and something else. Nothing fails.
    Merging,
    /// The same as `Shifting`, and every event goes to a stream of its type. Nothing fails.
    Moving,
}

impl Kind {
    /// What counts streams anew can't have some of them wait.
    fn may_fail(self) -> bool {
        matches!(self, Self::Kept | Self::Shifting)
    }
}

pub(crate) const TYPES: [&str; 8] = ["Into0", "Into1", "Into2", "Into3", "Line", "Line", "Both", "Close"];

/// Windows that close with an event of their stream, or after a third line; what is open at the end waits.
const MERGE: &str = r#"
[current]
Line = 1
Lines = 1
Close = 1

[[merge]]
name = "lines"
events = ["Line"]
until = "Close"
count = 3
at_end = "wait"
into = { type = "Lines", version = 1 }
data = [{ collect = "/p", into = "/of" }]
"#;

fn registry(kind: Kind, poison: &BTreeSet<u64>) -> Arc<Registry> {
    let fails = {
        let poison = poison.clone();
        move |event: &Event| if poison.contains(&number_in(event)) { Err(Reason::new("it is poison")) } else { Ok(()) }
    };
    if kind == Kind::Kept {
        let rule = Rule::new("fails", "1", move |event: Event| fails(&event).map(|()| event));
        return Arc::new(Registry::builder().rule(rule).build().unwrap());
    }
    let named = |event: &Event, name: &str| {
        let mut event = event.clone();
        event.event_type = eventlift::events::EventType::new(name).unwrap();
        event
    };
    let rule = Rule::new("parts", "1", move |event: Event| {
        fails(&event)?;
        Ok(match event.event_type.as_str() {
            "Into0" => vec![],
            "Into2" => vec![event.clone(), event],
            "Into3" => vec![event.clone(), event.clone(), event],
            "Both" if kind == Kind::Merging => vec![named(&event, "Line"), named(&event, "Other")],
            "Both" => vec![named(&event, "Other"), named(&event, "Line")],
            _ => vec![event],
        })
    });
    let builder = Registry::builder().rule(rule);
    let builder = match kind {
        Kind::Moving => builder.rule(
            Rule::new("moves", "1", |mut event: Event| {
                event.stream = StreamName::new(format!("t-{}", event.event_type)).unwrap();
                Ok(event)
            })
            .moves_streams(),
        ),
        Kind::Merging => {
            let files = [(PathBuf::from("m.toml"), MERGE.to_owned())];
            Definitions::load(files, &Keys::new()).unwrap().register(builder)
        }
        _ => builder,
    };
    Arc::new(builder.build().unwrap())
}

fn number_in(event: &Event) -> u64 {
    let data: serde_json::Value = serde_json::from_slice(event.data.bytes()).unwrap();
    data["p"].as_u64().unwrap()
}

/// An event of the source: its number, its stream, its type.
fn event(number: u64, stream: usize, revision: u64, event_type: &str, pairs: bool) -> Event {
    let data = format!("{{\"p\":{number}}}");
    let mut event = rulebook::event(number, event_type, &format!("s-{stream}"), revision, data);
    event.position = place(number, pairs);
    event
}

/// The position of the event with a number: in a store that orders by one number, or by two.
fn place(number: u64, pairs: bool) -> Position {
    if pairs { Position::pair(number / 3, number % 3) } else { Position::new(number) }
}

/// Where events go.
pub(crate) enum Target {
    Memory(MemoryStore),
    File(TempDir),
    Sqlite(TempDir),
    #[cfg(feature = "postgres")]
    Postgres(Box<crate::postgres::database::Database>),
}

impl Target {
    pub(crate) fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    async fn writer(&self) -> Box<dyn EventWriter> {
        match self {
            Self::Memory(store) => Box::new(store.writer().unwrap()),
            Self::File(folder) => Box::new(FileWriter::open(FileConfig::new(folder.path().join("t.ndjson"))).unwrap()),
            Self::Sqlite(folder) => {
                Box::new(SqliteWriter::open(SqliteConfig::new(folder.path().join("t.db"))).unwrap())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => {
                use eventlift::stores::postgres::{PostgresConfig, PostgresWriter};
                Box::new(PostgresWriter::open(PostgresConfig::new(database.url())).await.unwrap())
            }
        }
    }

    async fn reader(&self) -> Arc<dyn EventReader> {
        match self {
            Self::Memory(store) => Arc::new(store.reader()),
            Self::File(folder) => Arc::new(FileReader::open(FileConfig::new(folder.path().join("t.ndjson"))).unwrap()),
            Self::Sqlite(folder) => {
                Arc::new(SqliteReader::open(SqliteConfig::new(folder.path().join("t.db"))).unwrap())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => {
                use eventlift::stores::postgres::{PostgresConfig, PostgresReader};
                Arc::new(PostgresReader::open(PostgresConfig::new(database.url())).await.unwrap())
            }
        }
    }

    /// What the query that the documentation prints says; none where the store has no tables of events.
    async fn by_hand(&self, number: u64) -> Option<Option<u64>> {
        let query = crate::docs::page("docs/stores.md");
        let query = query.blocks().into_iter().find(|block| block.text.starts_with("WITH old (position)")).unwrap();
        let query = query.text.replace("(100)", &format!("({number})"));
        let found: Option<i64> = match self {
            Self::Memory(_) | Self::File(_) => return None,
            Self::Sqlite(folder) => rusqlite::Connection::open(folder.path().join("t.db"))
                .unwrap()
                .query_row(&query, [], |row| row.get(0))
                .unwrap(),
            #[cfg(feature = "postgres")]
            Self::Postgres(database) => {
                let mut connection = database.connect().await;
                sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(&mut connection).await.unwrap()
            }
        };
        Some(found.map(|found| found.try_into().unwrap()))
    }
}

/// A source that grows, a target, and what happens to the run between them.
pub(crate) struct Scene {
    source: MemoryStore,
    target: Target,
    kind: Kind,
    pairs: bool,
    poison: BTreeSet<u64>,
    transaction: usize,
    numbers: Vec<u64>,
    /// Whether windows of merges are closed with the next run, which is the last.
    closes: bool,
}

impl Scene {
    pub(crate) fn new(target: Target, kind: Kind, pairs: bool, in_ranges: bool, transaction: usize) -> Self {
        let source = MemoryStore::with_limits(MemoryLimits { in_ranges, ..MemoryLimits::default() });
        Self { source, target, kind, pairs, poison: BTreeSet::new(), transaction, numbers: Vec::new(), closes: false }
    }

    pub(crate) async fn grow(&mut self, events: &[Event], poison: impl IntoIterator<Item = u64>) {
        self.numbers.extend(events.iter().map(number_in));
        self.poison.extend(poison);
        self.source.writer().unwrap().append(events, None).await.unwrap();
    }

    fn options(&self) -> MigrationOptions {
        let failed_events = if self.kind.may_fail() { FailedEvents::Quarantine } else { FailedEvents::Stop };
        MigrationOptions {
            batch_events: NonZeroUsize::new(3).unwrap(),
            workers: NonZeroUsize::new(2).unwrap(),
            transaction_events: NonZeroUsize::new(self.transaction).unwrap(),
            policies: Policies { failed_events, ..Policies::default() },
            accept_changes: true,
            close_windows: self.closes,
            ..MigrationOptions::default()
        }
    }

    pub(crate) async fn run(&self) {
        let (source, target) = (Arc::new(self.source.reader()), self.target.writer().await);
        let migration = Migration::new(source, target, registry(self.kind, &self.poison), self.options());
        assert!(migration.run().await.unwrap().done);
    }

    /// Corrects the rules for some of what fails, and lifts what waits of a stream, or of all.
    pub(crate) async fn retry(&mut self, mends: impl Fn(u64) -> bool, only: Option<usize>) {
        self.poison.retain(|number| !mends(*number));
        let mut writer = self.target.writer().await;
        let Some(run) = last_that_fills(writer.runs().await.unwrap()).filter(|_| self.kind.may_fail()) else { return };
        let held = quarantined_streams(&*writer, run.id).await.unwrap();
        let only: Vec<StreamName> = only.iter().map(|stream| StreamName::new(format!("s-{stream}")).unwrap()).collect();
        if only.iter().any(|wanted| !held.iter().any(|held| held.stream == wanted.as_str())) {
            return;
        }
        let (registry, policies) = (registry(self.kind, &self.poison), self.options().policies);
        release(&mut *writer, &registry, policies, &run, &only, &Stop::never(), |_| {}).await.unwrap();
    }

    pub(crate) async fn discard(&self, nth: usize, all: bool) {
        let mut writer = self.target.writer().await;
        let Some(run) = last_that_fills(writer.runs().await.unwrap()) else { return };
        let held = quarantined_streams(&*writer, run.id).await.unwrap();
        let Some(stream) = held.get(nth % held.len().max(1)) else { return };
        let stream = StreamName::new(stream.stream.clone()).unwrap();
        let what = Discard { stream, all, by: "a test".to_owned(), why: "poison".to_owned() };
        discard(&mut *writer, &registry(self.kind, &self.poison), &run, &what).await.unwrap();
    }

    /// Every event of the target by its position, with the numbers of what it was made of.
    async fn made_of(&self) -> BTreeMap<u64, BTreeSet<u64>> {
        let numbers = |event: &Event| -> BTreeSet<u64> {
            let data: serde_json::Value = serde_json::from_slice(event.data.bytes()).unwrap();
            match data["of"].as_array() {
                Some(of) => of.iter().map(|number| number.as_u64().unwrap()).collect(),
                None => BTreeSet::from([data["p"].as_u64().unwrap()]),
            }
        };
        events_of(&*self.target.reader().await).await.iter().map(|e| (e.position.major(), numbers(e))).collect()
    }

    /// The numbers of what waits.
    async fn held(&self, ledger: &dyn CheckpointStore) -> BTreeSet<u64> {
        let run = last_that_fills(ledger.runs().await.unwrap()).unwrap().id;
        let mut numbers = BTreeSet::new();
        for stream in quarantined_streams(ledger, run).await.unwrap() {
            let held = held_events(ledger, run, &stream, None, usize::MAX).await.unwrap();
            numbers.extend(held.iter().map(|held| number_in(&held.event)));
        }
        numbers
    }

    /// Asks the map everything there is to ask, and compares it with what the events say.
    pub(crate) async fn check(&self, context: &str) {
        let writer = self.target.writer().await;
        self.check_with(&*writer, context).await;
        drop(writer);
        if self.pairs {
            return;
        }
        let made_of = self.made_of().await;
        for number in 0..=self.numbers.iter().copied().max().unwrap_or(0) {
            let Some(found) = self.target.by_hand(number).await else { return };
            let passed: Vec<u64> = made_of.keys().copied().filter(|at| Some(*at) <= found).collect();
            assert_eq!(passed, passed_by(&made_of, number), "{context}: by hand, {number} became {found:?}");
        }
    }

    /// The same by a ledger, without the query.
    pub(crate) async fn check_with(&self, ledger: &dyn CheckpointStore, context: &str) {
        let made_of = self.made_of().await;
        let Some(record) = last_that_fills(ledger.runs().await.unwrap()) else { return };
        let Some(checkpoint) = ledger.checkpoint(record.id).await.unwrap() else { return };
        let reader = self.target.reader().await;
        let reader = PositionMap::needs_target(&record).then_some(&*reader);
        let map = PositionMap::of(ledger, &record, reader).await.unwrap().unwrap();
        let held = self.held(ledger).await;
        self.assert_ascending(ledger, record.id, context).await;
        let done = |number: &u64| place(*number, self.pairs) <= checkpoint.source;
        let until = self.numbers.iter().copied().filter(done).max().unwrap();
        for number in 0..=until {
            self.check_forwards(&map, number, &made_of, &held, context).await;
        }
        self.check_back(&map, &made_of, &held, context).await;
        let behind = place(until + 1, self.pairs);
        assert_eq!(map.checkpoint(behind).await.unwrap(), MappedCheckpoint::Ahead, "{context}");
        assert_eq!(map.position(behind).await.unwrap(), Mapped::Ahead, "{context}");
    }

    async fn check_forwards(
        &self,
        map: &PositionMap<'_>,
        number: u64,
        made_of: &BTreeMap<u64, BTreeSet<u64>>,
        held: &BTreeSet<u64>,
        context: &str,
    ) {
        let source = place(number, self.pairs);
        let mapped = map.checkpoint(source).await.unwrap();
        let stands_at = match mapped {
            MappedCheckpoint::At(at) => Some(at.major()),
            MappedCheckpoint::Nothing { before } => before.map(Position::major),
            MappedCheckpoint::Ahead => panic!("{context}: {number} is not ahead"),
        };
        let passed = |stands_at: Option<u64>| -> Vec<u64> {
            made_of.keys().copied().filter(|at| stands_at.is_some_and(|stands_at| *at <= stands_at)).collect()
        };
        let right = passed_by(made_of, number);
        assert_eq!(passed(stands_at), right, "{context}: a checkpoint at {number} became {mapped:?}");
        if !self.numbers.contains(&number) {
            return;
        }
        let became: Vec<u64> = made_of.iter().filter(|(_, of)| of.contains(&number)).map(|(at, _)| *at).collect();
        let mapped = map.position(source).await.unwrap();
        let spans = match &mapped {
            Mapped::Became { first, last } => vec![(*first, *last)],
            Mapped::Scattered(spans) => spans.clone(),
            Mapped::Held => {
                assert!(held.contains(&number), "{context}: {number} is not held");
                return;
            }
            Mapped::Dropped { after } => {
                assert!(!held.contains(&number), "{context}: {number} is held");
                assert_eq!(passed(after.map(Position::major)), right, "{context}: {number} was dropped, {mapped:?}");
                Vec::new()
            }
            Mapped::Ahead => panic!("{context}: {number} is not ahead"),
        };
        let found: Vec<u64> = spans.iter().flat_map(|(first, last)| first.major()..=last.major()).collect();
        assert_eq!(found, became, "{context}: position {number} is {mapped:?}");
    }

    async fn check_back(
        &self,
        map: &PositionMap<'_>,
        made_of: &BTreeMap<u64, BTreeSet<u64>>,
        held: &BTreeSet<u64>,
        context: &str,
    ) {
        let last = made_of.keys().max().copied().unwrap_or(0);
        let targets: Vec<Position> = (0..=last + 1).map(Position::new).collect();
        for (target, found) in targets.iter().zip(map.sources(&targets).await.unwrap()) {
            let Some(of) = made_of.get(&target.major()) else {
                // Only places that were the source's own may look as if something were there: nothing was.
                let is_free = |(first, last): &(Position, Position)| {
                    first == last && !self.numbers.iter().any(|n| place(*n, self.pairs) == *first && held.contains(n))
                };
                assert!(found.as_ref().is_none_or(is_free), "{context}: nothing is at {target}, not {found:?}");
                continue;
            };
            let ends = of.first().zip(of.last()).map(|(a, b)| (place(*a, self.pairs), place(*b, self.pairs)));
            assert_eq!(found, ends, "{context}: what is at {target}");
        }
    }

    /// What is written down ascends on both sides.
    async fn assert_ascending(&self, ledger: &dyn CheckpointStore, run: eventlift::events::RunId, context: &str) {
        let ranges = ledger.positions(run, None, usize::MAX).await.unwrap();
        for pair in ranges.windows(2) {
            let ends_before = |start: Position, length: u64, next: Position| match start.minor() {
                None => start.major() + length <= next.major(),
                Some(_) => start < next,
            };
            assert!(
                ends_before(pair[0].source, pair[0].source_length, pair[1].source)
                    && ends_before(pair[0].target, pair[0].target_length, pair[1].target),
                "{context}: {pair:?}"
            );
        }
    }
}

/// The events that a reader has passed at the right place: all before the first that is made of something it has not done.
fn passed_by(made_of: &BTreeMap<u64, BTreeSet<u64>>, number: u64) -> Vec<u64> {
    let is_done = |of: &BTreeSet<u64>| of.iter().all(|of| *of <= number);
    made_of.iter().take_while(|(_, of)| is_done(of)).map(|(at, _)| *at).collect()
}
