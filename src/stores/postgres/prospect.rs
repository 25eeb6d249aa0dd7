//! A table as it is before anything is written to it.

use eventlift_events::{Event, EventOrigin, Fitness, Position, StoreError};
use sqlx::AssertSqlSafe;

use super::config::PostgresConfig;
use super::connection::connect;
use super::failure::{Place, store_error};
use super::identity::identity;
use super::layout::{self, EventsTable};
use super::looked_at::PostgresLedger;
use super::relation::Relation;
use super::row_fitness::RowFitness;
use crate::stores::prospect::Prospect;

/// Whether a table can hold an event.
struct TableFitness {
    display: Place,
    table: EventsTable,
}

impl Fitness for TableFitness {
    fn check(&mut self, event: &Event, _: Option<&EventOrigin>) -> Result<(), StoreError> {
        let Self { display, table } = self;
        RowFitness { display, data: table.data, metadata: table.metadata }.check(event)
    }
}

impl PostgresConfig {
    /// Looks at the table as a target, without changing or making it. Fails where nobody answers, and where a table is
    /// there that a writer would not take.
    pub(in crate::stores) async fn prospect(&self) -> Result<Prospect, StoreError> {
        let display = self.place();
        let mut connection = connect(&self.server, &display).await?;
        let identity = identity(&mut connection, self).await?;
        let found = layout::table(&mut connection, self).await?;
        let is_there = found.is_some();
        let relation = Relation::new(&self.schema, &self.table);
        let table = found.unwrap_or(EventsTable { relation, data: self.data, metadata: self.metadata });
        let capabilities = layout::capabilities(&table, true);
        let last: Option<i64> = match is_there {
            true => {
                let statement = format!("SELECT max(position) FROM {}", table.relation);
                let query = sqlx::query_scalar(AssertSqlSafe(statement));
                query.fetch_one(&mut connection).await.map_err(|error| store_error("read", &display, error))?
            }
            false => None,
        };
        let last = last.map(|number| Position::new(number.unsigned_abs()));
        let ledger = PostgresLedger::look_at(self.clone()).await?;
        let fitness = TableFitness { display: display.written(), table };
        let prospect = Prospect::new(identity, capabilities).asking(fitness).holding(last.is_none(), last);
        Ok(prospect.recorded_in(ledger.map(|ledger| Box::new(ledger) as _)))
    }
}
