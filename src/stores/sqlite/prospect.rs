//! A database as it is before anything is written to it.

use std::time::Duration;

use eventlift_events::{Event, EventOrigin, Fitness, Position, StoreError, StoreIdentity};

use super::config::SqliteConfig;
use super::layout::{self, Content};
use super::reader::capabilities;
use super::writer::{refuse_others, refuse_unwritable, row_numbers};
use crate::ledger::{self, LedgerDatabase};
use crate::stores::prospect::Prospect;

/// Whether a row can hold an event.
struct SqliteFitness {
    display: String,
}

impl Fitness for SqliteFitness {
    fn check(&mut self, event: &Event, _: Option<&EventOrigin>) -> Result<(), StoreError> {
        row_numbers(event, &self.display).map(|_| ())
    }
}

impl SqliteConfig {
    /// Looks at the database as a target, without changing or making it. Fails where a writer would not open it.
    pub(in crate::stores) fn prospect(&self) -> Result<Prospect, StoreError> {
        let display = self.display();
        let fitness = SqliteFitness { display: display.clone() };
        refuse_unwritable(&self.path, &display)?;
        if !self.path.exists() {
            let identity = StoreIdentity { key: display.clone(), display };
            return Ok(Prospect::new(identity, capabilities(true)).asking(fitness));
        }
        let failed = |error| ledger::store_error("open", &display, error);
        let connection = ledger::open_to_read(&self.path, Duration::from_secs(5)).map_err(failed)?;
        let content = layout::content(&connection).map_err(failed)?;
        refuse_others(content, &display)?;
        let prospect = Prospect::new(self.identity()?, capabilities(true)).asking(fitness);
        if content == Content::Nothing {
            return Ok(prospect);
        }
        let last: Option<i64> =
            connection.query_row("SELECT max(position) FROM events", [], |row| row.get(0)).map_err(failed)?;
        let last = last.map(|number| Position::new(number.unsigned_abs()));
        let ledger = LedgerDatabase::look_at(&self.path, &display)?;
        Ok(prospect.holding(last.is_none(), last).recorded_in(ledger.map(|ledger| Box::new(ledger) as _)))
    }
}
