//! What a projection is: from an event to changes of rows.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use eventlift_events::{Event, Needed};
use eventlift_language::Reason;
use smallvec::SmallVec;

use crate::rollup::Rollup;
use crate::row::{Row, RowKey};
use crate::table::Table;
use crate::understood::Understood;
use crate::value::Value;
use crate::view::EventView;

/// A pure fold of events into the rows of one or several tables.
///
/// It is asked in two steps, so that the first can run for many events at the same time: [`project`](Self::project)
/// says which rows an event changes and how, knowing only the event; the changes are then made row by row, each row's
/// in the order of the events. Neither may depend on anything but the event and the row.
pub trait Projection: Send + Sync {
    /// Its name in commands, errors and ledgers, unique in a project.
    fn name(&self) -> &str;

    /// Changes when, and only when, it may fold events into something else: a hash of the definition, or of the
    /// version that the author of the code declares.
    fn fingerprint(&self) -> &str;

    /// Which events it understands. [`project`](Self::project) is called only with those that it folds.
    fn understood(&self) -> &Understood;

    /// What it looks into of the events that it folds. The rest may be left out of those that it is given.
    fn needed(&self) -> Needed {
        Needed::ALL
    }

    /// Its tables, at least one. They belong to it alone.
    fn tables(&self) -> &[Table];

    /// Which of its tables are summed up from the rows of others; no event changes those.
    fn rollups(&self) -> &[Rollup] {
        &[]
    }

    /// Whether events may [move](RowChange::moves) rows of a table to other keys. One that says no must not: an event that
    /// does is not folded. Neither tables that are summed up nor snapshots of states have rows that move.
    fn moves_rows(&self, table: usize) -> bool {
        let _ = table;
        false
    }

    /// Names the rows that an event changes, and how, in `changes`. Of the changes of one event to one row, the
    /// earlier is made first. Fails where the event can't be folded; nothing of the event is then.
    fn project(&self, event: &mut EventView<'_>, changes: &mut Changes) -> Result<(), Reason>;
}

/// How a row changes.
pub struct Change(How);

type AnyChange = Box<dyn FnOnce(&Event, &mut Option<Row>) -> Result<(), Reason> + Send>;

enum How {
    Any(AnyChange),
    Prepared(Arc<dyn Prepared>, Given),
}

/// What changes rows in a way that differs from event to event in what is given alone. Unlike a closure, such a change
/// takes no allocation of its own.
pub(crate) trait Prepared: Send + Sync {
    /// As [`Change::make`].
    fn make(&self, given: Given, event: &Event, key: &RowKey, row: &mut Option<Row>) -> Result<(), Reason>;
}

/// What is known of an event before the row is.
pub(crate) struct Given {
    /// Usually few, which then need no allocation.
    pub(crate) operands: SmallVec<[Operand; 4]>,
    /// The item that it is made for, where that is looked into.
    pub(crate) item: Option<Box<str>>,
}

/// What an operation works with.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Value(Value),
    /// Text that stands at this place in the event's data: it is copied only where a row takes it.
    InData(Range<u32>),
}

impl Change {
    /// A change by any code. It is given the event and the row of the key, `None` where there is none, and leaves the
    /// row as it shall be, `None` to delete it. Where it fails, what it leaves is thrown away.
    pub fn new(change: impl FnOnce(&Event, &mut Option<Row>) -> Result<(), Reason> + Send + 'static) -> Self {
        Self(How::Any(Box::new(change)))
    }

    /// Changes the row of a key, `None` where there is none; it then is as it shall be, `None` where it is deleted. Takes
    /// the event and the key that it was named with. Fails where the event can't be folded; what the row is then is to be
    /// thrown away.
    pub fn make(self, event: &Event, key: &RowKey, row: &mut Option<Row>) -> Result<(), Reason> {
        match self.0 {
            How::Any(change) => change(event, row),
            How::Prepared(prepared, given) => prepared.make(given, event, key, row),
        }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").finish_non_exhaustive()
    }
}

/// The changes that an event makes, in order.
#[derive(Default)]
pub struct Changes {
    changes: Vec<RowChange>,
}

/// One change of one row.
pub struct RowChange {
    /// The place of the table among [`Projection::tables`].
    pub table: usize,
    /// The row.
    pub key: RowKey,
    /// How it changes.
    pub change: Change,
    /// Where it goes behind the change; none where it stays.
    pub moves: Option<Move>,
}

/// A row's way to another key of its table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    /// The key that it gets.
    pub to: RowKey,
    /// What happens where there is a row of that key.
    pub taken: Taken,
}

