//! Tables that are summed up from others: a rebuild, a rebuild and any number of updates, and a trivial sum come to the
//! same rows.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use eventlift::events::{
    Bytes, Event, EventId, EventType, EventWriter, MemoryStore, Payload, Position, Revision, SchemaVersion, StreamName,
    Timestamp,
};
use eventlift::pipeline::Stop;
use eventlift::projections::{
    Changes, Definitions, EventView, MemoryReadModels, Numeric, Projection, ReadModelStore, Rollup, Row, RowKey, Side,
    Table, Understood, Value,
};
use eventlift::rebuild::{FailurePolicy, Feed, FoldOptions, Reading, Rebuild, RebuildError, Wanted, compare_live};
use proptest::prelude::*;

use crate::fold::cases;

/// Members move between groups, leave them, go, come back, and get other keys.
const DEFINITION: &str = r#"
projection = "clubs"
[table.clubs]
of = "members"
key = ["town", "club"]
columns = { club = "text", paid = "numeric", town = "integer", members = "integer", points = "integer" }
count = "members"
sum = { points = "points", paid = "paid" }
indexes = [["members"]]
[table.members]
key = "id"
columns = { id = "integer", club = "text", town = "integer", points = "integer", paid = "numeric" }
[table.towns]
of = "members"
key = "town"
columns = { town = "integer", members = "integer" }
count = "members"
[[on]]
event = "Joined"
version = 1
key = "/id"
set = { club = "/club", town = "/town" }
last = { points = "/points" }
[[on]]
event = "Paid"
version = 1
key = "/id"
add = { paid = "/paid" }
[[on]]
event = "Left"
version = 1
key = "/id"
delete = true
[[on]]
event = "Renumbered"
version = 1
key = "/id"
move_to = "/to"
missing = "skip"
taken = "replace"
"#;

fn clubs(definition: &str) -> Arc<dyn Projection> {
    let files = [(PathBuf::from("clubs.toml"), definition.to_owned())];
    let definitions = Definitions::load(files).unwrap_or_else(|errors| panic!("{errors}"));
    definitions.projections().remove(0)
}

/// What an event says of a member.
#[derive(Clone, Debug)]
enum Said {
    Joined { id: i64, club: Option<i64>, town: Option<i64>, points: Option<i64> },
    Paid { id: i64, cents: i64, decimals: u32 },
    Left { id: i64 },
    Renumbered { id: i64, to: i64 },
}

fn said() -> impl Strategy<Value = Said> {
    let group = || prop_oneof![1 => Just(None), 4 => (0_i64..3).prop_map(Some)];
    let points = prop_oneof![1 => Just(None), 3 => (-50_i64..50).prop_map(Some), 1 => Just(Some(1 << 40))];
    let joined = (0_i64..6, group(), group(), points).prop_map(|(id, club, town, points)| Said::Joined {
        id,
        club,
        town,
        points,
    });
    let paid = (0_i64..6, -500_i64..500, 0_u32..4).prop_map(|(id, cents, decimals)| Said::Paid { id, cents, decimals });
    let renumbered = (0_i64..6, 0_i64..6).prop_map(|(id, to)| Said::Renumbered { id, to });
    prop_oneof![5 => joined, 3 => paid, 2 => (0_i64..6).prop_map(|id| Said::Left { id }), 2 => renumbered]
}

/// `1234` with two decimals is `12.34`.
fn decimal(number: i64, decimals: u32) -> String {
    let (whole, part) = (number.unsigned_abs() / 10_u64.pow(decimals), number.unsigned_abs() % 10_u64.pow(decimals));
    let sign = if number < 0 { "-" } else { "" };
    if decimals == 0 {
        format!("{sign}{whole}")
    } else {
        format!("{sign}{whole}.{part:0>width$}", width = decimals as usize)
    }
}

