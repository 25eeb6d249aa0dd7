//! The part of `verify` that is about what was folded: live rows against a fresh fold, and the folds of both sides
//! against each other.

use std::fmt;
use std::sync::Arc;

use eventlift_language::{Shown, values_are_shown};
use eventlift_projections::{ColumnType, Projection, ReadModelStore, Row, Table, TableKind};
use futures_util::StreamExt;
use serde::Serialize;

use super::error::CommandError;
use super::output::Format;
use super::progress_line::ProgressLine;
use super::read_models::{feed, read_models};
use super::rebuild::changes_of;
use crate::config::Project;
use crate::pipeline::{PipelineError, Stop};
use crate::rebuild::{Comparison, FedBatch, Feed, Reading, RebuildError, RowDifference, compare_folds, compare_live};

/// How a projection fared.
#[derive(Debug, Serialize)]
pub(super) struct ComparedLine {
    projection: String,
    /// What was compared.
    compared: Compared,
    /// Whether every row is what it should be; null where nothing could be compared.
    pub(super) agrees: Option<bool>,
    /// Why nothing could be.
    note: Option<String>,
    expected: u64,
    found: u64,
    differing: u64,
    first_difference: Option<RowDifferenceView>,
    checkpoint: Option<String>,
}

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Compared {
    /// The live tables with a fold of the events up to their checkpoint.
    LiveTables,
    /// The aggregates folded from the source, lifted, with those folded from the target.
    Folds,
}

/// The first row that differs.
#[derive(Debug, Serialize)]
struct RowDifferenceView {
    table: String,
    expected: Option<serde_json::Map<String, serde_json::Value>>,
    found: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(skip)]
    text: String,
}

/// Compares the live tables of every projection with a fresh fold.
pub(super) async fn compare_read_models(
    project: &Project,
    format: Format,
    stop: &Stop,
) -> Result<Vec<ComparedLine>, CommandError> {
    let Some(models) = read_models(project, None)? else { return Ok(Vec::new()) };
    let Some(store) = models.look().await? else {
        let never = models.projections.iter().map(|projection| never_built(&**projection));
        return Ok(never.collect());
    };
    let feed = feed(project, None).await?;
    let mut lines = Vec::new();
    for projection in &models.projections {
        lines.push(compare_one(project, &feed, &*store, projection, format, stop).await?);
    }
    Ok(lines)
}

async fn compare_one(
    project: &Project,
    feed: &Feed,
    store: &dyn ReadModelStore,
    projection: &Arc<dyn Projection>,
    format: Format,
    stop: &Stop,
) -> Result<ComparedLine, CommandError> {
    if store.builds(projection.name()).await?.live.is_none() {
        return Ok(never_built(&**projection));
    }
    let changes = changes_of(store, feed, &**projection).await?;
    if !changes.is_empty() {
        let note = format!("what is live is not what would be built now: {}; rebuild it", changes.join("; "));
        return Ok(ComparedLine::without(&**projection, note));
    }
    let mut line = ProgressLine::new(format, "comparing", None, 0);
    let (mut read, options) = (0, project.rebuild.fold_options());
    let compared = compare_live(feed, store, projection, &options, stop, |events| {
        read += events;
        line.set(read);
    });
    let compared = compared.await;
    line.end();
    Ok(match compared? {
        Some(comparison) => ComparedLine::of(comparison, Compared::LiveTables),
        None => ComparedLine::without(&**projection, "it was stopped, so nothing is proved".to_owned()),
    })
}

/// Compares the aggregates folded from the events that the source should have become with those folded from the
/// target's: that fold(upcast(old)) = fold(new).
pub(super) async fn compare_aggregates(
    project: &Project,
    expected: impl futures_util::Stream<Item = Result<Vec<eventlift_events::Event>, PipelineError>> + Send + 'static,
    format: Format,
    stop: &Stop,
) -> Result<Vec<ComparedLine>, CommandError> {
    let projections = super::read_models::projections(project)?.projections();
    let is_aggregate =
        |projection: &Arc<dyn Projection>| projection.tables().iter().all(|t| t.kind == TableKind::Snapshots);
    let aggregates: Vec<_> = projections.into_iter().filter(is_aggregate).collect();
    if aggregates.is_empty() {
        return Ok(Vec::new());
    }
    let expected = expected.filter_map(|batch| {
        let fed = match batch {
            Ok(events) => events.last().map(|event| event.position).map(|until| {
                let read = events.len() as u64;
                Ok(FedBatch { events, until, read })
            }),
            Err(error) => Some(Err(RebuildError::Lift(error))),
        };
        std::future::ready(fed)
    });
    let found = feed(project, None).await?.events(None, None, &Reading::default(), stop);
    let mut line = ProgressLine::new(format, "folding", None, 0);
    let mut read = 0;
    let options = project.rebuild.fold_options();
    let compared = compare_folds(expected.boxed(), found, aggregates, &options, stop, |events| {
        read += events;
        line.set(read);
    });
    let compared = compared.await;
    line.end();
    let lines = compared?.unwrap_or_default().into_iter();
    Ok(lines.map(|comparison| ComparedLine::of(comparison, Compared::Folds)).collect())
}

