//! Summing up the rows of a table, as a fold of its own: the rows are its events.

use std::sync::Arc;

use eventlift_events::{
    Bytes, ContentType, Event, EventId, EventType, InvalidName, Payload, Position, Revision, SchemaVersion, StreamName,
    Timestamp,
};
use eventlift_projections::{Changes, EventView, Projection, Rollup, Row, Table, Understood};
use eventlift_transformers::Reason;

use super::error::RebuildError;
use super::fold::{Fold, Folded};
use super::options::{FailurePolicy, FoldOptions};

/// A roll-up under way: it is shown every row of the table that it is of.
pub(super) struct RollingUp {
    rollup: Rollup,
    fold: Fold,
    stream: StreamName,
    event_type: EventType,
    seen: u64,
}

impl RollingUp {
    /// Begins a roll-up among the tables of a projection.
    pub(super) fn begin(
        projection: &Arc<dyn Projection>,
        rollup: &Rollup,
        options: &FoldOptions,
    ) -> Result<Self, RebuildError> {
        let name = format!("{} → {}", projection.name(), projection.tables()[rollup.table].name);
        let unreadable =
            |error: InvalidName| RebuildError::Unreadable { table: name.clone(), reason: Reason::new(error) };
        let stream = StreamName::new(name.clone()).map_err(unreadable)?;
        let event_type = EventType::new("Row").map_err(unreadable)?;
        let summing: Arc<dyn Projection> = Arc::new(Summing {
            name: name.clone(),
            understood: Understood::default().folding(event_type.clone(), SchemaVersion::FIRST),
            of: projection.tables()[rollup.of].clone(),
            made: Arc::new([projection.tables()[rollup.table].clone()]),
            rollup: rollup.clone(),
        });
        // What can't be summed up is no event that could wait: without it the sums are wrong.
        let options = FoldOptions { folder: None, on_failure: FailurePolicy::Stop, ..options.clone() };
        let fold = Fold::begin(vec![summing], "", &options)?;
        Ok(Self { rollup: rollup.clone(), fold, stream, event_type, seen: 0 })
    }

    /// The place of the table that is made.
    pub(super) fn table(&self) -> usize {
        self.rollup.table
    }

    /// The place of the table that it is shown the rows of.
    pub(super) fn of(&self) -> usize {
        self.rollup.of
    }

    /// Takes the next rows.
    pub(super) async fn push(&mut self, rows: &[Row]) -> Result<(), RebuildError> {
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            let mut bytes = Vec::new();
            let unreadable = |reason| RebuildError::Unreadable { table: self.stream.to_string(), reason };
            row.encode(&mut bytes).map_err(unreadable)?;
            self.seen += 1;
            events.push(Event {
                id: EventId::text(self.seen.to_string()).map_err(|error| unreadable(Reason::new(error)))?,
                stream: self.stream.clone(),
                revision: Revision(self.seen),
                position: Position::new(self.seen),
                event_type: self.event_type.clone(),
                version: SchemaVersion::FIRST,
                data: Payload::new(bytes, ContentType::parse("application/octet-stream")),
                metadata: Payload::empty(),
                recorded_at: Timestamp::EPOCH,
                attributes: Bytes::new(),
            });
        }
        match events.is_empty() {
            true => Ok(()),
            false => self.fold.push(events, Position::new(self.seen)).await,
        }
    }

    /// What came of it: one projection with one table.
    pub(super) async fn finish(self) -> Result<Folded, RebuildError> {
        self.fold.finish().await
    }
}

/// A roll-up as a projection of rows.
struct Summing {
    name: String,
    understood: Understood,
    of: Table,
    made: Arc<[Table; 1]>,
    rollup: Rollup,
}

impl Projection for Summing {
    fn name(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> &str {
        ""
    }

    fn understood(&self) -> &Understood {
        &self.understood
    }

    fn tables(&self) -> &[Table] {
        &*self.made
    }

    fn project(&self, event: &mut EventView<'_>, changes: &mut Changes) -> Result<(), Reason> {
        let row = Row::decode(&self.of, event.event().data.bytes())?;
        let Some(group) = self.rollup.group_of(&row)? else { return Ok(()) };
        let (made, rollup, key) = (Arc::clone(&self.made), self.rollup.clone(), group.clone());
        changes.change(0, group, move |_, current| rollup.add(&made[0], current, &key, &row));
        Ok(())
    }
}
