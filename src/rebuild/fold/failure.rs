//! Errors in the order of the events, so that the one that is reported does not depend on who met it first.

use crate::rebuild::{RebuildError, RebuildRefusal};

/// Where in the order of the events something happened: the number of the event, the projection, which of its changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Order {
    pub(super) event: u64,
    pub(super) projection: usize,
    pub(super) change: u32,
}

impl Order {
    /// Before all events: for an error that goes before those of events.
    pub(super) const FIRST: Self = Self { event: 0, projection: 0, change: 0 };
    /// Behind all events.
    pub(super) const LAST: Self = Self { event: u64::MAX, projection: usize::MAX, change: u32::MAX };
}

/// An error, and where it was met.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) order: Order,
    pub(super) error: RebuildError,
}

impl Failure {
    /// An error that has nothing to do with an event.
    pub(super) fn of_place(error: RebuildError) -> Self {
        Self { order: Order::FIRST, error }
    }

    /// Of a fold that was given up: any other error says more.
    pub(super) fn ended() -> Self {
        Self { order: Order::LAST, error: RebuildRefusal::Ended.into() }
    }

    /// Keeps the earlier of two.
    pub(super) fn keep_first(first: &mut Option<Self>, other: Self) {
        if first.as_ref().is_none_or(|first| other.order < first.order) {
            *first = Some(other);
        }
    }
}
