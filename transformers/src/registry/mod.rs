//! The registry: every rule of a project, proved to fit together, and the lifting of events by them.

mod again;
mod builder;
mod coverage;
mod inverse;
mod lift;
mod proofs;
mod took;
mod towards;

pub use builder::{RegistryBuilder, RegistryErrors};
pub use coverage::{Coverage, MergedInto, Outcome, Step};
pub use inverse::{NoWayBack, NotInvertible};
pub use lift::{Lift, Registry, RuleText, Uncovered};
pub use took::{Taker, TakesNothing, Took};
