//! Appends what was planned: the lanes at the same time, each in its order.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use eventlift_events::{Revision, StoreError, StoreErrorKind, StreamName};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::chunk::{Limit, fitting, size};
use super::courier::{Answer, Courier};
use super::entry::Entry;
use super::ledger::Findings;
use super::look::{End, Look};
use super::plan::{Lane, Plan, Step};
use super::truncation::{Truncation, brings_back, says_the_same, speaks_of_revisions};

/// How many events are asked for at once where they are compared.
const COMPARED: usize = 1_000;

/// Appends to a server.
pub(super) struct Appender {
    courier: Courier,
    look: Look,
    limit: Limit,
    /// The key that holds original revisions, where it is in use.
    revision_key: Option<String>,
    /// How far the log of the server is, at least; 0 for not known.
    commit: AtomicU64,
}

/// What is known before an append of streams that are in it.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Streams that are deleted for good: their events are passed over.
    pub(super) deleted: BTreeSet<String>,
    /// Streams that this writer deletes for good in this append, or may have in one before that is repeated.
    pub(super) ending: BTreeSet<String>,
    /// Streams some of whose revisions are not those of the source.
    pub(super) shifted: BTreeSet<String>,
    /// Whether a stream that turns out to be deleted for good may be one whose tombstone is yet to come.
    pub(super) tombstones_may_come: bool,
}

/// How a step ended.
enum Ended {
    Done,
    /// The stream is deleted for good.
    Deleted,
}

/// What became of a chunk.
enum Chunk {
    /// So many of its events are there.
    There(usize),
    /// It has to be smaller.
    TooLarge,
    /// The stream is deleted for good.
    Deleted,
}

/// What a lane found out.
#[derive(Default)]
struct LaneEnd {
    deleted: Option<String>,
    ended: Option<String>,
}

impl Appender {
    pub(super) fn new(courier: Courier, limit: Option<usize>, revision_key: Option<String>) -> Self {
        let look = Look::new(courier.client().clone(), courier.display().clone(), courier.patience());
        Self { courier, look, limit: Limit::new(limit), revision_key, commit: AtomicU64::new(0) }
    }

    pub(super) fn look(&self) -> &Look {
        &self.look
    }

    /// What was learnt of the server's limit since it was opened.
    pub(super) fn learnt(&self) -> Option<usize> {
        self.limit.learnt()
    }

    /// Appends everything of a plan, so many lanes at the same time, and returns what was found out. After an error some of
    /// it may be there: the same again adds the rest.
    pub(super) async fn append(
        self: &Arc<Self>,
        plan: Plan,
        known: Known,
        in_flight: usize,
    ) -> Result<Findings, StoreError> {
        let known = Arc::new(known);
        let lanes = plan.lanes.into_iter().map(|lane| {
            let (appender, known) = (Arc::clone(self), Arc::clone(&known));
            async move { appender.lane(lane, &known).await }
        });
        let mut ends = stream::iter(lanes).buffer_unordered(in_flight);
        let mut findings = Findings { shifted: plan.shifted, ..Findings::default() };
        while let Some(end) = ends.try_next().await? {
            findings.deleted.extend(end.deleted);
            findings.ended.extend(end.ended);
        }
        findings.deleted.retain(|stream| !findings.ended.contains(stream));
        findings.limit = self.learnt();
        findings.commit = Some(self.commit.load(Ordering::Relaxed)).filter(|commit| *commit > 0);
        Ok(findings)
    }

    async fn lane(&self, lane: Lane, known: &Known) -> Result<LaneEnd, StoreError> {
        let mut end = LaneEnd::default();
        let mut is_deleted = known.deleted.contains(&lane.stream);
        for step in lane.steps {
            let ended = match step {
                Step::Tombstone => {
                    self.courier.tombstone(&lane.stream).await?;
                    end.ended = Some(lane.stream.clone());
                    continue;
                }
                _ if is_deleted => continue,
                Step::Events(entries) => self.events(&lane.stream, &entries).await?,
                Step::Metadata { entry, has_origin, is_shifted } => {
                    let is_shifted = is_shifted || known.shifted.contains(&lane.stream);
                    let entry = match has_origin && speaks_of_revisions(&entry) {
                        // What it hides now is needed to tell what it means.
                        true if self.has_metadata(&lane.stream, &entry).await? => continue,
                        true => self.mapped(&lane.stream, entry, is_shifted).await?,
                        false => entry,
                    };
                    self.metadata(&lane.stream, entry).await?
                }
            };
            match ended {
                Ended::Done => {}
                Ended::Deleted if known.tombstones_may_come || known.ending.contains(&lane.stream) => {
                    is_deleted = true;
                    end.deleted = Some(lane.stream.clone());
                }
                Ended::Deleted => return Err(self.deleted(&lane.stream)),
            }
        }
        Ok(end)
    }

