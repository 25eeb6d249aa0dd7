//! The second half of an event-sourced service: read models and aggregates, folded from its events by Rust code that
//! knows only their current versions.
//!
//! `cargo run --example fold_in_rust`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::sync::Arc;

use eventlift::pipeline::Policies;
use eventlift::{
    Aggregate, Bytes, Changes, ColumnType, Event, EventId, EventType, EventView, EventWriter, Feed, FoldOptions,
    MemoryReadModels, MemoryStore, Payload, Position, Projection, ReadModelStore, Reason, Rebuild, Rebuilder, Registry,
    Revision, Row, RowKey, SchemaVersion, Scope, Side, Snapshots, StreamName, Table, Timestamp, Understood, Upcaster,
    Value, Wanted,
};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};

/// AccountOpened, version 2.
#[derive(Deserialize, Serialize)]
struct Opened {
    owner: String,
}

/// MoneyMoved, version 1: in, or, where it is negative, out.
#[derive(Deserialize)]
struct Moved {
    cents: i64,
}

/// What the folds understand. An event that is neither folded nor left out by name is refused, so that a read model is
/// never silently behind what newer events say.
fn understood() -> Result<Understood, Box<dyn Error>> {
    let version = |number| SchemaVersion::new(number).ok_or("there is no version 0");
    let understood = Understood { categories: ["account".to_owned()].into(), ..Understood::default() };
    Ok(understood
        .folding(EventType::new("AccountOpened")?, version(2)?)
        .folding(EventType::new("MoneyMoved")?, version(1)?))
}

/// The state of one account: a type of the service's own. It is kept as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Account {
    owner: String,
    cents: i64,
}

/// How events make an account. An aggregate is a pure function from state and event to state.
struct Accounts {
    understood: Understood,
}

impl Aggregate for Accounts {
    type State = Account;

    fn name(&self) -> &str {
        "account"
    }

    /// Declared by hand, as nobody can look into code: it has to change whenever `apply` or the state does. Snapshots
    /// that were made with another fingerprint are never gone on from.
    fn fingerprint(&self) -> &str {
        "1"
    }

    fn understood(&self) -> &Understood {
        &self.understood
    }

    fn apply(&self, account: &mut Account, event: &Event) -> Result<(), Reason> {
        let data = event.data.bytes();
        match event.event_type.as_str() {
            "AccountOpened" => account.owner = serde_json::from_slice::<Opened>(data)?.owner,
            _ => account.cents += serde_json::from_slice::<Moved>(data)?.cents,
        }
        Ok(())
    }
}

/// A read model of two tables: the balance of every account, and how much was moved on every day.
struct Money {
    understood: Understood,
    tables: [Table; 2],
}

const BALANCES: usize = 0;
const DAYS: usize = 1;

impl Money {
    fn new() -> Result<Self, Box<dyn Error>> {
        let balances = [("account", ColumnType::Text), ("owner", ColumnType::Text), ("cents", ColumnType::Integer)];
        let days = [("day", ColumnType::Text), ("moves", ColumnType::Integer)];
        // The key is the first column, unless `keyed_by` says otherwise.
        let tables = [Table::read_model("balances", balances).indexed_by(&["owner"]), Table::read_model("days", days)];
        Ok(Self { understood: understood()?, tables })
    }
}

impl Projection for Money {
    fn name(&self) -> &str {
        "money"
    }

    fn fingerprint(&self) -> &str {
        "1"
    }

    fn understood(&self) -> &Understood {
        &self.understood
    }

    fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Says which rows the event changes, looking only at the event: this runs for many events at once. The closures
    /// change the rows, each row's in the order of the events.
    fn project(&self, event: &mut EventView<'_>, changes: &mut Changes) -> Result<(), Reason> {
        let account = event.event().stream.id().ok_or_else(|| Reason::new("the stream names no account"))?.to_owned();
        let balance = RowKey::text(&account);
        if event.event().event_type.as_str() == "AccountOpened" {
            let Opened { owner } = event.read()?;
            let row = Row([Value::text(account), Value::text(owner), Value::Integer(0)].into());
            return changes.put(BALANCES, &self.tables[BALANCES], row);
        }
        let Moved { cents } = event.read()?;
        changes.change(BALANCES, balance, move |_, row| {
            let row = row.as_mut().ok_or_else(|| Reason::new("the account was never opened"))?;
            add(&mut row.0[2], cents)
        });
        let day = event.event().recorded_at.to_string()[..10].to_owned();
        changes.change(DAYS, RowKey::text(&day), move |_, row| {
            let row = row.get_or_insert_with(|| Row([Value::text(day), Value::Integer(0)].into()));
            add(&mut row.0[1], 1)
        });
        Ok(())
    }
}

/// A sum that does not fit fails the event; it never wraps around.
fn add(column: &mut Value, number: i64) -> Result<(), Reason> {
    let Value::Integer(sum) = column else { return Err(Reason::new("the column holds no number")) };
    *sum = sum.checked_add(number).ok_or_else(|| Reason::new("the sum does not fit into 64 bits"))?;
    Ok(())
}

