//! `map position` and `map revision`.

use std::fmt;

use eventlift_events::{Event, EventReader, Needed, Position, ReadRequest, Revision, Scope, StreamName};
use futures_util::StreamExt;
use serde::Serialize;

use super::super::arguments::{PositionArguments, RevisionArguments};
use super::super::error::CommandError;
use super::super::output::Report;
use super::translated::LastRun;
use crate::config::Project;
use crate::pipeline::{Mapped, PositionMap};

/// What became of positions.
#[derive(Debug, Serialize)]
pub(in super::super) struct PositionReport {
    run: String,
    /// Whether positions of the target were looked up in the source.
    back: bool,
    positions: Vec<PositionLine>,
}

/// What became of a position.
#[derive(Debug, Serialize)]
struct PositionLine {
    position: Position,
    /// `mapped`, `dropped`, `quarantined`, `ahead`; looking back `mapped` or `unknown`.
    state: &'static str,
    first: Option<Position>,
    last: Option<Position>,
    /// Where what is before a dropped event ends.
    after: Option<Position>,
    /// What it became, where other events stand between that.
    #[serde(skip_serializing_if = "Option::is_none")]
    parts: Option<Vec<Span>>,
}

/// Positions one behind the other.
#[derive(Debug, Clone, Copy, Serialize)]
struct Span {
    first: Position,
    last: Position,
}

/// What became of revisions.
#[derive(Debug, Serialize)]
pub(in super::super) struct RevisionReport {
    run: String,
    stream: String,
    revisions: Vec<RevisionLine>,
}

/// What became of a revision.
#[derive(Debug, Serialize)]
struct RevisionLine {
    revision: u64,
    #[serde(flatten)]
    position: PositionLine,
    events: Vec<FoundEvent>,
}

/// An event of the target.
#[derive(Debug, Serialize)]
struct FoundEvent {
    stream: String,
    revision: u64,
    position: Position,
    #[serde(rename = "type")]
    event_type: String,
}

/// Looks positions up.
pub(in super::super) async fn map_positions(
    project: &Project,
    arguments: &PositionArguments,
) -> Result<PositionReport, CommandError> {
    let run = LastRun::of(project).await?;
    let map = run.map().await?;
    let mut positions = Vec::new();
    if arguments.back {
        let found = map.sources(&arguments.positions).await?;
        positions.extend(arguments.positions.iter().zip(found).map(|(position, found)| PositionLine {
            position: *position,
            state: if found.is_some() { "mapped" } else { "unknown" },
            first: found.map(|(first, _)| first),
            last: found.map(|(_, last)| last),
            after: None,
            parts: None,
        }));
    } else {
        for position in &arguments.positions {
            positions.push(position_line(&map, *position).await?);
        }
    }
    Ok(PositionReport { run: run.record.id.to_string(), back: arguments.back, positions })
}

async fn position_line(map: &PositionMap<'_>, position: Position) -> Result<PositionLine, CommandError> {
    let nothing = PositionLine { position, state: "dropped", first: None, last: None, after: None, parts: None };
    Ok(match map.position(position).await? {
        Mapped::Became { first, last } => {
            PositionLine { state: "mapped", first: Some(first), last: Some(last), ..nothing }
        }
        Mapped::Scattered(spans) => {
            let (first, last) = (spans.first().map(|(first, _)| *first), spans.last().map(|(_, last)| *last));
            let parts = spans.into_iter().map(|(first, last)| Span { first, last }).collect();
            PositionLine { state: "mapped", first, last, parts: Some(parts), ..nothing }
        }
        Mapped::Dropped { after } => PositionLine { after, ..nothing },
        Mapped::Held => PositionLine { state: "quarantined", ..nothing },
        Mapped::Ahead => PositionLine { state: "ahead", ..nothing },
    })
}

