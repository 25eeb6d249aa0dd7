//! One append: a transaction that copies events into the table, with what is committed beside them.

use std::collections::HashMap;
use std::collections::HashSet;

use eventlift_events::{
    Event, LoadRange, NoteChange, Payload, Progress, Revision, RunId, StoreError, StoreErrorKind, StreamName,
};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::config::PayloadColumn;
use super::encode::{self, Encoder};
use super::failure::{Place, reported, store_error};
use super::layout::EventsTable;
use super::ledger::Ranges;
use super::row_fitness::{RowFitness, keeping};
use super::said;
use super::session::{Fence, number_on, roll_back};

/// Rows are sent in portions of about this many bytes.
const CHUNK_BYTES: usize = 128 * 1024;

/// What is committed with the events.
#[derive(Clone, Copy)]
pub(super) enum Along<'a> {
    /// The progress of a run, if any.
    Progress(Option<&'a Progress>),
    /// The progress of one of a run's ranges, and notes. The store must still be loading.
    Range(RunId, &'a LoadRange, &'a [NoteChange]),
}

/// Appends to one table. Reused, for its buffer.
pub(super) struct Appender {
    fence: Fence,
    table: EventsTable,
    sequence: Option<String>,
    copy: String,
    buffer: Vec<u8>,
}

/// Why an attempt to append failed. Its transaction is still to be rolled back.
enum Failed {
    /// For good.
    Store(StoreError),
    /// The server refused the content of an event, by its number, where it says which.
    Content { event: Option<usize>, column: Option<String>, message: String, is_limit: bool },
    /// A unique index has what one of the rows brings.
    Taken(sqlx::Error),
    /// The ledger has a range of positions that was taken for new.
    Known(sqlx::Error),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Appender {
    pub(super) fn new(fence: Fence, table: EventsTable, sequence: Option<String>) -> Self {
        let copy = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", table.relation, table.columns());
        Self { fence, table, sequence, copy, buffer: Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4) }
    }

    /// Appends events and what goes along, all or nothing. After an error the transaction is still to be rolled back.
    pub(super) async fn append(
        &mut self,
        connection: &mut PgConnection,
        events: &[Event],
        along: Along<'_>,
    ) -> Result<(), StoreError> {
        let fitness = self.fitness();
        events.iter().try_for_each(|event| fitness.check(event))?;
        let (mut is_careful, mut was_taken, mut ranges) = (false, false, Ranges::MostlyNew);
        loop {
            match self.attempt(connection, events, (along, ranges), is_careful).await {
                Ok(()) => return Ok(()),
                Err(Failed::Store(error)) => return Err(error),
                // What is no JSON goes where bytes go; looking for it each time would cost more than trying again.
                Err(Failed::Content { .. }) if !is_careful && self.has_invalid_json(events) => is_careful = true,
                Err(Failed::Content { event, column, message, is_limit }) => {
                    return Err(self.refused_content(events, event, column, (message, is_limit)));
                }
                // A commit that is repeated.
                Err(Failed::Known(_)) if ranges == Ranges::MostlyNew => ranges = Ranges::Any,
                Err(Failed::Known(error)) => return Err(self.failed(error)),
                Err(Failed::Taken(error)) => {
                    self.undo(connection).await?;
                    if let Some(conflict) = self.taken(connection, events).await? {
                        return Err(conflict);
                    }
                    // Somebody else was faster by a moment; a second look sees what they wrote.
                    if was_taken {
                        return Err(self.failed(error));
                    }
                    was_taken = true;
                    continue;
                }
            }
            self.undo(connection).await?;
        }
    }

