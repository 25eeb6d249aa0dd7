//! What a projection is: from an event to changes of rows.

use std::fmt;

use eventlift_events::{Event, Needed};
use eventlift_language::Reason;

use crate::rollup::Rollup;
use crate::row::{Row, RowKey};
use crate::table::Table;
use crate::understood::Understood;
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

    /// Names the rows that an event changes, and how, in `changes`. Of the changes of one event to one row, the
    /// earlier is made first. Fails where the event can't be folded; nothing of the event is then.
    fn project(&self, event: &mut EventView<'_>, changes: &mut Changes) -> Result<(), Reason>;
}

/// How a row changes. It is given the event and the row of the key, `None` where there is none, and leaves the row as it
/// shall be, `None` to delete it. Where it fails, what it leaves is thrown away.
pub type Change = Box<dyn FnOnce(&Event, &mut Option<Row>) -> Result<(), Reason> + Send>;

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
        self.changes.push(RowChange { table, key, change: Box::new(change) });
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
