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
mod growing;
mod in_place;
mod in_place_verify;
mod landmarks;
mod limited;
mod migration;
mod onto;
mod overlay;
mod overlooked;
mod policy;
mod position_map;
mod position_recorder;
mod progress;
pub mod quarantine;
mod ranges;
mod rehearsal;
mod retry;
mod rule_changes;
mod rule_counts;
mod sequence;
mod session;
mod starting_point;
mod state;
mod still_agrees;
mod stop;
mod survey;
mod tail;
mod throttle;
mod transform;
mod verify;
mod windows;

pub use append::Appended;
pub use audit::{Audit, Finding};
pub use control::{Control, ControlHandle, Wish};
pub use error::{PipelineError, Refusal};
pub use expected::{expected_events, expected_events_apart};
pub use fingerprint::Fingerprint;
pub use follow::{Following, refuse_unfollowable};
pub use growing::GrowingVerification;
pub use in_place::{
    InPlace, InPlaceLook, InPlaceOptions, InPlaceOutcome, UndoOutcome, WouldBecome, last_in_place_run, look_in_place,
};
pub use in_place_verify::InPlaceVerification;
pub use migration::{Migration, MigrationOptions, Outcome};
pub use onto::{Onto, fills_the_store, is_in_place, is_reverse, last_that_fills};
pub use overlooked::Failures;
pub use policy::{FailUnlessTold, FailedEvents, PassUnlessTold, Policies, Revisions, Unknown};
pub use position_map::{Mapped, MappedCheckpoint, PositionMap};
pub use progress::Progress;
pub use ranges::{keep_places, ranges_done};
pub use rehearsal::{RefusedEvents, Rehearsal, Rehearsing};
pub use retry::{Heartbeat, MayPass, NextTry, RetryPolicy, go_on};
pub use rule_changes::{RuleChange, rule_changes};
pub use rule_counts::rules_took;
#[cfg(feature = "cli")]
pub(crate) use session::one_line;
pub use session::{SessionStart, applied_rules, supersede};
pub use starting_point::StartingPoint;
pub use still_agrees::still_agrees;
pub use stop::{Stop, StopHandle};
pub use survey::{Covered, Look, Sample, Survey, SurveyOptions, survey, survey_looking};
pub use tail::Tail;
pub use throttle::{
    Controller, Limits, LoadQuery, Moment, Size, StoreSide, Throttle, ThrottleSettings, ThrottleState, Window,
};
pub(crate) use transform::{Origins, lift_batches};
pub use verify::{
    ByValue, Difference, Part, Verification, VerifyProgress, compared_by_value, verify, verify_apart, verify_empty,
};
pub use windows::all_windows_closed;