/// Looks revisions of a stream up, by reading the stream in the source and what its events became in the target.
pub(in super::super) async fn map_revisions(
    project: &Project,
    arguments: &RevisionArguments,
) -> Result<RevisionReport, CommandError> {
    let run = LastRun::of(project).await?;
    let map = run.map().await?;
    let source = project.source.reader().await?;
    if !source.is_rereadable() {
        return Err(CommandError::usage("standard input can't be read again to find a revision in it"));
    }
    let target = project.require_target()?.reader().await?;
    let mut revisions = Vec::new();
    for revision in &arguments.revisions {
        let Some(position) = position_of(&*source, &arguments.stream, *revision).await? else {
            return Err(CommandError::NoSuchRevision {
                source_name: source.identity().to_string(),
                stream: arguments.stream.clone(),
                revision: *revision,
            });
        };
        let position = position_line(&map, position).await?;
        let whole = position.first.zip(position.last).map(|(first, last)| Span { first, last });
        let spans = position.parts.clone().unwrap_or_else(|| Vec::from_iter(whole));
        let mut events = Vec::new();
        for Span { first, last } in spans {
            events.extend(events_between(&*target, first, last).await?);
        }
        revisions.push(RevisionLine { revision: revision.0, position, events });
    }
    Ok(RevisionReport { run: run.record.id.to_string(), stream: arguments.stream.to_string(), revisions })
}

/// The position of a stream's revision; none where it has none.
pub(super) async fn position_of(
    source: &dyn EventReader,
    stream: &StreamName,
    revision: Revision,
) -> Result<Option<Position>, CommandError> {
    let request = ReadRequest::new(Scope::Stream(stream.clone())).needing(Needed::ENVELOPE);
    let mut batches = source.read(request);
    while let Some(batch) = batches.next().await {
        for event in batch? {
            if event.revision >= revision {
                return Ok((event.revision == revision).then_some(event.position));
            }
        }
    }
    Ok(None)
}

async fn events_between(
    target: &dyn EventReader,
    first: Position,
    last: Position,
) -> Result<Vec<FoundEvent>, CommandError> {
    let request = ReadRequest::new(Scope::All).after(first.just_before()).until(Some(last)).needing(Needed::ENVELOPE);
    let mut batches = target.read(request);
    let mut found = Vec::new();
    while let Some(batch) = batches.next().await {
        found.extend(batch?.into_iter().map(|event: Event| FoundEvent {
            stream: event.stream.to_string(),
            revision: event.revision.0,
            position: event.position,
            event_type: event.event_type.to_string(),
        }));
    }
    Ok(found)
}

impl Report for PositionReport {}
impl Report for RevisionReport {}

impl fmt::Display for PositionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.positions.iter().try_for_each(|line| writeln!(f, "{} → {line}", line.position))
    }
}

impl fmt::Display for PositionLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parts) = &self.parts {
            let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
            return f.write_str(&parts.join(" and "));
        }
        match (self.state, self.first, self.last, self.after) {
            (_, Some(first), Some(last), _) => Span { first, last }.fmt(f),
            ("dropped", .., Some(after)) => write!(f, "dropped; the event before it is at {after}"),
            ("dropped", ..) => write!(f, "dropped; no event is before it"),
            ("quarantined", ..) => write!(f, "not there yet: it waits in quarantine"),
            ("ahead", ..) => write!(f, "not there yet: the run has not come to it"),
            _ => write!(f, "no event of the run is there"),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, last } = self;
        if first == last { write!(f, "{first}") } else { write!(f, "{first} to {last}") }
    }
}

impl fmt::Display for RevisionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.revisions {
            write!(f, "{} revision {} (position {}) → ", self.stream, line.revision, line.position.position)?;
            match &line.events[..] {
                [] => writeln!(f, "{}", line.position)?,
                events => {
                    let events: Vec<String> = events.iter().map(ToString::to_string).collect();
                    writeln!(f, "{}", events.join(", "))?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for FoundEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} revision {} (position {}, {})", self.stream, self.revision, self.position, self.event_type)
    }
}
