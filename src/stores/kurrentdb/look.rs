//! Looks up single events and the ends of streams.

use std::time::Duration;

use bytes::Bytes;
use eventlift_events::{Position, StoreError, StoreErrorKind};
use eventstore::{
    Client, Error, ReadAllOptions, ReadEvent, ReadStream, ReadStreamOptions, RecordedEvent, StreamPosition,
};
use tokio::time::timeout;
use uuid::Uuid;

use super::failure::{store_error, unavailable};
use super::filter::{of_everything, of_stream};
use super::plan::{METADATA_TYPE, TOMBSTONE_TYPE};

/// An event as it was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub(super) revision: u64,
    pub(super) id: Uuid,
    pub(super) data: Bytes,
    pub(super) metadata: Bytes,
}

/// How a stream ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// There is nothing, and never was.
    Nothing,
    /// The last event.
    At(Seen),
    /// It was deleted for good.
    Deleted,
}

/// Looks up events of a server.
#[derive(Clone)]
pub(super) struct Look {
    client: Client,
    display: String,
    patience: Duration,
}

impl Look {
    pub(super) fn new(client: Client, display: String, patience: Duration) -> Self {
        Self { client, display, patience }
    }

    /// The events of a stream from a revision on that can be read, at most `count`. A stream that is not there, deleted
    /// or truncated has none.
    pub(super) async fn from(&self, stream: &str, revision: u64, count: usize) -> Result<Vec<Seen>, StoreError> {
        let options =
            ReadStreamOptions::default().position(StreamPosition::Position(revision)).forwards().max_count(count);
        let mut seen = Vec::new();
        let Some(mut read) = self.stream(stream, &options).await? else { return Ok(seen) };
        while let Some(event) = self.next(&mut read).await? {
            if let ReadEvent::Event(event) = event {
                seen.extend(event.event.or(event.link).map(Seen::from));
            }
        }
        Ok(seen)
    }

    /// How a stream ends, also where it was deleted or truncated so that it reads as empty. That is looked for in `$all`,
    /// from its end, which takes long where the stream ended long ago.
    pub(super) async fn end(&self, stream: &str) -> Result<End, StoreError> {
        let options = ReadStreamOptions::default().position(StreamPosition::End).backwards().max_count(1);
        match self.read_stream(stream, &options).await {
            Ok(mut read) => {
                while let Some(event) = self.next_or(&mut read).await? {
                    match event {
                        Ok(ReadEvent::Event(event)) => match event.event.or(event.link) {
                            Some(event) => return Ok(End::At(event.into())),
                            None => continue,
                        },
                        Ok(_) => {}
                        Err(Error::ResourceDeleted) => return Ok(End::Deleted),
                        Err(Error::ResourceNotFound) => break,
                        Err(error) => return Err(self.failed(error)),
                    }
                }
            }
            Err(Error::ResourceDeleted) => return Ok(End::Deleted),
            Err(Error::ResourceNotFound) => {}
            Err(error) => return Err(self.failed(error)),
        }
        // Without metadata nothing can be hidden.
        if stream.starts_with("$$") || self.from(&format!("$${stream}"), 0, 1).await?.is_empty() {
            return Ok(End::Nothing);
        }
        Ok(self.in_log(stream, None).await?.map_or(End::Nothing, End::At))
    }

    /// The event of a stream at a revision, or its last one, wherever it is in the log, hidden or not.
    pub(super) async fn in_log(&self, stream: &str, revision: Option<u64>) -> Result<Option<Seen>, StoreError> {
        let options = ReadAllOptions::default().position(StreamPosition::End).backwards().filter(of_stream(stream));
        let mut read = match timeout(self.patience, self.client.read_all(&options)).await {
            Ok(read) => read.map_err(|error| self.failed(error))?,
            Err(_) => return Err(self.nobody_answered()),
        };
        // No limit of time: a server that looks through its log says nothing until it finds something.
        while let Some(event) = read.next_read_event().await.map_err(|error| self.failed(error))? {
            let ReadEvent::Event(event) = event else { continue };
            let Some(event) = event.event.or(event.link) else { continue };
            if event.stream_id() != stream || event.event_type == "$streamDeleted" {
                continue;
            }
            match revision {
                Some(wanted) if event.revision > wanted => {}
                Some(wanted) if event.revision < wanted => return Ok(None),
                _ => return Ok(Some(event.into())),
            }
        }
        Ok(None)
    }

