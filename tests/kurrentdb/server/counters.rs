//! What a node was asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counts of a node since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Unary appends that were received in full.
    pub(crate) append_requests: u64,
    /// Appends of batch sessions that were received in full.
    pub(crate) batch_messages: u64,
    /// Events that were written by appends; none for those that were there already.
    pub(crate) appended_events: u64,
    /// Bytes of data and metadata of the events that were received.
    pub(crate) received_bytes: u64,
    /// Reads, subscriptions included.
    pub(crate) reads: u64,
    /// Events that were sent to readers.
    pub(crate) sent_events: u64,
    /// Bytes of data and metadata of the events that were sent.
    pub(crate) sent_bytes: u64,
    /// The most appends that were received and not yet answered, at any time.
    pub(crate) peak_in_flight: u64,
    /// Appends that were done, and whose connection broke instead of an answer.
    pub(crate) lost_answers: u64,
    /// Connections that were accepted.
    pub(crate) connections: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) append_requests: AtomicU64,
    pub(super) batch_messages: AtomicU64,
    pub(super) appended_events: AtomicU64,
    pub(super) received_bytes: AtomicU64,
    pub(super) reads: AtomicU64,
    pub(super) sent_events: AtomicU64,
    pub(super) sent_bytes: AtomicU64,
    in_flight: AtomicU64,
    peak_in_flight: AtomicU64,
    pub(super) lost_answers: AtomicU64,
    pub(super) connections: AtomicU64,
}

impl Counters {
    pub(super) fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        Counts {
            append_requests: get(&self.append_requests),
            batch_messages: get(&self.batch_messages),
            appended_events: get(&self.appended_events),
            received_bytes: get(&self.received_bytes),
            reads: get(&self.reads),
            sent_events: get(&self.sent_events),
            sent_bytes: get(&self.sent_bytes),
            peak_in_flight: get(&self.peak_in_flight),
            lost_answers: get(&self.lost_answers),
            connections: get(&self.connections),
        }
    }

    /// Counts an append as in flight until what is returned goes.
    pub(super) fn enter(self: &Arc<Self>) -> InFlight {
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak_in_flight.fetch_max(now, Ordering::SeqCst);
        InFlight(Arc::clone(self))
    }
}

pub(super) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Ordering::SeqCst);
}

pub(super) struct InFlight(Arc<Counters>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
