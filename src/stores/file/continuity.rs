//! Whether positions ascend and revisions go on, seen while a file is read from its start.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use eventlift_events::{Position, Revision, StreamName};
use xxhash_rust::xxh3::xxh3_128;

use super::config::Revisions;
use super::decode::LineError;

/// How many streams are remembered: about 26 MiB.
const STREAMS: usize = 900_000;

/// The last revision of every stream, up to a number of streams, by a 128-bit hash of its name.
pub(super) struct Continuity {
    last_position: Option<Position>,
    last_revisions: HashMap<Key, u64, BuildHasherDefault<AlreadyHashed>>,
    /// `None` checks nothing.
    revisions: Option<Revisions>,
    /// Whether a stream that is not remembered has had no event.
    knows_all: bool,
    most_streams: usize,
    /// The revision of a stream's first event as it is written.
    base: u64,
}

type Key = [u64; 2];

impl Continuity {
    /// For a read that sees every event (`from_start`) or begins somewhere.
    pub(super) fn new(revisions: Option<Revisions>, from_start: bool, base: u64) -> Self {
        Self {
            last_position: None,
            last_revisions: HashMap::default(),
            revisions,
            knows_all: from_start,
            most_streams: STREAMS,
            base,
        }
    }

    /// Takes the next position, which must be behind the one before.
    pub(super) fn take_position(&mut self, position: Position) -> Result<(), LineError> {
        match self.last_position.replace(position) {
            Some(last) if position <= last => {
                let what = if position == last { "the same as" } else { "before" };
                Err(LineError::new(format!(
                    "its position {position} is {what} the position {last} of the event before"
                ))
                .hint("sort the file by its order attribute, or set attributes.order to \"none\" to go by line"))
            }
            _ => Ok(()),
        }
    }

    /// Takes the next revision of a stream, which must go on where the stream was.
    pub(super) fn take_revision(&mut self, stream: &StreamName, revision: Revision) -> Result<(), LineError> {
        let Some(mode) = self.revisions else { return Ok(()) };
        let key = key(stream);
        let (expected, is_first) = match self.last_revisions.get_mut(&key) {
            Some(last) => {
                let expected = *last + 1;
                *last = revision.0;
                (expected, false)
            }
            None => {
                let is_first = self.knows_all;
                self.remember(key, revision.0);
                (if is_first && mode == Revisions::Dense { 0 } else { revision.0 }, is_first)
            }
        };
        let is_gap = revision.0 > expected && mode == Revisions::Dense;
        if revision.0 >= expected && !is_gap {
            return Ok(());
        }
        let message = format!("stream {stream} goes on with revision {revision}, but {expected} is next");
        let hint = match is_gap {
            true if is_first && self.base == 0 && revision == Revision(1) => {
                "if streams count from 1, set revision_base = 1 under [source.attributes]; else an event is missing before \
                 it, and if gaps are meant to be, set revisions = \"sparse\" under [policy]"
            }
            true => "an event is missing before it; if gaps are meant to be, set revisions = \"sparse\" under [policy]",
            false => "the event is there twice, or two streams share a name",
        };
        Err(LineError::new(message).hint(hint))
    }

    /// The number of the next event of a stream, where the file has no revisions of its own.
    pub(super) fn number(&mut self, stream: &StreamName) -> Result<Revision, LineError> {
        let key = key(stream);
        if let Some(last) = self.last_revisions.get_mut(&key) {
            *last += 1;
            return Ok(Revision(*last));
        }
        if self.last_revisions.len() >= self.most_streams {
            let most = self.most_streams;
            return Err(LineError::new(format!("there are more than {most} streams, too many to number their events"))
                .hint("write the revisions into the file and set attributes.revision to the attribute they are in"));
        }
        self.last_revisions.insert(key, 0);
        Ok(Revision(0))
    }

    fn remember(&mut self, key: Key, revision: u64) {
        if self.last_revisions.len() < self.most_streams {
            self.last_revisions.insert(key, revision);
        } else {
            self.knows_all = false;
        }
    }
}

fn key(stream: &StreamName) -> Key {
    let hash = xxh3_128(stream.as_str().as_bytes());
    [hash as u64, (hash >> 64) as u64]
}

/// The keys are hashes already.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut number = [0; 8];
            number[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(number);
        }
    }
    fn write_u64(&mut self, number: u64) {
        self.0 ^= number;
    }
    fn write_usize(&mut self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(number: usize) -> StreamName {
        StreamName::new(format!("s-{number}")).unwrap()
    }

    #[test]
    fn streams_beyond_the_memory_are_not_checked_and_not_numbered() {
        let mut continuity = Continuity::new(Some(Revisions::Dense), true, 0);
        continuity.most_streams = 2;
        for number in 0..4 {
            continuity.take_revision(&stream(number), Revision(0)).unwrap();
        }
        assert!(continuity.take_revision(&stream(1), Revision(2)).is_err());
        assert!(continuity.take_revision(&stream(3), Revision(7)).is_ok());

        let mut numbers = Continuity::new(Some(Revisions::Dense), true, 0);
        numbers.most_streams = 1;
        assert_eq!(numbers.number(&stream(0)), Ok(Revision(0)));
        assert_eq!(numbers.number(&stream(0)), Ok(Revision(1)));
        assert!(numbers.number(&stream(1)).is_err());
    }
}
