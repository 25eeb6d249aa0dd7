//! The pipeline: read → transform → sequence → append, one stage a file, everything between them bounded.
//!
//! [`Migration`] wires the stages and keeps the run's record; [`survey`] proves what it will do before it does it,
//! [`verify`] reads both sides back.

mod append;
mod audit;
mod error;
mod expected;
mod fingerprint;
mod migration;
mod policy;
mod progress;
mod rehearsal;
mod sequence;
mod state;
mod stop;
mod survey;
mod transform;
mod verify;

pub use append::Appended;
pub use audit::{Audit, Finding};
pub use error::{PipelineError, Refusal};
pub use expected::expected_events;
pub use fingerprint::Fingerprint;
pub use migration::{Migration, MigrationOptions, Outcome};
pub use policy::{Policies, Revisions, Unknown};
pub use progress::Progress;
pub use rehearsal::{Rehearsal, RehearsalOptions, rehearse};
pub use stop::{Stop, StopHandle};
pub use survey::{Covered, Sample, Survey, SurveyOptions, survey};
pub(crate) use transform::{Origins, lift_batches};
pub use verify::{Difference, Verification, VerifyProgress, verify, verify_empty};