    /// Where the log ends, at least. None where it is empty, and where this user may not read all of it.
    pub(super) async fn end_of_log(&self) -> Result<Option<u64>, StoreError> {
        let options = ReadAllOptions::default().position(StreamPosition::End).backwards().max_count(1);
        let mut read = match timeout(self.patience, self.client.read_all(&options)).await {
            Ok(Ok(read)) => read,
            Ok(Err(Error::AccessDenied)) => return Ok(None),
            Ok(Err(error)) => return Err(self.failed(error)),
            Err(_) => return Err(self.nobody_answered()),
        };
        while let Some(event) = self.next_or(&mut read).await? {
            match event {
                Ok(ReadEvent::Event(event)) => {
                    let event = event.event.or(event.link);
                    return Ok(event.map(|event| event.position.commit));
                }
                Ok(_) => {}
                Err(Error::AccessDenied) => return Ok(None),
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(None)
    }

    /// The position of the last event that is not the server's own; with metadata and deletions of streams where they count.
    pub(super) async fn last_position(&self, carries: bool) -> Result<Option<Position>, StoreError> {
        let options = ReadAllOptions::default().position(StreamPosition::End).backwards().filter(of_everything());
        let mut read = match timeout(self.patience, self.client.read_all(&options)).await {
            Ok(read) => read.map_err(|error| self.failed(error))?,
            Err(_) => return Err(self.nobody_answered()),
        };
        // No limit of time here either.
        while let Some(event) = read.next_read_event().await.map_err(|error| self.failed(error))? {
            let ReadEvent::Event(event) = event else { continue };
            let Some(event) = event.link.or(event.event) else { continue };
            let counts = !event.event_type.starts_with('$')
                || carries && [METADATA_TYPE, TOMBSTONE_TYPE].contains(&event.event_type.as_str());
            if counts {
                return Ok(Some(Position::pair(event.position.commit, event.position.prepare)));
            }
        }
        Ok(None)
    }

    async fn stream(&self, stream: &str, options: &ReadStreamOptions) -> Result<Option<ReadStream>, StoreError> {
        match self.read_stream(stream, options).await {
            Ok(read) => Ok(Some(read)),
            Err(Error::ResourceNotFound | Error::ResourceDeleted) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn read_stream(&self, stream: &str, options: &ReadStreamOptions) -> Result<ReadStream, Error> {
        timeout(self.patience, self.client.read_stream(stream, options)).await.unwrap_or(Err(Error::DeadlineExceeded))
    }

    /// The next thing of a read; none at its end, and where there is no such stream.
    async fn next(&self, read: &mut ReadStream) -> Result<Option<ReadEvent>, StoreError> {
        match self.next_or(read).await? {
            None | Some(Err(Error::ResourceNotFound | Error::ResourceDeleted)) => Ok(None),
            Some(Ok(event)) => Ok(Some(event)),
            Some(Err(error)) => Err(self.failed(error)),
        }
    }

    async fn next_or(&self, read: &mut ReadStream) -> Result<Option<Result<ReadEvent, Error>>, StoreError> {
        match timeout(self.patience, read.next_read_event()).await {
            Ok(next) => Ok(next.transpose()),
            Err(_) => Err(self.nobody_answered()),
        }
    }

    fn failed(&self, error: Error) -> StoreError {
        store_error("look into", &self.display, error)
    }

    fn nobody_answered(&self) -> StoreError {
        let problem: StoreErrorKind =
            unavailable(format!("the server did not answer within {} s", self.patience.as_secs_f32()));
        StoreError::new("look into", &self.display, problem)
    }
}

impl From<RecordedEvent> for Seen {
    fn from(event: RecordedEvent) -> Self {
        Self { revision: event.revision, id: event.id, data: event.data, metadata: event.custom_metadata }
    }
}