    async fn mapped(&self, stream: &str, entry: Entry, is_shifted: bool) -> Result<Entry, StoreError> {
        let revision_key = self.revision_key.as_deref();
        let truncation = Truncation { look: &self.look, revision_key, display: self.courier.display() };
        truncation.mapped(stream, entry, is_shifted).await
    }

    /// Appends consecutive events of a stream.
    async fn events(&self, stream: &str, entries: &[Entry]) -> Result<Ended, StoreError> {
        let mut rest = entries;
        while !rest.is_empty() {
            let (chunk, _) = rest.split_at(fitting(rest, self.limit.bytes()));
            match self.chunk(stream, chunk).await? {
                Chunk::There(count) => rest = &rest[count..],
                Chunk::TooLarge => {}
                Chunk::Deleted => return Ok(Ended::Deleted),
            }
        }
        Ok(Ended::Done)
    }

    /// Appends one chunk, or finds how much of it is there.
    async fn chunk(&self, stream: &str, chunk: &[Entry]) -> Result<Chunk, StoreError> {
        let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { return Ok(Chunk::There(0)) };
        let current = match self.courier.append(stream, chunk).await? {
            Answer::Appended { last: found, commit } => return self.appended(stream, chunk, found, commit),
            Answer::Deleted => return Ok(Chunk::Deleted),
            Answer::TooLarge { takes, says } => return self.too_large(stream, chunk, takes, &says),
            Answer::Elsewhere { current } => current,
        };
        match current {
            Some(found) if found >= last.revision => {
                self.must_be_there(stream, chunk, found).await?;
                Ok(Chunk::There(chunk.len()))
            }
            Some(found) if found >= first.revision => {
                // The rest is appended by the next round, behind what is there.
                let there = usize::try_from(found - first.revision + 1).unwrap_or(chunk.len());
                self.overlap(stream, &chunk[..there.min(chunk.len())], found).await
            }
            found => Err(self.conflict(stream, first, found)),
        }
    }

    /// The beginning of a chunk that the stream has already, to its end: by the same ids, or it is a conflict. The server
    /// is asked first, since it also knows of events that can't be read any more.
    async fn overlap(&self, stream: &str, there: &[Entry], found: u64) -> Result<Chunk, StoreError> {
        match self.courier.append_alone(stream, there).await? {
            Answer::Appended { last, commit } => self.appended(stream, there, last, commit),
            Answer::Deleted => Ok(Chunk::Deleted),
            Answer::TooLarge { takes, says } => self.too_large(stream, there, takes, &says),
            Answer::Elsewhere { .. } => {
                self.must_be_there(stream, there, found).await?;
                Ok(Chunk::There(there.len()))
            }
        }
    }

    /// A server counts on where a stream was deleted softly, whatever was expected.
    fn appended(
        &self,
        stream: &str,
        chunk: &[Entry],
        found: Option<u64>,
        commit: Option<u64>,
    ) -> Result<Chunk, StoreError> {
        self.commit.fetch_max(commit.unwrap_or_default(), Ordering::Relaxed);
        if found == chunk.last().map(|last| last.revision) {
            return Ok(Chunk::There(chunk.len()));
        }
        let expected = chunk.last().map(|last| last.revision.to_string()).unwrap_or_default();
        let found = found.map_or("none".to_owned(), |found| found.to_string());
        let problem = format!(
            "the server gave the last of {} events revision {found} instead of {expected}: the stream was deleted there \
             before, and goes on counting",
            chunk.len()
        );
        Err(StoreError::new("append to", self.courier.display(), StoreErrorKind::Unexpected(problem))
            .at(format_args!("stream {stream}"))
            .hint("migrate into a server, or into streams, that nobody else writes to"))
    }

    fn too_large(&self, stream: &str, chunk: &[Entry], takes: Option<usize>, says: &str) -> Result<Chunk, StoreError> {
        let bytes = size(chunk);
        match chunk {
            [alone] => {
                let limit = takes.map_or(says.to_owned(), |takes| format!("it takes {takes} bytes"));
                let problem = format!("event {} has {bytes} bytes, too many for the server: {limit}", alone.id);
                Err(StoreError::new("append to", self.courier.display(), StoreErrorKind::Unsupported(problem))
                    .at(format_args!("stream {stream}, revision {}", alone.revision))
                    .hint("raise MaxAppendSize in the server's configuration, or make the event smaller with a rule"))
            }
            _ => {
                self.limit.learn(bytes, takes);
                Ok(Chunk::TooLarge)
            }
        }
    }

