//! Rebuilding read models and snapshots: one scan, folded by key in parallel, loaded beside the live tables and swapped
//! in.
//!
//! ```
//! use std::path::PathBuf;
//! use std::sync::Arc;
//!
//! use eventlift::projections::{Definitions, MemoryReadModels};
//! use eventlift::rebuild::{Feed, FoldOptions, Rebuild, Wanted};
//! # use eventlift::MemoryStore;
//!
//! const VISITS: &str = r#"
//! [table.visits]
//! key = "page"
//! columns = { page = "text", visits = "integer" }
//! [[on]]
//! event = "PageVisited"
//! version = 1
//! key = "/page"
//! add = { visits = 1 }
//! "#;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = MemoryStore::new();
//! let definitions = Definitions::load([(PathBuf::from("visits.toml"), VISITS.to_owned())])?;
//! let wanted = definitions.projections().into_iter().map(|projection| Wanted { projection, reason: "first".to_owned() });
//! let (feed, models) = (Feed::of(Arc::new(store.reader())), Arc::new(MemoryReadModels::new()));
//! let outcome = Rebuild::new(feed, models, wanted.collect(), FoldOptions::default()).run().await?;
//! assert_eq!(outcome.built[0].projection, "visits");
//! # Ok(())
//! # }
//! ```

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
mod undo;
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
pub use undo::{drop_old, undo};
pub use update::Updated;
