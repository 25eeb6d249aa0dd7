//! What a run remembers: how far it is, what its stages keep between batches, and which run it was.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::position::Position;
use crate::stream::Revision;
use crate::timestamp::Timestamp;

/// The identity of a run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    /// A new identity.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::try_parse(text).map(Self)
    }
}

/// How far a run is: everything of its scope up to and including `source` is in the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The last source position that is done.
    pub source: Position,
    /// The last target position that was given out, if any event was written.
    pub target: Option<Position>,
    /// What happened up to here, from the start of the run.
    pub counts: Counts,
}

/// What a run did to the events it read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Events read from the source.
    pub read: u64,
    /// Events that some transformer changed, split or dropped.
    pub lifted: u64,
    /// Events that became none.
    pub dropped: u64,
    /// Events that became more than one.
    pub split: u64,
    /// Events appended to the target.
    pub written: u64,
}

/// A range of positions of a bulk load that is loaded by itself, while others are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoadRange {
    /// Its place among the ranges of its run, from 0.
    pub index: u32,
    /// It starts behind this position; at the first event if none.
    pub after: Option<Position>,
    /// It ends with this position.
    pub until: Position,
    /// The last position in it that is done, of source and target alike.
    pub done: Option<Position>,
    /// What happened up to there, from the range's start.
    pub counts: Counts,
    /// Whether all of it is in.
    pub is_complete: bool,
}

/// What is committed together with a batch of events: the checkpoint and what changed behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Whose progress.
    pub run: RunId,
    /// How far the run is once the batch is in.
    pub checkpoint: Checkpoint,
    /// State entries that changed since the last checkpoint, each key at most once.
    pub state: Vec<StateChange>,
    /// Position ranges that are new or have changed since the last checkpoint; a range replaces the stored one that
    /// starts at the same source position, and one of no length takes it away.
    pub positions: Vec<PositionRange>,
    /// Late positions that are new since the last checkpoint.
    pub late: Vec<LatePosition>,
    /// Notes that changed since the last checkpoint, each at most once.
    pub notes: Vec<NoteChange>,
    /// Where each of the batch's events came from, in their order, for a store that
    /// [keeps that](crate::store::EventWriter::keeps_origins); otherwise empty.
    pub origins: Vec<EventOrigin>,
}

/// Where an event was in the store that it was read from. Its time and id are still its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventOrigin {
    /// Its revision there.
    pub revision: Revision,
    /// Its position there.
    pub position: Position,
}

/// A note that a run keeps in one of its books: unlike state, notes have an order and can be listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoteChange {
    /// Which book: `quarantine`, `cut-over` …
    pub book: ByteString,
    /// Its key, of 1,000 bytes at most; a book is in the order of the bytes of its keys.
    pub key: ByteString,
    /// Its new value, or none to strike it out.
    pub value: Option<Bytes>,
}

/// The key of something that a stage keeps per stream between batches.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StateKey {
    /// Which stage or transformer keeps it.
    pub owner: ByteString,
    /// For which stream.
    pub stream: ByteString,
}

/// A new value for a key, or none to forget it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateChange {
    /// Which entry.
    pub key: StateKey,
    /// Its new value.
    pub value: Option<Bytes>,
}

/// A range of the position map: which target positions the source positions became.
///
/// Either both lengths are equal and the positions pair up one by one, or `source_length` is 1 and one event became
/// `target_length` events. Dropped events have no range.
///
/// The ranges of a run ascend in the source and in the target alike: what lies before a range in the target was made
/// only of what lies before it in the source. Events for which that is not so are [late](LatePosition).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PositionRange {
    /// The first source position.
    pub source: Position,
    /// How many consecutive source positions.
    pub source_length: u64,
    /// The first target position.
    pub target: Position,
    /// How many consecutive target positions.
    pub target_length: u64,
}

/// Target positions of events that were made of a source position, where no range can say so: an event behind it in
/// the target was made of something before it in the source. Events that were released from quarantine are late, and
/// so is what several events became, for all of them but the last.
///
/// Before every late event of the target stands one that was made of the same or of a later event of the source, and
/// that has a [range](PositionRange). So a reader that has not done the late event has not done that one either.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LatePosition {
    /// The source position.
    pub source: Position,
    /// The first target position.
    pub target: Position,
    /// How many consecutive target positions.
    pub target_length: u64,
}

