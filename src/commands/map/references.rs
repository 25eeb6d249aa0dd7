//! `map references`: positions and revisions of the source inside the target's events, translated, as a stream of events.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use eventlift_events::{
    Bytes, Event, EventReader, EventWriter, Payload, Position, ReadRequest, Revision, Scope, StreamName,
};
use eventlift_language::Reason;
use eventlift_language::json::{Document, Pointer, decode, encode};
use futures_util::StreamExt;
use lru::LruCache;
use serde::{Deserialize, Serialize};

use super::super::arguments::ReferenceArguments;
use super::super::error::CommandError;
use super::super::output::Report;
use super::lookup::position_of;
use super::translated::LastRun;
use crate::config::Project;
use crate::pipeline::{Mapped, PositionMap};
use crate::stores::file::{FileConfig, FileWriter};

/// How many references by stream and revision are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).unwrap(); // not zero, which the compiler checks

/// What was translated.
#[derive(Debug, Serialize)]
pub(in super::super) struct ReferencesReport {
    events: u64,
    /// References that were found.
    references: u64,
    /// Those that name another place now.
    changed: u64,
    /// Those to events that were dropped, which are null now.
    dropped: u64,
}

/// A reference to an event of a stream.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    stream: String,
    revision: u64,
}

/// Writes the target's events to standard output, the references in them translated.
pub(in super::super) async fn map_references(
    project: &Project,
    arguments: &ReferenceArguments,
) -> Result<ReferencesReport, CommandError> {
    let pointers = |texts: &[String]| -> Result<Vec<Pointer>, CommandError> {
        let parse = |text: &String| Pointer::parse(text).map_err(|error| CommandError::usage(error.to_string()));
        let pointers: Vec<Pointer> = texts.iter().map(parse).collect::<Result<_, _>>()?;
        match pointers.iter().find(|pointer| pointer.has_wildcard()) {
            Some(pointer) => Err(CommandError::usage(format!("{}: wildcards are not translated", pointer.as_str()))),
            None => Ok(pointers),
        }
    };
    let (data, metadata) = (pointers(&arguments.data)?, pointers(&arguments.metadata)?);
    if data.is_empty() && metadata.is_empty() {
        return Err(CommandError::usage("name what to translate with --data or --metadata"));
    }
    let run = LastRun::of(project).await?;
    let source = project.source.reader().await?;
    let target = project.require_target()?.reader().await?;
    let mut translator = Translator {
        map: run.map().await?,
        source,
        target: Arc::clone(&target),
        known: LruCache::new(REMEMBERED),
        report: ReferencesReport { events: 0, references: 0, changed: 0, dropped: 0 },
    };
    let mut output = FileWriter::open(FileConfig::new("-"))?;
    let mut batches = target.read(ReadRequest::new(Scope::All));
    while let Some(batch) = batches.next().await {
        let mut translated = Vec::new();
        for mut event in batch? {
            event.data = translator.payload(&event, &event.data, &data).await?;
            event.metadata = translator.payload(&event, &event.metadata, &metadata).await?;
            translator.report.events += 1;
            translated.push(event);
        }
        output.append(&translated, None).await?;
    }
    output.seal(false).await?;
    Ok(translator.report)
}

struct Translator<'m> {
    map: PositionMap<'m>,
    source: Arc<dyn EventReader>,
    target: Arc<dyn EventReader>,
    known: LruCache<Reference, Option<Reference>>,
    report: ReferencesReport,
}