    async fn undo(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        if roll_back(connection).await {
            return Ok(());
        }
        let gone = std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "the connection ended");
        Err(self.failed(sqlx::Error::Io(gone)))
    }

    async fn attempt(
        &mut self,
        connection: &mut PgConnection,
        events: &[Event],
        (along, ranges): (Along<'_>, Ranges),
        is_careful: bool,
    ) -> Result<(), Failed> {
        let row = self.fence.begin(connection, "append to").await?;
        if row.is_sealed && matches!(along, Along::Range(..)) {
            let sealed = StoreErrorKind::Unexpected("it was sealed, so no range can be loaded any more".to_owned());
            return Err(Failed::Store(self.error(sealed)));
        }
        if row.is_sealed {
            let new = self.new_events(connection, events, row.is_sparse).await?;
            self.copy(connection, events, &new, is_careful).await?;
            let last = new.iter().map(|number| events[*number].position.major() as i64).max();
            if let Some(last) = last {
                number_on(connection, self.sequence.as_deref(), last).await.map_err(|e| self.failed(e))?;
            }
        } else {
            let all: Vec<usize> = (0..events.len()).collect();
            self.copy(connection, events, &all, is_careful).await?;
        }
        let fence = &self.fence;
        match along {
            Along::Progress(None) => {}
            Along::Progress(Some(progress)) => {
                let committed = fence.ledger.commit(connection, progress, ranges).await;
                committed.map_err(|error| match reported(&error) {
                    Some(said) if said.code() == "23505" => Failed::Known(error),
                    _ => Failed::Store(self.failed(error)),
                })?;
            }
            Along::Range(run, range, notes) => {
                if !fence.ledger.commit_range(connection, run, range).await.map_err(|e| self.failed(e))? {
                    let problem = format!("range {} of run {run} was not planned", range.index);
                    return Err(Failed::Store(self.error(StoreErrorKind::Unexpected(problem))));
                }
                fence.ledger.write_notes(connection, run, notes).await.map_err(|e| self.failed(e))?;
            }
        }
        Ok(fence.commit(connection, "append to").await?)
    }

    /// Sends the events of these numbers as rows, in order.
    async fn copy(
        &mut self,
        connection: &mut PgConnection,
        events: &[Event],
        numbers: &[usize],
        is_careful: bool,
    ) -> Result<(), Failed> {
        if numbers.is_empty() {
            return Ok(());
        }
        let encoder = Encoder { table: &self.table, is_careful };
        let failed = |e| Failed::of(e, &self.fence.display, numbers);
        let mut copy = connection.copy_in_raw(&self.copy).await.map_err(failed)?;
        self.buffer.clear();
        self.buffer.extend_from_slice(encode::HEADER);
        for number in numbers {
            encoder.row(&mut self.buffer, &events[*number]);
            if self.buffer.len() >= CHUNK_BYTES {
                copy.send(&self.buffer[..]).await.map_err(failed)?;
                self.buffer.clear();
            }
        }
        self.buffer.extend_from_slice(encode::TRAILER);
        copy.send(&self.buffer[..]).await.map_err(failed)?;
        copy.finish().await.map_err(failed)?;
        // One huge payload must not be paid for until the end.
        self.buffer.shrink_to(8 * CHUNK_BYTES);
        Ok(())
    }

    /// The numbers of the events that a sealed store does not hold yet. Fails where one does not continue its stream.
    async fn new_events(
        &self,
        connection: &mut PgConnection,
        events: &[Event],
        is_sparse: bool,
    ) -> Result<Vec<usize>, StoreError> {
        let held = self.heads(connection, events).await.map_err(|e| self.failed(e))?;
        let mut heads = held.clone();
        let (mut new, mut repeated): (Vec<usize>, Vec<(&Event, Option<Revision>)>) = (Vec::new(), Vec::new());
        let mut gap = None;
        for (number, event) in events.iter().enumerate() {
            let head = heads.get(&event.stream).copied();
            let expected = head.map_or(Revision(0), Revision::next);
            if event.revision >= expected {
                if event.revision > expected && !is_sparse {
                    gap = Some(self.conflict(event, head));
                    break;
                }
                heads.insert(&event.stream, event.revision);
                new.push(number);
                continue;
            }
            let is_same = |earlier: &&Event| earlier.stream == event.stream && earlier.revision == event.revision;
            match new.iter().map(|number| &events[*number]).find(is_same) {
                Some(earlier) if earlier.id == event.id => {}
                _ if held.get(&event.stream).is_some_and(|held| event.revision <= *held) => {
                    repeated.push((event, head));
                }
                _ => return Err(self.conflict(event, head)),
            }
        }
        let same = self.held(connection, &repeated).await.map_err(|e| self.failed(e))?;
        for (number, (event, head)) in repeated.iter().enumerate() {
            if !same.contains(&(number as i64 + 1)) {
                return Err(self.conflict(event, *head));
            }
        }
        match gap {
            Some(gap) => Err(gap),
            None => Ok(new),
        }
    }

    /// The last revision of each of the events' streams that has one.
    async fn heads<'e>(
        &self,
        connection: &mut PgConnection,
        events: &'e [Event],
    ) -> sqlx::Result<HashMap<&'e StreamName, Revision>> {
        let streams: HashSet<&StreamName> = events.iter().map(|event| &event.stream).collect();
        let streams: Vec<&StreamName> = streams.into_iter().collect();
        let names: Vec<&str> = streams.iter().map(|stream| stream.as_str()).collect();
        let statement = format!(
            "SELECT s.n, (SELECT max(e.revision) FROM {} e WHERE e.stream = s.stream)
             FROM unnest($1::text[]) WITH ORDINALITY s(stream, n)",
            self.table.relation
        );
        let rows: Vec<(i64, Option<i64>)> =
            sqlx::query_as(AssertSqlSafe(statement)).bind(names).fetch_all(connection).await?;
        let found = rows.into_iter().filter_map(|(number, head)| {
            let stream = streams.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
            Some((*stream, Revision(u64::try_from(head?).ok()?)))
        });
        Ok(found.collect())
    }

    /// Which of these events, numbered from 1, the table holds at their revision under their id.
    async fn held(
        &self,
        connection: &mut PgConnection,
        events: &[(&Event, Option<Revision>)],
    ) -> sqlx::Result<HashSet<i64>> {
        if events.is_empty() {
            return Ok(HashSet::new());
        }
        let columns = Columns::of(events.iter().map(|(event, _)| *event));
        let statement = format!(
            "SELECT u.n FROM unnest($1::text[], $2::bigint[], $3::text[]) WITH ORDINALITY u(stream, revision, id, n)
             JOIN {} e ON e.stream = u.stream AND e.revision = u.revision AND e.id = u.id",
            self.table.relation
        );
        let found: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(statement))
            .bind(columns.streams)
            .bind(columns.revisions)
            .bind(columns.ids)
            .fetch_all(connection)
            .await?;
        Ok(found.into_iter().collect())
    }

    /// Which event brings an id or a position that another one has, in the append or in the table.
    async fn taken(&self, connection: &mut PgConnection, events: &[Event]) -> Result<Option<StoreError>, StoreError> {
        let (mut ids, mut positions) = (HashMap::new(), HashMap::new());
        for event in events {
            let place = (&event.stream, event.revision);
            if *ids.entry(&event.id).or_insert(place) != place {
                return Ok(Some(self.duplicate_id(event)));
            }
            if *positions.entry(event.position).or_insert(place) != place {
                return Ok(Some(self.position_taken(event)));
            }
        }
        let columns = Columns::of(events);
        let statement = format!(
            "WITH u AS (SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[])
                                      WITH ORDINALITY u(stream, revision, id, position, n))
             SELECT (SELECT min(u.n) FROM u JOIN {0} e ON e.id = u.id
                     WHERE (e.stream, e.revision) IS DISTINCT FROM (u.stream, u.revision)),
                    (SELECT min(u.n) FROM u JOIN {0} e ON e.position = u.position
                     WHERE (e.stream, e.revision) IS DISTINCT FROM (u.stream, u.revision)
                       AND NOT EXISTS (SELECT 1 FROM {0} s WHERE s.stream = u.stream AND s.revision = u.revision))",
            self.table.relation
        );
        let (id, position): (Option<i64>, Option<i64>) = sqlx::query_as(AssertSqlSafe(statement))
            .bind(columns.streams)
            .bind(columns.revisions)
            .bind(columns.ids)
            .bind(columns.positions)
            .fetch_one(connection)
            .await
            .map_err(|e| self.failed(e))?;
        let event = |number: Option<i64>| events.get(usize::try_from(number?).ok()?.checked_sub(1)?);
        if let Some(event) = event(id) {
            return Ok(Some(self.duplicate_id(event)));
        }
        Ok(event(position).map(|event| self.position_taken(event)))
    }

    fn has_invalid_json(&self, events: &[Event]) -> bool {
        let is_invalid = |payload: &Payload, column| {
            column != PayloadColumn::Bytea
                && payload.is_json()
                && !payload.is_empty()
                && std::str::from_utf8(payload.bytes()).is_ok()
                && !payload.holds_json()
        };
        events
            .iter()
            .any(|event| is_invalid(&event.data, self.table.data) || is_invalid(&event.metadata, self.table.metadata))
    }

    fn refused_content(
        &self,
        events: &[Event],
        event: Option<usize>,
        column: Option<String>,
        (message, is_limit): (String, bool),
    ) -> StoreError {
        let in_column = column.as_ref().map(|column| format!(" in {column}")).unwrap_or_default();
        let problem = format!("PostgreSQL refuses what is{in_column} ({message})");
        let error = match event.and_then(|number| events.get(number)) {
            Some(event) => self.unsupported(event, problem),
            None => self.error(StoreErrorKind::Unsupported(problem)),
        };
        match column.as_deref() {
            Some(name @ ("data" | "metadata")) => {
                let kept = if name == "data" { self.table.data } else { self.table.metadata };
                // The server looks through `json` as well.
                error.hint(keeping(name, kept == PayloadColumn::Jsonb && !is_limit))
            }
            _ => error,
        }
    }

    fn fitness(&self) -> RowFitness<'_> {
        let Self { fence, table, .. } = self;
        RowFitness { display: &fence.display, data: table.data, metadata: table.metadata }
    }

    fn error(&self, kind: StoreErrorKind) -> StoreError {
        StoreError::new("append to", &self.fence.display, kind)
    }

    fn failed(&self, error: sqlx::Error) -> StoreError {
        store_error("append to", &self.fence.display, error)
    }

    fn unsupported(&self, event: &Event, problem: String) -> StoreError {
        self.fitness().unsupported(event, problem)
    }

    fn conflict(&self, event: &Event, found: Option<Revision>) -> StoreError {
        let (stream, revision, id) = (event.stream.clone(), event.revision, event.id.clone());
        self.error(StoreErrorKind::RevisionConflict { stream, revision, id, found })
    }

    fn duplicate_id(&self, event: &Event) -> StoreError {
        self.error(StoreErrorKind::DuplicateId(event.id.clone())).at(place(event))
    }

    fn position_taken(&self, event: &Event) -> StoreError {
        let taken = format!("position {} is taken by another event", event.position);
        self.error(StoreErrorKind::BadInput(taken))
            .at(place(event))
            .hint("where a service has appended to the target, it is the service's now: name another target")
    }
}

