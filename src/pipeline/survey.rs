//! The survey: every type and version of a source with the chain it takes, before anything is written.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use eventlift_events::{
    Event, EventReader, EventType, Position, ReadRequest, SchemaVersion, Scope, StoreError, StoreErrorKind, Tally,
};
use eventlift_transformers::{Coverage, Outcome, Registry, Uncovered};
use futures_util::StreamExt;

use super::audit::{Audit, Finding};
use super::error::{PipelineError, Refusal};
use super::policy::{FailedEvents, Policies, Revisions, Unknown};
use super::stop::Stop;

/// What a source holds, and what the transformers make of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Survey {
    /// Types and versions, ordered by name and version.
    pub types: Vec<Covered>,
    /// The last position that was looked at; none in an empty store.
    pub head: Option<Position>,
    /// The first contradiction that was found.
    pub finding: Option<Finding>,
    /// Whether everything was looked at: false after a limit or a stop.
    pub complete: bool,
    /// The position behind which was looked; none where all events were counted.
    pub after: Option<Position>,
}

/// One type and version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Covered {
    /// The type.
    pub event_type: EventType,
    /// The version.
    pub version: SchemaVersion,
    /// How many events there are.
    pub tally: Tally,
    /// What becomes of them.
    pub coverage: Coverage,
    /// Some of them.
    pub samples: Vec<Sample>,
}

/// An event of the source.
pub type Sample = Event;

/// What to look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SurveyOptions {
    /// Which events.
    pub scope: Scope,
    /// Start behind this position. A store that counts by itself is asked for everything all the same.
    pub after: Option<Position>,
    /// Events to keep of each type and version. More than none means that the store is read.
    pub samples: usize,
    /// Look at this many events only.
    pub limit: Option<u64>,
    /// What the policies allow.
    pub policies: Policies,
    /// Gaps in revisions need not be looked for: sealing the target will find them before the run is done. So it is
    /// where each event becomes one or more in its stream, since every gap of the source is one of the target then; where
    /// rules drop or move events, a gap may be closed by that.
    pub gaps_are_found_later: bool,
}

/// Looks at every event of a source while it is surveyed.
pub trait Look: Send {
    /// Takes the next event, in the order of the source.
    fn look(&mut self, event: &Event);
}

/// Surveys a source as [`survey`] does, and shows every event to `look`: then the source is read, though it could count
/// by itself. So one scan feeds whoever wants to see the events.
pub async fn survey_looking(
    reader: &dyn EventReader,
    registry: &Registry,
    options: &SurveyOptions,
    stop: &Stop,
    seen: impl FnMut(u64),
    look: &mut dyn Look,
) -> Result<Survey, PipelineError> {
    surveyed(reader, registry, options, stop, seen, Some(look)).await
}

/// Surveys a source. A store that can count by itself and guarantees its own order is asked, any other is read whole
/// and audited, in bounded memory. `seen` hears how many events were read.
pub async fn survey(
    reader: &dyn EventReader,
    registry: &Registry,
    options: &SurveyOptions,
    stop: &Stop,
    seen: impl FnMut(u64),
) -> Result<Survey, PipelineError> {
    surveyed(reader, registry, options, stop, seen, None).await
}

async fn surveyed(
    reader: &dyn EventReader,
    registry: &Registry,
    options: &SurveyOptions,
    stop: &Stop,
    mut seen: impl FnMut(u64),
    mut look: Option<&mut dyn Look>,
) -> Result<Survey, PipelineError> {
    if look.is_none() && !options.reads_everything(reader) {
        let census = reader.census(&options.scope, None).await.map_err(PipelineError::Source)?;
        if let Some(census) = census {
            let head = reader.head().await.map_err(PipelineError::Source)?;
            let types = census.into_iter().map(|(schema, tally)| covered(registry, schema, tally, vec![])).collect();
            return Ok(Survey { types, head, finding: None, complete: true, after: None });
        }
    }

    let audited = options.limit.is_none() && options.after.is_none() && !needs_no_audit(reader, options);
    let mut audit = if audited { Some(Audit::new().map_err(audit_failed)?) } else { None };
    let mut types: BTreeMap<(EventType, SchemaVersion), (Tally, Vec<Sample>)> = BTreeMap::new();
    let (mut read, mut head, mut complete) = (0, None, true);
    let mut batches = reader.read(ReadRequest::new(options.scope.clone()).after(options.after));
    while let Some(batch) = batches.next().await {
        let mut batch = batch.map_err(PipelineError::Source)?;
        if let Some(limit) = options.limit {
            let room = usize::try_from(limit - read).unwrap_or(usize::MAX);
            complete &= batch.len() <= room;
            batch.truncate(room);
        }
        if let Some(audit) = &mut audit {
            audit.add(&batch).map_err(audit_failed)?;
        }
        head = batch.last().map(|event| event.position).or(head);
        read += batch.len() as u64;
        seen(read);
        for event in batch {
            if let Some(look) = &mut look {
                look.look(&event);
            }
            count(&mut types, event, options.samples);
        }
        if !complete || stop.is_asked() {
            complete = false;
            break;
        }
    }

    let finding = match audit {
        Some(audit) if complete => {
            audit.finish(options.policies.revisions == Revisions::Dense && options.scope.holds_whole_streams())
        }
        _ => Ok(None),
    };
    let finding = match finding.map_err(audit_failed)? {
        Some(finding) => Some(named(reader, &options.scope, finding).await?),
        None => None,
    };
    let types = types.into_iter().map(|(schema, (tally, samples))| covered(registry, schema, tally, samples)).collect();
    Ok(Survey { types, head, finding, complete, after: options.after })
}