impl Translator<'_> {
    /// A payload with its references translated; as it is where none is found.
    async fn payload(
        &mut self,
        event: &Event,
        payload: &Payload,
        pointers: &[Pointer],
    ) -> Result<Payload, CommandError> {
        if pointers.is_empty() || payload.is_empty() || !payload.is_json() {
            return Ok(payload.clone());
        }
        let broken = |problem: String| CommandError::Untranslatable {
            place: format!("position {} of the target", event.position),
            problem,
        };
        let reason = |reason: Reason| broken(reason.to_string());
        let mut document = Document::parse(payload.bytes()).map_err(reason)?;
        let mut changes = Vec::new();
        for pointer in pointers {
            let value = document.get(pointer).map_err(reason)?.map(|value| value.into_owned());
            let Some(value) = value.filter(|value| value != "null") else { continue };
            self.report.references += 1;
            let became = match self.reference(&value).await? {
                Found::At(json) => json,
                Found::Dropped => {
                    self.report.dropped += 1;
                    "null".to_owned()
                }
                Found::NoReference(problem) => return Err(broken(format!("{}: {problem}", pointer.as_str()))),
            };
            if became != value {
                self.report.changed += 1;
                changes.push((pointer, became));
            }
        }
        if changes.is_empty() {
            return Ok(payload.clone());
        }
        let mut document = Document::parse(payload.bytes()).map_err(reason)?;
        for (pointer, json) in &changes {
            document.set(pointer, json).map_err(reason)?;
        }
        let bytes: Bytes = document.write();
        Ok(Payload::new(bytes, payload.content_type().clone()))
    }

    /// What a reference is now, as JSON in the form that it had.
    async fn reference(&mut self, json: &str) -> Result<Found, CommandError> {
        if json.starts_with('{') {
            return match serde_json::from_str::<Reference>(json) {
                Ok(reference) => self.by_revision(json, reference).await,
                Err(error) => Ok(Found::NoReference(format!("no reference to a stream and revision: {error}"))),
            };
        }
        let is_text = json.starts_with('"');
        let plain = if is_text { decode(json).unwrap_or_default().into_owned() } else { json.to_owned() };
        let position: Position = match plain.parse() {
            Ok(position) => position,
            Err(error) => return Ok(Found::NoReference(format!("{error}"))),
        };
        Ok(match self.first_of(position).await? {
            Ok(Some(first)) if is_text => Found::At(encode(&first.to_string())),
            Ok(Some(first)) => Found::At(first.to_string()),
            Ok(None) => Found::Dropped,
            Err(problem) => Found::NoReference(problem),
        })
    }

    /// The first event that one of the source became; none where it was dropped. The inner error says that it is not
    /// there yet.
    async fn first_of(&self, position: Position) -> Result<Result<Option<Position>, String>, CommandError> {
        Ok(match self.map.position(position).await? {
            // What it became first has its id, and is what it was the cause of.
            Mapped::Became { first, .. } => Ok(Some(first)),
            Mapped::Scattered(spans) => Ok(spans.first().map(|(first, _)| *first)),
            Mapped::Dropped { .. } => Ok(None),
            Mapped::Held => {
                Err(format!("the event at position {position} waits in quarantine: retry it, or discard it, first"))
            }
            Mapped::Ahead => Err(format!("the run has not come to position {position} yet")),
        })
    }

    async fn by_revision(&mut self, json: &str, reference: Reference) -> Result<Found, CommandError> {
        let known = match self.known.get(&reference) {
            Some(known) => known.clone(),
            None => {
                let position = match StreamName::new(reference.stream.as_str()) {
                    Ok(stream) => position_of(&*self.source, &stream, Revision(reference.revision)).await?,
                    Err(error) => return Ok(Found::NoReference(error.to_string())),
                };
                let Some(position) = position else {
                    let Reference { stream, revision } = reference;
                    return Ok(Found::NoReference(format!("the source has no revision {revision} of stream {stream}")));
                };
                let found = match self.first_of(position).await? {
                    Ok(Some(first)) => self.event_at(first).await?,
                    Ok(None) => None,
                    Err(problem) => return Ok(Found::NoReference(problem)),
                };
                self.known.put(reference.clone(), found.clone());
                found
            }
        };
        let Some(became) = known else { return Ok(Found::Dropped) };
        if became == reference {
            return Ok(Found::At(json.to_owned()));
        }
        let stream = encode(&became.stream);
        Ok(Found::At(format!("{{\"stream\":{stream},\"revision\":{}}}", became.revision)))
    }

    async fn event_at(&self, position: Position) -> Result<Option<Reference>, CommandError> {
        let request = ReadRequest::new(Scope::All).after(position.just_before()).until(Some(position));
        let batch = self.target.read(request).next().await.transpose()?;
        Ok(batch
            .and_then(|batch| batch.into_iter().next())
            .map(|event| Reference { stream: event.stream.to_string(), revision: event.revision.0 }))
    }
}

/// What a reference is now.
enum Found {
    /// This, as JSON.
    At(String),
    /// The event that it names was dropped.
    Dropped,
    /// It names no event.
    NoReference(String),
}

impl Report for ReferencesReport {
    fn leaves_standard_output(&self) -> bool {
        true
    }
}

impl fmt::Display for ReferencesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ReferencesReport { events, references, changed, dropped } = self;
        write!(f, "{events} events, {references} references: {changed} translated, {dropped} of them to dropped events")
    }
}
