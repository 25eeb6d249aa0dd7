//! Everything that a target holds, as lines to compare: events, runs, checkpoint, position map, state. Only what may
//! differ between two runs is left out: their ids and times.

use std::collections::BTreeSet;
use std::path::Path;

use eventlift::events::{CheckpointStore, Event, EventReader, MemoryStore, ReadRequest, Scope, StateKey};
use futures_util::StreamExt;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// Fails with the first line that differs.
pub(crate) fn assert_same(undisturbed: &[String], found: &[String], context: &str) {
    let first = undisturbed.iter().zip(found).position(|(one, other)| one != other);
    if first.is_none() && undisturbed.len() == found.len() {
        return;
    }
    let line = first.unwrap_or(undisturbed.len().min(found.len()));
    panic!(
        "{context}: {} lines undisturbed, {} found; line {line} differs:\n  {:?}\n  {:?}",
        undisturbed.len(),
        found.len(),
        undisturbed.get(line),
        found.get(line)
    );
}

/// All events of a store, in its order.
pub(crate) async fn events_of(reader: &dyn EventReader) -> Vec<Event> {
    let mut batches = reader.read(ReadRequest::new(Scope::All));
    let mut events = Vec::new();
    while let Some(batch) = batches.next().await {
        events.extend(batch.unwrap());
    }
    events
}

/// What a store in memory holds. State can only be asked for by key, so its streams are those of the source and the
/// target.
pub(crate) async fn of_memory(target: &MemoryStore, source: &[Event], owners: &[&str]) -> Vec<String> {
    let events = events_of(&target.reader()).await;
    let ledger = target.writer().unwrap();
    let mut lines: Vec<String> = events.iter().map(event_line).collect();
    let streams: BTreeSet<_> = source.iter().chain(&events).map(|event| event.stream.text().clone()).collect();
    for run in ledger.runs().await.unwrap() {
        lines.push(format!("run {} from {} {:?}", run.state, run.fingerprint, run.parts));
        lines.push(format!("checkpoint {:?}", ledger.checkpoint(run.id).await.unwrap()));
        for range in ledger.positions(run.id, None, usize::MAX).await.unwrap() {
            lines.push(format!("positions {range:?}"));
        }
        for event in source {
            for late in ledger.late_of(run.id, event.position).await.unwrap() {
                lines.push(format!("late {late:?}"));
            }
        }
        let keys: Vec<StateKey> = owners
            .iter()
            .flat_map(|owner| streams.iter().map(|stream| StateKey { owner: (*owner).into(), stream: stream.clone() }))
            .collect();
        let values = ledger.state(run.id, &keys).await.unwrap();
        lines.extend(keys.iter().zip(values).filter_map(|(key, value)| Some(format!("state {key:?} {:?}", value?))));
    }
    lines
}

/// An event with all its bytes.
pub(crate) fn event_line(event: &Event) -> String {
    format!(
        "{} {} {} {} {} {} {} {:?} {:?} {:?} {:?} {:?}",
        event.position,
        event.stream,
        event.revision,
        event.id,
        event.event_type,
        event.version,
        event.recorded_at,
        event.data.content_type(),
        event.data.bytes(),
        event.metadata.content_type(),
        event.metadata.bytes(),
        event.attributes
    )
}

/// What a SQLite database holds: every row of every table, and the names of its indexes.
pub(crate) fn of_sqlite(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let problems: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(problems, "ok");
    let mut statement = connection.prepare("SELECT type, name FROM sqlite_schema ORDER BY type, name").unwrap();
    let objects: Vec<(String, String)> =
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect();
    let mut lines = Vec::new();
    for (kind, name) in objects {
        lines.push(format!("{kind} {name}"));
        if kind == "table" {
            lines.extend(rows(&connection, &name));
        }
    }
    lines
}

fn rows(connection: &Connection, table: &str) -> Vec<String> {
    // Where a compressed file ends depends on where its appends began.
    const LEFT_OUT: [&str; 7] = ["run", "started_at", "updated_at", "details", "length", "tail", "writing"];
    let is_runs = table == "eventlift_runs";
    let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let columns: Vec<(usize, String)> = statement
        .column_names()
        .iter()
        .enumerate()
        .filter(|(_, name)| !(LEFT_OUT.contains(name) || is_runs && **name == "id"))
        .map(|(index, name)| (index, (*name).to_owned()))
        .collect();
    let text = |row: &rusqlite::Row<'_>| {
        let values = columns.iter().map(|(index, name)| match row.get_ref(*index).unwrap() {
            ValueRef::Text(text) => format!("{name}={}", String::from_utf8_lossy(text)),
            other => format!("{name}={other:?}"),
        });
        format!("{table}: {}", values.collect::<Vec<_>>().join(" "))
    };
    let mut lines: Vec<String> = statement.query_map([], |row| Ok(text(row))).unwrap().map(Result::unwrap).collect();
    // What was checked, and when, is of no consequence.
    lines.retain(|line| !line.starts_with("eventlift_notes: book=checks "));
    if table != "events" {
        lines.sort();
    }
    lines
}

/// What a file target holds: its lines, and the database beside it.
pub(crate) async fn of_file(path: &Path) -> Vec<String> {
    use eventlift::stores::file::{FileConfig, FileReader};
    let reader = FileReader::open(FileConfig::new(path)).unwrap();
    let mut lines: Vec<String> = events_of(&reader).await.iter().map(event_line).collect();
    let mut beside = path.as_os_str().to_owned();
    beside.push(".eventlift");
    lines.extend(of_sqlite(Path::new(&beside)));
    lines
}