impl Failed {
    /// What a failed COPY of the events of these numbers says.
    fn of(error: sqlx::Error, display: &Place, numbers: &[usize]) -> Self {
        let Some(said) = reported(&error) else { return Self::Store(store_error("append to", display, error)) };
        let code = said.code();
        if code == "23505" {
            return Self::Taken(error);
        }
        // Data exceptions, and limits of what a value may be.
        if !(code.starts_with("22") || code.starts_with("54")) {
            return Self::Store(store_error("append to", display, error));
        }
        let (row, column) = said.r#where().map(copied_line).unwrap_or_default();
        let message = match said::detail(said) {
            Some(detail) => format!("{}: {detail}", said::message(said)),
            None => said::message(said),
        };
        let event = row.and_then(|row| numbers.get(row)).copied();
        Self::Content { event, column, message, is_limit: code.starts_with("54") }
    }
}

/// The row, counted from 0, and the column of `COPY events, line 17, column data`. The words around them may be in any
/// language, and the table's name may hold digits.
fn copied_line(context: &str) -> (Option<usize>, Option<String>) {
    let Some(line) = context.lines().rev().find(|line| line.starts_with("COPY ")) else { return (None, None) };
    let column = ["metadata", "data"].into_iter().find(|name| {
        let before = line.strip_suffix(name);
        before.is_some_and(|before| !before.ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    });
    // From the end: the number is the last one, since no column of ours has a digit.
    let end = line.rfind(|c: char| c.is_ascii_digit()).map_or(0, |last| last + 1);
    let start = line[..end].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |before| before + 1);
    let number = line.get(start..end).and_then(|digits| digits.parse::<usize>().ok());
    (number.and_then(|number| number.checked_sub(1)), column.map(str::to_owned))
}

