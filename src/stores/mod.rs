//! The stores: one folder and one feature each, the same file names in each.

#[cfg(any(feature = "sqlite", feature = "file"))]
mod asked;
#[cfg(any(feature = "file", feature = "kurrentdb"))]
mod attribute;
#[cfg(feature = "sqlite")]
mod checkpoint_table;
#[cfg(any(feature = "sqlite", feature = "file"))]
mod configured;
mod counted_from;
mod distinct_ids;
#[cfg(feature = "kurrentdb")]
mod encryption;
#[cfg(feature = "file")]
pub mod file;
#[cfg(any(feature = "sqlite", feature = "file"))]
mod fitness;
pub(crate) mod gap_hint;
#[cfg(any(feature = "sqlite", feature = "file"))]
mod holder;
#[cfg(any(feature = "cli", feature = "kurrentdb"))]
pub(crate) mod kurrent_url;
#[cfg(feature = "kurrentdb")]
pub mod kurrentdb;
#[cfg(any(feature = "sqlite", feature = "file", feature = "kurrentdb"))]
pub(crate) mod local_file;
#[cfg(any(feature = "postgres", feature = "kurrentdb"))]
mod password;
#[cfg(feature = "postgres")]
pub mod postgres;
mod prospect;
#[cfg(feature = "sqlite")]
mod refusal;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod table_reading;
#[cfg(any(feature = "sqlite", feature = "file"))]
mod taking_over;
#[cfg(any(feature = "file", feature = "kurrentdb"))]
mod version_pattern;
#[cfg(any(feature = "file", feature = "sqlite"))]
// Most of it is for files.
#[cfg_attr(not(feature = "file"), allow(dead_code, unreachable_pub))]
mod written_time;

#[cfg(any(feature = "sqlite", feature = "file"))]
pub use asked::{Answer, Cell};
#[cfg(feature = "sqlite")]
pub use checkpoint_table::{CheckpointChange, CheckpointDatabase, CheckpointRow, CheckpointRows, CheckpointTable};
#[cfg(any(feature = "sqlite", feature = "file"))]
pub use configured::{InvalidStore, KINDS, KeptAs, READ_MODEL_KINDS, ReadModelConfig, StoreConfig};
pub use counted_from::CountedFrom;
pub use distinct_ids::{DistinctIds, Ids};
#[cfg(any(feature = "sqlite", feature = "file"))]
pub use fitness::Room;
#[cfg(any(feature = "sqlite", feature = "file"))]
pub use holder::{Asking, Claim, Holder};
pub use prospect::Prospect;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use table_reading::{TableColumns, TableGuarantees, TableReading};
#[cfg(any(feature = "sqlite", feature = "file"))]
pub use taking_over::{Activity, EndedSession, Request};
