//! Rebuilding read models and snapshots: one scan, folded by key in parallel, loaded beside the live tables and swapped
//! in.

mod beside;
mod compare;
mod coverage;
mod error;
mod feed;
mod fold;
mod options;
mod origin;
mod progress;
#[expect(clippy::module_inception, reason = "it is what the folder is for")]
mod rebuild;
mod rebuilder;
mod rollup;
mod scan;
mod session;
mod stamp;
mod touched;
mod update;

pub use beside::Beside;
pub use compare::{Comparison, RowDifference, compare_folds, compare_live};
pub use coverage::prove_understood;
pub use error::{RebuildError, RebuildRefusal};
pub use feed::{Fed, FedBatch, Feed, Reading, ends, reaching};
pub use fold::{Fold, Folded, Rows};
pub use options::{FailurePolicy, FoldOptions};
pub use origin::{changes, origin};
pub use progress::{Phase, RebuildProgress};
pub use rebuild::{Outcome, Rebuild};
pub use rebuilder::{Rebuilder, Rebuilt};
pub use scan::{Rehearsed, rehearse};
pub use session::{Built, Wanted};
pub use touched::{Touched, touched};
pub use update::Updated;
