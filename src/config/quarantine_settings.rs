//! `[quarantine]`: how much may be in quarantine before a run stops.

use serde::Deserialize;

use crate::pipeline::quarantine::QuarantineLimits;

/// `[quarantine]` as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    streams: Option<u64>,
    events: Option<u64>,
}

impl Written {
    pub(super) fn limits(self) -> QuarantineLimits {
        let defaults = QuarantineLimits::default();
        QuarantineLimits {
            streams: self.streams.unwrap_or(defaults.streams),
            events: self.events.unwrap_or(defaults.events),
        }
    }
}
