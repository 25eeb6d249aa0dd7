//! Loading ranges of positions on connections of their own, while the store is loading.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use eventlift_events::{Event, LoadRange, NoteChange, RangeWriter, RunId, StoreError, StoreErrorKind};
use sqlx::postgres::PgConnection;

use super::append::{Along, Appender};
use super::config::PostgresConfig;
use super::failure::Place;
use super::proof::Seen;
use super::session::{Session, connect_to_write, roll_back};
use super::writer::{Loaded, lock};

/// Loads ranges under the epoch of the writer it comes from. Once an append's outcome is unknown it takes no more: the
/// store is to be opened again, so that what it left behind can't commit.
pub(super) struct PostgresRangeWriter {
    display: Place,
    connection: Option<PgConnection>,
    appender: Appender,
    loaded: Arc<Mutex<Loaded>>,
    /// The range that is being loaded, from its start on.
    current: Option<(RunId, u32, Seen)>,
}

impl PostgresRangeWriter {
    pub(super) async fn open(
        config: &PostgresConfig,
        session: &Session,
        loaded: Arc<Mutex<Loaded>>,
    ) -> Result<Self, StoreError> {
        let display = config.place();
        let connection = connect_to_write(config, &display).await?;
        let appender = Appender::new(session.fence(), session.table.clone(), session.sequence.clone());
        Ok(Self { display, connection: Some(connection), appender, loaded, current: None })
    }

    /// Takes note of what was appended, and of the range once it is whole.
    fn observe(&mut self, events: &[Event], run: RunId, range: &LoadRange) {
        let (_, _, seen) = match &mut self.current {
            Some(current) if (current.0, current.1) == (run, range.index) => current,
            // Of a range that another writer began, the start is missing; then its events are not all seen, and their
            // number tells.
            current => current.insert((run, range.index, Seen::default())),
        };
        seen.events(events);
        let mut loaded = lock(&self.loaded);
        loaded.reached(events);
        if range.is_complete
            && let Some((_, _, seen)) = self.current.take()
        {
            loaded.proof.range(*range, seen);
        }
    }
}

#[async_trait]
impl RangeWriter for PostgresRangeWriter {
    async fn append(
        &mut self,
        events: &[Event],
        run: RunId,
        range: &LoadRange,
        notes: &[NoteChange],
    ) -> Result<(), StoreError> {
        let Some(mut connection) = self.connection.take() else {
            let gone = std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "an append before failed");
            return Err(StoreError::new("append to", &self.display, StoreErrorKind::Unavailable(Box::new(gone)))
                .hint("open the store again"));
        };
        let result = self.appender.append(&mut connection, events, Along::Range(run, range, notes)).await;
        match &result {
            Ok(()) => {
                self.connection = Some(connection);
                self.observe(events, run, range);
            }
            Err(error) => {
                *lock(&self.loaded) = Loaded::unknown();
                if !error.may_pass() && roll_back(&mut connection).await {
                    self.connection = Some(connection);
                }
            }
        }
        result
    }
}
