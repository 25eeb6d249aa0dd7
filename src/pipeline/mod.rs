//! The pipeline: read → transform → sequence → append, one stage a file, everything between them bounded.
//!
//! [`Migration`] wires the stages and keeps the run's record; [`survey`] proves what it will do before it does it,
//! [`verify`] reads both sides back. [`go_on`] has done again what may pass.

mod ahead;
mod append;
mod audit;
mod control;
mod error;
mod expected;
mod fingerprint;
mod follow;
mod migration;
mod policy;
mod progress;
mod ranges;
mod rehearsal;
mod retry;
mod sequence;
mod starting_point;
mod state;
mod stop;
mod survey;
mod throttle;
mod transform;
mod verify;

pub use append::Appended;
pub use audit::{Audit, Finding};
pub use control::{Control, ControlHandle, Wish};
pub use error::{PipelineError, Refusal};
pub use expected::expected_events;
pub use fingerprint::Fingerprint;
pub use follow::Following;
pub use migration::{Migration, MigrationOptions, Outcome};
pub use policy::{Policies, Revisions, Unknown};
pub use progress::Progress;
pub use ranges::keep_places;
pub use rehearsal::{Rehearsal, RehearsalOptions, rehearse};
pub use retry::{Heartbeat, MayPass, NextTry, RetryPolicy, go_on};
pub use starting_point::StartingPoint;
pub use stop::{Stop, StopHandle};
pub use survey::{Covered, Look, Sample, Survey, SurveyOptions, survey, survey_looking};
pub use throttle::{
    Controller, Limits, LoadQuery, Moment, Size, StoreSide, Throttle, ThrottleSettings, ThrottleState, Window,
};
pub(crate) use transform::{Origins, lift_batches};
pub use verify::{ByValue, Difference, Part, Verification, VerifyProgress, compared_by_value, verify, verify_empty};
