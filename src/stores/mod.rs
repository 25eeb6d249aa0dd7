//! The stores: one folder and one feature each, the same file names in each.

#[cfg(any(feature = "sqlite", feature = "file"))]
mod asked;
#[cfg(feature = "sqlite")]
mod checkpoint_table;
#[cfg(any(feature = "sqlite", feature = "file"))]
mod configured;
#[cfg(feature = "file")]
pub mod file;
#[cfg(any(feature = "sqlite", feature = "file"))]
mod fitness;
#[cfg(any(feature = "sqlite", feature = "file"))]
pub(crate) mod local_file;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
mod refusal;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(any(feature = "sqlite", feature = "file"))]
pub use asked::{Answer, Cell};
#[cfg(feature = "sqlite")]
pub use checkpoint_table::{CheckpointChange, CheckpointDatabase, CheckpointRow, CheckpointRows, CheckpointTable};
#[cfg(any(feature = "sqlite", feature = "file"))]
pub use configured::{InvalidStore, KINDS, KeptAs, READ_MODEL_KINDS, ReadModelConfig, StoreConfig};
#[cfg(any(feature = "sqlite", feature = "file"))]
pub use fitness::Room;
