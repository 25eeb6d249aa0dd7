//! A gate that a service asks before it writes, while its store is migrated: to the source, to the target, or not now.
//!
//! [`MigrationGate`] looks at the target's ledger, where a cut-over records its steps. The feature `gate` has a layer for
//! tower, [`GateLayer`], that answers 503 with `Retry-After` for a service that must not write.
//!
//! The gate is a courtesy: it spares writers the error of a fenced store, and says where to write. That nothing is
//! written to a fenced store is held by the store's own [`Fence`](eventlift_events::Fence).

#[cfg(feature = "gate")]
mod layer;
mod migration_gate;
mod watched;

#[cfg(feature = "gate")]
pub use layer::{GateLayer, GateService, WRITE_TO};
pub use migration_gate::{Fenced, GateSettings, MigrationGate, Outage, WhyFenced, WriteTo};
