//! What a run holds: which streams are in quarantine, and what changes about that with the next commit.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use bytestring::ByteString;
use eventlift_events::{CheckpointStore, Event, NoteChange, Position, RunId, StoreError, StreamName, Timestamp};
use serde::Serialize;

use super::books::{self, Discarded, Failed, Numbering, QuarantinedStream, held_note, no_longer_held};
use crate::pipeline::error::PipelineError;

/// How much may be in quarantine before a run stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuarantineLimits {
    /// How many streams.
    pub streams: u64,
    /// How many events, those that wait included.
    pub events: u64,
}

impl Default for QuarantineLimits {
    fn default() -> Self {
        Self { streams: 1_000, events: 100_000 }
    }
}

/// How much is in quarantine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Quarantined {
    /// How many streams.
    pub streams: u64,
    /// How many events, those that wait included.
    pub events: u64,
}

impl fmt::Display for Quarantined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (event, are) = if self.events == 1 { ("event", "is") } else { ("events", "are") };
        let stream = if self.streams == 1 { "stream" } else { "streams" };
        write!(f, "{} {event} of {} {stream} {are} in quarantine", self.events, self.streams)
    }
}

/// How many failures an error names.
pub(super) const NAMED: usize = 3;

/// The streams in quarantine as a run sees them: as committed, and what was added since.
#[derive(Debug, Default)]
pub(in crate::pipeline) struct Holding {
    /// Whether an event that fails brings its stream here; one that is here already waits in any case.
    opens: bool,
    limits: QuarantineLimits,
    streams: HashMap<StreamName, QuarantinedStream>,
    /// How many events are held.
    events: u64,
    /// The positions of the events that were given up, ascending, by stream.
    discarded: HashMap<StreamName, Vec<Position>>,
    pub(in crate::pipeline) numbering: Numbering,
    /// The same, as it is committed.
    committed_numbering: Numbering,
    /// The streams whose notes have changed since the last commit.
    changed: BTreeSet<StreamName>,
    /// What else is to be noted since then: events that are held, or are no more.
    held: Vec<NoteChange>,
}

impl Holding {
    /// Nothing is held, and an event that fails is for the caller; these were given up.
    pub(in crate::pipeline) fn nothing(discarded: HashMap<StreamName, Vec<Position>>) -> Self {
        Self { discarded, ..Self::default() }
    }

    /// What a run holds, as it is committed.
    pub(in crate::pipeline) async fn load(
        ledger: &dyn CheckpointStore,
        run: RunId,
        opens: bool,
        limits: QuarantineLimits,
    ) -> Result<Self, StoreError> {
        let mut streams = HashMap::new();
        let mut events = 0;
        for stream in books::quarantined_streams(ledger, run).await? {
            events += stream.held;
            streams.insert(stream.name()?, stream);
        }
        let discarded = by_stream(books::discarded(ledger, run).await?)?;
        let numbering = Numbering::load(ledger, run).await?;
        let committed_numbering = numbering;
        let loaded =
            Self { opens, limits, streams, events, discarded, numbering, committed_numbering, ..Self::default() };
        Ok(loaded)
    }

    /// Whether an event that fails brings its stream here.
    pub(in crate::pipeline) fn opens(&self) -> bool {
        self.opens
    }

    /// Whether events must come with what they were before any rule.
    pub(in crate::pipeline) fn needs_sources(&self) -> bool {
        self.opens || self.is_uneven()
    }

    /// Whether some stream is held, or goes on behind an event that was given up.
    pub(in crate::pipeline) fn is_uneven(&self) -> bool {
        !self.streams.is_empty() || !self.discarded.is_empty()
    }

    pub(in crate::pipeline) fn holds(&self, stream: &StreamName) -> bool {
        self.streams.contains_key(stream)
    }

    /// How many events of the stream before a position were given up: by so much its revisions are less.
    pub(in crate::pipeline) fn given_up_before(&self, stream: &StreamName, position: Position) -> u64 {
        let positions = self.discarded.get(stream).map_or(&[][..], Vec::as_slice);
        positions.partition_point(|given_up| *given_up < position) as u64
    }

    pub(in crate::pipeline) fn quarantined(&self) -> Quarantined {
        Quarantined { streams: self.streams.len() as u64, events: self.events }
    }

