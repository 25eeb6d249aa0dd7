//! The ledger and the holds of a store of read models, in memory. It builds nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use eventlift::events::{Position, StoreErrorKind, StoreIdentity};
use eventlift::projections::{
    Build, Builds, Hold, Origin, Quarantined, ReadModelStore, RebuildAction, RebuildOutcome, RebuildRun, Row, RowKey,
    Side, Step, Table,
};
use eventlift::{StoreError, Timestamp};

pub(super) struct Ledger {
    identity: StoreIdentity,
    runs: Mutex<Vec<RebuildRun>>,
    held: Arc<Mutex<BTreeSet<String>>>,
    pub(super) is_unreadable: Mutex<bool>,
}

#[derive(Debug)]
struct Held(String, Arc<Mutex<BTreeSet<String>>>);

impl Hold for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.1.lock().unwrap().remove(&self.0);
    }
}

/// A run that ended at its due time.
pub(super) fn run(projection: &str, due: Timestamp, outcome: RebuildOutcome) -> RebuildRun {
    RebuildRun {
        number: 0,
        projection: projection.to_owned(),
        action: RebuildAction::Rebuild,
        reason: "scheduled".to_owned(),
        schedule: Some(("nightly".to_owned(), due)),
        outcome,
        begun_at: due,
        updated_at: due,
        events: 0,
        rows: 0,
    }
}

impl Ledger {
    pub(super) fn new() -> Arc<Self> {
        let identity = StoreIdentity { display: "memory".to_owned(), key: "memory".to_owned() };
        let (runs, held, is_unreadable) = Default::default();
        Arc::new(Self { identity, runs, held, is_unreadable })
    }

    /// The due times of the runs that are done, in their order.
    pub(super) fn done(&self) -> Vec<String> {
        let runs = self.runs.lock().unwrap();
        let done = runs.iter().filter(|run| run.outcome == RebuildOutcome::Done);
        done.map(|run| format!("{} {}", run.projection, run.schedule.as_ref().unwrap().1)).collect()
    }

    fn refused(&self) -> StoreError {
        StoreError::new("change", &self.identity, StoreErrorKind::Unsupported("only a ledger".to_owned()))
    }
}

#[async_trait]
impl ReadModelStore for Ledger {
    fn identity(&self) -> &StoreIdentity {
        &self.identity
    }

    async fn hold(&self, projection: &str) -> Result<Box<dyn Hold>, StoreError> {
        match self.held.lock().unwrap().insert(projection.to_owned()) {
            true => Ok(Box::new(Held(projection.to_owned(), Arc::clone(&self.held)))),
            false => Err(StoreError::new("hold", projection, StoreErrorKind::Locked("held".to_owned()))),
        }
    }

    async fn is_held(&self, projection: &str) -> Result<bool, StoreError> {
        Ok(self.held.lock().unwrap().contains(projection))
    }

    async fn projections(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }

    async fn builds(&self, _: &str) -> Result<Builds, StoreError> {
        Ok(Builds::default())
    }

    async fn begin(&self, _: &str, _: &Origin, _: &[Table]) -> Result<Build, StoreError> {
        Err(self.refused())
    }

    async fn load(&self, _: &str, _: usize, _: Vec<Row>) -> Result<(), StoreError> {
        Err(self.refused())
    }

    async fn complete(&self, _: &str, _: Option<Position>, _: u64, _: &[Quarantined]) -> Result<(), StoreError> {
        Err(self.refused())
    }

    async fn step(&self, _: Side, _: &str, _: &Step) -> Result<(), StoreError> {
        Err(self.refused())
    }

    async fn rows(&self, _: Side, _: &str, _: usize, _: &[RowKey]) -> Result<Vec<Option<Row>>, StoreError> {
        Err(self.refused())
    }

    async fn scan(&self, _: Side, _: &str, _: usize, _: Option<&RowKey>, _: usize) -> Result<Vec<Row>, StoreError> {
        Err(self.refused())
    }

    async fn swap(&self, _: &[&str]) -> Result<(), StoreError> {
        Err(self.refused())
    }

    async fn undo(&self, _: &[&str]) -> Result<(), StoreError> {
        Err(self.refused())
    }

    async fn drop_previous(&self, _: &str) -> Result<bool, StoreError> {
        Err(self.refused())
    }

    async fn discard(&self, _: &str) -> Result<(), StoreError> {
        Err(self.refused())
    }

    async fn quarantined(&self, _: Side, _: &str) -> Result<Vec<Quarantined>, StoreError> {
        Ok(Vec::new())
    }

    async fn record_run(&self, run: &RebuildRun) -> Result<u64, StoreError> {
        let mut runs = self.runs.lock().unwrap();
        let number = if run.number == 0 { runs.len() as u64 + 1 } else { run.number };
        runs.retain(|other| other.number != number);
        runs.push(RebuildRun { number, ..run.clone() });
        runs.sort_by_key(|run| run.number);
        Ok(number)
    }

    async fn runs(&self) -> Result<Vec<RebuildRun>, StoreError> {
        match *self.is_unreadable.lock().unwrap() {
            true => {
                Err(StoreError::new("read", &self.identity, StoreErrorKind::Locked("busy".to_owned())).hint("wait"))
            }
            false => Ok(self.runs.lock().unwrap().clone()),
        }
    }
}
