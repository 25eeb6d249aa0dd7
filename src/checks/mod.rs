//! Checks before and behind a migration, and before a cut-over: what eventlift looks for by itself, and what the user
//! asks for in SQL or jq.
//!
//! One scan of the source feeds every check that looks at events, together with the [survey](crate::pipeline::survey).
//! Each check passes, warns or fails, and says what to do. What came of them is kept as notes of the run; one that
//! failed behind a migration may hold its cut-over.

mod built_in;
mod check;
mod events;
mod expectation;
mod notes;
mod report;
mod run;

pub use built_in::BUILT_IN;
pub use check::{Check, CheckSettings, JqCheck, OnFailure, Severity, Subject, Test, When};
pub use events::EventLooks;
pub use expectation::{Bound, Expectation};
pub use notes::{CHECKS_BOOK, Hold, held, kept_reports, note_of, record};
pub use report::{CheckReport, CheckResult, Verdict};
pub use run::{Checks, Surveyed};
