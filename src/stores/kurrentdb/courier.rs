//! Sends appends: several at the same time over one batch session, and one by one where that says too little.

use std::sync::Arc;
use std::time::Duration;

use eventlift_events::{StoreError, StoreErrorKind};
use eventstore::{
    AppendToStreamOptions, BatchAppendClient, BatchAppendOptions, Client, CurrentRevision, Error, EventData,
    StreamState, TombstoneStreamOptions,
};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::entry::Entry;
use super::failure::{store_error, unavailable};

/// Batch sessions that one append is tried on: a session ends at the first append that fails, and takes the others along.
const SESSIONS: usize = 3;

/// How often a node that is not the leader is asked again. The client goes over to the leader by itself.
const LEADERS: u32 = 7;

/// The wait before it is asked again for the first time; each is twice as long as the one before.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Codes of gRPC.
const INVALID_ARGUMENT: i32 = 3;
const RESOURCE_EXHAUSTED: i32 = 8;
const OUT_OF_RANGE: i32 = 11;

/// What became of an append.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// It is in, or was in before.
    Appended {
        /// The stream's revision behind it.
        last: Option<u64>,
        /// How far the log is.
        commit: Option<u64>,
    },
    /// The stream is not where it should be.
    Elsewhere {
        /// Its last revision.
        current: Option<u64>,
    },
    /// The stream was deleted for good.
    Deleted,
    /// Too many bytes.
    TooLarge {
        /// What the server takes, if it says so.
        takes: Option<usize>,
        /// What it says.
        says: String,
    },
}

/// One batch session, and how many were before it.
struct Session {
    number: u64,
    open: Option<Arc<BatchAppendClient>>,
}

/// Sends appends to a server.
pub(super) struct Courier {
    client: Client,
    display: String,
    /// How long an answer may take.
    patience: Duration,
    session: Mutex<Session>,
}

impl Courier {
    pub(super) fn new(client: Client, display: String, patience: Duration) -> Self {
        Self { client, display, patience, session: Mutex::new(Session { number: 0, open: None }) }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn display(&self) -> &String {
        &self.display
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Appends events to a stream whose last revision is expected to be the one before the first of them. An append that
    /// was lost on its way is sent again, which changes nothing where it had arrived.
    pub(super) async fn append(&self, stream: &str, entries: &[Entry]) -> Result<Answer, StoreError> {
        let expected = expected(entries);
        for _ in 0..SESSIONS {
            let (number, session) = match self.session().await {
                Ok(open) => open,
                Err(Error::UnsupportedFeature) => break,
                Err(error) => return Err(self.failed(error)),
            };
            let sent = session.append_to_stream(stream, expected, messages(&self.display, stream, entries)?);
            match timeout(self.patience, sent).await {
                Ok(Ok(done)) => {
                    let commit = done.current_position().map(|position| position.commit);
                    return Ok(Answer::Appended { last: done.current_revision(), commit });
                }
                Ok(Err(error)) => {
                    self.end(number).await;
                    match too_large(&error, entries) {
                        Some(answer @ Answer::TooLarge { takes: Some(_), .. }) => return Ok(answer),
                        // In a request of its own, the server says how much it takes.
                        Some(_) => break,
                        None if is_of_another(&error) => {}
                        None => break,
                    }
                }
                Err(_) => {
                    self.end(number).await;
                    break;
                }
            }
        }
        self.append_alone(stream, entries).await
    }

    /// The same in a request of its own, whose errors say more.
    pub(super) async fn append_alone(&self, stream: &str, entries: &[Entry]) -> Result<Answer, StoreError> {
        let options = AppendToStreamOptions::default().stream_state(expected(entries));
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            let messages = messages(&self.display, stream, entries)?;
            let sent = self.client.append_to_stream(stream, &options, messages);
            let Ok(answer) = timeout(self.patience, sent).await else { return Err(self.nobody_answered()) };
            return match answer {
                Ok(done) => {
                    Ok(Answer::Appended { last: Some(done.next_expected_version), commit: Some(done.position.commit) })
                }
                Err(Error::WrongExpectedVersion { current: CurrentRevision::Current(current), .. }) => {
                    Ok(Answer::Elsewhere { current: Some(current) })
                }
                Err(Error::WrongExpectedVersion { current: CurrentRevision::NoStream, .. }) => {
                    Ok(Answer::Elsewhere { current: None })
                }
                Err(Error::ResourceDeleted) => Ok(Answer::Deleted),
                Err(Error::NotLeaderException(_)) if attempt < LEADERS => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                    continue;
                }
                Err(error) => match too_large(&error, entries) {
                    Some(too_large) => Ok(too_large),
                    None => Err(self.refused(error).at(format_args!("stream {stream}"))),
                },
            };
        }
        Err(self.nobody_answered())
    }

