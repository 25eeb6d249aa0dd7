//! How a rule is taken back: what makes of an event in the new schema the one that the old code reads.

use std::sync::Arc;

use eventlift_events::Event;
use eventlift_language::{Fingerprint, Reason};

use crate::rule::Matches;
use crate::transformer::Shape;
use crate::upcaster::{Yielded, keeping_attributes};

pub(crate) type SharedBody = Arc<dyn Fn(Event, &mut Vec<Event>) -> Result<(), Reason> + Send + Sync>;
pub(crate) type SharedGuard = Arc<dyn Fn(&Event) -> Result<bool, Reason> + Send + Sync>;

/// What is known about the way back through a rule.
pub(crate) enum Down {
    /// There is one.
    Way(Way),
    /// It is declared that no event goes back through this rule.
    Never,
    /// There is none: what stands in the way, step by step.
    Missing(Vec<Missing>),
}

/// A step of a rule that can't be taken back.
#[derive(Debug, Clone)]
pub(crate) struct Missing {
    /// Which: `data, operation 2 (remove)`; empty where it is the whole rule.
    pub(crate) step: String,
    pub(crate) reason: Reason,
}

/// The way back through a rule.
#[derive(Clone)]
pub(crate) struct Way {
    /// The type that carries the event back, where the rule yields several; the others are dropped. Without it, what
    /// is made of each is up to `body`.
    pub(crate) keep: Option<String>,
    /// Which events it takes, if not all.
    pub(crate) guard: Option<SharedGuard>,
    pub(crate) body: SharedBody,
    pub(crate) shape: Shape,
    /// Whether what goes back has to give the event again when it is lifted, and the other way round.
    pub(crate) exact: bool,
    /// Of what is declared; the rule's own comes on top.
    pub(crate) fingerprint: String,
    /// Which events of the new schema it is about, for a general rule.
    pub(crate) matches: Matches,
}

impl Down {
    /// No way back, for this reason.
    pub(crate) fn missing(reason: Reason) -> Self {
        Self::Missing(vec![Missing { step: String::new(), reason }])
    }

    /// A rule in Rust that says nothing about the way back.
    pub(crate) fn not_said() -> Self {
        Self::missing(
            Reason::new("it is written in Rust").hint("give it a way back with `with_down`, or say `without_down`"),
        )
    }

    /// Lets what goes back come again as something else.
    pub(crate) fn lose(&mut self) {
        if let Self::Way(way) = self {
            way.exact = false;
        }
    }

    /// A closure as the way back.
    pub(crate) fn function<Y: Yielded>(
        fingerprint: String,
        shape: Shape,
        matches: Matches,
        function: impl Fn(Event) -> Result<Y, Reason> + Send + Sync + 'static,
    ) -> Self {
        Self::Way(Way {
            keep: None,
            guard: None,
            body: Arc::new(move |event, out| {
                keeping_attributes(event, out, |event, out| {
                    function(event)?.push_to(out);
                    Ok(())
                })
            }),
            shape: shape.max(Y::SHAPE),
            exact: true,
            fingerprint: Fingerprint::of("rust").field(&fingerprint).finish(),
            matches,
        })
    }
}