impl SurveyOptions {
    /// Whether a survey reads every event, and does not only ask the store to count them.
    pub fn reads_everything(&self, reader: &dyn EventReader) -> bool {
        self.samples > 0 || self.limit.is_some() || !needs_no_audit(reader, self)
    }
}

fn needs_no_audit(reader: &dyn EventReader, options: &SurveyOptions) -> bool {
    let guarantees = reader.capabilities().guarantees;
    let dense =
        guarantees.dense_revisions || options.policies.revisions == Revisions::Sparse || options.gaps_are_found_later;
    guarantees.unique_ids && guarantees.unique_revisions && dense
}

fn count(types: &mut BTreeMap<(EventType, SchemaVersion), (Tally, Vec<Sample>)>, event: Event, samples: usize) {
    let schema = (event.event_type.clone(), event.version);
    let (tally, kept) = types.entry(schema).or_insert_with(|| (Tally { events: 0, bytes: Some(0) }, Vec::new()));
    tally.events += 1;
    tally.bytes = tally.bytes.map(|bytes| bytes + (event.data.len() + event.metadata.len()) as u64);
    if kept.len() < samples {
        kept.push(event.detached());
    }
}

fn covered(registry: &Registry, schema: (EventType, SchemaVersion), tally: Tally, samples: Vec<Sample>) -> Covered {
    let (event_type, version) = schema;
    let coverage = registry.coverage(&event_type, version);
    Covered { event_type, version, tally, coverage, samples }
}

/// Learns the stream and id of the event that a finding is about.
async fn named(reader: &dyn EventReader, scope: &Scope, finding: Finding) -> Result<Finding, PipelineError> {
    if !reader.is_rereadable() {
        return Ok(finding);
    }
    let request = ReadRequest::new(scope.clone()).after(finding.position.just_before()).batch_events(NonZeroUsize::MIN);
    let mut batches = reader.read(request);
    let Some(batch) = batches.next().await else { return Ok(finding) };
    let batch = batch.map_err(PipelineError::Source)?;
    let event = batch.first().filter(|event| event.position == finding.position);
    Ok(Finding { event: event.map(|e| (e.stream.to_string(), e.id.to_string())), ..finding })
}

fn audit_failed(error: rusqlite::Error) -> PipelineError {
    PipelineError::Source(
        StoreError::new("audit", "the source", StoreErrorKind::Backend(Box::new(error)))
            .hint("the audit needs room for temporary files; TMPDIR says where"),
    )
}

impl Survey {
    /// The types and versions that no chain covers and the policies don't let pass.
    pub fn refused(&self, policies: Policies) -> Vec<&Covered> {
        let refuses = |covered: &&Covered| match covered.coverage.outcome {
            Outcome::Uncovered(Uncovered::UnknownType) => policies.unknown_types.0 == Unknown::Fail,
            Outcome::Uncovered(Uncovered::UnknownVersion { .. }) => policies.unknown_versions.0 == Unknown::Fail,
            Outcome::Current | Outcome::Lifted(_) => false,
        };
        self.types.iter().filter(refuses).collect()
    }

    /// The number of events.
    pub fn events(&self) -> u64 {
        self.types.iter().map(|covered| covered.tally.events).sum()
    }

    /// Fails where a run over this source would have to.
    pub fn prove(&self, source: &str, policies: Policies) -> Result<(), PipelineError> {
        if let Some(finding) = &self.finding {
            let finding = Box::new(finding.clone());
            return Err(PipelineError::Audit { source_name: source.to_owned(), finding });
        }
        let refused = self.refused(policies);
        if refused.is_empty() || policies.failed_events == FailedEvents::Quarantine {
            return Ok(());
        }
        let uncovered = refused
            .iter()
            .map(|covered| {
                let (name, version, events) = (&covered.event_type, covered.version, covered.tally.events);
                let unit = if events == 1 { "event" } else { "events" };
                format!("{name} version {version} ({events} {unit})")
            })
            .collect();
        Err(Refusal::Uncovered { uncovered }.into())
    }
}