    /// Brings the stream of an event that failed here, or gives the error back where that is not wanted.
    pub(in crate::pipeline) fn open(&mut self, event: &Event, error: PipelineError) -> Result<(), PipelineError> {
        if !self.opens {
            return Err(error);
        }
        if self.streams.len() as u64 >= self.limits.streams || self.events >= self.limits.events {
            return Err(self.full(Some(Failed::of(event, &error))));
        }
        let stream = QuarantinedStream {
            stream: event.stream.to_string(),
            first: event.position,
            failed: Failed::of(event, &error),
            since: Timestamp::now(),
            held: 1,
        };
        self.held.push(held_note(stream.first, event));
        self.events += 1;
        let name = stream.name().map_err(PipelineError::Target)?;
        self.changed.insert(name.clone());
        self.streams.insert(name, stream);
        Ok(())
    }

    /// Has an event wait behind the one that its stream failed on.
    pub(in crate::pipeline) fn wait(&mut self, event: &Event) -> Result<(), PipelineError> {
        if self.events >= self.limits.events {
            return Err(self.full(None));
        }
        let Some((name, stream)) = self.streams.get_key_value(&event.stream) else { return Ok(()) };
        self.held.push(held_note(stream.first, event));
        self.changed.insert(name.clone());
        if let Some(stream) = self.streams.get_mut(&event.stream) {
            stream.held += 1;
        }
        self.events += 1;
        Ok(())
    }

    /// Takes events of a stream, whose notes have these keys, out again, and notes what is left of the stream.
    pub(super) fn take_out(
        &mut self,
        before: &QuarantinedStream,
        keys: &[ByteString],
        left: Option<&QuarantinedStream>,
    ) {
        self.held.extend(keys.iter().map(no_longer_held));
        self.held.push(left.map_or_else(|| before.struck_out(), QuarantinedStream::note));
        self.events -= keys.len() as u64;
    }

    /// Notes something else with the next commit.
    pub(super) fn note(&mut self, note: NoteChange) {
        self.held.push(note);
    }

    /// The notes to be committed with the events since the last commit.
    pub(in crate::pipeline) fn notes(&self) -> Vec<NoteChange> {
        let changed = self.changed.iter().filter_map(|name| self.streams.get(name));
        let numbering = (self.numbering != self.committed_numbering).then(|| self.numbering.note());
        changed.map(QuarantinedStream::note).chain(self.held.iter().cloned()).chain(numbering).collect()
    }

    /// Says that they are committed.
    pub(in crate::pipeline) fn committed(&mut self) {
        self.changed.clear();
        self.held.clear();
        self.committed_numbering = self.numbering;
    }

    fn full(&self, last: Option<Failed>) -> PipelineError {
        let failures = self.streams.values().map(|stream| (&stream.stream, &stream.failed));
        let mut failures: Vec<_> = failures.collect();
        failures.sort_by_key(|(_, failed)| failed.position);
        let mut reasons: Vec<String> =
            failures.iter().take(NAMED).map(|(stream, failed)| reason(stream, failed)).collect();
        if reasons.is_empty() {
            reasons.extend(last.iter().map(|failed| format!("event {}: {}", failed.id, failed.reason)));
        }
        PipelineError::QuarantineFull { held: self.quarantined(), limits: self.limits, reasons }
    }
}

/// Why a stream is in quarantine, on one line.
pub(super) fn reason(stream: &str, failed: &Failed) -> String {
    let Failed { id, position, event_type, version, rule, reason, .. } = failed;
    format!("event {id} of stream {stream} (position {position}, {event_type} version {version}) by {rule}: {reason}")
}

/// The positions of events that were given up, ascending, by stream.
pub(super) fn by_stream(discarded: Vec<Discarded>) -> Result<HashMap<StreamName, Vec<Position>>, StoreError> {
    let mut by_stream: HashMap<StreamName, Vec<Position>> = HashMap::new();
    for event in discarded {
        let name = books::stream_name(&event.stream)?;
        by_stream.entry(name).or_default().push(event.failed.position);
    }
    by_stream.values_mut().for_each(|positions| positions.sort_unstable());
    Ok(by_stream)
}
