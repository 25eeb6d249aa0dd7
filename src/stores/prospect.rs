//! A target as it is before anything is written to it: what decides where a run would begin, and what it can hold.

use std::fmt;
use std::sync::{Arc, Mutex};

use eventlift_events::{Capabilities, CheckpointStore, Fitness, Guarantees, Position, StoreIdentity};

/// What can be told about a target without opening it for writing. Cheap to clone.
#[derive(Clone)]
pub struct Prospect {
    /// Which store it is. Of one that is not there yet, its name is its key.
    pub identity: StoreIdentity,
    /// What it can do.
    pub capabilities: Capabilities,
    /// How its writer writes events down, as [`EventWriter::writing`](eventlift_events::EventWriter::writing).
    pub writing: String,
    /// Whether it holds no event.
    pub is_empty: bool,
    /// The position of its last event.
    pub last_position: Option<Position>,
    /// Its ledger, which is only read; none where no run was ever recorded.
    pub ledger: Option<Arc<dyn CheckpointStore>>,
    /// Whether it can hold an event; none where it takes any.
    pub fitness: Option<Arc<Mutex<dyn Fitness>>>,
}

impl Prospect {
    /// A store without events and without a ledger, that takes any event.
    pub fn new(identity: StoreIdentity, capabilities: Capabilities) -> Self {
        let (writing, ledger, fitness) = (String::new(), None, None);
        Self { identity, capabilities, writing, is_empty: true, last_position: None, ledger, fitness }
    }

    /// Nowhere: what can be told where there is no target, or none that can be looked at.
    pub fn nowhere() -> Self {
        let nowhere = "no target".to_owned();
        let capabilities = Capabilities {
            transactions: true,
            global_order: true,
            explicit_positions: true,
            sets_time: true,
            attributes: true,
            exact_data: true,
            exact_metadata: true,
            max_append_bytes: None,
            refuses_taken_ids: true,
            guarantees: Guarantees { unique_ids: true, unique_revisions: true, dense_revisions: false },
        };
        Self::new(StoreIdentity { display: nowhere.clone(), key: nowhere }, capabilities)
    }

    /// The same, with somebody who knows what it can hold.
    pub fn asking(self, fitness: impl Fitness + 'static) -> Self {
        Self { fitness: Some(Arc::new(Mutex::new(fitness))), ..self }
    }

    /// The same, with what it holds.
    pub fn holding(self, is_empty: bool, last_position: Option<Position>) -> Self {
        Self { is_empty, last_position, ..self }
    }

    /// The same, with its ledger.
    pub fn recorded_in(self, ledger: Option<Box<dyn CheckpointStore>>) -> Self {
        Self { ledger: ledger.map(Arc::from), ..self }
    }

    /// The same, writing events down in its own way.
    pub fn writing(self, writing: String) -> Self {
        Self { writing, ..self }
    }

    /// The same store, as if it had just been made.
    pub fn as_new(&self) -> Self {
        Self { is_empty: true, last_position: None, ledger: None, ..self.clone() }
    }
}

impl fmt::Debug for Prospect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prospect({}, last {:?})", self.identity, self.last_position)
    }
}