fn never_built(projection: &dyn Projection) -> ComparedLine {
    ComparedLine::without(projection, "it has never been built".to_owned())
}

impl ComparedLine {
    fn without(projection: &dyn Projection, note: String) -> Self {
        Self {
            projection: projection.name().to_owned(),
            compared: Compared::LiveTables,
            agrees: None,
            note: Some(note),
            expected: 0,
            found: 0,
            differing: 0,
            first_difference: None,
            checkpoint: None,
        }
    }

    fn of(comparison: Comparison, compared: Compared) -> Self {
        Self {
            agrees: Some(comparison.agrees()),
            projection: comparison.projection,
            compared,
            note: None,
            expected: comparison.expected,
            found: comparison.found,
            differing: comparison.differing,
            first_difference: comparison.first.map(RowDifferenceView::of),
            checkpoint: comparison.checkpoint.map(|position| position.to_string()),
        }
    }
}

impl RowDifferenceView {
    fn of(difference: RowDifference) -> Self {
        let RowDifference { table, expected, found } = difference;
        let text = difference_text(&table, expected.as_ref(), found.as_ref());
        let object = |row: Option<Row>| row.map(|row| object(&table, &row));
        Self { expected: object(expected), found: object(found), text, table: table.name.clone() }
    }
}

/// A line for every column of a row, or of both, where what is the same stands once.
fn difference_text(table: &Table, expected: Option<&Row>, found: Option<&Row>) -> String {
    let line = |sign: &str, place: usize, row: &Row| {
        format!("{sign}{}: {}\n", table.columns[place].name, told(table, place, &row.0[place]))
    };
    let lines = (0..table.columns.len()).map(|place| match (expected, found) {
        (Some(expected), Some(found)) if expected.0[place] == found.0[place] => line("  ", place, found),
        (Some(expected), Some(found)) => line("- ", place, expected) + &line("+ ", place, found),
        (Some(row), None) | (None, Some(row)) => line("", place, row),
        (None, None) => String::new(),
    });
    lines.collect()
}

/// A value of a row, or what kind of value it is. Of a snapshot only the state is made of what events hold: the rest says
/// which one it is.
fn told(table: &Table, place: usize, value: &eventlift_projections::Value) -> String {
    let names = table.kind == TableKind::Snapshots && table.columns[place].column_type != ColumnType::Json;
    if names { value.to_string() } else { Shown(value).to_string() }
}

/// A row for machines: numbers with all their digits, and so as text where they are exact.
fn object(table: &Table, row: &Row) -> serde_json::Map<String, serde_json::Value> {
    let value = |place: usize, value: &eventlift_projections::Value| match value {
        eventlift_projections::Value::Null => serde_json::Value::Null,
        value if !values_are_shown() => told(table, place, value).into(),
        eventlift_projections::Value::Integer(number) => (*number).into(),
        eventlift_projections::Value::Boolean(yes) => (*yes).into(),
        other => other.to_string().into(),
    };
    let named = table.columns.iter().zip(&row.0).enumerate();
    named.map(|(place, (column, found))| (column.name.clone(), value(place, found))).collect()
}

impl fmt::Display for ComparedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { projection, expected, found, differing, .. } = self;
        if let Some(note) = &self.note {
            return write!(f, "{projection}: {note}");
        }
        match (self.compared, self.differing) {
            (Compared::LiveTables, 0) => write!(f, "{projection}: {found} rows, all as a fresh fold makes them"),
            (Compared::Folds, 0) => write!(f, "{projection}: {found} states, the same folded from both sides"),
            (Compared::LiveTables, _) => {
                write!(f, "{projection} differs: {expected} rows expected, {found} found, {differing} not the same")
            }
            (Compared::Folds, _) => write!(
                f,
                "{projection} differs: {expected} states folded from the source, {found} from the target, {differing} \
                 not the same"
            ),
        }?;
        let Some(first) = &self.first_difference else { return Ok(()) };
        let what = match (&first.expected, &first.found) {
            (Some(_), None) => format!("the first: this row of {} is missing", first.table),
            (None, Some(_)) => format!("the first: this row of {} should not be there", first.table),
            _ => format!("the first, in {} (- expected, + found):", first.table),
        };
        write!(f, "\n{what}\n{}", first.text)
    }
}
