//! The stores: one folder and one feature each, the same file names in each.

#[cfg(any(feature = "sqlite", feature = "file"))]
mod asked;
#[cfg(any(feature = "file", feature = "kurrentdb"))]
mod attribute;
#[cfg(feature = "sqlite")]
mod checkpoint_table;
#[cfg(any(feature = "sqlite", feature = "file"))]
mod configured;
#[cfg(feature = "kurrentdb")]
mod encryption;
#[cfg(feature = "file")]
pub mod file;
#[cfg(any(feature = "sqlite", feature = "file"))]
mod fitness;
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
#[cfg(any(feature = "file", feature = "kurrentdb"))]
mod version_pattern;

#[cfg(any(feature = "sqlite", feature = "file"))]
pub use asked::{Answer, Cell};
#[cfg(feature = "sqlite")]
pub use checkpoint_table::{CheckpointChange, CheckpointDatabase, CheckpointRow, CheckpointRows, CheckpointTable};
#[cfg(any(feature = "sqlite", feature = "file"))]
pub use configured::{InvalidStore, KINDS, KeptAs, READ_MODEL_KINDS, ReadModelConfig, StoreConfig};
#[cfg(any(feature = "sqlite", feature = "file"))]
pub use fitness::Room;
pub use prospect::Prospect;
