//! What can go wrong with a store.

use std::error::Error;
use std::{fmt, io};

use crate::event::EventId;
use crate::position::Position;
use crate::stream::{Revision, StreamName};

/// A store could not do something. Prints as `failed to <action> <store> at <place>: <what happened>`; the hint, if
/// there is one, is printed apart from it.
#[derive(Debug)]
pub struct StoreError {
    /// What was being done: `read`, `append to`, `open`.
    pub action: &'static str,
    /// Which store, without its password.
    pub store: String,
    /// Where in the store: `line 17`, `position 4`, `stream user-1, revision 3`.
    pub place: Option<String>,
    /// What happened.
    pub kind: StoreErrorKind,
    /// What to try.
    pub hint: Option<String>,
}

/// What happened to a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// There is no such store.
    #[error("it does not exist")]
    Missing,
    /// The store holds something that is no event, or events that contradict one another.
    #[error("{0}")]
    BadInput(String),
    /// Something else is at this revision, or something before it is missing.
    #[error(
        "stream {stream} holds {}, so event {id} can't be its revision {revision}",
        holds(*.found, *.revision)
    )]
    RevisionConflict {
        /// The stream.
        stream: StreamName,
        /// The revision of the event to append.
        revision: Revision,
        /// The event to append.
        id: EventId,
        /// The last revision the stream has.
        found: Option<Revision>,
    },
    /// The id is taken by an event elsewhere in the store.
    #[error("event id {0} is there already, on another event")]
    DuplicateId(EventId),
    /// The position is taken, or readers may be past it already.
    #[error("event {id} can't have position {position}: the store holds positions up to {last}")]
    PositionTaken {
        /// The event to append.
        id: EventId,
        /// The position it came with.
        position: Position,
        /// The last position of the store.
        last: Position,
    },
    /// An event is not what it was when it was read.
    #[error("event {0} is not what it was any more, and was left as it is")]
    Changed(EventId),
    /// Another process writes to the store.
    #[error("another run holds it ({0})")]
    Locked(String),
    /// The store can't be reached now, or has ended the connection: the same may pass a little later.
    #[error("{0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The store does not let whoever asks do that.
    #[error("{0}")]
    Denied(String),
    /// The store can't be written.
    #[error("it is read-only")]
    ReadOnly,
    /// There is no room left.
    #[error("the disk is full")]
    Full,
    /// The store can't take what it was given.
    #[error("{0}")]
    Unsupported(String),
    /// The store is not what it should be: another format, a newer version, foreign content.
    #[error("{0}")]
    Unexpected(String),
    /// The store, or what is below it, answered with an error of its own.
    #[error("{0}")]
    Backend(#[source] Box<dyn Error + Send + Sync>),
}

fn holds(found: Option<Revision>, revision: Revision) -> String {
    match found {
        None => "no events".to_owned(),
        Some(found) if found >= revision => format!("another event at revision {revision}"),
        Some(found) => format!("revisions up to {found}"),
    }
}

fn is_about_nobody(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, NotFound, TimedOut};
    let kinds = [ConnectionRefused, HostUnreachable, NetworkUnreachable, NotFound, TimedOut];
    // A name that can't be looked up has no kind of its own.
    kinds.contains(&error.kind()) || error.to_string().starts_with("failed to lookup address")
}

impl StoreError {
    /// An error without place or hint.
    pub fn new(action: &'static str, store: impl fmt::Display, kind: StoreErrorKind) -> Self {
        Self { action, store: store.to_string(), place: None, kind, hint: None }
    }

    /// Whether the same may pass a little later, once the store is opened again.
    pub fn may_pass(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Unavailable(_))
    }

    /// Whether nobody answered where the store is meant to be: it may be down, or it may never have been there.
    pub fn nobody_answered(&self) -> bool {
        let StoreErrorKind::Unavailable(cause) = &self.kind else { return false };
        let mut next: Option<&(dyn Error + 'static)> = Some(&**cause);
        while let Some(cause) = next {
            if cause.downcast_ref::<io::Error>().is_some_and(is_about_nobody) {
                return true;
            }
            next = cause.source();
        }
        false
    }

    /// The same, at a place.
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self { place: Some(place.to_string()), ..self }
    }

    /// The same, with something to try.
    pub fn hint(self, hint: impl fmt::Display) -> Self {
        Self { hint: Some(hint.to_string()), ..self }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {} {}", self.action, self.store)?;
        if let Some(place) = &self.place {
            write!(f, " at {place}")?;
        }
        write!(f, ": {}", self.kind)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            StoreErrorKind::Backend(source) | StoreErrorKind::Unavailable(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}
