//! A server as a target, before anything is written to it.

use eventlift_events::{Event, EventOrigin, Fitness, Guarantees, StoreError, StoreErrorKind, StoreIdentity};

use super::config::{KurrentConfig, Order, StreamMetadata};
use super::courier::messages;
use super::originals::{Originals, carried_as};
use super::plan::{Planner, Step};
use super::reader::capabilities;
use crate::ledger::LedgerDatabase;
use crate::stores::prospect::Prospect;

/// Whether the server can take an event, as far as its client knows.
struct ServerFitness {
    originals: Originals,
    order: Order,
    stream_metadata: StreamMetadata,
    display: String,
}

impl Fitness for ServerFitness {
    fn check(&mut self, event: &Event, origin: Option<&EventOrigin>) -> Result<(), StoreError> {
        let Self { originals, order, stream_metadata, display } = self;
        let planner = Planner { originals, order: *order, stream_metadata: *stream_metadata, display };
        let plan = planner.plan(std::slice::from_ref(event), origin.map(std::slice::from_ref).unwrap_or_default())?;
        for lane in &plan.lanes {
            for step in &lane.steps {
                if let Step::Events(entries) = step {
                    messages(display, &lane.stream, entries)?;
                }
            }
        }
        Ok(())
    }
}

impl KurrentConfig {
    /// What can be told of it without the server: its own limits are found out by appending.
    pub(in crate::stores) fn prospect(&self) -> Result<Prospect, StoreError> {
        let identity = StoreIdentity { display: self.to_string(), key: self.server.key() };
        let unexpected = |problem: String| StoreError::new("open", &identity, StoreErrorKind::Unexpected(problem));
        let originals = Originals::new(&self.metadata).map_err(|problem| unexpected(problem.to_string()))?;
        let writing = carried_as(self).map_err(|problem| unexpected(problem.to_string()))?;
        let (order, stream_metadata) = (self.order(), self.stream_metadata());
        let can = capabilities(Some(order));
        let can = eventlift_events::Capabilities {
            guarantees: Guarantees { dense_revisions: true, ..can.guarantees },
            ..can
        };
        let ledger = LedgerDatabase::look_at(&self.ledger, identity.display.clone())?;
        let display = identity.display.clone();
        let fitness = ServerFitness { originals, order, stream_metadata, display };
        let prospect = Prospect::new(identity, can).asking(fitness).writing(writing);
        Ok(prospect.recorded_in(ledger.map(|ledger| Box::new(ledger) as _)))
    }
}