/// Accounts were opened with two names once. The folds above have never heard of it.
fn registry() -> Result<Registry, Box<dyn Error>> {
    #[derive(Deserialize)]
    struct OpenedV1 {
        first_name: String,
        last_name: String,
    }
    let upcaster = Upcaster::typed("AccountOpened", 1, 2, "1", |old: OpenedV1| {
        Ok(Opened { owner: format!("{} {}", old.first_name, old.last_name) })
    });
    Ok(Registry::builder().current("AccountOpened", 2).current("MoneyMoved", 1).upcaster(upcaster).build()?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let events = MemoryStore::new();
    let mut writer = events.writer()?;
    let history = [
        event(1, "account-1", 0, "AccountOpened", 1, r#"{"first_name":"Ada","last_name":"Lovelace"}"#)?,
        event(2, "account-2", 0, "AccountOpened", 2, r#"{"owner":"Emmy Noether"}"#)?,
        event(3, "account-1", 1, "MoneyMoved", 1, r#"{"cents":1010}"#)?,
        event(4, "account-2", 1, "MoneyMoved", 1, r#"{"cents":500}"#)?,
    ];
    writer.append(&history, None).await?;

    // A rebuild reads the store once for everything that is wanted, lifts events on the way, and swaps all tables in at
    // once. `Snapshots` makes a projection of an aggregate: one row a stream.
    let registry = Arc::new(registry()?);
    let feed = Feed::of(Arc::new(events.reader())).lifted_by(Arc::clone(&registry), Policies::default())?;
    let models = MemoryReadModels::new();
    let rebuild = || -> Result<Rebuild, Box<dyn Error>> {
        let projections: [Arc<dyn Projection>; 2] =
            [Arc::new(Money::new()?), Arc::new(Snapshots::of(Accounts { understood: understood()? }))];
        let wanted = projections.map(|projection| Wanted { projection, reason: "the example".to_owned() });
        Ok(Rebuild::new(feed.clone(), Arc::new(models.clone()), wanted.into(), FoldOptions::default()))
    };
    let outcome = rebuild()?.run().await?;
    println!("built: {:#?}", outcome.built);
    assert!(outcome.done && outcome.built.len() == 2);
    assert_eq!(rows(&models, BALANCES).await?, ["1 | Ada Lovelace | 1010", "2 | Emmy Noether | 500"]);

    // From now on, an update brings what is new into the live tables, in transactions with its checkpoint.
    writer.append(&[event(5, "account-1", 2, "MoneyMoved", 1, r#"{"cents":-10}"#)?], None).await?;
    let updated = rebuild()?.update().await?;
    assert!(updated.built.iter().all(|built| built.events == 1 && built.checkpoint == Some(Position::new(5))));
    assert_eq!(rows(&models, BALANCES).await?, ["1 | Ada Lovelace | 1000", "2 | Emmy Noether | 500"]);
    assert_eq!(rows(&models, DAYS).await?, ["1970-01-01 | 3"]);

    // A service loads one account: its snapshot, and what came later, lifted by the same rules.
    let accounts = Rebuilder::new(Arc::new(events.reader()), Accounts { understood: understood()? })
        .lifted_by(registry, Policies::default())?
        .with_snapshots(Arc::new(models.clone()));
    let stream = StreamName::from_parts("account", "1")?;
    writer.append(&[event(6, "account-1", 3, "MoneyMoved", 1, r#"{"cents":42}"#)?], None).await?;
    let account = accounts.state(&stream).await?.ok_or("there is an account 1")?;
    println!("{account:?}");
    assert_eq!(account.state, Account { owner: "Ada Lovelace".to_owned(), cents: 1042 });
    assert_eq!(account.revision, Revision(3));
    // It may keep the snapshot for the next time; a later update does not fold those events in again.
    accounts.keep(&account).await?;
    rebuild()?.update().await?;
    assert_eq!(accounts.state(&stream).await?, Some(account));

    // All accounts, in the order of their streams, in bounded memory.
    let all: Vec<_> = accounts.states(Scope::Category("account".to_owned())).try_collect().await?;
    let balances: Vec<_> = all.iter().map(|account| (account.stream.to_string(), account.state.cents)).collect();
    println!("{balances:?}");
    assert_eq!(balances, [("account-1".to_owned(), 1042), ("account-2".to_owned(), 500)]);
    Ok(())
}

/// The rows of a live table, as text.
async fn rows(models: &MemoryReadModels, table: usize) -> Result<Vec<String>, Box<dyn Error>> {
    let rows = models.scan(Side::Live, "money", table, None, 100).await?;
    let text = |row: &Row| row.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
    Ok(rows.iter().map(text).collect())
}

fn event(
    position: u64,
    stream: &'static str,
    revision: u64,
    event_type: &'static str,
    version: u32,
    data: &'static str,
) -> Result<Event, Box<dyn Error>> {
    Ok(Event {
        id: EventId::text(format!("event-{position}"))?,
        stream: StreamName::new(stream)?,
        revision: Revision(revision),
        position: Position::new(position),
        event_type: EventType::new(event_type)?,
        version: SchemaVersion::new(version).ok_or("there is no version 0")?,
        data: Payload::json(data),
        metadata: Payload::empty(),
        recorded_at: Timestamp::EPOCH,
        attributes: Bytes::new(),
    })
}

#[test]
fn it_does_what_it_says() -> Result<(), Box<dyn Error>> {
    main()
}
