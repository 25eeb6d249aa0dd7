//! What a store of read models refuses by itself, before its error knows what was being done.

use std::fmt;

use eventlift_events::{StoreError, StoreErrorKind};

/// What is refused, where, and what to try.
#[derive(Debug)]
pub(in crate::stores) struct Refusal {
    kind: StoreErrorKind,
    place: Option<String>,
    hint: Option<String>,
}

impl Refusal {
    pub(in crate::stores) fn new(kind: StoreErrorKind) -> Self {
        Self { kind, place: None, hint: None }
    }

    /// The database is not as the record says.
    pub(in crate::stores) fn unexpected(message: impl fmt::Display) -> Self {
        Self::new(StoreErrorKind::Unexpected(message.to_string()))
    }

    /// What was given contradicts itself or what is there.
    pub(in crate::stores) fn bad_input(message: impl fmt::Display) -> Self {
        Self::new(StoreErrorKind::BadInput(message.to_string()))
    }

    /// This store can't take what was given.
    pub(in crate::stores) fn unsupported(message: impl fmt::Display) -> Self {
        Self::new(StoreErrorKind::Unsupported(message.to_string()))
    }

    pub(in crate::stores) fn at(self, place: impl fmt::Display) -> Self {
        Self { place: Some(place.to_string()), ..self }
    }

    pub(in crate::stores) fn hint(self, hint: impl fmt::Display) -> Self {
        Self { hint: Some(hint.to_string()), ..self }
    }

    /// What is refused.
    #[cfg(feature = "postgres")]
    pub(in crate::stores) fn kind(&self) -> &StoreErrorKind {
        &self.kind
    }

    /// The error of a call.
    pub(in crate::stores) fn into_error(self, action: &'static str, display: impl fmt::Display) -> StoreError {
        StoreError { place: self.place, hint: self.hint, ..StoreError::new(action, display, self.kind) }
    }
}