    /// Whether an event of a stream's metadata is there: under its id, or as the server has written it by itself.
    async fn has_metadata(&self, of_stream: &str, entry: &Entry) -> Result<bool, StoreError> {
        let stream = format!("$${of_stream}");
        let End::At(last) = self.look.end(&stream).await? else { return Ok(false) };
        if last.revision < entry.revision {
            return Ok(false);
        }
        let there = match last.revision == entry.revision {
            true => Some(last),
            false => self.look.in_log(&stream, Some(entry.revision)).await?,
        };
        let Some(there) = there else { return Ok(false) };
        if there.id == entry.id {
            return Ok(true);
        }
        let Some(before) = entry.revision.checked_sub(1) else { return Ok(false) };
        let before = self.look.in_log(&stream, Some(before)).await?;
        Ok(before.is_some_and(|before| brings_back(&before.data, &there.data, &entry.data)))
    }

    /// Appends one event of a stream's metadata. At a revision that is taken, one that says the same is as good: the server
    /// writes some by itself.
    async fn metadata(&self, of_stream: &str, entry: Entry) -> Result<Ended, StoreError> {
        let stream = format!("$${of_stream}");
        let chunk = std::slice::from_ref(&entry);
        let current = match self.courier.append(&stream, chunk).await? {
            Answer::Appended { last, commit } => {
                self.appended(&stream, chunk, last, commit)?;
                return Ok(Ended::Done);
            }
            Answer::Deleted => return Ok(Ended::Deleted),
            Answer::TooLarge { takes, says } => {
                return self.too_large(&stream, chunk, takes, &says).map(|_| Ended::Done);
            }
            Answer::Elsewhere { current } => current,
        };
        if current.is_none_or(|current| current < entry.revision) {
            return Err(self.conflict(&stream, &entry, current));
        }
        // Of metadata only the last can be read as a stream.
        let seen = self.look.from(&stream, entry.revision, 1).await?.into_iter().next();
        let there = match seen.filter(|seen| seen.revision == entry.revision) {
            Some(seen) => Some(seen),
            None => self.look.in_log(&stream, Some(entry.revision)).await?,
        };
        match there {
            Some(there) if there.id == entry.id || says_the_same(&there.data, &entry.data) => Ok(Ended::Done),
            _ => Err(self.conflict(&stream, &entry, current)),
        }
    }

    /// Fails unless the stream has these events, naming the first that differs. `found` is its last revision.
    async fn must_be_there(&self, stream: &str, entries: &[Entry], found: u64) -> Result<(), StoreError> {
        for part in entries.chunks(COMPARED) {
            let Some(first) = part.first() else { continue };
            let seen = self.look.from(stream, first.revision, part.len()).await?;
            let ids: HashMap<_, _> = seen.into_iter().map(|seen| (seen.revision, seen.id)).collect();
            // What can't be read any more is no sign of anything while another one differs.
            let differs = part.iter().find(|entry| ids.get(&entry.revision).is_some_and(|id| *id != entry.id));
            let missing = part.iter().find(|entry| !ids.contains_key(&entry.revision));
            if let Some(entry) = differs.or(missing) {
                return Err(self.conflict(stream, entry, Some(found)));
            }
        }
        Ok(())
    }

    fn conflict(&self, stream: &str, entry: &Entry, found: Option<u64>) -> StoreError {
        let kind = match StreamName::new(stream.to_owned()) {
            Ok(stream) => StoreErrorKind::RevisionConflict {
                stream,
                revision: Revision(entry.revision),
                id: entry.id(),
                found: found.map(Revision),
            },
            Err(error) => StoreErrorKind::Unexpected(error.to_string()),
        };
        let error = StoreError::new("append to", self.courier.display(), kind);
        match found {
            Some(found) if found >= entry.revision => error.hint(
                "somebody else writes to this stream, or it was migrated with other rules: take a server, or names of \
                 streams, that are the migration's alone",
            ),
            _ => error,
        }
    }

    fn deleted(&self, stream: &str) -> StoreError {
        let problem = "it was deleted for good on the server, which takes no more events of it".to_owned();
        StoreError::new("append to", self.courier.display(), StoreErrorKind::Unexpected(problem))
            .at(format_args!("stream {stream}"))
            .hint(
                "rename the stream with a rule, or leave it out: a name that was deleted for good is never free again",
            )
    }
}