    /// Deletes a stream for good. One that is deleted already is as good.
    pub(super) async fn tombstone(&self, stream: &str) -> Result<(), StoreError> {
        let options = TombstoneStreamOptions::default().stream_state(StreamState::Any);
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            let sent = self.client.tombstone_stream(stream, &options);
            let Ok(answer) = timeout(self.patience, sent).await else { return Err(self.nobody_answered()) };
            match answer {
                Ok(_) | Err(Error::ResourceDeleted) => return Ok(()),
                Err(Error::NotLeaderException(_)) if attempt < LEADERS => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(error) => return Err(self.refused(error).at(format_args!("stream {stream}"))),
            }
        }
        Err(self.nobody_answered())
    }

    async fn session(&self) -> Result<(u64, Arc<BatchAppendClient>), Error> {
        let mut session = self.session.lock().await;
        if let Some(open) = &session.open {
            return Ok((session.number, Arc::clone(open)));
        }
        let opened = Arc::new(self.client.batch_append(&BatchAppendOptions::default()).await?);
        session.number += 1;
        session.open = Some(Arc::clone(&opened));
        Ok((session.number, opened))
    }

    /// The session of this number is not used any more.
    async fn end(&self, number: u64) {
        let mut session = self.session.lock().await;
        if session.number == number {
            session.open = None;
        }
    }

    /// What an error means that says nothing about where the stream is.
    pub(super) fn failed(&self, error: Error) -> StoreError {
        store_error("append to", &self.display, error)
    }

    fn refused(&self, error: Error) -> StoreError {
        match error {
            Error::Grpc { code, message } if code as i32 == INVALID_ARGUMENT => {
                let problem = format!("the server does not take it: {message}");
                StoreError::new("append to", &self.display, StoreErrorKind::Unsupported(problem))
            }
            other => self.failed(other),
        }
    }

    fn nobody_answered(&self) -> StoreError {
        let problem = format!("the server did not answer within {} s", self.patience.as_secs_f32());
        StoreError::new("append to", &self.display, unavailable(problem))
    }
}

/// The events for the client. Fails where it can't send one.
pub(super) fn messages(display: &str, stream: &str, entries: &[Entry]) -> Result<Vec<EventData>, StoreError> {
    let message = |entry: &Entry| {
        entry.message().map_err(|error| {
            let problem = format!("event {} is labelled JSON, and the client can't send it as that: {error}", entry.id);
            let failed = StoreError::new("append to", display, StoreErrorKind::Unsupported(problem));
            failed.at(format_args!("stream {stream}")).hint("drop it, or make it binary, with a rule")
        })
    };
    entries.iter().map(message).collect()
}

/// The state that a stream must be in for these to follow.
fn expected(entries: &[Entry]) -> StreamState {
    match entries.first().and_then(|first| first.revision.checked_sub(1)) {
        Some(before) => StreamState::StreamRevision(before),
        None => StreamState::NoStream,
    }
}

/// Whether a session ended by another append's error.
fn is_of_another(error: &Error) -> bool {
    matches!(error, Error::ServerError(text) if text.contains("Batch-append stream has been closed"))
}

/// Whether an error is about the size of an append.
fn too_large(error: &Error, entries: &[Entry]) -> Option<Answer> {
    let Error::Grpc { code, message } = error else { return None };
    let (code, lower) = (*code as i32, message.to_ascii_lowercase());
    let is_size = match code {
        INVALID_ARGUMENT => lower.contains("exceed") || lower.contains("size"),
        RESOURCE_EXHAUSTED => true,
        OUT_OF_RANGE => lower.contains("message") || lower.contains("length"),
        _ => false,
    };
    if !is_size {
        return None;
    }
    // gRPC's own limit is of the whole message, in which small events take more room than the server counts.
    let said = said_limit(&lower).map(|limit| if code == INVALID_ARGUMENT { limit } else { limit - limit / 8 });
    let takes = said.filter(|limit| *limit < super::chunk::size(entries));
    Some(Answer::TooLarge { takes, says: message.clone() })
}

/// The limit that a message names.
fn said_limit(message: &str) -> Option<usize> {
    let behind = |words: &str| message.rsplit_once(words).map(|(_, rest)| rest);
    let rest = behind("size of ").or_else(|| behind("limit is: "))?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok().filter(|limit| *limit > 0)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use uuid::Uuid;

    use super::*;

    fn of_bytes(bytes: usize) -> [Entry; 1] {
        [Entry {
            id: Uuid::max(),
            revision: 0,
            event_type: "a".into(),
            is_json: false,
            data: Bytes::from(vec![0; bytes - 2]),
            metadata: Bytes::new(),
        }]
    }

    fn size_error(code: i32, message: &str, bytes: usize) -> Option<Answer> {
        too_large(&Error::Grpc { code: code.into(), message: message.to_owned() }, &of_bytes(bytes))
    }

    #[test]
    fn the_limit_is_what_the_server_says() {
        let takes = |answer: Option<Answer>| match answer {
            Some(Answer::TooLarge { takes, .. }) => takes,
            other => panic!("{other:?}"),
        };
        assert_eq!(takes(size_error(3, "Maximum Append Size of 1048576 Exceeded.", 2_000_000)), Some(1_048_576));
        assert_eq!(takes(size_error(8, "Received message exceeds the maximum configured message size.", 99)), None);
        let by_tonic = "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes";
        assert_eq!(takes(size_error(11, by_tonic, 4_990_000)), Some(3_670_016));
        let of_one = "Event with Id: 0190163d-8694-739b-aea5-966c26f8ad91, Size: 20000000, exceeds Maximum Append Event Size of 16777216.";
        assert_eq!(takes(size_error(3, of_one, 20_000_000)), Some(16_777_216));
        assert_eq!(size_error(3, "the stream name is invalid", 99), None);
        assert_eq!(size_error(14, "size", 99), None);
    }
}
