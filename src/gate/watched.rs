//! The ledger that a gate looks at: one that is handed in, or one that is opened, and opened again after it failed.

use std::sync::Arc;

use eventlift_events::{CheckpointStore, StoreError};

use crate::cutover::CutOver;
use crate::pipeline::last_that_fills;
#[cfg(any(feature = "sqlite", feature = "file"))]
use crate::stores::StoreConfig;

/// Where cut-overs are looked up.
pub(super) enum Watched {
    Given(Arc<dyn CheckpointStore>),
    #[cfg(any(feature = "sqlite", feature = "file"))]
    Opened(Box<StoreConfig>, tokio::sync::Mutex<Option<Box<dyn CheckpointStore>>>),
}

impl Watched {
    /// The cut-over of the last run; none where there is no ledger, no run, or no cut-over.
    pub(super) async fn cut_over(&self) -> Result<Option<CutOver>, StoreError> {
        match self {
            Self::Given(ledger) => of_last_run(&**ledger).await,
            #[cfg(any(feature = "sqlite", feature = "file"))]
            Self::Opened(store, open) => {
                // Taken out, so that a ledger that fails, or whose look was given up, is opened anew.
                let ledger = match open.lock().await.take() {
                    Some(ledger) => ledger,
                    None => match store.ledger().await? {
                        Some(ledger) => ledger,
                        None => return Ok(None),
                    },
                };
                let found = of_last_run(&*ledger).await?;
                *open.lock().await = Some(ledger);
                Ok(found)
            }
        }
    }
}

async fn of_last_run(ledger: &dyn CheckpointStore) -> Result<Option<CutOver>, StoreError> {
    match last_that_fills(ledger.runs().await?) {
        Some(run) => CutOver::of(ledger, run.id).await,
        None => Ok(None),
    }
}