pub(super) fn place(event: &Event) -> String {
    format!("stream {}, revision {}", event.stream, event.revision)
}

/// Events by the columns that are looked up.
struct Columns<'e> {
    streams: Vec<&'e str>,
    revisions: Vec<i64>,
    ids: Vec<String>,
    positions: Vec<i64>,
}

impl<'e> Columns<'e> {
    /// Of events that were checked: all numbers fit.
    fn of(events: impl IntoIterator<Item = &'e Event>) -> Self {
        let mut columns = Self { streams: Vec::new(), revisions: Vec::new(), ids: Vec::new(), positions: Vec::new() };
        for event in events {
            columns.streams.push(event.stream.as_str());
            columns.revisions.push(event.revision.0 as i64);
            columns.ids.push(event.id.to_string());
            columns.positions.push(event.position.major() as i64);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_names_the_line_in_any_language() {
        let data = |row| (Some(row), Some("data".to_owned()));
        assert_eq!(copied_line("JSON data, line 1: {\"a\nCOPY events, line 17, column data"), data(16));
        assert_eq!(copied_line("COPY ereignisse 7, line 3, Zeile 4, Spalte data"), data(3));
        assert_eq!(copied_line("COPY e, line 1, column metadata"), (Some(0), Some("metadata".to_owned())));
        assert_eq!(copied_line("COPY e, line 1"), (Some(0), None));
        assert_eq!(copied_line("SQL function"), (None, None));
    }
}