/// What happens where a row is to get the key of another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Taken {
    /// The event can't be folded.
    #[default]
    Fail,
    /// Nothing: both rows stay what and where they are.
    Skip,
    /// The row that was there goes.
    Replace,
}

impl Move {
    /// Makes a change in the row of a key, and brings the row to the other key, whose row is `other`. Where it fails, what
    /// the rows are is to be thrown away.
    pub fn make(
        &self,
        change: Change,
        event: &Event,
        table: &Table,
        (key, row): (&RowKey, &mut Option<Row>),
        other: &mut Option<Row>,
    ) -> Result<(), Reason> {
        if self.to == *key {
            return change.make(event, key, row);
        }
        let before = (other.is_some() && self.taken == Taken::Skip).then(|| row.clone());
        change.make(event, key, row)?;
        let Some(mut moved) = row.take() else { return Ok(()) };
        match self.taken {
            Taken::Fail if other.is_some() => return Err(self.is_taken(table)),
            Taken::Skip if other.is_some() => {
                *row = before.flatten();
                return Ok(());
            }
            Taken::Fail | Taken::Skip | Taken::Replace => {}
        }
        for (place, value) in table.key.iter().zip(self.to.values(&table.key_types())?) {
            let part = moved.0.get_mut(*place);
            *part.ok_or_else(|| Reason::new(format_args!("a row of the table `{}` lacks columns", table.name)))? =
                value;
        }
        *other = Some(moved);
        Ok(())
    }

    fn is_taken(&self, table: &Table) -> Reason {
        let key = self.to.shown(table);
        Reason::new(format_args!("`{}` has a row with {key} already", table.name))
            .hint("`taken = \"replace\"` puts the row in its place, `taken = \"skip\"` leaves both")
    }
}

impl RowChange {
    /// Fails where the projection that names it has no such table, or moves a row of one whose rows it says
    /// [stay](Projection::moves_rows).
    pub fn prove(&self, projection: &dyn Projection) -> Result<(), Reason> {
        let table = self.table;
        if table >= projection.tables().len() {
            return Err(Reason::new(format_args!("it has no table of the number {table}")));
        }
        if self.moves.is_some() && !projection.moves_rows(table) {
            return Err(Reason::new(format_args!("it moves rows of the table {table}, and says that it does not")));
        }
        Ok(())
    }

    /// [Makes](Change::make) it in its row, where it does not move that.
    pub fn make(self, event: &Event, row: &mut Option<Row>) -> Result<(), Reason> {
        self.change.make(event, &self.key, row)
    }
}

impl Changes {
    /// No changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes a row in any way.
    pub fn change(
        &mut self,
        table: usize,
        key: RowKey,
        change: impl FnOnce(&Event, &mut Option<Row>) -> Result<(), Reason> + Send + 'static,
    ) {
        self.changes.push(RowChange { table, key, change: Change::new(change), moves: None });
    }

    /// Changes a row in a prepared way.
    pub(crate) fn prepared(
        &mut self,
        table: usize,
        key: RowKey,
        how: Arc<dyn Prepared>,
        given: Given,
        moves: Option<Move>,
    ) {
        self.changes.push(RowChange { table, key, change: Change(How::Prepared(how, given)), moves });
    }

    /// Changes a row in any way and brings it to another key. Only for tables of which
    /// [`moves_rows`](Projection::moves_rows) says so.
    pub fn change_and_move(
        &mut self,
        table: usize,
        key: RowKey,
        moves: Move,
        change: impl FnOnce(&Event, &mut Option<Row>) -> Result<(), Reason> + Send + 'static,
    ) {
        self.changes.push(RowChange { table, key, change: Change::new(change), moves: Some(moves) });
    }

    /// Puts a whole row where its key says, over the one that is there. Fails where a part of the key is null.
    pub fn put(&mut self, table: usize, of: &Table, row: Row) -> Result<(), Reason> {
        let key = row.key(of)?;
        self.change(table, key, move |_, current| {
            *current = Some(row);
            Ok(())
        });
        Ok(())
    }

    /// Deletes a row, if it is there.
    pub fn delete(&mut self, table: usize, key: RowKey) {
        self.change(table, key, |_, current| {
            *current = None;
            Ok(())
        });
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.changes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Takes back those behind the first `length`.
    pub fn truncate(&mut self, length: usize) {
        self.changes.truncate(length);
    }

    /// Takes all of them out, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = RowChange> + '_ {
        self.changes.drain(..)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.changes.iter().map(|change| (change.table, &change.key))).finish()
    }
}
