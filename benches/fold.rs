//! Measures the fold of events into rows: `cargo bench --bench fold`, or one of `speed`, `memory` behind `--`.
//!
//! `speed` folds 1,000,000 events over 50,000 keys, in memory, with 1 and 2 workers, and three projections against
//! one. `memory` folds 5,000,000 events of as many keys with the default memory, and prints the largest size the process
//! ever had; it must
//! therefore run alone. `folder` does the same in a folder that a killed fold would go on from.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a program for people to look at

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use eventlift::Reason;
use eventlift::events::{
    Bytes, Event, EventId, EventType, Payload, Position, Revision, SchemaVersion, StreamName, Timestamp,
};
use eventlift::projections::{
    Changes, Column, ColumnType, EventView, Projection, Row, RowKey, Table, TableKind, Understood, Value,
};
use eventlift::rebuild::{Fold, FoldOptions, Folded};

#[derive(serde::Deserialize)]
struct Paid<'e> {
    customer: &'e str,
    cents: i64,
    items: i64,
}

/// Payments by customer.
struct Payments {
    name: String,
    understood: Understood,
    tables: [Table; 1],
}

impl Payments {
    fn new(name: &str) -> Self {
        let columns = [
            ("customer", ColumnType::Text),
            ("payments", ColumnType::Integer),
            ("cents", ColumnType::Integer),
            ("items", ColumnType::Integer),
        ];
        let columns = columns.map(|(name, column_type)| Column { name: name.to_owned(), column_type });
        let table = Table {
            name: name.to_owned(),
            columns: columns.into(),
            key: vec![0],
            indexes: vec![],
            kind: TableKind::ReadModel,
        };
        let understood = Understood::default().folding(EventType::new("Paid").unwrap(), SchemaVersion::FIRST);
        Self { name: name.to_owned(), understood, tables: [table] }
    }
}

fn add(value: &mut Value, more: i64) {
    if let Value::Integer(number) = value {
        *number += more;
    }
}

impl Projection for Payments {
    fn name(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> &str {
        "1"
    }

    fn understood(&self) -> &Understood {
        &self.understood
    }

    fn tables(&self) -> &[Table] {
        &self.tables
    }

    fn project(&self, event: &mut EventView<'_>, changes: &mut Changes) -> Result<(), Reason> {
        let Paid { customer, cents, items } = serde_json::from_slice(event.event().data.bytes())?;
        changes.change(0, RowKey::text(customer), move |event, row| {
            let row = row.get_or_insert_with(|| {
                let customer = event.stream.id().unwrap_or_default();
                Row(Box::new([Value::text(customer), Value::Integer(0), Value::Integer(0), Value::Integer(0)]))
            });
            add(&mut row.0[1], 1);
            add(&mut row.0[2], cents);
            add(&mut row.0[3], items);
            Ok(())
        });
        Ok(())
    }
}

const BATCH: u64 = 1_000;

/// A batch of events as readers yield them: all text and payloads are slices of one buffer.
fn batch(first: u64, keys: u64) -> Vec<Event> {
    let mut buffer = String::new();
    let mut places = Vec::new();
    for number in first..first + BATCH {
        let key = number * 48_271 % keys;
        let begin = buffer.len();
        buffer.push_str(&format!("customer-{key:08}"));
        let middle = buffer.len();
        buffer.push_str(&format!(r#"{{"customer":"{key:08}","cents":{},"items":{}}}"#, number % 9_999, number % 7));
        places.push((begin, middle, buffer.len()));
    }
    let buffer = Bytes::from(buffer);
    let paid = EventType::new("Paid").unwrap();
    let text = |begin: usize, end: usize| bytestring::ByteString::try_from(buffer.slice(begin..end)).unwrap();
    let events = places.into_iter().enumerate().map(|(place, (begin, middle, end))| {
        let number = first + place as u64;
        Event {
            id: EventId::uuid(uuid::Uuid::from_u128(number.into())),
            stream: StreamName::new(text(begin, middle)).unwrap(),
            revision: Revision(number),
            position: Position::new(number + 1),
            event_type: paid.clone(),
            version: SchemaVersion::FIRST,
            data: Payload::json(buffer.slice(middle..end)),
            metadata: Payload::empty(),
            recorded_at: Timestamp::EPOCH,
            attributes: Bytes::new(),
        }
    });
    events.collect()
}

fn projections(number: usize) -> Vec<Arc<dyn Projection>> {
    (0..number).map(|number| Arc::new(Payments::new(&format!("payments_{number}"))) as Arc<dyn Projection>).collect()
}

async fn fold(projections: usize, options: &FoldOptions, batches: impl Iterator<Item = Vec<Event>>) -> Folded {
    let mut fold = Fold::begin(self::projections(projections), "bench", options).unwrap();
    for batch in batches {
        let until = batch[batch.len() - 1].position;
        fold.push(batch, until).await.unwrap();
    }
    fold.finish().await.unwrap()
}

async fn speed() {
    const EVENTS: u64 = 1_000_000;
    let batches: Vec<Vec<Event>> = (0..EVENTS / BATCH).map(|number| batch(number * BATCH, 50_000)).collect();
    for (projections, workers) in [(1, 1), (1, 2), (3, 2), (1, 1), (1, 2), (3, 2)] {
        let workers = NonZeroUsize::new(workers).unwrap();
        let options = FoldOptions { workers, ..FoldOptions::default() };
        let batches = batches.clone();
        let begun = Instant::now();
        let folded = fold(projections, &options, batches.into_iter()).await;
        let took = begun.elapsed();
        assert_eq!(folded.row_count(0), 50_000);
        println!(
            "{projections} projections, {workers} workers: {:>9.0} events/s ({} ms)",
            EVENTS as f64 / took.as_secs_f64(),
            took.as_millis()
        );
    }
}

async fn memory(folder: Option<PathBuf>) {
    const EVENTS: u64 = 5_000_000;
    let options = FoldOptions { folder, ..FoldOptions::default() };
    let begun = Instant::now();
    let before = peak();
    let folded = fold(1, &options, (0..EVENTS / BATCH).map(|number| batch(number * BATCH, EVENTS))).await;
    println!("5,000,000 keys: folded in {} ms, {} rows", begun.elapsed().as_millis(), folded.row_count(0));
    let mut rows = folded.rows(0, 0, NonZeroUsize::new(1_000).unwrap()).unwrap();
    let mut count = 0;
    while let Some(chunk) = rows.next_chunk().await.unwrap() {
        count += chunk.len();
    }
    println!(
        "{count} rows read back after {} ms; peak {} MiB (at the start {before})",
        begun.elapsed().as_millis(),
        peak()
    );
    drop(rows);
    folded.forget().unwrap();
}

/// The largest size of the process so far, in MiB; 0 where the system does not say.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

#[tokio::main]
async fn main() {
    let what: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_asked = |name: &str| what.is_empty() || what.iter().any(|what| what == name);
    // First, for the peak is that of the whole process.
    if is_asked("memory") {
        memory(None).await;
    }
    if what.iter().any(|what| what == "folder") {
        memory(Some(std::env::temp_dir().join("eventlift-bench-fold"))).await;
    }
    if is_asked("speed") {
        speed().await;
    }
}
