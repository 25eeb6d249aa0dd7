//! Quarantine: an event that fails stops its own stream only.
//!
//! The event, and those of its stream that come after it, are held in the target's ledger, in order and as they were
//! read, while everything else goes on. Once the rule is repaired they are [released](release) in that order, with the
//! state that the stream had when it stopped, so that what the stream becomes is what it would have become.
//!
//! What is held counts neither as read nor as written, so that the places it would have had stay free.

mod apart;
mod books;
mod discard;
mod encoding;
mod holding;
mod release;
mod settle;

pub use apart::Apart;
pub use books::{Discarded, Failed, HeldEvent, QuarantinedStream, discarded, held_events, quarantined_streams};
pub use discard::{Discard, discard};
pub use holding::{QuarantineLimits, Quarantined};
pub use release::{Released, release};

pub(super) use books::{has_failures, held_positions};
pub(super) use encoding::encode;
pub(super) use holding::Holding;
pub(super) use settle::{RangeFailures, settle};
