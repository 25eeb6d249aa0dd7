//! Aggregates: one state per stream, and the snapshots of it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use eventlift_events::{Event, Position, Revision, StreamName};
use eventlift_language::Reason;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::projection::{Changes, Projection};
use crate::row::{Row, RowKey};
use crate::table::{Table, snapshot_columns as columns};
use crate::understood::Understood;
use crate::value::{KeptState, Value};
use crate::view::EventView;

/// A pure fold of a stream's events into one state.
pub trait Aggregate: Send + Sync + 'static {
    /// What the events of a stream are folded into; its default is the state before the first event. It is kept as
    /// JSON, which must read back as the same state.
    type State: Default + Clone + Serialize + DeserializeOwned + Send + Sync + fmt::Debug + 'static;

    /// Its name in commands, errors and ledgers, unique in a project.
    fn name(&self) -> &str;

    /// Changes when, and only when, it may fold events into something else, or its state has another form.
    fn fingerprint(&self) -> &str;

    /// Which streams and events it understands.
    fn understood(&self) -> &Understood;

    /// Folds the next event of a stream in. Fails where it can't; the state is then discarded.
    fn apply(&self, state: &mut Self::State, event: &Event) -> Result<(), Reason>;
}

/// The state of a stream, as it was after one of its events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The stream.
    pub stream: StreamName,
    /// The last event that is in the state.
    pub revision: Revision,
    /// That event's position.
    pub position: Position,
    /// The fingerprint of the rules and the fold that made it. A state of another fingerprint must not be gone on
    /// with.
    pub fingerprint: String,
    /// The state, in JSON.
    pub state: String,
}

impl Snapshot {
    /// The snapshot as a row of [`Table::of_snapshots`].
    pub fn to_row(&self) -> Result<Row, Reason> {
        Ok(Row(Box::new([
            Value::text(self.stream.as_str()),
            revision_value(self.revision)?,
            Value::text(self.position.to_string()),
            Value::text(self.fingerprint.as_str()),
            Value::Json(self.state.as_str().into()),
        ])))
    }

    /// The snapshot in a row of [`Table::of_snapshots`].
    pub fn from_row(row: &Row) -> Result<Self, Reason> {
        let unreadable = || Reason::new("a row of a snapshot can't be read back");
        let [Value::Text(stream), Value::Integer(revision), Value::Text(position), Value::Text(fingerprint), state] =
            &*row.0
        else {
            return Err(unreadable());
        };
        Ok(Self {
            stream: stream.parse().map_err(Reason::new)?,
            revision: Revision(u64::try_from(*revision).map_err(|_| unreadable())?),
            position: position.parse().map_err(Reason::new)?,
            fingerprint: fingerprint.to_string(),
            state: state.json()?.into(),
        })
    }
}

/// A snapshot's row with its revision and position brought up to an event; a new one where there is none. The state is
/// null in a new one, and else what it was. The fingerprint is left to whoever writes the row: it is that of the
/// rules that the events went through as well.
pub fn snapshot_row<'r>(row: &'r mut Option<Row>, event: &Event) -> Result<&'r mut Row, Reason> {
    let row = row.get_or_insert_with(|| {
        Row(Box::new([Value::text(event.stream.as_str()), Value::Null, Value::Null, Value::Null, Value::Null]))
    });
    row.0[columns::REVISION] = revision_value(event.revision)?;
    row.0[columns::POSITION] = Value::text(event.position.to_string());
    Ok(row)
}

fn revision_value(revision: Revision) -> Result<Value, Reason> {
    let number = i64::try_from(revision.0);
    number.map(Value::Integer).map_err(|_| Reason::new(format_args!("revision {revision} does not fit into 64 bits")))
}

/// An aggregate as a projection: of its snapshots' table, one row a stream.
pub struct Snapshots<A> {
    aggregate: Arc<A>,
    tables: [Table; 1],
}

impl<A: Aggregate> Snapshots<A> {
    /// The snapshots of an aggregate in the table `<name>_snapshots`.
    pub fn of(aggregate: A) -> Self {
        let tables = [Table::of_snapshots(format!("{}_snapshots", aggregate.name()))];
        Self { aggregate: Arc::new(aggregate), tables }
    }

    /// The same, in another table.
    pub fn in_table(self, name: &str) -> Self {
        Self { tables: [Table::of_snapshots(name)], ..self }
    }

    /// The aggregate.
    pub fn aggregate(&self) -> &A {
        &self.aggregate
    }
}

impl<A: Aggregate> Projection for Snapshots<A> {
    fn name(&self) -> &str {
        self.aggregate.name()
    }

    fn fingerprint(&self) -> &str {
        self.aggregate.fingerprint()
    }

    fn understood(&self) -> &Understood {
        self.aggregate.understood()
    }

    fn tables(&self) -> &[Table] {
        &self.tables
    }

    fn project(&self, event: &mut EventView<'_>, changes: &mut Changes) -> Result<(), Reason> {
        let aggregate = Arc::clone(&self.aggregate);
        let key = RowKey::text(event.event().stream.as_str());
        changes.change(0, key, move |event, row| {
            let row = snapshot_row(row, event)?;
            let mut state = kept_state::<A>(&mut row.0[columns::STATE])?;
            let kept = state.as_any_mut().downcast_mut::<TypedState<A::State>>();
            let kept = kept.ok_or_else(|| Reason::new("the state belongs to another aggregate"))?;
            aggregate.apply(&mut kept.state, event)?;
            kept.measure();
            row.0[columns::STATE] = Value::Kept(state);
            Ok(())
        });
        Ok(())
    }
}

/// Takes the state out of its column.
fn kept_state<A: Aggregate>(column: &mut Value) -> Result<Box<dyn KeptState>, Reason> {
    match std::mem::take(column) {
        Value::Kept(kept) => Ok(kept),
        Value::Json(text) => {
            let state: A::State = serde_json::from_str(&text).map_err(|error| {
                Reason::new(format_args!("the snapshot can't be read as the aggregate's state: {error}"))
            })?;
            Ok(Box::new(TypedState { state, applied: 0, size: text.len() }))
        }
        _ => Ok(Box::new(TypedState { state: A::State::default(), applied: 0, size: 0 })),
    }
}

/// A state that knows how to become JSON.
#[derive(Clone, Debug)]
struct TypedState<S> {
    state: S,
    /// How often it has changed.
    applied: u64,
    /// How long its JSON was when it was measured last.
    size: usize,
}

impl<S: Clone + Serialize + Send + Sync + fmt::Debug + 'static> TypedState<S> {
    /// Measures the state after the first, second, fourth, eighth … change: what it holds on the heap is not known
    /// without writing it, and writing it every time would cost more than folding.
    fn measure(&mut self) {
        self.applied += 1;
        if self.applied.is_power_of_two() {
            self.size = serde_json::to_vec(&self.state).map_or(self.size, |json| json.len());
        }
    }
}

impl<S: Clone + Serialize + Send + Sync + fmt::Debug + 'static> KeptState for TypedState<S> {
    fn json(&self) -> Result<String, Reason> {
        let written = serde_json::to_string(&self.state);
        written.map_err(|error| Reason::new(format_args!("the state can't be written as JSON: {error}")))
    }

    fn copy(&self) -> Box<dyn KeptState> {
        Box::new(self.clone())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.size
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