fn event(number: usize, event_type: &'static str, data: String) -> Event {
    Event {
        id: EventId::text(format!("event-{number}")).unwrap(),
        stream: StreamName::from_parts("member", "all").unwrap(),
        revision: Revision(number as u64),
        position: Position::new(number as u64 * 3 + 1),
        event_type: EventType::new(event_type).unwrap(),
        version: SchemaVersion::FIRST,
        data: Payload::json(data),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Bytes::new(),
    }
}

fn events_of(said: &[Said]) -> Vec<Event> {
    let event_of = |(number, said): (usize, &Said)| {
        let json = |value: Option<i64>| value.map_or("null".to_owned(), |value| value.to_string());
        match said {
            Said::Joined { id, club, town, points } => {
                let club = club.map_or("null".to_owned(), |club| format!("\"club {club}\""));
                let (town, points) = (json(*town), json(*points));
                let data = format!(r#"{{"id":{id},"club":{club},"town":{town},"points":{points}}}"#);
                event(number, "Joined", data)
            }
            Said::Paid { id, cents, decimals } => {
                event(number, "Paid", format!(r#"{{"id":{id},"paid":{}}}"#, decimal(*cents, *decimals)))
            }
            Said::Left { id } => event(number, "Left", format!(r#"{{"id":{id}}}"#)),
            Said::Renumbered { id, to } => event(number, "Renumbered", format!(r#"{{"id":{id},"to":{to}}}"#)),
        }
    };
    said.iter().enumerate().map(event_of).collect()
}

/// Both tables that are summed up, row by row: group, count, and the sums with the payments in thousandths.
type Sums = (Vec<((i64, String), (i64, i64, i64))>, Vec<(i64, i64)>);

/// The trivial sum.
fn reference(said: &[Said]) -> Sums {
    #[derive(Default)]
    struct Member {
        club: Option<i64>,
        town: Option<i64>,
        points: i64,
        paid: i64,
    }
    let mut members: BTreeMap<i64, Member> = BTreeMap::new();
    for said in said {
        match said {
            Said::Joined { id, club, town, points } => {
                let member = members.entry(*id).or_default();
                (member.club, member.town) = (*club, *town);
                member.points = points.unwrap_or(member.points);
            }
            Said::Paid { id, cents, decimals } => {
                members.entry(*id).or_default().paid += cents * 10_i64.pow(3 - decimals);
            }
            Said::Left { id } => drop(members.remove(id)),
            Said::Renumbered { id, to } => {
                let member = members.remove(id);
                members.extend(member.map(|member| (*to, member)));
            }
        }
    }
    let mut clubs: BTreeMap<(i64, String), (i64, i64, i64)> = BTreeMap::new();
    let mut towns: BTreeMap<i64, i64> = BTreeMap::new();
    for member in members.values() {
        let Some(town) = member.town else { continue };
        *towns.entry(town).or_default() += 1;
        let Some(club) = member.club else { continue };
        let sums = clubs.entry((town, format!("club {club}"))).or_default();
        *sums = (sums.0 + 1, sums.1 + member.points, sums.2 + member.paid);
    }
    (clubs.into_iter().collect(), towns.into_iter().collect())
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Integer(number) => *number,
        other => panic!("{other:?} is no integer"),
    }
}

/// An exact number in thousandths; it must not show more decimals than it takes.
fn thousandths(value: &Value) -> i64 {
    let text = value.to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    assert!(!part.ends_with('0'), "{text}");
    format!("{whole}{part:0<3}").parse().unwrap()
}

async fn rows(store: &dyn ReadModelStore, table: usize) -> Vec<Row> {
    store.scan(Side::Live, "clubs", table, None, 1_000).await.unwrap()
}

async fn sums(store: &dyn ReadModelStore) -> Sums {
    let clubs = rows(store, 0).await.into_iter().map(|Row(row)| {
        let group = (integer(&row[2]), row[0].to_string());
        (group, (integer(&row[3]), integer(&row[4]), thousandths(&row[1])))
    });
    let towns = rows(store, 2).await.into_iter().map(|Row(row)| (integer(&row[0]), integer(&row[1])));
    (clubs.collect(), towns.collect())
}

fn options(workers: usize, memory_bytes: usize) -> FoldOptions {
    FoldOptions { workers: NonZeroUsize::new(workers).unwrap(), memory_bytes, ..FoldOptions::default() }
}

fn rebuild(
    source: &MemoryStore,
    store: &Arc<dyn ReadModelStore>,
    projection: &Arc<dyn Projection>,
    options: FoldOptions,
) -> Rebuild {
    let wanted = Wanted { projection: Arc::clone(projection), reason: "test".to_owned() };
    let reading = Reading { batch_events: NonZeroUsize::new(3).unwrap(), ..Reading::default() };
    Rebuild::new(Feed::of(Arc::new(source.reader())), Arc::clone(store), vec![wanted], options).reading(reading)
}

/// A rebuild after the first cut, an update after every other, and what it then is.
async fn rebuilt_and_updated(
    store: Arc<dyn ReadModelStore>,
    events: &[Event],
    cuts: &[usize],
    options: FoldOptions,
) -> Arc<dyn ReadModelStore> {
    let (source, projection) = (MemoryStore::new(), clubs(DEFINITION));
    let mut writer = source.writer().unwrap();
    let mut from = 0;
    for (number, cut) in cuts.iter().chain([&events.len()]).enumerate() {
        if from < *cut {
            writer.append(&events[from..*cut], None).await.unwrap();
            from = *cut;
        }
        let rebuild = rebuild(&source, &store, &projection, options.clone());
        let done = if number == 0 { rebuild.run().await } else { rebuild.update().await };
        assert!(done.unwrap().done);
    }
    let feed = Feed::of(Arc::new(source.reader()));
    let compared = compare_live(&feed, &*store, &projection, &options, &Stop::never(), |_| {}).await.unwrap();
    let compared = compared.unwrap();
    assert!(compared.agrees(), "{:?}", compared.first);
    store
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

#[cfg(feature = "sqlite")]
fn sqlite(folder: &tempfile::TempDir) -> Arc<dyn ReadModelStore> {
    use eventlift::stores::sqlite::{SqliteConfig, SqliteReadModels};
    Arc::new(SqliteReadModels::open(SqliteConfig::new(folder.path().join("models.db"))).unwrap())
}

fn case() -> impl Strategy<Value = (Vec<Said>, Vec<usize>, usize, usize)> {
    let said = proptest::collection::vec(said(), 0..60);
    said.prop_flat_map(|said| {
        let cuts = proptest::collection::vec(0..=said.len(), 0..6).prop_map(|mut cuts| {
            cuts.sort_unstable();
            cuts
        });
        (Just(said), cuts, 1_usize..5, prop_oneof![Just(1_usize), Just(2_000), Just(1 << 20)])
    })
}

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn sums_in_memory_are_those_of_the_rows((said, cuts, workers, memory) in case()) {
        let store: Arc<dyn ReadModelStore> = Arc::new(MemoryReadModels::new());
        let expected = reference(&said);
        let found = block_on(async {
            sums(&*rebuilt_and_updated(store, &events_of(&said), &cuts, options(workers, memory)).await).await
        });
        prop_assert_eq!(found, expected);
    }
}

#[cfg(feature = "sqlite")]
proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn sums_in_sqlite_are_those_of_the_rows((said, cuts, workers, memory) in case()) {
        let folder = tempfile::tempdir().unwrap();
        let expected = reference(&said);
        let found = block_on(async {
            let store = sqlite(&folder);
            sums(&*rebuilt_and_updated(store, &events_of(&said), &cuts, options(workers, memory)).await).await
        });
        prop_assert_eq!(found, expected);
    }
}

/// More groups than fit into memory come out whole and in order.
#[test]
fn groups_that_do_not_fit_into_memory_are_put_aside() {
    let joined =
        |id: usize| Said::Joined { id: id as i64, club: Some(id as i64 % 700), town: Some(1), points: Some(2) };
    let said: Vec<Said> = (0..2_100).map(joined).collect();
    let expected = reference(&said);
    assert_eq!(expected.0.len(), 700);
    let events = events_of(&said);
    for (workers, memory) in [(1, 1), (3, 1), (3, 20_000), (4, 1 << 26)] {
        let store: Arc<dyn ReadModelStore> = Arc::new(MemoryReadModels::new());
        let found = block_on(async {
            let store = rebuilt_and_updated(store, &events, &[2_000], options(workers, memory)).await;
            (rows(&*store, 0).await.len(), store.scan(Side::Live, "clubs", 2, None, 9).await.unwrap().len())
        });
        assert_eq!(found, (700, 1), "{workers} workers, {memory} bytes");
    }
}

/// A sum that fits in the end is no failure because what a row was and what it comes to don't fit at once.
#[test]
fn an_update_takes_out_before_it_adds() {
    let joined = |points: i64| Said::Joined { id: 1, club: Some(1), town: Some(1), points: Some(points) };
    let said = [joined(i64::MAX - 1), joined(i64::MAX)];
    let store: Arc<dyn ReadModelStore> = Arc::new(MemoryReadModels::new());
    let found = block_on(async {
        sums(&*rebuilt_and_updated(store, &events_of(&said), &[1], options(2, 1 << 20)).await).await
    });
    assert_eq!(found.0[0].1.1, i64::MAX);
}

/// Nor because a row that has moved is at its new key before it has left the old one.
#[test]
fn a_row_that_moves_is_never_summed_up_twice() {
    let joined = Said::Joined { id: 2, club: Some(1), town: Some(1), points: Some(i64::MAX) };
    let said = [joined, Said::Renumbered { id: 2, to: 1 }, Said::Renumbered { id: 1, to: 3 }];
    for cut in [1, 2] {
        let store: Arc<dyn ReadModelStore> = Arc::new(MemoryReadModels::new());
        let found = block_on(async {
            sums(&*rebuilt_and_updated(store, &events_of(&said), &[cut], options(2, 1 << 20)).await).await
        });
        assert_eq!(found, reference(&said), "cut at {cut}");
    }
}

/// Neither policy lets a sum be wrong: it stops a rebuild and an update, and what is live stays what it is.
#[test]
fn a_sum_that_does_not_fit_is_no_event_to_quarantine() {
    let joined = |id: i64, points: i64| Said::Joined { id, club: Some(1), town: Some(1), points: Some(points) };
    let events = events_of(&[joined(1, i64::MAX), joined(2, -1), joined(3, 2)]);
    for on_failure in [FailurePolicy::Stop, FailurePolicy::Quarantine] {
        block_on(async {
            let options = FoldOptions { on_failure, ..options(2, 1 << 20) };
            let (source, projection) = (MemoryStore::new(), clubs(DEFINITION));
            let store: Arc<dyn ReadModelStore> = Arc::new(MemoryReadModels::new());
            let mut writer = source.writer().unwrap();
            writer.append(&events[..2], None).await.unwrap();
            rebuild(&source, &store, &projection, options.clone()).run().await.unwrap();
            let before = rows(&*store, 0).await;
            writer.append(&events[2..], None).await.unwrap();
            let expected = "failed to sum up clubs: the sum in clubs.points does not fit into its type";
            let failed = rebuild(&source, &store, &projection, options.clone()).update().await.unwrap_err();
            assert_eq!(failed.to_string(), expected);
            let failed = rebuild(&source, &store, &projection, options).run().await.unwrap_err();
            assert_eq!(failed.to_string(), expected);
            assert!(matches!(failed, RebuildError::SumUp { .. }));
            assert_eq!(rows(&*store, 0).await, before);
            let builds = store.builds("clubs").await.unwrap();
            assert!(builds.shadow.is_none() && builds.live.unwrap().checkpoint == Some(events[1].position));
        });
    }
}

/// A projection in Rust whose roll-ups make no sense.
struct Wrong {
    inner: Arc<dyn Projection>,
    rollups: Vec<Rollup>,
}

impl Projection for Wrong {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn fingerprint(&self) -> &str {
        self.inner.fingerprint()
    }

    fn understood(&self) -> &Understood {
        self.inner.understood()
    }

    fn tables(&self) -> &[Table] {
        self.inner.tables()
    }

    fn rollups(&self) -> &[Rollup] {
        &self.rollups
    }

    fn project(&self, event: &mut EventView<'_>, changes: &mut Changes) -> Result<(), eventlift::Reason> {
        self.inner.project(event, changes)
    }
}

#[test]
fn roll_ups_that_make_no_sense_are_refused() {
    let inner = clubs(DEFINITION);
    let [ref of_clubs, ref of_towns] = *inner.rollups() else { panic!("{:?}", inner.rollups()) };
    assert_eq!(Rollup::problem_of_all(inner.rollups(), inner.tables()), None);
    let with = |change: &dyn Fn(&mut Rollup)| {
        let mut changed = of_clubs.clone();
        change(&mut changed);
        vec![changed, of_towns.clone()]
    };
    let wrong = [
        (with(&|rollup| rollup.table = 7), "a roll-up names a table that is not there"),
        (with(&|rollup| rollup.of = 2), "`towns` is summed up itself"),
        (with(&|rollup| rollup.group.truncate(1)), "its key has not as many columns as it groups `members` by"),
        (with(&|rollup| rollup.group.reverse()), "the key's column `town` is not of the type of `club` in `members`"),
        (with(&|rollup| rollup.group[0] = 99), "the key's column `town` is not of the type of `` in `members`"),
        (with(&|rollup| rollup.count = 1), "the column `paid` counts rows, but is no integer"),
        (with(&|rollup| rollup.count = 2), "the column `town` has to be exactly one of"),
        (with(&|rollup| rollup.sums.truncate(1)), "the column `paid` has to be exactly one of"),
        (with(&|rollup| rollup.sums[0] = (4, 4)), "`points` and `paid` in `members` have to be both integer"),
        (vec![of_towns.clone(), of_towns.clone()], "the table `towns` is summed up twice"),
    ];
    for (rollups, expected) in wrong {
        let problem = Rollup::problem_of_all(&rollups, inner.tables());
        // A key or a sum of other columns may come first: what counts is that it is seen before anything is folded.
        let projection: Arc<dyn Projection> = Arc::new(Wrong { inner: Arc::clone(&inner), rollups });
        let store: Arc<dyn ReadModelStore> = Arc::new(MemoryReadModels::new());
        let failed = block_on(rebuild(&MemoryStore::new(), &store, &projection, options(1, 1)).run()).unwrap_err();
        let failed = failed.to_string();
        assert!(failed.starts_with("refused: the tables of clubs can't be made: "), "{failed}");
        assert!(problem.is_some_and(|problem| problem.contains(expected)), "{expected}: {failed}");
    }
}

/// Taking a member out of a group that has no row is an error, and no row with a count of -1.
#[test]
fn a_group_that_is_not_there_has_no_members() {
    let projection = clubs(DEFINITION);
    let (rollup, made) = (&projection.rollups()[1], &projection.tables()[2]);
    let member = Row(Box::new([
        Value::Integer(1),
        Value::text("a"),
        Value::Integer(5),
        Value::Null,
        Value::numeric("1.5".parse::<Numeric>().unwrap()),
    ]));
    let key = rollup.group_of(&member).unwrap().unwrap();
    assert_eq!(key, RowKey::of(&[Value::Integer(5)]).unwrap());
    let mut group = None;
    assert!(rollup.remove(made, &mut group, &member).is_err());
    rollup.add(made, &mut group, &key, &member).unwrap();
    assert_eq!(group, Some(Row(Box::new([Value::Integer(5), Value::Integer(1)]))));
    rollup.remove(made, &mut group, &member).unwrap();
    assert_eq!(group, None);
}