/// Late events that begin at one target position, and what they were made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LateEvents {
    /// The first target position.
    pub target: Position,
    /// How many consecutive target positions.
    pub target_length: u64,
    /// The first source position that they were made of, of those that are late.
    pub first_source: Position,
    /// The last of those.
    pub last_source: Position,
}

/// One run, as the ledger keeps it in the target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunRecord {
    /// Its identity.
    pub id: RunId,
    /// Where it stands.
    pub state: RunState,
    /// Which store it reads: the key of its [`StoreIdentity`](crate::store::StoreIdentity).
    pub source: String,
    /// Fingerprint of everything that decides the result: transformers, scope, policies.
    pub fingerprint: String,
    /// The parts the fingerprint was made of, name and fingerprint each, so that a refusal can say what changed.
    pub parts: Vec<(String, String)>,
    /// When it was started first.
    pub started_at: Timestamp,
    /// When this record was written last.
    pub updated_at: Timestamp,
    /// The version of eventlift that wrote it.
    pub tool: String,
    /// What it was made of and how it went, for people.
    pub details: RunDetails,
}

/// What a run was made of and how it went. Nothing is decided by it; it holds no secrets.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunDetails {
    /// The source, for people: a URL without its password.
    pub source: String,
    /// The target, in the same way.
    pub target: String,
    /// The rules as they were when they were applied last, in their order.
    pub rules: Vec<AppliedRule>,
    /// Rules that it applied before, in the order in which they were replaced or taken away.
    pub superseded: Vec<SupersededRule>,
    /// Each time that somebody started it, the latest last; the oldest of very many are left out.
    pub sessions: Vec<RunSession>,
}

impl RunDetails {
    /// How many sessions are kept, the latest.
    pub const KEPT_SESSIONS: usize = 200;

    /// Adds a session as the latest, and leaves out the oldest of too many.
    pub fn add_session(&mut self, session: RunSession) {
        self.sessions.push(session);
        let surplus = self.sessions.len().saturating_sub(Self::KEPT_SESSIONS);
        self.sessions.drain(..surplus);
    }
}

/// A rule that a run applied.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AppliedRule {
    /// Its name, as in [`RunRecord::parts`].
    pub name: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// The file it was read from, where it was; from the project's folder.
    pub file: Option<String>,
    /// Its source text, where it has one.
    pub text: Option<String>,
    /// Since when the run has applied it; none where that is not known.
    pub since: Option<Timestamp>,
}

/// A rule that a run applied up to some moment, and not any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SupersededRule {
    /// The rule as it was.
    #[serde(flatten)]
    pub rule: AppliedRule,
    /// When it was replaced, or taken away.
    pub until: Timestamp,
    /// Who did that: user and host.
    pub by: String,
}

/// One start of a run, up to its end or up to now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RunSession {
    /// What was started: `migrate`, `cutover` …
    pub command: String,
    /// Who: user and host.
    pub by: String,
    /// The version of eventlift.
    pub tool: String,
    /// When.
    pub began_at: Timestamp,
    /// When it ended; none while it runs, or where it was killed.
    pub ended_at: Option<Timestamp>,
    /// What was done in it.
    pub counts: Counts,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// How it ended: `done`, `stopped`, or what failed; empty while it runs.
    pub result: String,
}

/// Where a run stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Events are being appended, or were when the process ended.
    Loading,
    /// Every event is in; indexes and checks are being made.
    Sealing,
    /// Done: everything the source held is in and checked.
    Done,
    /// Taken back: what it wrote was removed.
    RolledBack,
}

impl RunState {
    /// The name that is stored and printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Sealing => "sealing",
            Self::Done => "done",
            Self::RolledBack => "rolled_back",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for RunState {
    type Err = UnknownRunState;
    fn from_str(text: &str) -> Result<Self, UnknownRunState> {
        match text {
            "loading" => Ok(Self::Loading),
            "sealing" => Ok(Self::Sealing),
            "done" => Ok(Self::Done),
            "rolled_back" => Ok(Self::RolledBack),
            _ => Err(UnknownRunState(text.to_owned())),
        }
    }
}

/// Text that names no run state, for example one of a newer version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a run's state (expected loading, sealing, done or rolled_back)")]
pub struct UnknownRunState(pub String);
