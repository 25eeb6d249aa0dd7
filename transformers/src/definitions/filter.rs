//! The jq filters of definitions. In builds without feature `jq` there are none, and definitions that hold one don't
//! compile.

#[cfg(feature = "jq")]
pub(super) use crate::jq::{JqError, JqFilter};

#[cfg(not(feature = "jq"))]
pub(super) use absent::{JqError, JqFilter};

#[cfg(not(feature = "jq"))]
mod absent {
    use eventlift_events::{Event, Payload};

    use crate::transformer::Reason;

    /// A filter that can't be made.
    pub(in super::super) enum JqFilter {}

    pub(in super::super) struct JqError {
        pub(in super::super) line: usize,
        pub(in super::super) column: usize,
        pub(in super::super) message: String,
        pub(in super::super) hint: Option<String>,
    }

    impl JqFilter {
        pub(in super::super) fn compile(_: &str) -> Result<Self, JqError> {
            let message = "this build has no jq".to_owned();
            Err(JqError { line: 1, column: 1, message, hint: Some("build with feature `jq`".to_owned()) })
        }

        pub(in super::super) fn apply_data(&self, _: &Payload) -> Result<Payload, Reason> {
            match *self {}
        }

        pub(in super::super) fn apply_event(&self, _: &Event) -> Result<Vec<Event>, Reason> {
            match *self {}
        }
    }
}
